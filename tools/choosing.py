#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Draws the plots of Documentation/choosing.rst, and prints its table.

    tools/choosing.py ICOUNT.log DIR

The log is one of "tools/bench.sh --plots DIR", which runs this. Writes to DIR:

    choosing-sizes.svg   256 blocks of each size
    choosing-tail.svg    random churn: median, p99, p99.9, the most
    choosing-time.svg    random churn: the memory that is held, step by step
    choosing-trace.svg   the same of a real kernel's trace

The engines are measured as the default heap, where the log has that.
"""

import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
import report  # pylint: disable=wrong-import-position

ENGINES = ("mimalloc", "tlsf", "evl")
# Colours that differ in brightness, too
LINES = {
    "live": ("#000000", 0), "kmalloc": ("#d55e00", 5), "mimalloc": ("#0072b2", 7),
    "tlsf": ("#009e73", 9), "evl": ("#cc79a7", 13),
}


class Log:
    """A log, asked by the names that the plots have for peers."""

    def __init__(self, path):
        self.ground = report.Ground(pathlib.Path(path))

    def peer(self, name):
        default = report.DEFAULT + name
        return default if any(k[1] == default for k in self.ground.calls) else name

    def figure(self, work, name, op, figure="mean", size=0):
        return self.ground.calls[work, self.peer(name), size, op][figure]

    def both(self, work, name, size):
        return self.ground.both(work, self.peer(name), size)

    def memory(self, work, name):
        return self.ground.memory[work, self.peer(name)]

    def curve(self, work, name):
        return self.ground.curves[work, self.peer(name)]


# --- plots ---------------------------------------------------------------------

def draw(path, settings, plots):
    """Each plot is (rows, columns and style, name, title)."""
    script = ["set terminal svg size 760,400 font 'sans,13' background 'white'",
              f"set output '{path}'", "set border 3", "set grid ytics lc rgb '#dddddd'",
              "set xtics nomirror", "set ytics nomirror",
              "set key above left horizontal noenhanced samplen 2 width 0", *settings]
    parts = []
    for i, (rows, style, name, title) in enumerate(plots):
        script.append(f"$d{i} << EOD")
        script += [" ".join(map(str, row)) for row in rows]
        script.append("EOD")
        colour, point = LINES[name]
        style = style.replace("POINT", str(point)).replace("COLOUR", f"rgb '{colour}'")
        parts.append(f"$d{i} using {style} "
                     + (f"title '{title}'" if title else "notitle"))
    script.append("plot " + ", ".join(parts))
    subprocess.run(["gnuplot"], input="\n".join(script), text=True, check=True)


def draw_sizes(log, path):
    sizes = log.ground.sizes(log.ground.calls, "batch")
    ticks = ", ".join(f"'{report.size_name(s)}' {s}" for s in sizes[1::2])
    draw(path, ("set logscale xy", f"set xtics ({ticks})", "set yrange [50:3000]",
                f"set xrange [{sizes[0] * 0.7}:{sizes[-1] * 1.4}]",
                "set ytics (50, 100, 200, 500, 1000, 2000)",
                "set ylabel 'instructions, alloc + free'", "set xlabel 'size'"),
         [([(s, log.both("batch", name, s)) for s in sizes],
           "1:2 with linespoints lw 2 pt POINT ps 0.6 lc COLOUR", name, name)
          for name in ("kmalloc", *ENGINES)])


def draw_tail(log, path):
    figures = ("p50", "p99", "p999", "max")
    plots = []
    for place, name in enumerate(("kmalloc", *ENGINES)):
        rows = [(group * 5 + place, log.figure("churn", name, "alloc", figure))
                for group, figure in enumerate(figures)]
        plots.append((rows, "1:2 with boxes fs solid 0.85 noborder lc COLOUR", name, name))
        plots.append(([(x, y, f"{y:.0f}") for x, y in rows],
                      "1:2:3 with labels offset 0,0.6 font ',11' tc COLOUR", name, ""))
    ticks = ", ".join(f"'{n}' {g * 5 + 1.5}"
                      for g, n in enumerate(("median", "p99", "p99.9", "the most")))
    draw(path, ("set logscale y", "set yrange [10:10000]", "set boxwidth 0.9",
                f"set xtics ({ticks}) scale 0", "set xrange [-1:19]",
                "set ylabel 'instructions of an allocation'"), plots)


def draw_memory(log, path, work, xlabel):
    live = log.curve(work, "kmalloc")
    plots = [([(x / 1000, l / report.MIB) for x, l, _ in live], "1:2 with lines lw 2 lc COLOUR",
              "live", "asked for")]
    for name in ("kmalloc", *ENGINES):
        plots.append(([(x / 1000, h / report.MIB) for x, _, h in log.curve(work, name)],
                      "1:2 with lines lw 2 lc COLOUR", name, name))
    draw(path, ("set yrange [0:*]", f"set xrange [0:{live[-1][0] / 1000}]",
                "set ylabel 'MiB held'", f"set xlabel '{xlabel}'"), plots)


# --- the table -----------------------------------------------------------------

def pair(alloc, free):
    return f"{alloc:.0f} + {free:.0f}"


def table_rows(log):
    names = ("kmalloc", *ENGINES)

    def calls(what, work, figure="mean", size=0):
        return [what] + [pair(log.figure(work, n, "alloc", figure, size),
                              log.figure(work, n, "free", figure, size)) for n in names]

    def held(what, work, when):
        memory = [log.memory(work, n) for n in names]
        return [what] + [f"{m[when + '_held'] / m[when + '_live']:.2f}" for m in memory]

    yield calls("64 B, again and again", "pair", size=64)
    yield calls("16 KiB, again and again", "pair", size=16384)
    yield calls("256 blocks of 64 B", "batch", size=64)
    yield calls("256 blocks of 1 KiB", "batch", size=1024)
    yield calls("256 blocks of 64 KiB", "batch", size=65536)
    yield calls("256 blocks of 6 KiB, aligned to 4 KiB", "aligned", size=4096)
    yield calls("random churn: mean", "churn")
    yield calls("random churn: p99", "churn", "p99")
    yield calls("random churn: the most", "churn", "max")
    yield calls("a kernel's trace: mean", "trace")
    yield calls("a kernel's trace: the most", "trace", "max")
    yield held("churn: held / live, all of the time", "churn", "steady")
    yield held("churn: at the end", "churn", "end")
    yield held("trace: at the peak", "trace", "peak")
    yield held("trace: at the end", "trace", "end")
    meta = [log.memory("churn", n)["peak_meta"] for n in names]
    yield ["metadata, of 48 MiB", "none"] + [f"{m / report.MIB:.1f} MiB" for m in meta[1:]]


def print_table(log):
    rows = [["", "``kmalloc``", *(f"``{e}``" for e in ENGINES)], *table_rows(log)]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    rule = "  ".join("=" * w for w in widths)
    rows[0][0] = ".."
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip() for r in rows]
    # Widths, or no figure would be in one line where it is rendered
    print(".. table::\n   :widths: 24 22 18 18 18\n")
    print("\n".join("   " + line for line in [rule, lines[0], rule, *lines[1:], rule]))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    log, out = Log(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(exist_ok=True)
    draw_sizes(log, out / "choosing-sizes.svg")
    draw_tail(log, out / "choosing-tail.svg")
    draw_memory(log, out / "choosing-time.svg", "churn", "thousand steps")
    draw_memory(log, out / "choosing-trace.svg", "trace", "thousand calls")
    print_table(log)


main()
