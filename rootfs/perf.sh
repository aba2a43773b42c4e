#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2317  # run_suite calls the cases
#
# trace-cmd and perf, as Debian has them, find the events, count them and decode them as those
# of kmem: with the commands of Documentation/inside.rst, around a client that does a known
# number of calls.

. /chaos/lib.sh

EVENTS=$TRACING/events

# with COMMAND: between insmod and rmmod of chaos_alloc
with()
{
	insmod /modules/chaos_alloc.ko || fail "chaos_alloc.ko does not load" || return
	ok=0
	"$1" || ok=1
	for module in chaos_sample chaos_guide; do
		rmmod "$module" 2>/dev/null
	done
	# A tool that still listened would keep it.
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	return "$ok"
}

# quietly COMMAND...: what it says is told only if it fails
quietly()
{
	"$@" >/tmp/out 2>&1 || fail "$*: $(tail -n 3 /tmp/out)"
}

# so_many NUMBER REGEX: lines of /tmp/out
so_many()
{
	n=$(grep -Ec "$2" /tmp/out)
	[ "$n" -eq "$1" ] || fail "$n lines with $2, not $1"
}

# The events of samples/chaos_sample.c: in one format, whichever tool prints them. Its init code
# has gone when they are printed, so perf has no names for calls from there, and trace-cmd wrong
# ones.
decoded()
{
	block='ptr=0xffff[0-9a-f]{12}'
	tick='call_site=sample_tick\+0x[0-9a-f]+'
	init='call_site=[^ ]*0x[0-9a-f]+'
	so_many 12 '[ :]alloc: ' &&
		so_many 12 '[ :]free: ' &&
		so_many 1 '[ :]grow: ' &&
		so_many 0 '[ :](shrink|fail): ' &&
		so_many 10 "[ :]alloc: +$tick $block bytes_req=16 bytes_alloc=24 gfp_flags=GFP_ATOMIC heap=sample\$" &&
		so_many 1 "[ :]alloc: +$init $block bytes_req=262144 bytes_alloc=262144 gfp_flags=GFP_KERNEL\|__GFP_ZERO heap=sample\$" &&
		so_many 1 "[ :]alloc: +$init $block bytes_req=64 bytes_alloc=64 gfp_flags=GFP_KERNEL\|__GFP_ZERO heap=default\$" &&
		so_many 10 "[ :]free: +$init $block bytes_alloc=24 heap=sample\$" &&
		so_many 1 '[ :]grow: +heap=sample bytes=1048576 pool_bytes=1048576 node=0 why=create$' &&
		as_kmem
}

# What kmem's event says of the one kmalloc() for a heap is as complete.
as_kmem()
{
	so_many 1 '[ :]kmalloc: .*call_site=chaos_heap_create\+0x[0-9a-f]+ ptr=0x[0-9a-f]{16} bytes_req=[0-9]+ bytes_alloc=[0-9]+ gfp_flags=GFP_KERNEL\|__GFP_ZERO'
}

# --- trace-cmd --------------------------------------------------------------------

record_sample()
{
	quietly trace-cmd record -e chaos_alloc -e kmem:kmalloc insmod chaos_sample.ko || return
	quietly trace-cmd report || return
	decoded
}

record()
{
	with record_sample
}

filter_sample()
{
	quietly trace-cmd record -e chaos_alloc:alloc -f 'bytes_req > 100' \
		-e chaos_alloc:free -f 'heap == "sample"' \
		-e kmem:kmalloc -f 'bytes_req > 100' insmod chaos_sample.ko || return
	quietly trace-cmd report || return
	so_many 1 '[ :]alloc: ' &&
		so_many 1 '[ :]alloc: .* bytes_req=262144 ' &&
		so_many 11 '[ :]free: ' &&
		so_many 0 'heap=default$' &&
		so_many 0 '[ :]kmalloc: .* bytes_req=([0-9]?[0-9]|100) ' &&
		as_kmem
}

filter()
{
	with filter_sample
}

hist_sample()
{
	quietly trace-cmd start \
		-e chaos_alloc:alloc -R 'hist:keys=call_site.sym:vals=bytes_req:sort=bytes_req.descending' \
		-e kmem:kmalloc -R 'hist:keys=call_site.sym:vals=bytes_req' || return
	insmod chaos_sample.ko || fail "chaos_sample.ko does not load" || return
	quietly cat "$EVENTS/chaos_alloc/alloc/hist" || return
	so_many 1 'sample_tick \[chaos_sample\] .*hitcount: +10 +bytes_req: +160$' &&
		so_many 1 'hitcount: +1 +bytes_req: +262144$' &&
		so_many 1 'Hits: 12$' || return
	quietly cat "$EVENTS/kmem/kmalloc/hist" || return
	so_many 1 'chaos_heap_create \[chaos_alloc\] .*hitcount: +1 +bytes_req: +[0-9]+$'
}

hist_and_reset()
{
	hist_sample
	held=$?
	quietly trace-cmd reset || return
	return "$held"
}

trigger()
{
	with hist_and_reset
}

# All 64 bits of a size are printed.
guide_decoded()
{
	so_many 9 ' fail: +call_site=guide_[a-z]+\+.*bytes_req=[0-9]+ align=[0-9]+ gfp_flags=[A-Z_|]+ heap=' &&
		so_many 1 ' bytes_req=18446744073709551615 align=8 ' &&
		so_many 1 ' shrink: +heap=guide-budget bytes=1048576 pool_bytes=262144 node=0$' &&
		so_many 5 ' grow: +heap=guide.* why=create$' &&
		so_many 1 ' grow: +heap=guide-mem bytes=65536 pool_bytes=262144 node=0 why=client$'
}

# Who asks for more than there is, and how heaps grow: the client is the guide's.
start_guide()
{
	quietly trace-cmd start -e chaos_alloc:fail -e chaos_alloc:grow -e chaos_alloc:shrink || return
	insmod chaos_guide.ko || fail "chaos_guide.ko does not load" || return
	quietly trace-cmd show && guide_decoded || return
	quietly trace-cmd extract || return
	quietly trace-cmd report && guide_decoded
}

start()
{
	with start_guide
}

# --- perf ---------------------------------------------------------------------------

list_events()
{
	quietly perf list 'chaos_alloc:*' || return
	so_many 5 '^ *chaos_alloc:(alloc|free|fail|grow|shrink) +\[Tracepoint event\]'
}

list()
{
	with list_events
}

stat_sample()
{
	quietly perf stat -e 'chaos_alloc:*' -e kmem:kmalloc -a insmod chaos_sample.ko || return
	so_many 1 '^ +12 +chaos_alloc:alloc' &&
		so_many 1 '^ +12 +chaos_alloc:free' &&
		so_many 1 '^ +1 +chaos_alloc:grow' &&
		so_many 2 '^ +0 +chaos_alloc:(shrink|fail)' &&
		so_many 1 '^ +[1-9][0-9]* +kmem:kmalloc'
}

stat_all()
{
	with stat_sample
}

script_sample()
{
	quietly perf record -e 'chaos_alloc:*' -e kmem:kmalloc -a insmod chaos_sample.ko || return
	quietly perf script || return
	decoded
}

script()
{
	with script_sample
}

# Of the guide's nine allocations that fail, seven are that large. Functions of a module that was
# loaded meanwhile, perf may not know.
callers_guide()
{
	quietly perf record -e chaos_alloc:fail --filter 'bytes_req > 4096' -g -a \
		insmod chaos_guide.ko || return
	quietly perf script || return
	so_many 7 'chaos_alloc:fail: call_site=[^ ]*0x[0-9a-f]+ bytes_req=[0-9]+ ' &&
		so_many 0 'chaos_alloc:fail: .* bytes_req=[0-9]{1,4} ' &&
		so_many 1 ' bytes_req=18446744073709551615 align=8 ' &&
		so_many 7 '^\s+[0-9a-f]+ chaos_failed\+0x[0-9a-f]+ \(.*chaos_alloc' &&
		so_many 7 '^\s+[0-9a-f]+ do_init_module\+0x'
}

callers()
{
	with callers_guide
}

cd /modules || exit
# Where perf looks for modules
mkdir -p "/lib/modules/$(uname -r)"
cp -r /modules "/lib/modules/$(uname -r)/extra"
export HOME=/tmp

failed=0
run_suite chaos_trace_cmd "record filter trigger start"
run_suite chaos_perf "list stat_all script callers"
exit "$failed"
