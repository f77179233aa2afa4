r"""Keypoints: K maps of m × m cells for each box, of which one cell is right (He et al. 2017, section 5).

The network is that of chapter 14's mask head, to the last layer. Two things change. The *target* of a
keypoint is no region but one cell of its map, and so the *loss* is no longer one question for each cell but
one question for each map: which of the m² cells is it? That is a softmax over the cells,

.. math:: L = -\frac{1}{|V|} \sum_{(n,k) \in V} \log
    \frac{\exp z_{nk c_{nk}}}{\sum_{c=1}^{m^2} \exp z_{nkc}},

over the keypoints V that are labelled and lie in their boxes (:func:`keypoint_loss`). The cell where a map is
largest is known to half a cell at best. How it falls off to its neighbours says more: a parabola through the
logarithms of three cells has its top between them (:func:`decode_keypoints`), and where the map is a Gaussian
(:func:`gaussian_targets`), the top is exact (Zhang et al. 2020).

How near is near enough depends on the object's size and on the keypoint: people agree on where an eye is
better than on where a hip is. Object keypoint similarity (:func:`oks`, Lin et al. 2014 and COCO's rules) says
it from 0 to 1, and stands where IoU stood: :func:`evaluate_keypoints` is chapter 12's matching and averaging.

Left out: flipping at test time, suppression by OKS, and labels for the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segcore import inputs
from segcore.instance_metrics import AREAS, Pairing, curves, on_the_cpu
from segcore.mask_rcnn import STRIDE, MaskHead, MergedPyramid
from segcore.roi_align import roi_align

__all__ = [
    "COCO_SIGMAS",
    "METHODS",
    "NOWHERE",
    "KeypointNet",
    "decode_keypoints",
    "evaluate_keypoints",
    "gaussian_targets",
    "keypoint_loss",
    "keypoint_targets",
    "oks",
]

COCO_SIGMAS = tuple(
    each / 1000 for each in (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)
)
"""How far people's own labels scatter, over the root of the object's area: nose, eyes, ears, shoulders,
elbows, wrists, hips, knees, ankles, left before right."""

METHODS = ("parabola", "cell", "mean")
NOWHERE = -1  # the target of a keypoint that has no cell: not labelled, or outside its box
DETECTIONS = 20  # of an image, as many count
_NARROW = 1e-18  # as good as 0, and its square is still a number in float32


# --- What the network is trained on ---


def keypoint_targets(keypoints: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The cell in which each keypoint lies, of a map of size × size cells over its box.

    It is a one-hot map in short: instead of m² numbers of which one is 1, the number of that one.

    Args:
        keypoints: ``(N, K, 3)`` as x, y, visibility; 0 is not labelled, 1 occluded, 2 visible.
        boxes: ``(N, 4)`` as x1, y1, x2, y2, with an area.
        size: Cells along each side, m.

    Returns:
        int64 ``(N, K)``: row · m + column, or `NOWHERE` (-1) where the keypoint is not labelled or lies
        outside of the box. The box's far edges belong to the last cells.

    Raises:
        TypeError: An argument is no tensor, or the size no whole number.
        ValueError: Wrong shapes, numbers that are not finite, boxes without area, or another number of them.

    Example:
        >>> points = torch.tensor([[[5.0, 1.0, 2.0], [2.0, 7.9, 1.0], [9.0, 1.0, 2.0], [1.0, 1.0, 0.0]]])
        >>> keypoint_targets(points, torch.tensor([[0.0, 0.0, 8.0, 8.0]]), 4)
        tensor([[ 2, 13, -1, -1]])
    """
    place, inside, cells = _in_cells(keypoints, boxes, size)
    column, row = place.floor().long().clamp(0, cells - 1).unbind(-1)
    return torch.where(inside, row * cells + column, NOWHERE)


def gaussian_targets(keypoints: Tensor, boxes: Tensor, size: int, sigma: float = 1.0) -> Tensor:
    """Each keypoint as a small hill on its map, which also says where *in* its cell it lies.

    Args:
        keypoints: As in :func:`keypoint_targets`.
        boxes: Likewise.
        size: Cells along each side, m.
        sigma: Width of the hill, in cells.

    Returns:
        Float ``(N, K, m, m)``: values at the cells' centres, of sum 1; all zero where
        :func:`keypoint_targets` says `NOWHERE`.

    Raises:
        TypeError, ValueError: As :func:`keypoint_targets`; a sigma that is not above 0.

    Example:
        >>> point, box = torch.tensor([[[1.0, 1.5, 2.0]]]), torch.tensor([[0.0, 0.0, 3.0, 3.0]])
        >>> gaussian_targets(point, box, 3, sigma=0.5)[0, 0]
        tensor([[0.0528, 0.0528, 0.0010],
                [0.3899, 0.3899, 0.0071],
                [0.0528, 0.0528, 0.0010]])
    """
    place, inside, cells = _in_cells(keypoints, boxes, size)
    spread = max(inputs.number(sigma, "sigma", above=0), _NARROW)
    centre = torch.arange(cells, device=place.device, dtype=place.dtype) + 0.5
    # Squared distances to the centres, for columns and rows; a softmax of their negatives has the sum 1.
    far = [(place[..., axis, None] - centre) ** 2 for axis in (0, 1)]
    x, y = ((each.amin(-1, keepdim=True) - each) / (2 * spread**2) for each in far)  # 0 at the nearest
    hill = y.softmax(-1)[..., :, None] * x.softmax(-1)[..., None, :]
    return torch.where(inside[..., None, None], hill, 0.0)


def keypoint_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the maps, each a softmax over its m² cells.

    Args:
        logits: ``(N, K, m, m)``, before the softmax.
        targets: int64 ``(N, K)``, as :func:`keypoint_targets` gives them; or shares ``(N, K, m, m)``, as
            :func:`gaussian_targets` gives them.

    Returns:
        A scalar: the mean over the keypoints that have a target; 0 with a gradient of 0 where none has, so
        that a batch without any can be trained on.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes that do not fit together, a cell that is not on the map, or negative shares.

    Example:
        >>> logits = torch.zeros(1, 2, 2, 2)
        >>> logits[0, 0, 1, 1] = 2.0
        >>> keypoint_loss(logits, torch.tensor([[3, -1]]))  # log(3 + e²) - 2
        tensor(0.3408)
    """
    inputs.floating(logits, "logits", "N K h w")
    inputs.same_place(inputs.tensor(targets, "targets", "N K | N K h w"), "targets", logits, "logits")
    flat = logits.flatten(2)
    score = flat.log_softmax(-1) if flat.dtype == torch.float64 else flat.float().log_softmax(-1)
    if targets.ndim == 4:
        inputs.same_shape(inputs.floating(targets, "targets", "N K h w"), "targets", logits, "logits")
        if bool((targets < 0).any() | ~targets.isfinite().all()):
            raise ValueError("expected targets of 0 or more, got others; make them with gaussian_targets")
        shares = targets.flatten(2).to(score.dtype)
        known = shares.sum(-1) > 0
        each = -(shares * score).sum(-1)
    else:
        inputs.integer(targets, "targets", "N K")
        inputs.same_shape(targets, "targets", flat[..., 0], "the maps", "give one cell for each map")
        if bool(((targets < NOWHERE) | (targets >= flat.shape[-1])).any()):
            raise ValueError(
                f"expected targets from 0 to {flat.shape[-1] - 1}, or {NOWHERE} (none), got others; make "
                "them with keypoint_targets for maps of this size"
            )
        known = targets != NOWHERE
        each = -score.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    if not bool(known.any()):
        return logits.sum() * 0
    return each[known].mean()


# --- From maps back to points ---


def decode_keypoints(heatmaps: Tensor, boxes: Tensor, method: str = "parabola") -> Tensor:
    r"""Where in the image each map says that its keypoint is.

    "cell" takes the centre of the largest cell. "parabola" moves from there, along each axis by itself, to
    the top of the parabola through the logits of that cell and its two neighbours, a, b, c in order,

    .. math:: \delta = \frac{a - c}{2 (a - 2b + c)}, \qquad |\delta| \le \tfrac12 ,

    which is exact where the softmax of the map is a Gaussian; at the map's edge, where a neighbour is
    missing, it stays. "mean" is the mean place of the whole map, each cell weighted by its softmax.

    Args:
        heatmaps: Logits ``(N, K, m, m)``, or ``(N, K, h, w)``: not yet squashed by a softmax.
        boxes: ``(N, 4)`` as x1, y1, x2, y2.
        method: "parabola", "cell" or "mean".

    Returns:
        Float ``(N, K, 3)``: x, y in pixels of the image, and the softmax of the largest cell, 0 to 1. Of
        equal cells the first one counts, row by row.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Wrong shapes, logits or boxes that are not finite, boxes without area, another number of
            them than of maps, or an unknown method.

    Example:
        >>> point, box = torch.tensor([[[3.3, 5.2, 2.0]]]), torch.tensor([[0.0, 0.0, 8.0, 8.0]])
        >>> hill = gaussian_targets(point, box, 4).log()
        >>> [decode_keypoints(hill, box, method)[0, 0, :2] for method in ("cell", "parabola")]
        [tensor([3., 5.]), tensor([3.3000, 5.2000])]
    """
    inputs.floating(heatmaps, "heatmaps", "N K h w"), inputs.option(method, "method", METHODS)
    inputs.finite(heatmaps, "heatmaps", "give logits, before the softmax")
    inputs.same_place(inputs.boxes(boxes), "boxes", heatmaps, "heatmaps")
    _as_many(boxes, "boxes", heatmaps, "heatmaps")
    maps = heatmaps.to(torch.promote_types(heatmaps.dtype, torch.float32))
    boxes = boxes.to(maps.dtype)  # before widths are taken: in half precision they are rounded, or infinite
    extent = _with_area(boxes, "boxes")
    height, width = maps.shape[2:]
    share = maps.flatten(2).softmax(-1)
    best, cell = share.max(-1)
    cell = maps.flatten(2).argmax(-1)  # the softmax may round different logits to the same share
    row, column = cell // width, cell % width
    if method == "mean":
        grid = share.view_as(maps)
        x = grid.sum(2) @ _centres(width, grid)
        y = grid.sum(3) @ _centres(height, grid)
    else:
        x, y = column.to(maps.dtype) + 0.5, row.to(maps.dtype) + 0.5
        if method == "parabola":
            across = maps.gather(2, row[..., None, None].expand(-1, -1, 1, width))[:, :, 0]
            down = maps.gather(3, column[..., None, None].expand(-1, -1, height, 1))[..., 0]
            x, y = x + _top(across, column), y + _top(down, row)
    place = torch.stack([x, y], -1) / torch.tensor([width, height], dtype=maps.dtype, device=maps.device)
    return torch.cat([boxes[:, None, :2] + place * extent[:, None], best[..., None]], -1)


def _top(line: Tensor, at: Tensor) -> Tensor:
    """From the largest of each line (N, K, cells) to the top of the parabola through its neighbours."""
    cells = line.shape[-1]
    a, b, c = (line.gather(-1, (at + step).clamp(0, cells - 1)[..., None])[..., 0] for step in (-1, 0, 1))
    bend = a - 2 * b + c
    inner = (at > 0) & (at < cells - 1) & (bend < 0)
    return torch.where(inner, (a - c) / (2 * torch.where(inner, bend, -1.0)), 0.0).clamp(-0.5, 0.5)


def _centres(cells: int, like: Tensor) -> Tensor:
    return torch.arange(cells, device=like.device, dtype=like.dtype) + 0.5


# --- The network ---


class KeypointNet(nn.Module):
    """Chapter 14's backbone, RoIAlign and mask head, with a channel for each keypoint instead of each class.

    Args:
        num_keypoints: Channels of the result, K.
        size: Cells along each side of a map, m; even, as the head doubles RoIAlign's grid.
        width: Channels between.

    Raises:
        ValueError: A number below 1, or an odd size.

    Example:
        >>> network = KeypointNet(5, size=14)
        >>> network(torch.rand(1, 3, 32, 32), [torch.tensor([[4.0, 4.0, 20.0, 24.0]])]).shape
        torch.Size([1, 5, 14, 14])
    """

    def __init__(self, num_keypoints: int, size: int = 28, width: int = 32) -> None:
        super().__init__()
        self.size = inputs.whole(size, "size", least=2)
        if self.size % 2:
            raise ValueError(f"expected an even size, got {size}; the head doubles RoIAlign's grid")
        self.backbone = MergedPyramid(inputs.whole(width, "width", least=4))
        self.head = MaskHead(width, inputs.whole(num_keypoints, "num_keypoints"), width)

    def forward(self, images: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Images ``(B, 3, H, W)`` and each one's boxes to logits ``(N, K, m, m)``."""
        pooled = roi_align(self.backbone(images), list(boxes), self.size // 2, spatial_scale=1 / STRIDE)
        return self.head(pooled)


# --- How good the points are ---


def oks(a: Tensor, b: Tensor, area: Tensor, sigmas: Sequence[float] = COCO_SIGMAS) -> Tensor:
    r"""Object keypoint similarity of each detection with each truth.

    .. math:: \text{OKS} = \frac{1}{|V|} \sum_{k \in V} \exp \frac{-d_k^2}{2 A (2 \sigma_k)^2},

    over the keypoints V that are labelled in the truth; d is a distance in pixels, A the truth's area.

    Args:
        a: Detections ``(N, K, 2)`` as x, y, or ``(N, K, 3)``, of which the last number is not looked at.
        b: Truths ``(M, K, 3)`` as x, y, visibility.
        area: ``(M,)``, the truths' areas in pixels.
        sigmas: K numbers above 0; COCO's for people.

    Returns:
        float64 ``(N, M)``, 0 to 1; NaN for a truth without labelled keypoints.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes that do not fit together, numbers that are not finite, a negative area, a
            visibility other than 0, 1 and 2, or a sigma that is not above 0.

    Example:
        >>> truth = torch.tensor([[[0.0, 0.0, 2.0], [10.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
        >>> found = torch.tensor([[[0.0, 0.0], [10.0, 4.0], [50.0, 50.0]]])
        >>> oks(found, truth, torch.tensor([100.0]), (0.1, 0.1, 0.1))  # exp(-2) and 1, the third is not asked
        tensor([[0.5677]], dtype=torch.float64)
    """
    spread = _sigmas(sigmas)
    _found(a, "a", len(spread)), _true(b, "b", len(spread))
    _areas(area, "area", len(b), "b")
    inputs.same_place(b, "b", a, "a"), inputs.same_place(area, "area", a, "a")
    spread = spread.to(a.device)
    points, truths = a.detach().double()[:, None, :, :2], b.detach().double()
    return _similarity(points - truths[..., :2], truths[..., 2] > 0, area.detach().double(), spread)


def _similarity(offset: Tensor, asked: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    """OKS from offsets (..., K, 2), what is asked (..., K) and areas (...); rounded as in pycocotools."""
    x, y = offset.unbind(-1)
    tiny = 2.0**-52  # an object of no area is found by its very place alone
    far = (x**2 + y**2) / (sigmas * 2) ** 2 / (area + tiny)[..., None] / 2
    return torch.where(asked, (-far).exp(), 0.0).sum(-1) / asked.sum(-1)


@on_the_cpu
def evaluate_keypoints(
    predictions: Sequence[Mapping[str, Any]],
    truths: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float] = COCO_SIGMAS,
) -> dict[str, float]:
    """Average precision and recall of keypoints, as COCO reports them, with OKS for IoU.

    Args:
        predictions: For each image a dict of ``keypoints`` (``(N, K, 2)`` or ``(N, K, 3)``) and ``scores``
            (``(N,)``). Twenty of an image count, the surest ones. A detection's area is that of the box
            around its keypoints.
        truths: For each image a dict of ``keypoints`` (``(M, K, 3)``), ``boxes`` (``(M, 4)``), ``area``
            (``(M,)``, in pixels) and if there are any ``crowd`` (bool ``(M,)``). A truth without labelled
            keypoints is found by nobody and need not be: a detection near its box is neither right nor wrong.
        sigmas: As in :func:`oks`.

    Returns:
        ``AP``, ``AP50``, ``AP75``, ``APm``, ``APl``, ``AR``, ``AR50``, ``AR75``, ``ARm``, ``ARl``, from 0 to
        1; NaN where no truth counts. COCO has no small range here.

    Raises:
        TypeError: An element is no dict, or what stands in it no tensor.
        ValueError: Something is missing, or of another shape, dtype or length, or not finite. The message
            names the image and the entry.

    Example:
        >>> points = torch.tensor([[[10.0, 10.0, 2.0], [50.0, 10.0, 2.0], [30.0, 60.0, 2.0]]])
        >>> truth = {"keypoints": points, "boxes": torch.tensor([[0.0, 0.0, 60.0, 70.0]]),
        ...          "area": torch.tensor([4000.0])}
        >>> found = {"keypoints": points[..., :2] + 3, "scores": torch.tensor([0.9])}
        >>> scores = evaluate_keypoints([found], [truth], sigmas=(0.05, 0.05, 0.05))
        >>> [round(scores[name], 2) for name in ("AP", "AP50", "APm", "APl")]  # its OKS is 0.80
        [0.6, 1.0, 0.6, nan]
    """
    with torch.device("cpu"):  # whatever the default device is
        precision, recall = _curves(predictions, truths, _sigmas(sigmas))
    table = {}
    for name, values in (("AP", precision), ("AR", recall[0])):
        table[name], table[f"{name}50"], table[f"{name}75"] = values[:, 0], values[:, 0, 0], values[:, 0, 5]
        table[f"{name}m"], table[f"{name}l"] = values[:, 1], values[:, 2]
    return {name: values.nanmean().item() for name, values in table.items()}


def _curves(
    predictions: Sequence[Mapping[str, Any]], truths: Sequence[Mapping[str, Any]], spread: Tensor
) -> tuple[Tensor, Tensor]:
    """Average precision (1, A, T) and recall (1, 1, A, T) in the ranges all, medium and large."""
    found, scores = _read_found(predictions, len(spread))
    true, boxes, area, crowd = _read_true(truths, len(spread))
    if len(predictions) != len(truths):
        raise ValueError(
            f"expected predictions and truths of the same images, got {len(predictions)} and {len(truths)}; "
            "an image without detections has a dict too, with empty tensors"
        )
    images = tuple(
        torch.arange(len(side)).repeat_interleave(
            torch.tensor([len(each) for each in side], dtype=torch.int64)
        )
        for side in (found, true)
    )
    points, marks = (torch.cat([_none(len(spread), n), *side]) for n, side in ((2, found), (3, true)))
    asked = marks[..., 2] > 0
    silent = ~asked.any(-1)

    def overlap(pairs: tuple[Tensor, Tensor]) -> Tensor:
        at, of = pairs
        outside = silent[of, None, None]  # nothing labelled: how far outside of its box, three times as wide
        size = boxes[of, 2:] - boxes[of, :2]
        low, high = boxes[of, :2] - size, boxes[of, :2] + size * 2
        beyond = (low[:, None] - points[at]).clamp(min=0) + (points[at] - high[:, None]).clamp(min=0)
        offset = torch.where(outside, beyond, points[at] - marks[of, :, :2])
        return _similarity(offset, asked[of] | silent[of, None], area[of], spread)

    extent = (points.amax(1) - points.amin(1)).prod(-1)
    labels = tuple(torch.zeros_like(each) for each in images)
    both = Pairing.of(images, labels, (extent, area), scores, (crowd, crowd | silent), overlap, DETECTIONS)  # type: ignore[arg-type]
    return curves(both, [AREAS[name] for name in ("", "m", "l")], [DETECTIONS])


# --- What comes in ---


def _in_cells(keypoints: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor, int]:
    """Places (N, K, 2) in cells of the boxes' maps, which of them are labelled and inside, and the size."""
    _true(keypoints, "keypoints", None)
    inputs.same_place(inputs.boxes(boxes), "boxes", keypoints, "keypoints")
    _as_many(boxes, "boxes", keypoints, "keypoints")
    cells = inputs.whole(size, "size")
    dtype = torch.promote_types(torch.promote_types(keypoints.dtype, boxes.dtype), torch.float32)
    points, boxes = keypoints.detach().to(dtype), boxes.detach().to(dtype)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    place = (points[..., :2] - low) / _with_area(boxes, "boxes")[:, None] * cells
    inside = ((points[..., :2] >= low) & (points[..., :2] <= high)).all(-1)
    return place, inside & (points[..., 2] > 0), cells


def _with_area(boxes: Tensor, name: str) -> Tensor:
    """Width and height of each box, once none is zero."""
    extent = boxes[:, 2:] - boxes[:, :2]
    if not boxes.is_meta and bool((extent <= 0).any()):
        row = int((extent <= 0).any(1).nonzero()[0])
        raise ValueError(f"expected {name} with an area, got none in {name}[{row}]; drop such boxes first")
    return extent


def _as_many(value: Tensor, name: str, other: Tensor, other_name: str) -> None:
    if len(value) != len(other):
        raise ValueError(
            f"expected as many {name} as {other_name}, {len(other)}, got {len(value)}; give one for each"
        )


def _none(*shape: int) -> Tensor:
    return torch.zeros(0, *shape, dtype=torch.float64)


def _sigmas(sigmas: Sequence[float]) -> Tensor:
    if isinstance(sigmas, Tensor):
        sigmas = sigmas.tolist()
    if isinstance(sigmas, str) or not isinstance(sigmas, Sequence) or not sigmas:
        raise ValueError(f"expected sigmas as a few numbers, one a keypoint, got {sigmas!r}; give a tuple")
    each = [inputs.number(value, f"sigmas[{at}]", above=0) for at, value in enumerate(sigmas)]
    return torch.tensor(each, dtype=torch.float64, device="cpu")


def _found(value: Any, name: str, count: int) -> Tensor:
    """Detections, once there are as many keypoints as sigmas, all of them finite."""
    inputs.filled(inputs.tensor(value, name, "N K 2 | N K 3"), name)
    inputs.points(value[..., :2], name, "N K 2")
    return _one_a_sigma(value, name, count)


def _true(value: Any, name: str, count: int | None) -> Tensor:
    """Truths, once each visibility is 0, 1 or 2."""
    inputs.filled(inputs.points(value, name, "N K 3"), name)
    known = (value[..., 2] == 0) | (value[..., 2] == 1) | (value[..., 2] == 2)
    if not bool(known.all()):
        raise ValueError(
            f"expected {name} with a visibility of 0, 1 or 2, got {value[..., 2][~known][0].item():g}; "
            "the order is x, y, visibility"
        )
    return value if count is None else _one_a_sigma(value, name, count)


def _one_a_sigma(value: Tensor, name: str, count: int) -> Tensor:
    if value.shape[1] != count:
        raise ValueError(
            f"expected {name} with a keypoint for each of the {count} sigmas, got {value.shape[1]}; "
            "pass the sigmas of these keypoints"
        )
    return value


def _areas(value: Any, name: str, count: int, of: str) -> Tensor:
    inputs.filled(inputs.points(inputs.tensor(value, name, "M"), name, "M"), name)
    if len(value) != count:
        raise ValueError(
            f"expected {name} one for each of the {count} in {of}, got {len(value)}; add or drop"
        )
    if bool((value < 0).any()):
        raise ValueError(f"expected {name} of 0 or more pixels, got {value.min().item():g}; count the pixels")
    return value


def _entries(sides: Any, name: str, fields: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """The dicts of a side, once each has what it must have."""
    if isinstance(sides, Mapping | Tensor | str) or not isinstance(sides, Sequence):
        raise TypeError(
            f"expected {name} as a list with one dict for each image, got {type(sides).__name__}; "
            f"for one image give [{name}]"
        )
    for at, entry in enumerate(sides):
        if not isinstance(entry, Mapping):
            raise TypeError(f"expected {name}[{at}] as a dict, got {type(entry).__name__}; name its tensors")
        for field in fields:
            if field not in entry:
                raise ValueError(f"expected {name}[{at}] with {field!r}, got none; add {field!r}")
    return [(f"{name}[{at}]", dict(entry)) for at, entry in enumerate(sides)]


def _read_found(predictions: Any, count: int) -> tuple[list[Tensor], Tensor]:
    """Places of each image (N, K, 2), and the scores of all."""
    places, scores = [], [torch.zeros(0, dtype=torch.float64)]
    for where, entry in _entries(predictions, "predictions", ("keypoints", "scores")):
        points = _found(entry["keypoints"], f"{where}['keypoints']", count)
        score = inputs.filled(inputs.tensor(entry["scores"], f"{where}['scores']", "N"), f"{where}['scores']")
        if score.is_complex() or score.dtype == torch.bool:
            raise ValueError(f"expected {where}['scores'] as real numbers, got {score.dtype}; convert them")
        score = score.detach().cpu().double()
        if len(score) != len(points) or bool(score.isnan().any()):
            raise ValueError(
                f"expected {where}['scores'] as {len(points)} numbers that can be ranked, "
                f"got {score.tolist()}; one for each detection"
            )
        places.append(points[..., :2].detach().cpu().double())
        scores.append(score)
    return places, torch.cat(scores)


def _read_true(truths: Any, count: int) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Keypoints of each image (M, K, 3); boxes, areas and crowds of all."""
    marks, boxes, areas = [], [_none(4)], [_none()]
    crowds = [torch.zeros(0, dtype=torch.bool)]
    for where, entry in _entries(truths, "truths", ("keypoints", "boxes", "area")):
        points = _true(entry["keypoints"], f"{where}['keypoints']", count)
        box = inputs.filled(inputs.boxes(entry["boxes"], f"{where}['boxes']"), f"{where}['boxes']")
        _as_many(box, f"{where}['boxes']", points, f"{where}['keypoints']")
        area = _areas(entry["area"], f"{where}['area']", len(points), f"{where}['keypoints']")
        crowd = entry.get("crowd")
        if crowd is None:
            crowd = torch.zeros(len(points), dtype=torch.bool)
        _as_many(
            inputs.filled(inputs.masks(crowd, f"{where}['crowd']", "M"), f"{where}['crowd']"),
            f"{where}['crowd']",
            points,
            f"{where}['keypoints']",
        )
        marks.append(points.detach().cpu().double())
        boxes.append(box.detach().cpu().double())
        areas.append(area.detach().cpu().double())
        crowds.append(crowd.cpu())
    return marks, torch.cat(boxes), torch.cat(areas), torch.cat(crowds)
