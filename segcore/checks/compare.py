"""Is a result what was expected, and if not, what kind of difference is it?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch

from segcore.checks.naming import Naming
from segcore.checks.show import number, summary

__all__ = ["Difference", "agrees", "difference", "differing"]

_PLAIN = Naming()


@dataclass(frozen=True)
class Difference:
    """What differs: its kind (a word the engine has a hint for) and one sentence with the figures."""

    kind: str
    text: str


def agrees(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two results are the same numbers, whatever their type of number and container."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(agrees(one[key], other[key], tolerance) for key in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(
            agrees(*pair, tolerance) for pair in zip(one, other, strict=True)
        )
    try:
        first, second = (torch.as_tensor(value).detach() for value in (one, other))
        return first.shape == second.shape and not bool(_off(first, second, tolerance).any())
    except (TypeError, ValueError, RuntimeError):
        with suppress(Exception):  # of what a reader returns: tensors without numbers, a == that raises
            return type(one) is type(other) and bool(one == other)
        return False


def _off(expected: torch.Tensor, got: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Where two tensors of one shape differ; whole numbers and truth values must be equal, NaN equals NaN."""
    if expected.is_complex() or got.is_complex():
        return ~torch.isclose(
            got.to(torch.complex128), expected.to(torch.complex128), tolerance, tolerance, True
        )
    return ~torch.isclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


def differing(expected: Any, got: Any, tolerance: float) -> Any:
    """Where two results differ: a mask for tensors of one shape, a list for containers, True for numbers.

    None where nothing can be set beside anything, as for another shape: there no cell is to blame.
    """
    if isinstance(expected, tuple | list) and isinstance(got, tuple | list):
        pairs = zip_longest(expected, got, fillvalue=...)
        return [one is ... or two is ... or differing(one, two, tolerance) for one, two in pairs]
    numbers = (bool, int, float)
    if isinstance(expected, numbers) and isinstance(got, numbers):
        return not agrees(expected, got, tolerance)
    if isinstance(expected, torch.Tensor) and isinstance(got, torch.Tensor) and expected.shape == got.shape:
        return _off(expected.detach(), got.detach(), tolerance)
    return None


def difference(expected: Any, got: Any, tolerance: float, naming: Naming = _PLAIN) -> Difference | None:
    """The first thing that is wrong with a result, or None.

    Args:
        expected: What should come.
        got: What came.
        tolerance: Largest allowed difference, absolute and relative.
        naming: The task's words for what stands where in it.
    """
    path: list[int | str] = []
    tuples: list[bool] = []
    found = _first(expected, got, tolerance, path, tuples)
    if found is None or not path:
        return found
    where = naming.at(path, tuples)
    text = found.text[0].lower() + found.text[1:]
    if where.startswith("["):
        return Difference(found.kind, f"At {where}: {text}")
    return Difference(found.kind, f"{where[0].upper()}{where[1:]}: {text}")


def _first(
    expected: Any, got: Any, tolerance: float, path: list[int | str], tuples: list[bool]
) -> Difference | None:
    """The first thing that is wrong; where it stands is noted in `path`, and in what in `tuples`."""

    def inside(place: int | str, one: Any, two: Any) -> Difference | None:
        path.append(place)
        tuples.append(isinstance(expected, tuple))
        if found := _first(one, two, tolerance, path, tuples):
            return found
        path.pop()
        tuples.pop()
        return None

    if got is None and expected is not None and path:
        return Difference("nothing", f"None came; expected: {summary(expected)}.")
    if got is None and expected is not None:
        return Difference("nothing", f"Your function returned None; expected: {summary(expected)}.")
    if isinstance(expected, torch.Tensor):
        return _tensor(expected, got, tolerance)
    if isinstance(expected, bool | int | float):
        return _scalar(expected, got, tolerance)
    if isinstance(expected, tuple | list):
        if not isinstance(got, tuple | list):
            return Difference("type", f"Expected {summary(expected)}; came: {summary(got)}.")
        if len(got) != len(expected):
            return Difference("length", f"Expected {len(expected)} values, {len(got)} came.")
        for index, pair in enumerate(zip(expected, got, strict=True)):
            if found := inside(index, *pair):
                return found
        return None
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return Difference(
                "type", f"Expected a dict with the keys {list(expected)}; came: {summary(got)}."
            )
        for key in expected:
            if found := inside(key, expected[key], got[key]):
                return found
        return None
    if type(got) is not type(expected):
        return Difference("type", f"Expected {summary(expected)}; came: {summary(got)}.")
    return (
        None
        if got == expected
        else Difference("value", f"Expected {summary(expected)}; came: {summary(got)}.")
    )


def _scalar(expected: bool | int | float, got: Any, tolerance: float) -> Difference | None:
    size = got.numel() if isinstance(got, torch.Tensor) else getattr(got, "size", 1)
    if isinstance(got, str | bytes | tuple | list | dict) or size != 1:
        return Difference("type", f"Expected one number; came: {summary(got)}.")
    try:
        value = torch.as_tensor(got).reshape(())
    except (TypeError, ValueError, RuntimeError):
        return Difference("type", f"Expected one number; came: {summary(got)}.")
    found = _values(torch.tensor(expected), value, tolerance)
    if found is None and type(expected) is int and value.is_floating_point():
        text = f"The value is right, but a whole number is expected, {expected}; {summary(got)} came."
        return Difference("whole", text)
    return found


def _tensor(expected: torch.Tensor, got: Any, tolerance: float) -> Difference | None:
    if not isinstance(got, torch.Tensor):
        if expected.ndim == 0 and isinstance(got, bool | int | float):
            return _values(expected, torch.tensor(got), tolerance)
        kind = (
            "numpy"
            if type(got).__module__ == "numpy"
            else "list"
            if isinstance(got, tuple | list)
            else "type"
        )
        return Difference(kind, f"Expected a {summary(expected)}; came: {summary(got)}.")
    got = got.detach()
    if got.shape != expected.shape:
        return _shape(expected, got, tolerance)
    if got.is_sparse or got.device != expected.device:
        return Difference("type", f"Expected a dense tensor on {expected.device}; came: one on {got.device}.")
    found = _values(expected, got, tolerance)
    if found is None and got.dtype != expected.dtype:
        names = [str(value.dtype).removeprefix("torch.") for value in (expected, got)]
        return Difference(
            "dtype", f"The values are right, but expected as {names[0]}; they came as {names[1]}."
        )
    return found


def _shape(expected: torch.Tensor, got: torch.Tensor, tolerance: float) -> Difference:
    text = f"Expected the shape {tuple(expected.shape)}; came: {tuple(got.shape)}."
    if got.ndim == expected.ndim and got.ndim >= 2 and got.mT.shape == expected.shape:
        same = agrees(expected, got.mT, tolerance)
        return Difference("transposed", text + (" Transposed, the values are right." if same else ""))
    squeezed = got.squeeze(), expected.squeeze()
    if squeezed[0].shape == squeezed[1].shape and agrees(squeezed[1], squeezed[0], tolerance):
        # As many axes, in other places: maps joined along another axis, say. Then none is missing.
        kind = "ones" if got.ndim != expected.ndim else "shape"
        return Difference(kind, text + " The numbers are right.")
    return Difference("shape", text)


def _values(expected: torch.Tensor, got: torch.Tensor, tolerance: float) -> Difference | None:
    off = _off(expected, got, tolerance)
    count = int(off.sum())
    if count == 0:
        return None
    if got.is_complex():
        return Difference("type", "Expected real numbers; complex ones came.")
    gap = (got.double() - expected.double()).abs()
    odd = ~got.isfinite() & expected.isfinite()
    gap = torch.where(off, gap.nan_to_num(float("inf"), float("inf")), -1.0)
    flat = int(gap.argmax())
    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), gap.shape)) if gap.ndim else ()
    values = [number(value[index].item()) for value in (expected, got)]
    where = f" at [{', '.join(map(str, index))}]" if index else ""
    text = f"{count} of {off.numel()} values differ, most{where}: expected {values[0]}, got {values[1]}."
    if off.numel() == 1:
        text = f"Expected {values[0]}, got {values[1]}."
    if bool((odd & off).any()):
        return Difference("nan" if bool(got.isnan().any()) else "infinite", text)
    return Difference("near" if _rounded(expected, got) else "value", text)


def _rounded(expected: torch.Tensor, got: torch.Tensor) -> bool:
    """Whether the values are the expected ones in another precision, or rounded to some decimals."""
    if not (got.is_floating_point() and expected.is_floating_point()) or expected.numel() < 2:
        return False
    if len(got.unique()) < 3:  # zeros and ones may be anything, not only what is left of rounding
        return False
    double = expected.double()
    ways = [expected.to(dtype).double() for dtype in (torch.float16, torch.bfloat16)]
    ways += [double.round(decimals=places) for places in range(5)]
    return any(torch.allclose(got.double(), way, rtol=1e-6, atol=1e-7, equal_nan=True) for way in ways)
