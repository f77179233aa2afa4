"""Wrong answers that students give and a check once let pass, and right ones that it once refused.

Each is written as a student would, against the text of the task alone.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_exercises import EXERCISES
from torch import nn

from segcore.checks import check
from segcore.checks.engine import judge
from segcore.checks.guards import guards_of
from segcore.checks.hints import error_hint

WRONG = {}


def wrong(exercise: str):
    def note(function):
        WRONG[f"{exercise} {function.__name__}"] = (exercise, function)
        return function

    return note


def right(exercise: str):
    """The reference of an exercise, to be spoilt."""
    return EXERCISES[exercise].reference


@wrong("3.3")
def predictions_of_the_ignored_label_leave_too(prediction, target, num_classes, ignore_index):
    keep = (target != ignore_index) & (prediction != ignore_index)
    return right("3.3")(prediction[keep], target[keep], num_classes, -7)


@wrong("3.3")
def ignored_is_what_is_no_class(prediction, target, num_classes, ignore_index):
    keep = (target >= 0) & (target < num_classes)
    return right("3.3")(prediction[keep], target[keep], num_classes, -7)


@wrong("4.3")
def relu_written_in(classifier, image, window):
    layers = [nn.ReLU() if isinstance(layer, nn.Tanh) else layer for layer in classifier]
    return right("4.3")(nn.Sequential(*layers), image, window)


@wrong("4.3")
def trains_while_it_runs(classifier, image, window):
    classifier.train()
    result = right("4.3")(nn.Sequential(*classifier).eval(), image, window)
    classifier.train()
    return result


@wrong("4.5")
def zero_is_an_alarm(image, margin, window, stride, limit):
    return right("4.5")(image, torch.where(margin == 0, 1e-6, margin), window, stride, limit)


@wrong("4.5")
def nothing_in_one_channel(image, margin, window, stride, limit):
    found = right("4.5")(image, margin, window, stride, limit)
    return found if len(found) else torch.zeros(0, 1, window, window)


@wrong("5.3")
def counts_pixels(fields):
    before, (_, stride, _) = max(p for _, _, p in fields), fields[0]
    seen = {x for size, _, padding in fields for x in range(-padding, size - padding)}
    return len(seen), stride, before


@wrong("5.4")
def marks_the_images_given(network, images, unit):
    images.requires_grad_()
    network(images)[:, :, unit[0], unit[1]].sum().backward()
    heat = images.grad.abs().sum((0, 1))
    return heat / heat.sum()


@wrong("5.5")
def floats_for_dilations(size):
    return [float(each) for each in right("5.5")(size)]


@wrong("5.5")
def the_last_one_a_float(size):
    found = right("5.5")(size)
    return [*found[:-1], float(found[-1])] if found else found


@wrong("6.2")
def one_output_channel(network, image, stride):
    _, _, height, width = right("6.2")(network, image, stride).shape
    dense = torch.zeros(image.shape[0], image.shape[1], height, width)
    for y in range(stride):
        for x in range(stride):
            dense[:, :, y::stride, x::stride] = network(image[..., y:, x:])
    return dense


@wrong("6.5")
def divides_with_a_slash(strides, wanted):
    return [(stride, dilation / 1) for stride, dilation in right("6.5")(strides, wanted)]


@wrong("8.2")
def torchs_transposed_convolution(x, weight, stride, padding=0):
    return F.conv_transpose2d(x[None, None], weight[None, None], stride=stride, padding=padding)[0, 0]


@wrong("8.2")
def the_gradient_of_a_convolution(x, weight, stride, padding=0):
    size = [(n - 1) * stride + k - 2 * padding for n, k in zip(x.shape, weight.shape, strict=True)]
    given = (1, 1, *size), weight[None, None], x[None, None]
    return torch.nn.grad.conv2d_input(*given, stride=stride, padding=padding)[0, 0]


@wrong("8.2")
def a_convolution_by_another_name(x, weight, stride, padding=0):
    pair = [stride] * 2, [padding] * 2, [1, 1]
    return torch.convolution(x[None, None], weight[None, None], None, *pair, True, [0, 0], 1)[0, 0]


@wrong("8.2")
def an_operator_below_torch(x, weight, stride, padding=0):
    pair = [stride] * 2, [padding] * 2, [1, 1]
    given = x[None, None], weight[None, None], None, *pair
    return torch.ops.aten.convolution(*given, True, [0, 0], 1)[0, 0]


@wrong("8.2")
def folds(x, weight, stride, padding=0):
    (rows, columns), (h, w) = x.shape, weight.shape
    size = ((rows - 1) * stride + h, (columns - 1) * stride + w)
    strokes = weight.flatten()[:, None] * x.flatten()[None]
    full = F.fold(strokes[None], size, (h, w), stride=stride)[0, 0]
    return full[padding : size[0] - padding, padding : size[1] - padding]


@wrong("8.5")
def a_little_paint_counts_as_more(pooled, indices, size, kernel):
    def painted(values):
        flat = torch.zeros(len(values), size[0] * size[1]).scatter(1, indices.flatten(1), values.flatten(1))
        maps = flat.reshape(-1, 1, *size)
        return F.conv_transpose2d(maps, kernel[None, None], padding=len(kernel) // 2)[:, 0]

    return painted(pooled) / painted(torch.ones_like(pooled)).clamp(min=0.05)


def twice(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def forward(image, encoder, up, decoder, score, skip=lambda x: x):
    x, skips = image, []
    for block in encoder[:-1]:
        x = block(x)
        skips.append(skip(x))
        x = F.max_pool2d(x, 2)
    x = encoder[-1](x)
    for grow, block in zip(up, decoder, strict=True):
        x = block(right("9.1")(skips.pop(), grow(x)))
    return score(x)


@wrong("9.2")
def ups_of_its_own(image, encoder, up, decoder, score):
    return forward(image, encoder, [twice for _ in up], decoder, score)


@wrong("9.2")
def the_first_up_each_time(image, encoder, up, decoder, score):
    return forward(image, encoder, [up[0] for _ in up], decoder, score)


@wrong("9.2")
def ups_in_reverse(image, encoder, up, decoder, score):
    return forward(image, encoder, up[::-1], decoder, score)


@wrong("9.2")
def without_gradients(image, encoder, up, decoder, score):
    with torch.no_grad():
        return forward(image, encoder, up, decoder, score)


@wrong("9.2")
def detached_skips(image, encoder, up, decoder, score):
    return forward(image, encoder, up, decoder, score, skip=lambda x: x.detach())


@wrong("9.3")
def all_at_once(network, image, tile, margin):
    return network(F.pad(image[None], (margin,) * 4, mode="reflect"))[0]


@wrong("9.4")
def ignored_is_no_class(logits, target, ignore_index=255):
    known = (target >= 0) & (target < logits.shape[1])
    return right("9.4")(logits, torch.where(known, target, 255), 255)


@wrong("9.5")
def points_twice_in_a_row_give_nan(size, strokes, radius):
    labels = torch.full(size, 255)
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    for label, points in strokes:
        nearest = torch.full(size, float("inf"))
        for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
            a, b = torch.tensor(x1 - x0), torch.tensor(y1 - y0)
            if len(points) == 1:
                t = torch.zeros(size)
            else:
                t = (((x - x0) * a + (y - y0) * b) / (a * a + b * b)).clamp(0, 1)
            nearest = torch.minimum(nearest, torch.hypot(x - x0 - t * a, y - y0 - t * b))
        labels[nearest <= radius] = label
    return labels


def away(values):
    return torch.where(values < 0, (values - 0.5).ceil(), (values + 0.5).floor())


@wrong("11.2")
def mean_cut_off_from_x(x, point, around, rates, whole):
    rest = right("11.2")(x, point, around, rates, whole)[:, : -len(whole)]
    mean = F.conv2d(x.detach().mean((2, 3), keepdim=True), whole).relu()
    return torch.cat([rest, mean.expand(-1, -1, *x.shape[2:])], 1)


@wrong("11.2")
def three_rates_at_most(x, point, around, rates, whole):
    return right("11.2")(x, point, around[:3], rates[:3], whole)


@wrong("13.1")
def the_far_corner_may_lie_before(boxes, spatial_scale):
    cells = away(boxes * spatial_scale)
    cells[:, 2:] += 1
    return cells / spatial_scale - boxes


@wrong("13.2")
def the_limits_are_outside(feature, points):
    inside = ((points > -0.5) & (points < torch.tensor(feature.shape[:0:-1]) + 0.5)).all(1)
    return right("13.2")(feature, points) * inside


@wrong("13.3")
def at_least_a_cell(feature, box, output_size, spatial_scale=1.0, sampling_ratio=2):
    x1, y1, x2, y2 = (box * spatial_scale).tolist()
    wide = torch.tensor([x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)])
    return right("13.3")(feature, wide, output_size, 1.0, sampling_ratio)


@wrong("3.4")
def as_many_classes_as_the_truth_has(predictions, targets, num_classes):
    return right("3.4")(predictions, targets, int(targets.max()) + 1)


@wrong("3.5")
def scores_are_probabilities(scores, correct):
    hits = correct[scores.clamp(0, 1).argsort(descending=True, stable=True)].cumsum(0)
    return hits / torch.arange(1, len(hits) + 1), hits / correct.sum()


@wrong("5.2")
def nothing_without_layers(layers, first, last):
    return right("5.2")(layers, first, last) if layers else (0, 0)


@wrong("18.2")
def the_limit_is_the_first_that_does_not_share(ab, bins, neighbors, sigma):
    squares = (ab[:, None] - bins[:, :, None, None]).square().sum(2)
    limit = squares.sort(1).values[:, neighbors : neighbors + 1]  # nothing where all bins share
    return torch.where(squares < limit, -squares / (2 * sigma**2), -torch.inf).softmax(1)


@wrong("18.3")
def divided_by_the_priors_part(prior, uniform):
    weights = 1 / (prior + uniform / ((1 - uniform) * len(prior)))
    return weights / (prior * weights).sum()


@wrong("18.4")
def safe_in_float64_only(logits, target, weights):
    losses = -(target * logits.double().softmax(1).log()).sum(1)
    return (losses * weights[target.argmax(1)]).mean()


def powers(probabilities, temperature, bins, guard=0.0):
    raised = probabilities ** (1 / temperature)
    return torch.einsum("nqhw,qk->nkhw", raised / (raised.sum(1, keepdim=True) + guard), bins.to(raised))


@wrong("18.5")
def powers_in_float64(probabilities, temperature, bins):
    return powers(probabilities.double(), temperature, bins)


@wrong("18.5")
def powers_with_a_guard(probabilities, temperature, bins):
    return powers(probabilities, temperature, bins, 1e-12)


@wrong("18.5")
def no_number_becomes_grey(probabilities, temperature, bins):
    return powers(probabilities, temperature, bins).nan_to_num(0)


@wrong("18.5")
def one_largest_for_the_whole_image(probabilities, temperature, bins):
    return powers(probabilities / probabilities.max(), temperature, bins)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_are_rejected(name):
    exercise, function = WRONG[name]
    report = judge(EXERCISES[exercise], function)
    assert report.state in {"failed", "error"}, report.card


# ---- Right ones


def test_python_floats_go_on_as_tensors():
    found = check("3.3", lambda p, t, num_classes, ignore: float(right("3.3")(p, t, num_classes, ignore)))
    labels = torch.tensor([[0, 1]])
    assert found(labels, labels, 2, 255).item() == 1.0
    both = check("3.4", lambda p, t, num_classes: tuple(map(float, right("3.4")(p, t, num_classes))))
    assert torch.stack(both(labels[None], labels[None], 2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("exercise", ["13.1", "13.5"])
def test_doubles_go_on_as_floats(exercise):
    def doubles(*args):
        return right(exercise)(*args).double()

    report = judge(EXERCISES[exercise], doubles)
    assert report.state == "passed", report.card
    case = EXERCISES[exercise].make_cases()[0]
    assert doubles(*case.args).dtype == torch.float64
    assert check(exercise, doubles)(*case.args).dtype == torch.float32


def test_a_right_function_comes_back_itself():
    def mine(confusion):
        return right("3.2")(confusion)

    assert check("3.2", mine) is mine


def test_slow_but_right(monkeypatch):
    """A thousand steps of Adam in each case take longer together than a case may take."""

    def adam(x, y, kernel, stride, padding):
        weight = torch.zeros(1, 1, kernel, kernel, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight], max_iter=400, tolerance_grad=1e-9, tolerance_change=1e-12)

        def loss():
            optimizer.zero_grad()
            painted = F.conv_transpose2d(x[:, None], weight, stride=stride, padding=padding)[:, 0]
            value = ((painted - y) ** 2).sum()
            value.backward()
            return value

        optimizer.step(loss)
        return weight.detach()[0, 0]

    assert judge(EXERCISES["8.4"], adam).state == "passed"


def test_autocast_outside_changes_nothing():
    def mine(weight, shape):
        return weight.reshape(len(weight), *shape)

    with torch.autocast("cpu", torch.bfloat16):
        for exercise in ("3.2", "4.1", "8.4", "13.3"):
            function = mine if exercise == "4.1" else right(exercise)
            assert judge(EXERCISES[exercise], lambda *args, f=function: f(*args)).state == "passed", exercise


def test_parameters_may_have_other_names():
    """The lab's next cell calls by the names that the skeleton has."""

    def mine(n, m, C):
        return right("6.4")(n, m, C)

    found = check("6.4", mine)
    assert torch.equal(found(6, 3, classes=3), right("6.4")(6, 3, 3))


@pytest.mark.parametrize("exercise", ["3.4", "5.2"])
def test_one_tensor_will_do_for_several_numbers(exercise):
    def stacked(*args):
        return torch.stack([torch.as_tensor(each) for each in right(exercise)(*args)])

    args = EXERCISES[exercise].make_cases()[0].args
    expected, got = right(exercise)(*args), check(exercise, stacked)(*args)
    assert isinstance(got, tuple) and list(map(type, got)) == list(map(type, expected)) and got == expected
    assert judge(EXERCISES[exercise], lambda *args: stacked(*args)[:1]).kind == "type"


def test_doubles_will_do_for_two_numbers():
    def doubles(*args):
        return [each.double() for each in right("3.4")(*args)]

    assert judge(EXERCISES["3.4"], doubles).state == "passed"


def test_general_guesses_are_sure_before_they_speak():
    zeros = judge(EXERCISES["7.5"], lambda image, labels, width: torch.zeros_like(image))
    assert zeros.kind != "near", zeros.card

    with pytest.raises(IndexError) as caught:
        torch.zeros(3, 4, 5)[torch.zeros(4, 5, dtype=torch.bool)]
    assert "shapes do not fit" in error_hint(caught.value)


@pytest.mark.parametrize(
    "act",
    [
        lambda: torch.zeros(0).max(),
        lambda: torch.zeros(0).argmax(),
        lambda: torch.zeros(0, 3).amax(0),
        lambda: torch.stack([]),
        lambda: torch.cat([]),
        lambda: max([]),
        lambda: np.zeros(0).max(),
        lambda: [].pop(),
    ],
)
def test_what_meets_nothing_is_told_so(act):
    with pytest.raises((RuntimeError, ValueError, IndexError)) as caught:
        act()
    assert "meets nothing" in error_hint(caught.value)


ZEROS = torch.zeros(2, 3)


@pytest.mark.parametrize(
    "act",
    [
        lambda: torch.einsum("ij,jk->ik", ZEROS, ZEROS),
        lambda: torch.mv(ZEROS, torch.zeros(2)),
        lambda: torch.dot(torch.zeros(2), torch.zeros(3)),
        lambda: ZEROS.index_add(0, torch.tensor([0]), ZEROS),
        lambda: ZEROS.scatter(0, torch.zeros(3, 4, dtype=torch.int64), ZEROS),
        lambda: ZEROS.gather(0, torch.zeros(4, 5, dtype=torch.int64)),
        lambda: ZEROS.unfold(0, 7, 1),
        lambda: F.pad(torch.zeros(1, 3, 3), (4, 4, 4, 4), mode="reflect"),
        lambda: F.cross_entropy(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, dtype=torch.int64)),
        lambda: F.grid_sample(torch.zeros(1, 1, 3, 3), torch.zeros(2, 3, 3, 2), align_corners=False),
        lambda: torch.linalg.solve(torch.zeros(3, 3), torch.zeros(4)),
        lambda: torch.searchsorted(ZEROS, torch.zeros(3, 2)),
        lambda: nn.BatchNorm2d(3)(torch.zeros(1, 4, 2, 2)),
        lambda: torch.tensor([[1, 2], [3]]),
        lambda: np.zeros((2, 3)) @ np.zeros((2, 3)),
        lambda: np.zeros(2) + np.zeros(3),
        lambda: np.zeros(6).reshape(4),
        lambda: np.concatenate([np.zeros((2, 3)), np.zeros((3, 4))]),
    ],
)
def test_two_shapes_that_do_not_fit_are_told_so(act):
    with pytest.raises((RuntimeError, ValueError, IndexError)) as caught:
        act()
    assert "Two shapes do not fit" in error_hint(caught.value), caught.value


@pytest.mark.parametrize(
    "act",
    [
        lambda: F.conv2d(ZEROS, torch.zeros(1, 1, 3, 3)),
        lambda: torch.outer(ZEROS, torch.zeros(2)),
        lambda: ZEROS.repeat(2),
        lambda: torch.bincount(torch.zeros(2, 3, dtype=torch.int64)),
        lambda: torch.meshgrid(ZEROS, indexing="ij"),
        lambda: torch.dot(ZEROS, torch.zeros(2)),
        lambda: ZEROS.permute(0, 1, 2),
    ],
)
def test_another_number_of_axes_is_told_so(act):
    with pytest.raises((RuntimeError, ValueError, IndexError)) as caught:
        act()
    assert "another number of axes" in error_hint(caught.value), caught.value


# A small number of one's own ------------------------------------------------------------------------------


def log_shares(logits, axis, way, little):
    shares = logits.softmax(axis)
    return (shares + little if way == "added" else shares.clamp(min=little)).log()


def keypoint_loss_by(way, little):
    def mine(logits, targets):
        lost = -(targets.flatten(2) * log_shares(logits.flatten(2), 2, way, little)).sum(2)
        known = targets.flatten(2).sum(2) > 0
        return (lost * known).sum() / known.sum().clamp(min=1)

    return mine


def color_loss_by(way, little):
    def mine(logits, target, weights):
        lost = -(target * log_shares(logits, 1, way, little)).sum(1)
        return (weights[target.argmax(1)] * lost).mean()

    return mine


def mask_loss_by(way, little):
    def mine(logits, targets, labels):
        p = logits[torch.arange(len(labels)), labels].sigmoid()
        if way == "added":
            return -(targets * (p + little).log() + (1 - targets) * (1 - p + little).log()).mean()
        return F.binary_cross_entropy(p.clamp(little, 1 - little), targets)

    return mine


def annealed_by(way, little):
    def mine(probabilities, temperature, bins):
        held = probabilities + little if way == "added" else probabilities.clamp(min=little)
        return torch.einsum("nqhw,qk->nkhw", (held.log() / temperature).softmax(1), bins)

    return mine


def soft_encode_by(way, little):
    def mine(ab, bins, neighbors, sigma):
        squares = (ab.movedim(1, -1)[..., None, :] - bins).square().sum(-1)
        nearest, places = squares.topk(neighbors, largest=False)
        near = (-nearest / (2 * sigma**2)).exp()
        total = near.sum(-1, keepdim=True)
        shares = near / (total + little if way == "added" else total.clamp(min=little))
        return torch.zeros_like(squares).scatter(-1, places, shares).movedim(-1, 1)

    return mine


def data_term_by(way, little):
    def mine(colors, weights, means, covariances):
        off = colors - means[:, None]
        squares = (off @ covariances.inverse() * off).sum(-1)
        density = (weights[:, None] / covariances.det().sqrt()[:, None] * (-squares / 2).exp()).sum(0)
        return -(density + little if way == "added" else density.clamp(min=little)).log()

    return mine


@pytest.mark.parametrize("little", [1e-5, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("way", ["added", "held up"])
@pytest.mark.parametrize(
    ("exercise", "made", "names"),
    [
        ("2.3", data_term_by, {"tiny number added", "density held up"}),
        ("14.2", mask_loss_by, {"a little added in the log", "cut off near 0 and 1", "cut off near 0 alone"}),
        ("16.4", keypoint_loss_by, {"a little added", "cut off"}),
        ("18.2", soft_encode_by, {"something added below", "sum held up"}),
        ("18.4", color_loss_by, {"logarithm with a guard", "logarithm held up"}),
        ("18.5", annealed_by, {"something added to 0", "small probabilities held up"}),
    ],
)
def test_any_small_number_that_keeps_off_a_zero_has_a_name(exercise, made, names, way, little):
    report = judge(EXERCISES[exercise], made(way, little))
    assert report.state == "failed" and report.mistake in names, report.card


def test_a_small_number_that_does_not_show_has_no_name():
    """Of a sum held above 1e-30 nobody can tell the number: the mistake that is named has another one."""
    exercise = EXERCISES["16.1"]
    rows = next(each for each in exercise.mistakes if each.name == "each row by itself")
    held = guards_of(rows.function)
    assert len(list(held)) > 10 and all(made is not rows.function for made in guards_of(rows.function))
    report = judge(exercise, lambda *args: right("16.1")(*args).cos())
    assert report.mistake not in {each.name for each in exercise.mistakes}
    assert list(guards_of(right("16.1"))) == []


# Usual slips that once had no name ------------------------------------------------------------------------


def laid_down(network, image, tile, margin, step=0, shift=0, room=0, less=0):
    """9.3, written tile by tile into a map of zeros."""
    padded = F.pad(image[None], (margin,) * 4, mode="reflect")
    height, width = image.shape[1:]
    channels = len(network(padded[:, :, : tile + 2 * margin, : tile + 2 * margin])[0])
    result = torch.zeros(channels, height + room, width + room)
    for y in range(0, height - less, tile + step):
        for x in range(0, width - less, tile + step):
            answer = network(padded[:, :, y : y + tile + 2 * margin, x : x + tile + 2 * margin])[0]
            place = result[:, y + shift : y + shift + tile, x + shift : x + shift + tile]
            place[:] = answer[:, : place.shape[1], : place.shape[2]]
    return result


def stepped(step):
    """16.2, map by map, with another step from the largest cell."""

    def along(line, at):
        return float(step(*line[at - 1 : at + 2])) if 0 < at < len(line) - 1 else 0.0

    def mine(logits, box):
        found = []
        _, height, width = logits.shape
        x1, y1, x2, y2 = box.tolist()
        for each in logits:
            row, column = divmod(int(each.argmax()), width)
            x, y = column + 0.5 + along(each[row], column), row + 0.5 + along(each[:, column], row)
            found.append([x1 + x / width * (x2 - x1), y1 + y / height * (y2 - y1)])
        return torch.tensor(found)

    return mine


def snapped(rounding, put=lambda far, near: torch.maximum(far, near) + 1):
    """13.1, with another rounding or another far edge."""

    def mine(boxes, spatial_scale):
        cells = rounding(boxes * spatial_scale)
        near, far = cells[:, :2], cells[:, 2:]
        return torch.cat([near, put(far, near)], 1) / spatial_scale - boxes

    return mine


def nearest_away(values):
    return values.sign() * (values.abs() + 0.5).floor()


def scored(**instead):
    """17.1, with another formula for one of the three."""

    def mine(prediction, target):
        p, t = (each[target > 0] for each in (prediction, target))
        g = p.log() - t.log()
        scores = {
            "rel": ((p - t).abs() / t).mean(),
            "silog": (g - g.mean()).square().mean().sqrt(),
            "delta": (torch.maximum(p / t, t / p) < 1.25).float().mean(),
        }
        return torch.stack(
            [instead[key](p, t, g) if key in instead else each for key, each in scores.items()]
        )

    return mine


SLIPS = [
    ("9.3", lambda n, i, t, m: laid_down(n, i, t, m, shift=m), "written a margin too far"),
    ("9.3", lambda n, i, t, m: laid_down(n, i, t, m, shift=m, room=2 * m), "output with a margin"),
    ("9.3", lambda n, i, t, m: laid_down(n, i, t, m, less=t), "last tiles missing"),
    ("9.3", lambda n, i, t, m: laid_down(n, i, t, m, step=2 * m), "steps as long as what goes in"),
    ("9.3", lambda n, i, t, m: laid_down(n, i, t, m, step=m), "steps of a tile and a margin"),
    ("13.1", snapped(torch.trunc), "cut off"),
    ("13.1", snapped(lambda v: (v + 0.5).long().float()), "a half added, then cut off"),
    ("13.1", snapped(nearest_away, lambda far, near: torch.maximum(far + 1, near)),
     "the cell added before the corners are compared"),
    ("16.2", stepped(lambda a, b, c: (a - c) / (4 * (a - 2 * b + c))), "a half too many"),
    ("16.2", stepped(lambda a, b, c: (a - c) / (2 * (a + 2 * b + c))), "curvature added up"),
    ("16.2", stepped(lambda a, b, c: (c - a) / 2), "slope alone"),
    ("16.2", stepped(lambda a, b, c: c - a), "difference alone"),
    ("16.2", stepped(lambda a, b, c: (a - b) / (2 * (a - 2 * b + c))), "one neighbour only"),
    ("16.2", stepped(lambda a, b, c: ((a - c) / (2 * (a - 2 * b + c))).clamp(-0.25, 0.25)),
     "step held within a quarter"),
    ("17.1", scored(rel=lambda p, t, g: ((p - t).abs() / torch.maximum(p, t)).mean()),
     "relative to the larger one"),
    ("17.1", scored(rel=lambda p, t, g: ((p - t).abs() / ((p + t) / 2)).mean()), "relative to both"),
    ("17.1", scored(silog=lambda p, t, g: (g.square().mean() - 0.85 * g.mean() ** 2).sqrt()),
     "most of the mean taken off"),
    ("17.1", scored(silog=lambda p, t, g: (g.square().mean() - g.mean()).abs().sqrt()), "mean not squared"),
    ("17.1", scored(delta=lambda p, t, g: torch.where(t > 0, g.abs() < 0.25, False).float().mean()),
     "within a quarter of a logarithm"),
]  # fmt: skip


@pytest.mark.parametrize(("exercise", "function", "name"), SLIPS)
def test_usual_slips_have_names(exercise, function, name):
    report = judge(EXERCISES[exercise], function)
    assert report.state != "passed" and report.mistake.removesuffix(" (perhaps)") == name, report.card
