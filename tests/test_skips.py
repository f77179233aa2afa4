"""Hypercolumns beside loops and torch, FCN beside its parts written out, and what each refuses."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from segcore.skips import (
    Backbone,
    FCN8s,
    FCN16s,
    FCN32s,
    UpScore,
    compact_backbone,
    hypercolumns,
    vgg_backbone,
)
from segcore.upsampling import bilinear_kernel, resize_bilinear

steady = settings(derandomize=True, deadline=None, database=None, max_examples=30)
RESULTS = Path(__file__).parents[1] / "book" / "results" / "skips.json"
NETS = [FCN32s, FCN16s, FCN8s]
each_net = pytest.mark.parametrize("kind", NETS)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def trained_alike(net, seed=0):
    """The net with random scores everywhere, so that nothing is hidden behind zeros, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in net.named_parameters():
        if name.startswith(("score_", "upscore_pool4", "upscore2")):
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return net.eval()


# --- Hypercolumns ---


def hypercolumn_twin(features, height, width):
    """Pixel by pixel: the four cells around its centre, for each map."""
    out = torch.zeros(len(features[0]), sum(each.shape[1] for each in features), height, width)
    for i, j in itertools.product(range(height), range(width)):
        column = []
        for x in features:
            h, w = x.shape[2:]
            v = min(max((i + 0.5) * h / height - 0.5, 0), h - 1)
            u = min(max((j + 0.5) * w / width - 0.5, 0), w - 1)
            value = torch.zeros(x.shape[:2])
            for row, place in itertools.product(range(h), range(w)):
                value += x[:, :, row, place] * max(0, 1 - abs(v - row)) * max(0, 1 - abs(u - place))
            column.append(value)
        out[:, :, i, j] = torch.cat(column, dim=1)
    return out


SHAPES = st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=3)


@steady
@given(shapes=SHAPES, size=st.tuples(st.integers(1, 7), st.integers(1, 7)), count=st.integers(0, 2))
def test_hypercolumns_are_the_twins_and_torchs(shapes, size, count):
    features = [normal(count, *shape, seed=k) for k, shape in enumerate(shapes)]
    if count == 0:
        features = [each[:0] for each in features]
    found = hypercolumns(features, size)
    theirs = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in features] if count else []
    assert found.shape == (count, sum(shape[0] for shape in shapes), *size)
    if count:
        torch.testing.assert_close(found, torch.cat(theirs, 1), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found, hypercolumn_twin(features, *size), rtol=1e-5, atol=1e-5)
        ours = torch.cat([resize_bilinear(x, size) for x in features], 1)
        torch.testing.assert_close(found, ours, rtol=1e-5, atol=1e-5)


def test_a_map_of_the_size_comes_through_to_the_last_bit_and_one_number_is_both_sides():
    x = normal(2, 3, 5, 5)
    assert torch.equal(hypercolumns([x, x[:, :1]], 5), torch.cat([x, x[:, :1]], 1))


def test_scoring_and_up_sampling_may_change_places():
    features = [normal(2, 6, 3, 4, seed=1), normal(2, 4, 6, 8, seed=2), normal(2, 2, 12, 16, seed=3)]
    classifier = seeded(lambda: nn.Conv2d(12, 5, 1))
    after = classifier(hypercolumns(features, (24, 32)))
    parts = classifier.weight.split([6, 4, 2], dim=1)
    before = [F.conv2d(x, w) for x, w in zip(features, parts, strict=True)]
    summed = sum(hypercolumns([each], (24, 32)) for each in before) + classifier.bias[:, None, None]
    torch.testing.assert_close(after, summed, rtol=1e-4, atol=1e-5)


def test_hypercolumns_pass_gradients_and_leave_their_inputs():
    features = [normal(1, 2, 2, 2).double().requires_grad_(), normal(1, 1, 3, 4).double().requires_grad_()]
    before = [each.detach().clone() for each in features]
    assert torch.autograd.gradcheck(lambda *maps: hypercolumns(maps, (4, 5)), features)
    assert all(torch.equal(a, b) for a, b in zip(features, before, strict=True))


@pytest.mark.parametrize(
    ("features", "size", "error", "words"),
    [
        ([], 4, ValueError, "at least one map"),
        (torch.zeros(1, 2, 3, 3), 4, TypeError, "single tensor"),
        ([[1.0]], 4, TypeError, r"features\[0\] as a tensor"),
        ([torch.zeros(2, 3, 3)], 4, ValueError, r"features\[0\]\[None\]"),
        ([torch.zeros(1, 2, 0, 3)], 4, ValueError, "shape"),
        ([torch.zeros(1, 2, 3, 3, dtype=torch.uint8)], 4, ValueError, "floating point"),
        ([torch.zeros(1, 2, 3, 3), torch.zeros(2, 2, 3, 3)], 4, ValueError, "one batch size"),
        ([torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3).double()], 4, ValueError, "as torch.float32"),
        ([torch.zeros(1, 2, 3, 3)], 0, ValueError, "size"),
        ([torch.zeros(1, 2, 3, 3)], (4, 4, 4), ValueError, "size"),
        ([torch.zeros(1, 2, 3, 3)], (4, 2.5), TypeError, "size"),
    ],
)
def test_hypercolumns_refuse(features, size, error, words):
    with pytest.raises(error, match=rf"^expected .*{words}"):
        hypercolumns(features, size)


# --- Up-sampling that learns ---


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
def test_up_sampling_starts_bilinear_up_to_the_edge(factor, learned):
    x = normal(2, 3, 3, 4)
    layer = UpScore(3, factor, learned)
    theirs = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(layer(x), theirs, rtol=1e-5, atol=1e-5)
    assert torch.equal(layer.weight[0, 0], bilinear_kernel(factor, even=True))
    assert layer.weight.requires_grad == learned
    flat = layer(torch.full((1, 3, 1, 2), 7.0))
    torch.testing.assert_close(flat, torch.full_like(flat, 7.0))


def test_a_plain_up_convolution_with_the_filter_fades_within_half_a_cell_of_the_border_only():
    weight = UpScore(2, 8).weight
    painted = F.conv_transpose2d(torch.ones(1, 2, 3, 3), weight, stride=8, padding=4)
    assert torch.allclose(painted[..., 4:-4, 4:-4], torch.ones(())) and painted[..., 0, 0].max() < 0.5


def test_classes_do_not_mix_at_the_start():
    x = torch.zeros(1, 3, 2, 2)
    x[:, 1] = 1
    out = UpScore(3, 4)(x)
    assert out[:, 1].min() == 1 and not out[:, [0, 2]].any()


# --- The nets ---


@each_net
@pytest.mark.parametrize("size", [(32, 32), (33, 63), (64, 64), (96, 70), (37, 129), (100, 32), (65, 95)])
def test_any_size_comes_back(kind, size):
    net = trained_alike(seeded(lambda: kind(3, 5, width=2)))
    found = net(normal(2, 3, *size))
    assert found.shape == (2, 5, *size) and found.isfinite().all()


@each_net
@pytest.mark.parametrize("size", [(64, 96), (50, 77)])
def test_the_forward_pass_is_that_of_the_paper_written_out(kind, size):
    """Plain torch from the backbone's maps: up by 2, crop, add, ... with an aligned upper left corner."""
    net = trained_alike(seeded(lambda: kind(3, 4, width=2)))
    image = normal(1, 3, *size)
    maps = net.backbone(image)

    def up(x, weight, factor):
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(x, weight, stride=factor, padding=factor + factor // 2)

    def bilinear(x, factor):
        x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
        return x[..., : size[0], : size[1]]

    x = net.score_fr(maps["fc7"])
    if kind is FCN32s:
        expected = bilinear(x, 32)
    else:
        four = net.score_pool4(maps["pool4"])
        x = four + up(x, net.upscore2.weight, 2)[..., : four.shape[2], : four.shape[3]]
        expected = bilinear(x, 16)
    if kind is FCN8s:
        three = net.score_pool3(maps["pool3"])
        x = three + up(x, net.upscore_pool4.weight, 2)[..., : three.shape[2], : three.shape[3]]
        expected = bilinear(x, 8)
    torch.testing.assert_close(net(image), expected, rtol=1e-4, atol=1e-4)


@each_net
def test_what_moves_by_a_cell_moves_the_output_by_32_pixels(kind):
    """Cells of a map of stride s cover pixels s i to s i + s: no drift between the levels."""
    net = trained_alike(seeded(lambda: kind(1, 2, width=2)))
    image = torch.zeros(1, 1, 480, 480)
    image[..., 200:232, 190:240] = normal(32, 50)
    first, moved = net(image), net(image.roll((32, 64), (2, 3)))
    middle = slice(160, 320)
    expected = first.roll((32, 64), (2, 3))[..., middle, middle]
    torch.testing.assert_close(moved[..., middle, middle], expected, rtol=1e-4, atol=1e-4)


@each_net
def test_gradients_reach_every_layer_that_learns(kind):
    net = trained_alike(seeded(lambda: kind(3, 4, width=2))).train()
    net(normal(2, 3, 64, 64)).square().mean().backward()
    fixed = [name for name, each in net.named_parameters() if not each.requires_grad]
    assert fixed == [f"upscore{kind.__name__[3:-1]}.weight"]
    for name, each in net.named_parameters():
        assert each.grad is None if name in fixed else each.grad.abs().sum() > 0, name


@each_net
def test_layers_have_the_papers_names(kind):
    names = {name.rpartition(".")[0] for name in kind(3, 4, width=2).state_dict()}
    wanted = {
        FCN32s: {"score_fr", "upscore32"},
        FCN16s: {"score_fr", "upscore2", "score_pool4", "upscore16"},
        FCN8s: {"score_fr", "upscore2", "score_pool4", "upscore_pool4", "score_pool3", "upscore8"},
    }[kind]
    assert {name for name in names if "score" in name} == wanted
    assert {"backbone.fc6", "backbone.fc7", "backbone.stage5.conv5_1"} <= names


def test_each_net_starts_with_the_predictions_of_the_next_coarser():
    """All but: bilinear by 2 and by 16 is a little smoother than bilinear by 32."""
    image = normal(2, 3, 70, 100)
    coarse = trained_alike(seeded(lambda: FCN32s(3, 4, width=4), 1))
    middle = FCN16s(3, 4, width=4).start_from(coarse).eval()
    middle.score_pool4.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    middle.upscore2.weight.data.mul_(1.5)
    fine = FCN8s(3, 4, width=4).start_from(middle).eval()
    assert torch.equal(fine.upscore2.weight, middle.upscore2.weight)
    assert torch.equal(fine.score_pool4.weight, middle.score_pool4.weight)
    fresh = FCN16s(3, 4, width=4).start_from(coarse).eval()
    for one, other in ((coarse, fresh), (middle, fine)):
        a, b = one(image), other(image)
        assert 0 < (a - b).abs().max() < 0.2 * a.std()
    assert torch.equal(coarse.backbone(image)["fc7"], fine.backbone(image)["fc7"])
    middle.score_fr.weight.data.zero_()
    assert fine.score_fr.weight.any()  # a copy


@pytest.mark.parametrize(
    ("finer", "coarser", "words"),
    [
        (lambda: FCN16s(3, 4, width=2), lambda: FCN32s(3, 4, width=3), "stage1"),
        (lambda: FCN16s(3, 4, width=2), lambda: FCN32s(3, 5, width=2), "score_fr"),
        (lambda: FCN8s(3, 4, width=2), lambda: FCN32s(3, 4, width=2), "upscore2"),
        (lambda: FCN16s(3, 4, width=2), lambda: nn.Linear(2, 2), "backbone"),
    ],
)
def test_another_net_is_no_start(finer, coarser, words):
    net = finer()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=rf"^expected .*{words}.* got .*; start from"):
        net.start_from(coarser())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@each_net
def test_the_nets_refuse_what_is_too_small_or_no_image(kind):
    net = kind(3, 4, width=2).eval()
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 4, 32, 32)
    for bad, error, words in [
        (torch.zeros(1, 3, 31, 64), ValueError, "32 × 32 pixels or more, got 31 × 64"),
        (torch.zeros(1, 3, 64, 5), ValueError, "32 × 32 pixels or more, got 64 × 5"),
        (torch.zeros(3, 64, 64), ValueError, r"image\[None\]"),
        (torch.zeros(1, 1, 64, 64), ValueError, r"\(N, 3, H, W\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), ValueError, "floating point"),
        ([[0.0]], TypeError, "tensor"),
    ]:
        with pytest.raises(error, match=rf"^expected .*{words}"):
            net(bad)
    for arguments in ((0, 4), (3, 0), (3, 4, 0)):
        with pytest.raises(ValueError, match=r"^expected .* of at least 1, got 0"):
            kind(*arguments)
    for arguments in ((3, 2.5), (True, 4)):
        with pytest.raises(TypeError, match=r"^expected .* as a whole number"):
            kind(*arguments)
    with pytest.raises(ValueError, match=r"^expected a backbone for 3 channels, got one for 1"):
        kind(3, 4, backbone=compact_backbone(1, 2))


@each_net
def test_a_net_learns_one_scene(kind):
    """Four blobs of 32 pixels, told by colour: every net can, and its loss falls by more than half."""
    net = seeded(lambda: kind(3, 2, width=4))
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[:, :32, 32:] = labels[:, 32:, :32] = 1
    image = labels[:, None] * torch.tensor([0.2, 0.5, 0.9])[:, None, None] + 0.05 * normal(1, 3, 64, 64)
    optimizer = torch.optim.AdamW([each for each in net.parameters() if each.requires_grad], lr=1e-2)
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(net(image), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# --- Compiled and exported ---

SIZES = [(70, 101), (64, 96), (33, 50), (65, 34), (200, 300)]


class Stacked(nn.Module):
    """Hypercolumns of two maps, one of which may have the size already."""

    def forward(self, coarse, fine):
        return hypercolumns([coarse, fine], fine.shape[2:])


def open_sizes(*names):
    return {2 + k: torch.export.Dim(name, min=33, max=4096) for k, name in enumerate(names)}


def whole_and_small(kind):
    """A net, its input and what to export it with: an image, or a map with one of half its size."""
    if kind is Stacked:
        return kind(), lambda size: (normal(2, 3, size[0] // 2, 17), normal(2, 2, *size))
    return trained_alike(seeded(lambda: kind(3, 4, width=2))), lambda size: (normal(2, 3, *size),)


@pytest.mark.parametrize("kind", [*NETS, Stacked])
def test_full_graph_compilation_gives_the_same(kind):
    net, make = whole_and_small(kind)
    torch.compiler.reset()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    for size in SIZES:
        torch.testing.assert_close(compiled(*make(size)), net(*make(size)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [*NETS, Stacked])
@pytest.mark.parametrize("traced", [(70, 101), (96, 64)])
def test_an_export_with_open_height_and_width_gives_the_same_for_all_sizes(kind, traced):
    net, make = whole_and_small(kind)
    shapes = (open_sizes("H", "W"),)
    if kind is Stacked:
        shapes = ({2: torch.export.Dim("h", min=3, max=4096)}, *shapes)
    exported = torch.export.export(net, make(traced), dynamic_shapes=shapes).module()
    for size in SIZES:
        torch.testing.assert_close(exported(*make(size)), net(*make(size)), rtol=1e-4, atol=1e-4)


# --- Backbones ---


def test_the_compact_backbone_halves_and_rounds_up():
    backbone = compact_backbone(3, 16)
    maps = backbone.eval()(torch.zeros(1, 3, 96, 70))
    shapes = {name: tuple(each.shape[1:]) for name, each in maps.items()}
    assert shapes == {
        "pool1": (16, 48, 35),
        "pool2": (32, 24, 18),
        "pool3": (64, 12, 9),
        "pool4": (128, 6, 5),
        "pool5": (128, 3, 3),
        "fc7": (192, 3, 3),
    }
    assert backbone.channels == {name: shape[0] for name, shape in shapes.items()}
    assert 0.45e6 < sum(each.numel() for each in backbone.parameters()) < 0.55e6


def small_vgg(norm=False, classes=6):
    """A VGG with the layers of VGG-16, narrow, and 3 × 3 before the classifier: for 96 × 96 pixels."""
    layers, before = [], 3
    for width, count in ((4, 2), (4, 2), (5, 3), (6, 3), (6, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(before, width, 3, padding=1), *[nn.BatchNorm2d(width)] * norm, nn.ReLU(True)]
            before = width
        layers.append(nn.MaxPool2d(2, 2))
    classifier = nn.Sequential(
        nn.Linear(6 * 9, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 8), nn.ReLU(True), nn.Dropout()
    )
    classifier.append(nn.Linear(8, classes))
    return SimpleNamespace(features=nn.Sequential(*layers), classifier=classifier.eval())


def test_vggs_fcn32s_is_its_dense_classifier_and_bilinear_up_sampling():
    vgg = seeded(small_vgg)
    net = FCN32s(3, 6, backbone=vgg_backbone(vgg)).eval()
    last = vgg.classifier[-1]
    net.score_fr.weight.data.copy_(last.weight[:, :, None, None])
    net.score_fr.bias.data.copy_(last.bias)
    image = normal(2, 3, 160, 192)
    pool5 = vgg.features(image)  # (2, 6, 5, 6)
    around = F.pad(pool5, (1, 1, 1, 1))
    windows = around.unfold(2, 3, 1).unfold(3, 3, 1)  # (2, 6, 5, 6, 3, 3)
    dense = vgg.classifier(windows.permute(0, 2, 3, 1, 4, 5).flatten(3)).permute(0, 3, 1, 2)
    expected = F.interpolate(dense, scale_factor=32, mode="bilinear", align_corners=False)
    torch.testing.assert_close(net(image), expected, rtol=1e-4, atol=1e-5)


def test_vggs_layers_have_the_papers_names_and_are_copies():
    vgg = seeded(small_vgg)
    backbone = vgg_backbone(vgg)
    convs = [name for name, each in backbone.named_modules() if isinstance(each, nn.Conv2d)]
    counts = (2, 2, 3, 3, 3)
    wanted = [f"stage{k}.conv{k}_{m}" for k, n in enumerate(counts, 1) for m in range(1, n + 1)]
    assert convs == [*wanted, "fc6", "fc7"]
    assert not vgg.features[-1].ceil_mode and backbone.stage5.pool5.ceil_mode
    backbone.fc6.weight.data.zero_()
    backbone.stage1.conv1_1.weight.data.zero_()
    assert vgg.classifier[0].weight.any() and vgg.features[0].weight.any()
    assert "stage2.norm2_2.weight" in vgg_backbone(seeded(lambda: small_vgg(norm=True))).state_dict()


@each_net
def test_the_nets_run_on_a_vgg(kind):
    net = trained_alike(kind(3, 4, backbone=vgg_backbone(seeded(small_vgg))))
    assert net(normal(1, 3, 50, 70)).shape == (1, 4, 50, 70)


def test_torchvisions_vgg16_has_the_shapes_of_the_paper():
    from torchvision.models import vgg16

    with torch.device("meta"):
        backbone = vgg_backbone(vgg16(weights=None, init_weights=False))
        net = FCN8s(3, 21, backbone=backbone)
    assert backbone.fc6.weight.shape == (4096, 512, 7, 7) and backbone.fc6.padding == (3, 3)
    assert backbone.channels["pool3"] == 256 and backbone.channels["fc7"] == 4096
    assert net.score_pool3.weight.shape == (21, 256, 1, 1)


@pytest.mark.parametrize(
    "vgg",
    [
        nn.Linear(2, 2),
        SimpleNamespace(features=small_vgg().features[:-1], classifier=small_vgg().classifier),
        SimpleNamespace(features=small_vgg().features, classifier=nn.Sequential(nn.Linear(3, 3))),
    ],
)
def test_what_is_no_vgg_is_refused(vgg):
    with pytest.raises(ValueError, match=r"^expected a VGG, .* got .*; give torchvision"):
        vgg_backbone(vgg)


def test_dropout_is_on_in_training_alone():
    backbone = vgg_backbone(seeded(small_vgg), dropout=0.9)
    image = normal(1, 3, 96, 96)
    first = backbone.eval()(image)["fc7"]
    assert torch.equal(first, backbone(image)["fc7"])
    assert not torch.equal(first, seeded(lambda: backbone.train()(image)["fc7"]))
    wide = Backbone(
        list(compact_backbone(3, 2).children())[:5],
        nn.Conv2d(16, 400, 1),
        nn.Conv2d(400, 400, 1),
        dropout=0.9,
    )
    kept = (seeded(lambda: wide.train()(image)["fc7"]) > 0).float().mean()
    assert 0 < kept < 0.4 * (wide.eval()(image)["fc7"] > 0).float().mean()


def test_the_module_does_not_import_torchvision():
    code = "import sys, segcore.skips; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- What was measured ---


def test_in_the_stored_trainings_every_skip_pays_at_every_seed():
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert len(stored["seeds"]) >= 3
    for run in stored["runs"]:
        nets = [run[name] for name in ("fcn32s", "fcn16s", "fcn8s")]
        iou = [each["miou"] for each in nets]
        assert iou[1] - iou[0] >= 0.15 and iou[2] - iou[1] >= 0.05
        for tolerance in ("boundary_f1_1px", "boundary_f1_2px"):
            outlines = [each[tolerance] for each in nets]
            assert outlines[1] - outlines[0] >= 0.15 and outlines[2] - outlines[1] >= 0.1
        assert len({each["steps"] for each in nets}) == 1
        frozen, staged = run["hypercolumns"], run["staged_fcn8s"]
        assert frozen["miou"] > iou[0] and frozen["boundary_f1_1px"] > nets[0]["boundary_f1_1px"]
        assert staged["miou"] > iou[0] + 0.15
