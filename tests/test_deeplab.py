"""DeepLab and its rivals: against torchvision with the same weights, against loops, and against bad input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from segcore.data.scenes import make_scenes
from segcore.deeplab import (
    ASPP,
    SCENE_CLASSES,
    VOC_2012_TEST,
    DeepLabV3,
    DeepLabV3Plus,
    DilatedBackbone,
    PSPNet,
    PyramidPooling,
    deeplab_for_scenes,
    multiscale,
    small_backbone,
    valid_weights,
    with_auxiliary,
)
from segcore.metrics import confusion_matrix, mean_iou
from segcore.train import batches, cross_entropy, fit

NETWORKS = {"DeepLabV3": DeepLabV3, "DeepLabV3Plus": DeepLabV3Plus, "PSPNet": PSPNet}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def small(kind: str = "DeepLabV3", **options) -> nn.Module:
    return NETWORKS[kind](small_backbone(3, 4), 5, channels=8, **options)


def count(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def disturbed(network: nn.Module) -> nn.Module:
    """With statistics that differ from channel to channel, as after a training."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return network.eval()


def assert_alike(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    """To rounding, measured by the largest value: many layers grow what they round."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


# --- torchvision's network ---


@pytest.mark.parametrize(("name", "parameters"), [("resnet50", 42_004_074), ("resnet101", 60_996_202)])
def test_it_is_torchvisions_network(name, parameters):
    build = getattr(torchvision.models.segmentation, f"deeplabv3_{name}")
    theirs = disturbed(build(weights=None, weights_backbone=None, num_classes=21, aux_loss=True))
    ours = DeepLabV3(name, 21, aux=True)
    assert count(ours) == count(theirs) == parameters
    ours.load_state_dict(theirs.state_dict(), strict=True)
    ours.eval()
    image = torch.rand(1, 3, 65, 90)
    with torch.no_grad():
        assert_alike(ours(image), theirs(image)["out"])


def test_it_trains_as_torchvisions_network():
    theirs = torchvision.models.segmentation.deeplabv3_resnet50(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    ours = DeepLabV3("resnet50", 21, aux=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    for network in (ours, theirs):
        for layer in network.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    image = torch.rand(2, 3, 40, 33)
    logits, auxiliary = ours(image)
    expected = theirs(image)
    assert_alike(logits, expected["out"], 1e-4)
    assert_alike(auxiliary, expected["aux"], 1e-4)


def test_without_aux_the_names_are_torchvisions_too():
    theirs = torchvision.models.segmentation.deeplabv3_resnet50(
        weights=None, weights_backbone=None, aux_loss=False
    )
    assert list(DeepLabV3("resnet50", 21).state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_dilated_backbones_are_torchvisions(stride):
    lost = [False, stride == 8, stride <= 16]
    theirs = torchvision.models.resnet18(weights=None) if stride == 32 else None
    if theirs is None:  # torchvision dilates bottlenecks alone
        theirs = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=lost)
        plain = torchvision.models.resnet50(weights=None)
        plain.load_state_dict(theirs.state_dict())
    else:
        plain = theirs
    getter = torchvision.models._utils.IntermediateLayerGetter(theirs, {"layer4": "high"})
    ours = DilatedBackbone(plain, stride).eval()
    image = torch.rand(1, 3, 70, 64)
    with torch.no_grad():
        assert_alike(ours(image)["high"], getter.eval()(image)["high"])


def test_a_backbone_keeps_the_weights_that_it_is_given():
    resnet = torchvision.models.resnet18(weights=None)
    network = DeepLabV3(resnet, 3, output_stride=16, channels=16)
    assert network.backbone.layer4[0].conv1.weight is resnet.layer4[0].conv1.weight
    assert resnet.layer4[0].conv1.stride == (2, 2)  # theirs stays as it was


# --- Heads against plain twins ---


def test_aspp_is_its_branches_side_by_side():
    aspp = disturbed(ASPP(3, rates=(1, 2), channels=4))
    x = torch.randn(2, 3, 7, 9)

    def unit(layers, y):
        layer, norm = layers
        return F.relu(norm(layer(y)))

    point, near, far, pooled = aspp.convs
    branches = [unit(point[:2], x)]
    for (layer, norm, _), rate in ((near, 1), (far, 2)):
        assert layer.dilation == (rate, rate)
        padded = F.pad(x, (rate,) * 4)
        found = torch.zeros(2, 4, 7, 9)
        for i in range(3):
            for j in range(3):
                part = padded[:, :, i * rate : i * rate + 7, j * rate : j * rate + 9]
                found += torch.einsum("nchw,kc->nkhw", part, layer.weight[:, :, i, j])
        branches.append(F.relu(norm(found)))
    mean = x.mean((2, 3), keepdim=True)
    branches.append(F.relu(pooled[2](pooled[1](mean))).expand(2, 4, 7, 9))
    expected = unit(aspp.project[:2], torch.cat(branches, 1))
    torch.testing.assert_close(aspp(x), expected, rtol=1e-4, atol=1e-5)


def test_image_pooling_sees_the_whole_map_and_can_be_left_out():
    x = torch.randn(1, 3, 9, 9)
    far = x.clone()
    far[..., 8, 8] += 9
    for pooling in (True, False):
        aspp = disturbed(ASPP(3, rates=(1,), channels=4, image_pooling=pooling))
        assert len(aspp.convs) == 2 + pooling
        assert torch.equal(aspp(x)[..., 0, 0], aspp(far)[..., 0, 0]) != pooling


def test_pyramid_pooling_means_over_parts():
    pyramid = disturbed(PyramidPooling(4, bins=(1, 2)))
    x = torch.randn(2, 4, 6, 8)
    found = pyramid(x)
    assert found.shape == (2, 8, 6, 8)
    assert torch.equal(found[:, :4], x)
    stage = pyramid.stages[1]
    parts = x.reshape(2, 4, 2, 3, 2, 4).mean((3, 5))
    reduced = F.relu(stage[2](stage[1](parts)))
    expected = F.interpolate(reduced, (6, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[:, 6:], expected)


def test_pyramid_pooling_gives_each_grid_its_share():
    assert PyramidPooling(10).channels == 10 + 4 * 2
    assert PyramidPooling(2048).channels == 4096


@pytest.mark.parametrize(
    ("height", "width", "rate"), [(5, 5, 1), (5, 8, 2), (4, 7, 5), (1, 1, 1), (65, 65, 30)]
)
def test_valid_weights_counts_what_lies_on_the_map(height, width, rate):
    ones = torch.ones(1, 1, height, width)
    expected = F.conv2d(ones, torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)[0, 0].long()
    found = valid_weights((height, width), rate)
    assert found.dtype == torch.int64
    assert torch.equal(found, expected)


def test_a_rate_as_large_as_the_map_leaves_one_weight():
    assert (valid_weights(65, 65) == 1).all()
    assert valid_weights(65, 64).max() == 4  # the corners still meet


# --- The networks ---


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_any_image_gives_logits_of_its_size(kind, stride):
    network = small(kind, output_stride=stride, aux=True).eval()
    for size in ((1, 1), (33, 50), (64, 64)):
        assert network(torch.rand(1, 3, *size)).shape == (1, 5, *size)


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_mode_gives_a_pair_with_aux(kind):
    network = small(kind, aux=True)
    pair = network(torch.rand(2, 3, 40, 48))
    assert [each.shape for each in pair] == [(2, 5, 40, 48)] * 2
    assert isinstance(network.eval()(torch.rand(2, 3, 40, 48)), torch.Tensor)
    assert isinstance(small(kind)(torch.rand(2, 3, 40, 48)), torch.Tensor)


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_weight_learns(kind):
    network = small(kind, aux=True)
    loss = with_auxiliary(cross_entropy)
    loss(network(torch.rand(3, 3, 64, 64)), torch.randint(0, 5, (3, 64, 64))).backward()
    assert not [name for name, each in network.named_parameters() if each.grad is None]


def test_rates_double_where_the_stride_halves():
    for stride, wanted in ((16, [6, 12, 18]), (8, [12, 24, 36]), (32, [3, 6, 9])):
        aspp = small(output_stride=stride).classifier[0]
        assert [branch[0].dilation[0] for branch in aspp.convs[1:4]] == wanted


def test_the_decoder_reads_the_early_map():
    network = small("DeepLabV3Plus").eval()
    assert network.classifier[0].in_channels == 48 + 8
    assert network.low[0].in_channels == 4
    maps = network.backbone(torch.rand(1, 3, 64, 64))
    assert network._logits(maps).shape == (1, 5, 16, 16)
    before = network._logits(maps)
    maps["low"] = torch.rand_like(maps["low"])
    assert not torch.equal(network._logits(maps), before)


def test_the_loss_with_the_auxiliary_classifier():
    total = with_auxiliary(F.mse_loss, weight=0.5)
    a, b, target = torch.rand(3, 4)
    torch.testing.assert_close(total((a, b), target), F.mse_loss(a, target) + 0.5 * F.mse_loss(b, target))
    assert torch.equal(total(a, target), F.mse_loss(a, target))


def test_fit_trains_it():
    scenes = make_scenes(8, 32)
    network = small(aux=True, rates=(1, 2, 3), output_stride=16)
    data = batches(scenes.image, scenes.labels, 4)
    history = fit(network, data, with_auxiliary(cross_entropy), 30, precision="float32", progress=False)
    assert history.losses[-1] < history.losses[0]


def test_export_and_compile_follow_it():
    network = small("DeepLabV3Plus", rates=(1, 2, 3)).eval()
    image = torch.rand(1, 3, 64, 64)
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image), rtol=1e-4, atol=1e-5)


# --- Several scales ---


def test_multiscale_is_the_mean_of_its_runs():
    network = disturbed(small())
    image = torch.rand(2, 3, 40, 50)
    runs = []
    with torch.no_grad():
        for size in ((20, 25), (40, 50), (60, 75)):
            resized = F.interpolate(image, size, mode="bilinear", align_corners=False)
            for mirror in (False, True):
                logits = network(resized.flip(3)).flip(3) if mirror else network(resized)
                logits = F.interpolate(logits, (40, 50), mode="bilinear", align_corners=False)
                runs.append(logits.softmax(1))
    torch.testing.assert_close(multiscale(network, image, (0.5, 1.0, 1.5)), torch.stack(runs).mean(0))
    torch.testing.assert_close(multiscale(network, image, (1.0,), flip=False), runs[2])


def test_multiscale_gives_probabilities_without_gradient():
    image = torch.rand(1, 3, 17, 9, requires_grad=True)
    found = multiscale(disturbed(small()), image)
    assert found.shape == (1, 5, 17, 9)
    assert not found.requires_grad
    torch.testing.assert_close(found.sum(1), torch.ones(1, 17, 9))


def test_mirrored_images_get_mirrored_answers():
    network = disturbed(small())
    image = torch.rand(1, 3, 40, 48)
    torch.testing.assert_close(
        multiscale(network, image.flip(3), (1.0,)), multiscale(network, image, (1.0,)).flip(3)
    )


# --- What comes with the library ---


def test_the_table_is_the_lectures():
    lecture = {
        "LC": 82.7, "TuSimple": 83.1, "Large Kernel Matters": 83.6, "Multipath-RefineNet": 84.2,
        "ResNet-38 MS-COCO": 84.9, "PSPNet": 85.4, "IDW-CNN": 86.3, "CASIA IVA SDN": 86.6, "DIS": 86.8,
        "DeepLabv3": 85.7, "DeepLabv3-JFT": 86.9, "DeepLabv3+ (Xception)": 87.8,
        "DeepLabv3+ (Xception-JFT)": 89.0,
    }  # fmt: skip
    assert lecture.items() <= {name: score for name, (_, score) in VOC_2012_TEST.items()}.items()


def test_the_network_for_scenes_knows_them():
    scenes = make_scenes(100, 96, seed=2)
    with torch.no_grad():
        found = deeplab_for_scenes()(scenes.image).argmax(1)
    assert mean_iou(confusion_matrix(found, scenes.labels, SCENE_CLASSES)) > 0.65


# --- Bad input ---


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_it_refuses(kind):
    build = NETWORKS[kind]
    with pytest.raises(ValueError, match="output_stride as one of 8, 16, 32, got 4"):
        build("small", 5, output_stride=4)
    with pytest.raises(ValueError, match="'resnet50', 'resnet101', 'small', got 'vgg16'"):
        build("vgg16", 5)
    with pytest.raises(ValueError, match=r"stages of a ResNet.*Conv2d without conv1"):
        build(nn.Conv2d(3, 3, 1), 5)
    with pytest.raises(TypeError, match=r"got int.*resnet50"):
        build(50, 5)
    with pytest.raises(TypeError, match=r"its class|got .* itself"):
        build(nn.Conv2d, 5)
    with pytest.raises(ValueError, match="num_classes of at least 1, got 0"):
        build("small", 0)
    with pytest.raises(ValueError, match="no weights to be fetched"):
        build("small", 5, pretrained=True)
    with pytest.raises(ValueError, match=r"shape \(N, 3, H, W\), got \(1, 4, 64, 64\)"):
        small(kind)(torch.rand(1, 4, 64, 64))
    with pytest.raises(ValueError, match="add the missing axis"):
        small(kind)(torch.rand(3, 64, 64))
    with pytest.raises(ValueError, match=r"batch of 1.*model.eval"):
        small(kind)(torch.rand(1, 3, 64, 64))


def test_a_single_image_trains_where_the_statistics_stand_still():
    network = small()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 5, 64, 64)


def test_what_the_parts_refuse():
    with pytest.raises(ValueError, match="rates of at least 1, got 0"):
        ASPP(3, rates=(0,))
    with pytest.raises(ValueError, match="dropout"):
        ASPP(3, dropout=1.5)
    with pytest.raises(ValueError, match=r"x of shape \(N, 3, H, W\)"):
        ASPP(3)(torch.rand(2, 4, 9, 9))
    with pytest.raises(ValueError, match="expected 1 to 2 bins"):
        PyramidPooling(2)
    with pytest.raises(ValueError, match="expected 1 to 2 bins"):
        PyramidPooling(2, bins=())
    with pytest.raises(ValueError, match="bins of at least 1"):
        PyramidPooling(8, bins=(0,))
    with pytest.raises(ValueError, match="rate of at least 1"):
        valid_weights(5, 0)
    with pytest.raises(TypeError, match="size as a whole number"):
        valid_weights(5.5, 1)
    with pytest.raises(ValueError, match="weight"):
        with_auxiliary(F.mse_loss, -1)


def test_what_multiscale_refuses():
    image = torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match="eval mode"):
        multiscale(small(), image)
    with pytest.raises(ValueError, match="at least one, got none"):
        multiscale(small().eval(), image, [])
    with pytest.raises(ValueError, match="scales as a finite number above 0"):
        multiscale(small().eval(), image, [0.0])
    with pytest.raises(TypeError, match="image as a tensor"):
        multiscale(small().eval(), image.numpy())
