"""Chapter 18's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segcore import colorization
from segcore.checks.colorization import EXERCISES
from segcore.checks.engine import judge

BY_ID = {each.id: each for each in EXERCISES}


def nearest_pixel_by_pixel(ab, bins):
    count, _, height, width = ab.shape
    found = torch.zeros(count, height, width, dtype=torch.int64)
    for n in range(count):
        for i in range(height):
            for j in range(width):
                a, b = ab[n, :, i, j].tolist()
                distances = [math.hypot(a - p, b - q) for p, q in bins.tolist()]
                found[n, i, j] = distances.index(min(distances))
    return found


def nearest_by_cdist(ab, bins):
    pixels = ab.permute(0, 2, 3, 1).reshape(-1, 2)
    return torch.cdist(pixels, bins).argmin(1).view(ab.shape[0], *ab.shape[2:])


def nearest_by_products(ab, bins):
    """|c|² - 2 p·c is as good as the distance."""
    scores = bins.double().square().sum(1) - 2 * torch.einsum("nkhw,qk->nhwq", ab.double(), bins.double())
    return scores.argmin(-1)


def encode_pixel_by_pixel(ab, bins, neighbors, sigma):
    count, _, height, width = ab.shape
    found = np.zeros((count, len(bins), height, width))
    for n in range(count):
        for i in range(height):
            for j in range(width):
                squares = ((ab[n, :, i, j] - bins) ** 2).sum(1).numpy().astype(np.float64)
                nearest = np.argsort(squares, kind="stable")[:neighbors]
                shares = np.exp(-(squares[nearest] - squares[nearest].min()) / (2 * sigma**2))
                found[n, nearest, i, j] = shares / shares.sum()
    return torch.from_numpy(found)


def encode_by_a_mask(ab, bins, neighbors, sigma):
    squares = (ab[:, None] - bins[:, :, None, None]).square().sum(2)  # (N, Q, H, W)
    limit = squares.kthvalue(neighbors, 1, keepdim=True).values
    exponents = torch.where(squares <= limit, -squares / (2 * sigma**2), -torch.inf)
    return exponents.softmax(1)


def rebalance_by_loops(prior, uniform):
    p = prior.tolist()
    raw = [1 / ((1 - uniform) * each + uniform / len(p)) for each in p]
    mean = sum(each * weight for each, weight in zip(p, raw, strict=True))
    return torch.tensor([weight / mean for weight in raw])


def rebalance_in_numpy(prior, uniform):
    p = prior.numpy()
    weights = np.reciprocal((1 - uniform) * p + uniform * np.full_like(p, 1 / p.size))
    return torch.from_numpy(weights / np.dot(p, weights))


def loss_by_torch(logits, target, weights):
    losses = F.cross_entropy(logits, target, reduction="none")
    return torch.mean(losses * weights[target.argmax(dim=1)])


def loss_by_logsumexp(logits, target, weights):
    losses = (target * (logits.logsumexp(1, keepdim=True) - logits)).sum(1)
    pixel = weights.take(target.max(1).indices)
    return (pixel * losses).sum() / losses.numel()


def anneal_by_matrices(probabilities, temperature, bins):
    sharp = torch.softmax(torch.log(probabilities).permute(0, 2, 3, 1) / temperature, dim=-1)
    return (sharp @ bins).permute(0, 3, 1, 2)


def anneal_by_scaled_powers(probabilities, temperature, bins):
    """Divided by the largest first, so that no power is rounded to 0 where it counts."""
    scaled = (probabilities / probabilities.amax(1, keepdim=True)).double() ** (1 / temperature)
    shares = scaled / scaled.sum(1, keepdim=True)
    return (shares[:, :, None] * bins.double()[None, :, :, None, None]).sum(1)


def anneal_with_the_smallest_number(probabilities, temperature, bins):
    """What is added is so small that it stays nothing, whatever the temperature."""
    logs = probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
    return F.conv2d((logs / temperature).softmax(1), bins.T[:, :, None, None])


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("18.1", nearest_pixel_by_pixel),
        ("18.1", nearest_by_cdist),
        ("18.1", nearest_by_products),
        ("18.2", encode_pixel_by_pixel),
        ("18.2", encode_by_a_mask),
        ("18.3", rebalance_by_loops),
        ("18.3", rebalance_in_numpy),
        ("18.4", loss_by_torch),
        ("18.4", loss_by_logsumexp),
        ("18.5", anneal_by_matrices),
        ("18.5", anneal_by_scaled_powers),
        ("18.5", anneal_with_the_smallest_number),
    ],
)
def test_right_solutions_pass(exercise, function):
    verdict = judge(BY_ID[exercise], function)
    assert verdict.state == "passed", verdict


def test_the_references_are_the_librarys():
    for case in BY_ID["18.1"].make_cases():
        wanted = colorization.encode_ab(*case.args, neighbors=1).argmax(1)
        if "equally" not in case.note:
            assert torch.equal(BY_ID["18.1"].reference(*case.args), wanted)
    for case in BY_ID["18.2"].make_cases():
        wanted = colorization.encode_ab(*case.args)
        assert torch.allclose(BY_ID["18.2"].reference(*case.args), wanted, atol=1e-5)
    for case in BY_ID["18.3"].make_cases():
        wanted = colorization.class_rebalancing(*case.args)
        assert torch.allclose(BY_ID["18.3"].reference(*case.args), wanted, rtol=1e-4)
    for case in BY_ID["18.4"].make_cases():
        wanted = colorization.colorization_loss(*case.args)
        assert BY_ID["18.4"].reference(*case.args).item() == pytest.approx(wanted.item(), rel=1e-5)
    for case in BY_ID["18.5"].make_cases():
        wanted = colorization.decode_ab(*case.args)
        assert torch.allclose(BY_ID["18.5"].reference(*case.args), wanted, atol=1e-3)


# ---- Wrong answers that once passed, each with what now names it


def a_little_added(probabilities, temperature, bins):
    return anneal_by_matrices(probabilities + 1e-6, temperature, bins)


def held_up_a_little(probabilities, temperature, bins):
    return anneal_by_matrices(probabilities.clamp(min=1e-8), temperature, bins)


def mode_below_a_temperature(probabilities, temperature, bins):
    if temperature < 0.05:
        return bins[probabilities.argmax(1)].movedim(-1, 1)
    return anneal_by_matrices(probabilities, temperature, bins)


def one_smallest_distance_for_all(ab, bins, neighbors, sigma):
    far = ((ab.permute(0, 2, 3, 1)[..., None, :] - bins) ** 2).sum(-1)
    near, index = far.topk(neighbors, largest=False)
    shares = (-(near - near.min()) / (2 * sigma**2)).exp()
    shares = shares / shares.sum(-1, keepdim=True)
    return torch.zeros_like(far).scatter(-1, index, shares).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("exercise", "function", "named"),
    [
        ("18.2", one_smallest_distance_for_all, "one largest exponent for all pixels"),
        ("18.5", a_little_added, "something added to 0"),
        ("18.5", held_up_a_little, "something added to 0"),
        ("18.5", mode_below_a_temperature, "the mode where it is cold"),
    ],
)
def test_wrong_answers_are_rejected(exercise, function, named):
    verdict = judge(BY_ID[exercise], function)
    assert verdict.state == "failed" and verdict.mistake == named, verdict.card
