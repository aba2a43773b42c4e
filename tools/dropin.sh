#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds modules of the kernel's own with chaos_kmalloc.h, not a line of them changed: a
# file system, a block device, what it is configured with, and a test.
#
#   tools/dropin.sh KERNEL ARCH
#
# KERNEL is a directory that tools/kernels.sh has printed, of a kernel of the series whose
# source Debian has; ARCH is Debian's word for the architecture. Prints the directory with
# the modules.

set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

SOURCES='fs/ext2 fs/mbcache.c fs/configfs drivers/block/null_blk lib/test_rhashtable.c lib/rhashtable.c'

# What Kconfig would set, for a kernel that has these switched off
CONFIG='CONFIG_EXT2_FS=m CONFIG_EXT2_FS_XATTR=y CONFIG_CONFIGFS_FS=m
	CONFIG_BLK_DEV_NULL_BLK=m'

write_kbuild()
{
	cat >"$1/Kbuild" <<EOF
subdir-ccflags-y := -include $TOP/chaos_kmalloc.h -DCONFIG_EXT2_FS_XATTR=1
obj-m := fs/ext2/ fs/configfs/ fs/ drivers/block/null_blk/ lib/
EOF
	echo 'obj-m := mbcache.o' >"$1/fs/Kbuild"
	# The test alone allocates next to nothing: it is what it tests that does. The kernel
	# exports the same functions.
	cat >"$1/lib/Kbuild" <<EOF
obj-m := rhashtable_test.o
rhashtable_test-y := test_rhashtable.o rhashtable.o
CFLAGS_rhashtable.o := -D__DISABLE_EXPORTS
EOF
}

main()
{
	local kernel arch modules source build item

	[ $# -eq 2 ] || die "want a kernel and an architecture"
	kernel=$(realpath "$1")
	arch=$2
	modules=$("$TOP/tools/modules.sh" "$kernel" "$arch")
	source=$("$TOP/tools/kernels.sh" source)
	build=$modules-dropin
	lock "dropin-${modules##*/}"
	for item in $SOURCES; do
		mkdir -p "$build/${item%/*}"
		rsync -rlt --checksum "$source/$item" "$build/${item%/*}/"
	done
	write_kbuild "$build"
	say "building the kernel's modules with chaos_kmalloc.h"
	# shellcheck disable=SC2086  # a list of words
	make -s -j"$(nproc)" $CONFIG -C "$kernel/kdir" M="$build" ARCH="$(kernel_arch "$arch")" \
		CROSS_COMPILE="$(cross_prefix "$arch")" \
		KBUILD_EXTRA_SYMBOLS="$modules/Module.symvers" modules >&2 ||
		die "the kernel's modules do not build with chaos_kmalloc.h"
	echo "$build"
}

main "$@"; exit
