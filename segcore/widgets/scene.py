"""What widgets with a scene to move share: its stored worlds, its traits, and the pixel that unfolds.

The page renders the scene itself (``static/kit/world.js``), so its truth is always known, and runs networks
on it (``static/kit/network.js``). Their weights are those of ``static/networks.json``, which ``python -m
benchmarks.trainings networks --write`` makes.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import traitlets

from segcore.data import scenes

__all__ = [
    "SIZE",
    "VIEWS",
    "MovedScene",
    "SceneTraits",
    "in_order",
    "measured",
    "networks",
    "stored_worlds",
    "worlds",
]

SIZE = 96
SEED = 2
STORED = (40, 19, 32, 55, 5, 14)  # of that seed; the last two are hard for all
MOST = 6
LEVELS = (0, 3, 5, 8)  # lengths of `pixel`
VIEWS = ("labels", "mistakes")
STATIC = Path(__file__).parent / "static"


@lru_cache
def _stored(file: str) -> dict[str, Any]:
    return json.loads((STATIC / file).read_text(encoding="utf-8"))


def networks(*names: str) -> dict[str, Any]:
    """The stored networks of these names, each as `export_network` has written it down."""
    return {name: _stored("networks.json")[name] for name in names}


def measured(*names: str) -> dict[str, dict[str, float]]:
    """Mean IoU over 100 scenes of networks in which something is switched off or changed, by setting."""
    return {name: _stored("switches.json")[name] for name in names}


def in_order(values: Sequence[int], name: str) -> list[int]:
    """What is off, named once each and in order; else a `TraitError`."""
    if any(a >= b for a, b in itertools.pairwise(values)):
        raise traitlets.TraitError(f"{name} must name each once, in order; got {list(values)}")
    return list(values)


def worlds(count: int, size: int | tuple[int, int] = SIZE, seed: int = SEED, start: int = 0) -> list[Any]:
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


@lru_cache(maxsize=1)
def stored_worlds() -> list[Any]:
    """The scenes that a reader chooses from."""
    return [worlds(1, start=start)[0] for start in STORED]


class MovedScene(traitlets.HasTraits):
    """Traits of a widget with a scene that the reader moves.

    Attributes:
        scene: which of the stored scenes, from 0 to 5.
        objects: where they stand now, each [number, kind, x, z, hue] or [number, kind, x, z, hue, pattern]:
            which object of the scene it was, 1 sphere, 2 box or 3 cylinder, metres to the right and away,
            degrees around the circle of colours or -1 for its own colour, and 0 plain, 1 upright stripes, 2
            level stripes, 3 checks or -1 for its own pattern. Empty: as the scene has them.
        lamp: metres to the right of the middle; empty: where the scene has it.
        chosen: which of the objects the controls are for, from 0.
        data: the scenes and the networks; read-only.
    """

    data = traitlets.Dict(read_only=True).tag(sync=True)
    scene = traitlets.Int(0, min=0, max=len(STORED) - 1).tag(sync=True)
    objects = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    lamp = traitlets.List(traitlets.Float()).tag(sync=True)
    chosen = traitlets.Int(0, min=0, max=MOST - 1).tag(sync=True)

    @traitlets.validate("objects")
    def _check_objects(self, proposal: Any) -> list[list[float]]:
        objects = [list(each) for each in proposal["value"]]
        if len(objects) > MOST:
            raise traitlets.TraitError(f"at most {MOST} objects fit; got {len(objects)}")
        for each in objects:
            if len(each) not in (5, 6) or not all(map(math.isfinite, each)) or not _possible(*each):
                raise traitlets.TraitError(
                    "each object must be [number, kind, x, z, hue], with a pattern behind it if you like: a "
                    "whole number from 0 to 5, a kind from 1 to 3, x from -4 to 4 m, z from 2 to 6 m, a hue "
                    f"from 0 to 360 or -1, a pattern from -1 to 3; got {each}"
                )
        return objects

    @traitlets.validate("lamp")
    def _check_lamp(self, proposal: Any) -> list[float]:
        lamp = list(proposal["value"])
        if len(lamp) > 1 or not all(math.isfinite(each) and -4 <= each <= 4 for each in lamp):
            raise traitlets.TraitError(f"lamp must be empty or one number from -4 to 4; got {lamp}")
        return lamp


class SceneTraits(MovedScene):
    """Traits of a widget with a scene that the reader moves and answers whose pixels unfold.

    Attributes:
        scene, objects, lamp, chosen: see `MovedScene`.
        pixel: what is unfolded: nothing, or [answer, x, y], or that and [step, channel] of the network, or
            that and [column, row, input channel] of a number there. Steps are counted from 1.
        data: the scenes, the networks and which outputs are shown; read-only.
    """

    pixel = traitlets.List(traitlets.Int()).tag(sync=True)

    @traitlets.validate("pixel")
    def _check_pixel(self, proposal: Any) -> list[int]:
        pixel = list(proposal["value"])
        if not _lies_within(pixel, self.data):
            raise traitlets.TraitError(
                "pixel must be empty or [answer, x, y], with [step, channel] behind it, and [column, row, "
                f"input] behind that, all within the network; got {pixel}"
            )
        return pixel


def _possible(number: float, kind: float, x: float, z: float, hue: float, pattern: float = -1) -> bool:
    whole = number in range(MOST) and kind in (1, 2, 3) and pattern in range(-1, 4)
    return whole and -4 <= x <= 4 and 2 <= z <= 6 and (hue == -1 or 0 <= hue <= 360)


def _lies_within(pixel: Sequence[int], data: dict[str, Any]) -> bool:
    """Whether there is such an answer, pixel, step, channel, number and input channel."""
    if len(pixel) not in LEVELS or min(pixel, default=0) < 0:
        return False
    if not pixel:
        return True
    answer, x, y, *rest = pixel
    if answer >= len(data["answers"]) or max(x, y) >= data["size"]:
        return False
    described = data["networks"][data["answers"][answer][0]]
    steps = described["steps"]
    if not rest:
        return True
    number, channel, *rest = rest
    if not 1 <= number <= len(steps) or steps[number - 1]["op"] == "pad":
        return False
    step = steps[number - 1]
    channels, height, width = step["shape"]
    before = described["image"] if step["from"][0] == 0 else steps[step["from"][0] - 1]["shape"]
    most = before[0] // step["groups"] if "weight" in step else 1
    return channel < channels and (not rest or (rest[0] < width and rest[1] < height and rest[2] < most))
