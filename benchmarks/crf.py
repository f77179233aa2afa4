"""Mean field in a fully connected field, beside pydensecrf.

The images are the photograph of the astronaut, resized, with 21 labels whose costs are smooth random logits
with noise; both packages take five steps with the same widths and weights, setting up included. pydensecrf
is written in C++ and runs on one thread; it is optional (`pydensecrf2` builds with Cython below 3.2 and
without build isolation) and where it is missing, these rows are, too. The two filters approximate the same
sums in different ways, so the runner only sees that both give probabilities;
`benchmarks.trainings.crf_agreement` compares ours with the exact sums. Beside other work, both times grow;
the ratio is what to look at.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import Case
from segcore.crf import mean_field
from segcore.data.images import photograph

TITLE = "10 Conditional random fields"
PACKAGES = ("torch", "numpy", "scipy")

LABELS = 21


def cases() -> Iterator[Case]:
    if importlib.util.find_spec("pydensecrf") is None:
        return
    peer = importlib.import_module("pydensecrf.densecrf")
    for height, width in ((240, 320), (375, 500)):
        image = F.interpolate(
            photograph("astronaut")[None], (height, width), mode="bilinear", antialias=True
        )[0].clamp(0, 1)
        g = torch.Generator().manual_seed(0)
        coarse = 3 * torch.randn(1, LABELS, 8, 10, generator=g)
        logits = F.interpolate(coarse, (height, width), mode="bilinear")[0]
        unary = -(logits + torch.randn(LABELS, height, width, generator=g)).log_softmax(0)
        pixels = (image * 255).round().byte().movedim(0, -1).contiguous().numpy()
        flat = unary.reshape(LABELS, -1).contiguous().numpy()
        yield Case(
            f"mean field, {height} × {width}, {LABELS} labels",
            lambda unary=unary, image=image: _whole(mean_field(unary, image)),
            lambda flat=flat, pixels=pixels: _whole(_theirs(peer, flat, pixels)),
            "pydensecrf",
            goal=1,
        )


def _theirs(peer: Any, unary: np.ndarray, pixels: np.ndarray) -> Tensor:
    """The same field in pydensecrf: plain kernels, normalised on both sides."""
    height, width = pixels.shape[:2]
    field = peer.DenseCRF2D(width, height, len(unary))
    field.setUnaryEnergy(unary)
    both = {"kernel": 1, "normalization": 3}  # DIAG_KERNEL, NORMALIZE_SYMMETRIC
    field.addPairwiseGaussian(sxy=3, compat=3, **both)
    field.addPairwiseBilateral(sxy=80, srgb=13, rgbim=pixels, compat=10, **both)
    return torch.from_numpy(np.array(field.inference(5))).view(len(unary), height, width)


def _whole(q: Tensor) -> Tensor:
    """The size, and whether each pixel's probabilities add up to 1."""
    return torch.tensor([*q.shape, int(torch.allclose(q.sum(0), torch.ones(()), atol=1e-3))])
