"""A convolutionalized classifier gives the numbers of the sliding window; torchvision's those of a crop."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segcore.convolutionalization import (
    DenseClassifier,
    PatchClassifier,
    convolutionalize,
    hard_negatives,
    linear_to_conv,
    sliding_window,
    windows,
)
from segcore.dilation import dilate, shift_and_stitch
from segcore.receptive_fields import receptive_field

# The same examples in every run, without a clock: a failure is the code's, not the machine's.
steady = settings(derandomize=True, deadline=None, database=None)


@pytest.fixture(autouse=True)
def no_gradient():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def relative(got, expected):
    """The largest difference, as a share of the largest value."""
    assert got.shape == expected.shape
    return ((got - expected).abs().max() / expected.abs().max()).item()


def loops(classifier, image, height, width, down, right):
    """Every window cut out and classified by itself."""
    rows = range(0, image.shape[2] - height + 1, down)
    columns = range(0, image.shape[3] - width + 1, right)
    scores = [
        [classifier(image[:, :, y : y + height, x : x + width]) for x in columns] for y in rows
    ]  # (N, K) each
    return torch.stack([torch.stack(row, dim=-1) for row in scores], dim=-2)


@st.composite
def classifiers(draw):
    """An unpadded classifier and the size of its windows; the window may leave rows over."""
    first = channels = draw(st.integers(1, 3))
    layers: list[nn.Module] = []
    for number in range(draw(st.integers(1, 3))):
        kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        step = draw(st.integers(1, 2)), draw(st.integers(1, 2))
        if number == 0 or draw(st.booleans()):
            dilation, bias = draw(st.integers(1, 2)), draw(st.booleans())
            layers += [nn.Conv2d(channels, 4, kernel, step, dilation=dilation, bias=bias), nn.Tanh()]
            channels = 4
        else:
            layers.append(draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))(kernel, step))
        if draw(st.booleans()):
            layers.append(nn.BatchNorm2d(channels))
    size = draw(st.integers(29, 34)), draw(st.integers(29, 34))
    with torch.no_grad():
        shape = nn.Sequential(*layers).eval()(torch.zeros(1, first, *size)).shape
    layers += [nn.Flatten(), nn.Linear(shape[1:].numel(), 5), nn.LeakyReLU(), nn.Dropout()]
    if draw(st.booleans()):
        layers += [nn.BatchNorm1d(5), nn.Linear(5, 3), nn.Softmax(dim=draw(st.sampled_from([1, -1])))]
    return nn.Sequential(*layers).eval(), first, size


# --- One layer ---


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (4, 5, 2), (7, 1, 1)])
def test_one_layer_is_a_dot_product_at_every_place(shape, bias):
    channels, height, width = shape
    linear = nn.Linear(channels * height * width, 6, bias=bias)
    conv = linear_to_conv(linear, shape)
    x = torch.randn(2, channels, height + 3, width + 2)
    assert relative(conv(x), loops(lambda crop: linear(crop.flatten(1)), x, height, width, 1, 1)) < 1e-5
    assert torch.equal(conv.weight.flatten(1), linear.weight)
    assert (conv.bias is None) if not bias else torch.equal(conv.bias, linear.bias)


def test_weights_are_copies_and_type_and_mode_are_the_layers():
    linear = nn.Linear(8, 2).double().eval().requires_grad_(False)
    conv = linear_to_conv(linear, (2, 2, 2))
    assert conv.weight.dtype == torch.float64 and not conv.training and not conv.weight.requires_grad
    conv.weight.zero_()
    assert linear.weight.abs().sum() > 0


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 3), (0, 2, 4), (2.0, 2, 2), 8, None])
def test_a_wrong_shape_is_said(shape):
    with pytest.raises(
        (ValueError, TypeError), match=r"expected input_shape (as|of at least 1)|of 8 numbers.*2 × 2 × 3 = 12"
    ):
        linear_to_conv(nn.Linear(8, 2), shape)


def test_only_linear_layers_are_taken():
    with pytest.raises(TypeError, match=r"expected linear as an instance of Linear, got Conv2d"):
        linear_to_conv(nn.Conv2d(1, 1, 1), (1, 1, 1))


# --- Windows by brute force ---


@steady
@given(data=st.data())
def test_windows_and_their_scores_equal_two_loops(data):
    number = st.integers(1, 5)
    size, step = (data.draw(number), data.draw(number)), (data.draw(number), data.draw(number))
    shape = data.draw(st.integers(1, 2)), 2, size[0] + data.draw(number), size[1] + data.draw(number)
    image = torch.randn(shape)
    weight = torch.randn(3, 2 * size[0] * size[1])

    def classifier(patches):
        return patches.flatten(1) @ weight.T

    with torch.no_grad():
        got = sliding_window(classifier, image, size, step, batch_size=data.draw(number))
        assert torch.allclose(got, loops(classifier, image, *size, *step), atol=1e-5)
        view = windows(image, size, step)
    assert view.untyped_storage().data_ptr() == image.untyped_storage().data_ptr()
    for i, j in itertools.product(*map(range, view.shape[1:3])):
        top, left = i * step[0], j * step[1]
        assert torch.equal(view[:, i, j], image[:, :, top : top + size[0], left : left + size[1]])


def test_the_sliding_window_is_differentiable():
    with torch.enable_grad():
        image = torch.zeros(1, 1, 3, 3, requires_grad=True)
        sliding_window(lambda patches: patches.sum((2, 3)), image, 2).sum().backward()
    assert image.grad[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_a_classifier_that_gives_1_by_1_maps_may_slide():
    dense = convolutionalize(PatchClassifier().eval(), 25)
    image = torch.rand(1, 1, 33, 37)
    assert relative(sliding_window(dense, image, 25, 4), dense(image)) < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": torch.rand(1, 1, 24, 40)}, "at least 25 × 25 for the window, got 24 × 40; enlarge it"),
        ({"image": torch.rand(1, 40, 40)}, r"shape \(N, C, H, W\), got \(1, 40, 40\); add the missing axis"),
        ({"window": 0}, "window of at least 1, got 0"),
        ({"window": (1, 2, 3)}, r"window as one whole number or \(y, x\)"),
        ({"stride": 2.5}, "stride as a whole number"),
        ({"batch_size": 0}, "batch_size of at least 1"),
        ({"classifier": lambda patches: patches}, r"scores \(9, K\), got shape \(9, 1, 25, 25\)"),
        ({"classifier": lambda patches: None}, r"scores \(9, K\), got NoneType"),
    ],
)
def test_bad_input_to_the_sliding_window_is_said(options, message):
    given_ = {"classifier": lambda x: x.mean((2, 3)), "image": torch.rand(1, 1, 27, 27), "window": 25}
    with pytest.raises(TypeError if "stride" in options else ValueError, match=message):
        sliding_window(**{**given_, **options})


def test_an_image_that_is_no_tensor_is_said():
    with pytest.raises(TypeError, match=r"image as a tensor .*, got list"):
        windows([[1.0]], 1)


# --- The whole network ---


@settings(steady, max_examples=60)
@given(case=classifiers(), extra=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_the_dense_network_is_the_sliding_window(case, extra):
    classifier, channels, size = case
    with torch.no_grad():
        dense = convolutionalize(classifier, size)
        image = torch.randn(2, channels, size[0] + extra[0], size[1] + extra[1])
        expected = sliding_window(classifier, image, dense.window, dense.stride)
        got = dense(image)
    # A window may leave rows over, of which the dense network makes another unit.
    rows, columns = expected.shape[2:]
    assert got.shape[2] - rows in (0, 1) and got.shape[3] - columns in (0, 1)
    assert relative(got[:, :, :rows, :columns], expected) < 1e-4


@settings(steady, max_examples=20)
@given(case=classifiers())
def test_least_and_stride_are_what_they_say(case):
    classifier, channels, size = case
    with torch.no_grad():
        dense = convolutionalize(classifier, size)
        field = receptive_field(dense)[-1]
        size, stride = (
            each if isinstance(each, tuple) else (each, each) for each in (field.size, field.stride)
        )
        assert dense.least == size and dense.stride == stride
        (height, width), (down, right) = dense.least, dense.stride
        assert dense(torch.rand(1, channels, height, width)).shape[2:] == (1, 1)
        assert dense(torch.rand(1, channels, height + down, width + 2 * right)).shape[2:] == (2, 3)
        with pytest.raises(ValueError, match=f"image of at least {height} × {width} for the classifier"):
            dense(torch.rand(1, channels, height - 1, width))


@pytest.mark.parametrize("size", [13, 25, 41])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_patch_classifier_sees_every_pixel_and_becomes_dense(size, channels):
    classifier = PatchClassifier(size, channels, num_classes=3, width=8).eval()
    dense = convolutionalize(classifier, size)
    assert dense.window == dense.least == (size, size) and dense.stride == (4, 4) == (classifier.stride,) * 2
    assert receptive_field(dense)[-1].size == size
    image = torch.rand(2, channels, size + 21, size + 10)
    assert relative(dense(image), loops(classifier, image, size, size, 4, 4)) < 1e-5


def test_a_dense_classifier_can_be_made_denser():
    classifier = PatchClassifier(13, width=4).eval()
    dense, image = convolutionalize(classifier, 13), torch.rand(1, 1, 20, 22)
    everywhere = sliding_window(classifier, image, 13, 1)
    assert relative(shift_and_stitch(dense, image, 4), everywhere) < 1e-5
    assert relative(dilate(dense, 1)(image), everywhere) < 1e-5


def test_the_classifier_stays_as_it_was():
    classifier = PatchClassifier().train()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    dense = convolutionalize(classifier, 25)
    for parameter in dense.parameters():
        parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert classifier.training and all(module.training for module in dense.modules())
    assert dense.state_dict().keys() == before.keys()
    classifier.eval()
    assert not any(module.training for module in convolutionalize(classifier, 25).modules())


def test_dropout_draws_at_each_place():
    layers = nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(1, 1, bias=False)
    out = convolutionalize(nn.Sequential(*layers).train(), 1)(torch.ones(1, 1, 30, 30))
    assert 200 < (out == 0).sum() < 700


class Functional(nn.Module):
    """Layers called from a forward of its own, with functions between them."""

    def __init__(self, how):
        super().__init__()
        self.conv, self.relu, self.conv2 = nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)
        self.fc1, self.fc2, self.how = nn.Linear(4 * 4 * 4, 6), nn.Linear(6, 3), how

    def forward(self, x):
        x = self.relu(self.conv2(self.relu(self.conv(x))))
        x = F.max_pool2d(x, 2)
        flat = {
            "view": lambda: x.view(x.size(0), -1),
            "reshape": lambda: x.reshape(x.shape[0], -1),
            "flatten": lambda: torch.flatten(x, 1),
            "method": lambda: x.flatten(1),
        }[self.how]()
        return self.fc2(torch.relu(self.fc1(flat)))


@pytest.mark.parametrize("how", ["view", "reshape", "flatten", "method"])
def test_a_forward_of_its_own_is_followed(how):
    classifier = Functional(how).eval()
    dense, image = convolutionalize(classifier, 12), torch.randn(1, 2, 20, 16)
    assert relative(dense(image), loops(classifier, image, 12, 12, 2, 2)) < 1e-5


def test_the_mean_of_the_whole_map_becomes_a_mean_that_slides():
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    classifier, image = nn.Sequential(*layers), torch.randn(1, 3, 12, 13)
    dense = convolutionalize(classifier, (10, 9))
    assert relative(dense(image), loops(classifier, image, 10, 9, 1, 1)) < 1e-5
    pooled = nn.Sequential(*layers[:3], nn.Flatten())
    assert relative(convolutionalize(pooled, 10)(image), loops(pooled, image, 10, 10, 1, 1)) < 1e-5


# --- torchvision's classifiers ---


@pytest.fixture(scope="module", params=["alexnet", "vgg11", "vgg16"])
def peer(request):
    torch.manual_seed(0)
    classifier = getattr(torchvision.models, request.param)(weights=None).eval()
    for layer in classifier.modules():  # its own initial weights leave hardly a trace of the image
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return request.param, classifier, convolutionalize(classifier, 224)


def test_on_a_crop_the_dense_network_gives_torchvisions_numbers(peer):
    name, classifier, dense = peer
    assert dense.stride == (32, 32) and dense.window == (224, 224)
    assert dense.least == ((223, 223) if name == "alexnet" else (224, 224))
    assert dense.state_dict().keys() == classifier.state_dict().keys()
    image = torch.randn(1, 3, 224, 256)
    for left in (0, 32):
        crop = image[..., left : left + 224]
        assert relative(dense(crop)[..., 0, 0], classifier(crop)) < 1e-4
    whole = dense(image)
    assert whole.shape == (1, 1000, 1, 2)
    # Inside the photograph a crop has pixels where a window has zeros: the numbers are others, and akin.
    difference = relative(whole[..., 0], classifier(image[..., :224])[..., None])
    alike = F.cosine_similarity(whole[..., 0, 0], classifier(image[..., :224])).item()
    assert difference > 0.01 and alike > 0.5, (difference, alike)


def test_the_right_sizes_are_named(peer):
    name, classifier, _ = peer
    side, sizes = ("6 × 6", "223 to 254") if name == "alexnet" else ("7 × 7", "224 to 255")
    for wrong in (96, 300):
        with pytest.raises(ValueError, match=f"a map of {side}, .*: {sizes}; got {wrong} × {wrong}"):
            convolutionalize(classifier, wrong)
    with pytest.raises(ValueError, match="got 8 × 8, which gives none"):
        convolutionalize(classifier, 8)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet"])
def test_classifiers_with_branches_are_refused(name):
    options = {"init_weights": False} if name == "googlenet" else {}
    classifier = getattr(torchvision.models, name)(weights=None, **options).eval()
    with pytest.raises(ValueError, match="runs one layer after the other, got the call"):
        convolutionalize(classifier, 224)


# --- Options that look beyond the window ---

POOLINGS = [nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(3, 2, ceil_mode=True)]


@pytest.mark.parametrize("pool", POOLINGS)
@pytest.mark.parametrize("size", [(13, 13), (11, 15)])
def test_ceil_mode_that_rounds_nothing_is_the_sliding_window(pool, size):
    rows, columns = ((each - 2 - 3) // 2 + 1 for each in size)
    layers = nn.Conv2d(2, 3, 3), pool, nn.Flatten(), nn.Linear(3 * rows * columns, 4)
    classifier, image = nn.Sequential(*layers).eval(), torch.randn(2, 2, 22, 23)
    dense = convolutionalize(classifier, size)
    assert pool.ceil_mode
    expected = sliding_window(classifier, image, size, dense.stride)
    assert relative(dense(image), expected) < 1e-5


@pytest.mark.parametrize("pool", POOLINGS)
@pytest.mark.parametrize("size", [(12, 13), (13, 12), (12, 12)])
def test_ceil_mode_whose_last_window_hangs_over_is_refused(pool, size):
    rows, columns = (-(-(each - 2 - 3) // 2) + 1 for each in size)
    classifier = nn.Sequential(nn.Conv2d(2, 3, 3), pool, nn.Flatten(), nn.Linear(3 * rows * columns, 4))
    assert classifier(torch.rand(1, 2, *size)).shape == (1, 4)
    with pytest.raises(
        ValueError, match=r"'1' with ceil_mode=True on a map of 1. × 1.: its last window hangs"
    ):
        convolutionalize(classifier, size)


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool2d(2, 2, dilation=3),
        nn.MaxPool2d(3, 2, padding=1),
        nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
        nn.AvgPool2d(3, 2, padding=1, count_include_pad=True),
        nn.AvgPool2d(3, 2, divisor_override=5),
        nn.LocalResponseNorm(3),
        *(
            nn.Conv2d(3, 3, 3, 2, 1, padding_mode=mode)
            for mode in ("zeros", "reflect", "replicate", "circular")
        ),
        nn.Conv2d(3, 3, 3, padding="same", dilation=2, groups=3),
        *(pad((1, 0, 2, 1)) for pad in (nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d)),
    ],
)
def test_every_other_option_gives_the_windows_numbers(layer):
    """Everywhere for a layer without padding; with it on the crop, as the page says."""
    before = nn.Sequential(nn.Conv2d(2, 3, 3), layer).eval()
    shape = before(torch.zeros(1, 2, 15, 17)).shape
    classifier = nn.Sequential(*before, nn.Flatten(), nn.Linear(shape[1:].numel(), 4)).eval()
    dense, image = convolutionalize(classifier, (15, 17)), torch.randn(2, 2, 22, 23)
    crop = image[..., :15, :17]
    assert relative(dense(crop).flatten(1), classifier(crop)) < 1e-5
    if not getattr(layer, "padding", 0):
        expected = sliding_window(classifier, image, (15, 17), dense.stride)
        assert relative(dense(image)[..., : expected.shape[2], : expected.shape[3]], expected) < 1e-5


class Called(nn.Module):
    """One function between a convolution and a linear layer."""

    def __init__(self, function, flatten, features):
        super().__init__()
        self.conv, self.function, self.flatten = nn.Conv2d(2, 3, 3), function, flatten
        self.fc = nn.Linear(features, 4)

    def forward(self, x):
        return self.fc(self.flatten(self.function(self.conv(x))))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.max_pool2d(x, 3, 2, 0, 1, True),
        lambda x: torch.max_pool2d(x, 3, 2, 0, 1, True),
        lambda x: F.avg_pool2d(x, 3, 2, 0, True, False, None),
        lambda x: F.avg_pool2d(x, kernel_size=3, stride=2, ceil_mode=True),
    ],
)
def test_options_of_a_function_are_those_of_its_layer(function):
    """The functions have ceil_mode at another place than the layers."""
    classifier, image = Called(function, lambda x: x.flatten(1), 3 * 5 * 5).eval(), torch.randn(1, 2, 22, 24)
    dense = convolutionalize(classifier, 13)
    expected = sliding_window(classifier, image, 13, 2)
    assert relative(dense(image)[..., : expected.shape[2], : expected.shape[3]], expected) < 1e-5
    with pytest.raises(ValueError, match="ceil_mode=True on a map of 10 × 10"):
        convolutionalize(classifier, 12)


def test_a_flatten_that_takes_the_batch_with_it_is_refused():
    for flatten in (torch.flatten, lambda x: x.flatten()):
        with pytest.raises(ValueError, match=r"Flatten\(\) from axis 1 on"):
            convolutionalize(Called(F.relu, flatten, 12), 4)


def test_weights_in_a_parametrization_are_carried_over():
    layers = nn.Conv2d(1, 2, 3), nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))
    classifier, image = nn.Sequential(*layers).eval(), torch.randn(1, 1, 6, 7)
    assert relative(convolutionalize(classifier, 4)(image), sliding_window(classifier, image, 4)) < 1e-5


# --- Bad classifiers ---


def sequential(*layers):
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers)


@pytest.mark.parametrize(
    ("classifier", "size", "message"),
    [
        (PatchClassifier(), 33, "a map of 4 × 4, .*: 25 to 28; got 33 × 33, which gives a map of 6 × 6"),
        (PatchClassifier(), (25, 40), r"25 to 28; got 25 × 40, which gives a map of 4 × 7"),
        (PatchClassifier(), 5, "which gives none"),
        (
            sequential(nn.Flatten(), nn.Linear(7, 2)),
            8,
            "a map of 7 numbers for the first Linear, got 4 × 6 × 6",
        ),
        (sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 2, "input_size of 3 × 3 or more"),
        (sequential(nn.Linear(6, 2)), 8, "expected Flatten before the first Linear, got '1'"),
        (sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), 8, r"'1' \(AdaptiveMaxPool2d\)"),
        (sequential(nn.InstanceNorm2d(4), nn.Flatten()), 8, "a larger image would change"),
        (sequential(nn.Softmax(-1), nn.Flatten()), 8, "a larger image would change"),
        (sequential(nn.Flatten(), nn.LayerNorm(144)), 8, r"after the map, got '2' \(LayerNorm\)"),
        (sequential(nn.Flatten(2)), 8, r"Flatten\(\) from axis 1 on"),
        (sequential(nn.AdaptiveAvgPool2d((None, 3)), nn.Flatten()), 8, "output size in numbers"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), 2, "with an nn.Conv2d before its Flatten"),
        (nn.Linear(4, 2), 2, "expected a whole classifier, got one layer"),
        (PatchClassifier(), 0, "input_size of at least 1"),
        (sequential(nn.Flatten()), 8, "got a map of 6 × 6 for each class"),
        (sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()), 4, "got a map of 2 × 2 for each class"),
        (sequential(nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten()), 3, "running statistics"),
        (sequential(nn.Flatten(), nn.BatchNorm1d(4, track_running_stats=False)), 3, "running statistics"),
        (sequential(nn.Flatten(), nn.Softmax(0)), 3, r"'2' \(Softmax\(dim=0\)\)"),
        *(
            (sequential(nn.Flatten(), layer, nn.Linear(16, 2)), 4, "after the first Linear, got it before")
            for layer in (nn.Softmax(1), nn.LogSoftmax(-1), nn.BatchNorm1d(16), nn.PReLU(16))
        ),
    ],
)
def test_bad_classifiers_and_sizes_are_said(classifier, size, message):
    with pytest.raises(ValueError, match=message):
        convolutionalize(classifier, size)


class Undecided(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), nn.Flatten()

    def forward(self, x):
        self.first(x)
        return self.third(self.second(x))


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(ValueError, match=r"torch\.fx can trace, got Undecided"):
        convolutionalize(Undecided(), 4)
    with pytest.raises(ValueError, match=r"got the call second\(\)"):
        convolutionalize(Doubled(), 4)
    with pytest.raises(TypeError, match=r"classifier as an instance of Module, got function"):
        convolutionalize(lambda x: x, 4)


@pytest.mark.parametrize("size", [24, 12, 9, 1])
def test_a_patch_classifier_of_a_size_that_leaves_rows_over_is_refused(size):
    with pytest.raises(ValueError, match=r"a size such as (13|21) or (17|25)"):
        PatchClassifier(size)


def test_a_patch_of_another_size_is_said():
    with pytest.raises(
        ValueError, match=r"windows of 25 × 25, got 64 × 30; .*convolutionalize\(\.\.\., 25\)"
    ):
        PatchClassifier()(torch.rand(1, 1, 64, 30))
    with pytest.raises(RuntimeError, match="channels"):
        PatchClassifier()(torch.rand(1, 2, 25, 25))
    with pytest.raises(RuntimeError, match="channels"):
        convolutionalize(PatchClassifier(), 25)(torch.rand(1, 2, 40, 40))


# --- Mining ---


def bright(classes=2):
    """Scores class 1 by the brightness of a window of 4 × 4, with stride 2."""
    conv = nn.Conv2d(1, classes, 4, stride=2)
    conv.weight.zero_()
    conv.weight[classes - 1] = 1
    conv.bias.zero_()
    return convolutionalize(nn.Sequential(conv, nn.Flatten()), 4)


@pytest.mark.parametrize("classes", [1, 2])
def test_the_worst_false_alarms_come_first(classes):
    dense, image = bright(classes), torch.zeros(1, 13, 15)
    image[0, 6:10, 0:4] = 0.75
    image[0, 2:6, 8:12] = 1.0
    image[0, 12, 14] = 99.0  # in the row and the column that are left over: no window sees it
    found = hard_negatives(dense, [image], positive=classes - 1, threshold=8.0)
    assert torch.equal(found, torch.tensor([1.0, 0.75]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4))
    assert hard_negatives(dense, [image], positive=-1, threshold=7.9).shape[0] == 6
    assert hard_negatives(dense, [image], positive=-1, threshold=7.9, limit=1).shape[0] == 1
    assert hard_negatives(dense, [image, image[..., :4]], positive=-1, threshold=100.0).shape == (0, 1, 4, 4)
    two = hard_negatives(dense, iter([image[..., :6], image]), positive=-1, limit=1)
    assert two.sum((1, 2, 3)).tolist() == [12, 16]


def test_mining_leaves_the_modes_and_sees_no_dropout():
    dense = convolutionalize(PatchClassifier().train(), 25)
    dense.classifier.eval()
    modes = [module.training for module in dense.modules()]
    image = torch.rand(1, 60, 60)
    first = hard_negatives(dense, [image], threshold=-1e9)
    assert torch.equal(first, hard_negatives(dense, [image], threshold=-1e9))
    assert modes == [module.training for module in dense.modules()]
    with pytest.raises(ValueError, match="at least 25 × 25"):
        hard_negatives(dense, [image, image[..., :7]])
    assert modes == [module.training for module in dense.modules()]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dense": PatchClassifier()}, TypeError, "got PatchClassifier; make it with convolutionalize"),
        ({"images": []}, ValueError, "at least one image"),
        (
            {"images": [torch.rand(1, 1, 9, 9)]},
            ValueError,
            r"\(C, H, W\), got \(1, 1, 9, 9\); take the first axis away",
        ),
        ({"images": [torch.rand(1, 3, 9)]}, ValueError, "at least 4 × 4"),
        ({"images": ["coffee"]}, TypeError, "image as a tensor"),
        ({"positive": 2}, ValueError, "one of the 2 classes, got 2"),
        ({"positive": True}, ValueError, "one of the 2 classes, got True"),
        ({"limit": 0}, ValueError, "limit of at least 1"),
    ],
)
def test_bad_input_to_mining_is_said(options, error, message):
    given_ = {"dense": bright(), "images": [torch.rand(1, 9, 9)]}
    with pytest.raises(error, match=message):
        hard_negatives(**{**given_, **options})


def test_a_dense_classifier_is_a_sequential_that_can_be_cut():
    dense = convolutionalize(PatchClassifier(), 25)
    assert isinstance(dense, DenseClassifier) and isinstance(dense[0], nn.Sequential)
    assert dense[:1](torch.rand(1, 1, 25, 25)).shape == (1, 32, 4, 4)


def test_no_image_has_no_windows_to_classify():
    found = sliding_window(PatchClassifier(13, width=2).eval(), torch.zeros(0, 1, 20, 16), 13, 2)
    assert found.shape == (0, 2, 4, 2)
