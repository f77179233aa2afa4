"""Each `show_*` draws what the conventions say, and the palette holds for every eye and on both pages."""

from __future__ import annotations

import itertools
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from segcore import viz
from segcore.data.scenes import CLASSES, KEYPOINTS, make_scenes

SCENE = make_scenes(1, (40, 56), seed=4)[0]
NAMES = [CLASSES[k] for k in SCENE.classes]
SHOWN = {
    "image": lambda ax: viz.show_image(SCENE.image, ax, "title"),
    "labels": lambda ax: viz.show_labels(SCENE.labels, CLASSES, ax=ax, title="title"),
    "labels over image": lambda ax: viz.show_labels(SCENE.labels, CLASSES, SCENE.image, ax=ax, title="title"),
    "masks": lambda ax: viz.show_masks(SCENE.image, SCENE.masks, NAMES, ax=ax, title="title"),
    "boxes": lambda ax: viz.show_boxes(SCENE.image, SCENE.boxes, NAMES, ax=ax, title="title"),
    "keypoints": lambda ax: viz.show_keypoints(SCENE.image, SCENE.keypoints, KEYPOINTS, ax, "title"),
    "heatmap": lambda ax: viz.show_heatmap(SCENE.depth, "depth in m", ax=ax, title="title"),
    "normals": lambda ax: viz.show_normals(SCENE.normals, ax, "title"),
    "panoptic": lambda ax: viz.show_panoptic(
        torch.stack([SCENE.labels, SCENE.instances], -1), CLASSES, ax=ax, title="title"
    ),
}
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
    "none": np.eye(3),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_figure_is_left():
    with plt.rc_context():
        yield
    plt.close("all")


def linear(color):
    c = np.array(to_rgb(color))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def encoded(c):
    c = c.clip(0, 1)
    return np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)


def contrast(a, b):
    dark, light = sorted(0.05 + linear(c) @ (0.2126, 0.7152, 0.0722) for c in (a, b))
    return light / dark


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_any_two_colours_of_the_palette_stay_apart(blindness):
    seen = [encoded(np.array(BLINDNESS[blindness]) @ linear(c)) for c in viz.PALETTE]
    lab = rgb2lab(np.array(seen)[None])[0]
    distances = [deltaE_ciede2000(a, b) for a, b in itertools.combinations(lab, 2)]
    assert min(distances) > 11


@pytest.mark.parametrize("color", [*viz.PALETTE, viz.GREY])
@pytest.mark.parametrize("page", ["#ffffff", "#15191e"])
def test_every_colour_stands_out_from_both_pages(color, page):
    assert contrast(color, page) >= 3


@pytest.mark.parametrize("color", [*viz.PALETTE, "#ffffff", "#000000", "#808080"])
def test_words_on_a_tag_can_be_read(color):
    assert contrast(color, viz._ink(color)) >= 4.5


@pytest.mark.parametrize("page", ["#ffffff", "#15191e"])
@pytest.mark.parametrize("name", SHOWN)
def test_every_picture_is_drawn_on_light_and_dark(name, page):
    viz.use_style()
    own = SHOWN[name](None)
    assert own.get_xlim() == (0, 56) and own.get_ylim() == (40, 0)
    assert own.get_title() == "title" and own.title.get_color() == viz.GREY
    _, ax = plt.subplots()
    assert SHOWN[name](ax) is ax and len(plt.get_fignums()) == 2, "a given ax is used, no figure is made"
    ax.figure.set_facecolor(page)
    ax.figure.patch.set_alpha(1)
    ax.figure.canvas.draw()
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]
    assert np.abs(pixels[0, 0] / 255 - to_rgb(page)).max() < 0.01, "the page shows through"
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5


def test_inputs_are_left_as_they_were():
    before = [t.clone() for t in (SCENE.image, SCENE.labels, SCENE.boxes, SCENE.keypoints, SCENE.depth)]
    for show in SHOWN.values():
        show(None)
    after = (SCENE.image, SCENE.labels, SCENE.boxes, SCENE.keypoints, SCENE.depth)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_an_outline_runs_along_pixel_edges():
    mask = torch.zeros(5, 6, dtype=torch.bool)
    mask[1:3, 2:5] = True
    (line,) = viz._outline(mask.numpy())
    assert {tuple(point) for point in line.tolist()} == {(2, 1), (5, 1), (5, 3), (2, 3)}
    assert len(line) == 5 and line[0].tolist() == line[-1].tolist(), "closed, a point at each corner"
    (full,) = viz._outline(np.ones((2, 3), dtype=bool))
    assert sorted(map(tuple, full.tolist()))[-1] == (3, 2), (
        "a mask that fills the image is outlined at its border"
    )
    assert viz._outline(np.zeros((2, 3), dtype=bool)) == []


def test_outlines_of_any_mask_are_its_edges_once_each():
    masks = torch.rand(20, 9, 11, generator=torch.Generator().manual_seed(0)) < 0.5
    for mask in masks.numpy():
        drawn = []
        for line in viz._outline(mask):
            assert line[0].tolist() == line[-1].tolist()
            for (x1, y1), (x2, y2) in itertools.pairwise(line.tolist()):
                assert (x1 == x2) != (y1 == y2), "along one axis"
                length = abs(x2 - x1) + abs(y2 - y1)
                ends = [
                    (x1 + (x2 - x1) * k // length, y1 + (y2 - y1) * k // length) for k in range(length + 1)
                ]
                drawn += [frozenset(edge) for edge in itertools.pairwise(ends)]
        padded = np.pad(mask, 1)
        upright = [
            frozenset([(x, y), (x, y + 1)])
            for y, x in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]).tolist()
        ]
        level = [
            frozenset([(x, y), (x + 1, y)])
            for y, x in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]).tolist()
        ]
        assert len(drawn) == len(set(drawn)) and set(drawn) == {*upright, *level}


def test_labels_show_their_colours_and_ignored_pixels_nothing():
    labels = torch.tensor([[0, 1, 2], [2, 255, 1]])
    ax = viz.show_labels(labels, colors=["black", "red", "lime"])
    pixels = ax.images[0].get_array()
    assert pixels[0].tolist() == [[0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1]]
    assert pixels[1, 1, 3] == 0 and len(ax.patches) == 1, "ignored: transparent, and hatched"
    assert ax.patches[0].get_path().get_extents().extents.tolist() == [1, 1, 2, 2]


def test_keypoints_are_filled_hollow_or_absent():
    points = torch.tensor([[[1.5, 2.5, 2.0], [4.0, 3.0, 1.0], [0.0, 0.0, 0.0]]])
    ax = viz.show_keypoints(torch.zeros(3, 8, 8), points)
    top = [line for line in ax.lines if "white" not in (line.get_mfc(), line.get_mec())]
    assert [line.get_xydata().tolist() for line in top] == [[[1.5, 2.5]], [[4.0, 3.0]]]
    assert [line.get_mfc() for line in top] == [viz.PALETTE[0], "none"]


def test_normals_and_heatmaps_leave_what_is_missing_blank():
    normals = torch.zeros(3, 2, 2)
    normals[0, 0, 0], normals[:, 1, 1] = 1, torch.nan
    alpha = viz.show_normals(normals).images[0].get_array()[..., 3]
    assert alpha.tolist() == [[1, 0], [0, 0]]
    ax = viz.show_heatmap(torch.tensor([[1.0, torch.nan], [torch.inf, 3.0]]), colorbar=False)
    assert ax.images[0].get_clim() == (1, 3) and ax.images[0].get_array().mask.tolist() == [[0, 1], [1, 0]]
    assert len(viz.show_heatmap(torch.full((2, 2), torch.nan)).patches) == 1


def test_as_chapter_13_uses_it():
    viz.use_style()
    _, axes = plt.subplots(1, 2)
    viz.show_image(SCENE.image, ax=axes[0], title="one")
    viz.show_boxes(None, SCENE.boxes[:2], ax=axes[0], colors=[viz.PALETTE[0], viz.PALETTE[1]])
    viz.show_masks(None, SCENE.masks[:1], alpha=0, colors=[viz.PALETTE[2]], ax=axes[0])
    viz.show_heatmap(
        torch.rand(7, 7, generator=torch.manual_seed(0)), ax=axes[1], title="two", colorbar=False
    )
    assert len(axes[0].patches) == 2 and len(axes[0].collections) == 1 and axes[0].get_xlim() == (0, 56)


def test_a_grid_holds_images_of_any_size():
    axes = viz.show_grid(
        [torch.zeros(3, 8, 8), torch.ones(6, 12), torch.zeros(1, 4, 4)], list("abc"), columns=2
    )
    assert [ax.get_title() for ax in axes] == ["a", "b", "c"] and axes[1].get_xlim() == (0, 12)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: viz.show_image(torch.rand(4, 5, 3)), r"channels first with image\.movedim\(-1, 0\)"),
        (lambda: viz.show_image(torch.zeros(3, 4, 4, dtype=torch.uint8)), r"image\.float\(\) / 255"),
        (lambda: viz.show_image(torch.full((3, 4, 4), 2.0)), "from 0 to 1, got 2 to 2; .*heatmap"),
        (lambda: viz.show_image(torch.full((3, 4, 4), torch.nan)), "from 0 to 1, got nan"),
        (lambda: viz.show_labels(torch.rand(4, 4)), "take argmax over the axis of classes"),
        (lambda: viz.show_labels(torch.full((4, 4), -1)), "of 0 or more"),
        (lambda: viz.show_labels(torch.full((4, 4), 3), ["a", "b"]), "classes has 2 entries, but labels go"),
        (lambda: viz.show_labels(SCENE.labels, image=torch.rand(3, 4, 4)), "the image's size, 4 × 4, got"),
        (lambda: viz.show_masks(None, torch.rand(2, 4, 4)), "masks > 0.5"),
        (lambda: viz.show_masks(None, SCENE.masks, labels=["one"] * 9), "9 labels for"),
        (lambda: viz.show_boxes(SCENE.image, torch.rand(3, 5)), r"boxes of shape \(N, 4\), got \(3, 5\)"),
        (lambda: viz.show_boxes(SCENE.image, torch.tensor([9.0, 9, 2, 3])), "from x, y, width, height"),
        (lambda: viz.show_boxes(SCENE.image, torch.full((1, 4), torch.nan)), "finite boxes, got nan"),
        (lambda: viz.show_boxes(None, SCENE.boxes), "nothing to draw on"),
        (lambda: viz.show_keypoints(SCENE.image, torch.full((1, 3, 3), 4.0)), "which is 0, 1 or 2"),
        (lambda: viz.show_keypoints(SCENE.image, torch.rand(2, 2)), r"\(N, K, 3\)"),
        (lambda: viz.show_heatmap(torch.rand(3, 4, 4)), r"values of shape \(H, W\)"),
        (lambda: viz.show_heatmap(torch.rand(4, 4), limits=(2, 1)), "smallest, largest"),
        (lambda: viz.show_normals(torch.ones(3, 4, 4)), "length 1, got one of 1.73; divide"),
        (lambda: viz.show_grid([]), "at least one image"),
        (lambda: viz.show_grid([SCENE.image], titles=["a", "b"]), "2 titles for 1 images"),
        (lambda: viz.explore(print), "at least one control"),
        (lambda: viz.explore(print, stride=object()), "can make no control of stride=<object"),
    ],
)  # fmt: skip
def test_bad_input_says_what_was_expected_and_the_cure(call, message, monkeypatch):
    monkeypatch.setenv("SEGCORE_STATIC", "1")
    with pytest.raises(ValueError, match=message):
        call()
    assert plt.get_fignums() == [], "no empty figure is left behind"


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match=r"image as a tensor .*got list; use torch\.as_tensor"):
        viz.show_image([[0.0]])


def test_explore_draws_once_in_a_static_page(monkeypatch, capsys):
    monkeypatch.setenv("SEGCORE_STATIC", "1")
    calls = []
    viz.explore(lambda **given: calls.append(given), stride=(1, 9, 2), mode=["max", "mean"], on=True)
    assert calls == [{"stride": 5, "mode": "max", "on": True}]
    assert capsys.readouterr().out == ""


def test_explore_lets_an_error_of_the_function_through(monkeypatch):
    monkeypatch.setenv("SEGCORE_STATIC", "1")
    with pytest.raises(ZeroDivisionError):
        viz.explore(lambda n: 1 / n, n=[0, 1])


def test_importing_viz_does_not_import_ipywidgets():
    program = "import sys, segcore.viz; sys.exit('ipywidgets' in sys.modules or 'IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
