"""Real images that need no network: the photographs, face patches and stereo pair that scikit-image ships.

Only files that lie inside the installed package are offered, and they are read from there; nothing is ever
downloaded. (`skimage.data` itself fetches a file that it does not find, which is why it is not asked.) The
sources and licences of the pictures are named in the documentation of `skimage.data`.
"""

from __future__ import annotations

import difflib
from importlib.resources import files

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["PHOTOGRAPHS", "coin_masks", "faces", "photograph", "stereo_pair"]

_FILES = {
    "astronaut": "astronaut.png",
    "cell": "cell.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "horse": "horse.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "ihc": "ihc.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}
PHOTOGRAPHS = tuple(_FILES)
"""Names that `photograph` knows. cell, coins and horse are grey: their three channels are equal."""


def photograph(name: str) -> Tensor:
    """One of the photographs that scikit-image ships.

    Args:
        name: one of `PHOTOGRAPHS`. `cell` (a cell under the microscope), `coins` and `horse` (a black
            silhouette on white) are grey and are repeated to three equal channels; `ihc` is a stained tissue
            section.

    Returns:
        float32 (3, H, W), RGB in [0, 1], a new tensor at each call.

    Raises:
        ValueError: no photograph has this name.
        FileNotFoundError: the installed scikit-image lacks the file.

    Example:
        >>> photograph("chelsea").shape
        torch.Size([3, 300, 451])
        >>> photograph("astronot")
        Traceback (most recent call last):
        ...
        ValueError: no photograph is called 'astronot'; did you mean 'astronaut'? There are: astronaut, cell,
        ...
    """
    if name not in PHOTOGRAPHS:
        near = difflib.get_close_matches(str(name), PHOTOGRAPHS, n=1, cutoff=0.45)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"no photograph is called {name!r}{hint} There are: {', '.join(PHOTOGRAPHS)}")
    return _read(_FILES[name])


def coin_masks() -> Tensor:
    """The 24 coins of the photograph `coins`, one mask each, from top left to bottom right, row by row.

    Nobody has drawn them: a watershed on the image's gradient, from markers that are surely coin (brighter
    than 150 of 255) and surely ground (darker than 30), gives outlines that follow the rims to about a pixel.
    Good enough as a truth for operations that err by many pixels; say so where it serves as one.

    Returns:
        bool (24, 303, 384).

    Example:
        >>> masks = coin_masks()
        >>> masks.shape, masks.any(dim=0).float().mean().item() > 0.3
        (torch.Size([24, 303, 384]), True)
    """
    from scipy import ndimage
    from skimage.filters import sobel
    from skimage.segmentation import watershed

    grey = (photograph("coins")[0] * 255).round().byte().numpy()
    markers = np.where(grey < 30, 1, np.where(grey > 150, 2, 0))
    coins, _ = ndimage.label(ndimage.binary_fill_holes(watershed(sobel(grey), markers) == 2))
    counts = np.bincount(coins.ravel())
    kept = [label for label in range(1, len(counts)) if counts[label] > 200]  # what is smaller is dust
    centres = ndimage.center_of_mass(coins > 0, coins, kept)
    falling = sorted(range(len(kept)), key=lambda k: centres[k][0])  # they lie in four rows of six
    order = [
        k
        for row in range(0, len(kept), 6)
        for k in sorted(falling[row : row + 6], key=lambda k: centres[k][1])
    ]
    return torch.from_numpy(np.stack([coins == kept[k] for k in order]))


def faces() -> tuple[Tensor, Tensor]:
    """100 faces and 100 patches that are no face, cut from Labeled Faces in the Wild (Huang et al. 2012).

    Returns:
        patches: float32 (200, 3, 25, 25) in [0, 1]; grey, repeated to three equal channels like every grey
        image here.
        labels: int64 (200,), 1 for a face (the first 100), 0 for none.

    Example:
        >>> patches, labels = faces()
        >>> patches.shape, labels.sum().item()
        (torch.Size([200, 3, 25, 25]), 100)
    """
    grey = torch.from_numpy(np.load(_path("lfw_subset.npy"))).float()
    patches = grey[:, None].repeat(1, 3, 1, 1)
    return patches, (torch.arange(len(patches), device="cpu") < 100).long()


def stereo_pair() -> tuple[Tensor, Tensor, Tensor]:
    """A motorcycle seen by two cameras, with measured disparity (Middlebury 2014, Scharstein et al.).

    The pair is rectified: what the left image shows at (x, y), the right one shows at (x - disparity, y).
    Depth follows as Z = 994.978 · 0.193001 / (disparity + 31.086) metres (focal length in pixels, baseline in
    metres, and the distance between the two principal points).

    Returns:
        left, right: float32 (3, 500, 741), RGB in [0, 1].
        disparity: float32 (500, 741) in pixels, for the left image; NaN where it was not measured.

    Example:
        >>> left, right, disparity = stereo_pair()
        >>> left.shape, disparity.shape, round(disparity.isnan().float().mean().item(), 2)
        (torch.Size([3, 500, 741]), torch.Size([500, 741]), 0.07)
    """
    with np.load(_path("motorcycle_disp.npz")) as archive:
        disparity = torch.from_numpy(archive["arr_0"]).float()
    disparity[~disparity.isfinite()] = torch.nan
    return _read("motorcycle_left.png"), _read("motorcycle_right.png"), disparity


def _path(file: str) -> str:
    path = files("skimage") / "data" / file
    if not path.is_file():
        raise FileNotFoundError(
            f"the installed scikit-image does not ship data/{file}; scikit-image 0.22 or newer from PyPI does"
        )
    return str(path)


def _read(file: str) -> Tensor:
    with Image.open(_path(file)) as image:
        rgb = np.array(image.convert("RGB"))  # (H, W, 3) uint8
    return torch.from_numpy(rgb).permute(2, 0, 1).contiguous().float() / 255
