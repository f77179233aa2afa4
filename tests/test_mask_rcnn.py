"""Mask R-CNN: pasting, targets and loss against torchvision's and plain loops; the network as a whole."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection import roi_heads as peer

from segcore.data.scenes import make_scenes
from segcore.instance_metrics import evaluate_instances
from segcore.mask_rcnn import (
    MaskHead,
    MaskRCNN,
    instance_targets,
    mask_loss,
    mask_rcnn_for_scenes,
    mask_targets,
    paste_masks,
)
from segcore.train import batches, fit

SEEDS = (0, 1, 2)
ROOT = Path(__file__).parents[1]


def random_boxes(count, size, generator):
    """Boxes of all kinds: inside, over the edge, far outside, thinner than a pixel."""
    extent = torch.tensor([size[1], size[0]], dtype=torch.float32)
    corner = (torch.rand(count, 2, generator=generator) * 1.6 - 0.4) * extent
    sides = 0.05 + torch.rand(count, 2, generator=generator) ** 2 * extent * 1.2
    return torch.cat([corner, corner + sides], 1)


# ---- Pasting


def pasted_by_loops(mask, box, size):
    x1, y1, x2, y2 = box.tolist()
    rows, columns = mask.shape
    image = torch.zeros(size)
    for i, j in itertools.product(range(size[0]), range(size[1])):
        v, u = (i + 0.5 - y1) / (y2 - y1) * rows - 0.5, (j + 0.5 - x1) / (x2 - x1) * columns - 0.5
        for a, b in itertools.product(range(rows), range(columns)):
            image[i, j] += max(0, 1 - abs(v - a)) * max(0, 1 - abs(u - b)) * mask[a, b]
    return image


def pasted_by_grid_sample(masks, boxes, size):
    """detectron2's way."""
    y, x = torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5
    v = (y - boxes[:, 1:2]) / (boxes[:, 3:] - boxes[:, 1:2]) * 2 - 1
    u = (x - boxes[:, :1]) / (boxes[:, 2:3] - boxes[:, :1]) * 2 - 1
    grid = torch.stack([u[:, None].expand(-1, size[0], -1), v[:, :, None].expand(-1, -1, size[1])], -1)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_pasting_is_the_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    boxes, masks = random_boxes(6, (9, 12), generator), torch.rand(6, 3, 4, generator=generator)
    expected = torch.stack([pasted_by_loops(m, b, (9, 12)) for m, b in zip(masks, boxes, strict=True)])
    torch.testing.assert_close(paste_masks(masks, boxes, (9, 12)), expected, rtol=0, atol=2e-5)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.integers(1, 40)
)
@settings(deadline=None)
def test_exact_pasting_is_grid_sample(seed, rows, columns, height, width):
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(5, (height, width), generator)
    masks = torch.rand(5, rows, columns, generator=generator)
    expected = pasted_by_grid_sample(masks, boxes, (height, width))
    torch.testing.assert_close(paste_masks(masks, boxes, (height, width)), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cells", [1, 7, 28])
def test_torchvisions_pasting_is_torchvisions(seed, cells):
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(60, (50, 70), generator)
    near = ((boxes[:, :2] < torch.tensor([68.0, 48.0])) & (boxes[:, 2:] > 2)).all(1)  # it fails on others
    boxes = boxes[near]
    masks = torch.rand(len(boxes), cells, cells, generator=generator)
    expected = peer.paste_masks_in_image(masks[:, None], boxes, (50, 70))[:, 0]
    found = paste_masks(masks, boxes, (50, 70), "torchvision")
    # its box is cut to whole numbers: where a float32 lies on one, rounding may decide for either side
    assert (found - expected).abs().flatten(1).amax(1).lt(1e-5).float().mean() > 0.97


def test_the_two_methods_differ_where_the_box_is_cut():
    mask, box = torch.ones(1, 28, 28), torch.tensor([[10.4, 10.4, 30.4, 30.4]])
    exact, theirs = (paste_masks(mask, box, (40, 40), method) >= 0.5 for method in ("exact", "torchvision"))
    rows = [int(each[0, 20].sum()) for each in (exact, theirs)]
    assert rows == [20, 21]
    assert exact.sum() == 399 and not exact[0, 10, 10]  # a corner fades along both axes


@pytest.mark.parametrize("method", ["exact", "torchvision"])
def test_gradients_flow_and_the_dense_way_gives_the_same(method):
    generator = torch.Generator().manual_seed(0)
    boxes, masks = random_boxes(5, (20, 30), generator), torch.rand(5, 6, 6, generator=generator)
    leaf = masks.clone().double().requires_grad_()
    dense = paste_masks(leaf, boxes, (20, 30), method)
    torch.testing.assert_close(dense.float(), paste_masks(masks, boxes, (20, 30), method), rtol=0, atol=1e-4)
    assert torch.autograd.gradcheck(lambda m: paste_masks(m, boxes.double(), (6, 7), method), leaf)
    with torch.no_grad():
        assert not paste_masks(leaf, boxes, (20, 30), method).requires_grad


def test_pasting_keeps_dtype_and_inputs_and_takes_anything_strange():
    generator = torch.Generator().manual_seed(1)
    boxes, masks = random_boxes(4, (20, 30), generator), torch.rand(4, 6, 5, generator=generator)
    kept = boxes.clone(), masks.clone()
    expected = paste_masks(masks, boxes, (20, 30))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        found = paste_masks(masks.to(dtype), boxes.to(torch.float64), (20, 30))
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.02)
    assert torch.equal(paste_masks(masks.mT.contiguous().mT, boxes, (20, 30)), expected)
    assert torch.equal(boxes, kept[0]) and torch.equal(masks, kept[1])
    assert paste_masks(masks[:0], boxes[:0], (20, 30)).shape == (0, 20, 30)
    assert paste_masks(masks[:0].requires_grad_(), boxes[:0], (20, 30)).shape == (0, 20, 30)
    away = paste_masks(masks[:1], torch.tensor([[100.0, 100.0, 120.0, 110.0]]), (20, 30))
    assert (away == 0).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"masks": torch.zeros(2, 4, 4, dtype=torch.bool)},
            ValueError,
            "masks in floating point, got torch.bool",
        ),
        ({"masks": torch.zeros(4, 4)}, ValueError, r"masks of shape \(N, h, w\), got \(4, 4\)"),
        ({"masks": torch.zeros(3, 4, 4)}, ValueError, "expected as many boxes as masks, 3, got 2"),
        (
            {"boxes": torch.tensor([[0.0, 0, 1, 1], [3, 3, 3, 5]])},
            ValueError,
            r"an area, got none in boxes\[1\]",
        ),
        ({"boxes": torch.tensor([[0.0, 0, 1, 1], [3, 3, 2, 5]])}, ValueError, "order the corners"),
        ({"boxes": torch.full((2, 4), torch.nan)}, ValueError, "expected finite boxes"),
        ({"size": (0, 4)}, ValueError, "expected size of at least 1"),
        ({"method": "fast"}, ValueError, "method as one of 'exact', 'torchvision', got 'fast'"),
        ({"masks": [[1.0]]}, TypeError, "expected masks as a tensor"),
    ],
)
def test_pasting_refuses(change, error, words):
    usual = {"masks": torch.zeros(2, 4, 4), "boxes": torch.tensor([[0.0, 0, 4, 4]] * 2), "size": (8, 8)}
    with pytest.raises(error, match=words):
        paste_masks(**usual | change)


# ---- Targets and loss


@pytest.mark.parametrize("seed", SEEDS)
def test_targets_are_torchvisions_inside_the_image(seed):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(5, 20, 30, generator=generator) > 0.5
    corner = torch.rand(5, 2, generator=generator) * torch.tensor([15.0, 10.0]) + 1
    boxes = torch.cat([corner, corner + 0.3 + torch.rand(5, 2, generator=generator) * 8], 1)
    from torchvision.ops import roi_align

    numbers = torch.arange(5.0)[:, None]
    expected = roi_align(masks[:, None].float(), torch.cat([numbers, boxes], 1), 7, 1.0, 2, aligned=True)[
        :, 0
    ]
    torch.testing.assert_close(mask_targets(masks, boxes, 7), expected, rtol=1e-5, atol=1e-5)


def test_targets_outside_the_image_are_empty():
    full = torch.ones(1, 4, 4, dtype=torch.bool)
    target = mask_targets(full, torch.tensor([[0.0, 0.0, 8.0, 4.0]]), (2, 4))
    assert target[0].tolist() == [[1, 1, 0, 0]] * 2
    assert mask_targets(full[:0], torch.zeros(0, 4), 28).shape == (0, 28, 28)
    with pytest.raises(ValueError, match="expected as many boxes as masks"):
        mask_targets(full, torch.zeros(2, 4), 7)
    with pytest.raises(ValueError, match="masks in bool"):
        mask_targets(full.float(), torch.zeros(1, 4), 7)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_is_torchvisions(seed):
    generator = torch.Generator().manual_seed(seed)
    logits, labels = torch.randn(6, 4, 7, 7, generator=generator), torch.randint(4, (6,), generator=generator)
    masks = torch.rand(6, 20, 20, generator=generator) > 0.5
    boxes = torch.tensor([[3.0, 4.0, 15.0, 17.0]]).repeat(6, 1)
    theirs = peer.maskrcnn_loss(logits, [boxes], [masks.float()], [labels], [torch.arange(6)])
    targets = peer.project_masks_on_boxes(masks.float(), boxes, torch.arange(6), 7)
    torch.testing.assert_close(mask_loss(logits, targets, labels), theirs, rtol=1e-5, atol=1e-6)


def test_other_classes_get_no_gradient():
    logits = torch.randn(3, 4, 5, 5, requires_grad=True)
    labels = torch.tensor([1, 3, 1])
    mask_loss(logits, torch.rand(3, 5, 5), labels).backward()
    for n, label in enumerate(labels.tolist()):
        silent = [c for c in range(4) if c != label]
        assert (logits.grad[n, silent] == 0).all() and (logits.grad[n, label] != 0).all()
    nothing = torch.zeros(0, 4, 5, 5, requires_grad=True)
    loss = mask_loss(nothing, torch.zeros(0, 5, 5), torch.zeros(0, dtype=torch.int64))
    assert loss == 0
    loss.backward()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": torch.zeros(2, 4, 4)}, "targets of the shape of the mask of one class"),
        ({"targets": torch.full((2, 5, 5), 2.0)}, "expected targets from 0 to 1"),
        ({"labels": torch.tensor([0, 3])}, "expected labels from 0 to 2, got 3"),
        ({"labels": torch.tensor([0])}, "expected as many labels as logits, 2, got 1"),
        ({"labels": torch.tensor([0.0, 1.0])}, "labels in int64"),
        ({"logits": torch.zeros(2, 5, 5)}, "logits of shape"),
    ],
)
def test_the_loss_refuses(change, words):
    usual = {
        "logits": torch.zeros(2, 3, 5, 5),
        "targets": torch.zeros(2, 5, 5),
        "labels": torch.tensor([0, 2]),
    }
    with pytest.raises(ValueError, match=words):
        mask_loss(**usual | change)


def test_the_mask_head_doubles_the_grid():
    head = MaskHead(8, 5, width=6, depth=4)
    assert head(torch.rand(3, 8, 14, 14)).shape == (3, 5, 28, 28)
    assert sum(isinstance(m, torch.nn.Conv2d) for m in head.modules()) == 5
    with pytest.raises(ValueError, match="expected num_classes of at least 1"):
        MaskHead(8, 0)


# ---- Targets from maps of instances


def test_instance_targets_are_the_scenes():
    scenes = make_scenes(6, 48, seed=3)
    targets = instance_targets(scenes.instances, scenes.object_classes)
    for n, target in enumerate(targets):
        assert torch.equal(target["boxes"], scenes.boxes(n))
        assert torch.equal(target["labels"], scenes.classes(n))
        assert torch.equal(target["masks"], scenes.masks(n))


def test_instance_targets_leave_out_what_is_not_seen():
    instances = torch.tensor([[[0, 2], [0, 2]], [[0, 0], [0, 0]]])
    one, none = instance_targets(instances, torch.tensor([[1, 3], [1, 0]]))
    assert one["labels"].tolist() == [3] and one["boxes"].tolist() == [[1, 0, 2, 2]]
    assert none["boxes"].shape == (0, 4) and none["masks"].shape == (0, 2, 2)
    with pytest.raises(ValueError, match="a class for every object"):
        instance_targets(instances, torch.tensor([[1], [1]]))
    with pytest.raises(ValueError, match="expected as many classes as instances"):
        instance_targets(instances, torch.tensor([[1, 3]]))


# ---- The network


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(4, 64, seed=5)


@pytest.fixture(scope="module")
def targets(scenes):
    return instance_targets(scenes.instances, scenes.object_classes)


def test_five_losses_reach_every_parameter(scenes, targets):
    torch.manual_seed(0)
    network = MaskRCNN(4, width=16)
    losses = network(scenes.image, targets)
    assert set(losses) == {"objectness", "proposals", "classes", "boxes", "masks"}
    assert all(loss.shape == () and loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (96, 130)])
def test_detections_are_in_our_conventions(size):
    torch.manual_seed(0)
    network = MaskRCNN(4, width=16, detections=7, score_threshold=0.0).eval()
    images = make_scenes(2, size, seed=5).image
    with torch.no_grad():
        found = network(images)
    assert len(found) == 2
    for each in found:
        count = len(each["boxes"])
        assert 0 < count <= 7
        assert each["boxes"].dtype == each["scores"].dtype == torch.float32
        assert each["labels"].dtype == torch.int64 and each["labels"].min() >= 1 and each["labels"].max() <= 3
        assert each["masks"].dtype == torch.bool and each["masks"].shape == (count, *size)
        assert each["soft"].shape == (count, 28, 28)
        assert torch.equal(each["masks"], paste_masks(each["soft"], each["boxes"], size) >= 0.5)
        assert (each["scores"].diff() <= 0).all()
        limits = torch.tensor([size[1], size[0]] * 2)
        assert (each["boxes"] >= 0).all() and (each["boxes"] <= limits).all()


def test_an_image_does_not_depend_on_its_neighbours(scenes):
    network = mask_rcnn_for_scenes()
    together, alone = network(scenes.image), network(scenes.image[2:3])[0]
    torch.testing.assert_close(together[2]["boxes"], alone["boxes"], rtol=0, atol=1e-2)
    assert torch.equal(together[2]["labels"], alone["labels"])


def test_images_without_objects_can_be_trained_on_and_looked_at():
    torch.manual_seed(0)
    empty = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 32, 32, dtype=torch.bool),
    }
    network = MaskRCNN(4, width=16)
    losses = network(torch.rand(2, 3, 32, 32), [empty, empty])
    assert losses["masks"] == losses["boxes"] == losses["proposals"] == 0
    sum(losses.values()).backward()
    silent = MaskRCNN(4, width=16, score_threshold=1.0).eval()(torch.rand(1, 3, 32, 32))[0]
    assert silent["masks"].shape == (0, 32, 32) and silent["soft"].shape == (0, 28, 28)


def test_it_trains_by_fit_and_leaves_the_targets_alone(scenes, targets):
    torch.manual_seed(0)
    network, before = MaskRCNN(4, width=16), copy.deepcopy(targets)

    def with_targets(images, maps, generator):
        return (images, instance_targets(*maps)), None

    data = batches(scenes.image, (scenes.instances, scenes.object_classes), 4, seed=0, augment=with_targets)
    history = fit(network, data, lambda losses, _: sum(losses.values()), steps=12, lr=3e-3, progress=False)
    assert sum(history.losses[-3:]) < 0.8 * sum(history.losses[:3])
    network.train()
    network((scenes.image, targets))
    for now, then in zip(targets, before, strict=True):
        assert all(torch.equal(now[key], then[key]) for key in then)


def changed(number, field, change):
    def made(targets):
        return [
            each | {field: change(each[field])} if n == number else each for n, each in enumerate(targets)
        ]

    return made


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 40)])
def test_tiny_images_and_none_at_all(size):
    network = MaskRCNN(4, width=16).eval()
    assert [each["masks"].shape[1:] for each in network(torch.rand(2, 3, *size))] == [size] * 2
    assert network(torch.rand(0, 3, *size)) == []


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda t: None, ValueError, "expected targets in training mode, got none"),
        (lambda t: t[:3], ValueError, "expected as many targets as images, 4, got 3"),
        (lambda t: t[0], TypeError, "expected targets as a list of dicts"),
        (lambda t: [*t[:3], {"boxes": t[3]["boxes"]}], ValueError, r"targets\[3\] to have labels, masks"),
        (changed(0, "masks", lambda x: x[:, :9]), ValueError, r"targets\[0\]\['masks'\] of the images'"),
        (changed(0, "masks", Tensor.float), ValueError, r"targets\[0\]\['masks'\] in bool"),
        (changed(1, "labels", lambda x: x[:1]), ValueError, r"as many targets\[1\]\['labels'\]"),
        (changed(1, "labels", lambda x: x * 0), ValueError, r"targets\[1\]\['labels'\] from 1"),
        (changed(1, "labels", lambda x: x + 3), ValueError, r"targets\[1\]\['labels'\] from 0 to 3"),
        (
            changed(0, "boxes", lambda x: x[:, [0, 1, 0, 1]]),
            ValueError,
            r"targets\[0\]\['boxes'\] with an area",
        ),
        (changed(0, "boxes", lambda x: x * torch.nan), ValueError, r"finite targets\[0\]\['boxes'\]"),
    ],
)
def test_targets_that_do_not_fit_are_named(scenes, targets, change, error, words):
    with pytest.raises(error, match=words):
        MaskRCNN(4, width=16)(scenes.image, change(targets))


def test_the_network_refuses_lists_of_images_and_empty_batches():
    network = MaskRCNN(num_classes=4, width=16)
    for images in ([torch.rand(3, 32, 32)], ()):
        with pytest.raises(TypeError, match="a pair of images and targets"):
            network(images)
    with pytest.raises(ValueError, match="expected an image in training mode, got none"):
        network(torch.rand(0, 3, 32, 32), [])


@pytest.mark.parametrize("name", ["anchor_sides", "anchor_ratios"])
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ((), ValueError, "to hold a number, got none"),
        ((12.0, 0.0), ValueError, "as a finite number above 0, got 0"),
        ((float("nan"),), ValueError, "as a finite number above 0, got nan"),
        (5, TypeError, "as a list of numbers, got 5"),
    ],
)
def test_anchors_have_a_size_and_a_shape(name, value, error, words):
    with pytest.raises(error, match=f"expected {name} {words}"):
        MaskRCNN(num_classes=4, **{name: value})


def test_the_loss_of_no_object_wants_no_target_either():
    with pytest.raises(ValueError, match="expected targets of the shape"):
        mask_loss(torch.zeros(0, 4, 5, 5), torch.zeros(3, 5, 5), torch.zeros(0, dtype=torch.int64))


def test_the_network_refuses_what_is_no_image():
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 3, H, W\)"):
        MaskRCNN(4, width=16).eval()(torch.rand(3, 32, 32))
    with pytest.raises(ValueError, match="expected num_classes of at least 2"):
        MaskRCNN(1)


def test_the_weights_are_those_of_the_results():
    results = json.loads((ROOT / "book" / "results" / "mask_rcnn.json").read_text(encoding="utf-8"))
    trained = results["runs"][results["seeds"].index(0)]["colour"]
    network = mask_rcnn_for_scenes()
    assert not network.training and next(network.parameters()).dtype == torch.float32
    assert sum(p.numel() for p in network.parameters()) == trained["parameters"] <= 600_000
    scenes = make_scenes(64, 96, seed=1)
    with torch.no_grad():
        found = [each for part in scenes.image.split(8) for each in network(part)]
    table = evaluate_instances(found, instance_targets(scenes.instances, scenes.object_classes))
    assert table["AP50"] == pytest.approx(trained["AP50_64"], abs=0.01)
    assert table["AP50"] >= 0.85


def test_the_weights_come_with_the_library_and_are_small():
    weights = ROOT / "segcore" / "data" / "weights" / "mask_rcnn.pt"
    assert weights.stat().st_size <= 1_300_000
    state = torch.load(weights, weights_only=True)
    assert all(w.dtype in (torch.float16, torch.int64) and w.isfinite().all() for w in state.values())
