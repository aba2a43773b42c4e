#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Runs the benchmark module; tools/bench.sh makes a report of what it logs.
# The command line's chaos.bench= has parameters of the module, separated by
# semicolons; chaos.allocators= has the engines of the default heap, and chaos.load= more
# parameters of chaos_alloc.ko.

. /chaos/lib.sh

# Seconds in a row that have to be idle, and how long that may take to come
IDLE_SECONDS=3
IDLE_LIMIT=$(option idle_limit 120)

# Jiffies that the CPUs have not been idle, and all
cpu_times()
{
	awk '/^cpu / {
		for (i = 2; i <= 9; i++)
			all += $i
		print all - $5, all
	}' /proc/stat
}

# Work that boot has left to the background would be measured with ours.
wait_idle()
{
	idle=0
	waited=0
	# shellcheck disable=SC2046  # a list of words
	set -- $(cpu_times)
	while [ $idle -lt $IDLE_SECONDS ] && [ $waited -lt "$IDLE_LIMIT" ]; do
		sleep 1
		waited=$((waited + 1))
		# shellcheck disable=SC2046  # a list of words
		set -- $(cpu_times) "$@"
		if [ $((($1 - $3) * 50)) -le $(($2 - $4)) ]; then
			idle=$((idle + 1))
		else
			idle=0
		fi
		set -- "$1" "$2"
	done
	log "chaos_guest: idle after $waited seconds: $([ $idle -ge $IDLE_SECONDS ] && echo yes || echo no)"
}

wait_idle
status=0
parameters="trace=/trace.bin $(option bench | tr ';' ' ')"
load=$(option load | tr ';' ' ')
for allocator in $(words "$(option allocators)"); do
	log "chaos_guest: bench with allocator=$allocator"
	# shellcheck disable=SC2086  # a list of words
	if ! insmod /modules/chaos_alloc.ko allocator="$allocator" pool_size=48M $load; then
		log "chaos_guest: chaos_alloc.ko does not load"
		status=1
		continue
	fi
	# shellcheck disable=SC2086  # a list of words
	if insmod /modules/chaos_bench.ko $parameters; then
		rmmod chaos_bench || status=1
	else
		log "chaos_guest: chaos_bench.ko could not run"
		status=1
	fi
	rmmod chaos_alloc || status=1
	# All that the default heap does not change has been measured.
	case $parameters in
	*peers=*) ;;
	*) parameters="$parameters peers=kmalloc,default" ;;
	esac
done
exit $status
