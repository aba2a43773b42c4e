#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# chaos_alloc as a part of the kernel: lib/chaos_alloc.
#
#   tools/intree.sh patch                 prints the patch, for "git am" or "patch -p1"
#   tools/intree.sh check [newest]        applies it to Linux 6.12, or to Debian's newest source
#   tools/intree.sh checkpatch            has checkpatch look at it: a minute
#   tools/intree.sh build [m]             builds it in Linux 6.12 for arm64, =y or =m, W=1
#   tools/intree.sh kunit [newest]        runs the suites by kunit.py, in User-mode Linux of
#                                         6.12, or of the newest source on two CPUs
#
# Several commands may follow each other. The last line is "N passed, N failed, N skipped".
# Trees with the patch, and what is built of them, are kept in the cache.

# shellcheck disable=SC2317  # try calls what it is given
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# lib/ has the other allocators for their callers' own pools (genalloc); mm/ has what
# the kernel itself stands on.
FOLDER=lib/chaos_alloc
HEADER=include/linux/chaos_alloc.h
SUMMARY="lib: add chaos_alloc, private heaps callable from any context"
# Of User-mode Linux: as much as the largest heaps of the suites want
UML_MEM=2G

# --- the patch ------------------------------------------------------------------

# What goes into the kernel: no scripts, no guests, no harness for user space
intree_files()
{
	local folder

	(
		cd "$TOP"
		# And the folders that have a Kbuild
		find Kconfig kunit/.kunitconfig Kbuild ./*/Kbuild
		find -- * -maxdepth 0 -name '*.[ch]' ! -name '*.mod.c'
		for folder in */Kbuild; do
			find "${folder%/*}" -name '*.[ch]' ! -name '*.mod.c' ! -name 'user_*'
		done
		find Documentation -name '*.rst'
	)
}

# The header is for clients everywhere; what is said of documents names their place.
adapt_includes()
{
	find "$1" -name '*.[ch]' -exec sed -i \
		-e 's#"chaos_alloc\.h"#<linux/chaos_alloc.h>#' \
		-e "s#\\bDocumentation/\\([a-z]*\\.rst\\)#$FOLDER/Documentation/\\1#" {} +
}

# put_folder TREE: the folder and the header
put_folder()
{
	local tree=$1

	mkdir -p "$tree/$FOLDER" "$tree/include/linux"
	intree_files | (cd "$TOP" && cpio -pdm --quiet "$tree/$FOLDER")
	adapt_includes "$tree/$FOLDER"
	mv "$tree/$FOLDER/chaos_alloc.h" "$tree/$HEADER"
}

# hook TREE: what lib/ has to know. The lines next to it are the same in all kernels from
# 6.1 on, so one patch serves them all.
hook()
{
	sed -i 's#^config PARMAN$#source "lib/chaos_alloc/Kconfig"\n\n&#' "$1/lib/Kconfig"
	# shellcheck disable=SC2016  # make expands that
	sed -i 's#^obj-\$(CONFIG_PARMAN) += parman\.o$#obj-$(CONFIG_CHAOS_ALLOC) += chaos_alloc/\n\n&#' \
		"$1/lib/Makefile"
}

message()
{
	cat <<-EOF
	$SUMMARY

	An allocator for drivers and real-time code that may not, or should not,
	use kmalloc(): with interrupts off on PREEMPT_RT, in hard interrupts and
	NMIs, within a memory budget, or with a bound on the time of each call.
	Heaps live on vmalloc'd pools and have one of three engines: mimalloc
	(speed and scaling), TLSF (the smallest worst case) or the EVL heap
	(buckets over trees of page ranges).

	It is in lib/, as genalloc is: it manages memory that it has been given,
	and nothing in mm/ depends on it.  $FOLDER/Documentation describes
	the engines, kunit/ has the tests.
	EOF
}

# base_repo SOURCE: a repository with the two files that the patch changes
base_repo()
{
	local repo

	repo=$(mktemp -d "$CACHE/tmp/repo.XXXXXX") &&
		mkdir "$repo/lib" &&
		cp "$1/lib/Kconfig" "$1/lib/Makefile" "$repo/lib" &&
		git init -q "$repo" &&
		git -C "$repo" add . &&
		git -C "$repo" commit -q -m base &&
		echo "$repo"
}

# make_patch SOURCE: a commit on top of that
make_patch()
{
	local repo

	repo=$(base_repo "$1")
	put_folder "$repo"
	hook "$repo"
	git -C "$repo" add -f .
	message | git -C "$repo" commit -q -s -F -
	git -C "$repo" format-patch -1 --stdout --no-signature
	rm -rf "$repo"
}

# --- trees ------------------------------------------------------------------------

# patched_tree NAME SOURCE: a copy that shares its files with the source, and has the patch.
# patch replaces files and writes to none, so the source stays as it is.
patched_tree()
{
	local tree=$CACHE/intree/$1 source=$2

	rm -rf "$tree"
	mkdir -p "$CACHE/intree"
	cp -al "$source" "$tree"
	patch -d "$tree" -p1 -s --no-backup-if-mismatch <"$PATCH"
	echo "$tree"
}

# applies SOURCE: by git am, which is stricter than patch: no line next to it may differ. (What
# try calls goes on after a failure, if it is not told to end.)
applies()
{
	local repo status=0

	repo=$(base_repo "$1") || return
	git -C "$repo" am -q <"$PATCH" || status=$?
	rm -rf "$repo"
	return "$status"
}

# --- checks -----------------------------------------------------------------------

# What checkpatch would have other than it is, and the reasons: there is no maintainer's entry;
# compat.h is about kernel versions, and stands in for macros; NMIs are asked for where x86 has
# them.  (What it says of the files themselves, "make style" looks at.)
CHECKPATCH_IGNORE=FILE_PATH_CHANGES,LINUX_VERSION_CODE,CONSTANT_COMPARISON,EXPORT_SYMBOL
CHECKPATCH_IGNORE+=,MACRO_ARG_UNUSED,INCLUDE_LINUX

style()
{
	(cd "$CACHE/tmp" && perl "$SOURCE/scripts/checkpatch.pl" --strict --terse --show-types \
		--ignore "$CHECKPATCH_IGNORE" "$PATCH")
}

checkpatch()
{
	need perl python3-ply python3-git
	try "checkpatch" style
}

# source_of newest|'': the tree
source_of()
{
	if [ "$1" = newest ]; then
		"$TOP/tools/kernels.sh" source newest
	else
		echo "$SOURCE"
	fi
}

check()
{
	local source

	source=$(source_of "$1")
	try "the patch applies to ${source##*/}" applies "$source"
}

# configure TREE OUT SETTING...: the plain test kernel for arm64, and these settings
configure()
{
	local tree=$1 out=$2

	shift 2
	mkdir -p "$out"
	printf '%s\n' "$@" >"$out/intree.config"
	make -s "${MAKE_ARGS[@]}" tinyconfig &&
		(cd "$tree" && scripts/kconfig/merge_config.sh -m -O "$out" "$out/.config" \
			"$TOP/kunit/kernel.config" "$TOP/kunit/arm64.config" \
			"$out/intree.config") >"$out/merge.log" &&
		make -s "${MAKE_ARGS[@]}" olddefconfig prepare
}

# objects y|m: the folder, without a warning; and what that makes is there
objects()
{
	local tree=$CACHE/intree/$SOURCE_SERIES out=$CACHE/intree/build-$1 how=$1 log
	local -a MAKE_ARGS=(-C "$tree" O="$out" ARCH=arm64 "CROSS_COMPILE=$(cross_prefix arm64)"
		-j"$(nproc)")

	configure "$tree" "$out" CONFIG_CHAOS_ALLOC="$how" CONFIG_CHAOS_ALLOC_KUNIT_TEST="$how" \
		CONFIG_CHAOS_ALLOC_TORTURE_TEST=m CONFIG_CHAOS_ALLOC_BENCH=m \
		CONFIG_CHAOS_ALLOC_SAMPLES=m CONFIG_FAULT_INJECTION=y || return
	grep -q "^CONFIG_CHAOS_ALLOC_KUNIT_TEST=$how\$" "$out/.config" || return
	log=$(make -s "${MAKE_ARGS[@]}" W=1 "$FOLDER/" 2>&1) || {
		printf '%s\n' "$log"
		return 1
	}
	! grep -E "warning|error" <<<"$log" || return
	[ -e "$out/$FOLDER/torture/chaos_torture.o" ] || return
	if [ "$how" = m ]; then
		[ -e "$out/$FOLDER/chaos_alloc.o" ] && [ -e "$out/$FOLDER/kunit/chaos_kunit.o" ]
	else
		# What is linked into the kernel; and it starts in an initcall of level 2.
		ar t "$out/$FOLDER/built-in.a" | grep -q 'kunit/tlsf_kunit\.o$' &&
			"$(cross_prefix arm64)objdump" -h "$out/$FOLDER/heap.o" | grep -q initcall2
	fi
}

build()
{
	# shellcheck disable=SC2046  # a list of words
	need flex bison bc perl libssl-dev $(compiler_packages arm64) $(compiler_packages "$HOST_ARCH")
	patched_tree "$SOURCE_SERIES" "$SOURCE" >/dev/null
	try "in a kernel tree, =${1:-y}: W=1" objects "${1:-y}"
}

# --- KUnit ------------------------------------------------------------------------

# count LINE WORD: the number after "WORD: " in kunit.py's summary
count()
{
	local n

	n=$(grep -oE "$2: [0-9]+" <<<"$1" | grep -oE '[0-9]+') || n=0
	echo "$n"
}

# kunit [newest]: by kunit.py, as somebody does who has the patch in his tree. Cases that are
# marked slow are left out: in User-mode Linux, each irq_work waits for the clock to tick.
kunit()
{
	local name=${1:-$SOURCE_SERIES} source tree out log summary args=()

	need flex bison bc perl python3 gcc libc6-dev
	source=$(source_of "$name")
	if [ "$name" = newest ]; then
		args=(--kconfig_add CONFIG_SMP=y --kernel_args ncpus=2 --kernel_args seccomp=on)
	fi
	tree=$(patched_tree "$name" "$source")
	out=$CACHE/intree/kunit-$name
	log=$CACHE/logs/kunit-um-$name.log
	mkdir -p "$CACHE/logs"
	say "building and running ${source##*/} with kunit.py (log: $log)"
	(cd "$tree" && ./tools/testing/kunit/kunit.py run --kunitconfig="$FOLDER/kunit" \
		--build_dir="$out" --jobs="$(nproc)" --timeout=1200 --filter 'speed>slow' \
		--kernel_args mem="$UML_MEM" "${args[@]}") 2>&1 | tee "$log" |
		grep -E '\] (=+ .*chaos_|\[(FAILED|ERROR|CRASHED)|Testing complete|Elapsed)' || true
	summary=$(grep -a 'Testing complete' "$log" | tail -n 1) || true
	PASSED=$((PASSED + $(count "$summary" passed)))
	SKIPPED=$((SKIPPED + $(count "$summary" skipped)))
	FAILED=$((FAILED + $(count "$summary" failed) + $(count "$summary" crashed)))
	if [ "$(count "$summary" errors)" -eq 0 ] && grep -q 'passed: [1-9]' <<<"$summary"; then
		verdict ok "kunit.py, ${source##*/}"
	else
		verdict FAIL "kunit.py, ${source##*/}: see $log"
	fi
}

usage()
{
	sed -n '/^# chaos_alloc as/,/^$/s/^# \{0,1\}//p' "$0"
}

# Commits that nobody keeps have an author as well; git may not know of any.
need_identity()
{
	! git var GIT_COMMITTER_IDENT >/dev/null 2>&1 || return 0
	export GIT_{AUTHOR,COMMITTER}_NAME=chaos_alloc
	export GIT_{AUTHOR,COMMITTER}_EMAIL=chaos_alloc@localhost
}

main()
{
	local command

	mkdir -p "$CACHE/tmp" "$CACHE/intree"
	case ${1:-} in
	patch | check | checkpatch | build | kunit) ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	need git cpio patch
	need_identity
	SOURCE=$("$TOP/tools/kernels.sh" source)
	PATCH=$(mktemp "$CACHE/tmp/patch.XXXXXX")
	trap 'rm -f "$PATCH"' EXIT
	make_patch "$SOURCE" >"$PATCH"
	if [ "$1" = patch ]; then
		cat "$PATCH"
		return
	fi
	lock intree
	while [ $# -gt 0 ]; do
		command=$1
		shift
		case $command,${1:-} in
		check,newest | kunit,newest | build,m)
			"$command" "$1"
			shift
			;;
		check,* | checkpatch,* | build,* | kunit,*) "$command" '' ;;
		*) usage >&2; exit 2 ;;
		esac
	done
	tally
}

main "$@"; exit
