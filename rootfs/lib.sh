# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What the scripts in the guest share. They speak through the kernel log, so
# that their lines and the kernel's are in order and in one place.

log()
{
	printf '<6>%s\n' "$*" >/dev/kmsg
}

# option NAME [DEFAULT]: the value of chaos.NAME= on the kernel command line
option()
{
	value=$(tr ' ' '\n' </proc/cmdline | sed -n "s/^chaos\.$1=//p" | tail -n 1)
	echo "${value:-$2}"
}

# words a,b,c: a b c
words()
{
	echo "$1" | tr ',' ' '
}

# log_mark prints a mark; log_since MARK what was logged after it.
log_mark()
{
	mark="chaos_guest: mark $(cut -d ' ' -f 1 /proc/uptime) $((marks += 1))"
	log "$mark"
	echo "$mark"
}

log_since()
{
	dmesg | sed "1,/$1\$/d"
}

# --- kmemleak -----------------------------------------------------------------

KMEMLEAK=/sys/kernel/debug/kmemleak

# What the kernel itself has leaked until now is none of ours.
leaks_start()
{
	[ -w "$KMEMLEAK" ] || return 0
	echo scan=off >"$KMEMLEAK"
	echo clear >"$KMEMLEAK"
}

leaks_report()
{
	[ -w "$KMEMLEAK" ] || return 0
	# A block counts as leaked only when it is some seconds old and two
	# scans have found no pointer to it.
	sleep 6
	echo scan >"$KMEMLEAK"
	sleep 1
	echo scan >"$KMEMLEAK"
	[ -n "$(cat "$KMEMLEAK")" ] || return 0
	while read -r line; do
		log "kmemleak: $line"
	done <"$KMEMLEAK"
	return 1
}
