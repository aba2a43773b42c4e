#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of chaostop, against directories of files such as debugfs has.

    tools/chaostop/test.py PROGRAM [CASE...]

Each function test_CASE is one; prints "ok CASE" or "FAIL CASE", and fails if any does.
PROGRAM is best built with sanitizers: what they find is a failure of every case. What the
screen looks like is compared with expected/; --update writes these anew, for a look at
what has changed.
"""

import fcntl
import inspect
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = HERE / "expected"
PROGRAM = ""
UPDATE = False

STATS = ("name", "allocator", "hardening", "node", "pools", "pool_bytes", "meta_bytes",
         "max_bytes", "held_bytes", "peak_held_bytes", "live_blocks", "live_bytes", "allocs",
         "local_frees", "foreign_frees", "pages", "abandoned_pages", "abandoned", "adopted",
         "grows", "returns", "failures", "bad_frees")


# --- directories ------------------------------------------------------------------

class Root:
    """A directory of heaps, as /sys/kernel/debug/chaos_alloc is one."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="chaostop-"))

    def __enter__(self):
        return self

    def __exit__(self, *args):
        shutil.rmtree(self.path)

    def heap(self, directory, **stats):
        """A heap whose figures are 0 where they are not given."""
        path = self.path / directory
        path.mkdir(exist_ok=True)
        values = {key: 0 for key in STATS}
        values.update(name=directory.rsplit("-", 1)[0], allocator="tlsf", hardening=1, node=-1)
        values.update(stats)
        (path / "stats").write_text("".join(f"{k} {v}\n" for k, v in values.items()))
        return path

    def write(self, name, text):
        (self.path / name).write_text(text)


def map_text(seed, pools, granule, fullness):
    """A map whose pools are full up to some point, with holes, and empty from there on."""
    rng = random.Random(seed)
    lines = []
    for index, size in enumerate(pools):
        lines.append(f"pool {index} {size} {granule}")
        n = size // granule
        cells = ["--"]
        for at in range(1, n):
            used = 0
            if at < n * fullness:
                used = 255 if rng.random() < 0.7 else rng.randrange(256)
            cells.append(f"{used:02x}")
        lines += ["".join(cells[i:i + 64]) for i in range(0, n, 64)]
    return "\n".join(lines) + "\n"


def three_heaps(root):
    """What most cases look at."""
    path = root.heap("default-1", allocator="mimalloc", pools=2, pool_bytes=48 << 20,
                     meta_bytes=98304, max_bytes=256 << 20, held_bytes=24 << 20,
                     peak_held_bytes=34012345, live_blocks=123456, live_bytes=20 << 20,
                     allocs=456698, local_frees=300000, foreign_frees=33242, pages=311, grows=1)
    (path / "map").write_text(map_text(1, (16 << 20, 32 << 20), 65536, 0.5))
    (path / "classes").write_text(
        "block_size live_blocks capacity live_bytes pages page_bytes\n"
        "8 1000 8192 8000 1 65536\n1024 120 640 122880 10 655360\n")
    (path / "check").write_text("ok\n")
    path = root.heap("net_rx-7", name="net rx", pools=1, pool_bytes=1 << 20, max_bytes=1 << 20,
                     held_bytes=900000, peak_held_bytes=1000000, live_blocks=99999,
                     live_bytes=850000, allocs=5000000000, local_frees=4999900001, failures=3)
    (path / "map").write_text(map_text(2, (1 << 20,), 4096, 0.9))
    (path / "classes").write_text(
        "block_size live_blocks capacity live_bytes pages page_bytes\n"
        "# none: blocks of all sizes lie side by side\n")
    (path / "check").write_text("damaged: -EUCLEAN\n")
    root.heap("a_heap_with_a_long_name_of_31_c-12", allocator="evl", pools=1,
              pool_bytes=65536, name="a heap with a long name of 31 c")


class Recorded:
    """What a guest's debugfs had while it replayed the trace of samples/, with chaos_sample"""

    path = HERE / "recorded"


# --- running it ---------------------------------------------------------------------

def environment(**more):
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TERM": "xterm",
           "ASAN_OPTIONS": "detect_leaks=1:exitcode=99", "UBSAN_OPTIONS": "halt_on_error=1"}
    env.update(more)
    return env


def run(root, *args, status=0, **env):
    """Its stdout; what it writes to stderr is appended, which nothing should."""
    result = subprocess.run([PROGRAM, "--root", str(root.path), *args], env=environment(**env),
                            capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    out = result.stdout.decode() + result.stderr.decode()
    assert result.returncode == status, f"exit status {result.returncode}:\n{out}"
    return out


def expect(name, text):
    """Compares with expected/NAME."""
    file = EXPECTED / name
    if UPDATE:
        EXPECTED.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), f"not as in {file}:\n{text}"


def names(text):
    """The heaps of a list, in order."""
    return [line[:10].strip() for line in text.splitlines()[3:]]


class Screen:
    """The program on a terminal: keys go in, and rows of characters are looked at."""

    def __init__(self, root, *args, rows=24, columns=80, **env):
        # It begins when the terminal has its size, and its settings have been seen.
        ready, go = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.read(ready, 1)
            os.execve(PROGRAM, [PROGRAM, "--root", str(root.path), *args], environment(**env))
        self.output = ""
        self.status = None
        self.before = termios.tcgetattr(self.fd)
        self.resize(rows, columns)
        os.write(go, b"!")
        os.close(ready)
        os.close(go)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def resize(self, rows, columns):
        self.rows = rows
        self.columns = columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.reverse = set()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def keys(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            self.output += data.decode(errors="replace")
            self.show(self.output)
            return bool(data)
        return True

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def wait(self, regex, what=None):
        """Until the screen, or what a function makes of it, matches."""
        end = time.monotonic() + 20
        while not re.search(regex, (what or self.text)(), re.M):
            assert time.monotonic() < end, f"no {regex!r} on the screen:\n{self.text()}"
            self.read(0.1)

    def marked(self):
        return "\n".join("".join(self.cells[row]).rstrip() for row in sorted(self.reverse))

    def show(self, output):
        """What all of the output since it last began at the top makes of an empty screen."""
        start = output.rfind("\033[H")
        if start < 0 or "\033[m" not in output[output.rfind("\033[J"):]:
            return
        # The footer's row is the last one: another is of before the last resize().
        if not output[start:].count(f"\033[{self.rows};1H"):
            return
        self.cells = [[" "] * self.columns for _ in range(self.rows)]
        self.reverse = set()
        row = column = 0
        for match in re.finditer(r"\033\[([?0-9;]*)([a-zA-Z])|(.)", output[start:], re.S):
            parameters, command, char = match.groups()
            if char == "\r":
                column = 0
            elif char == "\n":
                row += 1
                assert row < self.rows, "it scrolls"
            elif char:
                assert column < self.columns, f"row {row} is too long"
                self.cells[row][column] = char
                column += 1
            elif command == "H":
                row = int(parameters.split(";")[0]) - 1 if parameters else 0
                column = 0
            elif command == "K":
                # Behind the last column, terminals take it for the last.
                for i in range(min(column, self.columns - 1), self.columns):
                    self.cells[row][i] = " "
            elif command == "m" and parameters == "7":
                self.reverse.add(row)

    def end(self, status=0):
        """It has ended, and left the terminal as it was."""
        end = time.monotonic() + 20
        while self.status is None:
            assert time.monotonic() < end, "it does not end"
            self.read(0.1)
            pid, result = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(result)
        while select.select([self.fd], [], [], 0)[0] and self.read(0):
            pass
        assert self.status == status, f"status {self.status}: {self.output[-2000:]}"
        assert termios.tcgetattr(self.fd) == self.before, "the terminal has other settings"
        assert self.output.count("\033[?25h\033[?1049l") == self.output.count("\033[?1049h"), \
            "not the first screen"


# --- text -----------------------------------------------------------------------------

def test_list():
    with Root() as root:
        three_heaps(root)
        expect("list", run(root, "--once"))
        expect("list-bytes", run(root, "--once", "--bytes"))


def test_recorded():
    """What the module really writes: figures as in stats, and nothing that is not understood."""
    text = run(Recorded, "-ob")
    expect("recorded-list", text)
    rows = {line.split()[0]: line.split() for line in text.splitlines()[3:]}
    for directory in Recorded.path.iterdir():
        stats = dict(line.split() for line in (directory / "stats").read_text().splitlines())
        assert rows[stats["name"]][:8] == [stats[key] for key in (
            "name", "allocator", "live_blocks", "live_bytes", "pool_bytes", "peak_held_bytes",
            "max_bytes", "pools")], text
        page = run(Recorded, "-o", directory.name)
        expect(f"recorded-{stats['name']}", page)
        assert page.count("\nPool ") == int(stats["pools"]) and "understood" not in page, page


def test_widths():
    """As many columns as fit; no row is wider, none is lost."""
    with Root() as root:
        three_heaps(root)
        for width in (40, 60, 80, 100, 132, 200):
            text = run(root, "-o", COLUMNS=str(width))
            rows = text.splitlines()[2:]
            assert len(rows) == 4, text
            assert max(map(len, rows)) <= width, f"{width}:\n{text}"
            expect(f"list-{width}", text)
        for width in range(1, 40):
            assert len(run(root, "-o", COLUMNS=str(width)).splitlines()) == 6


def test_heap():
    with Root() as root:
        three_heaps(root)
        expect("heap", run(root, "--once", "default"))
        expect("heap-utf8", run(root, "-o", "default-1", LC_ALL="C.UTF-8"))
        expect("heap-40", run(root, "-o", "net rx", COLUMNS="40"))


def test_map_cells():
    """Only what is empty looks empty, and only what is full looks full."""
    with Root() as root:
        path = root.heap("a-1")
        (path / "map").write_text("pool 0 32768 4096\n0001247ffeff--80\n")
        assert "\n  .::+&#x+\n" in run(root, "-o", "a"), run(root, "-o", "a")
        # Two cells as one: the mean of what is usable
        cells = ["00", "ff"] * 512 + ["--", "ff"] * 256
        rows = "\n".join("".join(cells[i:i + 64]) for i in range(0, len(cells), 64))
        (path / "map").write_text(f"pool 3 {1536 * 4096} 4096\n{rows}\n")
        text = run(root, "-o", "a")
        assert "Pool 3: 6.0M, each cell 12.0K" in text, text


def test_latency():
    """Only where it has been measured"""
    with Root() as root:
        path = root.heap("a-1")
        (path / "latency").write_text("ns_from ns_to allocs frees\nmax 0 0\n")
        assert "Latency" not in run(root, "-o", "a")
        (path / "latency").write_text("ns_from ns_to allocs frees\n512 1023 7 3\nmax 900 800\n")
        text = run(root, "-o", "a")
        assert text.endswith("Latency\n  ns_from  ns_to  allocs  frees\n"
                             "      512   1023       7      3\n"
                             "      max    900     800\n"), text


def test_sort():
    with Root() as root:
        root.heap("c-1", allocator="evl", live_blocks=2, live_bytes=30, pool_bytes=100,
                  peak_held_bytes=1, max_bytes=5, pools=1, failures=9)
        root.heap("a-2", allocator="tlsf", live_blocks=3, live_bytes=20, pool_bytes=900,
                  peak_held_bytes=2, max_bytes=4, pools=3, failures=8)
        root.heap("b-3", allocator="mimalloc", live_blocks=1, live_bytes=10, pool_bytes=20,
                  peak_held_bytes=3, max_bytes=3, pools=2, failures=7)
        for column, order in (("name", "abc"), ("engine", "cba"), ("blocks", "acb"),
                              ("live", "cab"), ("memory", "acb"), ("peak", "bac"),
                              ("max", "cab"), ("pools", "abc"), ("fails", "cab"),
                              ("USE%", "bca"), ("n", "abc"), ("x", "cab")):
            assert names(run(root, "-o", "-s", column)) == list(order), column
            assert names(run(root, "-oRs", column)) == list(reversed(order)), column


def test_rates():
    """Blocks per second, between two readings; and a heap that has just come has none."""
    with Root() as root:
        root.heap("a-1", allocs=1000, local_frees=500, foreign_frees=100)
        process = subprocess.Popen([PROGRAM, "-r", root.path, "-n", "2", "-d", "2"],
                                   env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(4):
            first = process.stdout.readline()
        root.heap("a-1", allocs=3000, local_frees=1000, foreign_frees=600)
        root.heap("b-2", allocs=77)
        out = process.communicate(timeout=30)[0]
        assert process.returncode == 0, out
        assert re.search(r" - +- +0 ", first), first
        rates = re.search(r"^a .* (\d+) +(\d+) +0 ", out, re.M)
        # 2000 and 1000 in 2 seconds, or some more if this machine is slow
        assert rates and 400 <= int(rates[1]) <= 1010, out
        assert abs(int(rates[1]) - 2 * int(rates[2])) <= 2, out
        assert re.search(r"^b .* - +- +0 ", out, re.M), out


def test_counters_go_back():
    with Root() as root:
        root.heap("a-1", allocs=1000, local_frees=500)
        process = subprocess.Popen([PROGRAM, "-r", root.path, "-n", "2", "-d", "1"],
                                   env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(4):
            process.stdout.readline()
        root.heap("a-1", allocs=10, local_frees=499)
        out = process.communicate(timeout=30)[0]
        assert re.search(r"^a .* 0 +0 +0 +\?", out, re.M), out


def test_come_and_go():
    """Files that vanish between two readings, or within one, are no error."""
    with Root() as root:
        three_heaps(root)
        (root.path / "default-1" / "map").unlink()
        (root.path / "net_rx-7" / "stats").unlink()
        assert len(names(run(root, "-o"))) == 2
        assert "Pool" not in run(root, "-o", "default")
        shutil.rmtree(root.path / "default-1")
        assert names(run(root, "-o")) == ["a heap wit"]
        run(root, "-o", "default", status=1)


def test_no_heaps():
    with Root() as root:
        assert "0 heaps" in run(root, "-o")


def test_failures():
    """What is wrong is said, with an exit status that scripts can use."""
    with Root() as root:
        three_heaps(root)
        root.heap("default-2")
        assert "several are called so" in run(root, "-o", "default", status=1)
        assert "No such file" in run(root, "-o", "-r", f"{root.path}/none", status=1)
        for args in (("-d", "0"), ("-d", "nan"), ("-d", "1x"), ("-n", "0"), ("-n", "-1"),
                     ("-s", "foo"), ("--foo",), ("a", "b")):
            assert "chaostop" in run(root, "-o", *args, status=2), args
        assert "Columns: n NAME" in run(root, "--help")
        with open("/dev/full", "w", encoding="ascii") as full:
            result = subprocess.run([PROGRAM, "-o", "-r", root.path], stdout=full,
                                    stderr=subprocess.PIPE, env=environment(), check=False)
        assert result.returncode == 1 and b"No space" in result.stderr, result


def test_not_root():
    """That others may not read it is said in these words."""
    if os.getuid():
        return
    with Root() as root:
        os.chmod(root.path, 0o755)
        program = shutil.copy(PROGRAM, root.path / "chaostop")
        (root.path / "closed").mkdir(mode=0o700)
        result = subprocess.run([program, "-o", "-r", root.path / "closed"], check=False,
                                env=environment(), capture_output=True, user=65534, group=65534)
        assert result.returncode == 1, result
        assert b"only root may read it" in result.stderr, result


def test_real_debugfs():
    """Without --root, on a machine without the module"""
    if os.path.exists("/sys/module/chaos_alloc"):
        return
    result = subprocess.run([PROGRAM, "-o"], env=environment(), capture_output=True, check=False)
    assert result.returncode == 1, result
    assert re.search(b"not loaded|only root", result.stderr), result


# --- input that is not what it should be ------------------------------------------------

def test_strange_names():
    """A client's words do not get to the terminal as they are."""
    with Root() as root:
        path = root.heap("x-1", name="\033[2J\033]0;title\a\x7f\u00e4", allocator="\033[31mred")
        (path / "classes").write_text("size \033[2J\n\b\b 1\n")
        for text in (run(root, "-o"), run(root, "-o", "x-1")):
            assert "\033" not in text and "?[2J" in text, repr(text)
            assert all(c == "\n" or " " <= c <= "~" for c in text), repr(text)


def test_strange_directory():
    """Nor do those of its directory, while it is there and when it has gone."""
    with Root() as root:
        path = root.heap("evil\033]0;title\a-1", name="x")
        text = run(root, "-o", "x")
        assert "x (evil?]0;title?-1), tlsf" in text, repr(text)
        assert all(c == "\n" or " " <= c <= "~" for c in text), repr(text)
        with Screen(root, "-d", "0.2") as screen:
            screen.wait("^x")
            screen.keys("\r")
            screen.wait(r"^x \(evil\?\]0;title\?-1\)")
            shutil.rmtree(path)
            screen.wait(r"^evil\?\]0;title\?-1 has gone")
            screen.keys("q")
            screen.end()
            assert "title\a" not in screen.output, repr(screen.output)


def test_unknown():
    """What is not there is not known: not 0, and never a crash."""
    with Root() as root:
        for n, stats in enumerate(("", "\n\n", "name", "name \n", "live_bytes 12x\n",
                                   "live_bytes -1\n", "live_bytes 99999999999999999999999\n",
                                   "live_bytes\n", "no newline", "\0\0\0", "live_bytes 1 2 3",
                                   "pool_bytes 0\nlive_bytes 5\n", "x" * 100000,
                                   "pool_bytes 18446744073709551615\nlive_bytes 18446744073709551615\n"
                                   "held_bytes 18446744073709551615\nallocs 18446744073709551615\n")):
            (root.path / f"h{n}-1").mkdir()
            root.write(f"h{n}-1/stats", stats)
        text = run(root, "-o")
        assert len(names(text)) == 14, text
        # The fourth column is LIVE.
        for n in (0, 4, 5, 6, 7, 8):
            assert re.search(rf"^h{n} +\? +\? +\? ", text, re.M), f"{n}: {text}"
        assert re.search(r"^h10 +\? +\? +1 ", text, re.M), text
        assert " 16.0E " in text, text
        for n in range(14):
            run(root, "-o", f"h{n}-1")


def test_bad_maps():
    """Lines that are none are counted; the rest is shown."""
    with Root() as root:
        path = root.heap("a-1")
        for text, bad in (("00ff\n", 1), ("pool\n", 1), ("pool 0 4096\n", 1), ("pool 0 0 0\n", 1),
                          ("pool 0 8192 4096\n0\n", 1), ("pool 0 8192 4096\n00-\n", 1),
                          ("pool 0 8192 4096\n00 ff\n", 1), ("pool 0 8192 4096\n00FF\n", 1),
                          ("pool x 8192 4096\n00ff\n", 2), ("pool 0 8192 4096 1\n", 0),
                          ("pool 0 18446744073709551615 18446744073709551615\n00\n", 0),
                          ("pool 0 8192 4096\n" + "ff" * 100000 + "\n", 0), ("", 0)):
            (path / "map").write_text(text)
            out = run(root, "-o", "a")
            found = re.search(r"(\d+) lines of the map are not understood", out)
            assert (int(found[1]) if found else 0) == bad, f"{text[:60]!r}:\n{out}"


def mutate(rng, text):
    data = bytearray(text.encode())
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            data[at:at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del data[at:at + rng.randrange(1, 40)]
        elif kind == 2:
            data[at:at] = data[rng.randrange(len(data) + 1):][:rng.randrange(60)]
        else:
            data[at:at] = str(rng.choice((2**63, 2**64 - 1, 10**30, -1))).encode()
    return bytes(data)


def test_mutated():
    """Files with random damage: nothing that sanitizers see, and no way to the terminal."""
    rng = random.Random(7)
    with Root() as root:
        three_heaps(root)
        originals = [{f.name: f.read_text() for f in d.iterdir()}
                     for d in root.path.iterdir()]
        for n in range(400):
            path = root.path / f"m-{n}"
            path.mkdir()
            for name, text in rng.choice(originals).items():
                (path / name).write_bytes(mutate(rng, text))
        run(root, "-o", "-s", "name")
        run(root, "-o", COLUMNS="60")
        for n in range(0, 400, 20):
            out = run(root, "-o", f"m-{n}", COLUMNS=str(20 + n))
            assert all(c == "\n" or " " <= c <= "~" for c in out), repr(out)


def test_not_files():
    """Directories in the place of files, and files in that of directories"""
    with Root() as root:
        (root.path / "file").write_text("x")
        (root.path / "dir-1" / "stats").mkdir(parents=True)
        path = root.heap("a-1")
        (path / "map").mkdir()
        os.mkfifo(path / "classes")
        assert names(run(root, "-o")) == ["a"]
        assert "No map: Is a directory" in run(root, "-o", "a")


# --- terminal ---------------------------------------------------------------------------

def test_keys():
    with Root() as root:
        three_heaps(root)
        with Screen(root) as screen:
            screen.wait(r"^default .* 41\.7")
            screen.wait(r"^default", screen.marked)
            screen.keys("\033[B")
            screen.wait(r"^net rx", screen.marked)
            screen.keys("\033[B\033[B\033[B")
            screen.wait(r"^a heap", screen.marked)
            screen.keys("\033[A")
            screen.wait(r"^net rx", screen.marked)
            # The mark stays with its heap.
            screen.keys("n")
            screen.wait(r"^a heap.*\n(.*\n)?.*default|^a heap")
            screen.wait(r"^net rx", screen.marked)
            screen.keys("c")
            screen.wait(r"net rx: damaged: -EUCLEAN")
            screen.keys("\r")
            screen.wait(r"^net rx \(net_rx-7\), tlsf: 81\.1% live")
            screen.keys("B")
            screen.wait("each cell 4096")
            screen.keys("\033")
            screen.wait(r"^net rx .* 1048576 ", screen.marked)
            screen.keys("?")
            screen.wait("what keys do")
            screen.keys("?")
            screen.wait(r"^net rx", screen.marked)
            screen.keys("+")
            screen.wait("every 4 s")
            screen.keys("q")
            screen.end()


def test_resize():
    """Columns come and go with the width, and a small screen scrolls to the mark."""
    with Root() as root:
        for n in range(40):
            root.heap(f"heap{n:02}-{n}", live_bytes=1000 - n, pool_bytes=2000)
        with Screen(root, rows=12, columns=60) as screen:
            screen.wait("^heap07")
            assert "PEAK" not in screen.text() and "heap08" not in screen.text()
            screen.resize(30, 132)
            screen.wait("PEAK")
            screen.wait("^heap20")
            screen.resize(6, 40)
            for _ in range(5):
                screen.keys("\033[6~")
            screen.wait("^heap10", screen.marked)
            for rows in (4, 3, 2):
                screen.resize(rows, 40)
                screen.wait("^heap10", screen.marked)
            for rows, columns in ((3, 10), (2, 3), (1, 1), (10, 80)):
                screen.resize(rows, columns)
                time.sleep(0.2)
                screen.read(0.1)
            screen.wait("^heap10 ", screen.marked)
            screen.keys("\033[5~" * 20)
            screen.wait("^chaos_alloc: 40 heaps")
            screen.keys("q")
            screen.end()


def test_scroll():
    """A heap's page is longer than the screen; it ends where it ends."""
    with Root() as root:
        three_heaps(root)
        with Screen(root, "default", rows=10, columns=80, LC_ALL="C.UTF-8") as screen:
            screen.wait("^default")
            screen.keys("\033[6~" * 9)
            screen.wait("^ +1024 +120 +640")
            screen.keys("\033[5~" * 9)
            screen.wait("^default")
            screen.keys("\033[B" * 20)
            screen.wait("█")
            screen.keys("q")
            screen.end()


def test_live():
    """Heaps, and the module, come and go under it."""
    with Root() as root:
        three_heaps(root)
        with Screen(root, "-d", "0.2") as screen:
            screen.wait("^net rx")
            screen.keys("\033[B\r")
            screen.wait(r"^net rx \(net_rx-7\)")
            shutil.rmtree(root.path / "net_rx-7")
            screen.wait("^net_rx-7 has gone")
            screen.keys("\033[D")
            screen.wait("^default", screen.marked)
            assert "net rx" not in screen.text()
            root.heap("new-9", live_bytes=1 << 30, pool_bytes=1 << 31)
            screen.wait(r"^new .* 50\.0")
            moved = root.path.rename(f"{root.path}.away")
            screen.wait("waiting for it")
            screen.keys("\033[B\r?cn\033[6~")
            screen.wait("what keys do")
            screen.keys("?")
            moved.rename(root.path)
            screen.wait(r"^new .* 50\.0")
            screen.keys("q")
            screen.end()


def test_signals():
    """However it ends, the terminal is as it was; Ctrl-Z lends it to the shell."""
    with Root() as root:
        three_heaps(root)
        for end in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with Screen(root) as screen:
                screen.wait("^default")
                os.kill(screen.pid, end)
                screen.end()
        with Screen(root) as screen:
            screen.wait("^default")
            os.kill(screen.pid, signal.SIGTSTP)
            assert os.WIFSTOPPED(os.waitpid(screen.pid, os.WUNTRACED)[1])
            assert termios.tcgetattr(screen.fd) == screen.before
            os.kill(screen.pid, signal.SIGCONT)
            screen.keys("?")
            screen.wait("what keys do")
            screen.keys("\003")
            screen.end()
        with Screen(root) as screen:
            screen.wait("^default")
            screen.keys("\034")
            screen.end()
        with Screen(root, "-n", "2", "-d", "0.2") as screen:
            screen.end()


def test_nothing_to_show():
    """Before the screen is cleared"""
    with Root() as root:
        with Screen(root, "none") as screen:
            screen.end(1)
            assert "there is no heap 'none'" in screen.output and "\033" not in screen.output
        with Screen(root, "-r", f"{root.path}/none") as screen:
            screen.end(1)
            assert "No such file" in screen.output and "\033" not in screen.output


def test_dumb_terminal():
    with Root() as root:
        three_heaps(root)
        with Screen(root, "-n", "1", TERM="dumb") as screen:
            screen.end()
            assert "\033" not in screen.output and "net rx" in screen.output


def main():
    global PROGRAM, UPDATE
    args = sys.argv[1:]
    if "--update" in args:
        UPDATE = True
        args.remove("--update")
    PROGRAM = os.path.abspath(args[0])
    cases = {name[5:]: function for name, function in globals().items()
             if name.startswith("test_") and inspect.isfunction(function)}
    failed = False
    for name in args[1:] or cases:
        try:
            cases[name]()
            print(f"ok {name}", flush=True)
        except Exception:
            traceback.print_exc(file=sys.stdout)
            print(f"FAIL {name}", flush=True)
            failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
