"""Hints for faults that any exercise may meet: what came back, what was raised, and at which line."""

from __future__ import annotations

import inspect
import linecache
import os
import sysconfig
import traceback
from collections.abc import Callable
from typing import Any

from segcore.checks.exercise import Case, Exercise
from segcore.checks.show import clean

__all__ = ["HINTS", "error_hint", "error_text", "is_stub", "reader_line", "signature_fault"]

HINTS = {
    "nothing": "A function without return gives None. Does every way through yours end with return?",
    "numpy": "A torch tensor is asked: torch.from_numpy makes one of an array. Where a gradient is to flow, "
    "compute with tensors all the way.",
    "list": "Gather the values in one tensor: torch.stack joins tensors along a new axis, torch.tensor "
    "takes numbers.",
    "type": "Compare what your function returns with what its docstring promises.",
    "length": "Compare what your function returns with what its docstring promises.",
    "transposed": "Two axes are exchanged. Rows (y) come before columns (x) in a tensor.",
    "ones": "The numbers are there, an axis of length 1 is too many, missing or in another place. Look for "
    "keepdim, unsqueeze, a slice or the order of the axes.",
    "shape": "Write the shape behind each line of your function as a comment; where is the first that "
    "surprises you?",
    "dtype": "Mind what changes the kind of number: .double(), .long(), NumPy, or new tensors made without "
    "dtype=...",
    "whole": "Whole numbers are asked: sizes and counts are used as they are. / gives a "
    "float, 2.0; // divides whole numbers.",
    "nan": "NaN comes from 0 / 0, from 0 times infinity (0 times log 0 is that), from inf - inf, or from the "
    "root of a negative number. Which of them can happen here?",
    "infinite": "An infinite value comes from a division by zero. Which division can meet a zero here?",
    "near": "These are the right values, rounded. Did you round, or go through half precision, on the way?",
    "value": "Follow the smallest case, which the next hint shows, by hand, on paper. What does your "
    "function compute at each step?",
    "changed": "Your function changes what it is given: x += 1, x[...] = 0 and methods ending in _ (also "
    "requires_grad_) change the caller's tensor. Make a new one: x = x + 1, or x.clone() first.",
    "timeout": "Look at your loops: what makes each of them end? If they all do, they take too many "
    "rounds for this small case.",
    "waits": "What does it wait for? sleep(), input(), a queue or a breakpoint keep a function from coming "
    "back.",
    "memory": "What grows in your loop, a list or a tensor, and what makes the loop end? If it ends: does a "
    "tensor hold every pair of pixels, or a copy for each of them?",
    "signature": "Keep the names and the order of the parameters as the skeleton has them.",
    "callable": "Pass the function itself, without calling it. Did the cell that defines it run?",
}
_ERRORS: tuple[tuple[type[BaseException], str], ...] = (
    (SystemExit, "A function gives its result back with return; exit() ends the whole program."),
    (RecursionError, "Your function calls itself without end. What makes the calls stop?"),
    (
        NameError,
        "A name is not known at that line. Is it spelt as above, and did the cell that defines it run?",
    ),
    (
        IndexError,
        "An index lies outside its axis. What is the largest index that exists, and what is asked for?",
    ),
    (ZeroDivisionError, "Which division can meet a zero here?"),
    (KeyboardInterrupt, "Your function raises KeyboardInterrupt itself; it should return a value."),
    (AttributeError, "Print the type of the object before the dot: is it what you expect there?"),
)
# What torch says of two shapes that do not fit.
_SHAPES = (
    "size of tensor",
    "sizes of tensors",
    "expected size for",
    "expanded size of the tensor",
    "shapes cannot be multiplied",
    "is invalid for input of size",
    "must match the existing size",
    "cannot broadcast",
    "not broadcastable",
    "shape mismatch",
    "each tensor to be equal size",
    "channels, but got",
    "should match other.size",
    "output size is too small",
    "kernel size can't be greater",
    "length must be non-negative",
    "shape of the mask",
    "does not broadcast with",
    "could not be broadcast",
    "size mismatch",
    "sizes do not match",
    "size does not match",
    "inconsistent tensor size",
    "incompatible shapes",
    "mismatch in its core dimension",
    "dimensions except for the concatenation axis",
    "should be equal to source.size",
    "to be no larger than self",
    "padding size should be less",
    "to have same batch size",
    "maximum size for tensor at dimension",
    "first n-1 dimensions",
    "running_mean should contain",
    "expected sequence of length",
    "cannot reshape array of size",
    "matching dimension sizes",
)
# What they say of a tensor with another number of axes.
_AXES = (
    "(unbatched) or",
    "Expected 1-D argument",
    "Expected 0D or 1D tensor",
    "only supports 1-d",
    "can not be smaller than number of dimensions of tensor",
    "1D tensors expected",
    "must be a matrix",
    "must be 3D",
    "number of dimensions in the tensor input does not match",
)
# What Python, torch and NumPy say of something empty.
_NOTHING = (
    "numel() == 0",
    "non-empty",
    "empty sequence",
    "iterable argument is empty",
    "zero-size array",
    "non-zero size",
    "from empty list",
    "tensor of 0 elements",
)
_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_PATHS = sysconfig.get_paths()
_LIBRARIES = tuple({os.path.abspath(_PATHS[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def error_hint(error: BaseException) -> str:
    """A hint for an exception that the reader's function raised."""
    text = str(error) if type(error).__module__ == "builtins" else ""
    if any(words in text for words in _AXES):
        return (
            "A tensor has another number of axes than that line takes. Print its shape there: is the axis of "
            "the batch missing, or that of the channels, or is one too many?"
        )
    if isinstance(error, IndexError) and any(
        words in text for words in ("Dimension out of range", "too many ind")
    ):
        return (
            "A tensor has fewer axes than that line takes it to have. Print its shape there: is the axis of "
            "the batch missing, or that of the channels?"
        )
    fits = not any(words in text.lower() for words in _SHAPES)
    if isinstance(error, RuntimeError | ValueError | IndexError) and not fits:
        return (
            "Two shapes do not fit. Print both shapes before that line, and say in words what each axis is."
        )
    if any(words in text.lower() for words in _NOTHING):
        return (
            "That line meets nothing: an empty list, or a tensor without numbers. What is the answer in "
            "such a case?"
        )
    for kind, hint in _ERRORS:
        if isinstance(error, kind):
            return hint
    if isinstance(error, RuntimeError) and ("dtype" in text or "scalar type" in text):
        return "Two kinds of number meet. Print the dtype of each tensor at that line."
    return (
        "Run that line alone, with the input of that case: what are the shapes and types of the things it "
        "uses?"
    )


def error_text(error: BaseException) -> str:
    """The exception in one line, without paths or addresses."""
    try:
        message = " ".join(str(error).strip().splitlines()[:3])
    except Exception:
        message = "(its message cannot be shown)"
    return clean(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def reader_line(error: BaseException, function: Callable[..., Any]) -> tuple[int, str] | None:
    """Number and text of the line of the reader's code where an exception arose, not of any library's."""
    home = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", None)
    best: tuple[int, str] | None = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        path = os.path.abspath(name)
        foreign = path.startswith((_PACKAGE, *_LIBRARIES)) or name.startswith("<frozen")
        if name == home or not foreign:
            best = (line, clean(linecache.getline(name, line).strip(), 160))
    return best


def is_stub(error: BaseException | None, function: Callable[..., Any]) -> bool:
    """Whether a NotImplementedError is the skeleton's own, not torch's word for what it lacks."""
    if not isinstance(error, NotImplementedError):
        return False
    where = reader_line(error, function)
    return where is None or not where[1] or "raise" in where[1].split() or str(error) == ""


def signature_fault(exercise: Exercise, function: Callable[..., Any], cases: list[Case]) -> str | None:
    """What is wrong with a function's parameters, or None where it can be called as the exercise says."""
    try:
        signature = inspect.signature(function)
        for case in cases:
            signature.bind(*case.args, **case.kwargs)
    except TypeError:
        wanted = inspect.signature(exercise.reference)
        return f"Expected: {_plain(exercise.name, wanted)}. Yours: {_plain(exercise.name, signature)}."
    except ValueError:  # some built-in functions have no signature
        return None
    return None


def _plain(name: str, signature: inspect.Signature) -> str:
    """A signature without annotations."""
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return clean(f"{name}{inspect.Signature(parameters)}")
