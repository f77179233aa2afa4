"""The widget of chapter 6: a 5 x 5 image, four strided runs stitched, one dilated run, the same numbers.

Its network has two layers, A (3 x 3 with stride 2) and B (3 x 3). The image stands in a frame of three zeros,
so that each of its 25 pixels gets an answer; the layers themselves pad nothing. A second panel shows which
pixels two stacks of dilated layers touch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import traitlets
from torch import Tensor
from torch.nn import functional as F

from segcore.widgets.base import CourseWidget

__all__ = ["DilationWidget"]

SIZE = 5
RIM = 3  # zeros around the image: half of the receptive field, 7
LAST_STEP = 5.0
LARGEST = {"grid": 99, "filter_a": 9, "filter_b": 9}
MOST_LAYERS, LARGEST_DILATION, LARGEST_SUM = 7, 16, 64

NUMBERED = [[float(5 * column + row + 1) for column in range(SIZE)] for row in range(SIZE)]
CENTRE = [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
ONES = [[1.0] * 3 for _ in range(3)]


def _matrix(name: str, value: Any, size: int, largest: float) -> list[list[float]]:
    rows = [list(row) for row in value]
    if len(rows) != size or any(len(row) != size for row in rows):
        shape = [len(row) for row in rows]
        raise traitlets.TraitError(f"{name} must have {size} rows of {size} numbers; got rows of {shape}")
    numbers = [[float(x) for x in row] for row in rows]
    if not all(math.isfinite(x) and abs(x) <= largest for row in numbers for x in row):
        raise traitlets.TraitError(
            f"{name} must hold finite numbers from -{largest} to {largest}; got {numbers}"
        )
    return numbers


class DilationWidget(CourseWidget):
    """From stride to dilation, and the pixels that stacks of dilated layers touch.

    Attributes:
        grid: the image, five rows of five numbers, each from -99 to 99.
        filter_a: A's weights, three rows of three numbers from -9 to 9.
        filter_b: B's weights, likewise.
        first: what A does: "filter", a sum weighted by `filter_a`, or "max", the largest of its nine pixels.
        step: how far the story has come, from 0 (strided) over 1, 2 and 3 (the shifted copies) and 4
            (stitched) to 5 (dilated); fractions lie between two steps.
        dilations: two stacks of 3 x 3 layers to compare, each a list of 1 to 7 dilations from 1 to 16 whose
            sum is at most 64.

    Example:
        >>> widget = DilationWidget()
        >>> widget.strided[1, 1].item(), widget.dilated[2, 2].item()  # the middle pixel: 1 + 3 + 5 + 11 + ...
        (117.0, 117.0)
    """

    _slug = "dilation"
    _title = "From stride to dilation, step by step"

    grid = traitlets.List(default_value=NUMBERED).tag(sync=True)
    filter_a = traitlets.List(default_value=CENTRE).tag(sync=True)
    filter_b = traitlets.List(default_value=ONES).tag(sync=True)
    first = traitlets.Enum(("filter", "max"), default_value="filter").tag(sync=True)
    step = traitlets.Float(0.0).tag(sync=True)
    dilations = traitlets.List(default_value=[[2, 2, 2], [1, 2, 3]]).tag(sync=True)

    @traitlets.validate("grid", "filter_a", "filter_b")
    def _check_matrix(self, proposal: Any) -> list[list[float]]:
        name = proposal["trait"].name
        size = SIZE if name == "grid" else 3
        try:
            return _matrix(name, proposal["value"], size, LARGEST[name])
        except TypeError as error:
            raise traitlets.TraitError(f"{name} must be a list of {size} rows of numbers: {error}") from error
        except ValueError as error:
            raise traitlets.TraitError(f"{name} must hold numbers: {error}") from error

    @traitlets.validate("step")
    def _check_step(self, proposal: Any) -> float:
        step = proposal["value"]
        if not 0 <= step <= LAST_STEP:  # False for NaN too
            raise traitlets.TraitError(f"step must be from 0 (strided) to 5 (dilated); got {step}")
        return step

    @traitlets.validate("dilations")
    def _check_dilations(self, proposal: Any) -> list[list[int]]:
        stacks = proposal["value"]
        if len(stacks) != 2 or not all(isinstance(stack, list | tuple) for stack in stacks):
            raise traitlets.TraitError(
                f"dilations must be two stacks, such as [[2, 2, 2], [1, 2, 3]]; got {stacks}"
            )
        for stack in stacks:
            whole = all(isinstance(d, int) and not isinstance(d, bool) for d in stack)
            if not whole or not all(1 <= d <= LARGEST_DILATION for d in stack):
                raise traitlets.TraitError(
                    f"dilations must be whole numbers from 1 to {LARGEST_DILATION}; got {stack}"
                )
            if not 1 <= len(stack) <= MOST_LAYERS or sum(stack) > LARGEST_SUM:
                raise traitlets.TraitError(
                    f"a stack must have 1 to {MOST_LAYERS} dilations with a sum of at most {LARGEST_SUM}; "
                    f"got {stack}"
                )
        return [list(stack) for stack in stacks]

    @property
    def image(self) -> Tensor:
        """The grid in its frame of zeros: float32 ``(1, 1, 11, 11)``."""
        return F.pad(torch.tensor(self.grid, dtype=torch.float32), [RIM] * 4)[None, None]

    def _run(self, image: Tensor, stride: int, dilation: int) -> Tensor:
        a, b = (
            torch.tensor(weights, dtype=torch.float32)[None, None]
            for weights in (self.filter_a, self.filter_b)
        )
        below = F.max_pool2d(image, 3, stride) if self.first == "max" else F.conv2d(image, a, stride=stride)
        return F.conv2d(below, b, dilation=dilation)[0, 0]

    @property
    def strided(self) -> Tensor:
        """The strided network's answers for every second pixel: float32 ``(3, 3)``."""
        return self._run(self.image, 2, 1)

    @property
    def dilated(self) -> Tensor:
        """The dilated network's answers, one for each pixel: float32 ``(5, 5)``."""
        return self._run(self.image, 1, 2)
