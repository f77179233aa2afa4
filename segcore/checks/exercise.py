"""What an exercise is made of: a reference, cases to try, and the mistakes that people make.

A chapter's module lists its exercises::

    EXERCISES = (
        Exercise("13.2", "Bilinear sampling", bilinear_sample, _sample_cases, mistakes=(
            Mistake("half pixel forgotten", _no_half_pixel, "Where does the centre of pixel 3 lie?"),
        )),
    )

A mistake is a whole wrong implementation. Where the reader's results agree with it on every case, its hint is
the answer; so the cases must tell each mistake from the reference and from every other one (tests see to it).

Hints are a ladder of four rungs (`segcore.checks.ladder`): the mistake's hint, the smallest case that fails,
the exercise's ``plan``, and the solved lab's lines, each step with the reason that stands there as a comment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["Case", "Exercise", "Mistake", "Property", "reaches_gradient"]


@dataclass(frozen=True)
class Case:
    """One call: its arguments and, where it can be followed by hand, a note that says what it tries."""

    args: tuple[Any, ...]
    note: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation, a short name for the teacher's table, and the hint for the reader."""

    name: str
    function: Callable[..., Any]
    hint: str


@dataclass(frozen=True)
class Property:
    """A test beyond input and output: it calls the function and returns what is wrong, or None."""

    name: str
    test: Callable[[Callable[..., Any]], str | None]
    hint: str


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Args:
        id: Chapter and number, ``"13.2"``.
        title: A few words.
        reference: A right implementation; its name is the name that the reader's function has.
        cases: Makes the cases from a generator: noted ones first, small enough to follow by hand, then random
            ones.
        mistakes: What people do wrong; at least four.
        tolerance: Largest allowed difference, absolute and relative.
        compare: Replaces the comparison of values: gets expected and got, returns what is wrong, or None.
        properties: Further tests, run where all cases pass.
        points: What it counts in a table of marks.
        seconds: Processor time that a case may take.
        any_float: Whether floats of another precision than the reference's will do.
        plan: How to go about it, in two to five steps of plain words (one may be the key formula with a gap,
            ``…``), each of 20 to 240 characters, 160 words in all: the ladder's third rung.
        solution: Makes the chunks of the last rung, a reason and lines each, where they are not those of the
            solved lab.
        axes: What each axis of a result counts (or a list of results), in the task's words and in the
            singular: ``("box", "edge")``. Hints have no other words for them.
        places: What stands along its last axis, or the values of a tuple, where each has a name:
            ``("x", "y")``.
    """

    id: str
    title: str
    reference: Callable[..., Any]
    cases: Callable[[torch.Generator], Sequence[Case]]
    mistakes: tuple[Mistake, ...]
    tolerance: float = 1e-5
    compare: Callable[[Any, Any], str | None] | None = None
    properties: tuple[Property, ...] = ()
    points: int = 1
    seconds: float = 10.0
    any_float: bool = False
    plan: tuple[str, ...] = ()
    solution: Callable[[], Sequence[tuple[str, list[str]]]] | None = None
    axes: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the function that the reader writes."""
        return self.reference.__name__

    def make_cases(self, seed: int = 0) -> list[Case]:
        """The cases of a seed; the last has the sizes of an earlier one and other numbers."""
        generator = torch.Generator().manual_seed(seed)
        cases, again = list(self.cases(generator)), list(self.cases(generator))
        drawn = [case for case in again if not case.note and _cells(case.args)]
        return cases + sorted(drawn, key=lambda case: _cells(case.args))[:1]

    def in_the_lab(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A right function in the form that the cells below its check call; a variant's is another one."""
        return function


def _cells(value: Any) -> int:
    """How many numbers the tensors of some arguments hold."""
    if isinstance(value, tuple | list):
        return sum(_cells(each) for each in value)
    return value.numel() if isinstance(value, torch.Tensor) else 0


def reaches_gradient(argument: int, args: Callable[[], tuple[Any, ...]], name: str) -> Property:
    """The property that the result can be differentiated with respect to one argument.

    Args:
        argument: Its position.
        args: Makes the arguments to call with.
        name: What the argument is called, for the hint.
    """

    def test(function: Callable[..., Any]) -> str | None:
        values = list(args())
        values[argument] = values[argument].clone().requires_grad_()
        result = function(*values)
        if not isinstance(result, torch.Tensor) or not result.requires_grad:
            return f"The values are right, but no gradient flows back to {name}."
        result.sum().backward()
        if values[argument].grad is None:
            return f"The values are right, but the gradient of {name} is missing."
        return None

    return Property(
        f"gradient reaches {name}",
        test,
        f"The result must stay connected to {name}: .item(), float(...), .numpy(), .detach(), .data and "
        "torch.tensor(...) cut the connection. Compute with tensors all the way.",
    )
