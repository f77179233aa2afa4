"""Trained networks with parts switched off or changed, as the widgets of chapters 9 and 11 do it.

Nothing is trained here. The stored networks of ``networks.py``, as they travel, are run on 100 scenes: the
U-Net with every choice of bridges; SegNet with its switches, with a quarter of each value in each of its four
pixels, and with the whole value in each; DeepLab with every choice of branches, with one rate at its least or
most, and with all changed. A setting is written as the page writes it: the digits of what is off, then the
rates. Seed k takes other scenes; seed 0's numbers are kept beside the networks, in
``segcore/widgets/static/switches.json``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segcore.data.scenes import CLASSES, make_scenes
from segcore.metrics import confusion_matrix, mean_iou
from segcore.widgets.export import edited, import_network
from segcore.widgets.scene import networks

TITLE = "Trained networks with parts switched off"
TARGET = Path(__file__).parents[2] / "segcore" / "widgets" / "static" / "switches.json"
SCENES = 100
CATS = ("cat_2", "cat_1", "cat")  # the bridges of the U-Net, the finest first
RATES, MOST = (2, 4, 6), 12
ASPP = "network.classifier.0"


def subsets(count: int, first: int) -> list[tuple[int, ...]]:
    """Every choice of what is off, numbered from ``first``."""
    numbers = range(first, first + count)
    return [off for size in range(count + 1) for off in itertools.combinations(numbers, size)]


def bridges() -> dict[str, dict[str, Any]]:
    """Edits of the U-Net by setting."""
    return {
        "".join(map(str, off)): {CATS[bridge - 1]: {"zero": [0]} for bridge in off} for off in subsets(3, 1)
    }


def unpoolings(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Edits of SegNet by setting."""
    names = [step["name"] for step in described["steps"] if step["op"] == "unpool"]
    return {
        "": {},
        "quarters": {name: {"op": "nearest", "share": 0.25} for name in names},
        "whole": {name: {"op": "nearest"} for name in names},
    }


def rates_changed(rates: Sequence[int]) -> dict[str, Any]:
    """Edits of DeepLab that give its 3×3 filters these rates."""
    return {
        f"{ASPP}.convs.{n}.0": {"dilation": [rate] * 2, "padding": [rate] * 2}
        for n, rate in enumerate(rates, 1)
    }


def branches() -> dict[str, dict[str, Any]]:
    """Edits of DeepLab by setting."""
    found = {"".join(map(str, off)): {f"{ASPP}.cat": {"zero": list(off)}} for off in subsets(5, 0)}
    single = [(*RATES[:n], rate, *RATES[n + 1 :]) for n in range(3) for rate in (1, MOST)]
    for rates in [*single, (1, 2, 3), (4, 8, 12), (12, 12, 12)]:
        if rates != RATES:
            found["-".join(map(str, rates))] = rates_changed(rates)
    return found


def miou(described: dict[str, Any], images: Tensor, labels: Tensor) -> float:
    """Mean IoU of a described network."""
    with torch.no_grad():
        (logits,) = import_network(described)(images).values()
    return round(float(mean_iou(confusion_matrix(logits.argmax(1), labels, len(CLASSES)))), 4)


def run(seed: int) -> dict[str, Any]:
    """All settings on one hundred scenes; a mean IoU for each."""
    scenes = make_scenes(SCENES, 96, seed=2, start=SCENES * seed)
    stored = networks("unet", "segnet", "deeplab")
    settings = {
        "unet": (stored["unet"], bridges()),
        "segnet": (stored["segnet"], unpoolings(stored["segnet"])),
        "deeplab": (stored["deeplab"], branches()),
    }
    result = {
        name: {
            key: miou(edited(described, edits), scenes.image, scenes.labels) for key, edits in each.items()
        }
        for name, (described, each) in settings.items()
    }
    if seed == 0:
        TARGET.write_text(json.dumps(result, separators=(",", ":")) + "\n", encoding="utf-8")
    return result
