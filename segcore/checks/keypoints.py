"""Chapter 16's exercises: maps to learn from, points from maps, how near is near, and the loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, Property, reaches_gradient

__all__ = ["EXERCISES"]

BOX = (0.0, 0.0, 8.0, 8.0)


# 16.1 ----------------------------------------------------------------------------------------------


def target_maps(keypoints: Tensor, box: Tensor, size: int, sigma: float) -> Tensor:
    """One-hot maps where sigma is 0, else hills of that width; ``(K, size, size)``."""
    place = (keypoints[:, :2] - box[:2]) * (size / (box[2:] - box[:2]))
    inside = ((place >= 0) & (place <= size)).all(1) & (keypoints[:, 2] > 0)
    centre = torch.arange(size) + 0.5
    if sigma:
        x, y = ((-(((centre - place[:, [axis]]) / sigma) ** 2) / 2).exp() for axis in (0, 1))
    else:
        cell = place.floor().clamp(max=size - 1)
        x, y = ((centre - 0.5 == cell[:, [axis]]).float() for axis in (0, 1))
    maps = y[:, :, None] * x[:, None, :]
    return torch.where(inside[:, None, None], maps / maps.flatten(1).sum(1)[:, None, None], 0.0)


def _maps(
    keypoints: Tensor,
    box: Tensor,
    size: int,
    sigma: float,
    hidden: bool = False,
    last: bool = True,
    everywhere: bool = False,
    middle: float = 0.5,
    power: float = 2.0,
    total: Callable[[Tensor], Tensor] = lambda maps: maps.sum((1, 2), keepdim=True),
    near: Callable[[Tensor], Tensor] = torch.floor,
    scale: Callable[[Tensor, int], Tensor] = lambda extent, size: size / extent,
    first: bool = True,
    both: Callable[[Tensor, int], Tensor] = torch.all,
    nothing: float = 0.0,
    kept: Callable[[Tensor, int], Tensor] = lambda place, size: place,
    joined: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Tensor:
    """The reference, with a switch for each of the usual slips."""
    place = (keypoints[:, :2] - box[:2]) * scale(box[2:] - box[:2], size)
    inside = (place >= 0 if first else place > 0) & (place <= size if last else place < size)
    inside = both(inside, 1) & (keypoints[:, 2] > hidden)
    place = kept(place, size)
    if everywhere:
        inside = keypoints[:, 2] > 0
    centre = torch.arange(size) + middle
    if sigma:
        x, y = ((-(((centre - place[:, [axis]]) / sigma) ** 2) / power).exp() for axis in (0, 1))
    else:
        cell = near(place).clamp(0, size - 1)
        x, y = ((centre - middle == cell[:, [axis]]).float() for axis in (0, 1))
    maps = (joined if sigma else torch.mul)(y[:, :, None], x[:, None, :])
    return torch.where(inside[:, None, None], maps / total(maps * inside[:, None, None]), nothing)


def _with(**switches: Any) -> Callable[..., Tensor]:
    return lambda keypoints, box, size, sigma: _maps(keypoints, box, size, sigma, **switches)


def _argmax_hill(keypoints: Tensor, box: Tensor, size: int, sigma: float) -> Tensor:
    """The hill around the cell's centre instead of the point."""
    extent = (box[2:] - box[:2]) / size
    place = ((keypoints[:, :2] - box[:2]) / extent).floor().clamp(max=size - 1) + 0.5
    inside = ((keypoints[:, :2] >= box[:2]) & (keypoints[:, :2] <= box[2:])).all(1)
    moved = torch.cat([box[:2] + place * extent, (keypoints[:, 2] * inside)[:, None]], 1)
    return _maps(moved, box, size, sigma)


def _root_hill(keypoints: Tensor, box: Tensor, size: int, sigma: float) -> Tensor:
    """The distance itself in the exponent."""
    maps = _maps(keypoints, box, size, sigma)
    if not sigma:
        return maps
    u, v = ((keypoints[:, :2] - box[:2]) * (size / (box[2:] - box[:2]))).T[..., None, None]
    centre = torch.arange(size) + 0.5
    hills = (-((centre - u) ** 2 + (centre[:, None] - v) ** 2).sqrt() / (2 * sigma**2)).exp()
    return hills / hills.sum((1, 2), keepdim=True) * maps.sum((1, 2), keepdim=True)


def _cells_by_less(keypoints: Tensor, box: Tensor, size: int, sigma: float) -> Tensor:
    """One cell less along each axis, as if the edges of the box were the centres of the outer cells."""
    inside = ((keypoints[:, :2] >= box[:2]) & (keypoints[:, :2] <= box[2:])).all(1)
    seen = torch.cat([keypoints[:, :2], (keypoints[:, 2] * inside)[:, None]], 1)
    return _maps(seen, box, size, sigma, scale=lambda extent, size: (size - 1) / extent)


def _sigma_of_each_axis(keypoints: Tensor, box: Tensor, size: int, sigma: float) -> Tensor:
    """Sigma in pixels, so that the hill is longer along one axis of the map than along the other."""
    if not sigma:
        return _maps(keypoints, box, size, sigma)
    wide, high = (sigma * size / (box[2:] - box[:2])).tolist()
    maps = _maps(keypoints, box, size, wide).sum(1, keepdim=True)
    return _maps(keypoints, box, size, high).sum(2, keepdim=True) * maps


def _map_cases(generator: torch.Generator) -> list[Case]:
    box = torch.tensor(BOX)
    some = torch.tensor([[5.0, 1.0, 2.0], [2.2, 7.9, 1.0], [9.0, 1.0, 2.0], [1.0, 3.0, 0.0]])
    wide = torch.tensor([[14.0, 7.0, 2.0], [15.4, 8.3, 2.0]])
    edge = torch.tensor([[8.0, 8.0, 2.0], [0.0, 0.0, 2.0], [-0.5, 4.0, 2.0], [8.5, -1.0, 1.0]])
    cases = [
        Case((some[:1], box, 4, 0.0), "the by-hand example"),
        Case(
            (torch.tensor([[1.5, 0.5, 2.0]]), torch.tensor([0.0, 0.0, 2.0, 2.0]), 2, 1.0), "by hand: a hill"
        ),
        Case((some, box, 4, 0.0), "occluded counts, outside and not labelled do not"),
        Case((edge, box, 4, 0.0), "edges of the box, and just outside"),
        Case((edge, box, 4, 0.7), "the same, as hills"),
        Case((wide, torch.tensor([10.0, 4.0, 20.0, 9.0]), 5, 0.0), "a wide box; a place past half its cell"),
    ]
    for count, size, sigma in ((3, 7, 1.0), (5, 6, 0.0), (4, 9, 0.6), (6, 5, 1.5), (2, 14, 0.0)):
        corner = torch.rand(2, generator=generator) * 20
        extent = 5 + torch.rand(2, generator=generator) * 20
        where = corner + (torch.rand(count, 2, generator=generator) * 1.3 - 0.15) * extent
        seen = torch.randint(0, 3, (count, 1), generator=generator).float()
        where[0], seen[0] = corner + 0.37 * extent, 2.0
        cases.append(Case((torch.cat([where, seen], 1), torch.cat([corner, corner + extent]), size, sigma)))
    return cases


TARGET_MAPS = Exercise(
    "16.1",
    "A cell, or a hill",
    target_maps,
    _map_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("keypoint", "row", "column"),
    plan=(
        "Say first where each keypoint lies in cells: take off the box's corner, divide by its width "
        "and height, "
        "times the number of cells.",
        "Which keypoints have a map at all? Labelled, and between 0 and the number of cells along both axes.",
        "Do columns and rows each by themselves, one number for each cell: 1 in the right one, or "
        "the hill at the "
        "cells' centres. The map is the product of the two.",
        "Divide each map by its sum, and empty those that have no keypoint.",
    ),
    mistakes=(
        Mistake(
            "x and y exchanged",
            lambda k, b, s, g: _maps(k, b, s, g).mT,
            "Your maps lie on their side. x counts columns, the last axis; y counts rows.",
        ),
        Mistake(
            "occluded left out",
            _with(hidden=True),
            "You leave out keypoints with visibility 1. They are occluded, but labelled: somebody "
            "knew where.",
        ),
        Mistake(
            "not labelled kept",
            lambda k, b, s, g: _maps(torch.cat([k[:, :2], torch.ones(len(k), 1)], 1), b, s, g),
            "A keypoint with visibility 0 is not labelled. Its x and y mean nothing, so its map is empty.",
        ),
        Mistake(
            "outside kept",
            lambda k, b, s, g: _maps(
                torch.cat([torch.minimum(torch.maximum(k[:, :2], b[:2]), b[2:]), k[:, 2:]], 1), b, s, g
            ),
            "You move keypoints from outside of the box to its edge. No cell of the map is right: "
            "leave it empty.",
        ),
        Mistake(
            "hills of points outside",
            _with(everywhere=True),
            "Some of your maps belong to keypoints outside of the box. Where no cell holds the "
            "point, the map is "
            "empty.",
        ),
        Mistake(
            "far edge left out",
            _with(last=False),
            "A keypoint on the far edge of the box still belongs to the last cell.",
        ),
        Mistake(
            "near edge left out",
            _with(first=False),
            "A keypoint whose x or y is that of the box's upper left corner gets no map. Does the first cell "
            "begin after that edge, or on it?",
        ),
        Mistake(
            "inside along one axis",
            _with(both=torch.any),
            "A point far to the right of the box, at its height, has a map. How many axes must it be inside "
            "along?",
        ),
        Mistake(
            "nothing divided by nothing",
            _with(nothing=torch.nan),
            "Where no cell holds the point, your map is NaN. It is to be all zero: what do you divide there, "
            "and by which sum?",
        ),
        Mistake(
            "rounded",
            _with(near=torch.round),
            "You round to the nearest whole number. Cell 2 reaches from 2 to 3: which cell holds 2.7?",
        ),
        Mistake(
            "rounded up",
            _with(near=lambda place: place.ceil() - 1),
            "A point between two cells goes to the first of them. Cell 2 reaches from 2 to 3: which cell "
            "holds 2 itself?",
        ),
        Mistake(
            "hill at the cell's corner",
            _with(middle=0.0),
            "You measure the hill's distance from the cells' upper left corners. Where is the centre "
            "of cell 0?",
        ),
        Mistake(
            "hill around the centre",
            _argmax_hill,
            "Your hill stands on the centre of the cell. It stands on the keypoint itself: that is "
            "what it is for.",
        ),
        Mistake(
            "no two in the exponent",
            _with(power=1.0),
            "Your hill is too narrow. What stands below the squared distance, besides sigma squared?",
        ),
        Mistake(
            "sigma not squared",
            lambda k, b, s, g: _maps(k, b, s, g**0.5),
            "Your hill has another width: is sigma squared in the exponent?",
        ),
        Mistake(
            "minus forgotten",
            _with(power=-2.0),
            "Your hill grows with the distance. The exponent is negative: largest where the distance "
            "is smallest.",
        ),
        Mistake(
            "distance not squared",
            _root_hill,
            "Your hill comes to a point, like a tent with hollow sides. The distance stands in the "
            "exponent: to which power?",
        ),
        Mistake(
            "sum of two",
            _with(joined=torch.add),
            "Your hill is a cross: you add the Gaussian of the rows to that of the columns. What becomes of "
            "a sum in an exponent outside of it?",
        ),
        Mistake(
            "place moved",
            _with(kept=lambda place, size: place.clamp(max=size - 1)),
            "You keep the place below size − 1, for the far edges. Is a hill in the last cell then still "
            "where its keypoint is? What is it that must not exceed size − 1?",
        ),
        Mistake(
            "sum is not one",
            _with(total=torch.ones_like),
            "Your hills are not divided by their sums. A map says how likely each cell is: its sum is 1.",
        ),
        Mistake(
            "divided by the Gaussian's integral",
            lambda k, b, s, g: _maps(
                k, b, s, g, total=lambda m: torch.tensor(2 * torch.pi * g**2 if g else 1.0)
            ),
            "You divide by 2πσ², the integral of a Gaussian over the whole plane. Is that also the sum of "
            "these few cells?",
        ),
        Mistake(
            "one sum for all",
            _with(total=torch.sum),
            "All keypoints together share a sum of 1. Of what must the sum be 1?",
        ),
        Mistake(
            "each row by itself",
            _with(total=lambda maps: maps.sum(2, keepdim=True).clamp(min=1e-30)),
            "In your hills each row has the sum 1. Along how many axes of a map must you add up?",
        ),
        Mistake(
            "visibility as a weight",
            lambda k, b, s, g: _maps(k, b, s, g) * k[:, 2, None, None],
            "The maps of visible keypoints have the sum 2. Visibility says whether there is a map; does it "
            "say how much?",
        ),
        Mistake(
            "largest is one",
            lambda k, b, s, g: (
                _maps(k, b, s, g) / _maps(k, b, s, g).amax((1, 2), keepdim=True).clamp(min=1e-9)
            ),
            "Your hills are 1 at the top. A map says how likely each cell is: its sum is 1.",
        ),
        Mistake(
            "corner of the box forgotten",
            lambda k, b, s, g: _maps(k, torch.cat([b[:2] * 0, b[2:] - b[:2]]), s, g),
            "You count from the image's corner. The map begins at the corner of the box.",
        ),
        Mistake(
            "one scale for both axes",
            _with(scale=lambda extent, size: size / extent[:1]),
            "You divide both by the box's width. The map is square, the box need not be.",
        ),
        Mistake(
            "box as x, y, width, height",
            lambda k, b, s, g: _maps(k, torch.cat([b[:2], b[:2] + b[2:]]), s, g),
            "Boxes at the origin are right, others are not. What are the last two numbers of a box: a size, "
            "or a corner?",
        ),
        Mistake(
            "one cell less",
            _cells_by_less,
            "You count size − 1 cells from edge to edge. Count the cells that fill the box in the by-hand "
            "example: how many, and how wide is one?",
        ),
        Mistake(
            "sigma written in",
            lambda k, b, s, g: _maps(k, b, s, 1.0 if g else 0.0),
            "Your hills have the width 1 whatever is asked for. Which argument do you not use?",
        ),
        Mistake(
            "always a cell",
            lambda k, b, s, g: _maps(k, b, s, 0.0),
            "You answer with the one-hot map whatever is asked for. What does a sigma other than 0 ask for?",
        ),
        Mistake(
            "sigma in pixels",
            lambda k, b, s, g: _maps(k, b, s, float(g * s / (b[2] - b[0]))),
            "You take sigma for pixels. It is counted in cells of the map.",
        ),
        Mistake(
            "sigma in pixels of each axis",
            _sigma_of_each_axis,
            "In a box that is not square your hills are longer one way than the other. In which unit does "
            "the formula measure distance, and in which sigma?",
        ),
    ),
)


# 16.2 ----------------------------------------------------------------------------------------------


def decode(logits: Tensor, box: Tensor) -> Tensor:
    """The top of the parabola around each map's largest cell, ``(K, 2)``."""
    cell = logits.flatten(1).argmax(1)
    row, column = cell // logits.shape[2], cell % logits.shape[2]
    each = torch.arange(len(logits))
    x = column + 0.5 + _top(logits[each, row], column)
    y = row + 0.5 + _top(logits[each, :, column], row)
    place = torch.stack([x / logits.shape[2], y / logits.shape[1]], 1)
    return box[:2] + place * (box[2:] - box[:2])


def _pixels(place: Tensor, sides: Tensor, box: Tensor) -> Tensor:
    """From cells to pixels: a share of the map is the same share of the box."""
    return box[:2] + place / sides * (box[2:] - box[:2])


def _decode(
    logits: Tensor,
    box: Tensor,
    top: Callable[[Tensor, Tensor], Tensor] | None = None,
    middle: float = 0.5,
    first: Callable[[Tensor], Tensor] = lambda logits: logits.flatten(1).argmax(1),
    steps: Callable[[Tensor, Tensor], Tensor] = lambda steps, inner: steps,
    pixels: Callable[[Tensor, Tensor, Tensor], Tensor] = _pixels,
) -> Tensor:
    """The reference, with a switch for each of the usual slips."""
    top = top or _top
    (height, width), cell = logits.shape[1:], first(logits)
    row, column = cell // width, cell % width
    each, sides = torch.arange(len(logits)), torch.tensor([width, height])
    moves = torch.stack([top(logits[each, row], column), top(logits[each, :, column], row)], 1)
    cells = torch.stack([column, row], 1)
    inner = (cells > 0) & (cells < sides - 1)
    return pixels(cells + middle + steps(moves, inner), sides, box)


def _top(line: Tensor, at: Tensor) -> Tensor:
    """How far the top of the parabola lies from the largest cell."""
    each = torch.arange(len(line))
    inner = (at > 0) & (at < line.shape[1] - 1)
    a, b, c = line[each, at - 1], line[each, at], line[each, (at + 1) % line.shape[1]]
    return torch.where(inner, (a - c) / (2 * (a - 2 * b + c)), 0.0)


def _changed(change: Callable[..., Tensor], edges: bool = False) -> Callable[..., Tensor]:
    """Decoding with another step from the largest cell, of the three values a, b, c."""
    return lambda logits, box: _decode(logits, box, _changed_top(change, edges))


def _changed_top(change: Callable[..., Tensor], edges: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    def top(line: Tensor, at: Tensor) -> Tensor:
        each, most = torch.arange(len(line)), line.shape[1] - 1
        low, high = (at - 1).clamp(min=0), (at + 1).clamp(max=most)
        inner = (at > 0) & (at < most)
        step = change(line[each, low], line[each, at], line[each, high])
        return torch.where(inner | edges, step, 0.0).nan_to_num(0.0, 0.0, 0.0)

    return top


def _steps(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Decoding that does something else with the steps along x and y, the last axis of what it gets."""
    return lambda logits, box: _decode(logits, box, steps=change)


def _to(pixels: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Decoding with another way from cells to pixels."""
    return lambda logits, box: _decode(logits, box, pixels=pixels)


def _column_by_column(logits: Tensor) -> Tensor:
    cell, height = logits.mT.flatten(1).argmax(1), logits.shape[1]
    return cell % height * logits.shape[2] + cell // height


def _mean_place(logits: Tensor, box: Tensor) -> Tensor:
    share = logits.flatten(1).softmax(1).view_as(logits)
    x = share.sum(1) @ (torch.arange(logits.shape[2]) + 0.5) / logits.shape[2]
    y = share.sum(2) @ (torch.arange(logits.shape[1]) + 0.5) / logits.shape[1]
    return box[:2] + torch.stack([x, y], 1) * (box[2:] - box[:2])


def _rows_by_height(logits: Tensor, box: Tensor) -> Tensor:
    cell = logits.flatten(1).argmax(1)
    row, column = cell // logits.shape[1], cell % logits.shape[1]
    column, row = column.clamp(max=logits.shape[2] - 1), row.clamp(max=logits.shape[1] - 1)
    each = torch.arange(len(logits))
    x, y = column + 0.5 + _top(logits[each, row], column), row + 0.5 + _top(logits[each, :, column], row)
    return box[:2] + torch.stack([x / logits.shape[2], y / logits.shape[1]], 1) * (box[2:] - box[:2])


def _parabola(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return (a - c) / (2 * (a - 2 * b + c))


def _zeros_beyond(logits: Tensor, box: Tensor) -> Tensor:
    def top(line: Tensor, at: Tensor) -> Tensor:
        each, wide = torch.arange(len(line)), torch.nn.functional.pad(line, (1, 1))
        return _parabola(*(wide[each, at + step] for step in (0, 1, 2))).nan_to_num(0.0, 0.0, 0.0)

    return _decode(logits, box, top)


def _row_for_column(logits: Tensor, box: Tensor) -> Tensor:
    """Row and column of the largest cell exchanged, held inside the map."""
    height, width = logits.shape[1:]
    cell = logits.flatten(1).argmax(1)
    column, row = (cell // width).clamp(max=width - 1), (cell % width).clamp(max=height - 1)
    return _decode(logits, box, first=lambda z: row * width + column)


def _decode_cases(generator: torch.Generator) -> list[Case]:
    by_hand = torch.full((1, 3, 4), -9.0)
    by_hand[0, 1] = torch.tensor([1.0, 4.0, 3.0, -2.0])
    by_hand[0, :, 1] = torch.tensor([2.0, 4.0, 2.0])
    corner = torch.tensor([[[5.0, 4.0, 0.0], [4.5, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    edge = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 2.0, 3.0], [0.0, 1.0, 2.5]]])
    twice = torch.tensor([[[1.0, 0.0, 3.0, 1.0], [0.0, 2.0, 5.0, 4.0], [1.0, 5.0, 1.0, 0.0]]])
    cases = [
        Case((by_hand, torch.tensor([0.0, 0.0, 8.0, 6.0])), "the by-hand example"),
        Case(
            (by_hand / 100, torch.tensor([0.0, 0.0, 8.0, 6.0])),
            "its hundredth: a flatter hill, the same point",
        ),
        Case((twice, torch.tensor([0.0, 0.0, 8.0, 6.0])), "two cells alike: the first, row by row"),
        Case((corner, torch.tensor([2.0, 1.0, 5.0, 4.0])), "the largest cell lies in a corner: it stays"),
        Case((edge, torch.tensor([2.0, 1.0, 5.0, 7.0])), "the last column: x stays, y moves"),
        Case((torch.zeros(1, 3, 3), torch.tensor(BOX)), "a flat map: the first cell"),
        Case((torch.cat([corner, edge, -corner]) * 3 + 50, torch.tensor(BOX)), "three maps"),
    ]
    for count, height, width in ((4, 7, 7), (3, 5, 8), (6, 9, 6), (5, 4, 4)):
        corner_of = torch.rand(2, generator=generator) * 30
        extent = 4 + torch.rand(2, generator=generator) * 30
        logits = torch.randn(count, height, width, generator=generator)
        cases.append(Case((logits, torch.cat([corner_of, corner_of + extent]))))
    return cases


DECODE = Exercise(
    "16.2",
    "Between the cells",
    decode,
    _decode_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("keypoint", "coordinate"),
    places=("x", "y"),
    plan=(
        "Find the largest cell of each map: flatten, take the largest, and get row and column back "
        "with the "
        "map's width.",
        "Write the step for one line of cells and the place of its largest one; call it for the row "
        "and for the "
        "column.",
        "Where is there no neighbour on one side? There the step is 0; beware of index -1, which is "
        "the last cell.",
        "From cells to pixels: centre and step, divided by the number of cells, times the box, plus "
        "its corner.",
    ),
    mistakes=(
        Mistake(
            "largest cell only",
            lambda logits, box: _decode(logits, box, lambda line, at: torch.zeros(len(at))),
            "You stop at the centre of the largest cell. Its two neighbours say to which side the "
            "point lies.",
        ),
        Mistake(
            "corner of the cell",
            lambda logits, box: _decode(logits, box, middle=0.0),
            "All your points lie half a cell up and to the left. Where is the centre of cell 0?",
        ),
        Mistake(
            "the wrong way",
            _changed(lambda a, b, c: -_parabola(a, b, c)),
            "Your points move away from the larger neighbour. Look at the sign of the step.",
        ),
        Mistake(
            "half forgotten",
            _changed(lambda a, b, c: 2 * _parabola(a, b, c)),
            "Your steps are twice as long. A step never leaves its cell: half a cell is the most.",
        ),
        Mistake(
            "middle counted once",
            _changed(lambda a, b, c: (a - c) / (2 * (a - b + c))),
            "Look at the curvature again, below the bar. How often does the middle value count?",
        ),
        Mistake(
            "a half too many",
            _changed(lambda a, b, c: _parabola(a, b, c) / 2),
            "Your steps are half as long as they should be. How many factors of 2 stand below the bar, "
            "before the curvature?",
        ),
        Mistake(
            "curvature added up",
            _changed(lambda a, b, c: (a - c) / (2 * (a + 2 * b + c))),
            "Look at the curvature again, below the bar. Which of the three values has another sign than the "
            "other two?",
        ),
        Mistake(
            "one neighbour only",
            _changed(lambda a, b, c: (a - b) / (2 * (a - 2 * b + c))),
            "Above the bar you compare a neighbour with the middle. Which two values say to which side the "
            "top lies?",
        ),
        Mistake(
            "slope alone",
            _changed(lambda a, b, c: (c - a) / 2),
            "Your step is the slope, half the difference of the neighbours. A steep hill needs a smaller "
            "step: what is the slope divided by?",
        ),
        Mistake(
            "difference alone",
            _changed(lambda a, b, c: c - a),
            "Your step is the difference of the two neighbours. A steep hill needs a smaller step: what is "
            "that difference divided by?",
        ),
        Mistake(
            "share of the sum",
            _changed(lambda a, b, c: (c - a) / (a + b + c)),
            "You weigh the three cells by their logits. Logits are no shares, and may be negative: where is "
            "the top of the parabola?",
        ),
        Mistake(
            "step held within a quarter",
            _changed(lambda a, b, c: _parabola(a, b, c).clamp(-0.25, 0.25)),
            "Small steps are right. You hold the others within a quarter of a cell: how far may the top of "
            "the parabola lie from the largest cell?",
        ),
        Mistake(
            "zeros beyond the edge",
            _zeros_beyond,
            "Inside the map you are right. Beyond its edge you read zeros, and step by them: where a "
            "neighbour is missing, stay.",
        ),
        Mistake(
            "row for column",
            _row_for_column,
            "You take the number of the largest cell apart the wrong way round. In reading order, what does "
            "the width divide into: rows, or columns?",
        ),
        Mistake(
            "times the curvature",
            _changed(lambda a, b, c: (a - c) / 2 * (a - 2 * b + c)),
            "In Python x / 2 * y is x · y / 2. How much of the formula stands below the bar?",
        ),
        Mistake(
            "a number beside the curvature",
            _changed(lambda a, b, c: (a - c) / (2 * (a - 2 * b + c) + 1e-3)),
            "Steep hills come out right, flat ones do not. What do you add to the curvature, and can that "
            "curvature be 0 at the first of the largest cells?",
        ),
        Mistake(
            "steps along x only",
            _steps(lambda steps, inner: steps * torch.tensor([1.0, 0.0])),
            "All x are right; along y you stay at the centre. Which neighbours have you not asked yet?",
        ),
        Mistake(
            "steps along y only",
            _steps(lambda steps, inner: steps * torch.tensor([0.0, 1.0])),
            "All y are right; along x you stay at the centre. Which neighbours have you not asked yet?",
        ),
        Mistake(
            "one step for both axes",
            _steps(lambda steps, inner: steps[:, [0, 0]]),
            "You take the step of the row along both axes. Which three values tell about y?",
        ),
        Mistake(
            "steps exchanged",
            _steps(lambda steps, inner: steps.flip(1)),
            "The cells are right; the two steps are exchanged. Do neighbours in one row differ in x, or in "
            "y?",
        ),
        Mistake(
            "one edge stops both",
            _steps(lambda steps, inner: torch.where(inner.all(1, keepdim=True), steps, 0.0)),
            "In the last column you do not step along y either. Which neighbours does that step need, and "
            "are they missing?",
        ),
        Mistake(
            "last of equals",
            lambda logits, box: _decode(
                logits, box, _changed_top(_parabola),
                first=lambda z: z[0].numel() - 1 - z.flatten(1).flip(1).argmax(1),
            ),
            "Where several cells are the largest, you take the last. Which one does the task ask for?",
        ),
        Mistake(
            "column by column",
            lambda logits, box: _decode(logits, box, first=_column_by_column),
            "Where several cells are the largest, you search column by column. In which order does the task?",
        ),
        Mistake(
            "one cell for all maps",
            lambda logits, box: _decode(
                logits, box, _changed_top(_parabola),
                first=lambda z: z.sum(0).argmax().expand(len(z)),
            ),
            "One map alone is right. Does each of several maps have a largest cell of its own?",
        ),
        Mistake(
            "a quarter",
            _changed(lambda a, b, c: 0.25 * (c - a).sign()),
            "You step a quarter of a cell to the larger neighbour, as older papers do. The values "
            "say how far.",
        ),
        Mistake(
            "mean of three",
            _changed(lambda a, b, c: (c.exp() - a.exp()) / (a.exp() + b.exp() + c.exp())),
            "You take a mean of three cells. The task asks for the top of a parabola through the logits.",
        ),
        Mistake(
            "steps at the edge",
            _changed(_parabola, edges=True),
            "Inside the map you are right. At its edge a neighbour is missing, and you repeat the "
            "cell: stay there.",
        ),
        Mistake(
            "around the edge",
            lambda logits, box: _decode(
                logits, box,
                lambda line, at: _parabola(
                    *(line[torch.arange(len(line)), (at + step) % line.shape[1]] for step in (-1, 0, 1))
                ).nan_to_num(0.0, 0.0, 0.0),
            ),
            "Index -1 is the last cell of the line, not a cell before the first. At the edge, stay.",
        ),
        Mistake(
            "parabola through the softmax",
            lambda logits, box: _decode(logits.flatten(1).softmax(1).view_as(logits), box),
            "You squash the map by a softmax first. A hill is a parabola only in its logarithm, so "
            "use the logits.",
        ),
        Mistake(
            "logarithm taken again",
            lambda logits, box: _changed(_parabola)(logits.clamp(min=1e-30).log(), box),
            "You take the logarithm of the map. What you are given are logits: are they shares, or "
            "logarithms already?",
        ),
        Mistake(
            "mean of the map",
            _mean_place,
            "You take the mean place of the whole map. Start at the largest cell and look at its "
            "neighbours only.",
        ),
        Mistake(
            "x and y exchanged",
            lambda logits, box: _decode(logits.mT, box),
            "Rows and columns are exchanged. x counts columns, the last axis of the map.",
        ),
        Mistake(
            "divided by the height",
            _rows_by_height,
            "Square maps are right. How long is a row of the map, when you turn a number back into "
            "row and column?",
        ),
        Mistake(
            "corner of the box forgotten",
            lambda logits, box: _decode(logits, box) - box[:2],
            "Your points are counted from the corner of the box. The image's corner is asked for.",
        ),
        Mistake(
            "in cells",
            lambda logits, box: _decode(
                logits, torch.tensor([0.0, 0.0, logits.shape[2], logits.shape[1]], dtype=box.dtype)
            ),
            "Your points are in cells. Turn them into pixels of the image with the box.",
        ),
        Mistake(
            "shares of the box",
            _to(lambda place, sides, box: place / sides),
            "Your points go from 0 to 1 over the box. How many pixels is that, and from where are they "
            "counted?",
        ),
        Mistake(
            "corner added to cells",
            _to(lambda place, sides, box: (box[:2] + place) / sides * (box[2:] - box[:2])),
            "You add the box's corner to a place in cells. The corner is in pixels: when does it belong "
            "there?",
        ),
        Mistake(
            "box as x, y, width, height",
            _to(lambda place, sides, box: box[:2] + place / sides * box[2:]),
            "Boxes at the origin are right, others are not. What are the last two numbers of a box: a size, "
            "or a corner?",
        ),
        Mistake(
            "one cell less",
            _to(lambda place, sides, box: box[:2] + (place - 0.5) / (sides - 1) * (box[2:] - box[:2])),
            "The first cell's centre comes out on the box's edge. Count the cells that fill the box: how "
            "far is it from the edge to the first centre?",
        ),
        Mistake(
            "half a pixel",
            lambda logits, box: _decode(logits, box, middle=0.0) + 0.5,
            "You add half a pixel at the end. Half of what lies between a cell's corner and its centre?",
        ),
        Mistake(
            "map's width for both",
            _to(lambda place, sides, box: _pixels(place, sides[:1], box)),
            "All x are right. By how many cells do you divide y, where a map is not square?",
        ),
        Mistake(
            "box's width for both",
            _to(lambda place, sides, box: box[:2] + place / sides * (box[2] - box[0])),
            "All x are right. How many pixels high is the box, where it is not square?",
        ),
        Mistake(
            "sides exchanged",
            _to(lambda place, sides, box: _pixels(place, sides.flip(0), box)),
            "Square maps are right. By which side of the map do you divide x, and by which y?",
        ),
        Mistake(
            "y, x",
            lambda logits, box: _decode(logits, box).flip(1),
            "Your points are y, x. The course writes x first.",
        ),
    ),
)  # fmt: skip


# 16.3 ----------------------------------------------------------------------------------------------


def oks(found: Tensor, truths: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    """Object keypoint similarity of each detection with each truth, ``(N, M)``."""
    offset = found[:, None] - truths[None, :, :, :2]
    nearness = (-(offset**2).sum(3) / (2 * area[:, None] * (2 * sigmas) ** 2)).exp()
    asked = truths[:, :, 2] > 0
    return (nearness * asked).sum(2) / asked.sum(1)


def _oks(
    found: Tensor,
    truths: Tensor,
    area: Tensor,
    sigmas: Tensor,
    factor: float = 2.0,
    size: Callable[[Tensor], Tensor] = lambda area: area,
    spread: Callable[[Tensor], Tensor] = lambda sigmas: (2 * sigmas) ** 2,
    below: Callable[[float, Tensor, Tensor], Tensor] = lambda factor, size, spread: factor * size * spread,
    asked: Callable[[Tensor], Tensor] = lambda seen: seen > 0,
    distance: Callable[[Tensor], Tensor] = lambda offset: (offset**2).sum(-1),
    mean: Callable[[Tensor, Tensor], Tensor] = lambda near, asked: (near * asked).sum(-1) / asked.sum(-1),
) -> Tensor:
    bar = below(factor, size(area)[:, None], spread(sigmas))
    near = (-distance(found[:, None] - truths[None, :, :, :2]) / bar).exp()
    return mean(near, asked(truths[:, :, 2]))


def _one_by_one(found: Tensor, truths: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    near = (-((found - truths[..., :2]) ** 2).sum(-1) / (2 * area[:, None] * (2 * sigmas) ** 2)).exp()
    asked = truths[..., 2] > 0
    return (near * asked).sum(-1) / asked.sum(-1)


def _oks_with(**switches: Any) -> Callable[..., Tensor]:
    return lambda found, truths, area, sigmas: _oks(found, truths, area, sigmas, **switches)


def _oks_cases(generator: torch.Generator) -> list[Case]:
    truth = torch.tensor([[[0.0, 0.0, 2.0], [10.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    found = torch.tensor([[[0.0, 0.0], [10.0, 4.0], [50.0, 50.0]]])
    same = torch.tensor([0.1, 0.1, 0.1])
    silent = torch.cat([truth, truth * torch.tensor([1.0, 1.0, 0.0])])
    cases = [
        Case((found, truth, torch.tensor([100.0]), same), "the by-hand example"),
        Case((found, truth, torch.tensor([400.0]), torch.tensor([0.1, 0.05, 0.1])), "larger, and more exact"),
        Case(
            (found, silent, torch.tensor([100.0, 100.0]), same), "a truth of which nothing is labelled: NaN"
        ),
    ]
    cases.append(Case((torch.cat([found, found + 1]), truth, torch.tensor([100.0]), same), "two detections"))
    pair, areas = torch.cat([truth, truth + torch.tensor([1.0, 2.0, 0.0])]), torch.tensor([400.0, 100.0])
    cases.append(Case((found, pair, areas, same), "two truths: a large one, and a small one a little aside"))
    for n, m, k in ((2, 3, 5), (4, 2, 3), (3, 3, 4), (1, 4, 6)):
        truths = torch.rand(m, k, 3, generator=generator) * 30
        truths[..., 2] = torch.randint(0, 3, (m, k), generator=generator)
        truths[:, 0, 2], truths[:, 1, 2] = 2.0, 1.0
        near = truths[torch.arange(n) % m, :, :2] + torch.randn(n, k, 2, generator=generator) * 2
        area = 60 + torch.rand(m, generator=generator) * 500
        cases.append(Case((near, truths, area, 0.03 + 0.1 * torch.rand(k, generator=generator))))
    return cases


OKS = Exercise(
    "16.3",
    "How near is near enough",
    oks,
    _oks_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("detection", "truth"),
    plan=(
        "Put an axis of length 1 into the detections so that each meets each truth: offsets of shape "
        "(N, M, K, 2).",
        "Squared distances are the sum over the last axis. Areas go with truths, sigmas with "
        "keypoints: which "
        "axis does each get?",
        "After exp there is a number from 0 to 1 for each keypoint. Take the mean over those that "
        "are labelled in "
        "the truth.",
    ),
    mistakes=(
        Mistake(
            "mean over all",
            _oks_with(mean=lambda near, asked: near.mean(-1)),
            "You ask all keypoints. Those with visibility 0 have no place that could be right.",
        ),
        Mistake(
            "divided by all",
            _oks_with(mean=lambda near, asked: (near * asked).sum(-1) / near.shape[-1]),
            "You add up the labelled ones and divide by all. A perfect detection must reach 1.",
        ),
        Mistake(
            "sum",
            _oks_with(mean=lambda near, asked: (near * asked).sum(-1)),
            "You add the keypoints up. OKS is their mean, from 0 to 1.",
        ),
        Mistake(
            "occluded left out",
            _oks_with(asked=lambda seen: seen > 1),
            "You ask for the visible ones only. Occluded ones are labelled, too, and count.",
        ),
        Mistake(
            "occluded only",
            _oks_with(asked=lambda seen: seen == 1),
            "You ask for visibility 1 alone. Which of 0, 1 and 2 mean that somebody labelled the point?",
        ),
        Mistake(
            "perfect where nothing is known",
            lambda found, truths, area, sigmas: _oks(
                found,
                truths.where(truths[..., 2:] > 0, torch.nan),
                area,
                sigmas,
                mean=lambda near, asked: near.nan_to_num(1.0).mean(-1),
            ),
            "You set what is not labelled to distance 0, and exp(0) is 1. Should a point that nobody knows "
            "raise the mean?",
        ),
        Mistake(
            "mean of NaN",
            _oks_with(mean=lambda near, asked: near.where(asked, torch.nan).mean(-1)),
            "One point without a label makes the whole mean NaN. Which points is the mean taken over, and "
            "which mean leaves NaN out?",
        ),
        Mistake(
            "sigma, not two sigma",
            _oks_with(spread=lambda sigmas: sigmas**2),
            "You are four times too strict in the exponent. COCO takes twice the scatter of the labels.",
        ),
        Mistake(
            "one half forgotten",
            _oks_with(factor=1.0),
            "Below the bar you have half of what belongs there: count the factors of 2. Which are "
            "squared, which not?",
        ),
        Mistake(
            "area squared",
            _oks_with(size=torch.square),
            "You square the area. It is a squared length already.",
        ),
        Mistake(
            "root of the area",
            _oks_with(size=torch.sqrt),
            "You take the root of the area. The distance above the bar is squared: does a length fit below "
            "it?",
        ),
        Mistake(
            "times the area",
            _oks_with(below=lambda factor, size, spread: factor / (size * spread)),
            "In Python x / 2 * y is x · y / 2. How much of the formula stands below the bar?",
        ),
        Mistake(
            "one area for all",
            lambda found, truths, area, sigmas: _oks(found, truths, area[:1].expand(len(area)), sigmas),
            "You take the area of the first truth for all. Which axis of your numbers counts the truths?",
        ),
        Mistake(
            "mean of the areas",
            lambda found, truths, area, sigmas: _oks(found, truths, area.mean().expand(len(area)), sigmas),
            "You use one mean area. Five pixels are more on a small object: does each truth have its own?",
        ),
        Mistake(
            "areas with the detections",
            _oks_with(below=lambda factor, size, spread: factor * size[:, None] * spread),
            "Your areas lie along the axis of the detections. Write the axes of the distances in words: "
            "where do the truths stand?",
        ),
        Mistake(
            "one sigma for all",
            lambda found, truths, area, sigmas: _oks(found, truths, area, sigmas[:1]),
            "You take the first sigma for all keypoints. Do people agree on a hip as well as on an eye?",
        ),
        Mistake(
            "mean of the sigmas",
            lambda found, truths, area, sigmas: _oks(found, truths, area, sigmas.mean()),
            "You use one mean sigma. Do people agree on a hip as well as on an eye?",
        ),
        Mistake(
            "area ignored",
            _oks_with(size=torch.ones_like),
            "Ten pixels are much on a small object and little on a large one. Where is the area?",
        ),
        Mistake(
            "sigma not squared",
            _oks_with(spread=lambda sigmas: 2 * sigmas),
            "Sigma is squared in the exponent, as in every Gaussian.",
        ),
        Mistake(
            "distance not squared",
            _oks_with(distance=lambda offset: offset.norm(dim=-1)),
            "You take the distance itself. Its square stands in the exponent.",
        ),
        Mistake(
            "mean of the two axes",
            _oks_with(distance=lambda offset: (offset**2).mean(-1)),
            "You take the mean of the squares along x and y. What does Pythagoras do with the two?",
        ),
        Mistake(
            "minus forgotten",
            _oks_with(distance=lambda offset: -(offset**2).sum(-1)),
            "Yours grows with the distance, until it overflows. Which sign does the exponent have?",
        ),
        Mistake(
            "along the axes",
            _oks_with(distance=lambda offset: offset.abs().sum(-1) ** 2),
            "You add the steps along x and along y before you square. Square each, then add.",
        ),
        Mistake(
            "exp of the mean",
            _oks_with(
                mean=lambda near, asked: ((near + 1e-30).log() * asked).sum(-1).div(asked.sum(-1)).exp()
            ),
            "You take the mean before the exponential. One lost keypoint would then cost the whole object.",
        ),
        Mistake(
            "exp of the sum",
            _oks_with(
                mean=lambda near, asked: torch.where(
                    asked.any(-1), near.where(asked, torch.ones(())).prod(-1), torch.nan
                )
            ),
            "You add the exponents up and take one exponential. Is the mean taken before it, or after?",
        ),
        Mistake(
            "visibility as a weight",
            _oks_with(asked=lambda seen: seen),
            "In your mean a visible keypoint counts twice as much as an occluded one. What does the formula "
            "give each that is labelled?",
        ),
        Mistake(
            "each with its own",
            lambda found, truths, area, sigmas: _one_by_one(found, truths, area, sigmas),
            "You pair the first detection with the first truth, the second with the second. All with all are "
            "asked for: which axis must each of them get?",
        ),
        Mistake(
            "on its side",
            lambda found, truths, area, sigmas: _oks(found, truths, area, sigmas).mT,
            "Your table is on its side: a row for each detection, a column for each truth.",
        ),
        Mistake(
            "zero for nothing",
            _oks_with(mean=lambda near, asked: (near * asked).sum(-1) / asked.sum(-1).clamp(min=1)),
            "Right, but for a truth without a label: there is nothing to score, so NaN.",
        ),
        Mistake(
            "one minus",
            lambda found, truths, area, sigmas: 1 - _oks(found, truths, area, sigmas),
            "You say how far off it is. A similarity is 1 where all is right.",
        ),
    ),
)


# 16.4 ----------------------------------------------------------------------------------------------


def keypoint_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the maps that have a target, each a softmax over its cells."""
    lost = -(targets.flatten(2) * logits.flatten(2).log_softmax(2)).sum(2)
    known = targets.flatten(2).any(2)
    return lost[known].sum() / known.sum().clamp(min=1)


def _known(targets: Tensor) -> Tensor:
    return targets.sum((2, 3)) > 0


def _mean_of(lost: Tensor, targets: Tensor) -> Tensor:
    return lost[_known(targets)].sum() / _known(targets).sum().clamp(min=1)


def _shares(logits: Tensor) -> Tensor:
    return logits.flatten(2).softmax(2).view_as(logits)


def _lost(
    logits: Tensor,
    targets: Tensor,
    *,
    score: Callable[[Tensor], Tensor] = lambda z: z.flatten(2).log_softmax(2).view_as(z),
    asked: Callable[[Tensor], Tensor] = lambda targets: targets,
    each: Callable[[Tensor, Tensor], Tensor] = lambda scores, targets: -(targets * scores).sum((2, 3)),
    mean: Callable[[Tensor, Tensor], Tensor] = _mean_of,
) -> Tensor:
    """The reference, with a switch for each of the usual slips."""
    return mean(each(score(logits), asked(targets)), targets)


def _by(score: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The right mean of another score for each cell."""
    return partial(_lost, score=score)


def _averaged(mean: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another mean of the maps' right losses."""
    return partial(_lost, mean=mean)


def _sigmoids(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _of_sigmoids(take: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Each cell asked by itself."""
    return partial(_lost, score=lambda z: z, each=lambda z, targets: take(_sigmoids(z, targets)))


def _largest_only(targets: Tensor) -> Tensor:
    return ((targets == targets.amax((2, 3), keepdim=True)) & (targets > 0)).float()


def _one_by_one_of(axis: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean along an axis first, then of those that have a map."""

    def mean(lost: Tensor, targets: Tensor) -> Tensor:
        known = _known(targets)
        first = (lost * known).sum(axis) / known.sum(axis).clamp(min=1)
        return first.sum() / known.any(axis).sum().clamp(min=1)

    return mean


def _nothing_to_learn(function: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """A batch without any target is a training step like others: it has a backward pass."""
    logits = torch.zeros(2, 3, 4, 4, requires_grad=True)
    result = function(logits, torch.zeros(2, 3, 4, 4))
    if not isinstance(result, Tensor):
        return f"Where no map has a target, a tensor of 0 was expected; came: {type(result).__name__}."
    if not result.requires_grad:
        return "Where no map has a target, the loss is 0 as it should be, but backward() fails on it."
    result.sum().backward()
    return None


TRAINS_ON = Property(
    "nothing to learn",
    _nothing_to_learn,
    "A training loop calls backward() after each batch, also after one whose keypoints are all hidden. "
    "Could your 0 come out of the logits like any other loss, instead of being made anew?",
)


def _loss_cases(generator: torch.Generator) -> list[Case]:
    by_hand = torch.zeros(1, 2, 2, 2)
    by_hand[0, 0, 1, 1] = 2.0
    target = torch.zeros(1, 2, 2, 2)
    target[0, 0, 1, 1] = 1.0
    hill = torch.tensor([[[[0.5, 0.25], [0.25, 0.0]], [[0.0, 0.0], [0.0, 1.0]]]])
    far = torch.tensor([[[[200.0, 199.0], [198.0, 197.0]], [[-200.0, -198.0], [-197.0, -199.0]]]])
    sure = torch.zeros(1, 1, 2, 2)
    sure[0, 0, 0, 0] = 200.0
    cases = [
        Case((by_hand, target), "the by-hand example: the second map has no target"),
        Case((by_hand, hill), "a hill and a cell"),
        Case((sure, target[:, :1]), "sure of the wrong cell: the loss is 200"),
        Case((by_hand, target * 0), "no target at all: 0"),
        Case((far, hill), "one map near 200, one near -200"),
    ]
    for n, k, height, width in ((2, 3, 4, 4), (3, 2, 5, 3), (1, 5, 7, 7), (4, 3, 3, 4)):
        logits = torch.randn(n, k, height, width, generator=generator) * 2
        shares = torch.rand(n, k, height, width, generator=generator) ** 3
        shares = shares / shares.sum((2, 3), keepdim=True)
        shares[torch.rand(n, k, generator=generator) < 0.3] = 0
        shares[0, 0] = torch.nn.functional.one_hot(torch.tensor(2), height * width).view(height, width)
        shares[-1, -1] = 0
        cases.append(Case((logits, shares)))
    return cases


KEYPOINT_LOSS = Exercise(
    "16.4",
    "One cell of all",
    keypoint_loss,
    _loss_cases,
    tolerance=1e-4,
    any_float=True,
    properties=(reaches_gradient(0, lambda: _loss_cases(torch.Generator())[0].args, "logits"), TRAINS_ON),
    plan=(
        "The softmax runs over all cells of a map together: make one axis of its two first.",
        "Take the logarithm with the softmax in one call; a share that was rounded to 0 has no logarithm.",
        "Minus the sum of target times logarithm is the loss of one map. Where the target is empty, "
        "there is none.",
        "Add up, and divide by the number of maps that have a target, by 1 where no map has.",
    ),
    mistakes=(
        Mistake(
            "softmax over the keypoints",
            _by(lambda z: z.log_softmax(1)),
            "Your keypoints compete with each other. It is the cells of one map that do.",
        ),
        Mistake(
            "softmax along rows",
            _by(lambda z: z.log_softmax(3)),
            "Each row of yours has the sum 1. One cell is right on the whole map, so the softmax "
            "runs over both axes.",
        ),
        Mistake(
            "softmax along columns",
            _by(lambda z: z.log_softmax(2)),
            "Each column of yours has the sum 1. The softmax runs over rows and columns together.",
        ),
        Mistake(
            "softmax over all maps",
            _by(lambda z: z.flatten(1).log_softmax(1).view_as(z)),
            "All maps of a box share one sum of 1. Each keypoint is a question by itself.",
        ),
        Mistake(
            "sigmoid in each cell",
            _of_sigmoids(lambda asked: asked.mean((2, 3))),
            "You ask each cell by itself, as in chapter 14. Here one cell of the map is right, so "
            "they compete.",
        ),
        Mistake(
            "sigmoids added up",
            _of_sigmoids(lambda asked: asked.sum((2, 3))),
            "You ask each cell by itself and add the answers up. One cell of the map is right: how do you "
            "let the cells compete?",
        ),
        Mistake(
            "sigmoids of all cells",
            lambda logits, targets: _sigmoids(logits, targets).mean(),
            "You ask every cell of every map by itself, as for a mask. Here one cell of a map is right, and "
            "some maps have no target: what must the cells do, and which maps count?",
        ),
        Mistake(
            "softmax twice",
            _by(lambda z: _shares(z).flatten(2).log_softmax(2).view_as(z)),
            "Your maps go through a softmax twice. What does the loss that you call do with logits by "
            "itself?",
        ),
        Mistake(
            "no softmax",
            _by(lambda z: z),
            "You multiply the target by the logits themselves. Which function turns a map of logits into "
            "shares of sum 1?",
        ),
        Mistake(
            "channels for classes",
            lambda logits, targets: torch.nn.functional.cross_entropy(logits, targets),
            "The ready-made cross-entropy takes axis 1 for the classes; here that axis counts keypoints. "
            "What are the classes of one map, and along which axis must they lie?",
        ),
        Mistake(
            "divergence",
            _averaged(lambda lost, targets: _mean_of(lost + targets.xlogy(targets).sum((2, 3)), targets)),
            "One cell is right, hills are too small: you take off the target's own entropy. That is the "
            "divergence; what does the formula above add up?",
        ),
        Mistake(
            "overflow",
            _by(lambda z: z - z.exp().sum((2, 3), keepdim=True).log()),
            "Small logits are right. What is exp(200) in 32 bits, and what is left when you divide by it?",
        ),
        Mistake(
            "log of a softmax",
            _by(lambda z: _shares(z).log()),
            "Small logits are right. At 200 the shares of the other cells are rounded to 0: what is the "
            "logarithm of that, and what is it times a target of 0?",
        ),
        Mistake(
            "log of nothing",
            _by(lambda z: _shares(z).log().nan_to_num(0.0, 0.0, 0.0)),
            "Small logits are right. At 200 the softmax of the others is rounded to 0: take the "
            "logarithm along.",
        ),
        Mistake(
            "cut off",
            _by(lambda z: _shares(z).clamp(min=1e-9).log()),
            "Small logits are right. At 200 the loss stops at the logarithm of the small number that you "
            "add to the shares, or hold them above: take the logarithm along with the softmax.",
        ),
        Mistake(
            "a little added",
            _by(lambda z: (_shares(z) + 1e-4).log()),
            "You add a small number to the shares. At 200 its logarithm is all that is left: log and "
            "softmax in one step need no such number.",
        ),
        Mistake(
            "no logarithm",
            _by(_shares),
            "You add up shares. The loss is their logarithm: it grows without end where the right "
            "cell gets nothing.",
        ),
        Mistake(
            "sign",
            lambda logits, targets: -keypoint_loss(logits, targets),
            "Your loss is negative: training would make it worse. Where is the minus?",
        ),
        Mistake(
            "empty maps counted",
            _averaged(lambda lost, targets: lost.mean()),
            "You divide by all maps. Those without a target say nothing, so they do not count.",
        ),
        Mistake(
            "sum of all",
            _averaged(lambda lost, targets: lost.sum()),
            "You add all maps up. A mean does not grow with the number of boxes.",
        ),
        Mistake(
            "mean over the cells",
            lambda logits, targets: keypoint_loss(logits, targets) / logits[0, 0].numel(),
            "You also divide by the number of cells. A map is one question, whatever its size.",
        ),
        Mistake(
            "mean of each box first",
            _averaged(_one_by_one_of(1)),
            "You take the mean of each box, then of the boxes. Each map that has a target counts alike.",
        ),
        Mistake(
            "mean of each keypoint first",
            _averaged(_one_by_one_of(0)),
            "You take the mean of each kind of keypoint, then of the kinds. Does each map count alike then?",
        ),
        Mistake(
            "hills left out",
            _averaged(
                lambda lost, targets: lost[targets.amax((2, 3)) == 1].sum()
                / (targets.amax((2, 3)) == 1).sum().clamp(min=1)
            ),
            "You leave out the maps whose largest share is below 1. Which maps have no target at all?",
        ),
        Mistake(
            "number of boxes",
            _averaged(lambda lost, targets: lost.sum() / len(lost)),
            "You divide by the number of boxes. It is the maps with a target that are counted.",
        ),
        Mistake(
            "nothing makes NaN",
            _averaged(lambda lost, targets: lost[_known(targets)].mean()),
            "Where no map has a target, you divide zero by zero. A batch of hidden objects must not "
            "stop a training.",
        ),
        Mistake(
            "hills cut to cells",
            partial(_lost, asked=_largest_only),
            "You look at the largest cell of the target only. A hill has shares all around: all of "
            "them count.",
        ),
        Mistake(
            "empty maps take the first cell",
            lambda logits, targets: torch.nn.functional.cross_entropy(
                logits.flatten(2).flatten(0, 1), targets.flatten(2).argmax(2).flatten()
            ),
            "The place of the largest share of an empty map is cell 0, and you train on it. How do you tell "
            "these maps apart? And what of hills, whose shares all count?",
        ),
        Mistake(
            "squares",
            partial(_lost, score=_shares, each=lambda shares, targets: ((shares - targets) ** 2).sum((2, 3))),
            "You take squares of differences. The task asks for cross-entropy: target times logarithm.",
        ),
    ),
)  # fmt: skip

EXERCISES = (TARGET_MAPS, DECODE, OKS, KEYPOINT_LOSS)
