#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2317  # run_suite calls the cases
#
# Allocates and frees where PREEMPT_RT forbids kmalloc(), from each engine. With
# chaos.kmalloc=1, then calls kmalloc() in each of the same places: there a kernel whose
# checks are on has to report it. What is to be reported is announced in the log, and
# tools/expected.awk accepts just that.
#
# To be run last: after a report, lockdep is off.

. /chaos/lib.sh

SUITE=chaos_rt
PLACES='preemption-off interrupts-off raw-spinlock raw-spinlock-irq hard-interrupt'

# has OPTION: of the kernel
has()
{
	zcat /proc/config.gz 2>/dev/null | grep -q "^CONFIG_$1=y"
}

# lockdep_works: if the kernel has it, no report has switched it off
lockdep_works()
{
	! has PROVE_LOCKING || grep -Eq 'debug_locks: +1' /proc/lockdep_stats ||
		fail "lockdep is off"
}

# run PARAMETER...: chaos_rt.ko does all when it is loaded
run()
{
	insmod /modules/chaos_rt.ko "$@" || fail "chaos_rt.ko found a fault" || return
	rmmod chaos_rt || fail "rmmod chaos_rt failed"
}

# silent: a report would fail the run by itself
silent()
{
	insmod /modules/chaos_alloc.ko || fail "chaos_alloc.ko does not load" || return
	ok=0
	lockdep_works || ok=1
	run || ok=1
	lockdep_works || ok=1
	rmmod chaos_alloc || fail "rmmod chaos_alloc failed" || ok=1
	return "$ok"
}

# reports PLACE: on PREEMPT_RT, that kmalloc() would sleep; and lockdep, once, that its
# locks are not raw, to which it knows a raw spinlock as the reason
reports()
{
	reports=0
	if has PREEMPT_RT && has DEBUG_ATOMIC_SLEEP; then
		reports=1
	fi
	if [ "$1" = raw-spinlock ] && has PROVE_RAW_LOCK_NESTING; then
		reports=$((reports + 1))
	fi
	echo "$reports"
}

# kmalloc PLACE
kmalloc()
{
	insmod /modules/chaos_alloc.ko || fail "chaos_alloc.ko does not load" || return
	ok=0
	mark=$(log_mark)
	log "chaos_provoke: expect $(reports "$1"): BUG: "
	run demo_kmalloc=1 place="$1" || ok=1
	log "chaos_provoke: expect end"
	log_since "$mark" | grep -Eq "kmalloc place=$1 end blocks=[1-9]" ||
		fail "kmalloc() gave no block there" || ok=1
	log_since "$mark" | grep -q 'rt_work_kmalloc+' ||
		fail "no report names rt_work_kmalloc()" || ok=1
	rmmod chaos_alloc || fail "rmmod chaos_alloc failed" || ok=1
	return "$ok"
}

# Those places where this kernel's checks are to report kmalloc()
cases()
{
	echo silent
	[ "$(option kmalloc 0)" -ne 0 ] || return
	for place in $PLACES; do
		[ "$(reports "$place")" -eq 0 ] || echo "kmalloc:$place"
	done
}

failed=0
run_suite "$SUITE" "$(cases)"
exit "$failed"
