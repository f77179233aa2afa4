"""Keypoints: COCO's ten numbers equal pycocotools', targets torchvision's, decoding and loss plain loops."""

from __future__ import annotations

import contextlib
import io
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params
from torchvision.models.detection import roi_heads as peer

from segcore.data.scenes import make_scenes
from segcore.keypoints import (
    COCO_SIGMAS,
    METHODS,
    NOWHERE,
    KeypointNet,
    decode_keypoints,
    evaluate_keypoints,
    gaussian_targets,
    keypoint_loss,
    keypoint_targets,
    oks,
)

steady = settings(derandomize=True, deadline=None, database=None)
NAMES = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]
BOX = torch.tensor([[0.0, 0.0, 8.0, 8.0]])


# --- COCO's numbers ---


def pycocotools_scores(predictions, truths, sigmas):
    """What COCO's own summary says; NaN for -1."""
    truth, found = COCO(), COCO()
    images = [{"id": at} for at in range(len(truths))]
    head = {"info": {}, "images": images, "categories": [{"id": 1}]}
    for data, side in ((truth, truths), (found, predictions)):
        rows = []
        for at, entry in enumerate(side):
            for k, points in enumerate(entry["keypoints"].double()):
                row = {"id": len(rows) + 1, "image_id": at, "category_id": 1, "iscrowd": 0}
                row["keypoints"] = points.flatten().tolist()
                if "scores" in entry:
                    (x1, y1), (x2, y2) = points[:, :2].amin(0).tolist(), points[:, :2].amax(0).tolist()
                    row |= {"score": float(entry["scores"][k]), "area": (x2 - x1) * (y2 - y1)}
                else:
                    x1, y1, x2, y2 = entry["boxes"][k].double().tolist()
                    row |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(entry["area"][k])}
                    row |= {"iscrowd": int(entry["crowd"][k]), "num_keypoints": int((points[:, 2] > 0).sum())}
                rows.append(row)
        data.dataset = {**head, "annotations": rows}
        with contextlib.redirect_stdout(io.StringIO()):
            data.createIndex()
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(truth, found, "keypoints")
        run.params.kpt_oks_sigmas = np.array(sigmas)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(zip(NAMES, np.where(run.stats == -1, math.nan, run.stats), strict=True))


def random_truths(draw, count, keypoints, corners):
    points, boxes, areas, crowd = [], [], [], []
    for _ in range(count):
        side = draw.choice([0, 20, 32, 60, 96, 140])
        x, y = draw.randint(0, 60), draw.randint(0, 60)
        seen = [draw.choice([0, 1, 2, 2]) for _ in range(keypoints)]
        if draw.random() < 0.2:
            seen = [0] * keypoints
        corners["nothing labelled"] += not any(seen)
        corners["no area"] += side == 0
        corners["small"] += side < 32
        corners["at a limit"] += side in (32, 96)
        corners["large"] += side > 96
        rows = [[x + draw.randint(0, side), y + draw.randint(0, side), v] if v else [0, 0, 0] for v in seen]
        points.append(rows)
        boxes.append([x, y, x + side, y + side])
        areas.append(side * side if draw.random() < 0.7 else side * side * draw.random())
        crowd.append(draw.random() < 0.15)
        corners["crowd"] += crowd[-1]
        if draw.random() < 0.2:  # one more at the very place: equal likeness
            corners["two alike"] += 1
            for each in (points, boxes, areas):
                each.append(each[-1])
            crowd.append(draw.random() < 0.3)
    return {
        "keypoints": torch.tensor(points, dtype=torch.float64).reshape(-1, keypoints, 3),
        "boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        "area": torch.tensor(areas, dtype=torch.float64),
        "crowd": torch.tensor(crowd, dtype=torch.bool),
    }


def random_predictions(draw, truth, keypoints, corners):
    count = draw.choice([0, 1, 3, 6, 24])
    corners["more than 20"] += count > 20
    rows, scores = [], []
    for _ in range(count):
        if len(truth["keypoints"]) and draw.random() < 0.8:
            base = truth["keypoints"][draw.randrange(len(truth["keypoints"]))].tolist()
        else:
            base = [[draw.randint(0, 90), draw.randint(0, 90), 1] for _ in range(keypoints)]
        wide = draw.choice([0, 1, 4, 12])
        kept = draw.random() < 0.3  # some keypoints exact, the rest nowhere near: round numbers of OKS
        rows.append(
            [
                [x + 1e5 * (kept and draw.random() < 0.5), y + (0 if kept else draw.uniform(-wide, wide)), 1]
                for x, y, _ in base
            ]
        )
        scores.append(draw.choice([0.2, 0.5, 0.5, 0.9, draw.random()]))
    corners["equal scores"] += len(set(scores)) < len(scores)
    return {
        "keypoints": torch.tensor(rows, dtype=torch.float64).reshape(-1, keypoints, 3),
        "scores": torch.tensor(scores, dtype=torch.float64),
    }


def test_coco_numbers_equal_pycocotools():
    corners: Counter[str] = Counter()
    for case in range(400):
        draw = random.Random(case)
        keypoints = draw.choice([1, 2, 4, 5, 17])
        sigmas = (
            COCO_SIGMAS if keypoints == 17 else [draw.choice([0.03, 0.05, 0.1]) for _ in range(keypoints)]
        )
        truths = [
            random_truths(draw, draw.choice([0, 1, 2, 5]), keypoints, corners)
            for _ in range(draw.randint(1, 4))
        ]
        predictions = [random_predictions(draw, truth, keypoints, corners) for truth in truths]
        for truth, found in zip(truths, predictions, strict=True):
            corners["empty image"] += not len(truth["area"]) and not len(found["scores"])
            corners["only found"] += not len(truth["area"]) and bool(len(found["scores"]))
        ours = evaluate_keypoints(predictions, truths, sigmas)
        theirs = pycocotools_scores(predictions, truths, sigmas)
        assert list(ours) == NAMES
        for name in NAMES:
            assert ours[name] == pytest.approx(theirs[name], abs=1e-12, nan_ok=True), (case, name)
        corners["nothing counts"] += math.isnan(ours["AP"])
        corners["between 0 and 1"] += 0 < ours["AP"] < 1
    assert min(corners.values()) >= 10, corners


def test_score_is_that_of_the_truth_itself_and_of_nothing():
    truth = {"keypoints": torch.tensor([[[10.0, 10.0, 2.0], [60.0, 60.0, 1.0]]]), "boxes": BOX * 9}
    truth["area"] = torch.tensor([5000.0])
    found = {"keypoints": truth["keypoints"], "scores": torch.tensor([0.3])}
    none = {"keypoints": torch.zeros(0, 2, 2), "scores": torch.zeros(0)}
    assert evaluate_keypoints([found], [truth], (0.1, 0.1))["AP"] == 1
    assert evaluate_keypoints([none], [truth], (0.1, 0.1))["AP"] == 0
    assert all(math.isnan(each) for each in evaluate_keypoints([], [], (0.1, 0.1)).values())
    silent = truth | {"keypoints": torch.zeros(1, 2, 3)}
    assert math.isnan(evaluate_keypoints([found], [silent], (0.1, 0.1))["AP"])


def oks_by_loops(a, b, area, sigmas):
    table = torch.zeros(len(a), len(b), dtype=torch.float64)
    for i, found in enumerate(a.tolist()):
        for j, truth in enumerate(b.tolist()):
            parts = [
                math.exp(
                    -((p[0] - t[0]) ** 2 + (p[1] - t[1]) ** 2) / (2 * (float(area[j]) + 2**-52) * 4 * s**2)
                )
                for p, t, s in zip(found, truth, sigmas, strict=True)
                if t[2] > 0
            ]
            table[i, j] = sum(parts) / len(parts) if parts else math.nan
    return table


@steady
@given(st.integers(0, 4), st.integers(0, 4), st.integers(1, 6), st.integers(0, 10_000))
def test_oks_equals_loops(n, m, k, seed):
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(n, k, 2, generator=generator) * 40
    b = torch.cat([torch.rand(m, k, 2, generator=generator) * 40, torch.zeros(m, k, 1)], -1)
    b[..., 2] = torch.randint(0, 3, (m, k), generator=generator)
    area, sigmas = torch.rand(m, generator=generator) * 900, (torch.rand(k) + 0.02).tolist()
    got = oks(a, b, area, sigmas)
    torch.testing.assert_close(got, oks_by_loops(a, b, area, sigmas), equal_nan=True)
    torch.testing.assert_close(
        oks(a.half(), b.half(), area, sigmas), got, rtol=0.2, atol=0.05, equal_nan=True
    )


def test_published_sigmas_are_pycocotools():
    assert pytest.approx(COCO_SIGMAS) == Params("keypoints").kpt_oks_sigmas.tolist()


# --- Targets and loss ---


def random_objects(seed, count=20, keypoints=5):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 30
    boxes = torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * 30], 1)
    place = torch.rand(count, keypoints, 2, generator=generator) * 1.4 - 0.2
    points = boxes[:, None, :2] + place * (boxes[:, None, 2:] - boxes[:, None, :2])
    seen = torch.randint(0, 3, (count, keypoints, 1), generator=generator).float()
    points[0, 0], points[0, 1] = boxes[0, 2:], boxes[0, :2]  # the two corners belong to the map
    return torch.cat([points, seen], -1), boxes


@pytest.mark.parametrize("size", [1, 7, 28, 56])
def test_targets_are_torchvisions(size):
    points, boxes = random_objects(size)
    cells, valid = peer.keypoints_to_heatmap(points, boxes, size)
    torch.testing.assert_close(keypoint_targets(points, boxes, size), torch.where(valid > 0, cells, NOWHERE))
    assert 0 < int((valid > 0).sum()) < valid.numel()


@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_torchvisions_and_loops(seed):
    points, boxes = random_objects(seed)
    targets = keypoint_targets(points, boxes, 8)
    logits = torch.randn(20, 5, 8, 8, dtype=torch.float64, requires_grad=True)
    lost = [
        -math.log(z.detach().exp().flatten()[cell] / z.detach().exp().sum())
        for maps, cells in zip(logits, targets.tolist(), strict=True)
        for z, cell in zip(maps, cells, strict=True)
        if cell >= 0
    ]
    loss = keypoint_loss(logits, targets)
    assert loss.item() == pytest.approx(sum(lost) / len(lost))
    theirs = peer.keypointrcnn_loss(logits, [boxes], [points], [torch.arange(20)])
    torch.testing.assert_close(loss, theirs)
    one_hot = F.one_hot(targets.clamp(min=0), 64).double() * (targets >= 0)[..., None]
    torch.testing.assert_close(keypoint_loss(logits, one_hot.view_as(logits)), loss)
    loss.backward()
    assert bool((logits.grad[targets < 0] == 0).all())
    large = keypoint_loss((logits.detach() * 1000).half().clamp(-6e4, 6e4), targets)
    assert bool(large.isfinite())


def test_loss_of_nothing_is_zero_with_a_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    for targets in (torch.full((2, 3), NOWHERE), torch.zeros(2, 3, 4, 4)):
        loss = keypoint_loss(logits, targets)
        loss.backward()
        assert loss.item() == 0
    assert keypoint_loss(torch.zeros(0, 3, 4, 4), torch.zeros(0, 3, dtype=torch.int64)) == 0


def test_hills_have_sum_one_and_their_top_in_the_cell():
    points, boxes = random_objects(1)
    cells, hills = keypoint_targets(points, boxes, 9), gaussian_targets(points, boxes, 9, sigma=0.7)
    there = cells >= 0
    torch.testing.assert_close(hills.sum((2, 3)), there.float())
    torch.testing.assert_close(hills.flatten(2).argmax(-1)[there], cells[there])
    x, y = ((points[..., :2] - boxes[:, None, :2]) / (boxes[:, None, 2:] - boxes[:, None, :2]) * 9).unbind(-1)
    n, k = there.nonzero()[3].tolist()
    loops = torch.tensor(
        [
            [math.exp(-((j + 0.5 - x[n, k]) ** 2 + (i + 0.5 - y[n, k]) ** 2) / (2 * 0.49)) for j in range(9)]
            for i in range(9)
        ]
    )
    torch.testing.assert_close(hills[n, k], loops / loops.sum(), rtol=1e-4, atol=1e-6)


# --- Decoding ---


def decoded_by_loops(z, box, method):
    height, width = z.shape
    share = (z - z.max()).exp() / (z - z.max()).exp().sum()
    at = int(z.flatten().argmax())
    i, j = at // width, at % width
    if method == "mean":
        x = sum(float(share[:, c].sum()) * (c + 0.5) for c in range(width))
        y = sum(float(share[r].sum()) * (r + 0.5) for r in range(height))
    else:
        x, y = j + 0.5, i + 0.5
    if method == "parabola":
        if 0 < j < width - 1:
            x += float((z[i, j - 1] - z[i, j + 1]) / (2 * (z[i, j - 1] - 2 * z[i, j] + z[i, j + 1])))
        if 0 < i < height - 1:
            y += float((z[i - 1, j] - z[i + 1, j]) / (2 * (z[i - 1, j] - 2 * z[i, j] + z[i + 1, j])))
    x1, y1, x2, y2 = box.tolist()
    return [x1 + x / width * (x2 - x1), y1 + y / height * (y2 - y1), float(share[i, j])]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 7), (12, 5)])
def test_decoding_equals_loops(method, shape):
    _, boxes = random_objects(2)
    z = torch.randn(20, 5, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = z.clone()
    got = decode_keypoints(z, boxes.double(), method)
    loops = [
        [decoded_by_loops(each, box, method) for each in maps] for maps, box in zip(z, boxes, strict=True)
    ]
    torch.testing.assert_close(got, torch.tensor(loops, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(z, before, rtol=0, atol=0)
    turned = z.transpose(2, 3).contiguous().transpose(2, 3)
    torch.testing.assert_close(decode_keypoints(turned, boxes.double(), method), got, rtol=0, atol=0)


@steady
@given(st.integers(4, 30), st.floats(0.15, 0.85), st.floats(0.15, 0.85), st.floats(0.6, 2.0))
def test_parabola_is_exact_on_hills(size, x, y, sigma):
    box = torch.tensor([[3.0, 5.0, 23.0, 50.0]], dtype=torch.float64)
    point = box[:, :2] + torch.tensor([x, y]) * (box[:, 2:] - box[:, :2])
    if min(x, y) * size < 1 or max(x, y) * size > size - 1:
        return  # the top's cell has no neighbour on one side
    marks = torch.cat([point, torch.full((1, 1), 2.0)], 1)[None]
    hill = gaussian_targets(marks, box, size, sigma).clamp(min=1e-300).log()
    torch.testing.assert_close(decode_keypoints(hill, box)[0, 0, :2], point[0], rtol=0, atol=1e-4)


def test_cell_is_off_by_what_the_size_says():
    """A point anywhere in a cell of width c lies 0.383 c from its centre on average."""
    generator = torch.Generator().manual_seed(0)
    points = torch.cat([torch.rand(4000, 1, 2, generator=generator) * 56, torch.full((4000, 1, 1), 2.0)], -1)
    boxes = torch.tensor([[0.0, 0.0, 56.0, 56.0]]).expand(4000, 4)
    for size in (4, 14, 56):
        one_hot = F.one_hot(keypoint_targets(points, boxes, size), size**2).float().view(-1, 1, size, size)
        for method in ("cell", "parabola"):  # what is not on the map cannot be decoded
            found = decode_keypoints(one_hot * 20, boxes, method)
            error = (found[..., :2] - points[..., :2]).norm(dim=-1).mean().item()
            assert error == pytest.approx(0.3826 * 56 / size, rel=0.02)


def test_flat_maps_half_precision_and_empty_lists():
    flat = decode_keypoints(torch.zeros(1, 2, 4, 4), BOX)
    assert flat[0].tolist() == [[1.0, 1.0, 0.0625]] * 2
    assert decode_keypoints(torch.zeros(0, 3, 4, 4), torch.zeros(0, 4)).shape == (0, 3, 3)
    assert keypoint_targets(torch.zeros(0, 3, 3), torch.zeros(0, 4), 4).shape == (0, 3)
    z = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(4)).half()
    boxes = BOX.expand(3, 4) * 300
    torch.testing.assert_close(decode_keypoints(z, boxes), decode_keypoints(z.float(), boxes))


# --- The network ---


def test_network_learns_one_scene():
    torch.manual_seed(0)
    scene = make_scenes(1, 64, seed=0)
    boxes, points = scene.boxes(0), scene.keypoints(0)
    wide = (boxes[:, 2:] - boxes[:, :2]).amin(1) > 8
    boxes, points = boxes[wide], points[wide]
    network = KeypointNet(5, size=8, width=16)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        loss = keypoint_loss(network(scene.image, [boxes]), keypoint_targets(points, boxes, 8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    with pytest.raises(ValueError, match="even size"):
        KeypointNet(5, size=7)


# --- What is refused ---

POINTS = torch.tensor([[[1.0, 2.0, 2.0], [3.0, 4.0, 0.0]]])
TRUTH = {"keypoints": POINTS, "boxes": BOX, "area": torch.tensor([30.0])}
FOUND = {"keypoints": POINTS[..., :2], "scores": torch.tensor([0.5])}
S2 = (0.1, 0.1)
MAPS = torch.zeros(1, 2, 3, 3)
ONE = torch.tensor([4.0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: keypoint_targets(POINTS[..., :2], BOX, 4), ValueError, r"keypoints of shape \(N, K, 3\)"),
        (lambda: keypoint_targets([[1, 2, 2]], BOX, 4), TypeError, "keypoints as a tensor"),
        (lambda: keypoint_targets(POINTS * math.nan, BOX, 4), ValueError, "finite keypoints"),
        (lambda: keypoint_targets(POINTS + 3, BOX, 4), ValueError, "visibility of 0, 1 or 2, got 5"),
        (lambda: keypoint_targets(POINTS, BOX * 0, 4), ValueError, r"an area, got none in boxes\[0\]"),
        (lambda: keypoint_targets(POINTS, BOX.expand(2, 4), 4), ValueError, "as keypoints, 1, got 2"),
        (lambda: keypoint_targets(POINTS, BOX, 0), ValueError, "size of at least 1"),
        (lambda: gaussian_targets(POINTS, BOX, 4, 0), ValueError, "sigma as a finite number above 0"),
        (lambda: keypoint_loss(MAPS, torch.tensor([[9, 0]])), ValueError, "from 0 to 8, or -1"),
        (lambda: keypoint_loss(MAPS, torch.tensor([[1.0, 0]])), ValueError, "targets in int64"),
        (lambda: keypoint_loss(MAPS, torch.tensor([[1]])), ValueError, "shape of the maps"),
        (
            lambda: keypoint_loss(MAPS, torch.full((1, 2, 3, 3), -1.0)),
            ValueError, "targets of 0 or more",
        ),
        (lambda: decode_keypoints(torch.zeros(1, 2, 4), BOX), ValueError, "heatmaps of shape"),
        (lambda: decode_keypoints(MAPS.log(), BOX), ValueError, "finite heatmaps"),
        (lambda: decode_keypoints(MAPS, BOX, "best"), ValueError, "'parabola', 'cell', 'mean'"),
        (lambda: decode_keypoints(torch.zeros(2, 2, 4, 4), BOX), ValueError, "as many boxes as heatmaps"),
        (lambda: decode_keypoints(MAPS, BOX * 0), ValueError, "an area"),
        (lambda: oks(POINTS, POINTS, ONE), ValueError, "each of the 17 sigmas, got 2"),
        (lambda: oks(POINTS, POINTS, -ONE, S2), ValueError, "area of 0 or more"),
        (lambda: oks(POINTS, POINTS, torch.tensor([4.0, 4.0]), S2), ValueError, "area one for each of the 1"),
        (lambda: oks(POINTS, POINTS, ONE, (0.1, 0)), ValueError, r"sigmas\[1\]"),
        (lambda: oks(POINTS, POINTS, ONE, 0.1), ValueError, "sigmas as a few numbers"),
        (lambda: evaluate_keypoints(FOUND, [TRUTH], S2), TypeError, "predictions as a list"),
        (lambda: evaluate_keypoints([FOUND], [TRUTH, TRUTH], S2), ValueError, "same images, got 1 and 2"),
        (lambda: evaluate_keypoints([POINTS], [TRUTH], S2), TypeError, r"predictions\[0\] as a dict"),
        (lambda: evaluate_keypoints([{"keypoints": POINTS}], [TRUTH], S2), ValueError, "add 'scores'"),
        (
            lambda: evaluate_keypoints([FOUND | {"scores": torch.tensor([math.nan])}], [TRUTH], S2),
            ValueError, "that can be ranked",
        ),
        (
            lambda: evaluate_keypoints([FOUND], [TRUTH | {"boxes": BOX.flip(1)}], S2),
            ValueError, r"x1 <= x2 .* truths\[0\]\['boxes'\]",
        ),
        (
            lambda: evaluate_keypoints([FOUND], [TRUTH | {"crowd": torch.tensor([1])}], S2),
            ValueError, r"truths\[0\]\['crowd'\] in bool",
        ),
        (lambda: evaluate_keypoints([FOUND], [TRUTH]), ValueError, "each of the 17 sigmas"),
    ],
)  # fmt: skip
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_boxes_wider_than_half_precision_holds():
    """60000 + 30000 is infinite in float16; every place in the box once was its first cell."""
    box = torch.tensor([[-30000.0, 0.0, 60000.0, 10.0]], dtype=torch.float16)
    point = torch.tensor([[[50000.0, 5.0, 2.0]]], dtype=torch.float16)
    assert keypoint_targets(point, box, 4).tolist() == [[11]]
    heat = torch.zeros(1, 1, 4, 4)
    heat[..., 2, 3] = 1.0
    assert decode_keypoints(heat, box, "cell")[0, 0, :2].tolist() == [48750.0, 6.25]


def test_a_hill_of_no_width_is_its_cell():
    point, box = torch.tensor([[[1.2, 1.5, 2.0]]]), torch.tensor([[0.0, 0.0, 3.0, 3.0]])
    for sigma in (1e-30, 1e-300):
        assert gaussian_targets(point, box, 3, sigma).flatten().tolist() == [0.0] * 4 + [1.0] + [0.0] * 4
