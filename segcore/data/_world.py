"""What stands in a scene: camera, lamp, floor, wall and objects, drawn from a hash of (seed, index).

Scene i's numbers are hashes of the seed, of i and of a counter, so they depend on nothing else. The
arithmetic is in int64 and float64 with additions, products, divisions and square roots alone: angles are
drawn by their tangents, and no sine is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

SPHERE, BOX, CYLINDER = 1, 2, 3
HUES = (0.0, 0.61, 0.33)  # sphere red, box blue, cylinder green, each 0 to 1 around the circle
HUE_SPREAD = 0.26  # a class's hues have this standard deviation times one half
CANDIDATES = 12  # places tried for an object before it is left out
GAP = 0.08  # least distance between the footprints of two objects, in metres
NEAREST, FARTHEST = 2.3, 4.9  # of an object's axis, along the floor, in metres

_MASK = 0xFFFFFFFF
_SCENE_NUMBERS, _OBJECT_NUMBERS = 32, 48  # random numbers set aside for a scene and for each object


@dataclass(frozen=True)
class World:
    """S scenes of up to M objects; float32 unless said otherwise.

    Attributes:
        camera: (S, 3) height above the floor, cosine and sine of the angle by which the camera looks down.
        wall: (S,) distance of the wall along the floor.
        lamp: (S, 3) position.
        kind: int64 (S, M), `SPHERE`, `BOX`, `CYLINDER`, or 0 for no object.
        centre: (S, M, 3) of each object's bounding box.
        half: (S, M, 3) half its size in x, y and z, before it is turned; radius, radius, radius for a sphere.
        turn: (S, M, 2) cosine and sine of the angle by which it is turned around its upright axis.
        surface: (S, M + 2, 15) material of floor, wall and objects: colours A and B (3 and 3), gloss (1),
            waves per metre along x, y, z of the first and of the second wave (3 and 3), their phases (2).
    """

    camera: Tensor
    wall: Tensor
    lamp: Tensor
    kind: Tensor
    centre: Tensor
    half: Tensor
    turn: Tensor
    surface: Tensor

    def select(self, order: Tensor, kept: Tensor) -> World:
        """The world with each scene's objects in another order (S, M), those not `kept` (S, M) removed."""

        def moved(table: Tensor) -> Tensor:
            return table.gather(1, order[..., None].expand(-1, -1, table.shape[2]))

        objects = {name: moved(getattr(self, name)) for name in ("centre", "half", "turn")}
        rooms, things = self.surface[:, :2], moved(self.surface[:, 2:])
        kind = torch.where(kept, self.kind, 0).gather(1, order)
        return World(
            self.camera, self.wall, self.lamp, kind, **objects, surface=torch.cat([rooms, things], 1)
        )


def uniform(seed: int, index: Tensor, count: int) -> Tensor:
    """Random numbers in [0, 1): float64 (S, count), a function of seed, `index` (S,) and column."""
    lot = torch.tensor(seed, dtype=torch.int64)
    first = _mix(_mix(lot) ^ index)[:, None]
    second = _mix((_mix(lot ^ 0x5BD1E995) + index) & _MASK)[:, None]  # two keys: no two seeds share a scene
    counter = torch.arange(count) * 0x9E3779B9
    bits = _mix(_mix((first + counter) & _MASK) ^ second)
    return (bits >> 8).double() / 2**24


def draw(
    seed: int, start: int, count: int, objects: tuple[int, int], difficulty: str, breadth: float
) -> World:
    """Draw scenes `start` to `start + count`; `breadth` is the picture's width at a distance of one metre."""
    most = max(objects[1], 1)
    index = torch.arange(start, start + count)
    numbers = uniform(seed, index, _SCENE_NUMBERS + most * _OBJECT_NUMBERS)
    room = iter(numbers[:, :_SCENE_NUMBERS].unbind(1))
    own = numbers[:, _SCENE_NUMBERS:].reshape(count, most, _OBJECT_NUMBERS)
    each = iter(own.unbind(2))  # (S, M) at a time

    wanted = objects[0] + (next(room) * (objects[1] - objects[0] + 1)).long()
    kind = 1 + (next(each) * 3).long()
    half = _sizes(kind, each)
    turn = _turn(_between(next(each), -0.8, 0.8))
    material = _material(kind, difficulty, each)
    x, z = _places(own[..., -2 * CANDIDATES :], breadth)
    asked = torch.arange(most) < wanted[:, None]
    x, z, placed = _apart(x, z, _footprint(kind, half), asked)

    camera, wall, lamp = _camera(room), _between(next(room), 6.0, 7.5), _lamp(room)
    surface = torch.cat([_floor(room)[:, None], _wallpaper(room)[:, None], material], 1)
    tables = {
        "camera": camera,
        "wall": wall,
        "lamp": lamp,
        "centre": torch.stack([x, -half[..., 1], z], -1),
        "half": half,
        "turn": turn,
        "surface": surface,
    }
    return World(kind=torch.where(placed, kind, 0), **{name: t.float() for name, t in tables.items()})


def part(world: World, scenes: slice) -> World:
    """Some of the scenes."""
    return World(**{f.name: getattr(world, f.name)[scenes] for f in fields(world)})


def _mix(x: Tensor) -> Tensor:
    """Hash numbers of 32 bits; no product exceeds 63 bits."""
    x = ((x >> 16) ^ x) * 0x45D9F3B & _MASK
    x = ((x >> 16) ^ x) * 0x45D9F3B & _MASK
    return (x >> 16) ^ x


def _between(u: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * u


def _turn(tangent: Tensor) -> Tensor:
    """Cosine and sine, from the tangent of half the angle."""
    square = tangent * tangent
    return torch.stack([(1 - square) / (1 + square), 2 * tangent / (1 + square)], -1)


def _camera(u: Iterator[Tensor]) -> Tensor:
    height = _between(next(u), 1.6, 2.3)
    fall = (height - 0.3) / _between(next(u), 3.3, 3.9)  # looks at a point 0.3 m above the floor
    cosine = 1 / torch.sqrt(1 + fall * fall)
    return torch.stack([height, cosine, fall * cosine], -1)


def _lamp(u: Iterator[Tensor]) -> Tensor:
    side = _between(next(u), -1, 1)
    x = torch.where(side < 0, side * 2 - 0.8, side * 2 + 0.8)  # never straight above the camera
    return torch.stack([x, _between(next(u), -5.0, -3.6), _between(next(u), 0.3, 2.4)], -1)


def _sizes(kind: Tensor, u: Iterator[Tensor]) -> Tensor:
    """Half sizes (S, M, 3)."""
    width, height, depth = next(u), next(u), next(u)
    radius = _between(width, 0.28, 0.52)
    ball = torch.stack([radius, radius, radius], -1)
    brick = torch.stack([_between(u, *r) for u, r in ((width, (0.22, 0.44)), (height, (0.2, 0.5)))], -1)
    brick = torch.cat([brick, _between(depth, 0.22, 0.44)[..., None]], -1)
    girth = _between(width, 0.2, 0.4)
    drum = torch.stack([girth, _between(height, 0.22, 0.6), girth], -1)
    which = kind[..., None]
    return torch.where(which == SPHERE, ball, torch.where(which == BOX, brick, drum))


def _footprint(kind: Tensor, half: Tensor) -> Tensor:
    """Radius of the circle on the floor that an object keeps within."""
    across, along = half[..., 0], half[..., 2]
    return torch.where(kind == BOX, torch.sqrt(across * across + along * along), across)


def _places(u: Tensor, breadth: float) -> tuple[Tensor, Tensor]:
    """Candidates (S, M, 12) for the objects' places, x and z, within what the camera sees."""
    z = _between(u[..., :CANDIDATES], NEAREST, FARTHEST)
    x = (u[..., CANDIDATES:] - 0.5) * (0.86 * breadth) * z
    return x, z


def _apart(x: Tensor, z: Tensor, radius: Tensor, asked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give each object in turn the first of its places that is free; those that find none are not placed."""
    free = torch.full_like(radius, 1e6)
    chosen_x, chosen_z, placed = free, free.clone(), torch.zeros_like(asked)  # far away until placed
    for k in range(radius.shape[1]):
        dx = x[:, k, :, None] - chosen_x[:, None]
        dz = z[:, k, :, None] - chosen_z[:, None]  # (S, 12, M)
        least = (radius[:, k, None] + radius + GAP)[:, None]
        open_ = (dx * dx + dz * dz >= least * least).all(2)
        first = open_.long().argmax(1, keepdim=True)
        placed[:, k] = asked[:, k] & open_.any(1)
        chosen_x[:, k] = torch.where(placed[:, k], x[:, k].gather(1, first)[:, 0], 1e6)
        chosen_z[:, k] = torch.where(placed[:, k], z[:, k].gather(1, first)[:, 0], 1e6)
    return chosen_x, chosen_z, placed


def _color(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """RGB (..., 3) from hue, saturation and value."""
    sixth = hue[..., None] * 6 + torch.tensor([0.0, 4.0, 2.0], dtype=hue.dtype)
    sixth = sixth - 6 * torch.floor(sixth / 6)
    pure = ((sixth - 3).abs() - 1).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * (1 - pure))


def _material(kind: Tensor, difficulty: str, u: Iterator[Tensor]) -> Tensor:
    """Surfaces of the objects (S, M, 15): plain, striped or checked, in two tones of one hue."""
    anywhere = next(u)
    lean = (next(u) + next(u) + next(u) - 1.5) * HUE_SPREAD
    hue = torch.tensor([0.0, *HUES], dtype=torch.float64)[kind] + lean if difficulty == "color" else anywhere
    tone, other = next(u), next(u)
    color = _color(hue, _between(tone, 0.55, 0.9), _between(next(u), 0.62, 1.0))
    lighter = _color(hue, _between(other, 0.15, 0.5), torch.ones_like(hue))
    darker = _color(hue, _between(other, 0.6, 0.9), _between(other, 0.25, 0.45))
    second = torch.where((next(u) < 0.5)[..., None], lighter, darker)
    style, waves = next(u), _between(next(u), 1.6, 3.2)
    second = torch.where((style < 0.34)[..., None], color, second)  # plain
    level, checked = style < 0.6, style > 0.8
    nothing = torch.zeros_like(waves)
    around = torch.where(level & ~checked, nothing, waves)
    first_wave = torch.stack([around, torch.where(level, waves, nothing), around], -1)
    upright = torch.stack([nothing, torch.where(checked, waves, nothing), nothing], -1)
    phases = torch.stack([next(u), torch.where(checked, next(u), nothing)], -1)
    gloss = _between(next(u), 0.0, 0.5)[..., None]
    return torch.cat([color, second, gloss, first_wave, upright, phases], -1)


def _floor(u: Iterator[Tensor]) -> Tensor:
    """Tiles or planks, of little colour (S, 15)."""
    hue, pale = next(u), _between(next(u), 0.04, 0.22)
    value = _between(next(u), 0.6, 0.85)
    color, second = _color(hue, pale, value), _color(hue, pale, value * _between(next(u), 0.78, 1.0))
    across, tiled = _between(next(u), 0.7, 1.3), next(u) < 0.6
    nothing = torch.zeros_like(across)
    waves = [across, nothing, nothing, nothing, nothing, torch.where(tiled, across, nothing)]
    phases = [next(u), torch.where(tiled, next(u), nothing)]
    return torch.cat([color, second, torch.stack([nothing, *waves, *phases], -1)], -1)


def _wallpaper(u: Iterator[Tensor]) -> Tensor:
    """Plain or with upright stripes (S, 15)."""
    hue, pale = next(u), _between(next(u), 0.04, 0.25)
    value = _between(next(u), 0.68, 0.95)
    color, second = _color(hue, pale, value), _color(hue, pale, value * _between(next(u), 0.86, 1.0))
    nothing = torch.zeros_like(value)
    waves = [_between(next(u), 0.6, 1.2), *[nothing] * 5]
    return torch.cat([color, second, torch.stack([nothing, *waves, next(u), nothing], -1)], -1)
