"""The widget of chapter 7: which layers enter the hypercolumn, and which edges come back.

Held-out scenes, the layers of a small network on them, and a linear classifier for each subset of the layers
come from ``static/skips.json``, which ``python -m benchmarks.trainings.skips_widget`` makes. Scoring a layer
by a 1×1 convolution and then up-sampling equals up-sampling it and then scoring; so all that the page does is
up-sample a few score maps and add them. The second view adds the scores of FCN-32s, 16s or 8s.
"""

from __future__ import annotations

import base64
import copy
import json
import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor

from segcore.widgets.base import STATIC, CourseWidget

__all__ = ["SkipsWidget"]

STRIDES = (2, 4, 8, 16, 32)
VIEWS = ("hypercolumn", "fcn")
MAPS = ("up-sampled", "own")
# Of each net: the score maps, each with the learned up-samplings on its way to the last, bilinear one.
PATHS: dict[int, dict[str, tuple[str, ...]]] = {
    32: {"score_fr": ()},
    16: {"score_fr": ("upscore2",), "score_pool4": ()},
    8: {"score_fr": ("upscore2", "upscore_pool4"), "score_pool4": ("upscore_pool4",), "score_pool3": ()},
}
# Where the profile is laid at first, x1, y1, x2, y2 in pixels: from the floor into an object of each scene.
LINES = ([8.0, 84.0, 48.0, 54.0], [12.0, 88.0, 60.0, 56.0])


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    content = json.loads((STATIC / "skips.json").read_text(encoding="utf-8"))
    for scene, line in zip(content["scenes"], LINES, strict=True):
        scene["line"] = list(line)
    return content


def _bytes(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype=np.uint8).astype(np.float64))


def _halves(text: str) -> Tensor:
    """bfloat16 values, as float64."""
    bits = np.frombuffer(base64.b64decode(text), dtype="<u2").astype(np.uint32) << 16
    return torch.from_numpy(bits.view(np.float32).astype(np.float64))


class SkipsWidget(CourseWidget):
    """Hypercolumns of any subset of five layers, and FCN's sums, on held-out scenes.

    Attributes:
        view: "hypercolumn" or "fcn".
        layers: strides of the layers in the hypercolumn, out of 2, 4, 8, 16, 32; at least one.
        fcn: 32, 16 or 8, the net that the second view shows.
        scene: number of the scene, from 0.
        line: x1, y1, x2, y2 in pixels, where the profile is taken.
        maps: whether the layers' shares are shown "up-sampled" or in cells of their "own" size.
        data: scenes, layers and classifiers, packed; read-only.

    Example:
        >>> widget = SkipsWidget(layers=[8, 32])
        >>> widget.scores.shape, widget.prediction.shape
        (torch.Size([4, 96, 96]), torch.Size([96, 96]))
    """

    _slug = "skips"
    _title = "Layers that enter a hypercolumn, and the edges that come back"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)
    layers = traitlets.List(default_value=[32]).tag(sync=True)
    fcn = traitlets.Enum((32, 16, 8), default_value=32).tag(sync=True)
    scene = traitlets.Int(0).tag(sync=True)
    line = traitlets.List(default_value=list(LINES[0])).tag(sync=True)
    maps = traitlets.Enum(MAPS, default_value=MAPS[0]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return copy.deepcopy(_data())

    @traitlets.validate("layers")
    def _check_layers(self, proposal: Any) -> list[int]:
        layers = list(proposal["value"])
        if not layers or len(set(layers)) < len(layers) or not set(layers) <= set(STRIDES):
            raise traitlets.TraitError(
                f"layers must name at least one stride out of {STRIDES}, each once; got {layers}"
            )
        return sorted(layers)

    @traitlets.validate("scene")
    def _check_scene(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(LINES):
            raise traitlets.TraitError(f"scene must be from 0 to {len(LINES) - 1}; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("line")
    def _check_line(self, proposal: Any) -> list[float]:
        size = _data()["size"]
        try:
            line = [float(value) for value in proposal["value"]]
        except (TypeError, ValueError):
            raise traitlets.TraitError(f"line must hold numbers; got {proposal['value']!r}") from None
        if len(line) != 4 or not all(math.isfinite(v) and 0 <= v <= size for v in line):
            raise traitlets.TraitError(
                f"line must be x1, y1, x2, y2, each from 0 to {size} pixels; got {line}"
            )
        return line

    @property
    def labels(self) -> Tensor:
        """The scene's true label map: int64 ``(H, W)``."""
        size = self.data["size"]
        runs = _bytes(self.data["scenes"][self.scene]["labels"]).long()
        return (runs % 4).repeat_interleave(runs // 4).reshape(size, size)

    @property
    def scores(self) -> Tensor:
        """The chosen layers' or net's class scores at the image's size: float64 ``(4, H, W)``."""
        shares = self._layer_scores() if self.view == "hypercolumn" else self._fcn_scores()
        size = self.data["size"]
        full = [
            F.interpolate(each[None], (size, size), mode="bilinear", align_corners=False) for each in shares
        ]
        return torch.cat(full).sum(0)

    @property
    def prediction(self) -> Tensor:
        """The class with the greatest score at each pixel: int64 ``(H, W)``."""
        return self.scores.argmax(0)

    def _layer_scores(self) -> list[Tensor]:
        """Scores of the chosen layers at their own size, and the bias."""
        chosen = [k for k, stride in enumerate(STRIDES) if stride in self.layers]
        packed = self.data["classifiers"][" ".join(str(STRIDES[k]) for k in chosen)]
        weights = _halves(packed).reshape(-1, len(self.data["classes"]))
        kept = [self.data["layers"][k]["kept"] for k in chosen]
        parts = weights[:-1].split(kept)
        scores = [torch.einsum("khw,kc->chw", self._map(k), w) for k, w in zip(chosen, parts, strict=True)]
        return [*scores, weights[-1][:, None, None]]

    def _map(self, k: int) -> Tensor:
        """What is kept of layer k: ``(kept, h, w)``."""
        low, step = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in self.data["ranges"][k])
        side = self.data["size"] // STRIDES[k]
        values = _bytes(self.data["scenes"][self.scene]["features"][k])
        return values.reshape(-1, side, side) * step + low

    def _fcn_scores(self) -> list[Tensor]:
        """The net's score maps, each after the learned up-samplings on its way."""
        classes, found = len(self.data["classes"]), []
        for name, path in PATHS[self.fcn].items():
            packed = self.data["scenes"][self.scene]["fcn"][f"FCN{self.fcn}s.{name}"]
            scores = _halves(packed)
            side = math.isqrt(scores.numel() // classes)
            scores = scores.reshape(1, classes, side, side)
            for up in path:
                weight = _halves(self.data["upscore"][f"FCN{self.fcn}s.{up}"]).reshape(classes, classes, 4, 4)
                wider = F.pad(scores, (1, 1, 1, 1), mode="replicate")
                scores = F.conv_transpose2d(wider, weight, stride=2, padding=3)
            found.append(scores[0])
        return found
