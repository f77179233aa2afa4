"""Hierarchies only merge, their map says the same, and scores and splits equal their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import rand_score

from segcore import grouping
from segcore.data.images import coin_masks, photograph
from segcore.data.scenes import make_scenes
from segcore.grouping import (
    Hierarchy,
    contour_probability,
    multiscale_hierarchy,
    object_proposals,
    probabilistic_rand_index,
    segmentation_covering,
    split_touching,
    ultrametric_contour_map,
    variation_of_information,
)
from segcore.watersheds import basins

steady = settings(derandomize=True, deadline=None, database=None)
SCORES = (segmentation_covering, probabilistic_rand_index, variation_of_information)


def hierarchy(height=12, width=15, orientations=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ultrametric_contour_map(torch.rand(orientations, height, width, generator=generator))


def maps(height=8, width=9, count=4, seed=0):
    return torch.randint(count, (height, width), generator=torch.Generator().manual_seed(seed))


def finer_or_equal(one, other):
    """Whether each region of `one` lies in one region of `other`."""
    return len(torch.stack([one.flatten(), other.flatten()], 1).unique(dim=0)) == len(one.unique())


# --- The hierarchy ---


@settings(steady, max_examples=40)
@given(st.integers(1, 14), st.integers(1, 14), st.sampled_from([1, 2, 8]), st.integers(0, 999), st.data())
def test_a_rising_threshold_only_merges(height, width, orientations, seed, data):
    tree = hierarchy(height, width, orientations, seed)
    assert (tree.heights.diff() >= 0).all()
    low, high = sorted(data.draw(st.tuples(*[st.floats(-0.1, 1.1)] * 2)))
    fine, coarse = tree.cut(low), tree.cut(high)
    assert finer_or_equal(fine, coarse)
    for labels in (fine, coarse):
        assert torch.equal(labels.unique(), torch.arange(int(labels.max()) + 1))
        firsts = [int((labels.flatten() == k).nonzero()[0]) for k in range(int(labels.max()) + 1)]
        assert firsts == sorted(firsts)  # in reading order
        for k in range(int(labels.max()) + 1):
            assert ndimage.label((labels == k).numpy())[1] == 1
    assert int(tree.cut(1.0).max()) == 0
    assert int(tree.cut(-1.0).max()) == int(tree.leaves.max())


@settings(steady, max_examples=40)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 999), st.floats(0, 1))
def test_the_map_below_a_threshold_is_the_cut(height, width, seed, threshold):
    tree = hierarchy(height, width, 2, seed)
    assert tree.ucm.shape == (2 * height + 1, 2 * width + 1) and tree.ucm.dtype == torch.float32
    for t in (threshold, *tree.heights[:: max(len(tree.heights) // 3, 1)].tolist()):
        parts, _ = ndimage.label((tree.ucm <= t).numpy(), np.ones((3, 3)))
        parts, cut = torch.from_numpy(parts[1::2, 1::2]), tree.cut(t)
        assert finer_or_equal(parts, cut) and finer_or_equal(cut, parts)


def test_junctions_hold_the_maximum_of_their_edges():
    ucm = hierarchy().ucm
    padded = torch.nn.functional.pad(ucm, (1, 1, 1, 1))
    around = torch.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    assert torch.equal(ucm[::2, ::2], around.amax(0)[::2, ::2])
    assert (ucm[1::2, 1::2] == 0).all()


def merge_twin(pairs, strengths, lengths, count):
    """The strengths of all merges, by looking at every boundary each time."""
    part = list(range(count))
    heights = []
    while True:
        table = {}
        for (a, b), s, n in zip(pairs, strengths, lengths, strict=True):
            key = frozenset((part[a], part[b]))
            if len(key) == 2:
                total, length = table.get(key, (0.0, 0.0))
                table[key] = total + s * n, length + n
        if not table:
            return heights
        key = min(table, key=lambda k: table[k][0] / table[k][1])
        heights.append(table[key][0] / table[key][1])
        a, b = key
        part = [a if p == b else p for p in part]


@settings(steady, max_examples=30)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 999))
def test_merging_equals_a_loop_over_all_boundaries(height, width, seed):
    generator = np.random.default_rng(seed)
    leaves = torch.arange(height * width).reshape(height, width)
    low, high, lengths = grouping._pairs(leaves.numpy())
    strengths = generator.random(len(low))
    lengths = generator.integers(1, 9, len(low)).astype(float)
    tree = grouping._merged(leaves, np.stack([low, high], 1), strengths, lengths)
    twin = merge_twin(np.stack([low, high], 1), strengths, lengths, height * width)
    assert np.allclose(tree.heights, twin, atol=1e-6)


def test_an_edge_counts_in_its_own_direction_alone():
    contours = torch.zeros(8, 16, 16)
    contours[4, :, 7:9] = 0.6  # vertical
    contours[0, :, 7:9] = 0.9  # and a horizontal response at the same place, which backs no boundary
    assert ultrametric_contour_map(contours).heights.max() == pytest.approx(0.6)
    diagonal = torch.zeros(8, 24, 24)
    y, x = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    diagonal[2, (y - x).abs() <= 1] = 0.6  # 45 degrees, downwards to the right
    tree = ultrametric_contour_map(diagonal)
    assert tree.heights.max() > 0.5
    diagonal[[2, 6]] = diagonal[[6, 2]]
    assert ultrametric_contour_map(diagonal).heights.max() < 0.2


def test_constant_and_tiny_images_are_one_region():
    for size in ((1, 1), (1, 7), (9, 9)):
        tree = ultrametric_contour_map(contour_probability(torch.full((3, *size), 0.3)))
        assert tree.heights.shape == (0,) and (tree.cut(0.0) == 0).all()
        assert (tree.ucm == 0).all()
    assert multiscale_hierarchy(torch.full((3, 1, 1), 0.3)).cut(0).tolist() == [[0]]


def test_contours_of_any_floating_point_and_layout_will_do():
    contours = torch.rand(4, 20, 24, generator=torch.Generator().manual_seed(0)).half()
    before = contours.clone()
    wanted = ultrametric_contour_map(contours.float())
    turned = contours.movedim(0, -1).contiguous().movedim(-1, 0)
    for each in (contours, turned, contours.bfloat16().half(), contours.double().requires_grad_()):
        tree = ultrametric_contour_map(each)
        assert tree.leaves.shape == (20, 24)
        if each.dtype != torch.bfloat16 and torch.equal(each.float(), contours.float()):
            assert torch.equal(tree.ucm, wanted.ucm)
    assert ultrametric_contour_map(contours.bfloat16()).leaves.shape == (20, 24)
    assert torch.equal(contours, before)


def test_several_scales_make_one_hierarchy_and_better_regions():
    scenes = make_scenes(6, size=96, seed=8, antialias=True)
    best = []
    for scene in scenes:
        trees = multiscale_hierarchy(scene.image), multiscale_hierarchy(scene.image, scales=[1.0])
        assert all(tree.leaves.shape == scene.labels.shape for tree in trees)
        cuts = ([tree.cut(t) for t in np.linspace(0.1, 0.6, 26)] for tree in trees)
        best.append([max(float(segmentation_covering(c, scene.instances)) for c in each) for each in cuts])
        alone = ultrametric_contour_map(contour_probability(scene.image))
        assert torch.equal(trees[1].leaves, alone.leaves)
        assert torch.allclose(trees[1].heights, alone.heights, atol=1e-6)  # an ultrametric stays what it is
    several, one = np.mean(best, 0)
    assert several > one - 0.02 and several > 0.8


# --- Proposals ---


def test_proposals_are_ranked_different_and_connected():
    scene = make_scenes(1, size=96, seed=3, antialias=True)[0]
    tree = ultrametric_contour_map(contour_probability(scene.image))
    masks, scores = object_proposals(tree, 60)
    assert masks.shape == (60, 96, 96) and masks.dtype == torch.bool and scores.dtype == torch.float32
    assert (scores.diff() <= 0).all()
    flat = masks.flatten(1).double()
    shared = flat @ flat.T
    iou = shared / (flat.sum(1) + flat.sum(1)[:, None] - shared)
    assert iou.fill_diagonal_(0).max() <= 0.85 + 1e-9
    for mask in masks[::7]:
        assert ndimage.label(mask.numpy())[1] == 1
    few, best = object_proposals(tree, 5)
    assert torch.equal(few, masks[:5]) and torch.equal(best, scores[:5])
    truth = scene.masks.flatten(1).double()
    shared = truth @ flat.T
    assert ((shared / (truth.sum(1)[:, None] + flat.sum(1) - shared)).amax(1) > 0.5).all()


def test_a_score_is_what_its_formula_says():
    leaves = torch.tensor([[0, 0, 0, 0, 0], [0, 1, 2, 3, 0], [0, 0, 0, 0, 0]])
    tree = Hierarchy(leaves, torch.tensor([[1, 2], [4, 3], [5, 0]]), torch.tensor([0.1, 0.3, 0.8]))
    masks, scores = object_proposals(tree, 10)
    found = {tuple(leaves[mask].unique().tolist()): float(s) for mask, s in zip(masks, scores, strict=True)}
    assert found[(1, 2, 3)] == pytest.approx((0.8 - 0.15) * 8**0.25)
    assert found[(1, 2)] == pytest.approx(((5 * 0.8 + 0.3) / 6 - 0.05) * 6**0.25)
    assert found[(2,)] == pytest.approx((2 * 0.8 + 0.1 + 0.3) / 4 * 4**0.25)
    assert masks[0].sum() == 3


def test_several_hierarchies_share_the_list():
    scene = make_scenes(1, size=64, seed=9, antialias=True)[0]
    trees = [multiscale_hierarchy(scene.image, [factor]) for factor in (0.5, 1.0)]
    masks, scores = object_proposals(trees, 30)
    assert len(masks) <= 30 and (scores.diff() <= 0).all()
    single = object_proposals(trees[0], 30)[1]
    assert scores[0] >= single[0]
    one = Hierarchy(torch.zeros(4, 5).long(), torch.zeros(0, 2).long(), torch.zeros(0))
    assert object_proposals(one, 3)[0].shape == (1, 4, 5)


# --- Scores ---


def twins(labels, truth):
    """Covering, Rand index and variation of information, in plain loops."""
    ours, theirs = labels.flatten().tolist(), truth.flatten().tolist()
    count = len(ours)
    a, b = ({k: {i for i, v in enumerate(row) if v == k} for k in set(row)} for row in (ours, theirs))
    covering = sum(len(r) * max(len(r & s) / len(r | s) for s in a.values()) for r in b.values()) / count
    pairs = [(i, j) for i in range(count) for j in range(i)]
    same = [(ours[i] == ours[j]) == (theirs[i] == theirs[j]) for i, j in pairs]
    information = 0.0
    for r in a.values():
        for s in b.values():
            if both := len(r & s):
                information -= both / count * (math.log2(both / len(r)) + math.log2(both / len(s)))
    return covering, sum(same) / len(pairs) if pairs else math.nan, information


@settings(steady, max_examples=50)
@given(st.integers(1, 7), st.integers(1, 8), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_scores_equal_their_definitions(height, width, segments, regions, seed):
    labels, truth = maps(height, width, segments, seed), maps(height, width, regions, seed + 1)
    truth[truth == 2] = 255  # an id like any other
    for score, twin in zip(SCORES, twins(labels, truth), strict=True):
        assert score(labels, truth).item() == pytest.approx(twin, abs=1e-12, nan_ok=True)
        assert torch.equal(
            score(labels * 10**12 + 3, truth).nan_to_num(-1), score(labels, truth).nan_to_num(-1)
        )
    if height * width > 1:
        peer = rand_score(truth.flatten().numpy(), labels.flatten().numpy())
        assert probabilistic_rand_index(labels, truth).item() == pytest.approx(peer)


@settings(steady, max_examples=50)
@given(st.integers(1, 6), st.integers(1, 6), st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 999))
def test_variation_of_information_is_a_metric(height, width, counts, seed):
    a, b, c = (maps(height, width, count, seed + k) for k, count in enumerate(counts))
    ab, bc, ac = (variation_of_information(*pair).item() for pair in ((a, b), (b, c), (a, c)))
    assert ac <= ab + bc + 1e-9
    assert ab == pytest.approx(variation_of_information(b, a).item(), abs=1e-12) and ab >= 0
    assert variation_of_information(a, a).item() == pytest.approx(0, abs=1e-12)


def test_several_truths_count_by_their_mean():
    labels, truths = maps(seed=1), [maps(seed=2), maps(count=2, seed=3), maps(count=7, seed=4)]
    for score in SCORES:
        each = torch.stack([score(labels, truth) for truth in truths])
        assert score(labels, truths) == each.mean()
        assert score(labels, tuple(truths[:1])) == each[0]
        assert score(labels, truths).dtype == torch.float64
    assert probabilistic_rand_index(torch.zeros(1, 1).long(), torch.zeros(1, 1).long()).isnan()


def test_a_perfect_segmentation_has_the_best_scores():
    truth = maps()
    assert [score(truth, truth).item() for score in SCORES] == pytest.approx([1, 1, 0])


# --- Objects that touch ---


def test_coins_that_were_pushed_together_are_counted():
    mask = torch.zeros(330, 420, dtype=torch.bool)
    top = 4
    for row in coin_masks().split(6):
        left, tallest = 4, 0
        for coin in row:
            rows, columns = (torch.where(coin.any(axis))[0] for axis in (1, 0))
            own = coin[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            mask[top : top + len(own), left : left + own.shape[1]] |= own
            left, tallest = left + own.shape[1] - 2, max(tallest, len(own))
        top += tallest - 2
    assert ndimage.label(mask.numpy(), np.ones((3, 3)))[1] == 2
    for depth in (10, 12, 14, 16):
        found = split_touching(mask, depth)
        assert torch.equal(found.unique(), torch.arange(25))
        assert torch.equal(found > 0, mask)


@settings(steady, max_examples=40)
@given(st.integers(2, 12), st.integers(2, 12), st.floats(0, 4), st.integers(0, 999))
def test_each_object_grows_from_one_marker(height, width, depth, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(height, width, generator=generator) < 0.8
    mask[0, 0] = False
    found = split_touching(mask, depth)
    distance = np.zeros((height, width))
    ground = np.argwhere(~mask.numpy())
    for y, x in np.argwhere(mask.numpy()):
        distance[y, x] = np.sqrt(((ground - (y, x)) ** 2).sum(1)).min()
    markers, count = ndimage.label(distance > depth, np.ones((3, 3)))
    assert found.dtype == torch.int64 and not found[~mask].any()
    assert len(found.unique()) - 1 == count
    for k in range(1, count + 1):
        assert len(found[torch.from_numpy(markers == k)].unique()) == 1
        assert ndimage.label((found == k).numpy(), np.ones((3, 3)))[1] == 1


def test_masks_without_ground_or_object_have_an_answer():
    assert (split_touching(torch.ones(4, 5, dtype=torch.bool), 2.0) == 1).all()
    assert (split_touching(torch.zeros(4, 5, dtype=torch.bool), 2.0) == 0).all()


def test_shallow_basins_are_no_regions():
    heights = torch.tensor([[0.0, 0.4, 0.3, 0.9, 0.1]])
    assert basins(heights).unique().tolist() == [0, 1, 2]
    assert basins(heights, depth=0.2).unique().tolist() == [0, 1]
    assert basins(heights, depth=2.0).unique().tolist() == [0]


# --- What is refused ---

LEAVES, MERGES = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1], [3, 2]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ultrametric_contour_map(torch.zeros(4, 4)), ValueError, "O, H, W"),
        (lambda: ultrametric_contour_map(torch.full((1, 4, 4), torch.inf)), ValueError, "finite"),
        (lambda: ultrametric_contour_map(-torch.ones(1, 4, 4)), ValueError, "take the strength"),
        (lambda: hierarchy().cut("much"), TypeError, "threshold"),
        (lambda: hierarchy().cut(math.nan), ValueError, "threshold"),
        (lambda: multiscale_hierarchy(torch.zeros(1, 4, 4)), ValueError, "repeat grey"),
        (lambda: multiscale_hierarchy(torch.zeros(3, 4, 4), scales=()), ValueError, "at least one scale"),
        (lambda: multiscale_hierarchy(torch.zeros(3, 4, 4), scales=(0.0,)), ValueError, "above 0"),
        (lambda: object_proposals([], 3), ValueError, "at least one hierarchy"),
        (lambda: object_proposals(hierarchy(), 0), ValueError, "n of at least 1"),
        (lambda: object_proposals([torch.zeros(3, 3)], 3), TypeError, "Hierarchy"),
        (lambda: object_proposals([hierarchy(8, 8), hierarchy(9, 8)], 3), ValueError, "leaves of the shape"),
        (lambda: Hierarchy(LEAVES, torch.tensor([[0, 1]]), torch.tensor([1.0])), ValueError, "merge until"),
        (lambda: Hierarchy(LEAVES, MERGES, torch.tensor([2.0, 1.0])), ValueError, "fall"),
        (lambda: split_touching(torch.zeros(4, 4), 1), ValueError, "bool"),
        (lambda: split_touching(torch.zeros(4, 4, dtype=torch.bool), -1), ValueError, "depth"),
        (lambda: basins(torch.zeros(4, 4), depth=-1), ValueError, "depth"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("score", SCORES)
def test_maps_that_do_not_belong_together_are_refused(score):
    labels = maps()
    for wrong in (labels[1:], labels.float(), labels[None], labels - 1, []):
        with pytest.raises(ValueError, match="expected"):
            score(labels, wrong)
    with pytest.raises(TypeError, match="expected"):
        score(labels, [labels.tolist()])


def test_a_photograph_falls_into_its_parts():
    image = photograph("coins")[:, :150, :190]
    masks, _ = object_proposals(ultrametric_contour_map(contour_probability(image)), 100)
    coins = [each[:150, :190] for each in coin_masks() if each[:150, :190].sum() == each.sum()]
    best = [max(float((m & c).sum() / (m | c).sum()) for m in masks) for c in coins]
    assert len(coins) >= 5 and np.mean(np.array(best) > 0.7) >= 0.8


@pytest.mark.parametrize(
    ("merges", "heights", "words"),
    [
        ([[0, 1], [2, 255]], [1.0, 2.0], "nodes that are there"),
        ([[0, 1], [2, -1]], [1.0, 2.0], "nodes that are there"),
        ([[0, 3], [1, 2]], [1.0, 2.0], "nodes that are there"),  # node 3 is made by this very merge
        ([[0, 1], [1, 2]], [1.0, 2.0], "each of them once"),
        ([[0, 1], [2, 3]], [1.0, math.nan], "never fall"),
    ],
)
def test_a_tree_that_is_none_is_refused(merges, heights, words):
    with pytest.raises(ValueError, match=words):
        Hierarchy(torch.tensor([[0, 1, 2]]), torch.tensor(merges), torch.tensor(heights))
