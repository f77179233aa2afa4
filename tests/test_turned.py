"""Small changes of a reference that give a reader's results: told by kind where all agree, or not at all."""

from __future__ import annotations

import inspect
import re
import sys
import time
from pathlib import Path

import pytest
import torch
from test_exercises import EXERCISES

from segcore.checks import Case, Exercise, engine
from segcore.checks.engine import judge
from segcore.checks.sandbox import call
from segcore.checks.trees import ends
from segcore.checks.turned import _FAMILIES, KINDS, _changed, _common, _Turn, turned

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import reading


def scores(values, weights, limit):
    """A score for each row: its weighted mean, where that is above the limit, else -1."""
    total = (values * weights).sum(1) / weights.sum()
    return torch.where(total > limit, total + 2, -1.0)


def halvings(count, least):
    """How often each number can be halved until it is below the least."""
    found = []
    for number in range(count):
        times = 0
        while number >= least:
            number //= 2
            times += 1
        found.append(times)
    return torch.tensor(found)


def _score_cases(generator):
    for rows in (3, 4, 6):
        values = torch.rand(rows, 5, generator=generator) * 4
        yield Case((values, torch.rand(5, generator=generator) + 0.5, 2.0))


def _halving_cases(generator):
    yield from (Case((count, least)) for count, least in ((9, 1), (17, 2), (30, 3)))


SCORES = Exercise("99.1", "Scores", scores, _score_cases, ())
HALVINGS = Exercise("99.2", "Halvings", halvings, _halving_cases, ())


def hint(exercise, function):
    report = judge(exercise, function)
    assert report.state != "passed"
    return report.mistake, " ".join(
        line for kind, part in report.card.parts if kind == "hint" for line in part
    )


def not_divided(values, weights, limit):
    total = (values * weights).sum(1)
    return torch.where(total > limit, total + 2, -1.0)


def without_two(values, weights, limit):
    total = values @ weights / sum(weights)
    return torch.where(total > limit, total, torch.tensor(-1.0))


def other_side(values, weights, limit):
    total = values @ weights / sum(weights)
    return torch.where(total < limit, total + 2, torch.tensor(-1.0))


def plain_rows(values, weights, limit):
    rows = [[float(v) for v in row] for row in values]
    total = torch.tensor([sum(row) / 5 * 1.37 + max(row) for row in rows])
    return torch.where(total > limit, total + 2, torch.tensor(-1.0))


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (not_divided, "turned: divisor", "a division is left out"),
        (without_two, "turned: term", "a term of a sum or a difference is left out"),
        (other_side, "turned: opposite", "a condition is turned round"),
    ],
)
def test_a_small_change_is_told_by_its_kind(function, kind, words):
    name, told = hint(SCORES, function)
    assert name == kind and words in told, (name, told)
    assert hint(SCORES, function) == (name, told), "the same twice"


def share(hits, sizes, others):
    """The share of each pair, and its distance from the mean share."""
    shares = hits / (sizes + others - hits)
    return torch.stack([shares, (shares - shares.mean()).abs()])


def inside(points, low, high):
    """How much of each point's two coordinates lies within limits."""
    x = points[:, 0] * (points[:, 0] >= low) * (points[:, 0] < high)
    y = points[:, 1] * (points[:, 1] >= low) * (points[:, 1] < high)
    return torch.stack([x, y], 1)


def _share_cases(generator):
    for count in (3, 4, 6):
        hits = torch.rand(count, generator=generator) + 0.5
        yield Case((hits, hits + 1, hits + torch.rand(count, generator=generator)))


def _inside_cases(generator):
    for count, low, high in ((4, 1.0, 3.0), (6, 2.0, 5.0), (8, 1.0, 4.0)):
        points = torch.randint(0, 7, (count, 2), generator=generator).float()
        points[:2] = torch.tensor([[low, high], [high, low]])
        yield Case((points, low, high))


SHARE = Exercise("99.5", "Share", share, _share_cases, ())
INSIDE = Exercise("99.6", "Inside", inside, _inside_cases, ())


def dice(hits, sizes, others):
    shares = 2 * hits / (sizes + others)
    return torch.stack([shares, (shares - shares.mean()).abs()])


def one_less(hits, sizes, others):
    shares = hits / (sizes + others - hits)
    return torch.stack([shares, (shares - shares.sum() / (len(shares) - 1)).abs()])


def far_limit_in(points, low, high):
    return points * ((points >= low) & (points <= high))


@pytest.mark.parametrize(
    ("exercise", "function", "kind", "words"),
    [
        (SHARE, dice, "turned: dice", "as in Dice"),
        (SHARE, one_less, "turned: count", "divided by one too many or one too few"),
        (INSIDE, far_limit_in, "turned: limit", "wrong side of a comparison"),
    ],
)
def test_fractions_and_changes_in_several_places_are_told(exercise, function, kind, words):
    name, told = hint(exercise, function)
    assert name == kind and words in told, (name, told)
    assert ("in several places alike" in told) == (exercise is INSIDE)


def nearest(values, scale):
    """Places on a grid, and thrice how far they are from its middle."""
    cells = (values * scale + 0.5).floor()
    return torch.stack([cells, 3 * (cells - cells.mean())])


def _nearest_cases(generator):
    for count, scale in ((3, 2.0), (4, 3.0), (6, 5.0)):
        yield Case((torch.rand(count, generator=generator) * 9, scale))


NEAREST = Exercise("99.7", "Nearest", nearest, _nearest_cases, ())


def cut_off(values, scale):
    cells = (values * scale).trunc()
    return torch.stack([cells, 3 * (cells - cells.mean())])


def twice_as_far(values, scale):
    cells = (values * scale + 0.5).floor()
    return torch.stack([cells, 2 * (cells - cells.mean())])


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (cut_off, "turned: round", "something is not rounded, or rounded the other way"),
        (twice_as_far, "turned: coefficient", "multiplied or divided by is another one"),
    ],
)
def test_a_half_before_rounding_is_no_half_cell_and_a_factor_no_count(function, kind, words):
    name, told = hint(NEAREST, function)
    assert name == kind and words in told, (name, told)


def test_where_a_change_stands_is_told_by_the_step_around_it():
    def hits_added(hits, sizes, others):
        shares = hits / (sizes + others + hits)
        return torch.stack([shares, (shares - shares.mean()).abs()])

    told = hint(SHARE, hits_added)[1]
    assert "plus and minus are exchanged in one place. Look where" in told or "below a fraction line" in told
    assert "below a fraction line" in told and "in several places" not in told


def test_what_no_change_explains_is_not_named():
    assert not hint(SCORES, plain_rows)[0].startswith("turned")


@pytest.mark.parametrize(
    ("number", "source", "kind"),
    [
        ("6.3", lambda dilations: right("6.3")(dilations[:-1]), "turned: end"),
        ("6.3", lambda dilations: right("6.3")(dilations[1:]), "turned: end"),
        (
            "18.5",
            lambda p, t, bins: torch.einsum("nqhw,qc->nchw", (p.log() / t).softmax(0), bins),
            "turned: axis",
        ),
    ],
)
def test_it_serves_exercises_of_the_course(number, source, kind):
    assert hint(EXERCISES[number], source)[0] == kind


def right(number):
    return EXERCISES[number].reference


def test_changes_of_several_kinds_tell_what_they_share_or_nothing():
    both = [_Turn("limit", ("side",)), _Turn("term", ("side",))]
    assert "One step with `side`" in _common(both).hint
    assert _common([_Turn("limit", ("side",)), _Turn("term", ())]) is None
    assert _common([_Turn("limit", ("side",)), _Turn("term", ("side", "other"))]) is None
    assert "`" not in _common([_Turn("limit", ("side",)), _Turn("limit", ())]).hint
    assert "Either a limit itself" in _common(both).hint and "or a term of a sum" in _common(both).hint
    family = _common([_Turn("axis", ("side",), around="inside a softmax"), _Turn("shape", ("side",))])
    assert "It has to do with an axis, or the order of two. What" in family.hint
    assert "a comparison or a condition" in _common([_Turn("limit", ("side",)), _Turn("and", ())]).hint
    softmax = [_Turn("axis", ("side",), around="inside a softmax")]
    assert "Look where `side` comes in, inside a softmax." in _common(softmax).hint
    assert "softmax" not in _common([*softmax, _Turn("axis", ("side",))]).hint
    assert _common([_Turn("greater", ("side",)), _Turn("opposite", ())]).hint.count("is turned round") == 1
    assert _common([]) is None


def _one(x):
    return (x * 2 + 1).sum()


def test_one_number_or_the_same_number_everywhere_is_too_little_to_tell():
    single = Exercise("99.3", "One", _one, lambda generator: [Case((torch.ones(2),))], ())
    assert hint(single, lambda x: (x * 2).sum())[0] == ""
    assert not hint(SCORES, lambda values, weights, limit: torch.full((len(values),), -1.0))[0].startswith(
        "turn"
    )


def test_a_change_that_never_ends_costs_little():
    begin = time.process_time()
    assert not hint(HALVINGS, lambda count, least: torch.arange(count) ** 2 % 7 + least)[0].startswith(
        "turned"
    )
    assert time.process_time() - begin < 6


def test_only_what_may_never_end_runs_in_a_thread_of_its_own(monkeypatch):
    assert ends(scores) and not ends(halvings) and not ends(eval("lambda x: x"))
    begun = []
    monkeypatch.setattr("segcore.checks.turned.call", lambda *args: begun.append(args) or call(*args))
    assert hint(SCORES, not_divided)[0] == "turned: divisor" and len(begun) == 1, "the reference alone"


def test_where_time_is_up_nothing_is_said(monkeypatch):
    monkeypatch.setattr("segcore.checks.turned._SECONDS", 0.0)
    assert not hint(SCORES, not_divided)[0].startswith("turned")


def test_what_passes_or_is_known_is_not_searched(monkeypatch):
    def never(*_):
        raise AssertionError("searched")

    monkeypatch.setattr(engine, "turned", never)
    exercise = EXERCISES["6.3"]
    assert judge(exercise, exercise.reference).state == "passed"
    assert judge(exercise, exercise.mistakes[0].function).mistake == exercise.mistakes[0].name


@pytest.mark.parametrize("strange", ["text", None, object(), [1, "a"], {}, torch.ones(2, 0)])
def test_strange_values_do_no_harm(strange):
    assert judge(SCORES, lambda *_: strange).state != "passed"


def test_a_reference_without_source_says_nothing():
    trials: list = []
    assert turned(SCORES, trials) is None
    space: dict = {"torch": torch}
    exec("def hidden(values, weights, limit):\n    return values + limit", space)
    hidden = Exercise("99.4", "Hidden", space["hidden"], _score_cases, ())
    assert judge(hidden, lambda values, weights, limit: values.sin() + weights).state == "failed"


@pytest.mark.parametrize("number", list(EXERCISES)[::9])
def test_words_hold_no_code(number):
    exercise = EXERCISES[number]
    names = set(inspect.signature(exercise.reference).parameters)
    said = {turn for turn, _ in _changed(exercise, [])}
    assert len(said) >= 3
    for turn in said:
        assert set(turn.about) <= names and len(turn.about) < len(names)
        text = re.sub(r"`\w+`", "", _common([turn]).hint)
        assert not re.search(r"[\[\]=_.*]\w|\w\(|`", text), text


def test_every_family_is_of_kinds_and_reads_easily():
    assert all(known <= KINDS.keys() for known, _, _ in _FAMILIES)
    texts = [f"It has to do with {what}. {ask}" for _, what, ask in _FAMILIES]
    assert reading.grade(texts) <= reading.HARDEST


def test_every_kind_reads_easily():
    texts = {
        kind: [f"Your results are those that come out when {what}. {ask}"]
        for kind, (what, ask) in KINDS.items()
    }
    assert reading.grade([text for each in texts.values() for text in each]) <= reading.HARDEST
    assert {
        kind: round(reading.grade(each), 1) for kind, each in texts.items() if reading.grade(each) > 11
    } == {}
