"""The widget of chapter 8: an input painted into a larger output, one stroke for each of its values.

Input and filter are small grids of numbers that the reader edits. The same output is reached by painting and
by sliding the flipped filter over the input with zeros between its values; nearest, bilinear and unpooled
versions stand beside it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["UpsamplingWidget"]

LARGEST_INPUT = 8
LARGEST_KERNEL = 5
LARGEST_STRIDE = 4
LARGEST_PADDING = 4
LARGEST_VALUE = 999
METHODS = ("transposed", "nearest", "bilinear", "unpool")
MODES = ("paint", "zeros")

Rows = list[list[float]]


def _numbers(name: str, rows: Any, largest: int) -> Rows:
    """The rows as floats, or an error that says what is wrong with them."""
    try:
        numbers = [[float(value) for value in row] for row in rows]
    except (TypeError, ValueError):
        raise traitlets.TraitError(f"{name} must be a list of rows of numbers; got {rows!r}") from None
    widths = {len(row) for row in numbers}
    if len(widths) != 1 or 0 in widths:
        lengths = [len(row) for row in numbers]
        raise traitlets.TraitError(f"{name} must have rows of one length, at least 1; got lengths {lengths}")
    if len(numbers) > largest or widths.pop() > largest:
        raise traitlets.TraitError(
            f"{name} may have at most {largest} rows and columns; got {len(numbers)} by {len(numbers[0])}"
        )
    if not all(math.isfinite(value) and abs(value) <= LARGEST_VALUE for row in numbers for value in row):
        raise traitlets.TraitError(
            f"{name} must hold finite numbers of at most {LARGEST_VALUE}; got {numbers}"
        )
    return numbers


class UpsamplingWidget(CourseWidget):
    """Transposed convolution of a small grid, stroke by stroke, with other ways of up-sampling beside it.

    Every trait can be read and set from Python while the figure is on screen. Traits that must agree, such as
    ``stride`` and ``output_padding``, are set together inside ``with widget.hold_trait_notifications():``.

    Attributes:
        input: rows of numbers, 1 to 8 each way.
        filter: a square of numbers, 1 to 5 each way; its size is the kernel's.
        stride: 1 to 4, the factor of the up-sampling.
        padding: 0 to 4, cells cut off on each side of what was painted.
        output_padding: cells left over at the bottom and the right, fewer than ``stride``.
        method: "transposed", "nearest", "bilinear" or "unpool"; all but the first need only ``stride``.
        mode: "paint" the filter into the output, or slide it over the input with "zeros" inserted.
        step: strokes (or, with zeros inserted, output cells) that are done; more than there are means all.
        places: for unpooling, where in its square each maximum was, row by row from 0 to stride² - 1.

    Example:
        >>> widget = UpsamplingWidget(input=[[1, 2]], filter=[[1, 1], [1, 1]], stride=2)
        >>> widget.output
        tensor([[1., 1., 2., 2.],
                [1., 1., 2., 2.]])
        >>> widget.stride = 5
        Traceback (most recent call last):
        traitlets.traitlets.TraitError: stride must be a whole number from 1 to 4; got 5
    """

    _slug = "upsampling"
    _title = "Up-sampling a small grid, stroke by stroke"

    input = traitlets.List(default_value=[[1, 2, 3], [4, 5, 6], [7, 8, 9]]).tag(sync=True)
    filter = traitlets.List(default_value=[[3, 2, 1], [2, 0, 0], [1, 0, 0]]).tag(sync=True)
    stride = traitlets.Int(2).tag(sync=True)
    padding = traitlets.Int(0).tag(sync=True)
    output_padding = traitlets.Int(0).tag(sync=True)
    method = traitlets.Enum(METHODS, default_value=METHODS[0]).tag(sync=True)
    mode = traitlets.Enum(MODES, default_value=MODES[0]).tag(sync=True)
    step = traitlets.Int(5).tag(sync=True)
    places = traitlets.List(default_value=[[1, 2, 0], [3, 0, 2], [0, 1, 3]]).tag(sync=True)

    @traitlets.validate("input")
    def _check_input(self, proposal: Any) -> Rows:
        rows = _numbers("input", proposal["value"], LARGEST_INPUT)
        self._check_size(len(rows), len(rows[0]), len(self.filter), self.padding, self.output_padding)
        return rows

    @traitlets.validate("filter")
    def _check_filter(self, proposal: Any) -> Rows:
        rows = _numbers("filter", proposal["value"], LARGEST_KERNEL)
        if len(rows) != len(rows[0]):
            raise traitlets.TraitError(f"filter must be square; got {len(rows)} by {len(rows[0])}")
        self._check_size(len(self.input), len(self.input[0]), len(rows), self.padding, self.output_padding)
        return rows

    @traitlets.validate("stride")
    def _check_stride(self, proposal: Any) -> int:
        stride = proposal["value"]
        if not 1 <= stride <= LARGEST_STRIDE:
            raise traitlets.TraitError(
                f"stride must be a whole number from 1 to {LARGEST_STRIDE}; got {stride}"
            )
        self._check_remainder(self.output_padding, stride)
        return stride

    @traitlets.validate("padding")
    def _check_padding(self, proposal: Any) -> int:
        padding = proposal["value"]
        if not 0 <= padding <= LARGEST_PADDING:
            raise traitlets.TraitError(
                f"padding must be a whole number from 0 to {LARGEST_PADDING}; got {padding}"
            )
        self._check_size(len(self.input), len(self.input[0]), len(self.filter), padding, self.output_padding)
        return padding

    @traitlets.validate("output_padding")
    def _check_output_padding(self, proposal: Any) -> int:
        self._check_remainder(proposal["value"], self.stride)
        return proposal["value"]

    @traitlets.validate("step")
    def _check_step(self, proposal: Any) -> int:
        if proposal["value"] < 0:
            raise traitlets.TraitError(f"step must be 0 (nothing painted) or more; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("places")
    def _check_places(self, proposal: Any) -> list[list[int]]:
        rows = _numbers("places", proposal["value"], LARGEST_INPUT)
        last = LARGEST_STRIDE**2 - 1
        if not all(value == int(value) and 0 <= value <= last for row in rows for value in row):
            raise traitlets.TraitError(f"places must hold whole numbers from 0 to {last}; got {rows}")
        return [[int(value) for value in row] for row in rows]

    def _check_remainder(self, output_padding: int, stride: int) -> None:
        if not 0 <= output_padding < stride:
            raise traitlets.TraitError(
                f"output_padding must be from 0 to stride - 1 = {stride - 1}; got {output_padding}"
            )

    def _check_size(self, height: int, width: int, kernel: int, padding: int, output_padding: int) -> None:
        size = (min(height, width) - 1) * self.stride + kernel + output_padding
        if size - 2 * padding < 1:
            raise traitlets.TraitError(
                f"padding {padding} cuts everything off a painted area of {size} cells; "
                f"it may be at most {(size - 1) // 2}"
            )

    @property
    def output(self) -> Tensor:
        """The whole output, by `segcore.upsampling`: float32 ``(rows, columns)``."""
        from segcore.upsampling import max_unpool2d, resize_bilinear, transposed_conv2d

        x = torch.tensor(self.input, dtype=torch.float32)[None, None]
        if self.method == "transposed":
            weight = torch.tensor(self.filter, dtype=torch.float32)[None, None]
            return transposed_conv2d(x, weight, self.stride, self.padding, self.output_padding)[0, 0]
        if self.method == "unpool":
            return max_unpool2d(x, self.indices[None, None], self.stride)[0, 0]
        if self.method == "nearest":
            return F.interpolate(x, scale_factor=self.stride, mode="nearest")[0, 0]
        height, width = (self.stride * size for size in x.shape[2:])
        return resize_bilinear(x, (height, width))[0, 0]

    @property
    def indices(self) -> Tensor:
        """For unpooling, ``places`` as indices of the flattened output: int64 ``(rows, columns)``.

        A place beyond the stride's square is taken modulo its size, and one that is missing is 0.
        """
        height, width, s = len(self.input), len(self.input[0]), self.stride
        flat = [
            [
                self.places[i][j] if i < len(self.places) and j < len(self.places[i]) else 0
                for j in range(width)
            ]
            for i in range(height)
        ]
        place = torch.tensor(flat, dtype=torch.int64) % (s * s)
        row = torch.arange(height)[:, None] * s + place // s
        column = torch.arange(width) * s + place % s
        return row * (width * s) + column
