"""The widget of chapter 17: a scene in relief, under a lamp that the reader moves.

What the page holds are normals of two scenes, three bytes a pixel: the true ones, those of the stored
`segcore.geometry.geometry_net_for_scenes`, and those from the true depth. They are made by
``python -m benchmarks.trainings.geometry_widget``.
"""

from __future__ import annotations

import base64
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["GeometryWidget"]

SIDE = 48
SCENES = ("first", "second")
SOURCES = ("network", "depth")
VIEWS = ("lamp", "normals", "angle")
# Of each scene, in base64: normals "truth", "network" and "depth", int8 (48, 48, 3), and "objects" as bits.
MAPS = Path(__file__).parent / "static" / "geometry.json"


@lru_cache(maxsize=1)
def _maps() -> dict[str, dict[str, str]]:
    return json.loads(MAPS.read_text(encoding="utf-8"))


class GeometryWidget(CourseWidget):
    """Two maps of normals under one lamp: the true ones, and those of a network or of the true depth.

    Attributes:
        scene: "first" or "second".
        source: what is compared with the truth, "network" or "depth".
        view: "lamp", "normals" (as colours) or "angle" (between both).
        light: where the lamp stands over the picture, x right and y down, -1 to 1; 0, 0 is at the camera.
        at: the pixel pointed at, x and y.
        data: the maps, packed; read-only.

    Example:
        >>> widget = GeometryWidget(scene="second")
        >>> widget.normals("truth").shape, widget.objects.shape
        (torch.Size([3, 48, 48]), torch.Size([48, 48]))
    """

    _slug = "geometry"
    _title = "A scene in relief under a lamp that moves"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    scene = traitlets.Enum(SCENES, default_value=SCENES[0]).tag(sync=True)
    source = traitlets.Enum(SOURCES, default_value=SOURCES[0]).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)
    light = traitlets.List(traitlets.Float(), default_value=[-0.8, -0.4]).tag(sync=True)
    at = traitlets.List(traitlets.Int(), default_value=[24, 24]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {"scenes": {name: dict(each) for name, each in _maps().items()}}

    @traitlets.validate("light")
    def _check_light(self, proposal: Any) -> list[float]:
        light = list(proposal["value"])
        if len(light) != 2 or not all(math.isfinite(each) and -1 <= each <= 1 for each in light):
            raise traitlets.TraitError(f"light must be x, y, each from -1 to 1; got {light}")
        return light

    @traitlets.validate("at")
    def _check_at(self, proposal: Any) -> list[int]:
        at = list(proposal["value"])
        if len(at) != 2 or not all(0 <= each < SIDE for each in at):
            raise traitlets.TraitError(f"at must be x, y of a pixel, from 0, 0 to 47, 47; got {at}")
        return at

    def normals(self, source: str) -> Tensor:
        """The normals of the scene as the page has them: float64 ``(3, 48, 48)``, of "truth" or a source."""
        packed = np.frombuffer(base64.b64decode(self.data["scenes"][self.scene][source]), np.int8)
        return torch.nn.functional.normalize(
            torch.from_numpy(packed.astype(np.float64)).reshape(SIDE, SIDE, 3).permute(2, 0, 1), dim=0
        )

    @property
    def objects(self) -> Tensor:
        """Which pixels are objects: bool ``(48, 48)``."""
        packed = np.frombuffer(base64.b64decode(self.data["scenes"][self.scene]["objects"]), np.uint8)
        return torch.from_numpy(np.unpackbits(packed)[: SIDE * SIDE].astype(bool)).reshape(SIDE, SIDE)
