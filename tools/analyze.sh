#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What analysers find that follow values and locks through functions: what "make
# analyze" does. (tools/style.sh has those that are quick.) Each analyser is one
# result; what they find wrongly is in tools/analyze.known, with the reason, and
# Documentation/analysis.rst has more of it. Ends with "N passed, N failed, N skipped".

# shellcheck disable=SC2317  # try calls what it is given
set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

KNOWN=$TOP/tools/analyze.known

# judge ANALYSER REGEX: of the findings on stdin, lines that match, each must be known,
# and what is known must have been found: else it is to be forgotten.
judge()
{
	local analyser=$1 regex=$2

	# Without the lines' numbers, which change
	{ grep -E "$regex" || true; } |
		sed -E "s#^$TOP/##; s#:[0-9]+(:[0-9]+(-[0-9]+)?)?: #: #; s# (on|at) line [0-9]+# \\1 line N#" |
		sort -u |
		awk -v analyser="$analyser" '
			/^#/ {
				next
			}
			FILENAME != "-" {
				if ($1 == analyser)
					known[substr($0, index($0, $2))] = 1
				next
			}
			{
				if ($0 in known)
					seen[$0] = 1
				else {
					print "new: " $0
					bad = 1
				}
			}
			END {
				for (k in known) {
					if (k in seen)
						continue
					print "no longer found: " k
					bad = 1
				}
				exit bad
			}' "$KNOWN" -
}

# built NAME KERNEL ARGUMENT...: the output of a build, which has to work
built()
{
	local name=$1 kernel=$2

	shift 2
	# Its stdout is the name of a directory.
	{ "$TOP/tools/modules.sh" --name "$name" "$kernel" arm64 "$@" >/dev/null; } 2>&1 || {
		say "the build for $name failed"
		return 1
	}
}

# A build that is there already would be silent.
fresh()
{
	rm -rf "$CACHE/build/$1"-*
}

# Semantic patches of the kernel, those that only report
coccicheck()
{
	built analyze-cocci "$KUNIT_KERNEL" coccicheck MODE=report J="$(nproc)" |
		judge coccicheck "^$TOP/[^:]*:[0-9]+:[0-9]+"
}

# The kernel's target for clang's analyser, by clang-tidy
clang_analyzer()
{
	local kernel

	kernel=$("$TOP/tools/kernels.sh" clang)
	built analyze-clang "$kernel" LLVM=1 clang-analyzer \
		KBUILD_EXTRA_SYMBOLS="$KUNIT_KERNEL/kdir/Module.symvers" |
		judge clang "^$TOP/.*(warning|error): "
}

gcc_analyzer()
{
	fresh analyze-gcc
	built analyze-gcc "$KUNIT_KERNEL" KCFLAGS=-fanalyzer |
		judge gcc "^$TOP/.*(warning|error): .*-Wanalyzer"
}

main()
{
	need perl coccinelle ocaml-nox clang clang-tidy python3
	KUNIT_KERNEL=$("$TOP/tools/kernels.sh" kunit)
	try "coccicheck" coccicheck
	try "clang's analyser" clang_analyzer
	try "gcc -fanalyzer" gcc_analyzer
	tally
}

main "$@"; exit
