"""Measure segcore beside its peers: ``python -m benchmarks [--write] [NAME...]``."""

from __future__ import annotations

import argparse
import datetime
import importlib
import math
import os
import pkgutil
import re
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from types import ModuleType
from typing import NamedTuple

import torch

import benchmarks
from benchmarks import Case

PAGE = Path(__file__).parents[1] / "book" / "benchmarks.md"
LEAST_SECONDS = 0.02  # a call shorter than this is timed several times over
TOLERANCE = 1e-4  # largest relative difference of two results that count as the same

INTRODUCTION = """\
# Benchmarks

How fast is `segcore` beside the libraries that people use? `make bench` measures it and writes this page.
Both sides compute the same numbers: before the clock starts, the results are checked to agree within 10⁻⁴
of the largest value.

The two run in turn, in the same process, ours first in one round and the peer first in the next. A round
gives one ratio, the peer's time divided by ours: above 1, ours is faster. The tables show the median over
the rounds and, in brackets, the quartiles of the ratio. Each side has run twice before the first round.

The times belong to the machine that they were measured on, and to its load at that moment. The ratio
travels better, but it shifts too: with the processor, its caches, the number of threads and the versions
of the libraries. Where ours is slower, the table says so. Run `make bench` to see your own.
"""


class Result(NamedTuple):
    """Seconds a call takes, and ratios of the peer's time to ours."""

    case: Case
    ours: float
    peer: float
    ratio: float
    quartiles: tuple[float, float]


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Mean time of one call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def check_agreement(case: Case) -> None:
    """A comparison of different results would mean nothing."""
    ours, peer = case.ours(), case.peer()
    difference = float((ours - peer).abs().max() / peer.abs().max())
    if ours.shape != peer.shape or not difference <= TOLERANCE:
        raise SystemExit(f"{case.name}: the results differ by {difference:.1e} of the largest value")


def measure(case: Case, rounds: int) -> Result:
    """Time both sides in turn."""
    check_agreement(case)
    sides = {"ours": case.ours, "peer": case.peer}
    repeats = {side: math.ceil(LEAST_SECONDS / seconds(call, 1)) for side, call in sides.items()}
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for number in range(rounds):
        for side in list(sides)[:: 1 if number % 2 == 0 else -1]:
            times[side].append(seconds(sides[side], repeats[side]))
    ratios = [peer / ours for ours, peer in zip(times["ours"], times["peer"], strict=True)]
    low, middle, high = quantiles(ratios, method="inclusive")
    return Result(case, median(times["ours"]), median(times["peer"]), middle, (low, high))


def row(result: Result) -> str:
    """One line of the table."""
    case, (low, high) = result.case, result.quartiles
    goal = "" if case.goal is None else f"≥ {case.goal:g}: {'met' if result.ratio >= case.goal else 'missed'}"
    ratio = f"{result.ratio:.2f} ({low:.2f} to {high:.2f})"
    cells = [case.name, f"{result.ours * 1e3:.1f}", f"{result.peer * 1e3:.1f}", ratio, case.peer_name, goal]
    return f"| {' | '.join(cells)} |"


def section(module: ModuleType, rounds: int) -> str:
    """Measure a chapter's cases and say how they were measured."""
    rows = [
        "| What | Ours, ms | Peer, ms | Ratio | Peer | Goal |",
        "| --- | ---: | ---: | ---: | --- | --- |",
    ]
    print(f"{module.TITLE}\n{rows[0]}", flush=True)
    for case in module.cases():
        rows.append(row(measure(case, rounds)))
        print(rows[-1], flush=True)
    about = (module.__doc__ or "").partition("\n")[2].strip()
    packages = ", ".join(f"{name} {version(name)}" for name in module.PACKAGES)
    measured = (
        f"Measured on {datetime.date.today():%Y-%m-%d} with {packages}: {torch.get_num_threads()} threads on "
        f"{os.cpu_count()} cores ({torch.backends.cpu.get_cpu_capability()}), {rounds} rounds."
    )
    return "\n\n".join([f"## {module.TITLE}", about, "\n".join(rows), measured]) + "\n"


def write(sections: list[str]) -> None:
    """Put the sections into the page; those of chapters that were not measured now stay."""
    old = (
        re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        if PAGE.exists()
        else []
    )
    by_title = {text.partition("\n")[0]: text.strip() + "\n" for text in old + sections}
    PAGE.write_text(
        "\n".join([INTRODUCTION, *(by_title[title] for title in sorted(by_title))]), encoding="utf-8"
    )


def main() -> None:
    """Measure the chapters that are named, or all."""
    modules = pkgutil.iter_modules(benchmarks.__path__)
    names = sorted(info.name for info in modules if info.name != "__main__" and not info.ispkg)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure segcore beside its peers."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"chapters, all by default: {', '.join(names)}"
    )
    parser.add_argument("--write", action="store_true", help="also write book/benchmarks.md")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each case (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no benchmark of {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.threads < 1 or options.rounds < 3:
        parser.error("expected at least 1 thread and 3 rounds")
    torch.set_num_threads(options.threads)
    chapters = [importlib.import_module(f"benchmarks.{name}") for name in options.names or names]
    sections = [section(chapter, options.rounds) for chapter in chapters]
    if options.write:
        write(sections)


if __name__ == "__main__":
    main()
