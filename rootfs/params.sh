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

# fail TEXT: a reason, which KTAP wants before the line of the case
fail()
{
	log "    # $case_name: $*"
	return 1
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
		[ "$(stat -c %a "$PARAMETERS/$parameter")" = 444 ] ||
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

# reports_leak ALLOCATOR: rmmod says what a client has left allocated
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
	says "$mark" '[1-9][0-9]* blocks?.*[1-9][0-9]* bytes' || ok=1
	return $ok
}

CASES="refuses_unknown_allocator refuses_empty_allocator
	refuses_pool_size_0 refuses_pool_size_1T refuses_pool_size_abc
	refuses_max_size_below_pool_size refuses_max_size_abc
	load_unload:mimalloc load_unload:mimalloc load_unload:tlsf load_unload:evl
	no_second_load sizes_show
	sample:mimalloc sample:tlsf sample:evl
	reports_leak:mimalloc reports_leak:tlsf reports_leak:evl"

run_cases()
{
	number=0
	failed=0
	for spec in $CASES; do
		number=$((number + 1))
		function=${spec%%:*}
		argument=
		[ "$function" = "$spec" ] || argument=${spec#*:}
		case_name=$function${argument:+_$argument}
		if "$function" "$argument" 2>/dev/null; then
			log "    ok $number $case_name"
		else
			log "    not ok $number $case_name"
			failed=1
		fi
	done
	return $failed
}

# shellcheck disable=SC2254  # the option is a pattern
case $SUITE in
$(option suites '*')) ;;
*) exit 0 ;;
esac

log "chaos_run: begin insmod"
log "KTAP version 1"
log "1..1"
log "    KTAP version 1"
log "    # Subtest: $SUITE"
log "    1..$(echo "$CASES" | wc -w)"
if run_cases; then
	log "ok 1 $SUITE"
else
	log "not ok 1 $SUITE"
fi
log "chaos_run: end insmod"
