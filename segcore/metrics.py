r"""Scores of a label map: everything but the boundary comes from one table of counts, the confusion matrix.

Row i, column j of the matrix counts the pixels of class i (the truth) that were given class j (the
prediction). With :math:`n_{ij}` its entries, :math:`t_i = \sum_j n_{ij}` the pixels of class i,
:math:`p_i = \sum_j n_{ji}` those that were predicted as class i and :math:`n = \sum_i t_i` all pixels,

.. math::
    \text{pixel accuracy} = \frac{\sum_i n_{ii}}{n}, \qquad
    \text{mean accuracy} = \operatorname*{mean}_i \frac{n_{ii}}{t_i}, \qquad
    \text{IoU}_i = \frac{n_{ii}}{t_i + p_i - n_{ii}}, \qquad
    \text{Dice}_i = \frac{2 n_{ii}}{t_i + p_i}.

Mean IoU is the mean of the IoU over classes, frequency-weighted IoU is :math:`\sum_i t_i\, \text{IoU}_i / n`.
A class that occurs in neither map has no IoU: 0 / 0 is NaN and is left out of the mean. One that is only
predicted has IoU 0 and counts. Where all pixels are ignored, every score is NaN.

>>> truth = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 255]])
>>> prediction = torch.tensor([[0, 0, 0, 1], [0, 2, 1, 1]])
>>> confusion = confusion_matrix(prediction, truth, num_classes=4)
>>> confusion
tensor([[3, 0, 1, 0],
        [1, 2, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0]])
>>> iou(confusion)  # class 2 is only predicted, class 3 is in neither map
tensor([0.6000, 0.6667, 0.0000,    nan], dtype=torch.float64)
>>> mean_iou(confusion)
tensor(0.4222, dtype=torch.float64)

Each score takes stacked matrices ``(..., C, C)`` too. Add up the matrices of all images for the score of a
data set (as PASCAL VOC and Cityscapes do); stack them for one score an image.

The names are those of Long et al. 2015; the IoU of a data set and average precision are from the PASCAL VOC
challenge (Everingham et al. 2010), the boundary F-score from Martin et al. 2004 and Csurka et al. 2013. Left
out: scores of instances (chapter 12) and of panoptic segments (chapter 15), soft and multi-label predictions.
"""

from __future__ import annotations

import math
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore import inputs

__all__ = [
    "average_precision",
    "boundary_f1",
    "confusion_matrix",
    "dice",
    "frequency_weighted_iou",
    "iou",
    "mean_accuracy",
    "mean_iou",
    "pixel_accuracy",
    "precision_recall",
]

METHODS = ("step", "voc07", "voc10", "coco")

_PIXELS = 1 << 18  # counted at once: few enough for the processor's cache
_DISK = 20  # pixels: up to here a boundary is dilated, which costs the same wherever the pixels lie
_WORDS = ((8, torch.uint8), (16, torch.int16), (32, torch.int32), (64, torch.int64))
_COUNTABLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def confusion_matrix(
    prediction: Tensor,
    target: Tensor,
    num_classes: int,
    ignore_index: int | None = 255,
) -> Tensor:
    """Count the pixels of each true class that were given each class.

    A pixel is ignored where the *target* is ``ignore_index``; what the prediction says there is not looked
    at. ``ignore_index`` may be a class: its pixels are then not counted, but other pixels may be taken for
    it.

    A pair of classes (i, j) is the number i · C + j, and the matrix is a histogram of these numbers. It is
    counted in pieces that stay in the processor's cache, so that each map is read from memory once.

    Args:
        prediction: Classes 0 to C - 1 of any shape, such as ``(H, W)`` or ``(N, H, W)``; any integer dtype,
            of which uint8 is the fastest. Not logits: take their argmax first.
        target: Classes of the same shape, or ``ignore_index``.
        num_classes: C, at least 1.
        ignore_index: Label of pixels that do not count; None counts all.

    Returns:
        int64 ``(C, C)`` on the device of the maps: rows are truth, columns are prediction. All zeros where
        every pixel is ignored or there is none.

    Raises:
        TypeError: A map is no tensor, or a number is not whole.
        ValueError: Shapes differ; a map is not of an integer dtype; at a pixel that counts, a map holds what
            is no class, ``ignore_index`` in the prediction included; ``num_classes`` is below 1.

    Example:
        >>> truth, prediction = torch.tensor([0, 0, 1, 255]), torch.tensor([0, 1, 1, 1])
        >>> confusion_matrix(prediction, truth, num_classes=2)
        tensor([[1, 1],
                [0, 1]])
    """
    classes, ignored = _check_numbers(num_classes, ignore_index)
    _check_maps(prediction, target)
    flat = [labels.to(_countable(labels)).reshape(-1) for labels in (prediction, target)]
    rows = classes if ignored is None or ignored > 255 else max(classes, ignored + 1)
    pixels = max(_PIXELS, rows * classes)
    if target.device.type != "cpu":  # all at once
        pixels = max(target.numel(), 1)
    counts = torch.zeros(rows * classes, dtype=torch.int64, device=target.device)
    for piece in zip(*(labels.split(pixels) for labels in flat), strict=True):
        pairs = _pairs(piece[0], piece[1], classes, rows, ignored)
        counts += torch.bincount(pairs, minlength=rows * classes)
    table = counts.reshape(rows, classes)
    if ignored is not None and 0 <= ignored < rows:
        table[ignored] = 0
    wrong = table[classes:].sum(1).nonzero()
    if len(wrong):
        raise ValueError(_not_a_class("target", classes + int(wrong[0]), classes, ignored))
    return table[:classes].clone()


def _countable(labels: Tensor) -> torch.dtype:
    """The dtype, or int64 where torch.bincount does not take it."""
    return labels.dtype if labels.dtype in _COUNTABLE else torch.int64


def _pairs(prediction: Tensor, target: Tensor, classes: int, rows: int, ignored: int | None) -> Tensor:
    """The number target · C + prediction of each pixel. Usually all pixels, the ignored ones too."""
    if not (_within(prediction, classes) and _within(target, rows)):
        prediction, target = prediction.long(), target.long()  # uint8 would take -1 for 255
        if ignored is not None:
            counted = target != ignored
            prediction, target = prediction[counted], target[counted]
        _check_labels("prediction", prediction, classes, ignored)
        _check_labels("target", target, classes, ignored)
    dtype = torch.int32 if rows * classes < 2**31 else torch.int64
    return target.to(dtype, copy=True).mul_(classes).add_(prediction)


def _within(labels: Tensor, count: int) -> bool:
    """Whether all labels lie in 0 to count - 1."""
    if labels.numel() == 0:
        return True
    low, high = labels.aminmax()
    return int(low) >= 0 and int(high) < count


# --- Scores of a confusion matrix ---


def pixel_accuracy(confusion: Tensor) -> Tensor:
    """Share of the pixels that have their class.

    Args:
        confusion: ``(..., C, C)``, rows are truth.

    Returns:
        ``(...)``, float64; NaN where no pixel counts.

    Raises:
        TypeError: ``confusion`` is no tensor.
        ValueError: It is not square, or holds a negative number.

    Example:
        >>> pixel_accuracy(torch.tensor([[90, 0], [9, 1]]))
        tensor(0.9100, dtype=torch.float64)
    """
    hits, truth, _ = _counts(confusion)
    return hits.sum(-1) / truth.sum(-1)


def mean_accuracy(confusion: Tensor) -> Tensor:
    """Mean over the classes in the truth of the share of their pixels that have their class (recall).

    Argument, result and errors as of :func:`pixel_accuracy`.

    Example:
        >>> mean_accuracy(torch.tensor([[90, 0], [9, 1]]))
        tensor(0.5500, dtype=torch.float64)
    """
    hits, truth, _ = _counts(confusion)
    return (hits / truth).nanmean(-1)


def iou(confusion: Tensor) -> Tensor:
    """Intersection over union of each class: pixels in both maps, divided by pixels in either.

    Argument and errors as of :func:`pixel_accuracy`.

    Returns:
        ``(..., C)``, float64; NaN for a class in neither map, 0 for one that is in one map only.

    Example:
        >>> iou(torch.tensor([[90, 0, 0], [9, 1, 0], [0, 0, 0]]))
        tensor([0.9091, 0.1000,    nan], dtype=torch.float64)
    """
    hits, truth, predicted = _counts(confusion)
    return hits / (truth + predicted - hits)


def mean_iou(confusion: Tensor) -> Tensor:
    """Mean of :func:`iou` over the classes that occur in truth or prediction.

    Result and errors as of :func:`pixel_accuracy`.

    Args:
        confusion: ``(..., C, C)``, rows are truth; the sum of all images' matrices for the mIoU of a data
            set.

    Example:
        >>> mean_iou(torch.tensor([[90, 0, 0], [9, 1, 0], [0, 0, 0]]))
        tensor(0.5045, dtype=torch.float64)
    """
    return iou(confusion).nanmean(-1)


def frequency_weighted_iou(confusion: Tensor) -> Tensor:
    """Mean of :func:`iou`, each class weighted by its share of the true pixels.

    Argument, result and errors as of :func:`pixel_accuracy`.

    Example:
        >>> frequency_weighted_iou(torch.tensor([[90, 0], [9, 1]]))
        tensor(0.8282, dtype=torch.float64)
    """
    hits, truth, predicted = _counts(confusion)
    weighted = truth * hits / (truth + predicted - hits)
    return weighted.nansum(-1) / truth.sum(-1)


def dice(confusion: Tensor) -> Tensor:
    """Dice coefficient of each class, the F1 of its pixels: 2 · IoU / (1 + IoU).

    Argument and errors as of :func:`pixel_accuracy`.

    Returns:
        ``(..., C)``, float64; NaN for a class in neither map, 0 for one that is in one map only.

    Example:
        >>> dice(torch.tensor([[90, 0, 0], [9, 1, 0], [0, 0, 0]]))
        tensor([0.9524, 0.1818,    nan], dtype=torch.float64)
    """
    hits, truth, predicted = _counts(confusion)
    return 2 * hits / (truth + predicted)


def _counts(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each class: pixels that are right, that are of it, that were given it; ``(..., C)`` each."""
    _check_confusion(confusion)
    confusion = confusion.to(_real(confusion.device))
    return confusion.diagonal(dim1=-2, dim2=-1), confusion.sum(-1), confusion.sum(-2)


def _real(device: torch.device) -> torch.dtype:
    """Double precision, which Apple's GPUs lack."""
    return torch.float32 if device.type == "mps" else torch.float64


# --- Average precision ---


def precision_recall(
    scores: Tensor,
    correct: Tensor,
    num_positives: int,
) -> tuple[Tensor, Tensor]:
    """Precision and recall of all that scores at least s, for each score s from the highest down.

    Args:
        scores: ``(K,)``, how sure each of K detections (or pixels) is; any order.
        correct: bool ``(K,)``, whether it is right.
        num_positives: How many there are to find, also those that no detection found.

    Returns:
        Precision and recall, float64 ``(S,)`` each, one entry for each of S different scores: equal scores
        enter together. Recall never falls. It is NaN where there is nothing to find.

    Raises:
        TypeError: ``scores`` or ``correct`` is no tensor, or ``num_positives`` is not whole.
        ValueError: Shapes are not ``(K,)``, a score is NaN, ``correct`` is not of bools, or more are correct
            than there are positives.

    Example:
        >>> scores = torch.tensor([0.9, 0.8, 0.8, 0.3])
        >>> precision_recall(scores, torch.tensor([True, False, True, True]), num_positives=4)
        (tensor([1.0000, 0.6667, 0.7500], dtype=torch.float64),
         tensor([0.2500, 0.5000, 0.7500], dtype=torch.float64))
    """
    hits, rank = _ranked(scores, correct, num_positives)
    falling = scores.sort(descending=True, stable=True).values
    last = torch.ones_like(falling, dtype=torch.bool)  # of each group of equal scores
    last[:-1] = falling[1:] != falling[:-1]
    return (hits / rank)[last], (hits / num_positives)[last]


def average_precision(
    scores: Tensor,
    correct: Tensor,
    num_positives: int,
    method: str = "step",
) -> Tensor:
    r"""Area under the precision-recall curve, in one of four customs.

    ``"step"``
        :math:`\sum_k (R_k - R_{k-1}) P_k` over the points of :func:`precision_recall`, nothing interpolated.
        As scikit-learn's ``average_precision_score``.
    ``"voc07"``
        Mean over the recalls t = 0, 0.1, ..., 1 of the highest precision at a recall of t or more.
    ``"voc10"``
        Area under that highest precision over all recalls (PASCAL VOC since 2010).
    ``"coco"``
        As ``"voc07"`` with t = 0, 0.01, ..., 1, in pycocotools' arithmetic.

    In the last three, equal scores enter one by one in the order given, as in the reference code of the two
    challenges; in ``"step"`` they enter together.

    Args:
        scores: ``(K,)``, any order.
        correct: bool ``(K,)``.
        num_positives: How many there are to find.
        method: One of the four.

    Returns:
        ``()``, float64. NaN where there is nothing to find, 0 where there is and nothing was found.

    Raises:
        TypeError: ``scores`` or ``correct`` is no tensor, or ``num_positives`` is not whole.
        ValueError: As :func:`precision_recall`, or ``method`` is unknown.

    Example:
        >>> scores, correct = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([True, False, True])
        >>> [round(average_precision(scores, correct, 2, method).item(), 3) for method in METHODS]
        [0.833, 0.848, 0.833, 0.835]
    """
    inputs.option(method, "method", METHODS)
    hits, rank = _ranked(scores, correct, num_positives)
    if num_positives == 0:
        return hits.new_tensor(math.nan)
    if method == "step":
        precision, recall = precision_recall(scores, correct, num_positives)
        return (recall.diff(prepend=recall.new_zeros(1)) * precision).sum()
    highest = (hits / rank).flip(0).cummax(0).values.flip(0)  # at this recall or a higher one
    if method == "voc10":
        return (hits.diff(prepend=hits.new_zeros(1)) * highest).sum() / num_positives
    first = _first_to_reach(hits, num_positives, method)
    return torch.cat([highest, highest.new_zeros(1)])[first].mean()


def _first_to_reach(hits: Tensor, num_positives: int, method: str) -> Tensor:
    """Index of the first detection at which recall has come to each threshold; K where it never does."""
    if method == "voc07":  # in whole numbers: 3 of 10 are a recall of 0.3
        return torch.searchsorted(10 * hits, torch.arange(11, device=hits.device).to(hits) * num_positives)
    thresholds = torch.arange(101, device=hits.device).to(hits) * 0.01  # as np.linspace(0, 1, 101)
    return torch.searchsorted(hits / num_positives, thresholds)


def _ranked(scores: Tensor, correct: Tensor, num_positives: int) -> tuple[Tensor, Tensor]:
    """Number of right detections among the first k, and k itself; the surest first; ``(K,)`` each."""
    _check_detections(scores, correct, num_positives)
    real = _real(scores.device)
    order = scores.argsort(descending=True, stable=True)
    hits = correct[order].cumsum(0).to(real)
    return hits, torch.arange(1, len(hits) + 1, device=hits.device).to(real)


# --- Boundaries ---


def boundary_f1(
    prediction: Tensor,
    target: Tensor,
    tolerance: float,
    num_classes: int | None = None,
    ignore_index: int | None = 255,
) -> Tensor:
    """F1 of the boundary pixels of each class: do the outlines lie where they should?

    A pixel belongs to the boundary of its class if one of its four neighbours has another class. So the
    boundary lies inside the region and is one pixel wide, and where the image ends there is none. A pixel
    that the target ignores is taken out of both maps: it is on no boundary, and it makes none for its
    neighbours. Precision is the share of predicted boundary pixels with a true boundary pixel of the same
    class and image at a Euclidean distance of at most ``tolerance``, between centres; recall is the converse;
    F1 is their harmonic mean. In a batch, pixels of all images are counted together.

    Args:
        prediction: Classes ``(H, W)`` or ``(N, H, W)``, any integer dtype.
        target: Classes of the same shape, or ``ignore_index``.
        tolerance: In pixels, 0 or more, not only whole numbers. Martin et al. take 0.0075 of the diagonal.
        num_classes: C. If not told, one more than the largest class that counts in either map.
        ignore_index: Label of pixels that do not count; None counts all.

    Returns:
        float64 ``(C,)``. NaN for a class without boundary in both maps, 0 where only one map has one.

    Raises:
        TypeError: A map is no tensor, or a number is of the wrong type.
        ValueError: As in :func:`confusion_matrix`; the maps are neither ``(H, W)`` nor ``(N, H, W)``;
            ``tolerance`` is negative or NaN.

    Example:
        >>> truth = torch.zeros(8, 8, dtype=torch.int64)
        >>> truth[2:6, 2:6] = 1
        >>> shifted = truth.roll(1, dims=1)
        >>> boundary_f1(shifted, truth, tolerance=0)
        tensor([0.3750, 0.5000], dtype=torch.float64)
        >>> boundary_f1(shifted, truth, tolerance=1)
        tensor([1., 1.], dtype=torch.float64)
    """
    endless = isinstance(tolerance, float) and tolerance == math.inf
    reach = math.inf if endless else inputs.number(tolerance, "tolerance", least=0)
    _check_maps(prediction, target)
    if target.ndim not in (2, 3):
        raise ValueError(f"expected maps (H, W) or (N, H, W), got {_form(target)}; reshape them")
    if ignore_index is not None:
        ignore_index = inputs.whole(ignore_index, "ignore_index", least=-sys.maxsize)
    maps = [labels.long() if labels.ndim == 3 else labels.long()[None] for labels in (prediction, target)]
    counted = torch.ones_like(maps[1], dtype=torch.bool) if ignore_index is None else maps[1] != ignore_index
    classes = _check_classes(maps, counted, num_classes, ignore_index)
    total, missed = torch.zeros(2, 2, classes, dtype=torch.int64, device=target.device)
    images = max(1, 8 * _PIXELS // max(1, maps[1][:1].numel()))
    for found, true, counts in zip(*(each.split(images) for each in (*maps, counted)), strict=True):
        outlines = [_outlines(labels, counts, classes) for labels in (found, true)]
        total += torch.stack([_histogram(each, classes) for each in outlines])
        for row, other in ((0, 1), (1, 0)):  # precision, recall
            alone = _beyond_disk(outlines[row], outlines[other], min(reach, _DISK), classes)
            if reach > _DISK:
                alone = _beyond_rows(alone, outlines[other], reach, classes)
            missed[row] += _histogram(alone, classes)
    share = (total - missed) / total.to(_real(target.device))
    precision, recall = torch.where((total == 0) & (total.flip(0) > 0), 0.0, share)
    both = precision + recall
    return torch.where(both == 0, 0.0, 2 * precision * recall / both)


def _outlines(labels: Tensor, counted: Tensor, classes: int) -> Tensor:
    """The class of each pixel of a boundary, and C elsewhere; int32 ``(N, H, W)``."""
    edge = torch.zeros_like(counted)
    differs = (labels[:, 1:] != labels[:, :-1]) & counted[:, 1:] & counted[:, :-1]
    edge[:, 1:] |= differs
    edge[:, :-1] |= differs
    differs = (labels[:, :, 1:] != labels[:, :, :-1]) & counted[:, :, 1:] & counted[:, :, :-1]
    edge[:, :, 1:] |= differs
    edge[:, :, :-1] |= differs
    return torch.where(edge, labels.int(), classes)


def _histogram(outlines: Tensor, classes: int) -> Tensor:
    """The boundary pixels of each class, ``(C,)``."""
    return torch.bincount(outlines.flatten(), minlength=classes + 1)[:classes]


def _beyond_disk(points: Tensor, others: Tensor, reach: float, classes: int) -> Tensor:
    """The outlines without the pixels that have one of the others, of their class, within reach.

    Each pixel is a word with a bit for every class. So one dilation by the disk serves all classes, and a
    point has another one within reach where the two words have a bit in common.
    """
    shared = (_histogram(points, classes) > 0) & (_histogram(others, classes) > 0)
    number, count = shared.cumsum(0) - 1, int(shared.sum())
    bits, dtype = next((bits, dtype) for bits, dtype in _WORDS if bits >= count or bits == 64)
    near = torch.zeros_like(points, dtype=torch.bool)
    for first in range(0, count, bits):
        own = shared & (number >= first) & (number < first + bits)
        table = F.pad(torch.where(own, 1 << (number - first).clamp(0, bits - 1), 0), (0, 1)).to(dtype)
        words = [table.index_select(0, each.flatten()).view_as(each) for each in (points, others)]
        near |= (words[0] & _dilated(words[1], reach)) != 0
    return torch.where(near, classes, points)


def _dilated(words: Tensor, reach: float) -> Tensor:
    """Of each pixel, all bits that a pixel of its image has at a distance of at most ``reach``.

    A disk is a stack of rows, the widest in the middle. Lines are joined with zeros between them, so that a
    step down is a shift too, and what leaves an image meets zeros. A run of n pixels is the union of two
    shorter ones: from the ends of the disk to its middle each run is made of the one before.
    """
    _, height, width = words.shape
    rows = math.floor(min(reach, height - 1))
    half = [min(_half_width(reach, step), width - 1) for step in range(rows + 1)]
    padded = F.pad(words, (half[0], half[0], rows, rows))
    stride, runs, length = padded.shape[2], padded.flatten(), 1
    out = torch.zeros_like(runs)
    near = out[: len(out) - 2 * (rows * stride + half[0])]  # from the first pixel to the last
    for step in range(rows, -1, -1):
        while length < 2 * half[step] + 1:
            more = min(length, 2 * half[step] + 1 - length)
            runs, length = runs[:-more] | runs[more:], length + more
        for row in {rows - step, rows + step}:
            first = row * stride + half[0] - half[step]
            near |= runs[first : first + len(near)]
    return out.view_as(padded)[:, :height, :width]


def _beyond_rows(points: Tensor, others: Tensor, reach: float, classes: int) -> Tensor:
    """As :func:`_beyond_disk`, for few points and a large disk: one look-up a point in each of its rows."""
    count, height, width = points.shape
    ends, alone = (_numbers(each, classes) for each in (others, points))
    ends = torch.cat([ends.sort().values, ends.new_full((1,), torch.iinfo(ends.dtype).max)])
    rows = math.floor(min(reach, height - 1))
    for step in sorted(range(-rows, rows + 1), key=abs):
        half = _half_width(min(reach, float(height + width)), step)
        x, y, moved = alone % width, alone // width % height + step, alone + step * width
        first, last = moved - x.clamp(max=half), moved + (width - 1 - x).clamp(max=half)
        hit = ends[torch.searchsorted(ends, first)] <= last
        alone = alone[~(hit & (y >= 0) & (y < height))]
    return (alone // (count * height * width)).int()


def _numbers(outlines: Tensor, classes: int) -> Tensor:
    """The boundary pixels as ((class · N + n) · H + y) · W + x: a stretch of a row is a range of numbers."""
    place = (outlines < classes).flatten().nonzero()[:, 0]
    return outlines.flatten()[place] * outlines.numel() + place


def _half_width(reach: float, step: int) -> int:
    """The largest whole w with a distance √(step² + w²) ≤ reach, rounding of the root included."""
    half = int(math.sqrt(max(reach * reach - step * step, 0.0))) + 1
    while math.sqrt(step * step + half * half) > reach:
        half -= 1
    return half


# --- What can go wrong ---


def _check_numbers(num_classes: int, ignore_index: int | None) -> tuple[int, int | None]:
    ignored = None if ignore_index is None else inputs.whole(ignore_index, "ignore_index", least=-(2**63))
    return inputs.whole(num_classes, "num_classes"), ignored


def _check_maps(prediction: Tensor, target: Tensor) -> None:
    """Refuse what is no pair of label maps; any integer dtype will do."""
    for name, labels in (("prediction", prediction), ("target", target)):
        if inputs.tensor(labels, name, "...").is_floating_point() or labels.is_complex():
            raise ValueError(
                f"expected {name} of an integer dtype, got {_form(labels)}; take argmax over axis 1 of "
                f"logits (N, C, H, W), or convert whole numbers with {name}.long()"
            )
    inputs.same_place(prediction, "prediction", target, "target")
    cure = "if the prediction has an axis of classes, take argmax over axis 1"
    inputs.same_shape(prediction, "prediction", target, "target", cure)


def _check_classes(
    maps: list[Tensor], counted: Tensor, num_classes: int | None, ignore_index: int | None
) -> int:
    """The number of classes, once all labels that count are known to be classes."""
    if num_classes is None and counted.numel():
        known = [counted if ignore_index is None else counted & (labels != ignore_index) for labels in maps]
        largest = max(int(labels.where(each, 0).max()) for labels, each in zip(maps, known, strict=True))
        num_classes = max(largest, 0) + 1
    classes, ignored = _check_numbers(1 if num_classes is None else num_classes, ignore_index)
    for name, labels in zip(("prediction", "target"), maps, strict=True):
        if not _within(labels, classes):
            _check_labels(name, labels[counted], classes, ignored)
    return classes


def _check_labels(name: str, labels: Tensor, classes: int, ignored: int | None) -> None:
    """Refuse labels of counted pixels that are no class, and name the first of them."""
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise ValueError(_not_a_class(name, int(wrong[0]), classes, ignored))


def _not_a_class(name: str, value: int, classes: int, ignored: int | None) -> str:
    wanted = f"{name} holds {value} at a pixel that counts: expected classes 0 to {classes - 1}"
    if name == "target":
        return wanted + (", and nothing is ignored" if ignored is None else f", or ignore_index={ignored}")
    if value == ignored:
        wanted += "; only the target can ignore a pixel, a prediction gives a class everywhere"
    return wanted


def _form(labels: Tensor) -> str:
    return f"{str(labels.dtype).removeprefix('torch.')} {tuple(labels.shape)}"


def _check_confusion(confusion: Tensor) -> None:
    inputs.tensor(confusion, "confusion", "... C C")
    if confusion.shape[-1] != confusion.shape[-2] or confusion.is_complex():
        raise ValueError(
            f"expected a confusion matrix (..., C, C), got {_form(confusion)}: "
            "make it with confusion_matrix(prediction, target, num_classes)"
        )
    if bool((inputs.filled(confusion, "confusion") < 0).any()):
        raise ValueError(
            "expected counts of pixels, got a matrix with negative entries, such as "
            f"{confusion.min().item():g}; count them with confusion_matrix"
        )


def _check_detections(scores: Tensor, correct: Tensor, num_positives: int) -> None:
    if inputs.filled(inputs.tensor(scores, "scores", "K"), "scores").is_complex():
        raise ValueError(f"expected scores as real numbers, got {scores.dtype}; take scores.abs()")
    inputs.same_shape(inputs.masks(correct, "correct", "K"), "correct", scores, "scores")
    inputs.same_place(correct, "correct", scores, "scores")
    if bool(scores.isnan().any()):
        raise ValueError("expected scores that can be ranked, got NaN; drop such detections")
    right = int(correct.sum())
    if (positives := inputs.whole(num_positives, "num_positives", least=0)) < right:
        raise ValueError(
            f"expected num_positives of at least the {right} that are correct, got {positives}: "
            "each positive is found once"
        )
