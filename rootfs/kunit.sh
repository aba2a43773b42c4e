#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Runs the KUnit suites. The suites choose their engines themselves, except for
# those of the API, which test the default heap: they run again with the module
# loaded for each of the other allocators.

. /chaos/lib.sh

# run ALLOCATOR SUITES
run()
{
	run_kunit "$1" "$2" chaos_kunit allocator="$1" || status=1
}

status=0
suites=$(option suites '*')
run mimalloc "$suites"
# shellcheck disable=SC2194,SC2254  # the word is constant, the pattern is not
case chaos_dropin in
${suites%%.*})
	NEEDS=chaos_kmalloc run_kunit dropin "$suites" chaos_dropin_kunit || status=1
	;;
esac
# shellcheck disable=SC2194,SC2254  # as above
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
exit "$status"
