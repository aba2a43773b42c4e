#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The module in user space, where native tools reach it; see Documentation/harness.rst.
# Ends with "N passed, N failed, N skipped".
#
#   tools/host.sh            some of everything, about a minute: what "make host" does
#   tools/host.sh fuzz       libFuzzer and AFL++ for FUZZ_TIME seconds (300) in all
#   tools/host.sh coverage   lines and branches that random operations take, as tables;
#                            fails if these are too few of the engines' branches
#   tools/host.sh random ENGINE --ops N [--seed N]
#   tools/host.sh asan ENGINE --ops N [--seed N]
#   tools/host.sh threads ENGINE --ops N [--seed N]
#   tools/host.sh replay FILE...    inputs of the fuzzers
#
# SEED is where the random sequences of the first three begin (1).

# shellcheck disable=SC2317  # try calls what it is given
set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

HOST=$TOP/tools/host
SEED=${SEED:-1}
FUZZ_TIME=${FUZZ_TIME:-300}

# Objects of this folder, and what was found with them.
WORK=$CACHE/host/$(cksum <<<"$TOP" | cut -d ' ' -f 1)
FOUND=$CACHE/host/found

# What tlsf finds in the place of a damaged head may lead to a misaligned word of the pool: it
# reads that, as all CPUs can that the module is for.  (Nor does the kernel's UBSAN look for
# that on these.)
SANITIZE="-fsanitize=address,undefined -fno-sanitize=alignment"
SANITIZE+=" -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

# build NAME PROGRAM CC FLAGS LDFLAGS: its path is $WORK/NAME/PROGRAM
build()
{
	local log=$WORK/$1.log

	mkdir -p "$WORK/$1" "$FOUND"
	lock "host-${WORK##*/}-$1"
	make -s -j"$(nproc)" -C "$HOST" SOURCE="$SOURCE" OUT="$WORK/$1" CC="$3" FLAGS="$4" \
		LDFLAGS="$5" "$2" >"$log" 2>&1 || {
		grep -E 'error|undefined' "$log" | head -n 20
		die "$2 cannot be built (full log: $log)"
	}
	unlock "host-${WORK##*/}-$1"
}

build_random()
{
	build fast random gcc -O2 ""
}

build_asan()
{
	build asan random clang "-O1 $SANITIZE" "$SANITIZE"
}

build_fuzz()
{
	build fuzz fuzz clang "-O1 $SANITIZE -fsanitize=fuzzer-no-link" \
		"$SANITIZE -fsanitize=fuzzer"
}

build_threads()
{
	build tsan threads clang "-O1 -fsanitize=thread -DHOST_THREADS" -fsanitize=thread
}

# Releases are none: ThreadSanitizer has to find that.
build_weak()
{
	build weak threads clang \
		"-O1 -fsanitize=thread -DHOST_THREADS -DHOST_WEAK_RELEASE" -fsanitize=thread
}

build_afl()
{
	AFL_QUIET=1 build afl fuzz afl-clang-fast "-O2 -fsanitize=fuzzer" -fsanitize=fuzzer
}

threads()
{
	local name=$1

	shift
	TSAN_OPTIONS="history_size=7 halt_on_error=1 suppressions=$HOST/tsan.supp" \
		"$WORK/$name/threads" "$@"
}

# What random and threads say if they find something names the engine and the seed.
try_random()
{
	"$WORK/fast/random" "$@"
}

try_asan()
{
	"$WORK/asan/random" "$@"
}

try_corpus()
{
	"$WORK/fuzz/fuzz" -runs=0 -artifact_prefix="$FOUND/" "$HOST/corpus" 2>&1
}

# A program that only fails has not found it.
finds_weak()
{
	local out

	if out=$(threads weak mimalloc --ops 60000 2>&1); then
		echo "nothing was found"
		return 1
	fi
	tail -n 20 <<<"$out"
	grep -q 'WARNING: .*: data race' <<<"$out"
}

short()
{
	local engine

	need gcc clang libclang-rt-dev make libc6-dev
	say "the sequences begin with seed $SEED"
	build_random
	build_asan
	build_fuzz
	build_threads
	build_weak
	for engine in $ALLOCATORS; do
		try "host: $engine, 3,000,000 random operations" \
			try_random "$engine" --ops 3000000 --seed "$SEED"
		try "host: $engine, 200,000 more with ASan and UBSan" \
			try_asan "$engine" --ops 200000 --length 20000 --seed "$SEED"
		try "host: $engine, 30,000 of several threads with TSan" \
			threads tsan "$engine" --ops 30000 --seed "$SEED"
	done
	try "host: the corpus, with ASan and UBSan" try_corpus
	try "host: TSan finds that releases are none" finds_weak
}

# fuzz_libfuzzer ENGINE SECONDS
fuzz_libfuzzer()
{
	local corpus=$WORK/corpus-$1

	mkdir -p "$corpus"
	CHAOS_ENGINE=$1 "$WORK/fuzz/fuzz" -max_total_time="$2" -max_len=8192 -len_control=0 \
		-artifact_prefix="$FOUND/$1-" -print_final_stats=1 -verbosity=1 \
		"$corpus" "$HOST/corpus" >"$WORK/libfuzzer-$1.log" 2>&1 || {
		tail -n 40 "$WORK/libfuzzer-$1.log"
		return 1
	}
	grep -E '^stat::(number|new)' "$WORK/libfuzzer-$1.log" >&2
}

# fuzz_afl ENGINE SECONDS
fuzz_afl()
{
	local out=$WORK/afl-$1 crashes

	rm -rf "$out"
	CHAOS_ENGINE=$1 AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 \
		AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_FAST_CAL=1 \
		afl-fuzz -V "$2" -i "$HOST/corpus" -o "$out" -- "$WORK/afl/fuzz" \
		>"$WORK/afl-$1.log" 2>&1 || {
		tail -n 40 "$WORK/afl-$1.log"
		return 1
	}
	sed -n 's/ *: */ /; /^execs_done\|^corpus_count\|^edges_found/p' \
		"$out/default/fuzzer_stats" >&2
	crashes=$(find "$out/default/crashes" "$out/default/hangs" -name 'id*')
	[ -z "$crashes" ] && return
	for f in $crashes; do
		cp "$f" "$FOUND/afl-$1-$(sha1sum "$f" | cut -c 1-16)"
	done
	echo "inputs that crash, or hang, are in $FOUND"
	return 1
}

fuzz()
{
	local engine each=$((FUZZ_TIME / 6))

	need gcc clang libclang-rt-dev make libc6-dev afl++
	build_fuzz
	build_afl
	for engine in $ALLOCATORS; do
		say "$engine: $each seconds of libFuzzer, then of AFL++"
		try "host: $engine, $each s of libFuzzer" fuzz_libfuzzer "$engine" "$each"
		try "host: $engine, $each s of AFL++" fuzz_afl "$engine" "$each"
	done
	say "what was found, if anything, is in $FOUND; tools/host.sh replay FILE"
}

# At least so many branches of the engines, in percent
BRANCHES=95

try_coverage()
{
	"$WORK/coverage/random" "$@" --length 10000
}

enough_branches()
{
	"$HOST/branches.py" "$WORK/coverage.json" "$BRANCHES"
}

coverage()
{
	local engine ops=${OPS:-1500000}

	need gcc make libc6-dev gcovr
	build coverage random gcc "-O1 --coverage -fno-inline -DHOST_COVERAGE" \
		--coverage
	find "$WORK/coverage" -name '*.gcda' -delete
	for engine in $ALLOCATORS; do
		try "host: $engine, $ops operations" \
			try_coverage "$engine" --ops "$ops" --seed "$SEED"
	done
	gcovr_table --branches
	echo
	gcovr_table
	gcovr_table --branches --json "$WORK/coverage.json" >/dev/null
	echo
	echo "branches never taken:"
	"$HOST/branches.py" "$WORK/coverage.json"
	try "host: at least $BRANCHES % of the engines' branches" enough_branches
}

gcovr_table()
{
	gcovr --root "$TOP" --object-directory "$WORK/coverage/module" \
		--exclude '.*/tools/.*' --exclude-unreachable-branches \
		--exclude-throw-branches "$@" "$WORK/coverage/module"
}

main()
{
	local what=${1:-short}

	[ $# -eq 0 ] || shift
	SOURCE=$("$TOP/tools/kernels.sh" source)
	case $what in
	short | fuzz | coverage)
		"$what"
		tally
		;;
	random)
		build_random
		"$WORK/fast/random" "$@"
		;;
	asan)
		need clang libclang-rt-dev
		build_asan
		"$WORK/asan/random" "$@"
		;;
	threads)
		need clang libclang-rt-dev
		build_threads
		threads tsan "$@"
		;;
	replay)
		need clang libclang-rt-dev
		build_fuzz
		"$WORK/fuzz/fuzz" "$@"
		;;
	-h | --help) sed -n '/^# The module/,/^$/s/^# \{0,1\}//p' "$0" ;;
	*) "$0" --help >&2; exit 2 ;;
	esac
}

main "$@"; exit
