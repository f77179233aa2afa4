"""SLIC and Felzenszwalb's graph beside scikit-image's compiled ones.

The image is the photograph of the astronaut, resized. Both packages get their defaults: 250 segments wanted,
compactness 10, ten iterations, connected segments; and scale 100, σ = 0.8, at least 20 pixels. The graphs
give the same segments but for ties. The two SLICs do not: ours comes nearer to the number that was wanted,
and searches among nine centres rather than in a moving window; {ref}`chapter 1 <chapter-superpixels>`
compares their quality. So the runner only sees that both label every pixel.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from skimage import segmentation as peer
from torch import Tensor

from benchmarks import Case
from segcore.data.images import photograph
from segcore.superpixels import felzenszwalb, slic

TITLE = "01 Superpixels"
PACKAGES = ("torch", "numpy", "scipy", "scikit-image")


def cases() -> Iterator[Case]:
    for height, width in ((321, 481), (720, 1280)):
        image = F.interpolate(
            photograph("astronaut")[None], (height, width), mode="bilinear", antialias=True
        )[0].clamp(0, 1)
        array = image.movedim(0, -1).contiguous().numpy()
        size = f"{height} × {width}"
        yield Case(
            f"SLIC, {size}",
            lambda image=image: _labelled(slic(image)),
            lambda array=array: _labelled(torch.from_numpy(peer.slic(array, n_segments=250, start_label=0))),
            "scikit-image",
            goal=1,
        )
        yield Case(
            f"Felzenszwalb, {size}",
            lambda image=image: _labelled(felzenszwalb(image)),
            lambda array=array: _labelled(torch.from_numpy(peer.felzenszwalb(array, 100, 0.8, 20))),
            "scikit-image",
            goal=1,
        )


def _labelled(labels: Tensor) -> Tensor:
    """The size of a map, and whether each pixel has a label."""
    return torch.tensor([*labels.shape, int(labels.min()) >= 0])
