"""Receptive fields against the support of the gradient: lists of layers, small networks, torchvision's."""

from __future__ import annotations

import contextlib
import copy
import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.feature_extraction import NodePathTracer

from segcore.encoder_decoders import DeconvNet, SegNet, UNet
from segcore.receptive_fields import (
    Layer,
    ReceptiveField,
    ReceptiveFields,
    effective_receptive_field,
    input_region,
    receptive_field,
)
from segcore.skips import FCN8s, FCN16s, FCN32s
from segcore.windows import both

INF = math.inf
CALL = nn.Module.__call__
VGG16 = [
    layer
    for convolutions in (2, 2, 3, 3, 3)
    for layer in (*[Layer(3, padding=1)] * convolutions, Layer(2, stride=2))
]
ALEXNET = [
    Layer(11, stride=4, padding=2),
    Layer(3, stride=2),
    Layer(5, padding=2),
    Layer(3, stride=2),
    *[Layer(3, padding=1)] * 3,
    Layer(3, stride=2),
]
QUICK = {name: {"init_weights": False} for name in ("googlenet", "inception_v3")}
CONTEXT = [*(Layer(3, padding=d, dilation=d) for d in (1, 1, 2, 4, 8, 16, 1)), Layer(1)]


# the twin: which pixels does the gradient of a unit reach? ------------------------------------------


def positive(module):
    """The same windows, nothing that can cancel or close: positive weights, averages, no activations."""
    for name, child in module.named_children():
        kind = type(child).__name__
        if isinstance(child, nn.MaxPool2d):
            size, stride, padding, ceil = child.kernel_size, child.stride, child.padding, child.ceil_mode
            setattr(module, name, nn.AvgPool2d(size, stride, padding, ceil_mode=ceil))
        elif "Norm" in kind or kind in ("ReLU", "ReLU6", "SiLU", "GELU", "Hardswish", "Dropout"):
            setattr(module, name, nn.Identity())
        else:
            positive(child)
    for parameter in module.parameters(recurse=False):
        fan = parameter[0].numel() if parameter.dim() > 1 else 1
        parameter.data.fill_(1 / fan if parameter.dim() > 1 else 0)
    return module.double().eval()


def support(module, shape, units):
    """First and last pixel that each unit's gradient reaches, (U, 4) as top, bottom, left, right."""
    image = torch.full((1, *shape), 1e-9, dtype=torch.double, requires_grad=True)
    output = module(image)
    found = []
    for row, column in units:
        (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), image, retain_graph=True)
        reached = gradient[0].sum(dim=0) != 0
        for line in (reached.any(dim=1), reached.any(dim=0)):
            found += [line.nonzero()[[0, -1]].flatten().tolist() if line.any() else [None, None]]
    return [[*y, *x] for y, x in zip(found[::2], found[1::2], strict=True)]


def as_module(layers):
    """Layers as convolutions of one channel, their weights one."""
    modules = []
    for layer in layers:
        kind = nn.ConvTranspose2d if layer.transposed else nn.Conv2d
        options = {"padding": layer.padding, "dilation": layer.dilation, "bias": False}
        modules.append(kind(1, 1, layer.kernel, layer.stride, **options))
    return positive(nn.Sequential(*modules))


def assert_supported(module, field, channels=1, turns=1, least=0):
    """The field holds every unit's gradient, and each of its ends is reached by a unit of one round."""
    sizes, strides, paddings = (both(value) for value in field)
    shape = [math.ceil(r + (2 * turns + 8) * s + least) for r, s in zip(sizes, strides, strict=True)]
    with torch.no_grad():
        counts = module(torch.zeros(1, channels, *shape, dtype=torch.double)).shape[-2:]
    middle = [max(count // 2 - turns // 2, 0) for count in counts]
    units = [(middle[0] + k, middle[1] + k) for k in range(turns)]
    found = support(module, (channels, *shape), units)
    for axis in (0, 1):
        gaps = []
        for unit, seen in zip(units, found, strict=True):
            start = unit[axis] * strides[axis] - paddings[axis]
            first, last = seen[2 * axis], seen[2 * axis + 1]
            if first is not None:
                gaps.append((first - start, start + sizes[axis] - 1 - last))
        for side in (0, 1):
            tightest = min(gap[side] for gap in gaps)
            assert tightest == pytest.approx(0, abs=1e-6), (field, units, found, axis, side)


# known numbers ---------------------------------------------------------------------------------------


def test_vgg16_as_in_the_lecture_and_in_araujo():
    fields = receptive_field(VGG16)
    assert fields[-1] == ReceptiveField(212, 32, 90) == (212, 32, 90)
    assert [field.size for field in fields] == [
        3, 5, 6, 10, 14, 16, 24, 32, 40, 44, 60, 76, 92, 100, 132, 164, 196, 212,
    ]  # fmt: skip


def test_alexnet_padded_in_torchvision_and_unpadded():
    assert receptive_field(ALEXNET)[-1] == (195, 32, 66)
    assert receptive_field([Layer(11, stride=4), *ALEXNET[1:]])[-1] == (195, 32, 64)


def test_context_module_doubles():
    fields = receptive_field(CONTEXT)
    assert [field.size for field in fields] == [3, 5, 9, 17, 33, 65, 67, 67]
    assert {field.stride for field in fields} == {1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alexnet", (195, 32, 66)),
        ("vgg16", (212, 32, 90)),
        ("resnet50", (427, 32, 213)),
        ("resnet101", (971, 32, 485)),
        ("inception_v3", (1311, 32, 618)),
    ],
)
def test_torchvision_agrees_with_the_table_of_araujo(name, expected):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None, **QUICK.get(name, {}))
    fields = receptive_field(model)
    assert fields.last_bounded[1] == expected
    assert list(fields.unbounded) == ["avgpool"] and fields[-1] == (INF, INF, INF)


def test_a_list_and_a_module_of_the_same_layers_agree_layer_by_layer():
    with torch.device("meta"):
        module = torchvision.models.vgg16(weights=None).features
    windows = [name for name, each in module.named_children() if not isinstance(each, nn.ReLU)]
    fields = receptive_field(module)
    assert [fields[name] for name in windows] == list(receptive_field(VGG16))


def test_each_axis_has_its_own_numbers():
    fields = receptive_field([Layer((1, 7), padding=(0, 3)), Layer((7, 1), (2, 1), (3, 0)), Layer(3, 1, 1)])
    assert fields[0] == ((1, 7), 1, (0, 3))
    assert fields[1] == (7, (2, 1), 3)
    assert fields[2] == ((11, 9), (2, 1), (5, 4))


def test_transposed_convolutions_move_by_fractions():
    down, up = Layer(2, stride=2), Layer(2, stride=2, transposed=True)
    assert receptive_field([up])[-1] == (1.5, 0.5, 0.5)  # unit 1 sees pixel 0, half a unit before 1 * stride
    assert receptive_field([down, up])[-1] == (3, 1, 1)  # units 0 and 1 see pixels 0 and 1
    assert receptive_field([up, down])[-1] == (1, 1, 0)  # the phases fit: nothing is added
    assert receptive_field([up, Layer(3, padding=1)])[-1] == (2.5, 0.5, 1)


# lists of layers against the gradient -----------------------------------------------------------------

windows = st.builds(
    Layer,
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(windows, min_size=1, max_size=4))
def test_any_list_of_layers_agrees_with_the_gradient(layers):
    assert_supported(as_module(layers), receptive_field(layers)[-1], least=12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.builds(
            Layer,
            kernel=st.integers(1, 4),
            stride=st.integers(1, 3),
            padding=st.just(0),
            dilation=st.integers(1, 2),
            transposed=st.booleans(),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_transposed_layers_agree_with_the_gradient_in_every_phase(layers):
    field = receptive_field(layers)[-1]
    turns = math.prod(layer.stride for layer in layers if layer.transposed)
    assert_supported(as_module(layers), field, turns=turns, least=30)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(windows, min_size=1, max_size=6))
def test_the_recurrence_of_araujo(layers):
    sizes, strides, paddings = [1, 1], [1, 1], [0, 0]
    for layer, field in zip(layers, receptive_field(layers), strict=True):
        for axis in (0, 1):
            k, s, p, d = (getattr(layer, name)[axis] for name in ("kernel", "stride", "padding", "dilation"))
            sizes[axis] += d * (k - 1) * strides[axis]
            paddings[axis] += p * strides[axis]
            strides[axis] *= s
        assert [list(both(value)) for value in field] == [sizes, strides, paddings]


# modules with branches ---------------------------------------------------------------------------------


class Branches(nn.Module):
    """Four branches of different fields, joined, with a skip across."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, 2, 1)
        self.narrow = nn.Conv2d(4, 4, 1)
        self.wide = nn.Conv2d(4, 4, (1, 5), padding=(0, 2))
        self.dilated = nn.Conv2d(4, 4, 3, padding=3, dilation=3)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.merge = nn.Conv2d(16, 4, 2)

    def forward(self, x):
        x = self.stem(x)
        joined = torch.cat([self.narrow(x), self.wide(x), F.relu(self.dilated(x)), self.pool(x)], dim=1)
        return self.merge(joined) + x[:, :, 1:, 1:]


class Hourglass(nn.Module):
    """Down twice, up twice by different means, with skips."""

    def __init__(self, up):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third, self.pool = nn.Conv2d(4, 4, 3, padding=1), nn.AvgPool2d(2)
        self.up, self.last = up, nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x):
        fine = self.first(x)
        coarse = self.third(self.pool(self.second(self.pool(fine))))
        return self.last(torch.cat([fine, self.up(self.up(coarse))], 1))


UPS = {
    "transposed": nn.ConvTranspose2d(4, 4, 4, 2, 1),
    "transposed 2": nn.ConvTranspose2d(4, 4, 2, 2),
    "nearest": nn.Upsample(scale_factor=2),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
}


def test_branches_agree_with_the_gradient():
    field = receptive_field(Branches())[-1]
    assert_supported(positive(Branches()), field)
    assert field.size == (17, 17) or field.size == 17


@pytest.mark.parametrize("up", UPS)
def test_hourglasses_agree_with_the_gradient(up):
    field = receptive_field(Hourglass(copy.deepcopy(UPS[up])))[-1]
    assert field.stride == 1
    module = positive(Hourglass(copy.deepcopy(UPS[up])))

    class Even(nn.Module):
        def forward(self, x):
            return module(x[:, :, : x.shape[2] // 4 * 4, : x.shape[3] // 4 * 4])

    assert_supported(Even(), field, turns=4)


class Shuffled(nn.Module):
    """Moves channels about as ShuffleNet does, and rows and columns as ConvNeXt does."""

    def __init__(self):
        super().__init__()
        self.conv, self.mix = nn.Conv2d(1, 4, 3, 2, padding=1), nn.Linear(4, 4)

    def forward(self, x):
        x = self.conv(x)
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, -1, height, width)
        first, second = x.chunk(2, dim=1)
        x = torch.stack([first, second], dim=2).flatten(1, 2)
        x = self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return F.pad(x, (2, 0, 1, 0))[:, :, ::2, 1::3]


def test_what_moves_numbers_about_is_followed():
    field = receptive_field(Shuffled())[-1]
    assert field == (3, (4, 6), 3)
    assert_supported(positive(Shuffled()), field)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.PixelShuffle(2), (1.5, 0.5, 0.5)),
        (nn.PixelUnshuffle(2), (2, 2, 0)),
        (nn.Upsample(scale_factor=2), (1.5, 0.5, 0.5)),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (2.5, 0.5, 1)),
        (nn.ReflectionPad2d((3, 1, 2, 1)), (1, 1, (2, 3))),
        (nn.Conv2d(4, 4, 5, padding="same", dilation=2), (9, 1, 4)),
        (nn.AvgPool2d(3), (3, 3, 0)),
        (nn.Softmax(dim=1), (1, 1, 0)),
        (nn.BatchNorm2d(4), (1, 1, 0)),
    ],
)
def test_single_modules(module, expected):
    assert receptive_field(module, (4, 32, 32))[-1] == expected


class Functions(nn.Module):
    """The same windows by functions, with arguments by place, by name and by default."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1, 3, 3))

    def forward(self, x):
        x = F.conv2d(x, self.weight)
        x = F.max_pool2d(x, 3, 2, padding=1)
        x = F.conv2d(x, weight=self.weight, padding=2, dilation=2)
        x = F.avg_pool2d(F.conv2d(x, self.weight, None, 1, "same"), 2)
        x = F.conv_transpose2d(x, self.weight, stride=2, padding=1)
        return x / x.norm(2, 1, True) + x.mean(1, keepdim=True) + x.softmax(1) + x.amax(-3)[:, None]


def test_functions_agree_with_modules():
    layers = [
        Layer(3),
        Layer(3, 2, 1),
        Layer(3, 1, 2, 2),
        Layer(3, 1, 1),
        Layer(2, 2),
        Layer(3, 2, 1, transposed=True),
    ]
    assert receptive_field(Functions(), (1, 64, 64))[-1] == receptive_field(layers)[-1]


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("scale", [2, 3, 1.5, 0.5])
def test_interpolation_agrees_with_the_gradient(mode, scale):
    module = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Upsample(scale_factor=scale, mode=mode)).double()
    field = receptive_field(module, (1, 50, 50))[-1]

    class Absolute(nn.Module):  # bicubic weights have signs: the support of all pixels, not of their sum
        def forward(self, x):
            return module(x[:, :, :50, :50])

    nn.init.ones_(module[0].weight)
    assert_supported(Absolute(), field, turns=6, least=50)


def test_aligned_corners_lie_within_the_field():
    module = nn.Sequential(
        nn.Conv2d(1, 1, 3), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    )
    field = receptive_field(module, (1, 18, 18))[-1]
    assert field.stride == 0.5
    nn.init.ones_(module[0].weight)
    module.double()
    for unit, seen in zip(range(32), support(module, (1, 18, 18), [(u, u) for u in range(32)]), strict=True):
        _, y1, _, y2 = input_region(field, (unit, unit, unit + 1, unit + 1))
        assert y1 <= seen[0] and seen[1] < y2


def test_shared_modules_and_functions_have_names_of_their_own():
    fields = receptive_field(torchvision.models.resnet18(weights=None).layer1, (64, 56, 56))
    assert fields.names[:7] == ["0.conv1", "0.bn1", "0.relu", "0.conv2", "0.bn2", "0.add", "0.relu_1"]
    assert fields["1.add"] == (9, 1, 4)
    with pytest.raises(KeyError, match="no layer named 'conv'"):
        fields["conv"]


def test_outputs_of_several_maps_have_names_and_the_first_is_the_networks():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 5)

        def forward(self, x):
            return {"out": self.a(x), "aux": self.b(x)}

    fields = receptive_field(Two())
    assert fields[-1].size == 3 and fields.names == ["a", "b", "output.aux", "output.out"]


# the course's own networks: they look at sizes, check their input, crop and write --------------------------


@pytest.mark.parametrize(("kind", "stride"), [(FCN32s, 32), (FCN16s, 32), (FCN8s, 32)])
def test_fcns_agree_with_the_gradient_in_every_phase(kind, stride):
    network = kind(1, 2, width=2)
    field = receptive_field(network)[-1]
    assert field.stride == 1
    assert_supported(positive(network), field, turns=stride)


@pytest.mark.parametrize("options", [{}, {"fusion": "sum"}, {"fusion": "none"}, {"padding": "valid"}])
def test_unets_agree_with_the_gradient_in_every_phase(options, monkeypatch):
    network = UNet(1, 2, width=2, depth=2, **options)
    field = receptive_field(network, (1, 84, 84))[-1]
    assert field.stride == 1
    monkeypatch.setattr(F, "max_pool2d", averaged)
    module = positive(network)

    class Even(nn.Module):
        def forward(self, x):
            return module(x[:, :, : x.shape[2] // 4 * 4, : x.shape[3] // 4 * 4])

    assert_supported(Even(), field, turns=4, least=72)


def test_unpooling_spreads_as_it_pooled():
    down, up = Layer(2, 2), Layer(2, 2, transposed=True)
    conv = Layer(3, padding=1)
    layers = [conv, conv, down, conv, conv, down, up, conv, conv, up, conv, conv, Layer(1)]
    assert receptive_field(SegNet(1, 2, width=2, depth=2))[-1] == receptive_field(layers)[-1]
    bottom = [Layer(3), Layer(1), Layer(3, transposed=True)]
    layers[6:6] = bottom
    assert receptive_field(DeconvNet(1, 2, width=2, depth=2, kernel=3))[-1] == receptive_field(layers)[-1]


def test_a_size_that_a_network_refuses_is_said_with_a_way_out():
    network = UNet(3, 4, width=2, padding="valid")
    with pytest.raises(ValueError, match=r"halves evenly.*another input_shape than 224 × 224\?"):
        receptive_field(network)
    assert receptive_field(network, (3, 220, 220))[-1].stride == 1


class InPlace(nn.Module):
    """Sums into a map that is read again, a loop over its size, and a constant made on the way."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(2, 2, 3, padding=1) for _ in range(3))

    def forward(self, x):
        total = x.clone()
        for conv in self.convs[: x.shape[1] + 1]:
            total.add_(conv(total))
        total *= torch.ones(2)[:, None, None]
        total = total + total.max(1, keepdim=True).values
        return total.clone() if total.shape[-1] > 8 else total.mean((2, 3))


def test_what_is_done_in_place_and_by_size_is_followed():
    assert receptive_field(InPlace(), (2, 32, 32))[-1] == (7, 1, 3)
    assert not receptive_field(InPlace(), (2, 8, 8))[-1].bounded


class Writing(nn.Module):
    def forward(self, x):
        y = x.clone()
        y[:, :, 1:] = x[:, :, :-1]
        return y


# what sees everything ----------------------------------------------------------------------------------


class Squeeze(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.down = nn.Conv2d(4, 4, 3, 2), nn.Conv2d(4, 4, 3, 2)

    def forward(self, x):
        x = self.conv(x)
        return self.down(x * torch.sigmoid(x.mean(dim=(2, 3), keepdim=True)))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        tokens = x.permute(0, 2, 3, 1)
        tokens = tokens.reshape(1, -1, 4)
        return self.attention(tokens, tokens, tokens)[0]


class NonLocal(nn.Module):
    def forward(self, x):
        return x.mT @ x


class ByKernel(nn.Module):
    def forward(self, x):
        return F.avg_pool2d(x, x.shape[2:])


@pytest.mark.parametrize(
    ("module", "name", "reason"),
    [
        (Squeeze(), "mean", "sees the whole image"),
        (nn.Sequential(nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1)), "1", "sees the whole image"),
        (nn.Sequential(nn.Conv2d(4, 4, 3), nn.AdaptiveMaxPool2d(7)), "1", "follow the size of the image"),
        (nn.Sequential(nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4)), "1", "statistics over the whole image"),
        (
            nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
            "1",
            "statistics over the whole image",
        ),
        (nn.Sequential(nn.Conv2d(4, 4, 3), nn.Flatten()), "1", "ends the grid of rows and columns"),
        (Attention(), "reshape", "ends the grid"),
        (NonLocal(), "matmul", "attends to the whole image"),
        (ByKernel(), "avg_pool2d", "sees the whole image"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_infinity_names_the_layer_and_the_reason(module, name, reason):
    fields = receptive_field(module)
    assert list(fields.unbounded) == [name] and reason in fields.unbounded[name]
    assert fields[-1].size == INF and not fields[-1].bounded
    assert f"{name}: {fields.unbounded[name]}" in repr(fields)


def test_the_stride_goes_on_after_squeeze_and_excitation():
    fields = receptive_field(Squeeze())
    assert fields[-1] == (INF, 4, INF)
    assert fields.last_bounded == ("conv", (3, 2, 0))
    assert input_region(fields[-1], (0, 0, 1, 1)) == (-INF, -INF, INF, INF)


def test_adaptive_pooling_has_a_field_where_the_size_is_given():
    module = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.AdaptiveAvgPool2d(4))
    assert receptive_field(module, (1, 32, 16))[-1] == ((10, 6), (8, 4), 1)
    uneven = receptive_field(nn.Sequential(nn.AdaptiveAvgPool2d(3)), (1, 10, 10))[-1]
    assert uneven.stride == pytest.approx(10 / 3) and uneven.size == pytest.approx(4 + 2 / 3)


# where the graph cannot be followed -------------------------------------------------------------------


class Gate(nn.Module):
    def forward(self, x):
        return x if x.mean() > 0 else -x


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.block = nn.Conv2d(1, 1, 3), nn.Sequential(nn.Conv2d(1, 1, 3), Gate())

    def forward(self, x):
        return self.block(self.conv(x))


def test_a_graph_that_cannot_be_traced_names_the_place_and_the_way_out():
    with pytest.raises(ValueError, match=r"submodule 'block.1' \(Gate\), after node 'block.1.gt'") as error:
        receptive_field(Gated())
    assert "leaves={'block.1': Layer(...)}" in str(error.value)
    assert receptive_field(Gated(), leaves={"block.1": Layer(1)})[-1] == (5, 1, 0)
    assert receptive_field(Gated(), leaves={Gate: Layer(3)})[-1] == (7, 1, 0)


class Unknown(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).real


class Uneven(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 1, 1, 2), nn.Conv2d(1, 1, 1, 4)

    def forward(self, x):
        return self.a(x)[:, :, :8, :8] + self.b(x)[:, :, :8, :8]


class Both(nn.Module):
    def forward(self, x, y):
        return x + y


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (Both(), None, "module of one argument, but it needs 'y'"),
        (Unknown(), None, "through node 'fft_fft2'.*how far does fft_fft2 see"),
        (Writing(), None, "through node 'setitem'.*torch.cat"),
        (Uneven(), None, "through node 'add'.*paths of stride 2 and 4 meet"),
        (nn.Conv2d(3, 4, 9), (3, 4, 4), "node '0'.*input_shape"),
        (nn.Conv2d(3, 4, 3), (1, 32, 32), "node '0'.*input_shape"),
    ],
)
def test_a_node_that_cannot_be_followed_is_named(module, shape, message):
    with pytest.raises(ValueError, match=message):
        receptive_field(module, shape)


def test_modules_and_callers_on_the_meta_device_are_followed_too():
    with torch.device("meta"):
        fields = receptive_field(Shuffled())
    assert fields[-1] == receptive_field(Shuffled())[-1]


def test_the_module_is_left_as_it_was():
    module = torchvision.models.resnet18(weights=None)
    module.bn1.eval()
    modes = [each.training for each in module.modules()]
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    receptive_field(module)
    assert modes == [each.training for each in module.modules()]
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
    conv = nn.Conv2d(1, 1, 3)
    tied = nn.Sequential(conv, nn.ReLU(), conv, Gate())
    for leaves in ({}, {Gate: Layer(1)}):
        with contextlib.suppress(ValueError):
            receptive_field(tied, leaves=leaves)
        assert not conv.weight.is_meta and isinstance(conv.weight, nn.Parameter)
    assert nn.Module.__call__ is CALL


# bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Layer(0), ValueError, "kernel of at least 1, got 0"),
        (lambda: Layer(3, stride=0), ValueError, "stride of at least 1, got 0"),
        (lambda: Layer(3, dilation=(1, -1)), ValueError, "dilation of at least 1, got -1"),
        (lambda: Layer(3, padding=-1), ValueError, "padding of at least 0, got -1"),
        (lambda: Layer((3, 3, 3)), ValueError, r"one whole number or \(y, x\)"),
        (lambda: Layer(2.5), TypeError, "whole number, got 2.5"),
        (lambda: Layer(True), TypeError, "whole number"),
        (lambda: receptive_field([]), ValueError, "at least one layer"),
        (lambda: receptive_field([3]), TypeError, r"Layer\(3\)"),
        (lambda: receptive_field("vgg16"), TypeError, "layers or a module, got str"),
        (lambda: receptive_field(nn.Conv2d(1, 1, 3), (32, 32)), ValueError, r"\(C, H, W\)"),
        (lambda: receptive_field(nn.Conv2d(1, 1, 3), (1, 0, 32)), ValueError, "at least 1, got 0"),
        (lambda: receptive_field(nn.Identity(), leaves={"a": 3}), TypeError, r"leaves\['a'\] as a Layer"),
        (lambda: receptive_field(Gated(), leaves={"blok": Layer(1)}), ValueError, "got 'blok'"),
        (lambda: input_region((3, 1, 1), (0, 0, 1, 1)), TypeError, "instance of ReceptiveField, got tuple"),
        (lambda: input_region(ReceptiveField(3, 1, 1), (0, 0, 1)), ValueError, "x1, y1, x2, y2"),
        (lambda: input_region(ReceptiveField(3, 1, 1), (1, 0, 1, 2)), ValueError, "x1 < x2"),
        (lambda: input_region(ReceptiveField(3, 1, 1), (0, 0, 1.5, 2)), TypeError, "whole number"),
        (lambda: effective_receptive_field(nn.Conv2d(1, 1, 9), (1, 8, 20)), ValueError, "9 × 9 or larger"),
        (lambda: effective_receptive_field(Layer(3), (1, 8, 8)), TypeError, "instance of Module, got Layer"),
        (lambda: effective_receptive_field(nn.Flatten(), (1, 8, 8)), ValueError, "one map"),
        (lambda: effective_receptive_field(nn.ReLU(), (1, 8, 8), (8, 0)), ValueError, "row of at most 7"),
        (lambda: effective_receptive_field(nn.ReLU(), (1, 8, 8), samples=0), ValueError, "samples"),
        (lambda: effective_receptive_field(nn.ReLU(), (8, 8)), ValueError, r"\(C, H, W\)"),
    ],
)
def test_bad_input_is_refused_with_a_cure(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_dead_unit_is_refused():
    dead = nn.Conv2d(1, 1, 3)
    nn.init.zeros_(dead.weight)
    with pytest.raises(ValueError, match="zero everywhere"):
        effective_receptive_field(dead, (1, 8, 8))


# regions --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(windows, min_size=1, max_size=3), st.data())
def test_the_region_of_a_box_is_the_gradients(layers, data):
    field = receptive_field(layers)[-1]
    module = as_module(layers)
    height, width = (r + 5 * s for r, s in zip(*map(both, field[:2]), strict=True))
    image = torch.ones(1, 1, height, width, dtype=torch.double, requires_grad=True)
    output = module(image)
    rows, columns = output.shape[-2:]
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    bottom, right = data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, columns))
    x1, y1, x2, y2 = input_region(field, (left, top, right, bottom))
    output[:, :, top:bottom, left:right].sum().backward()
    reached = image.grad[0, 0] != 0
    for line, first, end in ((reached.any(1), y1, y2), (reached.any(0), x1, x2)):
        seen = line.nonzero().flatten().tolist()
        assert all(first <= pixel < end for pixel in seen)
        if seen and first >= 0 and end <= len(line):
            assert (seen[0], seen[-1] + 1) == (first, end)


def test_regions_by_hand():
    assert input_region(receptive_field(VGG16)[-1], (3, 2, 5, 3)) == (6, -26, 250, 186)
    up = receptive_field([Layer(2, stride=2, transposed=True)])[-1]
    assert [input_region(up, (u, 0, u + 1, 1))[::2] for u in range(4)] == [(0, 1), (0, 1), (1, 2), (1, 2)]


# the effective field ----------------------------------------------------------------------------------------


def stack(depth, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Conv2d(4 if k else 3, 4, 3, padding=1) for k in range(depth)))


def test_the_effective_field_sums_to_one_and_stays_within_the_theoretical_one():
    module = nn.Sequential(stack(4), nn.ReLU(), nn.MaxPool2d(2))
    heat = effective_receptive_field(module, (3, 33, 40), samples=2)
    assert heat.shape == (33, 40) and heat.sum().item() == pytest.approx(1, abs=1e-5)
    x1, y1, x2, y2 = input_region(receptive_field(module)[-1], (10, 8, 11, 9))  # the middle of 16 × 20 units
    inside = torch.zeros(33, 40, dtype=torch.bool)
    inside[y1:y2, x1:x2] = True
    assert not heat[~inside].any()


def test_the_effective_field_is_centred_and_smaller_than_the_theoretical_one():
    heat = effective_receptive_field(stack(12), (3, 41, 41))
    place = torch.arange(41.0)
    spread = []
    for line in (heat.sum(0), heat.sum(1)):
        centre = (line * place).sum().item()
        assert centre == pytest.approx(20, abs=1)
        spread.append(((place - centre).pow(2) * line).sum().sqrt().item())
    assert receptive_field(stack(12))[-1].size == 25
    assert min(spread) > 1 and max(spread) < 25 / math.sqrt(12) * 0.75  # a uniform box would spread 7.2


def test_the_effective_field_is_the_binomial_one_for_equal_weights():
    module = positive(nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(3))))
    heat = effective_receptive_field(module, (1, 11, 11), samples=1)
    line = torch.tensor([0, 0, 1, 3, 6, 7, 6, 3, 1, 0, 0], dtype=torch.double) / 27
    torch.testing.assert_close(heat, torch.outer(line, line))


def test_the_effective_field_of_a_chosen_unit_and_of_a_dict_is_repeatable():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = stack(2)

        def forward(self, x):
            return {"out": self.body(x)}

    module = Named().train()
    heat = effective_receptive_field(module, (2, 3, 16, 16), unit=(3, 12), seed=5)
    assert module.training and heat[1:6, 10:15].sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(heat, effective_receptive_field(module, (2, 3, 16, 16), unit=(3, 12), seed=5))
    assert all(parameter.grad is None for parameter in module.parameters())


# torchvision's classifiers ---------------------------------------------------------------------------------


def averaged(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    assert dilation == 1 and not return_indices
    return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode)


def unchanged(x, *args, **kwargs):
    return x


def up_to(model, name):
    """The model as far as one of its nodes, by torchvision's tracer and its names."""
    tracer = NodePathTracer()
    graph = tracer.trace(model.eval())
    node = next(each for each, known in tracer.node_to_qualname.items() if known == name)
    (end,) = (each for each in graph.nodes if each.op == "output")
    with graph.inserting_before(end):
        graph.output(node)
    graph.erase_node(end)
    for each in reversed(graph.nodes):
        if not each.users and each.op not in ("placeholder", "output"):
            graph.erase_node(each)
    for each in graph.nodes:
        if each.target is F.max_pool2d:
            each.target = averaged
        if each.target is F.layer_norm:  # over the channels of one place
            each.target = unchanged
    return fx.GraphModule(model, graph)


def supported_along(model, fields, axis, width):
    """Whether the last bounded field is the gradient's along one axis; the image is narrow in the other."""
    name, field = fields.last_bounded
    size, stride, padding = (both(value)[axis] for value in field)
    shape = [width, width]
    shape[axis] = size + 3 * stride
    part = positive(up_to(model, name))
    with torch.no_grad():
        counts = part(torch.full((1, 3, *shape), 1e-9, dtype=torch.double)).shape[-2:]
    unit = [count // 2 for count in counts]
    unit[axis] = -(-padding // stride)  # the first unit whose field lies inside
    start = unit[axis] * stride - padding
    (found,) = support(part, (3, *shape), [unit])
    return found[2 * axis : 2 * axis + 2] == [start, start + size - 1]


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("alexnet", 96),
        ("squeezenet1_1", 64),
        ("resnet18", 64),
        ("mobilenet_v2", 64),
        ("shufflenet_v2_x0_5", 64),
        ("googlenet", 64),
        ("mnasnet0_5", 64),
        ("densenet121", 64),
        ("inception_v3", 96),
        ("regnet_x_400mf", 64),
    ],
)
def test_torchvisions_classifiers_agree_with_the_gradient(name, width):
    model = torchvision.models.get_model(name, weights=None, **QUICK.get(name, {}))
    fields = receptive_field(model)
    assert len(fields.unbounded) == 1 and isinstance(fields, ReceptiveFields)
    assert supported_along(model, fields, 0, width)


def test_a_small_convnext_agrees_with_the_gradient():
    blocks = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 1)]
    model = torchvision.models.ConvNeXt(blocks)
    fields = receptive_field(model)
    assert fields.last_bounded[1] == (232, 16, 108)  # 4, +24, +4, +96, +8, +96
    assert supported_along(model, fields, 0, 64)
