#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2317  # lib.sh has what is set; run_suite calls the cases
#
# What root sees of the heaps in debugfs and tracefs, for kernels as distributions have
# them: the files, the events of a client that does a known number of calls, and both
# while heaps come and go. What the files say is compared with a heap by the KUnit suites
# chaos_see and chaos_trace.

. /chaos/lib.sh

# with_module CASE PARAMETER...: CASE is run with the module loaded
with_module()
{
	run=$1
	shift
	insmod /modules/chaos_alloc.ko "$@" || fail "chaos_alloc.ko does not load" || return
	ok=0
	"$run" || ok=1
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return "$ok"
}

# --- the files ------------------------------------------------------------------

# look FILE REGEX: a line of the default heap's file
look()
{
	file=$(echo "$HEAPS"/default-*/"$1")
	grep -Eq "$2" "$file" || fail "$1 has no line $2"
}

modes()
{
	modes=$(cd "$HEAPS" && find . -exec stat -c '%n %a %u %g' '{}' ';' | sort)
	[ "$modes" = ". 700 0 0
./default-1 700 0 0
./default-1/callers 400 0 0
./default-1/check 400 0 0
./default-1/classes 400 0 0
./default-1/latency 600 0 0
./default-1/map 400 0 0
./default-1/stats 400 0 0" ] || fail "$modes"
}

contents()
{
	modes || return
	look check '^ok$' || return
	look callers '^not tracked: track=1 does that$' || return
	look stats '^name default$' || return
	look stats "^allocator $allocator\$" || return
	look stats "^pool_bytes $bytes\$" || return
	look classes '^block_size live_blocks capacity live_bytes pages page_bytes$' || return
	look map "^pool 0 $bytes $cell\$" || return
	cells=$(($(grep -v pool "$HEAPS"/default-1/map | tr -d '\n' | wc -c) / 2))
	[ "$cells" -eq $((bytes / cell)) ] || fail "$cells cells" || return
	! cat "$HEAPS"/default-1/* | grep -E '(ffff|0x)[0-9a-f]{8}' | grep -Evq '^[0-9a-f-]+$' ||
		fail "that looks like an address"
}

files()
{
	allocator=$1 bytes=$((16 << 20)) cell=4096
	# A larger pool has larger cells.
	[ "$allocator" != tlsf ] || bytes=$((300 << 20)) cell=8192
	with_module contents allocator="$1" pool_size="$bytes" max_size=0 || return
	[ ! -e "$HEAPS" ] || fail "it outlives the module"
}

# The client calls the default heap once, and gives back what it got; and more than these words
# cannot be written.
time_sample()
{
	latency=$HEAPS/default-1/latency
	! echo nonsense >"$latency" || fail "nonsense is accepted" || return
	! echo 12345678 >"$latency" || fail "it is accepted" || return
	echo 1 >"$latency" || fail "it cannot be switched on" || return
	insmod /modules/chaos_sample.ko || fail "chaos_sample.ko does not load" || return
	rmmod chaos_sample
	[ "$(awk '/^[0-9]/ { a += $3; f += $4 } END { print a, f }' "$latency")" = '1 1' ] ||
		fail "not one call of each" || return
	echo reset >"$latency"
	[ "$(tail -n 1 "$latency")" = 'max 0 0' ] || fail "it is not reset" || return
	echo 0 >"$latency"
}

latency()
{
	with_module time_sample allocator="$1"
}

# The client leaves three blocks in the default heap: whose they are, is known while it is there,
# and when it has gone.
callers_of_sample()
{
	insmod /modules/chaos_sample.ko leak=1 || fail "chaos_sample.ko does not load" || return
	wanted='^ *3 blocks, [0-9]+ bytes: sample_use\+0x[0-9a-f]+/0x[0-9a-f]+ \[chaos_sample\]$'
	ok=0
	look callers "$wanted" || ok=1
	rmmod chaos_sample
	look callers "$wanted" || ok=1
	return "$ok"
}

callers()
{
	with_module callers_of_sample allocator="$1" track=1
}

# --- the events -----------------------------------------------------------------

# events WORD NUMBER: so many lines
events()
{
	n=$(grep -c "$1" /tmp/trace)
	[ "$n" -eq "$2" ] || fail "$n events $1, not $2"
}

client()
{
	echo >"$TRACING/trace"
	echo 1 >"$TRACE_ALL" || fail "no events" || return
	insmod /modules/chaos_sample.ko || fail "chaos_sample.ko does not load" || return
	echo 0 >"$TRACE_ALL"
	# While the client is there, its functions have names, but those of its init code.
	cat "$TRACING/trace" >/tmp/trace
	rmmod chaos_sample
	events ' alloc: call_site=sample_tick+.* bytes_req=16 .* heap=sample$' 10 || return
	events ' alloc: call_site=[^ ]* ptr=.* bytes_req=262144 .*GFP_KERNEL|__GFP_ZERO.*' 1 || return
	events ' free: call_site=[^ ]* ptr=.* heap=sample$' 11 || return
	events ' alloc: .* heap=default$' 1 || return
	events ' free: .* heap=default$' 1 || return
	events ' grow: heap=sample bytes=1048576 .* why=create$' 1 || return
	events '[hH].*: alloc: call_site=sample_tick' 10 || return
	# Nothing more is seen.
	insmod /modules/chaos_sample.ko
	rmmod chaos_sample
	cat "$TRACING/trace" >/tmp/trace
	events ' alloc: ' 12
}

trace()
{
	with_module client allocator="$1"
}

# Who has asked for how much, with the commands of Documentation/inside.rst
count_by_caller()
{
	(
		cd "$TRACING/events/chaos_alloc" || exit
		echo 'hist:keys=call_site.sym:vals=bytes_req:sort=bytes_req.descending' >alloc/trigger
	) || fail "no histogram" || return
	insmod /modules/chaos_sample.ko || fail "chaos_sample.ko does not load" || return
	ok=0
	(
		cd "$TRACING/events/chaos_alloc" || exit
		cat alloc/hist >/tmp/hist
		echo '!hist:keys=call_site.sym:vals=bytes_req' >alloc/trigger
		! grep '^hist' alloc/trigger
	) || fail "it is there still" || ok=1
	rmmod chaos_sample
	[ "$ok" -eq 0 ] || return
	# Its init functions have gone, so this one may have no name.
	grep '^{' /tmp/hist | head -n 1 | grep -Eq 'hitcount: +1 +bytes_req: +262144$' ||
		fail "not the one with most bytes first" || return
	grep -Eq 'sample_tick.*hitcount: +10 +bytes_req: +160$' /tmp/hist || fail "no ten ticks"
}

histogram()
{
	with_module count_by_caller
}

# The module goes while its events are on, and comes back: they are off again.
unload()
{
	insmod /modules/chaos_alloc.ko || fail "chaos_alloc.ko does not load" || return
	echo 1 >"$TRACE_ALL"
	rmmod chaos_alloc || fail "rmmod failed" || return
	[ ! -e "$TRACING/events/chaos_alloc" ] || fail "the events outlive the module" || return
	with_module true || return
}

# --- all at once ------------------------------------------------------------------

# watched: everything has been
watched()
{
	for name in stats classes map check callers latency trace; do
		grep -q "^$name\$" /tmp/watched || fail "nobody has seen $name" || return
	done
	log "    # watched: $(wc -l </tmp/watched) looks"
}

# torture_watched BEGUN ALLOCATOR: the heaps' birth is traced, if nothing else is in time
torture_watched()
{
	TORTURE_BEFORE='trace_all 1'
	torture success "$1" "$2" seconds=1 onoff=0 pressure=0 && watched
	status=$?
	TORTURE_BEFORE=true
	return "$status"
}

watch()
{
	torture_watched watch_all "$1"
}

# The same while all blocks remember who allocated them, and modules come and go.
come_and_go()
{
	watch_all
	insmod /modules/chaos_sample.ko
	rmmod chaos_sample
}

track()
{
	TORTURE_HEAPS=track=2
	torture_watched come_and_go "$1"
	status=$?
	TORTURE_HEAPS=
	return "$status"
}

failed=0
run_suite chaos_inside "$(each files) $(each callers) $(each latency) $(each trace) histogram unload $(each watch) $(each track)"
exit "$failed"
