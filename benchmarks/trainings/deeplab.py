"""DeepLabv3, DeepLabv3+ and PSPNet on rendered scenes: what output stride, ASPP and the decoder buy and cost.

4,000 scenes of 96 × 96 to learn from, 200 others to be scored on. One small backbone of a ResNet's stages (12
channels at first) for all, from scratch; 700 steps of 8 scenes, half of them mirrored. Rates of ASPP are made
for maps this small: (2, 4, 6) at output stride 8, and as far apart in pixels at 16 and 32.

Each network is scored by mean IoU and by the F-score of boundaries at 1 and 2 pixels; its multiply-adds are
those of one image, its milliseconds those of this machine at that time: compare them within a run. Beside the
scores stand those of the same network with mirrored images and with several scales. ``zoomed_16`` is the
DeepLabv3 of stride 16, trained on scenes at random sizes, from 0.7 to 1.5 times their own.

Seed 0 leaves its networks in ``_build/deeplab`` (for ``deeplab_widget``), and the weights of DeepLabv3+ in
the library.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.trainings.skips import flipped
from segcore.data.scenes import CLASSES, Scenes, make_scenes
from segcore.deeplab import ASPP, SCENE_OPTIONS, DeepLabV3, DeepLabV3Plus, PSPNet, multiscale, small_backbone
from segcore.metrics import boundary_f1, confusion_matrix, iou, mean_iou
from segcore.train import batches, cross_entropy, fit, predict

TITLE = "11 DeepLab and its rivals"
SIZE, TRAINING, HELD_OUT = 96, 4000, 200
STEPS, BATCH = 700, 8
K, WIDTH, CHANNELS = len(CLASSES), 12, 48
RATES = {8: (2, 4, 6), 16: (1, 2, 3), 32: (1, 1, 2)}
SCALES = (0.75, 1.0, 1.25)
ROOT = Path(__file__).parents[2]
WEIGHTS, NETWORKS = ROOT / "segcore" / "data" / "weights" / "deeplab.pt", ROOT / "_build" / "deeplab"


def deeplabv3(output_stride: int) -> nn.Module:
    """DeepLabv3 at this output stride; the number of weights is the same at all."""
    rates = RATES[output_stride]
    return DeepLabV3(small_backbone(3, WIDTH), K, output_stride=output_stride, rates=rates, channels=CHANNELS)


def without_aspp() -> nn.Module:
    """DeepLabv3 at output stride 8 with a 1×1 filter in place of ASPP."""
    network = deeplabv3(8)
    network.classifier[0] = ASPP(8 * WIDTH, (), CHANNELS, image_pooling=False)
    return network


BUILD: dict[str, Callable[[], nn.Module]] = {
    "deeplabv3_32": lambda: deeplabv3(32),
    "deeplabv3_16": lambda: deeplabv3(16),
    "deeplabv3_8": lambda: deeplabv3(8),
    "plain_8": without_aspp,
    "pspnet_8": lambda: PSPNet(small_backbone(3, WIDTH), K, output_stride=8, channels=CHANNELS),
    "deeplabv3plus_16": lambda: DeepLabV3Plus(small_backbone(3, WIDTH), K, output_stride=16, **SCENE_OPTIONS),
    "zoomed_16": lambda: deeplabv3(16),
}


def training_scenes(chunk: int = 500) -> tuple[Tensor, Tensor]:
    """Images and labels, without the other ground truth, which takes twice the room."""
    chunks = (make_scenes(chunk, SIZE, seed=1, start=first) for first in range(0, TRAINING, chunk))
    images, labels = zip(*((each.image, each.labels) for each in chunks), strict=True)
    return torch.cat(images), torch.cat(labels)


def scored(found: Tensor, scenes: Scenes) -> dict[str, Any]:
    """Mean IoU, IoU of each class, and the mean boundary F at one and two pixels."""
    confusion = confusion_matrix(found, scenes.labels, K)
    boundary = {
        f"boundary_f_{pixels}px": round(float(boundary_f1(found, scenes.labels, pixels, K).nanmean()), 4)
        for pixels in (1, 2)
    }
    each = [round(value, 4) for value in iou(confusion).tolist()]
    return {"miou": round(float(mean_iou(confusion)), 4), "iou": each, **boundary}


def averaged(network: nn.Module, scenes: Scenes, scales: Sequence[float]) -> float:
    """Mean IoU where each image is seen in these sizes, mirrored too."""
    parts = [multiscale(network, part, scales).argmax(1) for part in scenes.image.split(25)]
    return round(float(mean_iou(confusion_matrix(torch.cat(parts), scenes.labels, K))), 4)


def cost(network: nn.Module, image: Tensor) -> dict[str, Any]:
    """Parameters, millions of multiply-adds, and the milliseconds of the quickest of twenty runs."""
    counter, times = FlopCounterMode(display=False), []
    with torch.no_grad():
        with counter:
            network(image)
        for _ in range(20):
            start = time.perf_counter()
            network(image)
            times.append(time.perf_counter() - start)
    return {
        "parameters": sum(each.numel() for each in network.parameters()),
        "multiply_adds": round(counter.get_total_flops() / 2e6, 1),
        "ms_per_image": round(1000 * min(times), 2),
    }


def keep(name: str, network: nn.Module) -> None:
    """For the widget, and for the library, in half precision."""
    state = {name: w.half() if w.is_floating_point() else w for name, w in network.state_dict().items()}
    NETWORKS.mkdir(parents=True, exist_ok=True)
    torch.save(state, NETWORKS / f"{name}.pt")
    if name == "deeplabv3plus_16":
        torch.save(state, WEIGHTS)


def zoomed(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of the examples mirrored, and the batch at a random size, cut or padded to its own again."""
    images, labels = flipped(images, labels, generator)
    side = round(SIZE * (0.7 + 0.8 * float(torch.rand((), generator=generator))))
    images = F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)
    labels = F.interpolate(labels[:, None].float(), (side, side))[:, 0].long()
    room = max(0, SIZE - side)
    images, labels = F.pad(images, (0, room, 0, room)), F.pad(labels, (0, room, 0, room), value=255)
    y, x = torch.randint(side + room - SIZE + 1, (2,), generator=generator).tolist()
    return images[..., y : y + SIZE, x : x + SIZE], labels[..., y : y + SIZE, x : x + SIZE]


def entry(name: str, seed: int, training: tuple[Tensor, Tensor], held_out: Scenes) -> dict[str, Any]:
    """Train one network, and measure it."""
    torch.manual_seed(seed)
    network = BUILD[name]()
    data = batches(*training, BATCH, seed, zoomed if name.startswith("zoomed") else flipped)
    history = fit(network, data, cross_entropy, STEPS, progress=False)
    if seed == 0:
        keep(name, network)
    return {
        "steps": STEPS,
        "seconds": round(history.seconds, 1),
        **cost(network, held_out.image[:1]),
        **scored(predict(network, held_out.image, batch_size=25).argmax(1), held_out),
        "miou_mirrored": averaged(network, held_out, [1.0]),
        "miou_scales": averaged(network, held_out, SCALES),
    }


def run(seed: int) -> dict[str, Any]:
    """Train all networks from a seed; times are of this machine."""
    training, held_out = training_scenes(), make_scenes(HELD_OUT, SIZE, seed=2)
    return {name: entry(name, seed, training, held_out) for name in BUILD}
