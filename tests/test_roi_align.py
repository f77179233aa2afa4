"""RoIAlign and RoIPool equal their definitions, written as plain loops, and torchvision's."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn.functional import grid_sample
from torchvision import ops

import segcore.roi_align as module
from segcore.roi_align import axis_weights, bilinear_sample, roi_align, roi_pool

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)
# Random boxes may all lie outside the map, which is worth a warning elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore:all .* boxes lie outside")


# --- Slow twins, from the definitions ---


def bilinear_twin(feature, x, y):
    """The map (C, H, W) at one point in index coordinates, (C,)."""
    channels, height, width = feature.shape
    value = feature.new_zeros(channels)
    if not (-1 <= x <= width and -1 <= y <= height):
        return value
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    for row in range(height):
        for column in range(width):
            value += feature[:, row, column] * max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
    return value


def align_twin(features, boxes, output_size, scale, ratio, aligned):
    """RoIAlign of (K, 5) boxes, sample by sample."""
    out = features.new_zeros(len(boxes), features.shape[1], *output_size)
    for k, (image, *corners) in enumerate(boxes.tolist()):
        x1, y1, x2, y2 = (corner * scale - (0.5 if aligned else 0) for corner in corners)
        least = 0 if aligned else 1
        bin_h, bin_w = max(y2 - y1, least) / output_size[0], max(x2 - x1, least) / output_size[1]
        down, across = (ratio, ratio) if ratio > 0 else (math.ceil(bin_h), math.ceil(bin_w))
        for i in range(output_size[0]):
            for j in range(output_size[1]):
                for v in range(down):
                    for u in range(across):
                        x, y = x1 + (j + (u + 0.5) / across) * bin_w, y1 + (i + (v + 0.5) / down) * bin_h
                        out[k, :, i, j] += bilinear_twin(features[int(image)], x, y) / (down * across)
    return out


def pool_twin(features, boxes, output_size, scale):
    """RoIPool of (K, 5) boxes, cell by cell."""
    height, width = features.shape[2:]
    out = features.new_zeros(len(boxes), features.shape[1], *output_size)
    for k, (image, *corners) in enumerate(boxes.tolist()):
        left, top, right, bottom = (int(math.copysign(abs(c * scale) + 0.5, c)) for c in corners)
        step_y = max(bottom - top + 1, 1) / output_size[0]
        step_x = max(right - left + 1, 1) / output_size[1]
        for i in range(output_size[0]):
            for j in range(output_size[1]):
                rows = range(top + math.floor(i * step_y), top + math.ceil((i + 1) * step_y))
                columns = range(left + math.floor(j * step_x), left + math.ceil((j + 1) * step_x))
                cells = [(y, x) for y in rows for x in columns if 0 <= y < height and 0 <= x < width]
                if cells:
                    out[k, :, i, j] = torch.stack([features[int(image), :, y, x] for y, x in cells]).amax(0)
    return out


# --- Random problems ---


class Problem(NamedTuple):
    features: torch.Tensor
    boxes: torch.Tensor  # (K, 5)
    as_list: bool
    output_size: tuple[int, int]
    scale: float
    ratio: int
    aligned: bool

    def call(self, function, features):
        """Apply our or torchvision's roi_align or roi_pool: positions and names of the arguments agree."""
        boxes = self.boxes
        if self.as_list:
            boxes = [boxes[boxes[:, 0] == i, 1:] for i in range(len(features))]
        options = (self.ratio, self.aligned) if function.__name__ == "roi_align" else ()
        return function(features, boxes, self.output_size, self.scale, *options)


@st.composite
def problems(draw, largest=24, dtypes=(torch.float32, torch.float64)):
    """Maps and boxes partly and wholly outside, ties, boxes on whole and half cells and of no size."""
    pick, whole = (lambda *values: draw(st.sampled_from(values))), (lambda *ends: draw(st.integers(*ends)))
    generator = torch.Generator().manual_seed(whole(0, 2**32))
    dtype, images, channels, height, width = (
        pick(*dtypes),
        whole(1, 3),
        whole(1, 5),
        whole(1, largest),
        whole(1, largest),
    )
    features = torch.randn(images, channels, height, width, generator=generator, dtype=dtype)
    if pick(False, True):
        features = features.round()  # many equal values
    if pick(False, True):
        features = features.contiguous(memory_format=torch.channels_last)
    scale, count = pick(1.0, 0.5, 0.25, 1 / 16, 2.0, 0.3), whole(0, 6)
    extent = torch.tensor([width, height], dtype=dtype) / scale
    centre = (2 * torch.rand(count, 2, generator=generator, dtype=dtype) - 0.5) * extent
    half = torch.rand(count, 2, generator=generator, dtype=dtype) ** 2 * extent * 0.75
    boxes = torch.cat([centre - half, centre + half], dim=1)
    kind = pick("any", "any", "whole", "half", "no size")
    if kind == "whole":
        boxes = boxes.round()
    elif kind == "half":
        boxes = (boxes * 2).round() / 2
    elif kind == "no size":
        boxes[:, 2:] = boxes[:, :2]
    index = torch.randint(images, (count, 1), generator=generator)
    output_size = (whole(1, 7), whole(1, 7))
    return Problem(
        features,
        torch.cat([index, boxes], 1),
        pick(False, True),
        output_size,
        scale,
        whole(-1, 3),
        pick(False, True),
    )


def in_order(problem):
    """The boxes in the order of the result: a list has those of image 0 first."""
    boxes = problem.boxes
    return boxes[boxes[:, 0].argsort(stable=True)] if problem.as_list else boxes


def relative_error(ours, peers):
    return float((ours - peers).abs().max() / peers.abs().max().clamp(min=1e-6)) if peers.numel() else 0.0


# --- Values and gradients ---


@settings(steady, max_examples=40)
@given(problems(largest=7, dtypes=(torch.float64,)))
def test_roi_align_equals_its_definition(problem):
    expected = align_twin(problem.features, in_order(problem), *problem[3:])
    torch.testing.assert_close(problem.call(roi_align, problem.features), expected, rtol=1e-9, atol=1e-9)


@settings(steady, max_examples=60)
@given(problems(largest=9, dtypes=(torch.float64,)))
def test_roi_pool_equals_its_definition(problem):
    expected = pool_twin(problem.features, in_order(problem), problem.output_size, problem.scale)
    assert torch.equal(problem.call(roi_pool, problem.features), expected)


@pytest.mark.parametrize("ours", [roi_align, roi_pool])
def test_equals_torchvision_forward_and_backward(ours, record_property):
    errors = []  # of each draw, forward and backward

    @settings(steady, max_examples=1000)
    @given(problems())
    def compare(problem):
        results = []
        for function in (ours, getattr(ops, ours.__name__)):
            features = problem.features.detach().clone().requires_grad_()
            pooled = problem.call(function, features)
            weight = torch.linspace(-1, 2, max(pooled.numel(), 1), dtype=pooled.dtype)[: pooled.numel()]
            (pooled * weight.view_as(pooled)).sum().backward()
            results.append((pooled.detach(), features.grad))
        (value, gradient), (peers_value, peers_gradient) = results
        assert value.shape == peers_value.shape and value.dtype == peers_value.dtype
        errors.append((relative_error(value, peers_value), relative_error(gradient, peers_gradient)))
        assert max(errors[-1]) < (1e-4 if value.dtype == torch.float32 else 1e-10)

    compare()
    forward, backward = (max(column) for column in zip(*errors, strict=True))
    assert len(errors) >= 1000
    record_property("largest relative error", f"forward {forward:.1e}, backward {backward:.1e}")
    print(f"{ours.__name__}, {len(errors)} draws: {forward:.1e} forward, {backward:.1e} backward")


@pytest.mark.parametrize("function", [roi_align, roi_pool])
def test_gradients_pass_gradcheck(function):
    generator = torch.Generator().manual_seed(0)
    features = (
        torch.randperm(2 * 2 * 6 * 5, generator=generator).reshape(2, 2, 6, 5).double().requires_grad_()
    )
    boxes = torch.tensor([[0, 0.3, 0.8, 4.1, 5.7], [1, -2, 1, 3.3, 8], [1, 1, 1, 1, 1]], dtype=torch.float64)
    assert gradcheck(lambda f: function(f, boxes, (3, 2)), (features,))


@settings(steady, max_examples=25)
@given(problems(dtypes=(torch.float64,)))
def test_the_gradient_is_the_adjoint(problem):
    features = problem.features.requires_grad_()
    pooled = problem.call(roi_align, features)
    other = torch.cos(torch.arange(pooled.numel(), dtype=pooled.dtype)).view_as(pooled)
    (gradient,) = torch.autograd.grad(pooled, features, other)
    torch.testing.assert_close((pooled * other).sum(), (features * gradient).sum())


def test_a_map_that_the_eye_can_check():
    features = torch.arange(25.0).reshape(1, 1, 5, 5)
    box = [torch.tensor([[1.0, 1.0, 4.0, 4.0]])]
    middle = torch.tensor([[6.0, 7, 8], [11, 12, 13], [16, 17, 18]])
    assert torch.equal(roi_align(features, box, 3)[0, 0], middle)  # bins are pixels
    assert torch.equal(roi_align(features, [box[0] + torch.tensor([0.5, 0, 0.5, 0])], 3)[0, 0], middle + 0.5)
    # Without `aligned`, half a pixel right and half a pixel down.
    assert torch.equal(roi_align(features, box, 3, aligned=False)[0, 0], middle + 3)
    assert torch.equal(roi_pool(features, box, 3)[0, 0], middle + 6)  # cells 1 ... 4, bins of two
    assert torch.equal(roi_align(features, [box[0] * 16], 3, spatial_scale=1 / 16)[0, 0], middle)


def test_equal_maxima_give_the_gradient_to_the_first():
    box = [torch.tensor([[0.0, 0.0, 2.0, 2.0]])]
    gradients = []
    for function in (roi_pool, ops.roi_pool):
        features = torch.ones(1, 2, 4, 4, requires_grad=True)
        function(features, box, 2).sum().backward()
        gradients.append(features.grad)
    assert torch.equal(*gradients)
    assert gradients[0][0, 0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


# --- Along one axis, and at one point ---


@steady
@given(st.floats(-0.5, 9.5), st.floats(0, 1), st.integers(1, 7), st.integers(1, 4))
def test_axis_weights_are_means_inside(start, share, bins, samples):
    weights = axis_weights(start, share * (9.5 - start), bins, samples, 10)
    assert weights.shape == (bins, 10) and bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(bins))


@settings(steady, max_examples=40)
@given(problems(dtypes=(torch.float64,)))
def test_roi_align_is_two_matrix_products(problem):
    features, height, width = problem.features, *problem.features.shape[2:]
    samples = max(problem.ratio, 1)
    boxes = in_order(problem)
    pooled = problem._replace(ratio=samples, aligned=True).call(roi_align, features)
    for maps, (image, *corners) in zip(pooled, boxes, strict=True):
        x1, y1, x2, y2 = (corner * problem.scale - 0.5 for corner in corners)
        w_y = axis_weights(y1, y2 - y1, problem.output_size[0], samples, height)
        w_x = axis_weights(x1, x2 - x1, problem.output_size[1], samples, width)
        torch.testing.assert_close(maps, w_y @ features[int(image)] @ w_x.T)


def test_axis_weights_outside_are_zero_or_clamped():
    assert torch.equal(axis_weights(-3, 2, 2, 1, 3), torch.zeros(2, 3))  # samples at -2.5 and -1.5
    assert torch.equal(axis_weights(-1, 1, 1, 1, 3), torch.tensor([[1.0, 0, 0]]))  # at -0.5: clamped
    assert torch.equal(axis_weights(2, 4, 2, 1, 3), torch.tensor([[0.0, 0, 1], [0, 0, 0]]))  # at 3 and 5


def test_bilinear_sample_equals_its_definition():
    generator = torch.Generator().manual_seed(1)
    feature = torch.randn(3, 5, 6, generator=generator, dtype=torch.float64)
    points = torch.rand(300, 2, generator=generator, dtype=torch.float64) * 10 - 2
    expected = torch.stack([bilinear_twin(feature, x - 0.5, y - 0.5) for x, y in points.tolist()], dim=1)
    torch.testing.assert_close(bilinear_sample(feature, points), expected)


def test_bilinear_sample_equals_grid_sample_inside():
    generator = torch.Generator().manual_seed(2)
    feature = torch.randn(4, 7, 5, generator=generator)
    points = torch.rand(500, 2, generator=generator) * torch.tensor([5.0, 7.0])
    grid = points / torch.tensor([5.0, 7.0]) * 2 - 1
    peers = grid_sample(feature[None], grid[None, None], padding_mode="border", align_corners=False)[0, :, 0]
    torch.testing.assert_close(bilinear_sample(feature, points), peers, rtol=1e-5, atol=1e-5)


def test_bilinear_sample_is_differentiable_in_both():
    generator = torch.Generator().manual_seed(3)
    feature = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    points = torch.tensor([[1.2, 0.9], [4.1, 3.3], [2.75, 1.8]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(bilinear_sample, (feature, points))


# --- What goes in and what comes out ---

FEATURES = torch.arange(2 * 3 * 6 * 8.0).reshape(2, 3, 6, 8)
BOXES = torch.tensor([[0.0, 1.0, 1.5, 6.0, 5.0], [1.0, -2.0, 0.0, 3.0, 9.0]])
FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("function", [roi_align, roi_pool])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", FORMATS)
def test_dtype_and_memory_format_are_kept(function, dtype, layout):
    features = (FEATURES / 288).to(dtype).contiguous(memory_format=layout).requires_grad_()
    pooled = function(features, BOXES, 3)
    pooled.sum().backward()
    assert pooled.dtype == features.grad.dtype == dtype and pooled.device == features.device
    assert pooled.is_contiguous(memory_format=layout)
    exact = function(features.detach().float(), BOXES, 3)
    torch.testing.assert_close(pooled.detach().float(), exact, rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("function", [roi_align, roi_pool])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_does_not_move_boxes(function, dtype):
    features = (torch.arange(600) % 7).expand(1, 1, 4, 600).to(dtype)
    box = [torch.tensor([[511.3, 0.0, 518.2, 4.0]])]  # bfloat16 would make it 512 ... 520
    torch.testing.assert_close(
        function(features, box, 7).float(), function(features.float(), box, 7), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("function", [roi_align, roi_pool])
@pytest.mark.parametrize("layout", FORMATS)
def test_inputs_stay_as_they_were(function, layout):
    features, boxes = FEATURES.clone().contiguous(memory_format=layout), BOXES.clone().requires_grad_()
    with pytest.warns(UserWarning, match=r"no gradient reaches boxes.*boxes\.detach\(\)"):
        pooled = function(features, boxes, 3)
    pooled += 1  # and the result is no view of them
    assert torch.equal(features, FEATURES) and torch.equal(boxes, BOXES)
    assert features._version == boxes._version == 0 and not pooled.requires_grad


@pytest.mark.parametrize("function", [roi_align, roi_pool])
def test_no_boxes_give_an_empty_result(function):
    features = FEATURES.clone().requires_grad_()
    for boxes in ([], torch.zeros(0, 5), [torch.zeros(0, 4)] * 2, [torch.tensor([])] * 2, ()):
        pooled = function(features, boxes, (2, 4))
        assert pooled.shape == (0, 3, 2, 4) and pooled.dtype == features.dtype
        pooled.sum().backward()
    assert bool((features.grad == 0).all())


@pytest.mark.parametrize("function", [roi_align, roi_pool])
def test_boxes_may_have_another_dtype(function):
    whole = BOXES.round().long()
    assert torch.equal(function(FEATURES, whole, 3), function(FEATURES, whole.double(), 3))


@pytest.mark.parametrize("function", [roi_align, roi_pool])
@settings(steady, max_examples=15)
@given(problem=problems(), most=st.integers(1, 200))
def test_boxes_in_parts_are_boxes_at_once(function, problem, most):
    expected = problem.call(function, problem.features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIXELS_AT_ONCE", most)
        assert torch.equal(problem.call(function, problem.features), expected)


NAN, INF = float("nan"), float("inf")
ONE = torch.tensor([[0.0, 0.0, 2.0, 2.0]])


def one(*numbers):
    return torch.tensor([numbers], dtype=torch.float32)


BAD = {  # case: (arguments in place of the good ones, error, what the message names)
    "x2 < x1": (dict(boxes=one(0, 3, 0, 1, 2)), ValueError, r"x1 <= x2.*boxes\[0\] = \(3, 0, 1, 2\)"),
    "y2 < y1": (
        dict(boxes=[ONE, one(0, 3, 1, 2)]),
        ValueError,
        r"y1 <= y2.*boxes\[1\]\[0\] = \(0, 3, 1, 2\)",
    ),
    "NaN": (dict(boxes=one(0, NAN, 0, 1, 2)), ValueError, "finite boxes"),
    "infinite": (dict(boxes=one(0, 0, 0, INF, 2)), ValueError, "finite boxes"),
    "too large": (dict(boxes=one(0, -3e38, 0, 3e38, 2)), ValueError, "finite boxes"),
    "no such image": (dict(boxes=one(2, 0, 0, 1, 2)), ValueError, "batch index from 0 to 1"),
    "negative image": (dict(boxes=one(-1, 0, 0, 1, 2)), ValueError, "batch index from 0 to 1"),
    "half an image": (dict(boxes=one(0.5, 0, 0, 1, 2)), ValueError, "batch index from 0 to 1"),
    "NaN image": (dict(boxes=one(NAN, 0, 0, 1, 2)), ValueError, "finite boxes"),
    "(N, 4)": (dict(boxes=ONE), ValueError, r"\(1, 4\); put boxes of one image into a list"),
    "one box": (dict(boxes=one(0, 0, 0, 1, 2)[0]), ValueError, r"\(5,\)"),
    "one box of a list": (dict(boxes=[ONE[0], ONE]), ValueError, r"boxes\[0\].*\[None\]"),
    "(K, 5) in a list": (dict(boxes=[one(0, 0, 0, 1, 2)] * 2), ValueError, "the place in the list"),
    "short list": (dict(boxes=[ONE]), ValueError, r"2 images.*list of 1"),
    "numbers": (dict(boxes=[[0, 0, 1, 1], [0, 0, 1, 1]]), TypeError, "as_tensor"),
    "dictionary": (dict(boxes={"boxes": ONE}), TypeError, "dict"),
    "NaN in a list": (dict(boxes=[ONE, one(0, NAN, 1, 2)]), ValueError, r"finite boxes\[1\].*\(0, 1\)"),
    "truths": (dict(boxes=BOXES > 0), ValueError, "torch.bool"),
    "other device": (dict(boxes=BOXES.to("meta")), ValueError, "meta"),
    "one map": (dict(features=FEATURES[0]), ValueError, r"features\[None\]"),
    "flat map": (dict(features=FEATURES[0, 0]), ValueError, r"\(6, 8\)"),
    "integer map": (dict(features=FEATURES.long()), ValueError, r"features\.float\(\)"),
    "empty map": (dict(features=FEATURES[:, :, :0]), ValueError, r"\(2, 3, 0, 8\)"),
    "array": (dict(features=FEATURES.numpy()), TypeError, "ndarray"),
    "scale < 0": (dict(spatial_scale=-0.25), ValueError, "spatial_scale as a finite number above 0.*-0.25"),
    "scale 0": (dict(spatial_scale=0), ValueError, "spatial_scale as a finite number above 0"),
    "scale infinite": (dict(spatial_scale=INF), ValueError, "spatial_scale as a finite number above 0"),
    "scale NaN": (dict(spatial_scale=NAN), ValueError, "spatial_scale as a finite number above 0"),
    "scale in words": (dict(spatial_scale="1/16"), TypeError, "spatial_scale as a number"),
    "no bins": (dict(output_size=0), ValueError, "output_size of at least 1, got 0"),
    "negative bins": (dict(output_size=(7, -1)), ValueError, "output_size of at least 1, got -1"),
    "half a bin": (dict(output_size=3.5), TypeError, "output_size as a whole number, got 3.5"),
    "three sizes": (dict(output_size=(7, 7, 7)), ValueError, r"\(h, w\)"),
}


def assert_refuses(call, error, words):
    """The message says what was expected, what came and what to do."""
    with pytest.raises(error, match=words) as caught:
        call()
    assert caught.type is error
    caught.match(r"(?s)^expected .+ got .+; .+")


@pytest.mark.parametrize("function", [roi_align, roi_pool])
@pytest.mark.parametrize(("wrong", "error", "words"), BAD.values(), ids=list(BAD))
def test_bad_input_is_refused(function, wrong, error, words):
    good = dict(features=FEATURES, boxes=BOXES, output_size=3)
    assert_refuses(lambda: function(**good | wrong), error, words)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: roi_align(FEATURES, BOXES, 3, sampling_ratio=1.5),
            TypeError,
            "sampling_ratio as a whole number",
        ),
        (
            lambda: roi_align(FEATURES, one(0, 0, 0, 9e5, 1), 3, sampling_ratio=0),
            ValueError,
            "clip the boxes",
        ),
        (lambda: bilinear_sample(FEATURES, ONE[:, :2]), ValueError, r"feature of shape \(C, H, W\)"),
        (lambda: bilinear_sample(FEATURES[0].int(), ONE[:, :2]), ValueError, "floating point"),
        (lambda: bilinear_sample(FEATURES[0], torch.zeros(2)), ValueError, r"points\[None\]"),
        (lambda: bilinear_sample(FEATURES[0], torch.zeros(2, 9)), ValueError, r"points\.T"),
        (lambda: bilinear_sample(FEATURES[0], torch.zeros(1, 2, dtype=torch.complex64)), ValueError, "real"),
        (lambda: bilinear_sample(FEATURES[0], one(NAN, 1)), ValueError, "finite points"),
        (lambda: bilinear_sample(FEATURES[0], [(1, 1)]), TypeError, "as_tensor"),
        (lambda: bilinear_sample(FEATURES[0], torch.zeros(1, 2, device="meta")), ValueError, "device"),
        (lambda: axis_weights(0, -1, 2, 2, 4), ValueError, "length=-1"),
        (lambda: axis_weights(NAN, 1, 2, 2, 4), ValueError, "finite start"),
        (lambda: axis_weights(torch.zeros(2), 1, 2, 2, 4), ValueError, "once for each box"),
        (lambda: axis_weights(0, 1, 0, 2, 4), ValueError, "bins of at least 1"),
        (lambda: axis_weights(0, 1, 2, 2.0, 4), TypeError, "samples as a whole number"),
    ],
)
def test_bad_arguments_are_refused(call, error, words):
    assert_refuses(call, error, words)


# --- What a map of sizes alone, half precision, infinities and memory ask ---

BOTH = [
    (roi_align, lambda features, boxes: ops.roi_align(features, boxes, 3, 1.0, 2, True)),
    (roi_pool, lambda features, boxes: ops.roi_pool(features, boxes, 3)),
]
by_function = pytest.mark.parametrize(("function", "peer"), BOTH, ids=["roi_align", "roi_pool"])


@by_function
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.uint8, torch.int8, torch.int16])
def test_the_batch_index_is_not_rounded_to_the_boxes_dtype(function, peer, dtype):
    images = 2100 if dtype == torch.float16 else 300
    features = torch.arange(float(images))[:, None, None, None].expand(-1, 1, 4, 4)
    boxes = [torch.tensor([[0, 0, 4, 4]]).to(dtype)] * images
    assert torch.equal(function(features, boxes, 1).flatten(), torch.arange(float(images)))


def test_half_precision_does_not_move_points():
    ramp = torch.arange(4000.0).expand(1, 1, -1)
    for dtype, x in ((torch.float16, 2500.5), (torch.bfloat16, 300.7), (torch.bfloat16, 1999.3)):
        feature = torch.cos(ramp).to(dtype)
        point = torch.tensor([[x, 0.5]])
        expected = bilinear_sample(feature.float(), point)
        found = bilinear_sample(feature, point)
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
    assert bilinear_sample(ramp.half(), torch.tensor([[2500.5, 0.5]])).item() == 2500


def test_half_precision_does_not_move_an_interval():
    for dtype in (torch.float16, torch.bfloat16):
        start, length = torch.tensor([250.0, 12.0], dtype=dtype)
        weights = axis_weights(start, length, 7, 2, 300)
        assert weights.dtype == dtype
        torch.testing.assert_close(weights.float(), axis_weights(250, 12, 7, 2, 300), rtol=1e-2, atol=1e-2)


def test_the_slope_at_a_pixel_centre_is_that_to_the_right():
    feature = torch.tensor([[[0.0, 0, 0], [10, 11, 13], [14, 15, 17]]])
    point = torch.tensor([[1.5, 1.5]], requires_grad=True)
    bilinear_sample(feature, point).backward()
    assert point.grad.tolist() == [[2, 4]]


@pytest.mark.parametrize("strange", [NAN, INF, -INF])
@pytest.mark.parametrize("ratio", [1, 2, 5, 0])
def test_what_is_not_finite_beside_a_box_stays_there(strange, ratio):
    good = torch.arange(64.0).reshape(1, 1, 8, 8)
    beside = good.clone()
    beside[0, 0, :, 5:] = beside[0, 0, :2] = strange
    # Boxes whose last samples lie on the last good centres, that reach over the border, and that lie outside.
    for box in ((1, 3, 4.5, 7.5), (0.5, 2.5, 4.5, 7.5), (-4, 3, 2, 12), (-9, 1, -5, 2), (40, 2, 44, 3)):
        box = [torch.tensor([box], dtype=torch.float32)]
        expected = roi_align(good, box, 1, sampling_ratio=ratio)
        assert torch.equal(roi_align(beside, box, 1, sampling_ratio=ratio), expected)
    inside = roi_align(beside, one(0, 3, 2, 7, 4), 2)[0, 0]
    assert not inside[0].isfinite().any() and not inside[:, 1].isfinite().any()


@pytest.mark.parametrize("strange", [NAN, INF])
def test_a_point_on_a_centre_reads_that_pixel_alone(strange):
    feature = torch.full((1, 3, 3), strange)
    feature[0, 1, 1] = 7
    points = torch.tensor([[1.5, 1.5], [1.6, 1.5], [-9.0, 1.5]])
    value = bilinear_sample(feature, points)[0]
    assert value[0] == 7 and not value[1].isfinite() and value[2] == 0


@by_function
@pytest.mark.parametrize("as_list", [False, True])
def test_a_compiled_graph_is_whole(function, peer, as_list):
    graph = torch.compile(lambda f, b: function(f, b, 3), fullgraph=True, backend="eager")
    boxes = [BOXES[:1, 1:], BOXES[1:, 1:]] if as_list else BOXES
    results = []
    for run in (graph, peer):
        features = FEATURES.clone().requires_grad_()
        pooled = run(features, boxes)
        (pooled**2).sum().backward()
        results.append((pooled, features.grad))
    torch.testing.assert_close(results[0], results[1])


def test_a_compiled_graph_may_adapt_its_samples():
    graph = torch.compile(lambda f, b: roi_align(f, b, 3, 0.5, -1, False), fullgraph=True, backend="eager")
    torch.testing.assert_close(graph(FEATURES, BOXES), ops.roi_align(FEATURES, BOXES, 3, 0.5, -1, False))


@by_function
def test_a_model_can_be_exported_for_any_size(function, peer):
    class Pool(torch.nn.Module):
        def forward(self, features, boxes):
            return function(features, boxes, 3)

    free = torch.export.Dim.DYNAMIC
    shapes = ({2: free, 3: free}, {0: free})
    program = torch.export.export(Pool(), (FEATURES, BOXES), dynamic_shapes=shapes).module()
    larger = torch.arange(2 * 3 * 9 * 7.0).reshape(2, 3, 9, 7)
    torch.testing.assert_close(program(larger, BOXES.repeat(3, 1)), peer(larger, BOXES.repeat(3, 1)))


@by_function
def test_functional_gradients_and_maps_of_sizes_alone(function, peer):
    features = FEATURES.clone().requires_grad_()
    (expected,) = torch.autograd.grad((function(features, BOXES, 3) ** 2).sum(), features)
    found = torch.func.grad(lambda f: (function(f, BOXES, 3) ** 2).sum())(FEATURES)
    torch.testing.assert_close(found, expected)
    assert function(FEATURES.to("meta"), BOXES.to("meta"), 3).shape == (2, 3, 3, 3)


@by_function
def test_all_boxes_outside_are_worth_a_warning(function, peer, recwarn):
    right = [torch.tensor([[20.0, 20, 60, 60]]), torch.zeros(0, 4)]
    for boxes in ([], [torch.zeros(0, 4)] * 2, torch.zeros(0, 5), [right[0], right[0] + 1e4]):
        function(FEATURES, boxes, 3, spatial_scale=1 / 16)
    assert not recwarn.list
    for wrong in (right, torch.tensor([[1.0, -60, -60, -20, -20]])):
        with pytest.warns(
            UserWarning, match="all 1 boxes lie outside .* 6 × 8 .* check spatial_scale"
        ) as told:
            assert (function(FEATURES, wrong, 3, spatial_scale=16) == 0).all()
        assert told[0].filename == __file__


@by_function
def test_boxes_that_want_a_gradient_are_told(function, peer, recwarn):
    wanted = BOXES.clone().requires_grad_()
    function(FEATURES, wanted.detach(), 3)
    with torch.no_grad():
        function(FEATURES, wanted, 3)
    assert not recwarn.list
    for boxes in (wanted, [wanted[:1, 1:], BOXES[1:, 1:]]):
        with pytest.warns(UserWarning, match="no gradient reaches boxes") as told:
            function(FEATURES, boxes, 3)
        assert told[0].filename == __file__


@by_function
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_the_defaults_of_torch_change_nothing(function, peer, dtype):
    expected = function(FEATURES, BOXES, 3), axis_weights(0.25, 3.5, 3, 2, 5)
    point = torch.tensor([[1.2, 2.3]])
    sampled, before = bilinear_sample(FEATURES[0], point), torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        with torch.device("meta"):
            found = function(FEATURES, BOXES, 3), axis_weights(0.25, 3.5, 3, 2, 5)
            again = bilinear_sample(FEATURES[0], point)
            listed = function(FEATURES, [BOXES[:1, 1:], BOXES[1:, 1:]], 3)
    finally:
        torch.set_default_dtype(before)
    for one_of, other in zip((*expected, sampled, expected[0]), (*found, again, listed), strict=True):
        assert one_of.dtype == other.dtype and torch.equal(one_of, other)


PEAK = """
import os, resource, torch
import segcore.roi_align as ours
from torchvision import ops
from benchmarks.roi_align import proposals

def peak(pool):
    boxes = proposals(1000, 16, 112, torch.Generator().manual_seed(0))
    features = torch.zeros(1, 256, 200, 304).fill_(1)
    pool(features[:, :1, :9, :9].contiguous(), [boxes[:2] / 100], 7)  # what loads late
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pool(features, [boxes], 7, 0.25)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

for name in ("roi_align", "roi_pool"):
    for library in (ours, ops):
        if os.fork() == 0:  # a process of its own, which need not load torch again
            code = 1
            try:
                print(peak(getattr(library, name)), flush=True)
                code = 0
            finally:
                os._exit(code)
        assert os.wait()[1] == 0
"""


@pytest.fixture(scope="module")
def peaks():
    """What each operation takes in megabytes, ours and torchvision's, each in a process of its own."""
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers = [float(line) for line in done.stdout.split()]
    return {"roi_align": numbers[:2], "roi_pool": numbers[2:]}


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kilobytes on Linux alone")
@pytest.mark.parametrize("name", ["roi_align", "roi_pool"])
def test_peak_memory_is_near_torchvisions(name, peaks):
    ours, theirs = peaks[name]
    # The result has 48 MB; torchvision's RoIPool keeps the cells that it found, too.
    assert ours < theirs + 80
