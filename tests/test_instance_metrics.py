"""COCO's twelve numbers equal pycocotools' in every corner, and their definition written as plain loops."""

from __future__ import annotations

import contextlib
import io
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision import ops

import segcore.instance_metrics as module
from segcore.data.scenes import make_scenes
from segcore.instance_metrics import (
    AREAS,
    COCO_RESULTS,
    RECALLS,
    THRESHOLDS,
    box_iou,
    evaluate_instances,
    mask_iou,
    match,
)
from segcore.metrics import average_precision

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)
NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


# --- pycocotools ---


def encoded(masks):
    return rle.encode(np.asfortranarray(masks.permute(1, 2, 0).numpy().astype(np.uint8)))


def shapes(entry, kind):
    """Of each object what its annotation says about its shape, and the area of that."""
    if kind == "mask":
        codes = encoded(entry["masks"]) if len(entry["masks"]) else []
        return [{"segmentation": code, "area": float(rle.area(code))} for code in codes]
    rows = entry["boxes"].double().tolist()
    return [{"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)} for x1, y1, x2, y2 in rows]


def pycocotools_evaluation(predictions, truths, kind, limits=(1, 10, 100)):
    """COCOeval after its run; ids begin at 1, since 0 reads as unmatched."""
    truth, found = COCO(), COCO()
    names = {label for side in (predictions, truths) for entry in side for label in entry["labels"].tolist()}
    head = {
        "info": {},
        "images": [{"id": at, "height": HEIGHT, "width": WIDTH} for at in range(len(truths))],
        "categories": [{"id": each} for each in sorted(names)],
    }
    for data, side in ((truth, truths), (found, predictions)):
        rows = []
        for at, entry in enumerate(side):
            for k, shape in enumerate(shapes(entry, kind)):
                row = {"id": len(rows) + 1, "image_id": at, "category_id": int(entry["labels"][k]), **shape}
                row["iscrowd"] = int(entry["crowd"][k]) if "crowd" in entry else 0
                if "area" in entry:
                    row["area"] = float(entry["area"][k])
                if "scores" in entry:
                    row["score"] = float(entry["scores"][k])
                rows.append(row)
        data.dataset = {**head, "annotations": rows}
        with contextlib.redirect_stdout(io.StringIO()):
            data.createIndex()
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(truth, found, {"mask": "segm", "box": "bbox"}[kind])
        run.params.maxDets = list(limits)
        run.evaluate()
        run.accumulate()
        if tuple(limits) == (1, 10, 100) and names:
            run.summarize()
    return run


def mean(values):
    return values[values > -1].mean() if (values > -1).any() else math.nan


def pycocotools_scores(predictions, truths, kind, limits=(1, 10, 100)):
    """The twelve numbers; NaN for -1."""
    run = pycocotools_evaluation(predictions, truths, kind, limits)
    precision, recall = run.eval["precision"], run.eval["recall"]  # (T, R, K, A, M), (T, K, A, M)
    ap = [mean(precision[..., 0, -1]), mean(precision[0, ..., 0, -1]), mean(precision[5, ..., 0, -1])]
    ap += [mean(precision[..., a, -1]) for a in (1, 2, 3)]
    ar = [mean(recall[..., 0, m]) for m in range(len(limits))] + [mean(recall[..., a, -1]) for a in (1, 2, 3)]
    if hasattr(run, "stats") and len(run.stats):  # what COCO itself sums up
        stats = np.where(run.stats == -1, math.nan, run.stats)
        assert np.allclose(stats, ap + ar, atol=1e-12, equal_nan=True)
    names = ["AP", "AP50", "AP75", "APs", "APm", "APl", *(f"AR{n}" for n in limits), "ARs", "ARm", "ARl"]
    return dict(zip(names, ap + ar, strict=True))


# --- Random cases, each of which says which corners it holds ---

SIDES = (0, 1, 3, 31, 32, 33, 40, 64, 95, 96, 97)
HEIGHT, WIDTH = 104, 112


def random_box(draw):
    width, height = draw.choice(SIDES), draw.choice(SIDES)
    x, y = draw.randint(0, WIDTH - width), draw.randint(0, HEIGHT - height)
    return [x, y, x + width, y + height]


def near(box, draw):
    """The box again, or moved by a few pixels or cut in half, so that IoUs meet thresholds exactly."""
    x1, y1, x2, y2 = box
    kind = draw.choice(["same", "same", "moved", "half", "cut", "larger"])
    if kind == "moved":
        dx, dy = draw.randint(-3, 3), draw.randint(-3, 3)
        return [x1 + dx, y1 + dy, x2 + dx, y2 + dy]
    if kind == "half":
        return [x1, y1, x2, y1 + (y2 - y1) // 2]
    if kind == "cut":
        return [x1, y1, x2 - draw.randint(0, min(9, x2 - x1)), y2]
    return [x1, y1, x2, y2] if kind == "same" else [x1 - 2, y1 - 2, x2 + 2, y2 + 2]


def fitted(box):
    x1, y1, x2, y2 = box
    return [max(0, x1), max(0, y1), min(WIDTH, x2), min(HEIGHT, y2)]


def painted(boxes, draw):
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
        if draw.random() < 0.3:
            mask[(y1 + y2) // 2 :, (x1 + x2) // 2 :] = False
    return masks


def random_case(draw, kind):
    """Predictions, truths, limits, and the corners that this case holds."""
    corners, predictions, truths = set(), [], []
    labels = draw.choice([[1], [1, 2], [3, 7, 90], [0, 5]])
    limits = draw.choice([(1, 10, 100), (1, 10, 100), (1, 2, 4), (2, 3, 5)])
    several = draw.random() < 0.3
    for _ in range(draw.choice([1, 2, 2, 3])):
        true = [fitted(random_box(draw)) for _ in range(draw.choice([0, 1, 2, 3, 5]))]
        true += [list(each) for each in true if draw.random() < 0.1]  # twice: ties of IoU
        found = [fitted(near(draw.choice(true), draw)) for _ in true for _ in range(2) if draw.random() < 0.7]
        found += [fitted(random_box(draw)) for _ in range(draw.choice([0, 0, 1, 2, 12 if several else 3]))]
        if draw.random() < 0.1:
            found = []
        scores = [draw.choice([draw.random(), 0.5, 0.25]) for _ in found]
        crowd = [draw.random() < draw.choice([0.0, 0.4]) for _ in true]
        truth = {"labels": torch.tensor([draw.choice(labels) for _ in true], dtype=torch.int64)}
        prediction = {"labels": torch.tensor([draw.choice(labels) for _ in found], dtype=torch.int64)}
        prediction["scores"] = torch.tensor(scores, dtype=draw.choice([torch.float32, torch.float64]))
        if draw.random() < 0.8 or any(crowd):
            truth["crowd"] = torch.tensor(crowd, dtype=torch.bool)
        if draw.random() < 0.4:
            areas = [draw.choice([1024.0, 9216.0, 1024.0000001, 9215.99, 400.5, 5000.0, 2e4]) for _ in true]
            truth["area"] = torch.tensor(areas, dtype=torch.float64)
        for entry, boxes in ((truth, true), (prediction, found)):
            if kind == "mask":
                entry["masks"] = painted(boxes, draw)
            else:
                shift = draw.choice([0.0, 0.0, 0.3])
                dtype = draw.choice([torch.float32, torch.float64])
                entry["boxes"] = torch.tensor(boxes, dtype=dtype).reshape(-1, 4) + shift
        corners |= {
            name
            for name, holds in (
                ("no truth", not true),
                ("no detection", not found),
                ("neither", not true and not found),
                ("crowd", any(crowd)),
                ("all crowd", bool(true) and all(crowd)),
                ("equal scores", len(set(scores)) < len(scores)),
                ("the same truth twice", len({tuple(each) for each in true}) < len(true)),
                ("areas in float64", "area" in truth and bool(true)),
                ("an area on a limit", any((x2 - x1) * (y2 - y1) in (1024, 9216) for x1, y1, x2, y2 in true)),
                ("a shape without area", any(x1 == x2 or y1 == y2 for x1, y1, x2, y2 in true + found)),
            )
            if holds
        }
        truths.append(truth)
        predictions.append(prediction)
    sides = [torch.cat([each["labels"] for each in side]).tolist() for side in (predictions, truths)]
    many = [Counter(each["labels"].tolist()) for each in predictions]
    if any(count > limits[-1] for each in many for count in each.values()):
        corners.add("more detections than the limit")
    if len(set(sides[0] + sides[1])) > 1:
        corners.add("several classes")
    if set(sides[0]) - set(sides[1]):
        corners.add("a class without truth")
    if set(sides[1]) - set(sides[0]):
        corners.add("a class without detection")
    if len(truths) > 1:
        corners.add("several images")
    return predictions, truths, limits, corners


def difference(ours, theirs):
    assert list(ours) == list(theirs)
    assert [math.isnan(each) for each in ours.values()] == [math.isnan(each) for each in theirs.values()]
    return max([abs(ours[name] - theirs[name]) for name in ours if not math.isnan(ours[name])], default=0.0)


def compare_with_pycocotools(kind, cases, seed):
    """Largest difference over random cases, and in how many of them each corner was met."""
    draw, largest, met = random.Random(seed), 0.0, Counter()
    for _ in range(cases):
        predictions, truths, limits, corners = random_case(draw, kind)
        ours = evaluate_instances(predictions, truths, limits, kind)
        largest = max(largest, difference(ours, pycocotools_scores(predictions, truths, kind, limits)))
        met.update(corners)
    return largest, met


CORNERS = {
    "no truth", "no detection", "neither", "crowd", "all crowd", "equal scores", "the same truth twice",
    "areas in float64", "an area on a limit", "a shape without area", "more detections than the limit",
    "several classes", "a class without truth", "a class without detection", "several images",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_equals_pycocotools_in_every_corner(kind):
    largest, met = compare_with_pycocotools(kind, cases=400, seed=0)
    assert largest < 1e-9
    assert set(met) == CORNERS and min(met.values()) >= 10, met
