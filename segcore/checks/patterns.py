"""What wrong numbers have in common over all cases: said where no known mistake explains them.

Each sentence states what holds in every case that came out wrong, so that it cannot mislead: the right
numbers in other places, all of them so many times too large, only the border wrong, one value of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from segcore.checks.compare import agrees
from segcore.checks.naming import Naming, listed, plural
from segcore.checks.show import number

__all__ = ["examples", "pattern"]

Pair = tuple[Any, Any]
_PLAIN = Naming()


def pattern(pairs: Sequence[Pair], tolerance: float, naming: Naming = _PLAIN) -> str | None:
    """What holds for all the wrong ones of (expected, got), in two sentences; None where nothing is seen.

    Args:
        pairs: What was expected and what came, in each case.
        tolerance: Of the exercise.
        naming: The task's words for the axes and values of a result.
    """
    wrong = [pair for pair in pairs if not agrees(*pair, tolerance)]
    if not wrong:
        return None
    if all(
        isinstance(one, tuple) and isinstance(two, tuple | list) and len(one) == len(two)
        for one, two in wrong
    ):
        return _of_several(pairs, wrong, tolerance, naming)
    tensors = [pair for pair in map(_tensors, wrong) if pair is not None]
    if len(tensors) < len(wrong):
        return None
    alike = all(one.shape == two.shape for one, two in tensors)
    for look in _VALUES if alike else _SHAPES:
        if found := look(tensors, tolerance, naming):
            return found
    return None


def _of_several(pairs: Sequence[Pair], wrong: Sequence[Pair], tolerance: float, naming: Naming) -> str | None:
    """Where several values are asked for: which of them are right in every case."""
    count = len(wrong[0][0])
    if any(len(one) != count for one, _ in wrong):
        return None
    bad = [k for k in range(count) if any(not agrees(one[k], two[k], tolerance) for one, two in wrong)]
    if count == 2 and all(agrees(one, tuple(two)[::-1], tolerance) for one, two in wrong):
        return "Both values are right, in the wrong order. Which comes first?"
    if len(bad) == 1 < count:
        parts = [(one[bad[0]], two[bad[0]]) for one, two in wrong]
        rest = pattern(parts, tolerance) or "What does it need that the others do not?"
        return f"Only {naming.value(bad[0])} is wrong, whatever the case. {rest}"
    said = {pattern([(one[k], two[k]) for one, two in wrong], tolerance) for k in bad}
    if len(said) == 1:
        return said.pop()
    return None


def _tensors(pair: Pair) -> tuple[Tensor, Tensor] | None:
    try:
        one, two = (torch.as_tensor(value).detach().double() for value in pair)
    except (TypeError, ValueError, RuntimeError):
        return None
    return one, two


Look = Callable[[list[tuple[Tensor, Tensor]], float, Naming], str | None]


def _scaled(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    one, two = (torch.cat([pair[k].flatten() for pair in pairs]) for k in (0, 1))
    if len(one) < 3 or not two.isfinite().all() or not one.isfinite().all() or len(one.unique()) < 3:
        return None
    factor = ((one * two).sum() / one.square().sum().clamp(min=1e-12)).item()
    if abs(factor) > 1e-6 and _close(two, factor * one, tolerance):
        if abs(factor + 1) < 1e-6:
            return "All your numbers are right but for their sign. Which difference is the wrong way round?"
        return (
            f"All your numbers are {number(factor)} times the expected ones. What are they divided or "
            "multiplied by?"
        )
    off = (two - one).mean().item()
    if _close(two, one + off, tolerance):
        more = "larger" if off > 0 else "smaller"
        return (
            f"All your numbers are {more} than the expected ones by {number(abs(off))}. Where does that come "
            "in?"
        )
    return None


def _formula(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    """One formula that leads from every expected number to the one that came."""
    one, two = (torch.cat([pair[k].flatten() for pair in pairs]) for k in (0, 1))
    if not (one.isfinite() & two.isfinite()).all() or len(one[one != 0].unique()) < 3:
        return None
    if _close(two, 1 - one, tolerance):
        return "Everywhere yours is 1 minus what is expected: the other share."
    if _close(two, one.trunc(), tolerance):
        return "The right numbers, cut to whole ones: // and .long() drop what stands behind the point."
    if (one > 0).all() and _close(two, 1 / one, tolerance):
        return "Everywhere yours is 1 divided by what is expected: the fraction stands on its head."
    if (one >= 0).all() and _close(two, one.square(), tolerance):
        return "Everywhere yours is the square of what is expected."
    if (one >= 0).all() and _close(two, one.sqrt(), tolerance):
        return "Everywhere yours is the square root of what is expected."
    return None


def _moved(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    if any(one.numel() < 3 or one.ndim == 0 for one, _ in pairs):
        return None
    for axis in range(min(one.ndim for one, _ in pairs)):
        if all(_close(two.flip(axis), one, tolerance) for one, two in pairs):
            return f"Your numbers are right, but along {naming.along(axis)} they come the other way round."
        for step in (1, -1):
            if all(_close(two.roll(step, axis), one, tolerance) for one, two in pairs):
                return (
                    f"Your numbers are right, but one place aside along {naming.along(axis)}. Where does "
                    "counting begin?"
                )
    if all(_close(two.flatten().sort().values, one.flatten().sort().values, tolerance) for one, two in pairs):
        return (
            "The right numbers are there, in other places. In which order do you take them, or put them down?"
        )
    return None


def _reordered(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    """Values that have names, in another order along the last axis."""
    count = len(naming.places)
    if not 2 <= count <= 4 or any(one.ndim == 0 or one.shape[-1] != count for one, _ in pairs):
        return None
    for order in permutations(range(count)):
        if all(_close(two, one[..., list(order)], tolerance) for one, two in pairs):
            names = listed([naming.places[place] for place in order])
            return (
                f"The right numbers, in another order: yours are {names}. In which order are they asked for?"
            )
    return None


def _special(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    """One value in the place of another wherever that one is expected: NaN for 0, say."""
    one, two = (torch.cat([pair[k].flatten() for pair in pairs]) for k in (0, 1))
    off = ~torch.isclose(two, one, tolerance, tolerance, True)
    if int(off.sum()) < 2 or len(one[~off].unique()) < 2:
        return None
    wanted, came = one[off][0], two[off][0]
    if not (_all_are(one[off], wanted) and _all_are(two[off], came)):
        return None
    same = one.isnan() if bool(wanted.isnan()) else one == wanted
    every = bool((same & ~off).sum() == 0)
    where = "Wherever" if every else "In some of the places where"
    return (
        f"{where} {number(float(wanted))} is expected yours is {number(float(came))}; all other numbers are "
        f"right. What does the task say of {'such a place' if every else 'those'}?"
    )


def _all_are(values: Tensor, value: Tensor) -> bool:
    return bool(values.isnan().all()) if bool(value.isnan()) else bool((values == value).all())


def _zeros(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    off = [~torch.isclose(two, one, tolerance, tolerance, True) for one, two in pairs]
    if any(bool(wrong.all()) for wrong in off):
        return None  # then there is nothing that is right
    if all(bool((one[wrong] == 0).all()) for (one, _), wrong in zip(pairs, off, strict=True)):
        return (
            "Where something belongs, all is right. But yours is not zero everywhere it should be: what is "
            "left out?"
        )
    if all(bool((two[wrong] == 0).all()) for (_, two), wrong in zip(pairs, off, strict=True)):
        return (
            "What yours holds is right, but it is zero in places where something belongs. Which ones, and "
            "why?"
        )
    return None


def _end(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    """The first or the last row of a table alone: a total, a background."""
    if any(one.ndim < 2 or len(one) < 2 for one, _ in pairs):
        return None
    for rest, name in ((slice(None, -1), "last"), (slice(1, None), "first")):
        if all(_close(two[rest], one[rest], tolerance) for one, two in pairs):
            if naming.axes:
                return f"Only the {name} {naming.axes[0]} is wrong; all others are right."
            return f"Along axis 0 only the {name} place is wrong; all others are right."
    return None


def _border(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    if any(one.ndim < 2 or min(one.shape[-2:]) < 3 for one, _ in pairs):
        return None
    if all(_close(two[..., 1:-1, 1:-1], one[..., 1:-1, 1:-1], tolerance) for one, two in pairs):
        return "Inside all is right; only the outermost rows and columns differ. What happens at the border?"
    return None


def _index(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    """Places along the last axis that alone are wrong: one coordinate of a box, the end of a list."""
    off = [~torch.isclose(two, one, tolerance, tolerance, True) for one, two in pairs]
    if len(off) < 2 or len({each.ndim for each in off}) > 1 or off[0].ndim == 0:
        return None
    if off[0].ndim == 1 and not naming.places:
        for at, name in ((0, "first"), (-1, "last")):
            if all(len(each) > 2 and bool(each[at]) and int(each.sum()) == 1 for each in off):
                return f"Only the {name} number is wrong, in every case."
        return None
    sizes = {each.shape[-1] for each in off}
    if len(sizes) > 1 or not 2 <= max(sizes) <= 8:
        return None
    bad = torch.stack([each.reshape(-1, each.shape[-1]).any(0) for each in off]).any(0)
    if bool(bad.all()):
        return None
    places = bad.nonzero().flatten().tolist()
    if len(bad) == len(naming.places):
        words = listed([naming.places[place] for place in places])
    elif len(naming.axes) == off[0].ndim:
        noun = naming.axes[-1] if len(places) == 1 else plural(naming.axes[-1])
        words = f"{noun} {listed([str(place) for place in places])}"
    else:
        return None
    return f"Only {words} {'is' if len(places) == 1 else 'are'} wrong; the others are right in every case."


def _near(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    gap = max(((two - one).abs().max() / one.abs().max().clamp(min=1e-12)).item() for one, two in pairs)
    if sum(one.numel() for one, _ in pairs) >= 4 and gap <= 0.05:
        return (
            f"You are near: within {100 * gap:.1g} % of the largest number, in every case. What small part "
            "is left out, counted twice, or not finished?"
        )
    return None


def _longer(pairs: list[tuple[Tensor, Tensor]], tolerance: float, naming: Naming) -> str | None:
    """Shapes that differ along one axis: too many or too few of something, the others right."""
    if any(one.ndim != two.ndim or one.ndim == 0 for one, two in pairs):
        return None
    axes = {k for one, two in pairs for k in range(one.ndim) if one.shape[k] != two.shape[k]}
    if len(axes) != 1:
        return None
    axis = axes.pop()
    more = [two.shape[axis] - one.shape[axis] for one, two in pairs]
    if not (all(each > 0 for each in more) or all(each < 0 for each in more)):
        return None
    many = more[0] > 0
    rows = [[pair[k].movedim(axis, 0)[..., None].flatten(1) for k in (0, 1)] for pair in pairs]
    few, all_of = (0, 1) if many else (1, 0)
    if all(_among(pair[few], pair[all_of], tolerance) for pair in rows):
        end = "among yours are all that are expected, and more" if many else "those that you have are right"
        ask = "Which ones do not belong there" if many else "Which ones are missing"
        return (
            f"Along {naming.along(axis)} you have too {'many' if many else 'few'}: {end}. {ask}, in the "
            "smallest case?"
        )
    return None


def _among(few: Tensor, many: Tensor, tolerance: float) -> bool:
    """Whether each row of few is a row of many."""
    if few.shape[1] != many.shape[1]:
        return False
    return all(torch.isclose(many, row, tolerance, tolerance, True).all(1).any() for row in few)


def _close(one: Tensor, two: Tensor, tolerance: float) -> bool:
    return one.shape == two.shape and bool(torch.isclose(one, two, tolerance, tolerance, True).all())


_VALUES: tuple[Look, ...] = (
    _scaled,
    _formula,
    _reordered,
    _moved,
    _index,
    _special,
    _zeros,
    _end,
    _border,
    _near,
)
_SHAPES: tuple[Look, ...] = (_longer,)


def examples(noted: Sequence[tuple[str, bool]], others_wrong: bool) -> str | None:
    """Which examples fail, where most of them pass: what those try is what is not understood.

    Args:
        noted: What each example tries, and whether it came out wrong.
        others_wrong: Whether a random case did.
    """
    wrong = [note for note, bad in noted if bad]
    if not wrong and others_wrong:
        return "All examples pass; only random cases fail. What do those have that the examples lack?"
    if not wrong or 2 * len(wrong) > len(noted):
        return None
    notes = "; ".join(wrong[:2]) + ("; ..." if len(wrong) > 2 else "")
    right = len(noted) - len(wrong)
    return f"{right} of {len(noted)} examples are right. Wrong: {notes}. What is different there?"
