"""Chapter 17's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from segcore import geometry
from segcore.checks.engine import judge
from segcore.checks.geometry import EXERCISES

BY_ID = {each.id: each for each in EXERCISES}


def scores_pixel_by_pixel(prediction, target):
    relative, logs, near = [], [], []
    for a, b in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True):
        if b > 0:
            relative.append(abs(a - b) / b)
            logs.append(math.log(a / b))
            near.append(max(a / b, b / a) < 1.25)
    if not relative:
        return torch.full((3,), torch.nan)
    count = len(relative)
    mean = sum(logs) / count
    silog = math.sqrt(max(sum(g * g for g in logs) / count - mean * mean, 0.0))
    return torch.tensor([sum(relative) / count, silog, sum(near) / count])


def scores_by_weights(prediction, target):
    there = (target > 0).to(prediction)
    y = torch.where(target > 0, target, 1.0)
    y_hat = torch.where(target > 0, prediction, 1.0)

    def mean(values):
        return (values * there).sum() / there.sum()

    g = (y_hat / y).log()
    near = (y_hat / y < 1.25) & (y / y_hat < 1.25)
    silog = mean((g - mean(g)) ** 2) ** 0.5
    return torch.stack([mean((y_hat / y - 1).abs()), silog, mean(near)])


def loss_image_by_image(prediction, target, weight):
    total = 0.0
    for one, other in zip(prediction, target, strict=True):
        there = other > 0
        g = torch.log(one[there] / other[there])
        total = total + (g**2).mean() - weight * g.mean() ** 2
    return total / len(prediction)


def loss_by_weights(prediction, target, weight):
    mask = (target > 0).flatten(1).float()
    safe = torch.where(target > 0, target, torch.ones_like(target))
    g = (prediction.log() - safe.log()).flatten(1) * mask
    n = mask.sum(1)
    return ((g**2).sum(1) / n - weight * g.sum(1) ** 2 / n**2).mean()


def normals_pixel_by_pixel(depth, focal_length):
    height, width = depth.shape

    def point(i, j):
        z = depth[i, j].item()
        x, y = (j + 0.5 - width / 2) / focal_length, (i + 0.5 - height / 2) / focal_length
        return torch.tensor([z * x, z * y, z])

    normals = torch.zeros(3, height - 2, width - 2)
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            across, down = point(i, j + 1) - point(i, j - 1), point(i + 1, j) - point(i - 1, j)
            normal = torch.linalg.cross(down, across)
            normals[:, i - 1, j - 1] = normal / normal.norm()
    return normals


def normals_turned_to_the_camera(depth, focal_length):
    height, width = depth.shape
    j, i = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    rays = torch.stack([j + 0.5 - width / 2, i + 0.5 - height / 2, torch.full((height, width), focal_length)])
    points = (rays * depth / focal_length).movedim(0, -1)
    across = (points[1:-1, 2:] - points[1:-1, :-2]) / 2
    down = (points[2:, 1:-1] - points[:-2, 1:-1]) / 2
    normal = F.normalize(torch.cross(across, down, dim=-1), dim=-1)
    away = (normal * points[1:-1, 1:-1]).sum(-1, keepdim=True) > 0
    return torch.where(away, -normal, normal).movedim(-1, 0)


def joint_by_masks(found, truth, weights):
    (depth, normals, logits), (true_depth, true_normals, labels) = found, truth
    there = true_normals.norm(dim=1) > 0.5
    aim = (1 - torch.einsum("nchw,nchw->nhw", normals, true_normals))[there].mean()
    counted = labels != 255
    picked = -logits.log_softmax(1).gather(1, labels.where(counted, 0)[:, None])[:, 0]
    parts = loss_by_weights(depth, true_depth, 0.5), aim, picked[counted].mean()
    return sum(weight * part for weight, part in zip(weights, parts, strict=True))


def joint_by_half_distances(found, truth, weights):
    there = truth[1].abs().sum(1) > 0
    half = (found[1] - truth[1]).pow(2).sum(1)[there].mean() / 2
    depth = loss_image_by_image(found[0], truth[0], 0.5)
    labels = torch.nn.CrossEntropyLoss(ignore_index=255)(found[2], truth[2])
    return weights[0] * depth + weights[1] * half + weights[2] * labels


def joint_by_cosine_similarity(found, truth, weights):
    cosine = F.cosine_similarity(found[1], truth[1], dim=1)
    aim = (1 - cosine)[truth[1].norm(dim=1) > 0.5].mean()
    depth = loss_by_weights(found[0], truth[0], 0.5)
    labels = F.cross_entropy(found[2], truth[2], ignore_index=255)
    return torch.stack([depth, aim, labels]) @ torch.tensor(weights)


def scores_with_a_clamp(prediction, target):
    there = target > 0
    g = (prediction[there] / target[there]).log()
    variance = (g.square().mean() - g.mean().square()).clamp(min=0)
    scores = scores_by_weights(prediction, target)
    return torch.stack([scores[0], variance.sqrt(), scores[2]])


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        ("17.1", scores_pixel_by_pixel),
        ("17.1", scores_by_weights),
        ("17.1", scores_with_a_clamp),
        ("17.2", loss_image_by_image),
        ("17.2", loss_by_weights),
        ("17.3", normals_pixel_by_pixel),
        ("17.3", normals_turned_to_the_camera),
        ("17.4", joint_by_masks),
        ("17.4", joint_by_half_distances),
        ("17.4", joint_by_cosine_similarity),
    ],
)
def test_right_solutions_pass(exercise, function):
    verdict = judge(BY_ID[exercise], function)
    assert verdict.state == "passed", verdict


def test_the_references_are_the_librarys():
    for case in BY_ID["17.1"].make_cases():
        found = geometry.depth_metrics(*case.args)
        wanted = torch.tensor([found["AbsRel"], found["SILog"], found["δ1"]])
        assert torch.allclose(BY_ID["17.1"].reference(*case.args), wanted, atol=1e-5, equal_nan=True)
    for case in BY_ID["17.2"].make_cases():
        wanted = geometry.scale_invariant_loss(*case.args)
        assert BY_ID["17.2"].reference(*case.args).item() == pytest.approx(wanted.item(), abs=1e-6)
    for case in BY_ID["17.3"].make_cases():
        wanted = geometry.normals_from_depth(*case.args)[:, 1:-1, 1:-1]
        assert torch.allclose(BY_ID["17.3"].reference(*case.args), wanted, atol=1e-5)
    for case in BY_ID["17.4"].make_cases():
        found, truth, weights = (dict(zip(geometry.TASKS, each, strict=True)) for each in case.args)
        wanted = geometry.geometry_loss(found, truth, weights)
        assert BY_ID["17.4"].reference(*case.args).item() == pytest.approx(wanted.item(), abs=1e-5)


# ---- Wrong answers that once passed, each with what now names it


def holes_filled_in_place(prediction, target):
    target[target.isnan()] = 0
    return scores_by_weights(prediction, target)


def no_root_of_less_than_nothing(prediction, target):
    there = target > 0
    g = prediction[there].log() - target[there].log()
    scores = scores_by_weights(prediction, target)
    return torch.stack([scores[0], (g.square().mean() - g.mean() ** 2).sqrt(), scores[2]])


def far_is_missing(prediction, target):
    return scores_by_weights(prediction, torch.where(target < 80, target, 0))


def nan_is_a_depth(prediction, target, weight):
    return loss_image_by_image(prediction, target.nan_to_num(1.0), weight) + 0 * target[target != 0].mean()


def mean_cut_off(prediction, target, weight):
    square, whole = (loss_image_by_image(prediction, target, part) for part in (0, 1))
    return square - weight * (square - whole).detach()


def hidden_by_where(prediction, target, weight):
    there = target > 0
    g = torch.where(there, (prediction / target).log(), 0).flatten(1)
    n = there.flatten(1).sum(1)
    return (g.square().sum(1) / n - weight * (g.sum(1) / n).square()).mean()


def turned_until_z_is_below_0(depth, focal_length):
    normals = normals_turned_to_the_camera(depth, focal_length)
    return torch.where(normals[2:] > 0, -normals, normals)


def whole_focal_lengths(depth, focal_length):
    return normals_turned_to_the_camera(depth, float(int(focal_length)))


def sideways_is_none(found, truth, weights):
    return joint_by_masks(found, (truth[0], truth[1] * (truth[1][:, 2:] != 0), truth[2]), weights)


def truth_made_unit(found, truth, weights):
    cosine = (found[1] * truth[1] / truth[1].norm(dim=1, keepdim=True)).sum(1)
    there = ~cosine.isnan()
    others = joint_by_half_distances(found, truth, (weights[0], 0.0, weights[2]))
    return others + weights[1] * torch.where(there, 1 - cosine, 0).sum() / there.sum()


@pytest.mark.parametrize(
    ("exercise", "function", "named"),
    [
        ("17.1", holes_filled_in_place, ""),
        ("17.1", no_root_of_less_than_nothing, "mean of squares less square of the mean"),
        ("17.1", far_is_missing, "far depths left out"),
        ("17.2", nan_is_a_depth, "NaN left in"),
        ("17.2", mean_cut_off, "gradient of this loss"),
        ("17.2", hidden_by_where, "gradient without NaN"),
        ("17.3", turned_until_z_is_below_0, "turned by the sign of z"),
        ("17.3", whole_focal_lengths, ""),
        ("17.4", sideways_is_none, "normals asked by their z"),
        ("17.4", truth_made_unit, "gradients of this loss"),
    ],
)
def test_wrong_answers_are_rejected(exercise, function, named):
    verdict = judge(BY_ID[exercise], function)
    assert verdict.state == "failed", verdict.card
    assert verdict.mistake == named, verdict.card


def test_a_hole_filled_in_place_is_seen():
    verdict = judge(BY_ID["17.1"], holes_filled_in_place)
    assert verdict.kind == "changed" and "into its argument target" in repr(verdict.card)
