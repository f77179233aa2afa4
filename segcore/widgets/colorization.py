"""The widget of chapter 18: a temperature between the mean and the mode, over pictures and over one pixel.

What the page holds of each picture are its lightness, its true colours on a coarse grid and, for each spot of
that grid, the likeliest bins of a network with their shares, two bytes each. They are made by
``python -m benchmarks.trainings.colorization_widget``.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from segcore.colorization import ab_bins, decode_ab
from segcore.widgets.base import CourseWidget

__all__ = ["ColorizationWidget"]

ROWS, COLUMNS, KEPT, PIXELS = 20, 30, 8, 4  # spots, the bins kept of each, pixels on its sides
PICTURES = ("scene", "coffee", "cat")
VIEWS = ("colour", "grey", "truth")
# Of each picture, in base64: "lightness" as WebP, "truth" as int8 (20, 30, 2), "used" as the numbers of up to
# 256 bins, and "shares" as uint8 (20, 30, 8, 2): which of the used bins, and its share of 255.
MAPS = Path(__file__).parent / "static" / "colorization.json"


@lru_cache(maxsize=1)
def _maps() -> dict[str, dict[str, Any]]:
    return json.loads(MAPS.read_text(encoding="utf-8"))


class ColorizationWidget(CourseWidget):
    """A picture coloured by what a network says of each spot, at a temperature that the reader moves.

    Attributes:
        picture: "scene" (objects orange or blue by lot), "coffee" (a photograph that the network has seen) or
            "cat" (one that it has not).
        view: "colour", "grey" or "truth".
        temperature: from 0.01, the mode, to 1, the mean.
        at: the pixel pointed at, x and y, from 0, 0 to 119, 79; four on each side make a spot.
        data: the pictures, packed, and the bins; read-only.

    Example:
        >>> widget = ColorizationWidget(picture="coffee")
        >>> widget.probabilities.shape, widget.colors().shape
        (torch.Size([1, 261, 20, 30]), torch.Size([1, 2, 20, 30]))
    """

    _slug = "colorization"
    _title = "From mean to mode: a temperature over a picture"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    picture = traitlets.Enum(PICTURES, default_value=PICTURES[0]).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)
    temperature = traitlets.Float(0.38).tag(sync=True)
    at = traitlets.List(traitlets.Int(), default_value=[94, 56]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        bins = [[int(each) for each in pair] for pair in ab_bins().tolist()]
        return {"bins": bins, "pictures": {name: dict(each) for name, each in _maps().items()}}

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal: Any) -> float:
        if not 0.01 <= proposal["value"] <= 1:
            raise traitlets.TraitError(f"temperature must be from 0.01 to 1; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("at")
    def _check_at(self, proposal: Any) -> list[int]:
        at = list(proposal["value"])
        if len(at) != 2 or not (0 <= at[0] < PIXELS * COLUMNS and 0 <= at[1] < PIXELS * ROWS):
            raise traitlets.TraitError(f"at must be x, y of a pixel, from 0, 0 to 119, 79; got {at}")
        return at

    @property
    def probabilities(self) -> Tensor:
        """What the page holds of the picture: float64 ``(1, 261, 20, 30)``, adding up to 1 over the bins."""
        packed = self.data["pictures"][self.picture]
        raw = np.frombuffer(base64.b64decode(packed["shares"]), np.uint8).reshape(ROWS, COLUMNS, KEPT, 2)
        shares = torch.from_numpy(raw.astype(np.int64))
        index = torch.tensor(packed["used"])[shares[..., 0]]
        p = torch.zeros(ROWS, COLUMNS, len(self.data["bins"]), dtype=torch.float64)
        p.scatter_add_(-1, index, shares[..., 1].double())
        return (p / p.sum(-1, keepdim=True)).movedim(-1, 0)[None]

    @property
    def truth(self) -> Tensor:
        """The true colours: float32 ``(1, 2, 20, 30)``."""
        packed = base64.b64decode(self.data["pictures"][self.picture]["truth"])
        ab = np.frombuffer(packed, np.int8).reshape(ROWS, COLUMNS, 2).astype(np.float32)
        return torch.from_numpy(ab).movedim(-1, 0)[None]

    def colors(self) -> Tensor:
        """The colours at the temperature: float32 ``(1, 2, 20, 30)``."""
        return decode_ab(self.probabilities, self.temperature)
