"""The second widget of chapter 8: a small network that is trained in the page.

The page draws and renders its scenes (``static/kit/draw.js``, ``static/kit/world.js``) and trains on them
with our own arithmetic (``static/kit/training.js``). Here stands the same network in PyTorch, with the same
start and the same scenes: :func:`train` gives the page's curves, up to rounding. What the switches are worth
over three seeds, ``python -m benchmarks.trainings training --write`` measures.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor, nn

from segcore.data._world import uniform
from segcore.data.scenes import CLASSES, make_scenes
from segcore.metrics import confusion_matrix, mean_iou
from segcore.widgets.base import CourseWidget

__all__ = ["SwitchedNet", "TrainingWidget", "batch", "held_out", "start", "train"]

SIZE = 48  # pixels a side
BATCH = 8
STEPS = 300
EVERY = 20  # steps from one score to the next
HELD_OUT, HELD_OUT_SEED = 32, 1_000_000  # scenes that no training sees, and their seed
DOWNS = ("stride", "dilation")
UPS = ("nearest", "bilinear", "transposed")
OPTIMIZERS = ("adam", "sgd")
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
MOMENTUM = 0.9
SEEDS = 100  # the reader's seeds are 0 to 99
FIRST_WEIGHTS = 4_000_000_000  # index of a seed's first random weights, beyond its scenes


class SwitchedNet(nn.Module):
    """An hourglass of 11,576 weights, 9,128 without skips, and three switches.

    Two halvings, two doublings, each doubling followed by the encoder's map of that size and a convolution
    that reads both. `dilation` leaves out halvings and doublings and spreads the taps instead (chapter 6).
    A doubling is a resizing and a 3×3 convolution, or a transposed one of kernel 3 and stride 2.

    Args:
        down: "stride" or "dilation".
        skip: whether the decoder sees the encoder's maps.
        up: "nearest", "bilinear" or "transposed"; of no consequence where nothing was halved.

    Example:
        >>> net = SwitchedNet("stride", True, "bilinear")
        >>> net(torch.zeros(1, 3, 48, 48)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([1, 4, 48, 48]), 11576)
    """

    def __init__(self, down: str = "stride", skip: bool = True, up: str = "bilinear") -> None:
        super().__init__()
        s = 2 if down == "stride" else 1
        d = 2 // s  # what a halving that is left out does to the taps behind it
        self.halved, self.skip, self.up = down == "stride", skip, up
        self.enc1 = _conv(3, 8)
        self.enc2 = _conv(8, 12, stride=s)
        self.enc3 = _conv(12, 16, stride=s, dilation=d)
        self.enc4 = _conv(16, 16, dilation=d * d)
        self.up1 = self._doubling(16, 12, d)
        self.dec1 = _conv(24 if skip else 12, 12, dilation=d)
        self.up2 = self._doubling(12, 8, 1)
        self.dec2 = _conv(16 if skip else 8, 8)
        self.head = nn.Conv2d(8, len(CLASSES), 1)

    def _doubling(self, inputs: int, outputs: int, dilation: int) -> nn.Module:
        if self.halved and self.up == "transposed":
            return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        return _conv(inputs, outputs, dilation=dilation)

    def _doubled(self, x: Tensor, layer: nn.Module) -> Tensor:
        if self.halved and self.up != "transposed":
            corners = False if self.up == "bilinear" else None
            x = F.interpolate(x, scale_factor=2, mode=self.up, align_corners=corners)
        return F.relu(layer(x))

    def forward(self, x: Tensor) -> Tensor:
        """Scores float32 (N, 4, H, W) of images (N, 3, H, W) whose sides 4 divides."""
        a = F.relu(self.enc1(x))  # (N, 8, H, W)
        b = F.relu(self.enc2(a))  # (N, 12, H/2, W/2)
        c = F.relu(self.enc4(F.relu(self.enc3(b))))  # (N, 16, H/4, W/4)
        y = self._doubled(c, self.up1)
        y = F.relu(self.dec1(torch.cat([y, b], 1) if self.skip else y))
        y = self._doubled(y, self.up2)
        y = F.relu(self.dec2(torch.cat([y, a], 1) if self.skip else y))
        return self.head(y)


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation)


def start(net: nn.Module, seed: int) -> nn.Module:
    """Give a network the page's first weights: He's, uniform, by a hash of the seed; biases are zero.

    Args:
        net: changed in place; its layers are taken in the order of their names.
        seed: from 0 to 2^32 - 1.

    Returns:
        The same network.

    Example:
        >>> first, second = start(SwitchedNet(), 0), start(SwitchedNet(skip=False), 0)
        >>> torch.equal(first.enc3.weight, second.enc3.weight)
        True
    """
    layers = [each for each in net.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)]
    with torch.no_grad():
        for number, layer in enumerate(layers):
            spread = layer.stride[0] ** 2 if isinstance(layer, nn.ConvTranspose2d) else 1
            taps = layer.kernel_size[0] * layer.kernel_size[1]
            bound = math.sqrt(6 / (layer.in_channels * taps / spread))
            lots = uniform(seed, torch.tensor([FIRST_WEIGHTS + number]), layer.weight.numel())
            layer.weight.copy_(((2 * lots - 1) * bound).view_as(layer.weight))
            if layer.bias is not None:
                layer.bias.zero_()
    return net


def batch(seed: int, step: int) -> tuple[Tensor, Tensor]:
    """The scenes of a step, from 0: images float32 (8, 3, 48, 48) from -1 to 1, labels int64 (8, 48, 48).

    Example:
        >>> batch(0, 0)[0].shape
        torch.Size([8, 3, 48, 48])
    """
    scenes = make_scenes(BATCH, SIZE, seed=seed, start=BATCH * step)
    return 2 * scenes.image - 1, scenes.labels


def held_out() -> tuple[Tensor, Tensor]:
    """The 32 scenes that no training sees, as `batch` gives its own."""
    scenes = make_scenes(HELD_OUT, SIZE, seed=HELD_OUT_SEED)
    return 2 * scenes.image - 1, scenes.labels


def train(
    net: nn.Module, seed: int = 0, steps: int = STEPS, optimizer: str = "adam", rate: float = 0.01
) -> tuple[list[float], list[tuple[int, float]]]:
    """Train a network as the page does.

    Args:
        net: changed in place; see `start`.
        seed: of the scenes.
        steps: how many.
        optimizer: "adam", or "sgd" with a momentum of 0.9.
        rate: the learning rate.

    Returns:
        The loss of each step, and (steps done, mean IoU on the held-out scenes) every 20 steps.

    Example:
        >>> losses, scores = train(start(SwitchedNet(), 0), steps=2)
        >>> len(losses), [step for step, _ in scores]
        (2, [0, 2])
    """
    weights = net.parameters()
    made = (
        torch.optim.Adam(weights, rate) if optimizer == "adam" else torch.optim.SGD(weights, rate, MOMENTUM)
    )
    images, labels = held_out()

    def score() -> float:
        with torch.no_grad():
            return float(mean_iou(confusion_matrix(net(images).argmax(1), labels, len(CLASSES))))

    losses, scores = [], [(0, score())]
    for step in range(steps):
        image, truth = batch(seed, step)
        loss = F.cross_entropy(net(image), truth)
        made.zero_grad()
        loss.backward()
        made.step()
        losses.append(float(loss.detach()))
        if (step + 1) % EVERY == 0 or step + 1 == steps:
            scores.append((step + 1, score()))
    return losses, scores


class TrainingWidget(CourseWidget):
    """A small network to train in the page: switches, a start, two curves, and the scene that comes clear.

    Attributes:
        down: "stride" or "dilation"; see `SwitchedNet`.
        skip: whether the decoder sees the encoder's maps.
        up: "nearest", "bilinear" or "transposed".
        optimizer: "adam" or "sgd", with a momentum of 0.9.
        rate: which learning rate, from 0 to 5: 0.001, 0.003, 0.01, 0.03, 0.1 or 1.
        seed: of the first weights and of the scenes, from 0 to 99.
        scene: which of the held-out scenes is shown, from 0 to 5.
        plan: what all runs have in common; read-only.

    Example:
        >>> TrainingWidget(skip=False).skip
        False
    """

    _slug = "training"
    _title = "A small network that is trained in this page"

    down = traitlets.Enum(DOWNS, default_value=DOWNS[0]).tag(sync=True)
    skip = traitlets.Bool(False).tag(sync=True)
    up = traitlets.Enum(UPS, default_value=UPS[0]).tag(sync=True)
    optimizer = traitlets.Enum(OPTIMIZERS, default_value=OPTIMIZERS[0]).tag(sync=True)
    rate = traitlets.Int(2, min=0, max=len(RATES) - 1).tag(sync=True)
    seed = traitlets.Int(0, min=0, max=SEEDS - 1).tag(sync=True)
    scene = traitlets.Int(0, min=0, max=5).tag(sync=True)
    plan = traitlets.Dict(read_only=True).tag(sync=True)

    @traitlets.default("plan")
    def _default_plan(self) -> dict[str, Any]:
        return {
            "size": SIZE,
            "batch": BATCH,
            "steps": STEPS,
            "every": EVERY,
            "heldOut": HELD_OUT,
            "heldOutSeed": HELD_OUT_SEED,
            "rates": list(RATES),
        }
