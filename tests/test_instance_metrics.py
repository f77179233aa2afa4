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
    x1, y1, x2, y2 = (max(0, each) for each in box)
    return [min(x1, WIDTH), min(y1, HEIGHT), min(x2, WIDTH), min(y2, HEIGHT)]


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


def test_the_constants_are_those_of_pycocotools_to_the_last_bit():
    params = COCOeval(iouType="bbox").params
    assert list(THRESHOLDS) == params.iouThrs.tolist() and list(RECALLS) == params.recThrs.tolist()
    assert [list(each) for each in AREAS.values()] == params.areaRng


def test_boxes_between_pixels_equal_pycocotools():
    draw, generator, largest = random.Random(1), torch.Generator().manual_seed(1), 0.0
    for _ in range(60):
        truths, predictions = [], []
        for _ in range(3):
            corner = torch.rand(4, 2, generator=generator, dtype=torch.float64) * 200
            true = torch.cat([corner, corner + torch.rand(4, 2, generator=generator) * 130], 1)
            found = true.repeat(3, 1) + torch.randn(12, 4, generator=generator) * 2
            found = torch.cat([found[:, :2].minimum(found[:, 2:]), found[:, :2].maximum(found[:, 2:])], 1)
            labels = torch.tensor([draw.choice([1, 2]) for _ in range(12)])
            truths.append({"boxes": true, "labels": labels[:4]})
            predictions.append({"boxes": found, "labels": labels, "scores": torch.rand(12)})
        ours = evaluate_instances(predictions, truths, kind="box")
        largest = max(largest, difference(ours, pycocotools_scores(predictions, truths, "box")))
    assert largest < 1e-9


def test_a_hundred_detections_of_a_class_count_and_no_more():
    generator = torch.Generator().manual_seed(2)
    corner = torch.rand(130, 2, generator=generator) * 300
    true = torch.cat([corner, corner + 40], 1)
    order = torch.randperm(130, generator=generator)
    found = {"boxes": true[order], "labels": torch.ones(130).long(), "scores": torch.linspace(1, 0, 130)}
    truth = {"boxes": true, "labels": torch.ones(130).long()}
    ours = evaluate_instances([found], [truth], kind="box")
    assert difference(ours, pycocotools_scores([found], [truth], "box")) < 1e-9
    assert ours["AR100"] == pytest.approx(100 / 130) and ours["AR10"] == pytest.approx(10 / 130)


# --- The definition, as plain loops ---


def take_twin(ious, scores, thresholds, ignored, crowd, limit):
    """The truth of each detection of one image and class, or -1."""
    order = sorted(range(len(scores)), key=lambda d: -scores[d])[:limit]
    taken, gone = [-1] * len(scores), set()
    for d in order:
        best, best_iou = -1, min(thresholds, 1 - 1e-10)
        for wanted in (False, True):  # first those that count
            if best >= 0:
                break
            for g in range(len(ignored)):
                if ignored[g] == wanted and (g not in gone or crowd[g]) and ious[d][g] >= best_iou:
                    best, best_iou = g, ious[d][g]
        taken[d] = best
        gone.add(best)
    return taken


def ap_twin(right, positives):
    """Mean over 101 recalls of the highest precision at that recall or more."""
    total, points, hits = 0.0, [], 0
    for rank, hit in enumerate(right, 1):
        hits += hit
        points.append((hits / positives, hits / rank))
    for recall in RECALLS:
        total += max((p for r, p in points if r >= recall), default=0.0)
    return total / 101


def mask_twin(a, b, crowd):
    inter = sum(bool(x) and bool(y) for x, y in zip(a.flatten(), b.flatten(), strict=True))
    union = int(a.sum()) if crowd else int(a.sum()) + int(b.sum()) - inter
    return inter / union if inter else 0.0


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_each_match_equals_the_loops(kind):
    draw = random.Random(3)
    for _ in range(60):
        predictions, truths, limits, _ = random_case(draw, kind)
        threshold, (low, high) = draw.choice([0, 0.3, 0.5, 0.75, 1]), draw.choice(list(AREAS.values()))
        for found, truth in zip(predictions, truths, strict=True):
            field, crowd = {"mask": "masks", "box": "boxes"}[kind], torch.zeros(len(truth["labels"])).bool()
            crowd = truth.get("crowd", crowd)
            ious = {"mask": mask_iou, "box": box_iou}[kind](found[field], truth[field], crowd)
            area = truth.get("area", torch.tensor([each["area"] for each in shapes(truth, kind)]))
            ignored = [bool(c) or not low <= a <= high for c, a in zip(crowd, area.tolist(), strict=True)]
            small = [not low <= each["area"] <= high for each in shapes(found, kind)]
            result = match(found, truth, threshold, kind, (low, high), limits[-1])
            expected, beyond = [-1] * len(small), set(range(len(small)))
            for label in set(found["labels"].tolist()):
                d = (found["labels"] == label).nonzero()[:, 0].tolist()
                g = (truth["labels"] == label).nonzero()[:, 0].tolist()
                own = take_twin(
                    ious[d][:, g].tolist(), found["scores"][d].tolist(), threshold,
                    [ignored[each] for each in g], crowd[g].tolist(), limits[-1],
                )  # fmt: skip
                order = sorted(range(len(d)), key=lambda k, d=d: -float(found["scores"][d[k]]))
                beyond -= {d[k] for k in order[: limits[-1]]}
                for k, which in enumerate(own):
                    expected[d[k]] = g[which] if which >= 0 else -1
            assert result.truth.tolist() == expected
            assert result.missed.tolist() == [
                not out and each not in expected for each, out in enumerate(ignored)
            ]
            assert result.ignored.tolist() == [
                each in beyond or (ignored[which] if which >= 0 else small[each])
                for each, which in enumerate(expected)
            ]
            for each, which in enumerate(expected):
                iou = result.iou[each].item()
                assert math.isnan(iou) if which < 0 else iou == ious[each, which].item()


def test_average_precision_equals_the_loops_and_chapter_3():
    generator = torch.Generator().manual_seed(4)
    for count, positives in [(0, 3), (1, 1), (7, 3), (40, 60), (300, 97)]:
        right = (torch.rand(count, generator=generator) < 0.4).cumsum(0).le(positives)
        right &= torch.rand(count, generator=generator) < 0.4
        ours = module._average_precision(
            right[:, None, None], ~right[:, None, None], torch.tensor([[positives]])
        ).item()
        falling = torch.arange(count, 0, -1).float()
        assert ours == pytest.approx(average_precision(falling, right, positives, "coco").item(), abs=1e-15)
        assert ours == pytest.approx(ap_twin(right.tolist(), positives), abs=1e-12)


@steady
@given(st.data())
def test_mask_iou_equals_the_loops_and_pycocotools(data):
    height, width = data.draw(st.integers(1, 23)), data.draw(st.integers(1, 40))
    many, others = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 9999)))
    share = data.draw(st.sampled_from([0.0, 0.1, 0.6, 1.0]))
    a = torch.rand(many, height, width, generator=generator) < share
    b = torch.rand(others, height, width, generator=generator) < share
    crowd = torch.rand(others, generator=generator) < 0.5
    ours = mask_iou(a, b, crowd)
    assert ours.shape == (many, others) and ours.dtype == torch.float64
    twin = [[mask_twin(x, y, c) for y, c in zip(b, crowd, strict=True)] for x in a]
    assert ours.tolist() == twin
    if many and others:
        assert ours.tolist() == rle.iou(encoded(a), encoded(b), crowd.int().tolist()).tolist()


@steady
@given(st.integers(0, 9999), st.booleans())
def test_box_iou_equals_torchvision_and_pycocotools(seed, whole):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, 5, 4, generator=generator, dtype=torch.float64) * 9
    a, b = (
        torch.cat([each[:, :2].minimum(each[:, 2:]), each[:, :2].maximum(each[:, 2:])], 1) for each in (a, b)
    )
    if whole:
        a, b = a.round(), b.round()
    crowd = torch.rand(5, generator=generator) < 0.5
    theirs = rle.iou(
        *(torch.cat([each[:, :2], each[:, 2:] - each[:, :2]], 1).numpy() for each in (a, b)),
        crowd.int().tolist(),
    )
    assert box_iou(a, b, crowd).tolist() == theirs.tolist()
    peer = ops.box_iou(a, b)
    assert torch.allclose(box_iou(a, b), peer.nan_to_num(0.0), atol=1e-12)


# --- What a reader can check by hand ---


def boxed(boxes, labels=None, **more):
    labels = [1] * len(boxes) if labels is None else labels
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {"boxes": rows, "labels": torch.tensor(labels, dtype=torch.int64)} | {
        name: torch.tensor(each) for name, each in more.items()
    }


def test_an_iou_of_just_the_threshold_is_enough():
    truth, found = boxed([[0, 0, 4, 4]]), boxed([[0, 0, 4, 2]], scores=[0.5])
    assert match(found, truth, 0.5, "box").truth.tolist() == [0]
    assert match(found, truth, 0.5001, "box").truth.tolist() == [-1]


def test_a_perfect_detection_has_ap_1_and_none_has_0():
    truth = boxed([[0, 0, 50, 50]])
    perfect = evaluate_instances([boxed([[0, 0, 50, 50]], scores=[0.1])], [truth], kind="box")
    assert perfect["AP"] == perfect["APm"] == perfect["AR1"] == 1
    assert math.isnan(perfect["APs"]) and math.isnan(perfect["ARl"])
    nothing = evaluate_instances([boxed([], scores=[])], [truth], kind="box")
    assert nothing["AP"] == nothing["AR100"] == 0


def test_a_class_that_is_only_predicted_does_not_count():
    truth = boxed([[0, 0, 50, 50]])
    found = boxed([[0, 0, 50, 50], [0, 0, 9, 9]], labels=[1, 2], scores=[0.1, 0.9])
    assert evaluate_instances([found], [truth], kind="box")["AP"] == 1


def test_of_equal_ious_the_last_truth_of_equal_scores_the_first_detection():
    truth = boxed([[0, 0, 2, 4], [2, 0, 4, 4]])
    found = boxed([[0, 0, 4, 4], [0, 0, 4, 4]], scores=[0.5, 0.5])
    assert match(found, truth, 0.5, "box").truth.tolist() == [1, 0]


def test_a_crowd_is_taken_again_and_again_and_only_if_nothing_else_is_left():
    truth = boxed([[0, 0, 9, 9], [0, 0, 3, 3]], crowd=[True, False])
    found = boxed([[0, 0, 3, 3]] * 3, scores=[0.9, 0.8, 0.7])
    result = match(found, truth, 0.5, "box")
    assert result.truth.tolist() == [1, 0, 0] and result.ignored.tolist() == [False, True, True]
    assert result.iou.tolist() == [1, 1, 1]  # a crowd's IoU is the share of the detection
    assert evaluate_instances([found], [truth], kind="box")["AP"] == 1


def test_areas_on_both_limits_belong_to_two_ranges():
    for side, names in ((32, "sm"), (96, "ml")):
        truth = boxed([[0, 0, side, side]])
        scores = evaluate_instances([boxed([[0, 0, side, side]], scores=[1.0])], [truth], kind="box")
        assert [name for name in "sml" if scores[f"AP{name}"] == 1] == list(names)


def test_no_images_no_truths_and_no_detections():
    for predictions, truths in (([], []), ([boxed([], scores=[])], [boxed([])])):
        assert all(math.isnan(each) for each in evaluate_instances(predictions, truths, kind="box").values())
    found = evaluate_instances([boxed([[0, 0, 1, 1]], scores=[1.0])], [boxed([])], kind="box")
    assert list(found) == NAMES and all(math.isnan(each) for each in found.values())
    result = match(boxed([[0, 0, 1, 1]], scores=[1.0]), boxed([]), kind="box")
    assert result.truth.tolist() == [-1] and result.missed.tolist() == []


def test_a_range_may_be_open_above():
    truth, found = boxed([[0, 0, 9, 9]]), boxed([[0, 0, 9, 9]], scores=[1.0])
    assert match(found, truth, kind="box", area=(81, math.inf)).ignored.tolist() == [False]
    assert match(found, truth, kind="box", area=(82, math.inf)).ignored.tolist() == [True]


def test_limits_name_the_recalls_in_any_order():
    truth, found = boxed([[0, 0, 9, 9]]), boxed([[0, 0, 9, 9]], scores=[1.0])
    names = list(evaluate_instances([found], [truth], (50, 2), "box"))
    assert names == [*NAMES[:6], "AR2", "AR50", *NAMES[9:]]


def test_the_lectures_table_grows_with_the_years():
    ap = [row[0] for row in COCO_RESULTS.values()]
    assert len(ap) == 6 and max(ap) == 37.1 == COCO_RESULTS["Mask R-CNN", "ResNeXt-101-FPN"][0]
    for ap, ap50, ap75, small, medium, large in COCO_RESULTS.values():
        assert ap < ap50 and not ap75 <= ap - 1 and not (small >= medium or medium >= large)


# --- The same whatever the form ---


def scene_case(seed):
    """Predictions and truths of small scenes: the masks moved by a pixel or two, and some left out."""
    predictions, truths = [], []
    generator = torch.Generator().manual_seed(seed)
    for at, scene in enumerate(make_scenes(4, seed=seed)):
        many = len(scene.masks)
        truths.append({"masks": scene.masks, "labels": scene.classes})
        predictions.append(
            {
                "masks": scene.masks.roll(1 + at % 2, 2),
                "labels": scene.classes,
                "scores": torch.rand(many, generator=generator),
            }
        )
    return predictions, truths


def test_small_batches_give_the_same(monkeypatch):
    draw = random.Random(5)
    cases = [(*random_case(draw, "mask")[:3], "mask") for _ in range(8)]
    whole = [evaluate_instances(*each) for each in cases]
    monkeypatch.setattr(module, "_CELLS", 1)
    monkeypatch.setattr(module, "_PAIRS", 1)
    for case, before in zip(cases, whole, strict=True):
        assert difference(evaluate_instances(*case), before) == 0


def test_the_order_of_equal_images_and_the_form_of_tensors_do_not_matter():
    predictions, truths = scene_case(0)
    expected = evaluate_instances(predictions, truths)
    assert 0.1 < expected["AP"] < 1
    strided = [each | {"masks": each["masks"].mT.contiguous().mT} for each in predictions]
    assert difference(evaluate_instances(strided, truths), expected) == 0
    parts = [each | {"masks": torch.cat([each["masks"][:1], each["masks"]])[1:]} for each in truths]
    assert difference(evaluate_instances(predictions, tuple(parts)), expected) == 0
    double = [each | {"scores": each["scores"].double().requires_grad_()} for each in predictions]
    assert difference(evaluate_instances(double, truths), expected) == 0


def test_odd_places_in_memory():
    bytes_ = torch.rand(3 * 16 * 20 + 3) < 0.5
    a = bytes_[3:].view(3, 16, 20)
    assert torch.equal(mask_iou(a, a), mask_iou(a.clone(), a.clone()))


def test_half_precision_boxes_and_scores():
    truth = boxed([[0, 0, 300, 300], [400, 400, 800, 800]])
    found = boxed([[0, 0, 300, 300], [400, 400, 800, 800]], scores=[0.5, 0.25])
    half = found | {"boxes": found["boxes"].half(), "scores": found["scores"].bfloat16()}
    assert evaluate_instances([half], [truth], kind="box")["AP"] == 1


def test_inputs_stay_as_they_were():
    predictions, truths = scene_case(1)
    before = [{name: each.clone() for name, each in entry.items()} for entry in predictions + truths]
    evaluate_instances(predictions, truths)
    match(predictions[0], truths[0])
    for entry, copy in zip(predictions + truths, before, strict=True):
        assert entry.keys() == copy.keys() and all(torch.equal(entry[name], copy[name]) for name in copy)


# --- What is refused ---

MASKS = {"masks": torch.ones(2, 4, 4).bool(), "labels": torch.tensor([1, 1])}
FOUND = MASKS | {"scores": torch.tensor([0.5, 0.4])}
BOX = boxed([[0, 0, 1, 1]], scores=[1.0])


@pytest.mark.parametrize(
    ("predictions", "truths", "kind", "error", "words"),
    [
        (FOUND, [MASKS], "mask", TypeError, r"expected predictions as a list .* got dict; .*\[predictions\]"),
        ([FOUND], [MASKS, MASKS], "mask", ValueError, "the same images, got 1 and 2"),
        ([FOUND["masks"]], [MASKS], "mask", TypeError, r"expected predictions\[0\] as a dict, got Tensor"),
        ([MASKS], [MASKS], "mask", ValueError, r"predictions\[0\] with 'scores', got 'masks', 'labels'"),
        ([FOUND], [{"masks": MASKS["masks"]}], "mask", ValueError, r"truths\[0\] with 'labels'"),
        ([FOUND], [MASKS], "box", ValueError, r"predictions\[0\] with 'boxes'"),
        ([FOUND], [MASKS], "masks", ValueError, "kind as one of 'mask', 'box'"),
        (
            [FOUND, FOUND | {"masks": torch.ones(2, 4, 4)}], [MASKS, MASKS], "mask", ValueError,
            r"predictions\[1\]\['masks'\] in bool, got torch.float32",
        ),
        (
            [FOUND, FOUND], [MASKS, MASKS | {"masks": torch.ones(2, 4, 6).bool()}], "mask", ValueError,
            r"predictions\[1\]\['masks'\] of the size of truths\[1\]\['masks'\], 4 × 6, got 4 × 4",
        ),
        (
            [FOUND | {"scores": torch.tensor([0.5, math.nan])}], [MASKS], "mask", ValueError,
            r"NaN in predictions\[0\]\['scores'\]",
        ),
        (
            [FOUND | {"scores": torch.tensor([0.5])}], [MASKS], "mask", ValueError,
            r"predictions\[0\]\['scores'\] one for each of the 2 .* got 1",
        ),
        (
            [FOUND | {"scores": torch.ones(2, 1)}], [MASKS], "mask", ValueError,
            r"predictions\[0\]\['scores'\] of shape \(N,\)",
        ),
        (
            [FOUND | {"labels": torch.ones(2)}], [MASKS], "mask", ValueError,
            r"predictions\[0\]\['labels'\] in int64, got torch.float32",
        ),
        (
            [FOUND | {"labels": [1, 1]}], [MASKS], "mask", TypeError,
            r"predictions\[0\]\['labels'\] as a tensor",
        ),
        (
            [FOUND], [MASKS | {"area": torch.tensor([1.0, -1.0])}], "mask", ValueError,
            r"truths\[0\]\['area'\] of 0 or more pixels, got \[1.0, -1.0\]",
        ),
        (
            [FOUND], [MASKS | {"crowd": torch.tensor([0, 1])}], "mask", ValueError,
            r"truths\[0\]\['crowd'\] in bool, got torch.int64",
        ),
        (
            [FOUND], [MASKS | {"crowd": torch.tensor([True])}], "mask", ValueError,
            r"truths\[0\]\['crowd'\] one for each of the 2",
        ),
        (
            [BOX], [boxed([[5, 0, 1, 1]])], "box", ValueError,
            r"x1 <= x2 and y1 <= y2, got truths\[0\]\['boxes'\]",
        ),
        (
            [BOX | {"boxes": torch.full((1, 4), math.nan)}], [BOX], "box", ValueError,
            r"finite predictions\[0\]\['boxes'\]",
        ),
    ],
)  # fmt: skip
def test_what_is_refused_names_image_and_entry(predictions, truths, kind, error, words):
    with pytest.raises(error, match=words):
        evaluate_instances(predictions, truths, kind=kind)


@pytest.mark.parametrize("limits", [(), 100, "100", (0, 10), (1, 2.5)])
def test_limits_that_are_none(limits):
    with pytest.raises((ValueError, TypeError), match="expected max_detections"):
        evaluate_instances([FOUND], [MASKS], limits)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 1.5}, "threshold as a finite number of at least 0"),
        ({"area": (5, 1)}, r"area\[1\] as a finite number of at least 5"),
        ({"area": 3}, "area as two numbers"),
        ({"max_detections": 0}, "max_detections of at least 1"),
    ],
)
def test_options_of_match_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        match(FOUND, MASKS, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mask_iou(torch.ones(1, 2, 2), torch.ones(1, 2, 2).bool()), "a in bool"),
        (
            lambda: mask_iou(torch.ones(1, 2, 2).bool(), torch.ones(1, 2, 3).bool()),
            "b of the size of a, 2 × 2",
        ),
        (
            lambda: mask_iou(*[torch.ones(1, 2, 2).bool()] * 2, torch.ones(2).bool()),
            "crowd one for each of the 1",
        ),
        (lambda: box_iou(torch.ones(4), torch.ones(1, 4)), r"a of shape \(N, 4\)"),
        (lambda: box_iou(torch.tensor([[3.0, 0, 1, 1]]), torch.ones(1, 4)), "x1 <= x2"),
    ],
)
def test_shapes_that_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
