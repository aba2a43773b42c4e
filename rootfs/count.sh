#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Counts instructions: for each allocator and hardening level, the module counts
# its own calls. tools/count.sh makes a table of what they log.

. /chaos/lib.sh

PARAMETER=/sys/module/chaos_alloc/parameters/hardening

status=0
for allocator in $(words "$(option allocators)"); do
	for level in 0 1 2; do
		log "chaos_guest: count with allocator=$allocator hardening=$level"
		if ! insmod /modules/chaos_alloc.ko allocator="$allocator" \
			hardening="$level"; then
			log "chaos_guest: chaos_alloc.ko does not load"
			status=1
			continue
		fi
		# A parameter that does not exist is not an error to the kernel.
		if [ "$(cat $PARAMETER)" != "$level" ]; then
			log "chaos_guest: the level is not $level"
			status=1
		elif insmod /modules/chaos_count.ko; then
			rmmod chaos_count || status=1
		else
			log "chaos_guest: chaos_count.ko could not run"
			status=1
		fi
		rmmod chaos_alloc || status=1
	done
done
exit $status
