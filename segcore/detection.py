"""What every two-stage detector needs: anchors, box coding, matching, sampling, and networks for boxes.

A detector does not predict corners. It lays a fixed grid of *anchors* over the image and says of each by how
much to move and to stretch it (:func:`encode`, :func:`decode`). To train, each anchor must be told which
object it stands for (:func:`match_boxes`), and a few of the many are drawn so that the background does not
drown the rest (:func:`draw_balanced`). All of it is Faster R-CNN's (Ren et al. 2015, after Girshick et al.
2014), as are the two heads, for proposals and for boxes; the pyramid is from Lin et al. 2017. Chapter 14
puts them together.

Left out: anchors that reach over the image's edge count like all others, and crowds are not told apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from segcore import inputs

__all__ = [
    "BACKGROUND",
    "UNDECIDED",
    "BoxHead",
    "MergedPyramid",
    "ProposalHead",
    "convolution_unit",
    "decode",
    "draw_balanced",
    "encode",
    "make_anchors",
    "match_boxes",
    "proposal_losses",
]

BACKGROUND, UNDECIDED = -1, -2
# Offsets are small and stretches smaller: in these units both have a size of about 1, as losses like it.
UNITS = (0.1, 0.1, 0.2, 0.2)
LARGEST_STRETCH = math.log(64)  # so that an untrained network makes no boxes of infinite size


def make_anchors(
    size: tuple[int, int], stride: int, sides: Sequence[float], ratios: Sequence[float]
) -> Tensor:
    """Boxes of a few sizes and shapes around the centre of each cell of a feature map.

    Args:
        size: Cells of the map, (h, w).
        stride: Pixels of the image for each cell.
        sides: Square roots of the areas, in pixels.
        ratios: Heights divided by widths.

    Returns:
        float32 ``(h w A, 4)`` as x1, y1, x2, y2, with A = len(sides) len(ratios): row by row, cell by cell,
        and in a cell side by side, each with all ratios.

    Raises:
        TypeError: A number of another type, or no lists.
        ValueError: A size, side or ratio that is not above 0, or none of them.

    Example:
        >>> make_anchors((1, 2), stride=4, sides=[8], ratios=[1.0])
        tensor([[-2., -2.,  6.,  6.],
                [ 2., -2., 10.,  6.]])
    """
    height, width = inputs.pair(size, "size", axes="h, w")
    stride = inputs.whole(stride, "stride")
    sides, ratios = inputs.several(sides, "sides", "[32]"), inputs.several(ratios, "ratios", "[1.0]")
    if not sides or not ratios:
        raise ValueError("expected at least one of sides and one of ratios, got none; give [32] and [1.0]")
    side = torch.tensor([inputs.number(each, "sides", above=0) for each in sides], dtype=torch.float32)
    ratio = torch.tensor(
        [inputs.number(each, "ratios", above=0) for each in ratios], dtype=torch.float32
    ).sqrt()
    half = torch.stack([side[:, None] / ratio, side[:, None] * ratio], dim=-1).reshape(-1, 2) / 2  # (A, 2)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centre = (torch.stack([x, y], dim=-1).reshape(-1, 1, 2).float() + 0.5) * stride  # (h w, 1, 2)
    return torch.cat([centre - half, centre + half], dim=-1).reshape(-1, 4)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """What moves and stretches each anchor to its box: dx, dy, dw, dh.

    The centre's shift is divided by the anchor's size, the size's change is a logarithm, and both are given
    in units of 0.1 and 0.2.

    Args:
        boxes: ``(N, 4)`` as x1, y1, x2, y2, of positive width and height, of any real dtype.
        anchors: ``(N, 4)``, likewise.

    Returns:
        ``(N, 4)``, float32, or float64 if one of them is; :func:`decode` turns it back.

    Raises:
        TypeError: What came is no tensor.
        ValueError: Wrong shapes, other devices, or a box or anchor without area.

    Example:
        >>> encode(torch.tensor([[1.0, 0.0, 11.0, 20.0]]), torch.tensor([[0.0, 0.0, 10.0, 10.0]]))
        tensor([[1.0000, 5.0000, 0.0000, 3.4657]])
    """
    inputs.same_shape(inputs.boxes(boxes, "boxes"), "boxes", inputs.boxes(anchors, "anchors"), "anchors")
    inputs.same_place(boxes, "boxes", anchors, "anchors")
    centre, extent = _centre_extent(boxes)
    base, size = _centre_extent(anchors)
    for name, value in (("boxes", extent), ("anchors", size)):
        if not value.is_meta and bool((value <= 0).any()):
            row = int((value <= 0).any(1).nonzero()[0])
            raise ValueError(
                f"expected {name} with an area, got none in {name}[{row}]; drop such {name} first"
            )
    return torch.cat([(centre - base) / size, (extent / size).log()], dim=1) / size.new_tensor(UNITS)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Anchors moved and stretched by what a network says, ``(N, 4)``: the inverse of :func:`encode`.

    Args:
        deltas: ``(N, 4)`` as dx, dy, dw, dh, in the units of :func:`encode`.
        anchors: ``(N, 4)`` as x1, y1, x2, y2, of any real dtype.

    Returns:
        Boxes ``(N, 4)``, float32, or float64 if one of them is. No side grows more than 64 times.

    Raises:
        TypeError: What came is no tensor.
        ValueError: Wrong shapes, other devices, or deltas in whole numbers.

    Example:
        >>> decode(torch.tensor([[1.0, 5.0, 0.0, 3.4657]]), torch.tensor([[0.0, 0.0, 10.0, 10.0]])).round()
        tensor([[ 1.,  0., 11., 20.]])
    """
    inputs.same_shape(
        inputs.floating(deltas, "deltas", "N 4"), "deltas", inputs.boxes(anchors, "anchors"), "anchors"
    )
    inputs.same_place(deltas, "deltas", anchors, "anchors")
    base, size = _centre_extent(anchors)
    step = _precise(deltas) * size.new_tensor(UNITS)
    centre = base + step[:, :2] * size
    half = size * step[:, 2:].clamp(max=LARGEST_STRETCH).exp() / 2
    return torch.cat([centre - half, centre + half], dim=1)


def match_boxes(
    candidates: Tensor, truths: Tensor, above: float, below: float, keep_best: bool = False
) -> Tensor:
    """Which object each candidate stands for.

    A candidate stands for the object with which its IoU is largest, if that is at least `above`; it is
    background if it is less than `below`; what lies between is left out of the training.

    Args:
        candidates: Anchors or proposals ``(N, 4)``.
        truths: Objects ``(K, 4)``.
        above: Least IoU of a match.
        below: Where the background begins; at most `above`.
        keep_best: Whether the candidates that fit an object best of all also stand for it, however poorly
            they fit. Without this rule an object of a shape that no anchor has is never learnt.

    Returns:
        int64 ``(N,)``: the number of the object, or `BACKGROUND` (-1), or `UNDECIDED` (-2).

    Raises:
        TypeError: What came is no tensor, or a threshold no number.
        ValueError: Wrong shapes, other devices, or thresholds out of order.

    Example:
        >>> truths = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
        >>> candidates = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 8.0], [5.0, 5.0, 9.0, 9.0]])
        >>> match_boxes(candidates, truths, above=0.7, below=0.3)
        tensor([ 0, -2, -1])
    """
    inputs.boxes(candidates, "candidates")
    inputs.same_place(inputs.boxes(truths, "truths"), "truths", candidates, "candidates")
    above, below = inputs.number(above, "above"), inputs.number(below, "below")
    if not 0 <= below <= above <= 1:
        raise ValueError(
            f"expected 0 <= below <= above <= 1, got below={below} and above={above}; exchange them"
        )
    if not len(truths):
        return torch.full((len(candidates),), BACKGROUND, device=candidates.device)
    iou = box_iou(_precise(truths), _precise(candidates))  # (K, N)
    value, which = iou.max(dim=0)
    matched = which.masked_fill(value < above, UNDECIDED).masked_fill(value < below, BACKGROUND)
    if keep_best and len(candidates):
        best = iou.amax(dim=1, keepdim=True)
        fits = ((iou == best) & (best > 0)).any(dim=0)
        matched = torch.where(fits, torch.where(iou == best, iou, -1).argmax(dim=0), matched)
    return matched


def draw_balanced(matched: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Draw a few candidates at random, some that stand for objects and some of the background.

    Args:
        matched: int64 ``(N,)``, as :func:`match_boxes` gives it.
        count: How many in all, at most.
        share: The largest share of them that may stand for objects; where there are fewer, background takes
            their places.

    Returns:
        Rows of the drawn objects and rows of the drawn background, int64, from torch's own generator.

    Raises:
        ValueError: A count below 1, or a share that is not from 0 to 1.

    Example:
        >>> objects, background = draw_balanced(torch.tensor([-1, 0, -2, -1, 1, -1]), count=4, share=0.25)
        >>> len(objects), len(background)
        (1, 3)
    """
    count, share = inputs.whole(count, "count"), inputs.number(share, "share", least=0, most=1)
    inputs.integer(matched, "matched", "N")
    objects, background = (matched >= 0).nonzero()[:, 0], (matched == BACKGROUND).nonzero()[:, 0]
    objects = _draw(objects, int(count * share))
    return objects, _draw(background, count - len(objects))


# --- Networks ---


def convolution_unit(inputs: int, outputs: int) -> nn.Sequential:
    """3×3 convolution, normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class MergedPyramid(nn.Module):
    """A small backbone whose maps of strides 4, 8 and 16 are merged into one of stride 4.

    Each map passes a 1×1 convolution to the common width; from coarse to fine, each is doubled and added to
    the next, as in a feature pyramid (Lin et al. 2017), which would keep all levels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.ModuleList([convolution_unit(3, width // 4), convolution_unit(width // 4, width // 2)])
        channels = (width, width, 2 * width)
        self.stages = nn.ModuleList()
        for before, after in itertools.pairwise((width // 2, *channels)):
            self.stages.append(nn.Sequential(convolution_unit(before, after), convolution_unit(after, after)))
        self.laterals = nn.ModuleList(nn.Conv2d(each, width, 1) for each in channels)
        self.smooth = convolution_unit(width, width)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to a map (N, width, ⌈H / 4⌉, ⌈W / 4⌉)."""
        x = images * 2 - 1
        for unit in self.stem:
            x = F.max_pool2d(unit(x), 2, ceil_mode=True)
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(F.max_pool2d(x, 2, ceil_mode=True) if maps else x))
            x = maps[-1]
        merged: Tensor = self.laterals[-1](maps[-1])
        for lateral, fine in zip(self.laterals[-2::-1], maps[-2::-1], strict=True):
            doubled = F.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = lateral(fine) + doubled[..., : fine.shape[2], : fine.shape[3]]
        return self.smooth(merged)


class ProposalHead(nn.Module):
    """Says of each anchor whether there is an object, and how to move it there (Ren et al. 2015)."""

    def __init__(self, width: int, anchors: int) -> None:
        super().__init__()
        self.conv = convolution_unit(width, width)
        self.objectness = nn.Conv2d(width, anchors, 1)
        self.deltas = nn.Conv2d(width, 4 * anchors, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, anchors of all cells) and deltas (N, anchors of all cells, 4)."""
        x = self.conv(features)
        deltas = self.deltas(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4)
        return self.objectness(x).permute(0, 2, 3, 1).flatten(1), deltas


class BoxHead(nn.Module):
    """Says what stands in a box, and for each class how to correct the box."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.conv = convolution_unit(width, width)
        self.fc = nn.Linear(width * 9, 2 * width)
        self.scores = nn.Linear(2 * width, num_classes)
        self.deltas = nn.Linear(2 * width, 4 * num_classes)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features (K, width, 7, 7) to logits (K, C) and deltas (K, C, 4)."""
        x = F.relu(self.fc(F.max_pool2d(self.conv(pooled), 2).flatten(1)))
        return self.scores(x), self.deltas(x).unflatten(1, (-1, 4))


def proposal_losses(
    objectness: Tensor, deltas: Tensor, anchors: Tensor, targets: list[dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Losses of the first stage on a sample of the anchors."""
    rows, truths, wanted, moved = [], [], [], []
    for n, target in enumerate(targets):
        matched = match_boxes(anchors, target["boxes"], 0.5, 0.3, keep_best=True)
        here, elsewhere = draw_balanced(matched, 64, 0.5)
        rows.append(objectness[n, torch.cat([here, elsewhere])])
        truths.append(F.pad(torch.ones_like(here), (0, len(elsewhere))).float())
        moved.append(deltas[n, here])
        wanted.append(encode(target["boxes"][matched[here]], anchors[here]))
    logit = torch.cat(rows)
    off = F.smooth_l1_loss(torch.cat(moved), torch.cat(wanted), reduction="sum")
    return {
        "objectness": F.binary_cross_entropy_with_logits(logit, torch.cat(truths)),
        "proposals": off / max(1, len(logit)),
    }


# --- In short ---


def _draw(rows: Tensor, most: int) -> Tensor:
    """At most so many of them, at random."""
    return rows[torch.randperm(len(rows), device=rows.device)[:most]]


def _precise(values: Tensor) -> Tensor:
    """Float32 at least: halves cannot hold x1 + x2, and what is below 0 is large in uint8."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _centre_extent(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sizes, each (N, 2) as x, y."""
    boxes = _precise(boxes)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
