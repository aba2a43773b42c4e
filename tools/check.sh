#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the test suites in the guest: what "make check" does.
#
#   SUITES='chaos_tlsf*'      only these suites (a glob; default all)
#   KERNELS='kunit debug'     on these kernels (default both; all: every test kernel)
#
# Lists each case and ends with "N passed, N failed, N skipped".

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

SUITES=${SUITES:-*}
# Suites that make and end many heaps (API, faults, growth, hardening, options, overruns, pools),
# where leaks are looked for, and chaos_provoke; and the others. chaos_heaps is neither: the
# guest that switches CPUs off has it.
LEAK_SUITES='chaos_[afghop][!e]*'
OTHER_SUITES='chaos_[!afghop]*'
# Of each guest, in seconds. Nothing takes so long where nothing else runs.
TIMEOUT=2400
KERNELS=${KERNELS:-kunit debug}
[ "$KERNELS" != all ] || KERNELS=$TEST_KERNELS
# CPUs of the guests of a kernel: where most suites run, and where those run that
# want several. Others have 2, and 5.
declare -A CPUS=([16k]=1) CPUS_SMP=([16k]=8 [amd64]=8)

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

# explain NAME FILE: the cases that failed, and what the first of them says
explain()
{
	local name=$1 file=$2 line

	while read -r line; do
		failure "$name: $line"
	done < <(
		grep -aE '^[^]]*\] +not ok ' "$file" | head -n 6 | sed 's/^[^]]*\] *//'
		grep -aE -m 1 -A 4 '(EXPECTATION|ASSERTION) FAILED' "$file" |
			sed 's|^[^]]*\] *||; s| at .*/| at |'
	)
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
		if [ "$SUITES" != '*' ] &&
			{ grep -qE '\] 1\.\.0$' "$file" || ! grep -q 'KTAP version' "$file"; }; then
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
	[ "$bad" -eq 0 ] || explain "$name" "$file"
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

# --- guests -------------------------------------------------------------------

# Each has a name, and by that a kernel, jobs (scripts of rootfs/), the suites
# that its jobs run, and more arguments of run-qemu.sh.
GUESTS=()
declare -A KERNEL_OF JOBS_OF SUITES_OF ARGS_OF

# guest NAME KERNEL JOBS SUITES [run-qemu.sh argument...]
guest()
{
	GUESTS+=("$1")
	KERNEL_OF[$1]=$2
	JOBS_OF[$1]=$3
	SUITES_OF[$1]=$4
	shift 4
	ARGS_OF[${GUESTS[-1]}]="$*"
}

# of_all SUITES: these where all are wanted, else those that are wanted
of_all()
{
	if [ "$SUITES" = '*' ]; then
		echo "$1"
	else
		echo "$SUITES"
	fi
}

# Is anything wanted of KUnit's?  A module none of whose suites are says nothing.
kunit_selected()
{
	[ "$SUITES" != chaos_torture ] && [ "$SUITES" != chaos_rt ]
}

# The slow ones first. To kmemleak, each block is an object: it is off where there
# are millions.
plan_debug()
{
	# What need not run beside the leaks, in two halves; of what insmod does for each
	# allocator, one
	if kunit_selected; then
		guest debug debug params,kunit "$(of_all "$OTHER_SUITES")" \
			--allocator mimalloc --append kmemleak=off
	fi
	# Leaks, and the reports that a client's mistakes provoke. These come last,
	# because they switch checkers off.
	if selected chaos_provoke chaos_guide; then
		guest debug-leaks debug guide,kunit,provoke "$(of_all "$LEAK_SUITES")"
	fi
	# This includes the torture test.
	if selected chaos_injection chaos_fault; then
		guest debug-faults debug fault "$SUITES"
	fi
	if selected chaos_sharing chaos_budget chaos_hotplug; then
		guest debug-smp debug smp,hotplug "$SUITES" --smp 5 --append kmemleak=off
	fi
	if selected chaos_rt; then
		guest debug-rt debug rt "$SUITES" --append chaos.kmalloc=1
	fi
}

# Where kmalloc() may not be called; and it is reported there.
plan_rtdebug()
{
	plan_kernel rtdebug
	if selected chaos_rt; then
		guest rtdebug-rt rtdebug rt "$SUITES" --append chaos.kmalloc=1
	fi
}

plan_kernel()
{
	! kunit_selected || guest "$1" "$1" params,guide,top,kunit "$SUITES" --smp "${CPUS[$1]:-2}"
	# What wants more CPUs than this machine may have
	if selected chaos_sharing chaos_budget chaos_hotplug chaos_race; then
		guest "${1##*/}-smp" "$1" smp,hotplug "$SUITES" --smp "${CPUS_SMP[$1]:-5}"
	fi
	# What wants a machine with several nodes, and with little memory
	if [[ $1 == kunit* ]] && selected chaos_numa chaos_pressure; then
		guest "$1-nodes" "$1" numa,pressure "$SUITES" \
			--nodes 2 --smp 4 --mem 384M
	fi
	# Some of what "make torture" does for longer; and it finds what it is to find.
	if [[ $1 == kunit* ]] && selected chaos_torture; then
		guest "$1-torture" "$1" torture "$SUITES" --smp 4 --mem 512M \
			--append chaos.torture=seconds=12,need_nmi=1 \
			--append chaos.mistakes=double,leak
	fi
}

# Never two of one name: then the same log would have two writers.
plan()
{
	local kernel

	case " $KERNELS " in
	*' debug '*) plan_debug ;;
	esac
	for kernel in $KERNELS; do
		case $kernel in
		debug) ;;
		rtdebug) plan_rtdebug ;;
		*) plan_kernel "$kernel" ;;
		esac
	done
}

# prepare KERNEL: builds it and the modules, here, where it can be seen, and not
# by several guests at once
prepare()
{
	local dir=$1

	! is_kernel_name "$1" || dir=$("$TOP/tools/kernels.sh" "$1")
	need "$(qemu_package "$(kernel_deb_arch "$dir")")"
	"$TOP/tools/modules.sh" "$dir" "$(kernel_deb_arch "$dir")" >/dev/null
}

log_of()
{
	echo "$CACHE/logs/check-${1##*/}.log"
}

# run_guest NAME: its output and its exit status go to files
run_guest()
{
	local name=$1 status=0 args

	# A guest that outlives us keeps nobody waiting.
	unlock check
	read -ra args <<<"${ARGS_OF[$name]}"
	"$TOP/run-qemu.sh" --kernel "${KERNEL_OF[$name]}" --guest "${JOBS_OF[$name]}" \
		--log "$(log_of "$name")" --timeout "$TIMEOUT" \
		--append "chaos.suites=${SUITES_OF[$name]}" "${args[@]}" \
		>"$WORK/${name##*/}.out" 2>&1 || status=$?
	echo "$status" >"$WORK/${name##*/}.status"
}

# suite_of JOB: the suite that a script in the guest runs, if it is not one of KUnit's
suite_of()
{
	sed -nE 's/^(SUITE=|run_suite )(chaos_[a-z_]+).*/\2/p' "$TOP/rootfs/$1.sh"
}

# all_begun NAME LOG: a suite that the guest's selection leaves out would be missed by nobody.
all_begun()
{
	local name=$1 log=$2 job suite

	[ "$SUITES" = '*' ] || return 0
	for job in ${JOBS_OF[$name]//,/ }; do
		for suite in $(suite_of "$job"); do
			grep -aq "# Subtest: $suite\$" "$log" ||
				verdict FAIL "$name: $suite was planned and never began"
		done
	done
}

# report_guest NAME: when it has ended
report_guest()
{
	local name=$1 log dir file

	log=$(log_of "$name")
	dir=$WORK/${name##*/}
	mkdir -p "$dir"
	printf '\n--- %s\n' "$name"
	cat "$WORK/${name##*/}.out"
	[ ! -e "$log" ] || split_log "$log" "$dir"
	for file in "$dir"/*; do
		[ -e "$file" ] || continue
		parse_run "$name, ${file##*-}" "$file"
	done
	echo
	all_begun "$name" "$log"
	if [ "$(cat "$WORK/${name##*/}.status")" -eq 0 ]; then
		verdict ok "$name: the guest finished, and its kernel log is clean"
	else
		verdict FAIL "$name: see above, and the log $log"
	fi
}

# A word on each guest that is running
progress()
{
	local name passed

	for name in "${RUNNING[@]}"; do
		passed=$(grep -acE '\] +ok [0-9]+ ' "$(log_of "$name")" 2>/dev/null) || true
		say "$name: ${passed:-0} passed so far"
	done
}

# Reports the guests that have ended, and takes them off RUNNING.
reap()
{
	local name still=()

	for name in "${RUNNING[@]}"; do
		if [ -e "$WORK/${name##*/}.status" ]; then
			report_guest "$name"
		else
			still+=("$name")
		fi
	done
	RUNNING=("${still[@]}")
}

# An emulated CPU of a guest that waits costs nothing, so each guest needs about
# one CPU of ours.
run_guests()
{
	local at_once name ticks=0

	at_once=$(nproc)
	RUNNING=()
	for name in "${GUESTS[@]}" ''; do
		while [ "${#RUNNING[@]}" -ge "$at_once" ] ||
			{ [ -z "$name" ] && [ "${#RUNNING[@]}" -gt 0 ]; }; do
			sleep 1
			ticks=$((ticks + 1))
			[ $((ticks % 60)) -ne 0 ] || progress
			reap
		done
		[ -n "$name" ] || break
		say "starting $name"
		rm -f "$(log_of "$name")"
		run_guest "$name" &
		RUNNING+=("$name")
	done
}

main()
{
	local kernel

	need python3 cpio gzip xz-utils
	SOURCE=$("$TOP/tools/kernels.sh" source)
	mkdir -p "$CACHE/tmp" "$CACHE/logs"
	# Logs have the names of their guests.
	lock check
	WORK=$(mktemp -d "$CACHE/tmp/check.XXXXXX")
	TESTS=0
	# shellcheck disable=SC2046  # process numbers
	trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$WORK"' EXIT
	for kernel in $KERNELS; do
		prepare "$kernel"
	done
	plan
	run_guests
	[ "$TESTS" -gt 0 ] || verdict FAIL "no test ran at all for SUITES='$SUITES'"
	tally
}

main "$@"; exit
