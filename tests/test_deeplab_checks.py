"""Chapter 11's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn

from segcore import deeplab
from segcore.checks.deeplab import EXERCISES
from segcore.checks.engine import judge

BY_ID = {each.id: each for each in EXERCISES}


def valid_by_convolution(size, rate):
    ones = torch.ones(1, 1, *size)
    return F.conv2d(ones, torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)[0, 0].long()


def valid_by_loops(size, rate):
    height, width = size
    counts = torch.zeros(height, width, dtype=torch.int64)
    for y, x in itertools.product(range(height), range(width)):
        for dy, dx in itertools.product((-rate, 0, rate), repeat=2):
            counts[y, x] += 0 <= y + dy < height and 0 <= x + dx < width
    return counts


def aspp_of_modules(x, point, around, rates, whole):
    branches = [F.relu(F.conv2d(x, point))]
    for weight, rate in zip(around, rates, strict=True):
        layer = nn.Conv2d(x.shape[1], len(weight), 3, padding=rate, dilation=rate, bias=False)
        layer.weight.data.copy_(weight)
        branches.append(layer(x).relu())
    pooled = F.adaptive_avg_pool2d(x, 1)
    branches.append(F.interpolate(F.conv2d(pooled, whole).relu(), x.shape[2:], mode="bilinear"))
    return torch.cat(branches, dim=1)


def aspp_by_shifts(x, point, around, rates, whole):
    height, width = x.shape[2:]
    found = [torch.einsum("nchw,kc->nkhw", x, point[..., 0, 0])]
    for weight, rate in zip(around, rates, strict=True):
        padded = F.pad(x, (rate,) * 4)
        total = 0
        for i, j in itertools.product(range(3), repeat=2):
            part = padded[:, :, i * rate : i * rate + height, j * rate : j * rate + width]
            total = total + torch.einsum("nchw,kc->nkhw", part, weight[:, :, i, j])
        found.append(total)
    mean = x.flatten(2).mean(2) @ whole[..., 0, 0].T
    found.append(mean[..., None, None].repeat(1, 1, height, width))
    return torch.cat(found, 1).clamp(min=0)


def price_of_shapes(layers, size, output_stride):
    reached, total = 1, 0
    x = np.empty(size)
    for a, b, k, s in layers:
        step = s if reached * s <= output_stride else 1
        reached *= step
        x = x[::step, ::step]
        total += x.size * a * b * k * k
    return int(total)


def scales_summed(network, image, scales):
    total = torch.zeros(())
    for scale in scales:
        size = tuple(round(scale * side) for side in image.shape[-2:])
        small = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        both = torch.cat([network(small), torch.flip(network(torch.flip(small, [3])), [3])])
        logits = F.interpolate(both, size=image.shape[-2:], mode="bilinear", align_corners=False)
        one, two = torch.softmax(logits, dim=1).chunk(2)
        total = total + one + two
    return total / (2 * len(scales))


def matched_by_trying(classes, masks, true_classes, true_masks):
    truths, queries = len(true_classes), len(classes)

    def cost(query, truth):
        mask, true = masks[query], true_masks[truth].float()
        dice = 2 * float((mask * true).sum()) / float(mask.sum() + true.sum())
        return 1 - dice - float(classes[query, true_classes[truth]])

    table = [[cost(query, truth) for truth in range(truths)] for query in range(queries)]
    best = min(
        itertools.permutations(range(queries), truths),
        key=lambda chosen: math.fsum(table[query][truth] for truth, query in enumerate(chosen)),
    )
    return torch.tensor(best, dtype=torch.int64)


def matched_from_rows(classes, masks, true_classes, true_masks):
    flat, true = masks.flatten(1).double(), true_masks.flatten(1).double()
    dice = 2 * flat @ true.T / (flat.sum(1)[:, None] + true.sum(1)[None])
    cost = -dice - classes[:, true_classes].double()
    rows, columns = linear_sum_assignment(cost.numpy())
    return torch.from_numpy(rows[np.argsort(columns)])


def matched_by_most(classes, masks, true_classes, true_masks):
    flat, true = masks.flatten(1), true_masks.flatten(1).float()
    score = 2 * true @ flat.T / (flat.sum(1) + true.sum(1)[:, None]) + classes[:, true_classes].T
    return torch.from_numpy(linear_sum_assignment(score, maximize=True)[1])


def aspp_in_double(x, point, around, rates, whole):
    weights = [weight.double() for weight in around]
    return deeplab_reference("11.2")(x.double(), point.double(), weights, rates, whole.double())


def scales_in_double(network, image, scales):
    return deeplab_reference("11.4")(network, image, scales).double()


def deeplab_reference(number):
    return BY_ID[number].reference


@pytest.mark.parametrize("seed", range(6))
def test_each_scene_has_one_best_pairing(seed):
    """Two segments that are alike may change places: then an answer as good as the reference's is refused."""
    for case in BY_ID["11.5"].make_cases(seed):
        classes, masks, true_classes, true_masks = case.args
        truth = true_masks.float()
        overlap = torch.einsum("qhw,ghw->qg", masks, truth)
        cost = -2 * overlap / (masks.sum((1, 2))[:, None] + truth.sum((1, 2))) - classes[:, true_classes]
        table = cost.double().numpy()
        pairs = linear_sum_assignment(table)
        for row, column in zip(*pairs, strict=True):
            without = table.copy()
            without[row, column] = 1e3
            assert without[linear_sum_assignment(without)].sum() > table[pairs].sum() + 0.009


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("11.1", valid_by_convolution),
        ("11.1", valid_by_loops),
        ("11.1", deeplab.valid_weights),
        ("11.2", aspp_of_modules),
        ("11.2", aspp_by_shifts),
        ("11.2", aspp_in_double),
        ("11.3", price_of_shapes),
        ("11.4", scales_summed),
        ("11.4", deeplab.multiscale),
        ("11.4", scales_in_double),
        ("11.5", matched_by_trying),
        ("11.5", matched_from_rows),
        ("11.5", matched_by_most),
    ],
)
def test_right_solutions_pass(exercise, function):
    report = judge(BY_ID[exercise], function)
    assert report.state == "passed", report.card
