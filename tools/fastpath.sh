#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Proves, on the compiler's output, what Documentation/fastpath.rst says of the
# mimalloc engine: the owner's side takes no lock, masks no interrupts and has no
# atomic read-modify-write, and a foreign free is one cmpxchg.
#
#   tools/fastpath.sh               checks the modules for arm64, arm64 with
#                                   PREEMPT_RT, and amd64
#   tools/fastpath.sh --self-test   plants what must not be there, in copies, and
#                                   sees that each of it is found
#
# Ends with "N passed, N failed, N skipped".

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Where the walks begin and where they end, with the reason; see fastpath.py for
# the words. A walk goes through every function that is not named here. What it
# ends at has to be noinline, or it is part of the function that it was
# inlined into, and walked.
rules()
{
	cat <<-'RULES'
	owner chaos_alloc
	owner chaos_heap_alloc
	owner chaos_free
	owner chaos_heap_free
	owner mi_alloc
	owner mi_alloc_bulk
	owner mi_free
	owner mi_free_bulk
	holds mi_page_pop
	holds mi_theap_pop_next
	holds mi_page_extend
	holds mi_free_fast

	foreign mi_free_foreign
	foreign mi_chain_push

	shared mi_page_take_thread_free: takes over all that others have freed, by one xchg
	shared mi_theap_drop_full: lets a full page go, by one cmpxchg
	shared mi_theap_own: a page comes; the same
	shared mi_page_reclaim: takes a page back that was full, once in as many frees as it has blocks
	shared mi_page_get: a page that nobody owns, or fresh slices
	shared mi_theap_shed: lets pages go, all theaps together keep too much
	shared mi_theap_expire: gives empty pages back, once in retire_delay
	shared mi_page_retire: the page's last block has been freed
	shared mi_theap_scrape: there are no slices left
	shared mi_alloc_single: a block with a page of its own
	shared mi_page_inherit: the free made us the owner of the page
	shared chaos_take_trailed: hardening 2: the block gets a canary
	shared chaos_free_looked: hardening 2: the canary is looked at, the block poisoned

	cold mi_abandon_this_cpu: there are no slices left: masks interrupts to let pages go
	cold tlsf_op_alloc: another engine, which has a lock; a static branch keeps it away
	cold chaos_default_alloc_tlsf: another engine
	cold chaos_default_free_tlsf: another engine
	cold chaos_heap_alloc_tlsf: another engine
	cold chaos_heap_free_tlsf: another engine
	cold evl_op_alloc: another engine
	cold chaos_default_alloc_evl: another engine
	cold chaos_default_free_evl: another engine
	cold chaos_heap_alloc_evl: another engine
	cold chaos_heap_free_evl: another engine
	cold chaos_failed: reports that there is no memory
	cold chaos_alloc_starved: grows the heap, or reports that there is no memory
	cold mi_chain_push_each: somebody freed one of these at the same time: one push each
	cold chaos_report: reports misuse
	cold chaos_gfp_warn: reports a gfp that cannot be honoured
	cold chaos_alloc_seen: somebody traces or times this heap's calls
	cold chaos_free_seen: the same
	cold chaos_heartbeat: counts for the client's hook, and runs it, if there is one
	cold chaos_clear: looks the block's size up; for __GFP_ZERO only
	cold chaos_track_lay: notes who allocates, if that is asked for
	cold chaos_wake_grower: memory gets low: an irq_work, for the worker that grows the heap
	cold chaos_arm_tidy: the timer that tidies up is not armed: an irq_work, for that

	indirect chaos_alloc_slow: heap->engine->alloc; mi_alloc, for a heap of mimalloc's
	indirect chaos_take_trailed: the same
	indirect chaos_engine_free: the same
	indirect chaos_look_up: heap->engine->query, which only reads

	kernel __fentry__: the tracer's hook, a nop until somebody traces the function
	kernel __stack_chk_fail: does not return
	kernel preempt_schedule: preemption was due while it was off
	kernel preempt_schedule_notrace: preemption was due while it was off
	kernel __SCT__preempt_schedule: preemption was due while it was off
	kernel memset: plain stores
	kernel memchr_inv: plain loads
	kernel _find_first_bit: plain loads
	kernel _find_next_bit: plain loads
	kernel bitmap_find_next_zero_area_off: plain loads
	kernel __msecs_to_jiffies: arithmetic
	kernel siphash_2u64: arithmetic
	kernel __cond_resched: might_alloc(), only if the gfp allows it to sleep
	kernel __SCT__might_resched: might_alloc(), only if the gfp allows it to sleep
	RULES
}

# build_copy DIR KERNEL ARCH: as modules.sh does, but only the module's objects
build_copy()
{
	make -s -j"$(nproc)" -C "$2/kdir" M="$1" ARCH="$(kernel_arch "$3")" \
		CROSS_COMPILE="$(cross_prefix "$3")" chaos_alloc.o
}

# inspect OBJECT ARCH
inspect()
{
	local prefix

	prefix=$(cross_prefix "$2")
	python3 "$TOP/tools/fastpath.py" "${prefix}objdump" "$prefix" "$1" \
		"$WORK/rules"
}

# check_kernel NAME KERNEL ARCH
check_kernel()
{
	local name=$1 build out status=0

	build=$("$TOP/tools/modules.sh" "$2" "$3")
	out=$(inspect "$build/chaos_alloc.ko" "$3") || status=1
	printf '%s:\n%s\n' "$name" "$(grep -v '^  met: ' <<<"$out")"
	sed -n 's/^  met: //p' <<<"$out" | tr ' ' '\n' >>"$WORK/met"
	if [ "$status" -eq 0 ]; then
		verdict ok "fast paths, $name"
	else
		verdict FAIL "fast paths, $name"
	fi
}

# A rule that no walk has met is one that nobody would miss, or a wrong name.
check_rules()
{
	local stale

	stale=$(sed -n 's/^\(shared\|cold\|indirect\|kernel\) *\([^:]*\):.*/\1=\2/p' \
		"$WORK/rules" | grep -vxFf "$WORK/met") || true
	if [ -z "$stale" ]; then
		verdict ok "fast paths, rules"
	else
		printf 'no walk has met these:\n%s\n' "$stale"
		verdict FAIL "fast paths, rules"
	fi
}

check()
{
	local kernel

	kernel=$("$TOP/tools/kernels.sh" stock)
	check_kernel arm64 "$kernel" arm64
	kernel=$("$TOP/tools/kernels.sh" rt)
	check_kernel "arm64 PREEMPT_RT" "$kernel" arm64
	kernel=$("$TOP/tools/kernels.sh" headers "$SOURCE_SERIES" amd64)
	check_kernel amd64 "$kernel" amd64
	check_rules
}

# --- self-test ----------------------------------------------------------------

# plant KIND FILE FUNCTION CODE: the line CODE, at the top of FUNCTION. It must be
# found where it is; for the KIND cmpxchg, what is found is the function.
plant()
{
	local line

	line=$(awk -v function_re="^([^ \t#/*].*[ *])?$3[(]" '
		$0 ~ function_re { inside = 1 }
		/;$/ { inside = 0 }
		inside && /^{/ { print NR; exit }' "$COPY/$2")
	[ -n "$line" ] || die "self-test: there is no $3() in $2"
	# A line of what was planted before may have moved.
	sed -i "${line}a\\	$4 /* plant ${#PLANTS[@]} */" "$COPY/$2"
	PLANTS+=("$1 $2 $3")
}

plant_all()
{
	PLANTS=()
	plant lock mi_heap.c mi_free \
		'{ static DEFINE_RAW_SPINLOCK(l); raw_spin_lock(\&l); raw_spin_unlock(\&l); }'
	plant lock chaos_alloc.c chaos_alloc_slow \
		'{ static DEFINE_MUTEX(m); mutex_lock(\&m); mutex_unlock(\&m); }'
	plant irq mi_heap.c mi_page_refill \
		'{ unsigned long f; local_irq_save(f); local_irq_restore(f); }'
	plant irq mi_heap.c mi_alloc 'local_bh_disable(); local_bh_enable();'
	plant atomic mi_heap.h mi_page_pop \
		'{ static atomic_t a; atomic_inc(\&a); }'
	plant atomic chaos_alloc.c chaos_free_inline \
		'this_cpu_cmpxchg(*(unsigned long __percpu *)heap->theaps, 1, 1);'
	# On the side of a branch that is a nop in the object.
	plant atomic chaos_alloc.c chaos_alloc_mi \
		'{ static DEFINE_STATIC_KEY_FALSE(k); static long b; if (static_branch_unlikely(\&k)) set_bit(0, \&b); }'
	plant wait mi_heap.c mi_page_extend 'cpu_relax();'
	plant call mi_heap.h mi_alloc_fast 'ktime_get();'
	plant pointer mi_heap.c mi_theap_pop \
		'{ static void (*f)(void); if (READ_ONCE(f)) READ_ONCE(f)(); }'
	plant cmpxchg mi_heap.c mi_free_foreign \
		'{ static atomic_t a; atomic_inc(\&a); }'
	# Where atomics are allowed, these are not.
	plant lock mi_slices.c mi_page_alloc \
		'{ static DEFINE_RAW_SPINLOCK(l); raw_spin_lock(\&l); raw_spin_unlock(\&l); }'
	plant irq mi_slices.c mi_page_free \
		'{ unsigned long f; local_irq_save(f); local_irq_restore(f); }'
	plant wait mi_heap.c mi_page_settle 'cpu_relax();'
}

# check_plants NAME OUTPUT
check_plants()
{
	local name=$1 n kind file function where found=() stray

	for n in "${!PLANTS[@]}"; do
		read -r kind file function <<<"${PLANTS[n]}"
		where=$file:$(grep -nF "/* plant $n */" "$COPY/$file" | cut -d : -f 1)
		[ "$kind" != cmpxchg ] || where=$function
		if grep -q "FOUND $kind $where:" <<<"$2"; then
			verdict ok "self-test, $name: finds a planted $kind in $function()"
		else
			verdict FAIL "self-test, $name: misses a planted $kind in $function()"
		fi
		found+=(-e " $where:")
	done
	stray=$(grep FOUND <<<"$2" | grep -vF "${found[@]}") || true
	if [ -n "$stray" ]; then
		printf '%s\n' "$stray"
		verdict FAIL "self-test, $name: finds what has not been planted"
	fi
}

# self_test_kernel NAME KERNEL ARCH
self_test_kernel()
{
	local out status=0

	COPY=$WORK/$1
	mkdir "$COPY"
	rsync -rlt --exclude='/.*' --include='/*.[ch]' --include=/Kbuild \
		--exclude='*' "$TOP/" "$COPY/"
	plant_all
	out=$(build_copy "$COPY" "$2" "$3" 2>&1) || {
		printf '%s\n' "$out"
		verdict FAIL "self-test, $1: does not build"
		return
	}
	out=$(inspect "$COPY/chaos_alloc.o" "$3") || status=$?
	check_plants "$1" "$out"
	if [ "$status" -eq 1 ]; then
		verdict ok "self-test, $1: the check fails"
	else
		verdict FAIL "self-test, $1: exit status $status"
	fi
}

self_test()
{
	local kernel

	# shellcheck disable=SC2046  # a list of words
	need make libelf1 $(compiler_packages arm64) $(compiler_packages amd64)
	kernel=$("$TOP/tools/kernels.sh" stock)
	self_test_kernel arm64 "$kernel" arm64
	kernel=$("$TOP/tools/kernels.sh" headers "$SOURCE_SERIES" amd64)
	self_test_kernel amd64 "$kernel" amd64
}

# ------------------------------------------------------------------------------

main()
{
	need python3 rsync
	mkdir -p "$CACHE/tmp"
	WORK=$(mktemp -d "$CACHE/tmp/fastpath.XXXXXX")
	trap 'rm -rf "$WORK"' EXIT
	rules >"$WORK/rules"
	: >"$WORK/met"
	case ${1:-} in
	'') check ;;
	--self-test) self_test ;;
	*) die "unknown option '$1'" ;;
	esac
	tally
}

main "$@"; exit
