#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Replays the trace through each allocator and stops at the same moments for each, chaos.moments=
# of them, to copy what debugfs says about the heap. All copies are in the log in the end,
# as an archive; tools/pictures.sh makes pictures of them.

. /chaos/lib.sh

HEAPS=/sys/kernel/debug/chaos_alloc
REPLAY=/sys/module/chaos_replay/parameters
COPIES=/tmp/maps
MOMENTS=$(option moments 16)

# The number of events is the second word of the trace's header behind the magic.
EVENTS=$(od -A n -t u4 -j 12 -N 4 /trace.bin | tr -d ' ')

# reach POSITION: have the replay run up to there, and no further
reach()
{
	echo "$1" >$REPLAY/pause
	while [ "$(cat $REPLAY/position)" -lt "$1" ]; do
		sleep 0.1
		kill -0 "$insmod" || return
	done
}

# copy DIR EVENTS: the default heap, as it is now that so many events have been replayed
copy()
{
	mkdir -p "$1"
	for file in stats classes map; do
		cat "$HEAPS"/default-*/$file >"$1/$file" || return
	done
	awk -v events="$2" '
		$1 ~ /^(allocs|local_frees|foreign_frees)$/ { sum += $2 }
		END { exit sum != events }' "$1/stats" && return
	log "chaos_guest: the heap has not seen just $2 events"
	return 1
}

moments()
{
	while [ ! -e $REPLAY/position ]; do
		kill -0 "$insmod" || return
		sleep 0.1
	done
	n=0
	while [ $((n += 1)) -le "$MOMENTS" ]; do
		at=$((n * (EVENTS - 1) / MOMENTS))
		reach $at && copy "$COPIES/$1/$(printf '%08d' $at)" $at || return
		log "chaos_guest: $1: copied at event $at"
	done
	echo 0 >$REPLAY/pause
}

# replay ALLOCATOR
replay()
{
	# Several pools that come, and go, and not one that is as large as all others
	insmod /modules/chaos_alloc.ko allocator="$1" growth_step=4M || return
	insmod /modules/chaos_replay.ko trace=/trace.bin pause=1 &
	insmod=$!
	moments "$1" || replay_status=1
	wait "$insmod" || replay_status=1
	rmmod chaos_replay && rmmod chaos_alloc || replay_status=1
}

replay_status=0
for allocator in $(words "$(option allocators)"); do
	replay "$allocator" || replay_status=1
done
log "chaos_map: begin"
# A line of the log may be longer than one of base64, but not much more than this.
tar -C $COPIES -cz . | base64 | tr -d '\n' | fold -w 800 | while read -r line || [ -n "$line" ]; do
	log "chaos_map: $line"
done
log "chaos_map: end"
exit $replay_status
