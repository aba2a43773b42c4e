#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Runs the KUnit suites that want several CPUs (run-qemu.sh --smp 5).
# tools/check.sh parses what is between the marks.

. /chaos/lib.sh

GLOB=/sys/module/kunit/parameters/filter_glob

fair_server_off
log "chaos_run: begin smp"
printf '%s' "$(option suites '*')" >"$GLOB"
insmod /modules/chaos_alloc.ko || exit 1
status=0
insmod /modules/chaos_smp_kunit.ko && rmmod chaos_smp_kunit || status=1
rmmod chaos_alloc || status=1
log "chaos_run: end smp"
exit $status
