"""Prompts of chapter 14: anchors and how boxes are coded, what the mask loss looks at, and pasting."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from segcore.detection import UNITS, decode, encode, make_anchors, match_boxes
from segcore.mask_rcnn import mask_loss, paste_masks
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]


def _draw_anchors(rng: random.Random) -> dict[str, object]:
    stride, rows, columns = rng.choice([4, 8, 16]), rng.randint(4, 10), rng.randint(4, 10)
    sides, ratios = rng.choice([(12, 24, 48), (32, 64), (16, 32, 64, 128), (24, 48)]), rng.choice([3, 5])
    shown = {"_rows": rows, "_columns": columns, "_count": len(sides)}
    return {"h": stride * rows, "b": stride * columns, "s": stride, "sides": sides, "ratios": ratios, **shown}


def _anchors(h: int, b: int, s: int, sides: Sequence[int], ratios: int) -> int:
    return len(make_anchors((h // s, b // s), s, sides, [1.0] * ratios))


def _draw_encode(rng: random.Random) -> dict[str, object]:
    """An anchor and a box of another width, whose centres are a kind part of the anchor's width apart."""
    while True:
        x1, width = rng.randint(0, 10), rng.choice([10, 20, 40])
        first, wide = rng.randint(0, 30), rng.choice([10, 20, 30, 40])
        centres = x1 + width / 2, first + wide / 2
        if (
            wide != width
            and centres[0] != centres[1]
            and abs(centres[1] - centres[0]) < width
            and first != x1
        ):
            box = {"a1": x1, "a2": x1 + width, "b1": first, "b2": first + wide}
            return {**box, "_a": centres[0], "_b": centres[1], "_width": width}


def _encode(a1: int, a2: int, b1: int, b2: int) -> float:
    """The first of the four numbers, as the chapter writes it: without the units of the network."""
    anchor, box = (torch.tensor([[x1, 0.0, x2, 10.0]]) for x1, x2 in ((a1, a2), (b1, b2)))
    return round((encode(box, anchor)[0, 0] * UNITS[0]).item(), 4)


def _draw_decode(rng: random.Random) -> dict[str, object]:
    width = rng.choice([10, 20, 40])
    x1, part = rng.randint(4, 20) * 5, rng.choice([0.1, 0.2, 0.3, 0.5])
    factor = rng.choice([2, 3])
    middle = x1 + width / 2 + part * width
    words = {"_middle": middle, "_wide": factor * width, "_width": width}
    return {"x1": x1, "x2": x1 + width, "dx": part, "factor": factor, **words}


def _decode(x1: int, x2: int, dx: float, factor: int) -> tuple[float, ...]:
    deltas = torch.tensor([[dx, 0.0, torch.tensor(float(factor)).log().item(), 0.0]]) / torch.tensor([UNITS])
    box = decode(deltas, torch.tensor([[x1, 0.0, x2, 10.0]]))[0]
    return round(box[0].item(), 3), round(box[2].item(), 3)


def _draw_pasted(rng: random.Random) -> dict[str, object]:
    """Cells of one, two or four pixels, and a pixel between the centres of two different cells."""
    while True:
        cells, size = (
            tuple(rng.choice([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]) for _ in range(3)),
            rng.choice([1, 2, 4]),
        )
        x1, p = rng.randint(1, 4) + rng.choice([0.0, 0.25, 0.5, 0.75]), rng.randint(2, 14)
        u = (p + 0.5 - x1) / size - 0.5
        if 0 < u < 2 and u != int(u) and len(set(cells)) == 3:
            left = int(u)
            share = f"{1 - u + left:g} · {cells[left]:g} + {u - left:g} · {cells[left + 1]:g}"
            words = {"_x2": x1 + 3 * size, "_u": u, "_share": share}
            return {"cells": cells, "x1": x1, "size": size, "p": p, **words}


def _pasted(cells: Sequence[float], x1: float, size: int, p: float) -> float:
    """The pixel of a row, of three equal rows of cells that lie far enough to both sides."""
    masks = torch.tensor([[list(cells)] * 3], dtype=torch.float64)
    x1 = x1 - (p - int(p))  # a pixel that is not whole is the same as a box that is moved
    box = torch.tensor([[x1, 0, x1 + 3 * size, 9]], dtype=torch.float64)
    return round(paste_masks(masks, box, (9, 24))[0, 4, int(p)].item(), 6)


def _draw_looked(rng: random.Random) -> dict[str, object]:
    return {"n": rng.randint(2, 9), "c": rng.choice([3, 4, 5, 10]), "m": rng.choice([4, 5, 7, 8, 10])}


def _looked(n: int, c: int, m: int) -> int:
    """Logits that the mask loss has a gradient for."""
    logits = torch.zeros(n, c, m, m, requires_grad=True)
    mask_loss(logits, torch.ones(n, m, m), torch.arange(n) % c).backward()
    assert logits.grad is not None
    return int((logits.grad != 0).sum())


def _draw_matched(rng: random.Random) -> dict[str, object]:
    """Six IoUs with one object, all of which the thresholds part clearly."""
    while True:
        hundredths = tuple(rng.choice([each for each in range(5, 95) if each % 10]) for _ in range(6))
        above, below = rng.choice([(0.5, 0.3), (0.7, 0.3), (0.6, 0.4)])
        found = [
            sum(each > above * 100 for each in hundredths),
            sum(each < below * 100 for each in hundredths),
        ]
        if 0 < found[0] < 4 and 0 < found[1] < 5 and sum(found) < 6 and len(set(hundredths)) == 6:
            words = {"_for": found[0], "_ground": found[1], "_rest": 6 - sum(found)}
            return {"iou": tuple(each / 100 for each in hundredths), "above": above, "below": below, **words}


def _matched(iou: Sequence[float], above: float, below: float) -> tuple[int, ...]:
    truth = torch.tensor([[0.0, 0, 100, 10]])
    candidates = truth.repeat(len(iou), 1)
    candidates[:, 2] = 100 * torch.tensor(iou)
    found = match_boxes(candidates, truth, above, below)
    return tuple(int((found == which).sum()) for which in (0, -1, -2))


PROMPTS = (
    Prompt(
        name="14.anchors",
        ask="An image of {h} × {b} pixels has a map of stride {s}. At each cell stand anchors of {ratios} "
        "shapes for each of the sides {sides}. How many anchors are there?",
        draw=_draw_anchors,
        answer=_anchors,
        why="{_rows} · {_columns} cells, and {_count} · {ratios} anchors at each: "
        "{_rows} · {_columns} · {_count} · {ratios} = {answer}.",
        wrong={
            "Each size comes in each shape: they multiply, they do not add.": (
                lambda h, b, s, sides, ratios: (h // s) * (b // s) * (len(sides) + ratios)
            ),
            "You put anchors at each pixel. They stand at the cells of the map.": (
                lambda h, b, s, sides, ratios: h * b * len(sides) * ratios
            ),
            "That is one anchor for each cell and size. Shapes count, too.": (
                lambda h, b, s, sides, ratios: (h // s) * (b // s) * len(sides)
            ),
        },
    ),
    Prompt(
        name="14.encode",
        ask="Along x an anchor runs from {a1} to {a2}, an object's box from {b1} to {b2}. What is $d_x$?",
        draw=_draw_encode,
        answer=_encode,
        why="From centre to centre, in widths of the anchor: ({_b} − {_a})/{_width} = {answer}.",
        wrong={
            "Those are pixels. Divide by the anchor's width.": (
                lambda a1, a2, b1, b2: (b1 + b2 - a1 - a2) / 2
            ),
            "You measured from corner to corner. Centres count.": lambda a1, a2, b1, b2: (
                (b1 - a1) / (a2 - a1)
            ),
            "You divided by the width of the box. The anchor's is known before the box is.": (
                lambda a1, a2, b1, b2: (b1 + b2 - a1 - a2) / 2 / (b2 - b1)
            ),
        },
        digits=2,
    ),
    Prompt(
        name="14.decode",
        ask="Along x an anchor runs from {x1} to {x2}, and a network says $d_x = {dx}$ and $d_w = "
        "\\ln {factor}$. From where to where runs the box?",
        draw=_draw_decode,
        answer=_decode,
        why="The centre moves by {dx} · {_width} to {_middle}, and the width becomes {factor} · {_width} = "
        "{_wide}, half of it to each side: {answer}.",
        wrong={
            "You moved the left edge and let the box grow to the right. It grows around its centre.": (
                lambda x1, x2, dx, factor: (x1 + dx * (x2 - x1), x1 + (dx + factor) * (x2 - x1))
            ),
            "You moved by pixels. $d_x$ counts widths of the anchor.": (
                lambda x1, x2, dx, factor: tuple(
                    value + dx * (1 - (x2 - x1)) for value in _decode(x1, x2, dx, factor)
                )
            ),
            "You stretched, but did not move.": lambda x1, x2, dx, factor: _decode(x1, x2, 0.0, factor),
        },
        digits=1,
    ),
    Prompt(
        name="14.pasted",
        ask="In a row a mask has the cells {cells}. It is pasted exactly into a box from $x = {x1}$ to "
        "{_x2}. What is the value of pixel {p}, counted from 0?",
        draw=_draw_pasted,
        answer=_pasted,
        why="The pixel's centre, {p} + 0.5, lies at u = ({p} + 0.5 − {x1})/{size} − 0.5 = {_u} in indices "
        "of cells: {_share} = {answer}.",
        wrong={
            "You took the pixel's left edge. It is read at its centre.": (
                lambda cells, x1, size, p: _pasted(cells, x1, size, p - 0.5)
            ),
            "You forgot that a cell's value lies at its centre: half a cell goes off.": (
                lambda cells, x1, size, p: _pasted(cells, x1 - size / 2, size, p)
            ),
            "That is the cell in which the pixel's centre lies. Its neighbour has a share.": (
                lambda cells, x1, size, p: cells[int((p + 0.5 - x1) / size)]
            ),
        },
        digits=2,
    ),
    Prompt(
        name="14.looked",
        ask="A mask head says {c} masks of {m} × {m} cells for each of {n} boxes with objects. How many of "
        "these numbers does the mask loss look at?",
        draw=_draw_looked,
        answer=_looked,
        why="Of each box the mask of its own class alone: {n} · {m} · {m} = {answer}.",
        wrong={
            "Those are all. The masks of other classes are not asked.": lambda n, c, m: n * c * m * m,
            "A box has a target for each cell, not one in all.": lambda n, c, m: n,
            "Those are the cells of one mask. Each box has its own.": lambda n, c, m: m * m,
        },
    ),
    Prompt(
        name="14.matched",
        ask="Six anchors have the IoUs {iou} with the only object. Above {above} an anchor stands for it, "
        "below {below} it is background; leave the rule aside that the best one always counts. How many "
        "stand for the object, are background, are left out?",
        draw=_draw_matched,
        answer=_matched,
        why="{_for} above {above}, {_ground} below {below}, and {_rest} between: {answer}.",
        wrong={
            "You parted them at the upper threshold alone. What lies between is left out.": (
                lambda iou, above, below: (sum(x > above for x in iou), sum(x < above for x in iou), 0)
            ),
            "You parted them at the lower threshold alone. What lies between is left out.": (
                lambda iou, above, below: (sum(x > below for x in iou), sum(x < below for x in iou), 0)
            ),
        },
    ),
)
