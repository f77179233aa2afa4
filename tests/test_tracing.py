"""What a trace says of each operation, and what it leaves alone: weights, modes, other threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from segcore.receptive_fields import effective_receptive_field, receptive_field
from segcore.tracing import (
    Layer,
    Resize,
    TracingError,
    Unknown,
    Whole,
    Window,
    exchanged,
    sharing_copy,
    trace,
    weightless_copy,
)

ONE = Window()


def windows(module, shape=(4, 32, 32)):
    """Name, kind and windows of each operation."""
    return [(each.name, each.kind, each.output.windows) for each in trace(module, shape).operations]


# --- The record ---


class Everything(nn.Module):
    """One operation of each kind."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2))
        self.up = nn.ConvTranspose2d(4, 4, 4, 2, 1)

    def forward(self, x):
        x = F.pad(self.up(self.conv(x).relu()), (1, 0, 2, 0))[:, :, 3:, ::2]
        x = F.interpolate(x, scale_factor=(2, 1.5), mode="bilinear", align_corners=False)
        return x + F.adaptive_avg_pool2d(x, (1, 5)).mean(3, keepdim=True)


def test_each_operation_says_its_window():
    assert windows(Everything()) == [
        ("conv", "Conv2d", (Window(3, 2, 1, 1), Window(5, 1, 2, 2))),
        ("relu", "relu", (ONE, ONE)),
        ("up", "ConvTranspose2d", (Window(4, 2, 1, 1, True),) * 2),
        ("pad", "pad", (Window(padding=2), Window(padding=1))),
        ("getitem", "getitem", (Window(padding=-3), Window(stride=2))),
        (
            "interpolate",
            "interpolate",
            (Resize(Fraction(1, 2), "bilinear"), Resize(Fraction(2, 3), "bilinear")),
        ),
        (
            "adaptive_avg_pool2d",
            "adaptive_avg_pool2d",
            (Whole("sees the whole image"), Resize(Fraction(43, 5), "area")),
        ),
        ("mean", "mean", (Whole("sees the whole image"),) * 2),
        ("add", "add", (ONE, ONE)),
    ]


def test_operations_are_linked_by_their_maps_and_name_the_networks_own_modules():
    network = Everything()
    found = trace(network, (4, 32, 32))
    conv, relu, *_, add = found.operations
    assert conv.module is network.conv and conv.function is None and conv.inputs == (found.image,)
    assert relu.module is None and relu.inputs == (conv.output,) and relu.args == (conv.output,)
    interpolate = next(each for each in found.operations if each.kind == "interpolate")
    assert interpolate.kwargs["scale_factor"] == (2, 1.5)
    assert add.inputs == (interpolate.output, found.operations[-2].output)
    assert found.outputs == {"output": add.output} and found.image.shape == (1, 4, 32, 32)
    assert conv.output.shape == tuple(network.conv(torch.rand(1, 4, 32, 32)).shape)


def test_rows_and_columns_are_found_where_they_are():
    class Moved(nn.Module):
        def forward(self, x):
            return x.permute(2, 0, 3, 1)[:, :, 1::2].flatten(1)

    permute, getitem, flatten = trace(Moved(), (4, 9, 8)).operations
    assert permute.output.grid == (-4, -2) and permute.output.windows == (ONE, ONE)
    assert getitem.output.windows == (ONE, Window(stride=2, padding=-1))
    assert flatten.output.grid is None and flatten.output.whole == (True, True)


def test_what_is_not_known_stands_in_the_record_with_its_reason():
    class Unheard(nn.Module):
        def forward(self, x):
            return torch.fft.fft2(x).real.relu()

    found = trace(Unheard(), (1, 8, 8))
    first = found.operations[0]
    assert found.unknown is first and isinstance(first.output.windows[0], Unknown)
    assert "how far does fft_fft2 see" in first.output.windows[0].reason
    with pytest.raises(TracingError, match="node 'fft_fft2'") as error:
        found.known()
    assert (error.value.name, error.value.kind) == ("fft_fft2", "fft_fft2")
    with pytest.raises(TracingError, match="node 'fft_fft2'"):
        receptive_field(Unheard(), (1, 8, 8))


# --- Nothing is touched: threads, weights, modes ---


def stack(seed):
    """A network of its own kind for each seed, and its size of field."""
    depth, kernel = 2 + seed % 5, 3 + 2 * (seed % 3)
    layers = []
    for _ in range(depth):
        layers += [nn.Conv2d(2, 2, kernel, padding=kernel // 2), nn.BatchNorm2d(2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers), 1 + depth * (kernel - 1)


def test_threads_trace_run_and_train_the_same_and_different_networks_at_once():
    shared, size = stack(4)
    shared.train()
    image = torch.rand(1, 2, 16, 16)
    right = sharing_copy(shared).eval()(image).detach()
    trained, _ = stack(3)
    twin = weightless_copy(trained)
    assert all(each.is_meta for each in twin.parameters())
    runner, start = sharing_copy(shared).eval(), threading.Barrier(12)

    def traces(seed):
        start.wait()
        network, wanted = stack(seed)
        found = [receptive_field(network)[-1].size for _ in range(3)]
        found += [receptive_field(shared)[-1].size - size + wanted for _ in range(3)]
        return found == [wanted] * 6

    def runs(_):
        start.wait()
        return all(torch.equal(runner(image), right) for _ in range(60)) and not shared[0].weight.is_meta

    def trains(_):
        start.wait()
        for _ in range(20):
            trained(image).square().sum().backward()
        return trained.training and all(each.grad is not None for each in trained.parameters())

    def measures(_):
        start.wait()
        heat = [effective_receptive_field(shared[:2], (2, 24, 24)) for _ in range(3)]
        return all(torch.equal(each, heat[0]) for each in heat)

    jobs = [*((traces, seed) for seed in range(8)), (runs, 0), (runs, 1), (trains, 0), (measures, 0)]
    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(lambda job: job[0](job[1]), jobs))
    assert shared.training and all(each.training for each in shared.modules())
    assert not torch.empty(1).is_meta


def test_the_network_is_left_as_it_was():
    class Keeps(nn.Module):
        """Writes into itself as it runs, holds layers in a plain list and a tensor that is no buffer."""

        def __init__(self):
            super().__init__()
            self.conv, self.seen, self.scale = nn.Conv2d(2, 2, 3), [], torch.ones(2, 1, 1)
            self.plain = [self.conv]

        def forward(self, x):
            self.seen.append(x.shape)
            self.last = x
            return self.plain[0](x) * self.scale

    network = Keeps().train()
    before, forward, call = dict(vars(network)), network.forward, nn.Module.__call__
    weight = network.conv.weight
    assert receptive_field(network)[-1] == (3, 1, 0)
    assert vars(network).keys() == before.keys() and network.seen == [] and network.training
    assert network.conv.weight is weight and not weight.is_meta and not network.scale.is_meta
    assert network.forward == forward and nn.Module.__call__ is call


def test_copies_share_all_or_nothing():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    shared, bare = sharing_copy(network), weightless_copy(network)
    assert all(a is b for a, b in zip(shared.parameters(), network.parameters(), strict=True))
    assert all(a is b for a, b in zip(shared.buffers(), network.buffers(), strict=True))
    assert all(each.is_meta for each in bare.state_dict().values())
    assert list(bare.state_dict()) == list(network.state_dict())


class Calls(nn.Module):
    """One convolution that serves twice, and a pooling by function."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return F.max_pool2d(self.conv(self.conv(x)), 2)


def test_each_use_of_a_layer_and_each_function_can_be_exchanged_by_itself():
    network, image = Calls(), torch.rand(1, 1, 16, 16)
    found = trace(network, (1, 16, 16))
    first, second, pool = found.operations
    conv, other, mean = network.conv, nn.Conv2d(1, 1, 3, padding=1), nn.AvgPool2d(2)
    for layers, wanted in [
        ({first: other}, lambda x: F.max_pool2d(conv(other(x)), 2)),
        ({second: other}, lambda x: F.max_pool2d(other(conv(x)), 2)),
        ({pool: mean}, lambda x: mean(conv(conv(x)))),
        ({second: other, pool: mean}, lambda x: mean(other(conv(x)))),
    ]:
        changed = exchanged(network, found, layers)
        assert torch.equal(changed(image), wanted(image))
        assert any(each is conv.weight for each in changed.parameters())
    assert network.conv is conv and torch.equal(network(image), F.max_pool2d(conv(conv(image)), 2))


# --- Writing in place, and through views ---


class Through(nn.Module):
    """Writes a convolution's output into a map in some way, and returns the map."""

    def __init__(self, write, kernel=5):
        super().__init__()
        self.conv, self.write = nn.Conv2d(4, 4, kernel, padding=kernel // 2), write

    def forward(self, x):
        y = x.clone()
        z = self.conv(x)
        return self.write(y, z)


def through_a_view(y, z):
    y[:, :2].add_(z[:, 2:])
    return y


def through_a_view_of_a_view(y, z):
    y[0][1:3].mul_(z[0, :2])
    return y


def read_through_a_view(y, z):
    part = y[:, 1:]
    y.add_(z)
    return part


def channels_last(y, z):
    y.permute(0, 2, 3, 1)[..., 0].copy_(z[:, 0])
    return y


def set_channels(y, z):
    y[:, 1:3] = z[:, :2]
    return y


def set_a_channel(y, z):
    y[:, 0] = z.mean(1)
    return y


def seen_by_a_view(y, z):
    part = y[:, 2:]
    y[:, 2:] = z[:, :2]
    return part


def under_a_mask(y, z):
    y = y + z
    y[y < 0] = 0
    return y


def by_out(y, z):
    torch.add(y, z, out=y)
    return y


@pytest.mark.parametrize(
    "write",
    [
        through_a_view,
        through_a_view_of_a_view,
        read_through_a_view,
        channels_last,
        set_channels,
        set_a_channel,
        seen_by_a_view,
        under_a_mask,
        by_out,
    ],
)
def test_what_is_written_through_a_view_is_seen(write):
    network = Through(write)
    assert receptive_field(network)[-1] == (5, 1, 2)
    image = torch.rand(1, 4, 16, 16, requires_grad=True)
    with torch.no_grad():
        network(image)


def rows(y, z):
    y[:, :, 1:].add_(z[:, :, 1:])
    return y


def columns(y, z):
    y[..., 1:] = z[..., :-1]
    return y


def rows_read_by_a_view(y, z):
    part = y[:, :, 2:]
    y.add_(z)
    return part.relu()


def a_constant(y, z):
    out = torch.zeros_like(torch.ones(1, 4, 224, 224))
    out[:, :, 1:] = z[:, :, 1:]
    return out.relu()


def halves_side_by_side(y, z):
    y[..., :112].add_(z[..., :112])
    return y


@pytest.mark.parametrize("write", [rows, columns, rows_read_by_a_view, a_constant, halves_side_by_side])
def test_what_is_written_into_some_rows_or_columns_is_refused(write):
    with pytest.raises(TracingError, match=r"writes into a part of a map; .*torch.cat"):
        receptive_field(Through(write))


def test_views_that_are_not_read_again_do_no_harm():
    def write(y, z):
        edge = y[:, :, :1]
        y.add_(z)
        return y if edge.shape else None

    assert receptive_field(Through(write))[-1] == (5, 1, 2)


def test_steps_in_place_that_look_at_one_place_add_no_entry():
    def write(y, z):
        a, b = z.chunk(2, 1)
        return torch.cat([F.relu(a, inplace=True), b.mul_(2)], 1) + y

    names = receptive_field(Through(write)).names
    assert names == ["clone", "conv", "relu", "mul", "cat", "add"]


# --- Windows that follow the size of the image ---


def resized(change):
    class Resized(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, 2, 1)

        def forward(self, x):
            return change(x, self.conv(x))

    return Resized()


@pytest.mark.parametrize(
    "module",
    [
        resized(lambda x, y: F.interpolate(y, (56, 56))),
        resized(lambda x, y: F.interpolate(y, size=56, mode="bilinear")),
        resized(lambda x, y: F.interpolate(y, scale_factor=56 / y.shape[2])),
        resized(lambda x, y: F.interpolate(y, scale_factor=(28 / (x.shape[2] * 0.25), 56 / y.size(3)))),
        nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.Upsample((56, 56))),
        nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.AdaptiveAvgPool2d(56)),
    ],
)
def test_a_fixed_size_has_a_window_only_for_a_size_that_is_given(module):
    fields = receptive_field(module)
    assert not fields[-1].bounded and fields[-1].stride == 4
    (reason,) = fields.unbounded.values()
    assert "follow the size of the image" in reason and "input_shape" in reason
    given = receptive_field(module, (1, 224, 224))
    assert given[-1].bounded and given[-1].stride == 4
    assert receptive_field(module, (1, 112, 112))[-1].stride == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: F.interpolate(y, x.shape[-2:]),
        lambda x, y: F.interpolate(y, size=(y.shape[2] * 2, 2 * y.shape[3])),
        lambda x, y: F.interpolate(y, scale_factor=2),
        lambda x, y: F.interpolate(y, scale_factor=x.shape[2] / y.shape[2]),
    ],
)
def test_a_size_that_follows_another_map_has_a_window(change):
    assert (
        receptive_field(resized(change))[-1] == (5, 1, 2) or receptive_field(resized(change))[-1].stride == 1
    )


# --- What comes in, and what cannot be followed ---


def small():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))


def test_wrappers_are_taken_off():
    wanted = receptive_field(small())
    for network in (
        nn.DataParallel(small()),
        nn.DataParallel(nn.DataParallel(small())),
        torch.compile(small()),
    ):
        assert receptive_field(network) == wanted and receptive_field(network).names == wanted.names
    inside = nn.Sequential(nn.DataParallel(small()), nn.Conv2d(2, 1, 3))
    assert receptive_field(inside).names == ["0.0", "0.1", "0.2", "1"]


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_compiled_modules_are_refused_unless_their_window_is_given():
    script = torch.jit.script(small())
    traced = torch.jit.trace(small(), torch.rand(1, 1, 8, 8))
    for network in (script, traced, nn.Sequential(script, nn.Conv2d(2, 1, 3))):
        with pytest.raises(TracingError, match=r"runs in Python.*torch\.jit; pass the module.*leaves"):
            receptive_field(network)
    network = nn.Sequential(script, nn.Conv2d(1, 1, 3))
    assert receptive_field(network, leaves={"0": Layer(4, 2)})[-1] == (8, 2, 0)


def test_a_detector_is_followed_where_its_size_is_given_and_its_backbone_by_itself():
    network = torchvision.models.get_model("maskrcnn_resnet50_fpn", weights=None, weights_backbone=None)
    name = "backbone.body.layer2.3.relu_2"
    field = receptive_field(network, (3, 320, 320))[name]  # shown at 800 × 800
    alone = receptive_field(network.backbone)["body.layer2.3.relu_2"]
    assert alone.stride == 8 and field.stride == 8 * 320 / 800


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Locked(), "cannot copy Locked.*locks"),
        (nn.Sequential(nn.LazyConv2d(3, 3)), "0 has no weights yet; run it once"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.LSTM(1, 1)), "node '1'.*how far does LSTM see"),
        (resized(lambda x, y: y if y.sum() > 0 else x), "numbers in the map cannot be followed"),
        (resized(lambda x, y: [y.shape]), "returns a map"),
    ],
)
def test_what_cannot_be_followed_is_said(network, says):
    with pytest.raises(TracingError, match=says):
        trace(network)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="instance of Module, got Layer"):
        trace(Layer(3))
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        trace(nn.ReLU(), (8, 8))
