#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2317  # run_suite calls the cases
#
# Tortures each of the allocators with chaos_torture.ko, while the kernel's caches
# are dropped now and then, which calls the shrinkers.
#
# On the kernel command line:
#   chaos.torture=NAME=VALUE,...  parameters of the module
#   chaos.mistakes=NAME,...       then have a client make these mistakes: the module
#                                 has to find each, with any allocator
#   chaos.torture_runs=0          these alone

. /chaos/lib.sh

SUITE=chaos_torture
CACHES=/proc/sys/vm/drop_caches

# shrink: until killed; 4 is not to log it
shrink()
{
	echo 4 >$CACHES
	while sleep 2; do
		echo 2 >$CACHES
	done
}

run()
{
	# shellcheck disable=SC2046  # a list of words
	torture success true "$1" $(words "$(option torture)")
}

# finds MISTAKE:ALLOCATOR
finds()
{
	mark=$(log_mark)
	torture failure true "${1#*:}" bug="${1%:*}" seconds=6 onoff=0 pressure=0 || return
	log_since "$mark" | grep -q 'chaos_torture: FAILURE .* mistakes=[1-9]' ||
		fail "no verdict, or no mistake"
}

cases()
{
	if [ "$(option torture_runs 1)" -ne 0 ]; then
		each run
	fi
	for mistake in $(words "$(option mistakes)"); do
		each "finds:$mistake"
	done
}

fair_server_off
shrink &
shrinker=$!
failed=0
run_suite "$SUITE" "$(cases)"
kill $shrinker
exit "$failed"
