#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tortures the engines in the guest: what "make torture" does.
#
#   DURATION=300                  seconds for each engine
#   SEED=1234                     of the random numbers (default: one of its own choice)
#   ENGINES='mimalloc tlsf evl'   these engines (default all)
#   KERNELS='kunit'               on these kernels; on rt and rtdebug, chaos_rt.ko runs, too
#   SMP=4                         CPUs of the guest
#   MISTAKES='double leak'        have a client make these mistakes instead, each of
#                                 which is to be found (double, share, leak, overrun)
#   PARAMETERS='hardening=2'      more parameters of chaos_torture.ko
#
# Each engine on each kernel is one result; ends with "N passed, N failed, N skipped".

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

DURATION=${DURATION:-300}
SEED=${SEED:-$((RANDOM << 15 | RANDOM | 1))}
ENGINES=${ENGINES:-$ALLOCATORS}
KERNELS=${KERNELS:-kunit}
SMP=${SMP:-4}
MISTAKES=${MISTAKES:-}
PARAMETERS=${PARAMETERS:-}
# What a run takes beside its time: to boot, and to end
MARGIN=600

# Kernels with checkers are large themselves.
memory()
{
	case $1 in
	*debug) echo 1G ;;
	*) echo 512M ;;
	esac
}

# The kernels that we build have NMIs.
parameters()
{
	local list="seconds=$DURATION seed=$SEED $PARAMETERS"

	case $1 in
	kunit | debug) list+=" need_nmi=1" ;;
	esac
	echo "${list// /,}"
}

# guest NAME KERNEL JOB ARGUMENT...: sets LOG; its output matters if it fails
guest()
{
	local name=$1 kernel=$2 job=$3

	shift 3
	LOG=$CACHE/logs/torture-$name.log
	"$TOP/run-qemu.sh" --kernel "$kernel" --guest "$job" --smp "$SMP" \
		--mem "$(memory "$kernel")" --log "$LOG" --append kmemleak=off "$@" \
		>"$LOG.out" 2>&1
}

# from_log PATTERN: what the guest said
from_log()
{
	grep -aE "$1" "$LOG" | sed 's/^\[ *[0-9.]*\] /  /'
}

# torture KERNEL ENGINE
torture()
{
	local name="${1##*/}-$2" args

	args=(--append "chaos.torture=$(parameters "$1")")
	[ -z "$MISTAKES" ] || args=(--append "chaos.mistakes=${MISTAKES// /,}"
		--append chaos.torture_runs=0)
	say "$name: $DURATION seconds, SEED=$SEED"
	if guest "$name" "$1" torture --allocator "$2" \
		--timeout $((2 * DURATION + MARGIN)) "${args[@]}"; then
		from_log 'chaos_torture: (operations|SUCCESS|FAILURE)' || true
		verdict ok "$name"
	else
		tail -n 25 "$LOG.out"
		from_log 'chaos_torture: (after|operations|SUCCESS|FAILURE)' || true
		verdict FAIL "$name: see above, and the log $LOG"
	fi
}

# Where kmalloc() may not be called, chaos_alloc() may.
realtime()
{
	local name="${1##*/}-atomic"

	if guest "$name" "$1" rt; then
		from_log 'chaos_rt: '
		verdict ok "$name: no report"
	else
		tail -n 25 "$LOG.out"
		verdict FAIL "$name: see above, and the log $LOG"
	fi
}

# The kernel reports kmalloc() in each of the places where its checks can see it.
realtime_kmalloc()
{
	local name="${1##*/}-kmalloc" places

	if guest "$name" "$1" rt --append chaos.kmalloc=1; then
		places=$(grep -acE '\] +ok [0-9]+ kmalloc_' "$LOG") || true
	else
		tail -n 25 "$LOG.out"
		places=0
	fi
	from_log 'BUG: (sleeping|Invalid)|chaos_rt: |rt_(raw|irqs|tick|hardirq|preempt)' || true
	if [ "$places" -gt 0 ]; then
		verdict ok "$name: reported in $places places"
	else
		verdict FAIL "$name: see above, and the log $LOG"
	fi
}

main()
{
	local kernel engine

	mkdir -p "$CACHE/logs"
	# Logs have the names of kernels and engines.
	lock torture
	for kernel in $KERNELS; do
		for engine in $ENGINES; do
			torture "$kernel" "$engine"
		done
		case $kernel in
		rt | rtdebug | debug) realtime "$kernel" ;;
		esac
		case $kernel in
		rtdebug | debug) realtime_kmalloc "$kernel" ;;
		esac
	done
	tally
}

main "$@"; exit
