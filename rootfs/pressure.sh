#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Does the shrinker free? A client has a heap that has grown, is empty, and would
# keep its memory for an hour. Then the kernel wants it: asked through the
# shrinkers' debugfs, and because files in a tmpfs take all there is. And what if there is
# not enough for a heap's reserve?

. /chaos/lib.sh

SUITE=chaos_pressure
STATS=/sys/module/chaos_pressure/parameters/stats
MIB=48
FILES=/tmp/pressure

# stat_of NAME: one of the heap's figures
stat_of()
{
	tr ' ' '\n' <"$STATS" | sed -n "s/^$1=//p"
}

free_kib()
{
	awk '/^MemFree:/ { print $2 }' /proc/meminfo
}

# All pools but the reserve have gone, and the heap is sound.
all_returned()
{
	[ "$(stat_of pools)" -eq 1 ] && [ "$(stat_of pool_bytes)" -eq 1048576 ] &&
		[ "$(stat_of returns)" -eq "$(stat_of grows)" ] &&
		[ "$(stat_of check)" -eq 0 ]
}

# with_client ALLOCATOR FUNCTION: in between, the client's heap has what it has
with_client()
{
	insmod /modules/chaos_alloc.ko || fail "insmod failed" || return
	ok=0
	if insmod /modules/chaos_pressure.ko allocator="$1" mib=$MIB; then
		if [ "$(stat_of pool_bytes)" -eq $((MIB << 20)) ]; then
			"$2" || ok=1
		else
			fail "the heap has not grown: $(cat $STATS)" || ok=1
		fi
		rmmod chaos_pressure || fail "rmmod chaos_pressure failed" || ok=1
	else
		fail "insmod chaos_pressure failed" || ok=1
	fi
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return $ok
}

# shrinker_of FILE: the debugfs file of the module's shrinker
shrinker_of()
{
	echo /sys/kernel/debug/shrinker/chaos_alloc-*/"$1"
}

# counted: pages that the shrinker offers, over all nodes
counted()
{
	awk '{ for (i = 2; i <= NF; i++) n += $i } END { print n + 0 }' \
		"$(shrinker_of count)"
}

# wait_for NUMBER COMMAND: until it prints no less, ten seconds at most
wait_for()
{
	tries=0
	while [ "$("$2")" -lt "$1" ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || return
		sleep 0.1
	done
}

# A pool goes as a whole, so one page is enough to ask for; then all of the rest.
ask_shrinker()
{
	want=$(((MIB - 1) * 1048576 / $(stat_of page_size)))
	wait_for $want counted || fail "$(counted) pages offered, not $want" || return
	[ "$(stat_of returns)" -eq 0 ] ||
		fail "returned without need: $(cat $STATS)" || return
	before=$(free_kib)
	for node in /sys/devices/system/node/node[0-9]*; do
		echo "0 ${node##*node} 1" >"$(shrinker_of scan)"
	done
	[ "$(stat_of returns)" -ge 1 ] || fail "asking for a page freed none" || return
	[ "$(stat_of pools)" -gt 1 ] || fail "asking for a page freed all" || return
	for node in /sys/devices/system/node/node[0-9]*; do
		echo "0 ${node##*node} $want" >"$(shrinker_of scan)"
	done
	all_returned || fail "left: $(cat $STATS)" || return
	# Not before a grace period is over
	wait_for $((before + (MIB - 1) * 1024 * 9 / 10)) free_kib ||
		fail "$(free_kib) KiB are free, $before were before"
}

by_debugfs()
{
	with_client "$1" ask_shrinker
}

# fill_until_returned: 2 MiB of files at a time. There is no swap: nothing else
# can give so much. Fails if dd gets no memory, be it that it is killed for it.
fill_until_returned()
{
	n=0
	until all_returned; do
		n=$((n + 1))
		dd if=/dev/zero of=$FILES/$n bs=1M count=2 ||
			fail "no memory for file $n: $(cat $STATS)" || return
	done
}

squeeze()
{
	wait_for 1 counted || fail "nothing is offered" || return
	sleep 1
	[ "$(stat_of returns)" -eq 0 ] ||
		fail "returned without need: $(cat $STATS)" || return
	mkdir -p $FILES
	mount -t tmpfs -o size=100% tmpfs $FILES || fail "no tmpfs" || return
	squeezed=0
	fill_until_returned || squeezed=1
	umount $FILES
	return $squeezed
}

by_pressure()
{
	with_client "$1" squeeze
}

# keep_free MIB: files take the rest
keep_free()
{
	n=0
	while [ "$(free_kib)" -gt $(($1 << 10)) ]; do
		n=$((n + 1))
		dd if=/dev/zero of=$FILES/$n bs=1M count=2 || fail "no memory for file $n" || return
	done
}

refused()
{
	keep_free 100 || return
	mark=$(log_mark)
	! insmod /modules/chaos_alloc.ko pool_size=150M 2>/dev/null ||
		fail "it is loaded" || return
	log_since "$mark" | grep -Eq 'no default heap: (-ENOMEM|-12) ' || fail "it does not say why" || return
	! log_since "$mark" | grep -E 'oom-killer|Out of memory' || fail "somebody was killed"
}

# A heap with a larger reserve than there is memory is refused, and nobody pays for it.
too_large()
{
	mkdir -p $FILES
	mount -t tmpfs -o size=100% tmpfs $FILES || fail "no tmpfs" || return
	ok=0
	refused || ok=1
	[ ! -e /sys/module/chaos_alloc ] || rmmod chaos_alloc
	umount $FILES
	return $ok
}

run_suite "$SUITE" "too_large by_debugfs:mimalloc by_debugfs:tlsf by_debugfs:evl
	by_pressure:mimalloc by_pressure:tlsf by_pressure:evl"
