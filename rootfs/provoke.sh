#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Do KASAN and kmemleak report the mistakes of a client, and nothing else? Each
# case of chaos_provoke.ko for each engine and each level of hardening. What is to
# be reported is announced in the log, and tools/expected.awk accepts just that.
#
# To be run last: after a report, lockdep is off.

. /chaos/lib.sh

RUN=/sys/module/chaos_provoke/parameters/run
ENGINES='mimalloc tlsf evl'
LEVELS='0 1 2'

# --- KASAN --------------------------------------------------------------------

# load ENGINE LEVEL: the modules, if they are not there like that
load()
{
	[ "$loaded" != "$1 $2" ] || return 0
	unload
	if ! insmod /modules/chaos_alloc.ko allocator="$1" ||
		! insmod /modules/chaos_provoke.ko hardening="$2"; then
		fail "the modules do not load"
		return
	fi
	loaded="$1 $2"
}

unload()
{
	[ "$loaded" ] || return 0
	loaded=
	rmmod chaos_provoke
	rmmod chaos_alloc
}

# kasan CASE:ENGINE:LEVEL: the module itself counts the reports
kasan()
{
	case=${1%%:*}
	level=${1##*:}
	engine=${1#*:}
	engine=${engine%:*}
	load "$engine" "$level" || return
	echo "$case $engine" >$RUN || fail "see what chaos_provoke says"
}

kasan_cases()
{
	load mimalloc 0 || return
	cases=$(cat $RUN)
	unload
	for engine in $ENGINES; do
		for level in $LEVELS; do
			for case in $cases; do
				echo "kasan:$case:$engine:$level"
			done
		done
	done
}

# --- kmemleak -----------------------------------------------------------------

# From each engine a block, and an object that only a freed block knows
LEAKS=6

leaks_found()
{
	grep -c '^unreferenced object' /tmp/leaks
}

# leak_once: all engines at once, because kmemleak takes its time
leak_once()
{
	for engine in $ENGINES; do
		echo "leak $engine" >$RUN || fail "$engine: it went wrong by itself" ||
			return
	done
	leaks_scan
	cat "$KMEMLEAK" >/tmp/leaks
	for engine in $ENGINES; do
		echo "unleak $engine" >$RUN || fail "$engine: cannot be undone" ||
			return
	done
}

# leak: again if there are less than there should be, since an interrupt may have saved a
# register with a pointer where kmemleak looks; but not if there are more.
leak()
{
	load mimalloc 1 || return
	log "chaos_provoke: expect up to 3: kmemleak: * new suspected"
	for turn in 1 2 3; do
		leak_once || return
		[ "$(leaks_found)" -lt "$LEAKS" ] || break
		log "# turn $turn: $(leaks_found) leaks found"
	done
	log "chaos_provoke: expect end"
	unload
}

# leaks FUNCTION:COUNT: in the stacks of so many allocations that were leaked
leaks()
{
	count=$(awk -v fn=" provoke_${1%:*}+" '
		/^unreferenced object/ { n += hit; hit = 0 }
		index($0, fn) { hit = 1 }
		END { print n + hit }' /tmp/leaks)
	[ "$count" -eq "${1#*:}" ] || fail "$count leaks, not ${1#*:}"
}

# leaks_total: and no others
leaks_total()
{
	count=$(leaks_found)
	[ "$count" -ne "$LEAKS" ] || return 0
	while read -r line; do
		log "    # $line"
	done </tmp/leaks
	fail "$count leaks, not $LEAKS"
}

if [ ! -e /modules/chaos_provoke.ko ] || [ ! -w "$KMEMLEAK" ] ||
	! grep -qw kasan_multi_shot /proc/cmdline; then
	log "chaos_guest: provoke needs KASAN, kmemleak and kasan_multi_shot"
	exit 1
fi

loaded=
run_suite chaos_provoke "$(kasan_cases) leak leaks:leak_dropped:3
	leaks:leak_hidden:3 leaks:leak_freed:0 leaks:leak_chain:0
	leaks:leak_child:0 leaks_total"
unload
