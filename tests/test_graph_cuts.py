"""The minimum cut is minimal, and GrabCut cuts as OpenCV's does."""

from __future__ import annotations

import itertools
import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_flow

from segcore import graph_cuts
from segcore.data.images import coin_masks, photograph
from segcore.data.scenes import make_scenes
from segcore.graph_cuts import grabcut, grid_cut

steady = settings(derandomize=True, deadline=None, database=None)
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def energy(mask, source, sink, links):
    """What a labelling costs, in plain loops."""
    height, width = mask.shape
    total = 0.0
    for y, x in itertools.product(range(height), range(width)):
        total += float(sink[y, x] if mask[y, x] else source[y, x])
        for (dy, dx), weight in zip(STEPS, links, strict=False):
            if y + dy < height and 0 <= x + dx < width and mask[y, x] != mask[y + dy, x + dx]:
                total += float(weight[y, x])
    return total


def problem(height, width, neighbours, seed):
    generator = torch.Generator().manual_seed(seed)
    source, sink = torch.randint(-20, 20, (2, height, width), generator=generator).double()
    links = torch.randint(0, 15, (neighbours, height, width), generator=generator).double()
    return source, sink, links


@settings(steady, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([2, 4]), st.integers(0, 10**6))
def test_no_labelling_costs_less(height, width, neighbours, seed):
    source, sink, links = problem(height, width, neighbours, seed)
    found = energy(grid_cut(source, sink, links), source, sink, links)
    every = itertools.product([False, True], repeat=height * width)
    least = min(energy(np.reshape(each, (height, width)), source, sink, links) for each in every)
    assert found == least


@settings(steady, max_examples=30)
@given(st.integers(2, 12), st.integers(2, 12), st.sampled_from([2, 4]), st.integers(0, 10**6))
def test_the_cut_costs_what_scipys_maximum_flow_carries(height, width, neighbours, seed):
    source, sink, links = problem(height, width, neighbours, seed)
    least = torch.minimum(source, sink)
    count = height * width
    rows, columns, capacity = [], [], []

    def edge(a, b, weight):
        rows.append(a), columns.append(b), capacity.append(int(weight))

    for y, x in itertools.product(range(height), range(width)):
        here = y * width + x
        edge(count, here, (source - least)[y, x])
        edge(here, count + 1, (sink - least)[y, x])
        for (dy, dx), weight in zip(STEPS, links, strict=False):
            if y + dy < height and 0 <= x + dx < width:
                edge(here, here + dy * width + dx, weight[y, x])
                edge(here + dy * width + dx, here, weight[y, x])
    graph = coo_array((np.array(capacity, np.int32), (rows, columns)), shape=(count + 2,) * 2).tocsr()
    flow = maximum_flow(graph, count, count + 1).flow_value
    mask = grid_cut(source, sink, links)
    assert energy(mask, source, sink, links) == flow + float(least.sum())


def test_any_floating_point_and_any_layout_give_the_same():
    source, sink, links = problem(9, 7, 4, 3)
    wanted = grid_cut(source, sink, links)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert torch.equal(grid_cut(source.to(dtype), sink.to(dtype), links.to(dtype)), wanted)
    turned = links.movedim(0, -1).contiguous().movedim(-1, 0)
    before = [each.clone() for each in (source, sink, links)]
    assert torch.equal(grid_cut(source, sink, turned), wanted)
    assert all(torch.equal(*pair) for pair in zip(before, (source, sink, links), strict=True))


@pytest.mark.parametrize(
    ("source", "sink", "links", "words"),
    [
        (torch.zeros(3, 4), torch.zeros(4, 3), torch.zeros(2, 3, 4), "of the shape of source"),
        (torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(3, 3, 4), "2, H, W"),
        (torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(2, 3, 3), "links of size 3 × 4"),
        (torch.zeros(3, 4), torch.zeros(3, 4), -torch.ones(2, 3, 4), "links of 0 or more, got -1"),
        (torch.full((3, 4), torch.inf), torch.zeros(3, 4), torch.zeros(2, 3, 4), "a large number"),
        (torch.zeros(3, 4, dtype=torch.int64), torch.zeros(3, 4), torch.zeros(2, 3, 4), "floating point"),
    ],
)
def test_problems_that_are_none_are_refused(source, sink, links, words):
    with pytest.raises(ValueError, match=words):
        grid_cut(source, sink, links)


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "maxflow", None)
    with pytest.raises(ImportError, match="pip install PyMaxflow"):
        grid_cut(*problem(2, 2, 2, 0))


# --- GrabCut ---


def opencv(image, trimap, iterations=5):
    pixels = (image.movedim(0, -1) * 255).round().byte().numpy()[..., ::-1].copy()
    mask = np.array([cv2.GC_BGD, cv2.GC_PR_FGD, cv2.GC_FGD], np.uint8)[trimap.numpy()]
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels, mask, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    return torch.from_numpy((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def iou(one, other):
    return float((one & other).sum() / (one | other).sum())


def around(mask, margin):
    rows, columns = (torch.where(mask.any(axis))[0] for axis in (1, 0))
    trimap = torch.zeros_like(mask, dtype=torch.int64)
    top, left = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    trimap[top : int(rows[-1]) + margin + 1, left : int(columns[-1]) + margin + 1] = 1
    return trimap


def test_masks_are_as_good_as_opencvs():
    scenes = make_scenes(12, size=96, seed=5, antialias=True)
    pairs = [(s.image, mask, 3) for s in scenes for mask in s.masks if mask.sum() > 100]
    pairs += [(photograph("coins"), mask, 6) for mask in coin_masks()[::4]]
    rows = []
    for image, truth, margin in pairs:
        trimap = around(truth, margin)
        image = (image * 255).round() / 255
        rows.append((iou(grabcut(image, trimap), truth), iou(opencv(image, trimap), truth)))
    ours, theirs = np.mean(rows, 0)
    assert ours >= theirs - 0.02
    assert ours > 0.75  # a coin's background holds the other coins


def test_strokes_hold_and_change_what_is_found():
    image = photograph("coffee")[:, ::4, ::4]
    trimap = torch.ones(image.shape[1:], dtype=torch.int64)
    trimap[:4] = trimap[-4:] = 0
    trimap[20:24, 60:80] = 2
    mask = grabcut(image, trimap)
    assert mask[20:24, 60:80].all() and not mask[:4].any() and not mask[-4:].any()
    trimap[30:60, 100:110] = 0
    assert not grabcut(image, trimap)[30:60, 100:110].any()


def test_a_box_is_the_trimap_of_the_pixels_inside():
    image = make_scenes(1, size=48, seed=2).image[0]
    trimap = torch.zeros(48, 48, dtype=torch.int64)
    trimap[8:40, 5:44] = 1
    for box in ([5.0, 8.0, 44.0, 40.0], [4.6, 7.7, 44.4, 40.2]):
        assert torch.equal(grabcut(image, torch.tensor(box)), grabcut(image, trimap))


def test_the_window_alone_gives_what_the_whole_grid_gives(monkeypatch):
    image = make_scenes(1, size=64, seed=4, antialias=True).image[0]
    trimap = torch.zeros(64, 64, dtype=torch.int64)
    trimap[20:50, 15:45] = 1
    trimap[2:4, 2:4] = 2  # foreground outside of the window
    part = grabcut(image, trimap)
    monkeypatch.setattr(graph_cuts, "_window", lambda free: (slice(0, 64), slice(0, 64)))
    assert torch.equal(grabcut(image, trimap), part)


def test_the_mixture_is_what_its_formula_says():
    generator = np.random.default_rng(0)
    colors = generator.normal(100, 30, (3, 40))
    mixture = graph_cuts._fit(colors, np.arange(40) % 3)
    costs = graph_cuts._costs(colors, mixture)
    density = np.zeros(40)
    for k, (weight, mean, covariance) in enumerate(mixture):
        own = colors[:, np.arange(40) % 3 == k]
        assert weight == pytest.approx(own.shape[1] / 40)
        assert np.allclose(mean[:, 0], own.mean(1))
        assert np.allclose(covariance, np.cov(own, bias=True) + 0.01 * np.eye(3))
        for n, color in enumerate(colors.T):
            off = color - mean[:, 0]
            share = weight / np.sqrt(np.linalg.det(covariance))
            share *= np.exp(-0.5 * off @ np.linalg.solve(covariance, off))
            assert costs[k, n] == pytest.approx(-np.log(share))
            density[n] += share
    assert np.allclose(graph_cuts._together(costs), -np.log(density))


def test_splitting_goes_for_what_varies_most():
    colors = np.array([[0, 1, 100, 101, 200, 201, 40, 41], [0] * 8, [0] * 8], dtype=float)
    component = graph_cuts._split(colors)
    pairs = component.reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).sum() >= 3 and len(np.unique(component)) == 5
    assert (graph_cuts._split(np.full((3, 6), 7.0)) == 0).all()


def test_links_equal_a_loop_over_neighbours():
    pixels = np.random.default_rng(1).uniform(0, 255, (4, 5, 3))
    pairs = {}
    for y, x in itertools.product(range(4), range(5)):
        for k, (dy, dx) in enumerate(STEPS):
            if y + dy < 4 and 0 <= x + dx < 5:
                pairs[k, y, x] = ((pixels[y, x] - pixels[y + dy, x + dx]) ** 2).sum()
    beta = 1 / (2 * np.mean(list(pairs.values())))
    links = graph_cuts._links(pixels)
    for (k, y, x), square in pairs.items():
        assert links[k, y, x] == pytest.approx(50 * np.exp(-beta * square) / (1 if k < 2 else 2**0.5))
    assert (links > 0).sum() == len(pairs)


@pytest.mark.parametrize("image", [torch.full((3, 6, 7), 0.5), torch.zeros(3, 1, 9), torch.rand(3, 9, 1)])
def test_constant_and_thin_images_have_a_mask(image):
    trimap = torch.ones(image.shape[1:], dtype=torch.int64)
    trimap.flatten()[0] = 0
    trimap.flatten()[-1] = 2
    mask = grabcut(image, trimap)
    assert not mask.flatten()[0] and mask.flatten()[-1]


def test_a_side_that_runs_empty_is_no_error():
    image = torch.full((3, 10, 10), 0.2)
    image[:, 4:6] = 0.21
    trimap = torch.zeros(10, 10, dtype=torch.int64)
    trimap[3:7, 3:7] = 1
    assert grabcut(image, trimap, iterations=8).shape == (10, 10)
    assert grabcut(image, trimap, iterations=1).dtype == torch.bool
    known = torch.where(trimap == 1, 2, 0)
    assert torch.equal(grabcut(image, known), known == 2)  # nothing is unknown


IMAGE, TRIMAP = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.ones(8, 8).long()


@pytest.mark.parametrize(
    ("image", "trimap", "words"),
    [
        (IMAGE, TRIMAP, "some background to learn its colours from, got none; mark some pixels as 0"),
        (IMAGE, 0 * TRIMAP, "some foreground to learn its colours from, got none; mark some pixels as 2"),
        (IMAGE, 2 * TRIMAP, "some background"),
        (IMAGE, torch.tensor([0.0, 0, 8, 8]), "some background"),
        (IMAGE, torch.tensor([20.0, 20, 30, 30]), "some foreground"),
        (IMAGE, torch.tensor([5.0, 0, 2, 8]), "order the corners"),
        (IMAGE, TRIMAP[1:], "trimap of the image's size, 8 × 8, got 7 × 8"),
        (IMAGE, 3 * TRIMAP, "trimap from 0 to 2, got 3"),
        (IMAGE, TRIMAP.float(), "int64"),
        (IMAGE[:1], TRIMAP, r"repeat grey with image.expand\(3, -1, -1\)"),
        (torch.cat([IMAGE, IMAGE[:1]]), TRIMAP, r"drop alpha with image\[:3\]"),
        ((IMAGE * 255).byte(), TRIMAP, r"convert with image.float\(\) / 255"),
        (IMAGE * 255, TRIMAP, "divide by 255"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(image, trimap, words):
    with pytest.raises(ValueError, match=words):
        grabcut(image, trimap)


def test_iterations_are_whole_and_at_least_one():
    trimap = TRIMAP.clone()
    trimap[0] = 0
    with pytest.raises(ValueError, match="iterations"):
        grabcut(IMAGE, trimap, iterations=0)
    with pytest.raises(TypeError, match="iterations"):
        grabcut(IMAGE, trimap, iterations=1.5)
    for dtype in (torch.float16, torch.float64):
        assert grabcut(IMAGE.to(dtype), trimap).shape == (8, 8)
