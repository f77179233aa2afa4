"""COCO's twelve numbers beside pycocotools and faster-coco-eval, from tensors in memory.

A hundred images of 480 × 640 pixels with eight truths and eight detections each, of three classes. Truths are
ellipses anywhere in the image, half axes from 8 to 120 pixels; six of the eight detections are a truth that
was moved and stretched by some pixels, two lie anywhere; a seed fixes all. The time of a peer begins with the
same tensors: masks are encoded in its run-length code, image by image, annotations become its dicts, then it
evaluates. In the rows for boxes nothing is encoded. All three give the same numbers, which the runner checks.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pycocotools.mask
import torch
from faster_coco_eval.core import mask as faster_mask
from torch import Tensor

from benchmarks import Case
from segcore.instance_metrics import evaluate_instances

TITLE = "12 Instance metrics"
PACKAGES = ("torch", "numpy", "pycocotools", "faster-coco-eval")
IMAGES, OBJECTS, HEIGHT, WIDTH, CLASSES = 100, 8, 480, 640, 3
Entries = list[dict[str, Tensor]]

PEERS: dict[str, tuple[Any, Any, Any]] = {
    "pycocotools": (pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval, pycocotools.mask),
    "faster-coco-eval": (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, faster_mask),
}


def ellipses(shapes: Tensor) -> Tensor:
    """Masks of ellipses x, y, half axis across, half axis down."""
    x, y, across, down = shapes.T[:, :, None, None]
    columns, rows = torch.arange(WIDTH) + 0.5, torch.arange(HEIGHT)[:, None] + 0.5
    return ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 < 1


def scenes(generator: torch.Generator) -> tuple[Entries, Entries]:
    """Predictions and truths, with masks and boxes."""

    def anywhere(count: int) -> Tensor:
        place = torch.rand(count, 2, generator=generator) * torch.tensor([WIDTH, HEIGHT])
        return torch.cat([place, 8 + 112 * torch.rand(count, 2, generator=generator) ** 2], 1)

    predictions: Entries = []
    truths: Entries = []
    for _ in range(IMAGES):
        true = anywhere(OBJECTS)
        found = torch.cat([true[:6] + torch.randn(6, 4, generator=generator) * 3, anywhere(OBJECTS - 6)])
        found[:, 2:].clamp_(min=3)
        labels = torch.randint(1, CLASSES + 1, (OBJECTS,), generator=generator)
        for entries, shapes in ((truths, true), (predictions, found)):
            boxes = torch.cat([shapes[:, :2] - shapes[:, 2:], shapes[:, :2] + shapes[:, 2:]], 1)
            entries.append({"masks": ellipses(shapes), "boxes": boxes, "labels": labels})
        predictions[-1]["scores"] = torch.rand(OBJECTS, generator=generator)
    return predictions, truths


def rows_of(entries: Entries, kind: str, codec: Any) -> list[dict[str, Any]]:
    """A peer's dicts, one for each object."""
    rows: list[dict[str, Any]] = []
    for image, entry in enumerate(entries, 1):
        if kind == "mask":
            pixels = entry["masks"].numpy().transpose(1, 2, 0).view(np.uint8)
            codes = codec.encode(np.asfortranarray(pixels))
            shapes = [
                {"segmentation": code, "area": area}
                for code, area in zip(codes, codec.area(codes).tolist(), strict=True)
            ]
        else:
            corners = entry["boxes"].double()
            sides = corners[:, 2:] - corners[:, :2]
            boxes, areas = torch.cat([corners[:, :2], sides], 1).tolist(), sides.prod(1).tolist()
            shapes = [{"bbox": box, "area": area} for box, area in zip(boxes, areas, strict=True)]
        scores = entry["scores"].tolist() if "scores" in entry else [1.0] * len(shapes)
        for shape, label, score in zip(shapes, entry["labels"].tolist(), scores, strict=True):
            row = {"id": len(rows) + 1, "image_id": image, "category_id": label, "iscrowd": 0}
            rows.append(row | {"score": score} | shape)
    return rows


def peer(name: str, predictions: Entries, truths: Entries, kind: str) -> Callable[[], Tensor]:
    """The twelve numbers as a peer gives them, with all that it needs on the way."""
    data, evaluation, codec = PEERS[name]
    head = {
        "info": {},
        "images": [{"id": image, "height": HEIGHT, "width": WIDTH} for image in range(1, IMAGES + 1)],
        "categories": [{"id": label, "name": str(label)} for label in range(1, CLASSES + 1)],
    }

    def run() -> Tensor:
        with contextlib.redirect_stdout(io.StringIO()):
            sides = []
            for entries in (truths, predictions):
                side = data()
                side.dataset = {**head, "annotations": rows_of(entries, kind, codec)}
                side.createIndex()
                sides.append(side)
            made = evaluation(*sides, {"mask": "segm", "box": "bbox"}[kind])
            made.evaluate()
            made.accumulate()
            made.summarize()
        return torch.tensor(np.asarray(made.stats[:12], dtype=float))

    return run


def ours(predictions: Entries, truths: Entries, kind: str) -> Callable[[], Tensor]:
    """The same with segcore."""
    return lambda: torch.tensor(
        list(evaluate_instances(predictions, truths, kind=kind).values()), dtype=torch.float64
    )


def cases() -> Iterator[Case]:
    predictions, truths = scenes(torch.Generator().manual_seed(0))
    for kind, words in (("mask", "masks"), ("box", "boxes")):
        for name, goal in (("pycocotools", 5), ("faster-coco-eval", 1)):
            run = peer(name, predictions, truths, kind)
            yield Case(f"Twelve numbers from {words}", ours(predictions, truths, kind), run, name, goal)
