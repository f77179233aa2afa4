"""Networks written down for a page: read back, they give what they gave; what a page cannot do is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from segcore.encoder_decoders import DeconvNet, SegNet, UNet
from segcore.skips import FCN8s, FCN16s, FCN32s
from segcore.tracing import TracingError
from segcore.widgets import export_network, import_network
from segcore.widgets.export import edited, repacked

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import kernels  # noqa: E402


def unsettled(network: nn.Module, seed: int = 0) -> nn.Module:
    """In eval mode, with normalisations that do something."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
            layer.weight.data.uniform_(-1.5, 1.5, generator=generator)
            layer.bias.data.uniform_(-0.2, 0.2, generator=generator)
    return network.eval()


def there_and_back(network: nn.Module, image: Tensor, weights: str = "float32") -> tuple[Tensor, Tensor]:
    """What the network gives, and what is read back from its description as JSON."""
    described = json.loads(json.dumps(export_network(network, image[:1], weights)))
    with torch.no_grad():
        return network(image), import_network(described)(image)


def assert_same(network: nn.Module, image: Tensor, tolerance: float = 2e-5) -> None:
    wanted, found = there_and_back(network, image)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


NETWORKS = {
    "FCN-32s": (lambda: FCN32s(3, 4, width=4), (96, 96)),
    "FCN-16s": (lambda: FCN16s(3, 4, width=4), (64, 64)),
    "FCN-8s, odd": (lambda: FCN8s(3, 4, width=4), (90, 70)),
    "U-Net, odd": (lambda: UNet(3, 4, width=4, depth=3), (61, 90)),
    "U-Net, valid": (lambda: UNet(3, 4, width=4, depth=2, padding="valid"), (92, 92)),
    "U-Net, sums": (lambda: UNet(3, 4, width=4, depth=2, fusion="sum"), (32, 40)),
    "SegNet": (lambda: SegNet(3, 4, width=4), (64, 64)),
    "DeconvNet": (lambda: DeconvNet(3, 4, width=2), (193, 200)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back(name: str):
    make, size = NETWORKS[name]
    torch.manual_seed(1)
    assert_same(unsettled(make()), torch.rand(2, 3, *size))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_layers_of_every_form_come_back(data: st.DataObject):
    draw = data.draw
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2]))
    stride, dilation = draw(pair), draw(pair)
    padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    kernel, bias = draw(pair), draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 99)))
    size = (draw(st.integers(9, 14)), draw(st.integers(9, 14)))
    layers: list[nn.Module] = [
        nn.Conv2d(2, 4, kernel, stride, padding, dilation, groups, bias),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, draw(pair), stride, 0, more, groups, bias, dilation),
        nn.MaxPool2d(
            2, draw(st.sampled_from([1, 2])), draw(st.sampled_from([0, 1])), ceil_mode=draw(st.booleans())
        ),
        nn.AdaptiveAvgPool2d(draw(pair)),
        nn.Upsample(size=draw(st.sampled_from([(5, 7), (12, 4)])), mode="bilinear"),
        nn.Softmax(1),
    ]
    network = unsettled(nn.Sequential(*layers[: draw(st.integers(1, len(layers)))]))
    image = torch.randn(2, 2, *size)
    try:
        network(image)
    except RuntimeError:
        return  # nothing is left of the map
    assert_same(network, image)


class Functions(nn.Module):
    """What stands in a forward pass and in no module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.first(F.pad(x, (1, 2, 0, 1), mode="replicate")))
        b = F.dropout(F.max_pool2d(a, 2), training=self.training)
        b = F.interpolate(b, scale_factor=2, mode="bilinear")[..., : a.shape[2] - 1, 1:9]
        c = torch.cat([b, F.adaptive_avg_pool2d(a, b.shape[2:])], dim=1)
        return torch.softmax(self.second(F.pad(c, (1, 0, 1, 0))), 1)


def test_functions_come_back():
    torch.manual_seed(0)
    assert_same(Functions().eval(), torch.randn(2, 3, 12, 11))


class Scaled(nn.Module):
    """An image from -1 to 1, and a map made twice and three times as large."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x * 2 - 1)
        x = F.interpolate(x, scale_factor=2.0) - 0.5
        return F.interpolate(x, size=(3 * x.shape[2], x.shape[3]))


def test_numbers_and_repeated_values_come_back():
    torch.manual_seed(0)
    network = Scaled().eval()
    assert_same(network, torch.rand(2, 3, 8, 11))
    steps = export_network(network, torch.rand(1, 3, 8, 11))["steps"]
    assert [step["op"] for step in steps] == ["conv", "conv", "nearest", "conv", "nearest"]


def test_normalisation_and_relu_are_taken_in():
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU()]
    steps = export_network(nn.Sequential(*layers).eval(), torch.rand(1, 3, 8, 8))["steps"]
    assert [(step["op"], step["kernel"], step["relu"]) for step in steps] == [
        ("conv", [3, 3], True),
        ("conv", [1, 1], True),
    ], "the first normalisation goes into the convolution; behind the ReLU there is none"


def test_a_map_that_two_steps_read_is_left_alone():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            a = self.first(x)
            return a + F.relu(a)

    torch.manual_seed(0)
    assert_same(Twice(), torch.randn(1, 3, 8, 8))


def test_several_outputs_keep_their_names():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            a = self.first(x)
            return {"middle": a, "end": self.second(a)}

    network, image = Two().eval(), torch.rand(1, 3, 8, 8)
    found, wanted = import_network(export_network(network, image, "float32"))(image), network(image)
    assert list(found) == ["middle", "end"]
    for name in found:
        torch.testing.assert_close(found[name], wanted[name])


def test_the_kinds_of_weights_and_what_they_cost():
    torch.manual_seed(0)
    network, image = unsettled(UNet(3, 4, width=4, depth=2)), torch.rand(1, 3, 32, 32)
    sizes, errors = {}, {}
    for kind in ("float32", "float16", "int8", "int6"):
        wanted, found = there_and_back(network, image, kind)
        sizes[kind] = len(export_network(network, image, kind)["weights"])
        errors[kind] = float((found - wanted).abs().max() / wanted.abs().max())
    assert 3.5 < sizes["float32"] / sizes["int8"] < 4 and 1.8 < sizes["float32"] / sizes["float16"] <= 2
    assert 4.2 < sizes["float32"] / sizes["int6"] < 5.4
    assert errors["float32"] < 1e-5 < errors["float16"] < 5e-3 < errors["int8"] < 0.1
    assert errors["int8"] < errors["int6"] < 0.3


@pytest.mark.parametrize("network", [UNet(3, 4, width=4, depth=2), SegNet(3, 4, width=4, depth=2)])
def test_numbers_of_another_kind_are_those_of_before(network: nn.Module):
    """From eight bits to floats nothing is lost; from floats to six bits as from the network itself."""
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network.eval()
    eight, six, whole = (export_network(network, image[:1], kind) for kind in ("int8", "int6", "float32"))
    before = json.dumps(eight)
    floats = repacked(eight, "float32")
    torch.testing.assert_close(import_network(floats)(image), import_network(eight)(image))
    assert json.dumps(eight) == before and floats["kind"] == "float32"
    again = repacked(whole, "int6")
    wanted = import_network(six)(image)
    # Weights in float32 or float64 before they are rounded: a level apart would be a hundredth.
    torch.testing.assert_close(
        import_network(again)(image), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max())
    )
    with pytest.raises(ValueError, match="weights"):
        repacked(eight, "int4")


def test_the_network_stays_as_it_was():
    network = UNet(3, 4, width=4, depth=2).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_network(network, torch.rand(1, 3, 32, 32))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# ---- Edited steps ----------------------------------------------------------------------------------------


class Joined(nn.Module):
    """Two maps laid side by side, and two added; the arguments say what becomes of them."""

    def __init__(self, rate: int = 1) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=rate, dilation=rate), nn.Conv2d(3, 4, 1)
        self.last = nn.Conv2d(8, 4, 1)
        self.kept = (1.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x), self.second(x)
        a, b = (a, b) if self.kept == (1.0, 1.0) else (self.kept[0] * a, self.kept[1] * b)
        return self.last(torch.cat([a, b], 1)) + b


def test_edited_steps_are_what_torch_computes_so_changed():
    torch.manual_seed(0)
    network, image = Joined().eval(), torch.rand(2, 3, 9, 12)
    described = export_network(network, image[:1], "float32")
    for rate in (2, 3):
        wider = Joined(rate).eval()
        wider.load_state_dict(network.state_dict())
        edits = {"first": {"dilation": [rate, rate], "padding": [rate, rate]}}
        found = import_network(edited(described, edits))(image)
        torch.testing.assert_close(found, wider(image).detach(), rtol=1e-4, atol=1e-5)
    (cat,) = (step["name"] for step in described["steps"] if step["op"] == "concatenate")
    network.kept = (0.0, 1.0)
    found = import_network(edited(described, {cat: {"zero": [0]}}))(image)
    torch.testing.assert_close(found, network(image).detach(), rtol=1e-4, atol=1e-5)
    (add,) = (step["name"] for step in described["steps"] if step["op"] == "add")
    found = import_network(edited(described, {cat: {"zero": [0, 1]}, add: {"zero": [1]}}))(image)
    assert (found == network.last.bias[:, None, None]).all()


def test_unpooling_replaced_by_repeating():
    torch.manual_seed(0)
    network, image = unsettled(SegNet(3, 4, width=4, depth=1)), torch.rand(1, 3, 16, 16)
    described = export_network(network, image)
    (name,) = (step["name"] for step in described["steps"] if step["op"] == "unpool")
    changed = edited(described, {name: {"op": "nearest"}})
    steps = {str(n): n for n in range(len(changed["steps"]) + 1)}
    maps = import_network({**changed, "outputs": steps})(image)
    number = next(n for n, step in enumerate(changed["steps"], 1) if step["op"] == "nearest")
    below = maps[str(changed["steps"][number - 1]["from"][0])]
    assert torch.equal(maps[str(number)], below.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_share_of_each_value_is_repeated():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Upsample(scale_factor=2))
    described = export_network(network, torch.rand(1, 1, 6, 6))
    (name,) = (step["name"] for step in described["steps"] if step["op"] == "nearest")
    image = torch.rand(1, 1, 6, 6)
    quarter = import_network(edited(described, {name: {"share": 0.25}}))(image)
    torch.testing.assert_close(quarter, import_network(described)(image) / 4)


def test_an_edit_of_no_step_is_refused():
    described = export_network(nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="expected names of steps, got last; there are"):
        edited(described, {"last": {"zero": [0]}})


# ---- Bad input -------------------------------------------------------------------------------------------


class Squared(nn.Module):
    """Does what no step does."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


class Turned(nn.Module):
    """A map taken off a number, which is no number taken off a map."""

    def forward(self, x: Tensor) -> Tensor:
        return 1 - x


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()),
            r"step '1' \(GELU\): a page cannot do that; it can do .*Conv2d",
        ),
        (Squared(), r"'mul' \(mul\)"),
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), "of reflect"),
        (nn.Conv2d(3, 4, 3, padding="same"), "give its width in numbers"),
        (nn.Upsample(scale_factor=2, mode="bicubic"), "use bilinear, False"),
        (nn.Upsample(scale_factor=1.5, mode="nearest"), "repeats no whole number of times"),
        (Turned(), r"'\w+' \(\w+\)"),
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), "use bilinear, False"),
        (nn.Upsample(scale_factor=1.3, mode="bilinear"), "no whole number"),
        (nn.BatchNorm2d(3, track_running_stats=False), "no running statistics"),
        (nn.Softmax(2), "over the channels"),
    ],
)
def test_what_a_page_cannot_do_is_named(network: nn.Module, words: str):
    with pytest.raises(ValueError, match=words):
        export_network(network.eval(), torch.rand(1, 3, 8, 8))


def test_bad_arguments():
    network, image = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    with pytest.raises(TypeError, match="model"):
        export_network("network", image)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"give example\[:1\]"):
        export_network(network, image.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match="int4"):
        export_network(network, image, "int4")
    with pytest.raises(TracingError):
        export_network(nn.Conv2d(4, 4, 3), image)
    described = export_network(network, image)
    with pytest.raises(ValueError, match="export the network again"):
        import_network({**described, "weights": described["weights"][:40]})


# ---- The kernel ------------------------------------------------------------------------------------------


def test_the_kernels_bytes_are_the_sources():
    """Their checksum; and with the compiler that made them, each byte."""
    text = kernels.TARGET.read_text(encoding="utf-8")
    assert kernels.checksum() in text, "kernels.c has changed: run `make kernels`"
    if (compiler := kernels.compiler()) is not None and f"with {compiler}." in text:
        assert kernels.compiled() == text


def test_kernels_without_a_compiler(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "kernels.py"), "--check"],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
    )
    assert done.returncode == 2 and "apt install clang lld" in done.stderr
