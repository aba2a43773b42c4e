#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Switches CPUs off and on while suites that know nothing of it run: heaps that
# several threads use, and heaps that come and go. (The suite chaos_hotplug
# does so from within.) tools/check.sh parses what is between the marks.

. /chaos/lib.sh

GLOB=/sys/module/kunit/parameters/filter_glob
SUITE=chaos_hotplug
ENOUGH=/tmp/enough
SWITCHED=/tmp/switched

# bring_back CPU: the machine may be late to take note that it has gone
bring_back()
{
	tries=0
	until echo 1 >"$1/online"; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || return
		sleep 0.1
	done
}

# switch_cpus: until told to stop; notes each time that a CPU has been away
switch_cpus()
{
	while [ ! -e $ENOUGH ]; do
		for cpu in /sys/devices/system/cpu/cpu[1-9]*; do
			echo 0 >"$cpu/online" || exit 1
			[ "$(cat "$cpu/online")" -eq 0 ] || exit 1
			sleep 0.02
			bring_back "$cpu" || exit 1
			sleep 0.02
			echo "${cpu##*/}" >>$SWITCHED
		done
	done
}

# Part of a run of everything, or asked for by its name
# shellcheck disable=SC2254  # the option is a pattern
case $SUITE in
$(option suites '*')) ;;
*) exit 0 ;;
esac

if [ ! -e /sys/devices/system/cpu/cpu1/online ]; then
	log "chaos_guest: no CPU can be switched off"
	exit 1
fi
fair_server_off
insmod /modules/chaos_alloc.ko || exit 1
: >$SWITCHED
status=0
switch_cpus &
switcher=$!
log "chaos_run: begin hotplug"
printf '%s' 'chaos_heaps*' >"$GLOB"
insmod /modules/chaos_kunit.ko && rmmod chaos_kunit || status=1
log "chaos_run: end hotplug"
: >$ENOUGH
if ! wait $switcher; then
	log "chaos_guest: a CPU could not be switched off or on"
	status=1
fi
log "chaos_guest: $(wc -l <$SWITCHED) times, a CPU was away"
# Each of them, more than once
for cpu in /sys/devices/system/cpu/cpu[1-9]*; do
	[ "$(grep -c "^${cpu##*/}\$" $SWITCHED)" -ge 2 ] || status=1
done
rmmod chaos_alloc || status=1
exit $status
