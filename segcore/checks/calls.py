"""What other call of the reference gives the reader's results: an argument unused, two exchanged, one spoilt.

Tried where no known mistake explains all cases. What is said holds in every case, so that it cannot mislead;
no exercise needs a line for it.
"""

from __future__ import annotations

import inspect
import math
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from segcore.checks.compare import agrees
from segcore.checks.exercise import Case, Exercise
from segcore.checks.ladder import Trial
from segcore.checks.sandbox import Outcome, call, plainly
from segcore.checks.show import number
from segcore.checks.trees import ends

__all__ = ["Other", "other_call", "sizes_of"]

_SECONDS = 3.0  # processor time for all other calls together
_ONE = 0.25  # and for one of them: with other arguments a reference may never end
_FEW = 4  # the longest tuple, or first axis, of which each place is tried

_SAME = object()  # a change that changes nothing

Values = list[Any]  # the arguments of one call, by position


class Other(NamedTuple):
    """Another call: a name for the teacher's table, and what the reader is told."""

    name: str
    hint: str


class _Change(NamedTuple):
    """What is done to the arguments of a call; None where it changes nothing or cannot be done."""

    other: Other
    change: Callable[[Values], Values | None]
    wary: bool = False  # one number can agree with it by chance


def other_call(exercise: Exercise, trials: Sequence[Trial], guarded: bool = True) -> Other | None:
    """The other call that gives the reader's results in every case, where there is one.

    Args:
        exercise: Its reference is what is called.
        trials: All cases with what was expected and what came.
        guarded: Whether each call runs by itself in the sandbox; else the caller sees to it that all end.

    Returns:
        What was done to the arguments, in words; None where nothing explains all results, or one is an error.
    """
    names = list(inspect.signature(exercise.reference).parameters)
    rows = [_positions(exercise, trial.case) for trial in trials]
    if any(row is None for row in rows) or any(_value(trial) is None for trial in trials):
        return None
    calls = [
        (row, trial)
        for row, trial in zip(rows, trials, strict=True)
        if row is not None  # for the type checker: none is
    ]
    calls.sort(key=lambda call: (call[1].fault is None, _cells(call[0])))  # a small wrong one refutes soonest
    end = time.process_time() + _SECONDS
    run = call if guarded and not ends(exercise.reference) else plainly
    several = _wrong_numbers(trials) > 1
    for other, change, wary in _changes(exercise, names, [row for row, _ in calls]):
        if time.process_time() > end:
            return None
        if wary and not several:
            continue
        if _explains(exercise, change, calls, run):
            return other
    return None


def sizes_of(reference: Callable[..., Any], case: Case) -> dict[str, int]:
    """The whole numbers that a call knows, by name: arguments, lengths of axes, counts of cells."""
    found: dict[str, int] = {}
    for name, value in inspect.signature(reference).bind(*case.args, **case.kwargs).arguments.items():
        if type(value) is int:
            found[f"`{name}`"] = value
        elif isinstance(value, Tensor) and value.ndim:
            for axis, length in enumerate(value.shape):
                found[f"the length of axis {axis} of `{name}`"] = length
            found[f"the number of cells of `{name}`"] = value.numel()
        elif isinstance(value, tuple | list):
            found[f"the length of `{name}`"] = len(value)
    return found


def _wrong_numbers(trials: Sequence[Trial]) -> int:
    """How many different numbers came in the cases that are wrong."""
    values = [_value(trial) for trial in trials if trial.fault is not None]
    return len(
        {number for value in values if isinstance(value, Tensor) for number in value.flatten().tolist()}
    )


def _positions(exercise: Exercise, case: Case) -> Values | None:
    """The arguments by position, defaults written in."""
    bound = inspect.signature(exercise.reference).bind(*case.args, **case.kwargs)
    bound.apply_defaults()
    return None if bound.kwargs else list(bound.args)


def _value(trial: Trial) -> Any:
    outcome = trial.outcome
    return None if outcome is None or outcome.error is not None or outcome.timeout else outcome.value


def _explains(
    exercise: Exercise,
    change: Callable[[Values], Values | None],
    calls: list[tuple[Values, Trial]],
    run: Callable[..., Outcome],
) -> bool:
    """Whether the changed call gives what the reader's function gave, everywhere, and differs somewhere.

    Raises:
        TimeoutError: a call did not end and could not be stopped.
    """

    def changed_call(*row: Any) -> Any:
        with torch.no_grad():
            changed = change(list(row))
            return _SAME if changed is None else exercise.reference(*changed)

    told = False
    for row, trial in calls:
        outcome = run(changed_call, tuple(row), {}, _ONE)
        if outcome.stuck:
            raise TimeoutError(f"{exercise.id}: a call with other arguments cannot be stopped")
        if outcome.timeout or outcome.error is not None:
            return False
        result = trial.expected if outcome.value is _SAME else outcome.value
        try:
            if not agrees(result, _value(trial), exercise.tolerance):
                return False
        except Exception:
            return False
        differs = trial.fault is not None and not agrees(trial.expected, result, exercise.tolerance)
        told = told or (differs and not _flat(result))
    return told


def _flat(value: Any) -> bool:
    """Whether a result is one number all over: many faults lead to that."""
    return isinstance(value, Tensor) and value.numel() > 1 and bool((value == value.flatten()[0]).all())


def _changes(exercise: Exercise, names: list[str], rows: list[Values]) -> Iterator[_Change]:
    for place, name in enumerate(names):
        column = [row[place] for row in rows]
        if all(type(value) in {bool, int, float} for value in column):
            yield from _of_number(name, place, column)
        elif all(isinstance(value, tuple | list) for value in column):
            yield from _of_several(name, place, column)
        elif all(isinstance(value, Tensor) for value in column):
            yield from _of_tensor(name, place, column)
    for one, two in combinations(range(len(names)), 2):
        if all(type(row[one]) is type(row[two]) for row in rows):
            yield _exchanged(names, one, two)
            for source, target in ((one, two), (two, one)):
                yield _taken_twice(names, source, target)


def _at(place: int, make: Callable[[Any], Any]) -> Callable[[Values], Values]:
    """The change of one argument."""
    return lambda row: [*row[:place], make(row[place]), *row[place + 1 :]]


def _of_number(name: str, place: int, column: Values) -> Iterator[_Change]:
    values = list(dict.fromkeys(column))
    if len(values) > 1:
        for value in values:
            told = (
                f"Your results are those for {name} = {value if type(value) is bool else number(value)}, "
                f"whatever is given. Where does your function use `{name}`?"
            )
            yield _Change(Other(f"{name} ignored", told), _at(place, partial(_instead, value)))
        if min(values) > 0:
            for words, turn in _NUMBERS.items():
                told = f"Your results are those for {words} of `{name}`. Where does it come in, and how?"
                yield _Change(Other(f"{words} of {name}", told), _at(place, turn), wary=True)
    if all(type(value) is int for value in column):
        for step, words in ((-1, "smaller"), (1, "larger")):
            told = f"Your results are right for a `{name}` that is one {words}. Where does counting begin?"
            yield _Change(Other(f"{name} one {words}", told), _at(place, partial(operator.add, step)))


def _of_several(name: str, place: int, column: Values) -> Iterator[_Change]:
    lengths = {len(value) for value in column}
    if max(lengths, default=0) < 2:
        return
    yield _Change(
        Other(
            f"{name} reversed", f"Your results are right for `{name}` in reverse order. Which comes first?"
        ),
        _at(place, lambda value: value[::-1]),
    )
    pairs = [(0, None)] if len(lengths) > 1 or max(lengths) > _FEW else []
    if not pairs:
        count = lengths.pop()
        pairs = [(k, None) for k in range(count)]
        for one, two in combinations(range(count), 2):
            told = f"Your results are right if places {one} and {two} of `{name}` change places."
            yield _Change(
                Other(f"{name}: {one} and {two} exchanged", f"{told} In which order does it hold them?"),
                _at(place, partial(_swapped, one=one, two=two)),
            )
    for k, _ in pairs:
        told = f"Your results are those for {name}[{k}] in all places of `{name}`. When is each one's turn?"
        yield _Change(
            Other(f"{name}[{k}] for all", told),
            _at(place, partial(_same_all, k)),
        )


def _instead(value: Any, _: Any) -> Any:
    return value


def _same_all(k: int, values: Any) -> Any:
    return type(values)([values[k]] * len(values)) if len(values) else values


def _swapped(values: Any, one: int, two: int) -> Any:
    found = list(values)
    found[one], found[two] = found[two], found[one]
    return type(values)(found)


def _of_tensor(name: str, place: int, column: Values) -> Iterator[_Change]:
    def plain(words: str, told: str, make: Callable[[Tensor], Tensor]) -> _Change:
        return _Change(Other(f"{name} {words}", told), _at(place, make))

    floats = all(value.is_floating_point() for value in column)
    for fill in (0, 1):
        yield plain(
            f"taken for {fill}",
            f"Your results are those for a `{name}` of {fill} everywhere. Where does your function use it?",
            partial(_filled, fill),
        )
    if all(value.dtype == torch.bool for value in column):
        yield plain(
            "turned round",
            f"Your results are right for the opposite of `{name}`: where is it True?",
            torch.logical_not,
        )
    if floats:
        for words, make in _FLOATS.items():
            told = f"Your results are those for {words.format(f'`{name}`')}. Where does that come in?"
            yield _Change(Other(words.format(name), told), _at(place, make), wary=words.endswith("half"))
    depth = min(value.ndim for value in column)
    for axis in range(depth):
        yield plain(
            f"flipped along axis {axis}",
            f"Your results are right for `{name}` read backwards along axis {axis}. Which end comes first?",
            partial(_flipped, axis),
        )
    for axis in range(depth - 1):
        yield plain(
            "reshaped",
            f"Your results are right for a `{name}` whose axis {axis} was brought to the end by reshape or "
            "view. These read the same numbers in the same order; permute and movedim move an axis.",
            partial(_reshaped, axis),
        )
    ends = {value.shape[-1] for value in column if depth}
    if floats and len(ends) == 1 and ends <= {2, 3, 4}:
        yield plain(
            "with x and y exchanged",
            f"Your results are right for a `{name}` whose x and y change places. Which comes first in it?",
            _sideways,
        )
    if depth >= 2:
        yield plain(
            "transposed",
            f"Your results are right for `{name}` with its last two axes exchanged. Which are its rows?",
            lambda value: value.mT,
        )
    if depth >= 1:
        sizes = {len(value) for value in column}
        few = len(sizes) == 1 and max(sizes) <= _FEW
        for k in range(max(sizes)) if few else (0, -1):
            told = (
                f"Your results are those for a `{name}` that holds {name}[{k}] in all places of axis 0. When "
                "is each one's turn?"
            )
            yield plain(f"[{k}] for all", told, _repeated(k))


def _filled(fill: int, value: Tensor) -> Tensor:
    return torch.full_like(value, fill)


def _flipped(axis: int, value: Tensor) -> Tensor:
    return value.flip(axis)


def _reshaped(axis: int, value: Tensor) -> Tensor:
    """As it is read by one who brings an axis to the end with reshape in place of movedim."""
    return value.reshape(value.movedim(axis, -1).shape).movedim(-1, axis)


def _sideways(value: Tensor) -> Tensor:
    """Points or boxes with x and y exchanged."""
    order = [1, 0, 3, 2] if value.shape[-1] == 4 else [1, 0, *range(2, value.shape[-1])]
    return value[..., order]


def _repeated(k: int) -> Callable[[Tensor], Tensor]:
    return lambda value: value[[k]].expand_as(value) if len(value) else value


_FLOATS: dict[str, Callable[[Tensor], Tensor]] = {
    "1 - {}": lambda value: 1 - value,
    "{} with its sign turned": torch.neg,
    "{} rounded to whole numbers": torch.round,
    "{} without what is below 0": torch.relu,
    "the sigmoid of {}": torch.sigmoid,
    "the exponential of {}": torch.exp,
    "the logarithm of {}": torch.log,
    "the square of {}": torch.square,
    "{} plus one half": lambda value: value + 0.5,
    "{} less one half": lambda value: value - 0.5,
}


# What is done to a number above 0.
_NUMBERS: dict[str, Callable[[float], float]] = {
    "the square": lambda value: value * value,
    "the square root": math.sqrt,
    "twice the value": lambda value: value * 2,
    "half the value": lambda value: value / 2,
    "the reciprocal": lambda value: 1 / value,
}


def _exchanged(names: list[str], one: int, two: int) -> _Change:
    told = f"Your results are right if `{names[one]}` and `{names[two]}` change places. Which is which?"
    return _Change(
        Other(f"{names[one]} and {names[two]} exchanged", told), lambda row: _swapped(row, one, two)
    )


def _taken_twice(names: list[str], source: int, target: int) -> _Change:
    told = f"Your results are those for `{names[source]}` in the place of `{names[target]}`, too. "
    return _Change(
        Other(
            f"{names[source]} for {names[target]}", f"{told}Where does your function use `{names[target]}`?"
        ),
        lambda row: [row[source] if k == target else value for k, value in enumerate(row)],
    )


def _cells(value: Any) -> int:
    """How many numbers some arguments hold."""
    if isinstance(value, tuple | list):
        return sum(map(_cells, value))
    return value.numel() if isinstance(value, Tensor) else 1
