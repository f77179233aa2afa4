"""The networks that answer in the page: FCN-32s, 16s and 8s in one, and a U-Net, small enough to travel.

*skips* is an FCN-8s read out at three places: before any skip, after the first and after the second. The
three predictions are trained together, so one backbone serves all of them. *unet* is chapter 9's with a third
of its width. Both are trained on the same scenes; seed 0's are exported, with weights of eight bits, to
``segcore/widgets/static/networks.json``, and what the eight bits cost is measured, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.trainings.skips import flipped, training_scenes
from segcore.data.scenes import CLASSES, make_scenes
from segcore.encoder_decoders import UNet
from segcore.metrics import confusion_matrix, mean_iou
from segcore.skips import FCN8s, UpScore, _crop
from segcore.train import batches, cross_entropy, fit, predict
from segcore.widgets.export import export_network, import_network

TITLE = "0 The networks that answer in the page"
TARGET = Path(__file__).parents[2] / "segcore" / "widgets" / "static" / "networks.json"

SIZE, HELD_OUT = 96, 200
STEPS, BATCH, RATE = {"skips": 1800, "unet": 1800}, 16, 4e-3
FCN_WIDTH, UNET_WIDTH, DEPTH = 10, 8, 3


class AllSkips(FCN8s):
    """FCN-8s with what it would say before each of its skips."""

    def __init__(self, in_channels: int, num_classes: int, width: int) -> None:
        super().__init__(in_channels, num_classes, width)
        self.upscore32 = UpScore(num_classes, 32, learned=False)
        self.upscore16 = UpScore(num_classes, 16, learned=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Images ``(N, 3, H, W)`` to three logits ``(N, num_classes, H, W)`` by name."""
        maps = self.backbone(image)
        score_fr = self.score_fr(maps["fc7"])
        score_pool4, score_pool3 = self.score_pool4(maps["pool4"]), self.score_pool3(maps["pool3"])
        fuse_pool4 = score_pool4 + _crop(self.upscore2(score_fr), score_pool4)
        fuse_pool3 = score_pool3 + _crop(self.upscore_pool4(fuse_pool4), score_pool3)
        return {
            "FCN-32s": _crop(self.upscore32(score_fr), image),
            "FCN-16s": _crop(self.upscore16(fuse_pool4), image),
            "FCN-8s": _crop(self.upscore8(fuse_pool3), image),
        }


class Named(UNet):
    """U-Net with its output under its name."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """As `UNet`'s."""
        return {"U-Net": super().forward(image)}


def loss(output: dict[str, Tensor], labels: Tensor) -> Tensor:
    """The mean of all predictions' cross-entropies."""
    return torch.stack([cross_entropy(logits, labels) for logits in output.values()]).mean()


def scores(network: nn.Module, image: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean IoU of each output."""
    found = predict(network, image)
    return {
        name: round(float(mean_iou(confusion_matrix(logits.argmax(1), labels, len(CLASSES)))), 4)
        for name, logits in found.items()
    }


def run(seed: int) -> dict[str, Any]:
    """Train both from a seed and measure them as they are and as they travel."""
    images, labels = training_scenes()
    held_out = make_scenes(HELD_OUT, SIZE, seed=2)
    torch.manual_seed(seed)
    networks = {
        "skips": AllSkips(3, len(CLASSES), FCN_WIDTH),
        "unet": Named(3, len(CLASSES), UNET_WIDTH, DEPTH),
    }
    result: dict[str, Any] = {}
    packed = {}
    for name, network in networks.items():
        data = batches(images, labels, BATCH, seed, flipped)
        history = fit(network, data, loss, steps=STEPS[name], lr=RATE, progress=False)
        packed[name] = export_network(network, held_out.image[:1])
        result[name] = {
            "parameters": sum(each.numel() for each in network.parameters()),
            "bytes": len(packed[name]["weights"]) * 3 // 4,
            "steps": history.steps,
            "seconds": round(history.seconds, 1),
            "miou": scores(network, held_out.image, held_out.labels),
            "miou_packed": scores(import_network(packed[name]), held_out.image, held_out.labels),
        }
    if seed == 0:
        TARGET.write_text(json.dumps(packed, sort_keys=True, separators=(",", ":")) + "\n", encoding="utf-8")
    return result
