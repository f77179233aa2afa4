"""Conditional random fields: against plain loops, enumeration, the exact kernel, random input, bad input."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from segcore import gaussian_filters as filters
from segcore.crf import (
    brute_force,
    edge_weights,
    energy,
    free_energy,
    graph_cut,
    grid_mean_field,
    icm,
    mean_field,
    potts,
)
from segcore.data.images import photograph


def field(seed, labels=3, height=3, width=4, strength=1.0):
    g = torch.Generator().manual_seed(seed)
    unary = 3 * torch.rand(labels, height, width, generator=g)
    return unary, strength * torch.rand(2, height, width, generator=g), g


def pairs(height, width):
    for y, x in itertools.product(range(height), range(width)):
        if x + 1 < width:
            yield 0, (y, x), (y, x + 1)
        if y + 1 < height:
            yield 1, (y, x), (y + 1, x)


def energy_twin(labels, unary, weights, mu):
    height, width = labels.shape
    total = sum(float(unary[labels[y, x], y, x]) for y, x in itertools.product(range(height), range(width)))
    for axis, p, q in pairs(height, width):
        total += float(weights[axis][p]) * float(mu[labels[p], labels[q]])
    return total


@pytest.mark.parametrize("seed", range(4))
def test_energy_equals_its_twin_and_does_not_look_outside(seed):
    unary, weights, g = field(seed, labels=4)
    labels = torch.randint(4, (3, 4), generator=g)
    mu = torch.rand(4, 4, generator=g)  # of no symmetry
    assert energy(labels, unary, weights, mu).item() == pytest.approx(
        energy_twin(labels, unary, weights, mu), rel=1e-5
    )
    assert energy(labels, unary, weights).item() == pytest.approx(
        energy_twin(labels, unary, weights, potts(4)), rel=1e-5
    )
    outside = weights.clone()
    outside[0, :, -1] = outside[1, -1] = 1e6
    assert energy(labels, unary, outside) == energy(labels, unary, weights)


def test_edge_weights_fall_with_the_difference_of_colours():
    image = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = edge_weights(image, 2.0, 40.0)
    for axis, p, q in pairs(4, 5):
        square = ((image[:, *p] - image[:, *q]) * 255).square().sum().item()
        assert found[axis][p].item() == pytest.approx(2 * math.exp(-square / 2 / 1600), rel=1e-4)
    assert found[0, :, -1].sum() == found[1, -1].sum() == 0


@pytest.mark.parametrize("seed", range(12))
def test_two_labels_are_cut_at_the_least_energy_of_all(seed):
    unary, weights, _ = field(seed, labels=2)
    lowest = brute_force(unary, weights)
    best = energy(lowest, unary, weights)
    labellings = itertools.product(range(2), repeat=12) if seed == 0 else [lowest.tolist()]
    every = min(energy_twin(torch.tensor(each).view(3, 4), unary, weights, potts(2)) for each in labellings)
    assert best.item() == pytest.approx(every, rel=1e-5)
    assert energy(graph_cut(unary, weights), unary, weights).item() == pytest.approx(best.item(), rel=1e-5)


def test_expansions_come_to_the_least_energy_or_near():
    exact = 0
    for seed in range(30):
        unary, weights, _ = field(seed, labels=3, height=3, width=3)
        best = energy(brute_force(unary, weights), unary, weights)
        found = energy(graph_cut(unary, weights), unary, weights)
        assert best - 1e-5 <= found <= 2 * best
        exact += bool(torch.isclose(found, best))
    assert exact >= 27


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.floats(0, 4))
def test_what_promises_never_to_raise_the_energy_does_not(seed, count, strength):
    unary, weights, _ = field(seed, labels=count, height=5, width=6, strength=strength)
    unary, weights = unary.double(), weights.double()
    start = energy(unary.argmin(0), unary, weights)
    labels, before = unary.argmin(0), start
    for _ in range(4):
        labels = icm(unary, weights, labels, iterations=1)
        now = energy(labels, unary, weights)
        assert now <= before + 1e-9
        before = now
    costs = [energy(graph_cut(unary, weights, rounds=n), unary, weights) for n in (1, 2, 5)]
    assert costs[0] <= start + 1e-9
    assert costs == sorted(costs, reverse=True)
    free = [free_energy(grid_mean_field(unary, weights, n, parallel=False), unary, weights) for n in range(5)]
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(free))


def test_where_an_expansion_ends_no_single_pixel_wants_to_change():
    unary, weights, _ = field(3, labels=4, height=8, width=8)
    labels = graph_cut(unary, weights)
    assert torch.equal(icm(unary, weights, labels), labels)


def test_all_pixels_at_once_may_raise_the_free_energy():
    unary, weights = torch.zeros(2, 2, 2), 4 * torch.ones(2, 2, 2)
    unary[1, 0, 0] = unary[1, 1, 1] = 0.1
    unary[0, 0, 1] = unary[0, 1, 0] = 0.1  # a chessboard of faint preferences
    steps = [free_energy(grid_mean_field(unary, weights, n), unary, weights) for n in range(6)]
    assert max(b - a for a, b in itertools.pairwise(steps)) > 0.1
    tame = [free_energy(grid_mean_field(unary, weights, n, False), unary, weights) for n in range(6)]
    assert max(b - a for a, b in itertools.pairwise(tame)) <= 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_a_step_of_grid_mean_field_equals_its_twin(seed):
    unary, weights, g = field(seed)
    mu = torch.rand(3, 3, generator=g)
    q = grid_mean_field(unary, weights, 2, compatibility=mu)
    expected = unary.clone()
    for axis, p, r in pairs(3, 4):
        expected[:, *p] += weights[axis][p] * (mu @ q[:, *r])
        expected[:, *r] += weights[axis][p] * (mu.T @ q[:, *p])
    wanted = (-expected).softmax(0)
    assert torch.allclose(grid_mean_field(unary, weights, 3, compatibility=mu), wanted, atol=1e-6)


def test_free_energy_of_a_labelling_is_its_energy():
    unary, weights, g = field(5)
    labels = torch.randint(3, (3, 4), generator=g)
    hard = F.one_hot(labels, 3).movedim(-1, 0).float()
    assert torch.isclose(free_energy(hard, unary, weights), energy(labels, unary, weights))


# ---- All pairs


def scene(name="astronaut", height=30, width=40, labels=3, seed=0):
    """A photograph made small, and costs that are coarse and noisy."""
    image = F.interpolate(photograph(name)[None], (height, width), mode="bilinear", antialias=True)[0]
    g = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(2 * torch.randn(1, labels, 6, 8, generator=g), (height, width), mode="bilinear")[0]
    logits = coarse + torch.randn(labels, height, width, generator=g)
    return image.clamp(0, 1), -logits.log_softmax(0)


def twin(unary, image, sigmas, weights, iterations):
    """Two kernels over all pairs of pixels, by a loop over pixels."""
    count, height, width = unary.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    colors = (image * 255).double()
    q = (-unary.double()).softmax(0)
    kernels = []
    for with_color, sigma in ((False, sigmas[0]), (True, sigmas[1])):
        rows = []
        for y, x in places:
            square = torch.tensor([(y - v) ** 2 + (x - u) ** 2 for v, u in places]) / sigma**2
            if with_color:
                c = (colors - colors[:, y, x, None, None]).square().sum(0).flatten()
                square = square + c / sigmas[2] ** 2
            rows.append(torch.exp(-square.double() / 2))
        kernel = torch.stack(rows)
        n = kernel.sum(1)
        kernels.append(kernel / (n[:, None] * n).sqrt())
    for _ in range(iterations):
        messages = [k @ q.flatten(1).T for k in kernels]
        total = -unary.double().flatten(1).T + weights[0] * messages[0] + weights[1] * messages[1]
        q = total.softmax(1).T.view(count, height, width)
    return q


def test_exact_mean_field_equals_its_twin():
    image, unary = scene(height=7, width=9)
    for options in ({}, {"iterations": 2, "spatial_sigma": 1.5, "bilateral_sigma": 4, "color_sigma": 30}):
        sigmas = [
            options.get(n, d) for n, d in (("spatial_sigma", 3), ("bilateral_sigma", 80), ("color_sigma", 13))
        ]
        expected = twin(unary, image, sigmas, (3, 10), options.get("iterations", 5))
        found = mean_field(unary, image, **options)
        assert torch.allclose(found.double(), expected, atol=2e-5)
    weighed = mean_field(unary, image, spatial_weight=1.5, bilateral_weight=0.5)
    assert torch.allclose(weighed.double(), twin(unary, image, (3, 80, 13), (1.5, 0.5), 5), atol=2e-5)


@pytest.mark.parametrize(("name", "labels"), [("astronaut", 2), ("chelsea", 4), ("coffee", 21)])
def test_the_grid_agrees_with_all_pairs(name, labels):
    """Kernels as wide, against the image, as 80 pixels in one of 240 × 320."""
    image, _ = scene(name, 72, 96)
    bands = F.avg_pool2d(image.mean(0)[None, None], 7, 1, 3)[0, 0]
    truth = torch.bucketize(bands, bands.flatten().quantile(torch.linspace(0, 1, min(labels, 5) + 1)[1:-1]))
    coarse = F.avg_pool2d(F.one_hot(truth, labels).movedim(-1, 0)[None].float(), 8)
    p = 0.9 * F.interpolate(coarse, (72, 96), mode="bilinear")[0] + 0.1 / labels
    exact, fast = (mean_field(-p.log(), image, bilateral_sigma=24, exact=e) for e in (True, False))
    assert (exact.argmax(0) == fast.argmax(0)).float().mean() >= 0.995
    assert (exact - fast).abs().mean() < 0.005
    assert torch.allclose(fast.sum(0), torch.ones(72, 96), atol=1e-5)


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_undecided_pixels_agree_with_all_pairs_and_a_finer_grid_is_nearer(name):
    """Random costs, which leave many pixels between two labels."""
    image, _ = scene(name, 72, 96)
    g = torch.Generator().manual_seed(0)
    logits = F.interpolate(2 * torch.randn(1, 5, 6, 8, generator=g), (72, 96), mode="bilinear")[0]
    unary = -(logits + torch.randn(5, 72, 96, generator=g)).log_softmax(0)
    exact = mean_field(unary, image, bilateral_sigma=24, exact=True)
    found = [mean_field(unary, image, bilateral_sigma=24, exact=False, fine=fine) for fine in (None, False)]
    agree = [float((exact.argmax(0) == each.argmax(0)).float().mean()) for each in found]
    apart = [float((exact - each).abs().mean()) for each in found]
    assert agree[0] >= 0.995 and agree[1] >= 0.99
    assert apart[0] < 0.7 * apart[1]


def test_filters_leave_what_is_their_scale_and_are_symmetric():
    image, _ = scene(height=70, width=80)
    g = torch.Generator().manual_seed(1)
    x, y = torch.rand(2, 70, 80, 2, generator=g)
    fast, exact = (f(image, 24.0, 13.0) for f in (filters.bilateral_filter, filters.exact_bilateral_filter))
    for each in (fast, exact, filters.spatial_filter((70, 80), 3.0, x)):
        assert torch.allclose((each(x) * y).sum(), (x * each(y)).sum(), rtol=1e-4)
    assert (fast(x) - exact(x)).abs().mean() < 0.04 * exact(x).mean()
    whole = filters._normal(filters._gaussians(70, 3.0)), filters._normal(filters._gaussians(80, 3.0))
    wanted = torch.einsum("ij,kl,jlc->ikc", *(torch.from_numpy(k).float() for k in whole), x)
    assert torch.allclose(filters.spatial_filter((70, 80), 3.0, x)(x), wanted, atol=0.006)


@pytest.mark.parametrize("sigma", [2.0, 3.0, 4.6, 7.0])
def test_a_blur_through_fewer_points_is_near_the_whole_kernel(sigma):
    """Borders included; a kernel cut at 3 σ is farther away."""
    size = (131, 150)
    x = torch.rand(*size, 2, generator=torch.Generator().manual_seed(0))
    x[::16, ::16] = 5  # and spots
    whole = (torch.from_numpy(filters._normal(filters._gaussians(n, sigma))).float() for n in size)
    wanted = torch.einsum("ij,kl,jlc->ikc", *whole, x)
    assert (filters.spatial_filter(size, sigma, x)(x) - wanted).abs().max() < 0.0005
    for each in filters._narrow(500, sigma):
        assert each.nnz < 500 * (10 if sigma >= 3 else 16)


class Sizes(TorchDispatchMode):
    """The numbers of new tensors: not of those that an operation writes to or looks at."""

    def __init__(self):
        super().__init__()
        self.new = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = [a for a in (*args, *(kwargs or {}).values()) if isinstance(a, torch.Tensor)]
        old = {a.untyped_storage().data_ptr() for a in given}
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple) else (result,):
            if isinstance(each, torch.Tensor) and each.untyped_storage().data_ptr() not in old:
                self.new.append(each.numel())
        return result


def test_no_memory_is_taken_for_the_whole_grid_and_little_for_a_step():
    """Each new tensor as large as the image costs as much time as the sums that fill it."""
    image, unary = scene(height=150, width=200)
    image = torch.rand(3, 150, 200, generator=torch.Generator().manual_seed(0)) / 4 + image / 2
    grid, x = filters.bilateral_filter(image, 20.0, 13.0), unary.movedim(0, 2).contiguous()
    with Sizes() as sizes:
        grid(x)
    assert max(sizes.new) < 10 * x.numel()  # 34 times as many are in the grid
    taken = []
    for iterations in (1, 2):
        with Sizes() as sizes:
            mean_field(unary, image, bilateral_sigma=20, iterations=iterations)
        taken.append(sizes.new.count(x.numel()))
    assert taken[1] - taken[0] == 2  # what each filter returns


def test_gradients_are_those_of_the_grid():
    """Steps that keep what gradients need give the same numbers, and the slope that differences have."""
    image, unary = scene(height=64, width=72)
    unary, direction = unary.double(), torch.randn(3, 64, 72, generator=torch.Generator().manual_seed(0))
    costs = unary.clone().requires_grad_()
    q = mean_field(costs, image, bilateral_sigma=20, iterations=2)
    assert torch.allclose(q, mean_field(unary, image, bilateral_sigma=20, iterations=2), atol=1e-12)
    (slope,) = torch.autograd.grad(q[0].square().sum(), costs)
    ahead, behind = (
        mean_field(unary + step * direction, image, bilateral_sigma=20, iterations=2)[0].square().sum()
        for step in (1e-5, -1e-5)
    )
    assert (slope * direction).sum().item() == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-5)


# What pydensecrf2 1.1 gives for `made_up`: sxy=3, compat=3 and sxy=80, srgb=13, compat=10, each with kernel=1
# (DIAG_KERNEL) and normalization=3 (NORMALIZE_SYMMETRIC), inference(5). Its lattice is an approximation, too.
PEER = (
    "11010000000000000000222222222222",
    "11100000000000000000222222222222",
    "11110000000000000002222222222222",
    "11100000000000000002222222222222",
    "11100000000000000002222222222222",
    "11110000000000000002222222222222",
    "11111101000000000022222222222222",
    "11111110000000000022222222222222",
    "11111111111100002022222222222222",
    "11111111111102222222222222222222",
    "11111111110012222222222222222222",
    "11111111001000022222222222222222",
    "11111000000000002222222222222222",
    "11111000000000002222222222222222",
    "11101000000000000222222222222222",
    "11110000000000002222222222222222",
    "11100000000000000222222222222222",
    "11100000000000002222222222222222",
    "11100000000000002222222222222222",
    "11100000000000002222222222222222",
    "11100000000000002222222222222222",
    "11000000000000002222222222222222",
    "11000000000000002222222222222222",
    "10000000000000002222222222222222",
)


def made_up():
    """A smooth image with noise and costs of three labels, by NumPy's generator."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :32]
    image = np.stack([128 + 90 * np.sin(x / 5) + 0 * y, 128 + 80 * np.cos(y / 6), 60 + 3 * x + 2 * y], -1)
    image = np.clip((image + rng.normal(0, 6, (24, 32, 3))).round(), 0, 255)
    logits = np.stack([np.sin(x / 7 + k * 2) + np.cos(y / 5 - k) for k in range(3)])
    logits = logits + rng.normal(0, 0.7, (3, 24, 32))
    unary = -torch.from_numpy(logits).float().log_softmax(0)
    return torch.from_numpy(image).float().movedim(-1, 0) / 255, unary


@pytest.mark.parametrize("exact", [True, False])
def test_labels_are_those_of_the_peer_but_for_a_few(exact):
    image, unary = made_up()
    theirs = torch.tensor([[int(digit) for digit in row] for row in PEER])
    ours = mean_field(unary, image, exact=exact).argmax(0)
    assert (ours == theirs).float().mean() > 0.965
    assert (unary.argmin(0) == theirs).float().mean() < 0.8


def test_weights_of_the_lattice_place_each_colour():
    colors = 20 * torch.rand(3, 500, generator=torch.Generator().manual_seed(0)).double().numpy()
    lattice = filters._colors(colors.astype(np.float32), filters._COARSE, 10**6)
    assert lattice.weight.min() >= -1e-6
    assert abs(lattice.weight.sum(1) - 1).max() < 1e-5
    near = lattice.near[lattice.points[0]].toarray()  # the corners of a tetrahedron know each other
    assert (near[:, lattice.points[0]] > 0).all()


def test_gradients_reach_the_costs_both_ways():
    image, unary = scene(height=10, width=12)
    for exact in (True, False):
        costs = unary.clone().requires_grad_()
        mean_field(costs, image, exact=exact)[0].sum().backward()
        assert costs.grad.abs().sum() > 0


def test_dtype_and_inputs_stay():
    image, unary = scene(height=8, width=9)
    kept = unary.clone()
    for exact in (True, False):
        assert mean_field(unary.double(), image, exact=exact).dtype == torch.float64
        assert mean_field(unary, image, exact=exact).dtype == torch.float32
    assert torch.equal(unary, kept)
    assert torch.allclose(mean_field(unary, image, iterations=0), (-unary).softmax(0))
    one = mean_field(unary[:1] * 0, image)
    assert torch.equal(one, torch.ones(1, 8, 9))


IMAGE, UNARY = torch.rand(3, 4, 5), torch.ones(2, 4, 5)


@pytest.mark.parametrize(
    ("unary", "image", "options", "words"),
    [
        (torch.full((2, 4, 5), 0.5), IMAGE, {}, "add up to 1; take -p.clamp"),
        (-UNARY, IMAGE, {}, "at least 0, got -1; from logits"),
        (UNARY * math.inf, IMAGE, {}, "clamp probabilities"),
        (UNARY * math.nan, IMAGE, {}, "unary"),
        (UNARY[0], IMAGE, {}, "of shape"),
        (UNARY, IMAGE[:, :3], {}, "image of unary's size, 4 × 5, got 3 × 5"),
        (UNARY, IMAGE * 255, {}, "image"),
        (UNARY, IMAGE[:1], {}, "image"),
        (UNARY, IMAGE, {"spatial_sigma": 0}, "spatial_sigma as a finite number above 0"),
        (UNARY, IMAGE, {"bilateral_sigma": -1}, "bilateral_sigma as a finite number above 0"),
        (UNARY, IMAGE, {"color_sigma": math.nan}, "color_sigma as a finite number above 0"),
        (UNARY, IMAGE, {"bilateral_weight": -1}, "bilateral_weight as a finite number of at least 0"),
        (UNARY, IMAGE, {"spatial_weight": -0.1}, "spatial_weight as a finite number of at least 0"),
        (UNARY, IMAGE, {"iterations": -1}, "iterations of at least 0"),
    ],
)
def test_what_cannot_be_filtered_is_refused(unary, image, options, words):
    with pytest.raises(ValueError, match="expected") as caught:
        mean_field(unary, image, **options)
    assert words in str(caught.value)


def test_a_grid_without_end_is_refused():
    image = torch.rand(3, 90, 90, generator=torch.Generator().manual_seed(0))
    for spatial, color in ((0.5, 3.0), (0.01, 13.0), (80.0, 1e-6)):
        with pytest.raises(ValueError, match="a larger spatial_sigma"):
            filters.bilateral_filter(image, spatial, color)


TINY = """
import re, resource, sys, torch
from segcore.gaussian_filters import bilateral_filter

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)

image = torch.rand(3, 240, 320, generator=torch.Generator().manual_seed(0))
bilateral_filter(image[:, :40, :40], 80.0, 13.0)(torch.rand(40, 40, 2))
before, fits = peak(), []
for sigma in (3.0, 0.3, 0.01):
    try:
        bilateral_filter(image, 80.0, sigma)
    except ValueError as error:
        fits.append(float(re.search("color_sigma of ([0-9.]+) fits", str(error))[1]))
after = peak()
bilateral_filter(image, 80.0, max(fits))
print(len(fits), after - before)
"""


def test_a_tiny_width_of_colours_is_refused_before_it_takes_memory():
    """Noise, in which no two colours are alike: with 0.3, the table of colours alone took gigabytes."""
    pytest.importorskip("resource")
    run = subprocess.run([sys.executable, "-c", TINY], capture_output=True, text=True, check=True)
    refused, megabytes = run.stdout.split()
    assert int(refused) == 3
    assert float(megabytes) < 400


@pytest.mark.parametrize(
    ("height", "width", "labels", "options"),
    [
        (1, 1, 1, {}),
        (1, 1, 3, {}),
        (1, 70, 2, {}),
        (9, 2, 2, {"bilateral_sigma": 1e4, "spatial_sigma": 1e3, "color_sigma": 1e4}),
        (9, 8, 2, {"bilateral_sigma": 1.0, "spatial_sigma": 0.01, "color_sigma": 5.0}),
    ],
)
def test_small_images_and_wide_kernels(height, width, labels, options):
    g = torch.Generator().manual_seed(0)
    image, unary = (
        torch.rand(3, height, width, generator=g),
        3 * torch.rand(labels, height, width, generator=g),
    )
    exact = mean_field(unary, image, **options, exact=True)
    for fine in (True, False):
        fast = mean_field(unary, image, **options, exact=False, fine=fine)
        assert torch.allclose(fast, exact, atol=0.15)
        assert torch.allclose(fast.sum(0), torch.ones(height, width), atol=1e-5)


def test_the_grid_takes_any_layout_and_dtype():
    image, unary = scene(height=40, width=50)
    wanted = mean_field(unary, image, exact=False)
    turned = (
        image.transpose(1, 2).contiguous().transpose(1, 2),
        unary.movedim(0, 2).contiguous().movedim(2, 0),
    )
    assert torch.allclose(mean_field(turned[1], turned[0], exact=False), wanted, atol=1e-5)
    double = mean_field(unary.double(), image.double(), exact=False)
    assert double.dtype == torch.float64
    assert torch.allclose(double.float(), wanted, atol=1e-4)
    assert torch.allclose(mean_field(unary, image.clone().requires_grad_(), exact=False), wanted, atol=1e-6)


def test_numbers_are_the_same_by_a_table_and_by_sorting():
    index = np.random.default_rng(0).integers(0, 50, (30, 4))
    for found, order in (filters._numbered(index, 50), filters._numbered(index, 10**6)):
        assert (found == np.unique(index)).all()
        assert (found[order] == index).all()


LABELS, WEIGHTS = torch.zeros(4, 5, dtype=torch.long), torch.ones(2, 4, 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: energy(LABELS + 2, UNARY, WEIGHTS), "expected labels from 0 to 1, got 2"),
        (lambda: energy(LABELS[:2], UNARY, WEIGHTS), "expected labels of unary's size, 4 × 5, got 2 × 5"),
        (lambda: energy(LABELS.float(), UNARY, WEIGHTS), "int64"),
        (lambda: energy(LABELS, UNARY, WEIGHTS[:, :2]), "expected weights of unary's size"),
        (lambda: energy(LABELS, UNARY, WEIGHTS[:1]), "weights"),
        (lambda: energy(LABELS, UNARY, WEIGHTS.double()), "expected weights as torch.float32"),
        (lambda: energy(LABELS, UNARY, WEIGHTS, potts(3)), "compatibility"),
        (lambda: icm(UNARY * math.nan, WEIGHTS), "unary"),
        (lambda: icm(UNARY, WEIGHTS, LABELS - 1), "expected labels from 0 to 1, got -1"),
        (lambda: icm(UNARY, WEIGHTS, iterations=-1), "iterations of at least 0"),
        (lambda: grid_mean_field(UNARY, WEIGHTS * math.inf), "weights"),
        (lambda: free_energy(UNARY[:1], UNARY, WEIGHTS), "probabilities of the shape of unary"),
        (lambda: graph_cut(UNARY, -WEIGHTS), "expected weights of 0 or more, got -1"),
        (lambda: graph_cut(UNARY[:1], WEIGHTS), "expected unary of two labels or more"),
        (lambda: brute_force(UNARY.expand(2, 4, 5).repeat(2, 1, 1), WEIGHTS), "got 4^20; use graph_cut"),
        (lambda: potts(0), "num_labels of at least 1"),
        (lambda: edge_weights(IMAGE, color_sigma=0), "color_sigma as a finite number above 0"),
        (lambda: edge_weights(IMAGE, weight=-1), "weight as a finite number of at least 0"),
    ],
)
def test_fields_that_do_not_fit_are_refused(call, words):
    with pytest.raises(ValueError, match="expected") as caught:
        call()
    assert words in str(caught.value)
