"""Chapter 15's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from test_panoptic import merge_twin, random_instances

from segcore import panoptic
from segcore.checks.engine import judge
from segcore.checks.panoptic import EXERCISES

BY_ID = {each.id: each for each in EXERCISES}


def iou_pair_by_pair(prediction, target):
    table = torch.zeros(int(prediction.max()) + 1, int(target.max()) + 1)
    for p, t in itertools.product(range(table.shape[0]), range(table.shape[1])):
        one, other = prediction == p, target == t
        table[p, t] = (one & other).sum() / (one | other).sum()
    return table


def iou_by_counting(prediction, target):
    width = int(target.max()) + 1
    height = int(prediction.max()) + 1
    pairs = (prediction * width + target).flatten()
    shared = torch.bincount(pairs, minlength=height * width).reshape(height, width)
    areas, true_areas = shared.sum(1, keepdim=True), shared.sum(0, keepdim=True)
    return shared / (areas + true_areas - shared)


def iou_in_numpy(prediction, target):
    one = prediction.numpy().reshape(-1) == np.arange(prediction.max() + 1)[:, None]
    other = target.numpy().reshape(-1) == np.arange(target.max() + 1)[:, None]
    shared = one.astype(float) @ other.T.astype(float)
    return torch.from_numpy(shared / (one.sum(1)[:, None] + other.sum(1) - shared))


def match_in_loops(iou, classes, true_classes):
    found = []
    for row, kind in zip(iou.tolist(), classes.tolist(), strict=True):
        fits = [t for t, value in enumerate(row) if value > 0.5 and true_classes[t] == kind]
        found.append(fits[0] if fits else -1)
    return torch.tensor(found)


def match_by_the_best(iou, classes, true_classes):
    best, where = iou.max(1)
    return torch.where((best > 0.5) & (true_classes[where] == classes), where, -1)


def match_by_nonzero(iou, classes, true_classes):
    result = torch.full_like(classes, -1)
    rows, columns = torch.nonzero((iou > 0.5) & (classes[:, None] == true_classes[None]), as_tuple=True)
    result[rows] = columns
    return result


def quality_in_loops(overlap, matched, extra, missed):
    rows = []
    for total, tp, fp, fn in zip(*(each.tolist() for each in (overlap, matched, extra, missed)), strict=True):
        if tp + fp + fn == 0:
            rows.append([math.nan] * 3)
            continue
        sq = total / tp if tp else 0.0
        rq = tp / (tp + fp / 2 + fn / 2)
        rows.append([sq * rq, sq, rq])
    counted = [row for row in rows if not math.isnan(row[0])]
    means = [sum(row[n] for row in counted) / len(counted) if counted else math.nan for n in range(3)]
    return torch.tensor([*rows, means])


def quality_with_clamps(overlap, matched, extra, missed):
    sq = overlap / matched.clamp(min=1)
    rq = 2 * matched / (2 * matched + extra + missed)
    sq = sq.where(~rq.isnan(), float("nan"))
    rows = torch.stack([sq * rq, sq, rq], 1)
    return torch.vstack([rows, rows.nanmean(0)])


def quality_in_numpy(overlap, matched, extra, missed):
    overlap, matched, extra, missed = (
        each.numpy().astype(float) for each in (overlap, matched, extra, missed)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        size = matched + 0.5 * (extra + missed)
        rows = np.stack(
            [overlap / size, np.where(matched > 0, overlap / matched, 0 * size / size), matched / size], 1
        )
    counted = rows[size > 0]
    return torch.tensor(np.vstack([rows, counted.mean(0) if len(counted) else np.full(3, np.nan)]))


def count_by_sets(prediction, target):
    def segments(labels):
        found = {}
        for place, number in enumerate(labels.flatten().tolist()):
            if number >= 0:
                found.setdefault(number, set()).add(place)
        return found

    guesses, truths = segments(prediction), segments(target)
    blank = {place for place, number in enumerate(target.flatten().tolist()) if number < 0}
    total, hit, extra = 0.0, set(), 0
    for guess in guesses.values():
        scores = {t: len(guess & truth) / len((guess - blank) | truth) for t, truth in truths.items()}
        best = max(scores, key=scores.get, default=None)
        if best is not None and scores[best] > 0.5:
            total += scores[best]
            hit.add(best)
        elif len(guess & blank) / len(guess) <= 0.5:
            extra += 1
    return torch.tensor([total, len(hit), extra, len(truths) - len(hit)])


def count_from_a_table(prediction, target):
    p, t = (each.flatten() + 1 for each in (prediction, target))
    shared = torch.zeros(int(p.max()) + 1, int(t.max()) + 1)
    shared.index_put_((p, t), torch.ones(len(p)), accumulate=True)
    areas, true_areas = shared.sum(1), shared.sum(0)
    union = (areas - shared[:, 0])[1:, None] + true_areas[1:] - shared[1:, 1:]
    iou = torch.where(union > 0, shared[1:, 1:] / union, 0.0)
    match = iou > 0.5
    alone = ~match.any(1) & (areas[1:] > 0) & (shared[1:, 0] <= 0.5 * areas[1:])
    missed = ~match.any(0) & (true_areas[1:] > 0)
    return torch.stack([iou[match].sum(), match.sum(), alone.sum(), missed.sum()]).float()


def merge_in_loops(semantic, masks, labels, scores, stuff):
    height, width = semantic.shape
    result = torch.zeros(height, width, 2, dtype=torch.int64)
    taken, count = set(), 0
    for n in sorted(range(len(scores)), key=lambda n: (-float(scores[n]), n)):
        mask = {(y, x) for y in range(height) for x in range(width) if masks[n, y, x]}
        mine = mask - taken
        if mask and len(mine) >= len(mask) / 2:
            count += 1
            taken |= mine
            for place in mine:
                result[place] = torch.tensor([int(labels[n]), count])
    for y, x in itertools.product(range(height), range(width)):
        if (y, x) not in taken:
            result[y, x, 0] = semantic[y, x] if int(semantic[y, x]) in stuff else 255
    return result


def merge_from_behind(semantic, masks, labels, scores, stuff):
    kept, free = [], torch.ones_like(semantic, dtype=torch.bool)
    for n in torch.sort(scores, descending=True, stable=True).indices:
        left = masks[n] & free
        if left.any() and left.sum() / masks[n].sum() >= 0.5:
            kept.append((left, labels[n]))
            free &= ~left
    result = torch.stack([semantic, torch.zeros_like(semantic)], -1)
    result[~torch.isin(semantic, torch.tensor(stuff))] = torch.tensor([255, 0])
    for number, (left, kind) in enumerate(kept, 1):
        result[left] = torch.stack([kind, torch.tensor(number)])
    return result


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("15.1", iou_pair_by_pair),
        ("15.1", iou_by_counting),
        ("15.1", iou_in_numpy),
        ("15.2", match_in_loops),
        ("15.2", match_by_the_best),
        ("15.2", match_by_nonzero),
        ("15.3", quality_in_loops),
        ("15.3", quality_with_clamps),
        ("15.3", quality_in_numpy),
        ("15.4", count_by_sets),
        ("15.4", count_from_a_table),
        ("15.5", merge_in_loops),
        ("15.5", merge_from_behind),
    ],
)
def test_right_solutions_pass(exercise, function, seed):
    verdict = judge(BY_ID[exercise], function, seed)
    assert verdict.state == "passed", verdict


def test_the_mistakes_of_a_class_of_its_own_match_the_library():
    """15.4 is one class of `panoptic_quality`, 15.3 makes its scores, 15.5 is `merge`."""
    for case in BY_ID["15.4"].make_cases():
        maps = [torch.stack([torch.where(each < 0, 255, 1), each], dim=-1) for each in case.args]
        row = panoptic.panoptic_quality(*maps, things=[1], stuff=[])["per_class"][1]
        total, *counts = BY_ID["15.4"].reference(*case.args).tolist()
        assert counts == [row["TP"], row["FP"], row["FN"]]
        assert total == pytest.approx(row["SQ"] * row["TP"] if row["TP"] else 0, abs=1e-5)
        scores = BY_ID["15.3"].reference(*(torch.tensor([each]) for each in (total, *counts)))[0]
        assert scores.tolist() == pytest.approx([row[k] for k in ("PQ", "SQ", "RQ")], nan_ok=True)
    for seed in range(5):
        semantic = torch.tensor([0, 7, 1, 2, 3])[torch.randint(5, (7, 8))]
        found = random_instances(5, 7, 8, seed)
        ours = BY_ID["15.5"].reference(semantic, *found.values(), [0, 7])
        assert torch.equal(ours, merge_twin(semantic, found, [1, 2, 3], 0.0, 0.5, 0, 255))
        assert torch.equal(ours, panoptic.merge(semantic, found, things=[1, 2, 3], score_threshold=0))


def test_every_table_of_15_2_is_one_of_true_segments():
    """Segments of one map do not overlap, so the IoUs of a row, or of a column, add up to 1 at most."""
    for case in BY_ID["15.2"].make_cases():
        assert (case.args[0].sum(0) <= 1 + 1e-6).all() and (case.args[0].sum(1) <= 1 + 1e-6).all()
