"""Chapter 12's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from segcore import instance_metrics
from segcore.checks.engine import judge
from segcore.checks.instance_metrics import EXERCISES

BY_ID = {each.id: each for each in EXERCISES}


# right solutions in different styles ---------------------------------------------------------------


def iou_by_loops(a, b):
    result = torch.zeros(len(a), len(b))
    for i, j in itertools.product(range(len(a)), range(len(b))):
        both, either = (a[i] & b[j]).sum(), (a[i] | b[j]).sum()
        result[i, j] = both / either if either else 0
    return result


def iou_by_broadcasting(a, b):
    both = (a[:, None] & b[None]).sum((-1, -2))
    either = (a[:, None] | b[None]).sum((-1, -2))
    return torch.where(either > 0, both / either, 0.0)


def iou_by_einsum(a, b):
    shared = torch.einsum("nhw,mhw->nm", a.double(), b.double())
    union = a.sum((1, 2)).reshape(-1, 1) + b.sum((1, 2)).reshape(1, -1) - shared
    return torch.nan_to_num(shared / union)


def iou_by_numpy(a, b):
    a, b = (each.flatten(1).double().numpy() for each in (a, b))
    shared = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None] - shared
    return torch.from_numpy(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def iou_from_what_neither_has(a, b):
    a, b = a.flatten(1).float(), b.flatten(1).float()
    neither = (1 - a) @ (1 - b).T
    return (a @ b.T) / (a.shape[1] - neither).clamp(min=0.5)


def match_by_masking(ious, scores, threshold):
    left, taken = ious.clone(), torch.full((len(scores),), -1)
    for d in torch.sort(-scores, stable=True).indices:
        if left.shape[1] == 0:
            continue
        best = left[d].flip(0).argmax()
        g = left.shape[1] - 1 - best
        if left[d, g] >= threshold:
            taken[d] = g
            left[:, g] = -1
    return taken


def match_by_lists(ious, scores, threshold):
    table, values = ious.tolist(), scores.tolist()
    free, taken = set(range(ious.shape[1])), [-1] * len(values)
    for d in sorted(range(len(values)), key=lambda k: (-values[k], k)):
        fits = [(table[d][g], g) for g in free if table[d][g] >= threshold]
        if fits:
            taken[d] = max(fits)[1]
            free.remove(taken[d])
    return torch.tensor(taken, dtype=torch.int64)


def match_as_pycocotools(ious, scores, threshold):
    gone, taken = torch.zeros(ious.shape[1]).bool(), torch.zeros(len(scores), dtype=torch.long) - 1
    for d in np.argsort(-scores.numpy(), kind="mergesort"):
        m, iou = -1, min(threshold, 1 - 1e-10)
        for g in range(ious.shape[1]):
            if gone[g] or ious[d, g] < iou:
                continue
            m, iou = g, ious[d, g]
        if m >= 0:
            taken[d], gone[m] = m, True
    return taken


def curve_by_running_maximum(right, truths, recalls):
    hits = right.cumsum(0).double()
    precision = hits / torch.arange(1, len(right) + 1)
    best = precision.flip(0).cummax(0).values.flip(0)
    place = torch.searchsorted(hits / truths, recalls)
    return F.pad(best, (0, 1))[place]


def curve_by_loops(right, truths, recalls):
    points, hits = [], 0
    for k, hit in enumerate(right.tolist(), 1):
        hits += hit
        points.append((hits / truths, hits / k))
    return torch.tensor(
        [max([p for r, p in points if r >= least], default=0.0) for least in recalls.tolist()]
    )


def curve_by_numpy(right, truths, recalls):
    hits = np.cumsum(right.numpy())
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / truths
    values = [precision[recall >= least].max(initial=0) for least in recalls.numpy()]
    return torch.tensor(values)


def ap_by_rows(images, thresholds, recalls):
    total = sum(len(ious.T) for ious, _ in images)
    result = []
    for threshold in thresholds:
        rows = []
        for ious, scores in images:
            taken = match_by_lists(ious, scores, threshold)
            rows += [(-score, taken[d].item() >= 0) for d, score in enumerate(scores.tolist())]
        rows.sort(key=lambda row: row[0])
        right = torch.tensor([hit for _, hit in rows], dtype=torch.bool)
        result.append(curve_by_loops(right, total, recalls).mean().item() if total else math.nan)
    return torch.tensor(result)


def ap_by_the_library(images, thresholds, recalls):
    result = torch.zeros(len(thresholds), dtype=torch.float64)
    truths = sum(ious.shape[1] for ious, _ in images)
    for k, threshold in enumerate(thresholds):
        right = torch.cat([match_as_pycocotools(*image, threshold) != -1 for image in images])
        order = torch.cat([s for _, s in images]).sort(descending=True, stable=True).indices
        result[k] = curve_by_running_maximum(right[order], truths, recalls).mean() if truths else float("nan")
    return result


def shift_by_padding(masks, dy, dx):
    _, height, width = masks.shape
    padded = F.pad(masks, (abs(dx), abs(dx), abs(dy), abs(dy)))
    top, left = abs(dy) - dy, abs(dx) - dx
    moved = padded[:, top : top + height, left : left + width]
    return (masks & moved).flatten(1).sum(1) / (masks | moved).flatten(1).sum(1)


def shift_by_rolling(masks, dy, dx):
    moved = masks.roll((dy, dx), (1, 2))
    if dy:
        moved[:, slice(0, dy) if dy > 0 else slice(dy, None)] = False
    if dx:
        moved[:, :, slice(0, dx) if dx > 0 else slice(dx, None)] = False
    both, either = (masks & moved).sum((1, 2)), (masks | moved).sum((1, 2))
    return both.double() / either


def shift_pixel_by_pixel(masks, dy, dx):
    result = []
    for mask in masks:
        old = {tuple(each) for each in mask.nonzero().tolist()}
        new = {(y + dy, x + dx) for y, x in old}
        new = {(y, x) for y, x in new if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]}
        result.append(len(old & new) / len(old | new) if old else math.nan)
    return torch.tensor(result)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("12.1", iou_by_loops),
        ("12.1", iou_by_broadcasting),
        ("12.1", iou_by_einsum),
        ("12.1", iou_by_numpy),
        ("12.1", iou_from_what_neither_has),
        ("12.1", instance_metrics.mask_iou),
        ("12.2", match_by_masking),
        ("12.2", match_by_lists),
        ("12.2", match_as_pycocotools),
        ("12.3", curve_by_running_maximum),
        ("12.3", curve_by_loops),
        ("12.3", curve_by_numpy),
        ("12.4", ap_by_rows),
        ("12.4", ap_by_the_library),
        ("12.5", shift_by_padding),
        ("12.5", shift_by_rolling),
        ("12.5", shift_pixel_by_pixel),
    ],
)
def test_right_solutions_pass(exercise, function, seed):
    verdict = judge(BY_ID[exercise], function, seed)
    assert verdict.state == "passed", verdict


# hints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in (" @ ", ".T", "clamp", "argsort", "cumsum", "cummax", ">=", "roll(", "nan_to"):
            assert code not in mistake.hint, (mistake.name, code)


def test_a_mistake_in_another_dtype_or_style_is_recognised_too():
    dice = next(each.function for each in BY_ID["12.1"].mistakes if each.name == "Dice")
    report = judge(BY_ID["12.1"], lambda a, b: dice(a, b).float())
    assert report.mistake == "Dice"
    report = judge(BY_ID["12.2"], lambda ious, scores, threshold: match_by_masking(ious, scores, 0.5))
    assert report.mistake == "one half written in"


# 12.2 as students get it wrong ---------------------------------------------------------------------


def choose(ious, scores, threshold, order, gone=-1.0):
    """Each detection takes the best truth that is left; the column of a taken one is overwritten."""
    taken, left = torch.full((len(scores),), -1), ious.clone()
    for d in order.tolist() if ious.numel() else []:
        truth = left.shape[1] - 1 - int(left[d].flip(0).argmax())
        if left[d, truth] >= threshold:
            taken[d] = truth
            left[:, truth] = gone
    return taken


def taken_is_zero(ious, scores, threshold):
    return choose(ious, scores, threshold, scores.argsort(descending=True, stable=True), gone=0.0)


def sorted_twice(ious, scores, threshold):
    return choose(ious, scores, threshold, scores.argsort(descending=True, stable=True).argsort())


def best_pair_first(ious, scores, threshold):
    pairs = [(float(ious[d, g]), d, g) for d in range(len(ious)) for g in range(ious.shape[1])]
    taken, gone = torch.full((len(scores),), -1), set()
    for iou, d, g in sorted(pairs, key=lambda pair: (-pair[0], pair[1], -pair[2])):
        if iou >= threshold and taken[d] < 0 and g not in gone:
            taken[d] = g
            gone.add(g)
    return taken


def assigned_then_cut(ious, scores, threshold):
    taken = torch.full((len(scores),), -1)
    for d, g in zip(*linear_sum_assignment(ious.numpy(), maximize=True), strict=True):
        taken[d] = int(g) if ious[d, g] >= threshold else -1
    return taken


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (taken_is_zero, "a taken truth has IoU 0"),
        (sorted_twice, "ranks for an order"),
        (best_pair_first, "largest IoU first, the last of equals"),
        (assigned_then_cut, "the best for all"),
    ],
)
def test_wrong_matches_are_named(function, named):
    report = judge(BY_ID["12.2"], function)
    assert (report.state, report.mistake) == ("failed", named), report.card


@pytest.mark.parametrize("case", [case for case in BY_ID["12.2"].make_cases() if "threshold is" in case.note])
def test_the_example_of_the_threshold_itself_is_about_it(case):
    strict = next(each.function for each in BY_ID["12.2"].mistakes if each.name == "above the threshold")
    assert BY_ID["12.2"].reference(*case.args).tolist() == [0, 1] and strict(*case.args).tolist() == [0, -1]


def test_the_references_are_the_librarys():
    for case in BY_ID["12.1"].make_cases():
        expected = instance_metrics.mask_iou(*case.args)
        torch.testing.assert_close(BY_ID["12.1"].reference(*case.args), expected)
    recalls = torch.tensor(instance_metrics.RECALLS, dtype=torch.float64)
    for images, _, _ in (case.args for case in BY_ID["12.4"].make_cases()):
        if not all(len(scores) and ious.shape[1] for ious, scores in images):
            continue
        ours = BY_ID["12.4"].reference(images, instance_metrics.THRESHOLDS, recalls)
        rows = []
        for threshold in instance_metrics.THRESHOLDS:
            right = [match_as_pycocotools(*image, threshold) >= 0 for image in images]
            order = torch.cat([s for _, s in images]).argsort(descending=True, stable=True)
            own = torch.cat(right)[order][:, None, None]
            truths = torch.tensor([[sum(ious.shape[1] for ious, _ in images)]])
            rows.append(instance_metrics._average_precision(own, ~own, truths)[0, 0])
        torch.testing.assert_close(ours.double(), torch.stack(rows), atol=1e-6, rtol=0)
