#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the test suites in the guest: what "make check" does.
#
#   SUITES='chaos_tlsf*'      only these suites (a glob; default all)
#   KERNELS='kunit debug'     on these kernels (default both)
#
# Lists each case and ends with "N passed, N failed, N skipped".

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

SUITES=${SUITES:-*}
# Suites that make and end many heaps: API, growth, hardening, heaps, options
LEAK_SUITES='chaos_[agho]*'
KERNELS=${KERNELS:-kunit debug}

# split_log LOG DIR: what is between the marks of each run, in a file of its own
split_log()
{
	awk -v dir="$2" '
		/chaos_run: begin / { file = sprintf("%s/%02d-%s", dir, ++n, $NF) }
		file { print > file }
		/chaos_run: end / { file = "" }' "$1"
}

# count LINE WORD: the number after "WORD: " in the summary of kunit.py
count()
{
	local n

	n=$(grep -oE "$2: [0-9]+" <<<"$1" | grep -oE '[0-9]+') || n=0
	echo "$n"
}

# parse_run NAME FILE: with the kernel's own parser
parse_run()
{
	local name=$1 file=$2 out summary ran bad

	out=$(python3 "$SOURCE/tools/testing/kunit/kunit.py" parse "$file" 2>&1) || true
	summary=$(grep -E '^(\[[0-9:]+\] )?Testing complete' <<<"$out" | tail -n 1) || true
	ran=$(grep -oE 'Ran [0-9]+ tests' <<<"$summary" | grep -oE '[0-9]+') || ran=0
	bad=$(($(count "$summary" failed) + $(count "$summary" crashed)))
	if [ "$ran" -eq 0 ]; then
		# A selection may leave a run nothing to do.
		if [ "$SUITES" != '*' ] && grep -qE '\] 1\.\.0$' "$file"; then
			return
		fi
		printf '%s\n' "$out"
		tail -n 20 "$file"
		verdict FAIL "$name: no test ran"
		return
	fi
	printf '\n--- %s\n%s\n' "$name" "$out"
	PASSED=$((PASSED + $(count "$summary" passed)))
	SKIPPED=$((SKIPPED + $(count "$summary" skipped)))
	FAILED=$((FAILED + bad))
	TESTS=$((TESTS + ran))
	# Errors of the parser are suites that do not say what they ought to.
	if [ "$bad" -eq 0 ] && [ "$(count "$summary" errors)" -gt 0 ]; then
		verdict FAIL "$name: the results are malformed"
	fi
}

# selected SUITE...: is any of them?
selected()
{
	local suite

	for suite in "$@"; do
		# shellcheck disable=SC2053  # it is a pattern
		[[ $suite != ${SUITES%%.*} ]] || return 0
	done
	return 1
}

# check_guest NAME KERNEL JOBS [run-qemu.sh argument...]
check_guest()
{
	local name=$1 kernel=$2 jobs=$3 log dir file status=0

	shift 3
	log=$CACHE/logs/check-${name##*/}.log
	dir=$WORK/${name##*/}
	mkdir -p "$dir" "$CACHE/logs"
	"$TOP/run-qemu.sh" --kernel "$kernel" --guest "$jobs" --log "$log" \
		--append "chaos.suites=$SUITES" "$@" || status=$?
	[ ! -e "$log" ] || split_log "$log" "$dir"
	for file in "$dir"/*; do
		[ -e "$file" ] || continue
		parse_run "$name, ${file##*-}" "$file"
	done
	echo
	if [ "$status" -eq 0 ]; then
		verdict ok "$name: the guest finished, and its kernel log is clean"
	else
		verdict FAIL "$name: see above, and the log $log"
	fi
}

# check_kernel KERNEL
check_kernel()
{
	local kernel=$1 fast=()

	# Each block is an object of kmemleak's: where there are millions, that is slow.
	[ "$kernel" != debug ] || fast=(--append kmemleak=off)
	TESTS=0
	check_guest "$kernel" "$kernel" kunit,params "${fast[@]}"
	# What wants more CPUs than this machine may have
	if selected chaos_sharing chaos_budget chaos_hotplug; then
		check_guest "$kernel-smp" "$kernel" smp,hotplug --smp 5 \
			--timeout 1200 "${fast[@]}"
	fi
	# Leaks, and the reports that a client's mistakes provoke. These come last,
	# because they switch checkers off.
	if [ "$kernel" = debug ] && selected chaos_provoke; then
		SUITES=${SUITES/#\*/$LEAK_SUITES} check_guest debug-leaks debug kunit,provoke
	fi
	# What wants a machine with several nodes, and with little memory
	if [ "$kernel" = kunit ] && selected chaos_numa chaos_pressure; then
		check_guest kunit-nodes kunit numa,pressure \
			--nodes 2 --smp 4 --mem 384M
	fi
	if [ "$TESTS" -eq 0 ]; then
		verdict FAIL "$kernel: no test ran at all for SUITES='$SUITES'"
	fi
}

main()
{
	local kernel

	need python3
	SOURCE=$("$TOP/tools/kernels.sh" source)
	mkdir -p "$CACHE/tmp"
	WORK=$(mktemp -d "$CACHE/tmp/check.XXXXXX")
	trap 'rm -rf "$WORK"' EXIT
	for kernel in $KERNELS; do
		check_kernel "$kernel"
	done
	tally
}

main "$@"; exit
