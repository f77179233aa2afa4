"""What comes in: one vocabulary for what the course's functions take, and one form for what they refuse.

Each function looks at one argument, or at two that belong together, and gives the value back in the form that
the caller goes on with. Each message says what was expected, what came and what to do. A wrong type raises
`TypeError`, everything else `ValueError`. What only one module asks stays in that module.

A tensor's *form* names its axes: ``"N C H W"``, ``"K 4"``, ``"... h w"``; several forms stand apart by ``|``.
A number is a size that must be met, the names in `COUNTS` may be 0 (a batch may be empty), all other names
are 1 or more, and ``...`` stands for any number of axes.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "boxes",
    "color_image",
    "filled",
    "finite",
    "floating",
    "full_precision",
    "image",
    "instance",
    "integer",
    "label_map",
    "masks",
    "number",
    "option",
    "pair",
    "points",
    "same_kind",
    "same_place",
    "same_shape",
    "several",
    "size_of",
    "tensor",
    "whole",
]

COUNTS = {"N", "K", "P", "M"}  # axes that count things, of which there may be none
IGNORE = 255  # the label that no pixel is scored by


# --- Tensors ---


def tensor(value: Any, name: str, form: str) -> Tensor:
    """The value, once it is a tensor of this form.

    Args:
        value: what the caller was given.
        name: what the caller calls it.
        form: its axes, as in the module's docstring.

    Raises:
        TypeError: if it is no tensor.
        ValueError: if its axes are others, one of them is empty, or it is sparse.

    Example:
        >>> tensor(torch.zeros(2, 3), "weights", "N C H W")
        Traceback (most recent call last):
        ...
        ValueError: expected weights of shape (N, C, H, W), got (2, 3); reshape it
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"expected {name} as a tensor {_text(form)}, got {type(value).__name__}; "
            f"use torch.as_tensor({name})"
        )
    if value.layout != torch.strided:
        raise ValueError(f"expected {name} as a dense tensor, got {value.layout}; use {name}.to_dense()")
    shape = tuple(value.shape)
    if not any(_fits(shape, each.split()) for each in form.split("|")):
        raise ValueError(f"expected {name} of shape {_text(form)}, got {shape}; {_cure(shape, name, form)}")
    return value


def floating(value: Any, name: str, form: str) -> Tensor:
    """The value, once it is a floating-point tensor of this form.

    Example:
        >>> floating(torch.arange(4), "scores", "K")
        Traceback (most recent call last):
        ...
        ValueError: expected scores in floating point, got torch.int64; convert with scores.float()
    """
    if not tensor(value, name, form).is_floating_point():
        raise ValueError(f"expected {name} in floating point, got {value.dtype}; convert with {name}.float()")
    return value


def integer(value: Any, name: str, form: str) -> Tensor:
    """The value, once it is a tensor of this form in int64.

    Example:
        >>> integer(torch.zeros(2, 2), "indices", "H W")
        Traceback (most recent call last):
        ...
        ValueError: expected indices in int64, got torch.float32; convert with indices.long()
    """
    if tensor(value, name, form).dtype != torch.int64:
        raise ValueError(f"expected {name} in int64, got {value.dtype}; convert with {name}.long()")
    return value


def filled(value: Tensor, name: str) -> Tensor:
    """The tensor, once it holds numbers: one on the meta device has a shape and nothing else.

    Example:
        >>> filled(torch.zeros(2, device="meta"), "scores")
        Traceback (most recent call last):
        ...
        ValueError: expected scores with numbers in it, got a tensor on the meta device; make it ...
    """
    if value.is_meta:
        raise ValueError(
            f"expected {name} with numbers in it, got a tensor on the meta device; make it on another device"
        )
    return value


def full_precision(value: Tensor) -> AbstractContextManager:
    """No autocast while a tensor is worked on: for what must stay as precise as it came in.

    Example:
        >>> ones = torch.ones(1, 1)
        >>> with torch.autocast("cpu", torch.bfloat16), full_precision(ones):
        ...     (ones @ ones).dtype
        torch.float32
    """
    kind = value.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def finite(value: Tensor, name: str, cure: str) -> Tensor:
    """The tensor, once it holds neither NaN nor infinity.

    Example:
        >>> finite(torch.tensor([0.0, float("nan")]), "scores", "drop them first")
        Traceback (most recent call last):
        ...
        ValueError: expected finite scores, got nan at (1,); drop them first
    """
    wrong = ~value.isfinite()
    if not value.is_meta and bool(wrong.any()):
        place = _first(wrong)
        raise ValueError(f"expected finite {name}, got {value[place].item()} at {place}; {cure}")
    return value


# --- What the tensors of this course mean ---


def image(value: Any, name: str = "image", channels: int | None = None, form: str = "N C H W") -> Tensor:
    """The value, once it is an image, or a batch of them, in floating point.

    Args:
        value: what the caller was given.
        name: what the caller calls it.
        channels: how many it must have; any number by default.
        form: ``"N C H W"`` for a batch, ``"C H W"`` for one image; ``C`` gives way to `channels`.

    Raises:
        TypeError: if it is no tensor.
        ValueError: if it has other axes or channels, no pixels, or whole numbers.

    Example:
        >>> image(torch.zeros(3, 8, 8))
        Traceback (most recent call last):
        ...
        ValueError: expected image of shape (N, C, H, W), got (3, 8, 8); add the missing axis with image[None]
    """
    if channels is not None:
        form = form.replace("C", str(channels))
    if not tensor(value, name, form).is_floating_point():
        raise ValueError(
            f"expected {name} in floating point, got {value.dtype}; convert with {name}.float() / 255"
        )
    return value


def color_image(value: Any, name: str = "image") -> Tensor:
    """The value, once it is one colour image ``(3, H, W)`` of finite numbers in [0, 1].

    Raises:
        TypeError: if it is no tensor.
        ValueError: if it has other axes or channels, no pixels, whole numbers, or values outside [0, 1].

    Example:
        >>> color_image(torch.zeros(1, 8, 8))
        Traceback (most recent call last):
        ...
        ValueError: expected image of shape (3, H, W), got (1, 8, 8); repeat grey with image.expand(3, -1, -1)
    """
    if isinstance(value, Tensor) and (value.ndim == 2 or (value.ndim == 3 and len(value) in (1, 4))):
        alpha = value.ndim == 3 and len(value) == 4
        cure = f"drop alpha with {name}[:3]" if alpha else f"repeat grey with {name}.expand(3, -1, -1)"
        raise ValueError(f"expected {name} of shape (3, H, W), got {tuple(value.shape)}; {cure}")
    image(value, name, channels=3, form="C H W")
    low, high = finite(filled(value, name).detach(), name, "replace such pixels first").aminmax()
    if low < 0 or high > 1:
        cure = "divide by 255" if low >= 0 and high > 2 else f"clamp it with {name}.clamp(0, 1)"
        raise ValueError(f"expected {name} from 0 to 1, got {low.item():g} to {high.item():g}; {cure}")
    return value


def label_map(
    value: Any,
    name: str = "labels",
    num_classes: int | None = None,
    ignore_index: int | None = IGNORE,
    form: str = "H W | N H W",
) -> Tensor:
    """The value, once it is a map of labels in int64 that are classes or ignored.

    Args:
        value: what the caller was given.
        name: what the caller calls it.
        num_classes: labels run from 0 to one less; without it any label from 0 will do.
        ignore_index: the label that is no class; None allows none.
        form: its axes.

    Raises:
        TypeError: if it is no tensor, or `ignore_index` is neither whole nor None.
        ValueError: if it has other axes or another dtype, or holds a label that is no class.

    Example:
        >>> label_map(torch.tensor([[0, 7]]), num_classes=3)
        Traceback (most recent call last):
        ...
        ValueError: expected labels from 0 to 2, or 255 (ignored), got 7 at (0, 1); map it to a class, ...
    """
    if isinstance(value, Tensor) and value.is_floating_point():
        cure = f"take argmax over the axis of classes, or convert whole numbers with {name}.long()"
        raise ValueError(f"expected {name} in int64, got {value.dtype} {tuple(value.shape)}; {cure}")
    integer(value, name, form)
    wrong = value < 0 if num_classes is None else (value < 0) | (value >= num_classes)
    if ignore_index is not None:
        wrong &= value != whole(ignore_index, "ignore_index", least=-sys.maxsize)
    if not value.is_meta and bool(wrong.any()):
        place = _first(wrong)
        known = f"from 0 to {num_classes - 1}" if num_classes is not None else "of 0 or more"
        ignored = "" if ignore_index is None else f", or {ignore_index} (ignored)"
        raise ValueError(
            f"expected {name} {known}{ignored}, got {value[place].item()} at {place}; map it to a class"
            + ("" if ignore_index is None else ", or set ignore_index")
        )
    return value


def masks(value: Any, name: str = "masks", form: str = "N H W") -> Tensor:
    """The value, once it is a stack of masks in bool.

    Example:
        >>> masks(torch.zeros(1, 4, 4))
        Traceback (most recent call last):
        ...
        ValueError: expected masks in bool, got torch.float32; compare first, as in masks > 0.5
    """
    if tensor(value, name, form).dtype != torch.bool:
        raise ValueError(f"expected {name} in bool, got {value.dtype}; compare first, as in {name} > 0.5")
    return value


def boxes(value: Any, name: str = "boxes", form: str = "N 4") -> Tensor:
    """The value, once its rows end with x1, y1, x2, y2 in order, all of them finite real numbers.

    Example:
        >>> boxes(torch.tensor([[4.0, 0.0, 2.0, 3.0]]))
        Traceback (most recent call last):
        ...
        ValueError: expected x1 <= x2 and y1 <= y2, got boxes[0] = (4, 0, 2, 3); order the corners ...
    """
    finite(_real(tensor(value, name, form), name), name, "drop such boxes first")
    wrong = (value[..., -4:-2] > value[..., -2:]).any(-1)
    if not value.is_meta and bool(wrong.any()):
        row = int(wrong.nonzero()[0, 0])
        numbers = ", ".join(f"{each:g}" for each in value[row, -4:].tolist())
        raise ValueError(
            f"expected x1 <= x2 and y1 <= y2, got {name}[{row}] = ({numbers}); order the corners (or convert "
            "from x, y, width, height)"
        )
    return value


def points(value: Any, name: str = "points", form: str = "P 2") -> Tensor:
    """The value, once it is a list of points x, y, all of them finite real numbers.

    Example:
        >>> points(torch.zeros(2))
        Traceback (most recent call last):
        ...
        ValueError: expected points of shape (P, 2), got (2,); add the missing axis with points[None]
    """
    return finite(_real(tensor(value, name, form), name), name, "drop those points first")


# --- Two that belong together ---


def same_place(value: Tensor, name: str, other: Tensor, other_name: str) -> Tensor:
    """The tensor, once it lies on the device of the other one."""
    if value.device != other.device:
        raise ValueError(
            f"expected {name} on the device of {other_name}, {other.device}, got {value.device}; "
            f"move it with {name}.to({other_name}.device)"
        )
    return value


def same_kind(value: Tensor, name: str, other: Tensor, other_name: str) -> Tensor:
    """The tensor, once it has the dtype and the device of the other one.

    Example:
        >>> same_kind(torch.zeros(1, dtype=torch.float64), "weight", torch.zeros(1), "x")
        Traceback (most recent call last):
        ...
        ValueError: expected weight as torch.float32 on cpu, like x, got torch.float64 on cpu; ...
    """
    if (value.dtype, value.device) != (other.dtype, other.device):
        raise ValueError(
            f"expected {name} as {other.dtype} on {other.device}, like {other_name}, got {value.dtype} on "
            f"{value.device}; convert with {name}.to({other_name})"
        )
    return value


def same_shape(
    value: Tensor, name: str, other: Tensor, other_name: str, cure: str = "make them alike"
) -> Tensor:
    """The tensor, once it has the shape of the other one.

    Example:
        >>> same_shape(torch.zeros(2), "target", torch.zeros(3), "prediction")
        Traceback (most recent call last):
        ...
        ValueError: expected target of the shape of prediction, (3,), got (2,); make them alike
    """
    if value.shape != other.shape:
        raise ValueError(
            f"expected {name} of the shape of {other_name}, {tuple(other.shape)}, "
            f"got {tuple(value.shape)}; {cure}"
        )
    return value


# --- Numbers and options ---


def whole(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """The value as an int of at least `least`, and of at most `most`; floats and booleans are refused.

    Go on with what it returns: what came may be a tensor or a NumPy number. No limit means what int64 holds.

    Example:
        >>> whole(2.5, "stride")
        Traceback (most recent call last):
        ...
        TypeError: expected stride as a whole number, got 2.5; round it first if that is what you mean
        >>> whole(0, "stride")
        Traceback (most recent call last):
        ...
        ValueError: expected stride of at least 1, got 0; give 1 or more
    """
    if isinstance(value, torch.SymInt):  # a size that torch.export leaves open
        return value  # type: ignore[return-value]
    try:
        if isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool):
            raise TypeError
        found = operator.index(value)
    except (TypeError, RuntimeError):  # the latter from a tensor on the meta device
        raise TypeError(
            f"expected {name} as a whole number, got {value!r}; round it first if that is what you mean"
        ) from None
    if found < least:
        raise ValueError(f"expected {name} of at least {least}, got {found}; give {least} or more")
    most = sys.maxsize if most is None else most
    if found > most:
        raise ValueError(f"expected {name} of at most {most}, got {found}; give {most} or less")
    return found


def pair(value: Any, name: str, least: int = 1, axes: str = "y, x") -> tuple[int, int]:
    """One whole number for both axes, or one for each, as two ints of at least `least`.

    Example:
        >>> pair(3, "kernel"), pair((1, 2), "kernel")
        ((3, 3), (1, 2))
        >>> pair((1, 2, 3), "kernel")
        Traceback (most recent call last):
        ...
        ValueError: expected kernel as one whole number or (y, x), got (1, 2, 3); give two
    """
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(f"expected {name} as one whole number or ({axes}), got {value!r}; give two")
    return whole(both[0], name, least), whole(both[1], name, least)


def number(
    value: Any, name: str, least: float = -math.inf, above: float = -math.inf, most: float = math.inf
) -> float:
    """The value as a finite float of at least `least`, above `above` and at most `most`.

    Strings and booleans are refused, as is a tensor of more than one number. Go on with what it returns.

    Example:
        >>> number(0, "spatial_scale", above=0)
        Traceback (most recent call last):
        ...
        ValueError: expected spatial_scale as a finite number above 0, got 0; give such a number
    """
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        found = float(value)
    except OverflowError:
        found = math.inf
    except (TypeError, ValueError, RuntimeError):  # the last from a tensor of several numbers, or of none
        raise TypeError(f"expected {name} as a number, got {value!r}; convert it with float(...)") from None
    if not (math.isfinite(found) and found >= least and found > above and found <= most):
        limits = [
            f"of at least {least:g}" if least > -math.inf else "",
            f"above {above:g}" if above > -math.inf else "",
            f"of at most {most:g}" if most < math.inf else "",
        ]
        wanted = " and ".join(each for each in limits if each)
        raise ValueError(
            f"expected {name} as a finite number{wanted and ' ' + wanted}, got {value!r}; give such a number"
        )
    return found


def option(value: Any, name: str, known: Collection[Any]) -> Any:
    """The value, once it is one of those that are known.

    Example:
        >>> option("full", "padding", ("same", "valid"))
        Traceback (most recent call last):
        ...
        ValueError: expected padding as one of 'same', 'valid', got 'full'; choose one of them
    """
    try:
        is_known = value in known
    except (TypeError, ValueError, RuntimeError):  # what has no hash, and arrays, which compare one by one
        is_known = False
    if not is_known:
        names = ", ".join(repr(each) for each in known)
        raise ValueError(f"expected {name} as one of {names}, got {value!r}; choose one of them")
    return value


def several(value: Any, name: str, example: str) -> list[Any]:
    """What a list or another sequence holds; no string, no dict, no set, which has no order.

    Example:
        >>> several(0.5, "scales", "(0.5, 1.0)")
        Traceback (most recent call last):
        ...
        TypeError: expected scales as a list, got 0.5; give such as (0.5, 1.0)
    """
    try:
        if isinstance(value, (str, bytes, Mapping, Set)):
            raise TypeError
        return list(value)
    except TypeError:  # what has no elements, a tensor without axes among it
        raise TypeError(f"expected {name} as a list, got {value!r}; give such as {example}") from None


def instance(value: Any, name: str, kind: type, cure: str = "pass an instance, not its class") -> Any:
    """The value, once it is an instance of this class."""
    if not isinstance(value, kind):
        got = value.__name__ + " itself" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"expected {name} as an instance of {kind.__name__}, got {got}; {cure}")
    return value


# --- Words ---


def size_of(size: Sequence[Any]) -> str:
    """A size in words: ``224 × 224``."""
    return " × ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in size)


def _text(form: str) -> str:
    """A form as people write shapes, such as (N, C, H, W)."""
    texts = []
    for each in form.split("|"):
        axes = each.split()
        texts.append(f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})")
    return " or ".join(texts)


def _fits(shape: tuple[int, ...], axes: list[str]) -> bool:
    """Whether a shape has these axes."""
    if axes[:1] == ["..."]:
        axes = axes[1:]
        shape = shape[max(len(shape) - len(axes), 0) :]
    return len(shape) == len(axes) and all(
        size == int(axis) if axis.isdecimal() else size > 0 or axis in COUNTS
        for size, axis in zip(shape, axes, strict=True)
    )


def _cure(shape: tuple[int, ...], name: str, form: str) -> str:
    """What to do with a tensor of another shape."""
    forms = [[axis for axis in each.split() if axis != "..."] for each in form.split("|")]
    if 0 in shape and any(len(shape) == len(axes) for axes in forms):
        return "an axis is empty: check the slicing"
    for axes in forms:
        if len(shape) == len(axes) - 1 and _fits(shape, axes[1:]):
            return f"add the missing axis with {name}[None]"
        if len(shape) == len(axes) + 1 and _fits(shape[1:], axes):
            return "pass them one by one" if shape[0] > 1 else f"take the first axis away with {name}[0]"
        if len(shape) == len(axes) == 2 and _fits(shape[::-1], axes):
            return f"turn it over with {name}.T"
        turned = (*shape[:-3], *(shape[-1:] + shape[-3:-1])) if len(shape) >= 3 else shape
        if shape[-1:] in ((1,), (3,), (4,)) and len(shape) == len(axes) and _fits(turned, axes):
            return f"put the channels first with {name}.movedim(-1, {len(shape) - 3})"
    return "reshape it"


def _first(wrong: Tensor) -> tuple[int, ...]:
    """The place of the first True."""
    return tuple(wrong.nonzero()[0].tolist())


def _real(value: Tensor, name: str) -> Tensor:
    """The tensor, once it holds real numbers."""
    if value.is_complex() or value.dtype == torch.bool:
        raise ValueError(f"expected {name} as real numbers, got {value.dtype}; convert with {name}.float()")
    return value
