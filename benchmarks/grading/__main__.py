"""Grade a class that is made by planting known mistakes into the solved labs.

``python -m benchmarks.grading [--hand-ins 200] [--jobs N] [--seed 0] [CHAPTER...]`` prints how long it took
and how many of the planted mistakes were named. With ``--keep FOLDER`` hand-ins and results stay there.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.grading.plant import planted
from segcore.checks import CHAPTERS, exercises
from segcore.grading.collecting import find
from segcore.grading.grader import Grader, Options, grade
from segcore.grading.journal import Journal
from segcore.grading.packing import CannotTravel

SOLUTIONS = Path(__file__).parents[2] / "solutions"
WRONG = 0.4  # of the exercises get a mistake


def hand_in(chapter: int, draw: random.Random) -> tuple[dict[str, Any], dict[str, str]]:
    """A solved lab with mistakes; and which exercise has which."""
    slug = f"{chapter:02d}_{CHAPTERS[chapter]}"
    notebook = json.loads((SOLUTIONS / f"{slug}.ipynb").read_text(encoding="utf-8"))
    wrong: dict[str, str] = {}
    for each in exercises(chapter):
        if draw.random() > WRONG and wrong:
            continue
        for mistake in draw.sample(each.mistakes, len(each.mistakes)):
            try:
                text = planted(mistake.function, each.name)
            except CannotTravel:
                continue
            cells = notebook["cells"]
            place = next(i for i, cell in enumerate(cells) if f'check("{each.id}"' in "".join(cell["source"]))
            made = {
                "cell_type": "code",
                "metadata": {},
                "source": text,
                "outputs": [],
                "execution_count": None,
            }
            cells.insert(place, made)
            wrong[each.id] = mistake.name
            break
    return notebook, wrong


def main() -> int:
    """Make the class, grade it, count."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grading", description=__doc__)
    parser.add_argument("chapters", nargs="*", type=int, metavar="CHAPTER", help="all by default")
    parser.add_argument("--hand-ins", type=int, default=200, metavar="N")
    parser.add_argument("--jobs", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--keep", metavar="FOLDER")
    options = parser.parse_args()
    chapters = options.chapters or [int(number) for number in CHAPTERS]
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        room = Path(options.keep or temporary)
        wanted = {}
        for number in range(options.hand_ins):
            notebook, wrong = hand_in(chapters[number % len(chapters)], draw)
            path = room / "class" / f"student {number:03d}" / "lab.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(notebook), encoding="utf-8")
            wanted[path.parent.name] = wrong
        found, _ = find([room / "class"], room)
        started = time.perf_counter()
        with Grader(Options(jobs=options.jobs, hidden=[str(room)])) as grader:
            grader.start()
            ready = time.perf_counter()
            sheets = grade(found, grader, Journal(room / "results"))
        ended = time.perf_counter()
    named, other, passed, spoilt = count(sheets, wanted)
    every = sum(len(each) for each in wanted.values())
    print(
        f"{len(sheets)} hand-ins in {ended - started:.0f} s, {ready - started:.0f} s of them to begin: ",
        end="",
    )
    print(f"{(ended - ready) / max(1, len(sheets)):.2f} s each")
    print(f"{every} planted mistakes: {named} named, {len(other)} told otherwise, {len(passed)} passed")
    for line in [*other, *passed, *spoilt]:
        print(f"  {line}")
    return 1 if passed or spoilt else 0


def count(
    sheets: list[Any], wanted: dict[str, dict[str, str]]
) -> tuple[int, list[str], list[str], list[str]]:
    """Named mistakes; those told otherwise, those passed, and right answers that did not pass, in words."""
    named, other, passed, spoilt = 0, [], [], []
    for sheet in sheets:
        for each in sheet.results:
            mistake = wanted[sheet.student].get(each.exercise)
            words = f"{sheet.student}, {each.exercise}, {mistake or 'right'}: {each.state} ({each.reason})"
            if mistake is None:
                spoilt += [] if each.state == "passed" else [words]
            elif each.state == "passed":
                passed.append(words)
            elif each.mistake.removesuffix(" (perhaps)") == mistake:
                named += 1
            else:
                other.append(words)
    return named, other, passed, spoilt


if __name__ == "__main__":
    sys.exit(main())
