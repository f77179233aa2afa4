"""Shift and stitch, and dilation, equal their definitions, each other and torchvision's dilated networks."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from segcore.dilation import (
    ContextModule,
    DilatedAvgPool2d,
    dilate,
    identity_,
    shift_and_stitch,
    sparse_kernel,
)

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)


def assert_same(ours, expected):
    """Equal to 1e-5 of the largest value."""
    assert ours.shape == expected.shape
    if ours.numel():
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))


def geometry(layers):
    """Field, stride and padding of a row of layers, from the recurrence."""
    field, stride, padding = 1, 1, 0
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            kernel, step, pad = (
                v[0] if isinstance(v, tuple) else v for v in (layer.kernel_size, layer.stride, layer.padding)
            )
            dilation = getattr(layer, "dilation", 1)
            field += (kernel - 1) * (dilation[0] if isinstance(dilation, tuple) else dilation) * stride
            pad = {"same": kernel // 2, "valid": 0}.get(pad, pad)
            padding += pad * stride
            stride *= step
    return field, stride, padding


def windows_twin(network, image, field):
    """The network at every place, each window of the size of its field by itself."""
    rows = range(image.shape[2] - field + 1)
    columns = range(image.shape[3] - field + 1)
    return torch.cat(
        [
            torch.cat([network(image[..., y : y + field, x : x + field]) for x in columns], dim=3)
            for y in rows
        ],
        dim=2,
    )


@st.composite
def networks(draw, padded=False, largest_stride=6):
    """Convolutions and poolings in any order, of stride 1 to 3 each."""
    layers, channels, stride = [], 2, 1
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["conv", "conv", "max", "mean"]))
        kernel = draw(st.integers(1, 4))
        step = draw(st.sampled_from([s for s in (1, 2, 2, 3) if stride * s <= largest_stride]))
        pad = draw(st.integers(0, kernel // 2)) if padded else 0
        stride *= step
        if kind == "conv":
            dilation, bias = draw(st.integers(1, 2)), draw(st.booleans())
            layers += [nn.Conv2d(channels, 3, kernel, step, pad, dilation, bias=bias), nn.ReLU()]
            channels = 3
        elif kind == "max":
            layers.append(nn.MaxPool2d(kernel, step, pad))
        else:
            layers.append(nn.AvgPool2d(kernel, step, pad, count_include_pad=draw(st.booleans())))
    return nn.Sequential(*layers).double()


def image_for(network, extra, seed=0, channels=2):
    field, *_ = geometry(network)
    generator = torch.Generator().manual_seed(seed)
    size = field + extra, field + extra + 3
    return torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)


# --- The lecture's example ---


def test_the_lectures_grid_is_stitched_as_on_its_slide():
    """A reads the pixel in the middle of its 3×3; the image is such that each run reads 1 to 25."""
    layer = nn.Conv2d(1, 1, 3, stride=2, bias=False)
    identity_(layer, 1)
    unit = (torch.arange(12) - 1) // 2  # along either axis, -1 to 5
    image = (5.0 * unit[None] + unit[:, None] + 1)[None, None]
    grid = torch.arange(1.0, 26).reshape(5, 5).T
    for y, x in itertools.product(range(2), range(2)):
        assert torch.equal(layer(image[..., y:, x:])[0, 0], grid)
    stitched = shift_and_stitch(layer, image, stride=2)[0, 0]
    assert stitched[0].tolist() == [1, 1, 6, 6, 11, 11, 16, 16, 21, 21]
    assert stitched[9].tolist() == [5, 5, 10, 10, 15, 15, 20, 20, 25, 25]
    assert torch.equal(stitched, grid.repeat_interleave(2, 0).repeat_interleave(2, 1))
    assert torch.equal(stitched, dilate(layer, 1)(image)[0, 0])


def test_the_lectures_layers_strided_shifted_stitched_and_dilated_are_the_same_numbers():
    image = torch.arange(1.0, 145).reshape(1, 1, 12, 12).mT  # numbered down the columns
    network = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, bias=False), nn.Conv2d(1, 1, 3, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16)
        network[1].weight.copy_(torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]))
        strided = network(image)
        shifts = {(y, x): network(image[..., y:, x:]) for y in range(2) for x in range(2)}
        stitched = shift_and_stitch(network, image, stride=2)
        dilated = dilate(network, 1)(image)
    assert strided.shape == (1, 1, 3, 3) and stitched.shape == (1, 1, 6, 6)
    for (y, x), run in shifts.items():
        assert torch.equal(stitched[..., y::2, x::2], run)
    assert torch.equal(stitched, dilated)
    # A smooths a ramp, which leaves it; B takes the slope: 8 × 12 numbers a column × 2 columns between units.
    assert torch.equal(dilated, torch.full((1, 1, 6, 6), 8 * 12.0 * 4 / 2))


def test_a_layer_that_serves_twice_keeps_its_weights():
    conv = nn.Conv2d(1, 1, 3)
    network, image = nn.Sequential(conv, nn.ReLU(), conv), torch.rand(1, 1, 12, 12)
    before = network(image)
    torch.testing.assert_close(shift_and_stitch(network, image, stride=1), before)
    assert torch.equal(network(image), before)


# --- Shift and stitch ---


@settings(steady, max_examples=40)
@given(networks(largest_stride=4), st.integers(0, 5))
def test_shift_and_stitch_is_the_network_on_every_window(network, extra):
    image = image_for(network, extra)
    field, stride, _ = geometry(network)
    with torch.no_grad():
        assert_same(shift_and_stitch(network, image, stride), windows_twin(network, image, field))


@settings(steady, max_examples=40)
@given(networks(padded=True))
def test_what_the_network_gave_stands_in_the_stitched_map(network):
    image = image_for(network, 9)
    _, stride, _ = geometry(network)
    with torch.no_grad():
        dense = shift_and_stitch(network, image, stride)
        assert torch.equal(dense[..., ::stride, ::stride], network(image))


def test_shift_and_stitch_takes_a_stride_for_each_axis_and_passes_gradients():
    network = nn.Sequential(nn.Conv2d(1, 2, (2, 3), stride=(3, 1)), nn.MaxPool2d((1, 2), (1, 2))).double()
    image = torch.randn(1, 1, 7, 8, dtype=torch.float64, requires_grad=True)
    dense = shift_and_stitch(network, image, stride=(3, 2))
    assert dense.shape == (1, 2, 6, 5)
    assert_same(dense, dilate(network, 1)(image))
    assert gradcheck(lambda x: shift_and_stitch(network, x, (3, 2)), (image,))


def test_shift_and_stitch_leaves_network_and_image_as_they_were():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.BatchNorm2d(2))  # in training mode
    image = torch.rand(1, 1, 9, 9)
    before = image.clone()
    network.eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    shift_and_stitch(network, image, 2)
    assert torch.equal(image, before)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


# --- dilate = shift and stitch ---


@settings(steady, max_examples=80)
@given(networks(), st.integers(0, 6))
def test_dilate_equals_shift_and_stitch_everywhere_for_unpadded_networks(network, extra):
    image = image_for(network, extra)
    _, stride, _ = geometry(network)
    with torch.no_grad():
        dilated = dilate(network, 1)(image)
        assert dilated.shape[2:] == (extra + 1, extra + 4)
        assert_same(dilated, shift_and_stitch(network, image, stride))


@settings(steady, max_examples=80)
@given(networks(padded=True))
def test_dilate_equals_shift_and_stitch_inside_for_padded_networks(network):
    image = image_for(network, 11)
    _, stride, padding = geometry(network)
    with torch.no_grad():
        dilated, stitched = dilate(network, 1)(image), shift_and_stitch(network, image, stride)
        assert dilated.shape == stitched.shape
        inside = (slice(padding, padding + 12), slice(padding, padding + 15))
        assert dilated[..., *inside].shape[2:] == (12, 15)
        assert_same(dilated[..., *inside], stitched[..., *inside])
        assert_same(dilated[..., ::stride, ::stride], network(image))  # the border included


@settings(steady, max_examples=60)
@given(networks(padded=True, largest_stride=12), st.randoms(use_true_random=False))
def test_any_choice_of_layers_leaves_a_grid_of_the_dense_output(network, random):
    strided = [
        name for name, layer in network.named_children() if getattr(layer, "stride", 1) not in (1, (1, 1))
    ]
    chosen = [name for name in strided if random.random() < 0.5]
    if not chosen:
        return
    image = image_for(network, 8)
    partly = dilate(network, chosen)
    left = geometry(network)[1] // math.prod(geometry([network[int(name)]])[1] for name in chosen)
    with torch.no_grad():
        assert_same(partly(image), dilate(network, 1)(image)[..., ::left, ::left])


@pytest.mark.parametrize(("strides", "wanted"), [((2, 2, 2), 2), ((2, 2, 2), 4), ((3, 2), 3), ((2, 3, 2), 6)])
def test_an_output_stride_keeps_the_first_strides(strides, wanted):
    network = nn.Sequential(*[nn.Conv2d(1, 1, 3, stride=stride) for stride in strides])
    image = torch.rand(1, 1, 64, 70)
    dilated = dilate(network, wanted)
    with torch.no_grad():
        assert_same(dilated(image), dilate(network, 1)(image)[..., ::wanted, ::wanted])
    kept = [layer.stride[0] for layer in dilated]
    assert math.prod(kept) == wanted and kept[:1] == list(strides[:1])


@pytest.mark.parametrize("pools", [3, 5])
def test_dilated_vgg16_is_shift_and_stitch_where_the_field_lies_inside(pools, record_property):
    """The first three blocks as they are; all five, 1024 shifts, with few channels."""
    torch.manual_seed(0)
    vgg = torchvision.models.vgg16(weights=None).features
    if pools == 3:
        network, size = vgg[:17], 64
    else:
        plan = [2, 2, "M", 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M", 8, 8, 8, "M"]
        network, size = torchvision.models.vgg.make_layers(plan), 216
        assert [type(layer) for layer in network] == [type(layer) for layer in vgg]
    field, stride, padding = geometry(network)
    assert (field, stride, padding) == {3: (44, 8, 18), 5: (212, 32, 90)}[pools]
    image = torch.rand(1, 3, size, size)
    with torch.no_grad():
        dilated, stitched = dilate(network, 1)(image), shift_and_stitch(network, image, stride)
        coarse = network(image)
    assert dilated.shape == stitched.shape
    scale = stitched.abs().max()
    off = ((dilated - stitched).abs() / scale).amax((0, 1))
    inside = torch.zeros_like(off, dtype=torch.bool)
    inside[padding : padding + size - field + 1, padding : padding + size - field + 1] = True
    assert inside.sum() == (size - field + 1) ** 2
    assert off[inside].max() <= 1e-5
    assert off[~inside].max() > 1e-3  # the borders do differ ...
    assert off[padding:, padding:].max() <= 1e-5  # ... the upper and the left one only
    assert ((dilated[..., ::stride, ::stride] - coarse).abs().max() / scale) <= 1e-5
    figures = f"inside {off[inside].max():.1e}, border {off[~inside].max():.1e} of the largest value"
    record_property("difference", figures)
    print(f"VGG-16, {pools} blocks: {figures}")


@pytest.mark.parametrize(("wanted", "replaced"), [(16, (False, False, True)), (8, (False, True, True))])
def test_dilated_resnet_is_torchvisions(wanted, replaced):
    torch.manual_seed(0)
    whole = torchvision.models.resnet50(weights=None)
    peer = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=replaced)
    peer.load_state_dict(whole.state_dict())
    network, peer = (nn.Sequential(*list(net.children())[:-2]).eval() for net in (whole, peer))
    image = torch.rand(1, 3, 64, 48)
    with torch.no_grad():
        expected = peer(image)
        assert_same(dilate(network, wanted)(image), expected)
        assert_same(dilate(network, {16: ["7"], 8: ["6", "7"]}[wanted])(image), expected)


# --- dilate: parameters, branches, calls ---


def test_parameters_are_shared_and_the_network_stays_as_it_was():
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Conv2d(3, 1, 3)
    )
    before = repr(network)
    dilated = dilate(network, 1)
    assert type(dilated) is nn.Sequential and repr(network) == before != repr(dilated)
    assert all(
        mine is theirs for mine, theirs in zip(dilated.parameters(), network.parameters(), strict=True)
    )
    assert all(mine is theirs for mine, theirs in zip(dilated.buffers(), network.buffers(), strict=True))
    assert dilated.state_dict().keys() == network.state_dict().keys()
    dilated(torch.rand(1, 2, 20, 20)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with torch.no_grad():
        network[3].weight.zero_()
    assert not dilated[3].weight.any()


class Branches(nn.Module):
    """Two branches that are added, a third that is concatenated, and functional pools."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.left = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.right = nn.Conv2d(4, 4, 1, stride=2)
        self.head = nn.Conv2d(8, 2, 3, padding=1)
        self.pool = nn.AvgPool2d(3, 2, 1)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x).relu(), 3, stride=1, padding=1)
        return self.head(torch.cat([self.left(x) + self.right(x), self.pool(x)], dim=1))


class Again(nn.Module):
    """One pool and one convolution that serve twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.again = nn.Conv2d(4, 4, 3)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.pool(F.relu(self.first(x)))
        x = self.pool(F.relu(self.again(x)))
        return F.avg_pool2d(self.again(x), 2)


def test_branches_and_functional_pools():
    network = Branches().eval()
    image = torch.rand(1, 1, 44, 50)
    with torch.no_grad():
        dilated, stitched = dilate(network, 1), shift_and_stitch(network, image, 4)
        inside = (slice(15, 27), slice(15, 33))
        assert_same(dilated(image)[..., *inside], stitched[..., *inside])
        assert_same(dilated(image)[..., ::4, ::4], network(image))
        some = dilate(network, ["left", "right", "pool"])
        assert_same(some(image), dilated(image)[..., ::2, ::2])


def test_a_layer_that_serves_twice_gets_two_dilations():
    network = Again()
    dilated = dilate(network, 1)
    image = torch.rand(1, 1, 40, 36)
    assert_same(dilated(image), shift_and_stitch(network, image, 8))
    assert {id(each) for each in dilated.parameters()} == {id(each) for each in network.parameters()}
    assert network.pool.stride == 2 and network.again.dilation == (1, 1)


class Scaled(nn.Module):
    """Computes with parameters beside the map."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1))

    def forward(self, x):
        return x * (self.scale + 1).reshape(1, 1, 1, 1).exp()


def test_what_is_computed_from_parameters_alone_is_no_map():
    frozen = torchvision.ops.FrozenBatchNorm2d(2)
    network = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), frozen, Scaled(), nn.Conv2d(2, 1, 3))
    image = torch.rand(1, 1, 15, 12)
    assert_same(dilate(network, 1)(image), shift_and_stitch(network, image, 2))


def test_a_single_layer_and_a_network_in_a_network():
    image = torch.rand(1, 1, 12, 12)
    for layer in (nn.MaxPool2d(3, 2), nn.Conv2d(1, 1, 3, stride=3), nn.AvgPool2d(2)):
        stride = geometry([layer])[1]
        assert_same(dilate(layer, 1)(image), shift_and_stitch(layer, image, stride))
    nested = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, 2), nn.ReLU()), nn.ModuleList([nn.Conv2d(2, 1, 2, 2)])[0]
    )
    assert_same(dilate(nested, "0")(image), dilate(nested, 1)(image)[..., ::2, ::2])


@pytest.mark.parametrize(
    "layers",
    [
        [nn.ZeroPad2d((1, 2, 3, 0)), nn.Conv2d(1, 1, 3)],
        [nn.Conv2d(1, 1, 3, padding="same")],
        [nn.Conv2d(1, 1, 3, padding="valid")],
        [nn.MaxPool2d(2, 1, padding=1)],  # torch allows no more padding than half of the window
        [nn.MaxPool2d(4, 2, padding=2)],
        [nn.AvgPool2d(2, 1, padding=1, count_include_pad=False)],
        [nn.AvgPool2d(3, 2, padding=1, divisor_override=5)],
        [nn.AvgPool2d((3, 2), (1, 2))],
    ],
    ids=str,
)
def test_padding_of_every_kind_grows_with_the_dilation(layers):
    network = nn.Sequential(nn.AvgPool2d(2), *layers).double()
    image = torch.randn(1, 1, 24, 26, dtype=torch.float64)
    _, strides, _ = geometry(network)
    stride = (strides, strides * 2) if layers[0].__dict__.get("stride") == (1, 2) else (strides, strides)
    with torch.no_grad():
        dilated, coarse = dilate(network, 1)(image), network(image)
        grid = dilated[..., :: stride[0], :: stride[1]]
        assert grid.shape == coarse.shape
        assert_same(grid, coarse)
        stitched = shift_and_stitch(network, image, stride)
        assert_same(dilated[..., 6:-6, 6:-6], stitched[..., 6:-6, 6:-6])


BORDERS = {
    "replicate": nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate"),
    "reflect": nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
    "circular": nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
    "ReplicationPad2d with replicate": nn.ReplicationPad2d(1),
    "ReflectionPad2d with reflect": nn.ReflectionPad2d((0, 0, 2, 1)),
}


@pytest.mark.parametrize("kind", BORDERS)
def test_padding_by_what_stands_at_the_border_is_refused_where_the_map_gets_denser(kind):
    layer, pool = BORDERS[kind], nn.AvgPool2d(2)
    with pytest.raises(ValueError, match=rf"^1 \(.*{kind} padding\) cannot be dilated.*pad with zeros"):
        dilate(nn.Sequential(pool, layer), 1)
    image = torch.rand(1, 1, 24, 26)
    with torch.no_grad():  # before the first stride that goes, nothing changes
        network = nn.Sequential(layer, pool, nn.Conv2d(1, 1, 3, 2))
        assert_same(dilate(network, 1)(image)[..., ::4, ::4], network(image))


def test_a_layer_with_two_names_is_exchanged_under_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 1, 3, 2)
            self.second = self.first

        def forward(self, x):
            return self.second(x)

    network, image = Twice(), torch.rand(1, 1, 15, 17)
    assert_same(dilate(network, 1)(image), shift_and_stitch(network, image, 2))


def test_what_moves_channels_only_is_dilated_too():
    shuffled = torchvision.models.shufflenet_v2_x0_5(weights=None).stage2.eval()
    network = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), shuffled).eval()
    image = torch.rand(1, 3, 48, 40)
    with torch.no_grad():
        assert_same(dilate(network, 1)(image)[..., ::4, ::4], network(image))


def test_dilated_average_pool_is_a_mean_of_distant_pixels():
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64, requires_grad=True)
    pool = DilatedAvgPool2d((2, 3), (1, 2), (1, 0), (2, 3))
    mean = torch.full((2, 3), 1 / 6, dtype=torch.float64)
    expected = F.conv2d(
        F.pad(x, (0, 0, 1, 1)), sparse_kernel(mean, (2, 3)).expand(3, 1, -1, -1), stride=(1, 2), groups=3
    )
    assert_same(pool(x), expected)
    assert gradcheck(pool, (x,))


# --- Sparse kernels ---


@settings(steady, max_examples=100)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 1000),
)
def test_a_sparse_kernel_convolves_as_a_dilated_one(size, dilation, seed):
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(3, 2, *size, generator=generator, dtype=torch.float64)
    image = torch.randn(1, 2, 16, 15, generator=generator, dtype=torch.float64)
    sparse = sparse_kernel(kernel, dilation)
    assert sparse.shape[2:] == tuple((n - 1) * d + 1 for n, d in zip(size, dilation, strict=True))
    assert sparse.count_nonzero() == kernel.count_nonzero()
    assert_same(F.conv2d(image, sparse), F.conv2d(image, kernel, dilation=dilation))


def test_sparse_kernels_keep_type_and_gradient():
    assert sparse_kernel(torch.ones(2, 2, dtype=torch.int64), 3).dtype == torch.int64
    assert torch.equal(sparse_kernel(torch.ones(3, 3), 1), torch.ones(3, 3))
    kernel = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda k: sparse_kernel(k, (2, 3)), (kernel,))


# --- The context module ---


@pytest.mark.parametrize("form", ["basic", "large"])
@pytest.mark.parametrize("classes", [1, 3, 5])
def test_the_context_module_starts_as_the_identity(form, classes):
    module = ContextModule(classes, form, noise=0)
    scores = torch.randn(1, classes, 20, 24)
    with torch.no_grad():
        assert_same(module(scores), scores.relu())
    if form == "large":
        widths = [layer.out_channels // classes for layer in module.children()]
        assert widths == [2, 2, 4, 8, 16, 32, 32, 1]


@pytest.mark.parametrize("form", ["basic", "large"])
def test_the_context_modules_fields(form):
    """By the support of the gradient, with positive weights and no ReLU."""
    layers = list(ContextModule(1, form).children())
    assert [layer.dilation[0] for layer in layers] == [1, 1, 2, 4, 8, 16, 1, 1]
    fields = []
    for count in range(1, 9):
        image = torch.zeros(1, 1, 81, 81, requires_grad=True)
        x = image
        for layer in layers[:count]:
            ones = torch.ones_like(layer.weight) / layer.weight[0].numel()
            x = F.conv2d(x, ones, None, layer.stride, layer.padding, layer.dilation)
        x[0, 0, 40, 40].backward()
        rows = image.grad[0, 0].sum(1).nonzero()
        fields.append(int(rows.max() - rows.min()) + 1)
    assert fields == [3, 5, 9, 17, 33, 65, 67, 67]


def test_the_context_module_padded_or_not_noisy_and_trainable():
    scores = torch.rand(1, 2, 70, 80)
    assert ContextModule(2)(scores).shape == scores.shape
    bare = ContextModule(2, padding=False)(scores)
    assert torch.equal(bare, scores[..., 33:-33, 33:-33])
    first, second = (
        ContextModule(2, "large", generator=torch.Generator().manual_seed(7)).conv3_1.weight for _ in range(2)
    )
    assert torch.equal(first, second) and 0.0005 < first[0, -1].std() < 0.0015
    module = ContextModule(2, "large")
    module(scores).square().sum().backward()
    assert all(parameter.grad.any() for parameter in module.parameters())
    assert not torch.equal(module.conv1_2.weight.grad[0], module.conv1_2.weight.grad[1])  # channels part


def test_identity_initialisation_without_bias_and_with_noise():
    layer = nn.Conv2d(4, 6, 3, padding=1, bias=False)
    identity_(layer, 2)
    assert layer.weight.count_nonzero() == 4 * 3
    assert_same(layer.weight[:, :, 1, 1].detach(), torch.kron(torch.eye(2), torch.ones(3, 2)) / 3)
    identity_(layer, 2, noise=0.01, generator=torch.Generator().manual_seed(0))
    assert layer.weight.count_nonzero() == layer.weight.numel()


# --- Bad input ---

EVEN = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 3))


@pytest.mark.parametrize(
    ("network", "image", "stride", "says"),
    [
        (EVEN, torch.rand(1, 1, 6, 9), 2, "7 × 7, got 6 × 9"),
        (EVEN, torch.rand(1, 1, 9, 9), 3, "stride, which is 2 along y .*got 3"),
        (EVEN, torch.rand(1, 1, 9, 9), 1, "stride, which is 2"),
        (EVEN, torch.rand(1, 1, 9, 9), (2, 4), r"which is 2 along x .*got \(2, 4\)"),
        (EVEN, torch.rand(1, 1, 9, 9), 0, "stride of at least 1, got 0"),
        (EVEN, torch.rand(1, 1, 9, 9), (2, 2, 2), r"one whole number or \(y, x\)"),
        (EVEN, torch.rand(1, 9, 9), 2, r"image\[None\]"),
        (EVEN, torch.rand(9, 9), 2, "reshape"),
        (EVEN, torch.rand(1, 1, 0, 9), 2, "slicing"),
        (EVEN, torch.ones(1, 1, 9, 9, dtype=torch.int64), 2, r"image\.float\(\)"),
        (nn.Sequential(EVEN, nn.Flatten()), torch.rand(1, 1, 9, 9), 2, "one map"),
        (lambda x: [x], torch.rand(1, 1, 9, 9), 2, "one map"),
        (lambda x: x[..., ::3, ::3], torch.rand(1, 1, 8, 8), 2, "which is 3 along y"),
        (lambda x: F.max_pool2d(x, 5), torch.rand(1, 1, 4, 4), 5, "takes"),
    ],
)
def test_shift_and_stitch_refuses(network, image, stride, says):
    with pytest.raises(ValueError, match=says):
        shift_and_stitch(network, image, stride)


def test_an_error_of_the_network_itself_comes_through():
    with pytest.raises(RuntimeError, match="channels"):
        shift_and_stitch(EVEN, torch.rand(1, 3, 9, 9), 2)
    with pytest.raises(TypeError, match="as_tensor"):
        shift_and_stitch(EVEN, [[1.0]], 2)


class Decides(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, 2)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


class Asks(nn.Module):
    def forward(self, x):
        return F.interpolate(x, scale_factor=2)


STRIDED = nn.Conv2d(1, 1, 3, stride=2)


@pytest.mark.parametrize(
    ("network", "wanted", "says"),
    [
        (nn.Sequential(STRIDED, nn.ConvTranspose2d(1, 1, 2, 2)), 1, r"^1 \(ConvTranspose2d\).*finer"),
        (nn.Sequential(STRIDED, nn.AdaptiveAvgPool2d(1)), 1, r"^1 \(AdaptiveAvgPool2d\).*size of the map"),
        (nn.Sequential(STRIDED, nn.Flatten(), nn.Linear(9, 2)), 1, r"^1 \(Flatten\).*convolution"),
        (nn.Sequential(STRIDED, nn.GroupNorm(1, 1)), 1, r"^1 \(GroupNorm\).*denser"),
        (nn.Sequential(STRIDED, nn.LSTM(1, 1)), 1, r"^1 \(LSTM\).*nothing is known"),
        (nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True)), 1, r"^0 \(MaxPool2d with ceil_mode=True\)"),
        (nn.Sequential(nn.MaxPool2d(3, 2, return_indices=True)), 1, "return_indices=False"),
        (nn.Sequential(STRIDED, nn.Conv2d(1, 1, 2, padding="same")), 1, r"^1 \(Conv2d .*ZeroPad2d"),
        (nn.Sequential(STRIDED, Decides()), 1, r"^1 \(Decides\).*cannot follow submodule '1'"),
        (nn.Sequential(STRIDED, Asks()), 1, "call interpolate"),
        (
            Branches(),
            ["left"],
            r"add joins maps.*one of stride \(2, 2\) and one of stride \(4, 4\).*both branches",
        ),
        (EVEN, 3, r"passes through \(1, 2\), got 3"),
        (EVEN, 4, r"passes through \(1, 2\), got 4"),
        (EVEN, 0, "output stride of at least 1, got 0"),
        (EVEN, -2, "output stride of at least 1, got -2"),
        (EVEN, ["1"], "layers with a stride, got '1'; there are: 0"),
        (EVEN, "conv9", "got 'conv9'; there are: 0"),
        (EVEN, [], "at least one"),
    ],
)
def test_dilate_refuses_and_names_the_layer(network, wanted, says):
    with pytest.raises(ValueError, match=says):
        dilate(network, wanted)


@pytest.mark.parametrize(("network", "wanted"), [(F.relu, 1), (EVEN, 2.0), (EVEN, None), (EVEN, [0])])
def test_dilate_refuses_other_types(network, wanted):
    with pytest.raises(TypeError, match="expected"):
        dilate(network, wanted)


@pytest.mark.parametrize("wrong", [1.5, True])
def test_numbers_that_are_not_whole_are_refused(wrong):
    with pytest.raises(TypeError, match=f"dilation as a whole number, got {wrong}"):
        sparse_kernel(torch.ones(3, 3), wrong)
    with pytest.raises(TypeError, match=f"stride as a whole number, got {wrong}"):
        shift_and_stitch(EVEN, torch.rand(1, 1, 9, 9), wrong)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sparse_kernel(torch.ones(3, 3), 0), "dilation of at least 1, got 0"),
        (lambda: sparse_kernel(torch.ones(3, 3), (1, -1)), "got -1"),
        (lambda: sparse_kernel(torch.ones(3), 2), r"kernel\[None\]"),
        (lambda: sparse_kernel(torch.ones(3, 0), 2), "empty"),
        (lambda: ContextModule(0), "num_classes"),
        (lambda: ContextModule(2, "huge"), "'basic', 'large', got 'huge'"),
        (lambda: ContextModule(2, noise=-1), "noise"),
        (lambda: identity_(nn.Conv2d(3, 4, 3), 2), "multiples"),
        (lambda: identity_(nn.Conv2d(2, 2, 2), 2), "odd"),
    ],
)
def test_other_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_kernel_is_a_tensor():
    with pytest.raises(TypeError, match="as_tensor"):
        sparse_kernel([[1.0]], 2)
