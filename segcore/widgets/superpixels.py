"""The widget of chapter 1: SLIC live over a photograph, in the page.

Two photographs that ship with scikit-image and a scene of the course's own, whose true outlines are known,
travel in the page at 320 by 240 pixels, as WebP. The reader's own photograph never leaves their browser.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import torch
import traitlets
from torch import Tensor

from segcore.superpixels import slic
from segcore.widgets.base import CourseWidget
from segcore.widgets.packing import unpack_webp, webp

__all__ = ["SuperpixelsWidget"]

WIDTH, HEIGHT = 320, 240
# Of each photograph the part that is shown: left, top, right, bottom.
PHOTOGRAPHS = {"cat": ("chelsea", (40, 0, 440, 300)), "cup": ("coffee", (40, 0, 573, 400))}
LIMITS = {"segments": (1, 1000), "compactness": (0.1, 100), "iterations": (0, 10)}
VIEWS = ("outlines", "mosaic")


def _runs(labels: Tensor) -> str:
    """A label map as runs of equal labels: two bytes for the length, one for the label."""
    values, lengths = labels.flatten().unique_consecutive(return_counts=True)
    data = bytearray()
    for value, length in zip(values.tolist(), lengths.tolist(), strict=True):
        while length:
            part = min(length, 0xFFFF)
            data += part.to_bytes(2, "little") + bytes([value])
            length -= part
    return base64.b64encode(bytes(data)).decode("ascii")


@lru_cache(maxsize=1)
def _pictures() -> dict[str, dict[str, str]]:
    from segcore.data.images import photograph
    from segcore.data.scenes import make_scenes

    size = (HEIGHT, WIDTH)
    found = {name: {"image": webp(photograph(file), size, box)} for name, (file, box) in PHOTOGRAPHS.items()}
    scene = make_scenes(1, size, seed=1, objects=(4, 5), difficulty="shape", antialias=True)[0]
    found["scene"] = {"image": webp(scene.image, size), "truth": _runs(scene.instances)}
    return found


class SuperpixelsWidget(CourseWidget):
    """SLIC over a photograph: how many superpixels, how compact, after how many rounds.

    Attributes:
        photo: "cat", "cup" or "scene"; "" is the photograph that the reader has opened in the page.
        segments: how many superpixels are asked for, 1 to 1000.
        compactness: how much place counts beside colour, 0.1 to 100.
        iterations: rounds of SLIC, 0 to 10; before the first round the superpixels are tiles.
        at: the pixel pointed at, x and y.
        view: what a narrow page shows, "outlines" or "mosaic"; a wide one shows both.
        data: the pictures, packed; read-only.

    Example:
        >>> widget = SuperpixelsWidget(photo="cup", segments=100)
        >>> widget.image.shape, widget.labels.shape
        (torch.Size([3, 240, 320]), torch.Size([240, 320]))
    """

    _slug = "superpixels"
    _title = "Superpixels on a photograph, round by round"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    photo = traitlets.Enum((*PHOTOGRAPHS, "scene", ""), default_value="cup").tag(sync=True)
    segments = traitlets.Int(80).tag(sync=True)
    compactness = traitlets.Float(10.0).tag(sync=True)
    iterations = traitlets.Int(10).tag(sync=True)
    at = traitlets.List(traitlets.Int(), default_value=[196, 132]).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {"pictures": {name: dict(each) for name, each in _pictures().items()}}

    @traitlets.validate("segments", "compactness", "iterations")
    def _check_number(self, proposal: Any) -> float:
        name = proposal["trait"].name
        low, high = LIMITS[name]
        if not low <= proposal["value"] <= high:
            raise traitlets.TraitError(f"{name} must be from {low} to {high}; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("at")
    def _check_at(self, proposal: Any) -> list[int]:
        at = list(proposal["value"])
        if len(at) != 2 or not (0 <= at[0] < WIDTH and 0 <= at[1] < HEIGHT):
            raise traitlets.TraitError(
                f"at must be x, y of a pixel, from 0, 0 to {WIDTH - 1}, {HEIGHT - 1}; got {at}"
            )
        return at

    @property
    def image(self) -> Tensor:
        """The picture: float32 ``(3, 240, 320)``. The reader's own stays in the page: an error."""
        if not self.photo:
            raise ValueError(
                "the reader's own photograph stays in the page; set photo to 'cat', 'cup' or 'scene'"
            )
        return unpack_webp(self.data["pictures"][self.photo]["image"])

    @property
    def truth(self) -> Tensor | None:
        """The scene's objects: int64 ``(240, 320)``; None for a photograph."""
        packed = self.data["pictures"].get(self.photo, {}).get("truth")
        if packed is None:
            return None
        runs = torch.tensor(list(base64.b64decode(packed))).reshape(-1, 3)
        return runs[:, 2].repeat_interleave(runs[:, 0] + 256 * runs[:, 1]).reshape(HEIGHT, WIDTH)

    @property
    def labels(self) -> Tensor:
        """The superpixels: int64 ``(240, 320)``. Of round 0, which are tiles, it gives the first round's."""
        return slic(self.image, self.segments, self.compactness, max(self.iterations, 1))
