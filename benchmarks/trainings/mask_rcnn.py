"""Mask R-CNN on rendered scenes, in colour and in grey, and on the photograph of the coins.

In colour: 800 steps on 2,000 scenes, scored by COCO's numbers on scenes that it never saw. Seed 0's weights
are kept in half precision in ``segcore/data/weights/mask_rcnn.pt``; `mask_rcnn_for_scenes` loads them.

In grey: 340 steps, as in the lab, on 1,000 scenes in which colour says nothing, each made grey and then
brighter or darker, flatter or steeper by chance. Its coins are counted at half the photograph's size, as it
is and with its light evened out; a coin is found if its IoU with some detection is above 0.5. The truth is
`coin_masks`, a watershed's. The same is asked of the network that was trained in colour.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.data.images import coin_masks, photograph
from segcore.data.scenes import Scenes, make_scenes
from segcore.instance_metrics import evaluate_instances, mask_iou
from segcore.mask_rcnn import MaskRCNN, instance_targets
from segcore.train import batches, fit

TITLE = "14 Mask R-CNN: in colour, in grey, and the coins"

SIZE, BATCH, RATE = 96, 8, 2e-3
STEPS, GREY_STEPS = 800, 340
HELD_OUT, FEW = 200, 64
SURE, ALIKE = 0.3, 0.5  # what counts as a coin: score, and IoU with one that is counted already
WEIGHTS = Path(__file__).parents[2] / "segcore" / "data" / "weights" / "mask_rcnn.pt"

Change = Callable[[Tensor, torch.Generator], Tensor]


def unchanged(images: Tensor, _: torch.Generator) -> Tensor:
    return images


def greyed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Grey images, each brighter or darker, flatter or steeper."""
    grey = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    contrast, light = torch.rand(2, len(images), 1, 1, 1, generator=generator)
    return ((grey - 0.5) * (0.5 + contrast) + 0.3 + 0.4 * light).clamp(0, 1)


def trained(scenes: Scenes, steps: int, seed: int, change: Change = unchanged) -> tuple[MaskRCNN, float]:
    """A network after its steps, in evaluation mode, and the seconds that they took."""

    def pair(images: Tensor, maps: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[Any, None]:
        return (change(images, generator), instance_targets(*maps)), None

    torch.manual_seed(seed)
    network = MaskRCNN(num_classes=4)
    maps = (scenes.instances, scenes.object_classes)
    data = batches(scenes.image, maps, BATCH, seed=seed, augment=pair)
    history = fit(network, data, lambda losses, _: sum(losses.values()), steps, lr=RATE, progress=False)
    return network, history.seconds


def detected(network: MaskRCNN, images: Tensor) -> tuple[list[dict[str, Tensor]], float]:
    """What a network finds, eight images at a time, and milliseconds an image."""
    begin = time.perf_counter()
    with torch.no_grad():
        found = [each for part in images.split(BATCH) for each in network(part)]
    return found, 1000 * (time.perf_counter() - begin) / len(images)


def scores(network: MaskRCNN, scenes: Scenes) -> dict[str, Any]:
    """COCO's numbers for masks on scenes, and for boxes their AP50."""
    found, ms = detected(network, scenes.image)
    truths = instance_targets(scenes.instances, scenes.object_classes)
    table = evaluate_instances(found, truths)
    kept = {name: round(table[name], 4) for name in ("AP", "AP50", "AP75", "APs", "APm")}
    few = evaluate_instances(found[:FEW], truths[:FEW])
    box = evaluate_instances(found, truths, kind="box")
    return kept | {
        f"AP50_{FEW}": round(few["AP50"], 4),
        "box_AP50": round(box["AP50"], 4),
        "ms_an_image": round(ms, 1),
    }


def evened(image: Tensor) -> Tensor:
    """The photograph less its mean over 21 × 21 pixels: coins and ground are as bright everywhere."""
    around = F.avg_pool2d(F.pad(image[None], (10, 10, 10, 10), mode="reflect"), 21, 1)[0]
    return (image - around + 0.35).clamp(0, 1)


def coins(network: MaskRCNN, image: Tensor) -> dict[str, int]:
    """How many objects a network counts at half size, and how many of the 24 coins are among them."""
    truth = coin_masks()
    small = F.interpolate(image[None], scale_factor=0.5, mode="bilinear", antialias=True)
    found = detected(network, small)[0][0]
    large = F.interpolate(found["masks"].float()[:, None], truth.shape[1:], mode="bilinear")[:, 0] >= 0.5
    kept: list[int] = []
    for row in range(len(large)):  # best first
        if found["scores"][row] >= SURE and large[row].any():
            alike = mask_iou(large[row : row + 1], large[kept])[0] if kept else torch.zeros(1)
            kept += [row] * bool(alike.max() <= ALIKE)
    if not kept:
        return {"counted": 0, "found": 0}
    right = int((mask_iou(large[kept], truth).amax(0) > 0.5).sum())
    return {"counted": len(kept), "found": right}


def keep_weights(network: MaskRCNN) -> None:
    """The weights as the library has them: half precision."""
    state = {name: w.half() if w.is_floating_point() else w for name, w in network.state_dict().items()}
    WEIGHTS.parent.mkdir(exist_ok=True)
    torch.save(state, WEIGHTS)


def run(seed: int) -> dict[str, Any]:
    """Train in colour and in grey from a seed, and score both; seed 0's weights in colour are kept."""
    network, seconds = trained(make_scenes(2000, SIZE, seed=0), STEPS, seed)
    if seed == 0:
        keep_weights(network)
    photo = photograph("coins")
    colour = {
        "parameters": sum(each.numel() for each in network.parameters()),
        "steps": STEPS,
        "ms": round(1000 * seconds / STEPS, 1),
    }
    colour |= scores(network, make_scenes(HELD_OUT, SIZE, seed=1))
    colour |= {"coins": coins(network, photo), "coins_evened": coins(network, evened(photo))}
    network, seconds = trained(make_scenes(1000, SIZE, seed=0, difficulty="shape"), GREY_STEPS, seed, greyed)
    held_out = make_scenes(HELD_OUT, SIZE, seed=1, difficulty="shape")
    held_out.image.copy_(held_out.image.mean(1, keepdim=True).expand_as(held_out.image))
    grey = {"steps": GREY_STEPS, "ms": round(1000 * seconds / GREY_STEPS, 1)} | scores(network, held_out)
    grey |= {"coins": coins(network, photo), "coins_evened": coins(network, evened(photo))}
    return {"colour": colour, "grey": grey}
