"""Chapter 16's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from segcore import keypoints as library
from segcore.checks.engine import judge
from segcore.checks.keypoints import EXERCISES

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


@pytest.mark.parametrize("seed", SEEDS)
def test_references_are_the_librarys(seed):
    for points, box, size, sigma in (case.args for case in BY_ID["16.1"].make_cases(seed)):
        got = BY_ID["16.1"].reference(points, box, size, sigma)
        cells = library.keypoint_targets(points[None], box[None], size)[0]
        assert torch.equal(got.sum((1, 2)) > 0.5, cells >= 0)
        if sigma:
            expected = library.gaussian_targets(points[None], box[None], size, sigma)[0]
        else:
            expected = F.one_hot(cells.clamp(min=0), size**2).view_as(got) * (cells >= 0)[:, None, None]
        torch.testing.assert_close(got, expected.float(), rtol=1e-4, atol=1e-5)
    for logits, box in (case.args for case in BY_ID["16.2"].make_cases(seed)):
        expected = library.decode_keypoints(logits[None], box[None])[0, :, :2]
        torch.testing.assert_close(BY_ID["16.2"].reference(logits, box), expected, rtol=1e-4, atol=1e-4)
    for found, truths, area, sigmas in (case.args for case in BY_ID["16.3"].make_cases(seed)):
        expected = library.oks(found, truths, area, sigmas.tolist()).float()
        got = BY_ID["16.3"].reference(found, truths, area, sigmas)
        torch.testing.assert_close(got, expected, equal_nan=True)
    for args in (case.args for case in BY_ID["16.4"].make_cases(seed)):
        torch.testing.assert_close(BY_ID["16.4"].reference(*args), library.keypoint_loss(*args))


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in (" @ ", ".T", ".mT", "clamp(", "argmax(", "arange(", "log_softmax"):
            assert code not in mistake.hint, (mistake.name, code)


# right solutions in different styles ---------------------------------------------------------------


def maps_by_loops(keypoints, box, size, sigma):
    x1, y1, x2, y2 = box.tolist()
    maps = torch.zeros(len(keypoints), size, size)
    for k, (x, y, seen) in enumerate(keypoints.tolist()):
        if seen == 0 or not (x1 <= x <= x2 and y1 <= y <= y2):
            continue
        u, v = (x - x1) / (x2 - x1) * size, (y - y1) / (y2 - y1) * size
        if sigma == 0:
            maps[k, min(int(v), size - 1), min(int(u), size - 1)] = 1
            continue
        for i in range(size):
            for j in range(size):
                maps[k, i, j] = math.exp(-((j + 0.5 - u) ** 2 + (i + 0.5 - v) ** 2) / (2 * sigma**2))
        maps[k] /= maps[k].sum()
    return maps


def maps_by_softmax(keypoints, box, size, sigma):
    u, v = ((keypoints[:, :2] - box[:2]) / (box[2:] - box[:2]) * size).T
    rows, columns = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    apart = (columns - u[:, None, None]) ** 2 + (rows - v[:, None, None]) ** 2
    if sigma:
        maps = (-apart / (2 * sigma**2)).flatten(1).softmax(1)
    else:
        cell = v.long().clamp(0, size - 1) * size + u.long().clamp(0, size - 1)
        maps = F.one_hot(cell, size * size).double()
    kept = (u >= 0) & (u <= size) & (v >= 0) & (v <= size) & (keypoints[:, 2] != 0)
    return maps.view(-1, size, size) * kept.view(-1, 1, 1)


def decode_by_loops(logits, box):
    points = []
    x1, y1, x2, y2 = box.tolist()
    for z in logits:
        height, width = z.shape
        i, j = divmod(int(z.argmax()), width)
        x, y = j + 0.5, i + 0.5
        if 0 < j < width - 1:
            a, b, c = z[i, j - 1 : j + 2].tolist()
            x += (a - c) / (2 * (a - 2 * b + c))
        if 0 < i < height - 1:
            a, b, c = z[i - 1 : i + 2, j].tolist()
            y += (a - c) / (2 * (a - 2 * b + c))
        points.append([x1 + x / width * (x2 - x1), y1 + y / height * (y2 - y1)])
    return torch.tensor(points)


def decode_by_numpy(logits, box):
    import numpy as np

    z, (x1, y1, x2, y2) = logits.numpy(), box.numpy()
    result = np.zeros((len(z), 2), dtype=np.float32)
    for k, each in enumerate(z):
        i, j = np.unravel_index(each.argmax(), each.shape)
        place = []
        for line, at in ((each[i], j), (each[:, j], i)):
            step = 0.0
            if 0 < at < len(line) - 1:  # a polynomial through three points, and where its slope is 0
                curve = np.polyfit([-1, 0, 1], line[at - 1 : at + 2].astype(float), 2)
                step = -curve[1] / (2 * curve[0])
            place.append((at + 0.5 + step) / len(line))
        result[k] = x1 + place[0] * (x2 - x1), y1 + place[1] * (y2 - y1)
    return torch.from_numpy(result)


def oks_by_loops(found, truths, area, sigmas):
    table = torch.full((len(found), len(truths)), math.nan)
    for n, a in enumerate(found):
        for m, b in enumerate(truths):
            asked = b[:, 2] > 0
            if asked.any():
                d2 = (a - b[:, :2]).square().sum(1)
                table[n, m] = torch.exp(-d2 / (8 * area[m] * sigmas**2))[asked].mean()
    return table


def oks_by_einsum(found, truths, area, sigmas):
    asked = (truths[..., 2] != 0).double()
    d2 = torch.cdist(found.double().transpose(0, 1), truths[..., :2].double().transpose(0, 1)) ** 2  # K N M
    near = torch.exp(-d2 / area / (8 * sigmas[:, None, None] ** 2))
    return torch.einsum("knm,mk->nm", near, asked) / asked.sum(1)


def loss_by_loops(logits, targets):
    losses = [
        F.cross_entropy(z.reshape(1, -1), t.reshape(1, -1))
        for maps, wanted in zip(logits, targets, strict=True)
        for z, t in zip(maps, wanted, strict=True)
        if t.sum() > 0
    ]
    return torch.stack(losses).mean() if losses else logits.sum() * 0


def loss_by_logsumexp(logits, targets):
    known = targets.amax((2, 3)) > 0
    if not known.any():
        return torch.zeros((), requires_grad=True)
    z, t = logits[known].flatten(1), targets[known].flatten(1)
    return (z.logsumexp(1) - (z * t).sum(1)).mean()


def maps_as_products(keypoints, box, size, sigma):
    place = (keypoints[:, :2] - box[:2]) / (box[2:] - box[:2]) * size
    inside = ((keypoints[:, :2] >= box[:2]) & (keypoints[:, :2] <= box[2:])).all(1) & (keypoints[:, 2] != 0)
    if sigma:
        lines = (-((torch.arange(size) + 0.5 - place[..., None]) ** 2) / (2 * sigma**2)).softmax(-1)
    else:
        lines = F.one_hot(place.floor().long().clamp(0, size - 1), size).float()
    maps = torch.einsum("ki,kj->kij", lines[:, 1], lines[:, 0])
    maps[~inside] = 0
    return maps


def loss_added_up(logits, targets):
    total, count = 0 * logits.sum(), 0
    for z, t in zip(logits.flatten(0, 1), targets.flatten(0, 1), strict=True):
        if t.max() > 0:
            total, count = total + ((torch.logsumexp(z.flatten(), 0) - z) * t).sum(), count + 1
    return total / max(count, 1)


RIGHT = [
    ("16.1", maps_by_loops),
    ("16.1", maps_by_softmax),
    ("16.1", maps_as_products),
    ("16.2", decode_by_loops),
    ("16.2", decode_by_numpy),
    ("16.2", lambda logits, box: library.decode_keypoints(logits[None], box[None])[0, :, :2].double()),
    ("16.3", oks_by_loops),
    ("16.3", oks_by_einsum),
    ("16.3", lambda found, truths, area, sigmas: library.oks(found, truths, area, sigmas.tolist())),
    ("16.4", loss_by_loops),
    ("16.4", loss_by_logsumexp),
    ("16.4", loss_added_up),
    ("16.4", library.keypoint_loss),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("exercise", "function"), RIGHT, ids=[f"{e}-{f.__name__}" for e, f in RIGHT])
def test_right_solutions_pass(exercise, function, seed):
    report = judge(BY_ID[exercise], function, seed)
    assert report.state == "passed", report.card


# wrong ones that students write, without a mistake of their own in the list ------------------------


def in_place(keypoints, box, size, sigma):
    keypoints[:, :2] -= box[:2]
    return BY_ID["16.1"].reference(keypoints, box - box[[0, 1, 0, 1]], size, sigma)


def with_a_third_number(logits, box):
    return library.decode_keypoints(logits[None], box[None])[0]


def as_a_number(logits, targets):
    return BY_ID["16.4"].reference(logits, targets).item()


def detached(logits, targets):
    return BY_ID["16.4"].reference(logits.detach(), targets)


def a_number_in_the_denominator(logits, box):
    """Enough to keep from dividing by nothing, and too much for a flat hill."""
    points, (x1, y1, x2, y2) = [], box.tolist()
    for z in logits:
        place = []
        row, column = divmod(int(z.argmax()), z.shape[1])
        for line, at in ((z[row], column), (z[:, column], row)):
            a, b, c = (float(line[(at + k) % len(line)]) for k in (-1, 0, 1))
            step = (a - c) / (2 * (a - 2 * b + c) - 1e-3) if 0 < at < len(line) - 1 else 0
            place.append((at + 0.5 + step) / len(line))
        points.append([x1 + place[0] * (x2 - x1), y1 + place[1] * (y2 - y1)])
    return torch.tensor(points)


def a_zero_of_its_own(logits, targets):
    return BY_ID["16.4"].reference(logits, targets) if targets.any() else torch.tensor(0.0)


def a_plain_zero(logits, targets):
    return BY_ID["16.4"].reference(logits, targets) if targets.any() else 0.0


def one_maximum_for_all_maps(logits, targets):
    z, known = (logits - logits.max()).flatten(2), targets.flatten(2).any(2)
    lost = -(targets.flatten(2) * (z - z.exp().sum(2, keepdim=True).log())).sum(2)
    return lost[known].sum() / known.sum().clamp(min=1)


def only_its_own(found, truths, area, sigmas):
    return BY_ID["16.3"].reference(found, truths, area, sigmas).diagonal()


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("16.1", in_place),
        ("16.2", with_a_third_number),
        ("16.2", a_number_in_the_denominator),
        ("16.3", only_its_own),
        ("16.4", as_a_number),
        ("16.4", detached),
        ("16.4", a_zero_of_its_own),
        ("16.4", a_plain_zero),
        ("16.4", one_maximum_for_all_maps),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_other_wrong_answers_do_not_pass(exercise, function):
    report = judge(BY_ID[exercise], function)
    assert report.state != "passed"
    assert len([part for kind, part in report.card.parts if kind == "hint"]) == 1
