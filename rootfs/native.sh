#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Times loops of calls, with the first of chaos.allocators= as default heap;
# tools/native.sh makes a table of what the module logs. chaos.native= are parameters
# of the module, separated by semicolons.

. /chaos/lib.sh

allocator=$(words "$(option allocators mimalloc)" | cut -d ' ' -f 1)
status=0
log "chaos_guest: native with allocator=$allocator"
insmod /modules/chaos_alloc.ko allocator="$allocator" pool_size=64M || exit 1
# shellcheck disable=SC2046  # a list of words
if insmod /modules/chaos_native.ko $(option native | tr ';' ' '); then
	rmmod chaos_native || status=1
else
	log "chaos_guest: chaos_native.ko could not run"
	status=1
fi
rmmod chaos_alloc || status=1
exit $status
