"""Chapter 7's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segcore import skips as library
from segcore import upsampling
from segcore.checks.engine import judge
from segcore.checks.skips import EXERCISES

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


def hint_of(report):
    return [part[0] for kind, part in report.card.parts if kind == "hint"]


# mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in ("torch.cat", ".split", "eye", "max_pool", "[:, :", "interpolate", "bincount", "return"):
            assert code not in mistake.hint, (mistake.name, code)


def filters_for_groups(classes, factor):
    tent = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
    return torch.outer(tent, tent).repeat(classes, 1, 1, 1)


def squared_distance(classes, factor):
    bow = 1 - ((torch.arange(2 * factor) + 0.5 - factor) / factor) ** 2
    return torch.einsum("ab,i,j->abij", torch.eye(classes), bow, bow)


@pytest.mark.parametrize(
    ("function", "name"),
    [(filters_for_groups, "one filter for each class"), (squared_distance, "a bow for a tent")],
)
def test_wrong_filters_are_named(function, name):
    report = judge(BY_ID["7.3"], function)
    assert (report.state, report.mistake) == ("failed", name), report.card


def test_two_faults_at_once_are_not_given_a_wrong_name():
    report = judge(BY_ID["7.4"], lambda *args: BY_ID["7.4"].reference(*args) * 1.5 + 1)
    assert report.state == "failed" and report.mistake == ""


@pytest.mark.parametrize(
    ("exercise", "name"),
    [
        ("7.1", "gradient reaches every map"),
        ("7.2", "gradient reaches weight"),
        ("7.4", "gradient reaches scores and filters"),
    ],
)
def test_solutions_that_lose_the_gradient_are_told_so(exercise, name):
    report = judge(BY_ID[exercise], lambda *args: BY_ID[exercise].reference(*args).detach())
    assert report.state == "failed" and report.mistake == name
    assert ".detach()" in hint_of(report)[0]


def test_scoring_the_hypercolumn_gives_the_right_numbers_the_long_way_and_is_told_so():
    def long_way(features, weight, bias, size):
        return F.conv2d(BY_ID["7.1"].reference(features, size), weight[:, :, None, None], bias)

    report = judge(BY_ID["7.2"], long_way)
    assert report.passed == report.tried and report.state == "failed"
    assert report.mistake == "never a large map"


# references against the library --------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_references_of_7_1_to_7_3_are_the_librarys(seed):
    for features, size in (case.args for case in BY_ID["7.1"].make_cases(seed)):
        expected = library.hypercolumns(features, size)
        torch.testing.assert_close(BY_ID["7.1"].reference(features, size), expected)
    for features, weight, bias, size in (case.args for case in BY_ID["7.2"].make_cases(seed)):
        columns = library.hypercolumns(features, size)
        expected = F.conv2d(columns, weight[:, :, None, None], bias)
        found = BY_ID["7.2"].reference(features, weight, bias, size)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for classes, factor in (case.args for case in BY_ID["7.3"].make_cases(seed)):
        expected = library.UpScore(classes, factor).weight.detach()
        assert torch.equal(BY_ID["7.3"].reference(classes, factor), expected)


def test_the_reference_of_7_4_is_fcn8s_away_from_the_border():
    net = library.FCN8s(3, 4, width=2).eval()
    for layer in (net.score_pool4, net.score_pool3):
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    image = torch.rand(1, 3, 250, 230, generator=torch.Generator().manual_seed(1))
    maps = net.backbone(image)
    scores = [net.score_fr(maps["fc7"]), net.score_pool4(maps["pool4"]), net.score_pool3(maps["pool3"])]
    found = BY_ID["7.4"].reference(scores, [net.upscore2.weight, net.upscore_pool4.weight], (250, 230))
    inner = (slice(None), slice(None), slice(40, -40), slice(40, -40))
    torch.testing.assert_close(found[inner], net(image)[inner], rtol=1e-4, atol=1e-4)


# right solutions in different styles ---------------------------------------------------------------


def columns_by_loop(features, size):
    out = None
    for each in features:
        up = F.interpolate(each, size=size, mode="bilinear")
        out = up if out is None else torch.cat((out, up), 1)
    return out


def columns_by_matrices(features, size):
    return torch.cat([upsampling.resize_bilinear(each, size) for each in features], 1)


def columns_by_module(features, size):
    return torch.cat([nn.Upsample(size, mode="bilinear", align_corners=False)(x) for x in features], dim=-3)


def score_by_convolutions(features, weight, bias, size):
    total, first = 0, 0
    for each in features:
        part = weight[:, first : first + each.shape[1], None, None]
        first += each.shape[1]
        total = total + F.interpolate(F.conv2d(each, part), size, mode="bilinear")
    return total + bias.reshape(1, -1, 1, 1)


def score_with_the_bias_at_the_first_map(features, weight, bias, size):
    total = torch.zeros(1)
    for number, (each, part) in enumerate(
        zip(features, weight.split([x.shape[1] for x in features], 1), strict=True)
    ):
        scores = F.conv2d(each, part[:, :, None, None], bias if number == 0 else None)
        total = total + upsampling.resize_bilinear(scores, size)
    return total


def weight_by_loops(classes, factor):
    out, centre = torch.zeros(classes, classes, 2 * factor, 2 * factor), factor - 0.5
    for c, i, j in itertools.product(range(classes), range(2 * factor), range(2 * factor)):
        out[c, c, i, j] = (1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor)
    return out


def weight_by_library(classes, factor):
    out = torch.zeros(classes, classes, 2 * factor, 2 * factor)
    out[range(classes), range(classes)] = upsampling.bilinear_kernel(factor, even=True)
    return out


def decode_step_by_step(scores, weights, size):
    x, stride = scores[0], 32
    for weight, finer in zip(weights, scores[1:], strict=True):
        x = F.conv_transpose2d(x, weight, stride=2, padding=1)
        x = x[..., : finer.shape[-2], : finer.shape[-1]] + finer
        stride //= 2
    up = F.interpolate(x, scale_factor=stride, mode="bilinear", align_corners=False)
    return up[..., : size[0], : size[1]]


def decode_recursively(scores, weights, size):
    if not weights:
        x, stride = scores[-1], 32
    else:
        x, stride = decode_sums(scores, weights), 2 ** (5 - len(weights))
    rows, columns = x.shape[2] * stride, x.shape[3] * stride
    return upsampling.resize_bilinear(x, (rows, columns))[:, :, : size[0], : size[1]]


def decode_sums(scores, weights):
    before = scores[0] if len(weights) == 1 else decode_sums(scores[:-1], weights[:-1])
    up = upsampling.transposed_conv2d(before, weights[-1], 2, 1)
    height, width = scores[-1].shape[2:]
    return scores[-1] + up.narrow(2, 0, height).narrow(3, 0, width)


def poster_by_loops(image, labels, width):
    out = image.clone()
    for value in labels.unique():
        inside = labels == value
        out[:, inside] = image[:, inside].mean(1, keepdim=True)
    height, length = labels.shape
    for i, j in itertools.product(range(height), range(length)):
        rows, columns = slice(max(0, i - width), i + width + 1), slice(max(0, j - width), j + width + 1)
        if (labels[rows, columns] != labels[i, j]).any():
            out[:, i, j] = 0
    return out


def poster_by_one_hot(image, labels, width):
    masks = F.one_hot(labels).permute(2, 0, 1).float()  # (K, H, W)
    colors = torch.einsum("khw,chw->kc", masks, image) / masks.sum((1, 2)).clamp(min=1)[:, None]
    wide = F.max_pool2d(masks, 2 * width + 1, stride=1, padding=width)
    return torch.einsum("kc,khw->chw", colors, masks) * (wide.sum(0) == 1)


RIGHT = {
    "7.1": (columns_by_loop, columns_by_matrices, columns_by_module, library.hypercolumns),
    "7.2": (score_by_convolutions, score_with_the_bias_at_the_first_map),
    "7.3": (weight_by_loops, weight_by_library),
    "7.4": (decode_step_by_step, decode_recursively),
    "7.5": (poster_by_loops, poster_by_one_hot),
}
PAIRS = [(each, function) for each, functions in RIGHT.items() for function in functions]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("exercise", "function"), PAIRS, ids=[f"{each}-{function.__name__}" for each, function in PAIRS]
)
def test_right_solutions_of_any_style_pass(exercise, function, seed):
    report = judge(BY_ID[exercise], function, seed)
    assert report.state == "passed", report.card


def test_every_exercise_has_right_solutions_in_two_styles():
    assert RIGHT.keys() == BY_ID.keys() and min(map(len, RIGHT.values())) >= 2
