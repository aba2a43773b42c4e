#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests what looks into heaps from outside, on this machine: chaostop and its manual page,
# heapmap, and that "make pictures" makes some, of a guest. This is what "make tools-check"
# does. Ends with "N passed, N failed, N skipped".

# shellcheck disable=SC2317  # try calls what it is given
set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

HERE=$TOP/tools/chaostop
SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined"

build()
{
	make -s -C "$HERE" OUT="$WORK" "$@"
}

# cases NAME COMMAND...: what it says of each case is a result. It fails if a case does; or
# it did not get to the end.
cases()
{
	local of=$1 before=$PASSED bad=$FAILED status=0 word name

	shift
	while read -r word name; do
		case $word in
		ok | FAIL) verdict "$word" "$of: $name" ;;
		*) echo "$word $name" ;;
		esac
	done < <("$@" 2>&1)
	wait "$!" || status=$?
	[ "$status" -eq 0 ] || [ "$FAILED" -gt "$bad" ] ||
		verdict FAIL "$of: exit status $status"
	[ "$PASSED" -gt "$before" ] || verdict FAIL "$of: nothing passed"
}

man_lint()
{
	mandoc -T lint -W warning "$HERE/chaostop.8"
}

# groff warns, and is content.
man_warnings()
{
	local out

	out=$(LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$HERE/chaostop.8" \
		2>&1 >/dev/null)
	printf '%s' "$out"
	[ -z "$out" ]
}

installs()
{
	make -s -C "$TOP" install-tools DESTDIR="$WORK/root" PREFIX=/usr OUT="$WORK" &&
		[ -x "$WORK/root/usr/sbin/chaostop" ] &&
		[ -s "$WORK/root/usr/share/man/man8/chaostop.8" ]
}

# Two moments: the heap grows until then.
pictures()
{
	"$TOP/tools/pictures.sh" --quick --out "$WORK/pictures" || return
	[ -s "$WORK/pictures/animation.png" ] && [ -s "$WORK/pictures/mimalloc.png" ] &&
		grep -q ' % of .* full, .* partly full, .* empty' "$WORK/pictures/mimalloc.svg" &&
		grep -q 'after 656,928 events' "$WORK/pictures/montage.svg"
}

main()
{
	need gcc make libc6-dev python3 mandoc man-db
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT
	try "chaostop: it installs" installs
	rm -f "$WORK/chaostop"
	try "chaostop: builds with sanitizers, without warnings" \
		build CFLAGS="-O1 -g -Werror $SANITIZE"
	cases chaostop "$HERE/test.py" "$WORK/chaostop"
	try "chaostop.8: mandoc" man_lint
	try "chaostop.8: man" man_warnings
	cases heapmap "$TOP/tools/heapmap_test.py"
	try "make pictures, of two moments" pictures
	tally
}

main "$@"; exit
