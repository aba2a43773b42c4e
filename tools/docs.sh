#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Renders the documentation, and checks it.
#
#   tools/docs.sh html [DIR]  as HTML, into Documentation/output if not told: what
#                             "make htmldocs" does. Any warning is an error.
#   tools/docs.sh check       the same, and tools/doccheck.py: links, and that each command in
#                             a document is run by a test: what "make docs-check" does. Ends
#                             with "N passed, N failed, N skipped".

# shellcheck disable=SC2317  # try calls what it is given
set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# sphinx_extension: the kernel's, which renders its comments. The source tree that tests
# use has no documentation.
sphinx_extension()
{
	local version dir from=linux-source-$SOURCE_SERIES

	version=$(dpkg-query -W -f '${Version}' "$from")
	dir=$CACHE/docs/$version
	if [ ! -e "$dir/kerneldoc.py" ]; then
		mkdir -p "$dir"
		tar -xJf "/usr/src/$from.tar.xz" -C "$dir" --strip-components=3 --occurrence=1 \
			"$from/Documentation/sphinx/kernellog.py" \
			"$from/Documentation/sphinx/kerneldoc.py"
	fi
	echo "$dir"
}

# write_conf DIR EXTENSION SOURCE
write_conf()
{
	cat >"$1/conf.py" <<EOF
import sys
sys.path.insert(0, "$2")
extensions = ["kerneldoc"]
kerneldoc_bin = "$3/scripts/kernel-doc"
kerneldoc_srctree = "$TOP"
project = "chaos_alloc"
root_doc = "index"
exclude_patterns = ["output"]
html_theme = "alabaster"
html_copy_source = False
html_show_copyright = False
primary_domain = "c"
highlight_language = "none"
c_id_attributes = ["__kprobes"]
EOF
}

html()
{
	local out=${1:-$TOP/Documentation/output} work source extension

	need python3-sphinx perl "linux-source-$SOURCE_SERIES" xz-utils
	source=$("$TOP/tools/kernels.sh" source)
	lock docs
	extension=$(sphinx_extension)
	work=$CACHE/docs/$(cksum <<<"$TOP" | cut -d ' ' -f 1)
	mkdir -p "$work" "$out"
	write_conf "$work" "$extension" "$source"
	PYTHONDONTWRITEBYTECODE=1 sphinx-build -q -W --keep-going -E -b html -c "$work" \
		-d "$work/doctrees" "$TOP/Documentation" "$out"
	grep -q 'chaos_heap_create' "$out/api.html" || die "api.html has no functions"
	say "rendered: $out/index.html"
}

# all_functions: the guide calls, and contexts.rst has, each that is exported, but what only
# chaos_kmalloc.ko calls
all_functions()
{
	local function bad=0

	cd "$TOP"
	while read -r function; do
		if ! grep -qw "$function" samples/chaos_guide.c ||
			! grep -q "^\`\`$function()\`\`  " Documentation/contexts.rst; then
			echo "not in the guide, or not in contexts.rst: $function()"
			bad=1
		fi
	done < <(sed -n '/_ops/d; /_track_caller/d; s/^EXPORT_SYMBOL_GPL(\(chaos_[a-z_]*\));/\1/p' chaos_alloc.c heap.c)
	return "$bad"
}

check()
{
	local out

	mkdir -p "$CACHE/tmp"
	out=$(mktemp -d "$CACHE/tmp/docs.XXXXXX")
	# shellcheck disable=SC2064  # this directory
	trap "rm -rf '$out'" EXIT
	need python3 python3-docutils
	try "htmldocs, without warnings" "$TOP/tools/docs.sh" html "$out"
	try "links and commands" "$TOP/tools/doccheck.py"
	try "each function has its example" all_functions
	tally
}

# try_make modules|install: the Makefile, by hand as it were, but where all is compiled
# already
try_make()
{
	local kernel build root

	kernel=$("$TOP/tools/kernels.sh" kunit)
	build=$("$TOP/tools/modules.sh" "$kernel" arm64)
	root=$(mktemp -d)
	# shellcheck disable=SC2064  # this directory
	trap "rm -rf '$root'" EXIT
	cd "$build"
	make -s -f "$TOP/Makefile" KDIR="$kernel/kdir" ARCH=arm64 \
		CROSS_COMPILE="$(cross_prefix arm64)" INSTALL_MOD_PATH="$root" "$1"
	[ "$1" != install ] || find "$root" -name 'chaos_alloc.ko*' | grep .
}

# type_slowly FILE: to a shell whose output goes there, as soon as it is one
type_slowly()
{
	local line

	for _ in {1..120}; do
		sleep 1
		! grep -q 'The modules are in /modules' "$1" || break
	done
	for line in 'insmod /modules/chaos_alloc.ko' 'chaostop --once --bytes' exit; do
		sleep 2
		echo "$line"
	done
	sleep 10
}

# try_shell: the guest's, with a command that is in every guest; and it ends when told
try_shell()
{
	local out

	out=$(mktemp)
	# shellcheck disable=SC2064  # this file
	trap "rm -f '$out'" EXIT
	# shellcheck disable=SC2094  # the one side waits for what the other has written
	type_slowly "$out" | timeout 180 "$TOP/run-qemu.sh" --shell >"$out"
	cat "$out"
	grep -q '^default  *mimalloc ' "$out"
}

case ${1:-} in
try-shell) try_shell ;;
try-make) try_make "$2" ;;
html) html "${2:-}" ;;
check) check ;;
*) sed -n '/^# Renders/,/^$/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac; exit
