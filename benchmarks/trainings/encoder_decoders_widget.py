"""The feature maps in chapter 9's widget: five small networks, trained on scenes, run on one held-out scene.

``python -m benchmarks.trainings.encoder_decoders_widget`` trains them from one seed, some five minutes on two
cores, and writes ``segcore/widgets/static/encoder_decoders.json``: of each block of the diagram its strongest
channel, the one that varies most over the scene, with 16 levels of grey, and the label maps. Maps wider than
72 cells, which only the unpadded U-Net has, are thinned out to every second or fourth cell.

The unpadded U-Net is not trained: it has the weights of the padded one and reads the mirrored scene.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from segcore.data.scenes import CLASSES, Scenes, make_scenes
from segcore.encoder_decoders import DeconvNet, SegNet, UNet, center_crop
from segcore.metrics import confusion_matrix, mean_iou
from segcore.skips import FCN8s, FCN32s
from segcore.train import batches, cross_entropy, fit, predict

TARGET = Path(__file__).parents[2] / "segcore" / "widgets" / "static" / "encoder_decoders.json"
SEED, STEPS, BATCH = 0, 500, 16
SIZE, WIDTH, DEPTH = 64, 16, 4
SCENE = 0  # of the held-out ones; it shows every class
WIDEST = 72  # cells of a stored map
ATLAS = 256  # pixels, width of the picture that holds all maps
LEVELS = 15  # brightest grey

Maps = dict[str, Tensor]

BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "fcn32": lambda: FCN32s(3, len(CLASSES), WIDTH),
    "fcn8": lambda: FCN8s(3, len(CLASSES), WIDTH),
    "unet": lambda: UNet(3, len(CLASSES), WIDTH, DEPTH),
    "deconvnet": lambda: DeconvNet(3, len(CLASSES), WIDTH, DEPTH, kernel=SIZE >> DEPTH),
    "segnet": lambda: SegNet(3, len(CLASSES), WIDTH, DEPTH),
}


# --- Training ---


def trained(kind: str, scenes: Scenes) -> nn.Module:
    """A network after its steps, in evaluation mode."""
    torch.manual_seed(SEED)
    network = BUILDERS[kind]()
    fit(network, batches(scenes.image, scenes.labels, BATCH, seed=SEED), cross_entropy, STEPS)
    return network


def unpadded(network: nn.Module) -> UNet:
    """The same weights without padding."""
    twin = UNet(3, len(CLASSES), WIDTH, DEPTH, padding="valid")
    twin.load_state_dict(network.state_dict())
    return twin.eval()


def mirrored(image: Tensor, network: UNet) -> Tensor:
    """Images with enough mirrored border to be predicted whole: 64 pixels become 252, their output is 68."""
    fitting = -(-(SIZE - 4) // 2**DEPTH) * 2**DEPTH + 4
    border = (network.margin, network.margin + fitting - SIZE)
    return torch.from_numpy(np.pad(image.numpy(), [(0, 0), (0, 0), border, border], mode="reflect"))


def score(network: nn.Module, scenes: Scenes) -> float:
    """Mean IoU over held-out scenes."""
    images = scenes.image
    if isinstance(network, UNet) and network.padding == "valid":
        images = mirrored(images, network)
    found = predict(network, images).argmax(1)[:, :SIZE, :SIZE]
    return float(mean_iou(confusion_matrix(found, scenes.labels, len(CLASSES))))


# --- Maps ---


def seen(network: nn.Module, image: Tensor) -> Maps:
    """Outputs of all modules by name, and what goes into each block as ``name <``."""
    maps: Maps = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            if isinstance(output, Tensor):
                maps[name], maps[name + " <"] = output[0], inputs[0][0]

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in network.named_modules()]
    predict(network, image)
    for handle in handles:
        handle.remove()
    return maps


def blocks(kind: str, maps: Maps) -> Iterator[tuple[str, list[Tensor]]]:
    """The diagram's blocks, and the maps (C, H, W) to choose channels from; 4 channels are scores."""
    if kind.startswith("fcn"):
        yield from ((f"enc{k}", [maps[f"backbone.stage{k}"]]) for k in range(1, 6))
        yield "score", [maps["score_fr"]]
        finest = {"fcn32": 5, "fcn8": 3}[kind]
        for level, up in [(4, "upscore2"), (3, "upscore_pool4")][: 5 - finest]:
            scores = maps[f"score_pool{level}"]
            raised = maps[up][:, : scores.shape[1], : scores.shape[2]]
            yield f"join{level}", [scores, raised]
            yield f"dec{level}", [scores + raised]
        yield "out", [maps[""]]
        return
    for level in range(DEPTH):
        yield f"enc{level}", [maps[f"encoder.{level}"]]
        joined, own = maps[f"decoder.{DEPTH - 1 - level} <"], WIDTH * 2**level
        yield f"join{level}", [joined[:own], joined[own:]] if kind.startswith("unet") else [joined]
        yield f"dec{level}", [maps[f"decoder.{DEPTH - 1 - level}"]]
    if kind == "segnet":
        yield "bottom", [F.max_pool2d(maps[f"encoder.{DEPTH - 1}"], 2)]
    else:
        yield "bottom", [maps["deconv_fc6" if kind == "deconvnet" else f"encoder.{DEPTH}"]]
    yield "out", [maps["score"]]


def channel(values: Tensor) -> Tensor:
    """The channel that varies most, as levels of grey: 0 is 0 and the largest value is the brightest."""
    strongest = values[values.flatten(1).std(1).argmax()].clamp(min=0)
    return (strongest / strongest.max().clamp(min=1e-6) * LEVELS).round().byte()


def picture(values: Tensor) -> dict[str, Any]:
    """What is stored of a map: labels, or a channel, thinned out where it is wide."""
    step = 1
    while -(-values.shape[-1] // step) > WIDEST:
        step *= 2
    scores = len(values) == len(CLASSES)
    cells = values.argmax(0).byte() if scores else channel(values)
    return {"kind": "labels" if scores else "map", "step": step, "cells": cells[::step, ::step].contiguous()}


# --- Storing ---


class Atlas:
    """All pictures side by side in one, on shelves."""

    def __init__(self) -> None:
        self.rows = np.zeros((4096, ATLAS), np.uint8)
        self.x = self.y = self.shelf = 0

    def add(self, cells: Tensor) -> list[int]:
        """Put a picture down; where it stands: x, y, width, height."""
        height, width = cells.shape
        if self.x + width > ATLAS:
            self.x, self.y, self.shelf = 0, self.y + self.shelf, 0
        place = [self.x, self.y, width, height]
        self.rows[self.y : self.y + height, self.x : self.x + width] = cells.numpy()
        self.x, self.shelf = self.x + width, max(self.shelf, height)
        return place

    def png(self) -> str:
        """Base64; a PNG of 16 greys."""
        return encoded(Image.fromarray(self.rows[: self.y + self.shelf] * (255 // LEVELS)))


def encoded(image: Image.Image) -> str:
    """Base64 of a PNG."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def stored(pictures: dict[tuple[str, str], list[dict[str, Any]]], scores: dict[str, float]) -> dict[str, Any]:
    """Everything that the widget needs, the largest pictures first in the atlas."""
    atlas = Atlas()
    every = [each for several in pictures.values() for each in several]
    for each in sorted(every, key=lambda each: -each["cells"].shape[0]):
        each["at"] = atlas.add(each.pop("cells"))
    networks = {
        kind: {
            "score": round(value, 3),
            "blocks": {name: several for (own, name), several in pictures.items() if own == kind},
        }
        for kind, value in scores.items()
    }
    return {"networks": networks, "atlas": atlas.png()}


def main() -> None:
    """Train, run, write."""
    training, held_out = make_scenes(2000, SIZE, seed=0), make_scenes(100, SIZE, seed=1)
    networks: dict[str, nn.Module] = {}
    pictures, scores = {}, {}
    for kind in ("fcn32", "fcn8", "unet", "unet_valid", "deconvnet", "segnet"):
        network = unpadded(networks["unet"]) if kind == "unet_valid" else trained(kind, training)
        networks[kind] = network
        scores[kind] = score(network, held_out)
        image = held_out.image[SCENE : SCENE + 1]
        image = mirrored(image, network) if kind == "unet_valid" else image
        for name, maps in blocks(kind, seen(network, image)):
            whole = [center_crop(maps[0][:, :SIZE, :SIZE], SIZE)] if name == "out" else maps
            pictures[kind, name] = [picture(each) for each in whole]
        print(f"{kind}: mIoU {scores[kind]:.3f}", flush=True)
    scene = (held_out.image[SCENE] * 255).round().byte().permute(1, 2, 0).numpy()
    state = stored(pictures, scores) | {
        "classes": list(CLASSES),
        "settings": {"size": SIZE, "width": WIDTH, "depth": DEPTH, "steps": STEPS, "batch": BATCH},
        "image": encoded(Image.fromarray(scene)),
        "truth": encoded(Image.fromarray(held_out.labels[SCENE].byte().numpy() * (255 // LEVELS))),
    }
    TARGET.write_text(json.dumps(state) + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
