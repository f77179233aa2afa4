"""Chapter 5's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from segcore import receptive_fields as library
from segcore.checks.engine import judge
from segcore.checks.receptive_fields import EXERCISES
from segcore.receptive_fields import Layer, ReceptiveField, receptive_field

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


def hint_of(report):
    return [part[0] for kind, part in report.card.parts if kind == "hint"]


# mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in (
            "(kernel - 1)",
            "* stride",
            "// 2",
            ".abs(",
            ".sum(",
            "max(",
            "min(",
            "reversed",
            "return",
        ):
            assert code not in mistake.hint, (mistake.name, code)


# references against the library --------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_references_of_5_1_and_5_2_are_the_librarys(seed):
    for layers, first, last in (case.args for case in BY_ID["5.2"].make_cases(seed)):
        known = layers or [(1, 1, 0, 1)]  # the library asks for a layer: one that changes nothing
        field, fields = (1, 1, 0), receptive_field([Layer(*layer) for layer in known])
        for layer, expected in zip(known, fields, strict=True):
            field = BY_ID["5.1"].reference(field, layer)
            assert field == expected
        left, _, right, _ = library.input_region(fields[-1], (first, 0, last + 1, 1))
        assert BY_ID["5.2"].reference(layers, first, last) == (left, right - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_5_3_is_the_librarys(seed):
    class Paths(nn.Module):
        def __init__(self, fields):
            super().__init__()
            self.paths = nn.ModuleList(nn.Conv2d(1, 1, size, stride) for size, stride, _ in fields)
            self.paddings = [padding for _, _, padding in fields]

        def forward(self, x):
            moved = (nn.functional.pad(x, (p, 80, p, 80)) for p in self.paddings)
            maps = [path(each)[:, :, :4, :4] for path, each in zip(self.paths, moved, strict=True)]
            return torch.cat(maps, 1)

    for (fields,) in (case.args for case in BY_ID["5.3"].make_cases(seed)):
        assert BY_ID["5.3"].reference(fields) == receptive_field(Paths(fields))[-1]


def test_the_reference_of_5_4_is_the_librarys_up_to_the_mixture_of_channels():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(1, 3, 12, 13, generator=generator)
    found = BY_ID["5.4"].reference(module, images, (6, 6))
    expected = library.effective_receptive_field(module, (1, 3, 12, 13), seed=7)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_5_5_has_the_field_asked_for_no_holes_and_no_layer_too_many(seed):
    for (size,) in (case.args for case in BY_ID["5.5"].make_cases(seed)):
        dilations = BY_ID["5.5"].reference(size)
        layers = [Layer(3, padding=d, dilation=d) for d in dilations]
        field = receptive_field(layers or [Layer(1)])[-1]
        assert field == ReceptiveField(size, 1, size // 2)
        seen = {0}
        for dilation in dilations:
            seen = {pixel + shift for pixel in seen for shift in (-dilation, 0, dilation)}
        assert seen == set(range(-(size // 2), size // 2 + 1))
        assert 3 ** len(dilations) >= size > (3 ** (len(dilations) - 1) if dilations else 0)


# right solutions in different styles ---------------------------------------------------------------


def step_by_the_library(field, layer):
    size, stride, padding = field
    found = receptive_field([Layer(size, stride, padding), Layer(*layer)])[-1]
    return tuple(found)


def step_by_ends(field, layer):
    (size, stride, padding), (kernel, step, pad, dilation) = field, layer
    first = -padding + stride * -pad
    last = -padding + stride * (-pad + (kernel - 1) * dilation) + size - 1
    return [last - first + 1, step * stride, -first]


def walk_by_sets(layers, first, last):
    seen = set(range(first, last + 1))
    for kernel, stride, padding, dilation in layers[::-1]:
        seen = {unit * stride - padding + tap * dilation for unit in seen for tap in range(kernel)}
    return min(seen), max(seen)


def walk_by_recursion(layers, first, last):
    if not layers:
        return (first, last)
    *below, (kernel, stride, padding, dilation) = layers
    start = first * stride - padding
    return walk_by_recursion(below, start, last * stride - padding + dilation * (kernel - 1))


def join_by_pixels(fields):
    seen = {pixel - padding for size, _, padding in fields for pixel in range(size)}
    return max(seen) - min(seen) + 1, fields[0][1], -min(seen)


def join_in_turn(fields):
    start, end = 10**9, -(10**9)
    for size, _, padding in fields:
        start, end = min(start, -padding), max(end, -padding + size)
    return [end - start, fields[-1][1], -start]


def heat_by_autograd(network, images, unit):
    images = images.clone().requires_grad_()
    value = network(images)[:, :, unit[0], unit[1]].sum()
    (gradient,) = torch.autograd.grad(value, images)
    heat = gradient.abs().mean(dim=0).sum(dim=0)
    return heat / heat.sum()


def heat_by_seed(network, images, unit):
    heat = torch.zeros(images.shape[-2:])
    for image in images:
        leaf = image[None].clone().requires_grad_()
        output = network(leaf)
        seed = torch.zeros_like(output)
        seed[0, :, unit[0], unit[1]] = 1
        output.backward(seed)
        heat += leaf.grad[0].abs().sum(0)
    return heat.div(heat.sum())


def design_by_recursion(size):
    def rest(field):
        if field == size:
            return []
        dilation = field if 3 * field <= size else (size - field) // 2
        return [dilation, *rest(field + 2 * dilation)]

    return rest(1)


def design_by_powers(size):
    powers = list(itertools.takewhile(lambda d: 3 * d <= size, (3**k for k in range(20))))
    left = (size - (3 * powers[-1] if powers else 1)) // 2
    return (*powers, left) if left else tuple(powers)


RIGHT = {
    "5.1": (step_by_the_library, step_by_ends),
    "5.2": (walk_by_sets, walk_by_recursion),
    "5.3": (join_by_pixels, join_in_turn),
    "5.4": (heat_by_autograd, heat_by_seed),
    "5.5": (design_by_recursion, design_by_powers),
}
PAIRS = [(each, function) for each, functions in RIGHT.items() for function in functions]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("exercise", "function"), PAIRS, ids=[function.__name__ for _, function in PAIRS])
def test_right_solutions_of_any_style_pass(exercise, function, seed):
    report = judge(BY_ID[exercise], function, seed)
    assert report.state == "passed", report.card


def test_every_exercise_has_right_solutions_in_two_styles():
    assert RIGHT.keys() == BY_ID.keys() and min(map(len, RIGHT.values())) >= 2


# mistakes as students write them -------------------------------------------------------------------


def stride_first(field, layer):
    (size, stride, padding), (kernel, step, pad, dilation) = field, layer
    stride *= step
    size += dilation * (kernel - 1) * stride
    padding += pad * stride
    return size, stride, padding


def first_to_last(fields):
    first = min(-padding for _, _, padding in fields)
    last = max(size - padding - 1 for size, _, padding in fields)
    return last - first, fields[0][1], -first


def from_images_that_carry_none(network, images, unit):
    network(images)[:, :, unit[0], unit[1]].sum().backward()
    return images.grad.abs().sum((0, 1))


def all_channels_at_once(network, images, unit):
    images = images.clone().requires_grad_()
    network(images)[:, :, unit[0], unit[1]].backward()
    return images.grad.abs().sum((0, 1)) / images.grad.abs().sum()


@pytest.mark.parametrize(
    ("number", "function", "name"),
    [
        ("5.1", stride_first, "stride changed too early"),
        ("5.3", first_to_last, "one pixel too few"),
        ("5.4", from_images_that_carry_none, "no gradient asked"),
        ("5.4", all_channels_at_once, "not one number"),
        ("5.5", lambda size: BY_ID["5.5"].reference(size) or [1], "a layer at least"),
    ],
)
def test_a_mistake_is_recognised_in_another_hand(number, function, name):
    report = judge(BY_ID[number], function)
    assert report.state in ("failed", "error")
    assert report.mistake == name, report.card


def test_another_design_is_told_that_it_sees_as_much():
    """1, 3, 7 and 22 see 67 pixels too; the task has one answer all the same."""

    def otherwise(size):
        return [1, 3, 7, 22] if size == 67 else BY_ID["5.5"].reference(size)

    report = judge(BY_ID["5.5"], otherwise)
    assert report.state == "failed" and "sees 67 pixels without a hole as well" in report.text, report.card


def test_lab_5_prints_sizes_whose_ratio_is_the_one_beside_them():
    """Rounded to whole pixels, 10 of 11 stood beside a ratio of 0.95."""
    text = (Path(__file__).parents[1] / "solutions/05_receptive_fields.ipynb").read_text(encoding="utf-8")
    rows = re.findall(r"layers: theoretical +(\d+), effective +([\d.]+), ratio ([\d.]+)", text)
    assert len(rows) == 5
    for theoretical, effective, ratio in rows:
        assert f"{float(effective) / int(theoretical):.2f}" == ratio
