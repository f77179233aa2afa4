"""One rule that leads from what was expected to what came, in every case: so many times, summed, permuted.

`segcore.checks.patterns` says what wrong numbers look like. A rule of this room explains all numbers, right
ones included, and so goes before a mistake that is only likely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from segcore.checks.show import number

__all__ = ["rule"]

Pairs = list[tuple[Tensor, Tensor]]


def rule(
    pairs: Sequence[tuple[Any, Any]], sizes: Sequence[Mapping[str, int]], tolerance: float
) -> str | None:
    """What was done to the right results, in a sentence or two; None where no rule holds in every case.

    Args:
        pairs: What was expected and what came, in each case.
        sizes: For each case, whole numbers that it knows and their names.
        tolerance: Of the exercise.
    """
    tensors = [_tensors(pair) for pair in pairs]
    if len(pairs) != len(sizes) or len(pairs) < 3 or any(pair is None for pair in tensors):
        return None
    found: Pairs = [pair for pair in tensors if pair is not None]
    if len(torch.cat([one.flatten() for one, _ in found]).unique()) < 3:
        return None  # of zeros and ones too much can be said
    if all(_close(*pair, tolerance) for pair in found):
        return None
    if any(one.shape != two.shape for one, two in found):
        return _reduced(found, tolerance) or _permuted(found, tolerance)
    looks = (
        _constant(found, tolerance),
        _counted(found, sizes, tolerance),
        _clamped(found, tolerance),
        _permuted(found, tolerance),
    )
    return next((text for text in looks if text), None) or _applied(found, tolerance)


def _tensors(pair: tuple[Any, Any]) -> tuple[Tensor, Tensor] | None:
    try:
        one, two = (torch.as_tensor(value).detach().double() for value in pair)
    except (TypeError, ValueError, RuntimeError):
        return None
    return one, two


def _close(one: Tensor, two: Tensor, tolerance: float) -> bool:
    return one.shape == two.shape and bool(torch.isclose(one, two, tolerance, tolerance, True).all())


def _everywhere(pairs: Pairs, make: Callable[[Tensor], Tensor], tolerance: float) -> bool:
    try:
        return all(_close(make(one), two, tolerance) for one, two in pairs if one.numel())
    except (RuntimeError, IndexError):
        return False


def _constant(pairs: Pairs, tolerance: float) -> str | None:
    """One factor or one difference for all numbers of all cases."""
    one, two = (torch.cat([pair[k].flatten() for pair in pairs]) for k in (0, 1))
    keep = one.isfinite() & two.isfinite()
    if not torch.equal(one.isnan(), two.isnan()) or len(one[keep].unique()) < 3:
        return None
    factor = float((one * two)[keep].sum() / one[keep].square().sum().clamp(min=1e-12))
    if abs(factor + 1) < 1e-6 and _close(two, -one, tolerance):
        return "All your numbers are right but for their sign. Which difference is the wrong way round?"
    if abs(factor) > 1e-6 and _close(two, factor * one, tolerance):
        return (
            f"All your numbers are {number(factor)} times the expected ones. What are they divided or "
            "multiplied by?"
        )
    if _close(two, 1 - one, tolerance):
        return "Everywhere yours is 1 minus what is expected: the other share."
    return None


def _counted(pairs: Pairs, sizes: Sequence[Mapping[str, int]], tolerance: float) -> str | None:
    """So many times too large or too small, where the case knows the number: a sum for a mean."""
    names = set.intersection(*(set(each) for each in sizes))
    for name in sorted(names, key=lambda name: ("cells" in name, name)):
        counts = [each[name] for each in sizes]
        if len(set(counts)) < 2 or min(counts) < 1:
            continue
        for words, ask, power in (
            ("large", "Should they be divided by it?", 1),
            ("small", "Are they divided by it once too often?", -1),
        ):
            scaled = [(one * count**power, two) for (one, two), count in zip(pairs, counts, strict=True)]
            if all(_close(*pair, tolerance) for pair in scaled):
                return (
                    f"Your numbers are too {words} by a factor that is another one in each case, always "
                    f"{name}. {ask}"
                )
    return None


def _clamped(pairs: Pairs, tolerance: float) -> str | None:
    if _everywhere(pairs, lambda value: value.clamp(min=0), tolerance):
        return (
            "Where a number below 0 is expected yours is 0; all others are right. What cuts it off? Is that "
            "asked for?"
        )
    if _everywhere([(two, one) for one, two in pairs], lambda value: value.clamp(min=0), tolerance):
        return "Where yours is below 0, exactly 0 is expected; all others are right. Which step is missing?"
    for places in range(4):
        if _everywhere(pairs, partial(torch.round, decimals=places), tolerance):
            return "The right numbers, rounded. Where does your function round, and who asks for it?"
    if _everywhere(pairs, torch.abs, tolerance):
        return "Right but for the sign of some: yours are never below 0. Where does a sign get lost?"
    return None


_STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "log": torch.log,
    "exponential": torch.exp,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
_ALONG: dict[str, Callable[..., Tensor]] = {
    "softmax": torch.softmax,
    "log of the softmax": torch.log_softmax,
    "running sum": torch.cumsum,
}


def _applied(pairs: Pairs, tolerance: float) -> str | None:
    """One step more than is asked: a softmax, a log, a question of each number."""
    ask = "That is one step more than the task asks for. Which line takes it?"
    for name, step in _STEPS.items():
        if _everywhere(pairs, step, tolerance):
            return f"Yours is the {name} of what is expected. {ask}"
    for name, along in _ALONG.items():
        for axis in range(min(one.ndim for one, _ in pairs)):
            if _everywhere(pairs, partial(along, dim=axis), tolerance) and any(
                one.shape[axis] > 1 for one, _ in pairs
            ):
                return f"Yours is the {name} of what is expected, along axis {axis}. {ask}"
    for words, share in (
        ("divided by their sum", lambda value: value / value.sum()),
        ("divided by the largest one", lambda value: value / value.max()),
        ("taken as 1 where they are 0, and as 0 elsewhere", lambda value: (value == 0).double()),
        ("taken as 1 where they are above 0, and as 0 elsewhere", lambda value: (value > 0).double()),
    ):
        if _everywhere(pairs, share, tolerance):
            return f"Yours are the expected numbers, {words}. Does the task ask for that?"
    return None


_WAYS: dict[str, Callable[..., Tensor]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "largest": torch.amax,
    "smallest": torch.amin,
    "place of the largest": torch.argmax,
}


def _reduced(pairs: Pairs, tolerance: float) -> str | None:
    """An axis is lost, or was not summed up."""
    for taken, other in ((pairs, False), ([(two, one) for one, two in pairs], True)):
        depth = min(one.ndim for one, _ in taken)
        if any(one.ndim != two.ndim + 1 for one, two in taken):
            continue
        for axis in range(depth):
            if all(one.shape[axis] == 1 for one, _ in taken):
                continue
            for name, way in _WAYS.items():
                if _everywhere(taken, partial(way, dim=axis), tolerance):
                    if other:
                        return f"You stop one step early: the {name} of yours along axis {axis} is expected."
                    return (
                        f"Yours is the {name} along axis {axis} of what is expected. Which axes should the "
                        "result have?"
                    )
    if all(one.ndim == 0 < two.ndim for one, two in pairs):
        for name, whole in (("sum", torch.sum), ("mean", torch.mean)):
            if _everywhere([(two, one) for one, two in pairs], whole, tolerance):
                return f"You stop one step early: the {name} of all your numbers is expected."
    return None


def _reshaped(value: Tensor, order: tuple[int, ...]) -> Tensor:
    return value.permute(order).reshape(value.shape)


def _permuted(pairs: Pairs, tolerance: float) -> str | None:
    """The axes in another order, or the numbers in the right order in another shape."""
    depth = pairs[0][0].ndim
    if all(one.ndim == two.ndim == depth for one, two in pairs) and 2 <= depth <= 5:
        for order in permutations(range(depth)):
            if _everywhere(pairs, partial(torch.permute, dims=order), tolerance):
                moved = ", ".join(map(str, order))
                return (
                    "The numbers are right, but your axes stand in another order: yours are those numbered "
                    f"{moved} of what is expected. Which comes first?"
                )
        for order in permutations(range(depth)):
            if _everywhere(pairs, partial(_reshaped, order=order), tolerance):
                return (
                    "The right numbers in the right shape, but laid down in the order of other axes: reshape "
                    "and view do not move an axis, permute does. Which axes stand last before you reshape?"
                )
    flat = [(one.flatten(), two.flatten()) for one, two in pairs]
    if _everywhere(flat, lambda value: value, tolerance) and any(
        one.squeeze().shape != two.squeeze().shape for one, two in pairs
    ):
        return (
            "All your numbers are right and in the right order; only the shape is another one. Which axes "
            "belong together?"
        )
    return None
