"""The widget of the first page: a scene that the reader moves, and four networks that answer as it moves.

The scene is rendered in the page, by the rays of `segcore.data.scenes`, so its truth is always known; the
networks run there, too, by ``static/kit/network.js``. They are FCN-32s, 16s and 8s, which share one backbone,
and a U-Net, trained and written down by ``python -m benchmarks.trainings networks --write``.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import traitlets

from segcore.data import scenes
from segcore.widgets.base import CourseWidget

__all__ = ["NetworksWidget", "worlds"]

SIZE = 96
SEED = 2
STORED = (40, 19, 32, 55, 5, 14)  # of that seed; the last two are hard for all
MOST = 6
VIEWS = ("labels", "mistakes")
WEIGHTS = Path(__file__).parent / "static" / "networks.json"


@lru_cache(maxsize=1)
def _networks() -> dict[str, Any]:
    return json.loads(WEIGHTS.read_text(encoding="utf-8"))


def worlds(count: int, size: int = SIZE, seed: int = SEED, start: int = 0) -> list[dict[str, Any]]:
    """What stands in the scenes that `make_scenes` renders, as the page takes it: see ``kit/world.js``."""
    world = scenes.arrange(count, size, seed, start=start)

    def numbers(values: torch.Tensor) -> Any:
        return (
            [round(value, 5) for value in values.tolist()] if values.ndim == 1 else list(map(numbers, values))
        )

    found = []
    for i in range(count):
        there = (world.kind[i] > 0).nonzero()[:, 0].tolist()
        tables = {name: getattr(world, name)[i] for name in ("centre", "half", "turn")}
        objects = [
            {"kind": int(world.kind[i, m]), "surface": numbers(world.surface[i, m + 2])}
            | {name: numbers(table[m]) for name, table in tables.items()}
            for m in there
        ]
        room = numbers(world.surface[i, :2])
        camera, lamp = numbers(world.camera[i]), numbers(world.lamp[i])
        wall = round(float(world.wall[i]), 5)
        found.append({"camera": camera, "wall": wall, "lamp": lamp, "room": room, "objects": objects})
    return found


class NetworksWidget(CourseWidget):
    """A scene to rearrange by hand, its truth, and what four networks make of it.

    Attributes:
        scene: which of the stored scenes, from 0 to 5.
        objects: where they stand now, each [number, kind, x, z, hue]: which object of the scene it was, 1
            sphere, 2 box or 3 cylinder, metres to the right and away, and degrees around the circle of
            colours or -1 for its own colour. Empty: as the scene has them.
        lamp: metres to the right of the middle; empty: where the scene has it.
        chosen: which of the objects the controls are for, from 0.
        view: "labels" or "mistakes".
        data: the scenes and the networks; read-only.

    Example:
        >>> widget = NetworksWidget(scene=1, objects=[[0, 2, 0.4, 3.0, 0]])
        >>> list(widget.data["networks"]), len(widget.data["worlds"])
        (['skips', 'unet'], 6)
    """

    _slug = "networks"
    _title = "A scene to move, and four networks that segment it as it moves"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    scene = traitlets.Int(0, min=0, max=len(STORED) - 1).tag(sync=True)
    objects = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    lamp = traitlets.List(traitlets.Float()).tag(sync=True)
    chosen = traitlets.Int(0, min=0, max=MOST - 1).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {"size": SIZE, "worlds": _stored(), "networks": _networks()}

    @traitlets.validate("objects")
    def _check_objects(self, proposal: Any) -> list[list[float]]:
        objects = [list(each) for each in proposal["value"]]
        if len(objects) > MOST:
            raise traitlets.TraitError(f"at most {MOST} objects fit; got {len(objects)}")
        for each in objects:
            if len(each) != 5 or not all(map(math.isfinite, each)) or not _possible(*each):
                raise traitlets.TraitError(
                    "each object must be [number, kind, x, z, hue]: a whole number from 0 to 5, a kind from "
                    f"1 to 3, x from -4 to 4 m, z from 2 to 6 m, a hue from 0 to 360 or -1; got {each}"
                )
        return objects

    @traitlets.validate("lamp")
    def _check_lamp(self, proposal: Any) -> list[float]:
        lamp = list(proposal["value"])
        if len(lamp) > 1 or not all(math.isfinite(each) and -4 <= each <= 4 for each in lamp):
            raise traitlets.TraitError(f"lamp must be empty or one number from -4 to 4; got {lamp}")
        return lamp


def _possible(number: float, kind: float, x: float, z: float, hue: float) -> bool:
    whole = number in range(MOST) and kind in (1, 2, 3)
    return whole and -4 <= x <= 4 and 2 <= z <= 6 and (hue == -1 or 0 <= hue <= 360)


@lru_cache(maxsize=1)
def _stored() -> list[dict[str, Any]]:
    return [worlds(1, start=start)[0] for start in STORED]
