"""Rays meet spheres, boxes and cylinders in closed form: depth, normals, light and shadow of a `World`.

S scenes, M objects, R rays a scene. A vector is three tensors, so that each step is a plain sum or product,
which IEEE arithmetic rounds in one way whatever the sizes. A ray's direction has length 1 along the camera's
axis, so the distance along the ray, in units of its direction, is the depth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segcore.data._world import BOX, CYLINDER, SPHERE, World

Vector = tuple[Tensor, ...]  # three of them: x, y, z

SOFTNESS = 0.12  # metres inside an object after which three quarters of the light are gone
REACH = 30.0  # light falls by half at this distance squared from the lamp
SLACK = 2e-3  # metres by which a surface must lie in front of a keypoint to hide it
SIXTY = (0.5, 0.8660254)  # cosine and sine of 60 degrees


def dot(a: Vector, b: Vector) -> Tensor:
    """Scalar product, summed in a fixed order."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def camera_position(world: World) -> Vector:
    """World coordinates (S, 1) of the camera."""
    height = world.camera[:, :1]
    return torch.zeros_like(height), -height, torch.zeros_like(height)


def rays(
    world: World, size: tuple[int, int], focal: float, shift: tuple[float, float] = (0.0, 0.0)
) -> Vector:
    """Directions (S, H*W) of the rays through the pixels' centres, moved down and right by `shift` pixels."""
    height, width = size
    right = (torch.arange(width, dtype=torch.float64) + (0.5 + shift[1] - width / 2)) / focal
    down = (torch.arange(height, dtype=torch.float64) + (0.5 + shift[0] - height / 2)) / focal
    x = right.float().expand(height, width).reshape(1, -1)
    y = down.float()[:, None].expand(height, width).reshape(1, -1)
    cosine, sine = world.camera[:, 1:2], world.camera[:, 2:]
    return x.expand(len(cosine), -1), cosine * y + sine, cosine - sine * y


def spans(world: World, origin: Vector, direction: Vector) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the objects.

    Args:
        world: S scenes.
        origin: (S, R) or (S, 1).
        direction: (S, R).

    Returns:
        near, far: (S, M, R) in units of the direction; infinity and minus infinity where a ray misses.
    """
    scenes, most = world.kind.shape
    shape = (scenes * most, direction[0].shape[1])
    near, far = (torch.full(shape, end, dtype=torch.float32) for end in (torch.inf, -torch.inf))
    for kind, cut in ((SPHERE, _cut_sphere), (BOX, _cut_box), (CYLINDER, _cut_cylinder)):
        row = (world.kind.reshape(-1) == kind).nonzero()[:, 0]
        if len(row):
            centre, half, turn = (
                t.flatten(0, 1)[row, :, None] for t in (world.centre, world.half, world.turn)
            )
            scene = row // most
            o = tuple(origin[axis].index_select(0, scene) - centre[:, axis] for axis in range(3))
            d = tuple(direction[axis].index_select(0, scene) for axis in range(3))
            if kind == BOX:
                o, d = _turned(o, turn[:, 0], turn[:, 1]), _turned(d, turn[:, 0], turn[:, 1])
            enter, leave, miss = cut(o, d, half)
            near.index_copy_(0, row, enter.masked_fill_(miss, torch.inf))
            far.index_copy_(0, row, leave.masked_fill_(miss, -torch.inf))
    return near.view(scenes, most, -1), far.view(scenes, most, -1)


def nearest(world: World, direction: Vector, near: Tensor) -> tuple[Tensor, Tensor]:
    """Depth and number (S, R) of what each ray of the camera meets: 0 floor, 1 wall, 2 + m object m."""
    floor = world.camera[:, :1] / direction[1].clamp(min=1e-9)
    wall = world.wall[:, None] / direction[2]
    depth = torch.minimum(floor, wall)
    which = (wall < floor).long()
    for m in range(near.shape[1]):
        closer = near[:, m] < depth
        depth = torch.minimum(near[:, m], depth)
        which = torch.where(closer, m + 2, which)
    return depth, which


def shade(world: World, direction: Vector, depth: Tensor, which: Tensor) -> tuple[Tensor, Vector]:
    """Colours (S, 3, R) of what the rays meet, and its normals in world axes, each component (S, R)."""
    point = tuple(o + depth * d for o, d in zip(camera_position(world), direction, strict=True))
    slots = world.surface.shape[1]
    at = (which + slots * torch.arange(len(depth))[:, None]).reshape(-1)
    surface = (
        world.surface.flatten(0, 1).t().contiguous().index_select(1, at).view(-1, *depth.shape).unbind(0)
    )
    local, normal = _at_surface(world, point, which, at)
    color = _albedo(local, surface)
    light, gleam = _light(world, direction, point, normal, which)
    ambient = 0.34 - 0.1 * normal[1]
    gleam = gleam * surface[6]
    channels = [torch.sqrt((c * c * (ambient + light) + gleam).clamp(0, 1)) for c in color]
    return torch.stack(channels, 1), normal


def camera_axes(world: World, v: Vector) -> Vector:
    """A direction in the camera's axes: right, down, forward."""
    cosine, sine = world.camera[:, 1:2], world.camera[:, 2:]
    return v[0], cosine * v[1] - sine * v[2], sine * v[1] + cosine * v[2]


def keypoints(world: World, size: tuple[int, int], focal: float, instances: Tensor) -> Tensor:
    """Keypoints (S, M, 5, 3) of the objects as x, y, visibility; zero where there is no object."""
    scenes, most = world.kind.shape
    points = _on_surface(world)  # each (S, M, 5)
    flat = tuple(p.reshape(scenes, -1) for p in points)
    origin = camera_position(world)
    right, down, forward = camera_axes(world, _minus(flat, origin))
    x, y = focal * right / forward + size[1] / 2, focal * down / forward + size[0] / 2
    inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])

    toward = tuple(v / forward for v in _minus(flat, origin))
    near, _ = spans(world, origin, toward)
    hidden = near.amin(1) < forward - SLACK
    column, row = x.long().clamp(0, size[1] - 1), y.long().clamp(0, size[0] - 1)
    shown = instances.reshape(scenes, -1).gather(1, row * size[1] + column)
    own = torch.arange(1, most + 1).repeat_interleave(5)
    visibility = torch.where((shown == own) & ~hidden, 2.0, 1.0).float()
    there = inside & (world.kind > 0).repeat_interleave(5, 1)
    all_three = torch.where(there[..., None], torch.stack([x, y, visibility], -1), 0.0)
    return all_three.reshape(scenes, most, 5, 3)


def _minus(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _turned(v: Vector, cosine: Tensor, sine: Tensor) -> Vector:
    """Into the axes of an object turned by this angle; with the sine's sign changed, out of them."""
    return cosine * v[0] + sine * v[2], v[1], cosine * v[2] - sine * v[0]


def _never_zero(x: Tensor) -> Tensor:
    return x.masked_fill(x.abs() < 1e-9, 1e-9)


def _cut_sphere(o: Vector, d: Vector, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    square = dot(d, d)
    middle = -dot(o, d) / square  # where the ray passes the centre
    p = tuple(a + middle * b for a, b in zip(o, d, strict=True))
    left = (half[:, 0] * half[:, 0] - dot(p, p)) / square
    root = torch.sqrt(left.clamp(min=0))
    return middle - root, middle + root, left <= 0


def _cut_slab(o: Tensor, d: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    inverse = 1 / _never_zero(d)
    middle, reach = -o * inverse, half * inverse.abs()
    return middle - reach, middle + reach


def _cut_box(o: Vector, d: Vector, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    enter, leave = _cut_slab(o[0], d[0], half[:, 0])
    for axis in (1, 2):
        near, far = _cut_slab(o[axis], d[axis], half[:, axis])
        enter, leave = torch.maximum(enter, near), torch.minimum(leave, far)
    return enter, leave, enter >= leave


def _cut_cylinder(o: Vector, d: Vector, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    square = (d[0] * d[0] + d[2] * d[2]).clamp(min=1e-12)
    middle = -(o[0] * d[0] + o[2] * d[2]) / square  # where the ray passes the axis
    x, z = o[0] + middle * d[0], o[2] + middle * d[2]
    left = (half[:, 0] * half[:, 0] - (x * x + z * z)) / square
    root = torch.sqrt(left.clamp(min=0))
    near, far = _cut_slab(o[1], d[1], half[:, 1])
    enter, leave = torch.maximum(middle - root, near), torch.minimum(middle + root, far)
    return enter, leave, (left <= 0) | (enter >= leave)


def _at_surface(world: World, point: Vector, which: Tensor, at: Tensor) -> tuple[Vector, Vector]:
    """What the rays meet, in the axes of the thing met; and its normals in world axes; components (S, R)."""
    things = torch.cat([world.kind[..., None].float(), world.centre, world.half, world.turn], -1)
    table = (
        torch.nn.functional.pad(things, (0, 0, 2, 0)).flatten(0, 1).t().contiguous()
    )  # floor, wall, objects
    pixel = (which.reshape(-1) > 1).nonzero()[:, 0]
    kind, cx, cy, cz, *half, cosine, sine = table.index_select(1, at[pixel]).unbind(0)
    there = _minus(tuple(p.reshape(-1)[pixel] for p in point), (cx, cy, cz))
    own = _turned(there, cosine, sine)
    out = _turned(_normal(own, tuple(half), kind), cosine, -sine)
    wall = (which == 1).float()
    room = torch.zeros_like(wall), wall - 1, -wall  # the floor faces up, the wall towards the camera
    local = tuple(p.reshape(-1).index_copy(0, pixel, o).view_as(p) for p, o in zip(point, own, strict=True))
    normal = tuple(r.reshape(-1).index_copy(0, pixel, n).view_as(r) for r, n in zip(room, out, strict=True))
    return local, normal


def _normal(q: Vector, half: Vector, kind: Tensor) -> Vector:
    """Outward normals at points on the surfaces of objects, in the objects' axes."""
    x, y, z = (q[axis].abs() / half[axis] for axis in range(3))
    around = torch.sqrt(q[0] * q[0] + q[2] * q[2]).clamp(min=1e-9)
    radius = torch.sqrt(dot(q, q)).clamp(min=1e-9)
    ball, drum = kind == SPHERE, kind == CYLINDER
    cap = y > torch.where(drum, around / half[0], torch.maximum(x, z))
    side = torch.where(drum, around, 1.0)
    box_x = torch.where(x >= z, torch.sign(q[0]), 0.0)
    box_z = torch.where(x >= z, 0.0, torch.sign(q[2]))
    nx = torch.where(ball, q[0] / radius, torch.where(cap, 0.0, torch.where(drum, q[0] / side, box_x)))
    ny = torch.where(ball, q[1] / radius, torch.where(cap, torch.sign(q[1]), 0.0))
    nz = torch.where(ball, q[2] / radius, torch.where(cap, 0.0, torch.where(drum, q[2] / side, box_z)))
    return nx, ny, nz


def _albedo(q: Vector, surface: tuple[Tensor, ...]) -> list[Tensor]:
    """Colour before light: two colours mixed by the product of two triangle waves through the solid."""
    first = _wave(dot(surface[7:10], q) + surface[13])
    second = _wave(dot(surface[10:13], q) + surface[14])
    mix = (0.5 + 2.5 * first * second).clamp(0, 1)
    return [a + (b - a) * mix for a, b in zip(surface[:3], surface[3:6], strict=True)]


def _wave(x: Tensor) -> Tensor:
    """A triangle wave of period 1 between 1 (at 0) and -1."""
    return ((x - torch.floor(x)) * 2 - 1).abs() * 2 - 1


def _light(
    world: World, direction: Vector, point: Vector, normal: Vector, which: Tensor
) -> tuple[Tensor, Tensor]:
    """Diffuse and mirrored light of the lamp (S, R), dimmed by what stands in between."""
    to_lamp = _minus(tuple(world.lamp[:, axis, None] for axis in range(3)), point)
    square = dot(to_lamp, to_lamp)
    distance = torch.sqrt(square)
    near, far = spans(world, point, to_lamp)
    inside = torch.zeros_like(distance)
    for m in range(near.shape[1]):
        length = (far[:, m].clamp(max=1) - near[:, m].clamp(min=0)).clamp(min=0)
        inside = inside + length.masked_fill_(
            which == m + 2, 0
        )  # convex: its normal says if it shades itself
    thickness = inside * distance / SOFTNESS
    power = 1.25 / ((1 + square / REACH) * (1 + 3 * thickness * thickness))
    lit = (dot(normal, to_lamp) / distance).clamp(min=0)

    back = torch.sqrt(dot(direction, direction))
    halfway = tuple(a / distance - b / back for a, b in zip(to_lamp, direction, strict=True))
    gleam = (dot(normal, halfway) / torch.sqrt(dot(halfway, halfway)).clamp(min=1e-6)).clamp(min=0)
    for _ in range(5):  # to the power of 32
        gleam = gleam * gleam
    return power * lit, power * gleam.masked_fill(lit <= 0, 0)


def _on_surface(world: World) -> Vector:
    """World coordinates (S, M, 5) of the keypoints top, front, left, right, foot."""
    x, y, z = world.centre.unbind(-1)
    length = torch.sqrt(x * x + z * z).clamp(min=1e-9)
    toward = (-x / length, -z / length)
    cosine, sine = SIXTY
    left = (cosine * toward[0] + sine * toward[1], cosine * toward[1] - sine * toward[0])
    right = (cosine * toward[0] - sine * toward[1], cosine * toward[1] + sine * toward[0])
    rim = [tuple(_radius(world, u) * c for c in u) for u in (toward, left, right)]
    resting = torch.where(world.kind == SPHERE, 0.0, 1.0).float()
    nothing = torch.zeros_like(x)
    dx = [nothing, rim[0][0], rim[1][0], rim[2][0], resting * rim[0][0]]
    dz = [nothing, rim[0][1], rim[1][1], rim[2][1], resting * rim[0][1]]
    dy = [-world.half[..., 1], nothing, nothing, nothing, world.half[..., 1]]
    return tuple(a[..., None] + torch.stack(b, -1) for a, b in ((x, dx), (y, dy), (z, dz)))


def _radius(world: World, u: tuple[Tensor, Tensor]) -> Tensor:
    """From an object's axis to its side, at half its height, in the direction u."""
    across, _, along = _turned((u[0], u[0], u[1]), *world.turn.unbind(-1))
    x, z = across.abs() / world.half[..., 0], along.abs() / world.half[..., 2]
    return torch.where(world.kind == BOX, 1 / torch.maximum(x, z), world.half[..., 0])
