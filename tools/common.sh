# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034  # much here is for the scripts that source this file
#
# What every script of this project shares. Sourced, not run; the script that sources it
# has set -euo pipefail.

# What the make that called us was asked for (-s, a job server) is not for the
# kernels that we build.
unset MAKEFLAGS MFLAGS MAKELEVEL

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Relative names would break as soon as a script changes directory.
CACHE=$(realpath -m "${XDG_CACHE_HOME:-$HOME/.cache}/chaos_alloc")
HOST_ARCH=$(dpkg --print-architecture 2>/dev/null || uname -m)
ALLOCATORS="mimalloc tlsf evl"

# The test kernels are built from this package.
SOURCE_SERIES=6.12

# Everything for a human goes to stderr: stdout carries the answers of scripts.
say()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die()
{
	say "error: $*"
	exit 1
}

# What make and the kernel's build system take for several names
[[ $TOP$CACHE != *[[:space:]]* ]] ||
	die "a blank in a folder's name, of the clone ($TOP) or of the cache ($CACHE)"

# lock NAME: held until unlock NAME, or until this process and its children have
# ended. Two scripts at once would otherwise unpack or build the same thing twice.
declare -A LOCKS
lock()
{
	local fd

	mkdir -p "$CACHE/locks"
	exec {fd}>"$CACHE/locks/$1"
	if ! flock -n "$fd"; then
		say "waiting for another run that is preparing '$1'"
		flock "$fd"
	fi
	LOCKS[$1]=$fd
}

unlock()
{
	local fd=${LOCKS[$1]}

	exec {fd}>&-
	unset "LOCKS[$1]"
}

# scratch_dir NAME: an empty directory for work that is renamed into place
# when it is complete. Call it with the lock held: then whatever an interrupted
# run left behind belongs to nobody.
scratch_dir()
{
	rm -rf "$CACHE/tmp/$1"
	mkdir -p "$CACHE/tmp/$1"
	echo "$CACHE/tmp/$1"
}

# The compiler prefix for a Debian architecture, or for um: User-mode Linux is a
# program for amd64.
cross_prefix()
{
	case $1 in
	arm64) echo aarch64-linux-gnu- ;;
	amd64 | um) echo x86_64-linux-gnu- ;;
	*) die "no compiler known for architecture '$1'" ;;
	esac
}

# What the kernel calls a Debian architecture.
kernel_arch()
{
	case $1 in
	arm64) echo arm64 ;;
	amd64) echo x86_64 ;;
	um) echo um ;;
	*) die "no kernel architecture known for '$1'" ;;
	esac
}

# The test kernels that tools/kernels.sh builds and QEMU boots; what each is for, says
# Documentation/kernels.rst.
TEST_KERNELS="kunit debug kcsan rtdebug 16k amd64 kunit-newest"

# Those that Debian builds
DEBIAN_KERNELS="stock stock-6.1 newest rt stock-amd64 stock-6.1-amd64 newest-amd64"

# Where ./run-qemu.sh --gdb waits
GDB_PORT=1234

# is_kernel_name WORD: does tools/kernels.sh know it as one that QEMU boots?
is_kernel_name()
{
	[[ " gdb $DEBIAN_KERNELS $TEST_KERNELS " == *" $1 "* ]]
}

# kernel_deb_arch DIR: Debian's word for what the kernel in a directory, its own build
# tree or one that tools/kernels.sh has printed, is built for
kernel_deb_arch()
{
	local config

	for config in "$1/kdir/.config" "$1/.config"; do
		[ -e "$config" ] || continue
		if grep -q '^CONFIG_X86_64=y' "$config"; then
			echo amd64
		else
			echo arm64
		fi
		return
	done
	die "$1 has no .config: no kernel's build tree"
}

# Debian's kernels and their headers want this version of gcc by name.
HEADERS_GCC=12

# The packages with a compiler for a Debian architecture
compiler_packages()
{
	local triplet

	# To apt, a name with "-" at its end is one to remove.
	triplet=$(cross_prefix "$1") || return
	if [ "$1" = "$HOST_ARCH" ] || [ "$1" = um ]; then
		echo gcc "gcc-$HEADERS_GCC" binutils libc6-dev
	else
		triplet=${triplet//_/-}
		echo "gcc-$HEADERS_GCC-${triplet%-}" "gcc-${triplet%-}" "binutils-${triplet%-}"
	fi
}

# The package to build programs with, for a Debian architecture.
libc_package()
{
	if [ "$1" = "$HOST_ARCH" ]; then
		echo libc6-dev
	else
		echo "libc6-dev-$1-cross"
	fi
}

# The package with the emulator for a Debian architecture.
qemu_package()
{
	case $1 in
	arm64) echo qemu-system-arm ;;
	amd64) echo qemu-system-x86 ;;
	esac
}

missing_packages()
{
	local p

	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null |
			grep -q '^.i' || echo "$p"
	done
}

# need PACKAGE...: installs those that are missing, and nothing else.
need()
{
	local missing log as_root=()

	mapfile -t missing < <(missing_packages "$@")
	[ "${#missing[@]}" -gt 0 ] || return 0

	command -v apt-get >/dev/null ||
		die "this needs the Debian packages ${missing[*]}, and apt-get to install them"
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null ||
			die "please install as root: ${missing[*]}"
		as_root=(sudo)
	fi
	# env, because sudo drops the environment.
	as_root+=(env DEBIAN_FRONTEND=noninteractive)

	lock host-packages
	mkdir -p "$CACHE/logs"
	log=$CACHE/logs/install.log
	say "installing ${missing[*]}"
	# A source that cannot be reached matters only if it has what we want,
	# and then the install fails.
	"${as_root[@]}" apt-get -q update >"$log" 2>&1 ||
		say "apt-get update had errors, going on (see $log)"
	if ! "${as_root[@]}" apt-get -qy -o DPkg::Lock::Timeout=600 install \
		--no-install-recommends "${missing[@]}" </dev/null >>"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "could not install ${missing[*]} (full log: $log)"
	fi
	unlock host-packages
}

# --- counting results ---------------------------------------------------------

PASSED=0
FAILED=0
SKIPPED=0
# What went wrong, to be said again at the end, where it is looked for
FAILURES=()

# failure TEXT: a line about what failed
failure()
{
	FAILURES+=("$1")
}

# verdict ok|FAIL TEXT: one result
verdict()
{
	echo "$1 $2"
	if [ "$1" = ok ]; then
		PASSED=$((PASSED + 1))
	else
		FAILED=$((FAILED + 1))
		failure "$2"
	fi
}

# try NAME COMMAND...: a step that is one result; its output matters if it fails
try()
{
	local name=$1 out

	shift
	if out=$("$@" 2>&1); then
		verdict ok "$name"
	else
		printf '%s\n' "$out"
		verdict FAIL "$name"
	fi
}

# The last lines of everything that tests; and whether all was well.
tally()
{
	[ "${#FAILURES[@]}" -eq 0 ] || printf 'failed: %s\n' "${FAILURES[@]}"
	echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
	[ "$FAILED" -eq 0 ]
}
