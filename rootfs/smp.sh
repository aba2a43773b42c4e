#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Runs the KUnit suites that want several CPUs (run-qemu.sh --smp 5).

. /chaos/lib.sh

fair_server_off
run_kunit smp "$(option suites '*')" chaos_smp_kunit
