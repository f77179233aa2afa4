r"""DeepLab and its rivals: look at one dense map through several windows at once, from a cell to the whole.

A trained classifier loses its last strides and gets dilations for them (:func:`segcore.dilation.dilate`), so
that its map has an *output stride* of 16 or 8 in place of 32. What stands on this map must judge things of
all sizes, and knows three ways:

- :class:`ASPP`, atrous spatial pyramid pooling: 3×3 filters of several dilations (*rates*) side by side, a
  1×1 filter, and the mean of the whole map. :class:`DeepLabV3` classifies what comes out (Chen et al. 2017),
  :class:`DeepLabV3Plus` first joins it with an early map of stride 4 (Chen et al. 2018).
- :class:`PyramidPooling`: means over 1, 4, 9 and 36 parts of the map, laid beside it. :class:`PSPNet` (Zhao
  et al. 2017) classifies that.
- :func:`multiscale`: the whole network, run on the image in several sizes and mirrored.

A rate that outgrows the map turns a 3×3 filter into a 1×1 filter: :func:`valid_weights` counts what is left.

`DeepLabV3` with 21 classes and ``aux`` holds torchvision's weights under torchvision's names. What differs
from the papers: no multi-grid, no separable convolutions, no Xception; ResNet has torchvision's stem. Left
out: the training recipe (crops of 513, the polynomial rate, a second training at output stride 8).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore import inputs
from segcore.dilation import dilate

__all__ = [
    "ASPP",
    "BACKBONES",
    "VOC_2012_TEST",
    "DeepLabV3",
    "DeepLabV3Plus",
    "DilatedBackbone",
    "PSPNet",
    "PyramidPooling",
    "deeplab_for_scenes",
    "multiscale",
    "small_backbone",
    "valid_weights",
    "with_auxiliary",
]

BACKBONES = ("resnet50", "resnet101", "small")
"""Backbones that go by a name: two of torchvision, and :func:`small_backbone`."""

OUTPUT_STRIDES = (8, 16, 32)
RATES = (6, 12, 18)  # at output stride 16

VOC_2012_TEST = {
    "FCN-8s": (2014.11, 62.2),
    "DeepLab": (2014.12, 71.6),
    "DeepLabv2": (2016.06, 79.7),
    "LC": (2017.04, 82.7),
    "TuSimple": (2017.02, 83.1),
    "Large Kernel Matters": (2017.03, 83.6),
    "Multipath-RefineNet": (2016.11, 84.2),
    "ResNet-38 MS-COCO": (2016.11, 84.9),
    "PSPNet": (2016.12, 85.4),
    "IDW-CNN": (2017.07, 86.3),
    "CASIA IVA SDN": (2017.08, 86.6),
    "DIS": (2017.10, 86.8),
    "DeepLabv3": (2017.06, 85.7),
    "DeepLabv3-JFT": (2017.06, 86.9),
    "DeepLabv3+ (Xception)": (2018.02, 87.8),
    "DeepLabv3+ (Xception-JFT)": (2018.02, 89.0),
    "Self-training": (2020.06, 90.5),
}
"""Mean IoU on the test images of PASCAL VOC 2012 in percent, after the year and month (2017.06 is June) in
which the method came out: the lecture's table (table 6 of Chen et al. 2018), what came before (FCN, DeepLab,
DeepLabv2) and one that came after (Zoph et al. 2020). They did not learn from the same data: most saw COCO
too, those called JFT 300 million photographs more, and self-training photographs without labels."""

SCENE_CLASSES, SCENE_WIDTH = 4, 12
SCENE_OPTIONS: dict[str, Any] = {"rates": (1, 2, 3), "channels": 48, "low_channels": 16}
STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
MAPS = {"layer1": "low", "layer3": "middle", "layer4": "high"}  # what is handed on, and under which name

# --- Windows of several sizes on one map ---


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: five looks at one map, laid side by side, and a 1×1 convolution.

    A 1×1 filter, a 3×3 filter for each rate, and *image pooling*: the mean over the map, a 1×1 filter, and
    the result at every place. Each with batch normalisation and ReLU.

    Args:
        in_channels: Of the map.
        rates: Dilations of the 3×3 filters. (6, 12, 18) were made for output stride 16; at 8 the cells lie
            half as far apart, and rates are doubled to see as much of the image. None leaves the 1×1 filter.
        channels: Of each branch, and of the result.
        image_pooling: Whether the mean over the map takes part.
        dropout: Probability, after the last ReLU.

    Attributes:
        convs: The branches.
        project: What makes one map of them.

    Example:
        >>> ASPP(8, channels=4).eval()(torch.rand(1, 8, 33, 33)).shape
        torch.Size([1, 4, 33, 33])
    """

    def __init__(
        self,
        in_channels: int,
        rates: Sequence[int] = RATES,
        channels: int = 256,
        image_pooling: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.in_channels = inputs.whole(in_channels, "in_channels")
        channels, given = inputs.whole(channels, "channels"), inputs.several(rates, "rates", "(6, 12, 18)")
        branches: list[nn.Module] = [_unit(in_channels, channels, 1)]
        branches += [_unit(in_channels, channels, 3, inputs.whole(rate, "rates")) for rate in given]
        if image_pooling:
            branches.append(_Pooled(1, in_channels, channels))
        self.convs = nn.ModuleList(branches)
        self.project = _unit(len(branches) * channels, channels, 1)
        self.project.append(nn.Dropout(inputs.number(dropout, "dropout", least=0, most=1)))

    def forward(self, x: Tensor) -> Tensor:
        """A map ``(N, in_channels, H, W)`` to one of ``channels``, of the same size."""
        inputs.image(x, "x", channels=self.in_channels)
        return self.project(torch.cat([branch(x) for branch in self.convs], dim=1))


class PyramidPooling(nn.Module):
    """Pyramid pooling: the map, and beside it its means over 1×1, 2×2, 3×3 and 6×6 parts.

    Each grid of means passes a 1×1 filter, which leaves it its share of the channels, batch normalisation
    and ReLU, and is up-sampled to the map's size. The result has twice the channels, if the bins divide them.

    Args:
        in_channels: Of the map.
        bins: Parts along each axis, for each grid. Where they do not divide the map, neighbours overlap by a
            cell, as in ``F.adaptive_avg_pool2d``.

    Attributes:
        channels: Of the result.

    Example:
        >>> PyramidPooling(8).eval()(torch.rand(1, 8, 12, 20)).shape
        torch.Size([1, 16, 12, 20])
    """

    def __init__(self, in_channels: int, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.in_channels = inputs.whole(in_channels, "in_channels")
        bins = inputs.several(bins, "bins", "(1, 2, 3, 6)")
        if not 0 < len(bins) <= in_channels:
            raise ValueError(
                f"expected 1 to {in_channels} bins, one channel each at least, got {len(bins)}; give others"
            )
        share = in_channels // len(bins)
        self.stages = nn.ModuleList(_Pooled(inputs.whole(each, "bins"), in_channels, share) for each in bins)
        self.channels = in_channels + len(bins) * share

    def forward(self, x: Tensor) -> Tensor:
        """A map ``(N, in_channels, H, W)`` to one of :attr:`channels`, of the same size."""
        inputs.image(x, "x", channels=self.in_channels)
        return torch.cat([x, *(stage(x) for stage in self.stages)], dim=1)


def valid_weights(size: int | tuple[int, int], rate: int) -> Tensor:
    """How many of a 3×3 filter's nine weights lie on the map, at each place: the others read padding.

    With a rate as large as the map only the one in the middle is left, and the filter is a 1×1 filter.

    Args:
        size: Height and width of the map, or one number for both.
        rate: The dilation.

    Returns:
        int64 ``(H, W)``, from 1 to 9.

    Example:
        >>> valid_weights((3, 4), rate=1)
        tensor([[4, 6, 6, 4],
                [6, 9, 9, 6],
                [4, 6, 6, 4]])
        >>> valid_weights(4, rate=3)
        tensor([[4, 2, 2, 4],
                [2, 1, 1, 2],
                [2, 1, 1, 2],
                [4, 2, 2, 4]])
    """
    height, width = inputs.pair(size, "size", axes="height, width")
    rate = inputs.whole(rate, "rate")
    rows, columns = (
        1 + (torch.arange(side) >= rate).long() + (torch.arange(side) < side - rate).long()
        for side in (height, width)
    )
    return rows[:, None] * columns


class _Pooled(nn.Sequential):
    """Means over n × n parts of a map, a unit of 1×1, and back to the map's size."""

    def __init__(self, parts: int, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(parts), *_unit(in_channels, out_channels, 1))
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        if self.parts == 1 and len(x) == 1 and self[2].training:
            raise ValueError(
                "expected two or more images in training mode, got a batch of 1: of one image, pooling "
                "leaves a single number a channel, which batch normalisation cannot normalise; enlarge the "
                "batch (drop_last=True for a DataLoader), or call model.eval() to predict"
            )
        return _resized(super().forward(x), x)


def _unit(in_channels: int, out_channels: int, kernel: int, rate: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; at stride 1 the map keeps its size."""
    around = rate * (kernel // 2)
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, around, rate, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels), nn.ReLU())


def _resized(x: Tensor, other: Tensor) -> Tensor:
    """The map as large as the other one."""
    return F.interpolate(x, other.shape[2:], mode="bilinear", align_corners=False)


# --- Backbones ---


class DilatedBackbone(nn.Module):
    """A ResNet without its classifier, that gives three maps.

    Args:
        network: A module with the stages of torchvision's ResNet (conv1, bn1, relu, maxpool, layer1 to
            layer4), which serve here as they are, weights included. Only its strides may go.
        output_stride: 32 as it is; for 16 and 8 the last strides become dilations.

    Attributes:
        channels: Of each map that ``forward`` returns, by name.

    Raises:
        TypeError: ``network`` is no module.
        ValueError: It lacks a stage, or the output stride is none of 8, 16, 32.

    Example:
        >>> maps = DilatedBackbone(small_backbone(width=4), output_stride=8)(torch.rand(1, 3, 60, 90))
        >>> {name: tuple(each.shape) for name, each in maps.items()}
        {'low': (1, 4, 15, 23), 'middle': (1, 16, 8, 12), 'high': (1, 32, 8, 12)}
    """

    def __init__(self, network: nn.Module, output_stride: int = 32) -> None:
        super().__init__()
        inputs.instance(network, "backbone", nn.Module, f"or one of the names {', '.join(BACKBONES)}")
        inputs.option(output_stride, "output_stride", OUTPUT_STRIDES)
        lacking = [name for name in STAGES if not hasattr(network, name)]
        if lacking:
            raise ValueError(
                f"expected a backbone with the stages of a ResNet, {', '.join(STAGES)}, got "
                f"{type(network).__name__} without {', '.join(lacking)}; give its parts these names"
            )
        stages = OrderedDict((name, getattr(network, name)) for name in STAGES)
        for name, stage in dilate(nn.Sequential(stages), output_stride).named_children():
            self.add_module(name, stage)
        self.channels = {
            name: _convolutions(getattr(self, stage))[-1].out_channels for stage, name in MAPS.items()
        }
        self.in_channels = _convolutions(self)[0].in_channels

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Images to maps: *low* of stride 4, *middle* before the last stage, *high* of the output stride."""
        inputs.image(image, channels=self.in_channels)
        x, maps = image, {}
        for name, stage in self.named_children():
            x = stage(x)
            if name in MAPS:
                maps[MAPS[name]] = x
        return maps


def _convolutions(stage: nn.Module) -> list[nn.Conv2d]:
    """All convolutions, in order."""
    return [each for each in stage.modules() if isinstance(each, nn.Conv2d)]


def small_backbone(in_channels: int = 3, width: int = 16) -> nn.Module:
    """The stages of a ResNet in small, of two convolutions each, for scenes that are learnt in a minute.

    Args:
        in_channels: Of the image.
        width: Channels of conv1 and layer1; layer2 to layer4 have 2, 4 and 8 times as many.
    """
    in_channels, width = inputs.whole(in_channels, "in_channels"), inputs.whole(width, "width")
    widths = [width * times for times in (1, 1, 2, 4, 8)]
    stages: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False),
        "bn1": nn.BatchNorm2d(width),
        "relu": nn.ReLU(),
        "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
    }
    for number, (before, after) in enumerate(itertools.pairwise(widths), 1):
        first = _unit(before, after, 3, stride=1 if number == 1 else 2)
        stages[f"layer{number}"] = nn.Sequential(*first, *_unit(after, after, 3))
    return nn.Sequential(OrderedDict(stages))


def _backbone(backbone: str | nn.Module, output_stride: int, pretrained: bool) -> DilatedBackbone:
    """The backbone of this name, or around this module, at this output stride."""
    inputs.option(output_stride, "output_stride", OUTPUT_STRIDES)
    if isinstance(backbone, str):
        inputs.option(backbone, "backbone", BACKBONES)
        if backbone != "small":
            import torchvision  # not before it is needed: it takes a second

            weights = "IMAGENET1K_V1" if pretrained else None
            return DilatedBackbone(getattr(torchvision.models, backbone)(weights=weights), output_stride)
        backbone = small_backbone()
    if pretrained:
        raise ValueError(
            "expected 'resnet50' or 'resnet101' with pretrained=True, got a backbone that has no weights to "
            "be fetched; load them into the module before"
        )
    return DilatedBackbone(backbone, output_stride)


# --- The networks ---


class _Network(nn.Module):
    """What the three networks share: a backbone, and during training a second, early classifier."""

    backbone: DilatedBackbone
    aux_classifier: nn.Module | None

    def _set_up(
        self, backbone: str | nn.Module, num_classes: int, aux: bool, output_stride: int, pretrained: bool
    ) -> None:
        inputs.whole(num_classes, "num_classes")
        self.backbone = _backbone(backbone, output_stride, pretrained)
        self.aux_classifier = None
        if aux:
            before = self.backbone.channels["middle"]
            self.aux_classifier = _head(before, max(before // 4, 1), num_classes)

    def _logits(self, maps: dict[str, Tensor]) -> Tensor:
        raise NotImplementedError

    def forward(self, image: Tensor) -> Any:
        """Images ``(N, C, H, W)`` to logits ``(N, num_classes, H, W)``; with ``aux``, in training, a pair."""
        maps = self.backbone(image)
        logits = _resized(self._logits(maps), image)
        if self.aux_classifier is None or not self.training:
            return logits
        return logits, _resized(self.aux_classifier(maps["middle"]), image)


class DeepLabV3(_Network):
    """DeepLabv3: a dilated backbone, ASPP, a 3×3 convolution, class scores, and up-sampling to the image.

    Args:
        backbone: A name of :data:`BACKBONES`, or a module as :class:`DilatedBackbone` takes it.
        num_classes: Channels of the output.
        aux: A second classifier on the backbone's *middle* map, for training alone: then ``forward`` gives a
            pair of logits, for which see :func:`with_auxiliary`.
        output_stride: 8, 16 or 32 pixels for each cell of the map that is classified.
        rates: Of ASPP. (6, 12, 18) times 16 / ``output_stride`` unless said; at 32 they are (3, 6, 9).
        channels: Of ASPP.
        pretrained: Fetch ImageNet's weights for the backbone, from the network.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: The backbone or output stride is unknown, or the backbone lacks a stage. In ``forward``:
            the image has other channels, or is alone in training mode.

    Example:
        >>> model = DeepLabV3("small", num_classes=4, channels=32).eval()
        >>> model(torch.rand(1, 3, 61, 90)).shape
        torch.Size([1, 4, 61, 90])
    """

    def __init__(
        self,
        backbone: str | nn.Module,
        num_classes: int,
        aux: bool = False,
        output_stride: int = 8,
        rates: Sequence[int] | None = None,
        channels: int = 256,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self._set_up(backbone, num_classes, aux, output_stride, pretrained)
        self.classifier = nn.Sequential(
            ASPP(self.backbone.channels["high"], _rates(rates, output_stride), channels),
            *_unit(channels, channels, 3),
            nn.Conv2d(channels, num_classes, 1),
        )

    def _logits(self, maps: dict[str, Tensor]) -> Tensor:
        return self.classifier(maps["high"])


class DeepLabV3Plus(_Network):
    """DeepLabv3+: what ASPP gives is up-sampled to stride 4, joined there with an early map, and classified.

    The early map passes a 1×1 filter that leaves it few channels, 48 in the paper, so that it adds outlines
    and does not outvote what ASPP says; two 3×3 convolutions refine the two together.

    Args:
        backbone, num_classes, aux, rates, channels, pretrained: As of :class:`DeepLabV3`.
        output_stride: Of the map that ASPP reads: 8, 16 or 32.
        low_channels: Of the early map, once it is reduced.

    Raises:
        TypeError, ValueError: As of :class:`DeepLabV3`.

    Example:
        >>> model = DeepLabV3Plus("small", num_classes=4, channels=32, low_channels=8).eval()
        >>> model(torch.rand(1, 3, 61, 90)).shape
        torch.Size([1, 4, 61, 90])
    """

    def __init__(
        self,
        backbone: str | nn.Module,
        num_classes: int,
        aux: bool = False,
        output_stride: int = 16,
        rates: Sequence[int] | None = None,
        channels: int = 256,
        low_channels: int = 48,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self._set_up(backbone, num_classes, aux, output_stride, pretrained)
        self.aspp = ASPP(self.backbone.channels["high"], _rates(rates, output_stride), channels)
        self.low = _unit(self.backbone.channels["low"], inputs.whole(low_channels, "low_channels"), 1)
        self.classifier = nn.Sequential(
            *_unit(low_channels + channels, channels, 3),
            *_unit(channels, channels, 3),
            nn.Conv2d(channels, num_classes, 1),
        )

    def _logits(self, maps: dict[str, Tensor]) -> Tensor:
        low = self.low(maps["low"])  # (N, low_channels, H / 4, W / 4)
        context = _resized(self.aspp(maps["high"]), low)
        return self.classifier(torch.cat([low, context], dim=1))


class PSPNet(_Network):
    """PSPNet: a dilated backbone, pyramid pooling, a 3×3 convolution, class scores, and up-sampling.

    Args:
        backbone, num_classes, aux, output_stride, pretrained: As of :class:`DeepLabV3`.
        bins: Of :class:`PyramidPooling`.
        channels: Of the 3×3 convolution; a quarter of the backbone's unless said (512 for ResNet-50).

    Raises:
        TypeError, ValueError: As of :class:`DeepLabV3`.

    Example:
        >>> PSPNet("small", num_classes=4).eval()(torch.rand(1, 3, 61, 90)).shape
        torch.Size([1, 4, 61, 90])
    """

    def __init__(
        self,
        backbone: str | nn.Module,
        num_classes: int,
        aux: bool = False,
        output_stride: int = 8,
        bins: Sequence[int] = (1, 2, 3, 6),
        channels: int | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self._set_up(backbone, num_classes, aux, output_stride, pretrained)
        high = self.backbone.channels["high"]
        self.pyramid = PyramidPooling(high, bins)
        between = max(high // 4, 1) if channels is None else channels
        self.classifier = _head(self.pyramid.channels, between, num_classes)

    def _logits(self, maps: dict[str, Tensor]) -> Tensor:
        return self.classifier(self.pyramid(maps["high"]))


def _rates(rates: Sequence[int] | None, output_stride: int) -> Sequence[int]:
    """The rates of the paper, which see as much of the image at every output stride."""
    return [rate * 16 // output_stride for rate in RATES] if rates is None else rates


def _head(before: int, between: int, num_classes: int) -> nn.Sequential:
    """A unit of 3×3, some dropout, class scores."""
    unit = _unit(before, inputs.whole(between, "channels"), 3)
    return nn.Sequential(*unit, nn.Dropout(0.1), nn.Conv2d(between, num_classes, 1))


def with_auxiliary(
    loss: Callable[[Tensor, Any], Tensor], weight: float = 0.4
) -> Callable[[Tensor | tuple[Tensor, Tensor], Any], Tensor]:
    """The loss of a network with an auxiliary classifier: of its logits, plus ``weight`` times the other's.

    Args:
        loss: Of logits and targets, such as :func:`segcore.train.cross_entropy`.
        weight: Of the auxiliary logits; 0.4 is PSPNet's.

    Example:
        >>> total = with_auxiliary(lambda logits, target: (logits - target).abs().mean())
        >>> float(total((torch.tensor([3.0]), torch.tensor([6.0])), 1.0))
        4.0
    """
    weight = inputs.number(weight, "weight", least=0)

    def total(outputs: Tensor | tuple[Tensor, Tensor], target: Any) -> Tensor:
        if isinstance(outputs, Tensor):
            return loss(outputs, target)
        return loss(outputs[0], target) + weight * loss(outputs[1], target)

    return total


# --- Predicting ---


@torch.no_grad()
def multiscale(
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
    flip: bool = True,
) -> Tensor:
    """Probabilities of classes, the mean over an image in several sizes, each also mirrored left to right.

    Each run's logits are mirrored back, resized to the image and turned into probabilities before they are
    averaged: an opinion that is sure of itself weighs more than one that is not, at any scale.

    Args:
        model: Images ``(N, C, h, w)`` to logits ``(N, K, h, w)``; a module must be in eval mode.
        image: ``(N, C, H, W)``.
        scales: Of height and width, rounded to whole pixels; the papers' unless said.
        flip: Whether each size is mirrored too.

    Returns:
        ``(N, K, H, W)``, without gradient.

    Raises:
        TypeError: ``image`` is no tensor, a scale no number, or ``model`` cannot be called.
        ValueError: The model is in training mode, or there is no scale, or one that is not above 0.

    Example:
        >>> image = torch.rand(1, 3, 20, 30)
        >>> multiscale(lambda x: x, image, scales=[1.0]).allclose(image.softmax(1))
        True
    """
    inputs.image(image)
    if not callable(model):
        raise TypeError(f"expected model as a function of images, got {model!r}; pass a network")
    if isinstance(model, nn.Module) and model.training:
        raise ValueError("expected model in eval mode, got training mode; call model.eval() first")
    sizes = [
        [max(1, round(inputs.number(scale, "scales", above=0) * side)) for side in image.shape[2:]]
        for scale in inputs.several(scales, "scales", "(0.5, 1.0)")
    ]
    if not sizes:
        raise ValueError("expected scales, at least one, got none; (1.0,) is the image as it is")
    found = []
    for size in sizes:
        resized = F.interpolate(image, size, mode="bilinear", align_corners=False)
        for mirrored in (False, True) if flip else (False,):
            logits = model(resized.flip(3) if mirrored else resized)
            logits = _resized(logits.flip(3) if mirrored else logits, image)
            found.append(logits.softmax(1))
    return torch.stack(found).mean(0)


def deeplab_for_scenes() -> DeepLabV3Plus:
    """A DeepLabv3+ that knows the four classes of the course's scenes, trained on 96×96 scenes, seed 0.

    Its weights come with the library, in half precision; ``benchmarks/trainings/deeplab.py`` makes them.

    Returns:
        The network in evaluation mode, on the processor: images (N, 3, H, W) to logits (N, 4, H, W).

    Raises:
        FileNotFoundError: The library was installed without its weights.

    Example:
        >>> deeplab_for_scenes()(torch.rand(1, 3, 96, 96)).shape
        torch.Size([1, 4, 96, 96])
    """
    path = files("segcore") / "data" / "weights" / "deeplab.pt"
    if not path.is_file():
        raise FileNotFoundError("the weights lie in segcore/data/weights; install the library whole")
    network = DeepLabV3Plus(small_backbone(3, SCENE_WIDTH), SCENE_CLASSES, **SCENE_OPTIONS)
    with path.open("rb") as file:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    return network.eval()
