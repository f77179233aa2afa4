"""Chapter 10's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segcore import crf
from segcore.checks.crf import EXERCISES
from segcore.checks.engine import judge
from segcore.gaussian_filters import exact_bilateral_filter

BY_ID = {each.id: each for each in EXERCISES}


def energy_loops(labels, unary, weights):
    height, width = labels.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            total += float(unary[int(labels[y, x]), y, x])
            if x + 1 < width and labels[y, x] != labels[y, x + 1]:
                total += float(weights[0, y, x])
            if y + 1 < height and labels[y, x] != labels[y + 1, x]:
                total += float(weights[1, y, x])
    return torch.tensor(total)


def energy_soft(labels, unary, weights):
    q = F.one_hot(labels, len(unary)).movedim(-1, 0).double()
    same_right = (q[:, :, 1:] * q[:, :, :-1]).sum(0)
    same_down = (q[:, 1:] * q[:, :-1]).sum(0)
    pairs = (weights[0, :, :-1] * (1 - same_right)).sum() + (weights[1, :-1] * (1 - same_down)).sum()
    return (q * unary).sum() + pairs


def icm_numpy(labels, unary, weights):
    now, u, w = labels.numpy().copy(), unary.numpy(), weights.numpy()
    height, width = now.shape
    for y in range(height):
        for x in range(width):
            cost = u[:, y, x].copy()
            around = [(y, x + 1, w[0, y, x]), (y, x - 1, w[0, y, x - 1])]
            around += [(y + 1, x, w[1, y, x]), (y - 1, x, w[1, y - 1, x])]
            for v, z, price in around:
                if 0 <= v < height and 0 <= z < width:
                    cost += price
                    cost[now[v, z]] -= price
            best = int(np.argmin(cost))
            if cost[best] < cost[now[y, x]] - 1e-6:
                now[y, x] = best
    return torch.from_numpy(now)


def icm_columns_first(labels, unary, weights):
    """Column by column is as good as row by row: left still comes before right, and above before below."""
    return icm_numpy(labels.mT, unary.mT, weights.flip(0).mT).mT


def step_with_padding(q, unary, weights):
    right = F.pad(weights[0, :, :-1], (1, 1))
    down = F.pad(weights[1, :-1], (0, 0, 1, 1))
    wide, tall = F.pad(q, (1, 1)), F.pad(q, (0, 0, 1, 1))
    votes = right[:, 1:] * wide[:, :, 2:] + right[:, :-1] * wide[:, :, :-2]
    votes = votes + down[1:] * tall[:, 2:] + down[:-1] * tall[:, :-2]
    e = torch.exp(votes - unary)
    return e / e.sum(0, keepdim=True)


def message_in_double(q, image, spatial_sigma, color_sigma):
    height, width = image.shape[1:]
    grid = torch.cartesian_prod(torch.arange(height), torch.arange(width)).double() / spatial_sigma
    features = torch.cat([grid, image.double().flatten(1).T * 255 / color_sigma], 1)
    kernel = torch.exp(-0.5 * torch.cdist(features, features) ** 2)
    n = kernel.sum(1).sqrt()
    return torch.einsum("ij,lj->li", kernel / n / n[:, None], q.double().flatten(1)).reshape(q.shape)


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("10.1", energy_loops),
        ("10.1", energy_soft),
        ("10.1", crf.energy),
        ("10.2", icm_numpy),
        ("10.2", icm_columns_first),
        ("10.3", step_with_padding),
        ("10.3", lambda q, unary, weights: step_with_padding(q, unary.double(), weights)),
        ("10.4", message_in_double),
        ("10.4", lambda q, i, s, c: exact_bilateral_filter(i, s, c)(q.movedim(0, 2)).movedim(2, 0)),
    ],
)
def test_right_solutions_pass(exercise, function):
    found = judge(BY_ID[exercise], function)
    assert found.state == "passed", found


def test_one_message_far_away_is_heard():
    """A kernel cut at three sigmas is told from the whole one."""

    def cut(q, image, spatial_sigma, color_sigma):
        places = torch.cartesian_prod(*(torch.arange(n) for n in image.shape[1:])).float()
        features = torch.cat([places / spatial_sigma, image.flatten(1).T * 255 / color_sigma], 1)
        kernel = torch.exp(-0.5 * torch.cdist(features, features) ** 2)
        kernel = kernel * (torch.cdist(places, places) <= 3 * spatial_sigma)
        root = kernel.sum(1).sqrt()
        return (q.flatten(1) @ (kernel / root / root[:, None])).view(q.shape)

    assert judge(BY_ID["10.4"], cut).mistake == "cut at three sigmas"


def test_the_step_passes_a_gradient_to_its_probabilities():
    found = judge(BY_ID["10.3"], lambda q, unary, weights: step_with_padding(q.detach(), unary, weights))
    assert (found.state, found.mistake) == ("failed", "gradient reaches q")
