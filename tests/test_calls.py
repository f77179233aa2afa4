"""Hints for whole families of mistakes: what is said of an argument or of all numbers holds in every case."""

from __future__ import annotations

import time
from functools import partial

import pytest
import torch
from test_exercises import EXERCISES
from torch import Tensor

from segcore.checks.engine import judge
from segcore.checks.exercise import Case, Exercise, Mistake
from segcore.checks.rules import rule


def blend(one: Tensor, other: Tensor, share: float, weights: tuple[float, float], steps: int) -> Tensor:
    """A function with arguments of all kinds, (2, H, W) and (2, H, W) to (2, H, W)."""
    mixed = weights[0] * one * share + weights[1] * other * (1 - share) ** 2
    return mixed * torch.tensor([1.0, 3.0])[:, None, None] + steps


def blend_cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for size, share, weights, steps in (
        ((2, 3), 0.25, (1.0, 2.0), 1),
        ((3, 2), 0.5, (3.0, 1.0), 2),
        ((4, 4), 0.75, (2.0, 5.0), 4),
    ):
        maps = torch.randn(2, 2, *size, generator=generator)
        cases.append(Case((maps[0], maps[1], share, weights, steps)))
    return cases


FAR_OFF = Mistake("far off", lambda *args: torch.zeros(()), "This mistake explains none of the results here.")
BLEND = Exercise("0.1", "Blend", blend, blend_cases, (FAR_OFF,))


def said(function, exercise=BLEND) -> tuple[str, str]:
    report = judge(exercise, function)
    assert report.state == "failed", report.card
    return report.mistake, " ".join(
        line for kind, lines in report.card.parts if kind == "hint" for line in lines
    )


def read_as_rows(maps: Tensor) -> Tensor:
    """(2, H, W) taken for (H, W, 2), as one does who reshapes where axes should move."""
    return maps.reshape(*maps.shape[1:], 2).movedim(-1, 0)


@pytest.mark.parametrize(
    ("function", "name", "words"),
    [
        (lambda a, b, s, w, n: blend(a, b, 0.5, w, n), "share ignored", "share = 0.5, whatever"),
        (lambda a, b, s, w, n: blend(b, a, s, w, n), "one and other exchanged", "change places"),
        (lambda a, b, s, w, n: blend(a, a, s, w, n), "one for other", "in the place of `other`"),
        (lambda a, b, s, w, n: blend(a, b, s, w[::-1], n), "weights reversed", "reverse order"),
        (lambda a, b, s, w, n: blend(a, b, s, (w[0], w[0]), n), "weights[0] for all", "all places"),
        (lambda a, b, s, w, n: blend(a, b, s, w, n - 1), "steps one smaller", "one smaller"),
        (lambda a, b, s, w, n: blend(torch.zeros_like(a), b, s, w, n), "one taken for 0", "0 everywhere"),
        (lambda a, b, s, w, n: blend(a, b.relu(), s, w, n), "other without what is below 0", "below 0"),
        (lambda a, b, s, w, n: blend(a[[1, 1]], b, s, w, n), "one [1] for all", "holds one[1]"),
        (lambda a, b, s, w, n: blend(a.flip(2), b, s, w, n), "one flipped along axis 2", "backwards"),
        (lambda a, b, s, w, n: blend(a, b, s * s, w, n), "the square of share", "the square of `share`"),
        (lambda a, b, s, w, n: blend(a + 0.5, b, s, w, n), "one plus one half", "`one` plus one half"),
        (
            lambda a, b, s, w, n: blend(read_as_rows(a), b, s, w, n),
            "one reshaped",
            "permute and movedim move",
        ),
    ],
)
def test_an_argument_that_is_not_used_as_it_is_given(function, name, words):
    mistake, hint = said(function)
    assert mistake == name and words in hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value * value.shape[1], "too large by a factor"),
        (lambda value: value / value.shape[2], "too small by a factor"),
        (lambda value: -value, "but for their sign"),
        (lambda value: 1 - value, "1 minus what is expected"),
        (lambda value: 2 * value, "2 times the expected"),
        (lambda value: value.relu(), "yours is 0"),
        (lambda value: value.round(decimals=1), "rounded"),
        (lambda value: value.mean(0), "mean along axis 0"),
        (lambda value: value.amax(2), "largest along axis 2"),
        (lambda value: value.permute(2, 0, 1), "another order"),
        (lambda value: value.flatten(1), "only the shape"),
        (lambda value: value.permute(1, 2, 0).reshape(value.shape), "in the order of other axes"),
    ],
)
def test_one_rule_for_all_numbers(change, words):
    assert words in said(lambda *args: change(blend(*args)))[1]


def slopes(points: Tensor) -> Tensor:
    """How steep the way from the origin to each of (N, 2) points is."""
    return points[:, 1] / points[:, 0]


def slope_cases(generator: torch.Generator) -> list[Case]:
    return [Case((torch.rand(count, 2, generator=generator) + 1,)) for count in (2, 3, 5)]


def test_points_and_boxes_may_have_x_and_y_exchanged():
    exercise = Exercise("0.2", "Slopes", slopes, slope_cases, (FAR_OFF,))
    name, told = said(lambda points: points[:, 0] / points[:, 1], exercise)
    assert name == "points flipped along axis 1", "of two numbers, this is the same"
    sizes = (2, 3, 5)
    boxes = Exercise("0.3", "Boxes", lambda boxes: boxes[:, 2] / boxes[:, 1] + boxes[:, 0],
                     lambda generator: [Case((torch.rand(n, 4, generator=generator) + 1,)) for n in sizes],
                     (FAR_OFF,))  # fmt: skip
    name, told = said(lambda boxes: boxes[:, 3] / boxes[:, 0] + boxes[:, 1], boxes)
    assert name == "boxes with x and y exchanged" and "x and y change places" in told


def test_a_single_number_is_too_little_for_a_half_or_a_square():
    exercise = Exercise(
        "0.4", "One", lambda x: (x * 2 + 1).sum(), lambda _: [Case((torch.ones(2),))], (FAR_OFF,)
    )
    assert said(lambda x: (x * 2).sum(), exercise)[0] == ""


def test_what_holds_in_some_cases_only_is_not_said():
    """One case that does not fit is enough."""

    def sometimes(a, b, s, w, n):
        return blend(a, b, s, w, n) if n == 4 else 2 * blend(b, a, s, w, n)

    mistake, hint = said(sometimes)
    assert mistake == "" and "change places" not in hint and "times" not in hint
    pairs = [(torch.arange(4.0) + k, (torch.arange(4.0) + k) * (2 + k)) for k in range(3)]
    assert rule(pairs, [{"count": 2 + k} for k in range(3)], 1e-5) is not None
    assert rule(pairs, [{"count": 3 + k} for k in range(3)], 1e-5) is None


def test_right_numbers_of_another_type_are_no_rule():
    report = judge(BLEND, lambda *args: blend(*args).double())
    assert report.kind == "dtype" and report.mistake == ""


@pytest.mark.parametrize(
    ("exercise", "change", "words"),
    [
        ("11.2", lambda run, x, p, a, r, w: run(x, p, a, list(r)[::-1], w), "`rates` in reverse"),
        ("11.2", lambda run, x, p, a, r, w: run(x, w, a, r, p), "`point` and `whole`"),
        ("6.1", lambda run, kernel, d: run(kernel, 2), "dilation = 2"),
        ("14.2", lambda run, z, t, labels: run(z, t, labels) / z.shape[1], "axis 1 of `logits`"),
        ("7.1", lambda run, f, s: run(f, s).permute(0, 2, 3, 1), "another order"),
        ("18.2", lambda run, ab, *rest: run(ab - 0.5, *rest), "`ab` less one half"),
    ],
)
def test_in_the_course(exercise, change, words):
    found = EXERCISES[exercise]
    assert words in said(partial(change, found.reference), found)[1]


def test_a_result_that_is_flat_is_no_sign_of_a_mistake():
    """All zeros come of many faults: 2.4's frame is not blamed for them."""
    _, hint = said(lambda mask, depth: torch.zeros_like(mask, dtype=torch.int64), EXERCISES["2.4"])
    assert "This may be it" not in hint and "Perhaps" not in hint


def test_a_reference_that_never_ends_with_other_arguments_holds_up_nothing():
    """The room once tried a number one smaller, and a loop that counts to it filled the memory."""

    def count_down(number: int, step: int) -> Tensor:
        passed = []
        while number != 0:
            passed.append(number)
            number -= step
        return torch.tensor(passed)

    cases = [Case((4, 2)), Case((6, 2)), Case((12, 2))]
    endless = Exercise("0.2", "Count", count_down, lambda generator: cases, (FAR_OFF,))
    begin = time.process_time()
    assert said(lambda number, step: torch.tensor([7, 7]), endless)[0] == ""
    assert time.process_time() - begin < 10
