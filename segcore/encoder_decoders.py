r"""Encoder-decoders: a network that goes down for the class comes back up for the place.

An encoder pools: each step halves the map and doubles the channels, so that the field grows and the place is
lost. A decoder mirrors it, step by step, and at each step gets back from the encoder what was lost there:

- :class:`UNet` (Ronneberger et al. 2015) the encoder's *map*, concatenated;
- :class:`DeconvNet` (Noh et al. 2015) and :class:`SegNet` (Badrinarayanan et al. 2017) only the *places* of
  the maxima, the pooling's switches (:func:`segcore.upsampling.max_unpool2d`).

All three predict once, at the end, at the size of the image. Beside them stands what they are trained with:
losses that a rare class survives (:func:`dice_loss`, :func:`focal_loss`, :func:`lovasz_softmax`), weights
(:func:`class_weights`, :func:`border_weights`), and the prediction of images of any size by overlapping tiles
(:func:`overlap_tile`).

What was changed: batch normalisation, which the first U-Net had not, is an option that is on; and pooling
rounds odd sizes up, the decoder crops, so that ``padding="same"`` takes any image. Left out: dropout, elastic
deformations, and DeconvNet's proposals and its training in two stages.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from segcore import inputs
from segcore.upsampling import max_unpool2d

__all__ = [
    "DeconvNet",
    "SegNet",
    "UNet",
    "border_weights",
    "center_crop",
    "class_weights",
    "dice_loss",
    "focal_loss",
    "lovasz_gradient",
    "lovasz_softmax",
    "overlap_tile",
]


LEAST = 4
"""Side of the smallest output of a U-Net without padding; larger ones are larger by multiples of 2^depth."""


# --- U-Net ---


class UNet(nn.Module):
    """U-Net: an encoder, a decoder, and at each size a skip from the one to the other.

    Encoder step: two 3×3 convolutions, then 2×2 max pooling; ``width`` channels at first, doubled after each
    pooling. Decoder step: a 2×2 up-convolution that halves the channels, the encoder's map of that size
    beside it, two 3×3 convolutions. A 1×1 convolution predicts, once, at the end.

    With ``padding="valid"``, as in the paper, convolutions are unpadded: each output pixel has seen nothing
    but image, the output is smaller by :attr:`margin` pixels on each side, and skips are cropped to fit.
    Only some sizes fit (572, 556, 540, ... at depth 4); others are refused, for :func:`overlap_tile` to cut.
    With ``padding="same"`` any size goes in and the same size comes out.

    The paper's network is ``UNet(1, 2, padding="valid", batch_norm=False)``: 31,030,658 parameters, 572 to
    388 pixels.

    Args:
        in_channels: Of the image.
        num_classes: Channels of the output.
        width: Channels of the first map.
        depth: How many times it pools.
        padding: ``"same"`` (zeros around each map) or ``"valid"`` (none).
        fusion: What becomes of a skip: ``"concatenate"``, ``"sum"`` (half the input channels of the decoder's
            first convolutions) or ``"none"`` (no skips, for comparison).
        batch_norm: Batch normalisation between each convolution and its ReLU. It lets the network learn at
            ten times the rate; the paper has none.

    Attributes:
        encoder: The encoder's blocks; the last one stands at the bottom.
        up: The up-convolutions, from the bottom upwards.
        decoder: The decoder's blocks, likewise.
        score: The 1×1 convolution.

    Raises:
        TypeError: A number is not whole.
        ValueError: It is too small, or an option is unknown.

    Example:
        >>> image = torch.rand(1, 3, 61, 90)
        >>> UNet(3, 4, width=4)(image).shape
        torch.Size([1, 4, 61, 90])
        >>> UNet(1, 2, width=2, padding="valid")(torch.rand(1, 1, 572, 572)).shape
        torch.Size([1, 2, 388, 388])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int = 64,
        depth: int = 4,
        padding: str = "same",
        fusion: str = "concatenate",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels = inputs.whole(in_channels, "in_channels")
        self.depth = inputs.whole(depth, "depth")
        self.padding = inputs.option(padding, "padding", ("same", "valid"))
        self.fusion = inputs.option(fusion, "fusion", ("concatenate", "sum", "none"))
        widths = [inputs.whole(width, "width") * 2**level for level in range(self.depth + 1)]
        rising = widths[-2::-1]
        times = 2 if fusion == "concatenate" else 1
        around = 1 if padding == "same" else 0
        self.encoder = nn.ModuleList(
            _convolutions([a, b, b], around, batch_norm)
            for a, b in zip([self.in_channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in rising)
        self.decoder = nn.ModuleList(_convolutions([times * c, c, c], around, batch_norm) for c in rising)
        self.score = nn.Conv2d(widths[0], inputs.whole(num_classes, "num_classes"), 1)
        _start_as_he(self)

    @property
    def margin(self) -> int:
        """Pixels that the output lacks on each side: 0, or for valid 6 · 2^depth - 4 (92 at depth 4)."""
        return 6 * 2**self.depth - 4 if self.padding == "valid" else 0

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, num_classes, H', W')`` of images ``(N, in_channels, H, W)``."""
        inputs.image(image, channels=self.in_channels)
        if self.padding == "valid":
            self._check_size(image)
        x, skips = image, []
        for block in self.encoder[:-1]:
            skips.append(block(x))
            x = _halved(skips[-1])
        x = self.encoder[-1](x)
        for up, block, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            x = block(self._fuse(up(x), skip))
        return self.score(x)

    def _fuse(self, x: Tensor, skip: Tensor) -> Tensor:
        """The decoder's map and the encoder's, brought to one size."""
        if self.padding == "valid":
            skip = center_crop(skip, x.shape[2:])
        else:
            x = _cut(x, *skip.shape[2:])
        if self.fusion == "concatenate":
            return torch.cat([skip, x], dim=1)
        return skip + x if self.fusion == "sum" else x

    def _check_size(self, image: Tensor) -> None:
        """Refuse sizes that do not halve evenly at each pooling, or that leave nothing."""
        step, least = 2**self.depth, 2 * self.margin + LEAST
        for name, size in zip(("height", "width"), image.shape[2:], strict=True):
            if size < least:
                raise ValueError(
                    f"expected an image of at least {least} by {least} pixels for padding='valid' at depth "
                    f"{self.depth}, got a {name} of {size}; use overlap_tile, a smaller depth, or "
                    "padding='same'"
                )
            rest = (size - least) % step
            if rest:
                raise ValueError(
                    f"expected a {name} that halves evenly at each of {self.depth} poolings, {least} plus a "
                    f"multiple of {step}, got {size}; the next that fit are {size - rest} and "
                    f"{size - rest + step}, or use overlap_tile, which takes any"
                )


def _halved(x: Tensor) -> Tensor:
    """2×2 max pooling that rounds odd sizes up."""
    if torch.compiler.is_compiling():  # ceil_mode asks of free sizes what torch.export cannot prove
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 2)
    return F.max_pool2d(x, 2, ceil_mode=True)


def _cut(x: Tensor, height: int, width: int) -> Tensor:
    """The upper left of a map that is a row or a column too large, where the pooling rounded up."""
    if torch.compiler.is_compiling():  # and so does a slice
        rows, columns = (torch.arange(size, device=x.device) for size in (height, width))
        return x.index_select(2, rows).index_select(3, columns)
    return x[..., :height, :width]


def center_crop(x: Tensor, size: int | Sequence[int]) -> Tensor:
    """The middle of a map: a skip for U-Net's decoder, or the truth for an output that lost its margin.

    Args:
        x: ``(..., H, W)``.
        size: Height and width, or one number for both. Where the difference is odd, the rest is cut below and
            on the right.

    Returns:
        ``(..., *size)``, a view.

    Raises:
        TypeError: ``x`` is no tensor, or ``size`` not whole.
        ValueError: ``size`` is below 1 or larger than the map, or ``x`` has no height and width.

    Example:
        >>> center_crop(torch.arange(25).reshape(5, 5), 3)
        tensor([[ 6,  7,  8],
                [11, 12, 13],
                [16, 17, 18]])
    """
    inputs.tensor(x, "x", "... H W")
    height, width = inputs.pair(size, "size", axes="height, width")
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    if top < 0 or left < 0:
        least, found = f"{height} by {width}", tuple(x.shape[-2:])
        raise ValueError(f"expected a map of at least {least}, got {found}; exchange the two?")
    return x[..., top : top + height, left : left + width]


@torch.no_grad()
def overlap_tile(model: UNet, image: Tensor, tile: int = 256) -> Tensor:
    """Predict an image of any size tile by tile; the tiles overlap in what goes in, not in what comes out.

    Each tile is cut with all the image that its pixels see. So the result is that of one run over the whole
    image, to rounding, whatever the tile, provided that the model is in eval mode and that tiles begin at
    multiples of 2^depth, as the pooling does. (The tile is rounded up to one.)

    - ``padding="valid"``: beyond its border the image is mirrored (the paper's *overlap-tile strategy*). The
      result is ``model(mirrored image)``, and has the size of the image.
    - ``padding="same"``: tiles take 6 · 2^depth pixels more on each side, as far as there are any, and what
      these are worth is cut off. The result is ``model(image)``.

    Args:
        model: A :class:`UNet` in eval mode.
        image: ``(N, C, H, W)`` or ``(C, H, W)``.
        tile: Side of the tiles that are put together, in output pixels. Memory grows with its square; a
            small one computes much of the image several times.

    Returns:
        Logits ``(N, num_classes, H, W)`` or ``(num_classes, H, W)``, without gradient.

    Raises:
        TypeError: ``model`` is no UNet, or ``image`` no tensor.
        ValueError: The model is in training mode, ``image`` is no image, or ``tile`` is below 1.

    Example:
        >>> model = UNet(3, 2, width=4, depth=2).eval()
        >>> image = torch.rand(3, 70, 90)
        >>> torch.allclose(overlap_tile(model, image, tile=32), model(image[None])[0], atol=1e-5)
        True
    """
    inputs.instance(model, "model", UNet, "give the UNet itself")
    if model.training:
        raise ValueError("expected model in eval mode, got training mode; call model.eval() first")
    if isinstance(image, Tensor) and image.dim() == 3:
        return overlap_tile(model, image[None], tile)[0]
    inputs.image(image, channels=model.in_channels)
    step = 2**model.depth
    tile = -(-inputs.whole(tile, "tile") // step) * step
    run = _valid_tile if model.padding == "valid" else _same_tile
    rows = [
        torch.cat([run(model, image, y, x, tile) for x in range(0, image.shape[3], tile)], dim=3)
        for y in range(0, image.shape[2], tile)
    ]
    return torch.cat(rows, dim=2)


def _same_tile(model: UNet, image: Tensor, y: int, x: int, tile: int) -> Tensor:
    """The tile at (y, x) from as much image around it as it sees."""
    seen = 6 * 2**model.depth
    above, left = min(seen, y), min(seen, x)
    part = image[..., y - above : y + tile + seen, x - left : x + tile + seen]
    return model(part)[..., above : above + tile, left : left + tile]


def _valid_tile(model: UNet, image: Tensor, y: int, x: int, tile: int) -> Tensor:
    """The tile at (y, x) from the image mirrored at its borders."""
    margin, step = model.margin, 2**model.depth
    whole = -(-(tile - LEAST) // step) * step + LEAST
    rows, columns = (
        _mirrored(torch.arange(start - margin, start + whole + margin, device=image.device), size)
        for start, size in zip((y, x), image.shape[2:], strict=True)
    )
    part = image[:, :, rows][..., columns]
    height, width = min(tile, image.shape[2] - y), min(tile, image.shape[3] - x)
    return model(part)[..., :height, :width]


def _mirrored(index: Tensor, size: int) -> Tensor:
    """Bring indices into 0 ... size - 1 by reflection at the outermost pixels, as often as needed."""
    period = max(2 * (size - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)


# --- Networks that unpool ---


class _Unpooling(nn.Module):
    """What DeconvNet and SegNet share: VGG-16's convolutions, and their mirror image with switches."""

    def __init__(self, in_channels: int, num_classes: int, width: int, depth: int, batch_norm: bool) -> None:
        super().__init__()
        self.in_channels = inputs.whole(in_channels, "in_channels")
        self.depth = inputs.whole(depth, "depth")
        widths = [inputs.whole(width, "width") * min(2**level, 8) for level in range(self.depth)]
        self.channels = widths[-1]
        counts = [2 if level < 2 else 3 for level in range(self.depth)]
        falling, rising = [self.in_channels, *widths], [*reversed(widths), widths[0]]
        self.encoder = nn.ModuleList(
            _convolutions([a, *[b] * count], 1, batch_norm)
            for a, b, count in zip(falling[:-1], falling[1:], counts, strict=True)
        )
        self.decoder = nn.ModuleList(
            _convolutions([*[a] * count, b], 1, batch_norm)
            for a, b, count in zip(rising[:-1], rising[1:], reversed(counts), strict=True)
        )
        self.score = nn.Conv2d(widths[0], inputs.whole(num_classes, "num_classes"), 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, num_classes, H, W)`` of images ``(N, in_channels, H, W)``."""
        inputs.image(image, channels=self.in_channels)
        x, switches = image, []
        for block in self.encoder:
            x = block(x)
            size = x.shape[2:]
            x, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            switches.append((indices, size))
        x = self.bottom(x)
        for block, (indices, size) in zip(self.decoder, reversed(switches), strict=True):
            x = block(max_unpool2d(x, indices, 2, output_size=tuple(size)))
        return self.score(x)

    def bottom(self, x: Tensor) -> Tensor:
        """What stands between encoder and decoder."""
        return x


class SegNet(_Unpooling):
    """SegNet: VGG-16's convolutions, and a decoder that unpools with their switches.

    The encoder keeps of each pooling only *where* the maxima stood. The decoder puts its values back there
    and lets convolutions fill what is between. So there are no maps to be kept and no up-sampling filters to
    be learnt. Any image size; the size comes out that goes in.

    The last layer is a 1×1 convolution after the decoder's last block of two 3×3; in the paper it is the
    second of these. At the paper's size (``width=64, depth=5``) it has 29.5 million parameters.

    Args:
        in_channels: Of the image.
        num_classes: Channels of the output.
        width: Channels of the first map; the next have 2, 4, 8 and 8 times as many.
        depth: How many times it pools; stages of 2, 2, 3, 3, 3, ... convolutions.
        batch_norm: Batch normalisation between each convolution and its ReLU, as in the paper.

    Raises:
        TypeError: A number is not whole.
        ValueError: It is too small.

    Example:
        >>> SegNet(3, 4, width=4, depth=3)(torch.rand(1, 3, 61, 90)).shape
        torch.Size([1, 4, 61, 90])
    """

    def __init__(
        self, in_channels: int, num_classes: int, width: int = 64, depth: int = 5, batch_norm: bool = True
    ) -> None:
        super().__init__(in_channels, num_classes, width, depth, batch_norm)
        _start_as_he(self)


class DeconvNet(_Unpooling):
    """DeconvNet: VGG-16 with its fully connected layers, and all of it mirrored, unpooling with switches.

    Between the two halves stand ``fc6``, a convolution as large as the last map, ``fc7``, 1×1, and
    ``deconv_fc6``, an up-convolution that paints the map again. At the paper's size an image of 224 × 224 has
    7 × 7 cells there, which become one vector of 4096. Larger images get a map of such vectors, one for each
    window. The decoder's "deconvolutions" of stride 1 are plain convolutions here: with stride 1, a
    convolution with the flipped filter is the same.

    Args:
        in_channels: Of the image.
        num_classes: Channels of the output.
        width: Channels of the first map; the next have 2, 4, 8 and 8 times as many.
        depth: How many times it pools; stages of 2, 2, 3, 3, 3, ... convolutions.
        kernel: Side of ``fc6``. Images need ``kernel`` cells after the last pooling: 224 pixels for 7 cells
            at depth 5 (193 round up to it).
        hidden: Channels of ``fc6`` and ``fc7``; 64 times the width if not told (4096 at width 64).
        batch_norm: Batch normalisation between each convolution and its ReLU, as in the paper.

    Raises:
        TypeError: A number is not whole.
        ValueError: It is too small; in ``forward``, an image is (the message names the least size).

    Example:
        >>> DeconvNet(3, 4, width=4, depth=4, kernel=4)(torch.rand(1, 3, 64, 90)).shape
        torch.Size([1, 4, 64, 90])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int = 64,
        depth: int = 5,
        kernel: int = 7,
        hidden: int | None = None,
        batch_norm: bool = True,
    ) -> None:
        super().__init__(in_channels, num_classes, width, depth, batch_norm)
        self.kernel = inputs.whole(kernel, "kernel")
        hidden = 64 * width if hidden is None else inputs.whole(hidden, "hidden")
        self.fc6 = _convolution(nn.Conv2d(self.channels, hidden, self.kernel), batch_norm)
        self.fc7 = _convolution(nn.Conv2d(hidden, hidden, 1), batch_norm)
        self.deconv_fc6 = _convolution(nn.ConvTranspose2d(hidden, self.channels, self.kernel), batch_norm)
        _start_as_he(self)

    def bottom(self, x: Tensor) -> Tensor:
        """``fc6``, ``fc7`` and back."""
        if min(x.shape[2:]) < self.kernel:
            least = (self.kernel - 1) * 2**self.depth + 1
            raise ValueError(
                f"expected an image of at least {least} by {least} pixels for {self.kernel} by {self.kernel} "
                f"cells after {self.depth} poolings, got {tuple(x.shape[2:])} cells there; give larger "
                "images, or build DeconvNet with a smaller kernel or depth"
            )
        return self.deconv_fc6(self.fc7(self.fc6(x)))


# --- What they are made of ---


def _convolutions(channels: Sequence[int], padding: int, batch_norm: bool) -> nn.Sequential:
    """3×3 convolutions from each number of channels to the next."""
    layers = (
        _convolution(nn.Conv2d(a, b, 3, padding=padding), batch_norm) for a, b in itertools.pairwise(channels)
    )
    return nn.Sequential(*(layer for block in layers for layer in block))


def _convolution(layer: nn.Conv2d | nn.ConvTranspose2d, batch_norm: bool) -> nn.Sequential:
    """A convolution, batch normalisation where it is wanted, and a ReLU."""
    normalisation = [nn.BatchNorm2d(layer.out_channels)] if batch_norm else []
    return nn.Sequential(layer, *normalisation, nn.ReLU(inplace=True))


def _start_as_he(network: nn.Module) -> None:
    """Weights as in the U-Net paper: normal, with a variance of 2 over the number of inputs to an output."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            inputs = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.in_channels
            nn.init.normal_(layer.weight, std=(2 / inputs) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


# --- Losses ---


def dice_loss(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    r"""One minus the Dice coefficient of probabilities, averaged over the classes that occur.

    With p the softmax of the logits and g the truth as 0 and 1, over all pixels of the batch that count,

    .. math:: 1 - \frac{1}{|C|} \sum_{c \in C} \frac{2 \sum_i p_{ic} g_{ic}}{\sum_i p_{ic} + \sum_i g_{ic}}.

    Each class weighs the same, however few its pixels. For sure predictions it is one minus the mean Dice
    coefficient of the classes in the truth. Milletari et al. 2016 (V-Net) square p and g in the denominator;
    this is the plain form of Drozdzal et al. 2016. No smoothing: the denominator is at least 1.

    Args:
        logits: ``(N, C, H, W)``, floating point.
        target: int64 ``(N, H, W)``.
        ignore_index: Label of pixels that do not count.

    Returns:
        A number from 0 to 1, float32 for half precision; 0 with a gradient of 0 where no pixel counts. (A
        metric of nothing is NaN, but a loss of NaN would spoil the weights for one empty batch.)

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes do not fit, or a label is neither a class nor ignored.

    Example:
        >>> logits = torch.tensor([[9.0, 9.0, 9.0, -9.0], [-9.0, -9.0, -9.0, 9.0]]).reshape(1, 2, 1, 4)
        >>> dice_loss(logits, torch.tensor([[[0, 0, 1, 255]]]))  # Dice of 4/5 and of 0
        tensor(0.6000)
    """
    scores, labels = _counted(logits, target, ignore_index)
    p, truth = scores.softmax(1), _one_hot(labels, scores)
    overlap = (p * truth).sum(0)  # (C,)
    pixels = truth.sum(0)
    dice = 2 * overlap / (p.sum(0) + pixels).clamp(min=1)
    present = pixels > 0
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def focal_loss(
    logits: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    r"""Cross entropy that loses interest in what is already right (Lin et al. 2017).

    A pixel of class y with probability :math:`p_y` costs :math:`w_y (1 - p_y)^\gamma (-\log p_y)`. With
    ``gamma=0`` it is cross entropy, with 2 a pixel at :math:`p_y = 0.9` counts a hundredth of that. The mean
    is taken as cross entropy takes it, divided by the sum of the weights; Lin et al. divide by the number of
    boxes.

    Args:
        logits: ``(N, C, H, W)``, floating point.
        target: int64 ``(N, H, W)``.
        gamma: 0 or more.
        weight: ``(C,)``, one number for each class; such as :func:`class_weights`.
        ignore_index: Label of pixels that do not count.

    Returns:
        A number, float32 for half precision; 0 with a gradient of 0 where no pixel counts.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes do not fit, ``gamma`` is negative, or a label is neither a class nor ignored.

    Example:
        >>> logits, target = torch.tensor([[[[0.0]], [[0.0]]]]), torch.tensor([[[1]]])
        >>> focal_loss(logits, target, gamma=0), focal_loss(logits, target, gamma=2)  # log 2, a quarter of it
        (tensor(0.6931), tensor(0.1733))
    """
    gamma = inputs.number(gamma, "gamma", least=0)
    scores, labels = _counted(logits, target, ignore_index)
    log_p = scores.log_softmax(1).gather(1, labels[:, None])[:, 0]
    wrong = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).eps)  # 1 - p; a root of 0 has no slope
    cost = -(wrong**gamma) * log_p
    if weight is None:
        return cost.sum() / max(len(cost), 1)
    weights = inputs.tensor(weight, "weight", str(logits.shape[1])).to(cost)[labels]
    total = weights.sum()
    return (weights * cost).sum() / torch.where(total > 0, total, 1)


def lovasz_softmax(
    logits: Tensor,
    target: Tensor,
    classes: str = "present",
    per_image: bool = False,
    ignore_index: int = 255,
) -> Tensor:
    """The Lovász extension of the Jaccard loss: a convex surrogate of one minus the IoU (Berman et al. 2018).

    One minus the IoU of a class is a function of the *set* of wrong pixels. The Lovász extension makes a
    function of *how wrong* each pixel is: sort the errors, largest first, and weigh each by what the Jaccard
    loss gains when its pixel joins the set (:func:`lovasz_gradient`). Where every error is 0 or 1 it is one
    minus the IoU itself.

    Args:
        logits: ``(N, C, H, W)``, floating point.
        target: int64 ``(N, H, W)``.
        classes: Average over ``"present"`` ones, those in the truth, or over ``"all"``; a class that is not
            in the truth costs its largest probability.
        per_image: Whether to average over images, each for itself, rather than to take the batch as one.
        ignore_index: Label of pixels that do not count.

    Returns:
        A number from 0 to 1, float32 for half precision; 0 with a gradient of 0 where no pixel counts.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: Shapes do not fit, ``classes`` is unknown, or a label is neither a class nor ignored.

    Example:
        >>> score = torch.tensor([99.0, 99.0, 99.0, -99.0]).reshape(1, 1, 1, 4)
        >>> logits = torch.cat([score, -score], dim=1)
        >>> lovasz_softmax(logits, torch.tensor([[[0, 0, 1, 1]]]))  # IoU of 2/3 and of 1/2
        tensor(0.4167)
    """
    inputs.option(classes, "classes", ("present", "all"))
    scores, labels = _counted(logits, target, ignore_index)
    if per_image and len(logits):
        pairs = zip(logits.split(1), target.split(1), strict=True)
        each = [lovasz_softmax(*pair, classes=classes, ignore_index=ignore_index) for pair in pairs]
        counted = (target != ignore_index).flatten(1).any(1).sum()
        return torch.stack(each).sum() / counted.clamp(min=1)
    truth = _one_hot(labels, scores)
    error = (truth - scores.softmax(1)).abs()
    ordered, order = error.sort(dim=0, descending=True)
    gradient = lovasz_gradient(truth.gather(0, order).mT).mT  # (P, C)
    cost = (ordered * gradient).sum(0)
    kept = truth.sum(0) > 0 if classes == "present" else torch.ones_like(cost, dtype=torch.bool)
    return (cost * kept).sum() / kept.sum().clamp(min=1)


def lovasz_gradient(truth: Tensor) -> Tensor:
    """What the Jaccard loss gains, pixel by pixel, as pixels are got wrong in the order given.

    After the first k pixels are wrong, the Jaccard loss is 1 - (G - g) / (G + k - g), with G the pixels of
    the class and g those among the k. The gains are the differences of these numbers.

    Args:
        truth: 0 and 1, ``(..., P)``, sorted by error, largest first.

    Returns:
        ``(..., P)``, float32 or float64; it adds up to 1 (for P of 1 or more).

    Raises:
        TypeError: ``truth`` is no tensor.
        ValueError: It has no axis.

    Example:
        >>> lovasz_gradient(torch.tensor([1.0, 0.0, 1.0]))
        tensor([0.5000, 0.1667, 0.3333])
    """
    inputs.tensor(truth, "truth", "... P")
    truth = truth.to(torch.promote_types(truth.dtype, torch.float32))  # halves cannot count to 2,049
    total = truth.sum(-1, keepdim=True)
    intersection = total - truth.cumsum(-1)
    union = total + (1 - truth).cumsum(-1)
    jaccard = 1 - intersection / union
    return torch.diff(jaccard, dim=-1, prepend=torch.zeros_like(total))


# --- Weights ---


def class_weights(labels: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Median frequency balancing (Eigen & Fergus 2015, used by SegNet): rare classes weigh more.

    The frequency of a class is the share of its pixels in the images where it occurs; its weight is the
    median of all frequencies (of an even number, the lower of the two in the middle) over its own.

    Args:
        labels: int64 ``(N, H, W)`` or ``(H, W)``, of the training set.
        num_classes: C.
        ignore_index: Label of pixels that do not count.

    Returns:
        float32 ``(C,)``; 0 for a class that does not occur.

    Raises:
        TypeError: ``labels`` is no tensor.
        ValueError: A label is neither a class nor ignored; ``labels`` has another rank.

    Example:
        >>> class_weights(torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1]]), 3)
        tensor([0.3333, 1.0000, 0.0000])
    """
    num_classes = inputs.whole(num_classes, "num_classes")
    ignore_index = inputs.whole(ignore_index, "ignore_index", least=-sys.maxsize)
    inputs.filled(inputs.label_map(labels, "labels", num_classes, ignore_index), "labels")
    images = labels.flatten(1) if labels.dim() == 3 else labels.flatten()[None]
    counted = images != ignore_index  # one of the classes, it may be
    counts = torch.stack([(counted & (images == c)).sum(1) for c in range(num_classes)], dim=1)  # (N, C)
    among = (counted.sum(1, keepdim=True) * (counts > 0)).sum(0)
    frequency = counts.sum(0).float() / among.clamp(min=1)
    present = frequency > 0
    if not present.any():
        return frequency
    median = frequency[present].median()
    return torch.where(present, median / frequency.clamp(min=1e-12), 0.0)


def border_weights(
    instances: Tensor,
    w0: float = 10.0,
    sigma: float = 5.0,
    weights: Tensor | None = None,
) -> Tensor:
    r"""U-Net's weight map: a narrow gap between two cells counts more (Ronneberger et al. 2015, eq. 2).

    .. math:: w(x) = w_c(x) + w_0 \exp\left(-\frac{(d_1(x) + d_2(x))^2}{2 \sigma^2}\right)

    with :math:`d_1` and :math:`d_2` the distances to the nearest cell and to the second nearest, from pixel
    centre to pixel centre. The second term is for the background, which is to be learnt as what separates; in
    the cells it is left out, as in the paper's figure. Cells that touch leave no background between them: cut
    it first, for instance with ``labels[skimage.segmentation.find_boundaries(labels)] = 0``.

    Args:
        instances: int64 ``(H, W)`` or ``(N, H, W)``; 0 is background, each cell has a number of its own.
        w0: Weight of the narrowest gap.
        sigma: Width of the gaps that matter, in pixels.
        weights: :math:`w_c`, ``(2,)``: of the background and of the cells; 1 and 1 if not told.

    Returns:
        float32 of the shape of ``instances``. Multiply it by the loss of each pixel.

    Raises:
        TypeError: ``instances`` is no tensor.
        ValueError: Another rank or dtype, a negative number, or ``sigma`` not above 0.

    Example:
        >>> border_weights(torch.tensor([[1, 0, 0, 2]]), sigma=3.0)  # 1 + 10 exp(-(1 + 2)² / 18)
        tensor([[1.0000, 7.0653, 7.0653, 1.0000]])
    """
    inputs.filled(inputs.label_map(instances, "instances", ignore_index=None), "instances")
    w0, sigma = inputs.number(w0, "w0", least=0), inputs.number(sigma, "sigma", above=0)
    if instances.dim() == 3:
        maps = [border_weights(each, w0, sigma, weights) for each in instances]
        return torch.stack(maps) if maps else instances.float()
    cells = instances.cpu().numpy()
    first, second = np.full(cells.shape, np.inf), np.full(cells.shape, np.inf)
    for number in np.unique(cells[cells > 0]):
        distance = ndimage.distance_transform_edt(cells != number)
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    gap = w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2)) * (cells == 0)
    base = instances.new_ones(2) if weights is None else inputs.tensor(weights, "weights", "2").detach()
    base = base.to(instances.device, torch.float32)[(instances > 0).long()]
    return base + torch.from_numpy(gap).to(base)


# --- What counts ---


def _counted(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """The pixels that count: scores (P, C), in float32 at least, for sums outgrow halves; and labels (P,)."""
    inputs.floating(logits, "logits", "N C H W")
    ignore_index = inputs.whole(ignore_index, "ignore_index", least=-sys.maxsize)
    inputs.label_map(target, "target", logits.shape[1], ignore_index, form="N H W")
    inputs.same_place(target, "target", logits, "logits")
    wanted, got = (len(logits), *logits.shape[2:]), tuple(target.shape)
    if got != wanted:
        raise ValueError(
            f"expected target {wanted} for logits {tuple(logits.shape)}, got {got}; up-sample the logits, or "
            "center_crop the target where convolutions are unpadded"
        )
    counts = target != ignore_index
    scores = logits.movedim(1, -1)[counts]
    return scores.to(torch.promote_types(scores.dtype, torch.float32)), target[counts]


def _one_hot(labels: Tensor, scores: Tensor) -> Tensor:
    """Labels (P,) as 0 and 1, (P, C), in the dtype of the scores."""
    return torch.zeros_like(scores).scatter(1, labels[:, None], 1)
