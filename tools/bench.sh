#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the benchmark: what "make bench" and "./run-qemu.sh --bench" do.
# See usage() below, and Documentation/benchmark.rst.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

GROUNDS="icount shipped worst parallel native native-smp user"
PARALLEL_WORKS=parallel-pair,parallel-batch,parallel-churn,larson,producer
# What Documentation/choosing.rst shows
PLOTTED_WORKS=pair,batch,churn,aligned,trace
PLOTTED_PEERS=kmalloc,mimalloc,tlsf,evl,default

usage()
{
	cat <<EOF
Usage: tools/bench.sh [options]

Measures the engines and the kernel's own allocators side by side, prints tables
and writes the figures and a report with plots. Documentation/benchmark.rst says
what is measured, and how.

  --quick            a few minutes: to see that it works, not for figures
  --ground NAME      this one only (may be given several times):
                     icount      instructions, stock kernel, init_on_alloc=0
                     shipped     the same as Debian ships it
                     worst       instructions of single calls at worst
                     parallel    throughput of four CPUs in QEMU
                     native      nanoseconds, User-mode Linux, one CPU
                     native-smp  throughput of two CPUs there
                     user        nanoseconds beside mimalloc in user space
  --works NAME,...   these works only
  --peers NAME,...   these peers only
  --load PARAMETERS  load chaos_alloc.ko with these, too: "hardening=2 track=1"
  --plots DIR        draw the plots of Documentation/choosing.rst, and print its
                     table; measures what they need and nothing else, 2 minutes
  --out DIR          where the results go (default bench/out)
  --help             this text
EOF
}

# A ground that this tree has no script for is left out.
grounds()
{
	local ground

	for ground in $GROUNDS; do
		case $ground in
		worst) [ -x "$TOP/rootfs/worst.sh" ] || continue ;;
		native* | user) [ -x "$TOP/tools/uml.sh" ] || continue ;;
		esac
		echo "$ground"
	done
}

parse_options()
{
	local slow='^$'

	QUICK='' CHOSEN=() SELECTION='' WORKS='' OUT=$TOP/bench/out PLOTS='' LOAD=''
	while [ $# -gt 0 ]; do
		case $1 in
		--ground | --works | --peers | --load | --out | --plots)
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
	# Quickly, it is enough to run each piece of code once.
	[ -z "$QUICK" ] || slow='^(shipped|worst)$'
	[ ${#CHOSEN[@]} -gt 0 ] || mapfile -t CHOSEN < <(grounds | grep -vE "$slow")
	# One engine for the default heap, and a fraction of the repetitions
	[ -z "$QUICK" ] || QUICK="scale=5;repeat=1"
}

set_option()
{
	case $1 in
	--ground)
		# Not -q, which would not read to the end: then grounds might fail.
		grounds | grep -xF -- "$2" >/dev/null ||
			die "no ground '$2'; there are: $(grounds | xargs)"
		CHOSEN+=("$2")
		;;
	--works) WORKS=$2 ;;
	--peers) SELECTION+=";peers=$2" ;;
	--load) LOAD=" chaos.load=${2// /;}" ;;
	--out) OUT=$(realpath -m "$2") ;;
	--plots)
		PLOTS=$(realpath -m "$2") CHOSEN=(icount) WORKS=$PLOTTED_WORKS
		SELECTION=";peers=$PLOTTED_PEERS"
		;;
	esac
}

# parameters WORKS MORE: those of the module; what the user chooses comes last
parameters()
{
	echo "chaos.bench=$2;works=${WORKS:-$1}$SELECTION${QUICK:+;$QUICK}$LOAD"
}

# run_qemu NAME SMP APPEND PARAMETERS [qemu argument...]
run_qemu()
{
	local name=$1 smp=$2 append=$3 parameters=$4 few=()

	shift 4
	[ -z "$QUICK" ] || few=(--allocator mimalloc)
	"$TOP/run-qemu.sh" --guest bench --smp "$smp" --timeout 7200 \
		--log "$OUT/$name.log" --append "$append $parameters" "${few[@]}" -- "$@"
}

run_uml()
{
	"$TOP/tools/uml.sh" --timeout 7200 --log "$OUT/$1.log" --append "$3" "$2" bench
}

# The loops of "make native", before and after which they run in user space
run_user()
{
	local turns=5

	[ -z "$QUICK" ] || turns=1
	"$TOP/tools/uml.sh" --allocators mimalloc --timeout 7200 --log "$OUT/user.log" \
		--append "chaos.native=turns=$turns;only=kmalloc,default" \
		--user "$(((turns + 1) / 2))" um native
}

run_worst()
{
	"$TOP/run-qemu.sh" --guest worst --smp 1 --mem 4G --timeout 7200 \
		--log "$OUT/worst.log" --append init_on_alloc=0 -- \
		-icount shift=0,sleep=off
}

run_ground()
{
	local icount=(-icount "shift=0,sleep=off") ms=100

	say "ground: $1"
	[ -z "$QUICK" ] || ms=20
	rm -f "$OUT/$1.log"
	case $1 in
	icount)
		run_qemu icount 1 init_on_alloc=0 \
			"$(parameters '' counter=instructions)" "${icount[@]}"
		;;
	shipped)
		run_qemu shipped 1 '' "$(parameters '' counter=instructions)" \
			"${icount[@]}"
		;;
	worst) run_worst ;;
	user) run_user ;;
	parallel)
		# Who waits for a lock whose holder does not run waits long: quickly,
		# there are no more CPUs than this machine will have.
		run_qemu parallel "$([ -n "$QUICK" ] && echo 2 || echo 4)" \
			init_on_alloc=0 \
			"$(parameters "$PARALLEL_WORKS" "parallel_ms=$ms;repeat=3")"
		;;
	native) run_uml native um "$(parameters '' repeat=3)" ;;
	native-smp)
		run_uml native-smp um-smp \
			"$(parameters "$PARALLEL_WORKS" "parallel_ms=$ms;repeat=5")"
		;;
	esac
}

# The plots of Documentation/choosing.rst, if all has been measured that they show
draw_choosing()
{
	[ -n "$PLOTS" ] || [[ " ${CHOSEN[*]} " = *' icount '* && -z $WORKS$SELECTION ]] || return 0
	"$TOP/tools/choosing.py" "$OUT/icount.log" "${PLOTS:-$OUT}"
}

main()
{
	local ground status=0 logs=()

	parse_options "$@"
	need python3 gnuplot-nox
	mkdir -p "$OUT"
	for ground in "${CHOSEN[@]}"; do
		run_ground "$ground" || status=1
		[ ! -e "$OUT/$ground.log" ] || logs+=("$OUT/$ground.log")
	done
	"$TOP/tools/report.py" --out "$OUT" "${logs[@]}" || status=1
	draw_choosing || status=1
	say "the report: $OUT/report.html"
	return "$status"
}

main "$@"; exit
