"""Chapter 8's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from segcore import upsampling as library
from segcore.checks.engine import judge
from segcore.checks.upsampling import EXERCISES

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


def hint_of(report):
    return [part[0] for kind, part in report.card.parts if kind == "hint"]


# mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in ("+=", ".flip", ".T", "kernel - 1", "lstsq", "* stride", "scatter", "clamp", "return"):
            assert code not in mistake.hint, (mistake.name, code)


def test_two_faults_at_once_are_not_given_a_wrong_name():
    report = judge(BY_ID["8.1"], lambda *args: BY_ID["8.1"].reference(*args) * 1.5 + 1)
    assert report.state == "failed" and report.mistake == ""


def test_solutions_that_lose_the_gradient_are_told_so():
    for exercise, name in (("8.1", "x"), ("8.2", "x"), ("8.5", "pooled")):
        report = judge(BY_ID[exercise], lambda *args, e=exercise: BY_ID[e].reference(*args).detach())
        assert report.state == "failed" and report.mistake == f"gradient reaches {name}"
        assert ".detach()" in hint_of(report)[0]


# references against the library and torch ----------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("exercise", ["8.1", "8.2"])
def test_the_references_of_both_views_are_torchs_and_the_librarys(exercise, seed):
    for case in BY_ID[exercise].make_cases(seed):
        x, weight, *options = case.args
        found = BY_ID[exercise].reference(*case.args)
        theirs = F.conv_transpose2d(x[None, None], weight[None, None], None, *options)[0, 0]
        ours = library.transposed_conv2d(x[None, None], weight[None, None], *options)[0, 0]
        torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_8_3_is_the_librarys(seed):
    for kernel, stride, size in (case.args for case in BY_ID["8.3"].make_cases(seed)):
        expected = library.overlap_count((1, kernel), (1, stride), (1, size))[0]
        assert torch.equal(BY_ID["8.3"].reference(kernel, stride, size), expected)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_reference_of_8_4_finds_the_bilinear_filters(stride):
    x = torch.randn(3, 6, 7, generator=torch.Generator().manual_seed(0))
    size = [(count - 1) * stride + 1 for count in x.shape[1:]]
    y = F.interpolate(x[:, None], size, mode="bilinear", align_corners=True)[:, 0]
    found = BY_ID["8.4"].reference(x, y, 2 * stride - 1, stride, stride - 1)
    torch.testing.assert_close(found, library.bilinear_kernel(stride), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_8_5_with_a_brush_of_one_cell_is_unpooling(seed):
    for pooled, indices, size, _ in (case.args for case in BY_ID["8.5"].make_cases(seed)):
        window = (size[0] // pooled.shape[1], size[1] // pooled.shape[2])
        found = BY_ID["8.5"].reference(pooled, indices, size, torch.ones(1, 1))
        assert torch.equal(
            found, library.max_unpool2d(pooled[None], indices[None], window, output_size=size)[0]
        )


# right solutions in different styles ---------------------------------------------------------------


def paint_by_torch(x, weight, stride, padding=0):
    return F.conv_transpose2d(x[None, None], weight[None, None], stride=stride, padding=padding)[0, 0]


def paint_by_slices(x, weight, stride, padding=0):
    (rows, columns), (h, w) = x.shape, weight.shape
    height, width = (rows - 1) * stride + h, (columns - 1) * stride + w
    canvas = torch.zeros(height, width)
    for k in range(h):
        for m in range(w):
            ends = k + (rows - 1) * stride + 1, m + (columns - 1) * stride + 1
            canvas[k : ends[0] : stride, m : ends[1] : stride] += x * weight[k, m]
    return canvas[padding : height - padding, padding : width - padding]


def paint_by_fold(x, weight, stride, padding=0):
    size = [(n - 1) * stride + k - 2 * padding for n, k in zip(x.shape, weight.shape, strict=True)]
    strokes = torch.outer(weight.flatten(), x.flatten())[None]
    return F.fold(strokes, size, weight.shape, stride=stride, padding=padding)[0, 0]


def slide_by_conv2d(x, weight, stride, padding=0):
    h, w = weight.shape
    spread = torch.zeros((len(x) - 1) * stride + 1, (x.shape[1] - 1) * stride + 1)
    spread[::stride, ::stride] = x
    padded = F.pad(spread, (w - 1 - padding, w - 1 - padding, h - 1 - padding, h - 1 - padding))
    return F.conv2d(padded[None, None], weight.flip([0, 1])[None, None])[0, 0]


def slide_by_library(x, weight, stride, padding=0):
    return library.fractional_conv2d(x[None, None], weight[None, None], stride, padding)[0, 0]


def overlaps_by_loops(kernel, stride, size):
    count = [0] * ((size - 1) * stride + kernel)
    for stroke, cell in itertools.product(range(size), range(kernel)):
        count[stroke * stride + cell] += 1
    return torch.tensor(count)


def overlaps_by_painting(kernel, stride, size):
    return F.conv_transpose1d(torch.ones(1, 1, size), torch.ones(1, 1, kernel), stride=stride)[0, 0].long()


def filter_by_normal_equations(x, y, kernel, stride, padding):
    columns = []
    for cell in range(kernel * kernel):
        unit = torch.zeros(kernel * kernel)
        unit[cell] = 1
        maps = [paint_by_torch(each, unit.reshape(kernel, kernel), stride, padding) for each in x]
        columns.append(torch.stack(maps).flatten())
    a = torch.stack(columns, dim=1).double()
    solved = torch.linalg.solve(a.T @ a, a.T @ y.flatten().double())
    return solved.reshape(kernel, kernel).float()


def filter_by_descent(x, y, kernel, stride, padding):
    weight = torch.zeros(1, 1, kernel, kernel, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe", tolerance_change=0)

    def loss():
        optimizer.zero_grad()
        error = F.conv_transpose2d(x[:, None], weight, stride=stride, padding=padding)[:, 0] - y
        value = (error**2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach()[0, 0]


def dense_by_library(pooled, indices, size, kernel):
    window = (size[0] // pooled.shape[1], size[1] // pooled.shape[2])
    both = [
        library.transposed_conv2d(
            library.max_unpool2d(each[None], indices[None], window, output_size=size)[0][:, None],
            kernel[None, None],
            padding=len(kernel) // 2,
        )[:, 0]
        for each in (pooled, torch.ones_like(pooled))
    ]
    return torch.where(both[1] == 0, 0, both[0] / both[1].clamp(min=1e-9))


def dense_by_loops(pooled, indices, size, kernel):
    (height, width), half = size, len(kernel) // 2
    value, weight = torch.zeros(len(pooled), *size), torch.zeros(len(pooled), *size)
    for c, i, j in itertools.product(*map(range, pooled.shape)):
        row, column = divmod(indices[c, i, j].item(), width)
        for k, m in itertools.product(range(len(kernel)), repeat=2):
            r, s = row + k - half, column + m - half
            if 0 <= r < height and 0 <= s < width:
                value[c, r, s] += pooled[c, i, j] * kernel[k, m]
                weight[c, r, s] += kernel[k, m]
    weight[weight == 0] = 1
    return value / weight


RIGHT = {
    "8.1": (paint_by_torch, paint_by_slices, paint_by_fold),
    "8.2": (slide_by_conv2d, slide_by_library),
    "8.3": (overlaps_by_loops, overlaps_by_painting),
    "8.4": (filter_by_normal_equations, filter_by_descent),
    "8.5": (dense_by_library, dense_by_loops),
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
