"""The widget of chapter 10: a small noisy picture, four ways to lower its energy, step by step.

What the page holds are the picture, three bytes a pixel, and the classifier's log odds in sixteenths, one
byte a pixel. All else is computed in the page.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["CrfWidget"]

HEIGHT, WIDTH, STEPS = 24, 32, 12
METHODS = ("icm", "turns", "once", "dense")


@lru_cache(maxsize=1)
def _scene() -> tuple[Tensor, Tensor, Tensor]:
    """A picture ``(3, H, W)`` in bytes, log odds ``(H, W)`` in sixteenths, and a truth, a disc and a bar."""
    g = torch.Generator().manual_seed(4)
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    disc = (y - 12) ** 2 + (x - 10) ** 2 < 56
    bar = (x >= 22) & (x < 27) & (y >= 3) & (y < 21)
    truth = (disc | bar).long()
    colors = torch.tensor([[60, 90, 110], [190, 120, 60]])[truth].movedim(-1, 0)
    image = (colors + 8 * torch.randn(3, HEIGHT, WIDTH, generator=g)).round().clamp(0, 255)
    odds = 1.0 * (2 * truth - 1) + 1.5 * torch.randn(HEIGHT, WIDTH, generator=g)
    return image.byte(), (16 * odds).round().clamp(-127, 127).to(torch.int8), truth


def _packed(values: Tensor) -> str:
    return base64.b64encode(np.ascontiguousarray(values.numpy()).tobytes()).decode()


class CrfWidget(CourseWidget):
    """A noisy labelling of a small picture, and what four methods make of it in up to twelve steps.

    Attributes:
        method: "icm" (one colour of a chessboard after the other), "turns" and "once" (mean field on the
            grid, in turns or all pixels at once), "dense" (every pixel a neighbour of every pixel).
        step: how many steps were taken, 0 to 12.
        weight: what it costs to part equal neighbours, 0 to 6; the dense field's kernels weigh half as much
            (places) and twice as much (places and colours).
        color_sigma: the width in colours, 5 to 250.
        data: the picture, log odds and truth, packed; read-only.

    Example:
        >>> widget = CrfWidget(method="dense", step=5)
        >>> widget.image.shape, widget.unary.shape
        (torch.Size([3, 24, 32]), torch.Size([2, 24, 32]))
    """

    _slug = "crf"
    _title = "Labels of a small picture and their energy, step by step"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    method = traitlets.Enum(METHODS, default_value="icm").tag(sync=True)
    step = traitlets.Int(0, min=0, max=STEPS).tag(sync=True)
    weight = traitlets.Float(1.5, min=0, max=6).tag(sync=True)
    color_sigma = traitlets.Float(100.0, min=5, max=250).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        image, odds, truth = _scene()
        return {
            "image": _packed(image.movedim(0, -1)),
            "odds": _packed(odds),
            "truth": _packed(truth.to(torch.int8)),
        }

    @property
    def image(self) -> Tensor:
        """The picture: float64 ``(3, 24, 32)`` in [0, 1]."""
        return _scene()[0].double() / 255

    @property
    def unary(self) -> Tensor:
        """Costs of both labels: float64 ``(2, 24, 32)``."""
        odds = _scene()[1].double() / 16
        return -torch.stack([-odds / 2, odds / 2]).log_softmax(0)

    @property
    def truth(self) -> Tensor:
        """int64 ``(24, 32)``."""
        return _scene()[2]
