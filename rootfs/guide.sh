#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2317  # run_suite calls the cases
#
# The code of Documentation/guide.rst and Documentation/porting.rst, on each engine: insmod
# fails if a statement of theirs does not hold. What they say of the log is looked for here.

. /chaos/lib.sh

SUITE=chaos_guide
SAID=/tmp/guide-said

# says REGEX: a line of the log, while the example was there
says()
{
	grep -Eq "$1" "$SAID" || fail "no line of the log matches $1"
}

# example MODULE: loads it, and removes it
example()
{
	mark=$(log_mark)
	insmod "/modules/$1.ko" ||
		fail "$1.ko does not load: $(log_since "$mark" | grep -m 1 -o "$1: not so.*")" ||
		return
	rmmod "$1" || fail "rmmod $1 failed" || return
	log_since "$mark" >"$SAID"
	says "$1: .* [1-9][0-9]* statements, 0 of them not so"
}

# with ALLOCATOR COMMAND...: between insmod and rmmod of chaos_alloc
with()
{
	insmod /modules/chaos_alloc.ko allocator="$1" || fail "insmod failed" || return
	shift
	ok=0
	"$@" || ok=1
	begun=$(log_mark)
	rmmod chaos_alloc || fail "rmmod failed" || ok=1
	! log_since "$begun" | grep -q 'chaos_alloc: heap' ||
		fail "something is left" || ok=1
	return $ok
}

test_guide()
{
	example chaos_guide || return
	ok=0
	says 'heap guide: watermark=51 is refused: 0 to 50 percent are valid' || ok=1
	says 'heap guide-harden: bad pointer .* guide_harden.*: written past its end' ||
		ok=1
	says 'heap guide-track: 2 blocks, [0-9]+ bytes are still allocated' || ok=1
	says 'heap guide-track:   2 blocks, .*: guide_track\+.* \[chaos_guide\]' || ok=1
	says 'gfp .*GFP_KERNEL_ACCOUNT.* cannot be honoured' || ok=1
	for mistake in 'not from any heap' 'not the start of a block' 'already freed'; do
		says "heap guide: bad pointer .* guide_wrong.*: $mistake" || ok=1
	done
	says 'heap default: bad pointer .* guide_wrong.*: belongs to another heap' || ok=1
	return $ok
}

guide()
{
	with "$1" test_guide
}

porting()
{
	with "$1" example chaos_porting
}

run_suite "$SUITE" "$(each guide) $(each porting)"
