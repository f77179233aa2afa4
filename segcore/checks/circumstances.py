"""What sets the cases that fail apart from those that pass, and what a wrong shape is made of.

Said where nothing explains the results themselves. Each sentence is a fact about all cases: it says where to
look, not what is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from segcore.checks.calls import sizes_of
from segcore.checks.exercise import Case, Exercise
from segcore.checks.ladder import Trial

__all__ = ["apart", "axes"]

_MOST = 255  # labels to ignore and the like: no arguments are compared with whole numbers above it


def apart(exercise: Exercise, trials: Sequence[Trial]) -> str | None:
    """The one circumstance in which all cases fail, and without which all pass.

    Args:
        exercise: Its reference gives the arguments their names.
        trials: All cases, those that pass and those that fail.

    Returns:
        A sentence or two; None where fewer than two cases fail or pass, or where no circumstance or more
        than one sets them apart.
    """
    wrong = [trial.fault is not None for trial in trials]
    if any(trial.outcome is None for trial in trials) or min(sum(wrong), len(wrong) - sum(wrong)) < 2:
        return None
    facts = [dict(_facts(exercise, trial.case)) for trial in trials]
    shared = set.intersection(*(set(each) for each in facts)) if facts else set()
    found = []
    for name in sorted(shared):
        holds = [each[name] for each in facts]
        if holds == wrong:
            found.append(name[0])
        elif holds == [not each for each in wrong]:
            found.append(name[1])
    if len(found) != 1:
        return None
    return f"Wrong is every case where {found[0]}, and right are all others. What is other there?"


def _facts(exercise: Exercise, case: Case) -> Iterator[tuple[tuple[str, str], bool]]:
    """Circumstances of a case, each with its opposite, and whether it holds."""
    bound = inspect.signature(exercise.reference).bind(*case.args, **case.kwargs)
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        if isinstance(value, bool):
            yield (f"`{name}` is True", f"`{name}` is False"), value
        elif isinstance(value, int | float):
            for limit in (0, 1):
                yield (f"`{name}` is {limit}", f"`{name}` is not {limit}"), value == limit
                yield (f"`{name}` is above {limit}", f"`{name}` is at most {limit}"), value > limit
            if isinstance(value, int):
                yield (f"`{name}` is even", f"`{name}` is odd"), value % 2 == 0
        elif isinstance(value, Tensor):
            yield from _of_tensor(name, value)
        elif isinstance(value, tuple | list):
            yield (f"`{name}` is empty", f"`{name}` is not empty"), len(value) == 0
            yield (f"`{name}` has one element", f"`{name}` has not just one element"), len(value) == 1


def _of_tensor(name: str, value: Tensor) -> Iterator[tuple[tuple[str, str], bool]]:
    for axis, length in enumerate(value.shape):
        where = f"axis {axis} of `{name}`"
        yield (f"{where} has the length 1", f"{where} is longer than 1"), length == 1
        yield (f"`{name}` is empty", f"`{name}` is not empty"), value.numel() == 0
    if value.ndim >= 2:
        square = value.shape[-1] == value.shape[-2]
        words = f"the last two axes of `{name}` have"
        yield (f"{words} one length", f"{words} two lengths"), square
    if value.dtype == torch.bool:
        yield (f"`{name}` is True somewhere", f"`{name}` is False everywhere"), bool(value.any())
        return
    if value.is_complex():
        return
    number = value.detach().double()
    yield (f"`{name}` holds NaN", f"`{name}` holds no NaN"), bool(number.isnan().any())
    yield (f"`{name}` holds a 0", f"`{name}` holds no 0"), bool((number == 0).any())
    yield (f"`{name}` goes below 0", f"`{name}` does not go below 0"), bool((number < 0).any())
    yield (f"`{name}` goes above 1", f"`{name}` does not go above 1"), bool((number > 1).any())


def axes(exercise: Exercise, trials: Sequence[Trial]) -> str | None:
    """Which axis is too many, as long as what: said where it is so in every case.

    Args:
        exercise: Its reference gives the arguments their names.
        trials: All cases with what was expected and what came.
    """
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for trial in trials:
        value = None if trial.outcome is None else trial.outcome.value
        if not isinstance(value, Tensor) or not isinstance(trial.expected, Tensor):
            return None
        shapes.append((tuple(trial.expected.shape), tuple(value.shape)))
    sizes = [sizes_of(exercise.reference, trial.case) for trial in trials]
    if all(len(one) + 1 == len(two) for one, two in shapes):
        places = [k for k in range(min(len(two) for _, two in shapes))
                  if all(two[:k] + two[k + 1 :] == one for one, two in shapes)]  # fmt: skip
        lengths = [[two[k] for _, two in shapes] for k in places]
        told = "has an axis too many, axis {k}: it is as long as {name}. What is still to be summed?"
    elif all(len(one) == len(two) + 1 for one, two in shapes):
        places = [k for k in range(min(len(one) for one, _ in shapes))
                  if all(one[:k] + one[k + 1 :] == two for one, two in shapes)]  # fmt: skip
        lengths = [[one[k] for one, _ in shapes] for k in places]
        told = "lacks an axis, axis {k} of what is expected: it is as long as {name}. Which step loses it?"
    else:
        return None
    if len(places) != 1 or len(set(lengths[0])) < 2:
        return None
    name = _name(sizes, lengths[0])
    return None if name is None else f"Your result {told.format(k=places[0], name=name)}"


def _name(sizes: Sequence[dict[str, int]], lengths: Sequence[int]) -> str | None:
    """The one size that has these lengths in all cases; None where there is none, or one of each argument."""
    names: set[Any] = set.intersection(*(set(each) for each in sizes))
    fitting = sorted(
        name for name in names if [each[name] for each in sizes] == list(lengths) and "cells" not in name
    )
    return fitting[0] if fitting else None
