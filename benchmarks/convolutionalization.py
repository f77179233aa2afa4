"""A convolutionalized classifier beside the sliding window.

There is no outside peer: both sides are ours, and both give the same scores. *Ours* is one pass of
`convolutionalize(classifier, 25)`, the peer is `sliding_window` with the network's stride of 4 and 256
windows to a batch. The classifier is a `PatchClassifier` of 25 × 25 windows, the lab's layers with random
weights, in float32 without gradients. A padded classifier is left out: there the two differ where a window
has zeros and the photograph has pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks import Case
from segcore.convolutionalization import PatchClassifier, convolutionalize, sliding_window

TITLE = "04 Convolutionalization"
PACKAGES = ("torch",)


def without_gradient(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            return call()

    return run


def cases() -> Iterator[Case]:
    torch.manual_seed(0)
    classifier = PatchClassifier(size=25).eval()
    dense = convolutionalize(classifier, 25)
    for side, goal in ((128, 10.0), (256, 10.0), (512, None)):
        image = torch.rand(1, 1, side, side)
        count = ((side - 25) // 4 + 1) ** 2
        yield Case(
            f"{side} × {side} pixels: {count:,} windows",
            without_gradient(lambda image=image: dense(image)),
            without_gradient(lambda image=image: sliding_window(classifier, image, 25, 4, batch_size=256)),
            "batched windows",
            goal,
        )
