#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the benchmark: what "make bench" and "./run-qemu.sh --bench" do.
# See usage() below, and Documentation/benchmark.rst.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

GROUNDS="icount shipped"

usage()
{
	cat <<EOF
Usage: tools/bench.sh [options]

Measures the engines and the kernel's own allocators side by side, prints a table
and writes the figures and a report with plots.

  --quick            a couple of minutes: to see that it works, not for figures
  --ground NAME      this one only (may be given several times):
                     icount   instructions, stock kernel, init_on_alloc=0
                     shipped  the same as Debian ships it
  --works NAME,...   these works only
  --peers NAME,...   these peers only
  --out DIR          where the results go (default bench/out)
  --help             this text
EOF
}

parse_options()
{
	QUICK='' CHOSEN=() PARAMETERS='' OUT=$TOP/bench/out

	while [ $# -gt 0 ]; do
		case $1 in
		--ground | --works | --peers | --out)
			[ $# -ge 2 ] || die "$1 wants a value"
			set_option "$1" "$2"
			shift
			;;
		--quick) QUICK=1 ;;
		--help | -h) usage; exit 0 ;;
		*) die "unknown option '$1'; see --help" ;;
		esac
		shift
	done
	[ ${#CHOSEN[@]} -gt 0 ] || read -ra CHOSEN <<<"$GROUNDS"
	[ -z "$QUICK" ] || PARAMETERS+=";scale=5"
}

set_option()
{
	case $1 in
	--ground)
		[[ " $GROUNDS " == *" $2 "* ]] ||
			die "no ground '$2'; there are: $GROUNDS"
		CHOSEN+=("$2")
		;;
	--works | --peers) PARAMETERS+=";${1#--}=$2" ;;
	--out) OUT=$(realpath -m "$2") ;;
	esac
}

# run_icount NAME APPEND: one CPU, on which each instruction is counted
run_icount()
{
	"$TOP/run-qemu.sh" --guest bench --smp 1 --timeout 3600 \
		--log "$OUT/$1.log" --append "$2" \
		--append "chaos.bench=counter=instructions$PARAMETERS" -- \
		-icount shift=0,sleep=off
}

run_ground()
{
	say "ground: $1"
	rm -f "$OUT/$1.log"
	case $1 in
	icount) run_icount icount init_on_alloc=0 ;;
	shipped) run_icount shipped '' ;;
	esac
}

main()
{
	local ground status=0 logs=()

	parse_options "$@"
	need python3
	mkdir -p "$OUT"
	for ground in "${CHOSEN[@]}"; do
		run_ground "$ground" || status=1
		[ ! -e "$OUT/$ground.log" ] || logs+=("$OUT/$ground.log")
	done
	"$TOP/tools/report.py" --out "$OUT" "${logs[@]}" || status=1
	return "$status"
}

main "$@"; exit
