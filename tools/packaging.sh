#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tries what installs the module: what "make packages" does. Debian's dkms, in trees of its own;
# make install and uninstall; signatures; the Debian packages: built, looked at by lintian, and
# installed and removed in a copy of this machine's files that is thrown away.
#
#   tools/packaging.sh [--keep DIR]       DIR gets the packages
#
# Ends with "N passed, N failed, N skipped".

# shellcheck disable=SC2317  # try calls what it is given
set -euo pipefail
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Debian 12's kernel; the packages are tried on a newer one.
DKMS_SERIES=6.1
COPY_SERIES=6.12
# dkms, depmod and so on, for those who are not root
PATH=$PATH:/usr/sbin:/sbin

# release KDIR: the kernel's name, as its modules have it
release()
{
	sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' "$1/include/generated/utsrelease.h"
}

# fail TEXT: the reason why a check is none that has passed
fail()
{
	echo "$*"
	return 1
}

# --- versions -----------------------------------------------------------------------

# says FILE REGEX: the first thing in parentheses
says()
{
	sed -En "s/$2/\\1/p" "$TOP/$1" | head -n 1
}

one_version()
{
	local what

	for what in "$(says heap.c 'MODULE_VERSION\("([^"]*)"\).*')" \
		"$(says dropin/client.c 'MODULE_VERSION\("([^"]*)"\).*')" \
		"$(says debian/changelog 'chaos-alloc \(([^)]*)\).*')" \
		"$(says Documentation/changelog.rst '^([0-9][^ ]*)( .*)?$')" \
		"$(says packaging/chaos_alloc.4 '^\.TH.*"chaos_alloc ([^"]*)".*')"; do
		[ "$what" = "$VERSION" ] ||
			fail "dkms.conf says $VERSION, another file '$what'" || return
	done
}

# The page has every parameter of the modules.
man_page()
{
	local out name module

	out=$(man --warnings=all -l -Tutf8 -Z "$TOP/packaging/chaos_alloc.4" 2>&1 >/dev/null)
	[ -z "$out" ] || fail "$out" || return
	for module in "$@"; do
		[ -e "$module" ] || fail "there is no $module" || return
		while read -r name; do
			grep -q "^\.B $name=" "$TOP/packaging/chaos_alloc.4" ||
				fail "the man page does not have $name" || return
		done < <(modinfo -F parm "$module" | sed 's/:.*//')
	done
}

# modprobe_conf: no line is in effect, and each sets parameters that its module has
modprobe_conf()
{
	local conf=$TOP/packaging/modprobe.conf module words word

	! grep -v '^#\|^$' "$conf" || fail "this is in effect" || return
	grep -q '^#options ' "$conf" || fail "there is nothing in it" || return
	while read -r module words; do
		for word in $words; do
			modinfo -F parm "$WORK/$module-$DKMS_SERIES.ko" | grep "^${word%%=*}:" ||
				fail "$module has no parameter ${word%%=*}" || return
		done
	done < <(sed -n 's/^#options //p' "$conf")
}

# --- dkms ---------------------------------------------------------------------------

# dkms_in ROOT ARGUMENT...: with trees of its own; signs with KEY and CERTIFICATE. It wants to be
# root even there.
dkms_in()
{
	local root=$1 as_root=()

	shift
	[ "$(id -u)" -eq 0 ] || as_root=(fakeroot)
	sign_file=$SIGN_FILE mok_signing_key=$KEY mok_certificate=$CERTIFICATE \
		"${as_root[@]}" dkms "$@" \
		--sourcetree "$root/usr/src" --dkmstree "$root/dkms" \
		--installtree "$root/lib/modules" --no-depmod
}

# dkms_cycle SERIES: add, build, install, remove; each leaves what it ought to
dkms_cycle()
{
	local root=$WORK/dkms-$1 kdir release module out args=(-m chaos_alloc -v "$VERSION")

	kdir=$(kdir "$1")
	release=$(release "$kdir")
	module=$root/lib/modules/$release/updates/dkms/chaos_alloc.ko
	args+=(-k "$release")
	mkdir -p "$root/dkms" "$root/lib/modules/$release"
	make -s -C "$TOP" install-dkms DESTDIR="$root"
	dkms_in "$root" add -m chaos_alloc -v "$VERSION"
	out=$(dkms_in "$root" build "${args[@]}" --kernelsourcedir "$kdir" 2>&1) || fail "$out" || return
	# make clean may fail, for dkms.
	! grep "bad exit status" <<<"$out" || return
	dkms_in "$root" install "${args[@]}" --kernelsourcedir "$kdir"
	dkms_in "$root" status | grep -q "^chaos_alloc/$VERSION, $release, .*: installed$" ||
		fail "dkms does not say that it is installed" || return
	good_module "$module" "$release" || return
	good_module "${module%/*}/chaos_kmalloc.ko" "$release" || return
	[ "$(find "$root/lib/modules" -name '*.ko*' | wc -l)" -eq \
		"$(grep -c '^BUILT_MODULE_NAME' "$TOP/dkms.conf")" ] ||
		fail "it has installed something else as well" || return
	client "$root" "$kdir" "$release" || return
	cp "$module" "$WORK/chaos_alloc-$1.ko"
	cp "${module%/*}/chaos_kmalloc.ko" "$WORK/chaos_kmalloc-$1.ko"

	dkms_in "$root" remove -m chaos_alloc -v "$VERSION" --all
	[ -z "$(find "$root/dkms" "$root/lib/modules" -type f)" ] ||
		fail "something is left of it: $(find "$root/dkms" "$root/lib/modules" -type f)"
}

# good_module FILE RELEASE
good_module()
{
	[ "$(modinfo -F version "$1")" = "$VERSION" ] || fail "$1 has no version" || return
	[[ $(modinfo -F vermagic "$1") == "$2 "* ]] || fail "$1 is for another kernel" || return
	[ "$(modinfo -F signer "$1")" = "$SIGNER" ] || fail "$1 is not signed" || return
}

# dev_files DIR: what the -dev package has: headers, and the example
dev_files()
{
	local dir=$1 files target file

	while read -r files target; do
		mkdir -p "$dir/$target"
		# shellcheck disable=SC2086  # it may be a pattern
		(cd "$TOP" && cp $files "$dir/$target")
	done <"$TOP/debian/chaos-alloc-dev.install"
	mkdir "$dir/example"
	while read -r file; do
		cp "$TOP/$file" "$dir/example"
	done <"$TOP/debian/chaos-alloc-dev.examples"
}

# client ROOT KDIR RELEASE: a module of the -dev package's example, as its README says, and of
# nothing that the package does not have
client()
{
	local dir=$1/dev/example out

	dev_files "$1/dev"
	sed -i "s#/usr/include/chaos_alloc#$1/dev&#" "$dir/Kbuild"
	out=$(make -s -C "$2" M="$dir" \
		KBUILD_EXTRA_SYMBOLS="$1/dkms/chaos_alloc/kernel-$3-$(uname -m)/Module.symvers" \
		modules 2>&1) || fail "$out" || return
	! grep undefined <<<"$out" || return
	[ "$(modinfo -F depends "$dir/chaos_sample.ko")" = chaos_alloc ] ||
		fail "the client does not depend on chaos_alloc"
}

# --- make install -------------------------------------------------------------------

# copy_tree DIR: as somebody has it who has unpacked a release
copy_tree()
{
	rsync -a --exclude=/.git --exclude='*.o' --exclude='*.ko' --exclude='.*.cmd' \
		--exclude='*.mod.c' --exclude=__pycache__ "$TOP/" "$1/"
}

# make_install SERIES: modprobe finds it; make uninstall takes it away, and nothing else
make_install()
{
	local root=$WORK/install-$1 build=$WORK/build-$1 kdir release modules left

	kdir=$(kdir "$1")
	release=$(release "$kdir")
	modules=$root/lib/modules/$release
	copy_tree "$build"
	make -s -C "$build" -j"$(nproc)" KDIR="$kdir" INSTALL_MOD_PATH="$root" CLIENTS=n install
	modprobe -n -v -d "$root" -S "$release" chaos_alloc | grep '^insmod .*/chaos_alloc.ko' ||
		fail "modprobe does not find it" || return

	mkdir -p "$modules/updates/dkms"
	touch "$modules/updates/dkms/chaos_alloc.ko" "$modules/updates/other.ko"
	make -s -C "$build" KDIR="$kdir" INSTALL_MOD_PATH="$root" uninstall
	left=$(cd "$root/lib/modules" && find . -name '*.ko*' | sort | xargs)
	[ "$left" = "./$release/updates/dkms/chaos_alloc.ko ./$release/updates/other.ko" ] ||
		fail "what is left is: $left"
}

# --- signatures ---------------------------------------------------------------------

# A key for this run
make_key()
{
	openssl req -new -x509 -newkey rsa:2048 -nodes -days 1 -subj "/CN=$SIGNER" \
		-addext "extendedKeyUsage=codeSigning" \
		-keyout "$KEY" -outform DER -out "$CERTIFICATE"
}

# The signature is the key's, and of this file: a changed one has none that is good.
signature()
{
	local module=$WORK/chaos_alloc-$DKMS_SERIES.ko size text

	[ "$(modinfo -F sig_hashalgo "$module")" = sha256 ] || fail "no hash" || return
	[ "$(tail -c 28 "$module")" = "~Module signature appended~" ] ||
		fail "no mark at the end" || return
	# Before the mark are 12 bytes, of which the last 4 are the signature's length.
	size=$((0x$(tail -c 32 "$module" | head -c 4 | od -An -tx1 | tr -d ' \n')))
	text=$(($(stat -c %s "$module") - 40 - size))
	head -c "$text" "$module" >"$WORK/module"
	tail -c $((40 + size)) "$module" | head -c "$size" >"$WORK/signature"
	verify "$WORK/module" || fail "the signature is wrong" || return
	printf 'x' | dd of="$WORK/module" bs=1 seek=4096 conv=notrunc status=none
	! verify "$WORK/module" || fail "the signature is right for another file"
}

verify()
{
	openssl cms -verify -binary -inform DER -in "$WORK/signature" -content "$1" \
		-certfile "$WORK/certificate.pem" -noverify -nointern -out /dev/null
}

# --- Debian packages ----------------------------------------------------------------

# In a tree in which somebody has worked
build_packages()
{
	local source=$WORK/packages/chaos-alloc dir

	mkdir -p "$WORK/packages"
	cp -a "$WORK/build-$COPY_SERIES" "$source"
	for dir in bench/out pictures Documentation/output; do
		mkdir -p "$source/$dir"
		echo "by make" >"$source/$dir/made"
	done
	(cd "$source" && dpkg-buildpackage -us -uc)
}

# What make has left there is not in them.
sources_only()
{
	local package found left

	left='\.(ko|o|a|mod|mod\.c|cmd|symvers|order|pyc)$|/\.git$|/made$|/chaostop/chaostop$'
	for package in "$WORK"/packages/*.deb "$WORK"/packages/*.tar.*; do
		found=$(case $package in
			*.deb) dpkg-deb --fsys-tarfile "$package" | tar -t ;;
			*) tar -tf "$package" ;;
			esac | grep -E "$left") || continue
		fail "${package##*/} has $(xargs <<<"$found")" || return
	done
}

# Every tag counts: nothing is overridden.
lint()
{
	lintian -EviIL +pedantic --fail-on error,warning,info,pedantic,experimental \
		--allow-root "$WORK"/packages/*.changes
}

# in_copy KDIR: as root, in a mount namespace of its own, in the copy of this machine's files: the
# packages are installed and removed there, by their own scripts.
in_copy()
{
	local root=$WORK/root kdir=$1 release module

	release=$(release "$kdir")
	module=/lib/modules/$release/updates/dkms/chaos_alloc.ko
	# What is written into the copy is in memory, and gone with the namespace.
	mount -t tmpfs tmpfs "$root" || exit 77
	mkdir "$root/upper" "$root/work" "$root/merged"
	mount -t overlay overlay \
		-o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" "$root/merged" || exit 77
	root=$root/merged
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	# The cache may be on another file system, which is not in the copy.
	mkdir -p "$root$CACHE"
	mount --rbind "$CACHE" "$root$CACHE"
	# One kernel, which is not the one that runs
	rm -rf "${root:?}"/lib/modules "${root:?}"/boot "${root:?}"/var/lib/dkms/*
	mkdir -p "$root/boot" "$root/lib/modules/$release"
	ln -s "$kdir" "$root/lib/modules/$release/build"
	touch "$root/lib/modules/$release/modules.builtin" "$root/lib/modules/$release/modules.order"

	# shellcheck disable=SC2046  # file names without blanks
	chroot "$root" dpkg -i $(packages_built)
	[ "$(chroot "$root" modinfo -k "$release" -F version chaos_alloc)" = "$VERSION" ] ||
		fail "$module is not there" || return
	[ "$(modinfo -F signer "$root$module")" = "DKMS module signing key" ] ||
		fail "dkms has not signed it" || return
	[ -e "$root/usr/include/chaos_alloc/chaos_alloc.h" ] || fail "no header" || return
	[ -x "$root/usr/sbin/chaostop" ] || fail "no chaostop" || return
	example_builds "$root" "$release" || fail "the example does not build" || return
	chroot "$root" man -w 4 chaos_alloc
	chroot "$root" man -w 8 chaostop
	chroot "$root" modprobe --showconfig >/dev/null

	chroot "$root" dpkg --purge chaos-alloc-dkms chaos-alloc-dev chaos-alloc-tools
	[ -z "$(find "$root"/lib/modules "$root"/var/lib/dkms "$root"/usr/src \
		"$root"/usr/include/chaos_alloc "$root"/etc/modprobe.d -name '*chaos*' 2>/dev/null)" ] ||
		fail "something is left"
}

# example_builds ROOT RELEASE: that of the package, where it is
example_builds()
{
	local installed

	installed=/var/lib/dkms/chaos_alloc/kernel-$2-$(uname -m)
	cp -r "$1/usr/share/doc/chaos-alloc-dev/examples" "$1/client" &&
		chroot "$1" make -s -C "/lib/modules/$2/build" M=/client \
			KBUILD_EXTRA_SYMBOLS="$installed/Module.symvers" modules &&
		[ "$(modinfo -F depends "$1/client/chaos_sample.ko")" = chaos_alloc ]
}

packages_built()
{
	find "$WORK/packages" -name '*.deb' ! -name '*-dbgsym_*'
}

# copied KDIR: in_copy, by root or by who may be that; 77 if nobody may, or may not mount
copied()
{
	local as_root=()

	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || return 77
		# env, because sudo drops the environment.
		as_root=(sudo env "HOME=$HOME" "XDG_CACHE_HOME=${CACHE%/*}")
	fi
	"${as_root[@]}" unshare -m true || return 77
	"${as_root[@]}" unshare -m "$0" --in-copy "$WORK" "$1"
}

install_packages()
{
	local out status=0 kdir

	mkdir "$WORK/root"
	kdir=$(kdir $COPY_SERIES)
	out=$(copied "$kdir" 2>&1) || status=$?
	if [ "$status" -eq 77 ]; then
		echo "skipped: we may not become root, or this machine does not let us mount an overlay"
		SKIPPED=$((SKIPPED + 1))
		try "dkms: Linux $COPY_SERIES: add, build, install, remove" dkms_cycle $COPY_SERIES
		return
	fi
	[ "$status" -eq 0 ] || printf '%s\n' "$out"
	try "the packages are installed and removed" [ "$status" -eq 0 ]
}

# ------------------------------------------------------------------------------------

kdir()
{
	echo "$("$TOP/tools/kernels.sh" headers "$1" amd64)/kdir"
}

main()
{
	local keep=''

	VERSION=$(says dkms.conf 'PACKAGE_VERSION="([^"]*)"')
	if [ "${1:-}" = --in-copy ]; then
		WORK=$2
		in_copy "$3"
		return
	fi
	[ "${1:-}" != --keep ] || keep=$(realpath "$2")
	need make rsync dkms dh-dkms build-essential debhelper lintian fakeroot dpkg-dev kmod openssl man-db \
		groff-base pahole libelf1 util-linux gcc gcc-12 libc6-dev
	mkdir -p "$CACHE/tmp"
	WORK=$(mktemp -d "$CACHE/tmp/packaging.XXXXXX")
	trap 'rm -rf "$WORK"' EXIT
	KEY=$WORK/key.pem CERTIFICATE=$WORK/certificate.der SIGNER="chaos_alloc test key"
	SIGN_FILE=$(kdir $DKMS_SERIES)/scripts/sign-file

	try "one version everywhere" one_version
	try "a key to sign with" make_key
	openssl x509 -inform DER -in "$CERTIFICATE" -out "$WORK/certificate.pem"
	try "dkms: Linux $DKMS_SERIES: add, build, install, remove" dkms_cycle $DKMS_SERIES
	try "make install and uninstall: Linux $DKMS_SERIES" make_install $DKMS_SERIES
	try "make install and uninstall: Linux $COPY_SERIES" make_install $COPY_SERIES
	try "the signature is good" signature
	try "the manual page has all parameters" man_page \
		"$WORK/chaos_alloc-$DKMS_SERIES.ko" "$WORK/chaos_kmalloc-$DKMS_SERIES.ko"
	try "modprobe.conf has none that there is not" modprobe_conf
	try "packages are built" build_packages
	try "they have sources, and nothing that make has left there" sources_only
	try "lintian" lint
	install_packages
	[ -z "$keep" ] || cp "$WORK"/packages/*.* "$keep"
	tally
}

main "$@"; exit
