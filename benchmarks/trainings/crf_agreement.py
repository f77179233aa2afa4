"""How near the fast filter of a fully connected field comes to the kernel of all pairs; nothing is trained.

On three photographs, 96 × 128 with a bilateral width of 40 pixels: which share of labels agrees, and the mean
difference of probabilities. The costs are those of a coarse map of brightness with 4 and with 21 labels, and
of random smooth logits with noise, which leave many pixels undecided. `least` is the smallest share of twelve
such cases for each of three sizes up to 120 × 160 (for which the kernel takes some 4.5 GB), with the grid
that images of this size get and with the coarser one of larger images. Nothing depends on the seed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.crf import mean_field
from segcore.data.images import photograph

TITLE = "The fast filter beside all pairs"
SEEDS = (0,)


def costs(image: Tensor, labels: int, kind: str) -> Tensor:
    """-log p of a made-up classifier on an image ``(3, H, W)``."""
    size = image.shape[1:]
    if kind == "undecided":
        g = torch.Generator().manual_seed(0)
        logits = F.interpolate(2 * torch.randn(1, labels, 6, 8, generator=g), size, mode="bilinear")[0]
        return -(logits + torch.randn(labels, *size, generator=g)).log_softmax(0)
    bright = F.avg_pool2d(image.mean(0)[None, None], 7, 1, 3)[0, 0]
    bands = torch.bucketize(bright, bright.flatten().quantile(torch.tensor([0.25, 0.5, 0.75])))
    cells = F.avg_pool2d(F.one_hot(bands, labels).movedim(-1, 0)[None].float(), 8)
    return -(0.9 * F.interpolate(cells, size, mode="bilinear")[0] + 0.1 / labels).log()


def agreement() -> dict[str, dict[str, float]]:
    """The filter beside all pairs, on photographs."""
    found = {}
    for name in ("astronaut", "chelsea", "coffee"):
        image = F.interpolate(photograph(name)[None], (96, 128), mode="bilinear", antialias=True)[0]
        image = image.clamp(0, 1)
        for labels, kind in ((4, "coarse"), (21, "coarse"), (5, "undecided")):
            unary = costs(image, labels, kind)
            exact, fast = (mean_field(unary, image, bilateral_sigma=40, exact=e) for e in (True, False))
            found[f"{name}, {labels} labels, {kind}"] = {
                "labels": round(float((exact.argmax(0) == fast.argmax(0)).double().mean()), 4),
                "probabilities": round(float((exact - fast).abs().mean()), 5),
                "changed": round(float((exact.argmax(0) != unary.argmin(0)).double().mean()), 4),
            }
    return found


def least() -> dict[str, dict[str, float]]:
    """The smallest share of labels that agree, for three sizes."""
    found = {}
    for height, width, wide in ((72, 96, 24), (96, 128, 40), (120, 160, 40)):
        shares: dict[str, list[float]] = {"fine": [], "coarse": []}
        for name in ("astronaut", "chelsea", "coffee"):
            image = F.interpolate(photograph(name)[None], (height, width), mode="bilinear", antialias=True)[0]
            image = image.clamp(0, 1)
            for labels, kind in ((4, "coarse"), (21, "coarse"), (5, "undecided"), (21, "undecided")):
                unary = costs(image, labels, kind)
                exact = mean_field(unary, image, bilateral_sigma=wide, exact=True).argmax(0)
                for grid, each in shares.items():
                    fast = mean_field(unary, image, bilateral_sigma=wide, exact=False, fine=grid == "fine")
                    each.append(float((exact == fast.argmax(0)).double().mean()))
        found[f"{height} × {width}"] = {grid: round(min(each), 4) for grid, each in shares.items()}
    return found


def run(seed: int) -> dict[str, Any]:
    """Compare; the seed changes nothing."""
    return {"agreement": agreement(), "least": least()}
