"""Predictions: what was said stands beside what came, nothing is marked, and no guess breaks a lab."""

from __future__ import annotations

import pytest
import torch

from segcore.checks import predict
from segcore.checks.predict import Prediction


def card(capsys, prediction, **came):
    assert prediction.compare(**came) is None
    lines = capsys.readouterr().out.splitlines()
    return lines[0], [line.split() for line in lines[2:]]


def test_all_right(capsys):
    head, rows = card(
        capsys, predict("A map", shape=(1, 3, 14, 14), stride=2), shape=(1, 3, 14, 14), stride=2
    )
    assert head == "✓ A map: as you said"
    assert [row[-1] for row in rows] == ["✓", "✓"] and "".join(rows[0][1:5]) == "(1,3,14,14)"


def test_a_shape_of_torch_is_a_tuple(capsys):
    x = torch.zeros(2, 5)
    assert card(capsys, predict("A map", shape=(2, 5)), shape=x.shape)[0].startswith("✓")
    assert card(capsys, predict("A map", shape=[2, 5]), shape=x.shape)[0].startswith("✓")
    head, rows = card(capsys, predict("A map", shape=(5, 2)), shape=x.shape)
    assert head == "○ A map: 0 of 1 as you said" and rows == [["shape", "(5,", "2)", "(2,", "5)"]]


@pytest.mark.parametrize("left", [..., (..., 3), [1, ...], ((1, ...), 2)])
def test_a_guess_that_is_open_is_not_said(capsys, left):
    head, rows = card(capsys, predict("A map", size=left), size=(1, 3))
    assert head == "○ A map: came, and you had not said yet"
    assert rows == [["size", "...", "(1,", "3)"]]


def test_some_said_and_some_right(capsys):
    head, rows = card(capsys, predict("A map", a=1, b=2, c=...), a=1, b=3, c=4)
    assert head == "○ A map: 1 of 3 as you said"
    assert rows == [["a", "1", "1", "✓"], ["b", "2", "3"], ["c", "...", "4"]]


def test_what_is_near_enough(capsys):
    assert card(capsys, predict("A share", within=0.05, x=0.52), x=0.5)[0].startswith("✓")
    assert card(capsys, predict("A share", within=0.05, x=0.62), x=0.5)[0].startswith("○")
    assert card(capsys, predict("A share", x=1.0), x=torch.tensor(1))[0].startswith("✓")


class Odd:
    def __eq__(self, other):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


LOOP: list = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "guess",
    [None, "3", print, Odd(), {"a": 1}, float("nan"), torch.zeros(100, 100), [[1], [2]], 10**400, LOOP],
)
def test_no_guess_breaks_the_lab(capsys, guess):
    head, rows = card(capsys, predict("A map", size=guess), size=3)
    assert head == "○ A map: 0 of 1 as you said" and rows[0][0] == "size" and rows[0][-1] == "3"


def test_names_that_the_reader_changed_count_as_not_said(capsys):
    head, rows = card(capsys, predict("A map", width=3), size=3)
    assert head.endswith("you had not said yet") and rows == [["size", "...", "3"]]


def test_strict_marking_does_not_look_at_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SEGCORE_CHECKS", "strict")
    monkeypatch.setenv("SEGCORE_REPORT", str(tmp_path / "report"))
    monkeypatch.setenv("SEGCORE_PROGRESS", str(tmp_path / "progress"))
    card(capsys, predict("A map", size=2), size=3)
    assert list(tmp_path.iterdir()) == []


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"something to predict.*predict\(\"\.\.\.\", shape"):
        predict("A map")
    with pytest.raises(TypeError, match="the question as a text, got int 3"):
        predict(3, size=2)
    with pytest.raises(ValueError, match="within"):
        predict("A map", within=-1, size=2)
    with pytest.raises(ValueError, match="expected what came, got nothing"):
        predict("A map", size=2).compare()


def test_it_can_be_asked_for_again(capsys):
    prediction = predict("A map", size=2)
    assert isinstance(prediction, Prediction)
    assert card(capsys, prediction, size=2) == card(capsys, prediction, size=2)
