"""What wrong numbers have in common is said only where it holds in every wrong case."""

from __future__ import annotations

import pytest
import torch
from test_exercises import EXERCISES

from segcore.checks.engine import judge
from segcore.checks.naming import Naming
from segcore.checks.patterns import examples, pattern

ONE = torch.arange(1.0, 13).reshape(3, 4) ** 2
PLAIN, ROWS = Naming(), Naming(("row", "column"))
OTHER = torch.tensor([[3.0, 1.0, 7.0, 2.0], [9.0, 4.0, 8.0, 6.0], [2.0, 0.0, 5.0, 1.5]])


def seen(change, *expected, naming=PLAIN):
    return pattern([(each, change(each)) for each in expected or (ONE, OTHER)], 1e-5, naming)


def rim(x):
    x = x.clone()
    x[0], x[:, -1] = -1, -1
    return x


def total(x):
    return torch.cat([x[:-1], x[-1:] + 2 * x[:1] + 1])


def third(x):
    x = x.clone()
    x[:, 2] += x[:, 0]
    return x


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: 2.5 * x, "2.5 times"),
        (lambda x: -x, "sign"),
        (lambda x: x + 3, "larger than the expected ones by 3"),
        (lambda x: x - 3, "smaller"),
        (lambda x: x.flip(1), "along axis 1 they come the other way round"),
        (lambda x: x.roll(1, 0), "one place aside along axis 0"),
        (lambda x: x.mT.reshape(x.shape), "in other places"),
        (rim, "only the outermost"),
        (total, "along axis 0 only the last place is wrong"),
        (lambda x: total(x.flip(0)).flip(0), "along axis 0 only the first place is wrong"),
        (lambda x: x * torch.tensor([0.99, 1.01, 1.01, 0.99]), "within 1 %"),
        (lambda x: 1 - x, "1 minus what is expected"),
        (lambda x: x * x, "the square of"),
        (lambda x: x.sqrt(), "the square root of"),
        (lambda x: torch.cat([x, x[:1] + 100]), "along axis 0 you have too many"),
        (lambda x: x[:, 1:], "along axis 1 you have too few"),
    ],
)
def test_what_holds_in_all_cases_is_said(change, words):
    assert words.lower() in (seen(change) or "").lower()


def test_a_place_along_an_axis_is_told_where_the_axis_has_a_name():
    assert seen(third) is None
    assert "only column 2 is wrong" in (seen(third, naming=ROWS) or "").lower()
    assert "only the last row is wrong" in (seen(total, naming=ROWS) or "").lower()


def test_what_holds_in_one_case_alone_is_not_said():
    assert pattern([(ONE, 2 * ONE), (OTHER, 3 * OTHER)], 1e-5) is None
    assert pattern([(ONE, ONE.flip(0)), (OTHER, OTHER.flip(1) + 1)], 1e-5) is None
    assert pattern([(ONE, torch.cat([ONE, ONE])), (OTHER, OTHER[1:])], 1e-5) is None
    assert (
        seen(lambda x: x + torch.arange(4) % 3, ONE[:1]) is None
    )  # along an axis of one place nothing moves
    assert seen(lambda x: x.sin()) is None and seen(lambda x: x) is None


def test_zeros_where_something_belongs_and_the_other_way_round():
    sparse = ONE * (ONE > 30)
    assert "zero in places where something belongs" in seen(lambda x: x * (x > 60), sparse)
    assert "not zero everywhere it should be" in seen(lambda x: x + (x == 0) * ONE, sparse)
    assert seen(torch.zeros_like, ONE) is None  # then nothing is right


def test_one_value_in_the_place_of_another_is_named():
    nan = float("nan")
    one = torch.tensor([[0.0, 2.0], [0.0, 5.0]])
    assert "Wherever 0 is expected yours is nan" in seen(lambda x: torch.where(x == 0, nan, x), one)
    assert "Wherever nan is expected yours is 1" in seen(lambda x: x.nan_to_num(1), one + one / one)
    first = torch.tensor([[True, False], [False, False]])
    both = torch.stack([one, one])
    assert "In some of the places" in seen(lambda x: torch.where(first & (x == 0), nan, x), both)
    assert "Wherever" not in (seen(lambda x: torch.where(x == 0, x + 1, x * 2), one) or "")


def test_formulas_and_ends_of_lists():
    lists = [torch.rand(n, generator=torch.Generator().manual_seed(n)) + 0.2 for n in (4, 6)]
    assert "on its head" in seen(lambda x: 1 / x, *lists)
    assert "cut to whole" in pattern([(10 * each, (10 * each).trunc()) for each in lists], 1e-5)
    assert "Only the last number" in seen(lambda x: torch.cat([x[:-1], 3 * x[-1:] + 1]), *lists)
    assert "Only the first number" in seen(lambda x: torch.cat([3 * x[:1] + 1, x[1:]]), *lists)


def test_lists_that_are_too_long_or_too_short():
    rows = torch.tensor([4, 1, 3])
    assert "too few: those that you have are right" in pattern([(rows, rows[:2])], 1e-5)
    assert "too few: those that you have are right" in pattern([(rows, rows[:0])], 1e-5)
    assert "too many: among yours are all" in pattern([(rows[1:], rows)], 1e-5)
    assert "too many: among yours are all" in pattern([(rows[:0], rows)], 1e-5)
    assert pattern([(rows, torch.tensor([7, 8]))], 1e-5) is None


def test_the_examples_that_fail_are_named():
    assert examples([("plain", False), ("a tie", True)], True) == (
        "1 of 2 examples are right. Wrong: a tie. What is different there?"
    )
    assert examples([("plain", False), ("a tie", False)], True).startswith("All examples pass")
    assert examples([("plain", True), ("a tie", True)], False) is None


def test_of_several_values_the_wrong_one_is_named():
    pairs = [((ONE, OTHER), (ONE, 2 * OTHER)), ((OTHER, ONE), (OTHER, 2 * ONE))]
    assert "Only value [1] is wrong" in (pattern(pairs, 1e-5) or "") and "2 times" in pattern(pairs, 1e-5)
    percent = [((ONE, OTHER), (100 * ONE, 100 * OTHER)), ((OTHER, ONE), (100 * OTHER, 100 * ONE))]
    assert "100 times" in (pattern(percent, 1e-5) or "")
    assert "wrong order" in pattern([((1.0, 2.0), (2.0, 1.0)), ((3.0, 5.0), (5.0, 3.0))], 1e-5)
    assert pattern([((1.0, 2.0), (5.0, 1.5))], 1e-5) is None


def test_it_stands_on_the_card_where_no_mistake_is_known():
    thirds = EXERCISES["13.5"].reference
    report = judge(EXERCISES["13.5"], lambda soft, box, size: thirds(soft, box, size) / 3)
    assert "0.3333 times" in repr(report.card), report.card


@pytest.mark.parametrize("strange", ["text", None, object(), [1, "a"], {}, torch.ones(2, 0)])
def test_strange_values_do_no_harm(strange):
    assert pattern([(ONE, strange), ((ONE, 1.0), (strange, 2.0))], 1e-5) is None
