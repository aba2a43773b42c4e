#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# The main job: for each allocator, a client module replays the trace through
# the API that chaos_alloc exports. Its result is one line of the kernel log.

. /chaos/lib.sh

status=0
for allocator in $(words "$(option allocators)"); do
	log "chaos_guest: replay with allocator=$allocator"
	if ! insmod /modules/chaos_alloc.ko allocator="$allocator" max_size=256M; then
		log "chaos_guest: chaos_alloc.ko does not load"
		status=1
		continue
	fi
	if insmod /modules/chaos_replay.ko trace=/trace.bin; then
		rmmod chaos_replay || status=1
	else
		log "chaos_guest: chaos_replay.ko could not run"
		status=1
	fi
	rmmod chaos_alloc || status=1
done
exit $status
