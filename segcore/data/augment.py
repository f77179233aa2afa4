"""Crops of one size, for images and their targets together: what is moved in the one is moved in the other.

A target is a label map (H, W), a panoptic map (H, W, 2), or a dict of ``boxes``, ``labels`` and ``masks``, as
:mod:`segcore.data.datasets` gives them. Images are resized bilinearly, labels and masks by the nearest pixel,
since there is nothing between two classes. Boxes are made anew around what is left of the masks; an object of
which nothing is left is dropped. What a crop takes from outside the image is black, and ignored in maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore import inputs

__all__ = ["CenterCrop", "RandomCrop", "tight_boxes"]

IGNORE = 255


@dataclass(frozen=True)
class RandomCrop:
    """A square from anywhere, larger or smaller by chance, mirrored by chance; drawn from torch's generator.

    Args:
        size: Its side in pixels.
        scale: The image is resized first, so that its shorter side is `size` times a number from this range.
        flip: How often it is mirrored, left to right.

    Raises:
        TypeError: A number of another type.
        ValueError: A number out of range, or a scale that is no pair.

    Example:
        >>> image, labels = torch.rand(3, 40, 60), torch.zeros(40, 60, dtype=torch.int64)
        >>> crop, target = RandomCrop(32)(image, labels)
        >>> crop.shape, target.shape
        (torch.Size([3, 32, 32]), torch.Size([32, 32]))
    """

    size: int
    scale: tuple[float, float] = (0.75, 1.5)
    flip: float = 0.5

    def __post_init__(self) -> None:
        inputs.whole(self.size, "size")
        if not isinstance(self.scale, (tuple, list)) or len(self.scale) != 2:
            raise ValueError(f"expected scale as (smallest, largest), got {self.scale!r}; give two numbers")
        low = inputs.number(self.scale[0], "scale[0]", above=0)
        inputs.number(self.scale[1], "scale[1]", least=low)
        inputs.number(self.flip, "flip", least=0, most=1)

    def __call__(self, image: Tensor, target: Any) -> tuple[Tensor, Any]:
        """An image (3, H, W) and its target, to (3, size, size) and what of the target lies there."""
        scale, across, down, mirror = torch.rand(4).tolist()
        low, high = self.scale
        image, target = _resized(image, target, self.size * (low + (high - low) * scale))
        image, target = _cut(image, target, self.size, down, across)
        return _mirrored(image, target) if mirror < self.flip else (image, target)


@dataclass(frozen=True)
class CenterCrop:
    """The square in the middle, after the shorter side was resized to its side: nothing is left to chance.

    Args:
        size: Its side in pixels.

    Raises:
        ValueError: It is below 1.

    Example:
        >>> masks = torch.zeros(1, 4, 8, dtype=torch.bool)
        >>> masks[0, 1:3, 3:] = True
        >>> target = {"boxes": tight_boxes(masks), "labels": torch.tensor([1]), "masks": masks}
        >>> CenterCrop(4)(torch.rand(3, 4, 8), target)[1]["boxes"]
        tensor([[1., 1., 4., 3.]])
    """

    size: int

    def __post_init__(self) -> None:
        inputs.whole(self.size, "size")

    def __call__(self, image: Tensor, target: Any) -> tuple[Tensor, Any]:
        """An image (3, H, W) and its target, to (3, size, size) and what of the target lies there."""
        return _cut(*_resized(image, target, float(self.size)), self.size, 0.5, 0.5)


def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes float32 (K, 4) around the pixels of masks bool (K, H, W).

    Raises:
        TypeError: `masks` is no tensor.
        ValueError: Another shape or dtype, or an empty mask, around which there is no box.

    Example:
        >>> tight_boxes(torch.tensor([[[False, True, True]]]))
        tensor([[1., 0., 3., 1.]])
    """
    seen = inputs.filled(inputs.masks(masks, form="K H W"), "masks").flatten(1).any(1)
    if not bool(seen.all()):
        row = int((~seen).nonzero()[0])
        raise ValueError(f"expected masks with a pixel at least, got none in masks[{row}]; drop such masks")
    edges = []
    for inside in (masks.any(1), masks.any(2)):  # (K, W), (K, H)
        edges.append(inside.int().argmax(1))
        edges.append(inside.shape[1] - inside.flip(1).int().argmax(1))
    return torch.stack([edges[0], edges[2], edges[1], edges[3]], 1).float()


def _each_map(target: Any, change: Any) -> Any:
    """The target with its maps changed, (C, H, W) each; what is seen of its objects is put right."""
    if not isinstance(target, dict):
        deep = target.movedim(-1, 0) if target.dim() == 3 else target[None]
        deep = change(deep)
        return deep.movedim(0, -1).contiguous() if target.dim() == 3 else deep[0]
    masks = change(target["masks"])
    seen = masks.flatten(1).any(1)
    rest = {name: value[seen] for name, value in target.items() if name not in ("boxes", "masks")}
    return rest | {"boxes": tight_boxes(masks[seen]), "masks": masks[seen]}


def _resized(image: Tensor, target: Any, shorter: float) -> tuple[Tensor, Any]:
    """Both with the shorter side of this length."""
    height, width = image.shape[1:]
    by = shorter / min(height, width)
    size = max(1, round(height * by)), max(1, round(width * by))
    if size == (height, width):
        return image, target
    small = F.interpolate(image[None], size, mode="bilinear", antialias=by < 1)[0].clamp(0, 1)
    down, across = (torch.arange(n, device=image.device) + 0.5 for n in size)
    rows, columns = (down * height / size[0]).long(), (across * width / size[1]).long()  # where centres lie
    return small, _each_map(target, lambda maps: maps[:, rows][:, :, columns])


def _cut(image: Tensor, target: Any, size: int, down: float, across: float) -> tuple[Tensor, Any]:
    """A square from both; `down` and `across` say where, from 0 to 1. What is too small is padded."""
    height, width = image.shape[1:]
    top, left = round(down * max(0, height - size)), round(across * max(0, width - size))
    pad = 0, max(0, size - width), 0, max(0, size - height)

    def cut(maps: Tensor, value: float) -> Tensor:
        return F.pad(maps[:, top : top + size, left : left + size], pad, value=value)

    ignored = 0 if isinstance(target, dict) else IGNORE
    return cut(image, 0), _each_map(target, lambda maps: cut(maps, ignored))


def _mirrored(image: Tensor, target: Any) -> tuple[Tensor, Any]:
    return image.flip(2), _each_map(target, lambda maps: maps.flip(2))
