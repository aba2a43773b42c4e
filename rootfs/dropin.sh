#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# shellcheck disable=SC2317  # run_suite calls the cases
#
# The kernel's own modules, built with chaos_kmalloc.h (tools/dropin.sh), do what they are
# for with their kmalloc family on each engine: a test of rhashtables; a block device,
# configured through configfs; a file system on it, which is filled, checked and emptied.
# (For kernels in which ext4 is not built in, since that calls itself ext2 as well.)

. /chaos/lib.sh

SUITE=chaos_modules
MODULES=/modules/dropin
DISK=/dev/nullb0
DIR=/tmp/mnt

load()
{
	module=$1
	shift
	insmod "$MODULES/$module.ko" "$@" || fail "$module.ko does not load"
}

# clean: nothing that a test may have left
clean()
{
	umount "$DIR" /tmp/config
	for module in ext2 mbcache null_blk configfs rhashtable_test; do
		rmmod "$module"
	done
}

# with ALLOCATOR COMMAND
with()
{
	with_clients "$1" "$2" clean
}

# --- a test -----------------------------------------------------------------------

test_rhashtable()
{
	load rhashtable_test parm_entries=5000 runs=2 tcount=4 || return
	on_heap rhashtable_test 20 || return
	unload rhashtable_test || return
	# A walk may miss what a resize is just moving; the test says so, and goes on.
	# shellcheck disable=SC2154  # with_clients has set it
	bad=$(log_since "$mark" | grep 'Test failed' | grep -v 'Total count mismatch')
	[ -z "$bad" ] || fail "$bad" || return
	log_since "$mark" | grep -q ', 0 failed, rhltable test returns 0' || fail "no verdict"
}

rhashtable()
{
	with "$1" test_rhashtable
}

# --- a block device -----------------------------------------------------------------

# noise BYTES: the same each time
noise()
{
	yes "0 1 2 3 $1" | head -c "$1"
}

# made_by_hand: a device that configfs makes and removes
made_by_hand()
{
	device=/tmp/config/nullb/mine
	mkdir -p /tmp/config
	mount -t configfs none /tmp/config || fail "no configfs" || return
	mkdir "$device" || fail "configfs makes no device" || return
	echo 16 >"$device/size" || return
	echo 1 >"$device/memory_backed" || return
	echo 1 >"$device/power" || return
	# Else it would be a file in /dev that is written to.
	[ -b /dev/mine ] || fail "/dev/mine is no block device" || return
	noise 1000000 >/dev/mine || fail "/dev/mine cannot be written to" || return
	[ "$(head -c 1000000 /dev/mine | sha256sum)" = "$(noise 1000000 | sha256sum)" ] ||
		fail "/dev/mine has other data" || return
	on_heap configfs 10 || return
	echo 0 >"$device/power" && rmdir "$device" && umount /tmp/config
}

test_null_blk()
{
	load configfs && load null_blk gb=1 memory_backed=1 || return
	[ -b "$DISK" ] || fail "$DISK is no block device" || return
	noise 4000000 >"$DISK" || fail "$DISK cannot be written to" || return
	echo 3 >/proc/sys/vm/drop_caches
	[ "$(head -c 4000000 "$DISK" | sha256sum)" = "$(noise 4000000 | sha256sum)" ] ||
		fail "$DISK has other data" || return
	on_heap null_blk 900 || return
	made_by_hand || return
	unload null_blk && unload configfs
}

null_blk()
{
	with "$1" test_null_blk
}

# --- a file system ------------------------------------------------------------------

# fill: directories, files of all sizes, links of both kinds
fill()
{
	for i in 0 1 2 3; do
		mkdir -p "$DIR/$i/a/b/c" || return
		for j in 0 1 2 3 4 5; do
			noise $((i * 9000 + j * 37)) >"$DIR/$i/a/$j" || return
			ln "$DIR/$i/a/$j" "$DIR/$i/a/b/hard$j" || return
			ln -s "../../$j" "$DIR/$i/a/b/c/short$j" || return
			ln -s "$(noise 200 | tr -d '\n')" "$DIR/$i/long$j" || return
		done
	done
	cp /bin/busybox "$DIR"
}

# sums: of all that there is to read
sums()
{
	(cd "$DIR" && find . | sort && find . -type f | sort | xargs sha256sum &&
		find . -type l | sort | xargs -n 1 readlink) | sha256sum
}

remount()
{
	umount "$DIR" || fail "umount" || return
	e2fsck -fn "$DISK" >/tmp/fsck 2>&1 || fail "e2fsck: $(tail -n 3 /tmp/fsck)" || return
	mount -t ext2 "$DISK" "$DIR" || fail "mount"
}

# full: until there is no room; what was there is as it was
full()
{
	before=$(sums)
	! cat /dev/zero 2>/dev/null >"$DIR/zeroes" || fail "it is never full" || return
	rm "$DIR/zeroes"
	[ "$(sums)" = "$before" ] || fail "a full disk has changed files"
}

test_ext2()
{
	load configfs && load null_blk gb=1 memory_backed=1 && load mbcache && load ext2 || return
	mkdir -p "$DIR"
	mke2fs -b 1024 "$DISK" 6000 >/dev/null || fail "mke2fs" || return
	mount -t ext2 "$DISK" "$DIR" || fail "mount" || return
	fill || fail "files cannot be made" || return
	made=$(sums)
	remount || return
	[ "$(sums)" = "$made" ] || fail "other files than were made" || return
	full || return
	rm -r "$DIR"/[01] || return
	left=$(sums)
	remount || return
	[ "$(sums)" = "$left" ] || fail "other files than were left" || return
	on_heap ext2 80 || return
	umount "$DIR" || fail "umount" || return
	unload ext2 && unload mbcache && unload null_blk && unload configfs
}

ext2()
{
	with "$1" test_ext2
}

CASES="$(each rhashtable) $(each null_blk) $(each ext2)"
run_suite "$SUITE" "$CASES"
