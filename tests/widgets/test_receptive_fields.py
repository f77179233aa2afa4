"""The receptive field widget: its arithmetic against torch and segcore, and the figure under a hand."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import traitlets
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.receptive_fields import Layer, receptive_field
from segcore.widgets.receptive_fields import IMAGE_SIZE, PRESETS, ReceptiveFieldWidget, units

from .kit import PHONE, first_form_height, measure_frames, settle, tab_to, touch_drag, unfold

HEIGHT, WIDTH = IMAGE_SIZE
BLOCKS = ("ResNet-50",)  # their map is a product of exact profiles, near the true one


def layer(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, kind: str = "conv", **more: Any):
    keys = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return {"name": f"{kind}{kernel}", "kind": kind, **keys, **more}


# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = ReceptiveFieldWidget()
    page = widget.to_html()
    assert len(re.sub(r"data:image/avif;base64,[\w+/=]+", "", page)) < 200_000, "the still pictures apart"
    assert len(page) < 400_000
    assert len(str(widget.public_state())) < 60_000
    assert widget.to_html() == ReceptiveFieldWidget().to_html()
    assert (widget.layer, widget.unit, widget.preset) == (17, [3, 5], "VGG-16")


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("layers", [], "1 to 40 layers; got 0"),
        ("layers", [{"kernel": 1}] * 41, "got 41"),
        ("layers", [{"kernel": 0}], r"layers\[0\]: kernel must be a whole number from 1 to 31; got 0"),
        ("layers", [{"kernel": 3}, {"kernel": 3, "stride": 0}], r"layers\[1\]: stride .* 1 to 16"),
        ("layers", [{"kernel": 3, "padding": -1}], "padding .* 0 to 64"),
        ("layers", [{"kernel": 3, "dilation": 1.5}], "dilation must be a whole number"),
        ("layers", [{"kernel": True}], "kernel must be a whole number"),
        ("layers", [{"size": 3}], "unknown key 'size'; known are name, kind, kernel"),
        ("layers", [{"kind": "attention"}], "one of conv, pool, block, up; got 'attention'"),
        ("layers", [{"kind": "pool", "kernel": 2, "padding": 2}], "at most half its kernel, 1; got 2"),
        ("layers", [{"kernel": 3, "weights": [1, 2]}], "list of 3 numbers"),
        ("layers", [{"kernel": 2, "weights": [0, 0]}], "not all zero"),
        ("layers", [{"kernel": 2, "weights": [-1, 2]}], "not negative"),
        ("layers", [{"kernel": 31, "dilation": 8}], "no unit is left. Its input has 224 units a row"),
        ("layers", [{"kind": "up", "kernel": 16, "stride": 16}], "units are more than 4096"),
        ("layer", 18, "layer must be 0 to 17; got 18"),
        ("layer", -1, "layer must be 0 to 17"),
        ("unit", [3], "unit must be .row, column.; got .3."),
        ("unit", [7, 0], "7 rows and 14 columns of layer 17 .pool5., counted from 0; got .7, 0."),
        ("unit", [0, -1], "counted from 0"),
        ("preset", "VGG-17", "preset must be one of Small; AlexNet; VGG-16.* got 'VGG-17'"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = ReceptiveFieldWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def test_a_new_network_keeps_or_mends_layer_and_unit():
    widget = ReceptiveFieldWidget()
    widget.layers = PRESETS["AlexNet"]
    assert widget.layer == 7
    assert widget.unit == [3, 5]
    widget.layers = [{"kernel": 7, "stride": 16}, {"kernel": 5, "stride": 8}]
    assert (widget.layer, widget.unit) == (1, [1, 1])
    widget.layer = 0
    widget.unit = [13, 27]
    assert widget.layers[0] == layer(7, 16) | {"name": "conv1"}
    widget = ReceptiveFieldWidget(layers=PRESETS["Small"], layer=1, unit=[0, 3])
    assert (widget.layer, widget.unit) == (1, [0, 3])


def test_what_the_page_sends_at_once_is_taken_whole():
    """A new network with a unit that only it has: as the live widget's message sets it."""
    widget = ReceptiveFieldWidget()
    widget.set_state({"unit": [100, 200], "layer": 3, "layers": PRESETS["Small"]})
    assert (len(widget.layers), widget.layer, widget.unit) == (4, 3, [100, 200])
    widget.set_state({"layers": PRESETS["VGG-16"], "layer": 17, "unit": [6, 13]})
    assert (len(widget.layers), widget.layer, widget.unit) == (18, 17, [6, 13])


def test_a_network_goes_by_its_name():
    widget = ReceptiveFieldWidget(preset="AlexNet")
    assert (len(widget.layers), widget.layer, widget.unit) == (8, 7, [2, 4])
    assert ReceptiveFieldWidget(preset="AlexNet", layer=3).layer == 3
    widget.preset = "Small"
    assert widget.layers == PRESETS["Small"] and widget.layer == 3
    widget.layers = [*PRESETS["Small"], {"kernel": 3}]
    assert widget.preset == ""
    widget.preset = ""
    assert len(widget.layers) == 5, "no name, no change"
    widget.layers = PRESETS["VGG-16"]
    assert widget.preset == "VGG-16"
    widget.preset = ""
    assert widget.preset == "VGG-16", "it is that network all the same"
    widget.set_state({"preset": "", "layers": [{"kernel": 5}], "layer": 0, "unit": [7, 9]})
    assert (widget.preset, widget.layer, widget.unit) == ("", 0, [7, 9])
    widget.set_state({"preset": "AlexNet", "layers": PRESETS["AlexNet"], "layer": 2, "unit": [1, 1]})
    assert (widget.preset, len(widget.layers), widget.layer, widget.unit) == ("AlexNet", 8, 2, [1, 1])
    with pytest.raises(traitlets.TraitError, match="layer must be 0 to 7; got 9"):
        ReceptiveFieldWidget(preset="AlexNet", layer=9)


def test_counts_of_units_equal_torch():
    generator = random.Random(5)
    for _ in range(40):
        layers = random_layers(generator, 4)
        x = torch.zeros(1, 1, 97)
        expected = [97]
        for each in layers:
            x = torch_layer(each, x)
            expected.append(x.shape[-1])
        assert units(layers, 97) == expected


def named_windows(model: nn.Module) -> list[tuple]:
    """Kernel, stride, padding, dilation of each window, one per bottleneck: its 3×3."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d) and "downsample" not in name:
            if "layer" in name and not name.endswith("conv2"):
                assert module.kernel_size == (1, 1)
                continue
            values = (module.kernel_size, module.stride, module.padding, module.dilation)
            found.append(tuple(v[0] if isinstance(v, tuple) else v for v in values))
    return found


@pytest.mark.parametrize(
    ("preset", "model", "expected"),
    [
        ("AlexNet", "alexnet", (195, 32, 66)),
        ("VGG-16", "vgg16", (212, 32, 90)),
        ("ResNet-50", "resnet50", (427, 32, 213)),
    ],
)
def test_presets_are_torchvision_networks(preset: str, model: str, expected: tuple[int, int, int]):
    with torch.device("meta"):
        network = getattr(torchvision.models, model)()
    keys = ("kernel", "stride", "padding", "dilation")
    assert [tuple(each[key] for key in keys) for each in PRESETS[preset]] == named_windows(network)
    body = getattr(network, "features", None) or nn.Sequential(*list(network.children())[:-2])
    assert receptive_field(body)[-1] == expected
    assert ReceptiveFieldWidget(layers=PRESETS[preset]).fields[-1] == expected


def test_the_context_module_has_the_fields_of_its_paper():
    fields = ReceptiveFieldWidget(layers=PRESETS["Context module"]).fields
    assert [field.size for field in fields] == [3, 5, 9, 17, 33, 65, 67, 67]


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def random_layers(generator: random.Random, count: int, kinds: tuple[str, ...] = ("conv", "pool", "up")):
    """Layers that leave units from 97 pixels, with uniform and with given weights."""
    while True:
        layers = []
        for _ in range(count):
            kind = generator.choice(kinds)
            kernel = generator.choice([1, 2, 3, 3, 4, 5])
            most = kernel // 2 if kind == "pool" else 3
            stride, dilation = generator.choice([1, 1, 2, 3]), generator.choice([1, 1, 2, 3])
            weights = [generator.randint(1, 9) for _ in range(kernel)]
            more = {"weights": weights} if generator.random() < 0.5 else {}
            layers.append(layer(kernel, stride, generator.randint(0, most), dilation, kind, **more))
        try:
            units(layers, 97)
        except traitlets.TraitError:
            continue
        return layers


def torch_layer(spec: dict[str, Any], x: Tensor) -> Tensor:
    """A linear layer in torch, its weights positive and of sum one."""
    weights = torch.tensor(spec.get("weights") or [1] * spec["kernel"], dtype=x.dtype)
    kernel = (weights / weights.sum())[None, None]
    options = {key: spec[key] for key in ("stride", "padding", "dilation")}
    if spec["kind"] == "up":
        return F.conv_transpose1d(x, kernel, **options)
    main = F.conv1d(x, kernel, **options)
    return (main + x[..., :: spec["stride"]]) / 2 if spec["kind"] == "block" else main


def gradient(layers: list[dict[str, Any]], size: int, unit: int) -> Tensor:
    pixels = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
    x = pixels
    for each in layers:
        x = torch_layer(each, x)
    return torch.autograd.grad(x[0, 0, unit], pixels)[0][0, 0]


EFFECTIVE = """(root, cases) => cases.map(([layers, size, level, unit]) => {
    const { effectiveField, fieldSpans, levelSizes } = root.segcore.module;
    const [field] = effectiveField(layers, levelSizes(layers, size), level, unit);
    return { from: field.from, weights: Array.from(field.weights), span: fieldSpans(layers, level, unit)[0] };
})"""


def test_effective_field_equals_the_gradient(shared_widget: Any):
    """300 random networks of up to five linear layers and a unit of each, borders included."""
    opened = shared_widget(ReceptiveFieldWidget)
    generator = random.Random(16)
    cases = []
    for n in range(300):
        layers = random_layers(generator, 1 + n % 5)
        cases.append([layers, 97, len(layers), generator.randrange(units(layers, 97)[-1])])
    worst = 0.0
    for (layers, size, _, unit), got in zip(cases, opened.root.evaluate(EFFECTIVE, cases), strict=True):
        wanted = gradient(layers, size, unit)
        found = torch.zeros(size, dtype=torch.float64)
        found[got["from"] : got["from"] + len(got["weights"])] = torch.tensor(
            got["weights"], dtype=torch.float64
        )
        worst = max(worst, (found - wanted).abs().max().item())
        support = wanted.nonzero().flatten().tolist()
        if got["span"] and support:
            assert got["span"][0] <= support[0] and support[-1] <= got["span"][1]
        if not got["span"]:
            assert not support
    assert worst < 1e-12
    opened.assert_quiet()


def test_span_is_the_support_of_the_gradient_inside_the_image(shared_widget: Any):
    """Where no border is near, the theoretical field's ends are the first and last pixel with a gradient."""
    opened = shared_widget(ReceptiveFieldWidget)
    generator = random.Random(3)
    for _ in range(40):
        layers = random_layers(generator, 3)
        size = 300
        try:
            unit = units(layers, size)[-1] // 2
        except traitlets.TraitError:  # too many to show
            continue
        (got,) = opened.root.evaluate(EFFECTIVE, [[layers, size, 3, unit]])
        support = gradient(layers, size, unit).nonzero().flatten().tolist()
        assert got["span"] == ([support[0], support[-1]] if support else None)


OUTER = """(root, [layers, size, unit]) => {
    const { effectiveField, levelSizes, outerProduct } = root.segcore.module;
    const [y, x] = size.map((side, axis) =>
      effectiveField(layers, levelSizes(layers, side), layers.length, unit[axis])[0]);
    return { top: y.from, left: x.from, rows: y.weights.length, columns: x.weights.length,
      data: Array.from(outerProduct(y.weights, x.weights)) };
}"""


def shown_map(opened: Any, layers: list[dict[str, Any]], size: tuple[int, int], unit: list[int]) -> Tensor:
    """The heat over the photograph, before it is scaled to its largest value."""
    got = opened.root.evaluate(OUTER, [layers, list(size), unit])
    shape = (got["rows"], got["columns"])
    found = torch.zeros(size, dtype=torch.float64)
    window = tuple(slice(got[key], got[key] + n) for key, n in zip(("top", "left"), shape, strict=True))
    found[window] = torch.tensor(got["data"], dtype=torch.float64).reshape(shape)
    return found


def gradient_2d(layers: list[dict[str, Any]], size: tuple[int, int], unit: list[int]) -> Tensor:
    """The same by torch, with square kernels; a block is the mean of convolution and shortcut."""
    pixels = torch.zeros(1, 1, *size, dtype=torch.float64, requires_grad=True)
    x = pixels
    for each in layers:
        k, s = each["kernel"], each["stride"]
        kernel = torch.full((1, 1, k, k), 1 / k**2, dtype=torch.float64)
        function = F.conv_transpose2d if each["kind"] == "up" else F.conv2d
        main = function(x, kernel, None, s, each["padding"], dilation=each["dilation"])
        x = (main + x[..., ::s, ::s]) / 2 if each["kind"] == "block" else main
    return torch.autograd.grad(x[0, 0, unit[0], unit[1]], pixels)[0][0, 0]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name not in BLOCKS])
def test_presets_equal_the_gradient_in_two_dimensions(shared_widget: Any, preset: str):
    opened = shared_widget(ReceptiveFieldWidget)
    layers = PRESETS[preset]
    unit = ReceptiveFieldWidget(layers=layers).unit
    expected = gradient_2d(layers, IMAGE_SIZE, unit)
    assert expected.sum() > 0
    assert (shown_map(opened, layers, IMAGE_SIZE, unit) - expected).abs().max() < 1e-12


def test_blocks_have_exact_profiles_and_nearly_the_right_map(shared_widget: Any):
    """ResNet-50: sums along rows and columns are those of the mean of all paths; the product is near it."""
    opened = shared_widget(ReceptiveFieldWidget)
    layers, size, unit = PRESETS["ResNet-50"], (480, 480), [7, 7]
    expected = gradient_2d(layers, size, unit)
    found = shown_map(opened, layers, size, unit)
    for axis in (0, 1):
        assert (found.sum(axis) - expected.sum(axis)).abs().max() < 1e-12
        assert (found.sum(axis) - gradient(layers, 480, 7)).abs().max() < 1e-12
    apart = (found - expected).abs().sum().item() / 2
    print({"share of the weight that lies elsewhere": round(apart, 3)})
    assert apart < 0.2


def test_fields_equal_the_library(shared_widget: Any):
    """Size, stride and padding at every layer, transposed convolutions included."""
    opened = shared_widget(ReceptiveFieldWidget)
    generator = random.Random(8)
    networks = [random_layers(generator, 1 + n % 4) for n in range(150)] + list(PRESETS.values())
    got = opened.root.evaluate(
        "(root, networks) => networks.map((layers) => root.segcore.module.receptiveFields(layers))", networks
    )
    compared = 0
    for layers, fields in zip(networks, got, strict=True):
        keys = ("kernel", "stride", "padding", "dilation")
        try:
            wanted = receptive_field([Layer(*(e[k] for k in keys), e["kind"] == "up") for e in layers])
        except ValueError:  # units of a transposed convolution that see nothing
            continue
        compared += 1
        shown = [(field["size"], field["stride"], field["padding"]) for field in fields[1:]]
        assert shown == [pytest.approx(tuple(map(float, field)), abs=1e-9) for field in wanted], layers
    assert compared > 120
    opened.assert_quiet()


def test_central_share_is_the_shortest_run(shared_widget: Any):
    opened = shared_widget(ReceptiveFieldWidget)
    assert opened.call("centralShare", [1, 2, 94, 2, 1], 0.95) == [1, 3]
    assert opened.call("centralShare", [1, 1, 1, 1], 0.95) == [0, 3]
    assert opened.call("centralShare", [7], 0.95) == [0, 0]
    assert opened.call("centralShare", [1, 1, 96, 1, 1], 0.96) == [2, 2]


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], "at least one layer"),
        ([layer(3)] * 41, "At most 40"),
        ([layer(0)], "kernel must be a whole number from 1 to 31"),
        ([layer(2, padding=2, kind="pool")], "at most half its kernel, 1"),
        ([layer(31, dilation=9)], "no unit is left"),
        ([layer(16, 16, kind="up")], "too many"),
        ([layer(3)], ""),
    ],
)
def test_the_page_knows_the_same_faults(shared_widget: Any, layers: list, words: str):
    opened = shared_widget(ReceptiveFieldWidget)
    said = opened.call("problem", layers, list(IMAGE_SIZE))
    assert words in said and bool(said) == bool(words)


# ---- The figure ------------------------------------------------------------------------------------------

TIMES = "\u00d7"


def words(opened: Any, name: str = "") -> str:
    """What the figure says of the unit: all of it, or `sees`, `stride`, `core`, `place`."""
    settle(opened)
    return opened.root.locator(f".words {f'.{name}' if name else ''}").first.inner_text()


def choice(opened: Any, name: str) -> Any:
    return opened.root.locator("label.pick", has_text=re.compile(f"^{name}")).locator("select")


def press(opened: Any, name: str) -> None:
    opened.page.get_by_role("button", name=name, exact=True).click()
    settle(opened)


def go_to(opened: Any, address: str) -> None:
    opened.page.evaluate("address => { location.hash = address }", address)
    opened.page.wait_for_timeout(80)
    settle(opened)


def in_rows(opened: Any, layer: int, share: float = 0.5) -> tuple[float, float]:
    """A place in the row of a layer, at this share of the width between names and numbers."""
    box = opened.root.locator(".stage.side").bounding_box()
    hill = round(0.13 * box["height"])
    count = len(opened.get("layers"))
    row = (box["height"] - hill - 13 - 4 - 1 - 6) / count
    names = 0.28 * box["width"]  # no name is wider
    return box["x"] + names + share * (box["width"] - 34 - names), box["y"] + 1 + (count - layer - 0.5) * row


def test_the_figure_opens_on_vgg16(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    assert words(opened, "sees") == f"This unit of pool5 sees 212 {TIMES} 212 pixels."
    assert words(opened, "stride") == "Its neighbours look 32 pixels aside."
    assert words(opened, "core") == f"Nine tenths of its weight lie in 108 {TIMES} 108, 26 % of the area."
    assert words(opened, "place") == (
        "Row 4 of 7, column 6 of 14. The layer\u2019s first field begins at pixel \u221290. On padding: 0 %."
    )
    assert choice(opened, "Network").input_value() == "VGG-16"
    assert choice(opened, "Layer").input_value() == "17"
    assert opened.page.locator(".segcore-trials [aria-pressed=true]").count() == 0
    marks = opened.root.locator(".segcore-first .segcore-key li").all_inner_texts()
    assert marks == ["can be seen", "weight", "nine tenths of it", "if all weighed alike", "padding"]
    opened.assert_quiet()


@pytest.mark.parametrize(("width", "most"), [(840, 700), (390, 900)])
def test_the_first_form_fits_and_stands_still(open_widget: Any, width: int, most: int):
    """As high as it may be, and nothing moves whatever one tries."""
    opened = open_widget(ReceptiveFieldWidget(), width=width)
    photo = opened.root.locator(".stage.photo")
    settle(opened)

    def sizes() -> list[float]:
        return [first_form_height(opened), *photo.bounding_box().values()]

    start = sizes()
    assert start[0] <= most
    for button in opened.root.locator(".segcore-first .segcore-trials button").all():
        for _ in range(2):
            button.click()
            settle(opened)
            assert sizes() == pytest.approx(start, abs=0.2), button.inner_text()
    opened.assert_quiet()


# ---- What is said is so: each note of a thing to try, by torch ---------------------------------------------


def measured(preset: str, layer: int, unit: list[int]) -> dict[str, Any]:
    """Size, nine tenths, weights and loss of one unit, along rows and columns, by torch's gradient."""
    layers = PRESETS[preset][: layer + 1]
    found: dict[str, Any] = {"size": int(receptive_field_of(layers)[-1].size), "core": [], "kept": 1.0}
    found["weights"] = [gradient(layers, side, at) for side, at in zip(IMAGE_SIZE, unit, strict=True)]
    for weights in found["weights"]:
        below, spare = weights.cumsum(0), 0.025 * weights.sum()
        first = (below <= spare).sum().item()
        last = len(weights) - 1 - (weights.flip(0).cumsum(0) <= spare).sum().item()
        found["core"].append(last - first + 1)
        found["kept"] *= weights.sum().item()
    return found


def receptive_field_of(layers: list[dict[str, Any]]) -> list[Any]:
    keys = ("kernel", "stride", "padding", "dilation")
    return list(receptive_field([Layer(*(e[k] for k in keys), e["kind"] == "up") for e in layers]))


def try_out(opened: Any, label: str, presses: int) -> tuple[list[dict[str, Any]], str]:
    """Press a thing to try so often: what torch says of the units that it shows, and its note."""
    found = []
    for _ in range(presses):
        press(opened, label)
        state = [opened.get(name) for name in ("preset", "layer", "unit")]
        assert opened.get("layers") == PRESETS[state[0]]
        numbers = measured(*state)
        said = words(opened)
        assert f"sees {numbers['size']} {TIMES} {numbers['size']} pixels" in said
        rows, columns = numbers["core"]
        assert f"lie in {rows} {TIMES} {columns}, {rows * columns / numbers['size'] ** 2:.0%}"[:-1] in said
        assert f"On padding: {100 * (1 - numbers['kept']):.0f} %" in said or "less than 1 %" in said
        found.append(numbers)
    button = opened.page.get_by_role("button", name=label)
    assert button.get_attribute("aria-pressed") == "true" and "seen" in button.get_attribute("class")
    return found, opened.root.locator(".segcore-note").inner_text()


def test_things_to_try_say_what_is_so(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    shown, note = try_out(opened, "Up the layers", 5)
    assert [each["size"] for each in shown] == [6, 16, 44, 100, 212] and "from 6 to 212 pixels" in note
    shares = [each["core"][0] * each["core"][1] / each["size"] ** 2 for each in shown]
    assert (
        shares == sorted(shares, reverse=True)
        and shares[0] == 1
        and shares[-1] == pytest.approx(0.25, abs=0.015)
    )
    assert all(each["kept"] == pytest.approx(1) for each in shown), "no border in play"

    shown, note = try_out(opened, "Stride or depth", 2)
    assert [each["size"] for each in shown] == [27, 196] and "27 pixels" in note and "196 with four" in note
    bare, pooled = PRESETS["VGG-16 without pooling"], PRESETS["VGG-16"][:17]
    assert [each for each in pooled if each["kind"] == "conv"] == bare and len(bare) == 13
    assert sum(each["kind"] == "pool" for each in pooled) == 4

    shown, note = try_out(opened, "Shortcuts", 2)
    assert [each["size"] for each in shown] == [427, 427] and "Either way 427" in note
    assert [each["core"] for each in shown] == [[141, 143], [175, 199]]
    assert f"141 {TIMES} 143, not 175 {TIMES} 199" in note

    shown, note = try_out(opened, "Dilation", 2)
    assert [each["size"] for each in shown] == [13, 15]
    read = [int((each["weights"][1] > 0).sum()) for each in shown]
    assert read == [13 - 6, 15] and "6 of the 13" in note and "all 15" in note

    shown, note = try_out(opened, "On the border", 1)
    assert 1 - shown[0]["kept"] == pytest.approx(2 / 3, abs=0.02) and "Two thirds" in note
    field, counts = (
        receptive_field_of(PRESETS["VGG-16"])[-1],
        [units(PRESETS["VGG-16"], s)[-1] for s in IMAGE_SIZE],
    )
    whole = [
        sum(0 <= -field.padding + u * field.stride <= side - field.size for u in range(count))
        for side, count in zip(IMAGE_SIZE, counts, strict=True)
    ]
    assert f"Of the {counts[0] * counts[1]} units of pool5 only {whole[0] * whole[1]} see no padding" in note

    choice(opened, "Network").select_option("AlexNet")
    settle(opened)
    assert opened.root.locator(".segcore-note").inner_text().startswith("Point at any unit")
    opened.assert_quiet()


def test_sentences_of_the_chapter_set_the_figure(open_widget: Any):
    """Each address that the chapter names is one that the widget takes."""
    chapter = (Path(__file__).parents[2] / "book" / "05_receptive_fields.md").read_text(encoding="utf-8")
    addresses = re.findall(r"\{figure-state\}`[^<`]+<(receptive_fields:[^>]+)>`", chapter)
    assert addresses
    opened = open_widget(ReceptiveFieldWidget())
    for address in addresses:
        go_to(opened, address)
        assert opened.root.locator(".segcore-notice").inner_text() == ""
        for pair in address.split(":")[1].split(";"):
            name, value = pair.split("=")
            shown = opened.get(name)
            assert value == (
                shown if isinstance(shown, str) else json.dumps(shown).strip("[]").replace(" ", "")
            )


# ---- Address -----------------------------------------------------------------------------------------------


def test_the_address_names_the_network_and_the_unit(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    go_to(opened, "receptive_fields:preset=ResNet-50;layer=9;unit=4,20")
    assert [opened.get(name) for name in ("preset", "layer", "unit")] == ["ResNet-50", 9, [4, 20]]
    assert opened.get("layers") == PRESETS["ResNet-50"]
    go_to(opened, "receptive_fields:preset=AlexNet")
    assert [opened.get(name) for name in ("layer", "unit")] == [7, [3, 5]], "the last layer it has"
    go_to(opened, "receptive_fields:layer=12")
    assert (opened.get("preset"), opened.get("layer")) == ("VGG-16", 12), "the rest as at the start"
    choice(opened, "Network").select_option("Dilations 2, 2, 2")
    opened.page.wait_for_function("location.hash.includes('preset=Dilations%202,%202,%202;layer=2')")
    opened.page.reload()
    opened.page.wait_for_selector("[data-ready=true]")
    assert (opened.get("preset"), opened.get("layer")) == ("Dilations 2, 2, 2", 2)
    unfold(opened)
    opened.page.get_by_role("spinbutton", name="Dilation").fill("3")
    opened.page.wait_for_function("location.hash === ''")
    assert opened.get("preset") == "", "no address says what is changed by hand"
    opened.assert_quiet()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("preset=VGG-17", "preset must be one of Small; AlexNet"),
        ("preset=", "preset must be one of"),
        ("preset=AlexNet;layer=8", "layer must be 0 to 7 in AlexNet"),
        ("layer=40", "layer must be a whole number from 0 to 39"),
        ("unit=7,0", "unit must be a row from 0 to 6 and a column from 0 to 13 in pool5"),
        ("unit=3", "unit must be a list of 2"),
        ("layers=[]", "layers must be not part of an address"),
    ],
)
def test_what_an_address_cannot_have_is_said(open_widget: Any, address: str, said: str):
    opened = open_widget(ReceptiveFieldWidget())
    names = ("preset", "layers", "layer", "unit")
    before = [opened.get(name) for name in names]
    go_to(opened, f"receptive_fields:{address}")
    assert said in opened.page.locator(".segcore-notice").inner_text()
    assert [opened.get(name) for name in names] == before
    opened.assert_quiet()


# ---- By hand -----------------------------------------------------------------------------------------------


def test_hovering_shows_and_clicking_chooses(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    at = in_rows(opened, 7, 0.6)
    opened.page.mouse.move(*at)
    shown = words(opened)
    assert f"This unit of conv3_2 sees 32 {TIMES} 32 pixels" in shown and "(click to keep it)" in shown
    assert opened.get("layer") == 17, "hovering does not choose"
    opened.page.mouse.move(at[0], 5)
    assert "of pool5" in words(opened) and "click" not in words(opened)
    opened.page.mouse.click(*at)
    assert opened.get("layer") == 7
    photo = opened.root.locator(".stage.photo").bounding_box()

    def over(x: float, y: float) -> tuple[float, float]:
        return photo["x"] + photo["width"] * x, photo["y"] + photo["height"] * y

    opened.page.mouse.move(*over(0.3, 0.7))
    assert "of conv3_2" in words(opened)
    before = opened.get("unit")
    opened.page.mouse.down()
    opened.page.mouse.move(*over(0.5, 0.5), steps=3)
    opened.page.mouse.up()
    row, column = opened.get("unit")
    assert [row, column] != before
    assert column == pytest.approx(56, abs=2) and row == pytest.approx(28, abs=2)
    opened.assert_quiet()


@pytest.mark.parametrize("width", [390, 840])
def test_the_unit_under_the_pointer_is_the_one_shown(open_widget: Any, width: int):
    """Over the photograph, by its own geometry: the unit whose field has its middle under the pointer."""
    opened = open_widget(ReceptiveFieldWidget(), width=width)
    photo = opened.root.locator(".stage.photo").bounding_box()
    span = WIDTH * 1.15  # the whole image and its margins
    for layer_index in (17, 12, 9, 3):
        field = receptive_field_of(PRESETS["VGG-16"])[layer_index]
        choice(opened, "Layer").select_option(str(layer_index))
        for share in (0.15, 0.5, 0.83):
            opened.page.mouse.move(photo["x"] + share * photo["width"], photo["y"] + photo["height"] / 2)
            pixel = (share - 0.5) * span + WIDTH / 2
            last = units(PRESETS["VGG-16"], WIDTH)[layer_index + 1] - 1
            wanted = min(max((pixel - field.size / 2 + field.padding) / field.stride, 0), last)
            column = int(re.search(r"column (\d+) of", words(opened, "place"))[1]) - 1
            assert column == pytest.approx(wanted, abs=0.5 + 2 / field.stride)
    opened.assert_quiet()


def test_touch_picks_drags_and_scrolls_past(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget(), width=390, touch=True)
    x, y = in_rows(opened, 10, 0.7)
    opened.page.touchscreen.tap(x, y)
    settle(opened)
    assert opened.get("layer") == 10
    start = opened.get("unit")
    touch_drag(opened, (x, y), *((x - 12 * step, y) for step in range(1, 8)))
    chosen = opened.get("unit")
    assert chosen[1] < start[1]
    opened.page.evaluate("document.body.style.paddingBottom = '1600px'")
    touch_drag(opened, (x + 20, y), *((x + 20, y - 15 * step) for step in range(1, 12)))
    assert opened.page.evaluate("scrollY") > 60
    assert (opened.get("layer"), opened.get("unit")) == (10, chosen), "a thumb that scrolls chooses nothing"
    opened.assert_quiet()


def test_keyboard_alone(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    keyboard = opened.page.keyboard

    tab_to(opened, "select")
    tab_to(opened, ".segcore-trials button")
    tab_to(opened, ".stage.side")
    keyboard.press("ArrowRight")
    assert opened.get("unit") == [3, 6]
    keyboard.press("ArrowDown")
    assert opened.get("layer") == 16
    assert opened.get("unit") == [7, 13], "the unit that looks at the same place"
    keyboard.press("Shift+ArrowLeft")
    assert opened.get("unit") == [7, 8]
    for _ in range(2):
        keyboard.press("Shift+ArrowLeft")
    assert opened.get("unit") == [7, 0]
    settle(opened)
    side = opened.root.locator(".stage.side")
    assert side.get_attribute("aria-valuetext") == f"conv5_3, row 8, column 1: sees 196 {TIMES} 196 pixels"
    assert [side.get_attribute(f"aria-value{name}") for name in ("min", "now", "max")] == ["1", "1", "28"]
    tab_to(opened, ".stage.photo")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowRight")
    assert opened.get("unit") == [8, 1]
    opened.page.wait_for_timeout(700)
    assert "Row 9 of 14, column 2 of 28" in opened.root.locator("[aria-live=polite]").inner_text()
    tab_to(opened, "summary")
    keyboard.press("Enter")
    tab_to(opened, "input[type=number]")
    keyboard.press("ArrowUp")
    assert opened.get("layers")[16]["kernel"] == 4
    opened.assert_quiet()


def test_layers_can_be_built_edited_moved_and_removed(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget(layers=[layer(3, padding=1, name="first")]))
    page = opened.page
    unfold(opened)
    assert choice(opened, "Network").input_value() == ""
    assert f"sees 3 {TIMES} 3" in words(opened)
    press(opened, "+ Pooling")
    press(opened, "+ Convolution")
    assert [each["name"] for each in opened.get("layers")] == ["first", "pool1", "conv1"]
    assert opened.get("layer") == 2
    assert f"sees 8 {TIMES} 8" in words(opened)
    page.get_by_role("spinbutton", name="Dilation").fill("2")
    assert opened.get("layers")[2]["padding"] == 2, "padding that kept the size goes on keeping it"
    assert f"sees 12 {TIMES} 12" in words(opened)
    page.get_by_role("spinbutton", name="Padding").fill("0")
    assert "begins at pixel \u22121." in words(opened)
    assert page.get_by_role("button", name="Move the layer up").is_disabled()
    press(opened, "Move the layer down, towards the image")
    assert [each["name"] for each in opened.get("layers")] == ["first", "conv1", "pool1"]
    assert opened.get("layer") == 1
    press(opened, "+ Up-convolution")
    assert opened.get("layers")[2]["kind"] == "up"
    choice(opened, "Kind").select_option("block")
    assert opened.get("layers")[2]["kind"] == "block"
    for left in (["first", "conv1", "pool1"], ["first", "pool1"], ["pool1"]):
        press(opened, "Remove")
        assert [each["name"] for each in opened.get("layers")] == left
    assert page.get_by_role("button", name="Remove").is_disabled()
    page.get_by_role("textbox", name="Name").fill("stem")
    page.get_by_role("textbox", name="Name").press("Enter")
    settle(opened)
    assert opened.get("layers")[0]["name"] == "stem"
    assert choice(opened, "Layer").locator("option").all_inner_texts() == [
        f"stem: pooling 2 {TIMES} 2, stride 2"
    ]
    opened.assert_quiet()


def test_what_cannot_be_is_refused_and_said(open_widget: Any):
    """Numbers that make no network are named; buttons that would are dead."""
    opened = open_widget(ReceptiveFieldWidget())
    unfold(opened)
    field = opened.page.get_by_role("spinbutton", name="Kernel")
    before = opened.get("layers")
    problems = {"0": "kernel must be a whole number", "": "kernel must be", "31": "no unit is left"}
    for value, said in problems.items():
        field.fill(value)
        assert opened.get("layers") == before
        assert field.get_attribute("aria-invalid") == "true"
        assert said in opened.root.locator(".segcore-problem").inner_text()
    field.blur()
    settle(opened)
    assert field.input_value() == "2"
    assert opened.root.locator(".segcore-problem").inner_text() == ""
    pooling = opened.page.get_by_role("button", name="+ Pooling")
    for _ in range(2):
        pooling.click()
        settle(opened)
    assert pooling.is_disabled() and "no unit is left" in pooling.get_attribute("title")
    opened.set("layers", [layer(3, padding=1)] * 40)
    settle(opened)
    assert pooling.is_disabled() and "At most 40" in pooling.get_attribute("title")
    opened.assert_quiet()


def test_every_network_is_shown_and_its_layers_stand_in_a_table(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    unfold(opened)
    tall = opened.root.locator(".segcore-first").bounding_box()["height"]
    for name, layers in PRESETS.items():
        choice(opened, "Network").select_option(name)
        assert len(opened.get("layers")) == len(layers) and opened.get("preset") == name
        fields = ReceptiveFieldWidget(layers=layers).fields
        shown = int(re.search(r"sees (\d+)", words(opened, "sees"))[1])
        assert shown == fields[-1].size or (name == "Down and up" and shown < fields[-1].size), (
            "a hull over phases"
        )
        rows = [row.split("\t") for row in opened.root.locator("tbody tr").all_inner_texts()]
        assert [row[0] for row in rows] == [each["name"] for each in reversed(layers)]
        assert [float(row[5]) for row in rows] == [field.size for field in reversed(fields)]
        assert opened.root.locator(".segcore-first").bounding_box()["height"] == tall
    choice(opened, "Network").select_option("AlexNet")
    settle(opened)
    rows = [row.split("\t") for row in opened.root.locator("tbody tr").all_inner_texts()]
    assert rows[0][5:] == ["195", "32", "\u221266", "5 to 5"]
    assert rows[-1][1:8] == ["11", "4", "2", "1", "11", "4", "\u22122"]
    opened.set("unit", [0, 0])
    settle(opened)
    rows = [row.split("\t") for row in opened.root.locator("tbody tr").all_inner_texts()]
    assert [row[8] for row in rows[:4]] == ["1 to 1", "1 to 3", "1 to 4, 1 outside", "1 to 5, 2 outside"]
    opened.assert_quiet()


def test_zoom_and_both_ways_to_show_the_weights(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    pixels = "(root) => root.querySelector('.photo canvas').toDataURL()"
    closer, farther, whole = (
        opened.page.get_by_role("button", name=name) for name in ("Closer", "Farther", "The whole")
    )
    opened.page.wait_for_timeout(100)
    pictures = [opened.root.evaluate(pixels)]
    assert farther.is_disabled() and whole.is_disabled() and closer.is_enabled()
    for act in [
        lambda: opened.page.get_by_label("Spotlight").check(),
        lambda: opened.page.get_by_label("Spotlight").uncheck(),
        closer.click,
        farther.click,
        closer.click,
        whole.click,
    ]:
        act()
        settle(opened)
        pictures.append(opened.root.evaluate(pixels))
    assert pictures[1] != pictures[0] and pictures[2] == pictures[0]
    assert pictures[3] != pictures[0] and pictures[4] == pictures[0]
    assert pictures[5] == pictures[3] and pictures[6] == pictures[0]
    for _ in range(20):
        if closer.is_disabled():
            break
        closer.click()
        settle(opened)
    assert closer.is_disabled() and farther.is_enabled()
    opened.assert_quiet()


def test_the_widget_follows_its_model(open_widget: Any):
    """What a kernel sets arrives in the figure: the same path as a change from Python."""
    opened = open_widget(ReceptiveFieldWidget())
    opened.set("unit", [0, 0])
    assert "On padding: 68 %" in words(opened)
    opened.set("layer", 2)
    assert "of pool1" in words(opened) and "Row 1 of 112" in words(opened)
    opened.set("layers", PRESETS["Small"])
    assert "of conv2" in words(opened) and opened.get("preset") == "Small"
    opened.set("preset", "AlexNet")
    assert opened.get("layers") == PRESETS["AlexNet"] and "of conv2" in words(opened)
    opened.set("layers", [layer(2, padding=2, kind="pool")])
    assert "of conv2" in words(opened), "a network that cannot be is not shown"
    assert opened.get("layers") == PRESETS["AlexNet"]
    opened.set("layers", [layer(3, padding=1)])
    opened.set("unit", [0, 0])
    assert f"On padding: {100 * (1 - 4 / 9):.0f} %" in words(opened)
    opened.set("unit", [0, 5])
    assert "On padding: 33 %" in words(opened)
    opened.assert_quiet()


def test_nothing_moves_by_itself(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    opened.page.wait_for_timeout(300)
    opened.root.evaluate("(root) => { root.querySelector('.segcore-root').frames.length = 0; }")
    opened.page.wait_for_timeout(200)
    assert opened.root.evaluate("(root) => root.querySelector('.segcore-root').frames.length") == 0
    assert opened.root.evaluate("(root) => root.getAnimations({ subtree: true }).length") == 0
    opened.assert_quiet()


HOVER = """async (root) => {
  const figure = root.querySelector(".segcore-root");
  const rows = root.querySelector(".stage.side");
  const at = rows.getBoundingClientRect();
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  figure.frames.length = 0;
  for (let step = 1; step <= 120; step++) {
    rows.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, pointerId: 1, pointerType: "mouse",
      clientX: at.x + at.width * (0.5 + 0.25 * Math.sin(step / 9)), clientY: at.y + 6 + (step % 60) }));
    await frame();
  }
  return figure.frames.slice();
}"""


@pytest.mark.parametrize("preset", ["VGG-16", "ResNet-50", "DeepLab-LargeFOV"])
def test_hovering_is_instant(open_widget: Any, preset: str):
    """Every frame while the pointer runs over the deepest layers of 18 to 22."""
    opened = open_widget(ReceptiveFieldWidget(layers=PRESETS[preset]))
    measure_frames(opened, HOVER).assert_smooth(least=50)  # a frame for each new unit under the pointer


# How wide each select would be with nothing in it but one of its options, beside how wide it is.
CUT_OPTIONS = """(root) => [...root.querySelectorAll(".segcore-first select")].flatMap((select) => {
  const room = select.offsetWidth;
  return [...select.options].filter((option) => !option.hidden).map((option) => {
    const alone = select.cloneNode(false);
    alone.style.width = "auto";
    alone.style.maxWidth = "none";
    alone.append(option.cloneNode(true));
    select.parentElement.append(alone);
    const need = alone.offsetWidth;
    alone.remove();
    return [option.text, need - room];
  });
}).filter(([, over]) => over > 0)"""


def test_a_phone_cuts_no_choice(open_widget):
    opened = open_widget(ReceptiveFieldWidget(), **PHONE)
    for preset in PRESETS:
        opened.set("preset", preset)
        settle(opened)
        assert opened.root.evaluate(CUT_OPTIONS) == []
