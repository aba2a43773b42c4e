#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2317  # run_suite calls the cases
#
# chaostop and the files that it reads, as a KTAP suite of its own.

. /chaos/lib.sh

SUITE=chaos_top
HEAPS=/sys/kernel/debug/chaos_alloc

# Two heaps that nobody uses any more: the default one, with blocks, and one that a client
# has left.
heaps()
{
	insmod /modules/chaos_alloc.ko allocator="$1" || return
	insmod /modules/chaos_sample.ko leak=1 && rmmod chaos_sample && return
	rmmod chaos_alloc
	return 1
}

# row DIR: what chaostop is to say of it
row()
{
	awk '{ v[$1] = $2 }
	END {
		print v["name"], v["allocator"], v["live_blocks"], v["live_bytes"],
			v["pool_bytes"], v["peak_held_bytes"], v["max_bytes"], v["pools"],
			"-", "-", v["failures"]
	}' "$1/stats"
}

# rows ALLOCATOR: the list has the numbers that the heaps' files have
rows()
{
	heaps "$1" || fail "no heaps" || return
	ok=0
	n=0
	chaostop --once --bytes >/tmp/list || fail "chaostop failed" || ok=1
	for dir in "$HEAPS"/*; do
		n=$((n + 1))
		row "$dir" >/tmp/row
		awk '{ NF = 11; print }' /tmp/list | grep -qxFf /tmp/row ||
			fail "no row $(cat /tmp/row)" || ok=1
	done
	[ "$n" -eq 2 ] || fail "$n heaps" || ok=1
	[ "$(wc -l </tmp/list)" -eq $((n + 3)) ] || fail "too many rows" || ok=1
	grep -q "^default .* 3 " /tmp/list || fail "no 3 blocks" || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return "$ok"
}

# pools ALLOCATOR: a heap's page has a map of each pool, of lines that are all understood
pools()
{
	heaps "$1" || fail "no heaps" || return
	ok=0
	for dir in "$HEAPS"/*; do
		chaostop --once --bytes "${dir##*/}" >/tmp/page ||
			fail "chaostop failed" || ok=1
		wanted=$(awk '$1 == "pools" { print $2 }' "$dir/stats")
		got=$(grep -Ec '^Pool [0-9]+: [0-9]+, each cell [0-9]+$' /tmp/page)
		[ "$got" -eq "$wanted" ] || fail "$got maps of $wanted pools" || ok=1
		! grep 'not understood' /tmp/page || fail "not understood" || ok=1
		grep -q 'Size classes' /tmp/page || fail "no size classes" || ok=1
	done
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return "$ok"
}

# says WORDS: chaostop fails with these
says()
{
	! chaostop --once >/tmp/out 2>&1 || fail "chaostop did not fail" || return
	grep -q "$1" /tmp/out || fail "$(cat /tmp/out)"
}

without_module()
{
	says 'is not loaded'
}

without_debugfs()
{
	insmod /modules/chaos_alloc.ko || fail "insmod failed" || return
	ok=0
	umount /sys/kernel/debug || fail "umount failed" || ok=1
	says 'debugfs mounted' || ok=1
	mount -t debugfs debugfs /sys/kernel/debug || fail "mount failed" || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return "$ok"
}

run_suite "$SUITE" "$(each rows) $(each pools) without_module without_debugfs"
