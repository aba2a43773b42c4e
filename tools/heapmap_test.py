#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of tools/heapmap: what it draws is read back, cell by cell.

Prints "ok CASE" or "FAIL CASE" for each function test_CASE; fails if any does.
"""

import importlib.machinery
import importlib.util
import inspect
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree as ElementTree

TOOL = pathlib.Path(__file__).resolve().parent / "heapmap"
SVG = "{http://www.w3.org/2000/svg}"

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("heapmap", str(TOOL))
heapmap = importlib.util.module_from_spec(importlib.util.spec_from_loader("heapmap", loader))
loader.exec_module(heapmap)

PAINTS = {heapmap.paint(i): i for i in range(heapmap.LEVEL_UNUSABLE + 1)}


def random_cells(rng, n):
    """Some of each kind, in runs"""
    cells = []
    while len(cells) < n:
        cell = rng.choice((0, 255, -1, rng.randrange(1, 255), 1, 254))
        cells += [cell] * rng.choice((1, 1, 2, 7, 70))
    return cells[:n]


def map_text(pools):
    """pools is a list of (granule, cells)"""
    lines = []
    for index, (granule, cells) in enumerate(pools):
        lines.append(f"pool {index} {len(cells) * granule} {granule}")
        words = ["--" if c < 0 else f"{c:02x}" for c in cells]
        lines += ["".join(words[i:i + 64]) for i in range(0, len(words), 64)]
    return "\n".join(lines) + "\n"


def painted(group):
    """The cells that the paths of a group paint: level by (row, column)"""
    cells = {}
    for path in group.findall(f"{SVG}path"):
        level = PAINTS[path.get("stroke")]
        x, y = 0.0, 0.0
        data = path.get("d")
        assert re.fullmatch(r"(m-?[\d.]+[ -][\d.]+h\d+)+", data), data[:80]
        for dx, dy, length in re.findall(r"m(-?[\d.]+) ?(-?[\d.]+)h(\d+)", data):
            x += float(dx)
            y += float(dy)
            assert y % 1 == 0.5 and x % 1 == 0, (x, y)
            for column in range(int(x), int(x) + int(length)):
                key = (int(y), column)
                assert key not in cells, f"cell {key} is painted twice"
                cells[key] = level
            x += int(length)
    return cells


def groups(element):
    """Those with cells, in order"""
    return [g for g in element.iter(f"{SVG}g") if "scale" in (g.get("transform") or "")]


def check_pool(group, cells, columns):
    got = painted(group)
    assert len(got) == len(cells), f"{len(got)} cells of {len(cells)}"
    for at, cell in enumerate(cells):
        wanted = heapmap.level(cell)
        assert got[at // columns, at % columns] == wanted, f"cell {at} is {cell}"


def draw(*args, text=None):
    result = subprocess.run([TOOL, *map(str, args)], input=text, capture_output=True, text=True,
                            check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refuse(text, words):
    result = subprocess.run([TOOL, "-"], input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and not result.stdout, f"{text[:40]!r} was taken"
    assert words in result.stderr and "Traceback" not in result.stderr, result.stderr


def words_of(svg):
    return "\n".join(t.text for t in svg.iter(f"{SVG}text"))


def test_levels():
    """Only empty is empty, only full is full, and what is fuller is darker."""
    levels = [heapmap.level(c) for c in range(256)]
    assert levels == sorted(levels)
    assert levels.count(0) == 1 and levels.count(heapmap.LEVEL_FULL) == 1
    assert set(levels) == set(range(heapmap.LEVEL_FULL + 1))
    assert heapmap.level(-1) == heapmap.LEVEL_UNUSABLE
    assert heapmap.level(0.1) == 1 and heapmap.level(254.9) == heapmap.LEVEL_FULL - 1

    def grey(colour):
        r, g, b = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    greys = [grey(c) for c in heapmap.COLOURS]
    assert all(a > b + 8 for a, b in zip(greys, greys[1:])), greys


def test_every_cell():
    rng = random.Random(1)
    for sizes in ((1,), (63, 64, 65), (256, 100), (3000,), (5000, 12000)):
        pools = [(4096, random_cells(rng, n)) for n in sizes]
        svg = ElementTree.fromstring(draw("-", text=map_text(pools)))
        columns, _ = heapmap.grid_for(sum(sizes))
        found = groups(svg)
        assert len(found) == len(sizes)
        for group, (_, cells) in zip(found, pools):
            check_pool(group, cells, columns)


def test_figures():
    """1 full, 2 a quarter full, 3 empty of which 2 in one piece, 1 not usable"""
    text = "pool 0 28672 4096\nff404000--0000\n"
    words = words_of(ElementTree.fromstring(draw("-", "--title", "<a&b>\033", text=text)))
    for wanted in ("21.5 % of 28 KiB in use; granules: 1 full, 2 partly full, 3 empty, "
                   "1 not usable", "free: 12 KiB in empty granules, 8 KiB of them in one piece; "
                   "6 KiB within partly full ones", "<a&b>?",
                   "pool 0: 28 KiB in granules of 4 KiB"):
        assert wanted in words, words


def test_coarse():
    """The mean of what is usable"""
    pool = heapmap.Pool(0, 8 * 4096, 4096, (0, 255, -1, 100, -1, -1, 0, 0))
    assert pool.coarse(8192).cells == [127.5, 100, -1, 0]
    assert pool.coarse(4096) is pool


def test_malformed():
    refuse("", "there is no pool")
    refuse("00ff\n", "stdin:1: it begins without a pool")
    refuse("pool 0 8192\n00ff\n", "stdin:1")
    refuse("pool 0 8192 0\n", "no granule")
    refuse("pool 0 8192 4095\n", "no granule")
    refuse("pool 0 8192 4096\n00\n", "pool 0 has 1 cells of 2")
    refuse("pool 0 8192 4096\n0\n", "stdin:2: '0' is no cell")
    refuse("pool 0 8192 4096\n00FF\n", "'FF' is no cell")
    refuse("pool 0 8192 4096\n00 ff\n", "is no cell")
    refuse("pool 0 8192 4096\n" + "00" * 100 + "\n", "more cells than bytes")
    refuse("pool 0 8192 4096\n\0\0ff\n", "is no cell")


def series(directory):
    """Two heaps with different granules and numbers of pools; returns their cells."""
    rng = random.Random(5)
    all_cells = {}
    for name, granule in (("tlsf", 4096), ("mimalloc", 16384)):
        for n in range(1, 6):
            pools = [(granule, random_cells(rng, (1 << 20) // granule)) for _ in range(1 + n // 2)]
            path = directory / name / f"{n * 1000 - 1:08d}"
            path.mkdir(parents=True)
            (path / "map").write_text(map_text(pools))
            (path / "stats").write_text(f"name a b\nlive_bytes {n * 65536}\n")
            all_cells[name, n] = [heapmap.Pool(0, 0, granule, c).coarse(16384).cells
                                  for _, c in pools]
    return all_cells


def check_heap(found, pools, columns):
    for cells in pools:
        check_pool(found.pop(0), cells, columns)


def test_montage():
    directory = pathlib.Path(tempfile.mkdtemp())
    try:
        cells = series(directory)
        svg = ElementTree.fromstring(draw("--montage", directory, "-n", "3"))
        found = groups(svg)
        columns = heapmap.Series(directory).columns
        for name in ("mimalloc", "tlsf"):
            for n in (2, 3, 5):
                check_heap(found, cells[name, n], columns)
        assert not found
        words = words_of(svg)
        for wanted in ("after 2,000 events", "after 3,000 events", "after 5,000 events",
                       "mimalloc", "tlsf", "each cell: 16 KiB", "6.2 % of 2 MiB live"):
            assert wanted in words, words
    finally:
        shutil.rmtree(directory)


def test_animation():
    directory = pathlib.Path(tempfile.mkdtemp())
    try:
        cells = series(directory)
        svg = ElementTree.fromstring(draw("--animate", directory))
        style = svg.find(f"{SVG}style").text
        columns = heapmap.Series(directory).columns
        frames = [g for g in svg.iter(f"{SVG}g") if g.get("class") == "f"]
        assert len(frames) == 5
        for n, frame in enumerate(frames, 1):
            found = groups(frame)
            for name in ("mimalloc", "tlsf"):
                check_heap(found, cells[name, n], columns)
            assert not found
            assert f"after {n * 1000:,} events" in words_of(frame)
            assert f"#{frame.get('id')}{{animation-name:k{n - 1}}}" in style
            assert f"@keyframes k{n - 1}{{" in style
        # At any time, one of them is seen: where one goes the next one comes.
        shown = [float(t) for t in re.findall(r"([\d.]+)%{visibility:visible}", style)]
        hidden = [float(t) for t in re.findall(r"([\d.]+)%{visibility:hidden}", style) if float(t)]
        assert shown[0] == 0 and shown[1:] == hidden and shown == sorted(shown), style
    finally:
        shutil.rmtree(directory)


def test_not_the_same_moments():
    directory = pathlib.Path(tempfile.mkdtemp())
    try:
        series(directory)
        shutil.rmtree(directory / "tlsf" / "00002999")
        result = subprocess.run([TOOL, "--animate", directory], capture_output=True, text=True,
                                check=False)
        assert result.returncode == 1 and "not at the same moments" in result.stderr, result
    finally:
        shutil.rmtree(directory)


def main():
    failed = False
    for name, function in list(globals().items()):
        if not name.startswith("test_") or not inspect.isfunction(function):
            continue
        try:
            function()
            print(f"ok {name[5:]}", flush=True)
        except Exception:
            traceback.print_exc(file=sys.stdout)
            print(f"FAIL {name[5:]}", flush=True)
            failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
