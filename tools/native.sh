#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Times loops of calls natively, in User-mode Linux: what "make native" does. Prints
# tables; see Documentation/native.rst.
#
#   tools/native.sh [TURNS [PARAMETERS]]
#
# TURNS is how often all of it is done (default 5), PARAMETERS are more of the
# module's, separated by semicolons: 'sizes=64,1024;only=kmalloc,default'.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# measure KERNEL PARAMETERS UML-OPTIONS...
measure()
{
	local kernel=$1 parameters=$2 log=$OUT/native-$1.log

	shift 2
	rm -f "$log"
	"$TOP/tools/uml.sh" --allocators mimalloc --log "$log" --timeout 3600 \
		--append "chaos.native=$parameters" "$@" "$kernel" native >/dev/null
	LOGS+=("$log")
}

main()
{
	local turns=${1:-5} more=${2:+;$2} status=0

	LOGS=()
	OUT=$TOP/bench/out
	mkdir -p "$OUT"
	measure um "turns=$turns$more" --user "$(((turns + 1) / 2))" || status=1
	if [ "$(nproc)" -gt 1 ]; then
		measure um-smp "turns=$turns$more" || status=1
	else
		say "this machine has one CPU: nothing is measured on two"
	fi
	"$TOP/tools/native.py" "${LOGS[@]}" || status=1
	return "$status"
}

main "$@"; exit
