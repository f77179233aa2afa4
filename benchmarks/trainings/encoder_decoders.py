"""The lecture's summary of up-sampling architectures: the same scenes, steps and recipe for each network.

8,000 scenes of 64 × 64 to learn from, 500 others to be scored on. Widths are 16, 32, 64, ... channels in all
of them; U-Net and the networks that unpool pool four times, the FCNs five times, as published. 600 steps of
8 scenes each, AdamW, learning rate 3e-3 with warm-up and cosine, cross-entropy. ``unet_shape`` learns and is
scored on scenes whose colours tell nothing. For a U-Net that is trained to the end see ``unet.py``.

The milliseconds of a step are those of this machine at that time: compare them within a run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from segcore.data.scenes import CLASSES, Scenes, make_scenes
from segcore.encoder_decoders import DeconvNet, SegNet, UNet
from segcore.metrics import boundary_f1, confusion_matrix, iou, mean_iou
from segcore.skips import FCN8s, FCN32s
from segcore.train import batches, cross_entropy, fit, predict

TITLE = "09 Encoder-decoders"
STEPS, BATCH = 600, 8
WIDTH, DEPTH, SIZE = 16, 4, 64
K = len(CLASSES)

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "fcn32s": lambda: FCN32s(3, K, WIDTH),
    "fcn8s": lambda: FCN8s(3, K, WIDTH),
    "unet": lambda: UNet(3, K, WIDTH, DEPTH),
    "unet_sum": lambda: UNet(3, K, WIDTH, DEPTH, fusion="sum"),
    "unet_none": lambda: UNet(3, K, WIDTH, DEPTH, fusion="none"),
    "deconvnet": lambda: DeconvNet(3, K, WIDTH, DEPTH, kernel=SIZE >> DEPTH, hidden=256),
    "segnet": lambda: SegNet(3, K, WIDTH, DEPTH),
}


def trained(build: Callable[[], nn.Module], scenes: Scenes, steps: int, seed: int) -> tuple[nn.Module, float]:
    """A network after its steps, and the seconds that they took."""
    torch.manual_seed(seed)
    network = build()
    data = batches(scenes.image, scenes.labels, BATCH, seed=seed)
    history = fit(network, data, cross_entropy, steps, progress=False)
    return network, history.seconds


def scored(network: nn.Module, scenes: Scenes) -> dict[str, Any]:
    """Mean IoU, IoU of each class, and the mean boundary F at one pixel."""
    found = predict(network, scenes.image, batch_size=50).argmax(1)
    confusion = confusion_matrix(found, scenes.labels, K)
    return {
        "miou": round(float(mean_iou(confusion)), 4),
        "iou": [round(value, 4) for value in iou(confusion).tolist()],
        "boundary_f": round(float(boundary_f1(found, scenes.labels, 1, K).nanmean()), 4),
    }


def entry(
    build: Callable[[], nn.Module], steps: int, pair: tuple[Scenes, Scenes], seed: int
) -> dict[str, Any]:
    """Train on the first scenes, score on the second."""
    network, seconds = trained(build, pair[0], steps, seed)
    parameters = sum(each.numel() for each in network.parameters())
    about = {"parameters": parameters, "steps": steps, "ms": round(1000 * seconds / steps, 1)}
    return about | scored(network, pair[1])


def pair_of_scenes(difficulty: str) -> tuple[Scenes, Scenes]:
    """Scenes to learn from and scenes to be scored on."""
    return (
        make_scenes(8000, SIZE, seed=0, difficulty=difficulty),
        make_scenes(500, SIZE, seed=1, difficulty=difficulty),
    )


def run(seed: int) -> dict[str, Any]:
    """Train all networks from a seed: parameters, milliseconds a step, and scores of each."""
    scenes = pair_of_scenes("color")
    results = {name: entry(build, STEPS, scenes, seed) for name, build in NETWORKS.items()}
    del scenes
    results["unet_shape"] = entry(NETWORKS["unet"], STEPS, pair_of_scenes("shape"), seed)
    return results
