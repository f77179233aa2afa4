"""How alike two segmentations are: covering, Rand index, variation of information.

People who outline the same image do not agree on how fine to go, so each score takes one map of the truth or
several, and gives the mean. The names of labels do not matter, and every label is a region, 255 too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from segcore import inputs
from segcore.superpixels import overlaps

__all__ = ["probabilistic_rand_index", "segmentation_covering", "variation_of_information"]

Maps = Tensor | Sequence[Tensor]


def segmentation_covering(labels: Tensor, truths: Maps) -> Tensor:
    r"""How well the regions of the truth are covered by single segments (Arbeláez et al. 2011).

    .. math:: \frac{1}{N} \sum_{R} |R| \max_{S} \frac{|R \cap S|}{|R \cup S|}

    over regions R of the truth and segments S, with N pixels in all. 1 for the truth itself.

    Args:
        labels: int64 ``(H, W)``, the segments.
        truths: int64 ``(H, W)``, or a list of such maps: the mean over all of them is returned.

    Returns:
        ``()``, float64.

    Raises:
        TypeError: A map is no tensor.
        ValueError: A map is not an int64 map of labels of 0 or more, they differ in size or device, or the
            list is empty.

    Example:
        >>> truth = torch.tensor([[0, 0, 1, 1, 1, 1]])
        >>> segmentation_covering(torch.tensor([[0, 0, 0, 1, 1, 1]]), truth)  # (2 · 2/3 + 4 · 3/4) / 6
        tensor(0.7222, dtype=torch.float64)
    """
    return _mean(labels, truths, _covering)


def _covering(segment: Tensor, region: Tensor, shared: Tensor) -> Tensor:
    sizes, wanted = torch.bincount(segment, shared), torch.bincount(region, shared)
    overlap = shared / (sizes[segment] + wanted[region] - shared)
    best = torch.zeros_like(wanted).scatter_reduce(0, region, overlap, "amax")
    return (wanted * best).sum() / wanted.sum()


def probabilistic_rand_index(labels: Tensor, truths: Maps) -> Tensor:
    """The share of pairs of pixels on which both agree: together in both, or apart in both.

    The mean over several truths is Unnikrishnan, Pantofaru and Hebert's (2007) index.

    Args:
        labels: int64 ``(H, W)``, the segments.
        truths: int64 ``(H, W)``, or a list of such maps.

    Returns:
        ``()``, float64; NaN for a single pixel, which has no pair.

    Raises:
        TypeError: A map is no tensor.
        ValueError: As in `segmentation_covering`.

    Example:
        >>> labels, truth = torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1, 1]])
        >>> probabilistic_rand_index(labels, truth)  # of three pairs only pixels 0 and 2 agree
        tensor(0.3333, dtype=torch.float64)
    """
    return _mean(labels, truths, _rand_index)


def _rand_index(segment: Tensor, region: Tensor, shared: Tensor) -> Tensor:
    pixels = shared.sum()
    ours, theirs = (torch.bincount(each, shared).square().sum() for each in (segment, region))
    apart = ours + theirs - 2 * shared.square().sum()  # ordered pairs that one of both keeps together
    return 1 - apart / (pixels * (pixels - 1))


def variation_of_information(labels: Tensor, truths: Maps) -> Tensor:
    """What either map leaves open about the other, H(A|B) + H(B|A), in bits (Meilă 2007).

    A metric: 0 for equal partitions only, symmetric, and no detour is shorter.

    Args:
        labels: int64 ``(H, W)``, the segments.
        truths: int64 ``(H, W)``, or a list of such maps: the mean over all of them is returned.

    Returns:
        ``()``, float64, at least 0.

    Raises:
        TypeError: A map is no tensor.
        ValueError: As in `segmentation_covering`.

    Example:
        >>> labels, truth = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 0, 1]])
        >>> variation_of_information(labels, truth)  # one bit each way
        tensor(2., dtype=torch.float64)
    """
    return _mean(labels, truths, _information)


def _information(segment: Tensor, region: Tensor, shared: Tensor) -> Tensor:
    sizes, wanted = torch.bincount(segment, shared)[segment], torch.bincount(region, shared)[region]
    return (shared * ((sizes / shared).log2() + (wanted / shared).log2())).sum() / shared.sum()


def _mean(labels: Tensor, truths: Maps, score: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """A score's mean over one or several truths."""
    each = [truths] if isinstance(truths, Tensor) else inputs.several(truths, "truths", "[truth]")
    if not each:
        raise ValueError("expected at least one map of the truth, got none; give a map or a list of maps")
    return torch.stack([score(*overlaps(labels, truth)) for truth in each]).mean()
