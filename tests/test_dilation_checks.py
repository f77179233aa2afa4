"""Chapter 6's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segcore import dilation as library
from segcore.checks.dilation import EXERCISES
from segcore.checks.engine import judge

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


def hint_of(report):
    return [part[0] for kind, part in report.card.parts if kind == "hint"]


# mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in ("::", "[...", "//", "%", " * ", "conv1d", "zeros(", "return", "arange"):
            assert code not in mistake.hint, (mistake.name, code)


# references against the library --------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_references_of_6_1_and_6_2_are_the_librarys(seed):
    for number, function in (("6.1", library.sparse_kernel), ("6.2", library.shift_and_stitch)):
        for case in BY_ID[number].make_cases(seed):
            expected = function(*case.args)
            torch.testing.assert_close(BY_ID[number].reference(*case.args), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_6_3_counts_what_the_gradient_counts(seed):
    for case in BY_ID["6.3"].make_cases(seed):
        (dilations,) = case.args
        size = 1 + 2 * sum(dilations)
        row = torch.zeros(1, 1, size, requires_grad=True)
        out = row
        for dilation in dilations:
            out = F.conv1d(out, torch.ones(1, 1, 3), dilation=dilation)
        out.sum().backward()
        torch.testing.assert_close(BY_ID["6.3"].reference(dilations), row.grad[0, 0])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_6_4_is_the_context_modules(seed):
    for case in BY_ID["6.4"].make_cases(seed):
        outputs, inputs, classes = case.args
        layer = nn.Conv2d(inputs, outputs, 3)
        library.identity_(layer, classes)
        torch.testing.assert_close(BY_ID["6.4"].reference(*case.args), layer.weight.detach())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_6_5_is_what_dilate_does(seed):
    for case in BY_ID["6.5"].make_cases(seed):
        strides, wanted = case.args
        network = nn.Sequential(*[nn.Conv2d(1, 1, 3, stride=stride) for stride in strides])
        dilated = library.dilate(network, wanted)
        found = [(layer.stride[0], layer.dilation[0]) for layer in dilated]
        assert found == BY_ID["6.5"].reference(strides, wanted)


# other right solutions -----------------------------------------------------------------------------


def sparse_by_slices(kernel, dilation):
    height, width = kernel.shape
    result = torch.zeros((height - 1) * dilation + 1, (width - 1) * dilation + 1)
    result[::dilation, ::dilation] = kernel
    return result


def sparse_by_transposed_convolution(kernel, dilation):
    return F.conv_transpose2d(kernel[None, None], torch.ones(1, 1, 1, 1), stride=dilation)[0, 0]


def sparse_by_loops(kernel, dilation):
    height, width = kernel.shape
    result = torch.zeros(1 + dilation * (height - 1), 1 + dilation * (width - 1))
    for y, x in itertools.product(range(height), range(width)):
        result[dilation * y, dilation * x] = kernel[y, x]
    return result


def stitch_by_slices(network, image, stride):
    runs = {(y, x): network(image[:, :, y:, x:]) for y, x in itertools.product(range(stride), range(stride))}
    height = sum(runs[y, 0].shape[2] for y in range(stride))
    width = sum(runs[0, x].shape[3] for x in range(stride))
    result = torch.empty(*runs[0, 0].shape[:2], height, width)
    for (y, x), run in runs.items():
        result[:, :, y::stride, x::stride] = run
    return result


def stitch_by_padding_and_cutting(network, image, stride):
    """All shifts of the same size, by zeros at the end; what has seen them is cut off."""
    least = next(n for n in range(1, 100) if runs_on(network, n))
    runs = [
        [network(F.pad(image, (0, stride, 0, stride))[..., y:, x:][..., : image.shape[2] + stride, :])
         for x in range(stride)]
        for y in range(stride)
    ]  # fmt: skip
    height, width = image.shape[2] - least + 1, image.shape[3] - least + 1
    result = torch.zeros(*runs[0][0].shape[:2], height, width)
    for y, x in itertools.product(range(height), range(width)):
        result[..., y, x] = runs[y % stride][x % stride][..., y // stride, x // stride]
    return result


def runs_on(network, size):
    try:
        return network(torch.zeros(1, 1, size, size)).numel() > 0
    except RuntimeError:
        return False


def paths_by_counter(dilations):
    places = Counter({0: 1})
    for dilation in dilations:
        places = sum(
            (Counter({place + step: n for place, n in places.items()}) for step in (-dilation, 0, dilation)),
            Counter(),
        )
    reach = sum(dilations)
    return torch.tensor([float(places[place]) for place in range(-reach, reach + 1)])


def paths_by_gradient(dilations):
    with torch.enable_grad():
        row = torch.zeros(1, 1, 1 + 2 * sum(dilations), requires_grad=True)
        out = row
        for dilation in dilations:
            out = F.conv1d(out, torch.ones(1, 1, 3), dilation=dilation)
        return torch.autograd.grad(out.sum(), row)[0][0, 0]


def identity_by_loops(outputs, inputs, classes):
    weight = torch.zeros(outputs, inputs, 3, 3)
    for b, a in itertools.product(range(outputs), range(inputs)):
        if math.floor(b * classes / outputs) == math.floor(a * classes / inputs):
            weight[b, a, 1, 1] = classes / outputs
    return weight


def identity_by_kron(outputs, inputs, classes):
    mixing = torch.kron(torch.eye(classes), torch.ones(outputs // classes, inputs // classes))
    return F.pad(mixing[..., None, None] * classes / outputs, (1, 1, 1, 1))


def plan_by_products(strides, wanted):
    before = [math.prod(strides[:index]) for index in range(len(strides) + 1)]
    now = [min(each, wanted) for each in before]
    return [(now[i + 1] // now[i], before[i] // now[i]) for i in range(len(strides))]


def plan_as_lists(strides, wanted):
    plan, reached, dilation = [], 1, 1
    for stride in strides:
        if reached == wanted:
            plan.append([1, dilation])
            dilation *= stride
        else:
            plan.append([stride, dilation])
            reached *= stride
    return plan


RIGHT = {
    "6.1": (sparse_by_slices, sparse_by_transposed_convolution, sparse_by_loops, library.sparse_kernel),
    "6.2": (stitch_by_slices, stitch_by_padding_and_cutting, library.shift_and_stitch),
    "6.3": (paths_by_counter, paths_by_gradient),
    "6.4": (identity_by_loops, identity_by_kron),
    "6.5": (plan_by_products, plan_as_lists),
}
PAIRS = [
    pytest.param(number, function, id=f"{number}-{function.__name__}")
    for number, functions in RIGHT.items()
    for function in functions
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("number", "function"), PAIRS)
def test_right_solutions_of_any_style_pass(number, function, seed):
    exercise = BY_ID[number]
    if number == "6.1":
        exercise = type(exercise)(**{**vars(exercise), "properties": ()})  # loops may cut the gradient
    report = judge(exercise, function, seed)
    assert report.state == "passed", report.card


def test_every_exercise_has_two_right_solutions():
    assert RIGHT.keys() == BY_ID.keys() and all(len(functions) >= 2 for functions in RIGHT.values())


def test_two_faults_at_once_are_not_named_wrongly():
    report = judge(BY_ID["6.2"], lambda *args: BY_ID["6.2"].reference(*args) * 1.5 + 1)
    assert report.state == "failed" and report.mistake == ""


# mistakes as students write them -------------------------------------------------------------------


def stitched_in(network, image, stride, size):
    dense = image.new_zeros(size)
    for y in range(stride):
        for x in range(stride):
            dense[..., y::stride, x::stride] = network(image[..., y:, x:])
    return dense


def room_for_the_image(network, image, stride):
    return stitched_in(network, image, stride, (*network(image).shape[:2], *image.shape[2:]))


def room_from_one_run(network, image, stride):
    *front, height, width = network(image).shape
    return stitched_in(network, image, stride, (*front, height * stride, width * stride))


def rows_of_another_axis(network, image, stride):
    runs = [[network(image[y:, x:]) for x in range(stride)] for y in range(stride)]
    return torch.stack([torch.stack(row) for row in runs])


def shifted_in_turn(dilations):
    counts = torch.zeros(1 + 2 * sum(dilations))
    counts[sum(dilations)] = 1
    for dilation in dilations:
        counts += counts.roll(dilation)
        counts += counts.roll(-dilation)
    return counts


@pytest.mark.parametrize(
    ("number", "function", "name"),
    [
        (
            "6.1",
            lambda kernel, dilation: BY_ID["6.1"].reference(kernel, dilation).T,
            "rows and columns exchanged",
        ),
        ("6.2", room_for_the_image, "as large as the image"),
        ("6.2", room_from_one_run, "room from the first run"),
        ("6.2", rows_of_another_axis, "the first axes shifted"),
        ("6.3", shifted_in_turn, "one step after the other"),
        (
            "6.5",
            lambda strides, wanted: [(d, s) for s, d in BY_ID["6.5"].reference(strides, wanted)],
            "pairs turned round",
        ),
    ],
)
def test_a_mistake_is_recognised_in_another_hand(number, function, name):
    report = judge(BY_ID[number], function)
    assert report.state in ("failed", "error")
    assert report.mistake == name, report.card
