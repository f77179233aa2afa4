r"""Skip connections: the deep layers know what, the shallow ones know where; both may vote on each pixel.

Five poolings leave one cell for 32 × 32 pixels. *Hypercolumns* (Hariharan et al. 2015) up-sample maps from
several depths to one size and stack them: every pixel gets a long vector to classify (:func:`hypercolumns`).
*FCN* (Long et al. 2015) turns each map into class scores by a 1×1 convolution first, which is the cheaper
order of the two, up-samples the coarse scores by 2 with a filter that learns, and adds::

    pool5 -> fc6 -> fc7 -> score_fr -> upscore32                                          FCN32s
                                    -> upscore2 + score_pool4 -> upscore16                FCN16s
                                                              -> upscore_pool4
                                                                   + score_pool3 -> upscore8    FCN8s

Layers have the paper's names. What we do as the paper does: up-sampling starts bilinear, the last one stays
so, those between learn (in the code that the authors released they too stay fixed); scores of pools start at
zero, so that a net that starts from a coarser one (:meth:`FCN16s.start_from`) starts with its predictions;
poolings round up.

What differs:

- *Borders.* The paper pads the image by 100 and lets fc6, 7×7, lose 6 cells; scores of pools are cropped by
  offsets (5, 9 and 31 in FCN-8s) until they fit. Here convolutions pad themselves, so that cell i of a map of
  stride s always covers pixels s i to s i + s; what rounding up has added lies at the right and below, and is
  cut off there. Before up-sampling the border is repeated once: bilinear up to the edge.
- *Scale.* Trained all at once, the paper's nets multiply pool4 by 0.01 and pool3 by 0.0001, since VGG's maps
  grow large. The compact backbone has batch normalisation and needs no such factors; with VGG train 32s, then
  16s, then 8s.
- The fixed up-sampling has a filter for each class by itself, not the zeros between classes.

Left out: hypercolumns on boxes with one classifier for each of K × K places.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore import inputs
from segcore.upsampling import bilinear_kernel

__all__ = [
    "Backbone",
    "FCN8s",
    "FCN16s",
    "FCN32s",
    "UpScore",
    "compact_backbone",
    "hypercolumns",
    "vgg_backbone",
]

STRIDE = 32  # pixels for each cell of pool5, along each axis: five poolings


def hypercolumns(features: Sequence[Tensor], size: int | tuple[int, int]) -> Tensor:
    """Up-sample maps to one size, bilinearly, and stack their channels.

    Column (y, x) of the result is the hypercolumn of a pixel: what each map says about its place. Pixel
    centres are aligned (``align_corners=False``), as maps of a network with padded convolutions are.

    Args:
        features: Maps ``(N, C_k, h_k, w_k)``, floating point; each may have its own C, h and w.
        size: Height and width of the result, or one number for both.

    Returns:
        ``(N, sum of C_k, *size)``, in the order of ``features``. Differentiable.

    Raises:
        TypeError: A map is no tensor, or ``features`` is a single one.
        ValueError: There is no map, they differ in N, dtype or device, one is of another rank, not floating
            point or empty, or a size is below 1.

    Example:
        >>> coarse, fine = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[5.0, 6.0, 7.0, 8.0]]]])
        >>> hypercolumns([coarse, fine], (1, 4))
        tensor([[[[0.0000, 0.2500, 0.7500, 1.0000]],
        <BLANKLINE>
                 [[5.0000, 6.0000, 7.0000, 8.0000]]]])
    """
    _check_features(features)
    size = inputs.pair(size, "size", axes="height, width")
    return torch.cat([_resized(each, size) for each in features], dim=1)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The map in this size; one that has it already is not copied, unless sizes are open (see `_pooled`)."""
    if x.shape[2:] == size and not torch.compiler.is_compiling():
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


# --- The nets ---


class _Scored(nn.Module):
    """What the three nets begin with: a backbone, and class scores of its last map."""

    def __init__(
        self, in_channels: int, num_classes: int, width: int = 16, backbone: Backbone | None = None
    ) -> None:
        super().__init__()
        num_classes = inputs.whole(num_classes, "num_classes")
        self.backbone = _backbone(in_channels, width, backbone)
        self.score_fr = nn.Conv2d(self.backbone.channels["fc7"], num_classes, 1)


class FCN32s(_Scored):
    """Class scores at stride 32, up-sampled by 32.

    Args:
        in_channels: Of the image.
        num_classes: Channels of the output.
        width: Channels of the compact backbone's first layer; see :func:`compact_backbone`.
        backbone: Used in place of the compact one, such as :func:`vgg_backbone` makes.

    Example:
        >>> FCN32s(3, num_classes=4)(torch.rand(1, 3, 50, 70)).shape
        torch.Size([1, 4, 50, 70])
    """

    def __init__(
        self, in_channels: int, num_classes: int, width: int = 16, backbone: Backbone | None = None
    ) -> None:
        super().__init__(in_channels, num_classes, width, backbone)
        self.upscore32 = UpScore(num_classes, 32, learned=False)

    def forward(self, image: Tensor) -> Tensor:
        """Images ``(N, C, H, W)``, H and W of 32 or more, to logits ``(N, num_classes, H, W)``."""
        maps = self.backbone(image)
        score_fr = self.score_fr(maps["fc7"])
        return _crop(self.upscore32(score_fr), image)


class FCN16s(_Scored):
    """Class scores at stride 32, up-sampled by 2, plus those of pool4, up-sampled by 16.

    Arguments as of :class:`FCN32s`.

    Example:
        >>> coarse = FCN32s(3, num_classes=4)
        >>> finer = FCN16s(3, num_classes=4).start_from(coarse)
        >>> finer(torch.rand(1, 3, 50, 70)).shape
        torch.Size([1, 4, 50, 70])
    """

    def __init__(
        self, in_channels: int, num_classes: int, width: int = 16, backbone: Backbone | None = None
    ) -> None:
        super().__init__(in_channels, num_classes, width, backbone)
        self.upscore2 = UpScore(num_classes, 2)
        self.score_pool4 = _zero(nn.Conv2d(self.backbone.channels["pool4"], num_classes, 1))
        self.upscore16 = UpScore(num_classes, 16, learned=False)

    def forward(self, image: Tensor) -> Tensor:
        """Images ``(N, C, H, W)``, H and W of 32 or more, to logits ``(N, num_classes, H, W)``."""
        maps = self.backbone(image)
        upscore2 = self.upscore2(self.score_fr(maps["fc7"]))
        score_pool4 = self.score_pool4(maps["pool4"])
        fuse_pool4 = score_pool4 + _crop(upscore2, score_pool4)
        return _crop(self.upscore16(fuse_pool4), image)

    def start_from(self, coarser: nn.Module) -> FCN16s:
        """Take over backbone and scores of a trained FCN32s; the first predictions are all but its own.

        (The two differ by how bilinear twice, by 2 and by 16, differs from bilinear once, by 32.)

        Raises:
            ValueError: ``coarser`` has another backbone or other classes.
        """
        _take_over(self, coarser, new=("upscore2.", "score_pool4.", "upscore16."))
        return self


class FCN8s(_Scored):
    """As :class:`FCN16s`; its sum is up-sampled by 2, the scores of pool3 are added, and that by 8.

    Arguments as of :class:`FCN32s`.

    Example:
        >>> FCN8s(3, num_classes=4)(torch.rand(1, 3, 50, 70)).shape
        torch.Size([1, 4, 50, 70])
    """

    def __init__(
        self, in_channels: int, num_classes: int, width: int = 16, backbone: Backbone | None = None
    ) -> None:
        super().__init__(in_channels, num_classes, width, backbone)
        self.upscore2 = UpScore(num_classes, 2)
        self.score_pool4 = _zero(nn.Conv2d(self.backbone.channels["pool4"], num_classes, 1))
        self.upscore_pool4 = UpScore(num_classes, 2)
        self.score_pool3 = _zero(nn.Conv2d(self.backbone.channels["pool3"], num_classes, 1))
        self.upscore8 = UpScore(num_classes, 8, learned=False)

    def forward(self, image: Tensor) -> Tensor:
        """Images ``(N, C, H, W)``, H and W of 32 or more, to logits ``(N, num_classes, H, W)``."""
        maps = self.backbone(image)
        upscore2 = self.upscore2(self.score_fr(maps["fc7"]))
        score_pool4 = self.score_pool4(maps["pool4"])
        fuse_pool4 = score_pool4 + _crop(upscore2, score_pool4)
        upscore_pool4 = self.upscore_pool4(fuse_pool4)
        score_pool3 = self.score_pool3(maps["pool3"])
        fuse_pool3 = score_pool3 + _crop(upscore_pool4, score_pool3)
        return _crop(self.upscore8(fuse_pool3), image)

    def start_from(self, coarser: nn.Module) -> FCN8s:
        """Take over backbone, scores and up-sampling of a trained FCN16s; see :meth:`FCN16s.start_from`.

        Raises:
            ValueError: ``coarser`` has another backbone or other classes.
        """
        _take_over(self, coarser, new=("upscore_pool4.", "score_pool3.", "upscore8."))
        return self


class UpScore(nn.ConvTranspose2d):
    """Up-sampling by an even factor, bilinear at the start: n cells become n times the factor.

    The border is repeated once before and cut off after, so that at the start it is
    ``F.interpolate(..., mode="bilinear", align_corners=False)`` everywhere. Weight ``(C, C, 2 f, 2 f)``.

    Args:
        channels: C, of input and output.
        factor: f.
        learned: False keeps it bilinear, each channel by itself: weight ``(C, 1, 2 f, 2 f)``.

    Raises:
        TypeError: A number is not whole.
        ValueError: It is too small, or the factor is odd.

    Example:
        >>> UpScore(1, 2)(torch.tensor([[[[0.0, 1.0]]]])).detach()[0, 0, 0]
        tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """

    def __init__(self, channels: int, factor: int, learned: bool = True) -> None:
        channels, factor = inputs.whole(channels, "channels"), inputs.whole(factor, "factor")
        tent = bilinear_kernel(factor, even=True)
        size, padding = 2 * factor, factor + factor // 2
        groups = 1 if learned else channels
        super().__init__(channels, channels, size, factor, padding, 0, groups, bias=False)
        own = torch.eye(channels) if learned else torch.ones(channels, 1)
        with torch.no_grad():
            self.weight.copy_(own[:, :, None, None] * tent)
        self.weight.requires_grad_(bool(learned))

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, f H, f W)``."""
        bordered = F.pad(x, (1, 1, 1, 1), mode="replicate")
        # A kernel of 64 × 64 takes many times as long in bfloat16.
        kind = x.device.type if torch.amp.is_autocast_available(x.device.type) else "cpu"
        with torch.autocast(kind, enabled=False):
            return super().forward(bordered.to(self.weight.dtype), output_size)


# --- Backbones ---


class Backbone(nn.Module):
    """Five stages that end in a pooling, and VGG's fully connected layers as convolutions.

    Args:
        stages: Five, each halving height and width, rounded up.
        fc6: Convolution of pool5.
        fc7: Convolution of fc6.
        dropout: Probability, after fc6 and fc7.

    Attributes:
        channels: Of each map that ``forward`` returns, by name.
    """

    def __init__(
        self, stages: Sequence[nn.Sequential], fc6: nn.Conv2d, fc7: nn.Conv2d, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stage1, self.stage2, self.stage3, self.stage4, self.stage5 = stages
        self.fc6, self.fc7 = fc6, fc7
        self.dropout = nn.Dropout(dropout)
        last = [[each for each in stage if isinstance(each, nn.Conv2d)][-1] for stage in stages]
        self.channels = {f"pool{k}": layer.out_channels for k, layer in enumerate(last, 1)}
        self.channels["fc7"] = fc7.out_channels
        self.in_channels: int = next(each for each in stages[0] if isinstance(each, nn.Conv2d)).in_channels

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Images ``(N, C, H, W)`` to maps by name: pool1 to pool5, of stride 2 to 32, and fc7, as pool5."""
        height, width = inputs.image(image, channels=self.in_channels).shape[2:]
        if height < STRIDE or width < STRIDE:
            raise ValueError(
                f"expected images of {STRIDE} × {STRIDE} pixels or more, got {height} × {width}: five "
                "poolings leave not one whole cell; pad or enlarge them"
            )
        pool1 = _pooled(self.stage1, image)  # (N, C_1, H / 2, W / 2), rounded up
        pool2 = _pooled(self.stage2, pool1)
        pool3 = _pooled(self.stage3, pool2)
        pool4 = _pooled(self.stage4, pool3)
        pool5 = _pooled(self.stage5, pool4)  # (N, C_5, H / 32, W / 32)
        fc6 = self.dropout(F.relu(self.fc6(pool5)))
        fc7 = self.dropout(F.relu(self.fc7(fc6)))
        return {"pool1": pool1, "pool2": pool2, "pool3": pool3, "pool4": pool4, "pool5": pool5, "fc7": fc7}


def compact_backbone(in_channels: int = 3, width: int = 16) -> Backbone:
    """A backbone that learns small scenes in a minute: a convolution a stage, with batch normalisation.

    Args:
        in_channels: Of the image.
        width: Channels of the first stage; the stages have 1, 2, 4, 8 and 8 times as many, fc6 (3×3 here)
            and fc7 12 times. At 16: 16, 32, 64, 128, 128 and 192, half a million parameters in all.
    """
    widths, width = [inputs.whole(in_channels, "in_channels")], inputs.whole(width, "width")
    widths += [width * times for times in (1, 2, 4, 8, 8)]
    stages = [
        nn.Sequential(
            OrderedDict(
                {
                    f"conv{k}_1": nn.Conv2d(widths[k - 1], widths[k], 3, padding=1, bias=False),
                    f"norm{k}_1": nn.BatchNorm2d(widths[k]),
                    f"relu{k}_1": nn.ReLU(),
                    f"pool{k}": nn.MaxPool2d(2, ceil_mode=True),
                }
            )
        )
        for k in range(1, 6)
    ]
    fc6 = nn.Conv2d(widths[-1], 12 * width, 3, padding=1)
    return Backbone(stages, fc6, nn.Conv2d(12 * width, 12 * width, 1))


def vgg_backbone(vgg: nn.Module, dropout: float = 0.5) -> Backbone:
    """The backbone of the paper: a VGG with its fully connected layers as convolutions.

    For those who have the weights::

        from torchvision.models import VGG16_Weights, vgg16

        vgg = vgg16(weights=VGG16_Weights.IMAGENET1K_V1)
        model = FCN32s(3, num_classes=21, backbone=vgg_backbone(vgg))

    Images must be normalised as the weights want it. fc6 is 7×7 and padded by 3: where its window lies
    inside pool5, fc7 is what the classifier computes from that window.

    Args:
        vgg: torchvision's VGG-16, or any of its VGGs. It stays as it is: all layers are copied.
        dropout: Probability, after fc6 and fc7.

    Raises:
        ValueError: It does not have five poolings and two fully connected layers before its scores.
    """
    features, classifier = getattr(vgg, "features", None), getattr(vgg, "classifier", None)
    linear = [each for each in classifier or [] if isinstance(each, nn.Linear)]
    stages = _vgg_stages(features or [])
    if len(stages) != 5 or len(linear) != 3:
        raise ValueError(
            f"expected a VGG, with five poolings in vgg.features and three linear layers in vgg.classifier, "
            f"got {type(vgg).__name__} with {len(stages)} and {len(linear)}; give torchvision.models.vgg16()"
        )
    channels = [each for each in stages[-1] if isinstance(each, nn.Conv2d)][-1].out_channels
    side = round((linear[0].in_features / channels) ** 0.5)  # 7 for all of torchvision's
    return Backbone(stages, _as_conv(linear[0], channels, side), _as_conv(linear[1], None, 1), dropout)


def _vgg_stages(features: Any) -> list[nn.Sequential]:
    """Copies of the layers, from one pooling to the next, with the paper's names."""
    stages: list[nn.Sequential] = []
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    names = {nn.Conv2d: "conv", nn.BatchNorm2d: "norm", nn.ReLU: "relu"}
    for layer in features:
        stage = len(stages) + 1
        if isinstance(layer, nn.MaxPool2d):
            layers[f"pool{stage}"] = pool = copy.deepcopy(layer)
            pool.ceil_mode = True  # the same where sizes are even
            stages.append(nn.Sequential(layers))
            layers = OrderedDict()
        else:
            name = names.get(type(layer), type(layer).__name__.lower())
            count = sum(each.startswith(name) for each in layers) + 1
            layers[f"{name}{stage}_{count}"] = copy.deepcopy(layer)
    return stages


def _as_conv(linear: nn.Linear, channels: int | None, side: int) -> nn.Conv2d:
    """A linear layer on flattened maps ``(channels, side, side)`` as a convolution."""
    conv = nn.Conv2d(channels or linear.in_features, linear.out_features, side, padding=side // 2)
    with torch.no_grad():
        conv.weight.copy_(linear.weight.view_as(conv.weight))
        assert conv.bias is not None
        conv.bias.copy_(linear.bias)
    return conv


# --- Parts ---


def _backbone(in_channels: int, width: int, backbone: Backbone | None) -> Backbone:
    """The backbone given, or a compact one."""
    if backbone is None:
        return compact_backbone(in_channels, width)
    cure = "make one with compact_backbone or vgg_backbone"
    if inputs.instance(backbone, "backbone", Backbone, cure).in_channels != in_channels:
        raise ValueError(
            f"expected a backbone for {in_channels} channels, got one for {backbone.in_channels}; give "
            f"in_channels={backbone.in_channels}"
        )
    return backbone


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that gives zero at the start: what is added to its output is at first unchanged."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _pooled(stage: nn.Sequential, x: Tensor) -> Tensor:
    """The map after a stage, which ends with a pooling that rounds up.

    With open sizes torch.export cannot prove of such a pooling that its last window begins inside the map.
    With -∞ added at the right and below, rounding down is the same. (Open sizes begin at 33 pixels: torch
    takes a map of a single cell for a case of its own.)
    """
    pool = stage[-1]
    if not (torch.compiler.is_compiling() and isinstance(pool, nn.MaxPool2d) and pool.ceil_mode):
        return stage(x)
    down, right = inputs.pair(pool.stride, "stride")
    x = F.pad(stage[:-1](x), (0, right - 1, 0, down - 1), value=-torch.inf)
    return F.max_pool2d(x, pool.kernel_size, pool.stride, pool.padding, pool.dilation)


def _crop(x: Tensor, to: Tensor) -> Tensor:
    """The upper left part of x, as large as ``to``; rounding up has added at most a cell below and right."""
    if torch.compiler.is_compiling():  # nor that a map is large enough to be cut
        return F.pad(x, (0, to.shape[3] - x.shape[3], 0, to.shape[2] - x.shape[2]))
    return x[:, :, : to.shape[2], : to.shape[3]]


def _take_over(net: nn.Module, coarser: nn.Module, new: tuple[str, ...]) -> None:
    """Copy all that net has in common with a coarser one; only names that begin as in ``new`` may be new."""
    theirs, ours = coarser.state_dict(), net.state_dict()
    for name, value in ours.items():
        if name.startswith(new):
            continue
        if name not in theirs or theirs[name].shape != value.shape:
            got = f"shape {tuple(theirs[name].shape)}" if name in theirs else "none"
            raise ValueError(
                f"expected {name} of shape {tuple(value.shape)} in {type(coarser).__name__}, got {got}; "
                "start from the next coarser net with the same backbone and classes"
            )
    net.load_state_dict({name: theirs.get(name, value) for name, value in ours.items()})


# --- What comes in ---


def _check_features(features: Sequence[Tensor]) -> None:
    """Refuse maps that cannot be stacked."""
    if isinstance(features, Tensor):
        raise TypeError("expected a list of maps, got a single tensor; give [features]")
    if not isinstance(features, Sequence) or isinstance(features, str):
        raise TypeError(f"expected features as a list of maps, got {type(features).__name__}; give [map]")
    if len(features) == 0:
        raise ValueError("expected at least one map, got none; give [map]")
    for k, each in enumerate(features):
        inputs.floating(each, f"features[{k}]", "N C h w")
        inputs.same_kind(each, f"features[{k}]", features[0], "features[0]")
        if each.shape[0] != features[0].shape[0]:
            raise ValueError(
                f"expected maps of one batch size, got {features[0].shape[0]} in features[0] and "
                f"{each.shape[0]} in features[{k}]; make them alike"
            )
