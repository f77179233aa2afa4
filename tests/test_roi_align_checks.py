"""Chapter 13's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
import torchvision

from segcore import roi_align as library
from segcore.checks.engine import judge
from segcore.checks.roi_align import EXERCISES

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


def hint_of(report):
    return [part[0] for kind, part in report.card.parts if kind == "hint"]


# mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in ("- 0.5", "+ 0.5", "0.5)", " @ ", ".T", ".clamp", "floor(", "sign(", "abs(", "return"):
            assert code not in mistake.hint, (mistake.name, code)


def test_a_wrong_sign_of_the_shift_and_a_mistake_in_numpy_are_recognised_too():
    report = judge(BY_ID["13.2"], lambda f, p: BY_ID["13.2"].mistakes[0].function(f, p).double().numpy())
    assert report.mistake == "half pixel forgotten"
    two_faults = judge(BY_ID["13.3"], lambda *args: BY_ID["13.3"].reference(*args) * 1.5 + 1)
    assert two_faults.state == "failed" and two_faults.mistake == ""


@pytest.mark.parametrize("zeros", [True, False])
def test_a_grid_with_aligned_corners_is_named(zeros):
    def sample(feature, points):
        size = torch.tensor([feature.shape[2], feature.shape[1]])
        grid = (2 * points / size - 1)[None, None]
        read = F.grid_sample(feature[None], grid, padding_mode="border", align_corners=True)[0, :, 0]
        near = ((points >= -0.5) & (points <= size + 0.5)).all(1)
        return read * near if zeros else read

    report = judge(BY_ID["13.2"], sample)
    assert report.mistake == "corners aligned" + ("" if zeros else ", and however far"), report.card


# references against the library and against torchvision --------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_13_1_is_the_box_that_roi_pool_reads(seed):
    """The last and the first cell that torchvision's RoIPool takes its maximum from."""
    generator = torch.Generator().manual_seed(seed)
    width = 80
    for stride in (4, 8, 16):
        corner = torch.rand(2, generator=generator) * 100
        box = torch.cat([corner, corner + 10 + torch.rand(2, generator=generator) * 150])
        error = BY_ID["13.1"].reference(box[None], 1 / stride)[0]
        first_x, first_y, end_x, end_y = ((box + error) / stride).tolist()
        assert all(abs(value - round(value)) < 1e-4 for value in (first_x, first_y, end_x, end_y))
        ramp = torch.arange(float(width)).expand(1, 1, width, width)
        for ramp_of, first, end in ((ramp, first_x, end_x), (ramp.mT, first_y, end_y)):
            for sign, cell in ((1, end - 1), (-1, first)):
                value = torchvision.ops.roi_pool(sign * ramp_of.contiguous(), [box[None]], 1, 1 / stride)
                assert sign * value.item() == pytest.approx(round(cell))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_13_2_is_the_librarys(seed):
    for case in BY_ID["13.2"].make_cases(seed):
        expected = library.bilinear_sample(*case.args)
        torch.testing.assert_close(BY_ID["13.2"].reference(*case.args), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_13_3_is_torchvisions_and_the_librarys(seed):
    for case in BY_ID["13.3"].make_cases(seed):
        feature, box, size, *rest = case.args
        scale, ratio = [*rest, *(1.0, 2)[len(rest) :]]
        found = BY_ID["13.3"].reference(*case.args)
        boxes = [box[None]]
        theirs = torchvision.ops.roi_align(feature[None], boxes, size, scale, ratio, aligned=True)[0]
        ours = library.roi_align(feature[None], boxes, size, scale, ratio)[0]
        torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found, ours, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_13_4_is_torchvisions_gradient(seed):
    for case in BY_ID["13.4"].make_cases(seed):
        grad, box, size, *rest = case.args
        scale, ratio = [*rest, *(1.0, 2)[len(rest) :]]
        feature = torch.zeros(1, grad.shape[0], *size, requires_grad=True)
        pooled = torchvision.ops.roi_align(feature, [box[None]], grad.shape[1:], scale, ratio, aligned=True)
        (expected,) = torch.autograd.grad(pooled, feature, grad[None])
        torch.testing.assert_close(BY_ID["13.4"].reference(*case.args), expected[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_13_5_is_bilinear_sampling_of_the_mask(seed):
    for soft, box, size in (case.args for case in BY_ID["13.5"].make_cases(seed)):
        x1, y1, x2, y2 = box.tolist()
        expected = torch.zeros(size)
        for row, column in itertools.product(range(size[0]), range(size[1])):
            x, y = column + 0.5, row + 0.5
            if x1 <= x < x2 and y1 <= y < y2:
                place = [(x - x1) / (x2 - x1) * soft.shape[1], (y - y1) / (y2 - y1) * soft.shape[0]]
                expected[row, column] = library.bilinear_sample(soft[None], torch.tensor([place]))[0, 0]
        torch.testing.assert_close(BY_ID["13.5"].reference(soft, box, size), expected, rtol=1e-4, atol=1e-4)


# right solutions in different styles ---------------------------------------------------------------


def errors_by_plain_numbers(boxes, spatial_scale):
    rows = []
    for x1, y1, x2, y2 in boxes.tolist():
        row = []
        for low, high in ((x1, x2), (y1, y2)):
            first, last = (
                int(math.copysign(math.floor(abs(v * spatial_scale) + 0.5), v * spatial_scale))
                for v in (low, high)
            )
            row.append((first / spatial_scale - low, (max(first, last) + 1) / spatial_scale - high))
        (left, right), (top, bottom) = row
        rows.append([left, top, right, bottom])
    return torch.tensor(rows)


def errors_by_where(boxes, spatial_scale):
    cells = boxes * spatial_scale
    whole = torch.where(cells >= 0, torch.floor(cells + 0.5), torch.ceil(cells - 0.5))
    start, last = whole.split(2, dim=1)
    end = torch.max(start, last) + 1
    return torch.hstack([start, end]).div(spatial_scale).sub(boxes)


def samples_by_loops(feature, points):
    channels, height, width = feature.shape
    result = torch.zeros(channels, len(points))
    for index, (x, y) in enumerate((points - 0.5).tolist()):
        if not (-1 <= x <= width and -1 <= y <= height):
            continue
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        for row, column in itertools.product(range(height), range(width)):
            weight = max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
            result[:, index] += weight * feature[:, row, column]
    return result


def samples_by_grid_sample(feature, points):
    _, height, width = feature.shape
    size = torch.tensor([width, height])
    grid = (2 * points / size - 1)[None, None]
    values = F.grid_sample(feature[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    near = ((points >= -0.5) & (points <= size + 0.5)).all(dim=1)
    return values[0, :, 0] * near


def samples_by_einsum(feature, points):
    def hats(position, cells):
        inside = (position >= -1) & (position <= cells)
        distance = (position.clamp(0, cells - 1)[:, None] - torch.arange(cells)).abs()
        return F.relu(1 - distance) * inside[:, None]

    x, y = points.unbind(1)
    rows, columns = hats(y - 0.5, feature.shape[1]), hats(x - 0.5, feature.shape[2])
    return torch.einsum("chw,ph,pw->cp", feature, rows, columns)


def align_by_torchvision(feature, box, output_size, spatial_scale=1.0, sampling_ratio=2):
    rois = torch.cat([box.new_zeros(1), box])[None]
    return torchvision.ops.roi_align(
        feature[None], rois, tuple(output_size), spatial_scale, sampling_ratio, aligned=True
    )[0]


def align_by_samples(feature, box, output_size, spatial_scale=1.0, sampling_ratio=2):
    x1, y1, x2, y2 = (box * spatial_scale).tolist()
    (height, width), n = output_size, sampling_ratio
    bins = []
    for i, j in itertools.product(range(height), range(width)):
        points = [
            (x1 + (j + (b + 0.5) / n) * (x2 - x1) / width, y1 + (i + (a + 0.5) / n) * (y2 - y1) / height)
            for a, b in itertools.product(range(n), range(n))
        ]
        bins.append(library.bilinear_sample(feature, torch.tensor(points)).mean(dim=1))
    return torch.stack(bins, dim=1).reshape(-1, height, width)


def align_by_library_weights(feature, box, output_size, spatial_scale=1.0, sampling_ratio=2):
    start, length = box[:2] * spatial_scale - 0.5, (box[2:] - box[:2]) * spatial_scale
    w_y = library.axis_weights(start[1], length[1], output_size[0], sampling_ratio, feature.shape[1])
    w_x = library.axis_weights(start[0], length[0], output_size[1], sampling_ratio, feature.shape[2])
    return w_y @ feature @ w_x.T


def gradient_by_autograd(grad_output, box, feature_size, spatial_scale=1.0, sampling_ratio=2):
    feature = torch.zeros(len(grad_output), *feature_size, requires_grad=True)
    pooled = align_by_library_weights(feature, box, grad_output.shape[1:], spatial_scale, sampling_ratio)
    pooled.backward(grad_output)
    return feature.grad


def gradient_by_scatter(grad_output, box, feature_size, spatial_scale=1.0, sampling_ratio=2):
    x1, y1, x2, y2 = (box * spatial_scale - 0.5).tolist()
    (_, h, w), (height, width), n = grad_output.shape, feature_size, sampling_ratio
    result = torch.zeros(len(grad_output), height, width)
    for i, j, a, b in itertools.product(range(h), range(w), range(n), range(n)):
        y = y1 + (i + (a + 0.5) / n) * (y2 - y1) / h
        x = x1 + (j + (b + 0.5) / n) * (x2 - x1) / w
        if y < -1 or y > height or x < -1 or x > width:
            continue
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        top, left = int(y), int(x)
        for row, part_y in ((top, top + 1 - y), (min(top + 1, height - 1), y - top)):
            for column, part_x in ((left, left + 1 - x), (min(left + 1, width - 1), x - left)):
                result[:, row, column] += grad_output[:, i, j] * part_y * part_x / n**2
    return result


def paste_by_grid_sample(soft, box, size):
    x1, y1, x2, y2 = box
    x = 2 * (torch.arange(size[1]) + 0.5 - x1) / (x2 - x1) - 1
    y = 2 * (torch.arange(size[0]) + 0.5 - y1) / (y2 - y1) - 1
    grid = torch.stack([x.expand(size[0], -1), y[:, None].expand(-1, size[1])], dim=-1)
    result = F.grid_sample(soft[None, None], grid[None], padding_mode="border", align_corners=False)[0, 0]
    inside = (x >= -1) & (x < 1) & (y[:, None] >= -1) & (y[:, None] < 1)
    return torch.where(inside, result, torch.zeros(()))


def paste_by_loops(soft, box, size):
    x1, y1, x2, y2 = box.tolist()
    height, width = soft.shape
    image = torch.zeros(*size)
    for row, column in itertools.product(range(size[0]), range(size[1])):
        across, down = (column + 0.5 - x1) / (x2 - x1), (row + 0.5 - y1) / (y2 - y1)
        if 0 <= across < 1 and 0 <= down < 1:
            x = min(max(across * width - 0.5, 0), width - 1)
            y = min(max(down * height - 0.5, 0), height - 1)
            left, top = math.floor(x), math.floor(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            upper = soft[top, left] * (left + 1 - x) + soft[top, right] * (x - left)
            lower = soft[bottom, left] * (left + 1 - x) + soft[bottom, right] * (x - left)
            image[row, column] = upper * (top + 1 - y) + lower * (y - top)
    return image


RIGHT = {
    "13.1": (errors_by_plain_numbers, errors_by_where),
    "13.2": (samples_by_loops, samples_by_grid_sample, samples_by_einsum, library.bilinear_sample),
    "13.3": (align_by_torchvision, align_by_samples, align_by_library_weights),
    "13.4": (gradient_by_autograd, gradient_by_scatter),
    "13.5": (paste_by_grid_sample, paste_by_loops),
}
PAIRS = [(each, function) for each, functions in RIGHT.items() for function in functions]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("exercise", "function"), PAIRS, ids=[function.__name__ for _, function in PAIRS])
def test_right_solutions_of_any_style_pass(exercise, function, seed):
    report = judge(BY_ID[exercise], function, seed)
    assert report.state == "passed", report.card


def test_every_exercise_has_right_solutions_in_two_styles():
    assert RIGHT.keys() == BY_ID.keys() and min(map(len, RIGHT.values())) >= 2


def test_a_box_that_an_integer_resize_can_fill_agrees_with_interpolate():
    soft = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    pasted = BY_ID["13.5"].reference(soft, torch.tensor([2.0, 1.0, 14.0, 10.0]), (12, 16))
    expected = F.interpolate(soft[None, None], size=(9, 12), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(pasted, F.pad(expected, (2, 2, 1, 2)), rtol=1e-5, atol=1e-6)


def test_a_solution_that_loses_the_gradient_is_told_so():
    report = judge(BY_ID["13.3"], lambda *args: BY_ID["13.3"].reference(*args).detach())
    assert report.state == "failed" and report.mistake == "gradient reaches feature"
    assert ".detach()" in hint_of(report)[0]
