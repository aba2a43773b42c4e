#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What can be said about the code without running it: what "make style" does.
# Each check is one result; ends with "N passed, N failed, N skipped".

# shellcheck disable=SC2317  # try and section call what they are given
set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$TOP"

c_files()
{
	find . -name .git -prune -o -name '*.mod.c' -prune -o \
		-name '*.[ch]' -print | sort
}

shell_files()
{
	find . -name .git -prune -o -type f -print0 |
		xargs -0 grep -lIE '^(#!.*[/ ](ba)?sh$|# shellcheck shell=)' | sort
}

checkpatch_files()
{
	xargs -n 8 -P "$(nproc)" perl "$SOURCE/scripts/checkpatch.pl" --strict --no-tree \
		--terse --no-summary --show-types "$@" -f
}

# compat.h is the one file that names kernel versions and stands in for macros
# that are not there: that is what it is for.  Tracepoints have a form of their own.  The
# harness has CPUs by number and libc's names; its headers are the other side of what
# checkpatch wants to see used.
checkpatch()
{
	c_files | grep -vE '/compat\.h$|^\./(trace|chaos_kmalloc)\.h$|/tools/host/' | checkpatch_files &&
		echo trace.h | checkpatch_files --ignore \
			OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT &&
		echo chaos_kmalloc.h | checkpatch_files --ignore "$MACRO_IGNORE" &&
		echo compat.h | checkpatch_files --ignore \
			LINUX_VERSION_CODE,CONSTANT_COMPARISON,EXPORT_SYMBOL,MACRO_ARG_UNUSED &&
		find tools/host -maxdepth 1 -name '*.[ch]' | checkpatch_files --ignore \
			NR_CPUS,CAMELCASE,AVOID_EXTERNS,MACRO_ARG_REUSE &&
		find tools/host/include -name '*.h' | checkpatch_files --ignore "$SHIM_IGNORE"
}

# It has the kernel's macros, with their names and arguments, and _Generic, which checkpatch takes
# for a label.
MACRO_IGNORE=SUSPECT_CODE_INDENT,MACRO_ARG_PRECEDENCE,MACRO_ARG_REUSE,CAMELCASE,SPACING
MACRO_IGNORE+=,TABSTOP,TRAILING_STATEMENTS

SHIM_IGNORE=NR_CPUS,CAMELCASE,MACRO_ARG_REUSE,MACRO_ARG_UNUSED,MEMORY_BARRIER,VOLATILE
SHIM_IGNORE+=,NEW_TYPEDEFS,SPACING,BIT_MACRO,LINUX_VERSION_CODE,EXPORT_SYMBOL,AVOID_BUG
SHIM_IGNORE+=,MACRO_WITH_FLOW_CONTROL,CONST_STRUCT,LINE_SPACING,COMPLEX_MACRO,DATA_RACE
SHIM_IGNORE+=,PREFER_DEFINED_ATTRIBUTE_MACRO,IS_ENABLED_CONFIG

kernel_doc()
{
	c_files | xargs perl "$SOURCE/scripts/kernel-doc" -none -Werror
}

# SC1091: of what the guest sources, only the guest has the path.
shell_check()
{
	shell_files | xargs shellcheck -x --exclude=SC1091
}

# Sparse only warns, and of the kernel's own headers as well.
sparse()
{
	local out

	# C=2: what needs no compiling is checked too.
	out=$("$TOP/tools/modules.sh" --name sparse "$KUNIT_KERNEL" arm64 \
		C=2 CF=-D__CHECK_ENDIAN__ 2>&1) || {
		printf '%s\n' "$out"
		return 1
	}
	! grep -E "^$TOP/.*(warning|error):" <<<"$out"
}

warnings_gcc()
{
	"$TOP/tools/modules.sh" --name w1-gcc "$KUNIT_KERNEL" arm64 \
		W=1 KCFLAGS=-Werror
}

warnings_clang()
{
	local kernel

	# That tree is headers only: what the kernel exports is in the other one.
	kernel=$("$TOP/tools/kernels.sh" clang) &&
		"$TOP/tools/modules.sh" --name w1-clang "$kernel" arm64 \
			LLVM=1 W=1 KCFLAGS=-Werror \
			KBUILD_EXTRA_SYMBOLS="$KUNIT_KERNEL/kdir/Module.symvers"
}

# The README's C is the sample's, to the letter.
readme_example()
{
	local line

	# shellcheck disable=SC2016  # these are Markdown's backticks
	while IFS= read -r line; do
		grep -qxF -- "$line" samples/chaos_sample.c || {
			echo "README.md: not in samples/chaos_sample.c: $line"
			return 1
		}
	done < <(sed -n '/^```c$/,/^```$/{/^```/d;p}' README.md)
}

main()
{
	need perl sparse shellcheck
	SOURCE=$("$TOP/tools/kernels.sh" source)
	KUNIT_KERNEL=$("$TOP/tools/kernels.sh" kunit)
	try "checkpatch --strict" checkpatch
	try "kernel-doc" kernel_doc
	try "shellcheck" shell_check
	try "README's example" readme_example
	try "sparse" sparse
	try "W=1, gcc" warnings_gcc
	try "W=1, clang" warnings_clang
	try "fast paths" tools/fastpath.sh
	try "fast paths, self-test" tools/fastpath.sh --self-test
	tally
}

main "$@"; exit
