#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Counts the instructions of single calls, for each engine and hardening level:
# what "make count" does. Prints a table; the figures are those of
# Documentation/fastpath.rst. Arguments go to run-qemu.sh.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# print_table LOG: fails if a figure is missing
print_table()
{
	awk '
		function row(a, b, c, d, e, f)
		{
			printf "%-10s %9s %6s  %-22s %-22s %-22s\n", a, b, c, d, e, f
		}
		function cell(call,	key)
		{
			key = allocator SUBSEP level SUBSEP size SUBSEP call
			if (!(key in figure)) {
				bad = 1
				return "-"
			}
			return figure[key]
		}
		{
			split("", v)
			for (i = 1; i <= NF; i++)
				if (split($i, kv, "=") == 2)
					v[kv[1]] = kv[2]
		}
		/chaos_guest: count with / {
			level = v["hardening"]
			runs[++n] = v["allocator"] " " level
		}
		/chaos_count: empty: / {
			empty = "alloc " v["alloc"] ", free " v["free"]
		}
		/chaos_count: result: / {
			figure[v["allocator"], level, v["size"], v["call"]] = \
				v["usual"] " / " v["mean"] " / " v["max"]
		}
		END {
			print "Instructions: usual / mean / max, less those of an empty call (" empty ")"
			row("allocator", "hardening", "bytes", "alloc", "free", "foreign free")
			for (i = 1; i <= n; i++) {
				split(runs[i], run, " ")
				allocator = run[1]
				level = run[2]
				for (size = 64; size <= 1024; size *= 16)
					row(allocator, level, size, cell("alloc"),
					    cell("free"), cell("foreign-free"))
			}
			if (!n)
				bad = 1
			exit bad
		}' "$1"
}

main()
{
	local status=0 log

	mkdir -p "$CACHE/logs"
	log=$CACHE/logs/count.log
	lock count
	rm -f "$log"
	"$TOP/run-qemu.sh" --guest count --smp 1 --log "$log" "$@" -- \
		-icount shift=0,sleep=off || status=$?
	[ ! -e "$log" ] || print_table "$log" || status=1
	return "$status"
}

main "$@"; exit
