#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2317  # run_suite calls the cases
#
# chaos_kmalloc.ko on kernels whose functions can be patched: what it does not take as a
# parameter; and chaos_caught.ko, of whose heap the kernel frees blocks, on each engine.

. /chaos/lib.sh

SUITE=chaos_caught
CGROUP=/tmp/cgroup

# refuses REGEX PARAMETER...: chaos_kmalloc.ko does not load, and says why
refuses()
{
	regex=$1
	shift
	insmod /modules/chaos_alloc.ko || fail "chaos_alloc.ko does not load" || return
	mark=$(log_mark)
	ok=0
	if insmod /modules/chaos_kmalloc.ko "$@"; then
		fail "insmod took $*"
		ok=1
		rmmod chaos_kmalloc
	fi
	log_since "$mark" | grep -Eq "chaos_kmalloc: $regex" || fail "no line says $regex" || ok=1
	unload chaos_alloc || ok=1
	return "$ok"
}

refuses_pool_size()
{
	refuses 'pool_size=[0-9]+ is out of range: .*[0-9].* are valid' "pool_size=$1"
}

refuses_max_size()
{
	refuses 'max_size=[0-9]+ is out of range: .*[0-9].* is valid' "max_size=$1"
}

refuses_allocator()
{
	refuses 'allocator=foo is unknown: mimalloc, tlsf and evl are valid' "allocator=$1"
}

# in_cgroup COMMAND...: in a memory cgroup other than the root's, where memory is charged
in_cgroup()
{
	sh -c 'echo $$ >'"$CGROUP"'/caught/cgroup.procs && exec "$@"' in_cgroup "$@"
}

make_cgroup()
{
	mkdir -p "$CGROUP"
	mount -t cgroup2 none "$CGROUP" || fail "no cgroups" || return
	echo +memory >"$CGROUP/cgroup.subtree_control" || fail "no memory cgroups" || return
	mkdir "$CGROUP/caught"
}

remove_cgroup()
{
	rmdir "$CGROUP/caught" && umount "$CGROUP"
}

test_caught()
{
	# A switch of the whole kernel, which would end it.
	! echo 0 2>/dev/null >/proc/sys/kernel/ftrace_enabled || fail "ftrace was switched off" ||
		return
	make_cgroup || return
	in_cgroup insmod /modules/chaos_caught.ko || fail "chaos_caught.ko says no" || return
	on_heap chaos_caught 10 || return
	unload chaos_caught
}

clean()
{
	echo 0 >"$TRACE_ALL"
	rmmod chaos_caught
	remove_cgroup
}

caught()
{
	with_clients "$1" test_caught clean
}

# test_seen: whoever asks for a block is who chaos_caught.ko's trace names
test_seen()
{
	make_cgroup || return
	echo >"$TRACING/trace"
	echo 1 >"$TRACE_ALL" || fail "no events" || return
	in_cgroup insmod /modules/chaos_caught.ko || fail "chaos_caught.ko says no" || return
	echo 0 >"$TRACE_ALL"
	grep ' alloc: call_site=.* heap=chaos_caught$' "$TRACING/trace" >/tmp/trace
	[ "$(grep -Fc '[chaos_caught]' /tmp/trace)" -ge 10 ] || fail "$(head -n 3 /tmp/trace)" ||
		return
	others=$(grep -F '[chaos_kmalloc]' /tmp/trace | head -n 3)
	[ -z "$others" ] || fail "$others" || return
	unload chaos_caught
}

seen()
{
	with_clients "$1" test_seen clean
}

CASES="refuses_pool_size:1K refuses_pool_size:1T refuses_max_size:8E refuses_allocator:foo"
run_suite "$SUITE" "$CASES $(each caught) seen:tlsf"
