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

# check_kernel KERNEL
check_kernel()
{
	local kernel=$1 log dir file status=0

	TESTS=0
	log=$CACHE/logs/check-${kernel##*/}.log
	dir=$WORK/${kernel##*/}
	mkdir -p "$dir" "$CACHE/logs"
	"$TOP/run-qemu.sh" --kernel "$kernel" --guest kunit,params --log "$log" \
		--append "chaos.suites=$SUITES" || status=$?
	[ ! -e "$log" ] || split_log "$log" "$dir"
	for file in "$dir"/*; do
		[ -e "$file" ] || continue
		parse_run "$kernel, ${file##*-}" "$file"
	done
	echo
	if [ "$status" -eq 0 ]; then
		verdict ok "$kernel: the guest finished, and its kernel log is clean"
	else
		verdict FAIL "$kernel: see above, and the log $log"
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
