"""Networks that answer in the page: FCN-32s, 16s and 8s in one, U-Net, SegNet, DeepLab, small to travel.

*skips* is an FCN-8s read out at three places: before any skip, after the first and after the second. The
three predictions are trained together, so one backbone serves all of them. *unet* and *segnet* are chapter
9's with fewer channels, *deeplab* is chapter 11's DeepLabv3 at output stride 8. All are trained on the same
scenes; seed 0's are exported, with weights of six or eight bits, to ``segcore/widgets/static/networks.json``,
and what the few bits cost is measured, too. ``python -m benchmarks.trainings.networks`` trains nothing: it
brings the stored networks to the bits that they should have now, and measures those.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.trainings.skips import flipped, training_scenes
from segcore.data.scenes import CLASSES, make_scenes
from segcore.deeplab import DeepLabV3, small_backbone
from segcore.encoder_decoders import SegNet, UNet
from segcore.metrics import confusion_matrix, mean_iou
from segcore.skips import FCN8s, UpScore, _crop
from segcore.train import batches, cross_entropy, fit, predict
from segcore.widgets.export import export_network, import_network, repacked

TITLE = "0 The networks that answer in the page"
ROOT = Path(__file__).parents[2]
TARGET = ROOT / "segcore" / "widgets" / "static" / "networks.json"
RESULTS = ROOT / "book" / "results" / "networks.json"

SIZE, HELD_OUT = 96, 200
STEPS, BATCH, RATE = {"skips": 1800, "unet": 1800, "segnet": 1200, "deeplab": 500}, 16, 4e-3
FCN_WIDTH, UNET_WIDTH, SEGNET_WIDTH, DEPTH = 10, 8, 10, 3
KIND = {"skips": "int8", "unet": "int6", "segnet": "int6", "deeplab": "int8"}  # chapter 9 shows two at once
DEEPLAB_WIDTH = 10
DEEPLAB: dict[str, Any] = {"output_stride": 8, "rates": (2, 4, 6), "channels": 32}


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


class Named(nn.Module):
    """A network with its output under a name."""

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        self.name, self.network = name, network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Images ``(N, 3, H, W)`` to logits ``(N, num_classes, H, W)`` by name."""
        return {self.name: self.network(image)}


BUILD: dict[str, Callable[[], nn.Module]] = {
    "skips": lambda: AllSkips(3, len(CLASSES), FCN_WIDTH),
    "unet": lambda: Named("U-Net", UNet(3, len(CLASSES), UNET_WIDTH, DEPTH)),
    "segnet": lambda: Named("SegNet", SegNet(3, len(CLASSES), SEGNET_WIDTH, DEPTH)),
    "deeplab": lambda: Named(
        "DeepLabv3", DeepLabV3(small_backbone(3, DEEPLAB_WIDTH), len(CLASSES), **DEEPLAB)
    ),
}


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


def keep(packed: dict[str, dict[str, Any]]) -> None:
    """Write described networks to where the pages find them; the others stay."""
    kept = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    text = json.dumps(kept | packed, sort_keys=True, separators=(",", ":"))
    TARGET.write_text(text + "\n", encoding="utf-8")


def entry(name: str, seed: int) -> dict[str, Any]:
    """Train one of them from a seed and measure it as it is and as it travels; seed 0's is kept."""
    held_out = make_scenes(HELD_OUT, SIZE, seed=2)
    torch.manual_seed(seed)
    network = {each: build() for each, build in BUILD.items()}[name]  # one sequence of random numbers
    data = batches(*training_scenes(), BATCH, seed, flipped)
    history = fit(network, data, loss, steps=STEPS[name], lr=RATE, progress=False)
    packed = export_network(network, held_out.image[:1], KIND[name])
    if seed == 0:
        keep({name: packed})
    return {
        "parameters": sum(each.numel() for each in network.parameters()),
        "bytes": len(packed["weights"]) * 3 // 4,
        "steps": history.steps,
        "seconds": round(history.seconds, 1),
        "miou": scores(network, held_out.image, held_out.labels),
        "miou_packed": scores(import_network(packed), held_out.image, held_out.labels),
    }


def run(seed: int) -> dict[str, Any]:
    """All of them from a seed."""
    return {name: entry(name, seed) for name in BUILD}


def repack() -> None:
    """Bring the stored networks to the bits that they should have, and measure what seed 0's then say."""
    stored = json.loads(TARGET.read_text(encoding="utf-8"))
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    held_out = make_scenes(HELD_OUT, SIZE, seed=2)
    for name in (each for each in BUILD if stored[each]["kind"] != KIND[each]):
        packed = repacked(stored[name], KIND[name])
        keep({name: packed})
        results["runs"][0][name] |= {
            "bytes": len(packed["weights"]) * 3 // 4,
            "miou_packed": scores(import_network(packed), held_out.image, held_out.labels),
        }
        print(name, results["runs"][0][name])
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    repack()
