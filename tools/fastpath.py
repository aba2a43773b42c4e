#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Reads what the compiler made of the fast paths; see tools/fastpath.sh.

    fastpath.py OBJDUMP PREFIX OBJECT RULES

OBJECT is a relocatable file of arm64 or x86-64, a .ko or an .o, with debug
information.  RULES has a line for each function that has a part in this:

    owner NAME              the walk of the owner's side begins here
    foreign NAME            the same for a foreign free: one cmpxchg
    shared NAME: REASON     the two above end here; is walked by itself: atomics
                            are fine, to wait for somebody else is not
    cold NAME: REASON       every walk ends here
    kernel NAME: REASON     a function of the kernel's that may be called
    indirect NAME: REASON   may call through a pointer, once
    holds NAME              code of this function, inlined or not, is part of the
                            owner's side: the walk has not missed the point

A walk follows every path: both sides of each branch, of each static branch
(__jump_table) and of each alternative (.altinstructions), and every call.
Prints what it found; for a finding also the way to it.  Exit status: 0 if
nothing was wrong, 1 if something was.
"""

import collections
import os
import re
import struct
import subprocess
import sys

# What a walk refuses: the kinds of findings.
LOCK, IRQ, ATOMIC, WAIT, CALL, POINTER, OTHER = (
    "lock", "irq", "atomic", "wait", "call", "pointer", "other")

Insn = collections.namedtuple("Insn", "mnemonic operands next")
# One place in the code: a section's index and an offset in it.
Place = collections.namedtuple("Place", "section offset")
Reloc = collections.namedtuple("Reloc", "symbol addend")
Symbol = collections.namedtuple("Symbol", "name section value size function")


class NotUnderstood(Exception):
    """The program would have to guess."""


class Elf:
    """As much of a relocatable ELF64 file as is needed: symbols and relocations."""

    ARM64, X86_64 = 183, 62
    SHT_SYMTAB, SHT_RELA, SHF_EXECINSTR = 2, 4, 4
    STT_FUNC, STT_SECTION = 2, 3

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise NotUnderstood(path + " is not a little-endian ELF64 file")
        self.machine = struct.unpack_from("<H", self.data, 18)[0]
        shoff = struct.unpack_from("<Q", self.data, 40)[0]
        shentsize, shnum, shstrndx = struct.unpack_from("<HHH", self.data, 58)
        headers = [struct.unpack_from("<IIQQQQIIQQ", self.data,
                                      shoff + i * shentsize)
                   for i in range(shnum)]
        self.headers = headers
        self.names = [self.string(headers[shstrndx], h[0]) for h in headers]
        self.symbols = []
        self.relocs = collections.defaultdict(dict)
        for h in headers:
            if h[1] == self.SHT_SYMTAB:
                self.read_symbols(h)
        for h in headers:
            if h[1] == self.SHT_RELA:
                self.read_relocs(h)

    def string(self, table, offset):
        start = table[4] + offset
        return self.data[start:self.data.index(b"\0", start)].decode()

    def read_symbols(self, h):
        for at in range(h[4], h[4] + h[5], 24):
            name, info, _, section, value, size = struct.unpack_from(
                "<IBBHQQ", self.data, at)
            kind = info & 15
            text = (self.names[section] if kind == self.STT_SECTION
                    else self.string(self.headers[h[6]], name))
            self.symbols.append(Symbol(text, section, value, size,
                                       kind == self.STT_FUNC))

    def read_relocs(self, h):
        table = self.relocs[h[7]]
        for at in range(h[4], h[4] + h[5], 24):
            offset, info, addend = struct.unpack_from("<QQq", self.data, at)
            # arm64 puts R_AARCH64_NONE where it keeps a section alive.
            if info & 0xffffffff:
                table[offset] = Reloc(self.symbols[info >> 32], addend)

    def section(self, name):
        return self.names.index(name) if name in self.names else None

    def contents(self, section):
        h = self.headers[section]
        return self.data[h[4]:h[4] + h[5]]

    def code_sections(self):
        return [i for i, h in enumerate(self.headers)
                if h[2] & self.SHF_EXECINSTR and h[5]]


class Arch:
    """What the walk has to know of an instruction set."""

    def targets(self, insn):
        """Address in the section that a direct branch names, or None."""
        m = re.search(r"(?:^|[, ])(?:0x)?([0-9a-f]+) <[^>]*>$", insn.operands)
        return int(m.group(1), 16) if m else None


class Arm64(Arch):
    CALLS = {"bl"}
    JUMPS = {"b"}
    POINTERS = re.compile(r"blr|br|bra[ab]z?|blra[ab]z?")
    RETURNS = {"ret", "retaa", "retab"}
    CONDITIONAL = re.compile(r"b\.\w+|bc\.\w+|cbn?z|tbn?z")
    TRAPS = {"brk", "udf"}
    RETURN_THUNKS = set()
    EXCLUSIVE = re.compile(r"(ld|st)a?l?x[rp][bh]?")
    LSE = re.compile(r"(casp?|swpp?|(ld|st)(add|clr|set|eor|[su]max|[su]min)p?)"
                     r"(a|l|al)?[bh]?")
    WAITS = {"yield", "wfe", "wfi", "wfet", "wfit", "sev", "sevl"}
    OTHER = {"hvc", "smc", "svc", "eret", "dsb", "isb", "tlbi", "ic", "at",
             "sys", "sysl"}
    # The masks of interrupts: by DAIF, or by priority.
    IRQ = re.compile(r"daif|pmr|allint", re.I)

    def reloc_target(self, reloc, _insn):
        return reloc.symbol, reloc.symbol.value + reloc.addend

    def judge(self, insn, _reloc):
        m = insn.mnemonic
        # ldar, stlr and ldapr are loads and stores with an order, no more.
        if self.EXCLUSIVE.fullmatch(m) or self.LSE.fullmatch(m):
            return ATOMIC
        if m in self.WAITS:
            return WAIT
        if m == "msr":
            return IRQ if self.IRQ.search(insn.operands) else OTHER
        return OTHER if m in self.OTHER else None

    def cmpxchgs(self, insns):
        """(well-formed, text): is it one cmpxchg and nothing else?  The CPU has
        either LSE's instruction or the pair; the code has both."""
        lse = [i.mnemonic for i in insns if self.LSE.fullmatch(i.mnemonic)]
        pair = [i.mnemonic for i in insns if self.EXCLUSIVE.fullmatch(i.mnemonic)]
        good = (len(lse) == 1 and lse[0].startswith("cas") and len(pair) == 2 and
                pair[0].startswith("ld") and pair[1].startswith("st"))
        return good, "%s or, without LSE, %s" % (" + ".join(lse) or "nothing",
                                                 " + ".join(pair) or "nothing")


class X86(Arch):
    CALLS = {"call", "callq"}
    JUMPS = {"jmp", "jmpq"}
    POINTERS = re.compile(r"(?!)")
    RETURNS = {"ret", "retq"}
    CONDITIONAL = re.compile(r"j(?!mp)\w+|loopn?e?")
    TRAPS = {"ud2", "ud1", "int3"}
    RETURN_THUNKS = {"__x86_return_thunk"}
    # Without the lock prefix these are atomic on their CPU only; still, they
    # have no business on a path that owns what it touches.
    RMW = re.compile(r"cmpxchg\w*|xadd\w?")
    WAITS = {"pause", "hlt", "mwait", "monitor", "umwait", "tpause"}
    OTHER = {"vmcall", "vmmcall", "int", "iret", "iretq", "syscall", "sysret",
             "wrmsr", "rdmsr", "in", "out", "cpuid", "mfence", "invlpg"}
    IRQ = re.compile(r"cli|sti|pushf\w?|popf\w?")

    def reloc_target(self, reloc, insn):
        # Relative to the end of the instruction, where the field is last.
        return reloc.symbol, reloc.symbol.value + reloc.addend + 4

    def judge(self, insn, reloc):
        words = insn.mnemonic.split()
        m = words[-1]
        if "lock" in words or self.RMW.fullmatch(m):
            return ATOMIC
        if m.startswith("xchg") and "(" in insn.operands:
            return ATOMIC           # locks by itself
        if m.startswith("xchg") and (reloc or ":" in insn.operands):
            return ATOMIC
        if self.IRQ.fullmatch(m):
            return IRQ
        if m == "mov" and "%cr8" in insn.operands:
            return IRQ
        if reloc and reloc.symbol.name == "pv_ops":
            return IRQ
        if m in self.WAITS:
            return WAIT
        return OTHER if m in self.OTHER else None

    def cmpxchgs(self, insns):
        text = " + ".join("%s" % i.mnemonic for i in insns) or "nothing"
        good = (len(insns) == 1 and
                re.fullmatch(r"lock cmpxchg\w?", insns[0].mnemonic))
        return bool(good), text


class Code:
    """The object's code: instructions, and every place where one leads."""

    def __init__(self, objdump, path):
        self.path = path
        self.elf = Elf(path)
        self.arch = {Elf.ARM64: Arm64, Elf.X86_64: X86}[self.elf.machine]()
        self.insns = {}
        self.functions = collections.defaultdict(list)
        for s in self.elf.symbols:
            if s.function and s.size:
                self.functions[s.section].append(s)
        for section in self.elf.code_sections():
            self.disassemble(objdump, section)
        self.alternatives = collections.defaultdict(list)
        self.jump_labels = collections.defaultdict(list)
        self.read_alternatives()
        self.read_jump_labels()
        if self.elf.section("__ex_table") is not None:
            raise NotUnderstood("there is code that handles faults (__ex_table)")

    def disassemble(self, objdump, section):
        name = self.elf.names[section]
        out = subprocess.run(
            [objdump, "-d", "-z", "-w", "--no-show-raw-insn", "-j", name,
             self.path], check=True, capture_output=True, text=True).stdout
        found = []
        for line in out.splitlines():
            m = re.match(r"\s*([0-9a-f]+):\t(.*)$", line)
            if m:
                found.append((int(m.group(1), 16), m.group(2)))
        ends = [at for at, _ in found[1:]] + [self.elf.headers[section][5]]
        for (at, text), end in zip(found, ends):
            text = re.sub(r"\s+(//|# ).*", "", text).strip()
            # x86 prefixes are part of the mnemonic: "lock cmpxchg".
            m = re.match(r"((?:(?:lock|rep\w*|notrack|bnd|xacquire|xrelease|cs|ds|"
                         r"data16|addr32|rex\S*)\s+)*\S+)\s*(.*)$", text)
            mnemonic = re.sub(r"\s+", " ", m.group(1)).split(",")[0]
            mnemonic = re.sub(r"^(notrack|bnd|cs|ds|data16) ", "", mnemonic)
            self.insns[Place(section, at)] = Insn(mnemonic, m.group(2), end)

    def function_at(self, place):
        for s in self.functions[place.section]:
            if s.value <= place.offset < s.value + s.size:
                return s
        return None

    def reloc(self, place):
        """The relocation within the instruction there, if it has one."""
        table = self.elf.relocs[place.section]
        for at in range(place.offset, self.insns[place].next):
            if at in table:
                return table[at]
        return None

    def entry(self, section, offset):
        """(symbol, place) that a 32-bit field of a table of the kernel's leads to;
        the place is None for a function outside of the object."""
        r = self.elf.relocs[section].get(offset)
        if r is None:
            raise NotUnderstood("%s+%#x has no relocation" %
                                (self.elf.names[section], offset))
        if not r.symbol.section:
            return r.symbol, None
        return r.symbol, Place(r.symbol.section, r.symbol.value + r.addend)

    def read_alternatives(self):
        """An entry begins with the addresses of the original and of the
        replacement, and ends with their lengths; what is between differs."""
        section = self.elf.section(".altinstructions")
        if section is None:
            return
        offsets = sorted(self.elf.relocs[section])
        data = self.elf.contents(section)
        starts = offsets[::2]
        stride = starts[1] - starts[0] if len(starts) > 1 else len(data)
        if len(data) != stride * len(starts) or any(
                at != i * stride for i, at in enumerate(starts)):
            raise NotUnderstood(".altinstructions has an unknown layout")
        for at in starts:
            _, original = self.entry(section, at)
            symbol, replacement = self.entry(section, at + 4)
            original_len, length = data[at + stride - 2:at + stride]
            if replacement is None and symbol.name != "alt_cb_patch_nops":
                raise NotUnderstood("alternative patched by " + symbol.name)
            self.alternatives[original].append(
                (replacement if length else None, length,
                 original.offset + original_len))

    def read_jump_labels(self):
        section = self.elf.section("__jump_table")
        if section is None:
            return
        for at in range(0, self.elf.headers[section][5], 16):
            _, site = self.entry(section, at)
            _, target = self.entry(section, at + 4)
            self.jump_labels[site].append(target)

    def lines(self, prefix, places):
        """{place: [(function, file:line), ...]}, innermost first."""
        found = {}
        by_section = collections.defaultdict(list)
        for place in places:
            by_section[place.section].append(place.offset)
        for section, offsets in by_section.items():
            out = subprocess.run(
                [prefix + "addr2line", "-a", "-f", "-i", "-e", self.path, "-j",
                 self.elf.names[section]], check=True, capture_output=True,
                text=True, input="".join("%#x\n" % o for o in offsets)).stdout
            frames = None
            words = iter(out.splitlines())
            for word in words:
                if word.startswith("0x"):
                    frames = found[Place(section, int(word, 16))] = []
                    continue
                where = re.sub(r" \(discriminator \d+\)", "", next(words))
                frames.append((word, where.rsplit("/", 1)[-1]))
        return found


Finding = collections.namedtuple("Finding", "kind place text function")


def base_name(name):
    """Without what the compiler appends to its variants of a function."""
    return re.sub(r"(\.(isra|constprop|part|cold|lto_priv)(\.\d+)?)+$", "", name)


class Walk:
    """Every instruction that can be reached from some functions."""

    def __init__(self, code, rules, entries, stops):
        self.code = code
        self.rules = rules
        self.stops = stops
        self.seen = {}              # place: function
        self.stands_for = {}        # place: place with debug information
        self.caller = {}            # function: function
        self.findings = []
        self.atomics = []
        self.pointers = collections.Counter()
        self.met = collections.Counter()
        self.todo = []
        for name in entries:
            symbols = [s for s in code.elf.symbols
                       if s.function and s.section and base_name(s.name) == name]
            if not symbols:
                raise NotUnderstood("there is no function " + name)
            for s in symbols:
                self.caller.setdefault(s.name, None)
                self.push(Place(s.section, s.value), s.name, s.value + s.size, None)
        while self.todo:
            self.visit(*self.todo.pop())

    def push(self, place, function, end, leave, stands_for=None):
        """@leave: where a replacement goes on at its end; @stands_for: what it
        replaces, which is what the debug information knows."""
        if place not in self.seen:
            self.seen[place] = function
            self.stands_for[place] = stands_for or place
            self.todo.append((place, function, end, leave))

    def find(self, kind, place, text, function):
        self.findings.append(Finding(kind, self.stands_for[place], text, function))

    def visit(self, place, function, end, leave):
        code, arch = self.code, self.code.arch
        insn = code.insns.get(place)
        if insn is None:
            raise NotUnderstood("%s leads into the middle of an instruction" %
                                function)
        for replacement, length, after in code.alternatives.get(place, ()):
            if replacement:
                self.push(replacement, function, replacement.offset + length,
                          Place(place.section, after), place)
            else:
                self.goto(Place(place.section, after), place, function, end, leave)
        for target in code.jump_labels.get(place, ()):
            self.goto(target, place, function, end, leave)
            self.following(place, insn, function, end, leave)

        reloc = code.reloc(place)
        kind = arch.judge(insn, reloc)
        if kind == ATOMIC:
            self.atomics.append((self.stands_for[place], insn, function))
        elif kind:
            self.find(kind, place, "%s %s" % (insn.mnemonic, insn.operands),
                      function)
        if self.branch(place, insn, reloc, function, end, leave):
            self.following(place, insn, function, end, leave)

    def following(self, place, insn, function, end, leave):
        after = Place(place.section, insn.next)
        if after.offset < end:
            self.push(after, function, end, leave,
                      leave and self.stands_for[place])
        elif leave:
            self.goto(leave, place, function, None, None)
        elif insn.mnemonic not in self.code.arch.CALLS | self.code.arch.TRAPS:
            raise NotUnderstood("%s goes on after its end" % function)

    def branch(self, place, insn, reloc, function, end, leave):
        """Follow a branch or call.  True if the next instruction can follow."""
        arch, m = self.code.arch, insn.mnemonic
        if m in arch.RETURNS:
            return False
        # WARN() goes on behind its trap, and BUG() does not come that far.
        if m in arch.TRAPS:
            return insn.next < end
        is_call = m in arch.CALLS
        is_jump = m in arch.JUMPS
        if arch.POINTERS.fullmatch(m) or (
                (is_call or is_jump) and insn.operands.startswith("*")):
            if not (reloc and reloc.symbol.name == "pv_ops"):
                self.through_pointer(place, insn, function)
            return m.startswith("bl") or is_call
        if not (is_call or is_jump or arch.CONDITIONAL.fullmatch(m)):
            return True
        if reloc:
            symbol, offset = arch.reloc_target(reloc, insn)
            if not symbol.section:
                self.outside(place, insn, symbol.name, function)
            else:
                self.goto(Place(symbol.section, offset), place, function, end,
                          leave)
        else:
            target = arch.targets(insn)
            if target is None:
                raise NotUnderstood("%s: %s %s" % (function, m, insn.operands))
            self.goto(Place(place.section, target), place, function, end, leave)
        return not is_jump

    def through_pointer(self, place, insn, function):
        name = base_name(function)
        self.pointers[name] += 1
        if name in self.rules["indirect"]:
            self.met["indirect", name] += 1
        if name not in self.rules["indirect"] or self.pointers[name] > 1:
            self.find(POINTER, place, "%s %s" % (insn.mnemonic, insn.operands),
                      function)

    def outside(self, place, insn, name, function):
        # BUG_func stands where the kernel patches a paravirtual call in.
        if name in self.code.arch.RETURN_THUNKS or name == "BUG_func":
            return
        if name.startswith("__x86_indirect_thunk_"):
            self.through_pointer(place, insn, function)
            return
        if name in self.rules["kernel"]:
            self.met["kernel", name] += 1
            return
        kind = CALL
        if re.search(r"lock|mutex|sem(aphore)?_|^(up|down)_|seqcount", name):
            kind = LOCK
        elif re.search(r"irq|softirq|_bh_|tasklet", name):
            kind = IRQ
        self.find(kind, place, "calls " + name, function)

    def goto(self, target, place, function, end, leave):
        """To @target: within the function, or into another one."""
        symbol = self.code.function_at(target)
        if symbol is None:
            # Code of an alternative stands behind all functions.
            if end is None or not place.offset <= target.offset < end:
                raise NotUnderstood("%s leads to no function" % function)
            self.push(target, function, end, leave, self.stands_for[place])
            return
        name = base_name(symbol.name)
        if name != base_name(function):
            for kind in self.stops:
                if name in self.rules[kind]:
                    self.met[kind, name] += 1
                    return
            self.caller.setdefault(symbol.name, function)
        self.push(target, symbol.name, symbol.value + symbol.size, None)

    def way_to(self, function):
        way = []
        while function and function not in way:
            way.insert(0, function)
            function = self.caller.get(function)
        return " -> ".join(way)

    def functions(self):
        return sorted({base_name(f) for f in self.seen.values()})


def read_rules(path):
    kinds = ("owner", "foreign", "shared", "cold", "kernel", "indirect", "holds")
    rules = {kind: {} for kind in kinds}
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            m = re.fullmatch(r"(\w+)\s+([\w.]+)(?::\s*(.+))?", line)
            if not m or m.group(1) not in kinds:
                raise NotUnderstood("not a rule: " + line)
            kind, name, reason = m.groups()
            if kind in ("shared", "cold", "kernel", "indirect") and not reason:
                raise NotUnderstood("a rule without its reason: " + line)
            rules[kind][name] = reason
    return rules


class Report:
    def __init__(self, code, prefix):
        self.code = code
        self.prefix = prefix
        self.bad = 0
        self.told = set()

    def where(self, place):
        """The innermost line of our own, and all functions down to the place."""
        frames = self.code.lines(self.prefix, [place])[place]
        here = os.path.dirname(self.code.path)
        own = [where for _, where in frames
               if os.path.exists(os.path.join(here, where.split(":")[0]))]
        return (own or ["?"])[0], " > ".join(f for f, _ in reversed(frames))

    def findings(self, what, walk, findings):
        for f in sorted(findings, key=lambda f: f.place):
            line, functions = self.where(f.place)
            self.bad += 1
            # One lock is many instructions.
            if (f.kind, line, what) in self.told:
                continue
            self.told.add((f.kind, line, what))
            print("  FOUND %s %s: %s" % (f.kind, line, f.text))
            print("        in %s" % functions)
            print("        %s, by %s" % (what, walk.way_to(f.function)))

    def fail(self, text):
        self.bad += 1
        print("  FOUND " + text)

    def summary(self, what, walk):
        print("  %s: %d instructions of %s" % (what, len(walk.seen),
                                               ", ".join(walk.functions())))


def as_findings(atomics):
    return [Finding(ATOMIC, place, "%s %s" % (insn.mnemonic, insn.operands),
                    function) for place, insn, function in atomics]


def check_owner(code, rules, report):
    walk = Walk(code, rules, rules["owner"], ("foreign", "shared", "cold"))
    report.summary("owner's side", walk)
    report.findings("owner's side", walk,
                    walk.findings + as_findings(walk.atomics))
    held = {base_name(f) for frames in
            code.lines(report.prefix, walk.seen).values() for f, _ in frames}
    for name in rules["holds"]:
        if name not in held:
            report.fail("nothing of %s on the owner's side" % name)
    return walk


def check_foreign(code, rules, report, name):
    walk = Walk(code, rules, [name], ("owner", "shared", "cold"))
    report.summary("foreign free", walk)
    report.findings("foreign free", walk, walk.findings)
    atomics = sorted(walk.atomics)
    good, text = code.arch.cmpxchgs([insn for _, insn, _ in atomics])
    print("    its atomics: " + text)
    for place, insn, _ in atomics:
        print("      %s: %s %s" % (report.where(place)[0], insn.mnemonic,
                                   insn.operands))
    if not good:
        report.fail("cmpxchg %s: not exactly one" % name)
    return walk


def check_shared(code, rules, report):
    walk = Walk(code, rules, rules["shared"], ("cold",))
    report.summary("shared state", walk)
    report.findings("shared state", walk, walk.findings)
    print("    its atomics: %d" % len(walk.atomics))
    return walk


def main():
    objdump, prefix, path, rules_path = sys.argv[1:]
    rules = read_rules(rules_path)
    code = Code(objdump, path)
    if code.elf.section(".debug_line") is None:
        raise NotUnderstood(path + " has no debug information")
    report = Report(code, prefix)
    walks = [check_owner(code, rules, report)]
    for name in rules["foreign"]:
        walks.append(check_foreign(code, rules, report, name))
    if rules["shared"]:
        walks.append(check_shared(code, rules, report))
    met = collections.Counter()
    for walk in walks:
        met.update(walk.met)
    print("  met: " + " ".join(sorted("%s=%s" % key for key in met)))
    return 1 if report.bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotUnderstood as e:
        print("  FOUND something not understood: %s" % e)
        sys.exit(1)
