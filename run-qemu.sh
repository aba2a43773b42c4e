#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Boots a guest with the modules in it. See usage() below, or --help.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/tools/common.sh"
# shellcheck source=tools/guest.sh
. "$TOP/tools/guest.sh"

usage()
{
	cat <<EOF
Usage: ./run-qemu.sh [options] [-- qemu arguments]

Boots a guest in QEMU and, for each allocator, loads chaos_alloc.ko and
a client module that replays a real kernel's allocation trace through it. Ends
with a table; the exit status is 0 only if nothing was wrong, the kernel log
included. Installs missing Debian packages, fetches or builds the kernel, builds
the modules: all of it in ${CACHE/#$HOME/\~}.

  --allocator NAME   replay with this one only: ${ALLOCATORS// /, }
                     (may be given several times)
  --smp N            number of CPUs (default 2)
  --mem SIZE         memory of the guest (default 1G)
  --nodes N          NUMA nodes that CPUs and memory are dealt out to (default 1)
  --kernel KERNEL    stock   Debian's $SOURCE_SERIES cloud kernel (default)
                     stock-6.1, newest
                             Debian's 6.1, and the newest that Debian has
                     stock-amd64, stock-6.1-amd64, newest-amd64
                             the same for amd64
                     rt      Debian's $SOURCE_SERIES PREEMPT_RT kernel
                     kunit   test kernel with KUnit, built from Debian's source
                     debug   the same with KASAN, lockdep, kmemleak and more
                     kcsan   the same with the concurrency sanitizer
                     rtdebug PREEMPT_RT with lockdep, pages of 64 KiB
                     16k     no preemption, pages of 16 KiB
                     gdb     the same as kunit with debug information
                     amd64   the same as kunit for amd64; the others are for arm64
                     kunit-newest
                             the same as kunit of the newest source that Debian has
                     PATH    the build tree of any kernel for arm64 or amd64
  --shell            an interactive shell instead, with the modules at hand
  --gdb[=PORT]       stop before the first instruction and wait for tools/gdb.sh at
                     this port (default $GDB_PORT); the kernel is gdb if not told
  --append "ARGS"    more words for the kernel command line
  --timeout SECONDS  give the guest up after this (default: $TIMEOUT_FAST, and
                     $TIMEOUT_SLOW for the test kernels and PATH; 0: never)
  --guest JOB,...    run these scripts of rootfs/ (default replay)
  --bench            run the benchmark instead; what follows are its options
                     (--bench --help has them)
  --log FILE         keep the guest's log here
  --help             this text

Exit status: 0 nothing was wrong, 1 something was, 2 wrong usage, 124 timeout.
EOF
}

TIMEOUT_FAST=600
TIMEOUT_SLOW=1200

bad_usage()
{
	say "$*"
	say "see ./run-qemu.sh --help"
	exit 2
}

parse_options()
{
	SMP=2 MEM=1G NODES=1 KERNEL='' APPEND='' TIMEOUT='' JOBS=replay LOG=''
	SHELL_WANTED='' GDB='' CHOSEN=() QEMU_EXTRA=()

	while [ $# -gt 0 ]; do
		case $1 in
		--allocator | --smp | --mem | --nodes | --kernel | --append | --timeout | \
			--guest | --log)
			[ $# -ge 2 ] || bad_usage "$1 wants a value"
			set_option "$1" "$2"
			shift
			;;
		--*=*) set_option "${1%%=*}" "${1#*=}" ;;
		--shell) SHELL_WANTED=1 ;;
		--gdb) GDB=$GDB_PORT ;;
		--bench)
			shift
			exec "$TOP/tools/bench.sh" "$@"
			;;
		--help | -h) usage; exit 0 ;;
		--)
			shift
			QEMU_EXTRA=("$@")
			break
			;;
		*) bad_usage "unknown option '$1'" ;;
		esac
		shift
	done
	KERNEL=${KERNEL:-${GDB:+gdb}}
	KERNEL=${KERNEL:-stock}
}

set_option()
{
	case $1 in
	--allocator)
		[[ " $ALLOCATORS " == *" $2 "* ]] ||
			bad_usage "no allocator '$2'; there are: $ALLOCATORS"
		CHOSEN+=("$2")
		;;
	--smp)
		[[ $2 =~ ^[1-9][0-9]*$ ]] || bad_usage "--smp wants a number, not '$2'"
		SMP=$2
		;;
	--mem)
		[[ $2 =~ ^[1-9][0-9]*[MGmg]?$ ]] ||
			bad_usage "--mem wants a size such as 512M, not '$2'"
		MEM=$2
		;;
	--nodes)
		[[ $2 =~ ^[1-8]$ ]] || bad_usage "--nodes wants a number from 1 to 8, not '$2'"
		NODES=$2
		;;
	--kernel) KERNEL=$2 ;;
	--append) APPEND+=" $2" ;;
	--timeout)
		[[ $2 =~ ^[0-9]+$ ]] || bad_usage "--timeout wants seconds, not '$2'"
		TIMEOUT=$2
		;;
	--guest) set_jobs "$2" ;;
	--gdb)
		[[ $2 =~ ^[1-9][0-9]{3,4}$ ]] || bad_usage "--gdb wants a port, not '$2'"
		GDB=$2
		;;
	--log) LOG=$2 ;;
	*) bad_usage "unknown option '$1'" ;;
	esac
}

set_jobs()
{
	local job

	for job in ${1//,/ }; do
		[ -x "$TOP/rootfs/$job.sh" ] || bad_usage "no job '$job' in rootfs/"
	done
	JOBS=$1
}

# Sets KERNEL_DIR, ARCH and IMAGE.
find_kernel()
{
	if is_kernel_name "$KERNEL"; then
		KERNEL_DIR=$("$TOP/tools/kernels.sh" "$KERNEL")
	else
		[ -d "$KERNEL" ] || bad_usage "no kernel '$KERNEL': neither a known name nor a directory"
		KERNEL_DIR=$(realpath "$KERNEL")
	fi
	ARCH=$(kernel_deb_arch "$KERNEL_DIR")
	for IMAGE in "$KERNEL_DIR/Image" "$KERNEL_DIR/arch/arm64/boot/Image" \
		"$KERNEL_DIR/arch/x86/boot/bzImage"; do
		[ ! -e "$IMAGE" ] || return 0
	done
	die "$KERNEL_DIR has no kernel image (Image, or arch/*/boot/*Image)"
}

# The machine of each architecture: sets MACHINE, and CONSOLE, words for the kernel
# command line.
find_machine()
{
	case $ARCH in
	arm64)
		# Emulating the real pointer authentication algorithm is slow; and gdb cannot
		# follow the pointers.
		MACHINE=(qemu-system-aarch64 -M "virt,gic-version=3"
			-cpu "max,$([ -n "$GDB" ] && echo pauth=off || echo pauth-impdef=on)")
		# NMIs exist where the kernel can mask by priority instead.
		CONSOLE="console=ttyAMA0 earlycon irqchip.gicv3_pseudo_nmi=1"
		;;
	amd64)
		MACHINE=(qemu-system-x86_64 -M q35 -cpu max)
		# With -no-reboot, that ends QEMU. This kernel cannot switch it off.
		CONSOLE="console=ttyS0 chaos.end=reboot"
		;;
	esac
}

# The arguments for NODES nodes with the same memory, in NUMA. The CPUs are
# dealt out in turn.
assemble_nodes()
{
	local mib=${MEM%[MGmg]} node cpu

	NUMA=()
	[ "$NODES" -gt 1 ] || return 0
	[[ $MEM != *[Gg] ]] || mib=$((mib * 1024))
	[ "$ARCH" = arm64 ] || bad_usage "--nodes: not on $ARCH"
	[ "$NODES" -le "$SMP" ] || bad_usage "--nodes $NODES wants as many CPUs"
	[ $((mib % NODES)) -eq 0 ] || bad_usage "--mem $MEM is no multiple of $NODES MiB"
	for ((node = 0; node < NODES; node++)); do
		NUMA+=(-object "memory-backend-ram,id=mem$node,size=$((mib / NODES))M"
			-numa "node,nodeid=$node,memdev=mem$node")
	done
	for ((cpu = 0; cpu < SMP; cpu++)); do
		NUMA+=(-numa "cpu,node-id=$((cpu * NODES / SMP)),socket-id=0,cluster-id=0,core-id=$cpu,thread-id=0")
	done
}

# Sets QEMU, the command line. Nobody else starts QEMU.
assemble_qemu()
{
	local allocators jobs=$JOBS cmdline

	assemble_nodes
	allocators=$(IFS=,; echo "${CHOSEN[*]:-${ALLOCATORS// /,}}")
	[ -z "$SHELL_WANTED" ] || jobs=shell
	find_machine
	# An oops ends the run; the machine then "reboots", which ends QEMU.
	cmdline="$CONSOLE panic=-1 oops=panic printk.devkmsg=on"
	cmdline+=" chaos.jobs=$jobs chaos.allocators=$allocators"
	# KASAN would stop after its first report, which may be an expected one.
	[[ ,$jobs, != *,provoke,* ]] || cmdline+=" kasan_multi_shot"
	[ -z "$GDB" ] || cmdline+=" nokaslr"
	cmdline+=$APPEND

	QEMU=("${MACHINE[@]}" -accel tcg
		-smp "$SMP" -m "$MEM" "${NUMA[@]}" -no-reboot -nic none
		-kernel "$IMAGE" -initrd "$WORK/initramfs.gz" -append "$cmdline")
	[ -z "$GDB" ] || QEMU+=(-S -gdb "tcp:127.0.0.1:$GDB")
	if [ -n "$SHELL_WANTED" ]; then
		QEMU+=(-nographic)
	else
		QEMU+=(-display none -monitor none -serial "file:/dev/stdout")
	fi
	QEMU+=("${QEMU_EXTRA[@]}")
}

# The modules as gdb reads them. Where a section has an address already, as .data has on
# arm64, it takes all code for .text's.
copy_symbols()
{
	local ko

	mkdir "$1"
	while read -r ko; do
		"$(cross_prefix "$ARCH")objcopy" --change-section-address '*=0' \
			"$ko" "$1/${ko##*/}"
	done < <(find "$BUILD" -name '*.ko')
}

# What tools/gdb/chaos.py has to know of the guest that waits at the port GDB
announce_gdb()
{
	local guest=$CACHE/gdb/$GDB pid

	pid=$(sed -n 's/^pid=//p' "$guest" 2>/dev/null) || true
	if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
		bad_usage "port $GDB belongs to a guest that runs already: --gdb=$((GDB + 1))?"
	fi
	copy_symbols "$WORK/symbols"
	mkdir -p "${guest%/*}"
	trap 'rm -rf "$WORK" "$CACHE/gdb/$GDB"' EXIT
	printf '%s\n' "pid=$$" "arch=$ARCH" "kernel=$KERNEL_DIR" "build=$BUILD" \
		"symbols=$WORK/symbols" "top=$TOP" >"$guest"
	[ -e "$KERNEL_DIR/kdir/vmlinux-gdb.py" ] || [ -e "$KERNEL_DIR/vmlinux-gdb.py" ] ||
		say "this kernel has no scripts for gdb: symbols of its modules are not loaded"
	say "waiting for gdb; in another terminal: tools/gdb.sh$(
		[ "$GDB" -eq "$GDB_PORT" ] || echo " --port $GDB")"
}

# Sets STATUS to that of QEMU, or to 124.
run_guest()
{
	local limit=$TIMEOUT

	if [ -z "$limit" ]; then
		limit=$TIMEOUT_SLOW
		[[ " $DEBIAN_KERNELS " != *" $KERNEL "* ]] || limit=$TIMEOUT_FAST
	fi
	[ -z "$GDB" ] || limit=0
	say "booting ${KERNEL_DIR##*/} (log: $LOG)"
	STATUS=0
	# Of the log, what we and the tests say is shown as it comes.
	timeout --foreground -k 5 "$limit" "${QEMU[@]}" </dev/null 2>&1 |
		stdbuf -oL tr -d '\r' | tee "$LOG" |
		sed -un 's/^\[ *[0-9.]*\] \(chaos_\(guest\|replay\): .*\)/  \1/p' ||
		STATUS=${PIPESTATUS[0]}
	LIMIT=$limit
}

# The result lines as a table; fails unless each allocator has a good one.
print_table()
{
	local wanted=("${CHOSEN[@]}")

	[ "${#wanted[@]}" -gt 0 ] || read -ra wanted <<<"$ALLOCATORS"
	awk -v wanted="${wanted[*]}" '
		function mib(bytes)
		{
			return sprintf("%.1f MiB", bytes / 1048576)
		}
		function row(a, b, c, d, e, f, g, h, i)
		{
			printf "%-10s %10s %9s %11s %6s %11s %11s %9s  %s\n",
				a, b, c, d, e, f, g, h, i
		}
		/chaos_replay: result: / {
			split("", v)
			for (i = 1; i <= NF; i++)
				if (split($i, kv, "=") == 2)
					v[kv[1]] = kv[2]
			a = v["allocator"]
			line[a]++
			for (k in v)
				result[a, k] = v[k]
		}
		END {
			row("allocator", "operations", "failures", "mismatches",
			    "check", "peak live", "held", "time", "verdict")
			n = split(wanted, names, " ")
			for (i = 1; i <= n; i++) {
				a = names[i]
				if (!(a in line)) {
					row(a, "-", "-", "-", "-", "-", "-", "-",
					    "no result")
					bad = 1
					continue
				}
				row(a, result[a, "ops"], result[a, "failures"],
				    result[a, "mismatches"], result[a, "check"],
				    mib(result[a, "peak_live"]),
				    mib(result[a, "held"]),
				    result[a, "time_ms"] " ms",
				    result[a, "verdict"])
				if (result[a, "verdict"] != "ok")
					bad = 1
			}
			exit bad
		}' "$LOG"
}

main()
{
	local bad=0

	parse_options "$@"
	find_kernel
	# shellcheck disable=SC2046  # a list of words
	need "$(qemu_package "$ARCH")" cpio gzip xz-utils $(compiler_packages "$ARCH")
	BUILD=$("$TOP/tools/modules.sh" "$KERNEL_DIR" "$ARCH")

	mkdir -p "$CACHE/logs" "$CACHE/tmp"
	WORK=$(mktemp -d "$CACHE/tmp/run.XXXXXX")
	trap 'rm -rf "$WORK"' EXIT
	if [ -z "$LOG" ]; then
		find "$CACHE/logs" -name 'run-*' -mtime +7 -delete
		LOG=$(mktemp "$CACHE/logs/run-${KERNEL##*/}-XXXXXX.log")
	fi
	[[ ,$JOBS, != *,dropin,* ]] || pack_dropin "$ARCH" "$KERNEL_DIR" "$WORK/root"
	[[ ,$JOBS, != *,perf,* ]] || pack_tracers "$ARCH" "$WORK/root"
	pack_initramfs "$ARCH" "$BUILD" "$WORK"
	assemble_qemu
	[ -z "$GDB" ] || announce_gdb

	if [ -n "$SHELL_WANTED" ]; then
		"${QEMU[@]}"
		return
	fi
	run_guest
	scan_log "$LOG" "$STATUS" "$LIMIT" || bad=1
	if [[ ,$JOBS, == *,replay,* ]]; then
		echo
		print_table || bad=1
		echo
	fi
	[ "$bad" -eq 0 ] || say "FAILED (log: $LOG)"
	exit "$bad"
}

main "$@"; exit
