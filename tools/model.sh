#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks the ownership protocol of the mimalloc engine: what "make model" does.
# Spin searches the whole state space of model/ownership.pml, once for each
# configuration.  Then it has to find each bug that can be seeded there.  Ends with
# "N passed, N failed, N skipped".
#
#   tools/model.sh --trace CONFIGURATION [BUG]
#
# prints a shortest way to the error, if there is one: the steps, each with the
# process that takes it, and the state at the end.

# shellcheck disable=SC2317  # try calls what it is given
set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

MODEL=$TOP/model/ownership.pml
DOC=$TOP/Documentation/ownership.rst

# Bounds of one search; if it needs more, it fails.
MEGABYTES=1800
DEPTH=3000000
# How many run at once.
JOBS=2

# --- the configurations -------------------------------------------------------

# One for each interplay, as large as a search of some seconds allows: all of it in
# one would have more states than fit into memory.  Documentation/ownership.rst
# gives the reasons for the bounds.
ORDER=(theaps levels pages reuse single visit death pool stray weak ends cycles)
declare -A CONFIG
ALL=ALLOC+FREE+ABANDON
CONFIG[theaps]="-DBLOCKS=3 -DEXTEND=1 -DWITH_BULK -DROLE0=$ALL+BULK -DROLE1=$ALL+BULK"
CONFIG[levels]="-DCPUS=3 -DBLOCKS=3 -DROLE2=FREE+NMI"
CONFIG[pages]="-DPAGES=2 -DBLOCKS=2"
CONFIG[reuse]="-DPAGES=2 -DBLOCKS=2 -DBINS=2 -DROLE0=ALLOC+ABANDON -DROLE1=FREE"
CONFIG[single]="-DPAGES=2 -DBLOCKS=2 -DWITH_SINGLE -DWITH_VISIT -DROLE0=ALLOC+FREE+SINGLE -DROLE1=FREE+VISIT"
CONFIG[visit]="-DCPUS=3 -DBLOCKS=3 -DWITH_VISIT -DROLE0=ALLOC -DROLE1=$ALL+VISIT -DROLE2=FREE+NMI"
CONFIG[death]="-DPAGES=2 -DBLOCKS=2 -DWITH_DIE -DROLE0=ALLOC+FREE+REAP -DROLE1=ALLOC+FREE+DIE"
CONFIG[pool]="-DPAGES=2 -DBLOCKS=2 -DWITH_RELEASE -DROLE1=FREE+RELEASE"
CONFIG[stray]="-DCPUS=3 -DBLOCKS=3 -DWITH_STRAY -DROLE2=STRAY"
CONFIG[weak]="-DBLOCKS=3 -DWEAK"

# Every call ends, whatever the others do: with so many calls for each process, nobody
# is left inside one, and (another kind of search) there is no cycle.
CONFIG[ends]="-DCPUS=3 -DBLOCKS=2 -DTURNS=3 -DWITH_VISIT -DWITH_DIE -DROLE0=$ALL+VISIT+REAP -DROLE1=$ALL+DIE -DROLE2=FREE+NMI"
CONFIG[cycles]="${CONFIG[ends]} -DWITHOUT_MONITOR"

# BUG:CONFIGURATION in which it must be found.
BUGS=(
	PUSH_RELAXED:weak LIST_RELAXED:weak DISOWN_RELAXED:weak
	SLICES_PUT_RELAXED:weak
	HINT_FIRST:pages ADOPT_READ_FIRST:theaps ADOPT_UNCHECKED:theaps
	USED_BEFORE_CLAIM:visit
	LISTED_CLAIMED_EARLY:theaps GIVE_BACK_UNCLAIMED:theaps
	RECLAIM_UNCHECKED:theaps DISOWN_UNCHECKED:theaps LIST_EMPTY:theaps LIST_KEEPS_THEAP:theaps
	DYING_HINT_LATE:theaps PUSH_UNCHECKED:stray DEAD_DROPPED:death
	NO_GRACE:pool CLAIM_WAITS:cycles
)

# --- running spin -------------------------------------------------------------

# build DIR "SPIN OPTIONS" CC-OPTION...: a verifier in an empty directory
build()
{
	local dir=$1 options=$2

	shift 2
	mkdir -p "$dir"
	cd "$dir"
	# shellcheck disable=SC2086  # these are several words
	spin -a $options "$MODEL" >spin.out 2>&1 || {
		cat spin.out
		return 1
	}
	gcc -w -O1 "-DMEMLIM=$MEGABYTES" "$@" -o pan pan.c
}

# search DIR PAN-OPTION...: whatever it finds is in DIR/out
search()
{
	local dir=$1

	shift
	cd "$dir"
	./pan "-m$DEPTH" "$@" >out 2>&1 || true
}

found_nothing()
{
	grep -q 'errors: 0$' "$1/out" &&
		! grep -qE 'not completed|max search depth|out of memory' "$1/out"
}

found_violation()
{
	grep -qE '^pan:1: (assertion violated|invalid end state|non-progress cycle)' "$1/out"
}

states()
{
	awk '/states, stored/ { print $1 }' "$1/out"
}

# result ok|FAIL TEXT: of one of several that run at once; main counts it
result()
{
	echo "$1 $2" >"$WORK/result.$NAME"
}

# find_error CONFIGURATION BUG-OPTION: build a verifier and run it
find_error()
{
	local dir=$WORK/$NAME

	if [ "$1" = cycles ]; then
		build "$dir" "${CONFIG[$1]} $2" -DNP && search "$dir" -l
	else
		build "$dir" "${CONFIG[$1]} $2" -DSAFETY && search "$dir"
	fi
}

no_error()
{
	local dir=$WORK/$NAME

	if (find_error "$NAME" "") && found_nothing "$dir"; then
		result ok "model: $NAME: $(states "$dir") states, no error"
	else
		tail -n 40 "$dir/out" 2>/dev/null || true
		result FAIL "model: $NAME"
	fi
}

# some_error BUG CONFIGURATION
some_error()
{
	local dir=$WORK/$NAME error

	if (find_error "$2" "-DBUG_$1") && found_violation "$dir"; then
		error=$(sed -n '/^pan:1: /{s/^pan:1: //;s/ (at depth.*//;p;q}' "$dir/out")
		result ok "model: seeded bug $1 is found: $error"
	else
		tail -n 40 "$dir/out" 2>/dev/null || true
		result FAIL "model: seeded bug $1 is not found in '$2'"
	fi
}

# run NAME: a configuration or BUG:CONFIGURATION
run()
{
	NAME=$1
	case $NAME in
	*:*) some_error "${NAME%:*}" "${NAME#*:}" ;;
	*) no_error ;;
	esac
}

# run_all NAME...: some at a time; the verdicts come in order
run_all()
{
	local name running=0 line

	for name in "$@"; do
		if [ "$running" -eq "$JOBS" ]; then
			wait -n || true
			running=$((running - 1))
		fi
		run "$name" >"$WORK/log.$name" 2>&1 &
		running=$((running + 1))
	done
	wait
	for name in "$@"; do
		line=$(cat "$WORK/result.$name" 2>/dev/null) || line="FAIL model: $name: no result"
		[ "${line%% *}" = ok ] || cat "$WORK/log.$name"
		verdict "${line%% *}" "${line#* }"
	done
}

# --- is it all there ----------------------------------------------------------

# Each step is taken in one of the configurations at least.
all_steps()
{
	local name

	diff <(for name in "${ORDER[@]}"; do
		sed -n 's/^step: //p' "$WORK/$name/out"
	done | sort -u) <(tags_in_model)
}

tags_in_c()
{
	sed -nE 's,.*/\* model: ([a-z-]+) \*/.*,\1,p' "$TOP"/*.[ch] | sort
}

tags_in_model()
{
	grep -oE '\bSTEP\([a-z-]+\)' "$MODEL" | sed -E 's/STEP.(.*)./\1/' |
		grep -vx name | sort -u
}

tags_in_doc()
{
	# shellcheck disable=SC2016  # these are the documentation's backticks
	sed -nE '/^step  /,$ s/^``([a-z-]+)`` .*/\1/p' "$DOC" | sort
}

# A step has one name in the C code, the model and the documentation.
same_tags()
{
	diff <(tags_in_c) <(tags_in_model) && diff <(tags_in_doc) <(tags_in_model)
}

# Each seeded bug of the model is one that has to be found.
all_bugs()
{
	diff <(grep -oE '\bBUG_[A-Z_]+' "$MODEL" | sed s/BUG_// | sort -u) \
		<(printf '%s\n' "${BUGS[@]%:*}" | sort)
}

# --- a trace ------------------------------------------------------------------

trace()
{
	local options=${CONFIG[$1]-}

	[ -n "$options" ] || die "the configurations are ${ORDER[*]}"
	[ -z "${2-}" ] || options+=" -DBUG_$2"
	options+=" -DTRACE"
	build "$WORK/trace" "$options" -DSAFETY -DBFS -DCOLLAPSE
	search "$WORK/trace"
	found_violation "$WORK/trace" || die "no error found"
	# shellcheck disable=SC2086  # these are several words
	spin -t $options -k "$WORK/trace/ownership.pml.trail" "$MODEL"
}

main()
{
	need spin gcc libc6-dev
	mkdir -p "$CACHE/tmp"
	WORK=$(mktemp -d "$CACHE/tmp/model.XXXXXX")
	trap 'rm -rf "$WORK"' EXIT
	if [ "${1-}" = --trace ]; then
		shift
		trace "$@"
		return
	fi
	run_all "${ORDER[@]}" "${BUGS[@]}"
	try "model: every step is taken" all_steps
	try "model: every seeded bug is looked for" all_bugs
	try "model: code, model and documentation name the same steps" same_tags
	tally
}

main "$@"; exit
