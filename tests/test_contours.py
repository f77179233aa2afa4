"""Contours equal their definition in plain loops, point along edges, and beat scikit-image's gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import filters

from segcore import contours
from segcore.contours import contour_probability, contour_strength, half_disc_kernels, spectral_contours
from segcore.data.images import photograph
from segcore.data.scenes import make_scenes
from segcore.grouping import ultrametric_contour_map
from segcore.superpixels import boundaries


def distances_twin(shares, orientations, radius):
    """Half-disc histograms pixel by pixel, and their chi-squared distance."""
    bins, height, width = shares.shape
    found = torch.zeros(orientations, height, width, dtype=torch.float64)
    reach = math.floor(radius)
    for k in range(orientations):
        angle = math.pi * k / orientations
        for y in range(height):
            for x in range(width):
                halves = np.zeros((2, bins))
                for dy in range(-reach, reach + 1):
                    for dx in range(-reach, reach + 1):
                        if dy * dy + dx * dx > radius**2:
                            continue
                        side = min(max(math.cos(angle) * dy - math.sin(angle) * dx, -0.5), 0.5)
                        v, u = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
                        histogram = shares[:, v, u].numpy()
                        halves[0] += (0.5 + side) * histogram
                        halves[1] += (0.5 - side) * histogram
                g, h = halves / (halves.sum() / 2)
                some = g + h > 0
                found[k, y, x] = 0.5 * ((g - h)[some] ** 2 / (g + h)[some]).sum()
    return found


@pytest.mark.parametrize(("orientations", "radius"), [(2, 2.0), (3, 2.5), (8, 3.0)])
def test_distances_equal_a_loop_over_half_discs(orientations, radius):
    generator = torch.Generator().manual_seed(orientations)
    shares = F.one_hot(torch.randint(4, (7, 9), generator=generator), 4).movedim(-1, 0).float()
    ours = contours._distances(shares, half_disc_kernels(orientations, radius))
    assert torch.allclose(ours.double(), distances_twin(shares, orientations, radius), atol=1e-5)


def test_soft_bins_share_a_value_among_two():
    shares = contours._soft_bins(torch.tensor([[[0.0, 100.0, 10.0]]]), ((0.0, 100.0),))
    assert torch.allclose(shares.sum(0), torch.ones(1, 3))
    assert shares[0, 0, 0] == 1 and shares[-1, 0, 1] == 1
    assert shares[1, 0, 2] == pytest.approx(0.5) and shares[2, 0, 2] == pytest.approx(0.5)


@pytest.mark.parametrize("turn", range(8))
def test_the_strongest_map_is_that_of_the_edges_direction(turn):
    angle = math.pi * turn / 8
    y, x = torch.meshgrid(torch.arange(41) - 20.0, torch.arange(41) - 20.0, indexing="ij")
    image = (math.cos(angle) * y - math.sin(angle) * x > 0).float().expand(3, 41, 41)
    strength = contour_probability(image)
    assert int(strength[:, 20, 20].argmax()) == turn
    assert strength.max() <= 1 and strength.min() >= 0


def test_a_constant_image_has_no_contour():
    assert contour_probability(torch.full((3, 12, 15), 0.4)).max() < 1e-6
    assert spectral_contours(torch.zeros(8, 12, 15)).max() == 0
    assert contour_probability(torch.rand(3, 1, 1)).shape == (8, 1, 1)
    assert contour_probability(torch.rand(3, 1, 30), orientations=3).shape == (3, 1, 30)


def test_texture_is_seen_where_brightness_is_not():
    y, x = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    stripes = torch.where(x < 30, y // 3 % 2, x // 3 % 2).float()
    image = (0.3 + 0.4 * stripes).expand(3, 60, 60)
    strength = contour_strength(contour_probability(image))
    assert strength[15:45, 28:32].mean() > 1.2 * strength[15:45, 12:18].mean()


def test_spectral_contours_keep_what_closes():
    image = torch.full((3, 60, 60), 0.2)
    image[:, 20:40, 20:40] = 0.8  # a square that closes
    image[:, 50, 5:15] = 0.8  # a short line that does not
    local = contour_probability(image)
    found = spectral_contours(local)
    assert found.shape == local.shape and found.max() == pytest.approx(float(local.max()))
    square, line = (contour_strength(each) for each in (found, local))
    ratios = [each[18:22, 20:40].max() / each[48:53, 5:15].max() for each in (square, line)]
    assert ratios[0] > 1.1 * ratios[1]
    assert torch.equal(spectral_contours(local), found)


def test_outlines_are_better_than_the_gradients():
    scenes = make_scenes(10, size=96, seed=31, antialias=True)

    def f_score(edges):
        best = 0.0
        for threshold in np.linspace(0.02, 0.6, 30):
            hit = np.zeros(4)
            for scene, edge in zip(scenes, edges, strict=True):
                truth = torch.where((scene.instances == 0) & (scene.normals[1] > 0), 99, scene.instances)
                found, wanted = edge(threshold), boundaries(truth)
                near = [F.max_pool2d(each.float()[None], 5, 1, 2)[0] > 0 for each in (found, wanted)]
                hit += [(found & near[1]).sum(), found.sum(), (wanted & near[0]).sum(), wanted.sum()]
            precision, recall = hit[0] / max(hit[1], 1), hit[2] / hit[3]
            best = max(best, 2 * precision * recall / max(precision + recall, 1e-9))
        return best

    trees = [ultrametric_contour_map(contour_probability(scene.image)) for scene in scenes]
    ours = f_score([lambda t, tree=tree: boundaries(tree.cut(t)) for tree in trees])
    weights = torch.tensor([0.2125, 0.7154, 0.0721])
    gradients = [filters.sobel((scene.image.movedim(0, -1) @ weights).numpy()) for scene in scenes]
    theirs = f_score([lambda t, g=g: torch.from_numpy(g > t) for g in gradients])
    assert ours > theirs + 0.05


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_any_floating_point_will_do(dtype):
    image = photograph("coffee")[:, 100:140, 200:260].to(dtype)
    before = image.clone()
    assert torch.equal(contour_probability(image), contour_probability(image.float()))
    turned = image.movedim(0, -1).contiguous().movedim(-1, 0)
    assert torch.allclose(contour_probability(turned), contour_probability(image), atol=1e-6)
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: contour_probability(torch.zeros(1, 4, 4)), ValueError, "repeat grey"),
        (lambda: contour_probability(torch.zeros(3, 4, 4).byte()), ValueError, "/ 255"),
        (lambda: contour_probability(torch.zeros(3, 4, 4).numpy()), TypeError, "tensor"),
        (lambda: contour_probability(torch.zeros(3, 4, 4), orientations=0), ValueError, "orientations"),
        (lambda: contour_probability(torch.zeros(3, 4, 4), orientations=2.5), TypeError, "orientations"),
        (lambda: spectral_contours(torch.zeros(4, 4)), ValueError, "O, H, W"),
        (lambda: spectral_contours(-torch.ones(2, 4, 4)), ValueError, "of 0 or more"),
        (lambda: spectral_contours(torch.full((2, 4, 4), torch.nan)), ValueError, "finite"),
        (lambda: spectral_contours(torch.ones(2, 4, 4), vectors=0), ValueError, "vectors"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
