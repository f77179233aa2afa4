"""The widget of chapter 16: a point, the map that a network should answer with, and the point that it gives.

The box is 56 pixels wide and high. The map stands for a perfect network's answer: it is the target itself, a
cell or a hill of one cell's width, whose logarithm is decoded. What is lost is lost by the map.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["KeypointsWidget"]

SIDE = 56  # pixels of the box
SIZES = (4, 7, 14, 28)
TARGETS = ("cell", "hill")
METHODS = ("cell", "parabola", "mean")
LEAST = 1e-12  # what a share is at least, so that it has a logarithm


class KeypointsWidget(CourseWidget):
    """A point and its map, there and back.

    Attributes:
        point: x and y in pixels of the box, 0 to 56.
        size: 4, 7, 14 or 28, the cells of the map along each side.
        target: "cell" for a one-hot map, "hill" for a Gaussian of one cell's width.
        method: how the map is decoded, "cell", "parabola" or "mean".

    Example:
        >>> widget = KeypointsWidget(point=[30.0, 21.0], target="hill", method="parabola")
        >>> widget.map.shape, [round(value, 2) for value in widget.found.tolist()]
        (torch.Size([7, 7]), [30.0, 21.0])
    """

    _slug = "keypoints"
    _title = "A point, its map, and the point that the map gives"

    point = traitlets.List(traitlets.Float(), default_value=[30.0, 21.0]).tag(sync=True)
    size = traitlets.Enum(SIZES, default_value=7).tag(sync=True)
    target = traitlets.Enum(TARGETS, default_value=TARGETS[0]).tag(sync=True)
    method = traitlets.Enum(METHODS, default_value=METHODS[0]).tag(sync=True)

    @traitlets.validate("point")
    def _check_point(self, proposal: Any) -> list[float]:
        point = [float(each) for each in proposal["value"]]
        if len(point) != 2 or not all(math.isfinite(each) and 0 <= each <= SIDE for each in point):
            raise traitlets.TraitError(f"point must be x, y in the box, from 0 to {SIDE}; got {point}")
        return point

    @property
    def map(self) -> Tensor:
        """The target, float64 ``(size, size)``, of sum 1."""
        from segcore.keypoints import gaussian_targets, keypoint_targets

        box = torch.tensor([[0.0, 0.0, SIDE, SIDE]], dtype=torch.float64)
        point = torch.tensor([[[*self.point, 2.0]]], dtype=torch.float64)
        if self.target == "hill":
            return gaussian_targets(point, box, self.size)[0, 0]
        result = torch.zeros(self.size**2, dtype=torch.float64)
        result[keypoint_targets(point, box, self.size)[0, 0]] = 1
        return result.view(self.size, self.size)

    @property
    def found(self) -> Tensor:
        """The decoded point, x and y: float64 ``(2,)``."""
        from segcore.keypoints import decode_keypoints

        box = torch.tensor([[0.0, 0.0, SIDE, SIDE]], dtype=torch.float64)
        return decode_keypoints(self.map.clamp(min=LEAST).log()[None, None], box, self.method)[0, 0, :2]
