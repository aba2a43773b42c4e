#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2317  # run_suite calls the cases
#
# Fault injection: the attribute's files; loading the module while each of its
# allocations fails in turn; the suite chaos_fault again while the kernel's own
# allocators may fail as well; and the torture test while a part of everything fails.
# For kernels with CONFIG_FAULT_INJECTION.

. /chaos/lib.sh

ATTRIBUTE=/sys/kernel/debug/fail_chaos_alloc
OURS='ignore-gfp-wait meta percpu pool request setup worker'
KERNELS='probability interval times space verbose task-filter'

# attribute FILE VALUE
attribute()
{
	echo "$2" >"$ATTRIBUTE/$1"
}

# arm PERCENT: everything, even for those who may wait
arm()
{
	attribute verbose 0
	attribute ignore-gfp-wait N
	attribute times -1
	attribute probability "$1"
}

# --- the files ------------------------------------------------------------------

# Each is there, for root alone, and goes with the module.
files()
{
	insmod /modules/chaos_alloc.ko || fail "chaos_alloc.ko does not load" || return
	for file in $OURS $KERNELS; do
		mode=$(stat -c %a%u "$ATTRIBUTE/$file")
		[ "$mode" = 6000 ] || fail "$file has mode and owner $mode" || return
	done
	[ "$(cat "$ATTRIBUTE/probability")" = 0 ] || fail "it is on at first" || return
	rmmod chaos_alloc || fail "rmmod failed" || return
	[ ! -e "$ATTRIBUTE" ] || fail "it outlives the module"
}

# refused: a client, with a line in the log; and not when told to do without
refused()
{
	arm 100
	attribute verbose 1
	mark=$(log_mark)
	if insmod /modules/chaos_sample.ko; then
		rmmod chaos_sample
		fail "nothing was refused"
		return
	fi
	log_since "$mark" | grep -q 'name fail_chaos_alloc' || fail "no line" || return
	for file in request setup pool percpu meta; do
		attribute "$file" N
	done
	insmod /modules/chaos_sample.ko || fail "still refused" || return
	rmmod chaos_sample || fail "rmmod chaos_sample failed"
}

client()
{
	insmod /modules/chaos_alloc.ko || fail "chaos_alloc.ko does not load" || return
	ok=0
	refused || ok=1
	# Without memory for a walk, kmemleak is told of each address: a minute.
	[ "$ok" -eq 0 ] || attribute probability 0
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return "$ok"
}

# From the module's first moment on
parameter()
{
	for value in 1,100,0,-1 nonsense; do
		insmod /modules/chaos_alloc.ko fail_chaos_alloc="$value" || continue
		rmmod chaos_alloc
		fail "it loads with $value"
		return
	done
	insmod /modules/chaos_alloc.ko fail_chaos_alloc=1,0,0,-1 && rmmod chaos_alloc
}

# The n-th point of a single task, up to the first that is ours. Where the module does without what
# is refused, or busybox tries again, it is loaded all the same.
nth_point()
{
	n=0
	mark=$(log_mark)
	log "chaos_provoke: expect 1: name fail_chaos_alloc"
	until log_since "$mark" | grep -q '\] name fail_chaos_alloc'; do
		n=$((n + 1))
		[ "$n" -lt 30 ] || break
		sh -c "echo $n >/proc/self/fail-nth; exec insmod /modules/chaos_alloc.ko"
		[ ! -e /sys/module/chaos_alloc ] || rmmod chaos_alloc || break
	done
	log "chaos_provoke: expect end"
	[ ! -e /sys/module/chaos_alloc ] || fail "rmmod failed" || return
	[ "$n" -lt 30 ] || fail "none was ours" || return
	log "    # nth_point: $n"
}

# --- sweeps ---------------------------------------------------------------------

# load ALLOCATOR: while the first, the second, ... of its allocations fails, until there
# is nothing left that could
load()
{
	nth=1
	while ! insmod /modules/chaos_alloc.ko allocator="$1" pool_size=64K \
		fail_chaos_alloc="$nth,100,0,1"; do
		[ ! -e /sys/module/chaos_alloc ] || fail "half of it is loaded" || return
		nth=$((nth + 1))
		[ "$nth" -lt 200 ] || fail "no end" || return
	done
	[ "$(cat "$ATTRIBUTE/times")" = 1 ] || fail "loaded in spite of a fault" || return
	rmmod chaos_alloc || fail "rmmod failed" || return
	log "    # load_$1: $((nth - 1)) points"
	[ "$nth" -gt 8 ] || fail "too few points"
}

# The kernel's allocators, for all requests; silently
kernel_too()
{
	for dir in /sys/kernel/debug/failslab /sys/kernel/debug/fail_page_alloc; do
		echo 0 >$dir/verbose
		echo "$1" >$dir/ignore-gfp-wait
	done
	echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
	echo "$1" >/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem
}

# --- all at once ------------------------------------------------------------------

# Somebody looks on, and finds half of it missing.
one_in_ten()
{
	sleep 1
	arm 10
	watch_all
}

# faulty ALLOCATOR: the torture test, while one in ten of everything that can fail does
faulty()
{
	torture success one_in_ten "$1" seconds=10 onoff=0 pressure=0
}

failed=0
run_suite chaos_injection "files client parameter nth_point $(each load) $(each faulty)"
status=$failed
# shellcheck disable=SC2194,SC2254  # the word is constant, the pattern is not
case chaos_fault in
$(option suites '*'))
	kernel_too N
	run_kunit faults 'chaos_fault.sweep_*' chaos_kunit allocator=mimalloc || status=1
	kernel_too Y
	;;
esac
exit "$status"
