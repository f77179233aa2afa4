"""Colorization: on scenes whose colours cannot be known, and on photographs, one of them held out.

*Scenes*: green floors, grey walls, objects that are orange or blue by lot
(`segcore.data.scenes.ambiguous_colors`). A U-Net that regresses a* and b* with a squared error, and a
`ColorizationNet`, with rare colours weighed up and without, are trained on the same batches; no scene comes
twice. Colours are measured on 100 scenes that none has seen.

*Photographs*: six of the photographs that ship with scikit-image, in crops of 64×64 pixels, and a seventh,
the cat, that neither network sees. Beside both stand two answers that look at nothing: grey, and the mean
colour of the six. Seed 0's weights are kept in half precision in ``segcore/data/weights/colorization.pt``;
`colorization_net_for_photographs` loads them.

Errors are mean distances in the ab plane, at half the size, where the networks predict; on scenes the root of
the mean squared distance as well, which is what regression makes small.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore.color import rgb_to_lab
from segcore.colorization import (
    ColorizationNet,
    ab_prior,
    class_rebalancing,
    colorization_loss,
    decode_ab,
    encode_ab,
)
from segcore.data.images import photograph
from segcore.data.scenes import ambiguous_colors, make_scenes
from segcore.encoder_decoders import UNet
from segcore.train import batches, fit, predict

TITLE = "18 Colorization: mean, annealed mean and mode, on scenes and on a photograph held out"

SEEN, HELD_OUT = ("astronaut", "coffee", "rocket", "hubble_deep_field", "ihc", "retina"), "chelsea"
SIDE, CROP = 128, 64  # the shorter side of a photograph, and what a batch holds of it
SIZE, TRAINING, TESTING = 32, 3000, 100  # of scenes
STEPS_SCENES, STEPS_PHOTOGRAPHS, BATCH, RATE, WIDTH = 250, 400, 12, 1e-2, 8
TEMPERATURES = {"mean": 1.0, "annealed mean": 0.38, "mode": 0.01}
WEIGHTS = Path(__file__).parents[2] / "segcore" / "data" / "weights" / "colorization.pt"


def half(maps: Tensor) -> Tensor:
    """Averaged over squares of 2×2 pixels."""
    return F.avg_pool2d(maps, 2)


class Regression(nn.Module):
    """The same U-Net with two channels: a* and b*."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = UNet(1, 2, WIDTH)

    def forward(self, lightness: Tensor) -> Tensor:
        """Lightness ``(N, 1, H, W)`` to a* and b* at half the size."""
        return 50 * half(self.trunk(lightness / 50 - 1))


def squared_error(found: Tensor, target: Tensor) -> Tensor:
    """The mean of the squared distance, in units of 50."""
    return ((found - target) / 50).square().mean()


def load(name: str) -> Tensor:
    """A photograph in CIELAB, ``(1, 3, H, W)``, small, of even sides."""
    image = photograph(name)[None]
    scale = SIDE / min(image.shape[2:])
    size = [2 * round(scale * side / 2) for side in image.shape[2:]]
    return rgb_to_lab(F.interpolate(image, size, mode="bilinear", antialias=True).clamp(0, 1))


def crops(photographs: list[Tensor], seed: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Batches of crops, mirrored at random: lightness, and a* and b* at half the size."""

    def batch(step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1_000_000 * seed + step)
        found = []
        for k in range(BATCH):
            lab = photographs[k % len(photographs)][0]
            y, x = (int(torch.randint(side - CROP + 1, (), generator=generator)) for side in lab.shape[1:])
            crop = lab[:, y : y + CROP, x : x + CROP]
            found.append(crop.flip(-1) if torch.rand((), generator=generator) < 0.5 else crop)
        lab = torch.stack(found)
        return lab[:, :1], half(lab[:, 1:])

    return batch


def regress(data: Any, steps: int, seed: int) -> Regression:
    """Train the one that makes the squared error small."""
    torch.manual_seed(seed)
    network = Regression()
    fit(network, data, squared_error, steps=steps, lr=RATE, precision="float32", progress=False)
    return network


def classify(data: Any, steps: int, seed: int, weights: Tensor | None) -> ColorizationNet:
    """Train the one that says how likely each bin is."""
    torch.manual_seed(seed)
    network = ColorizationNet(width=WIDTH)

    def loss(logits: Tensor, ab: Tensor) -> Tensor:
        return colorization_loss(logits, encode_ab(ab), weights)

    fit(network, data, loss, steps=steps, lr=RATE, precision="float32", progress=False)
    return network


def answers(regression: Regression, network: ColorizationNet, lightness: Tensor) -> dict[str, Tensor]:
    """What both say of some images: a* and b* at half the size, by name."""
    p = predict(network, lightness).softmax(1)
    found = {"regression": predict(regression, lightness)}
    return found | {name: decode_ab(p, t) for name, t in TEMPERATURES.items()}


def measure(found: Tensor, truth: Tensor, pixels: Tensor) -> dict[str, float]:
    """Mean chroma and mean error over some pixels."""
    values = {"chroma": found.norm(dim=1)[pixels], "error": (found - truth).norm(dim=1)[pixels]}
    return {name: round(value.mean().item(), 2) for name, value in values.items()}


def on_scenes(seed: int) -> dict[str, Any]:
    """Colours of objects, which cannot be known, and of the floor, which can."""
    lab = ambiguous_colors(make_scenes(TRAINING, SIZE, seed=1), seed=1)
    scenes = make_scenes(TESTING, SIZE, seed=2)
    tested = ambiguous_colors(scenes, seed=2)
    data = batches(lab[:, :1], half(lab[:, 1:]), BATCH, seed)
    regression = regress(data, STEPS_SCENES, seed)
    network = classify(data, STEPS_SCENES, seed, None)
    weights = class_rebalancing(ab_prior(half(lab[:500, 1:])))
    balanced = classify(data, STEPS_SCENES, seed, weights)
    truth = half(tested[:, 1:])
    share = half((scenes.instances > 0).float()[:, None])[:, 0]
    parts = {"objects": share == 1, "floor": (share == 0) & (truth[:, 0] < -15)}
    found = {"truth": truth, **answers(regression, network, tested[:, :1])}
    scores: dict[str, Any] = {}
    for name, ab in found.items():
        scores[name] = {part: measure(ab, truth, pixels) for part, pixels in parts.items()}
        for part, pixels in parts.items():
            squares = (ab - truth).square().sum(1)[pixels]
            scores[name][part]["rms"] = round(squares.mean().sqrt().item(), 2)
    for name, each in (("plain", network), ("rebalanced", balanced)):
        p = predict(each, tested[:, :1]).softmax(1).movedim(1, -1)[parts["objects"]]  # (P, Q)
        orange, blue = (p[:, sign * each.bins[:, 1] > 5].sum(1) for sign in (1, -1))
        scores[f"share of orange, {name}"] = round((orange / (orange + blue)).mean().item(), 3)
    return scores


def on_photographs(seed: int) -> dict[str, Any]:
    """Errors on the photographs that were seen, and on the one that was not."""
    seen = [load(name) for name in SEEN]
    colors = torch.cat([half(lab[:, 1:]).flatten(2) for lab in seen], 2)[..., None]  # (1, 2, P, 1)
    weights = class_rebalancing(ab_prior(colors))
    regression = regress(crops(seen, seed), STEPS_PHOTOGRAPHS, seed)
    network = classify(crops(seen, seed), STEPS_PHOTOGRAPHS, seed, weights)
    if seed == 0:
        kept = network.state_dict().items()
        torch.save({name: w.half() if w.is_floating_point() else w for name, w in kept}, WEIGHTS)
    mean = torch.stack([lab[:, 1:].mean((0, 2, 3)) for lab in seen]).mean(0)[None, :, None, None]
    scores = {}
    for name, lab in zip((*SEEN, HELD_OUT), (*seen, load(HELD_OUT)), strict=True):
        truth = half(lab[:, 1:])
        found = {"grey": torch.zeros_like(truth), "mean colour": mean.expand_as(truth)}
        found |= {"truth": truth, **answers(regression, network, lab[:, :1])}
        everywhere = torch.ones_like(truth[:, 0], dtype=torch.bool)
        scores[name] = {each: measure(ab, truth, everywhere) for each, ab in found.items()}
    return scores


def run(seed: int) -> dict[str, Any]:
    """Train and measure from one seed."""
    return {"scenes": on_scenes(seed), "photographs": on_photographs(seed)}
