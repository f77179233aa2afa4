"""Exercises of chapter 10: a placeholder, until it has its own."""

from __future__ import annotations

import torch
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, reaches_gradient

__all__ = ["EXERCISES"]


# 10.1 -----------------------------------------------------------------------------------------------


def placeholder(values: Tensor) -> Tensor:
    """The reference, written apart from `segcore.crf`."""
    return values * 0.5


def _cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case((torch.tensor([4.0, 2.0]),), "two even numbers"),
        Case((torch.tensor([3.0]),), "an odd number"),
        Case((torch.tensor([-4.0, -1.0]),), "numbers below zero"),
        Case((torch.tensor([[1.0, 2.0], [0.0, 6.0]]),), "a matrix"),
    ]
    return cases + [Case((torch.randn(3, 4, generator=generator),)) for _ in range(3)]


EXERCISES = (
    Exercise(
        "10.1",
        "A placeholder",
        placeholder,
        _cases,
        plan=(
            "Take one number by hand: what do 4 and -1 become?",
            "Do the same to all values at once; no loop is needed.",
        ),
        properties=(reaches_gradient(0, lambda: (torch.rand(3),), "values"),),
        mistakes=(
            Mistake("doubled", lambda x: x * 2, "Is half of a number larger or smaller than the number?"),
            Mistake("rounded", lambda x: (x / 2).floor(), "What is half of an odd number? Look at 3."),
            Mistake("sign lost", lambda x: x.abs() / 2, "On which side of zero is half of a debt?"),
            Mistake("half taken away", lambda x: x - 0.5, "Half of a number, or a half less than it?"),
        ),
    ),
)
