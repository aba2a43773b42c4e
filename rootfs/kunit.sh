#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Runs the KUnit suites. The suites choose their engines themselves, except for
# those of the API, which test the default heap: they run again with the module
# loaded for each of the other allocators. Each run stands between two
# marks in the log; tools/check.sh parses what is between them.

. /chaos/lib.sh

GLOB=/sys/module/kunit/parameters/filter_glob

# run ALLOCATOR SUITES
run()
{
	log "chaos_run: begin $1"
	printf '%s' "$2" >"$GLOB"
	if insmod /modules/chaos_alloc.ko allocator="$1"; then
		insmod /modules/chaos_kunit.ko && rmmod chaos_kunit
		rmmod chaos_alloc
	fi
	log "chaos_run: end $1"
}

suites=$(option suites '*')
run mimalloc "$suites"
# shellcheck disable=SC2194,SC2254  # the word is constant, the pattern is not
case chaos_api in
${suites%%.*})
	case $suites in
	*.*) tests=.${suites#*.} ;;
	*) tests= ;;
	esac
	for allocator in tlsf evl; do
		run "$allocator" "chaos_api$tests"
	done
	;;
esac
