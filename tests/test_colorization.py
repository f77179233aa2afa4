"""Colorization: against plain-loop twins, scipy's neighbours, random input and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from segcore.color import rgb_to_lab
from segcore.colorization import (
    ColorizationNet,
    ab_bins,
    ab_prior,
    class_rebalancing,
    colorization_loss,
    colorization_net_for_photographs,
    decode_ab,
    encode_ab,
)
from segcore.data.images import photograph

# The 313 points that the authors published, as ports list them: of each a* the first and the last b*.
PUBLISHED = {
    -90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100),
    -30: (-50, 100), -20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90),
    30: (-90, 90), 40: (-100, 90), 50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-110, 70),
    90: (-110, 70), 100: (-90, 0),
}  # fmt: skip


def random_ab(*shape, seed=0, spread=60.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * (2 * torch.rand(shape[0], 2, *shape[1:], generator=generator) - 1)


def distributions(*shape, seed=0):
    return (3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).softmax(1)


# --- The classes ---


def gamut(steps=512):
    """a* and b* of the surface of the cube of colours, ``(P, 2)``."""
    line = torch.linspace(0, 1, steps)
    u, v = torch.meshgrid(line, line, indexing="ij")
    faces = [
        torch.stack([*[u, v][:axis], torch.full_like(u, end), *[u, v][axis:]])
        for axis in range(3)
        for end in (0.0, 1.0)
    ]
    return rgb_to_lab(torch.cat(faces, 1))[1:].flatten(1).T


def test_the_gamut_has_261_bins():
    bins = ab_bins()
    assert bins.shape == (261, 2) and bins.dtype == torch.float32
    assert torch.equal(bins, (bins / 10).round() * 10)
    assert bins.tolist() == sorted(bins.tolist()) and len({tuple(each) for each in bins.tolist()}) == 261
    # No colour, inside the cube or on it, lies in another cell.
    inside = rgb_to_lab(
        torch.rand(3, 400, 500, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255
    )
    cells = torch.floor(inside[1:].flatten(1).T / 10 + 0.5) * 10
    assert {tuple(each) for each in cells.tolist()} <= {tuple(each) for each in bins.tolist()}


def test_why_the_published_list_has_313():
    """It holds the corners of all squares that the colours touch, 309, and four points more."""
    published = {(a, b) for a, (low, high) in PUBLISHED.items() for b in range(low, high + 1, 10)}
    assert len(published) == 313
    squares = torch.floor(gamut(1024) / 10).unique(dim=0).int().tolist()
    corners = {(10 * (a + i), 10 * (b + j)) for a, b in squares for i in (0, 1) for j in (0, 1)}
    assert len(corners) == 309 and corners < published
    assert {tuple(each) for each in ab_bins().int().tolist()} < published
    far = cKDTree(gamut().numpy()).query(sorted(published))[0]
    assert 14 < far.max() < 15


def test_bins_are_the_callers_own():
    ab_bins()[:] = 0
    assert ab_bins().abs().sum() > 0


@pytest.mark.parametrize("grid", [5, 20, 12.5, 100])
def test_other_grids(grid):
    bins = ab_bins(grid)
    near = cKDTree(bins.numpy()).query(gamut(128).numpy())[0]
    assert near.max() <= grid * math.sqrt(0.5) + 1e-4


# --- There and back ---


def encoded_by_loops(ab, bins, neighbors, sigma):
    found = torch.zeros(len(ab), len(bins), *ab.shape[2:], dtype=torch.float64)
    for n in range(len(ab)):
        for i in range(ab.shape[2]):
            for j in range(ab.shape[3]):
                a, b = ab[n, :, i, j].tolist()
                squared = [(a - p) ** 2 + (b - q) ** 2 for p, q in bins.tolist()]
                nearest = sorted(range(len(bins)), key=squared.__getitem__)[:neighbors]
                shares = [math.exp((squared[nearest[0]] - squared[k]) / (2 * sigma**2)) for k in nearest]
                for k, share in zip(nearest, shares, strict=True):
                    found[n, k, i, j] = share / sum(shares)
    return found.float()


@pytest.mark.parametrize(("neighbors", "sigma", "grid"), [(5, 5.0, 10), (1, 5.0, 10), (3, 12.0, 20)])
def test_encoding_is_the_loops(neighbors, sigma, grid):
    ab, bins = random_ab(2, 4, 5, spread=110), ab_bins(grid)
    wanted = encoded_by_loops(ab, bins, neighbors, sigma)
    assert torch.allclose(encode_ab(ab, bins, neighbors, sigma), wanted, atol=1e-5)


def test_neighbours_are_scipys():
    ab, bins = random_ab(3, 40, 70, spread=90), ab_bins()
    found = encode_ab(ab)
    distance, index = cKDTree(bins.numpy()).query(ab.movedim(1, -1).reshape(-1, 2).numpy(), k=5)
    shares = np.exp((distance[:, :1] ** 2 - distance**2) / 50)
    wanted = np.zeros((len(index), len(bins)), np.float32)
    np.put_along_axis(wanted, index, (shares / shares.sum(1, keepdims=True)).astype(np.float32), 1)
    assert np.abs(found.movedim(1, -1).reshape(-1, len(bins)).numpy() - wanted).max() < 1e-4


def test_encoding_is_a_distribution_and_comes_back():
    image = torch.nn.functional.avg_pool2d(photograph("coffee"), 4)
    ab = rgb_to_lab(image)[None, 1:]
    shares = encode_ab(ab)
    assert torch.allclose(shares.sum(1), torch.ones(shares[:, 0].shape), atol=1e-5)
    assert (shares > 0).sum(1).max() <= 5
    soft = (decode_ab(shares, 1) - ab).norm(dim=1)
    hard = (decode_ab(encode_ab(ab, neighbors=1), 1) - ab).norm(dim=1)
    assert soft.mean() < 0.5 and hard.mean() > 3


def test_colours_out_of_all_cells_go_to_the_nearest():
    far = torch.tensor([[[[500.0]], [[-500.0]]]])
    shares = encode_ab(far)
    assert shares.isfinite().all() and shares.sum().item() == pytest.approx(1)
    nearest = ab_bins()[shares.flatten().argmax()]
    assert torch.equal(nearest, ab_bins()[(ab_bins() - far.flatten()).norm(dim=1).argmin()])


def decoded_by_loops(p, temperature, bins):
    found = torch.zeros(len(p), 2, *p.shape[2:])
    for n in range(len(p)):
        for i in range(p.shape[2]):
            for j in range(p.shape[3]):
                sharp = [value ** (1 / temperature) for value in p[n, :, i, j].double().tolist()]
                for k in (0, 1):
                    found[n, k, i, j] = sum(
                        s * c for s, c in zip(sharp, bins[:, k].tolist(), strict=True)
                    ) / sum(sharp)
    return found


@pytest.mark.parametrize("temperature", [0.2, 0.38, 1.0, 3.0])
def test_decoding_is_the_loops(temperature):
    bins = ab_bins(40)
    p = distributions(2, len(bins), 3, 4)
    p[:, :2] = 0
    p /= p.sum(1, keepdim=True)
    assert torch.allclose(decode_ab(p, temperature, bins), decoded_by_loops(p, temperature, bins), atol=1e-3)


def test_from_mean_to_mode():
    p, bins = distributions(2, 261, 6, 7), ab_bins()
    assert torch.allclose(decode_ab(p, 1), torch.einsum("nqhw,qk->nkhw", p, bins), atol=1e-3)
    two = p.topk(2, 1).values
    clear = (two[:, 0] / two[:, 1]) > 1.1
    mode = bins[p.argmax(1)].movedim(-1, 1)
    assert ((decode_ab(p, 0.01) - mode).norm(dim=1)[clear] < 0.5).all()
    assert torch.equal(decode_ab(p), decode_ab(p, 0.38))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 20))
def test_a_decoded_colour_lies_between_the_bins(seed, temperature):
    bins = ab_bins(20)
    found = decode_ab(distributions(1, len(bins), 3, 3, seed=seed), temperature, bins)
    for k in (0, 1):
        assert bins[:, k].min() - 1e-3 <= found[:, k].min() and found[:, k].max() <= bins[:, k].max() + 1e-3


def test_gradients_pass_zeros():
    logits = torch.randn(1, 261, 2, 2, requires_grad=True)
    decode_ab(logits.softmax(1)).sum().backward()
    assert logits.grad.isfinite().all() and logits.grad.abs().sum() > 0
    p = torch.zeros(1, 261, 1, 1)
    p[:, 3] = 1
    p.requires_grad_()
    decode_ab(p).sum().backward()
    assert p.grad.isfinite().all()
    ab = random_ab(1, 3, 3).requires_grad_()
    (encode_ab(ab) * torch.rand(261, 1, 1)).sum().backward()
    assert ab.grad.abs().sum() > 0


def test_half_precision_and_other_layouts():
    ab = random_ab(2, 5, 6)
    assert (encode_ab(ab.half()) - encode_ab(ab.half().float())).abs().max() == 0
    p = encode_ab(ab)
    assert (decode_ab(p.half()) - decode_ab(p)).abs().max() < 0.2
    assert torch.equal(encode_ab(ab.contiguous(memory_format=torch.channels_last)), p)
    before = ab.clone(), p.clone()
    decode_ab(p), encode_ab(ab), ab_prior(ab)
    assert torch.equal(ab, before[0]) and torch.equal(p, before[1])


# --- Rare colours ---


def test_weights_are_the_formula():
    prior = distributions(1, 40, 1, 1).flatten()
    for uniform in (0.5, 0.1, 1.0):
        mixed = [(1 - uniform) * p + uniform / 40 for p in prior.tolist()]
        raw = [1 / each for each in mixed]
        mean = sum(p * w for p, w in zip(prior.tolist(), raw, strict=True))
        wanted = torch.tensor([w / mean for w in raw])
        assert torch.allclose(class_rebalancing(prior, uniform), wanted, rtol=1e-4)
    weights = class_rebalancing(prior)
    assert (weights * prior).sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(weights.argsort(), prior.argsort(descending=True))
    assert weights.max() / weights.min() <= prior.max() * 40 + 1


def test_a_prior_is_counted_and_spread():
    ab, bins = random_ab(2, 9, 11), ab_bins()
    counts = torch.zeros(261)
    for pixel in ab.movedim(1, -1).reshape(-1, 2):
        counts[(bins - pixel).norm(dim=1).argmin()] += 1
    kernel = torch.exp(-(torch.cdist(bins, bins) ** 2) / 50)
    wanted = (counts / counts.sum()) @ (kernel / kernel.sum(1, keepdim=True))
    found = ab_prior(ab)
    assert torch.allclose(found, wanted, atol=1e-5) and found.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(ab_prior(ab, sigma=0.01), counts / counts.sum(), atol=1e-6)


def test_most_pixels_of_photographs_are_nearly_grey():
    names = ("astronaut", "coffee", "chelsea", "rocket")
    ab = [rgb_to_lab(photograph(name))[1:].flatten(1) for name in names]
    prior = ab_prior(torch.cat(ab, 1)[None, :, None])
    weights = class_rebalancing(prior)
    assert weights[(ab_bins() == 0).all(1)].item() < 1 < weights.max().item()


# --- The network ---


def test_the_loss_is_the_formula():
    logits = torch.randn(2, 9, 3, 4, generator=torch.Generator().manual_seed(1))
    target, weights = distributions(2, 9, 3, 4, seed=2), torch.rand(9) + 0.5
    total = 0.0
    for n in range(2):
        for i in range(3):
            for j in range(4):
                z, logs = target[n, :, i, j], logits[n, :, i, j].log_softmax(0)
                total -= weights[z.argmax()] * (z * logs).sum()
    assert colorization_loss(logits, target, weights).item() == pytest.approx(total.item() / 24, rel=1e-5)
    plain = colorization_loss(logits, target)
    assert plain.item() == pytest.approx(colorization_loss(logits, target, torch.ones(9)).item(), rel=1e-6)


def test_a_network_that_is_sure_gives_the_colour_back():
    network = ColorizationNet(width=4, depth=1).eval()
    with torch.no_grad():
        network.score.weight.zero_()
        network.score.bias.fill_(-30)
        network.score.bias[(network.bins == torch.tensor([40.0, 30.0])).all(1)] = 30
    grey = torch.full((1, 3, 16, 19), 0.5)
    found = rgb_to_lab(network.colorize(grey))
    assert torch.allclose(found[:, 1].mean(), torch.tensor(40.0), atol=0.5)
    assert torch.allclose(found[:, 0], rgb_to_lab(grey)[:, 0], atol=0.5)


def test_colours_of_the_input_are_not_looked_at():
    network = ColorizationNet(width=4).eval()
    image = torch.rand(1, 3, 17, 24)
    grey = torch.cat([rgb_to_lab(image)[:, :1], torch.zeros(1, 2, 17, 24)], 1)
    assert network(grey[:, :1]).shape == (1, 261, 9, 12)
    assert ColorizationNet(ab_bins(40), width=4, stride=1)(grey[:, :1]).shape == (1, 23, 17, 24)
    assert "bins" not in network.state_dict()
    assert torch.equal(network.colorize(image), network.colorize(image))


def test_the_stored_network_knows_its_photographs_and_no_other():
    network = colorization_net_for_photographs()
    assert not network.training
    errors = {}
    for name in ("coffee", "chelsea"):
        image = torch.nn.functional.interpolate(photograph(name)[None], scale_factor=0.32, mode="area")
        with torch.no_grad():
            found = rgb_to_lab(network.colorize(image))[:, 1:]
        truth = rgb_to_lab(image)[:, 1:]
        errors[name] = (found - truth).norm(dim=1).mean() / truth.norm(dim=1).mean()
    assert errors["coffee"] < 0.7 and errors["chelsea"] > 0.8  # 1 is as bad as grey


# --- Bad input ---


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ab_bins(0), "at least 2|from 2|least"),
        (lambda: ab_bins(math.nan), "finite"),
        (lambda: encode_ab(torch.zeros(2, 4, 4)), "N, 2, H, W"),
        (lambda: encode_ab(torch.zeros(1, 3, 4, 4)), "N, 2, H, W"),
        (lambda: encode_ab(torch.zeros(1, 2, 4, 4, dtype=torch.int64)), "floating point"),
        (lambda: encode_ab(torch.full((1, 2, 4, 4), math.nan)), "finite ab"),
        (lambda: encode_ab(torch.zeros(1, 2, 4, 4), neighbors=300), "at most|262|261"),
        (lambda: encode_ab(torch.zeros(1, 2, 4, 4), sigma=0), "above 0"),
        (lambda: encode_ab(torch.zeros(1, 2, 4, 4), bins=torch.zeros(5)), "Q, 2"),
        (lambda: decode_ab(distributions(1, 261, 2, 2), 0), "temperature .* above 0"),
        (lambda: decode_ab(distributions(1, 261, 2, 2), -1), "temperature .* above 0"),
        (lambda: decode_ab(distributions(1, 313, 2, 2)), "of 261 bins"),
        (lambda: decode_ab(torch.randn(1, 261, 2, 2)), "softmax"),
        (lambda: decode_ab(2 * distributions(1, 261, 2, 2)), "add up to 1"),
        (lambda: decode_ab(distributions(1, 261, 2, 2) * math.nan), "finite probabilities"),
        (lambda: class_rebalancing(torch.tensor([3.0, 1.0])), "add up to 1"),
        (lambda: class_rebalancing(torch.tensor([1.5, -0.5])), "0 or more"),
        (lambda: class_rebalancing(torch.tensor([0.5, 0.5]), 0), "above 0"),
        (lambda: class_rebalancing(torch.tensor([0.5, 0.5]), 1.5), "at most 1"),
        (lambda: class_rebalancing(torch.tensor([[0.5, 0.5]])), "Q"),
        (lambda: colorization_loss(torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, 2, 2)), "shape of logits"),
        (
            lambda: colorization_loss(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.ones(4)),
            "one weight",
        ),
        (lambda: ColorizationNet(width=0), "width"),
        (lambda: ColorizationNet(stride=0), "stride"),
    ],
)
def test_bad_values_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: encode_ab([[0.0]]),
        lambda: decode_ab(None),
        lambda: decode_ab(distributions(1, 261, 2, 2), "warm"),
        lambda: encode_ab(torch.zeros(1, 2, 4, 4), neighbors=2.5),
        lambda: class_rebalancing([0.5, 0.5]),
        lambda: ab_bins("ten"),
    ],
)
def test_wrong_kinds_are_refused(call):
    with pytest.raises(TypeError):
        call()


def test_the_ends_of_temperature_width_and_colour():
    """Towards 0 a temperature gives the mode, a width the nearest bin; far colours have a nearest bin."""
    bins = torch.tensor([[60.0, 0.0], [-40.0, 0.0]])
    odds = torch.tensor([0.6, 0.4]).reshape(1, 2, 1, 1)
    for temperature in (1e-30, 1e-300):
        assert decode_ab(odds, temperature, bins).flatten().tolist() == [60.0, 0.0]
    assert decode_ab(odds, 1e30, bins).flatten().tolist() == [10.0, 0.0]
    near = torch.tensor([-30.0, 1.0]).reshape(1, 2, 1, 1)
    for sigma in (1e-30, 1e-300):
        assert encode_ab(near, bins, 2, sigma).flatten().tolist() == [0.0, 1.0]
        assert ab_prior(near, bins, sigma).tolist() == [0.0, 1.0]
    for far in (1e20, 1e30):
        assert encode_ab(torch.full((1, 2, 1, 1), far), bins, 1).flatten().sum() == 1
        assert encode_ab(torch.full((1, 2, 1, 1), far)).isfinite().all()
