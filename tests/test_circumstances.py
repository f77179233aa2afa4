"""What sets failing cases apart, and which axis is too many: facts about all cases, or silence."""

from __future__ import annotations

import torch

from segcore.checks.engine import judge
from segcore.checks.exercise import Case, Exercise


def smooth(values, stride, weights):
    """Weighted rows, every so many of them."""
    return (values * weights.sin()).cumsum(0)[::stride].sum(1)


def _cases(generator):
    for rows, columns, stride in ((4, 3, 1), (5, 2, 2), (6, 6, 1), (7, 3, 2), (8, 8, 3)):
        values = torch.randn(rows, columns, generator=generator)
        yield Case((values, stride, torch.rand(columns, generator=generator) + 1))


SMOOTH = Exercise("99.9", "Smooth", smooth, _cases, ())


def said(function, exercise=SMOOTH):
    report = judge(exercise, function)
    assert report.state == "failed" and report.mistake == ""
    return " ".join(line for kind, part in report.card.parts if kind == "hint" for line in part)


def test_the_one_circumstance_of_all_failures_is_named():
    def wrong(values, stride, weights):
        made = smooth(values, stride, weights)
        return made if values.shape[0] != values.shape[1] else made.cos().cumsum(0)

    assert "the last two axes of `values` have one length" in said(wrong)


def test_several_circumstances_or_a_single_failure_are_not_named():
    def once(values, stride, weights):
        made = smooth(values, stride, weights)
        return made.cos().cumsum(0) if len(values) == 7 else made

    def strides(values, stride, weights):  # above 1, and not 1: two facts that say the same
        made = smooth(values, stride, weights)
        return made.cos().cumsum(0) if stride > 1 else made

    assert "Wrong is every case" not in said(once)
    assert "Wrong is every case" not in said(strides)


def test_an_axis_too_many_is_named_by_what_it_is_as_long_as():
    told = said(lambda values, stride, weights: (values * weights.cos()).cumsum(0)[::stride])
    assert "an axis too many, axis 1: it is as long as the length of axis 0 of `weights`" in told


def test_an_axis_that_is_lost_is_named():
    rows = Exercise(
        "99.10",
        "Rows",
        lambda values: values.sum(1),
        lambda generator: [Case((torch.rand(n, 3, generator=generator),)) for n in (2, 4, 5)],
        (),
    )
    told = said(lambda values: values.sin().prod(), rows)
    assert (
        "lacks an axis, axis 0 of what is expected: it is as long as the length of axis 0 of `values`" in told
    )
