"""Superpixels equal their definitions in plain loops, and scikit-image's where that has the same ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import color
from skimage import segmentation as peer

from segcore import pixel_graph, superpixels
from segcore.data.images import photograph
from segcore.superpixels import (
    achievable_segmentation_accuracy,
    boundaries,
    boundary_precision,
    boundary_recall,
    felzenszwalb,
    mosaic,
    rgb_to_lab,
    slic,
    undersegmentation_error,
)

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)
SCORES = (boundary_recall, boundary_precision, undersegmentation_error, achievable_segmentation_accuracy)
FOUR, EIGHT = ndimage.generate_binary_structure(2, 1), ndimage.generate_binary_structure(2, 2)


def noise(height, width, seed=0, levels=None):
    """Blobs with noise, of a few grey levels where ties are wanted."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=generator)
    image = 0.3 * image + 0.7 * (torch.arange(width) > width / 2)
    return image if levels is None else (image * levels).round() / levels


def maps(height=14, width=17, count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(count, (height, width), generator=generator)


def assert_regions(labels, structure):
    """Labels from 0 on without a gap, each in one piece."""
    numbers = labels.unique()
    assert labels.dtype == torch.int64
    assert torch.equal(numbers, torch.arange(len(numbers)))
    for number in numbers:
        assert ndimage.label((labels == number).numpy(), structure)[1] == 1


def same_partition(one, other):
    pairs = torch.stack([one.flatten(), other.flatten()], 1).unique(dim=0)
    return len(pairs) == len(one.unique()) == len(other.unique())


# --- Felzenszwalb and Huttenlocher ---


def graph_twin(image, scale, min_size):
    """The paper's algorithm: one loop over the sorted edges, components as sets."""
    _, height, width = image.shape
    pixels = image.numpy()
    edges = []
    for kind, (dy, dx) in enumerate([(0, 1), (1, 0), (1, 1), (1, -1)]):
        for y in range(height - dy):
            for x in range(max(-dx, 0), width - max(dx, 0)):
                square = np.square(pixels[:, y, x] - pixels[:, y + dy, x + dx]).sum()
                here, there = y * width + x, (y + dy) * width + x + dx
                edges.append((float(np.sqrt(square)), kind, here, there))
    edges.sort(key=lambda edge: (edge[0], edge[1], edge[2] if edge[1] < 3 else edge[2] - 1))
    members = {pixel: {pixel} for pixel in range(height * width)}
    inner = dict.fromkeys(members, 0.0)
    of = {pixel: pixel for pixel in members}

    def join(a, b, weight):
        for pixel in members[b]:
            of[pixel] = a
        members[a] |= members.pop(b)
        inner[a] = weight

    for weight, _, here, there in edges:
        a, b = of[here], of[there]
        if a != b and weight <= min(inner[c] + scale / 255 / len(members[c]) for c in (a, b)):
            join(a, b, weight)
    for weight, _, here, there in edges:
        a, b = of[here], of[there]
        if a != b and min(len(members[a]), len(members[b])) < min_size:
            join(a, b, weight)
    return torch.tensor([of[pixel] for pixel in range(height * width)]).reshape(height, width)


@settings(steady, max_examples=40)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 99),
    st.sampled_from([0, 20, 100, 400]),
    st.sampled_from([1, 4, 20]),
    st.sampled_from([None, 4, 1]),
)
def test_the_graph_equals_one_loop_over_its_edges(height, width, seed, scale, min_size, levels):
    image = noise(height, width, seed, levels)
    labels = felzenszwalb(image, scale, sigma=0, min_size=min_size)
    assert same_partition(labels, graph_twin(image, scale, min_size))
    assert_regions(labels, EIGHT)


@pytest.mark.parametrize(("edges", "worth"), [(1, 2), (100, 1 / 40), (10**6, 0), (10**6, 2)])
def test_windows_and_rounds_of_any_number_give_the_same(monkeypatch, edges, worth):
    """From the bare loop over all edges (one window, no second round) to rounds until nothing merges."""
    image = photograph("coffee")[:, 100:160, 200:290]
    whole = felzenszwalb(image)
    monkeypatch.setattr(pixel_graph, "_WINDOW", edges)
    monkeypatch.setattr(pixel_graph, "_WORTH", worth)
    assert torch.equal(felzenszwalb(image), whole)


def test_the_loop_is_left_a_seventh_of_the_edges_and_a_third_of_the_merges(monkeypatch):
    image = torch.nn.functional.interpolate(photograph("astronaut")[None], (321, 481), mode="area")[0]
    seen, pieces = [], []
    numbered, grow = pixel_graph._Forest.numbered, pixel_graph._grow

    def counted(forest, one, other):
        seen.append(one.size)
        return numbered(forest, one, other)

    def between(forest, *given):
        pieces.append(len(np.unique(forest.labels())))
        seen.clear()
        grow(forest, *given)
        pieces.append(len(np.unique(forest.labels())))
        pieces.append(sum(seen))

    monkeypatch.setattr(pixel_graph._Forest, "numbered", counted)
    monkeypatch.setattr(pixel_graph, "_grow", between)
    felzenszwalb(image)
    before, after, edges = pieces
    pixels = 321 * 481
    assert 1 / 9 < edges / (4 * pixels) < 1 / 6
    assert 0.27 < (before - after) / (pixels - after) < 0.4


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_the_graph_equals_scikit_images_but_for_ties(name):
    image = photograph(name)[:, :150, :180]
    theirs = peer.felzenszwalb(image.movedim(0, -1).numpy(), scale=100, sigma=0.8, min_size=20)
    theirs, ours = torch.from_numpy(theirs), felzenszwalb(image)
    assert abs(len(theirs.unique()) - len(ours.unique())) <= 0.02 * len(theirs.unique())
    for one, other in ((ours, theirs), (theirs, ours)):
        assert achievable_segmentation_accuracy(one, other) > 0.98
        assert boundary_recall(one, other, tolerance=0) > 0.97


def test_a_larger_scale_or_least_size_leaves_fewer_segments():
    image = photograph("coffee")[:, 100:200, 200:300]
    counts = [int(felzenszwalb(image, scale).max()) for scale in (10, 100, 1000)]
    assert counts[0] > counts[1] > counts[2]
    sizes = torch.bincount(felzenszwalb(image, 10, min_size=30).flatten())
    assert sizes.min() >= 30


# --- SLIC ---


def slic_twin(image, n_segments, compactness, iterations):
    """Centres and pixels one by one, in float64: for each pixel its label, and by how much it won."""
    _, height, width = image.shape
    rows = min(max(round(math.sqrt(n_segments * height / width)), 1), height, n_segments)
    columns = min(max(round(n_segments / rows), 1), width)
    side = math.sqrt(height * width / rows / columns)
    lab = color.rgb2lab(image.double().movedim(0, -1).numpy())
    features = {
        (y, x): np.array([*lab[y, x] / compactness, y / side, x / side])
        for y in range(height)
        for x in range(width)
    }

    def tile(at, length, count):
        return max(t for t in range(count) if t * length // count <= at)

    tiles = {(y, x): (tile(y, height, rows), tile(x, width, columns)) for y, x in features}
    members = {}
    for pixel, own in tiles.items():
        members.setdefault(own, []).append(pixel)
    centers, won = {}, {}
    for _ in range(iterations):
        centers |= {own: np.mean([features[p] for p in pixels], 0) for own, pixels in members.items()}
        members = {}
        for pixel, (row, column) in tiles.items():
            near = [
                (((features[pixel] - centers[r, c]) ** 2).sum(), (r, c))
                for r in range(max(row - 1, 0), min(row + 2, rows))
                for c in range(max(column - 1, 0), min(column + 2, columns))
            ]
            near.sort()
            members.setdefault(near[0][1], []).append(pixel)
            won[pixel] = near[1][0] - near[0][0] if len(near) > 1 else 1
    labels = torch.zeros(height, width, dtype=torch.int64)
    for (row, column), pixels in members.items():
        for y, x in pixels:
            labels[y, x] = row * columns + column
    return labels, min(won.values())


@pytest.mark.parametrize(
    "height, width, count", [(12, 20, 6), (13, 17, 10), (9, 31, 7), (7, 7, 49), (20, 6, 1)]
)
@pytest.mark.parametrize("compactness, iterations", [(10, 1), (10, 4), (40, 3)])
def test_slic_equals_a_loop_over_its_pixels(height, width, count, compactness, iterations):
    image = noise(height, width)
    twin, margin = slic_twin(image, count, compactness, iterations)
    assert margin > 1e-7  # no ties, which float32 may settle either way
    ours = slic(image, count, compactness, iterations, enforce_connectivity=False)
    assert same_partition(ours, twin)


@settings(steady, max_examples=60)
@given(
    st.integers(1, 25),
    st.integers(1, 25),
    st.integers(1, 700),
    st.floats(0.1, 100),
    st.integers(1, 5),
    st.sampled_from([None, 3, 1]),
)
def test_segments_are_numbered_and_connected(height, width, count, compactness, iterations, levels):
    image = noise(height, width, count, levels)
    labels = slic(image, count, compactness, iterations)
    assert_regions(labels, FOUR)
    assert torch.equal(labels, slic(image, count, compactness, iterations))
    loose = slic(image, count, compactness, iterations, enforce_connectivity=False)
    assert torch.equal(loose.unique(), torch.arange(int(loose.max()) + 1))
    assert int(loose.max()) < 1.5 * count


def test_small_parts_go_to_the_neighbour_most_like_them():
    image = torch.zeros(3, 12, 24)
    image[0, :, 12:] = 1  # red right of the middle
    image[0, 5, 8:10] = 0.9  # a reddish speck in the black
    image[1, 6, 18] = 0.1
    labels = slic(image, 8, compactness=2)
    assert_regions(labels, FOUR)
    assert torch.bincount(labels.flatten()).min() >= 12 * 24 / 8 / 4
    assert labels[5, 8] in labels[4:7, 7]  # black on all sides: any of its neighbours
    parts = torch.tensor([[0, 0, 0, 0, 1, 2, 2, 2, 2]])
    lab = torch.zeros(3, 1, 9)
    lab[0] = torch.tensor([0.0, 0, 0, 0, 40, 60, 60, 60, 60])
    assert superpixels._connected(parts, lab, smallest=2).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 1]]


def test_slic_is_as_good_as_scikit_images_at_no_more_segments():
    from segcore.data.images import coin_masks

    image, truth = photograph("coins"), coin_masks().any(0).long()
    theirs = torch.from_numpy(peer.slic(image.movedim(0, -1).numpy(), n_segments=250, start_label=0))
    ours = slic(image, int(0.9 * len(theirs.unique())))
    assert len(ours.unique()) <= len(theirs.unique())
    assert undersegmentation_error(ours, truth) < undersegmentation_error(theirs, truth)
    assert boundary_recall(ours, truth) >= boundary_recall(theirs, truth)


def test_colours_are_those_of_scikit_image():
    image = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    image[:, 0] *= 0.05  # the straight part of both curves
    theirs = torch.from_numpy(color.rgb2lab(image.double().movedim(0, -1).numpy())).movedim(-1, 0)
    assert (rgb_to_lab(image) - theirs).abs().max() < 1e-3


@pytest.mark.parametrize("segment", [slic, felzenszwalb])
def test_constant_and_tiny_images_have_sensible_segments(segment):
    assert segment(torch.full((3, 1, 1), 0.5)).tolist() == [[0]]
    constant = segment(torch.full((3, 24, 30), 0.5))
    assert len(constant.unique()) == (1 if segment is felzenszwalb else 252)  # 14 × 18 tiles
    assert segment(torch.rand(3, 1, 9)).shape == (1, 9)
    assert torch.equal(
        slic(torch.rand(3, 4, 5), 1000, enforce_connectivity=False), torch.arange(20).reshape(4, 5)
    )


@pytest.mark.parametrize("segment", [slic, felzenszwalb])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_floating_point_will_do(segment, dtype):
    image = noise(20, 30).to(dtype)
    assert torch.equal(segment(image), segment(image.float()))
    assert torch.equal(segment(image.movedim(0, -1).contiguous().movedim(-1, 0)), segment(image))


@pytest.mark.parametrize("segment", [slic, felzenszwalb])
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"convert with image.float\(\) / 255"),
        (torch.zeros(1, 4, 4), r"repeat grey with image.expand\(3, -1, -1\)"),
        (torch.zeros(4, 4), r"repeat grey with image.expand\(3, -1, -1\)"),
        (torch.zeros(4, 5, 4), r"drop alpha with image\[:3\]"),
        (torch.zeros(5, 4, 3), r"image.movedim\(-1, 0\)"),
        (torch.zeros(1, 3, 4, 4), r"image\[0\]"),
        (torch.zeros(3, 0, 4), "an axis is empty"),
        (torch.full((3, 4, 4), 200.0), "divide by 255"),
        (torch.full((3, 4, 4), -0.1), "clamp"),
        (torch.full((3, 4, 4), math.nan), "finite"),
    ],
)
def test_images_that_are_none_are_refused(segment, image, words):
    with pytest.raises(ValueError, match=words):
        segment(image)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda image: slic(image, 0), ValueError),
        (lambda image: slic(image, 2.5), TypeError),
        (lambda image: slic(image, 4, compactness=0), ValueError),
        (lambda image: slic(image, 4, iterations=0), ValueError),
        (lambda image: felzenszwalb(image, scale=-1), ValueError),
        (lambda image: felzenszwalb(image, sigma=-1), ValueError),
        (lambda image: felzenszwalb(image, min_size=0), ValueError),
        (lambda image: slic(image.numpy()), TypeError),
        (lambda image: mosaic(image, torch.zeros(4, 5, dtype=torch.int64)), ValueError),
    ],
)
def test_numbers_that_make_no_sense_are_refused(call, error):
    with pytest.raises(error, match="expected"):
        call(torch.zeros(3, 4, 4))


def test_a_mosaic_has_the_mean_of_each_segment():
    image, labels = noise(9, 11), maps(9, 11)
    labels[labels == 2] = 10**12  # an id beyond any table
    result = mosaic(image, labels)
    for number in labels.unique():
        inside = labels == number
        assert torch.allclose(result[:, inside], image[:, inside].mean(1, keepdim=True))


# --- Scores ---


def recall_twin(labels, truth, tolerance):
    edges = [peer.find_boundaries(each.numpy(), mode="thick") for each in (labels, truth)]
    places = [np.argwhere(each) for each in edges]
    hits = [any(max(abs(y - v), abs(x - u)) <= tolerance for v, u in places[0]) for y, x in places[1]]
    return sum(hits) / len(hits) if hits else math.nan


def overlaps_twin(labels, truth):
    """Undersegmentation error and achievable accuracy, from sets of pixels."""
    leak = right = 0
    for number in labels.unique():
        shares = [int(((labels == number) & (truth == region)).sum()) for region in truth.unique()]
        leak += sum(min(share, sum(shares) - share) for share in shares)
        right += max(shares)
    return leak / labels.numel(), right / labels.numel()


@settings(steady, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 4))
def test_scores_equal_their_definitions(height, width, segments, regions, tolerance):
    labels, truth = maps(height, width, segments, 1), maps(height, width, regions, 2)
    truth[truth == 3] = 255  # an id like any other
    recall = boundary_recall(labels, truth, tolerance)
    assert torch.allclose(
        recall, torch.tensor(recall_twin(labels, truth, tolerance)).double(), equal_nan=True
    )
    assert torch.equal(
        boundary_precision(labels, truth, tolerance).nan_to_num(-1),
        boundary_recall(truth, labels, tolerance).nan_to_num(-1),
    )
    leak, right = overlaps_twin(labels, truth)
    assert undersegmentation_error(labels, truth).item() == pytest.approx(leak)
    assert achievable_segmentation_accuracy(labels, truth).item() == pytest.approx(right)


def test_sparse_outlines_are_reached_within_a_square():
    truth, labels = torch.zeros(2, 20, 20, dtype=torch.int64)
    truth[5, 5] = labels[12, 9] = 1
    for tolerance in range(10):
        assert boundary_recall(labels, truth, tolerance).item() == recall_twin(labels, truth, tolerance)


@settings(steady, max_examples=30)
@given(st.integers(1, 15), st.integers(1, 15), st.integers(1, 4))
def test_boundaries_are_scikit_images_thick_ones(height, width, count):
    labels = maps(height, width, count)
    theirs = peer.find_boundaries(labels.numpy(), mode="thick")
    assert torch.equal(boundaries(labels), torch.from_numpy(theirs))


def test_names_of_labels_do_not_matter():
    labels, truth = maps(seed=1), maps(seed=2)
    for score in SCORES:
        assert torch.equal(score(labels * 10**15 + 7, truth), score(labels, truth))
        assert torch.equal(score(labels, 1000 - 3 * truth), score(labels, truth))


def test_perfect_segments_and_one_segment():
    truth = maps(count=3)
    assert [score(truth, truth).item() for score in SCORES] == [1, 1, 0, 1]
    one = torch.zeros_like(truth)
    assert boundary_recall(one, truth) == 0 and boundary_precision(one, truth).isnan()
    assert boundary_recall(truth, one).isnan()
    largest = torch.bincount(truth.flatten()).max().double()
    assert achievable_segmentation_accuracy(one, truth) == largest / truth.numel()


@pytest.mark.parametrize("score", SCORES)
def test_maps_that_do_not_belong_together_are_refused(score):
    labels = maps()
    for wrong in (labels[1:], labels.float(), labels[None], labels - 1):
        with pytest.raises(ValueError, match="expected"):
            score(labels, wrong)
        with pytest.raises(ValueError, match="expected"):
            score(wrong, labels)
    with pytest.raises(TypeError, match="expected"):
        score(labels, labels.tolist())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mosaic_in_half_precision_counts_all_pixels(dtype):
    """Sums and counts beyond 65,504 are infinite in float16, and their quotient is NaN."""
    image = torch.ones(1, 300, 300, dtype=dtype)
    found = mosaic(image, torch.zeros(300, 300, dtype=torch.int64))
    assert found.dtype == dtype and torch.equal(found, image)
