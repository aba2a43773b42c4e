# SPDX-License-Identifier: GPL-2.0
#
# Takes out of a guest's log the problems that were announced in it:
#
#   chaos_provoke: expect [up to ]N: TEXT * TEXT
#   chaos_provoke: expect end
#
# Between these two, N lines with these texts in this order are expected, or up to N, and a
# "Call trace:" with each, and where a report says that lockdep is off, an earlier
# one did it. What was expected and did not come is a WARNING: line; everything
# else stays, with its line number.

function fail(text)
{
	printf "WARNING: line %d: %s\n", NR, text
}

# Whether the line has all texts, one behind the other.
function matches(line,    i, at)
{
	for (i = 1; i <= n; i++) {
		at = index(line, text[i])
		if (!at)
			return 0
		line = substr(line, at + length(text[i]))
	}
	return 1
}

function finish()
{
	if (wanted && !fewer)
		fail(wanted " reports of '" announced "' did not come")
	open = 0
}

/chaos_provoke: expect end$/ {
	if (open)
		finish()
	print
	next
}

/chaos_provoke: expect (up to )?[0-9]+: / {
	if (open)
		finish()
	announced = $0
	sub(/.*chaos_provoke: expect /, "", announced)
	fewer = sub(/^up to /, "", announced)
	wanted = announced + 0
	sub(/^[0-9]+: /, "", announced)
	n = split(announced, text, " \\* ")
	open = 1
	traces = 0
	# The texts are not what they announce.
	print ""
	next
}

open && wanted && matches($0) {
	wanted--
	traces++
	print ""
	next
}

open && traces && /INFO: lockdep is turned off/ {
	print ""
	next
}

open && traces && /Call trace:/ {
	traces--
	print ""
	next
}

{ print }

END {
	if (open)
		finish()
}
