"""Watersheds: a map of heights is flooded from its basins, and where two waters meet there is a border.

`basins` makes the smallest regions of chapter 2's hierarchies, `split_touching` parts objects that touch. The
flooding itself is scikit-image's (Meyer's algorithm, 1991; Beucher and Lantuéjoul 1979 for the idea).
"""

from __future__ import annotations

import torch
from scipy import ndimage
from torch import Tensor

from segcore import inputs

__all__ = ["basins", "split_touching"]


def basins(heights: Tensor, depth: float = 0.0) -> Tensor:
    """The regions of the local minima: every pixel goes to the one whose water reaches it first.

    Args:
        heights: float ``(H, W)``, finite.
        depth: Basins that are not deeper than this, measured to where they run over, get no region of their
            own; at least 0.

    Returns:
        int64 ``(H, W)``: labels from 0 on; each region is 4-connected.

    Raises:
        TypeError: `heights` is no tensor, or `depth` no number.
        ValueError: It is not of shape ``(H, W)``, not floating point or not finite, or `depth` is below 0.

    Example:
        >>> heights = torch.tensor([[0.0, 1.0, 3.0, 2.0, 2.0]])
        >>> basins(heights), basins(heights, depth=1.0)
        (tensor([[0, 0, 0, 1, 1]]), tensor([[0, 0, 0, 0, 0]]))
    """
    from skimage.morphology import local_minima, reconstruction
    from skimage.segmentation import watershed

    inputs.filled(inputs.floating(heights, "heights", "H W"), "heights")
    inputs.finite(heights, "heights", "replace such pixels first")
    depth = inputs.number(depth, "depth", least=0)
    ground = heights.detach().double().numpy(force=True)
    filled = reconstruction(ground + depth, ground, method="erosion") if depth else ground
    markers, count = ndimage.label(local_minima(filled, connectivity=1))
    if not count:  # level ground
        return torch.zeros_like(heights, dtype=torch.int64)
    return torch.from_numpy(watershed(ground, markers)).long().sub(1).to(heights.device)


def split_touching(mask: Tensor, depth: float) -> Tensor:
    """Part objects that touch: what stays when `depth` pixels are taken off all around grows back in parts.

    Each pixel of the mask has a distance to the nearest pixel that is not in it (what lies outside of the
    image does not count). The 8-connected parts of all pixels with a distance above `depth` are markers, one
    an object. From these the mask is flooded, deepest pixels first. A part of the mask that is nowhere so
    deep has no marker and goes to no object.

    Args:
        mask: bool ``(H, W)``.
        depth: In pixels, at least 0. Too small, and touching objects stay one; too large, and small ones
            vanish while long ones break.

    Returns:
        int64 ``(H, W)``: 0 where there is no object, else its number from 1 on, in reading order of markers.

    Raises:
        TypeError: `mask` is no tensor, or `depth` no number.
        ValueError: It is not a bool map, or `depth` is below 0.

    Example:
        >>> mask = torch.tensor([[0, 1, 1, 1, 0, 0, 1, 1, 1, 0]] * 5, dtype=torch.bool)
        >>> mask[2] = True  # two squares and a bridge
        >>> split_touching(mask, depth=1)[2]
        tensor([1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
    """
    from skimage.segmentation import watershed

    inputs.filled(inputs.masks(mask, "mask", "H W"), "mask")
    depth = inputs.number(depth, "depth", least=0)
    inside = mask.numpy(force=True)
    if inside.all():  # nothing is outside, so there is no distance
        return mask.long()
    distance = ndimage.distance_transform_edt(inside)
    markers, _ = ndimage.label(distance > depth, structure=[[1] * 3] * 3)
    found = watershed(-distance, markers, mask=inside)
    return torch.from_numpy(found).long().to(mask.device)
