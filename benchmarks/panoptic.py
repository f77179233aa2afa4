"""Panoptic quality beside torchmetrics.

Two maps of 1024 × 2048 pixels with 60 segments each, of seven classes of things and two of stuff; the
prediction is the truth moved by a few pixels, and has no void, where the two packages differ. torchmetrics
goes through the segments one by one; we find the runs of equal pixels and count the pairs that they make.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torchmetrics.functional.detection import panoptic_quality as peer

from benchmarks import Case
from segcore.panoptic import panoptic_quality

TITLE = "15 Panoptic segmentation"
PACKAGES = ("torch", "torchmetrics")

HEIGHT, WIDTH, OBJECTS = 1024, 2048, 60
THINGS, STUFF = range(7), (7, 8)


def street() -> Tensor:
    """A map of two kinds of stuff and many rectangles: int64 ``(1024, 2048, 2)``."""
    generator = torch.Generator().manual_seed(0)
    panoptic = torch.zeros(HEIGHT, WIDTH, 2, dtype=torch.int64)
    panoptic[..., 0] = (torch.arange(HEIGHT)[:, None] >= HEIGHT // 2).long() + STUFF[0]
    for n in range(OBJECTS):
        y, x, height, width = (
            torch.rand(4, generator=generator) * torch.tensor([900, 1800, 180, 180])
        ).long()
        panoptic[y : y + height + 20, x : x + width + 20] = torch.tensor([n % len(THINGS), n])
    return panoptic


def cases() -> Iterator[Case]:
    truth = street()
    guess = truth.roll((5, 3), (0, 1))
    segments = len(truth.reshape(-1, 2).unique(dim=0))

    def ours() -> Tensor:
        found = panoptic_quality(guess, truth, THINGS, STUFF)["per_class"]
        return torch.tensor([[found[k][name] for name in ("PQ", "SQ", "RQ")] for k in (*THINGS, *STUFF)])

    def theirs() -> Tensor:
        rows = peer(
            guess[None], truth[None], set(THINGS), set(STUFF), return_sq_and_rq=True, return_per_class=True
        )
        return rows.float()

    yield Case(f"PQ, {HEIGHT} × {WIDTH}, {segments} segments", ours, theirs, "torchmetrics", goal=5)
