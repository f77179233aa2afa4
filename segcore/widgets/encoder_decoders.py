"""The widget of chapter 9: the up-sampling architectures as one diagram to switch between.

Each network is described by data: blocks, the layers that make them, arrows. All numbers, shapes, parameters
and multiply-adds, follow from that in the browser, and `EncoderDecoderWidget.network` is the real module that
they belong to. The feature maps are those of small networks that
``python -m benchmarks.trainings.encoder_decoders_widget`` trained.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import traitlets

from segcore.widgets.base import STATIC, CourseWidget

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETWORKS", "EncoderDecoderWidget"]

NETWORKS = {
    "fcn32": "FCN-32s",
    "fcn8": "FCN-8s",
    "unet": "U-Net",
    "unet_valid": "U-Net, valid",
    "deconvnet": "DeconvNet",
    "segnet": "SegNet",
}
"""The networks by their short names."""

LIMITS = {"size": (16, 640), "width": (4, 64), "depth": (1, 5)}
IN_CHANNELS, NUM_CLASSES = 3, 4
FULL_KERNEL = 7  # of DeconvNet's fc6, where the map is that large


@lru_cache(maxsize=1)
def _trained() -> dict[str, Any]:
    """The ``trained`` trait: a scene and what the networks make of it."""
    return json.loads((STATIC / "encoder_decoders.json").read_text(encoding="utf-8"))


class EncoderDecoderWidget(CourseWidget):
    """Six ways from an image down to its classes and up again, with one another's numbers.

    Every trait can be read and set from Python while the figure is on screen.

    Attributes:
        architecture: one of `NETWORKS`.
        size: side of the square image, 16 to 640 pixels. Not every network takes every size; the figure then
            says which ones it takes.
        width: channels of the first map, 4 to 64.
        depth: how many times it pools, 1 to 5; an FCN always pools five times.
        block: the block whose numbers and maps are shown, such as "enc0", "bottom", "join1", "dec1", "out";
            one that a network lacks is replaced by its neighbour.
        trained: the scene, and the maps of the trained networks; read-only.

    Example:
        >>> widget = EncoderDecoderWidget(architecture="unet_valid", size=572, width=64)
        >>> sum(p.numel() for p in widget.network().parameters())
        31043716
    """

    _slug = "encoder_decoders"
    _title = "Up-sampling architectures: FCN, U-Net, DeconvNet and SegNet as one diagram"

    trained = traitlets.Dict(read_only=True).tag(sync=True)
    architecture = traitlets.Enum(tuple(NETWORKS), default_value="unet").tag(sync=True)
    size = traitlets.Int(64).tag(sync=True)
    width = traitlets.Int(16).tag(sync=True)
    depth = traitlets.Int(4).tag(sync=True)
    block = traitlets.Unicode("dec0").tag(sync=True)

    @traitlets.default("trained")
    def _default_trained(self) -> dict[str, Any]:
        return _trained()

    @traitlets.validate("size", "width", "depth")
    def _check_number(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = LIMITS[name]
        if isinstance(value, bool) or not low <= value <= high:
            raise traitlets.TraitError(f"{name} must be a whole number from {low} to {high}; got {value!r}")
        return value

    def network(self) -> nn.Module:
        """The untrained module that the figure's numbers belong to.

        Raises:
            ValueError: DeconvNet's image is smaller than its depth allows.
        """
        from segcore import encoder_decoders, skips

        sizes = (IN_CHANNELS, NUM_CLASSES, self.width)
        if self.architecture == "fcn32":
            return skips.FCN32s(*sizes)
        if self.architecture == "fcn8":
            return skips.FCN8s(*sizes)
        if self.architecture == "segnet":
            return encoder_decoders.SegNet(*sizes, self.depth)
        if self.architecture == "deconvnet":
            cells = -(-self.size // 2**self.depth)
            return encoder_decoders.DeconvNet(*sizes, self.depth, kernel=min(FULL_KERNEL, cells))
        padding = "valid" if self.architecture == "unet_valid" else "same"
        return encoder_decoders.UNet(*sizes, self.depth, padding=padding)
