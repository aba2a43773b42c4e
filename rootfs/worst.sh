#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Counts what single calls cost at worst: chaos_worst.ko makes its own heaps.
# The option chaos.worst= has parameters for it, separated by commas.

. /chaos/lib.sh

status=0
insmod /modules/chaos_alloc.ko || status=1
# shellcheck disable=SC2046  # a list of words
insmod /modules/chaos_worst.ko $(words "$(option worst)") || status=1
rmmod chaos_worst || status=1
rmmod chaos_alloc || status=1
exit $status
