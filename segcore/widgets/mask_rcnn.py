"""The widget of chapter 14: one soft mask, from its grid in a box to the pixels that are called object.

The picture is a coin, 72 by 72 pixels of the photograph `coins`, in grey. Its truth is `coin_masks`. The soft
mask stands for a mask head's answer and is made by hand: the truth, read into 28 × 28 cells of the box, and
blurred, for a head is never quite sure of an outline. Coarser masks are means of these cells. The mask
belongs to the box: where the box goes, the mask goes.
"""

from __future__ import annotations

import base64
import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["MaskRCNNWidget"]

SIDE = 72  # pixels of the picture
COIN, CORNER = 10, (234, 84)  # the coin's number, and x, y of the picture's corner in the photograph
CELLS = (28, 14, 7)
METHODS = ("exact", "torchvision")
VIEWS = ("outline", "values")
SMALLEST, FARTHEST = 4.0, 200.0


def _pack(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.uint8).tobytes()).decode("ascii")


@lru_cache(maxsize=1)
def _scene() -> dict[str, Any]:
    """Picture, truth, the box that fits it, and the soft mask in per cent."""
    from segcore.data.images import coin_masks, photograph
    from segcore.mask_rcnn import mask_targets

    x, y = CORNER
    truth = coin_masks()[COIN, y : y + SIDE, x : x + SIDE]
    grey = (photograph("coins")[0, y : y + SIDE, x : x + SIDE] * 255).round()
    rows, columns = truth.nonzero(as_tuple=True)
    box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    sharp = mask_targets(truth[None], box[None], CELLS[0])[0]
    soft = F.avg_pool2d(F.pad(sharp[None], (1, 1, 1, 1))[None], 3, 1)[0, 0]
    return {
        "side": SIDE,
        "grey": _pack(grey.numpy()),
        "truth": _pack(np.packbits(truth.numpy())),
        "fit": box.tolist(),
        "soft": [round(100 * value) for value in soft.flatten().tolist()],
    }


class MaskRCNNWidget(CourseWidget):
    """A soft mask in its box, and the pixels that it makes.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the picture; at least 4 wide and high.
        cells: 28, 14 or 7, the cells of the mask along each side.
        method: "exact", or "torchvision", which cuts the box to whole pixels.
        threshold: from which value on a pixel is object, 0.05 to 0.95.
        at: the pixel pointed at, x and y.
        view: what lies on the picture, "outline" of the final mask or pasted "values".
        scene: the picture, its truth and the soft mask; read-only.

    Example:
        >>> widget = MaskRCNNWidget(cells=14, threshold=0.4)
        >>> widget.soft.shape, widget.pasted.shape, widget.final.dtype
        (torch.Size([14, 14]), torch.Size([72, 72]), torch.bool)
    """

    _slug = "mask_rcnn"
    _title = "From a soft mask to the final mask"

    scene = traitlets.Dict(read_only=True).tag(sync=True)
    box = traitlets.List(traitlets.Float(), default_value=[10.0, 10.0, 50.0, 50.0]).tag(sync=True)
    cells = traitlets.Enum(CELLS, default_value=CELLS[0]).tag(sync=True)
    method = traitlets.Enum(METHODS, default_value=METHODS[0]).tag(sync=True)
    threshold = traitlets.Float(0.5).tag(sync=True)
    at = traitlets.List(traitlets.Int(), default_value=[13, 24]).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)

    @traitlets.default("scene")
    def _default_scene(self) -> dict[str, Any]:
        return dict(_scene())

    @traitlets.default("box")
    def _default_box(self) -> list[float]:
        return list(_scene()["fit"])

    @traitlets.validate("box")
    def _check_box(self, proposal: Any) -> list[float]:
        box = [float(edge) for edge in proposal["value"]]
        legal = len(box) == 4 and all(math.isfinite(edge) and abs(edge) <= FARTHEST for edge in box)
        if not legal or min(box[2] - box[0], box[3] - box[1]) < SMALLEST:
            raise traitlets.TraitError(
                f"box must be x1, y1, x2, y2 within {FARTHEST:g} pixels, at least {SMALLEST:g} wide and "
                f"high; got {box}"
            )
        return box

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal: Any) -> float:
        if not 0.05 <= proposal["value"] <= 0.95:
            raise traitlets.TraitError(f"threshold must be from 0.05 to 0.95; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("at")
    def _check_at(self, proposal: Any) -> list[int]:
        at = list(proposal["value"])
        if len(at) != 2 or not all(0 <= each < SIDE for each in at):
            raise traitlets.TraitError(f"at must be x, y of a pixel, from 0 to {SIDE - 1}; got {at}")
        return at

    @property
    def soft(self) -> Tensor:
        """The soft mask: float32 ``(cells, cells)``."""
        fine = torch.tensor(self.scene["soft"], dtype=torch.float32).reshape(CELLS[0], CELLS[0]) / 100
        return F.avg_pool2d(fine[None], CELLS[0] // self.cells)[0]

    @property
    def pasted(self) -> Tensor:
        """The soft mask in the picture, by `segcore.mask_rcnn.paste_masks`: float32 ``(72, 72)``."""
        from segcore.mask_rcnn import paste_masks

        return paste_masks(self.soft[None], torch.tensor([self.box]), (SIDE, SIDE), self.method)[0]

    @property
    def final(self) -> Tensor:
        """The pixels that are object: bool ``(72, 72)``."""
        return self.pasted >= self.threshold

    @property
    def truth(self) -> Tensor:
        """The coin's pixels: bool ``(72, 72)``."""
        bits = np.unpackbits(np.frombuffer(base64.b64decode(self.scene["truth"]), np.uint8))
        return torch.from_numpy(bits[: SIDE * SIDE].astype(bool).reshape(SIDE, SIDE))
