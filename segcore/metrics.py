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
from operator import index

import torch
from torch import Tensor

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
_NATIVE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)  # what torch.bincount takes


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
    flat = _check_maps(prediction, target)
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
    _check_rows(table, classes, ignored)
    return table[:classes].clone()


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

    Args:
        confusion: ``(..., C, C)``, rows are truth.

    Returns:
        ``(...)``, float64; NaN where no pixel counts.

    Raises:
        TypeError: ``confusion`` is no tensor.
        ValueError: It is not square, or holds a negative number.

    Example:
        >>> mean_accuracy(torch.tensor([[90, 0], [9, 1]]))
        tensor(0.5500, dtype=torch.float64)
    """
    hits, truth, _ = _counts(confusion)
    return (hits / truth).nanmean(-1)


def iou(confusion: Tensor) -> Tensor:
    """Intersection over union of each class: pixels in both maps, divided by pixels in either.

    Args:
        confusion: ``(..., C, C)``, rows are truth.

    Returns:
        ``(..., C)``, float64; NaN for a class in neither map, 0 for one that is in one map only.

    Raises:
        TypeError: ``confusion`` is no tensor.
        ValueError: It is not square, or holds a negative number.

    Example:
        >>> iou(torch.tensor([[90, 0, 0], [9, 1, 0], [0, 0, 0]]))
        tensor([0.9091, 0.1000,    nan], dtype=torch.float64)
    """
    hits, truth, predicted = _counts(confusion)
    return hits / (truth + predicted - hits)


def mean_iou(confusion: Tensor) -> Tensor:
    """Mean of :func:`iou` over the classes that occur in truth or prediction.

    Args:
        confusion: ``(..., C, C)``, rows are truth; the sum of all images' matrices for the mIoU of a data
            set.

    Returns:
        ``(...)``, float64; NaN where no pixel counts.

    Raises:
        TypeError: ``confusion`` is no tensor.
        ValueError: It is not square, or holds a negative number.

    Example:
        >>> mean_iou(torch.tensor([[90, 0, 0], [9, 1, 0], [0, 0, 0]]))
        tensor(0.5045, dtype=torch.float64)
    """
    return iou(confusion).nanmean(-1)


def frequency_weighted_iou(confusion: Tensor) -> Tensor:
    """Mean of :func:`iou`, each class weighted by its share of the true pixels.

    Args:
        confusion: ``(..., C, C)``, rows are truth.

    Returns:
        ``(...)``, float64; NaN where no pixel counts.

    Raises:
        TypeError: ``confusion`` is no tensor.
        ValueError: It is not square, or holds a negative number.

    Example:
        >>> frequency_weighted_iou(torch.tensor([[90, 0], [9, 1]]))
        tensor(0.8282, dtype=torch.float64)
    """
    hits, truth, predicted = _counts(confusion)
    weighted = truth * hits / (truth + predicted - hits)
    return weighted.nansum(-1) / truth.sum(-1)


def dice(confusion: Tensor) -> Tensor:
    """Dice coefficient of each class, the F1 of its pixels: 2 · IoU / (1 + IoU).

    Args:
        confusion: ``(..., C, C)``, rows are truth.

    Returns:
        ``(..., C)``, float64; NaN for a class in neither map, 0 for one that is in one map only.

    Raises:
        TypeError: ``confusion`` is no tensor.
        ValueError: It is not square, or holds a negative number.

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
    if method not in METHODS:
        raise ValueError(f"expected a method of {', '.join(map(repr, METHODS))}; got {method!r}")
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
        return torch.searchsorted(10 * hits, torch.arange(11.0).to(hits) * num_positives)
    thresholds = torch.arange(101).to(hits) * 0.01  # as np.linspace(0, 1, 101)
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
    reach = _check_tolerance(tolerance)
    maps = _check_images(prediction, target)
    counted = torch.ones_like(maps[1], dtype=torch.bool) if ignore_index is None else maps[1] != ignore_index
    classes = _check_classes(maps, counted, num_classes, ignore_index)
    shape = target.shape[-2], classes, target.shape[-1]
    found, true = (_boundary(labels, counted, classes) for labels in maps)
    precision = _share_near(found, true, reach, shape)
    recall = _share_near(true, found, reach, shape)
    both = precision + recall
    return torch.where(both == 0, 0.0, 2 * precision * recall / both)


def _boundary(labels: Tensor, counted: Tensor, classes: int) -> Tensor:
    """The boundary pixels of all classes as sorted numbers ((n · H + y) · C + class) · W + x.

    So the pixels of one class in a stretch of a row are a range of numbers.
    """
    edge = torch.zeros_like(counted)
    for axis in (1, 2):
        before, after = slice(None, -1), slice(1, None)
        one, other = ((slice(None),) * axis + (part,) for part in (before, after))
        differs = (labels[one] != labels[other]) & counted[one] & counted[other]
        edge[one] |= differs
        edge[other] |= differs
    image, y, x = edge.nonzero(as_tuple=True)
    numbers = ((image * labels.shape[1] + y) * classes + labels[edge]) * labels.shape[2] + x
    return numbers.sort().values


def _share_near(points: Tensor, others: Tensor, reach: float, shape: tuple[int, int, int]) -> Tensor:
    """Of each class, the share of its points that have one of the others within reach; ``(C,)``.

    A disk is a stack of rows. In each row, the first other pixel from the left end on is looked up; points
    that have found one are done. Without points, the share is 0 where there are others and NaN where not.
    """
    height, classes, width = shape
    ends = torch.cat([others, others.new_full((1,), torch.iinfo(others.dtype).max)])
    rows = math.floor(min(reach, height - 1))
    alone = points
    for step in sorted(range(-rows, rows + 1), key=abs):
        half = _half_width(min(reach, float(height + width)), step)
        x, y = alone % width, alone // (classes * width) % height + step
        moved = alone + step * classes * width
        first, last = moved - x.clamp(max=half), moved + (width - 1 - x).clamp(max=half)
        hit = ends[torch.searchsorted(others, first)] <= last
        alone = alone[~(hit & (y >= 0) & (y < height))]
    total, missed, there = (
        torch.bincount(numbers // width % classes, minlength=classes).to(_real(points.device))
        for numbers in (points, alone, others)
    )
    return torch.where((total == 0) & (there > 0), 0.0, (total - missed) / total)


def _half_width(reach: float, step: int) -> int:
    """The largest whole w with a distance √(step² + w²) ≤ reach, rounding of the root included."""
    half = int(math.sqrt(max(reach * reach - step * step, 0.0))) + 1
    while math.sqrt(step * step + half * half) > reach:
        half -= 1
    return half


# --- What can go wrong ---


def _check_numbers(num_classes: int, ignore_index: int | None) -> tuple[int, int | None]:
    try:
        classes = index(num_classes)
        ignored = None if ignore_index is None else index(ignore_index)
    except TypeError:
        raise TypeError(
            f"expected whole numbers, got num_classes={num_classes!r} and ignore_index={ignore_index!r}"
        ) from None
    if classes < 1:
        raise ValueError(f"expected num_classes of 1 or more, got {classes}")
    return classes, ignored


def _check_maps(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps as one row of pixels, of a dtype that torch can count."""
    for name, labels in (("prediction", prediction), ("target", target)):
        if not isinstance(labels, Tensor):
            raise TypeError(f"expected {name} as a tensor of classes, got {type(labels).__name__}")
        if labels.is_floating_point() or labels.is_complex():
            cure = (
                "take argmax over axis 1 of logits (N, C, H, W)"
                if name == "prediction"
                else "labels are whole numbers, so convert with .long()"
            )
            raise ValueError(f"expected {name} of an integer dtype, got {_form(labels)}: {cure}")
    if prediction.shape != target.shape:
        cure = ""
        if prediction.ndim == target.ndim + 1:
            cure = "; if the prediction has an axis of classes, take argmax over axis 1"
        raise ValueError(
            f"expected prediction and target of one shape, got {_form(prediction)} and {_form(target)}{cure}"
        )
    if prediction.device != target.device:
        raise ValueError(
            f"expected both maps on one device, got prediction on {prediction.device} and target on "
            f"{target.device}"
        )
    native = [
        labels if labels.dtype in _NATIVE else labels.to(torch.int64) for labels in (prediction, target)
    ]
    return native[0].reshape(-1), native[1].reshape(-1)


def _form(labels: Tensor) -> str:
    return f"{str(labels.dtype).removeprefix('torch.')} {tuple(labels.shape)}"


def _check_labels(name: str, labels: Tensor, classes: int, ignored: int | None) -> None:
    """Refuse labels of counted pixels that are no class, and name the first of them."""
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise ValueError(_not_a_class(name, int(wrong[0]), classes, ignored))


def _check_rows(table: Tensor, classes: int, ignored: int | None) -> None:
    """Refuse counts in rows below the last class: these labels are neither a class nor ignored."""
    others = table[classes:].sum(1).nonzero()
    if len(others):
        raise ValueError(_not_a_class("target", classes + int(others[0]), classes, ignored))


def _not_a_class(name: str, value: int, classes: int, ignored: int | None) -> str:
    text = f"{name} holds {value} at a pixel that counts"
    wanted = f"expected classes 0 to {classes - 1}"
    if name == "target":
        return f"{text}: {wanted}" + (
            ", and nothing is ignored" if ignored is None else f", or ignore_index={ignored}"
        )
    if value == ignored:
        wanted += "; only the target can ignore a pixel, a prediction gives a class everywhere"
    return f"{text}: {wanted}"


def _check_confusion(confusion: Tensor) -> None:
    if not isinstance(confusion, Tensor):
        raise TypeError(f"expected a confusion matrix as a tensor, got {type(confusion).__name__}")
    if confusion.ndim < 2 or confusion.shape[-1] != confusion.shape[-2] or confusion.is_complex():
        raise ValueError(
            f"expected a confusion matrix (..., C, C), got {_form(confusion)}: "
            "make it with confusion_matrix(prediction, target, num_classes)"
        )
    if bool((confusion < 0).any()):
        raise ValueError("expected counts of pixels, got a matrix with negative entries")


def _check_detections(scores: Tensor, correct: Tensor, num_positives: int) -> None:
    for name, values in (("scores", scores), ("correct", correct)):
        if not isinstance(values, Tensor):
            raise TypeError(f"expected {name} as a tensor (K,), got {type(values).__name__}")
    if scores.ndim != 1 or scores.shape != correct.shape:
        raise ValueError(f"expected scores and correct (K,), got {_form(scores)} and {_form(correct)}")
    if correct.dtype != torch.bool:
        raise ValueError(f"expected correct as bools, got {_form(correct)}: compare first, as in IoU >= 0.5")
    if bool(scores.isnan().any()):
        raise ValueError("expected scores that can be ranked, got NaN")
    try:
        positives = index(num_positives)
    except TypeError:
        raise TypeError(f"expected num_positives as a whole number, got {num_positives!r}") from None
    if positives < int(correct.sum()):
        raise ValueError(
            f"expected num_positives of at least the {int(correct.sum())} that are correct, got {positives}: "
            "each positive is found once"
        )


def _check_tolerance(tolerance: float) -> float:
    try:
        reach = float(tolerance)
    except (TypeError, ValueError):
        raise TypeError(f"expected tolerance as a number of pixels, got {tolerance!r}") from None
    if not reach >= 0:
        raise ValueError(f"expected tolerance of 0 pixels or more, got {tolerance}")
    return reach


def _check_images(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps as (N, H, W)."""
    first, second = _check_maps(prediction, target)
    if target.ndim not in (2, 3):
        raise ValueError(f"expected maps (H, W) or (N, H, W), got {_form(target)}")
    shape = (-1 if target.numel() else 0, *target.shape[-2:])
    return first.long().reshape(shape), second.long().reshape(shape)


def _check_classes(
    maps: tuple[Tensor, Tensor], counted: Tensor, num_classes: int | None, ignore_index: int | None
) -> int:
    """The number of classes, once all labels that count are known to be classes."""
    prediction, target = (labels[counted] for labels in maps)
    if num_classes is None:
        known = prediction if ignore_index is None else prediction[prediction != ignore_index]
        num_classes = max([int(labels.max()) + 1 for labels in (known, target) if len(labels)], default=1)
        num_classes = max(num_classes, 1)
    classes, ignored = _check_numbers(num_classes, ignore_index)
    _check_labels("prediction", prediction, classes, ignored)
    _check_labels("target", target, classes, ignored)
    return classes
