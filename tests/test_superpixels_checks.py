"""Chapter 1's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import pytest
import torch

from segcore import superpixels
from segcore.checks.engine import judge
from segcore.checks.superpixels import EXERCISES

BY_ID = {each.id: each for each in EXERCISES}


def colors_one_by_one(image, labels):
    return torch.stack([image[:, labels == k].mean(1) for k in range(int(labels.max()) + 1)])


def colors_added(image, labels):
    flat = labels.reshape(-1)
    sums = torch.zeros(int(flat.max()) + 1, len(image)).index_add_(0, flat, image.reshape(len(image), -1).T)
    return sums / flat.bincount()[:, None]


def assign_center_by_center(lab, centers, side, compactness):
    _, height, width = lab.shape
    best = torch.full((height, width), float("inf"))
    labels = torch.full((height, width), -1)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for number, center in enumerate(centers):
        color = ((lab - center[:3, None, None]) ** 2).sum(0)
        place = (y - center[3]) ** 2 + (x - center[4]) ** 2
        distance = color + place * compactness**2 / side**2
        window = ((y - center[3]).abs() <= side) & ((x - center[4]).abs() <= side)
        better = window & (distance < best)
        best[better] = distance[better]
        labels[better] = number
    return labels


def assign_pixel_by_pixel(lab, centers, side, compactness):
    labels = torch.full(lab.shape[1:], -1)
    for y in range(lab.shape[1]):
        for x in range(lab.shape[2]):
            place = torch.tensor([y, x]) - centers[:, 3:]
            color = lab[:, y, x] - centers[:, :3]
            distance = (color**2).sum(1) + (place**2).sum(1) * (compactness / side) ** 2
            near = (place.abs() <= side).all(1)
            if near.any():
                labels[y, x] = distance.masked_fill(~near, float("inf")).argmin()
    return labels


def merge_by_union_find(weights, ends, count, k):
    parent, inner, sizes = list(range(count)), [0.0] * count, [1] * count

    def find(node):
        while parent[node] != node:
            node = parent[node]
        return node

    for weight, (one, other) in zip(weights.tolist(), ends.tolist(), strict=True):
        a, b = sorted((find(one), find(other)))
        if a != b and weight <= min(inner[a] + k / sizes[a], inner[b] + k / sizes[b]):
            parent[b] = a
            sizes[a] += sizes[b]
            inner[a] = weight
    return torch.tensor([find(node) for node in range(count)])


def error_by_sets(labels, truth):
    total = 0
    for segment in labels.unique():
        for region in truth[labels == segment].unique():
            inside = int(((labels == segment) & (truth == region)).sum())
            total += min(inside, int((labels == segment).sum()) - inside)
    return torch.tensor(total / labels.numel())


def error_by_counting(labels, truth):
    regions = int(truth.max()) + 1
    table = (labels * regions + truth).flatten().bincount(minlength=regions * (int(labels.max()) + 1))
    table = table.reshape(-1, regions)
    return torch.minimum(table, table.sum(1)[:, None] - table).sum() / truth.numel()


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("1.1", colors_one_by_one),
        ("1.1", colors_added),
        ("1.2", assign_center_by_center),
        ("1.2", assign_pixel_by_pixel),
        ("1.3", merge_by_union_find),
        ("1.4", error_by_sets),
        ("1.4", error_by_counting),
    ],
)
def test_right_solutions_pass(exercise, function):
    verdict = judge(BY_ID[exercise], function)
    assert verdict.state == "passed", verdict


def assign_five(lab, centers, side, place):
    """The nearest centre in the square window, with another measure of place."""
    y, x = torch.meshgrid(*(torch.arange(n).float() for n in lab.shape[1:]), indexing="ij")
    down, across = y - centers[:, 3, None, None], x - centers[:, 4, None, None]
    far = (lab - centers[:, :3, None, None]).square().sum(1) + place(down, across)
    near = (down.abs() <= side) & (across.abs() <= side)
    return torch.where(near.any(0), far.masked_fill(~near, torch.inf).argmin(0), -1)


def added_first(lab, centers, side, compactness):
    return assign_five(lab, centers, side, lambda y, x: (compactness / side * (y + x)) ** 2)


def rounded_centers(lab, centers, side, compactness):
    whole = torch.cat([centers[:, :3], centers[:, 3:].round()], 1)
    return assign_five(lab, whole, side, lambda y, x: (compactness / side) ** 2 * (y**2 + x**2))


@pytest.mark.parametrize(
    ("function", "name"),
    [(added_first, "added before the square"), (rounded_centers, "centres on whole pixels")],
)
def test_wrong_assignments_are_named(function, name):
    verdict = judge(BY_ID["1.2"], function)
    assert (verdict.state, verdict.mistake) == ("failed", name), verdict.card


def test_the_error_is_the_librarys():
    for case in BY_ID["1.4"].make_cases():
        assert BY_ID["1.4"].reference(*case.args) == pytest.approx(
            superpixels.undersegmentation_error(*case.args).item()
        )
