"""The tool that runs the labs which `variant` writes: what it calls a fault."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import own_labs

from segcore.checks.variants.handing import own_ids

ID = own_ids(13, "ann")["13.2"]
RIGHT = f"""
from segcore.checks import check, exercise
bilinear_sample = exercise("{ID}").reference
bilinear_sample = check("{ID}", bilinear_sample)
"""
STUB = f"""
from segcore.checks import check
def bilinear_sample(feature, points):
    raise NotImplementedError
bilinear_sample = check("{ID}", bilinear_sample)
"""


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("SEGCORE_PROGRESS", "off")


def lab(*cells, ids=(ID,)):
    made = [SimpleNamespace(cell_type="code", source=text) for text in cells]
    return SimpleNamespace(cells=made, metadata={"course": {"exercises": [{"id": each} for each in ids]}})


def test_a_lab_that_runs_through_has_no_fault():
    assert own_labs.faults(lab(RIGHT, "bilinear_sample"), answers=True) == []
    assert own_labs.faults(lab(STUB, "bilinear_sample"), answers=False) == []


@pytest.mark.parametrize(
    ("notebook", "answers", "words"),
    [
        (lab(STUB), True, [f"{ID} is not attempted, expected passed"]),
        (lab(RIGHT), False, [f"{ID} is passed, expected not attempted"]),
        (lab(RIGHT, "1 / 0", "x = 1"), True, ["cell 2: ZeroDivisionError: division by zero"]),
        (lab(RIGHT, ids=[ID, "13.4"]), True, ["13.4 is not reached, expected passed"]),
        (lab(RIGHT, ids=[]), True, [f"checked, but not in the lab's list: {ID}"]),
    ],
)
def test_each_fault_is_named(notebook, answers, words):
    assert own_labs.faults(notebook, answers=answers) == words


def test_a_chapter_that_is_none_ends_the_tool_with_words(capsys):
    assert own_labs.main(["19", "--unsolved"]) == 1
    assert "there is no chapter '19'" in capsys.readouterr().out
