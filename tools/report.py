#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes tables of what chaos_bench.ko has logged.

    tools/report.py --out DIR GROUND.log...

Writes DIR/results.csv: every figure of every log. The name of a log is that of
the ground it comes from.
"""

import argparse
import collections
import csv
import pathlib
import re
import statistics
import sys

LINE = re.compile(r"chaos_bench: (\w+): (.*)")
FIGURES = ("mean", "p50", "p99", "p999", "max")


def words_of(text):
    return dict(w.split("=", 1) for w in text.split() if "=" in w)


class Ground:
    """The results of one log: figures[work, peer, size, op][figure]."""

    def __init__(self, path):
        self.name = path.stem
        self.unit = "?"
        self.complete = True
        self.failed = []
        values = collections.defaultdict(lambda: collections.defaultdict(list))
        default = None
        open_runs = 0
        for line in path.read_text(errors="replace").splitlines():
            match = LINE.search(line)
            if not match:
                continue
            kind, words = match[1], words_of(match[2])
            if kind == "begin":
                default = words["default"]
                self.unit = words["unit"]
                self.empty = (words["empty_alloc"], words["empty_free"])
                open_runs += 1
            elif kind == "end":
                open_runs -= 1
            elif kind == "failed":
                self.failed.append(match[2])
            elif kind == "result":
                peer = words["peer"]
                if peer == "default":
                    peer = "chaos_alloc:" + default
                key = (words["work"], peer, int(words["size"]), words["op"])
                for figure in FIGURES:
                    values[key][figure].append(float(words[figure]))
                values[key]["n"].append(int(words["n"]))
        self.complete = open_runs == 0 and default is not None
        # Of repeated runs: the median.
        self.figures = {
            key: {f: statistics.median(v) for f, v in figures.items()}
            for key, figures in values.items()}

    def get(self, work, peer, size, op, figure="mean"):
        return self.figures.get((work, peer, size, op), {}).get(figure)

    def peers(self):
        return list(dict.fromkeys(key[1] for key in self.figures))

    def sizes(self, work):
        return sorted({key[2] for key in self.figures if key[0] == work})


def write_csv(grounds, path):
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("ground", "unit", "work", "peer", "size", "op", "n",
                       *FIGURES))
        for ground in grounds:
            for key, figures in ground.figures.items():
                rows.writerow((ground.name, ground.unit, *key,
                               int(figures["n"]),
                               *(figures[f] for f in FIGURES)))


def print_ground(ground):
    print(f"\n{ground.name}: {ground.unit} of alloc + free, less those of an "
          f"empty call ({' + '.join(ground.empty)})")
    works = list(dict.fromkeys(key[0] for key in ground.figures))
    print(f"{'work':12}{'bytes':>7}  {'peer':22}{'mean':>16}{'p50':>14}"
          f"{'p99':>14}{'p99.9':>14}{'max':>16}")
    for work in works:
        for size in ground.sizes(work):
            for peer in ground.peers():
                alloc = ground.figures.get((work, peer, size, "alloc"))
                free = ground.figures.get((work, peer, size, "free"))
                if not alloc or not free:
                    continue
                cells = [f"{alloc[f]:.0f}+{free[f]:.0f}" for f in FIGURES]
                print(f"{work:12}{size or '':>7}  {peer:22}{cells[0]:>16}"
                      f"{cells[1]:>14}{cells[2]:>14}{cells[3]:>14}"
                      f"{cells[4]:>16}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("logs", nargs="*", type=pathlib.Path)
    args = parser.parse_args()

    grounds = [Ground(log) for log in args.logs]
    if not any(ground.figures for ground in grounds):
        sys.exit("report: no results")
    write_csv(grounds, args.out / "results.csv")
    bad = False
    for ground in grounds:
        print_ground(ground)
        for failure in ground.failed:
            print(f"failed: {failure}")
        if not ground.complete:
            print(f"{ground.name}: the run was cut short")
        bad |= not ground.complete or bool(ground.failed)
    sys.exit(bad)


if __name__ == "__main__":
    main()
