"""Values as short plain text, the same on every machine: no addresses, no paths, no print options.

With marks, as `compare.differing` makes them, the numbers that differ end with a ``*``.
"""

from __future__ import annotations

import re
from types import FunctionType
from typing import Any

import torch

__all__ = ["aligned", "beside", "block", "clean", "number", "summary"]

WHOLE = 64  # tensors up to this many elements are printed whole
SCANNED = 10_000_000  # larger ones are not even looked through
WIDTH = 96  # two blocks stand side by side where they fit
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{5,}\b")
_FOLDERS = re.compile(r"(?<![\w.)\]/\\])(?:[A-Za-z]:[\\/]+|/)(?:[^\s'\":,;<>()\\/]+[\\/]+)+")
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def clean(text: str, limit: int = 400) -> str:
    """Text of the reader's or of an error, short, without addresses, folders and control characters."""
    text = _CONTROL.sub("", _FOLDERS.sub("", _ADDRESS.sub("0x...", str(text)[: 20 * limit])))
    return text if len(text) <= limit else text[:limit].rstrip() + " ..."


def number(value: float | int | bool) -> str:
    """A number with four significant digits at most; whole numbers without a point that says nothing."""
    if isinstance(value, bool | int):
        return str(value)
    text = f"{value:.4g}"
    return "0" if text == "-0" else text


def summary(value: Any) -> str:
    """Kind and size of a value in a few words."""
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        shape = f"({', '.join(map(str, value.shape))}{',' if value.ndim == 1 else ''})"
        text = f"{kind} tensor of shape {shape}"
        real = not value.is_complex() and not value.is_sparse and not value.is_meta
        if WHOLE < value.numel() <= SCANNED and real:
            numbers = value.detach().double()
            finite = numbers[numbers.isfinite()]
            if finite.numel():
                text += f", values from {number(finite.min().item())} to {number(finite.max().item())}"
        return text
    if type(value).__module__ == "numpy" and hasattr(value, "shape"):
        return f"NumPy array ({clean(str(value.dtype))}) of shape {tuple(value.shape)}"
    if isinstance(value, bool | int | float):
        return f"{type(value).__name__} {number(value)}"
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, str):
        return f"text {clean(value, 60)!r}"
    if isinstance(value, FunctionType):
        says = (value.__doc__ or "").strip().partition("\n")[0]
        return clean(f"function {value.__name__}{says and ': '}{says}", 100)
    return f"a value of type {type(value).__name__}"


def _rows(value: torch.Tensor, entries: list[str]) -> list[str]:
    """The entries of a tensor, all of one width, in its brackets."""
    if value.ndim == 0:
        return entries[:1]
    if value.ndim == 1:
        return [f"[{' '.join(entries)}]"]
    lines: list[str] = []
    share = len(entries) // len(value)
    for index, part in enumerate(value):
        inner = _rows(part, entries[index * share : (index + 1) * share])
        lines += [(("[" if index == 0 else " ") if at == 0 else " ") + line for at, line in enumerate(inner)]
    return [*lines[:-1], lines[-1] + "]"]


def _entries(value: torch.Tensor, marks: Any) -> list[str]:
    """The numbers of a tensor; where some are marked, the others keep room for the mark."""
    items = [item.item() for item in value.detach().reshape(-1)]
    texts = [str(item) if isinstance(item, complex) else number(item) for item in items]
    if isinstance(marks, torch.Tensor) and bool(marks.any()):
        texts = [text + " *"[bool(mark)] for text, mark in zip(texts, marks.reshape(-1), strict=True)]
    width = max(map(len, texts))
    return [text.rjust(width) for text in texts]


def block(value: Any, marks: Any = None) -> list[str]:
    """A small value written out in full, one string a line; a large one by its summary. Never raises."""
    try:
        return _block(value, marks)
    except Exception:  # a list that holds itself, a tensor without values, whatever a reader may think of
        return [f"a value of type {type(value).__name__}"]


def _block(value: Any, marks: Any) -> list[str]:
    if isinstance(value, torch.Tensor) and not value.is_sparse and 0 < value.numel() <= WHOLE:
        return _rows(value.detach(), _entries(value, marks))
    if isinstance(value, bool | int | float):
        return [number(value) + "*" * (marks is True)]
    if isinstance(value, tuple | list) and (text := _plain(value, marks)) and len(text) <= WIDTH:
        return [text]
    if isinstance(value, tuple | list) and len(value) <= 8 and value:
        lines: list[str] = []
        for index, item in enumerate(value):
            lines += aligned(f"[{index}] ", _block(item, _part(marks, index)))
        return lines
    return [summary(value)]


def _part(marks: Any, index: int) -> Any:
    return marks[index] if isinstance(marks, list) else marks


def _plain(value: Any, marks: Any) -> str:
    """Numbers in tuples and lists, however deep, as one writes them in Python; "" for anything else."""
    if type(value) in (bool, int, float):
        return number(value) + "*" * (marks is True)
    if type(value) not in (tuple, list):
        return ""
    parts = [_plain(item, _part(marks, index)) for index, item in enumerate(value)]
    inner = ", ".join(parts) + ("," if type(value) is tuple and len(value) == 1 else "")
    return "" if not all(parts) else f"({inner})" if type(value) is tuple else f"[{inner}]"


def aligned(label: str, lines: list[str]) -> list[str]:
    """A label before the first line, and as much room before the others."""
    return [label + lines[0], *(" " * len(label) + line for line in lines[1:])]


def beside(*columns: list[str]) -> list[str]:
    """Two blocks of lines side by side where they fit, else one below the other."""
    left, right = columns
    width = max(map(len, left))
    if width + 4 + max(map(len, right)) > WIDTH:
        return [*left, *right]
    height = max(len(left), len(right))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [f"{one.ljust(width)}    {two}".rstrip() for one, two in zip(*padded, strict=True)]
