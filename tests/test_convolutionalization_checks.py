"""Chapter 4's exercises: right solutions of any style pass; `test_exercises` tries the mistakes."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segcore import convolutionalization as library
from segcore.checks.convolutionalization import EXERCISES
from segcore.checks.engine import judge

SEEDS = (0, 1, 2)
BY_ID = {each.id: each for each in EXERCISES}


@pytest.mark.parametrize("exercise", EXERCISES, ids=BY_ID)
def test_hints_give_no_code_away(exercise):
    for mistake in exercise.mistakes:
        for code in ("::", "[", "//", "%", " * ", "conv2d", "permute", "topk", "argsort", "return "):
            assert code not in mistake.hint.replace("You return ", ""), (mistake.name, code)


# references against the library --------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_4_1_is_linear_to_convs(seed):
    for case in BY_ID["4.1"].make_cases(seed):
        weight, shape = case.args
        linear = nn.Linear(weight.shape[1], len(weight))
        linear.weight.data = weight
        assert torch.equal(library.linear_to_conv(linear, shape).weight, BY_ID["4.1"].reference(*case.args))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_4_2_is_the_librarys(seed):
    for case in BY_ID["4.2"].make_cases(seed):
        classifier, image, window, stride = case.args
        expected = library.sliding_window(classifier, image[None], window, stride, batch_size=7)[0]
        torch.testing.assert_close(BY_ID["4.2"].reference(*case.args), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_of_4_3_is_what_convolutionalize_gives(seed):
    for case in BY_ID["4.3"].make_cases(seed):
        classifier, image, window = case.args
        dense = library.convolutionalize(classifier, window)
        torch.testing.assert_close(BY_ID["4.3"].reference(*case.args), dense(image), rtol=1e-4, atol=1e-5)
        slow = library.sliding_window(classifier, image, window, dense.stride)
        torch.testing.assert_close(dense(image), slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_references_of_4_4_and_4_5_look_at_the_same_windows(seed):
    for case in BY_ID["4.5"].make_cases(seed):
        image, margin, window, stride, limit = case.args
        boxes = BY_ID["4.4"].reference(margin, window, stride)[:limit].int().tolist()
        mined = BY_ID["4.5"].reference(*case.args)
        assert len(mined) == len(boxes)
        for patch, (x1, y1, x2, y2) in zip(mined, boxes, strict=True):
            assert torch.equal(patch, image[:, y1:y2, x1:x2])


# other right solutions -----------------------------------------------------------------------------


def kernel_by_view(weight, shape):
    return weight.view(weight.size(0), *shape)


def kernel_by_unflatten(weight, shape):
    return torch.unflatten(weight, 1, tuple(shape)).clone()


def windows_by_unfold(classifier, image, window, stride):
    cut = image.unfold(1, window, stride).unfold(2, window, stride)  # (C, h, w, window, window)
    channels, rows, columns = cut.shape[:3]
    patches = cut.permute(1, 2, 0, 3, 4).reshape(-1, channels, window, window)
    return classifier(patches).reshape(rows, columns, -1).permute(2, 0, 1)


def windows_by_assignment(classifier, image, window, stride):
    height, width = (1 + (size - window) // stride for size in image.shape[1:])
    result = None
    for i, j in itertools.product(range(height), range(width)):
        y, x = i * stride, j * stride
        scores = classifier(image[:, y : y + window, x : x + window].unsqueeze(0)).squeeze(0)
        if result is None:
            result = torch.zeros(len(scores), height, width)
        result[:, i, j] = scores
    return result


def windows_by_rows(classifier, image, window, stride):
    rows = []
    for y in range(0, image.shape[1] - window + 1, stride):
        starts = range(0, image.shape[2] - window + 1, stride)
        batch = torch.stack([image[:, y : y + window, x : x + window] for x in starts])
        rows.append(classifier(batch).T)
    return torch.stack(rows, dim=1)


def dense_by_halves(classifier, image, window):
    layers = list(classifier)
    at = [isinstance(layer, nn.Flatten) for layer in layers].index(True)
    features = nn.Sequential(*layers[:at])
    shape = features(torch.zeros(1, image.shape[1], window, window)).shape[1:]
    scores = features(image)
    for layer in layers[at + 1 :]:
        if not isinstance(layer, nn.Linear):
            scores = layer(scores)
            continue
        conv = nn.Conv2d(shape[0], layer.out_features, tuple(shape[1:]))
        conv.weight.data = layer.weight.reshape(layer.out_features, *shape)
        conv.bias.data = layer.bias
        scores, shape = conv(scores), (layer.out_features, 1, 1)
    return scores


def dense_by_unfold(classifier, image, window):
    """The linear layers as they are, on every place of the map."""
    layers = list(classifier)
    at = [isinstance(layer, nn.Flatten) for layer in layers].index(True)
    features, rest = nn.Sequential(*layers[:at]), nn.Sequential(*layers[at + 1 :])
    height, width = features(image[:, :, :window, :window]).shape[2:]
    whole = features(image)
    columns = F.unfold(whole, (height, width)).transpose(1, 2)  # (N, places, features)
    size = whole.shape[2] - height + 1, whole.shape[3] - width + 1
    return rest(columns).transpose(1, 2).unflatten(2, size)


def dense_by_the_library(classifier, image, window):
    return library.convolutionalize(classifier, window)(image)


def boxes_by_loop(margin, window, stride, threshold=0.0):
    found = []
    for (i, j), value in zip(itertools.product(*map(range, margin.shape)), margin.flatten(), strict=True):
        if value > threshold:
            found.append((-float(value), j * stride, i * stride))
    found.sort()
    return torch.tensor([[x, y, x + window, y + window] for _, x, y in found]).float().reshape(-1, 4)


def boxes_by_sorting_all(margin, window, stride, threshold=0.0):
    values, places = margin.flatten().sort(descending=True)
    places = places[values > threshold]
    y = torch.div(places, margin.shape[1], rounding_mode="floor") * stride
    x = places % margin.shape[1] * stride
    return torch.stack([x, y, x + window, y + window], dim=-1).to(torch.float32)


def mined_by_topk(image, margin, window, stride, limit):
    values, places = margin.flatten().topk(min(limit, margin.numel()))
    places = places[values > 0]
    cut = image.unfold(1, window, stride).unfold(2, window, stride).permute(1, 2, 0, 3, 4)
    return cut[places // margin.shape[1], places % margin.shape[1]].clone()


def mined_by_boxes(image, margin, window, stride, limit):
    boxes = boxes_by_loop(margin, window, stride)[:limit].long()
    patches = torch.zeros(len(boxes), image.shape[0], window, window)
    for patch, (x1, y1, x2, y2) in zip(patches, boxes.tolist(), strict=True):
        patch[:] = image[:, y1:y2, x1:x2]
    return patches


RIGHT = {
    "4.1": (kernel_by_view, kernel_by_unflatten),
    "4.2": (windows_by_unfold, windows_by_assignment, windows_by_rows),
    "4.3": (dense_by_halves, dense_by_unfold, dense_by_the_library),
    "4.4": (boxes_by_loop, boxes_by_sorting_all),
    "4.5": (mined_by_topk, mined_by_boxes),
}
PAIRS = [
    pytest.param(number, function, id=f"{number}-{function.__name__}")
    for number, functions in RIGHT.items()
    for function in functions
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("number", "function"), PAIRS)
def test_right_solutions_of_any_style_pass(number, function, seed):
    report = judge(BY_ID[number], function, seed)
    assert report.state == "passed", report.card


def test_every_exercise_has_two_right_solutions():
    assert RIGHT.keys() == BY_ID.keys() and all(len(functions) >= 2 for functions in RIGHT.values())


def test_two_faults_at_once_are_not_named_wrongly():
    report = judge(BY_ID["4.2"], lambda *args: BY_ID["4.2"].reference(*args) * 1.5 + 1)
    assert report.state == "failed" and report.mistake == ""


def test_a_classifier_that_was_changed_is_noticed():
    def zeroed(classifier, image, window):
        scores = BY_ID["4.3"].reference(classifier, image, window)
        next(iter(classifier.parameters())).data.zero_()
        return scores

    report = judge(BY_ID["4.3"], zeroed)
    assert report.state == "failed" and "chang" in report.text + str(report.card)


def test_the_threshold_itself_is_tried_in_an_example_that_can_be_followed():
    mistake = next(each for each in BY_ID["4.4"].mistakes if each.name == "the threshold itself counts")
    cases = [case for case in BY_ID["4.4"].make_cases() if case.note]
    right = BY_ID["4.4"].reference
    assert any(len(mistake.function(*case.args)) > len(right(*case.args)) for case in cases)


# mistakes as students write them -------------------------------------------------------------------


def windows_from_ranges(classifier, image, window, rows, columns):
    patches = [image[:, y : y + window, x : x + window] for y in rows for x in columns]
    return classifier(torch.stack(patches)).T.reshape(-1, len(rows), len(columns))


def last_window_forgotten(classifier, image, window, stride):
    rows, columns = (range(0, size - window, stride) for size in image.shape[1:])
    return windows_from_ranges(classifier, image, window, rows, columns)


def over_the_edge(classifier, image, window, stride):
    rows, columns = (range(0, size, stride) for size in image.shape[1:])
    return windows_from_ranges(classifier, image, window, rows, columns)


def unfolded_without_permute(classifier, image, window, stride):
    cut = image.unfold(1, window, stride).unfold(2, window, stride)
    scores = classifier(cut.reshape(-1, image.shape[0], window, window))
    return scores.T.reshape(-1, *cut.shape[1:3])


def one_patch_without_batch(classifier, image, window, stride):
    rows, columns = (range(0, size - window + 1, stride) for size in image.shape[1:])
    return torch.stack([classifier(image[:, y : y + window, x : x + window]) for y in rows for x in columns])


def flat_after_all(classifier, image, window):
    blank = image.new_zeros(1, image.shape[1], window, window)
    for layer in classifier:
        if isinstance(layer, nn.Linear):
            channels, height, width = blank.shape[1:]
            kernel = layer.weight.reshape(-1, channels, height, width)
            image, blank = F.conv2d(image, kernel, layer.bias), F.conv2d(blank, kernel)
        else:
            image, blank = layer(image), layer(blank)
    return image


def first_alarms_sorted(image, margin, window, stride, limit):
    rows, columns = (margin > 0).nonzero(as_tuple=True)
    order = margin[rows[:limit], columns[:limit]].argsort(descending=True)
    places = list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))
    patches = [
        image[:, i * stride : i * stride + window, j * stride : j * stride + window] for i, j in places
    ]
    return torch.stack(patches) if patches else image.new_zeros(0, len(image), window, window)


def surest_units(margin, threshold):
    rows, columns = (margin > threshold).nonzero(as_tuple=True)
    order = margin[rows, columns].argsort(descending=True)
    return rows[order], columns[order]


def all_times_the_stride(margin, window, stride, threshold=0.0):
    y, x = surest_units(margin, threshold)
    return (torch.stack([x, y, x + window, y + window], 1) * stride).float()


def from_the_middle_of_a_step(margin, window, stride, threshold=0.0):
    y, x = (each * stride + stride / 2 for each in surest_units(margin, threshold))
    return torch.stack([x, y, x + window, y + window], 1)


@pytest.mark.parametrize(
    ("number", "function", "name"),
    [
        ("4.1", lambda weight, shape: weight.reshape(-1, *shape[1:], shape[0]), "channel axis last"),
        ("4.2", last_window_forgotten, "range ends early"),
        ("4.2", over_the_edge, "cut short at the edge"),
        ("4.2", unfolded_without_permute, "axes of the cut"),
        ("4.2", one_patch_without_batch, "no batch"),
        ("4.3", flat_after_all, "flattened all the same"),
        ("4.4", all_times_the_stride, "the window times the stride"),
        ("4.4", from_the_middle_of_a_step, "half a stride aside"),
        ("4.5", first_alarms_sorted, "limit before the sort"),
    ],
)
def test_a_mistake_is_recognised_in_another_hand(number, function, name):
    report = judge(BY_ID[number], function)
    assert report.state in ("failed", "error")
    assert report.mistake == name, report.card
