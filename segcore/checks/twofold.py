"""Two things wrong at once: a known mistake and another one, or one and something done besides.

Tried where nothing single explains all cases. What is said holds in every case; where several couples of
faults give the same results, what they share is said, or nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from segcore.checks.calls import Other, other_call
from segcore.checks.compare import agrees
from segcore.checks.exercise import Exercise, Mistake
from segcore.checks.ladder import Trial
from segcore.checks.sandbox import call, sealed
from segcore.checks.together import both

__all__ = ["Attempt", "twofold"]

_SECONDS = 0.7  # processor time for other calls of all mistakes together
_CELLS = 3  # so many different wrong numbers make a coincidence unlikely
_TWO = "Two things at once give your results"
_USUAL = {0.0, 1.0, float("inf")}  # numbers that many faults lead to


class Attempt(NamedTuple):
    """What a known mistake gives in a case."""

    value: Any
    error: Exception | None


def twofold(
    exercise: Exercise, trials: Sequence[Trial], attempts: Sequence[Sequence[Attempt]]
) -> Other | None:
    """The two faults that together give the reader's results in every case.

    Args:
        exercise: Its known mistakes are one half of each couple.
        trials: All cases with what was expected and what came.
        attempts: For each known mistake what it gives in each case.

    Returns:
        Both in words, or the one that all couples share; None where no couple explains all results, or where
        couples without anything in common do.
    """
    if not _enough(trials, exercise.tolerance):
        return None
    tolerance = exercise.tolerance
    tried = [
        (mistake, row)
        for mistake, row in zip(exercise.mistakes, attempts, strict=True)
        if _tells(trials, row, tolerance)
    ]
    known = [
        (mistake, [each.value for each in row])
        for mistake, row in tried
        if all(each.error is None for each in row)
    ]
    ended = all(trial.outcome is not None and trial.outcome.error is None for trial in trials)
    couples = [
        (one, two)
        for (one, first), (two, second) in combinations(known if ended else [], 2)
        if _together(trials, first, second, tolerance)
    ]
    if couples:
        return _of_couples(couples)
    outcome = call(torch.no_grad()(lambda: list(_made_together(exercise, trials, tried))), (), {}, _SECONDS)
    if outcome.timeout or outcome.error is not None:
        return None
    if outcome.value:
        return _of_couples(outcome.value)
    if not ended:
        return None
    found = [(mistake, step) for mistake, values in known for step in _done_after(trials, values, exercise)]
    if found:
        return _of_found(found)
    outcome = call(lambda: list(_done_before(exercise, trials, known)), (), {}, _SECONDS)
    if outcome.timeout or outcome.error is not None:
        return None
    return _of_found(outcome.value)


def _enough(trials: Sequence[Trial], tolerance: float) -> bool:
    """Whether all results are numbers, or errors, and enough of them differ from what is expected."""
    off: set[float] = set()
    for trial in trials:
        outcome = trial.outcome
        if outcome is None or outcome.timeout or outcome.changed:
            return False
        if outcome.error is not None:
            continue
        one, two = _numbers(trial.expected), _numbers(outcome.value)
        if one is None or two is None:
            return False
        if trial.fault is not None and not agrees(trial.expected, outcome.value, tolerance):
            wrong = ~_near(one, two, tolerance) if one.shape == two.shape else torch.ones_like(two) > 0
            off |= {round(number, 4) for number in two[wrong][:100].tolist() if number == number}
    return len(off) >= _CELLS


def _tells(trials: Sequence[Trial], row: Sequence[Attempt], tolerance: float) -> bool:
    """Whether a mistake shows in more than one number: else a couple with it may be a coincidence.

    A single number will do that is not one of those that many faults lead to.
    """
    shown: list[float] = []
    for trial, (value, error) in zip(trials, row, strict=True):
        if error is not None:
            return True
        if agrees(trial.expected, value, tolerance):
            continue
        one, two = _numbers(trial.expected), _numbers(value)
        if one is None or two is None or one.shape != two.shape:
            return True
        shown += two[~_near(one, two, tolerance)][:_CELLS].tolist()
    return len(shown) > 1 or any(abs(number) not in _USUAL for number in shown if number == number)


def _numbers(value: Any) -> Tensor | None:
    """All numbers of a result, in a row."""
    if isinstance(value, tuple | list):
        parts = [_numbers(each) for each in value]
        known = [each for each in parts if each is not None]
        return None if len(known) < len(parts) else torch.cat([torch.zeros(0).double(), *known])
    made = _tensor(value)
    return None if made is None else made.flatten()


def _tensor(value: Any) -> Tensor | None:
    try:
        return torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return None


def _cells(value: Any) -> int:
    if isinstance(value, tuple | list):
        return sum(map(_cells, value))
    return value.numel() if isinstance(value, Tensor) else 1


def _near(one: Tensor, two: Tensor, tolerance: float) -> Tensor:
    return torch.isclose(one, two, tolerance, tolerance, True)


def _together(trials: Sequence[Trial], first: list[Any], second: list[Any], tolerance: float) -> bool:
    """Whether two mistakes at once give what came: each where it acts alone, where both do their sum."""
    needed = [False, False]
    for trial, a, b in sorted(
        zip(trials, first, second, strict=True), key=lambda each: each[0].fault is None
    ):
        got = trial.outcome.value if trial.outcome is not None else None
        for k, value in enumerate((a, b)):  # a case that the other one does not explain
            alike = agrees(value, trial.expected, tolerance)
            needed[k] |= not alike and not agrees((a, b)[1 - k], got, tolerance)
        if agrees(a, trial.expected, tolerance):
            fits = agrees(b, got, tolerance)
        elif agrees(b, trial.expected, tolerance) or agrees(a, b, tolerance):
            fits = agrees(a, got, tolerance)
        else:
            fits = _summed([_tensor(value) for value in (trial.expected, a, b, got)], tolerance)
        if not fits:
            return False
    return all(needed)


def _summed(values: Sequence[Tensor | None], tolerance: float) -> bool:
    """Whether the last of four results is the first with what the two mistakes between add to it."""
    tensors = [value for value in values if value is not None]
    if len(tensors) < len(values) or len({value.shape for value in tensors}) > 1:
        return False
    right, a, b, got = tensors
    whole = torch.where(_near(b, right, tolerance) | _near(a, b, tolerance), a, a + b - right)
    whole = torch.where(_near(a, right, tolerance), b, whole)
    return bool(_near(whole, got, tolerance).all())


def _made_together(
    exercise: Exercise, trials: Sequence[Trial], tried: Sequence[tuple[Mistake, Sequence[Attempt]]]
) -> Iterator[tuple[Mistake, Mistake]]:
    """Two mistakes that give what came where one function makes both."""
    tolerance = exercise.tolerance
    rows = sorted(trials, key=lambda trial: (trial.fault is None, _cells(trial.case.args)))
    shown = [
        [
            (not _alike(each, trial.expected, None, tolerance), _came(each, trial, tolerance))
            for each, trial in zip(row, trials, strict=True)
        ]
        for _, row in tried
    ]
    right = [trial.fault is None for trial in trials]
    args = rows[0].case.args
    for one, two in combinations(range(len(tried)), 2):
        pairs = zip(shown[one], shown[two], right, strict=True)
        if all(_fits(*each) for each in pairs) and any(
            _gives(function, rows, tolerance)
            for function in both(exercise.reference, tried[one][0].function, tried[two][0].function, args)
        ):
            yield tried[one][0], tried[two][0]


def _fits(one: tuple[bool, bool], two: tuple[bool, bool], right: bool) -> bool:
    """Whether a case is right where neither mistake shows in it, and a mistake's where it shows alone."""
    if one[0] and two[0]:
        return True
    return one[1] if one[0] else two[1] if two[0] else right


def _alike(attempt: Attempt, value: Any, error: BaseException | None, tolerance: float) -> bool:
    """Whether a mistake gives a value, or ends in an error of the same words."""
    if attempt.error is not None or error is not None:
        return type(attempt.error) is type(error) and str(attempt.error) == str(error)
    return agrees(attempt.value, value, tolerance)


def _came(attempt: Attempt, trial: Trial, tolerance: float) -> bool:
    outcome = trial.outcome
    return outcome is not None and _alike(attempt, outcome.value, outcome.error, tolerance)


def _gives(function: Callable[..., Any], rows: Sequence[Trial], tolerance: float) -> bool:
    """Whether a function gives what came in every case."""
    for trial in rows:
        try:
            made = function(*sealed(trial.case.args), **sealed(dict(trial.case.kwargs)))
            attempt = Attempt(made, None)
        except Exception as error:
            attempt = Attempt(None, error)
        try:
            if not _came(attempt, trial, tolerance):
                return False
        except Exception:  # what two mistakes at once give may be anything
            return False
    return True


def _of_couples(couples: Sequence[tuple[Mistake, Mistake]]) -> Other | None:
    shared = [each for each in couples[0] if all(each in couple for couple in couples)]
    if len(couples) == 1:
        one, two = couples[0]
        told = f"{_TWO}; each is told as if it were the only one. One: {one.hint} The other: {two.hint}"
        return Other(f"{one.name}; {two.name}", told)
    if len(shared) == 1:
        told = f"{_TWO}. The one that is certain, as if it were the only one: {shared[0].hint}"
        return Other(f"{shared[0].name}; another one", told)
    return None


# A known mistake, and besides ------------------------------------------------------------------------------

# What is done to the results of a mistake, as it looks once that is mended.
_STEPS: tuple[tuple[str, str, Callable[[Tensor], Tensor]], ...] = (
    ("transposed", "your last two axes are exchanged. Which are rows, which columns?", lambda x: x.mT),
    (
        "reversed at the end",
        "the numbers of the last axis come the other way round. In which order are they asked for?",
        lambda x: x.flip(-1),
    ),
    ("reversed", "axis 0 comes the other way round. Which end comes first?", lambda x: x.flip(0)),
    ("batched", "an axis of length 1 in front is too many.", lambda x: x[None]),
    ("sign turned", "all numbers have the wrong sign.", torch.neg),
    ("the other share", "yours is 1 minus what is expected.", lambda x: 1 - x),
    ("root", "yours is the square root of what is expected.", torch.sqrt),
    ("square", "yours is the square of what is expected.", torch.square),
    ("log", "yours is the logarithm of what is expected.", torch.log),
    ("halved", "your numbers are half the expected ones.", lambda x: x / 2),
    ("doubled", "your numbers are twice the expected ones.", lambda x: x * 2),
    ("one more", "your numbers are one too large.", lambda x: x + 1),
    ("one less", "your numbers are one too small.", lambda x: x - 1),
    ("rounded", "your numbers are rounded.", torch.round),
)


def _done_after(trials: Sequence[Trial], values: list[Any], exercise: Exercise) -> Iterator[Other]:
    """What was done to the results of a mistake."""
    got = [trial.outcome.value for trial in trials if trial.outcome is not None]
    rows = [(_tensor(one), _tensor(two)) for one, two in zip(values, got, strict=True)]
    for name, words, step in _STEPS:
        if _everywhere(rows, step, exercise.tolerance):
            yield Other(name, words)
            return


def _done_before(
    exercise: Exercise, trials: Sequence[Trial], known: Sequence[tuple[Mistake, list[Any]]]
) -> Iterator[tuple[Mistake, Other]]:
    """What was done to the arguments, besides a mistake."""
    for mistake, values in known:

        def spoilt(*args: Any, function: Any = mistake.function) -> Any:
            return function(*args)

        spoilt.__signature__ = inspect.signature(exercise.reference)  # type: ignore[attr-defined]
        again = [replace(trial, expected=value) for trial, value in zip(trials, values, strict=True)]
        if found := other_call(replace(exercise, reference=spoilt), again, guarded=False):
            yield mistake, found


def _everywhere(
    rows: Sequence[tuple[Tensor | None, Tensor | None]], step: Callable[[Tensor], Tensor], tolerance: float
) -> bool:
    for one, two in rows:
        try:
            made = None if one is None or two is None else step(one)
        except (RuntimeError, IndexError):
            return False
        if made is None or two is None or made.shape != two.shape or not _near(made, two, tolerance).all():
            return False
    return True


def _of_found(found: Sequence[tuple[Mistake, Other]]) -> Other | None:
    if len({mistake.name for mistake, _ in found}) != 1:
        return None
    mistake, other = found[0]
    told = f"{_TWO}. One, as if it were the only one: {mistake.hint} Once that is mended: "
    return Other(f"{mistake.name}; {other.name}", told + other.hint[0].lower() + other.hint[1:])
