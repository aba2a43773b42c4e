#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes tables of what chaos_native.ko and user_mimalloc have logged.

    tools/native.py LOG...

A figure is the median over all turns of a turn's median, in nanoseconds of a
call (a pair: of two), less those of an empty one. Behind it is half of the range
that the middle half of the turns lies in.
"""

import collections
import re
import statistics
import sys

LINE = re.compile(r"(chaos_native|user_mimalloc): (begin|result|failed|end): (.*)")


class Log:
    """What one kernel has measured: samples[cpus, work, size, peer, op]."""

    def __init__(self, path):
        self.samples = collections.defaultdict(list)
        self.bad = []
        ended = False
        with open(path, errors="replace") as lines:
            for line in lines:
                match = LINE.search(line)
                if match:
                    ended |= self.take(*match.groups())
        if not ended:
            self.bad.append("the run was cut short")

    def take(self, who, kind, text):
        words = dict(w.split("=", 1) for w in text.split() if "=" in w)
        if kind == "result":
            key = (int(words["cpus"]), words["work"], int(words["size"]),
                   words["peer"], words["op"])
            self.samples[key].append(float(words["p50"]))
        elif kind == "failed":
            self.bad.append(text)
        return kind == "end" and who == "chaos_native"

    def keys(self, index):
        return list(dict.fromkeys(key[index] for key in self.samples))

    def op(self, cpus, work, size, peer, op):
        return self.samples.get((cpus, work, size, peer, op))

    def cost(self, cpus, work, size, peer):
        """Medians of a pair of calls, of each turn."""
        pair = self.op(cpus, work, size, peer, "pair")
        if pair:
            return pair
        alloc = self.op(cpus, work, size, peer, "alloc")
        free = self.op(cpus, work, size, peer, "free")
        return [a + f for a, f in zip(alloc or [], free or [])]


def text_of(values):
    if not values:
        return "-"
    if len(values) < 4:
        return f"{statistics.median(values):.1f}"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{statistics.median(values):.1f} ±{(high - low) / 2:.1f}"


def ratio(values, others):
    if not values or not others or not statistics.median(others):
        return "-"
    return f"{statistics.median(values) / statistics.median(others):.2f}"


def row(cells):
    print("".join(f"{c:>13}" if i > 1 else f"{c:<12}" if i == 0 else f"{c:>7}"
                  for i, c in enumerate(cells)))


def print_costs(log, cpus, works):
    peers = [p for p in log.keys(3) if "empty" not in p]
    user = "user-mimalloc" in peers and cpus == 1
    if cpus > 1 and "user-mimalloc" in peers:
        peers.remove("user-mimalloc")
    print(f"\n{cpus} CPU{'s' if cpus > 1 else ''}: nanoseconds of alloc + free")
    row(["work", "bytes", *peers, "of kmalloc", *(["of user"] if user else [])])
    for work in works:
        sizes = sorted({k[2] for k in log.samples
                        if k[:2] == (cpus, work) and "user" not in k[3]})
        for size in sizes:
            cost = {p: log.cost(cpus, work, size, p) for p in peers}
            cells = [text_of(cost[p]) for p in peers]
            cells.append(ratio(cost["default"], cost["kmalloc"]))
            if user:
                cells.append(ratio(cost["default"], cost["user-mimalloc"]))
            row([work, size or "", *cells])


def print_scaling(log, works):
    peers = [p for p in log.keys(3) if "empty" not in p and "user" not in p]
    print("\nThroughput of 2 CPUs, that of 1 CPU being 1")
    row(["work", "bytes", *peers])
    for work in works:
        for size in sorted({k[2] for k in log.samples if k[:2] == (2, work)}):
            cells = []
            for peer in peers:
                one, two = (log.cost(n, work, size, peer) for n in (1, 2))
                cells.append(ratio([2 * x for x in one], two))
            row([work, size or "", *cells])


def print_handover(log):
    peers = [p for p in log.keys(3) if "empty" not in p and "user" not in p]
    print("\nHand-over: nanoseconds of alloc | free, each on its CPU; and the "
          "throughput, kmalloc's being 1")
    row(["", "bytes", *peers])
    for size in sorted({k[2] for k in log.samples if k[1] == "handover"}):
        slower = {}
        cells = []
        for peer in peers:
            alloc, free = (log.op(2, "handover", size, peer, op)
                           for op in ("alloc", "free"))
            if not alloc or not free:
                cells.append("-")
                continue
            cells.append(f"{statistics.median(alloc):.0f} | "
                         f"{statistics.median(free):.0f}")
            slower[peer] = [max(a, f) for a, f in zip(alloc, free)]
        row(["handover", size, *cells])
        row(["", "", *(ratio(slower.get("kmalloc"), slower.get(p))
                       for p in peers)])


def main():
    bad = []
    for path in sys.argv[1:]:
        log = Log(path)
        works = [w for w in log.keys(1) if w != "handover"]
        print(f"\n=== {path}")
        if log.samples:
            for cpus in log.keys(0):
                print_costs(log, cpus, works)
            if len(log.keys(0)) > 1:
                print_scaling(log, works)
                print_handover(log)
        for problem in log.bad:
            print(f"failed: {problem}")
        bad += log.bad
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
