"""Chapter 2's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.segmentation import watershed

from segcore import grouping
from segcore.checks.engine import judge
from segcore.checks.grouping import EXERCISES

BY_ID = {each.id: each for each in EXERCISES}


def rand_by_loops(labels, truth):
    ours, theirs = labels.flatten().tolist(), truth.flatten().tolist()
    agree = pairs = 0
    for i in range(len(ours)):
        for j in range(i):
            pairs += 1
            agree += (ours[i] == ours[j]) == (theirs[i] == theirs[j])
    return agree / pairs


def rand_by_table(labels, truth):
    labels, truth = labels.flatten().numpy(), truth.flatten().numpy()
    table = np.zeros((labels.max() + 1, truth.max() + 1))
    np.add.at(table, (labels, truth), 1)
    n = len(labels)
    apart = (table.sum(1) ** 2).sum() + (table.sum(0) ** 2).sum() - 2 * (table**2).sum()
    return torch.tensor(1 - apart / (n * (n - 1)))


def merge_with_matrices(pairs, strengths, lengths, count, threshold):
    sums, total = torch.zeros(2, count, count, dtype=torch.float64)
    for (a, b), s, n in zip(pairs, strengths, lengths, strict=True):
        sums[a, b] = sums[b, a] = s.double() * n
        total[a, b] = total[b, a] = n
    lowest = torch.arange(count)
    while True:
        mean = torch.where(total > 0, sums / total, math.inf)
        mean.fill_diagonal_(math.inf)
        if mean.min() > threshold:
            return lowest
        a, b = sorted(divmod(int(mean.argmin()), count))
        for table in (sums, total):
            table[a] += table[b]
            table[:, a] += table[:, b]
            table[b] = table[:, b] = 0
        lowest[lowest == b] = a


def merge_lists(pairs, strengths, lengths, count, threshold):
    part = list(range(count))
    rows = [
        [*pair, s, n] for pair, s, n in zip(pairs.tolist(), strengths.tolist(), lengths.tolist(), strict=True)
    ]
    while rows:
        rows.sort(key=lambda row: row[2])
        a, b, s, _ = rows[0]
        if s > threshold:
            break
        a, b = min(a, b), max(a, b)
        part = [a if p == b else p for p in part]
        found = {}
        for x, y, s, n in rows[1:]:
            x, y = (a if each == b else each for each in (x, y))
            key = (min(x, y), max(x, y))
            t, m = found.get(key, (0.0, 0))
            found[key] = ((s * n + t * m) / (n + m), n + m)
        rows = [[*key, *value] for key, value in found.items()]
    return torch.tensor(part)


def data_one_by_one(colors, weights, means, covariances):
    costs = []
    for color in colors.double():
        logs = []
        for w, m, s in zip(weights.double(), means.double(), covariances.double(), strict=True):
            off = color - m
            logs.append(float(w.log() - 0.5 * torch.logdet(s) - 0.5 * off @ torch.linalg.solve(s, off)))
        top = max(logs)
        costs.append(-top - math.log(sum(math.exp(each - top) for each in logs)))
    return torch.tensor(costs)


def data_by_distributions(colors, weights, means, covariances):
    each = torch.distributions.MultivariateNormal(means, covariances)
    logs = each.log_prob(colors[:, None]) + 1.5 * math.log(2 * math.pi) + weights.log()
    return -torch.logsumexp(logs, dim=1)


def data_by_einsum(colors, weights, means, covariances):
    off = colors[:, None] - means
    squared = torch.einsum("nki,kij,nkj->nk", off, torch.linalg.inv(covariances), off)
    logs = torch.log(weights) - 0.5 * torch.log(torch.det(covariances)) - squared / 2
    top = logs.max(dim=1, keepdim=True).values
    return -(top[:, 0] + (logs - top).exp().sum(1).log())


def split_with_other_names(mask, depth):
    distance = ndimage.distance_transform_edt(mask.numpy())
    markers = ndimage.label(distance > depth, np.ones((3, 3), int))[0]
    markers[markers > 0] = markers.max() + 5 - markers[markers > 0]
    return torch.tensor(watershed(-distance, markers, mask=mask.numpy()), dtype=torch.int64)


def split_from_above(mask, depth):
    distance = ndimage.distance_transform_edt(mask)
    markers, _ = ndimage.label(distance > depth, structure=ndimage.generate_binary_structure(2, 2))
    return torch.as_tensor(watershed(distance.max() - distance, markers, mask=mask.numpy())).to(torch.int64)


def cut_with_where(image, trimap, fit, cost, cut, iterations):
    mask = trimap > 0
    for _ in range(iterations):
        colors = image.permute(1, 2, 0)
        models = [fit(colors[side]) for side in (mask.logical_not(), mask)]
        background, foreground = (cost(image, model) for model in models)
        background = torch.where(trimap == 2, torch.tensor(1e6), background)
        foreground = torch.where(trimap == 0, torch.tensor(1e6), foreground)
        mask = cut(background, foreground)
    return mask


def cut_with_indices(image, trimap, fit, cost, cut, iterations):
    mask = torch.ones(trimap.shape, dtype=torch.bool)
    mask[trimap == 0] = False
    flat = image.reshape(3, -1)
    for _ in range(iterations):
        inside = mask.reshape(-1)
        background = cost(image, fit(flat[:, ~inside].t())).clone()
        foreground = cost(image, fit(flat[:, inside].t())).clone()
        background[trimap == 2] = 1_000_000
        foreground[trimap == 0] = 1_000_000
        mask = cut(background, foreground)
    return mask


def cut_with_costs_added(image, trimap, fit, cost, cut, iterations):
    mask = trimap > 0
    for _ in range(iterations):
        background, foreground = (cost(image, fit(image[:, side].T)) for side in (~mask, mask))
        mask = cut(background + 1e6 * (trimap == 2), foreground + 1e6 * (trimap == 0))
    return mask


def merge_with_a_length_that_stays(pairs, strengths, lengths, count, threshold, length=max):
    """The mean is right at each merge, but not how long the boundary is from then on."""
    table = {
        frozenset(pair): (s, n)
        for pair, s, n in zip(pairs.tolist(), strengths.tolist(), lengths.tolist(), strict=True)
    }
    lowest = list(range(count))
    while table:
        pair = min(table, key=lambda each: table[each][0])
        if table.pop(pair)[0] > threshold:
            break
        keep, gone = sorted(pair)
        for other in [each for each in table if gone in each]:
            s, n = table.pop(other)
            key = other - {gone} | {keep}
            t, m = table.get(key, (0.0, 0))
            table[key] = (s * n + t * m) / (n + m), length(n, m) if m else n
        lowest = [keep if each == gone else each for each in lowest]
    return torch.tensor(lowest)


def cut_held_by(never):
    def function(image, trimap, fit, cost, cut, iterations):
        mask = trimap > 0
        for _ in range(iterations):
            background, foreground = (cost(image, fit(image[:, side].T)) for side in (~mask, mask))
            background, foreground = background.clone(), foreground.clone()
            background[trimap == 2] = foreground[trimap == 0] = never
            mask = cut(background, foreground)
        return mask

    return function


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("2.1", rand_by_loops),
        ("2.1", rand_by_table),
        ("2.1", grouping.probabilistic_rand_index),
        ("2.2", merge_with_matrices),
        ("2.2", merge_lists),
        ("2.3", data_one_by_one),
        ("2.3", data_by_distributions),
        ("2.3", data_by_einsum),
        ("2.4", split_with_other_names),
        ("2.4", split_from_above),
        ("2.4", grouping.split_touching),
        ("2.5", cut_with_where),
        ("2.5", cut_with_indices),
        ("2.5", cut_with_costs_added),
        ("2.5", cut_held_by(1e6)),
    ],
)
def test_right_solutions_pass(exercise, function):
    verdict = judge(BY_ID[exercise], function)
    assert verdict.state == "passed", verdict.card


@pytest.mark.parametrize(
    ("exercise", "function", "name"),
    [
        ("2.2", merge_with_a_length_that_stays, None),
        ("2.2", lambda *args: merge_with_a_length_that_stays(*args, lambda n, m: m), "length not kept up"),
        (
            "2.2",
            lambda *args: merge_with_a_length_that_stays(*args, lambda n, m: 1),
            "each part counts alike",
        ),
        ("2.5", cut_held_by(1000.0), "held too cheaply"),
        ("2.5", cut_held_by(math.inf), "finite costs"),
    ],
)
def test_wrong_answers_that_once_passed_are_caught(exercise, function, name):
    verdict = judge(BY_ID[exercise], function)
    assert verdict.state == "failed", verdict.card
    assert name is None or verdict.mistake == name, verdict.card


# 2.3 as students get it wrong ----------------------------------------------------------------------


def logarithms(colors, weights, means, covariances):
    off = colors[:, None] - means
    squared = torch.einsum("nki,kij,nkj->nk", off, torch.linalg.inv(covariances), off)
    return weights.log() - covariances.logdet() / 2 - squared / 2


def first_gaussian(*args):
    return -logarithms(*args)[:, 0]


def largest_is_lost(*args):
    terms = logarithms(*args)
    return -(terms - terms.amax(1, keepdim=True)).exp().sum(1).log()


def products_of_diagonals(colors, weights, means, covariances):
    inverse = torch.linalg.inv(covariances).diagonal(dim1=1, dim2=2)
    squared = ((colors[:, None] - means) ** 2 * inverse).sum(-1)
    return -(weights.log() - covariances.logdet() / 2 - squared / 2).logsumexp(1)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (first_gaussian, "first component only"),
        (largest_is_lost, "largest not added again"),
        (products_of_diagonals, "variances of the inverse only"),
    ],
)
def test_wrong_costs_are_named(function, name):
    verdict = judge(BY_ID["2.3"], function)
    assert (verdict.state, verdict.mistake) == ("failed", name), verdict.card


def test_an_array_is_told_how_to_become_a_tensor():
    verdict = judge(BY_ID["2.4"], lambda mask, depth: split_with_other_names(mask, depth).numpy())
    assert verdict.kind == "numpy" and "from_numpy" in str(verdict.card)
