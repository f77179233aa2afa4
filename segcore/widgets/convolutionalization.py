"""The widget of chapter 4: a window slides over an image, and one pass makes the same map.

Its network is the lab's face classifier (`segcore.convolutionalization.PatchClassifier`) with 4 channels in
place of 16, and a second one that differs in that its convolutions pad by two zeros. Both were trained by
``python -m benchmarks.trainings.convolutionalization_widget`` and rounded to whole numbers, a scale for each
array. So the page holds numbers, the same on every machine. The photograph was not among the training images.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import traitlets
from torch import Tensor, nn

from segcore.convolutionalization import PatchClassifier, convolutionalize
from segcore.widgets.base import CourseWidget

__all__ = ["ConvolutionalizationWidget"]

WINDOW = 25
STRIDE = 4
REDUCTION = 3  # of the photograph: a square of 387 pixels becomes 129
SIDE = 129
LEFT = 30  # the square's left edge in the photograph; its upper one is the photograph's
CELLS = (SIDE - WINDOW) // STRIDE + 1
FARTHEST = 7  # cells to a neighbour: at 7 the windows share nothing
CHANNELS = 4
VIEWS = ("dense", "windows", "difference")
STRIDES = (1, 2, 4, 8, 16)
IMAGE_SIZES = (64, 1024)
MOST_CONVOLUTIONS = 8

# Names, lengths and scales of the arrays, and their whole numbers from -127 to 127, plus 128.
NETWORK = Path(__file__).parent / "static" / "convolutionalization.json"


@lru_cache(maxsize=1)
def _network() -> dict[str, Any]:
    """The trained arrays, packed."""
    return json.loads(NETWORK.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _scene() -> dict[str, Any]:
    """The photograph, grey and reduced, in whole numbers: the same bytes on every machine."""
    from segcore.data.images import photograph

    side = REDUCTION * SIDE
    pixels = (photograph("astronaut") * 255).round().to(torch.int64)[:, :side, LEFT : LEFT + side]
    red, green, blue = pixels
    luma = 299 * red + 587 * green + 114 * blue
    blocks = luma.reshape(SIDE, REDUCTION, SIDE, REDUCTION).sum(dim=(1, 3))
    grey = (blocks + 500 * REDUCTION**2) // (1000 * REDUCTION**2)
    return {
        "pixels": base64.b64encode(bytes(grey.flatten().tolist())).decode("ascii"),
        "size": SIDE,
    }


def _arrays() -> dict[str, Tensor]:
    """The trained arrays, flat, in float64."""
    arrays = _network()["arrays"]
    whole = torch.tensor(list(base64.b64decode(_network()["bytes"])), dtype=torch.float64) - 128
    parts = whole.split([length for _, length, _ in arrays])
    return {name: part * scale for (name, _, scale), part in zip(arrays, parts, strict=True)}


class ConvolutionalizationWidget(CourseWidget):
    """A window on an image and its cell of the map, computed alone and in one pass.

    Attributes:
        window: the cell of the map, [row, column], each from 0 to 26; its window has its upper left pixel at
            four times these.
        neighbour: cells from the window to its neighbour, 1 to 7.
        padding: whether the network's convolutions pad with zeros.
        view: how the map is computed: "dense" (one pass), "windows" (one by one) or "difference".
        channel: the channel of the layers that is shown, 0 to 3.
        cost: side of the image (64 to 1024 pixels), number of convolutions (1 to 8) and stride (1, 2, 4, 8
            or 16, at most 2 to the number of convolutions) of the network whose work is counted.
        scene: the photograph, packed; read-only.
        network: the weights, packed; read-only.

    Example:
        >>> widget = ConvolutionalizationWidget(window=[6, 12])
        >>> abs(widget.alone - widget.scores[6, 12].item()) < 1e-9
        True
    """

    _slug = "convolutionalization"
    _title = "A sliding window and the map that one pass makes"

    scene = traitlets.Dict(read_only=True).tag(sync=True)
    network = traitlets.Dict(read_only=True).tag(sync=True)
    window = traitlets.List(traitlets.Int(), default_value=[6, 12]).tag(sync=True)
    neighbour = traitlets.Int(2).tag(sync=True)
    padding = traitlets.Bool(False).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)
    channel = traitlets.Int(0).tag(sync=True)
    cost = traitlets.List(traitlets.Int(), default_value=[512, 4, 4]).tag(sync=True)

    @traitlets.default("scene")
    def _default_scene(self) -> dict[str, Any]:
        return _scene()

    @traitlets.default("network")
    def _default_network(self) -> dict[str, Any]:
        return _network()

    @traitlets.validate("window")
    def _check_window(self, proposal: Any) -> list[int]:
        window = proposal["value"]
        if len(window) != 2 or not all(0 <= n < CELLS for n in window):
            raise traitlets.TraitError(f"window must be [row, column], each from 0 to 26; got {window}")
        return list(window)

    @traitlets.validate("neighbour")
    def _check_neighbour(self, proposal: Any) -> int:
        if not 1 <= proposal["value"] <= FARTHEST:
            raise traitlets.TraitError(f"neighbour must be from 1 to 7 cells; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("channel")
    def _check_channel(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < CHANNELS:
            raise traitlets.TraitError(f"channel must be from 0 to 3; got {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("cost")
    def _check_cost(self, proposal: Any) -> list[int]:
        cost = proposal["value"]
        if len(cost) != 3:
            raise traitlets.TraitError(f"cost must be [side, convolutions, stride]; got {cost}")
        side, depth, stride = cost
        if not IMAGE_SIZES[0] <= side <= IMAGE_SIZES[1]:
            raise traitlets.TraitError(f"the image's side must be from 64 to 1024 pixels; got {side}")
        if not 1 <= depth <= MOST_CONVOLUTIONS:
            raise traitlets.TraitError(f"there must be 1 to {MOST_CONVOLUTIONS} convolutions; got {depth}")
        if stride not in STRIDES or stride > 2**depth:
            raise traitlets.TraitError(
                f"the stride must be 1, 2, 4, 8 or 16, at most 2 to the number of convolutions; got {stride}"
            )
        return list(cost)

    @property
    def image(self) -> Tensor:
        """The photograph: float64 ``(1, 1, 129, 129)``."""
        values = torch.tensor(list(base64.b64decode(self.scene["pixels"])), dtype=torch.float64)
        return values.reshape(1, 1, SIDE, SIDE) / 255

    @property
    def classifier(self) -> nn.Module:
        """The classifier of windows, with or without padding, in float64 and eval mode."""
        module = PatchClassifier(WINDOW, width=CHANNELS)
        head = ""
        if self.padding:
            head = "padded."
            convolutions: list[Any] = [module.features[0], module.features[3]]
            for convolution in convolutions:
                convolution.padding = (2, 2)
            module.classifier[1] = nn.Linear(2 * CHANNELS * 7 * 7, 2 * CHANNELS)
        layers = {
            "conv1": module.features[0],
            "conv2": module.features[3],
            f"{head}fc1": module.classifier[1],
            f"{head}fc2": module.classifier[4],
        }
        arrays = _arrays()
        module = module.double().eval().requires_grad_(False)
        for name, layer in layers.items():
            for kind, parameter in layer.named_parameters():
                parameter.copy_(arrays[f"{name}.{kind}"].reshape(parameter.shape))
        return module

    @property
    def scores(self) -> Tensor:
        """The map of one pass, face minus no face: float64 ``(27, 27)``."""
        no, yes = convolutionalize(self.classifier, WINDOW)(self.image)[0]
        return yes - no

    @property
    def alone(self) -> float:
        """The score of the chosen window, cut out and classified alone."""
        top, left = (STRIDE * n for n in self.window)
        no, yes = self.classifier(self.image[..., top : top + WINDOW, left : left + WINDOW])[0].tolist()
        return yes - no
