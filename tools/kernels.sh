#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Prepares the kernels that the modules are built against and run on.
#
#   tools/kernels.sh stock|rt             Debian's 6.12 kernel for arm64: image and headers
#   tools/kernels.sh stock-6.1|newest     Debian's 6.1, and the newest that is in sid
#   tools/kernels.sh NAME-amd64           the same as stock, stock-6.1, newest for amd64
#   tools/kernels.sh kunit|debug          a test kernel built from linux-source-6.12
#   tools/kernels.sh kcsan|rtdebug|16k|amd64
#                                         others of its kind, see Documentation/kernels.rst
#   tools/kernels.sh kunit-newest         the same as kunit of the newest source in sid
#   tools/kernels.sh gdb                  the same as kunit with debug information
#   tools/kernels.sh clang                the same as kunit, headers only, for clang
#   tools/kernels.sh um                   User-mode Linux of the same source: one CPU
#   tools/kernels.sh um-smp               of Debian's newest source: several CPUs
#   tools/kernels.sh um-kunit             the same with KUnit, for tests
#   tools/kernels.sh headers SERIES ARCH  only headers, e.g. headers 6.1 amd64; headers
#                                         newest arm64
#   tools/kernels.sh source [newest]      the source tree of the test kernels, or Debian's newest
#   tools/kernels.sh busybox|e2fsck [ARCH]
#                                         these programs, static, for arm64 if not told
#   tools/kernels.sh tracers [ARCH]       perf and trace-cmd, with the libraries they need
#
# Prints one directory. For a kernel it holds kdir (what to build modules
# against) and, unless it is headers only, Image (User-mode Linux: linux, a
# program for this machine). All of it lives in the cache. Packages for another architecture come through an apt state of our
# own and are unpacked, never installed: the machine's configuration stays
# as it is.

set -euo pipefail
# Functions here answer on stdout: a failure inside of $(...) counts as well.
shopt -s inherit_errexit
# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Counts up when a change of this file changes what a test kernel is.
BUILD_REVISION=1
KERNELS=$CACHE/kernels
# How old package lists may be, in minutes. Later runs neither need the
# network nor wait for it.
LISTS_MAX_AGE=1440
ARCHIVE_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
SOURCE_PACKAGE=linux-source-$SOURCE_SERIES
# Where Debian has its newest kernels, and their series as a pattern: User-mode Linux has
# several CPUs since 7.0.
NEWEST_SUITE=sid
NEWEST_SERIES='7\.[0-9]+'

# --- packages of any architecture, unpacked -----------------------------------

# suite_sources DIR SUITE: another suite of the archive that this machine's own
# release comes from. apt verifies it with the archive's keys, as always.
suite_sources()
{
	local dir=$1 suite=$2 release uri

	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016  # apt replaces these
	uri=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' |
		awk -v r="$release" '$1 == r && $2 == "main" { print $3; exit }')
	[ -n "$uri" ] ||
		die "the package sources of this machine do not say where $release comes from"
	mkdir -p "$dir"
	printf '%s\n' "Types: deb" "URIs: $uri" "Suites: $suite" \
		"Components: main" "Signed-By: $ARCHIVE_KEYS" >"$dir/suite.sources"
}

# private_apt ARCH[/SUITE] COMMAND ARGS...: an apt tool on a state of our own,
# with the sources of the machine, or with one suite of them, and its keys.
private_apt()
{
	local arch=${1%/*} suite=${1#"${1%/*}"} tool=$2 state sources=()

	state=$CACHE/apt/${1//\//-}
	shift 2
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	if [ -n "$suite" ]; then
		[ -e "$state/sources/suite.sources" ] ||
			suite_sources "$state/sources" "${suite#/}"
		sources=(-oDir::Etc::SourceList=/dev/null
			-oDir::Etc::SourceParts="$state/sources")
	fi
	# As root, apt would drop to a user who cannot write to the cache.
	"$tool" -oAPT::Architecture="$arch" -oAPT::Architectures="$arch" \
		-oDir::State="$state" -oDir::State::Lists="$state/lists" \
		-oDir::State::status=/dev/null -oDir::Cache="$state/cache" \
		-oAPT::Sandbox::User=root -oAcquire::Languages=none \
		"${sources[@]}" "$@"
}

# An answer of apt's stays good for as long as the lists do.
recent_answer()
{
	local file=$CACHE/answers/$1

	[ -n "$(find "$file" -mmin "-$LISTS_MAX_AGE" 2>/dev/null)" ] &&
		[ -e "$(cat "$file")" ] && cat "$file"
}

answer()
{
	mkdir -p "$CACHE/answers"
	echo "$2" >"$CACHE/answers/$1"
	echo "$2"
}

update_lists()
{
	local arch=$1 name=${1//\//-} stamp log

	stamp=$CACHE/apt/$name/updated
	[ -z "$(find "$stamp" -mmin "-$LISTS_MAX_AGE" 2>/dev/null)" ] || return 0

	mkdir -p "$CACHE/logs" "$CACHE/apt/$name"
	log=$CACHE/logs/apt-$name.log
	say "reading the package lists for $arch"
	# Old lists, or those of the sources that do answer, may be all we need.
	if private_apt "$arch" apt-get -q update >"$log" 2>&1; then
		touch "$stamp"
	else
		say "some package lists could not be read, going on (see $log)"
	fi
}

# packages ARCH PREFIX: the names of all packages that begin so
packages()
{
	private_apt "$1" apt-cache pkgnames "$2"
}

candidate()
{
	private_apt "$1" apt-cache show --no-all-versions "$2" |
		sed -n 's/^Version: //p'
}

# depends ARCH REGEX PACKAGE...: the direct dependencies that match
depends()
{
	local arch=$1 re=$2

	shift 2
	private_apt "$arch" apt-cache show --no-all-versions "$@" |
		sed -n 's/^Depends: //p' | tr ',|' '\n' |
		sed 's/^ *//; s/ *(.*//' | grep -E "$re"
}

# fetch ARCH DIR PACKAGE...
fetch()
{
	local arch=$1 dir=$2 log

	shift 2
	log=$CACHE/logs/apt-${arch//\//-}.log
	say "fetching $*"
	(cd "$dir" && private_apt "$arch" apt-get -q download "$@") >>"$log" 2>&1 || {
		tail -n 5 "$log" >&2
		# They may name what is gone: the next run reads new ones.
		rm -f "$CACHE/apt/${arch//\//-}/updated"
		die "could not fetch $* (full log: $log)"
	}
}

# newest_release ARCH SERIES FLAVOUR: the newest release of a series, or if that is
# empty of all, of which there are headers and, with an IMAGE argument, an image too
newest_release()
{
	local arch=$1 series=${2:+$2.} flavour=$3 want_image=$4 re

	# 6.12.117+deb12-cloud-arm64, 6.1.0-56-amd64; and no flavour but this one
	re="${series//./\\.}[0-9][0-9.+a-z]*(-[0-9]+)?-$flavour"
	{
		packages "$arch" "linux-headers-$series" | sed 's/^linux-headers-//'
		[ -z "$want_image" ] ||
			packages "$arch" "linux-image-$series" | sed 's/^linux-image-//'
	} | { grep -xE "$re" || true; } | sort | uniq -c |
		awk -v n="${want_image:+2}" '$1 >= (n ? n : 1) { print $2 }' |
		sort -V | tail -n 1
}

# The headers say where they are installed; they are not.
relocate_headers()
{
	local root=$1 final=$2 release=$3 makefile

	makefile=$root/usr/src/linux-headers-$release/Makefile
	sed -i "s#/usr/src/#$final/usr/src/#g" "$makefile"
	ln -s "usr/src/linux-headers-$release" "$root/kdir"
}

# image_package ARCH RELEASE: the one that has the kernel's image; since 7.1 that of the
# old name has nothing.
image_package()
{
	packages "$1" "linux-binary-$2" | grep -xF "linux-binary-$2" || echo "linux-image-$2"
}

# --- headers of a newer release of Debian -----------------------------------------

# runtime ARCH PACKAGE: it and what it needs to run, but for what signs modules, which is
# not run
runtime()
{
	private_apt "$1" apt-cache depends --recurse --no-recommends --no-suggests \
		--no-conflicts --no-breaks --no-replaces --no-enhances "$2" |
		grep '^[a-z]' | grep -vE '^(libssl|openssl|libc-gconv|gcc-|libgcc)'
}

# own_runtime ROOT FINAL: programs in linux-kbuild and pahole were linked to a newer libc
# than this machine has. They get the one that was unpacked beside them.
own_runtime()
{
	local root=$1 final=$2 libs program interpreter

	libs=$(find "$root/usr/lib" -name libc.so.6 -printf %h)
	while read -r program; do
		# Scripts have none.
		interpreter=$(patchelf --print-interpreter "$program" 2>/dev/null) || continue
		patchelf --set-interpreter "${libs/#"$root"/"$final"}/${interpreter##*/}" \
			--force-rpath --set-rpath "${libs/#"$root"/"$final"}" "$program"
	done < <(find "$root"/usr/lib/linux-kbuild-*/ "$root/usr/bin/pahole" -type f -perm /111)
	# What else these packages have, nobody reads.
	rm -rf "${root:?}"/{etc,usr/{sbin,libexec,share,lib64}} "$libs/gconv"
}

# What the compilers that Debian 12 lacks can do and its own cannot: the option, and the
# version of gcc that brought it
NEW_IN_GCC="ASSUME=13 MIN_FUNCTION_ALIGNMENT=14 SANE_FUNCTION_ALIGNMENT=14
	COUNTED_BY=15 MULTIDIMENSIONAL_NONSTRING=15 COUNTED_BY_PTR=16"

# fit_compiler HEADERS: configured for a newer gcc, they shall know that of this machine.
# A module has no other layout by that: the options say what may be checked and aligned.
fit_compiler()
{
	local headers=$1 feature lacks=()

	for feature in $NEW_IN_GCC; do
		[ "${feature#*=}" -le "$HEADERS_GCC" ] || lacks+=("CONFIG_CC_HAS_${feature%=*}")
	done
	sed -i "s/gcc-[0-9]*/gcc-$HEADERS_GCC/" "$headers/.kernelvariables"
	sed -i -E -e "s/^((#define )?CONFIG_GCC_VERSION[= ]).*/\1${HEADERS_GCC}0000/" \
		-e "/^(#define )?($(IFS='|'; echo "${lacks[*]}"))[= ]/d" \
		"$headers/.config" "$headers/include/config/auto.conf" \
		"$headers/include/generated/autoconf.h"
}

# ----------------------------------------------------------------------------------

# unpack ROOT DEB: what is wanted of it
unpack()
{
	local root=$1 deb=$2

	case ${deb##*/} in
	linux-image-* | linux-binary-*)
		# Of the image only the image: its modules are large.
		dpkg-deb --fsys-tarfile "$deb" |
			tar -x -C "$root" --wildcards --wildcards-match-slash \
				--transform='s,.*/.*,Image,' '*/vmlinuz*'
		;;
	*)
		dpkg -x "$deb" "$root"
		;;
	esac
}

# debian_kernel NAME ARCH SERIES|newest FLAVOUR [image]
debian_kernel()
{
	local name=$1 arch=$2 series=$3 flavour=$4 image=${5:-}
	local from=$2 host=$HOST_ARCH release version final tmp deb debs=() tools

	lock "$name"
	! recent_answer "$name" || return 0
	if [ "$series" = newest ]; then
		need patchelf
		series='' from+=/$NEWEST_SUITE host+=/$NEWEST_SUITE
	fi
	update_lists "$from"
	release=$(newest_release "$from" "$series" "$flavour" "$image")
	[ -n "$release" ] ||
		die "the package sources of this machine have no linux-headers-$series*-$flavour for $arch"
	version=$(candidate "$from" "linux-headers-$release")
	final=$KERNELS/$name-$version
	if [ -e "$final/kdir" ]; then
		answer "$name" "$final"
		return
	fi

	# The build tools inside linux-kbuild have to run here.
	[ "$host" = "$from" ] || update_lists "$host"
	tools=$(depends "$from" '^linux-kbuild-' "linux-headers-$release")
	[ -n "$series" ] || tools=$(runtime "$host" "$tools")
	mapfile -t debs < <(depends "$from" '^linux-headers-.*-common(-rt)?$' \
		"linux-headers-$release")
	[ -z "$image" ] || debs+=("$(image_package "$from" "$release")")
	tmp=$(scratch_dir "$name")
	mkdir "$tmp/debs" "$tmp/root"
	fetch "$from" "$tmp/debs" "linux-headers-$release" "${debs[@]}"
	mapfile -t debs <<<"$tools"
	fetch "$host" "$tmp/debs" "${debs[@]}"

	for deb in "$tmp"/debs/*.deb; do
		unpack "$tmp/root" "$deb"
	done
	relocate_headers "$tmp/root" "$final" "$release"
	if [ -z "$series" ]; then
		own_runtime "$tmp/root" "$final"
		fit_compiler "$tmp/root/kdir"
		echo "PAHOLE = $final/usr/bin/pahole" >>"$tmp/root/kdir/.kernelvariables"
		# They come every other week.
		find "$KERNELS" -maxdepth 1 -name "$name-[0-9]*" -mtime +30 -exec rm -rf {} +
	fi
	mkdir -p "$KERNELS"
	rm -rf "$final"
	mv "$tmp/root" "$final"
	rm -rf "$tmp"
	answer "$name" "$final"
}

# static_program NAME PACKAGE ARCH: one that needs no libraries, unpacked
static_program()
{
	local package=$2 arch=$3 name=$1-$3 version final tmp

	lock "$name"
	! recent_answer "$name" || return 0
	update_lists "$arch"
	version=$(candidate "$arch" "$package")
	[ -n "$version" ] ||
		die "the package sources of this machine have no $package for $arch"
	final=$CACHE/$name-${version//[:~]/_}
	if [ ! -e "$final" ]; then
		tmp=$(scratch_dir "$name")
		fetch "$arch" "$tmp" "$package"
		dpkg -x "$tmp"/*.deb "$tmp/root"
		mv "$tmp/root" "$final"
		rm -rf "$tmp"
	fi
	answer "$name" "$final"
}

# with_libraries ARCH PACKAGE...: these and all libraries that they are linked to. What only
# scripts of theirs would want, such as Python's modules, is no library.
with_libraries()
{
	local arch=$1 all=() new

	shift
	new=("$@")
	while [ "${#new[@]}" -gt 0 ]; do
		all+=("${new[@]}")
		mapfile -t new < <(depends "$arch" '^(lib|zlib)' "${new[@]}" | sort -u |
			grep -vE -- '-stdlib$' | grep -vxFf <(printf '%s\n' "${all[@]}"))
	done
	printf '%s\n' "${all[@]}"
}

# tracers ARCH: what is left of the packages is what runs
tracers()
{
	local arch=$1 name=tracers-$1 version final tmp deb debs

	lock "$name"
	! recent_answer "$name" || return 0
	update_lists "$arch"
	version=$(candidate "$arch" linux-perf)-$(candidate "$arch" trace-cmd)
	final=$CACHE/$name-${version//[:~]/_}
	if [ ! -e "$final" ]; then
		tmp=$(scratch_dir "$name")
		mkdir "$tmp/debs" "$tmp/root"
		mapfile -t debs < <(with_libraries "$arch" linux-perf trace-cmd)
		fetch "$arch" "$tmp/debs" "${debs[@]}"
		for deb in "$tmp"/debs/*.deb; do
			unpack "$tmp/root" "$deb"
		done
		find "$tmp/root" ! -type d ! -path '*/bin/perf' ! -path '*/bin/trace-cmd' \
			! -name '*.so*' -delete
		rm -rf "$tmp"/root/usr/lib/{perf-core,python3*,*/{gconv,perl*}} "$tmp/root/usr/share"
		find "$tmp/root" -type d -empty -delete
		mv "$tmp/root" "$final"
		rm -rf "$tmp"
	fi
	answer "$name" "$final"
}

# --- kernels built here -------------------------------------------------------

source_version()
{
	dpkg-query -W -f '${Version}' "$SOURCE_PACKAGE"
}

# What a kernel for arm64, or User-mode Linux, without drivers, networks and sound
# never compiles. Kconfig reads the Kconfig files of all of it, so those stay.
unused_sources()
{
	local dir

	for dir in drivers/gpu drivers/net drivers/media drivers/infiniband \
		drivers/scsi drivers/staging sound; do
		printf -- '--exclude=*/%s/*.[chS]\n' "$dir"
	done
	for dir in alpha arc csky hexagon loongarch m68k microblaze mips nios2 \
		openrisc parisc powerpc riscv s390 sh sparc xtensa; do
		printf -- '--exclude=*/arch/%s/*.[chS]\n' "$dir"
	done
	printf -- '--exclude=%s\n' '*/boot/dts/*' '*/Documentation/*/*' \
		'*/tools/testing/selftests/*' '*/tools/perf/*'
}

# source_tree VERSION COMMAND...: unpacks the archive that the command writes.
# A tree from which other files were left out is another tree.
source_tree()
{
	local version=$1 final tmp key exclude

	shift
	mapfile -t exclude < <(unused_sources)
	key=$(printf '%s\n' "${exclude[@]}" | sha256sum)
	final=$CACHE/source/$version-${key:0:8}
	if [ ! -e "$final/Makefile" ]; then
		say "unpacking the source of Linux $version"
		tmp=$(scratch_dir source)
		"$@" | tar -xJ -C "$tmp" --strip-components=1 --wildcards \
			"${exclude[@]}"
		mkdir -p "$CACHE/source"
		mv "$tmp" "$final"
	fi
	echo "$final"
}

kernel_source()
{
	need "$SOURCE_PACKAGE" xz-utils
	lock source
	source_tree "$(source_version)" cat "/usr/src/$SOURCE_PACKAGE.tar.xz"
	unlock source
}

# shellcheck disable=SC2317  # source_tree calls it
source_of_deb()
{
	dpkg-deb --fsys-tarfile "$1" |
		tar -x --to-stdout --wildcards './usr/src/linux-source-*.tar.xz'
}

# archive_source NAME ARCH[/SUITE] SERIES: the newest source that the archive has of a
# series, a pattern; unpacked but not installed
archive_source()
{
	local name=$1 from=$2 series=$3 package version tmp tree

	need xz-utils
	lock source
	! recent_answer "$name" || return 0
	update_lists "$from"
	package=$(packages "$from" linux-source- | { grep -xE "linux-source-$series" || true; } |
		sort -V | tail -n 1)
	[ -n "$package" ] || die "the archive of this machine has no linux-source-$series for $from"
	version=$(candidate "$from" "$package")
	tmp=$(scratch_dir "$name")
	fetch "$from" "$tmp" "$package"
	tree=$(source_tree "$version" source_of_deb "$tmp"/*.deb)
	rm -rf "$tmp"
	# Newer ones come every other week.
	find "$CACHE/source" -maxdepth 1 -regextype posix-extended -regex ".*/$series\..*" \
		! -path "$tree" -mtime +30 -exec rm -rf {} +
	answer "$name" "$tree"
	unlock source
}

# The newest source that the archive has
newest_source()
{
	archive_source newest-source "$HOST_ARCH/$NEWEST_SUITE" "$NEWEST_SERIES"
}

# Kconfig drops what its dependencies do not allow, and says nothing. A test
# kernel without a checker it was meant to have would pass everything.
verify_config()
{
	local config=$1

	shift
	awk '
		function symbol(line)
		{
			match(line, /CONFIG_[A-Za-z0-9_]+/)
			return substr(line, RSTART, RLENGTH)
		}
		/^CONFIG_/ || /^# CONFIG_.* is not set$/ {
			s = symbol($0)
			if (FILENAME == ARGV[1])
				have[s] = $0
			else
				want[s] = $0
		}
		END {
			for (s in want) {
				# What cannot be set at all is not set either.
				got = (s in have) ? have[s] : "nothing"
				if (got == want[s] ||
				    (got == "nothing" && want[s] ~ /is not set$/))
					continue
				printf "wanted %s, got %s\n", want[s], got
				bad = 1
			}
			exit bad
		}' "$config" "$@"
}

# run_make NAME LOG ARGS...: make with a line of progress every ten seconds
run_make()
{
	local name=$1 log=$2 pid start=$SECONDS beat=0

	shift 2
	make -j"$(nproc)" "$@" >>"$log" 2>&1 &
	pid=$!
	# The compiler would go on for minutes after a Ctrl-C.
	trap 'kill "$pid" 2>/dev/null' EXIT
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		beat=$((beat + 1))
		[ $((beat % 10)) -ne 0 ] ||
			say "$name kernel: $(grep -cE '^  (CC|AS) ' "$log") objects compiled, $((SECONDS - start)) s"
	done
	trap - EXIT
	if ! wait "$pid"; then
		grep -E -m 5 'error:|Error [0-9]|No such file' "$log" >&2 ||
			tail -n 20 "$log" >&2
		die "building the $name kernel failed (full log: $log)"
	fi
}

# What module builds, a debugger and we ourselves read; the rest of a build is
# several times as much.
keep_for_modules()
{
	local out=$1

	find "$out" -type f \( -name '*.o' -o -name '*.a' -o -name '*.d' \
		-o -name '.*.cmd' -o -name '.tmp_*' -o -name 'vmlinux.*' \) \
		! -path "$out/scripts/*" -delete
	rm -f "$out"/arch/arm64/boot/Image.* "$out"/arch/*/boot/vmlinu*
	# Those of headers are named to the compiler.
	find "$out" -type d -empty ! -path "*/generated/*" -delete
}

# configure NAME LOG OUT FRAGMENT -- MAKE-ARGS: tinyconfig, the fragments on top
configure()
{
	local name=$1 log=$2 out=$3 problems fragments=()

	shift 3
	while [ "$1" != -- ]; do
		fragments+=("$1")
		shift
	done
	shift
	run_make "$name" "$log" "$@" tinyconfig
	(cd "$SRC" && scripts/kconfig/merge_config.sh -m -O "$out" \
		"$out/.config" "${fragments[@]}") >>"$log" 2>&1
	run_make "$name" "$log" "$@" olddefconfig
	problems=$(verify_config "$out/.config" "${fragments[@]}") ||
		die "the $name kernel cannot be configured as kunit/ asks:"$'\n'"$problems"
}

# built_kernel NAME ARCH TARGETS MAKE-ARGS FRAGMENT...: of the source in SRC
built_kernel()
{
	local name=$1 arch=$2 targets args key final tmp out log f version fragments=()

	read -ra targets <<<"$3"
	read -ra args <<<"$4"
	shift 4
	for f in "$@"; do
		fragments+=("$TOP/kunit/$f")
	done
	# shellcheck disable=SC2046  # a list of words
	need make flex bison bc perl libssl-dev $(compiler_packages "$arch") \
		$(compiler_packages "$HOST_ARCH")
	lock "$name"
	key=$({ echo "$BUILD_REVISION"; cat "${fragments[@]}"; } | sha256sum)
	version=${SRC##*/}
	final=$KERNELS/$name-${version%-*}-${key:0:8}
	if [ -e "$final/kdir" ]; then
		# It is in use.
		touch "$final"
		echo "$final"
		return
	fi

	mkdir -p "$CACHE/logs" "$KERNELS"
	log=$CACHE/logs/build-$name.log
	: >"$log"
	tmp=$(scratch_dir "$name")
	out=$tmp/kdir
	mkdir "$out"
	args+=(-C "$SRC" O="$out" ARCH="$(kernel_arch "$arch")"
		CROSS_COMPILE="$(cross_prefix "$arch")"
		KBUILD_BUILD_USER=chaos KBUILD_BUILD_HOST=chaos)
	say "building the $name kernel (log: $log)"
	configure "$name" "$log" "$out" "${fragments[@]}" -- "${args[@]}"
	run_make "$name" "$log" "${args[@]}" "${targets[@]}"

	if [ -e "$out/linux" ]; then
		rm "$out/vmlinux"
		mv "$out/linux" "$tmp/linux"
	elif [ -e "$out/vmlinux" ]; then
		mv "$(kernel_image "$out")" "$tmp/Image"
		ln -s kdir/vmlinux "$tmp/vmlinux"
	fi
	keep_for_modules "$out"
	# Since 6.13 it says where it is.
	sed -i "s#$tmp/#$final/#g" "$out/Makefile"
	# Of other fragments, long unused: kunit-6.12.1-..., not kunit-newest-...
	find "$KERNELS" -maxdepth 1 -name "$name-[0-9]*" -mtime +7 -exec rm -rf {} +
	mv "$tmp" "$final"
	echo "$final"
}

# kernel_image OUT: what a build for either architecture is booted from
kernel_image()
{
	local image

	for image in "$1/arch/arm64/boot/Image" "$1/arch/x86/boot/bzImage"; do
		[ ! -e "$image" ] || echo "$image"
	done
}

# arm64_kernel NAME TARGETS MAKE-ARGS FRAGMENT...
arm64_kernel()
{
	local name=$1

	shift
	SRC=$(kernel_source)
	built_kernel "$name" arm64 "$@"
}

# um_kernel NAME FRAGMENT...: of the source in SRC
um_kernel()
{
	local name=$1

	shift
	[ "$HOST_ARCH" = amd64 ] ||
		die "User-mode Linux runs on amd64, and this machine is $HOST_ARCH"
	built_kernel "$name" um "linux modules" "" "$@"
}

# ------------------------------------------------------------------------------

usage()
{
	sed -n '/^# Prepares/,/^$/s/^# \{0,1\}//p' "$0"
}

main()
{
	mkdir -p "$CACHE"
	case ${1:-} in
	stock) debian_kernel stock arm64 6.12 cloud-arm64 image ;;
	stock-6.1) debian_kernel "$1" arm64 6.1 cloud-arm64 image ;;
	newest) debian_kernel "$1" arm64 newest cloud-arm64 image ;;
	stock-amd64) debian_kernel "$1" amd64 6.12 cloud-amd64 image ;;
	stock-6.1-amd64) debian_kernel "$1" amd64 6.1 cloud-amd64 image ;;
	newest-amd64) debian_kernel "$1" amd64 newest cloud-amd64 image ;;
	rt) debian_kernel rt arm64 6.12 rt-arm64 image ;;
	kunit) arm64_kernel kunit "Image modules" "" kernel.config arm64.config ;;
	kunit-newest)
		SRC=$(newest_source)
		built_kernel "$1" arm64 "Image modules" "" \
			kernel.config arm64.config newest.config
		;;
	debug)
		arm64_kernel debug "Image modules" "" \
			kernel.config arm64.config debug.config
		;;
	kcsan | rtdebug | 16k)
		arm64_kernel "$1" "Image modules" "" \
			kernel.config arm64.config "$1.config"
		;;
	gdb)
		arm64_kernel gdb "Image modules scripts_gdb" "" \
			kernel.config arm64.config gdb.config
		;;
	amd64)
		# For objtool
		need libelf-dev
		SRC=$(kernel_source)
		built_kernel amd64 amd64 "bzImage modules" "" \
			kernel.config amd64.config
		;;
	clang)
		need clang lld llvm
		arm64_kernel clang modules_prepare "LLVM=1 HOSTCC=gcc" \
			kernel.config arm64.config
		;;
	um)
		SRC=$(kernel_source)
		um_kernel um um.config
		;;
	um-smp)
		SRC=$(newest_source)
		um_kernel um-smp um.config um-smp.config
		;;
	um-kunit)
		SRC=$(newest_source)
		um_kernel um-kunit um.config um-smp.config um-kunit.config
		;;
	headers)
		[ $# -eq 3 ] || die "headers: want a series and an architecture"
		debian_kernel "headers-$2-$3" "$3" "$2" "$3"
		;;
	source)
		case ${2:-} in
		'') kernel_source ;;
		newest) newest_source ;;
		*) die "source: want nothing more, or newest" ;;
		esac
		;;
	busybox) static_program busybox busybox-static "${2:-arm64}" ;;
	e2fsck) static_program e2fsck e2fsck-static "${2:-arm64}" ;;
	tracers) tracers "${2:-arm64}" ;;
	-h | --help) usage ;;
	*) usage >&2; exit 2 ;;
	esac
}

# On one line: bash would read on in a file that has changed meanwhile.
main "$@"; exit
