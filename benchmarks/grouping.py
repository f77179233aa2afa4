"""GrabCut beside OpenCV's, five iterations on 8-bit colours.

The image is the photograph of the astronaut, resized; everything outside a box is background. Both cut with
Boykov and Kolmogorov's algorithm. Ours builds the graph for the box alone, since the rest cannot change, and
works out all pixels' costs as arrays; OpenCV's first components come by chance and ours do not, so
the cuts differ a little: the runner sees that both find a mask of that size, and
{ref}`chapter 2 <chapter-grouping>` compares them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import Case
from benchmarks.trainings.grouping import opencv
from segcore.data.images import photograph
from segcore.grouping import grabcut

TITLE = "02 Grouping"
PACKAGES = ("torch", "numpy", "PyMaxflow", "opencv-python-headless")


def cases() -> Iterator[Case]:
    for height, width in ((360, 640), (720, 1280)):
        image = F.interpolate(
            photograph("astronaut")[None], (height, width), mode="bilinear", antialias=True
        )[0].clamp(0, 1)
        image = (image * 255).round() / 255
        trimap = torch.zeros(height, width, dtype=torch.int64)
        trimap[height // 36 : height - 1, width // 20 : int(0.7 * width)] = 1
        yield Case(
            f"GrabCut, {height} × {width}",
            lambda image=image, trimap=trimap: _found(grabcut(image, trimap)),
            lambda image=image, trimap=trimap: _found(opencv(image, trimap)),
            "OpenCV",
            goal=1,
        )


def _found(mask: Tensor) -> Tensor:
    """The size of a mask, and whether there is anything in it."""
    return torch.tensor([*mask.shape, mask.any()])
