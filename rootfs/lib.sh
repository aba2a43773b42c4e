# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What the scripts in the guest share. They speak through the kernel log, so
# that their lines and the kernel's are in order and in one place.

log()
{
	printf '<6>%s\n' "$*" >/dev/kmsg
}

# option NAME [DEFAULT]: the value of chaos.NAME= on the kernel command line
option()
{
	value=$(tr ' ' '\n' </proc/cmdline | sed -n "s/^chaos\.$1=//p" | tail -n 1)
	echo "${value:-$2}"
}

# words a,b,c: a b c
words()
{
	echo "$1" | tr ',' ' '
}

# each CASE: for each allocator, or for those of --allocator
each()
{
	for allocator in $(words "$(option allocators mimalloc,tlsf,evl)"); do
		echo "$1:$allocator"
	done
}

# log_mark prints a mark; log_since MARK what was logged after it.
log_mark()
{
	mark="chaos_guest: mark $(cut -d ' ' -f 1 /proc/uptime) $((marks += 1))"
	log "$mark"
	echo "$mark"
}

log_since()
{
	dmesg | sed "1,/$1\$/d"
}

# --- torture --------------------------------------------------------------------

watcher=
TORTURE_RESULT=/sys/module/chaos_torture/parameters/result

# torture_outcome: of a run, when it is over
torture_outcome()
{
	while [ "$(cat "$TORTURE_RESULT")" = running ]; do
		sleep 0.5
	done
	cat "$TORTURE_RESULT"
}

# Parameters of chaos_alloc.ko for the runs that follow
TORTURE_HEAPS=

# Called before it begins, when there is the module
TORTURE_BEFORE=true

# torture RESULT BEGUN ALLOCATOR PARAMETER...: whether it ends like that; BEGUN is called
# when it has begun
torture()
{
	wanted=$1
	begun=$2
	allocator=$3
	shift 3
	# shellcheck disable=SC2086  # a list of words
	insmod /modules/chaos_alloc.ko allocator="$allocator" pool_size=2M \
		max_size=16M $TORTURE_HEAPS || fail "chaos_alloc.ko does not load" || return
	ok=0
	$TORTURE_BEFORE
	if insmod /modules/chaos_torture.ko engine="$allocator" "$@"; then
		"$begun"
		got=$(torture_outcome)
		[ "$got" = "$wanted" ] || fail "$got" || ok=1
		rmmod chaos_torture || fail "rmmod chaos_torture failed" || ok=1
		# Who reads a file keeps the module.
		[ -z "$watcher" ] || wait "$watcher"
	else
		fail "chaos_torture.ko does not load" || ok=1
	fi
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return "$ok"
}

# --- a look inside --------------------------------------------------------------

HEAPS=/sys/kernel/debug/chaos_alloc
TRACING=/sys/kernel/tracing
TRACE_ALL=$TRACING/events/chaos_alloc/enable
[ -d "$TRACING/events" ] || mount -t tracefs tracefs "$TRACING" 2>/dev/null

# traced: how many events are in the trace
traced()
{
	cat "$TRACING"/per_cpu/cpu*/stats | awk '/^entries:/ { n += $2 } END { print n + 0 }'
}

# trace_all 0|1: no events, or all of ours
trace_all()
{
	[ ! -w "$TRACE_ALL" ] || echo "$1" >"$TRACE_ALL"
}

# watch_all: read all heaps' files, time their calls and trace them, on and off, until
# chaos_torture.ko goes. /tmp/watched gets a line for each file that could be read, its name,
# and "trace" whenever there were events.
watch_all()
{
	: >/tmp/watched
	while [ -d /sys/module/chaos_torture ]; do
		for on in 1 0; do
			trace_all "$on"
			for file in "$HEAPS"/*/*; do
				[ "${file##*/}" != latency ] || echo "$on" >"$file"
				cat "$file" >/dev/null && echo "${file##*/}" >>/tmp/watched
			done
			[ "$(traced)" -eq 0 ] || echo trace >>/tmp/watched
		done
	done 2>/dev/null &
	watcher=$!
}

# --- clients of chaos_kmalloc.ko ----------------------------------------------------

CLIENTS=/sys/module/chaos_kmalloc/parameters/clients

unload()
{
	rmmod "$1" || fail "rmmod $1 failed"
}

# on_heap MODULE ALLOCS: whether it has made so many allocations at least, from this engine
on_heap()
{
	line=$(grep "^$1 $engine " "$CLIENTS") || fail "$1 has no heap of $engine" || return
	allocs=${line#* allocs }
	[ "${allocs%% *}" -ge "$2" ] || fail "of $1: $line" || return
	log "# $line"
}

# with_clients ALLOCATOR COMMAND CLEAN: between loading chaos_kmalloc.ko for this engine and
# removing it, when nothing is left in any heap. CLEAN is called also after a failure, so
# that the next ones can begin.
with_clients()
{
	engine=$1
	mark=$(log_mark)
	insmod /modules/chaos_alloc.ko || fail "chaos_alloc.ko does not load" || return
	# As much as tests ask for at once that may not sleep, and so cannot grow a heap.
	insmod /modules/chaos_kmalloc.ko allocator="$engine" pool_size=8M ||
		fail "chaos_kmalloc.ko does not load" || return
	ok=0
	"$2" || ok=1
	"$3" 2>/dev/null
	unload chaos_kmalloc || ok=1
	unload chaos_alloc || ok=1
	said=$(log_since "$mark" | grep -E 'chaos_(kmalloc|alloc): ' |
		grep -vE ': (default heap|loading out-of-tree|module verification)')
	[ -z "$said" ] || fail "$said" || ok=1
	return "$ok"
}

# --- CPUs ---------------------------------------------------------------------

# Linux 6.12 counts the scheduler's fair server as a task: if the server runs
# while a CPU is switched off, the kernel warns that a task is left there. And it
# may warn of the server's bandwidth if the server runs while it is switched off,
# so another CPU does that.
fair_server_off()
{
	for file in /sys/kernel/debug/sched/fair_server/cpu*/runtime; do
		[ -w "$file" ] || continue
		other=0
		case $file in
		*/cpu0/*) other=1 ;;
		esac
		taskset -c "$other" sh -c "echo 0 >$file"
	done
}

# --- test suites ----------------------------------------------------------------

# run_kunit NAME SUITES MODULE [PARAMETER...]: the suites of a module, with chaos_alloc.ko
# loaded with these parameters, and what else the module NEEDS. tools/check.sh parses what is
# between the marks.
run_kunit()
{
	run_name=$1
	run_module=$3
	log "chaos_run: begin $run_name"
	printf '%s' "$2" >/sys/module/kunit/parameters/filter_glob
	shift 3
	run_status=0
	if insmod /modules/chaos_alloc.ko "$@"; then
		[ -z "$NEEDS" ] || insmod "/modules/$NEEDS.ko" || run_status=1
		insmod "/modules/$run_module.ko" && rmmod "$run_module" || run_status=1
		[ -z "$NEEDS" ] || rmmod "$NEEDS" || run_status=1
		rmmod chaos_alloc || run_status=1
	else
		run_status=1
	fi
	log "chaos_run: end $run_name"
	return $run_status
}

# fail TEXT: a reason, which KTAP wants before the line of the case
fail()
{
	log "    # $case_name: $*"
	return 1
}

# run_cases CASE...: each is a function, or FUNCTION:ARGUMENT
run_cases()
{
	number=0
	failed=0
	for spec in "$@"; do
		number=$((number + 1))
		function=${spec%%:*}
		argument=
		[ "$function" = "$spec" ] || argument=${spec#*:}
		case_name=$function${argument:+_$argument}
		if "$function" "$argument" 2>/dev/null; then
			log "    ok $number $case_name"
		else
			log "    not ok $number $case_name"
			failed=1
		fi
	done
	return $failed
}

# run_suite chaos_NAME CASES: as KTAP, if the command line's selection has it
run_suite()
{
	# shellcheck disable=SC2254  # the option is a pattern
	case $1 in
	$(option suites '*')) ;;
	*) return ;;
	esac
	# shellcheck disable=SC2086  # a list of words
	set -- "$1" $2
	suite=$1
	shift
	log "chaos_run: begin ${suite#chaos_}"
	log "KTAP version 1"
	log "1..1"
	log "    KTAP version 1"
	log "    # Subtest: $suite"
	log "    1..$#"
	if run_cases "$@"; then
		log "ok 1 $suite"
	else
		log "not ok 1 $suite"
		# For who does not read that, but how the guest ended.
		touch /tmp/suite_failed
	fi
	log "chaos_run: end ${suite#chaos_}"
}

# --- kmemleak -----------------------------------------------------------------

KMEMLEAK=/sys/kernel/debug/kmemleak

# What the kernel itself has leaked until now is none of ours.
leaks_looked_for()
{
	[ -w "$KMEMLEAK" ] && ! grep -q kmemleak=off /proc/cmdline
}

leaks_start()
{
	leaks_looked_for || return 0
	echo scan=off >"$KMEMLEAK"
	echo clear >"$KMEMLEAK"
}

# A block counts as leaked only when it is some seconds old and two scans have
# found no pointer to it.
leaks_scan()
{
	sleep 6
	echo scan >"$KMEMLEAK"
	sleep 1
	echo scan >"$KMEMLEAK"
}

leaks_report()
{
	leaks_looked_for || return 0
	leaks_scan
	[ -n "$(cat "$KMEMLEAK")" ] || return 0
	while read -r line; do
		log "kmemleak: $line"
	done <"$KMEMLEAK"
	return 1
}
