"""What holds for every chapter that stands: its exercises know their mistakes, and references pass."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest
import torch

from segcore import checks
from segcore.checks import engine
from segcore.checks.engine import judge

SEEDS = (0, 1, 2)
STANDING = [
    number
    for number, slug in checks.CHAPTERS.items()
    if Path(checks.__file__).with_name(f"{slug}.py").exists()
]
EXERCISES = {each.id: each for number in STANDING for each in checks.exercises(number)}
MISTAKES = [
    pytest.param(each, mistake, id=f"{each.id}-{mistake.name}")
    for each in EXERCISES.values()
    for mistake in each.mistakes
]
# Every mistake on the cases that a reader gets; every third on those of another seed as well. The weekly run
# tries each on all seeds.
SEEDED = [
    pytest.param(*mistake.values, seed, id=f"{mistake.id}-{seed}")
    for number, mistake in enumerate(MISTAKES)
    for seed in SEEDS
    if seed == 0 or os.environ.get("SEGCORE_ALL_SEEDS") or number % 6 == 3 * (seed - 1)
]
# chapters some of whose mistakes end in an error, named all the same
RAISING = {"3", "4", "5", "6", "7", "8", "9", "11", "12", "13"}

each_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


@pytest.fixture(scope="module", autouse=True)
def remembered():
    """The cases of a seed are made once, and each mistake runs on each of them once.

    A check tries one mistake after the other until one explains the results; without this, each would run
    again in the tests of all that follow it.
    """
    make_cases, attempt = cache(checks.Exercise.make_cases), engine._attempt
    results = {}

    def attempt_once(function, case):
        key = function, id(case)  # the cases stay, so their ids do
        if key not in results:
            results[key] = attempt(function, case)
        return results[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks.Exercise, "make_cases", lambda exercise, seed=0: make_cases(exercise, seed))
        patch.setattr(engine, "_attempt", attempt_once)
        yield


def test_there_are_exercises():
    assert {5, 6, 8, 13} <= set(STANDING)


@pytest.mark.parametrize(("exercise", "mistake", "seed"), SEEDED)
def test_each_mistake_is_caught_and_answered_with_its_own_hint(exercise, mistake, seed):
    report = judge(exercise, mistake.function, seed)
    raises = report.state == "error" and exercise.id.split(".")[0] in RAISING
    assert report.state == "failed" or raises, report.card
    assert report.mistake == mistake.name, report.card
    assert [part[0] for kind, part in report.card.parts if kind == "hint"] == [mistake.hint]
    assert 0 <= report.passed < report.tried == len(exercise.make_cases(seed))


@each_exercise
def test_mistakes_are_many_and_told_apart(exercise):
    assert len(exercise.mistakes) >= 4
    names, hints = ([getattr(m, field) for m in exercise.mistakes] for field in ("name", "hint"))
    assert len(set(names)) == len(names) and len(set(hints)) == len(hints)
    for mistake in exercise.mistakes:
        assert 40 <= len(mistake.hint) <= 260, mistake.name
        assert mistake.hint[-1] in ".?", mistake.name


@pytest.mark.parametrize("seed", SEEDS)
@each_exercise
def test_the_reference_passes_and_some_cases_can_be_followed_by_hand(exercise, seed):
    assert judge(exercise, exercise.reference, seed).state == "passed"
    noted = [case for case in exercise.make_cases(seed) if case.note]
    assert len(noted) >= 4 and all(case.note for case in exercise.make_cases(seed)[: len(noted)])
    assert len({case.note for case in noted}) == len(noted)
    for case in noted:
        assert all(value.numel() <= 36 for value in case.args if isinstance(value, torch.Tensor))


@pytest.mark.parametrize("number", STANDING)
def test_the_labs_headings_are_the_exercises_titles(number):
    page = Path(checks.__file__).parents[2] / f"solutions/{number:02d}_{checks.CHAPTERS[number]}.ipynb"
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for exercise in checks.exercises(number):
        assert f"## {exercise.id} {exercise.title}\n" in text
