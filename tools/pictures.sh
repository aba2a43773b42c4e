#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Draws what heaps look like while a real kernel's trace is replayed through each engine:
# what "make pictures" does. See usage() below, and Documentation/chaostop.rst.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
Usage: tools/pictures.sh [options]

Boots Debian's kernel in QEMU and replays the trace of samples/ with each engine. At the same
moments for all, copies the map of the heap. Draws

  montage.svg     all engines at four moments
  animation.svg   all moments, one after the other
  ENGINE.svg      each heap at the last moment, a cell for each granule

and the same as PNG; that of the animation has the last moment.

  --moments N   how many (default 16)
  --quick       two moments of one engine: to see that it works
  --kernel K    run-qemu.sh's (default stock)
  --log FILE    draw again what is in the log of an earlier run
  --out DIR     where the pictures go (default pictures)
  --help        this text
EOF
}

parse_options()
{
	MOMENTS=16 OUT=$TOP/pictures KERNEL=stock LOG='' ENGINES=()
	while [ $# -gt 0 ]; do
		case $1 in
		--moments | --kernel | --log | --out)
			[ $# -ge 2 ] || die "$1 wants a value"
			set_option "$1" "$2"
			shift
			;;
		--quick)
			MOMENTS=2
			ENGINES=(--allocator mimalloc)
			;;
		--help | -h) usage; exit 0 ;;
		*) die "unknown option '$1'; see --help" ;;
		esac
		shift
	done
}

set_option()
{
	case $1 in
	--moments)
		[[ $2 =~ ^[1-9][0-9]{0,2}$ ]] || die "--moments wants a number up to 999, not '$2'"
		MOMENTS=$2
		;;
	--kernel) KERNEL=$2 ;;
	--log) LOG=$(realpath "$2") ;;
	--out) OUT=$(realpath -m "$2") ;;
	esac
}

replay()
{
	LOG=$OUT/replay.log
	"$TOP/run-qemu.sh" --kernel "$KERNEL" --guest map --timeout 1200 --log "$LOG" \
		--append "chaos.moments=$MOMENTS" "${ENGINES[@]}"
}

# The archive is in the log, between two lines that say so.
unpack()
{
	grep -q 'chaos_map: end' "$LOG" || die "$LOG has no maps, or was cut short"
	rm -rf "$OUT/maps"
	mkdir -p "$OUT/maps"
	sed -n 's/^\[ *[0-9.]*\] chaos_map: \([A-Za-z0-9+/=]*\)$/\1/p' "$LOG" |
		grep -vxE 'begin|end' | base64 -d | tar -C "$OUT/maps" -xz
}

# draw NAME ARGUMENT...
draw()
{
	local name=$1

	shift
	"$TOP/tools/heapmap" "$@" -o "$OUT/$name.svg"
	rsvg-convert "$OUT/$name.svg" -o "$OUT/$name.png"
}

main()
{
	local dir name last

	parse_options "$@"
	need python3 librsvg2-bin fonts-dejavu-core
	mkdir -p "$OUT"
	[ -n "$LOG" ] || replay
	unpack
	draw montage --montage "$OUT/maps"
	draw animation --animate "$OUT/maps"
	for dir in "$OUT"/maps/*/; do
		name=$(basename "$dir")
		last=$(find "$dir" -name map | sort | tail -n 1)
		draw "$name" "$last" --title "$name, all of the trace replayed"
	done
	say "the pictures are in $OUT"
}

main "$@"; exit
