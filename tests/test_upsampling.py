"""Up-convolution from three sides, bilinear up-sampling and unpooling: loops, torch, and each other."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn import functional as F

from segcore.upsampling import (
    bilinear_kernel,
    fractional_conv2d,
    max_unpool2d,
    overlap_count,
    painted_conv2d,
    resize_bilinear,
    resize_matrix,
    transposed_conv2d,
    transposed_conv_matrix,
    zero_insert,
)

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relative_error(ours, theirs):
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-6))


def by_matrix(x, weight, stride=1, padding=0, output_padding=0):
    """The transposed convolution as a product with the transposed matrix of the convolution."""
    steps, borders, extras = (
        (each, each) if isinstance(each, int) else each for each in (stride, padding, output_padding)
    )
    size = [
        (count - 1) * step + cells - 2 * border + extra
        for count, step, cells, border, extra in zip(
            x.shape[2:], steps, weight.shape[2:], borders, extras, strict=True
        )
    ]
    matrix = transposed_conv_matrix(weight, tuple(size), stride, padding)
    return (x.flatten(1) @ matrix).unflatten(1, (weight.shape[1], *size))


VIEWS = [transposed_conv2d, painted_conv2d, fractional_conv2d, by_matrix]


# --- Slow twins, from the definitions ---


def painting_twin(x, weight, stride, padding, output_padding):
    """Stroke by stroke; what falls off the canvas is lost."""
    (n, c, h, w), (_, o, kh, kw) = x.shape, weight.shape
    height = (h - 1) * stride[0] + kh - 2 * padding[0] + output_padding[0]
    width = (w - 1) * stride[1] + kw - 2 * padding[1] + output_padding[1]
    canvas = x.new_zeros(n, o, height, width)
    for a, b, i, j, k, m in itertools.product(*map(range, (n, c, h, w, kh, kw))):
        row, column = i * stride[0] + k - padding[0], j * stride[1] + m - padding[1]
        if 0 <= row < height and 0 <= column < width:
            canvas[a, :, row, column] += x[a, b, i, j] * weight[b, :, k, m]
    return canvas


def unpool_twin(x, indices, height, width):
    out = x.new_zeros(*x.shape[:2], height, width)
    for place in itertools.product(*map(range, x.shape)):
        row, column = divmod(indices[place].item(), width)
        out[place[0], place[1], row, column] = x[place]
    return out


def resize_twin(x, height, width):
    """Each new pixel from the four old ones around its centre."""
    _, _, h, w = x.shape
    out = x.new_zeros(*x.shape[:2], height, width)
    for i, j in itertools.product(range(height), range(width)):
        v = min(max((i + 0.5) * h / height - 0.5, 0), h - 1)
        u = min(max((j + 0.5) * w / width - 0.5, 0), w - 1)
        for row, column in itertools.product(range(h), range(w)):
            out[:, :, i, j] += x[:, :, row, column] * max(0, 1 - abs(v - row)) * max(0, 1 - abs(u - column))
    return out


# --- Painting, inserting zeros, and the matrix ---


def test_all_views_equal_torch_for_every_option(record_property):
    """Kernels 1 to 5 and strides 1 to 4, each with every padding and output padding that leaves anything."""
    largest, accepted, refused = 0.0, 0, 0
    x = normal(2, 3, 4, 5, seed=1)
    for kernel, stride in itertools.product(range(1, 6), range(1, 5)):
        weight = normal(3, 2, kernel, kernel, seed=10 * kernel + stride)
        for padding, extra in itertools.product(range(11), range(stride + 1)):
            try:
                expected = F.conv_transpose2d(x, weight, None, stride, padding, extra)
            except RuntimeError:
                expected = x[:0]
            if expected.numel() == 0:  # torch refuses an output below 0 cells and lets one of 0 cells pass
                refused += 1
                for view in VIEWS[:3]:
                    with pytest.raises(ValueError, match=r"^expected .+ got .+; .+"):
                        view(x, weight, stride, padding, extra)
                continue
            accepted += 1
            for view in VIEWS:
                largest = max(largest, relative_error(view(x, weight, stride, padding, extra), expected))
    assert accepted >= 300 and refused >= 100
    assert largest < 1e-5
    record_property("combinations", accepted)
    record_property("largest relative error", f"{largest:.1e}")
    print(f"{accepted} combinations, {refused} refused by torch and by us; largest error {largest:.1e}")


def test_every_rectangular_option_equals_torch():
    """Each axis has its own kernel, stride, padding and output padding: axes are never exchanged."""
    x, largest, count = normal(1, 2, 3, 4, seed=2), 0.0, 0
    axis = [
        (kernel, stride, padding, extra)
        for kernel in (1, 2, 5)
        for stride in (1, 3)
        for padding in range(kernel)
        for extra in range(stride)
        if 2 * stride + kernel - 2 * padding + extra >= 1
    ]
    for options in itertools.product(axis, axis):
        kernel, *rest = zip(*options, strict=True)
        weight = normal(2, 2, *kernel, seed=3)
        expected = F.conv_transpose2d(x, weight, None, *rest)
        count += 1
        for view in VIEWS:
            largest = max(largest, relative_error(view(x, weight, *rest), expected))
    assert count > 900 and largest < 1e-5


@st.composite
def problems(draw, dtype=torch.float64):
    """Maps, filters and options that leave at least one output cell."""
    whole = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    n, c, o, h, w = whole(1, 2), whole(1, 3), whole(1, 3), whole(1, 5), whole(1, 5)
    axes = []
    for size in (h, w):
        kernel, stride = whole(1, 5), whole(1, 4)
        extra = whole(0, stride - 1)
        axes.append((kernel, stride, whole(0, ((size - 1) * stride + kernel + extra - 1) // 2), extra))
    kernel, stride, padding, extra = zip(*axes, strict=True)
    seed = whole(0, 2**32)
    x, weight = normal(n, c, h, w, seed=seed, dtype=dtype), normal(c, o, *kernel, seed=seed + 1, dtype=dtype)
    return x, weight, stride, padding, extra


@settings(steady, max_examples=60)
@given(problems())
def test_all_views_equal_the_definition(problem):
    expected = painting_twin(*problem)
    for view in VIEWS:
        torch.testing.assert_close(view(*problem), expected, rtol=1e-10, atol=1e-10)


@settings(steady, max_examples=100)
@given(problems())
def test_it_is_the_adjoint_of_the_convolution(problem):
    """<conv(x), y> = <x, transposed(y)>, with torch's convolution and with the matrix."""
    y, weight, stride, padding, _ = problem
    back = transposed_conv2d(*problem)
    x = normal(*back.shape, seed=7, dtype=torch.float64)
    forth = F.conv2d(x, weight, None, stride, padding)
    torch.testing.assert_close((forth * y).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)
    matrix = transposed_conv_matrix(weight, tuple(back.shape[2:]), stride, padding)
    torch.testing.assert_close(x.flatten(1) @ matrix.T, forth.flatten(1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(y.flatten(1) @ matrix, back.flatten(1), rtol=1e-9, atol=1e-9)


@settings(steady, max_examples=60)
@given(problems())
def test_gradients_are_torchs(problem):
    x, weight, *options = problem
    results = []
    for function in (F.conv_transpose2d, *VIEWS):
        leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
        rest = (None, *options) if function is F.conv_transpose2d else options
        value = function(*leaves, *rest)
        results.append(torch.autograd.grad(value, leaves, torch.cos(value.detach())))
    for found in results[1:]:
        for ours, theirs in zip(found, results[0], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("view", VIEWS)
def test_gradients_pass_gradcheck(view):
    x = normal(1, 2, 2, 3, dtype=torch.float64).requires_grad_()
    weight = normal(2, 2, 3, 2, seed=1, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda *both: view(*both, (2, 3), 1, (1, 0)), (x, weight))


@pytest.mark.parametrize("view", VIEWS)
def test_painting_can_be_differentiated_twice(view):
    x, weight = normal(1, 1, 2, 2, dtype=torch.float64), normal(1, 1, 3, 3, seed=1, dtype=torch.float64)
    inputs = x.requires_grad_(), weight.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *both: view(*both, 2, 1), inputs)


def test_strokes_that_the_eye_can_check():
    x, ones = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]]), torch.ones(1, 1, 3, 3)
    painted = transposed_conv2d(x, ones, 2)[0, 0]
    assert painted.tolist() == [
        [1, 1, 11, 10, 10],
        [1, 1, 11, 10, 10],
        [101, 101, 1111, 1010, 1010],
        [100, 100, 1100, 1000, 1000],
        [100, 100, 1100, 1000, 1000],
    ]
    assert torch.equal(transposed_conv2d(x, ones, 2, 1)[0, 0], painted[1:-1, 1:-1])
    assert torch.equal(transposed_conv2d(x, ones, 2, 1, 1)[0, 0], painted[1:, 1:])
    unpainted = transposed_conv2d(x, ones, 4, 0, 3)[0, 0]  # strokes of 3 every 4 cells, 3 cells more
    assert unpainted.shape == (10, 10) and float(unpainted[3].sum() + unpainted[7:].sum()) == 0
    one = torch.zeros(1, 1, 3, 3)
    one[..., 1, 1] = 1
    filter_ = normal(1, 1, 3, 3)
    assert torch.equal(transposed_conv2d(one, filter_, 1, 1)[0, 0], filter_[0, 0])  # not flipped


def test_output_padding_tells_apart_what_a_convolution_rounds_to_the_same_size():
    weight = normal(3, 2, 3, 3)
    for size in (7, 8):
        y = F.conv2d(normal(1, 2, size, size), weight, None, 2, 1)
        assert y.shape[2:] == (4, 4)
        back = transposed_conv2d(y, weight, 2, 1, size - 7)
        assert back.shape[2:] == (size, size)


@steady
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
def test_zero_insert_keeps_the_values_and_adds_zeros(height, width, down, across):
    x = normal(2, height, width).requires_grad_()
    spread = zero_insert(x, (down, across))
    assert spread.shape == (2, (height - 1) * down + 1, (width - 1) * across + 1)
    assert torch.equal(spread[:, ::down, ::across], x)
    assert int((spread != 0).sum()) == x.numel()
    spread.sum().backward()
    assert bool((x.grad == 1).all())


def test_zero_insert_is_painting_with_a_filter_of_one_cell():
    x = normal(2, 1, 3, 4)
    assert torch.equal(zero_insert(x, 3), transposed_conv2d(x, torch.ones(1, 1, 1, 1), 3))


def test_the_matrix_of_a_row():
    weight = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert transposed_conv_matrix(weight, (1, 4), padding=(0, 1)).tolist() == [
        [2, 3, 0, 0],
        [1, 2, 3, 0],
        [0, 1, 2, 3],
        [0, 0, 1, 2],
    ]


# --- Overlaps ---


@pytest.mark.parametrize("kernel", range(1, 6))
@pytest.mark.parametrize("stride", range(1, 5))
def test_overlaps_are_what_ones_paint_with_a_filter_of_ones(kernel, stride):
    count = overlap_count(kernel, stride, (4, 6))
    painted = F.conv_transpose2d(torch.ones(1, 1, 4, 6), torch.ones(1, 1, kernel, kernel), stride=stride)
    assert count.dtype == torch.int64 and torch.equal(count, painted[0, 0].long())
    inner = overlap_count(kernel, stride, 24)[8:-8, 8:-8]  # even where the stride divides the kernel
    assert (inner.unique().numel() == 1) == (kernel % stride == 0)


# --- Bilinear ---


def on_channels(kernel, count=2):
    return torch.eye(count)[:, :, None, None] * kernel


def test_the_lectures_filter():
    quarters = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    assert torch.equal(bilinear_kernel(2), quarters)
    tent = torch.tensor([1.0, 3, 3, 1]) / 4
    assert torch.equal(bilinear_kernel(2, even=True), torch.outer(tent, tent))
    assert torch.equal(bilinear_kernel(1), torch.ones(1, 1))


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 8, 16])
def test_the_odd_filter_up_samples_with_aligned_corners_everywhere(stride):
    x = normal(2, 2, 4, 6)
    painted = transposed_conv2d(x, on_channels(bilinear_kernel(stride)), stride, stride - 1)
    size = [(count - 1) * stride + 1 for count in x.shape[2:]]
    expected = F.interpolate(x, size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(painted, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(painted[:, :, ::stride, ::stride], x)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 6, 8, 16, 32])
def test_half_pixel_up_sampling_is_even_for_even_strides_and_odd_for_odd_ones(stride):
    x = normal(2, 2, 4, 6)
    weight = on_channels(bilinear_kernel(stride, even=stride % 2 == 0))
    crop = stride // 2
    painted = transposed_conv2d(x, weight, stride, crop)
    expected = F.interpolate(x, scale_factor=stride, mode="bilinear", align_corners=False)
    assert painted.shape == expected.shape
    inner = (slice(crop, -crop or None),) * 2
    torch.testing.assert_close(painted[:, :, *inner], expected[:, :, *inner], rtol=1e-5, atol=1e-5)
    if stride > 1:
        assert relative_error(painted, expected) > 0.05  # nothing is painted from outside
    repeated = F.pad(x, (1, 1, 1, 1), mode="replicate")
    everywhere = transposed_conv2d(repeated, weight, stride, stride + crop)
    torch.testing.assert_close(everywhere, expected, rtol=1e-5, atol=1e-5)


@steady
@given(st.integers(1, 9), st.booleans())
def test_bilinear_filters_leave_a_flat_map_flat(stride, even):
    stride *= 2 if even else 1
    kernel = bilinear_kernel(stride, even)
    assert kernel.shape == ((2 * stride,) * 2 if even else (2 * stride - 1,) * 2)
    flat = transposed_conv2d(torch.ones(1, 1, 4, 4), kernel[None, None], stride)[0, 0]
    inner = flat[2 * stride : -2 * stride, 2 * stride : -2 * stride]
    torch.testing.assert_close(inner, torch.ones_like(inner))


@settings(steady, max_examples=300)
@given(*[st.integers(1, 40)] * 4, st.booleans())
def test_resize_equals_torch(height, width, new_height, new_width, channels_last):
    x = normal(2, 3, height, width, dtype=torch.float64).requires_grad_()
    if channels_last:
        x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    results = []
    for function in (
        resize_bilinear,
        lambda x, size: F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=False),
    ):
        value = function(x, (new_height, new_width))
        results.append((value, *torch.autograd.grad(value, x, torch.cos(3 * value.detach()))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_resize_in_float32_is_within_1e_5_of_torch(record_property):
    largest = 0.0
    for old, new in [(7, 224), (14, 448), (64, 512), (16, 64), (33, 21), (96, 50), (1, 9), (9, 1)]:
        x = normal(2, 4, old, old + 1)
        theirs = F.interpolate(x, (new, new + 3), mode="bilinear", align_corners=False)
        largest = max(largest, relative_error(resize_bilinear(x, (new, new + 3)), theirs))
    assert largest < 1e-5
    record_property("largest relative error", f"{largest:.1e}")


@settings(steady, max_examples=30)
@given(*[st.integers(1, 6)] * 4)
def test_resize_equals_the_definition(height, width, new_height, new_width):
    x = normal(1, 2, height, width, dtype=torch.float64)
    expected = resize_twin(x, new_height, new_width)
    torch.testing.assert_close(resize_bilinear(x, (new_height, new_width)), expected, rtol=1e-9, atol=1e-9)


def test_resize_passes_gradcheck_and_keeps_equal_sizes():
    x = normal(1, 2, 3, 2, dtype=torch.float64).requires_grad_()
    for size in [(5, 3), (2, 2), (3, 1)]:
        assert gradcheck(lambda x, size=size: resize_bilinear(x, size), (x,))
        assert torch.autograd.gradgradcheck(lambda x, size=size: resize_bilinear(x, size), (x,))
    assert torch.equal(resize_bilinear(x, (3, 2)), x)
    assert resize_bilinear(x, 4).shape == (1, 2, 4, 4)


@settings(steady, max_examples=60)
@given(*[st.integers(1, 30)] * 4)
def test_resize_is_two_products_with_matrices_of_two_entries_in_a_row(height, width, new_height, new_width):
    w_y, w_x = resize_matrix(height, new_height), resize_matrix(width, new_width)
    assert w_y.shape == (new_height, height) and w_y.dtype == torch.float32
    assert int((w_y != 0).sum(1).max()) <= 2
    torch.testing.assert_close(w_y.sum(1), torch.ones(new_height))
    x = normal(2, 3, height, width)
    torch.testing.assert_close(resize_bilinear(x, (new_height, new_width)), w_y @ x @ w_x.T)


@settings(steady, max_examples=300)
@given(*[st.integers(1, 50)] * 4, st.sampled_from([math.nan, math.inf, -math.inf]), st.booleans(), st.data())
def test_what_is_not_finite_goes_as_far_as_torchs(height, width, new_height, new_width, value, last, data):
    x = normal(1, 3, height, width)
    for _ in range(2):
        x[0, 1, data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = value
        value = -value
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    ours = resize_bilinear(x, (new_height, new_width))
    theirs = F.interpolate(x, (new_height, new_width), mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_a_hole_of_a_map_stays_a_hole():
    x = torch.zeros(1, 1, 4, 4)
    x[..., 0, 0] = math.nan
    assert int(resize_bilinear(x, 8).isnan().sum()) == 9
    gradient = torch.autograd.grad(resize_bilinear(x.requires_grad_(), 8).nansum(), x)[0]
    assert gradient.isfinite().all()


@pytest.mark.parametrize("size", [(512, 768), (1000, 999), (1 << 20, 3), (30_000, 70_001)])
def test_a_long_axis_is_resized_as_torch_does_it_and_without_its_dense_matrix(size):
    """30,000 to 70,001 as a dense matrix of float64 would take 17 GB."""
    old, new = size
    close = {
        "rtol": 1e-5,
        "atol": max(1e-5, old * 2**-21),
    }  # torch rounds positions in float32, here and there
    x = normal(1, 1, 1, old).requires_grad_()
    results = []
    for function in (resize_bilinear, lambda x, size: F.interpolate(x, size, mode="bilinear")):
        value = function(x, (1, new))
        results.append((value, *torch.autograd.grad(value, x, torch.cos(3 * value.detach()))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, **close)
    del results
    tall = normal(1, 1, old, 1)
    theirs = F.interpolate(tall, (new, 1), mode="bilinear")
    torch.testing.assert_close(resize_bilinear(tall, (new, 1)), theirs, **close)


# --- Unpooling ---


@st.composite
def poolings(draw):
    """A map, what max pooling makes of it, and the options that it was pooled with."""
    whole = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    kernel, stride = (whole(1, 4), whole(1, 4)), (whole(1, 4), whole(1, 4))
    padding = tuple(whole(0, cells // 2) for cells in kernel)
    size = [cells + whole(0, 8) for cells in kernel]
    before = torch.randperm(2 * 3 * size[0] * size[1], generator=torch.Generator().manual_seed(whole(0, 999)))
    before = before.reshape(2, 3, *size).double() - 50
    pooled, indices = F.max_pool2d(before, kernel, stride, padding, return_indices=True)
    return before, pooled, indices, kernel, stride, padding


@settings(steady, max_examples=200)
@given(poolings())
def test_unpooling_equals_torch(pooling):
    before, pooled, indices, *options = pooling
    leaf = pooled.requires_grad_()
    results = []
    for function in (max_unpool2d, F.max_unpool2d):
        value = function(leaf, indices, *options, before.shape[2:])
        results.append((value, *torch.autograd.grad(value, leaf, torch.cos(before))))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
    value = results[0][0]
    assert torch.equal(value, unpool_twin(pooled, indices, *before.shape[2:]))
    assert torch.equal(value[value != 0], before[value != 0])
    assert torch.equal(max_unpool2d(leaf, indices, *options, before.shape), value)


def test_unpooling_defaults_are_torchs():
    before = normal(1, 2, 6, 8)
    pooled, indices = F.max_pool2d(before, 2, return_indices=True)
    assert torch.equal(max_unpool2d(pooled, indices, 2), F.max_unpool2d(pooled, indices, 2))
    pooled, indices = F.max_pool2d(before, (3, 2), (3, 2), (1, 1), return_indices=True)
    ours = max_unpool2d(pooled, indices, (3, 2), padding=1, output_size=(6, 8))
    assert torch.equal(ours, F.max_unpool2d(pooled, indices, (3, 2), None, 1, (6, 8)))


def test_pooling_the_unpooled_gives_the_pooled_back():
    pooled, indices = F.max_pool2d(normal(2, 3, 8, 8).abs(), 2, return_indices=True)
    assert torch.equal(F.max_pool2d(max_unpool2d(pooled, indices, 2), 2), pooled)


def test_unpooling_passes_gradcheck():
    pooled, indices = F.max_pool2d(normal(1, 2, 4, 4, dtype=torch.float64), 2, return_indices=True)
    assert gradcheck(lambda x: max_unpool2d(x, indices, 2), (pooled.requires_grad_(),))


# --- What goes in and what comes out ---

X, WEIGHT = normal(2, 3, 4, 5), normal(3, 2, 3, 3, seed=1)
POOLED, PLACES = F.max_pool2d(normal(1, 2, 6, 8), 2, return_indices=True)
FIRST = torch.arange(20).expand(2, 3, 20).reshape(2, 3, 4, 5)
CALLS = {
    "painting": lambda x: transposed_conv2d(x, WEIGHT.to(x.dtype), 2, 1, 1),
    "zeros": lambda x: fractional_conv2d(x, WEIGHT.to(x.dtype), 2, 1, 1),
    "inserting": lambda x: zero_insert(x, 3),
    "resizing": lambda x: resize_bilinear(x, (9, 3)),
    "unpooling": lambda x: max_unpool2d(x, FIRST, 2),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_dtype_is_kept_and_inputs_stay_as_they_were(call, dtype):
    x = X.to(dtype)
    result = call(x)
    assert result.dtype == dtype and x._version == 0
    torch.testing.assert_close(result.float(), call(x.float()), rtol=2e-2, atol=6e-2)
    result += 1  # the result is no view of the input
    assert torch.equal(x, X.to(dtype))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_channels_last_gives_the_same_numbers(call):
    torch.testing.assert_close(call(X.contiguous(memory_format=torch.channels_last)), call(X))


def test_an_empty_batch_gives_an_empty_batch():
    none = X[:0].clone().requires_grad_()
    assert transposed_conv2d(none, WEIGHT, 2).shape == (0, 2, 9, 11)
    assert fractional_conv2d(none, WEIGHT, 2).shape == (0, 2, 9, 11)
    assert resize_bilinear(none, 6).shape == (0, 3, 6, 6)
    assert max_unpool2d(none, torch.zeros(0, 3, 4, 5, dtype=torch.int64), 2).shape == (0, 3, 8, 10)
    transposed_conv2d(none, WEIGHT, 2).sum().backward()


@pytest.mark.parametrize("device", ["meta"])
def test_the_result_lies_where_the_input_lies(device):
    x, weight = X.to(device), WEIGHT.to(device)
    for result in (transposed_conv2d(x, weight, 2), zero_insert(x, 2), resize_bilinear(x, 7)):
        assert result.device.type == device
    assert transposed_conv_matrix(weight, 6, 2).device.type == device


EVERY = {  # each function, so that its result hangs on nothing but its arguments
    **{name: (lambda call=call: call(X)) for name, call in CALLS.items()},
    "painted": lambda: painted_conv2d(X, WEIGHT, 2, 1, 1),
    "matrix": lambda: transposed_conv_matrix(WEIGHT, 6, 2),
}


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("setting", ["device", "dtype"])
def test_torchs_defaults_change_nothing(call, setting):
    expected = call()
    if setting == "device":
        with torch.device("meta"):
            found = call()
    else:
        torch.set_default_dtype(torch.float64)
        try:
            found = call()
            assert bilinear_kernel(2).dtype == resize_matrix(2, 3).dtype == torch.float32
        finally:
            torch.set_default_dtype(torch.float32)
    assert found.device == expected.device and found.dtype == expected.dtype
    assert torch.equal(found, expected)


@pytest.mark.parametrize("view", VIEWS[:3])
@pytest.mark.parametrize("of_x", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("of_weight", [torch.float32, torch.bfloat16, torch.float64])
def test_under_autocast_an_up_convolution_is_converted_as_torchs(view, of_x, of_weight):
    x, weight = X.clone().to(of_x).requires_grad_(), WEIGHT.clone().to(of_weight).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if (of_x == torch.float64) != (of_weight == torch.float64):
            with pytest.raises(ValueError, match="expected weight as"):
                view(x, weight, 2, 1)
            return
        ours, theirs = view(x, weight, 2, 1), F.conv_transpose2d(x, weight, None, 2, 1)
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)
    ours.sum().backward()
    assert x.grad.dtype == of_x and weight.grad.dtype == of_weight


def test_under_autocast_resizing_and_unpooling_keep_their_dtype():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(resize_bilinear(X, 7), CALLS_AT_7)
        assert torch.equal(max_unpool2d(POOLED, PLACES, 2), F.max_unpool2d(POOLED, PLACES, 2))


CALLS_AT_7 = resize_bilinear(X, 7)


@pytest.mark.filterwarnings("ignore")  # torch's own, as it looks at tensors that are no leaves
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_each_compiles_as_one_graph_and_trains_so(call):
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    gradients = []
    for function in (call, compiled):
        leaf = X.clone().requires_grad_()
        value = function(leaf)
        gradients.append((value, *torch.autograd.grad(value, leaf, torch.cos(value.detach()))))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_each_can_be_mapped_over_an_axis(call):
    stacked = torch.stack([X, X + 1])
    torch.testing.assert_close(torch.func.vmap(call)(stacked), torch.stack([call(X), call(X + 1)]))


BAD = {  # case: (arguments of transposed_conv2d in place of the good ones, error, what the message names)
    "stride 0": (dict(stride=0), ValueError, "stride of at least 1, got 0"),
    "stride -1 across": (dict(stride=(2, -1)), ValueError, "stride of at least 1, got -1"),
    "half a stride": (dict(stride=0.5), TypeError, "stride as a whole number"),
    "three strides": (dict(stride=(1, 2, 3)), ValueError, "one whole number or"),
    "padding < 0": (dict(padding=-1), ValueError, "padding of at least 0, got -1"),
    "all cut off": (
        dict(padding=5),
        ValueError,
        "output of -1 by 1 cells; here it may be 4 down and 5 across",
    ),
    "output padding < 0": (dict(output_padding=-1), ValueError, "output_padding of at least 0"),
    "output padding 2": (dict(output_padding=2), ValueError, "below the stride, got output_padding=2 with"),
    "output padding at stride 1": (dict(stride=1, output_padding=(1, 0)), ValueError, "below the stride"),
    "one map": (dict(x=X[0]), ValueError, r"x of shape \(N, C, H, W\), got \(3, 4, 5\).*x\[None\]"),
    "flat map": (dict(x=X[0, 0]), ValueError, r"\(4, 5\); reshape"),
    "integers": (dict(x=X.long()), ValueError, r"x\.float\(\)"),
    "complex": (dict(x=X.cfloat()), ValueError, "floating point"),
    "empty map": (dict(x=X[:, :, :0]), ValueError, "check the slicing"),
    "array": (dict(x=X.numpy()), TypeError, "as_tensor"),
    "one filter": (dict(weight=WEIGHT[0]), ValueError, r"weight\[None\]"),
    "list of weights": (dict(weight=[[1.0]]), TypeError, "weight as a tensor"),
    "empty filter": (dict(weight=WEIGHT[..., :0]), ValueError, "an axis is empty: check the slicing"),
    "conv2d's layout": (dict(weight=WEIGHT.transpose(0, 1)), ValueError, "exchange its first two axes"),
    "channels": (dict(weight=WEIGHT[:1]), ValueError, r"3 channels of x, \(3, O, ...\)"),
    "dtype": (dict(weight=WEIGHT.double()), ValueError, r"weight\.to\(x\)"),
    "device": (dict(weight=WEIGHT.to("meta")), ValueError, r"weight\.to\(x\.device\)"),
}


def assert_refuses(call, error, words):
    """The message says what was expected, what came and what to do."""
    with pytest.raises(error, match=words) as caught:
        call()
    assert caught.type is error
    caught.match(r"(?s)^expected .+ got .+; .+")


@pytest.mark.parametrize("function", VIEWS[:3])
@pytest.mark.parametrize(("wrong", "error", "words"), BAD.values(), ids=list(BAD))
def test_bad_input_is_refused(function, wrong, error, words):
    good = dict(x=X, weight=WEIGHT, stride=2, padding=1)
    assert_refuses(lambda: function(**good | wrong), error, words)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: bilinear_kernel(0), ValueError, "stride of at least 1"),
        (lambda: bilinear_kernel(2.0), TypeError, "stride as a whole number"),
        (lambda: bilinear_kernel(3, even=True), ValueError, r"even=False with padding=\(stride - 1\) // 2"),
        (lambda: zero_insert(X, 0), ValueError, "stride of at least 1"),
        (lambda: zero_insert(torch.ones(3), 2), ValueError, r"\(\.\.\., H, W\).*\(3,\)"),
        (lambda: zero_insert(torch.ones(0, 3), 2), ValueError, "an axis is empty"),
        (lambda: zero_insert([1], 2), TypeError, "as_tensor"),
        (lambda: overlap_count(0, 1, 3), ValueError, "kernel of at least 1"),
        (lambda: overlap_count(3, 0, 3), ValueError, "stride of at least 1"),
        (lambda: overlap_count(3, 2, (3, 0)), ValueError, "size of at least 1"),
        (lambda: overlap_count(3, 2, "3"), TypeError, "size as a whole number"),
        (lambda: transposed_conv_matrix(WEIGHT[0], 5), ValueError, r"weight\[None\]"),
        (lambda: transposed_conv_matrix(WEIGHT, 2), ValueError, "a filter that fits.*3 cells in 2"),
        (lambda: transposed_conv_matrix(WEIGHT, 5, 0), ValueError, "stride of at least 1"),
        (lambda: transposed_conv_matrix(WEIGHT, 5, 1, -1), ValueError, "padding of at least 0"),
        (lambda: resize_bilinear(X, 0), ValueError, "size of at least 1"),
        (lambda: resize_bilinear(X, (3, 4, 5)), ValueError, "one whole number or"),
        (lambda: resize_bilinear(X[0], 3), ValueError, r"x\[None\]"),
        (lambda: resize_bilinear(X.int(), 3), ValueError, "floating point"),
        (lambda: max_unpool2d(POOLED, PLACES[:, :, :2], 2), ValueError, "indices of the shape of x"),
        (lambda: max_unpool2d(POOLED, PLACES.int(), 2), ValueError, r"indices\.long\(\)"),
        (lambda: max_unpool2d(POOLED, PLACES.to("meta"), 2), ValueError, "device of x"),
        (lambda: max_unpool2d(POOLED, PLACES.tolist(), 2), TypeError, "indices as a tensor"),
        (lambda: max_unpool2d(POOLED[0], PLACES[0], 2), ValueError, r"x\[None\]"),
        (lambda: max_unpool2d(POOLED, PLACES + 20, 2), ValueError, r"from 0 to 47 .* at \(0, 0, \d, \d\)"),
        (lambda: max_unpool2d(POOLED, PLACES - 48, 2), ValueError, "indices from 0 to 47"),
        (lambda: max_unpool2d(POOLED, PLACES, 0), ValueError, "kernel of at least 1"),
        (lambda: max_unpool2d(POOLED, PLACES, 2, 0), ValueError, "stride of at least 1"),
        (lambda: max_unpool2d(POOLED, PLACES, 2, 2, 2), ValueError, "at most half the kernel"),
        (lambda: max_unpool2d(POOLED, PLACES, 2, 2, 0, (8, 8)), ValueError, r"\(6, 8\), got \(8, 8\)"),
        (lambda: max_unpool2d(POOLED, PLACES, 2, 2, 0, (4, 8)), ValueError, "before pooling"),
        (lambda: max_unpool2d(POOLED, PLACES, 2, 2, 0, (1, 6, 8)), ValueError, "one whole number or"),
    ],
)
def test_bad_arguments_are_refused(call, error, words):
    assert_refuses(call, error, words)
