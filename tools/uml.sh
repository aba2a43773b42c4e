#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs jobs of rootfs/ in User-mode Linux: kernel code at the full speed of this
# machine. See usage() below, and Documentation/native.rst.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tools/guest.sh
. "$TOP/tools/guest.sh"

usage()
{
	cat <<EOF
Usage: tools/uml.sh [options] KERNEL JOB...

KERNEL is one of
  um         Debian's Linux $SOURCE_SERIES source, one CPU
  um-smp     the newest source in Debian's archive, several CPUs
  um-kunit   the same with KUnit
It is built if need be, and so are the modules. JOB is a script of rootfs/. Prints
what the guest and its modules say; the exit status is 0 only if nothing was wrong.

  --smp N            CPUs of the guest, except um's (default 2)
  --cpus LIST        CPUs of this machine to run on, as taskset takes them (default:
                     the last N)
  --mem SIZE         memory of the guest (default 2G)
  --allocators A,... engines of the default heap (default ${ALLOCATORS// /,})
  --user TURNS       run the same work with mimalloc in user space, before and after
                     the guest, on the same CPU
  --append "ARGS"    more words for the kernel command line
  --timeout SECONDS  give the guest up after this (default 1200)
  --log FILE         keep the guest's log here
  --help             this text
EOF
}

bad_usage()
{
	say "$*"
	say "see tools/uml.sh --help"
	exit 2
}

parse_options()
{
	SMP=2 CPUS='' MEM=2G CHOSEN=${ALLOCATORS// /,} APPEND='' LIMIT=1200 LOG='' USER_TURNS=0

	while [[ ${1:-} == -* ]]; do
		[[ $1 =~ ^(-h|--help)$ ]] || [ $# -ge 2 ] || bad_usage "$1 wants a value"
		case $1 in
		--smp) SMP=$2 ;;
		--cpus) CPUS=$2 ;;
		--mem) MEM=$2 ;;
		--allocators) CHOSEN=$2 ;;
		--user) USER_TURNS=$2 ;;
		--append) APPEND+=" $2" ;;
		--timeout) LIMIT=$2 ;;
		--log) LOG=$2 ;;
		-h | --help) usage; exit 0 ;;
		*) bad_usage "unknown option '$1'" ;;
		esac
		shift 2
	done
	[ $# -ge 2 ] || bad_usage "want a kernel and a job"
	KERNEL=$1
	shift
	JOBS=$*
	[[ $KERNEL =~ ^um(-smp|-kunit)?$ ]] || bad_usage "no kernel '$KERNEL'"
	[ "$KERNEL" != um ] || SMP=1
	for job in $JOBS; do
		[ -x "$TOP/rootfs/$job.sh" ] || bad_usage "no job '$job' in rootfs/"
	done
}

# The last ones: whatever else the machine does prefers the first.
choose_cpus()
{
	local n

	n=$(nproc)
	[ "$SMP" -le "$n" ] || die "--smp $SMP: this machine has only $n CPUs"
	[ -n "$CPUS" ] || CPUS=$((n - SMP))-$((n - 1))
}

# Sets LINUX, the command line. Memory is a file on a tmpfs, or it would be
# written to disk.
assemble_uml()
{
	LINUX=(taskset -c "$CPUS" "$KERNEL_DIR/linux" mem="$MEM"
		initrd="$WORK/initramfs.gz" uml_dir="$WORK/" con=null "con0=null,fd:2"
		ssl=null printk.devkmsg=on panic=-1 oops=panic
		chaos.jobs="${JOBS// /,}" chaos.allocators="$CHOSEN"
		chaos.idle_limit=5)
	if [ "$KERNEL" = um ]; then
		# It takes what random addresses cost it from its memory.
		LINUX=(setarch -R "${LINUX[@]}")
	else
		# Without seccomp=on it refuses to have several CPUs.
		LINUX+=(ncpus="$SMP" seccomp=on)
	fi
	# shellcheck disable=SC2206  # words
	LINUX+=($APPEND)
}

# Of the log, what we and the tests say is shown as it comes.
ours_only()
{
	sed -un 's/^\[ *[0-9.]*\] \(\(chaos\|user\)_[a-z]*: .*\)/  \1/p'
}

run_guest()
{
	say "booting ${KERNEL_DIR##*/} on CPU $CPUS (log: $LOG)"
	STATUS=0
	timeout --foreground -k 5 "$LIMIT" "${LINUX[@]}" </dev/null 2>&1 |
		stdbuf -oL tr -d '\r' | tee -a "$LOG" | ours_only ||
		STATUS=${PIPESTATUS[0]}
}

# The same work in user space; its lines look like those of the guest's log.
run_user()
{
	[ "$USER_TURNS" -gt 0 ] || return 0
	taskset -c "${CPUS%%[-,]*}" "$WORK/user_mimalloc" "$USER_TURNS" |
		sed -u 's/^/[ 0.0] /' | tee -a "$LOG" | ours_only
}

main()
{
	local bad=0

	parse_options "$@"
	choose_cpus
	need cpio gzip xz-utils util-linux
	KERNEL_DIR=$("$TOP/tools/kernels.sh" "$KERNEL")
	BUILD=$("$TOP/tools/modules.sh" "$KERNEL_DIR" um KCFLAGS=-DCHAOS_BENCH_UML)

	mkdir -p "$CACHE/logs" "$CACHE/tmp"
	WORK=$(mktemp -d "$CACHE/tmp/uml.XXXXXX")
	trap 'rm -rf "$WORK"' EXIT
	if [ "$USER_TURNS" -gt 0 ]; then
		need libmimalloc-dev
		make -s -C "$TOP/bench" -f user.mk OUT="$WORK"
	fi
	if [ -z "$LOG" ]; then
		find "$CACHE/logs" -name 'uml-*' -mtime +7 -delete
		LOG=$(mktemp "$CACHE/logs/uml-$KERNEL-XXXXXX.log")
	fi
	: >"$LOG"
	pack_initramfs um "$BUILD" "$WORK"
	assemble_uml
	run_user
	run_guest
	run_user
	scan_log "$LOG" "$STATUS" "$LIMIT" || bad=1
	[ "$bad" -eq 0 ] || say "FAILED (log: $LOG)"
	return "$bad"
}

main "$@"; exit
