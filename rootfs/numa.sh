#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Runs the KUnit suite of NUMA in a guest that has several nodes (run-qemu.sh
# --nodes). tools/check.sh parses what is between the marks.

. /chaos/lib.sh

GLOB=/sys/module/kunit/parameters/filter_glob
WORKERS=/sys/devices/virtual/workqueue/cpumask

if [ ! -d /sys/devices/system/node/node1 ]; then
	log "chaos_guest: the guest has one node only"
	exit 1
fi
# Workers that may run on the first node only, so that it is not the CPU of the
# worker that decides where memory is from.
cat /sys/devices/system/node/node0/cpumap >"$WORKERS" || exit 1
log "chaos_run: begin numa"
printf '%s' "$(option suites '*')" >"$GLOB"
insmod /modules/chaos_alloc.ko || exit 1
status=0
insmod /modules/chaos_numa_kunit.ko && rmmod chaos_numa_kunit || status=1
rmmod chaos_alloc || status=1
log "chaos_run: end numa"
exit $status
