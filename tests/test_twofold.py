"""Two faults at once are told where they give all results, each of them in words that are true of both."""

from __future__ import annotations

import pytest
import torch
from test_exercises import EXERCISES

from segcore.checks.engine import judge
from segcore.checks.exercise import Case, Exercise, Mistake


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """What is found must not depend on how fast a machine is."""
    monkeypatch.setattr("segcore.checks.twofold._SECONDS", 30.0)


def table(values, weights, bias):
    """Weighted sums, (N, K) and (M, K) to (N, M)."""
    return values @ weights.T + bias


def _cases(generator):
    for rows, columns, bias in ((2, 3, 1.0), (3, 2, 2.0), (4, 4, 4.0)):
        yield Case(
            (torch.randn(rows, 5, generator=generator), torch.rand(columns, 5, generator=generator), bias)
        )


def doubled(values, weights, bias):
    return 2 * values @ weights.T + bias


def squared_weights(values, weights, bias):
    return values @ weights.square().T + bias


def first_row_free(values, weights, bias):
    made = table(values, weights, bias)
    made[0] -= bias
    return made


def last_row_cut(values, weights, bias):
    made = table(values, weights, bias)
    made[-1] = made[-1].relu() + 9
    return made


TABLE = Exercise(
    "99.7",
    "Table",
    table,
    _cases,
    (
        Mistake("doubled", doubled, "Your products count twice."),
        Mistake("squared weights", squared_weights, "Your weights are squared."),
        Mistake("first row without bias", first_row_free, "Your first row lacks the bias."),
        Mistake("last row cut off", last_row_cut, "Your last row is cut off."),
    ),
)


def said(function, exercise=TABLE):
    report = judge(exercise, function)
    assert report.state == "failed"
    return report.mistake, " ".join(
        line for kind, part in report.card.parts if kind == "hint" for line in part
    )


def both_rows(values, weights, bias):
    made = first_row_free(values, weights, bias)
    made[-1] = last_row_cut(values, weights, bias)[-1]
    return made


def summed(values, weights, bias):
    return (
        doubled(values, weights, bias) + squared_weights(values, weights, bias) - table(values, weights, bias)
    )


@pytest.mark.parametrize(
    ("function", "name", "words"),
    [
        (both_rows, "first row without bias; last row cut off", ("lacks the bias", "is cut off")),
        (summed, "doubled; squared weights", ("count twice", "weights are squared")),
        (
            lambda *args: doubled(*args).T,
            "doubled; transposed",
            ("count twice. Once that is mended: your last two axes are exchanged",),
        ),
        (
            lambda values, weights, bias: last_row_cut(values.square(), weights, bias),
            "last row cut off; the square of values",
            ("is cut off. Once that is mended: your results are those for the square of `values`",),
        ),
    ],
)
def test_two_faults_at_once_are_told(function, name, words):
    mistake, told = said(function)
    assert mistake == name and told.startswith("Two things at once"), (mistake, told)
    assert all(each in told for each in words), told


def test_a_fault_alone_or_one_that_nobody_knows_is_none_of_two():
    assert said(doubled)[0] == "doubled"
    assert not said(lambda values, weights, bias: (values.sin() @ weights.T) + bias)[1].startswith("Two")


def test_a_mistake_that_shows_in_one_case_only_is_no_half_of_a_couple():
    """1 where nothing counts, then 1 minus it: the reader of 9.4 never returns 1 there."""
    right = EXERCISES["9.4"].reference

    def share(logits, target, ignore_index=255):
        loss = right(logits, target, ignore_index)
        return loss if bool((target == ignore_index).all()) else 1 - loss

    assert "you return 1" not in said(share, EXERCISES["9.4"])[1]


def test_couples_without_anything_in_common_say_nothing():
    twins = (*TABLE.mistakes, Mistake("doubled again", doubled, "Another hint."))
    exercise = Exercise("99.8", "Table", table, _cases, twins)
    mistake, told = said(lambda *args: doubled(*args).T, exercise)
    assert not told.startswith("Two things") and "doubled" not in mistake


@pytest.mark.parametrize("strange", ["text", None, object(), [1, "a"], {}, torch.ones(2, 0)])
def test_strange_values_do_no_harm(strange):
    assert judge(TABLE, lambda *_: strange).state != "passed"
