#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks what the documents tell readers to type, and where they send them.

    tools/doccheck.py [--long]

Each command in README.md, samples/README.md and Documentation/*.rst is either run
here or by a test that tools/doccheck.map names.  That the test has the
text which is said to run it is checked; and, of every command, that its target,
options, parameters and files exist.  A literal block that is none of commands is
named in the map, too, so that no command is overlooked.  What cannot be tried, the
document itself has to call so.  Of each message in Documentation/troubleshooting.rst, the
map names who prints it, or the test that expects it.  Relative links lead to files.  No row
of a table has text in its first cell alone.  Prints a line for each document, and what is wrong.

With --long, what the map calls long is run as well, in the form that the map gives."""

import glob
import os
import re
import shlex
import subprocess
import sys

from docutils import nodes
from docutils.core import publish_doctree

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
# What a line begins with that is a command.
PROGRAMS = {"make", "insmod", "rmmod", "modprobe", "cat", "cd", "for", "echo", "sh", "xz", "dmesg",
            "apt-get", "git", "gdb-multiarch", "sudo", "dkms", "modinfo", "openssl", "perf", "trace-cmd"}
# Where lines that are nothing but literals are messages
MESSAGES = "Documentation/troubleshooting.rst"
# In front of commands, where a block has what they print as well
PROMPTS = ("# ", "$ ", "(gdb) ")
# What the kernel's Makefile reads
KERNEL_VARIABLES = {"CC", "M", "KBUILD_EXTRA_SYMBOLS"}
# These say with --help, without doing anything, whether what is before it is right.
PARSES = ("./run-qemu.sh", "tools/gdb.sh", "tools/bench.sh")
# What stands for a value of the reader's
STANDS_FOR = {"LOG": "/dev/null", "NAME": "kunit"}
LONG = "--long" in sys.argv


def read(name):
    with open(os.path.join(TOP, name), encoding="utf-8") as text:
        return text.read()


class Rules:
    """tools/doccheck.map: lines of KIND, PATTERN and what belongs to it, between tabs."""

    def __init__(self):
        self.rules = []
        for number, line in enumerate(read("tools/doccheck.map").split("\n"), 1):
            if line and not line.startswith("#"):
                fields = [field for field in line.split("\t") if field] + [""]
                self.rules.append((fields[0], fields[1], fields[2], number))
        self.used = set()

    def find(self, kinds, text):
        for kind, pattern, more, number in self.rules:
            if kind in kinds and re.fullmatch(pattern, text):
                self.used.add(number)
                return kind, more
        return None, None

    def unused(self):
        return [f"line {number} of the map fits nothing: {pattern}"
                for _, pattern, _, number in self.rules if number not in self.used]


# --- finding commands -----------------------------------------------------------


def md_blocks(lines):
    """Indented and fenced blocks; those of C are style.sh's."""
    fence = None
    block = []
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if fence is None:
                fence = line[3:].strip()
            else:
                if fence != "c":
                    yield block
                fence, block = None, []
        elif fence is not None or line.startswith("    "):
            block.append((number, line))
        elif block:
            yield block
            block = []


def indent(line):
    return len(line) - len(line.lstrip())


def rst_blocks(lines):
    i = 0
    while i < len(lines):
        line = lines[i]
        i += 1
        if not line.endswith("::") and ".. code-block::" not in line or line.startswith(".. c:"):
            continue
        block = []
        while i < len(lines) and (not lines[i].strip() or indent(lines[i]) > indent(line)):
            if lines[i].strip():
                block.append((i + 1, lines[i]))
            i += 1
        yield block


def first_word(line):
    line = re.sub(r"""^([A-Z_]+=("[^"]*"|'[^']*'|\S*) +)*""", "", line)
    return line.split()[0] if line.strip() else ""


def is_command(line):
    word = first_word(line)
    return word in PROGRAMS or word.startswith(("./", "tools/"))


def without_comment(line):
    """Behind a # , or behind two spaces, is an explanation; but not in quotes."""
    quote = None
    for i, c in enumerate(line):
        if quote:
            quote = None if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c == "#" and line[i - 1] == " " or line[i:i + 2] == "  ":
            return line[:i].rstrip()
    return line.rstrip()


def of_block(block, rules):
    """The commands in a literal block, or one problem."""
    first = block[0][1].strip()
    depth = indent(block[0][1])
    kind, where = rules.find({"text"}, first)
    if kind:
        return [] if not where or has(where) else [(block[0][0], f"?{first}: {where} is not so")]
    typed = [(number, line.strip()) for number, line in block if line.strip().startswith(PROMPTS)]
    if typed:
        return [(number, re.sub(r"^[#$] ", "", line)) for number, line in typed]
    if is_command(first):
        # What is indented further goes on with an explanation.
        return [(number, without_comment(line.strip())) for number, line in joined(block)
                if indent(line) == depth]
    if rules.find({"tested"}, first)[0]:
        return [(block[0][0], first)]
    return [(block[0][0], "?" + first)]


def joined(block):
    """Lines that end with a backslash go on in the next one."""
    whole = []
    for number, line in block:
        if whole and whole[-1][1].endswith("\\"):
            whole[-1] = (whole[-1][0], whole[-1][1][:-1].rstrip() + " " + line.strip())
        else:
            whole.append((number, line))
    return whole


def inline(lines, quotes):
    """Commands in the running text, which may be broken at a line's end."""
    text = "\n".join(lines)
    for match in re.finditer(f"(?<!`){quotes}([^`]+){quotes}(?!`)", text):
        command = " ".join(match.group(1).split())
        word = first_word(command)
        if word == "make" or (word.startswith(("./", "tools/")) and " " in command):
            yield text.count("\n", 0, match.start()) + 1, command


def messages(lines):
    for number, line in enumerate(lines, 1):
        if re.fullmatch(r"\s*``[^`]+``(, ``[^`]+``)*", line):
            for message in re.findall("``([^`]+)``", line):
                yield number, message


def commands(name, rules):
    lines = read(name).split("\n")
    md = name.endswith(".md")
    for block in md_blocks(lines) if md else rst_blocks(lines):
        if block:
            yield from of_block(block, rules)
    yield from inline(lines, "`" if md else "``")


# --- checking them --------------------------------------------------------------


def run(command):
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=TOP, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)


def in_sources(pattern):
    return run(f"grep -rqE --include='*.[ch]' {shlex.quote(pattern)} .").returncode == 0


def has(where):
    """FILE: TEXT"""
    name, _, text = where.partition(": ")
    return os.path.exists(os.path.join(TOP, name)) and text in read(name)


def make_problem(words):
    makefile = read("Makefile")
    if words[1:2] == ["-C"]:
        words = words[2:]
    for word in words[1:]:
        if "=" in word:
            variable = word.split("=")[0]
            if variable not in KERNEL_VARIABLES and not re.search(rf"\b{variable}\b", makefile + read("tools/torture.sh")):
                return f"nobody reads {variable}"
        elif not word.startswith("-") and not re.search(rf"^{word}:", makefile, re.M):
            return f"the Makefile has no target {word}"
    return None


def insmod_problem(words):
    module = words[1].removesuffix(".ko").split("/")[-1]
    if run(f"grep -rqw --include=Kbuild {module} .").returncode != 0:
        return f"no module {module}"
    for word in words[2:]:
        parameter = word.strip("[]").split("=")[0]
        if not in_sources(rf"module_param[a-z_]*\({parameter}\b|PARAM[A-Z_]*\({parameter}\b"):
            return f"no module has a parameter {parameter}"
    return None


def script_problem(words):
    script = words[0].removeprefix("./")
    if script.startswith("tools/testing/"):
        return None  # the kernel's
    if not os.access(os.path.join(TOP, script), os.X_OK):
        return f"{script} cannot be run"
    if words[0] in PARSES:
        words = [shlex.quote(STANDS_FOR.get(word, word)) for word in words]
        try_it = run(" ".join(words) + " --help")
        return try_it.stdout if try_it.returncode else None
    for word in words[1:]:
        if word.startswith("--") and word.split("=")[0] not in read(script):
            return f"{script} does not know {word}"
    return None


def static_problem(command):
    """What can be seen without running it."""
    if command.startswith("(gdb) "):
        return None
    if "&&" in command:
        return next(filter(None, map(static_problem, command.split("&&"))), None)
    words = [word for word in shlex.split(command.split("|")[0]) if word != "sudo"]
    while words and re.match("[A-Z_]+=", words[0]):
        words = words[1:] + [words[0]]
    if words[0] == "make":
        return make_problem(words)
    if words[0] in ("insmod", "modprobe"):
        return insmod_problem(words)
    if words[0].startswith(("./", "tools/")):
        return script_problem(words)
    return None


def problem(name, command, rules, ran):
    if command.startswith("?"):
        return "neither a command nor text by tools/doccheck.map"
    wrong = static_problem(command)
    if wrong:
        return wrong
    kind, more = rules.find({"run", "tested", "long", "untried"}, command)
    if kind == "long" and not LONG:
        return None
    if kind in ("run", "long"):
        if more not in ran:
            ran[more] = run(more)
        return f"failed:\n{ran[more].stdout}" if ran[more].returncode else None
    if kind == "tested":
        return None if has(more) else f"it is not so that {more}"
    if kind == "untried":
        return None if more in " ".join(read(name).split()) else f"{name} does not say '{more}'"
    return "no test runs it: neither it nor a test is in tools/doccheck.map"


def message_problem(message, rules):
    kind, where = rules.find({"message"}, message)
    if not kind:
        return "nobody says so: it is not in tools/doccheck.map"
    return None if not where or has(where) else f"it is not so that {where}"


def link_problems(name):
    text = read(name)
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text) if name.endswith(".md") else []
    for link in links:
        if "://" not in link and not os.path.exists(os.path.join(TOP, os.path.dirname(name), link)):
            yield f"{name}: leads to {link}, which is not there"


def row_problems(name):
    """In a simple table, any text in the first column begins a row, and none goes on there."""
    # Sphinx knows the roles and directives that docutils does not, and tells all other mistakes.
    tree = publish_doctree(read(name), settings_overrides={"report_level": 5})
    for row in tree.findall(nodes.row):
        first, *others = (cell.astext() for cell in row)
        if first and others and not any(others):
            yield f"{name}: a row of a table has nothing but: {first}"
        elif first.endswith(","):
            yield f"{name}: a row of a table is another one's begin: {first}"


def main():
    rules = Rules()
    ran = {}
    bad = []
    documents = ["README.md", "samples/README.md"] + sorted(
        os.path.relpath(path, TOP) for path in glob.glob(os.path.join(TOP, "Documentation", "*.rst")))
    for name in documents:
        found = list(commands(name, rules))
        for number, command in found:
            wrong = problem(name, command, rules, ran)
            if wrong:
                bad.append(f"{name}:{number}: {command.lstrip('?')}: {wrong}")
        for number, message in messages(read(name).split("\n")) if name == MESSAGES else ():
            wrong = message_problem(message, rules)
            if wrong:
                bad.append(f"{name}:{number}: {message}: {wrong}")
        bad += link_problems(name)
        bad += row_problems(name) if name.endswith(".rst") else []
        print(f"{name}: {len(found)} commands")
    bad += rules.unused()
    print("\n".join(bad))
    sys.exit(1 if bad else 0)


main()
