"""The widget of chapter 12: detections that take truths, the curve that comes of it, and its area.

Truths and detections are ellipses on a small grid of pixels; a pixel belongs to an ellipse if its centre lies
in it. So what the page counts and what the library counts are the same whole numbers.
"""

from __future__ import annotations

from typing import Any

import torch
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["InstanceMetricsWidget"]

WIDTH, HEIGHT = 120, 90
TRUTHS = ((30, 28, 20, 18), (82, 26, 24, 15), (36, 70, 16, 13), (92, 66, 5, 5))
"""Centre x, y and half axes in pixels."""
AXES = ((20, 18), (24, 15), (16, 13), (5, 5), (20, 18), (12, 12))
"""Half axes of the detections."""
START = ((33, 30, 0.9), (84, 25, 0.8), (33, 73, 0.7), (93, 66, 0.6), (27, 25, 0.5), (66, 74, 0.4))
"""Where the detections begin, and how sure they are."""


class InstanceMetricsWidget(CourseWidget):
    """Six detections over four truths: who takes whom, precision and recall, AP.

    Attributes:
        detections: for each the centre x, y in whole pixels, 0 to 120 and 0 to 90, and the score, 0.01 to
            0.99.
        threshold: the least IoU, 0.05 to 0.95.
        picked: which detection the score's slider belongs to, 0 to 5.
        scene: size, truths and half axes of the detections; read-only.

    Example:
        >>> widget = InstanceMetricsWidget(threshold=0.75)
        >>> widget.matches.truth.tolist(), round(widget.scores["AP50"], 3)
        ([0, 1, -1, 3, -1, -1], 1.0)
    """

    _slug = "instance_metrics"
    _title = "Detections, matches and the precision\N{EN DASH}recall curve"

    scene = traitlets.Dict(read_only=True).tag(sync=True)
    detections = traitlets.List(default_value=[list(each) for each in START]).tag(sync=True)
    threshold = traitlets.Float(0.5).tag(sync=True)
    picked = traitlets.Int(0).tag(sync=True)

    @traitlets.default("scene")
    def _default_scene(self) -> dict[str, Any]:
        return {
            "width": WIDTH,
            "height": HEIGHT,
            "truths": [list(each) for each in TRUTHS],
            "axes": [list(each) for each in AXES],
        }

    @traitlets.validate("detections")
    def _check_detections(self, proposal: Any) -> list[list[float]]:
        rows = [list(each) for each in proposal["value"]]
        if len(rows) != len(AXES) or any(len(row) != 3 for row in rows):
            raise traitlets.TraitError(f"detections must be {len(AXES)} of x, y and score; got {rows}")
        for x, y, score in rows:
            whole = x == int(x) and y == int(y)
            if not (whole and 0 <= x <= WIDTH and 0 <= y <= HEIGHT and 0.01 <= score <= 0.99):
                raise traitlets.TraitError(
                    f"a detection must be whole pixels from 0 to {WIDTH} and 0 to {HEIGHT}, and a score from "
                    f"0.01 to 0.99; got {[x, y, score]}"
                )
        return rows

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal: Any) -> float:
        if not 0.05 <= proposal["value"] <= 0.95:
            raise traitlets.TraitError(f"threshold must be from 0.05 to 0.95; got {proposal['value']}")
        return float(proposal["value"])

    @traitlets.validate("picked")
    def _check_picked(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(AXES):
            raise traitlets.TraitError(f"picked must be from 0 to {len(AXES) - 1}; got {proposal['value']}")
        return int(proposal["value"])

    @property
    def prediction(self) -> dict[str, Tensor]:
        """The detections as `segcore.instance_metrics` takes them."""
        shapes = [(x, y, *axes) for (x, y, _), axes in zip(self.detections, AXES, strict=True)]
        scores = torch.tensor([score for *_, score in self.detections], dtype=torch.float64)
        return {"masks": ellipses(shapes), "labels": torch.ones(len(shapes)).long(), "scores": scores}

    @property
    def truth(self) -> dict[str, Tensor]:
        """The truths likewise."""
        return {"masks": ellipses(TRUTHS), "labels": torch.ones(len(TRUTHS)).long()}

    @property
    def matches(self) -> Any:
        """`segcore.instance_metrics.match` at the threshold that is shown."""
        from segcore.instance_metrics import match

        return match(self.prediction, self.truth, self.threshold)

    @property
    def scores(self) -> dict[str, float]:
        """COCO's twelve numbers of this one image."""
        from segcore.instance_metrics import evaluate_instances

        return evaluate_instances([self.prediction], [self.truth])


def ellipses(shapes: Any) -> Tensor:
    """Masks ``(N, 90, 120)`` of ellipses x, y, half axis across, half axis down."""
    x, y, across, down = torch.tensor(shapes, dtype=torch.float64).T[:, :, None, None]
    columns, rows = torch.arange(WIDTH).double() + 0.5, torch.arange(HEIGHT).double()[:, None] + 0.5
    return ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 <= 1
