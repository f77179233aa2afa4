"""The widget of chapter 2: a threshold that lets boundaries fall, over two photographs and a scene.

What the page holds are trees of regions that `segcore.grouping.multiscale_hierarchy` found, of at most 400
leaves each, made by ``python -m benchmarks.trainings.grouping_widget``.
"""

from __future__ import annotations

import base64
import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from PIL import Image
from torch import Tensor

from segcore.grouping import Hierarchy
from segcore.widgets.base import CourseWidget
from segcore.widgets.packing import unpack_webp

__all__ = ["HierarchyWidget"]

WIDTH, HEIGHT = 240, 180
PHOTOGRAPHS = ("astronaut", "cup", "scene")
VIEWS = ("contours", "regions")
# Of each picture: WebP; the leaves as PNG, red the low byte and green the high one, blue the scene's objects;
# merges as uint16 pairs, heights as float32; all in base64.
TREES = Path(__file__).parent / "static" / "grouping.json"


@lru_cache(maxsize=1)
def _trees() -> dict[str, Any]:
    return json.loads(TREES.read_text(encoding="utf-8"))


def _array(text: str, dtype: str) -> Tensor:
    values = np.frombuffer(base64.b64decode(text), dtype)
    return torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))


class HierarchyWidget(CourseWidget):
    """A hierarchy of regions over a photograph, and a threshold that cuts it.

    Attributes:
        photo: "astronaut", "cup" or "scene".
        threshold: boundaries up to this strength are gone, 0 to 1.
        at: the pixel pointed at, x and y.
        view: what a narrow page shows, "contours" or "regions"; a wide one shows both.
        data: the pictures and their trees, packed; read-only.

    Example:
        >>> widget = HierarchyWidget(photo="scene", threshold=1.0)
        >>> widget.hierarchy.cut(widget.threshold).max()
        tensor(0)
    """

    _slug = "grouping"
    _title = "A hierarchy of regions over a photograph"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    photo = traitlets.Enum(PHOTOGRAPHS, default_value="astronaut").tag(sync=True)
    threshold = traitlets.Float(0.25).tag(sync=True)
    at = traitlets.List(traitlets.Int(), default_value=[112, 60]).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value="regions").tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {"pictures": {name: dict(each) for name, each in _trees().items()}}

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal: Any) -> float:
        if not 0 <= proposal["value"] <= 1:
            raise traitlets.TraitError(f"threshold must be from 0 to 1; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("at")
    def _check_at(self, proposal: Any) -> list[int]:
        at = list(proposal["value"])
        if len(at) != 2 or not (0 <= at[0] < WIDTH and 0 <= at[1] < HEIGHT):
            raise traitlets.TraitError(
                f"at must be x, y of a pixel, from 0, 0 to {WIDTH - 1}, {HEIGHT - 1}; got {at}"
            )
        return at

    @property
    def image(self) -> Tensor:
        """The picture: float32 ``(3, 180, 240)``."""
        return unpack_webp(self.data["pictures"][self.photo]["image"])

    def _maps(self) -> Tensor:
        data = base64.b64decode(self.data["pictures"][self.photo]["leaves"])
        return torch.from_numpy(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int64))

    @property
    def hierarchy(self) -> Hierarchy:
        """The tree of regions."""
        packed, maps = self.data["pictures"][self.photo], self._maps()
        merges = _array(packed["merges"], "<u2").long().reshape(-1, 2)
        return Hierarchy(maps[..., 0] + 256 * maps[..., 1], merges, _array(packed["heights"], "<f4"))

    @property
    def truth(self) -> Tensor | None:
        """The scene's objects: int64 ``(180, 240)``; None for a photograph."""
        return self._maps()[..., 2] if self.data["pictures"][self.photo]["truth"] else None
