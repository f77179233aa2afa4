"""The widget of chapter 11: what ASPP and pyramid pooling see from one cell, and the labels that come of it.

What the page holds are three scenes and the labels that five small networks give them, made by
``python -m benchmarks.trainings.deeplab_widget``. What each filter sees is computed in the page.
"""

from __future__ import annotations

import base64
import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from segcore.widgets.base import CourseWidget

__all__ = ["DeepLabWidget"]

SIDE = 96
SCENES = ("first", "second", "third")
NETWORKS = ("deeplabv3_32", "deeplabv3_16", "deeplabv3_8", "deeplabv3plus_16", "pspnet_8")
SHOWS = ("labels", "truth", "left")
SIZES = (96, 513)
MOST = 24  # the largest first rate
# Of each scene: "image" as WebP, "truth" and the labels of each network in runs, all in base64.
LABELS = Path(__file__).parent / "static" / "deeplab.json"


@lru_cache(maxsize=1)
def _labels() -> dict[str, dict[str, str]]:
    return json.loads(LABELS.read_text(encoding="utf-8"))


class DeepLabWidget(CourseWidget):
    """The windows of a pyramid on the map of one of five networks, beside the labels that the network gives.

    Attributes:
        network: one of "deeplabv3_32", "deeplabv3_16", "deeplabv3_8", "deeplabv3plus_16" and "pspnet_8"; the
            number is its output stride.
        rate: the first of ASPP's three rates, of which the others are twice and three times as large.
        size: side of the picture in pixels, 96 or 513, for the map that the windows lie on.
        show: beside it "labels", "truth" or what is "left": the weights of the largest rate that lie on the
            map, or for PSPNet the means of its finest grid.
        scene: "first", "second" or "third".
        at: the pixel pointed at, x and y, of 96.
        data: scenes and labels, packed; read-only.

    Example:
        >>> widget = DeepLabWidget(network="deeplabv3_8")
        >>> widget.cells, widget.rates, widget.labels("truth").shape
        (12, (2, 4, 6), torch.Size([96, 96]))
    """

    _slug = "deeplab"
    _title = "What a pyramid sees from one cell, and the labels that come of it"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    network = traitlets.Enum(NETWORKS, default_value="deeplabv3_8").tag(sync=True)
    rate = traitlets.Int(2).tag(sync=True)
    size = traitlets.Enum(SIZES, default_value=SIZES[0]).tag(sync=True)
    show = traitlets.Enum(SHOWS, default_value=SHOWS[0]).tag(sync=True)
    scene = traitlets.Enum(SCENES, default_value=SCENES[0]).tag(sync=True)
    at = traitlets.List(traitlets.Int(), default_value=[44, 52]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {"scenes": copy.deepcopy(_labels())}

    @traitlets.validate("rate")
    def _check_rate(self, proposal: Any) -> int:
        if not 1 <= proposal["value"] <= MOST:
            raise traitlets.TraitError(f"rate must be from 1 to {MOST}; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("at")
    def _check_at(self, proposal: Any) -> list[int]:
        at = list(proposal["value"])
        if len(at) != 2 or not all(0 <= each < SIDE for each in at):
            raise traitlets.TraitError(f"at must be x, y of a pixel, from 0, 0 to 95, 95; got {at}")
        return at

    @property
    def output_stride(self) -> int:
        """Pixels from one cell of the map to the next."""
        return int(self.network.rpartition("_")[2])

    @property
    def cells(self) -> int:
        """Side of the map that the windows lie on."""
        return -(-self.size // self.output_stride)

    @property
    def rates(self) -> tuple[int, int, int]:
        """ASPP's rates."""
        return self.rate, 2 * self.rate, 3 * self.rate

    def labels(self, source: str) -> Tensor:
        """Labels of the scene: int64 ``(96, 96)``, of "truth" or a network."""
        text = self.data["scenes"][self.scene][source]
        packed = torch.from_numpy(np.frombuffer(base64.b64decode(text), np.uint8).astype(np.int64))
        return (packed % 4).repeat_interleave(packed // 4).reshape(SIDE, SIDE)
