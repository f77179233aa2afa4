"""A small world with every label: spheres, boxes and cylinders on a floor before a wall, by ray casting.

Each pixel's ray meets each object in closed form, so the image comes with its classes, instances, boxes,
keypoints, depth and normals, all exact at the pixel's centre. Nothing is loaded and nothing is stored: a
scene is a pure function of (seed, index). Its random numbers are hashes of these two, and images are computed
with additions, products, divisions and square roots alone, which IEEE arithmetic rounds in one way only. So
`make_scenes(10)[3]` equals `make_scenes(1000)[3]` to the last bit, however many scenes are rendered at once.

World axes: x right, y down, z away from the camera; the floor is y = 0; lengths in metres. The camera stands
at (0, -height, 0) and looks down at the floor. With the direction of each ray scaled to 1 along the optical
axis, the distance along the ray *is* the depth.

What it leaves out: reflections, refraction, light from more than one lamp, lens distortion. Soft shadows are
not those of a lamp of finite size: light is dimmed by the length of its path inside an object, which looks
alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore import inputs
from segcore.color import rgb_to_lab
from segcore.data import _raycast, _world

__all__ = [
    "CLASSES",
    "DIFFICULTIES",
    "KEYPOINTS",
    "Scene",
    "Scenes",
    "ambiguous_colors",
    "arrange",
    "make_scenes",
]

CLASSES = ("background", "sphere", "box", "cylinder")
"""Names of the labels 0 to 3; the background is floor and wall."""

KEYPOINTS = ("top", "front", "left", "right", "foot")
"""Names of an object's keypoints, all on its surface. `top` is the centre of its top. `front`, `left` and
`right` lie at half its height, in the direction of the camera and 60 degrees to the left and right of it,
around the object's upright axis. `foot` is where it stands on the floor: below `front`, or for a sphere the
point on which it rests."""

DIFFICULTIES = ("color", "shape")
"""`color`: a class leans to a hue (sphere red, box blue, cylinder green), with overlap.
`shape`: hue tells nothing."""

GREY, GREEN, BLUE, ORANGE = (0.0, 0.0), (-30.0, 30.0), (-8.0, -32.0), (8.0, 32.0)
"""a* and b* of `ambiguous_colors`."""

_RAYS = 32768  # rendered at once: few enough for the processor's cache
_WORLDS = 1024  # scenes drawn at once, before any ray is cast


@dataclass(frozen=True)
class Scene:
    """One scene: its image and every label of its K objects. Shapes as in `Scenes`, less the first size."""

    image: Tensor
    labels: Tensor
    instances: Tensor
    depth: Tensor
    normals: Tensor
    masks: Tensor
    boxes: Tensor
    classes: Tensor
    keypoints: Tensor
    focal_length: float


@dataclass(frozen=True)
class Scenes:
    """N scenes and their labels; `scenes[i]` is a `Scene`, `scenes[2:5]` are `Scenes`.

    Attributes:
        image: float32 (N, 3, H, W), RGB in [0, 1].
        labels: int64 (N, H, W), index into `CLASSES`.
        instances: int64 (N, H, W), 0 where there is no object, else 1 to K; K differs from scene to scene.
        depth: float32 (N, H, W), metres along the optical axis; every ray ends on something.
        normals: float32 (N, 3, H, W), unit length, camera axes x right, y down, z forward.
        object_classes: int64 (N, M), class of instance k + 1 in column k; 0 where there are fewer objects.
        object_keypoints: float32 (N, M, 5, 3), likewise; x, y, visibility of each of `KEYPOINTS`.
        focal_length: in pixels, for both axes; the principal point is the image's centre (W / 2, H / 2).
    """

    image: Tensor
    labels: Tensor
    instances: Tensor
    depth: Tensor
    normals: Tensor
    object_classes: Tensor
    object_keypoints: Tensor
    focal_length: float

    def classes(self, i: int) -> Tensor:
        """Classes of the objects of scene `i`, int64 (K,)."""
        row = self.object_classes[i]
        return row[row > 0]

    def masks(self, i: int) -> Tensor:
        """Visible pixels of each object of scene `i`, bool (K, H, W)."""
        numbers = torch.arange(1, len(self.classes(i)) + 1, device=self.instances.device)
        return self.instances[i] == numbers[:, None, None]

    def boxes(self, i: int) -> Tensor:
        """Tight boxes around the masks of scene `i`, float32 (K, 4) as x1, y1, x2, y2, in pixels."""
        masks = self.masks(i)
        height, width = masks.shape[1:]
        across, down = masks.any(1), masks.any(2)  # (K, W), (K, H)
        columns, rows = (torch.arange(n, device=masks.device) for n in (width, height))
        corners = [
            torch.where(across, columns, width).amin(1),
            torch.where(down, rows, height).amin(1),
            torch.where(across, columns + 1, 0).amax(1),
            torch.where(down, rows + 1, 0).amax(1),
        ]
        return torch.stack(corners, 1).float()

    def keypoints(self, i: int) -> Tensor:
        """Keypoints of the objects of scene `i`, float32 (K, 5, 3) as x, y, visibility.

        Visibility as in COCO: 0 outside the image (x and y are 0 then), 1 occluded, by another object or by
        its own, 2 visible: nothing lies in front of it and the pixel into which it falls shows its object.
        """
        return self.object_keypoints[i, : len(self.classes(i))]

    def __len__(self) -> int:
        return len(self.image)

    def __iter__(self) -> Iterator[Scene]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, i: int) -> Scene: ...

    @overload
    def __getitem__(self, i: slice) -> Scenes: ...

    def __getitem__(self, i: int | slice) -> Scene | Scenes:
        if isinstance(i, slice):
            cut = {f.name: getattr(self, f.name)[i] for f in fields(self) if f.name != "focal_length"}
            return Scenes(**cut, focal_length=self.focal_length)
        if not -len(self) <= i < len(self):
            raise IndexError(f"scene {i} of {len(self)}")
        shared = {n: getattr(self, n)[i] for n in ("image", "labels", "instances", "depth", "normals")}
        own = {n: getattr(self, n)(i) for n in ("masks", "boxes", "classes", "keypoints")}
        return Scene(**shared, **own, focal_length=self.focal_length)


def make_scenes(
    count: int,
    size: int | tuple[int, int] = 64,
    seed: int = 0,
    objects: tuple[int, int] = (2, 5),
    difficulty: str = "color",
    antialias: bool = False,
    start: int = 0,
) -> Scenes:
    """Render scenes with all their labels.

    Scene i depends on `seed` and on i alone: `make_scenes(100, start=50)` gives what `make_scenes(150)[50:]`
    gives, so a training loop can draw fresh scenes batch by batch. The same seed gives the same arrangement
    in both difficulties and, but for objects at the limit of what is seen, in every size of the same
    proportions.

    An object of which less than one pixel in 512 (at least 4) would be seen is taken out of its scene, with
    its shadow, so that there is no object too small to be learnt. So is an object that finds no free place on
    the floor. A scene may thus have fewer objects than asked for.

    While it renders, torch's own threads are set to one and as many Python threads render scenes side by
    side.

    Args:
        count: how many. A scene of 64x64 takes 180 kB.
        size: height and width in pixels, or one number for both; at least 16.
        seed: any integer from 0 to 2^32 - 1.
        objects: least and greatest number of objects in a scene, from 0 to 9.
        difficulty: one of `DIFFICULTIES`.
        antialias: average 3x3 rays for the image, for pictures to look at, at nine times the cost. The labels
            are those of the ray through the pixel's centre, the same as without.
        start: index of the first scene.

    Returns:
        The scenes.

    Raises:
        TypeError: not whole numbers.
        ValueError: a number out of range, or an unknown difficulty.

    Example:
        >>> scenes = make_scenes(2, size=(48, 64), seed=7)
        >>> scenes.image.shape, scenes.depth.shape
        (torch.Size([2, 3, 48, 64]), torch.Size([2, 48, 64]))
        >>> [CLASSES[k] for k in scenes.classes(0)] == [CLASSES[k] for k in scenes[0].classes]
        True
        >>> torch.equal(make_scenes(1, size=(48, 64), seed=7, start=1).image, scenes[1:].image)
        True
    """
    height, width = _check(count, size, seed, objects, difficulty, start)
    focal = 1.1 * max(height, width)
    most = max(objects[1], 1)
    real, whole = torch.float32, torch.int64  # whatever the default dtype
    with torch.device("cpu"):  # whatever the default device
        scenes = Scenes(
            image=torch.empty(count, 3, height, width, dtype=real),
            labels=torch.empty(count, height, width, dtype=whole),
            instances=torch.empty(count, height, width, dtype=whole),
            depth=torch.empty(count, height, width, dtype=real),
            normals=torch.empty(count, 3, height, width, dtype=real),
            object_classes=torch.zeros(count, most, dtype=whole),
            object_keypoints=torch.zeros(count, most, len(KEYPOINTS), 3, dtype=real),
            focal_length=focal,
        )
        for first in range(0, count, _WORLDS):
            part = scenes[first : first + _WORLDS]
            world = _world.draw(seed, start + first, len(part), objects, difficulty, width / focal)
            _render_all(world, part, antialias)
    return scenes


def arrange(
    count: int,
    size: int | tuple[int, int] = 64,
    seed: int = 0,
    objects: tuple[int, int] = (2, 5),
    difficulty: str = "color",
    start: int = 0,
) -> _world.World:
    """What stands in the scenes that `make_scenes` renders, without rendering them; arguments as there."""
    height, width = _check(count, size, seed, objects, difficulty, start)
    focal = 1.1 * max(height, width)
    with torch.device("cpu"):
        world = _world.draw(seed, start, count, objects, difficulty, width / focal)
        direction = _raycast.rays(world, (height, width), focal)
        near, _ = _raycast.spans(world, _raycast.camera_position(world), direction)
        return _remove_unseen(world, direction, near)[0]


def ambiguous_colors(scenes: Scenes, seed: int = 0, odds: float = 0.6) -> Tensor:
    """The same scenes in other colours, of which lightness does not tell all.

    The floor is green and the wall grey. Each object is orange or blue, by lot: opposite colours, whose mean
    is grey. Lightness stays exactly what it was, so nothing in a grey picture says which of the two it is.
    Very dark and very bright places have less colour, so that a screen can show nearly all of it.

    Args:
        scenes: From `make_scenes`.
        seed: Of the lots.
        odds: How often an object is orange, from 0 to 1.

    Returns:
        CIELAB, float32 ``(N, 3, H, W)``; lightness is that of the images.

    Raises:
        TypeError: Not scenes, or no numbers.
        ValueError: Numbers out of range.

    Example:
        >>> scenes = make_scenes(2, size=32)
        >>> ambiguous_colors(scenes).shape
        torch.Size([2, 3, 32, 32])
        >>> ambiguous_colors(scenes, odds=1)[:, 2][scenes.instances > 0].min() >= 0  # yellow, never blue
        tensor(True)
    """
    inputs.instance(scenes, "scenes", Scenes, "make them with make_scenes")
    odds = inputs.number(odds, "odds", least=0, most=1)
    generator = torch.Generator().manual_seed(inputs.whole(seed, "seed", least=0))
    place = scenes.image.device
    plain: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # the same numbers in every session
    lots = (torch.rand(scenes.object_classes.shape, generator=generator, **plain) < odds).to(place)
    orange = F.pad(lots, (1, 0)).gather(1, scenes.instances.flatten(1)).view_as(scenes.instances)
    floor = (scenes.normals[:, 1] < -0.5).long()
    kind = torch.where(scenes.instances > 0, 2 + orange.long(), floor)
    lightness = rgb_to_lab(scenes.image)[:, :1]
    vivid = (2 - (lightness / 25 - 2).abs()).clamp(0, 1)  # 1 from 25 to 75, 0 at 0 and at 100
    hues = torch.tensor([GREY, GREEN, BLUE, ORANGE], **plain).to(place)[kind].movedim(-1, 1)
    return torch.cat([lightness, hues * vivid], 1)


def _render_all(world: _world.World, out: Scenes, antialias: bool) -> None:
    """Fill `out`, a few scenes at a time: each thread renders its own, which beats two threads on one sum."""
    step = max(1, _RAYS // out.depth[0].numel())

    def render_from(first: int) -> None:
        part = slice(first, first + step)
        with torch.device("cpu"):  # each thread has a default device of its own
            _render(_world.part(world, part), out[part], antialias)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(render_from, range(0, len(out), step)))
    finally:
        torch.set_num_threads(threads)


def _render(world: _world.World, out: Scenes, antialias: bool) -> None:
    """Fill `out` with the images and labels of `world`."""
    pixels = out.depth.shape
    size = pixels[1], pixels[2]
    direction = _raycast.rays(world, size, out.focal_length)
    near, _ = _raycast.spans(world, _raycast.camera_position(world), direction)
    world, near = _remove_unseen(world, direction, near)
    depth, which = _raycast.nearest(world, direction, near)
    image, normal = _raycast.shade(world, direction, depth, which)

    kinds = torch.nn.functional.pad(world.kind, (2, 0))  # floor, wall, objects
    out.image.copy_(_smooth(world, out, image) if antialias else image.reshape(out.image.shape))
    out.labels.copy_(kinds.gather(1, which).reshape(pixels))
    out.instances.copy_((which - 1).clamp(min=0).reshape(pixels))
    out.depth.copy_(depth.reshape(pixels))
    for axis, component in enumerate(_raycast.camera_axes(world, normal)):
        out.normals[:, axis] = component.reshape(pixels)
    out.object_classes.copy_(world.kind)
    out.object_keypoints.copy_(_raycast.keypoints(world, size, out.focal_length, out.instances))


def _remove_unseen(
    world: _world.World, direction: _raycast.Vector, near: Tensor
) -> tuple[_world.World, Tensor]:
    """The world without the objects of which too little is seen, the others first; and their distances."""
    _, which = _raycast.nearest(world, direction, near)
    least = max(4, which.shape[1] / 512)
    seen = torch.stack([(which == m + 2).sum(1) for m in range(near.shape[1])], 1)
    kept = seen >= least
    order = (~kept).long().argsort(dim=1, stable=True)
    near = torch.where(kept[..., None], near, torch.inf).gather(1, order[..., None].expand(near.shape))
    return world.select(order, kept), near


def _smooth(world: _world.World, out: Scenes, centre: Tensor) -> Tensor:
    """The image averaged over 3x3 rays a pixel; `centre` is the image of the ray in the middle."""
    size = out.depth.shape[1], out.depth.shape[2]
    total = centre.clone()
    for down in (-1 / 3, 0.0, 1 / 3):
        for right in (-1 / 3, 0.0, 1 / 3):
            if (down, right) == (0, 0):
                continue
            direction = _raycast.rays(world, size, out.focal_length, (down, right))
            near, _ = _raycast.spans(world, _raycast.camera_position(world), direction)
            depth, which = _raycast.nearest(world, direction, near)
            total = total + _raycast.shade(world, direction, depth, which)[0]
    return (total / 9).reshape(out.image.shape)


def _check(
    count: int, size: int | tuple[int, int], seed: int, objects: tuple[int, int], difficulty: str, start: int
) -> tuple[int, int]:
    """Height and width, after checking all arguments."""
    for name, value in (("count", count), ("seed", seed), ("start", start)):
        inputs.whole(value, name, 0, 2**32 - 1)
    if start + count > 2**32:
        raise ValueError(
            f"expected scenes numbered to 2^32 - 1, got start={start} and count={count}; begin earlier"
        )
    inputs.option(difficulty, "difficulty", DIFFICULTIES)
    least, most = inputs.pair(objects, "objects", 0, "least, greatest")
    if not isinstance(objects, tuple | list) or not least <= most <= 9:
        raise ValueError(f"expected objects as (least, greatest), from 0 to 9, got {objects!r}; give both")
    return inputs.pair(size, "size", 16, "height, width")
