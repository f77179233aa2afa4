"""What holds for every chapter that stands: its exercises know their mistakes, and references pass."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest
import torch
from cards import NAMES, climb, plain, rungs_of

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
# Every mistake is tried on the cases that a reader gets; every third on those of another seed as well. The
# weekly run tries each on all seeds.
MISTAKES = [(each, mistake) for each in EXERCISES.values() for mistake in each.mistakes]
SEEDED = [
    pytest.param(each, mistake, seed, id=f"{each.id}-{mistake.name}-{seed}")
    for number, (each, mistake) in enumerate(MISTAKES)
    for seed in SEEDS[1:]
    if os.environ.get("SEGCORE_ALL_SEEDS") or number % 6 == 3 * (seed - 1)
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


def assert_caught(exercise, mistake, report, seed):
    raises = report.state == "error" and exercise.id.split(".")[0] in RAISING
    assert report.state == "failed" or raises, report.card
    assert report.mistake == mistake.name, report.card
    assert [part[0] for kind, part in report.card.parts if kind == "hint"] == [mistake.hint]
    assert 0 <= report.passed < report.tried == len(exercise.make_cases(seed))


@pytest.fixture(scope="module", params=MISTAKES, ids=[f"{each.id}-{wrong.name}" for each, wrong in MISTAKES])
def judged(request):
    """A mistake's report on the cases that a reader gets: made once for the tests that read it."""
    exercise, mistake = request.param
    return exercise, mistake, judge(exercise, mistake.function)


def test_each_mistake_is_caught_and_answered_with_its_own_hint(judged):
    assert_caught(*judged, seed=0)


def test_every_known_mistake_has_its_ladder(judged):
    exercise, _, report = judged
    _, text, tree = climb(exercise, report)
    assert rungs_of(report.card) == [2, 3, 4]
    assert [words.split(":")[0].split(",")[0] for _, words in tree.summaries] == [
        NAMES[fold.rung] for fold in report.card.folds
    ]
    depths = [depth for depth, _ in tree.summaries]
    assert depths == list(range(1, len(depths) + 1)), "each rung opens inside the one before"
    lines = text.split("\n")
    for rung, name in {1: "What", **NAMES}.items():
        assert any(line.startswith(f"{rung}. {name}") for line in lines), name
    for parts in (report.card.parts, *(fold.parts for fold in report.card.folds)):
        assert len(" ".join(plain(parts)).split()) <= 160


@pytest.mark.parametrize(("exercise", "mistake", "seed"), SEEDED)
def test_mistakes_are_caught_on_other_cases(exercise, mistake, seed):
    assert_caught(exercise, mistake, judge(exercise, mistake.function, seed), seed)


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


@each_exercise
def test_what_a_session_has_set_does_not_matter(exercise):
    """The reference sees none of it, the reader's function in its thread neither: else right answers fail."""

    def mine(*args, **kwargs):
        return exercise.reference(*args, **kwargs)

    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            report = judge(exercise, mine)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert report.state == "passed", report.card
