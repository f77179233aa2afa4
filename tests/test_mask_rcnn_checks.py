"""Chapter 14's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from segcore import mask_rcnn as library
from segcore.checks.engine import judge
from segcore.checks.mask_rcnn import EXERCISES
from segcore.roi_align import axis_weights, bilinear_sample

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


# references against the library --------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_references_are_the_librarys(seed):
    for mask, box, size in (case.args for case in BY_ID["14.1"].make_cases(seed)):
        expected = library.mask_targets(mask[None], box[None], size)[0]
        inside = bool(box.min() >= 0.5 and box[2] <= mask.shape[1] - 0.5 and box[3] <= mask.shape[0] - 0.5)
        if inside:  # at the image's edge the library's mask ends, where RoIAlign repeats the last pixel
            torch.testing.assert_close(BY_ID["14.1"].reference(mask, box, size), expected, rtol=0, atol=1e-5)
    for args in (case.args for case in BY_ID["14.2"].make_cases(seed)):
        torch.testing.assert_close(BY_ID["14.2"].reference(*args), library.mask_loss(*args))
    for args in (case.args for case in BY_ID["14.3"].make_cases(seed)):
        expected = library.paste_masks(*args)
        torch.testing.assert_close(BY_ID["14.3"].reference(*args), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_of_14_1_lie_inside_the_image(seed):
    for mask, box, _ in (case.args for case in BY_ID["14.1"].make_cases(seed)):
        assert box.min() >= 0 and box[2] <= mask.shape[1] and box[3] <= mask.shape[0]


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in (" @ ", ".T", ".mT", "clamp(", "argsort(", "arange(", "_with_logits"):
            assert code not in mistake.hint, (mistake.name, code)


# right solutions in different styles ---------------------------------------------------------------


def target_by_torchvision(mask, box, size):
    feature = mask.double()[None, None]
    rois = torch.cat([torch.zeros(1), box])[None].double()
    return (
        torchvision.ops.roi_align(feature, rois, (size, size), 1.0, 2, aligned=True)
        .squeeze()
        .reshape(size, size)
    )


def target_by_two_products(mask, box, size):
    x1, y1, x2, y2 = box.tolist()
    w_y = axis_weights(y1 - 0.5, y2 - y1, size, 2, mask.shape[0])
    w_x = axis_weights(x1 - 0.5, x2 - x1, size, 2, mask.shape[1])
    return w_y @ mask.float() @ w_x.T


def target_by_samples(mask, box, size):
    x1, y1, x2, y2 = box.tolist()
    target = torch.zeros(size, size)
    for i, j in itertools.product(range(size), range(size)):
        points = [
            (x1 + (j + b) / size * (x2 - x1), y1 + (i + a) / size * (y2 - y1))
            for a, b in itertools.product((0.25, 0.75), (0.25, 0.75))
        ]
        target[i, j] = bilinear_sample(mask[None].float(), torch.tensor(points)).mean()
    return target


def loss_by_loops(logits, targets, labels):
    total = 0
    for z, t, label in zip(logits, targets, labels, strict=True):
        own = z[label]
        total = total - (t * F.logsigmoid(own) + (1 - t) * F.logsigmoid(-own)).mean()
    return total / len(labels)


def loss_by_softplus(logits, targets, labels):
    own = logits.gather(1, labels.view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[2:])).squeeze(1)
    return (F.softplus(own) - targets * own).mean()


def loss_by_one_hot(logits, targets, labels):
    own = torch.einsum("nchw,nc->nhw", logits, F.one_hot(labels, logits.shape[1]).to(logits))
    return nn.BCEWithLogitsLoss()(own, targets)


def paste_by_grid_sample(masks, boxes, size):
    y, x = torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5
    v = (y - boxes[:, 1:2]) / (boxes[:, 3:] - boxes[:, 1:2]) * 2 - 1
    u = (x - boxes[:, :1]) / (boxes[:, 2:3] - boxes[:, :1]) * 2 - 1
    grid = torch.stack([u[:, None].expand(-1, size[0], -1), v[:, :, None].expand(-1, -1, size[1])], -1)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def paste_by_boxes(masks, boxes, size):
    images = []
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.tolist(), strict=True):
        v = torch.tensor([(i + 0.5 - y1) / (y2 - y1) * mask.shape[0] - 0.5 for i in range(size[0])])
        u = torch.tensor([(j + 0.5 - x1) / (x2 - x1) * mask.shape[1] - 0.5 for j in range(size[1])])
        w_y = F.relu(1 - (v[:, None] - torch.arange(mask.shape[0])).abs())
        w_x = F.relu(1 - (u[:, None] - torch.arange(mask.shape[1])).abs())
        images.append(torch.einsum("pi,ij,qj->pq", w_y, mask, w_x))
    return torch.stack(images)


def paste_by_padding(masks, boxes, size):
    """A border of zeros, and lab 13's reading function."""
    result = torch.zeros(len(masks), *size)
    for n, (mask, (x1, y1, x2, y2)) in enumerate(zip(masks, boxes.tolist(), strict=True)):
        wide = F.pad(mask, (2, 2, 2, 2))
        for i, j in itertools.product(*map(range, size)):
            u = (j + 0.5 - x1) / (x2 - x1) * mask.shape[1] + 2
            v = (i + 0.5 - y1) / (y2 - y1) * mask.shape[0] + 2
            result[n, i, j] = bilinear_sample(wide[None], torch.tensor([[u, v]]))
    return result


def distinct_by_matrix(masks, scores, score_threshold, iou_threshold):
    flat = masks.flatten(1).double()
    shared, area = flat @ flat.T, flat.sum(1)
    iou = shared / (area[:, None] + area - shared).clamp(min=1)
    kept = []
    for row in torch.sort(scores, descending=True, stable=True).indices.tolist():
        good = scores[row] >= score_threshold and area[row] > 0
        if good and all(iou[row, other] <= iou_threshold for other in kept):
            kept.append(row)
    return torch.tensor(kept).long()


def distinct_by_striking_out(masks, scores, score_threshold, iou_threshold):
    open_rows = [r for r in range(len(scores)) if scores[r] >= score_threshold and masks[r].sum() > 0]
    kept = []
    while open_rows:
        best = max(open_rows, key=lambda r: (float(scores[r]), -r))
        kept.append(best)
        left = []
        for r in open_rows:
            both = torch.logical_and(masks[r], masks[best]).sum().item()
            either = torch.logical_or(masks[r], masks[best]).sum().item()
            if r != best and both / either <= iou_threshold:
                left.append(r)
        open_rows = left
    return torch.LongTensor(kept)


def distinct_by_numpy(masks, scores, score_threshold, iou_threshold):
    import numpy as np

    pixels, kept = masks.numpy(), []
    for row in np.argsort(-scores.numpy(), kind="stable"):
        if scores[row] < score_threshold or not pixels[row].any():
            continue
        ious = [(pixels[row] & pixels[k]).sum() / (pixels[row] | pixels[k]).sum() for k in kept]
        if not ious or max(ious) <= iou_threshold:
            kept.append(int(row))
    return torch.tensor(kept, dtype=torch.int64)


RIGHT = [
    ("14.1", target_by_torchvision),
    ("14.1", target_by_two_products),
    ("14.1", target_by_samples),
    ("14.2", loss_by_loops),
    ("14.2", loss_by_softplus),
    ("14.2", loss_by_one_hot),
    ("14.3", paste_by_grid_sample),
    ("14.3", paste_by_boxes),
    ("14.3", paste_by_padding),
    ("14.3", lambda masks, boxes, size: library.paste_masks(masks, boxes, size).double()),
    ("14.4", distinct_by_matrix),
    ("14.4", distinct_by_striking_out),
    ("14.4", distinct_by_numpy),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("exercise", "function"), RIGHT, ids=[f.__name__ for _, f in RIGHT])
def test_right_solutions_pass(exercise, function, seed):
    report = judge(BY_ID[exercise], function, seed)
    assert report.state == "passed", report.card


# wrong ones that students write, without a mistake of their own in the list ------------------------


def nms_of_torchvision(masks, scores, score_threshold, iou_threshold):
    boxes = torchvision.ops.masks_to_boxes(masks.clone())
    return torchvision.ops.nms(boxes, scores, iou_threshold)


def keeps_a_list(masks, scores, score_threshold, iou_threshold):
    return BY_ID["14.4"].reference(masks, scores, score_threshold, iou_threshold).tolist()


def returns_masks(masks, scores, score_threshold, iou_threshold):
    return masks[BY_ID["14.4"].reference(masks, scores, score_threshold, iou_threshold)]


def returns_scores(masks, scores, score_threshold, iou_threshold):
    return scores[BY_ID["14.4"].reference(masks, scores, score_threshold, iou_threshold)]


def writes_in_place(masks, boxes, size):
    boxes[:, 2:] -= boxes[:, :2]
    boxes[:, 2:] += boxes[:, :2]
    masks.mul_(1.0)
    boxes += 1
    return BY_ID["14.3"].reference(masks, boxes - 1, size)


def loss_as_number(logits, targets, labels):
    return BY_ID["14.2"].reference(logits, targets, labels).item()


def keeps_the_axes(mask, box, size):
    return BY_ID["14.1"].reference(mask, box, size)[None, None]


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("14.4", nms_of_torchvision),
        ("14.4", keeps_a_list),
        ("14.4", returns_masks),
        ("14.4", returns_scores),
        ("14.3", writes_in_place),
        ("14.2", loss_as_number),
        ("14.1", keeps_the_axes),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_other_wrong_answers_do_not_pass(exercise, function):
    report = judge(BY_ID[exercise], function)
    assert report.state != "passed"
    assert len([part for kind, part in report.card.parts if kind == "hint"]) == 1


def mean_inside(logits, targets, labels):
    own = logits[torch.arange(len(labels)), labels]
    cells = F.binary_cross_entropy_with_logits(own, targets, reduction="none")
    inside = targets > 0
    return cells[inside].mean() if inside.any() else 0 * cells.sum()


def guessed_class(logits, targets, labels):
    own = logits[torch.arange(len(labels)), logits.mean(dim=(2, 3)).argmax(dim=1)]
    return F.binary_cross_entropy_with_logits(own, targets)


@pytest.mark.parametrize(
    ("function", "name"),
    [(mean_inside, "mean over cells of the object"), (guessed_class, "the surest class")],
)
def test_wrong_losses_are_named(function, name):
    report = judge(BY_ID["14.2"], function)
    assert (report.state, report.mistake) == ("failed", name), report.card
