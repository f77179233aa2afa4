r"""Scores of instances: detections take truths, one each; what was taken makes a curve; its area is AP.

A detection is a mask (or a box), a class and a score. To say which detections are right, each takes, the
surest first, the truth of its class with which its IoU is largest, if that is at least a threshold and nobody
took it before. What took a truth is right, the others are wrong, and from the surest down precision and
recall are

.. math::
    P_k = \frac{\text{right among the first } k}{k}, \qquad
    R_k = \frac{\text{right among the first } k}{\text{truths}}, \qquad
    \text{AP} = \frac{1}{101} \sum_{r = 0, .01, \ldots, 1} \max_{k:\, R_k \ge r} P_k .

COCO averages this over classes and over ten thresholds, .50, .55, ..., .95. Two kinds of truth do not count:
a *crowd* (one mask over many objects, which nobody must find), and one whose area lies outside the range that
is asked for. What takes such a truth is neither right nor wrong, nor is a detection that took none and lies
outside the range itself.

The IoU of all pairs of masks is one matrix product: with masks as rows of 0 and 1, :math:`A B^\top` counts
the pixels that each pair has in common. The products here leave out blocks of zeros and count eight pixels at
a time.

Average precision with the IoU of regions is from Hariharan et al. 2014, the twelve numbers are COCO's (Lin et
al. 2014), and every custom is that of pycocotools: ranges with both ends, an IoU of just the threshold is
enough, of equal IoUs the last truth wins and of equal scores the first detection, a truth that counts goes
before one that does not, and a crowd can be taken again and again; its IoU is the share of the *detection*
that it covers. Where pycocotools gives -1, there is nothing to score: NaN here. Keypoints are scored in
`segcore.keypoints`, by the same :class:`Pairing` and :func:`curves`. Left out: polygons and run-length codes
(masks are tensors in memory).

>>> truth = {"boxes": torch.tensor([[0.0, 0, 4, 4], [6, 0, 8, 2]]), "labels": torch.tensor([1, 1])}
>>> found = {"boxes": torch.tensor([[0.0, 0, 4, 3], [1, 0, 5, 4]]), "labels": torch.tensor([1, 1]),
...          "scores": torch.tensor([0.9, 0.8])}
>>> match(found, truth, kind="box").truth  # the second one comes too late
tensor([ 0, -1])
>>> scores = evaluate_instances([found], [truth], kind="box")
>>> {name: round(scores[name], 3) for name in ("AP", "AP50", "AR1", "APl")}
{'AP': 0.303, 'AP50': 0.505, 'AR1': 0.3, 'APl': nan}
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore import inputs

__all__ = [
    "AREAS",
    "COCO_RESULTS",
    "RECALLS",
    "THRESHOLDS",
    "Matches",
    "box_iou",
    "evaluate_instances",
    "mask_iou",
    "match",
]

THRESHOLDS = (*(0.5 + each * ((0.95 - 0.5) / 9) for each in range(9)), 0.95)
"""The ten IoUs of COCO, .50 to .95, to the last bit those of ``np.linspace(0.5, 0.95, 10)``."""

RECALLS = tuple(each * 0.01 for each in range(101))
"""Where precision is read, 0 to 1, as in ``np.linspace(0, 1, 101)``."""

AREAS = {"": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}
"""Ranges of area in pixels, both ends included: all, small, medium, large."""

COCO_RESULTS = {
    ("MNC", "ResNet-101-C4"): (24.6, 44.3, 24.8, 4.7, 25.9, 43.6),
    ("FCIS + OHEM", "ResNet-101-C5-dilated"): (29.2, 49.5, math.nan, 7.1, 31.3, 50.0),
    ("FCIS+++ + OHEM", "ResNet-101-C5-dilated"): (33.6, 54.5, math.nan, math.nan, math.nan, math.nan),
    ("Mask R-CNN", "ResNet-101-C4"): (33.1, 54.9, 34.8, 12.1, 35.6, 51.1),
    ("Mask R-CNN", "ResNet-101-FPN"): (35.7, 58.0, 37.8, 15.5, 38.1, 52.4),
    ("Mask R-CNN", "ResNeXt-101-FPN"): (37.1, 60.0, 39.4, 16.9, 39.9, 53.5),
}
"""Masks on COCO's test-dev in percent, from the lecture (Table 1 of He et al. 2017): for each method and
backbone AP, AP50, AP75, APs, APm, APl; NaN where none was published."""

_RUN = 40  # words of eight pixels: masks are compared in runs of 320
_PAIRS = 1 << 16  # pairs of runs that are looked at together
_CELLS = 1 << 22  # pairs of detection and truth, for all ranges and thresholds, in one batch of matching


# --- How much two have in common ---


def mask_iou(a: Tensor, b: Tensor, crowd: Tensor | None = None) -> Tensor:
    """Intersection over union of each mask of one stack with each of another.

    The same numbers as the product of the flattened masks, ``a.flatten(1) @ b.flatten(1).T``, over the union;
    runs of pixels in which one of the two has none are left out.

    Args:
        a: Detections, bool ``(N, H, W)``.
        b: Truths, bool ``(M, H, W)``.
        crowd: bool ``(M,)``: with a crowd, the intersection is divided by the area of ``a`` alone.

    Returns:
        float64 ``(N, M)``. Two empty masks have nothing in common: 0, as in pycocotools.

    Raises:
        TypeError: What came is no tensor.
        ValueError: Masks are not bool, differ in size or device, or ``crowd`` is not bool ``(M,)``.

    Example:
        >>> a = torch.tensor([[[1, 1, 0], [1, 1, 0]]]).bool()
        >>> b = torch.tensor([[[0, 1, 1], [0, 1, 1]], [[1, 1, 1], [1, 1, 1]]]).bool()
        >>> mask_iou(a, b)
        tensor([[0.3333, 0.6667]], dtype=torch.float64)
        >>> mask_iou(a, b, crowd=torch.tensor([False, True]))
        tensor([[0.3333, 1.0000]], dtype=torch.float64)
    """
    inputs.masks(a, "a"), inputs.masks(b, "b")
    inputs.same_place(b, "b", a, "a")
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"expected b of the size of a, {inputs.size_of(a.shape[1:])}, "
            f"got {inputs.size_of(b.shape[1:])}; resize one of them, by nearest neighbour"
        )
    return _mask_over_union(_Runs.of(a), _Runs.of(b), _crowd(crowd, b, "b"))


class _Runs(NamedTuple):
    """Masks in runs of 320 pixels, eight to a word, and how many each run holds, still in eight bytes."""

    words: Tensor  # int64 (N, R, 40)
    sums: Tensor  # int64 (N, R)
    area: Tensor  # float64 (N,)

    @classmethod
    def of(cls, masks: Tensor) -> _Runs:
        pixels = masks.detach().contiguous().view(torch.uint8).flatten(1)
        if pixels.shape[1] % (8 * _RUN) or pixels.storage_offset() % 8:
            pixels = F.pad(pixels, (0, -pixels.shape[1] % (8 * _RUN))).clone()
        words = pixels.view(torch.int64).unflatten(1, (-1, _RUN))
        sums = words.sum(-1)
        return cls(words, sums, _bytes(sums).sum(-1).double())


def _mask_over_union(a: _Runs, b: _Runs, crowd: Tensor) -> Tensor:
    shared = torch.zeros(len(a.sums) * len(b.sums), dtype=torch.int64, device=a.sums.device)
    step = max(1, _PAIRS // max(1, b.sums.numel()))
    for first in range(0, len(a.sums), step):
        both = (a.sums[first : first + step, None] != 0) & (b.sums != 0)
        i, j, run = both.nonzero().T
        words = (a.words[i + first, run] & b.words[j, run]).sum(-1)
        shared.index_add_(0, (i + first) * len(b.sums) + j, _bytes(words))
    shared = shared.view(len(a.sums), len(b.sums)).double()
    return _over_union(shared, a.area[:, None], b.area, crowd)


def _bytes(words: Tensor) -> Tensor:
    """The sum of the eight bytes of each word."""
    return words[..., None].view(torch.uint8).sum(-1)


def box_iou(a: Tensor, b: Tensor, crowd: Tensor | None = None) -> Tensor:
    """Intersection over union of each box of one list with each of another.

    Args:
        a: Detections ``(N, 4)`` as x1, y1, x2, y2, of any real dtype.
        b: Truths ``(M, 4)``.
        crowd: bool ``(M,)``, as in :func:`mask_iou`.

    Returns:
        float64 ``(N, M)``; 0 for two boxes without area.

    Raises:
        TypeError: What came is no tensor.
        ValueError: Boxes are not ``(N, 4)``, not finite, or their corners are not in order; devices differ.

    Example:
        >>> box_iou(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 0, 6, 4], [4, 0, 8, 4]]))
        tensor([[0.3333, 0.0000]], dtype=torch.float64)
    """
    inputs.boxes(a, "a"), inputs.boxes(b, "b")
    inputs.same_place(b, "b", a, "a")
    return _box_over_union(a.detach().double()[:, None], b.detach().double(), _crowd(crowd, b, "b"))


def _box_over_union(a: Tensor, b: Tensor, crowd: Tensor) -> Tensor:
    """IoU of boxes ``(..., 4)``, rounded as in pycocotools, where a box is x, y, width, height."""
    size, other_size = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    far = torch.minimum(a[..., :2] + size, b[..., :2] + other_size)
    shared = (far - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return _over_union(shared, size.prod(-1), other_size.prod(-1), crowd)


def _over_union(shared: Tensor, area: Tensor, other: Tensor, crowd: Tensor) -> Tensor:
    union = torch.where(crowd, area, area + other - shared)
    return torch.where(shared > 0, shared / union, 0.0)


def _crowd(crowd: Tensor | None, truths: Tensor, name: str) -> Tensor:
    """Which truths are crowds, none if nothing is said."""
    if crowd is None:
        return torch.zeros(len(truths), dtype=torch.bool, device=truths.device)
    inputs.same_place(inputs.masks(crowd, "crowd", "M"), "crowd", truths, name)
    return _one_each(crowd, "crowd", len(truths), name)


# --- Who takes whom ---


class Matches(NamedTuple):
    """What :func:`match` finds, for K detections and M truths in the order in which they came.

    Attributes:
        truth: int64 ``(K,)``, the truth that each detection took, -1 for none.
        iou: float64 ``(K,)``, the IoU with that truth, NaN for none.
        ignored: bool ``(K,)``, detections that are neither right nor wrong.
        missed: bool ``(M,)``, truths that count and that nobody took.
    """

    truth: Tensor
    iou: Tensor
    ignored: Tensor
    missed: Tensor


P = ParamSpec("P")
R = TypeVar("R")


def on_the_cpu(function: Callable[P, R]) -> Callable[P, R]:
    """The function, made to keep what it makes for itself on the CPU, whatever the default device is."""

    @functools.wraps(function)
    def there(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.get_default_device().type == "cpu":
            return function(*args, **kwargs)  # the other way costs each operation a little
        with torch.device("cpu"):
            return function(*args, **kwargs)

    return there


@on_the_cpu
def match(
    prediction: Mapping[str, Any],
    truth: Mapping[str, Any],
    threshold: float = 0.5,
    kind: str = "mask",
    area: tuple[float, float] = AREAS[""],
    max_detections: int = 100,
) -> Matches:
    """Which detection of an image takes which truth, at one threshold and in one range of area.

    Args:
        prediction: As an element of ``predictions`` in :func:`evaluate_instances`.
        truth: As an element of ``truths`` there.
        threshold: The least IoU, 0 to 1.
        kind: ``"mask"`` or ``"box"``.
        area: Truths with an area from the first to the second number count.
        max_detections: The surest of each class that take part; the others are ignored.

    Returns:
        :class:`Matches`.

    Raises:
        TypeError, ValueError: As :func:`evaluate_instances`; a threshold is not from 0 to 1, or a range not
            two numbers in order.

    Example:
        >>> truth = {"boxes": torch.tensor([[0.0, 0, 2, 4], [2, 0, 4, 4]]), "labels": torch.tensor([1, 1])}
        >>> found = {"boxes": torch.tensor([[0.0, 0, 4, 4], [2, 0, 4, 3]]), "labels": torch.tensor([1, 1]),
        ...          "scores": torch.tensor([0.6, 0.7])}
        >>> match(found, truth, kind="box").truth  # the wide one would have liked either
        tensor([0, 1])
        >>> match(found, truth, threshold=0.6, kind="box").missed
        tensor([ True, False])
    """
    least = inputs.number(threshold, "threshold", least=0, most=1)
    if not isinstance(area, Sequence) or len(area) != 2:
        raise ValueError(f"expected area as two numbers, smallest and largest, got {area!r}; give two")
    low = inputs.number(area[0], "area[0]", least=0)
    high = math.inf if area[1] == math.inf else inputs.number(area[1], "area[1]", least=low)
    limit = inputs.whole(max_detections, "max_detections")
    with torch.device("cpu"):  # whatever the default device is
        return _matches(Pairing.read([prediction], [truth], kind, limit), (low, high), least, limit)


def _matches(both: Pairing, area: tuple[float, float], least: float, limit: int) -> Matches:
    """What :func:`match` returns."""
    ignored = both.outside((area,))
    taken = both.take(ignored[1], (least,))[:, 0, 0]
    right = taken >= 0
    ious = torch.full((len(taken),), math.nan, dtype=torch.float64)
    found = {(d, t): iou for d, t, iou in zip(*(each.tolist() for each in both.pairs), strict=True)}
    for detection in right.nonzero()[:, 0].tolist():
        ious[detection] = found[detection, int(taken[detection])]
    missed = ~ignored[1][:, 0]
    missed[taken[right]] = False
    none = torch.where(right, ignored[1][taken, 0] if len(missed) else False, ignored[0][:, 0])
    return Matches(taken, ious, none | (both.slot >= limit), missed)


def _take(iou: Tensor, ignored: Tensor, crowd: Tensor, thresholds: Tensor) -> Tensor:
    """The truth that each detection takes; B images and classes, A ranges and T thresholds at once.

    Args:
        iou: float64 ``(B, D, G)``, the surest detection first; -1 where there is no truth.
        ignored: bool ``(B, A, G)``, truths that do not count.
        crowd: bool ``(B, G)``, truths that can be taken again.
        thresholds: ``(T,)``.

    Returns:
        int64 ``(B, A, T, D)``, -1 where none was taken.
    """
    batch, detections, truths = iou.shape
    shape = batch, ignored.shape[1], len(thresholds), truths
    # Worth more: a larger IoU, of equal ones the last; all that count before the rest.
    worth = iou.argsort(dim=-1, stable=True).argsort(dim=-1)
    counts = torch.where(ignored, 0, truths)
    again = crowd[:, None, None].expand(shape)
    free, taken = torch.ones(shape, dtype=torch.bool), torch.full((detections, *shape[:3]), -1)
    for surest in range(detections):
        fits = free & (iou[:, surest, None] >= thresholds[:, None])[:, None]
        value = (worth[:, surest, None] + counts)[:, :, None]
        best, which = torch.where(fits, value, -1).max(dim=-1)
        taken[surest] = which.where(best >= 0, -1)
        place = which[..., None]
        stays = (best < 0)[..., None] & free.gather(-1, place)
        free.scatter_(-1, place, stays | again.gather(-1, place))
    return taken.permute(1, 2, 3, 0)


# --- COCO's twelve numbers ---


@on_the_cpu
def evaluate_instances(
    predictions: Sequence[Mapping[str, Any]],
    truths: Sequence[Mapping[str, Any]],
    max_detections: Sequence[int] = (1, 10, 100),
    kind: str = "mask",
) -> dict[str, float]:
    """Average precision and average recall of instances, as COCO reports them.

    Args:
        predictions: For each image a dict of ``masks`` (bool ``(N, H, W)``) or ``boxes`` (``(N, 4)``, x1, y1,
            x2, y2), ``labels`` (int64 ``(N,)``) and ``scores`` (``(N,)``). More entries do no harm. The area
            of a detection is that of its mask or box.
        truths: For each image a dict of ``masks`` or ``boxes`` and ``labels``, and if there are any ``crowd``
            (bool ``(M,)``; without it none is) and ``area`` (``(M,)`` in pixels; without it that of the mask
            or box).
        max_detections: How many of an image's detections of one class count, the surest ones: recall is given
            for each of these numbers, everything else for the largest.
        kind: ``"mask"`` or ``"box"``.

    Returns:
        ``AP``, ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl``, ``AR1``, ``AR10``, ``AR100`` (named by
        ``max_detections``), ``ARs``, ``ARm``, ``ARl``, from 0 to 1; NaN where no truth counts.

    Raises:
        TypeError: An element is no dict, or what stands in it no tensor.
        ValueError: Something is missing, or of another shape, dtype or length; a score is NaN, an area
            negative; masks differ in size from the truth's. The message names the image and the entry.

    Example:
        >>> disk = ((torch.arange(64)[:, None] - 32) ** 2 + (torch.arange(64) - 32) ** 2 < 400)[None]
        >>> truth = {"masks": disk, "labels": torch.tensor([3])}
        >>> found = {"masks": disk.roll(4, 2), "labels": torch.tensor([3]), "scores": torch.tensor([0.9])}
        >>> scores = evaluate_instances([found], [truth])
        >>> [round(scores[name], 2) for name in ("AP", "AP50", "AP75", "APm")]  # its IoU is 0.77
        [0.6, 1.0, 1.0, 0.6]
    """
    limits = _limits(max_detections)
    with torch.device("cpu"):  # whatever the default device is
        both = Pairing.read(predictions, truths, kind, limits[-1])
        precision, recall = curves(both, tuple(AREAS.values()), limits)
    table = {f"AP{name}": precision[:, row] for row, name in enumerate(AREAS)}
    table["AP50"], table["AP75"] = precision[:, 0, 0], precision[:, 0, 5]
    table |= {f"AR{limit}": recall[row, :, 0] for row, limit in enumerate(limits)}
    table |= {f"AR{name}": recall[-1, :, row] for row, name in enumerate(AREAS) if name}
    names = ["AP", "AP50", "AP75", "APs", "APm", "APl", *(f"AR{each}" for each in limits)]
    return {name: table[name].nanmean().item() for name in [*names, "ARs", "ARm", "ARl"]}


def curves(
    both: Pairing, ranges: Sequence[tuple[float, float]], limits: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Average precision and recall of each class, range of area and threshold; what all scores are means of.

    Args:
        both: Detections and truths; how alike each pair is says whoever made it, by IoU or by OKS.
        ranges: Smallest and largest area that counts, both included.
        limits: How many detections of an image and class count, in order; precision is for the last.

    Returns:
        Precision float64 ``(C, A, T)`` and recall ``(L, C, A, T)``, NaN where no truth counts.
    """
    outside, ignored = both.outside(ranges)
    taken = both.take(ignored, THRESHOLDS)
    none = F.pad(ignored, (0, 0, 0, 1), value=True)  # a last row for those who took no truth
    right = ~none[taken, torch.arange(len(ranges))[:, None]]
    wrong = (taken < 0) & ~outside[:, :, None]
    shape = (both.classes, len(ranges), len(THRESHOLDS))
    precision = torch.zeros(shape, dtype=torch.float64)
    recall = torch.zeros(len(limits), *shape, dtype=torch.float64)
    surest = both.order[both.slot[both.order] < limits[-1]]
    for label in range(both.classes):
        own = surest[both.label[surest] == label]
        positives = (~ignored[both.true_label == label]).sum(0)[:, None]
        precision[label] = _average_precision(right[own], wrong[own], positives)
        for row, limit in enumerate(limits):
            recall[row, label] = right[own][both.slot[own] < limit].sum(0).double() / positives
    return precision, recall


def _average_precision(right: Tensor, wrong: Tensor, positives: Tensor) -> Tensor:
    """`segcore.metrics.average_precision` in the custom "coco", for many columns at once.

    Args:
        right: bool ``(N, A, T)``, the surest detection first.
        wrong: bool ``(N, A, T)``; what is neither right nor wrong is passed over.
        positives: int64 ``(A, 1)``, truths that count.

    Returns:
        float64 ``(A, T)``, NaN where no truth counts.
    """
    hits = right.permute(1, 2, 0).cumsum(-1).double()  # (A, T, N)
    misses = wrong.permute(1, 2, 0).cumsum(-1)
    precision = hits / (hits + misses).clamp(min=1)
    highest = precision.flip(-1).cummax(-1).values.flip(-1)  # at this recall or more
    recalls = hits.new_tensor(RECALLS).expand(*hits.shape[:2], -1).contiguous()
    first = torch.searchsorted(hits / positives[..., None], recalls)  # to reach it
    mean = F.pad(highest, (0, 1)).gather(-1, first).mean(-1)
    return torch.where(positives > 0, mean, math.nan)


@dataclass(frozen=True)
class Pairing:
    """Detections and truths of all images in one row each; a group is what one image has of one class."""

    classes: int
    label: Tensor  # (P,), the class of each detection, counted from 0
    true_label: Tensor  # (G,)
    area: Tensor  # (P,)
    true_area: Tensor  # (G,)
    crowd: Tensor  # (G,), truths that can be taken again
    ignored: Tensor  # (G,), truths that count in no range
    group: Tensor  # (P,)
    true_group: Tensor  # (G,)
    order: Tensor  # (P,), detections from the surest down
    slot: Tensor  # (P,), the place of a detection in its group, from the surest down
    true_slot: Tensor  # (G,)
    pairs: tuple[Tensor, Tensor, Tensor]  # detection, truth of its group, IoU

    @classmethod
    def read(cls, predictions: Any, truths: Any, kind: str, limit: int) -> Pairing:
        """Check what came, and put it in rows."""
        field = {"mask": "masks", "box": "boxes"}[inputs.option(kind, "kind", ("mask", "box"))]
        found, true = _Side.read(predictions, "predictions", field), _Side.read(truths, "truths", field)
        _check_sizes(found.sizes, true.sizes)
        scores = _ranked(found.row(predictions, "predictions", "scores"), found.image)
        area = true.row(truths, "truths", "area")
        crowds = [_crowd_of(entry, f"truths[{at}]", true.sizes[at][0]) for at, entry in enumerate(truths)]
        crowd = torch.cat([_NONE.bool(), *crowds])

        def overlap(pairs: tuple[Tensor, Tensor]) -> Tensor:
            if kind == "box":
                return _box_over_union(found.boxes[pairs[0]], true.boxes[pairs[1]], crowd[pairs[1]])
            return _mask_pairs(found, true, crowds, pairs)

        return cls.of(
            (found.image, true.image),
            (found.label, true.label),
            (found.area, torch.where(area.isnan(), true.area, area)),
            scores,
            (crowd, crowd),
            overlap,
            limit,
        )

    @classmethod
    def of(
        cls,
        images: tuple[Tensor, Tensor],
        labels: tuple[Tensor, Tensor],
        areas: tuple[Tensor, Tensor],
        scores: Tensor,
        apart: tuple[Tensor, Tensor],
        overlap: Callable[[tuple[Tensor, Tensor]], Tensor],
        limit: int,
    ) -> Pairing:
        """Put detections and truths together, those of one image and class in one group.

        Args:
            images: int64 ``(P,)`` and ``(G,)``, the image of each detection and of each truth.
            labels: Their classes, likewise.
            areas: Their areas, float64.
            scores: float64 ``(P,)``.
            apart: bool ``(G,)`` twice: truths that can be taken again, and truths that do not count.
            overlap: Of the rows of pairs, detections and truths, how alike each pair is, 0 to 1.
            limit: How many detections of a group are looked at, the surest ones.
        """
        names, label = torch.cat(labels).unique(return_inverse=True)
        group = (torch.cat(images) * max(1, len(names)) + label).unique(return_inverse=True)[1]
        own, true_group = group[: len(scores)], group[len(scores) :]
        order = scores.argsort(descending=True, stable=True)
        slot = torch.empty_like(own)
        slot[order] = _places(own[order])
        pairs = _pairs(own, true_group, slot < limit)
        return cls(
            classes=len(names),
            label=label[: len(own)],
            true_label=label[len(own) :],
            area=areas[0],
            true_area=areas[1],
            crowd=apart[0],
            ignored=apart[1],
            group=own,
            true_group=true_group,
            order=order,
            slot=slot,
            true_slot=_places(true_group),
            pairs=(*pairs, overlap(pairs)),
        )

    def outside(self, ranges: Sequence[tuple[float, float]]) -> tuple[Tensor, Tensor]:
        """Detections outside of each range of area ``(P, A)``, and truths that do not count ``(G, A)``."""
        low, high = torch.tensor(ranges, dtype=torch.float64).T
        out, true_out = (
            (area[:, None] < low) | (area[:, None] > high) for area in (self.area, self.true_area)
        )
        return out, true_out | self.ignored[:, None]

    def take(self, ignored: Tensor, thresholds: Sequence[float]) -> Tensor:
        """The truth that each detection takes, int64 ``(P, A, T)``, -1 for none; groups go in batches."""
        least = torch.tensor([min(each, 1 - 1e-10) for each in thresholds], dtype=torch.float64)
        taken = torch.full((len(self.slot), ignored.shape[1], len(least)), -1)
        detection, truth, iou = self.pairs
        if not len(iou):
            return taken
        size = torch.bincount(self.group[detection])
        step = max(1, _CELLS // (taken[0].numel() * (int(self.true_slot.max()) + 1)))
        for groups in size.argsort()[size.sort().values > 0].split(step):
            row = torch.full((int(max(self.group.max(), self.true_group.max())) + 1,), -1)
            row[groups] = torch.arange(len(groups))
            now, here = (row[each] >= 0 for each in (self.group[detection], self.true_group))
            d, t, own = detection[now], truth[now], here.nonzero()[:, 0]
            lines, true_lines = row[self.group[d]], row[self.true_group[own]]
            width, true_width = int(self.slot[d].max()) + 1, int(self.true_slot[own].max()) + 1
            table = torch.full((len(groups), width, true_width), -1.0, dtype=torch.float64)
            table[lines, self.slot[d], self.true_slot[t]] = iou[now]
            apart = torch.ones(len(groups), true_width, ignored.shape[1], dtype=torch.bool)
            apart[true_lines, self.true_slot[own]] = ignored[own]
            crowd = torch.zeros(len(groups), true_width, dtype=torch.bool)
            crowd[true_lines, self.true_slot[own]] = self.crowd[own]
            name = torch.full((len(groups), true_width + 1), -1)  # the last one is nobody
            name[true_lines, self.true_slot[own]] = own
            found = _take(table, apart.transpose(1, 2), crowd, least)
            taken[d] = name[lines[:, None, None], found[lines, :, :, self.slot[d]]]
        return taken


def _places(group: Tensor) -> Tensor:
    """The place of each among those of its group, in the order in which they came."""
    order = group.argsort(stable=True)
    sorted_groups = group[order]
    places = torch.empty_like(group)
    places[order] = torch.arange(len(group)) - torch.searchsorted(sorted_groups, sorted_groups)
    return places


def _pairs(group: Tensor, true_group: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of a detection that counts and a truth of its group."""
    order = true_group.argsort(stable=True)
    sorted_groups, own = true_group[order], counts.nonzero()[:, 0]
    first = torch.searchsorted(sorted_groups, group[own])
    many = torch.searchsorted(sorted_groups, group[own], right=True) - first
    within = torch.arange(int(many.sum())) - (many.cumsum(0) - many).repeat_interleave(many)
    return own.repeat_interleave(many), order[first.repeat_interleave(many) + within]


def _mask_pairs(found: _Side, true: _Side, crowds: list[Tensor], pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The IoU of each pair of masks, from one product an image."""
    tables = [_NONE]
    for at, (a, b, crowd) in enumerate(zip(found.runs, true.runs, crowds, strict=True)):
        inputs.same_place(b.sums, f"truths[{at}]['masks']", a.sums, f"predictions[{at}]['masks']")
        tables.append(_mask_over_union(a, b, crowd.to(b.sums.device)).flatten().cpu())
    many, true_many = (torch.bincount(each.image, minlength=len(crowds)) for each in (found, true))
    first, true_first, table = (each.cumsum(0) - each for each in (many, true_many, many * true_many))
    image = found.image[pairs[0]]
    row, column = pairs[0] - first[image], pairs[1] - true_first[image]
    return torch.cat(tables)[table[image] + row * true_many[image] + column]


# --- What comes in ---

_NONE = torch.zeros(0, dtype=torch.float64)


@dataclass(frozen=True)
class _Side:
    """The detections of all images, or the truths, in one row each."""

    sizes: list[tuple[int, ...]]  # of each image: how many, and how large its masks are
    image: Tensor
    label: Tensor
    area: Tensor
    boxes: Tensor
    runs: list[_Runs]

    @classmethod
    def read(cls, entries: Any, name: str, field: str) -> _Side:
        if isinstance(entries, Mapping | Tensor | str) or not isinstance(entries, Sequence):
            raise TypeError(
                f"expected {name} as a list with one dict for each image, got {type(entries).__name__}; "
                f"for one image give [{name}]"
            )
        shapes, labels = [], [_NONE.long()]
        for at, entry in enumerate(entries):
            where = f"{name}[{at}]"
            if not isinstance(entry, Mapping):
                raise TypeError(f"expected {where} as a dict, got {type(entry).__name__}; name its tensors")
            shape, label = _entry(entry, where, field), _entry(entry, where, "labels")
            if field == "masks":
                inputs.masks(shape, f"{where}['masks']")
            else:
                inputs.tensor(shape, f"{where}['boxes']", "N 4")
            inputs.integer(label, f"{where}['labels']", "N")
            inputs.filled(shape, f"{where}['{field}']"), inputs.filled(label, f"{where}['labels']")
            labels.append(_one_each(label, f"{where}['labels']", len(shape), f"{where}['{field}']").cpu())
            shapes.append(shape)
        many = torch.tensor([len(each) for each in shapes], dtype=torch.int64)
        runs = [_Runs.of(each) for each in shapes] if field == "masks" else []
        boxes = _NONE.view(0, 4) if field == "masks" else _all_boxes(shapes, name)
        areas = [_NONE, *(each.area.cpu() for each in runs), (boxes[:, 2:] - boxes[:, :2]).prod(1)]
        return cls(
            sizes=[tuple(each.shape) for each in shapes],
            image=torch.arange(len(shapes)).repeat_interleave(many),
            label=torch.cat(labels),
            area=torch.cat(areas),
            boxes=boxes,
            runs=runs,
        )

    def row(self, entries: Sequence[Mapping[str, Any]], name: str, field: str) -> Tensor:
        """A number for each, float64: scores, which must be there, or areas, NaN where they are not."""
        rows = [_NONE]
        for at, (entry, size) in enumerate(zip(entries, self.sizes, strict=True)):
            where = f"{name}[{at}]"
            if field == "area" and entry.get("area") is None:
                rows.append(torch.full((size[0],), math.nan, dtype=torch.float64))
                continue
            value = inputs.tensor(_entry(entry, where, field), f"{where}['{field}']", "N")
            inputs.filled(value, f"{where}['{field}']")
            if value.is_complex() or value.dtype == torch.bool:
                raise ValueError(
                    f"expected {where}['{field}'] as real numbers, got {value.dtype}; convert it"
                )
            _one_each(value, f"{where}['{field}']", size[0], f"{where}")
            rows.append(value.detach().cpu().double())
            if field == "area" and not bool(((rows[-1] >= 0) & rows[-1].isfinite()).all()):
                raise ValueError(
                    f"expected {where}['area'] of 0 or more pixels, got {rows[-1].tolist()}; leave the "
                    "entry out to have it counted"
                )
        return torch.cat(rows)


def _entry(entry: Mapping[str, Any], where: str, field: str) -> Any:
    if field not in entry:
        raise ValueError(
            f"expected {where} with {field!r}, got {', '.join(map(repr, entry)) or 'nothing'}; add {field!r}"
        )
    return entry[field]


def _one_each(value: Tensor, name: str, count: int, of: str) -> Tensor:
    if len(value) != count:
        raise ValueError(
            f"expected {name} one for each of the {count} in {of}, got {len(value)}; add or drop"
        )
    return value


def _crowd_of(entry: Mapping[str, Any], where: str, count: int) -> Tensor:
    """Which truths of an image are crowds; none where the entry is missing."""
    if entry.get("crowd") is None:
        return torch.zeros(count, dtype=torch.bool)
    crowd = inputs.filled(inputs.masks(entry["crowd"], f"{where}['crowd']", "M"), f"{where}['crowd']")
    return _one_each(crowd, f"{where}['crowd']", count, where).cpu()


def _all_boxes(boxes: list[Tensor], name: str) -> Tensor:
    """The boxes of all images in float64 ``(P, 4)``; they are looked at together, which is faster."""
    rows = torch.cat([_NONE.view(0, 4), *(each.detach().cpu().double() for each in boxes)])
    if not bool(rows.isfinite().all() & (rows[:, :2] <= rows[:, 2:]).all()):
        for at, each in enumerate(boxes):
            inputs.boxes(each, f"{name}[{at}]['boxes']")
    return rows


def _ranked(scores: Tensor, image: Tensor) -> Tensor:
    """The scores, once they can be put in order."""
    if bool(scores.isnan().any()):
        at = int(image[scores.isnan()][0])
        raise ValueError(
            f"expected scores that can be ranked, got NaN in predictions[{at}]['scores']; "
            "drop such detections"
        )
    return scores


def _check_sizes(sizes: list[tuple[int, ...]], true_sizes: list[tuple[int, ...]]) -> None:
    """Refuse another number of images, and masks of another size than the truth's."""
    if len(sizes) != len(true_sizes):
        raise ValueError(
            f"expected predictions and truths of the same images, got {len(sizes)} and {len(true_sizes)}; an "
            "image without detections has a dict too, with empty tensors"
        )
    for at, (size, true_size) in enumerate(zip(sizes, true_sizes, strict=True)):
        if size[0] and true_size[0] and size[1:] != true_size[1:]:
            raise ValueError(
                f"expected predictions[{at}]['masks'] of the size of truths[{at}]['masks'], "
                f"{inputs.size_of(true_size[1:])}, got {inputs.size_of(size[1:])}; resize them, by nearest "
                "neighbour"
            )


def _limits(max_detections: Sequence[int]) -> list[int]:
    """The numbers of detections, in order."""
    if isinstance(max_detections, str) or not isinstance(max_detections, Sequence) or not max_detections:
        raise ValueError(
            f"expected max_detections as some whole numbers, such as (1, 10, 100), got {max_detections!r}; "
            "give a tuple"
        )
    return sorted({inputs.whole(each, f"max_detections[{at}]") for at, each in enumerate(max_detections)})
