#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Runs the KUnit suite of NUMA in a guest that has several nodes (run-qemu.sh
# --nodes).

. /chaos/lib.sh

WORKERS=/sys/devices/virtual/workqueue/cpumask

if [ ! -d /sys/devices/system/node/node1 ]; then
	log "chaos_guest: the guest has one node only"
	exit 1
fi
# Workers that may run on the first node only, so that it is not the CPU of the
# worker that decides where memory is from.
cat /sys/devices/system/node/node0/cpumap >"$WORKERS" || exit 1
run_kunit numa "$(option suites '*')" chaos_numa_kunit
