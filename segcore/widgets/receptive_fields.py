"""The widget of chapter 5: a network built layer by layer, and what one of its units sees.

Layers are drawn as rows of units above the photograph that they look at, so that the cone of connections
widens downwards and lands on it. All arithmetic is done in the browser, on one axis at a time; the presets
below are the torchvision networks (and two from papers) as lists of layers.

A network of the list goes by its name, the ``preset``; changed by hand it has none.

A residual block is one layer here, of kind "block": its main path, in which one convolution is wider than
1 x 1, beside a shortcut that reads the single input at the same place. The theoretical field is the hull of
both; in the effective field each of the two counts one half, along each axis on its own. The profiles along
the axes are then exact; their product, the heat over the photograph, is less peaked than the true mean.
"""

from __future__ import annotations

import base64
import io
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import traitlets

from segcore.widgets.base import CourseWidget

if TYPE_CHECKING:
    from segcore.receptive_fields import ReceptiveField

__all__ = ["KINDS", "PRESETS", "ReceptiveFieldWidget"]

IMAGE_SIZE = (224, 448)  # height, width
CROP_TOP = 8  # rows of the photograph left out above
FOCUS = (106, 171)  # row and column of an eye: where the figure looks first
KINDS = ("conv", "pool", "block", "up")
LIMITS = {"kernel": (1, 31), "stride": (1, 16), "padding": (0, 64), "dilation": (1, 64)}
DEFAULTS = {"kernel": 3, "stride": 1, "padding": 0, "dilation": 1}
MOST_LAYERS = 40
MOST_UNITS = 4096  # in a row

Spec = dict[str, Any]


def _layer(name: str, kind: str, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Spec:
    return {
        "name": name,
        "kind": kind,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
    }


def _alexnet() -> list[Spec]:
    return [
        _layer("conv1", "conv", 11, 4, 2),
        _layer("pool1", "pool", 3, 2),
        _layer("conv2", "conv", 5, 1, 2),
        _layer("pool2", "pool", 3, 2),
        *(_layer(f"conv{n}", "conv", 3, 1, 1) for n in (3, 4, 5)),
        _layer("pool5", "pool", 3, 2),
    ]


def _vgg16() -> list[Spec]:
    layers = []
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        layers += [_layer(f"conv{stage}_{n}", "conv", 3, 1, 1) for n in range(1, count + 1)]
        layers.append(_layer(f"pool{stage}", "pool", 2, 2))
    return layers


def _resnet50() -> list[Spec]:
    layers = [_layer("conv1", "conv", 7, 2, 3), _layer("maxpool", "pool", 3, 2, 1)]
    for stage, count in enumerate((3, 4, 6, 3), start=1):
        for n in range(count):
            layers.append(_layer(f"layer{stage}.{n}", "block", 3, 2 if n == 0 and stage > 1 else 1, 1))
    return layers


def _deeplab() -> list[Spec]:
    layers = []
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        rate = 2 if stage == 5 else 1
        layers += [_layer(f"conv{stage}_{n}", "conv", 3, 1, rate, rate) for n in range(1, count + 1)]
        layers.append(_layer(f"pool{stage}", "pool", 3, 2 if stage < 4 else 1, 1))
    layers.append(_layer("pool5a", "pool", 3, 1, 1))
    layers.append(_layer("fc6", "conv", 3, 1, 12, 12))
    return [*layers, _layer("fc7", "conv", 1), _layer("fc8", "conv", 1)]


def _dilations(*rates: int) -> list[Spec]:
    return [_layer(f"conv{n}", "conv", 3, 1, rate, rate) for n, rate in enumerate(rates, start=1)]


def _context() -> list[Spec]:
    return [*_dilations(1, 1, 2, 4, 8, 16, 1), _layer("conv8", "conv", 1)]


def _small() -> list[Spec]:
    return [
        _layer("conv1", "conv", 3, 1, 1),
        _layer("pool1", "pool", 2, 2),
        _layer("conv2", "conv", 3, 1, 1),
        _layer("conv3", "conv", 3, 1, 2, 2),
    ]


def _down_and_up() -> list[Spec]:
    return [
        _layer("down1", "conv", 3, 2, 1),
        _layer("down2", "conv", 3, 2, 1),
        _layer("middle", "conv", 3, 1, 1),
        _layer("up2", "up", 4, 2, 1),
        _layer("up1", "up", 4, 2, 1),
    ]


PRESETS: dict[str, list[Spec]] = {
    "Small": _small(),
    "AlexNet": _alexnet(),
    "VGG-16 without pooling": [layer for layer in _vgg16() if layer["kind"] != "pool"],
    "VGG-16": _vgg16(),
    "ResNet-50": _resnet50(),
    "ResNet-50 without shortcuts": [
        {**layer, "kind": "conv"} if layer["kind"] == "block" else layer for layer in _resnet50()
    ],
    "DeepLab-LargeFOV": _deeplab(),
    "Context module": _context(),
    "Dilations 2, 2, 2": _dilations(2, 2, 2),
    "Dilations 1, 2, 4": _dilations(1, 2, 4),
    "Down and up": _down_and_up(),
}
"""Networks by name, each a list of layers from the image upwards."""


@lru_cache(maxsize=1)
def _photograph() -> dict[str, Any]:
    """The ``photograph`` trait: a cat, 448 by 224 pixels, as JPEG."""
    from PIL import Image

    from segcore.data.images import photograph

    height, width = IMAGE_SIZE
    pixels = (photograph("chelsea") * 255).round().to(torch.uint8).numpy()
    pixels = np.ascontiguousarray(pixels[:, CROP_TOP : CROP_TOP + height, :width].transpose(1, 2, 0))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=70, optimize=True)
    jpeg = base64.b64encode(stream.getvalue()).decode("ascii")
    return {"height": height, "width": width, "focus": list(FOCUS), "jpeg": jpeg}


def _checked_weights(values: Any, where: str, kernel: int) -> list[float]:
    if not isinstance(values, (list, tuple)) or len(values) != kernel:
        raise traitlets.TraitError(
            f"{where}: weights must be a list of {kernel} numbers, one per tap; got {values!r}"
        )
    weights = [float(value) for value in values]
    if not all(math.isfinite(value) and value >= 0 for value in weights) or sum(weights) == 0:
        raise traitlets.TraitError(
            f"{where}: weights must be finite, not negative, and not all zero; got {weights}"
        )
    return weights


def _checked_layer(layer: Any, index: int) -> Spec:
    """A layer with every key filled in, or a TraitError that says what would be right."""
    where = f"layers[{index}]"
    if not isinstance(layer, dict):
        raise traitlets.TraitError(f"{where} must be a dict such as {{'kernel': 3}}; got {layer!r}")
    unknown = sorted(set(layer) - {"name", "kind", "weights", *LIMITS})
    if unknown:
        raise traitlets.TraitError(
            f"{where} has the unknown key {unknown[0]!r}; known are name, kind, kernel, stride, padding, "
            "dilation, weights"
        )
    kind = layer.get("kind", "conv")
    if kind not in KINDS:
        raise traitlets.TraitError(f"{where}: kind must be one of {', '.join(KINDS)}; got {kind!r}")
    checked: Spec = {"name": str(layer.get("name") or f"{kind}{index + 1}")[:24], "kind": kind}
    for key, (low, high) in LIMITS.items():
        value = layer.get(key, DEFAULTS[key])
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise traitlets.TraitError(
                f"{where}: {key} must be a whole number from {low} to {high}; got {value!r}"
            )
        checked[key] = value
    if kind == "pool" and 2 * checked["padding"] > checked["kernel"]:
        raise traitlets.TraitError(
            f"{where}: padding of a pooling must be at most half its kernel, {checked['kernel'] // 2}; "
            f"got {checked['padding']}"
        )
    if layer.get("weights") is not None:
        checked["weights"] = _checked_weights(layer["weights"], where, checked["kernel"])
    return checked


def units(layers: list[Spec], size: int) -> list[int]:
    """How many units the image and each layer have along an axis of ``size`` pixels.

    Raises:
        traitlets.TraitError: a layer would have none, or too many.

    Example:
        >>> units(PRESETS["AlexNet"], 224)
        [224, 55, 27, 27, 13, 13, 13, 13, 6]
    """
    counts = [size]
    for index, layer in enumerate(layers):
        reach = layer["dilation"] * (layer["kernel"] - 1) + 1
        if layer["kind"] == "up":
            count = (counts[-1] - 1) * layer["stride"] - 2 * layer["padding"] + reach
        else:
            count = (counts[-1] + 2 * layer["padding"] - reach) // layer["stride"] + 1
        if not 1 <= count <= MOST_UNITS:
            fault = "no unit is left" if count < 1 else f"{count} units are more than {MOST_UNITS}"
            raise traitlets.TraitError(
                f"layers[{index}] ({layer['name']}): {fault}. Its input has {counts[-1]} units a row, "
                f"its kernel reaches over {reach}, with padding {layer['padding']} on either side"
            )
        counts.append(count)
    return counts


class ReceptiveFieldWidget(CourseWidget):
    """A network of layers over a photograph, and the field of one chosen unit.

    Every trait can be read and set from Python while the figure is on screen. What the pointer hovers over is
    only shown; a click chooses it, and then ``layer`` and ``unit`` follow.

    Attributes:
        layers: from the image upwards, each a dict with ``kernel``, ``stride``, ``padding``, ``dilation``,
            ``kind`` ("conv", "pool", "block" for a residual block, "up" for a transposed convolution) and
            ``name``. What is left out gets its default (kernel 3, stride 1, padding 0, dilation 1, "conv").
            ``weights``, a list of ``kernel`` numbers, replaces the uniform weights of the effective field.
        layer: which of the layers the chosen unit belongs to, counted from 0.
        unit: row and column of the chosen unit in that layer, counted from 0.
        preset: the name of the network, one of `PRESETS`; empty where ``layers`` are none of them. Set it,
            and ``layers`` follow.
        presets: the networks to choose from; read-only.
        photograph: the picture, packed; read-only.

    Example:
        >>> widget = ReceptiveFieldWidget(layers=[{"kernel": 3}, {"kernel": 2, "stride": 2}])
        >>> widget.layer, widget.unit
        (1, [52, 85])
        >>> widget.layers[1]["name"], widget.preset
        ('conv2', '')
        >>> widget.preset = "AlexNet"
        >>> len(widget.layers)
        8
    """

    _slug = "receptive_fields"
    _title = "What a unit of a network sees: theoretical and effective receptive field"

    photograph = traitlets.Dict(read_only=True).tag(sync=True)
    presets = traitlets.List(traitlets.Dict(), read_only=True).tag(sync=True)
    layers = traitlets.List(traitlets.Dict()).tag(sync=True)
    layer = traitlets.Int().tag(sync=True)
    unit = traitlets.List(traitlets.Int()).tag(sync=True)
    preset = traitlets.Unicode().tag(sync=True)

    @traitlets.default("photograph")
    def _default_photograph(self) -> dict[str, Any]:
        return _photograph()

    @traitlets.default("presets")
    def _default_presets(self) -> list[Spec]:
        return [{"name": name, "layers": layers} for name, layers in PRESETS.items()]

    @traitlets.default("layers")
    def _default_layers(self) -> list[Spec]:
        return [dict(layer) for layer in PRESETS.get(self._trait_values.get("preset", ""), PRESETS["VGG-16"])]

    @traitlets.default("preset")
    def _default_preset(self) -> str:
        return self._name_of_layers()

    def _name_of_layers(self) -> str:
        return next((name for name, layers in PRESETS.items() if layers == self.layers), "")

    @traitlets.default("layer")
    def _default_layer(self) -> int:
        return len(self.layers) - 1

    @traitlets.default("unit")
    def _default_unit(self) -> list[int]:
        return self._unit_at_focus()

    def _counts(self) -> list[int]:
        """Rows and columns of units in the chosen layer."""
        return [units(self.layers, size)[self.layer + 1] for size in IMAGE_SIZE]

    def _unit_at_focus(self) -> list[int]:
        """The unit of the chosen layer whose field has its middle nearest to the eye."""
        size, stride, padding = (cast(float, number) for number in self.fields[self.layer])
        nearest = [math.floor((at - size / 2 + padding) / stride + 0.5) for at in FOCUS]
        return [min(max(n, 0), count - 1) for n, count in zip(nearest, self._counts(), strict=True)]

    @traitlets.validate("layers")
    def _check_layers(self, proposal: Any) -> list[Spec]:
        layers = [_checked_layer(layer, index) for index, layer in enumerate(proposal["value"])]
        if not 1 <= len(layers) <= MOST_LAYERS:
            raise traitlets.TraitError(f"layers must hold 1 to {MOST_LAYERS} layers; got {len(layers)}")
        for size in IMAGE_SIZE:
            units(layers, size)
        return layers

    @traitlets.validate("preset")
    def _check_preset(self, proposal: Any) -> str:
        name = proposal["value"]
        if name and name not in PRESETS:
            raise traitlets.TraitError(f"preset must be one of {'; '.join(PRESETS)}; got {name!r}")
        return name

    @traitlets.validate("layer")
    def _check_layer_index(self, proposal: Any) -> int:
        index = proposal["value"]
        if not 0 <= index < len(self.layers):
            raise traitlets.TraitError(f"layer must be 0 to {len(self.layers) - 1}; got {index}")
        return index

    @traitlets.validate("unit")
    def _check_unit(self, proposal: Any) -> list[int]:
        unit = list(proposal["value"])
        if len(unit) != 2:
            raise traitlets.TraitError(f"unit must be [row, column]; got {unit}")
        counts = self._counts()
        if not all(0 <= n < count for n, count in zip(unit, counts, strict=True)):
            raise traitlets.TraitError(
                f"unit must be [row, column] within {counts[0]} rows and {counts[1]} columns of layer "
                f"{self.layer} ({self.layers[self.layer]['name']}), counted from 0; got {unit}"
            )
        return unit

    @traitlets.observe("preset")
    def _follow_the_name(self, change: Any) -> None:
        if self.preset and self.layers != PRESETS[self.preset]:
            self.layers = [dict(layer) for layer in PRESETS[self.preset]]
        self.preset = self._name_of_layers()

    @traitlets.observe("layers", "layer")
    def _keep_a_unit(self, change: Any) -> None:
        """A unit that no longer exists gives way to the one at the eye, of this layer or of the last."""
        self.preset = self._name_of_layers()
        if not 0 <= self.layer < len(self.layers):
            self.layer = len(self.layers) - 1
        if any(n >= count for n, count in zip(self.unit, self._counts(), strict=True)):
            self.unit = self._unit_at_focus()

    @property
    def fields(self) -> list[ReceptiveField]:
        """Size, stride and padding after each layer, by `segcore.receptive_fields.receptive_field`."""
        from segcore.receptive_fields import Layer, receptive_field

        layers = [
            Layer(each["kernel"], each["stride"], each["padding"], each["dilation"], each["kind"] == "up")
            for each in self.layers
        ]
        return list(receptive_field(layers))
