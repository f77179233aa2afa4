"""Pictures in the state of a widget: small, as text, and the same each time."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["unpack_webp", "webp"]

QUALITY = 70


def webp(image: Tensor, size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> str:
    """A picture or a part of it as WebP in base64.

    Args:
        image: float32 ``(3, H, W)``, in [0, 1].
        size: height and width that it is to have.
        box: left, top, right and bottom of the part; the whole picture where none is given.

    Returns:
        The text, which `unpack_webp` and the kit's ``openImage`` read.
    """
    _, height, width = image.shape
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.ascontiguousarray(pixels)).crop(box or (0, 0, width, height))
    stream = io.BytesIO()
    picture.resize(size[::-1], Image.Resampling.LANCZOS).save(stream, "WEBP", quality=QUALITY, method=6)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def unpack_webp(text: str) -> Tensor:
    """The picture as the page has it: float32 ``(3, H, W)``."""
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255
