# SPDX-License-Identifier: GPL-2.0
"""Commands for gdb, where a guest of ./run-qemu.sh --gdb, or another kernel, has chaos_alloc.

chaos-connect connects to the guest and loads all symbols; the others read the
module's structures: chaos-heaps, chaos-heap, chaos-whose.  tools/gdb.sh starts
gdb with this file.
"""

import os
import gdb


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.realpath(os.path.join(base, "chaos_alloc"))


# --- the guest ----------------------------------------------------------------

GDB_NAMES = {"arm64": "aarch64", "amd64": "i386:x86-64"}


def announced(port):
    """What ./run-qemu.sh --gdb has written of the guest at this port."""
    try:
        with open(os.path.join(cache(), "gdb", port), encoding="utf-8") as lines:
            return dict(line.rstrip("\n").split("=", 1) for line in lines)
    except FileNotFoundError:
        raise gdb.GdbError(f"no guest waits at port {port}: start ./run-qemu.sh --gdb") from None


def kdir_of(kernel):
    inner = os.path.join(kernel, "kdir")
    return inner if os.path.isdir(inner) else kernel


def has_booted():
    """Before the kernel has mapped itself, its memory cannot be read."""
    try:
        return int(gdb.parse_and_eval("(unsigned long)modules.next")) != 0
    except gdb.MemoryError:
        return False


# --- symbols of modules -------------------------------------------------------


def sections_of(module):
    """Where the kernel has put the module's sections."""
    attrs = module["sect_attrs"].dereference()
    sections = {}
    for i in range(int(attrs["nsections"])):
        attr = attrs["attrs"][i]
        sections[attr["battr"]["attr"]["name"].string()] = int(attr["address"])
    return sections


class Sections:
    """What lx-symbols tells gdb of a module's sections, and the others.

    It leaves .kprobes.text out, where the fast paths are; .data..ro_after_init; and
    .init.text, which is there for as long as the module's init function runs.  Until the
    next module comes, that is: its init code may be where this one's was."""

    def __init__(self, lx_symbols):
        self.theirs = lx_symbols._section_arguments
        self.initialising = None

    def forget_init(self):
        if self.initialising:
            path, arguments = self.initialising
            self.initialising = None
            try:
                gdb.execute(f"remove-symbol-file {path}", to_string=True)
            except gdb.error:
                # lx-symbols has forgotten all of them.
                return
            gdb.execute(f"add-symbol-file {path} {arguments}", to_string=True)

    def arguments(self, command, module, address):
        self.forget_init()
        try:
            sections = sections_of(module)
            text = f"{sections.pop('.text'):#x}"
        except (gdb.error, KeyError):
            # Another kernel keeps them in another way.
            return self.theirs(command, module, address)
        stays = {name: at for name, at in sections.items() if not name.startswith(".init")}
        if int(module["state"]) == int(gdb.parse_and_eval("MODULE_STATE_COMING")):
            path = command._get_module_file(module["name"].string())
            self.initialising = path, self.line(text, stays)
            return self.line(text, sections)
        return self.line(text, stays)

    @staticmethod
    def line(text, sections):
        return " ".join([text] + [f"-s {name} {at:#x}" for name, at in sections.items()])


def watch_modules(directory):
    """lx-symbols, for a kernel that has booted or not."""
    # The kernel's own scripts can be imported once vmlinux-gdb.py has been read.
    from linux import symbols
    sections = Sections(symbols.LxSymbols)
    symbols.LxSymbols._section_arguments = \
        lambda command, module, address: sections.arguments(command, module, address)
    # Takes the place of the one that there is.
    command = symbols.LxSymbols()
    if not has_booted():
        # There are no modules yet, and no memory can be read.
        command.load_all_symbols = lambda: None
    command.invoke(directory, False)
    vars(command).pop("load_all_symbols", None)


class Connect(gdb.Command):
    """Connect to a guest and load the symbols of its kernel and modules.

chaos-connect [PORT]

PORT is that of ./run-qemu.sh --gdb=PORT (default 1234).  Modules that are loaded
later get their symbols when they are."""

    def __init__(self):
        super().__init__("chaos-connect", gdb.COMMAND_RUNNING)

    def invoke(self, arg, from_tty):
        port = arg.strip() or "1234"
        guest = announced(port)
        kdir = kdir_of(guest["kernel"])
        vmlinux = os.path.join(kdir, "vmlinux")
        scripts = os.path.join(kdir, "vmlinux-gdb.py")

        for setting in ("pagination off", "confirm off", "breakpoint pending on",
                        "print pretty on", "filename-display basename",
                        f"architecture {GDB_NAMES[guest['arch']]}",
                        # Modules are built from a copy of the sources.
                        f"substitute-path {guest['build']} {guest['top']}"):
            gdb.execute("set " + setting, to_string=True)
        if not os.path.exists(vmlinux):
            gdb.execute(f"target remote :{port}")
            gdb.write("This kernel has no vmlinux: there are no symbols.\n")
            return
        # What the kernel would have gdb load by itself is loaded here.
        gdb.execute("set auto-load python-scripts off")
        gdb.execute(f"file {vmlinux}", to_string=True)
        gdb.execute(f"target remote :{port}", to_string=True)
        if not os.path.exists(scripts):
            gdb.write("This kernel has no scripts for gdb: see Documentation/debugging.rst.\n")
            return
        gdb.execute(f"source {scripts}")
        watch_modules(guest["symbols"])


# --- the module's structures --------------------------------------------------


def module_symbol(name):
    symbol = gdb.lookup_static_symbol(name) or gdb.lookup_global_symbol(name)
    if symbol is None:
        raise gdb.GdbError(f"no symbol {name}: is chaos_alloc loaded, and lx-symbols done?")
    return symbol.value()


def pointer_to(name):
    return gdb.lookup_type("struct " + name).pointer()


def entries(head, type_name, member):
    # The kernel's own scripts are there once vmlinux-gdb.py is.
    from linux import lists
    return lists.list_for_each_entry(head, pointer_to(type_name), member)


def heaps():
    return list(entries(module_symbol("chaos_heaps"), "chaos_heap", "node_in_heaps"))


def pools(heap):
    return list(entries(heap["pools"], "chaos_pool", "node"))


def engine_name(heap):
    return heap["engine"]["name"].string()


def counter(atomic):
    return int(atomic["counter"])


def heap_named(name):
    for heap in heaps():
        if heap["name"].string() == name:
            return heap
    raise gdb.GdbError(f"no heap '{name}'; there are: " +
                       ", ".join(heap["name"].string() for heap in heaps()))


def size(n):
    for unit in ("", "K", "M"):
        if n < 1024 or n % 1024:
            return f"{n}{unit}"
        n //= 1024
    return f"{n}G"


class Heaps(gdb.Command):
    """List the heaps: a line for each."""

    def __init__(self):
        super().__init__("chaos-heaps", gdb.COMMAND_DATA)

    def invoke(self, arg, from_tty):
        default = int(module_symbol("chaos_default"))
        gdb.write(f"{'name':20} {'engine':9} {'pools':>5} {'bytes':>8} {'held':>10}  address\n")
        for heap in heaps():
            mark = "  (default)" if int(heap) == default else ""
            gdb.write(f"{heap['name'].string():20} {engine_name(heap):9} "
                      f"{int(heap['nr_pools']):5} {size(int(heap['pool_bytes'])):>8} "
                      f"{counter(heap['held']):10}  {int(heap):#x}{mark}\n")


class Heap(gdb.Command):
    """Describe a heap: its figures, options and pools.

chaos-heap NAME | EXPRESSION

EXPRESSION is a pointer to a struct chaos_heap, such as "heap" or "$x0"."""

    def __init__(self):
        super().__init__("chaos-heap", gdb.COMMAND_DATA)

    def invoke(self, arg, from_tty):
        if not arg:
            raise gdb.GdbError("chaos-heap wants a name or a pointer")
        try:
            heap = heap_named(arg)
        except gdb.GdbError as unknown:
            try:
                heap = gdb.parse_and_eval(arg).cast(pointer_to("chaos_heap"))
                heap["name"].string()
            except (gdb.error, UnicodeDecodeError):
                raise unknown from None
        self.describe(heap)

    def describe(self, heap):
        options = heap["options"]
        gdb.write(f"heap {heap['name'].string()} at {int(heap):#x}: {engine_name(heap)}, "
                  f"hardening {int(heap['hardening'])}\n")
        gdb.write(f"  held {counter(heap['held'])} of {int(heap['pool_bytes'])} bytes, "
                  f"peak {int(heap['peak_held'])}, may grow to {int(heap['max_size'])}\n")
        gdb.write("  " + ", ".join(f"{name} {counter(heap[name])}" for name in
                                   ("grows", "returns", "failures", "bad_frees")) + "\n")
        gdb.write("  " + ", ".join(f"{name} {int(options[name])}" for name in
                                   ("watermark", "retire_delay", "return_delay", "heartbeat",
                                    "growth_step")) + "\n")
        for pool in pools(heap):
            start, length = int(pool["start"]), int(pool["size"])
            gdb.write(f"  pool at {int(pool):#x}: {start:#x} to {start + length:#x}, {length} bytes"
                      f"{', the main one' if int(pool) == int(heap['main_pool']) else ''}"
                      f"{', grown' if pool['grown'] else ''}\n")


class Whose(gdb.Command):
    """Say which heap and pool an address lies in.

chaos-whose EXPRESSION"""

    def __init__(self):
        super().__init__("chaos-whose", gdb.COMMAND_DATA)

    def invoke(self, arg, from_tty):
        if not arg:
            raise gdb.GdbError("chaos-whose wants an address")
        address = int(gdb.parse_and_eval(arg)) & (1 << 64) - 1
        for heap in heaps():
            for pool in pools(heap):
                offset = address - int(pool["start"])
                if 0 <= offset < int(pool["size"]):
                    gdb.write(f"{address:#x}: byte {offset} of the pool at {int(pool):#x}, heap "
                              f"{heap['name'].string()} ({engine_name(heap)})\n")
                    return
        gdb.write(f"{address:#x} is in no pool\n")


Connect()
Heaps()
Heap()
Whose()
