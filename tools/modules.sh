#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the modules for one kernel in a directory of its own in the cache, so
# that builds for several kernels neither litter the source tree nor each other.
#
#   tools/modules.sh [--name NAME] KERNEL ARCH [MAKE-ARGUMENT...]
#
# KERNEL is a directory that tools/kernels.sh has printed, or a kernel's build
# tree; ARCH is Debian's word for the architecture. A second build for the same
# kernel with other arguments needs a NAME. Prints the directory
# of the build, with every .ko in it.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Sources are copied, so that no build product can land among the originals;
# products of the last build stay, so that only what changed is compiled.
copy_sources()
{
	rsync -rlt --checksum --delete --prune-empty-dirs \
		--exclude='/.*' --exclude='*.mod.c' \
		--include='*/' --include='*.[chS]' --include='Kbuild' \
		--include='Kconfig' --exclude='*' "$TOP/" "$1/"
}

main()
{
	local name='' kernel arch kdir build key args

	if [ "${1:-}" = --name ]; then
		name=$2
		shift 2
	fi
	[ $# -ge 2 ] || die "want a kernel and an architecture"
	kernel=$(realpath "$1")
	arch=$2
	shift 2
	kdir=$kernel
	[ ! -e "$kernel/kdir" ] || kdir=$kernel/kdir

	# The copies of two clones are kept apart as well.
	key=$(printf '%s %s' "$TOP" "$kernel" | sha256sum)
	name=${name:-${kernel##*/}}-${key:0:8}
	build=$CACHE/build/$name
	# shellcheck disable=SC2046  # a list of words
	need make rsync pahole libelf1 $(compiler_packages "$arch")
	lock "modules-$name"
	mkdir -p "$build"
	copy_sources "$build"
	args=(-C "$kdir" M="$build" ARCH="$(kernel_arch "$arch")"
		CROSS_COMPILE="$(cross_prefix "$arch")")

	say "building the modules for ${kernel##*/}"
	# Messages shall name the file that can be edited.
	make -s -j"$(nproc)" "${args[@]}" "$@" modules 2>&1 |
		sed -u "s#$build/#$TOP/#g" >&2 ||
		die "the modules do not build against $kdir"
	echo "$build"
}

main "$@"; exit
