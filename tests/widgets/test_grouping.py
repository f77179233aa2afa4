"""The hierarchy widget: cuts and scores against the library's, what its words claim, the figure in use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import traitlets

from segcore.grouping import (
    Hierarchy,
    probabilistic_rand_index,
    segmentation_covering,
    variation_of_information,
)
from segcore.widgets.grouping import HEIGHT, PHOTOGRAPHS, WIDTH, HierarchyWidget

from .kit import PHONE, measure_frames, settle

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_the_same_each_time():
    widget = HierarchyWidget()
    assert widget.to_html() == HierarchyWidget().to_html()
    assert len(str(widget.public_state())) < 70_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("photo", "cat", "astronaut"),
        ("threshold", 1.2, "from 0 to 1"),
        ("at", [240, 0], "from 0, 0 to 239, 179"),
        ("at", [1], "x, y of a pixel"),
        ("view", "both", "contours"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = HierarchyWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
def test_the_trees_are_trees(photo: str):
    """Each node merges once, after it was made, and heights never decrease; leaves are connected."""
    widget = HierarchyWidget(photo=photo)
    tree = widget.hierarchy
    count = len(tree.heights) + 1
    assert tree.leaves.shape == (HEIGHT, WIDTH) and widget.image.shape == (3, HEIGHT, WIDTH)
    assert tree.leaves.unique().tolist() == list(range(count)) and count <= 400
    assert sorted(tree.merges.flatten().tolist()) == list(range(2 * count - 2))
    assert (tree.merges < count + torch.arange(count - 1)[:, None]).all()
    assert (tree.heights.diff() >= 0).all()
    assert (widget.truth is not None) == (photo == "scene")


def region(tree: Hierarchy, threshold: float, x: int, y: int) -> torch.Tensor:
    labels = tree.cut(threshold)
    return labels == labels[y, x]


def test_what_the_things_to_try_claim():
    """Head, ring and suit are regions at .25; at .42 the head is one with the wall; the cup and its spoon."""
    tree = HierarchyWidget(photo="astronaut").hierarchy
    head, ring, suit = (region(tree, 0.25, *at) for at in ((112, 60), (110, 118), (85, 160)))
    wall = region(tree, 0.25, 60, 30)
    for one, other in ((head, ring), (ring, suit), (head, wall), (suit, wall)):
        assert not (one & other).any()
    assert [900 < each.sum() < 12_000 for each in (head, ring, suit)] == [True] * 3
    assert torch.equal(region(tree, 0.42, 112, 60), region(tree, 0.42, 60, 30))
    tree = HierarchyWidget(photo="cup").hierarchy
    assert 100 < region(tree, 0.2, 145, 125).sum() < 1200, "the spoon"
    assert 100 < region(tree, 0.2, 85, 125).sum() < 1200, "the handle"
    cup = region(tree, 0.42, 110, 55)
    assert 5000 < cup.sum() < 9000 and cup[30, 110] and cup[66, 110], "rim and coffee"
    assert region(tree, 0.42, 145, 125).sum() > 15_000, "the spoon is gone"
    widget = HierarchyWidget(photo="scene")
    assert widget.truth is not None
    steps = [widget.hierarchy.cut(n / 100) for n in range(101)]
    best = max(steps, key=lambda labels: segmentation_covering(labels, widget.truth).item())
    assert segmentation_covering(best, widget.truth) > 0.94
    ious = []
    for k in range(1, 6):
        own = widget.truth == k
        part = best == best[own].mode().values
        ious.append(((own & part).sum() / (own | part).sum()).item())
    assert sorted(iou > 0.9 for iou in ious) == [False, True, True, True, True], "one is missing"


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def random_tree(generator: torch.Generator, height: int, width: int, count: int) -> Hierarchy:
    leaves = torch.cat(
        [torch.arange(count), torch.randint(count, (height * width - count,), generator=generator)]
    )
    nodes, merges = list(range(count)), []
    while len(nodes) > 1:
        a, b = (nodes.pop(int(torch.randint(len(nodes), (1,), generator=generator))) for _ in range(2))
        merges.append([a, b])
        nodes.append(count + len(merges) - 1)
    heights = torch.rand(count - 1, generator=generator).mul(8).round().div(8).sort().values
    return Hierarchy(
        leaves.reshape(height, width), torch.tensor(merges, dtype=torch.int64).reshape(-1, 2), heights
    )


def in_the_page(opened: Any, tree: Hierarchy, call: str, *more: Any) -> Any:
    packed = {
        "leaves": tree.leaves.flatten().tolist(),
        "count": len(tree.heights) + 1,
        "merges": tree.merges.flatten().tolist(),
        "heights": tree.heights.tolist(),
    }
    return opened.root.evaluate(call, [packed, *more])


def test_a_cut_equals_the_librarys(shared_widget: Any):
    """Random trees in which heights tie, cut between, at and beyond their heights; and a tree of one leaf."""
    opened = shared_widget(HierarchyWidget)
    generator = torch.Generator().manual_seed(4)
    cut = """(root, [tree, threshold]) => {
      const { labels, count } = root.segcore.module.cutAt(tree, threshold);
      return [Array.from(labels), count];
    }"""
    for count in (1, 2, 5, 17, 40):
        tree = random_tree(generator, 6, 9, count)
        for threshold in (-1.0, 0.0, 0.25, 0.3, 0.875, 1.0, 2.0):
            labels, found = in_the_page(opened, tree, cut, threshold)
            wanted = tree.cut(threshold)
            assert labels == wanted.flatten().tolist() and found == wanted.max() + 1


def test_boundaries_fall_where_the_librarys_do(shared_widget: Any):
    """The strength between neighbours is what stands between them in the ultrametric contour map."""
    opened = shared_widget(HierarchyWidget)
    tree = random_tree(torch.Generator().manual_seed(6), 5, 8, 20)
    falls = """(root, [tree, pairs]) => pairs.map(([a, b]) => root.segcore.module.fallsAt(tree, a, b))"""
    pairs = torch.stack([tree.leaves[:, :-1], tree.leaves[:, 1:]], -1).reshape(-1, 2).tolist()
    found = in_the_page(opened, tree, falls, pairs)
    assert found == pytest.approx(tree.ucm[1::2, 2:-1:2].flatten().tolist())


def test_scores_equal_the_librarys(shared_widget: Any):
    opened = shared_widget(HierarchyWidget)
    generator = torch.Generator().manual_seed(8)
    for segments, regions in ((1, 1), (1, 4), (6, 1), (5, 7), (12, 3)):
        labels = torch.randint(segments, (8, 11), generator=generator).unique(return_inverse=True)[1]
        truth = torch.randint(regions, (8, 11), generator=generator).unique(return_inverse=True)[1]
        found = opened.call("scores", labels.flatten().tolist(), truth.flatten().tolist())
        assert found["covering"] == pytest.approx(segmentation_covering(labels, truth).item(), abs=1e-9)
        assert found["rand"] == pytest.approx(probabilistic_rand_index(labels, truth).item(), abs=1e-9)
        wanted = variation_of_information(labels, truth).item()
        assert found["information"] == pytest.approx(wanted, abs=1e-9)


# ---- The figure in use -----------------------------------------------------------------------------------


def words_of(opened: Any, selector: str) -> str:
    settle(opened)
    return opened.root.locator(selector).first.inner_text()


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
def test_the_figure_counts_as_the_library(open_widget: Any, photo: str):
    widget = HierarchyWidget(photo=photo, threshold=0.3)
    opened = open_widget(widget)
    opened.page.wait_for_function(
        "document.querySelector('.regions .segcore-label').textContent.includes('of')"
    )
    tree = widget.hierarchy
    labels = tree.cut(0.3)
    assert (
        words_of(opened, ".regions .segcore-label")
        == f"{labels.max() + 1} regions of {len(tree.heights) + 1}"
    )
    x, y = widget.at
    assert f"has {(labels == labels[y, x]).sum():,} pixels" in words_of(opened, ".words")
    assert opened.root.locator(".segcore-marks").is_visible() == (photo == "scene")
    if widget.truth is not None:
        marks = words_of(opened, ".segcore-marks")
        assert f"{segmentation_covering(labels, widget.truth):.3f}" in marks
        assert f"{variation_of_information(labels, widget.truth):.2f} bits" in marks
    opened.assert_quiet()


def test_the_slider_merges_and_the_pointer_follows(open_widget: Any):
    opened = open_widget(HierarchyWidget())
    settle(opened)
    sizes = []
    for threshold in (0, 0.2, 0.25, 0.42, 1):
        opened.set("threshold", threshold)
        sizes.append(int(words_of(opened, ".words").split("has ")[1].split(" ")[0].replace(",", "")))
    assert sizes == sorted(sizes) and sizes[-1] == WIDTH * HEIGHT
    assert "whole picture" in words_of(opened, ".words")
    opened.set("threshold", 0.25)
    opened.root.locator(".regions canvas").focus()
    before = words_of(opened, ".words")
    for _ in range(12):
        opened.page.keyboard.press("ArrowDown")
    assert opened.get("at") == [112, 108] and words_of(opened, ".words") != before
    opened.assert_quiet()


def test_a_phone_shows_one_picture_at_a_time(open_widget: Any):
    opened = open_widget(HierarchyWidget(), **PHONE)
    settle(opened)
    assert not opened.root.locator(".contours").is_visible()
    opened.page.get_by_role("radio", name="Boundaries").check()
    settle(opened)
    assert opened.root.locator(".contours").is_visible()
    assert not opened.root.locator(".regions").is_visible()
    opened.assert_quiet()


SLIDE = """async (root) => {
  const times = [];
  let last = await new Promise(requestAnimationFrame);
  for (let n = 0; n < 110; n++) {
    root.segcore.model.set("threshold", (n % 50) / 100);
    root.segcore.model.save_changes();
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times;
}"""


def test_the_slider_is_smooth(open_widget: Any):
    opened = open_widget(HierarchyWidget(photo="scene"))
    settle(opened)
    measure_frames(opened, SLIDE).assert_smooth()
    opened.assert_quiet()
