"""Runs the labs that `segcore variant` writes, top to bottom: ``python tools/own_labs.py [CHAPTER ...]``.

Each chapter's lab is written for a student and run twice, in a process of its own: unsolved, where every
check must find its exercise not attempted, and with the answers, where every check must pass. The unsolved
lab is hurried (``SEGCORE_STEPS=0.02``); the solved one trains to the end, for its last cells assert what
comes out. All eighteen take about as long as the solved labs do, so the weekly workflow runs this.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KINDS = {False: "not attempted", True: "passed"}
HURRY = "0.02"


def run(notebook: Any) -> tuple[dict[str, str], str]:
    """Run a lab's cells in this process: the state of each exercise that was checked, and what went wrong."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from segcore.checks import engine

    states: dict[str, str] = {}
    judge, show = engine.judge, plt.show

    def judged(exercise: Any, *args: Any, **kwargs: Any) -> Any:
        report = judge(exercise, *args, **kwargs)
        states[exercise.id] = report.state
        return report

    space: dict[str, Any] = {"__name__": "lab"}
    engine.judge, plt.show = judged, lambda *args, **kwargs: plt.close("all")
    try:
        for number, cell in enumerate(notebook.cells, 1):
            if cell.cell_type == "code":
                try:
                    exec(compile(cell.source, f"<cell {number}>", "exec"), space)
                except Exception as error:
                    return states, f"cell {number}: {type(error).__name__}: {error}"
    finally:
        engine.judge, plt.show = judge, show
    return states, ""


def faults(notebook: Any, *, answers: bool) -> list[str]:
    """What is wrong with a lab; empty where it runs through and all its checks say what they should."""
    states, error = run(notebook)
    wanted = [each["id"] for each in notebook.metadata["course"]["exercises"]]
    found = [error] if error else []
    for each in wanted:
        state = states.get(each, "not reached")
        if state != KINDS[answers]:
            found.append(f"{each} is {state}, expected {KINDS[answers]}")
    if strange := states.keys() - set(wanted):
        found.append(f"checked, but not in the lab's list: {', '.join(sorted(strange))}")
    return found


def _one(chapter: str, student: str, answers: bool) -> list[str]:
    """Run one lab in a process of its own."""
    environment = {**os.environ, "SEGCORE_PROGRESS": "off", "SEGCORE_CHECKS": "", "TQDM_DISABLE": "1"}
    environment |= {"SEGCORE_STATIC": "1", "MPLBACKEND": "agg", "SEGCORE_STEPS": "1" if answers else HURRY}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    words = [sys.executable, __file__, chapter, "--student", student, "--inside"]
    done = subprocess.run(
        words + ["--answers"] * answers, env=environment, capture_output=True, text=True, cwd=ROOT
    )
    try:
        return list(json.loads(done.stdout.strip().split("\n")[-1]))
    except ValueError:
        return [f"the process ended with {done.returncode}: {done.stderr.strip()[-300:]}"]


def main(words: list[str] | None = None) -> int:
    """Run the labs of the chapters that are named, or of all."""
    parser = argparse.ArgumentParser(prog="python tools/own_labs.py", description=__doc__)
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="all where none is named")
    parser.add_argument("--student", default="s1234567", metavar="ID")
    parser.add_argument("--answers", action="store_true", help="only the solved labs")
    parser.add_argument("--unsolved", action="store_true", help="only the unsolved labs")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    from segcore.checks import CHAPTERS
    from segcore.checks.variants import handing

    if asked.inside:
        notebook = handing.lab_of(asked.chapters[0], asked.student, answers=asked.answers)
        print("\n" + json.dumps(faults(notebook, answers=asked.answers)))
        return 0
    wrong = 0
    for chapter in asked.chapters or map(str, CHAPTERS):
        for answers in (False, True):
            if asked.unsolved if answers else asked.answers:
                continue
            begun = time.monotonic()
            found = _one(chapter, asked.student, answers)
            wrong += bool(found)
            seconds = time.monotonic() - begun
            kind = "solved" if answers else "unsolved"
            print(f"{chapter:>2} {kind:8} {seconds:4.0f} s  {'; '.join(found) or 'runs through'}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
