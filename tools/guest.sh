# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What is the same for every guest, in QEMU or User-mode Linux: the files in it, and
# what its log must not say. Sourced, after common.sh.

TRACE=$TOP/samples/boot-fs.bin.xz

# build_chaostop ARCH FILE: as the guest can run it, without libraries
build_chaostop()
{
	local arch=${1/um/amd64} file=$2

	need make "$(libc_package "$arch")"
	make -s -C "$TOP/tools/chaostop" CC="$(cross_prefix "$arch")gcc" \
		LDFLAGS="-static -s" OUT="${file%/*}"
}

# strip_modules ARCH BUILD DIR: without debug information, which makes them ten times as large
strip_modules()
{
	local ko

	mkdir -p "$3"
	while read -r ko; do
		"$(cross_prefix "$1")strip" -g -o "$3/${ko##*/}" "$ko"
	done < <(find "$2" -name '*.ko')
}

# pack_dropin ARCH KERNEL ROOT: the kernel's modules that are built with chaos_kmalloc.h, and
# what checks a file system
pack_dropin()
{
	local modules e2fsck

	modules=$("$TOP/tools/dropin.sh" "$2" "$1")
	e2fsck=$("$TOP/tools/kernels.sh" e2fsck "$1")
	mkdir -p "$3/bin"
	strip_modules "$1" "$modules" "$3/modules/dropin"
	cp "$e2fsck/sbin/e2fsck.static" "$3/bin/e2fsck"
}

# pack_tracers ARCH ROOT: perf and trace-cmd
pack_tracers()
{
	local tracers

	tracers=$("$TOP/tools/kernels.sh" tracers "$1")
	mkdir -p "$2"
	cp -a "$tracers/." "$2"
}

# pack_initramfs ARCH BUILD DIR: busybox, chaostop, the guest's scripts, the modules and
# the trace, as DIR/initramfs.gz
pack_initramfs()
{
	local arch=$1 build=$2 dir=$3 root=$3/root busybox

	busybox=$("$TOP/tools/kernels.sh" busybox "${arch/um/amd64}")
	mkdir -p "$root/bin" "$root/dev" "$root/chaos" "$root/modules"
	cp "$busybox/bin/busybox" "$root/bin/"
	build_chaostop "$arch" "$root/bin/chaostop"
	cp "$TOP/rootfs/init" "$root/init"
	cp "$TOP"/rootfs/*.sh "$root/chaos/"
	strip_modules "$arch" "$build" "$root/modules"
	xz -dc "$TRACE" >"$root/trace.bin"
	(cd "$root" && find . -print0 |
		cpio --null --quiet -o -H newc -R 0:0 | gzip -1) >"$dir/initramfs.gz"
}

# What the kernel says when something is wrong, in any of its checkers
ALARMS='WARNING:|BUG:|BUG at |Oops|Unable to handle|Internal error|Kernel panic'
ALARMS+='|Call [Tt]race:|INFO: |kmemleak: (unreferenced|[0-9]+ new suspected)'
ALARMS+='|UBSAN|ODEBUG: [^s]|refcount_t: |DEBUG_LOCKS_WARN|(soft|hard) lockup'
ALARMS+='|list_(add|del) corruption|inconsistent lock state|suspicious RCU'
ALARMS+='|scheduling while atomic|sleeping function called|stack-protector'
ALARMS+='|Unknown symbol|disagrees about version|segfault|Out of memory'
ALARMS+='|deprecated workqueue'

# KCSAN knows races that the kernel has with itself. Where code of ours is a party, the
# report's first line has a module's name in brackets behind a function's. But a task's
# flags are nobody's but its own, and the scheduler reads those of others: what
# memalloc_noio_save() writes, an inline function.
OTHERS_RACES='BUG: KCSAN: [^[]*$'
OTHERS_RACES+='|BUG: KCSAN: data-race in chaos_[a-z_]* \[chaos_alloc\] / kthread_is_per_cpu$'

# scan_log LOG STATUS LIMIT: prints what is wrong in the log of a guest that ended
# with STATUS, or was ended after LIMIT seconds; fails if anything is.
scan_log()
{
	local log=$1 status=$2 limit=$3 bad=0 hits

	hits=$(awk -f "$TOP/tools/expected.awk" "$log" | grep -nE "$ALARMS" |
		grep -vE "$OTHERS_RACES" | head -n 20) || true
	if [ -n "$hits" ]; then
		say "the kernel reports problems:"
		printf '%s\n' "$hits" >&2
		bad=1
	fi
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		say "TIMEOUT: the guest did not finish within $limit seconds. The end of its log:"
		tail -n 20 "$log" >&2
		say "the whole log: $log"
		exit 124
	elif ! grep -q 'chaos_guest: finished ' "$log"; then
		say "the guest stopped before it was finished. The end of its log:"
		tail -n 20 "$log" >&2
		bad=1
	elif ! grep -q 'chaos_guest: finished status=0' "$log"; then
		say "a step in the guest failed"
		bad=1
	fi
	return $bad
}
