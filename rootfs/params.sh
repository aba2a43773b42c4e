#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# What a user of insmod sees, as a KTAP suite of its own: parameters, messages,
# loading, unloading.

. /chaos/lib.sh

SUITE=chaos_insmod
PARAMETERS=/sys/module/chaos_alloc/parameters

loaded()
{
	[ -d /sys/module/chaos_alloc ]
}

load()
{
	insmod /modules/chaos_alloc.ko "$@"
}

# says MARK REGEX: chaos_alloc has logged this since
says()
{
	log_since "$1" | grep 'chaos_alloc: ' | grep -Eq "$2" ||
		fail "no line of chaos_alloc matches $2"
}

# refuses REGEX ARGUMENT...: insmod fails, says why, and leaves nothing behind
refuses()
{
	regex=$1
	shift
	mark=$(log_mark)
	if load "$@"; then
		rmmod chaos_alloc
		fail "insmod took $*"
		return
	fi
	if loaded; then
		fail "the module is still there"
		return
	fi
	says "$mark" "$regex"
}

refuses_unknown_allocator()
{
	refuses 'foo.*mimalloc.*tlsf.*evl' allocator=foo
}

refuses_empty_allocator()
{
	refuses 'mimalloc.*tlsf.*evl' allocator=
}

refuses_pool_size_0()
{
	refuses 'pool_size.*[0-9]' pool_size=0
}

refuses_pool_size_1T()
{
	refuses 'pool_size.*[0-9]' pool_size=1T
}

refuses_pool_size_abc()
{
	refuses 'pool_size.*abc' pool_size=abc
}

refuses_max_size_below_pool_size()
{
	refuses 'max_size.*pool_size' pool_size=16M max_size=8M
}

refuses_max_size_abc()
{
	refuses 'max_size.*abc' max_size=abc
}

refuses_max_size_M()
{
	refuses 'max_size=M' max_size=M
}

# load_unload ALLOCATOR: the parameter shows, cannot be changed, and rmmod works
load_unload()
{
	if ! load allocator="$1"; then
		fail "insmod failed"
		return
	fi
	ok=0
	[ "$(cat $PARAMETERS/allocator)" = "$1" ] ||
		fail "sysfs shows $(cat $PARAMETERS/allocator)" || ok=1
	for parameter in allocator pool_size max_size; do
		[ "$(stat -c %a "$PARAMETERS/$parameter")" = 400 ] ||
			fail "$parameter can be written" || ok=1
	done
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	! loaded || fail "the module is still there" || ok=1
	return $ok
}

# no_second_load: a module that is there already is left as it is
no_second_load()
{
	load || fail "insmod failed" || return
	ok=0
	! load allocator=tlsf || fail "insmod loaded it twice" || ok=1
	[ "$(cat $PARAMETERS/allocator)" = mimalloc ] ||
		fail "the second insmod changed the allocator" || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return $ok
}

sizes_show()
{
	load pool_size=2M max_size=64M || fail "insmod failed" || return
	ok=0
	for pair in pool_size=2 max_size=64; do
		shown=$(cat "$PARAMETERS/${pair%=*}")
		case $shown in
		"${pair#*=}M" | $((${pair#*=} << 20))) ;;
		*) fail "$pair MiB shows as $shown" || ok=1 ;;
		esac
	done
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return $ok
}

# sample ALLOCATOR: a client loads and unloads, holds the module while it is
# there, and leaves no block behind
sample()
{
	load allocator="$1" || fail "insmod failed" || return
	ok=0
	mark=$(log_mark)
	if insmod /modules/chaos_sample.ko; then
		! rmmod chaos_alloc 2>/dev/null ||
			fail "chaos_alloc could be removed under a client" || ok=1
		rmmod chaos_sample || fail "rmmod chaos_sample failed" || ok=1
	else
		fail "insmod chaos_sample failed"
		ok=1
	fi
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	! log_since "$mark" | grep 'chaos_alloc: ' | grep -Eq '[1-9][0-9]* blocks?' ||
		fail "blocks were left" || ok=1
	return $ok
}

# reports_leak ALLOCATOR: rmmod says what a client has left behind
reports_leak()
{
	load allocator="$1" || fail "insmod failed" || return
	ok=0
	if insmod /modules/chaos_sample.ko leak=1; then
		rmmod chaos_sample || fail "rmmod chaos_sample failed" || ok=1
	else
		fail "insmod chaos_sample failed"
		ok=1
	fi
	mark=$(log_mark)
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	says "$mark" 'default: [1-9][0-9]* blocks?.*[1-9][0-9]* bytes' || ok=1
	says "$mark" 'sample was never destroyed' || ok=1
	return $ok
}

# says_callers MARK: who has left the sample's blocks, by name, and no address
says_callers()
{
	says "$1" 'heap default: +3 blocks, [0-9]+ bytes: (sample_|init_module).*\[chaos_sample\]' ||
		return
	! log_since "$1" | grep 'chaos_alloc: ' | grep -q '[ :]0x' ||
		fail "an address was logged"
}

# names_leak ALLOCATOR TRACK: the client's rmmod says what it leaves, and who did that; so
# does rmmod of ours, when the code that did it has long gone, and that of its init
# functions before
names_leak()
{
	load allocator="${1%:*}" track="${1#*:}" || fail "insmod failed" || return
	ok=0
	shows track "${1#*:}" || ok=1
	for nth in first second; do
		if ! insmod /modules/chaos_sample.ko leak=1; then
			fail "insmod chaos_sample failed"
			ok=1
			continue
		fi
		mark=$(log_mark)
		rmmod chaos_sample || fail "rmmod chaos_sample failed" || ok=1
		says "$mark" 'module chaos_sample leaves 3 blocks, [0-9]+ bytes in heap default' ||
			fail "when the $nth one goes" || ok=1
		says_callers "$mark" || ok=1
	done
	mark=$(log_mark)
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	says "$mark" 'heap default: 6 blocks, [0-9]+ bytes are still allocated' || ok=1
	says_callers "$mark" || ok=1
	lines=$(log_since "$mark" | grep -c 'heap default:.* 3 blocks.*\[chaos_sample\]')
	[ "$lines" -eq 2 ] || fail "$lines lines for two modules, one after the other" || ok=1
	return $ok
}

# tracks_nothing_left ALLOCATOR: a client that leaves nothing is not reported
tracks_nothing_left()
{
	load allocator="$1" track=2 || fail "insmod failed" || return
	ok=0
	mark=$(log_mark)
	insmod /modules/chaos_sample.ko || fail "insmod chaos_sample failed" || ok=1
	rmmod chaos_sample || fail "rmmod chaos_sample failed" || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	! log_since "$mark" | grep -Eq 'chaos_alloc: (heap|module)' ||
		fail "something was reported" || ok=1
	return $ok
}

# refuses_option NAME=VALUE: at insmod; the log has the valid values
refuses_option()
{
	refuses "${1%%=*}=${1#*=} is refused: .*[0-9].* are valid" "$1"
}

# takes_option NAME=VALUE: at insmod, and shows it
takes_option()
{
	load "$1" || fail "insmod failed" || return
	ok=0
	[ "$(cat "$PARAMETERS/${1%%=*}")" = "${1#*=}" ] ||
		fail "$1 shows as $(cat "$PARAMETERS/${1%%=*}")" || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return $ok
}

# shows NAME VALUE
shows()
{
	[ "$(cat "$PARAMETERS/$1")" = "$2" ] ||
		fail "$1 shows $(cat "$PARAMETERS/$1"), not $2"
}

# write_good NAME VALUE [SHOWN]: what is written to the file is what it shows
write_good()
{
	echo "$2" >"$PARAMETERS/$1" || fail "$1=$2 was refused" || return
	shows "$1" "${3:-$2}"
}

# write_bad NAME VALUE: refused with the reason; nothing changes
write_bad()
{
	before=$(cat "$PARAMETERS/$1")
	mark=$(log_mark)
	if echo "$2" >"$PARAMETERS/$1"; then
		fail "$1=$2 was taken"
		return
	fi
	says "$mark" "$1=$2 is refused: .*[0-9].* are valid" || return
	shows "$1" "$before"
}

# options_default: what a heap begins with, and who may change it
options_default()
{
	load || fail "insmod failed" || return
	ok=0
	for pair in watermark=12 retire_delay=100 return_delay=5000 \
		heartbeat=256 growth_step=0; do
		shows "${pair%=*}" "${pair#*=}" || ok=1
		[ "$(stat -c %a "$PARAMETERS/${pair%=*}")" = 600 ] ||
			fail "${pair%=*} is not for root to write" || ok=1
	done
	shows hardening 1 || ok=1
	[ "$(stat -c %a "$PARAMETERS/hardening")" = 400 ] ||
		fail "hardening can be written" || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return $ok
}

# options_write ALLOCATOR: while the default heap is there
options_write()
{
	load allocator="$1" || fail "insmod failed" || return
	ok=0
	write_good watermark 0 || ok=1
	write_good watermark 50 || ok=1
	write_bad watermark 51 || ok=1
	write_bad watermark -1 || ok=1
	write_bad watermark twelve || ok=1
	for delay in retire_delay return_delay; do
		write_good "$delay" 0 || ok=1
		write_good "$delay" 3600000 || ok=1
		write_bad "$delay" 3600001 || ok=1
		write_bad "$delay" 1s || ok=1
	done
	write_good heartbeat 1 || ok=1
	write_good heartbeat 1073741824 || ok=1
	write_bad heartbeat 0 || ok=1
	write_bad heartbeat 1073741825 || ok=1
	write_good growth_step 65536 || ok=1
	write_good growth_step 2M 2097152 || ok=1
	write_bad growth_step 65535 || ok=1
	write_bad growth_step 1Kilo || ok=1
	write_good growth_step 0 || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return $ok
}

# harden ALLOCATOR: a client runs with the default heap at level 2
harden()
{
	load allocator="$1" hardening=2 || fail "insmod failed" || return
	ok=0
	shows hardening 2 || ok=1
	mark=$(log_mark)
	insmod /modules/chaos_sample.ko || fail "insmod chaos_sample failed" || ok=1
	rmmod chaos_sample || fail "rmmod chaos_sample failed" || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	! log_since "$mark" | grep -q 'chaos_alloc: heap' ||
		fail "something was reported" || ok=1
	return $ok
}

CASES="refuses_unknown_allocator refuses_empty_allocator
	refuses_pool_size_0 refuses_pool_size_1T refuses_pool_size_abc
	refuses_max_size_below_pool_size refuses_max_size_abc
	refuses_max_size_M
	load_unload:mimalloc load_unload:mimalloc load_unload:tlsf load_unload:evl
	no_second_load sizes_show
	refuses_option:watermark=51 refuses_option:watermark=a
	refuses_option:retire_delay=3600001 refuses_option:return_delay=3600001
	refuses_option:heartbeat=0 refuses_option:growth_step=1
	refuses_option:growth_step=K refuses_option:hardening=3
	refuses_option:hardening=high refuses_option:track=3
	takes_option:max_size=0 takes_option:watermark=50 takes_option:retire_delay=0
	takes_option:return_delay=3600000 takes_option:heartbeat=1
	takes_option:growth_step=1048576 takes_option:hardening=0
	takes_option:hardening=2
	options_default $(each options_write) $(each harden) $(each sample)
	$(each reports_leak) $(each tracks_nothing_left)
	$(each names_leak | sed 's/$/:1/') $(each names_leak | sed 's/$/:2/; q')"

run_suite "$SUITE" "$CASES"
