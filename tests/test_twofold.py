"""Two faults at once are told where they give all results, each of them in words that are true of both."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from test_exercises import EXERCISES

from segcore.checks.engine import judge
from segcore.checks.exercise import Case, Exercise, Mistake
from segcore.checks.together import both


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


# As students write them -------------------------------------------------------------------------------------


def one_hot_or_hill(keypoints, box, size, sigma, power=2.0, centre=0.5, least=1, total=True, turned=False):
    """16.1, map by map."""
    maps = torch.zeros(len(keypoints), size, size)
    x1, y1, x2, y2 = box.tolist()
    for k, (x, y, seen) in enumerate(keypoints.tolist()):
        u, v = (x - x1) / (x2 - x1) * size, (y - y1) / (y2 - y1) * size
        if seen < least or not (0 <= u <= size and 0 <= v <= size):
            continue
        if sigma:
            places = torch.arange(size) + centre
            squares = (places - u) ** 2 + (places[:, None] - v) ** 2
            maps[k] = torch.exp(-squares / (power * sigma**2))
            if total:
                maps[k] = maps[k] / maps[k].sum()
        else:
            maps[k, min(int(v), size - 1), min(int(u), size - 1)] = 1
    return maps.transpose(1, 2) if turned else maps


def table_of_oks(found, truths, area, sigmas, factor=2.0, spread=2.0, least=1, asked="labelled", side=False):
    """16.3, pair by pair."""
    table = torch.zeros(len(found), len(truths))
    for n, points in enumerate(found):
        for m, truth in enumerate(truths):
            squares = ((points - truth[:, :2]) ** 2).sum(1)
            near = torch.exp(-squares / (factor * area[m] * (spread * sigmas) ** 2))
            kept = truth[:, 2] >= least
            count = len(kept) if asked == "all" else kept.sum()
            table[n, m] = (near * kept).sum() if asked == "sum" else (near * kept).sum() / count
    return table.T if side else table


def snapped(boxes, scale, rounding, last=1.0, ordered=True):
    """13.1, with torch.round or floor."""
    cells = rounding(boxes * scale)
    near, far = cells[:, :2], cells[:, 2:]
    far = torch.maximum(far, near) if ordered else far
    return torch.cat([near, far + last], 1) / scale - boxes


def spread_out(kernel, step, rows=0, columns=0):
    """6.1, with zeros behind the last weight."""
    height, width = kernel.shape
    room = torch.zeros((height - 1) * step + 1 + rows, (width - 1) * step + 1 + columns)
    room[: (height - 1) * step + 1 : step, : (width - 1) * step + 1 : step] = kernel
    return room


def corner(skip, x):
    return skip[:, :, : x.shape[2], : x.shape[3]]


def shrunk(skip, x):
    return F.interpolate(skip, x.shape[2:], mode="bilinear", align_corners=False)


AT_ONCE = [
    ("16.1", lambda *a: one_hot_or_hill(*a, power=1.0, turned=True),
     {"x and y exchanged", "no two in the exponent"}),
    ("16.1", lambda *a: one_hot_or_hill(*a, least=2, total=False), {"occluded left out", "sum is not one"}),
    ("16.1", lambda *a: one_hot_or_hill(*a, power=1.0, total=False),
     {"no two in the exponent", "sum is not one"}),
    ("16.1", lambda *a: one_hot_or_hill(*a, centre=0.0, least=2),
     {"hill at the cell's corner", "occluded left out"}),
    ("16.1", lambda *a: one_hot_or_hill(*a, centre=0.0, total=False),
     {"hill at the cell's corner", "sum is not one"}),
    ("16.3", lambda *a: table_of_oks(*a, factor=1.0, spread=1.0),
     {"sigma, not two sigma", "one half forgotten"}),
    ("16.3", lambda *a: table_of_oks(*a, spread=1.0, asked="all"),
     {"sigma, not two sigma", "divided by all"}),
    ("16.3", lambda *a: table_of_oks(*a, factor=1.0, least=2), {"one half forgotten", "occluded left out"}),
    ("16.3", lambda *a: table_of_oks(*a, asked="sum", side=True), {"sum", "on its side"}),
    ("16.3", lambda *a: table_of_oks(*a, spread=1.0, least=2), {"sigma, not two sigma", "occluded left out"}),
    ("6.1", lambda kernel, d: spread_out(kernel, d + 1).flip(0, 1), {"one zero too many", "flipped"}),
    ("6.1", lambda kernel, d: spread_out(kernel, d + 1).T,
     {"one zero too many", "rows and columns exchanged"}),
    ("6.1", lambda kernel, d: spread_out(kernel, d, d - 1, d - 1).flip(0, 1),
     {"zeros after the last weight", "flipped"}),
    ("6.1", lambda kernel, d: spread_out(kernel, d, d - 1, d - 1)[:, ::d],
     {"zeros after the last weight", "rows only"}),
    ("6.1", lambda kernel, d: spread_out(kernel, d).T.flip(0, 1), {"rows and columns exchanged", "flipped"}),
    ("9.1", lambda skip, x: torch.cat([x, corner(skip, x)], 1), {"upper left corner", "decoder first"}),
    ("9.1", lambda skip, x: torch.cat([x, shrunk(skip, x)], 1), {"resized", "decoder first"}),
    ("9.1", lambda skip, x: torch.cat([corner(skip, x), x], 2), {"upper left corner", "below one another"}),
    ("9.1", lambda skip, x: torch.cat([corner(skip, x), x]), {"upper left corner", "along the batch"}),
    ("9.1", lambda skip, x: shrunk(skip, x) + x, {"resized", "added"}),
    ("13.1", lambda b, s: snapped(b, s, torch.round, last=0.0), {"half to even", "inclusive cell forgotten"}),
    ("13.1", lambda b, s: snapped(b, s, torch.round, ordered=False),
     {"half to even", "far corner before the near one"}),
    ("13.1", lambda b, s: -snapped(b, s, torch.floor), {"floor", "sign reversed"}),
    ("13.1", lambda b, s: snapped(b, s, torch.round) * s, {"half to even", "in cells"}),
    ("13.1", lambda b, s: snapped(b, s, torch.ceil, last=0.0), {"ceil", "inclusive cell forgotten"}),
]  # fmt: skip


@pytest.mark.parametrize(("number", "function", "names"), AT_ONCE)
def test_what_two_known_slips_give_together_is_told(number, function, names):
    mistake, told = said(function, EXERCISES[number])
    assert set(mistake.split("; ")) == names, (mistake, told)
    assert "each is told as if it were the only one" in told


def switched(x, add=1.0, times=2.0, after=torch.sum):
    return after(x * times + add)


def total(x):
    return switched(x)


def _with(**options):
    return lambda x: switched(x, **options)


def negative(x):
    return -total(x)


ARGS = (torch.tensor([1.0, 4.0]),)


@pytest.mark.parametrize(
    ("one", "two", "made"),
    [
        (partial(switched, add=0.0), partial(switched, times=3.0), 15.0),
        (_with(add=0.0), _with(times=3.0), 15.0),
        (_with(add=0.0), partial(switched, times=3.0), 15.0),
        (_with(add=0.0), lambda x: switched(x, after=torch.prod), 16.0),
        (_with(add=0.0), lambda x: switched(2 * x), 20.0),
        (negative, lambda x: x.sum(), -5.0),
        (negative, _with(add=0.0), -10.0),
    ],
)
def test_one_function_makes_two_mistakes(one, two, made):
    assert made in [function(*ARGS).item() for function in both(total, one, two, ARGS)]


def test_what_cannot_be_made_at_once_is_not_made():
    assert list(both(total, lambda x: x.sum(), lambda x: x.prod(), ARGS)) == []
    assert list(both(total, _with(add=0.0), _with(add=5.0), ARGS)) == []
    assert total(*ARGS).item() == 12.0, "nothing of the module has changed"
