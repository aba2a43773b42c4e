#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Debugs the guest that ./run-qemu.sh --gdb has made wait. See usage() below, and
# Documentation/debugging.rst.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
Usage: tools/gdb.sh [options] [LOCATION...]
       tools/gdb.sh --decode LOG
       tools/gdb.sh --test

Starts gdb on the guest that ./run-qemu.sh --gdb has made wait, with the symbols of
its kernel and modules, and lets it run to the first of these locations: functions,
FILE:LINE, whatever gdb's "break" takes. Default: ${BREAK_AT[*]}; tlsf
allocates in the first, and in the second if anything is unusual. May be run again
for a guest that runs already.

  --port PORT     that of ./run-qemu.sh --gdb=PORT (default $GDB_PORT)
  --ex COMMAND    a gdb command for when it has stopped (may be given several times)
  --batch         show where it stopped, run these commands and quit; the guest goes on,
                  unless the last of them is "disconnect"

--decode LOG      print the log of a guest, or a piece of one, with a file and a line for
                  each address of an oops. The guest's kernel was gdb, and the modules
                  have not changed since.
--test            see that all of this works
EOF
}

# Where tlsf allocates
BREAK_AT=(tlsf_alloc_fast tlsf_op_alloc)

bad_usage()
{
	say "$*"
	say "see tools/gdb.sh --help"
	exit 2
}

parse_options()
{
	local locations=()

	PORT=$GDB_PORT BATCH='' COMMANDS=()
	while [ $# -gt 0 ]; do
		case $1 in
		--port | --ex | --decode)
			[ $# -ge 2 ] || bad_usage "$1 wants a value"
			set_option "$1" "$2"
			shift
			;;
		--batch) BATCH=1 ;;
		--test) ACTION='test' ;;
		--help | -h) usage; exit 0 ;;
		-*) bad_usage "unknown option '$1'" ;;
		*) locations+=("$1") ;;
		esac
		shift
	done
	[ "${#locations[@]}" -eq 0 ] || BREAK_AT=("${locations[@]}")
}

set_option()
{
	case $1 in
	--port)
		[[ $2 =~ ^[1-9][0-9]{3,4}$ ]] || bad_usage "--port wants a port, not '$2'"
		PORT=$2
		;;
	--ex) COMMANDS+=(-ex "$2") ;;
	--decode)
		[ -r "$2" ] || bad_usage "there is no log $2"
		LOG=$2
		ACTION=decode
		;;
	esac
}

debug()
{
	local at args=(-q -nx -x "$TOP/tools/gdb/chaos.py" -ex "chaos-connect $PORT")

	need gdb-multiarch
	[ -e "$CACHE/gdb/$PORT" ] ||
		die "no guest waits at port $PORT: start ./run-qemu.sh --gdb in another terminal"
	for at in "${BREAK_AT[@]}"; do
		args+=(-ex "break $at")
	done
	args+=(-ex continue)
	[ -z "$BATCH" ] || args=(-batch "${args[@]}" -ex backtrace)
	exec gdb-multiarch "${args[@]}" "${COMMANDS[@]}"
}

# Behind each line with addresses, what the kernel's own script makes of these
decode()
{
	local kernel source build line rest symbol object prefix
	local re='([A-Za-z_][A-Za-z0-9_.]*\+0x[0-9a-f]+/0x[0-9a-f]+)( \[([a-z0-9_]+)\])?(.*)'

	kernel=$("$TOP/tools/kernels.sh" gdb)
	build=$("$TOP/tools/modules.sh" "$kernel" arm64)
	prefix=$(cross_prefix arm64)
	source=$("$TOP/tools/kernels.sh" source)
	while IFS= read -r line; do
		printf '%s\n' "$line"
		rest=$line
		while [[ $rest =~ $re ]]; do
			symbol=${BASH_REMATCH[1]}
			rest=${BASH_REMATCH[4]}
			object=$kernel/kdir/vmlinux
			[ -z "${BASH_REMATCH[3]}" ] ||
				object=$(find "$build" -name "${BASH_REMATCH[3]}.ko")
			CROSS_COMPILE=$prefix "$source/scripts/faddr2line" "$object" "$symbol" \
				2>&1 | sed "1d; /^$/d; s#$build/##; s#$source/##; s#^#        #" || true
		done
	done <"$LOG"
}

# --- the test -----------------------------------------------------------------

# start_guest NAME: it waits at TEST_PORT; its log is WORK/NAME.log
start_guest()
{
	local name=$1

	TEST_PORT=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
	"$TOP/run-qemu.sh" --gdb="$TEST_PORT" --allocator tlsf --log "$WORK/$name.log" \
		>"$WORK/$name.out" 2>&1 &
	GUEST=$!
	while ! grep -qs 'booting ' "$WORK/$name.out"; do
		kill -0 "$GUEST" || die "the guest does not start: $(cat "$WORK/$name.out")"
		sleep 0.2
	done
}

# If it has not ended by itself. Without its QEMU, it does.
# shellcheck disable=SC2317  # the trap calls it
end_guest()
{
	[ -z "$GUEST" ] || pkill -P "$GUEST" || true
}

# says NAME FILE REGEX...: has the file a line for each, in this order?
says()
{
	local name=$1 file=$2

	shift 2
	if awk -v n=$# 'BEGIN { for (i = 0; i < n; i++) { want[i] = ARGV[i + 2]; delete ARGV[i + 2] } }
		at < n && $0 ~ want[at] { at++ }
		END { if (at < n) { print "nothing like: " want[at]; exit 1 } }' "$file" "$@"; then
		verdict ok "$name"
	else
		cat "$file"
		verdict FAIL "$name"
	fi
}

# session FILE ARGUMENT...: of this script with the guest
session()
{
	local out=$WORK/$1

	shift
	timeout 120 "$TOP/tools/gdb.sh" --port "$TEST_PORT" --batch "$@" >"$out" 2>&1 ||
		say "gdb ended with status $?"
}

# The one command: from before the first instruction to a block. Then what is in the heap.
test_breakpoint()
{
	# shellcheck disable=SC2016  # a function of gdb
	session breakpoint --ex chaos-heaps --ex 'chaos-heap default' --ex 'chaos-heap heap' \
		--ex 'chaos-whose heap' --ex lx-lsmod --ex 'print $lx_current().comm' \
		--ex lx-dmesg --ex disconnect
	says "a breakpoint in tlsf, from the first instruction on" "$WORK/breakpoint" \
		'hit Breakpoint .* tlsf_alloc_fast .* at tlsf_core.h:[0-9]+' \
		'^#0  tlsf_alloc_fast \(.*want=[0-9]+, heap=0x[0-9a-f]+\) at tlsf_core.h:[0-9]+' \
		'^#1 .* chaos_alloc_tlsf \(.*gfp=[0-9]+, size=[0-9]+, .*\) at chaos_alloc.c:[0-9]+' \
		'^#[0-9] .* chaos_alloc \(.*gfp=.*\) at chaos_alloc.c:[0-9]+' \
		'^#[0-9] .* block_alloc \(.*rc=0x[0-9a-f]+ <replay_cpus>\) at chaos_replay.c:[0-9]+' \
		'^#[0-9] .* kthread \(.*\) at kthread.c:[0-9]+'
	says "chaos-heaps" "$WORK/breakpoint" '^default +tlsf +1 +16M +0 +0x[0-9a-f]+  \(default\)'
	says "chaos-heap" "$WORK/breakpoint" '^heap default at 0x[0-9a-f]+: tlsf, hardening 1' \
		'^  held 0 of 16777216 bytes, peak 0, may grow to 268435456' \
		'^  grows 0, returns 0, failures 0, bad_frees 0' \
		'^  watermark 12, retire_delay 100, return_delay 5000, heartbeat 256' \
		'^  pool at 0x[0-9a-f]+: 0x[0-9a-f]+ to 0x[0-9a-f]+, 16777216 bytes' \
		'^heap default at 0x' '^0x[0-9a-f]+ is in no pool'
	says "lx-lsmod, lx_current, lx-dmesg" "$WORK/breakpoint" 'chaos_replay' \
		'chaos_alloc .* chaos_replay$' '= "chaos_replay/' '\] chaos_alloc: default heap: tlsf'
}

# Again, to a guest that has booted; and make it crash
test_attach()
{
	session attach chaos_default_free_tlsf --ex 'chaos-whose p' --ex 'chaos-whose &p' \
		--ex delete --ex 'set var chaos_default->priv = 0' \
		--ex 'break panic' --ex continue --ex backtrace --ex 'frame function do_mem_abort' \
		--ex 'info symbol regs->pc' --ex 'info line *regs->regs[30]'
	says "a guest that has booted" "$WORK/attach" \
		'^#0  chaos_default_free_tlsf \(p=0x[0-9a-f]+\) at chaos_alloc.c:[0-9]+' \
		'block_free .* at chaos_replay.c:[0-9]+'
	says "a crash, in gdb" "$WORK/attach" 'hit Breakpoint .* panic' '^#1 .* die \(str=.*"Oops"' \
		'_raw_spin_trylock \+ [0-9]+ in section .text' '^Line [0-9]+ of "lock.h"'
	says "chaos-whose" "$WORK/attach" \
		'^0x[0-9a-f]+: byte [0-9]+ of the pool at 0x[0-9a-f]+, heap default \(tlsf\)'
}

# The crash, from the log alone
test_decode()
{
	wait "$GUEST" || true
	GUEST=
	"$TOP/tools/gdb.sh" --decode "$WORK/first.log" >"$WORK/decoded"
	says "an oops, decoded" "$WORK/decoded" \
		'Unable to handle kernel NULL pointer dereference' \
		'lr : chaos_default_(alloc|free)_tlsf[+]0x.*chaos_alloc' \
		'tlsf_(alloc|free)_fast at tlsf_core.h:[0-9]+' \
		'chaos_default_(alloc|free)_tlsf at chaos_alloc.c:[0-9]+' \
		'Call trace:' 'replay_thread[+]0x.*chaos_replay' \
		'replay_thread at samples/chaos_replay.c:[0-9]+' 'kthread at kernel/kthread.c:[0-9]+'
}

# What VS Code does
test_vscode()
{
	local line

	timeout 120 "$TOP/tools/gdb/vscode.py" "$TEST_PORT" >"$WORK/vscode" 2>&1 ||
		verdict FAIL "vscode.py: exit status $?"
	while IFS= read -r line; do
		case $line in
		'ok '*) verdict ok "vscode: ${line#ok }" ;;
		'FAIL '*) verdict FAIL "vscode: ${line#FAIL }" ;;
		*) printf '%s\n' "$line" ;;
		esac
	done <"$WORK/vscode"
	wait "$GUEST" || true
	GUEST=
}

run_test()
{
	need gdb-multiarch python3
	mkdir -p "$CACHE/tmp"
	WORK=$(mktemp -d "$CACHE/tmp/gdb.XXXXXX")
	GUEST=
	trap 'end_guest; rm -rf "$WORK"' EXIT
	start_guest first
	test_breakpoint
	test_attach
	test_decode
	start_guest second
	test_vscode
	tally
}

main()
{
	ACTION=debug
	parse_options "$@"
	case $ACTION in
	debug) debug ;;
	decode) decode ;;
	test) run_test ;;
	esac
}

main "$@"; exit
