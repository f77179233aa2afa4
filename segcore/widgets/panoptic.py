"""The widget of chapter 15: predicted segments to drag, stretch, cut and rename over a street, and PQ.

Truth and prediction are drawn from a few numbers: a horizon between sky and road, and shapes before them, the
later over the earlier. A shape is ``[class, x, y, rx, ry, power, state]`` and covers the pixels whose centre
lies in ``|dx / rx|^power + |dy / ry|^power <= 1``: power 2 is an ellipse, 4 nearly a box. State 0 takes it
away, 1 leaves it whole, 2 cuts it at its middle into two segments, the left one and the right one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["PanopticWidget", "render"]

HEIGHT, WIDTH = 32, 48
VOID = 255
CLASSES = ("sky", "road", "car", "person")
STUFF, THINGS = (0, 1), (2, 3)
SMALLEST, LARGEST = 1.0, 24.0  # half an axis of a shape, pixels

TRUTH_HORIZON = 11
TRUTH = (
    (VOID, 25.5, 9.0, 5.0, 4.5, 4, 1),  # a crowd far away
    (2, 12.0, 20.0, 9.0, 5.5, 4, 1),
    (3, 31.0, 20.0, 3.5, 9.0, 2, 1),
    (3, 38.0, 21.0, 3.5, 9.0, 2, 1),
)
GUESS_HORIZON = 12
GUESS = (
    (2, 13.0, 20.0, 9.0, 5.0, 4, 1),
    (3, 31.5, 20.5, 3.0, 8.5, 2, 1),
    (3, 40.0, 21.5, 3.0, 7.5, 2, 1),
    (3, 26.0, 9.0, 3.0, 3.5, 2, 1),
    (2, 23.0, 28.0, 3.5, 2.0, 4, 1),
)


def render(horizon: int, shapes: Sequence[Sequence[float]]) -> Tensor:
    """The map of a street: int64 ``(32, 48, 2)``; shape n makes instances 2n + 1 and 2n + 2."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    classes = (rows >= horizon).long()
    numbers = torch.zeros_like(classes)
    for n, (kind, x, y, rx, ry, power, state) in enumerate(shapes):
        dx, dy = columns.double() + 0.5 - x, rows.double() + 0.5 - y
        u, v = (dx / rx).square(), (dy / ry).square()
        inside = (u + v if power == 2 else u * u + v * v) <= 1
        if not state:
            continue
        classes[inside] = int(kind)
        numbers[inside] = 0 if kind == VOID else 2 * n + 1
        if state == 2:
            numbers[inside & (dx >= 0)] = 2 * n + 2
    return torch.stack([classes, numbers], dim=-1)


class PanopticWidget(CourseWidget):
    """Deform a prediction's segments and watch which of them match, and SQ, RQ and PQ of each class.

    Attributes:
        shapes: the predicted things, each ``[class, x, y, rx, ry, power, state]`` as at the top of this
            module; class 2 is a car, 3 a person.
        horizon: row at which the predicted road begins, 0 to 32.
        selected: number of the shape that the controls are for, from 0.
        truth: the true shapes and the true horizon; read-only.

    Example:
        >>> widget = PanopticWidget()
        >>> widget.prediction.shape, sorted(widget.quality["per_class"])
        (torch.Size([32, 48, 2]), [0, 1, 2, 3])
        >>> widget.horizon = 40
        Traceback (most recent call last):
        traitlets.traitlets.TraitError: horizon must be from 0 to 32; got 40
    """

    _slug = "panoptic"
    _title = "Deform a prediction's segments and watch its panoptic quality"

    shapes = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    horizon = traitlets.Int(GUESS_HORIZON).tag(sync=True)
    selected = traitlets.Int(2).tag(sync=True)
    truth = traitlets.Dict(read_only=True).tag(sync=True)

    @traitlets.default("shapes")
    def _guess(self) -> list[list[float]]:
        return [list(shape) for shape in GUESS]

    @traitlets.default("truth")
    def _truth(self) -> dict[str, Any]:
        return {"horizon": TRUTH_HORIZON, "shapes": [list(shape) for shape in TRUTH]}

    @traitlets.validate("shapes")
    def _check_shapes(self, proposal: Any) -> list[list[float]]:
        shapes = [[_plain(number) for number in shape] for shape in proposal["value"]]
        if len(shapes) != len(GUESS):
            raise traitlets.TraitError(f"shapes must be {len(GUESS)} lists; got {len(shapes)}")
        for n, shape in enumerate(shapes):
            if not _is_shape(shape):
                raise traitlets.TraitError(
                    f"shapes[{n}] must be [class 2 or 3, x from 0 to {WIDTH}, y from 0 to {HEIGHT}, rx and "
                    f"ry from {SMALLEST:g} to {LARGEST:g}, power 2 or 4, state 0, 1 or 2]; got {shape}"
                )
        return shapes

    @traitlets.validate("horizon", "selected")
    def _check_whole(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        most = HEIGHT if name == "horizon" else len(GUESS) - 1
        if not 0 <= value <= most:
            raise traitlets.TraitError(f"{name} must be from 0 to {most}; got {value}")
        return value

    @property
    def prediction(self) -> Tensor:
        """The predicted map: int64 ``(32, 48, 2)``."""
        return render(self.horizon, self.shapes)

    @property
    def target(self) -> Tensor:
        """The true map: int64 ``(32, 48, 2)``; its crowd is void, 255."""
        return render(self.truth["horizon"], self.truth["shapes"])

    @property
    def quality(self) -> dict[str, Any]:
        """The scores, by `segcore.panoptic.panoptic_quality`."""
        from segcore.panoptic import panoptic_quality

        return panoptic_quality(self.prediction, self.target, THINGS, STUFF, VOID)


def _plain(number: float) -> float:
    """A whole number as an int, so that its JSON is the page's."""
    return int(number) if math.isfinite(number) and number == int(number) else number


def _is_shape(shape: Sequence[float]) -> bool:
    if len(shape) != 7 or not all(math.isfinite(number) for number in shape):
        return False
    kind, x, y, rx, ry, power, state = shape
    placed = 0 <= x <= WIDTH and 0 <= y <= HEIGHT
    sized = SMALLEST <= rx <= LARGEST and SMALLEST <= ry <= LARGEST
    return kind in THINGS and placed and sized and power in (2, 4) and state in (0, 1, 2)
