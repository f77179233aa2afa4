"""The receptive field widget: its arithmetic against torch and segcore, and the figure under a hand."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torchvision
import traitlets
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.receptive_fields import Layer, receptive_field
from segcore.widgets.receptive_fields import IMAGE_SIZE, PRESETS, ReceptiveFieldWidget, units

from .kit import measure_frames, settle, tab_to, touch_drag

HEIGHT, WIDTH = IMAGE_SIZE


def layer(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, kind: str = "conv", **more: Any):
    keys = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return {"name": f"{kind}{kernel}", "kind": kind, **keys, **more}


# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = ReceptiveFieldWidget()
    assert len(widget.to_html()) < 200_000
    assert len(str(widget.public_state())) < 60_000
    assert widget.to_html() == ReceptiveFieldWidget().to_html()
    assert (widget.layer, widget.unit) == (17, [3, 5])


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


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "ResNet-50"])
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


def fact(opened: Any, name: str) -> str:
    settle(opened)
    return opened.root.locator(f".headline .{name} dd").inner_text()


def who(opened: Any) -> str:
    settle(opened)
    return opened.root.locator(".who").inner_text()


def readouts(opened: Any) -> list[str]:
    settle(opened)
    return opened.root.locator(".readouts span").all_inner_texts()


def press(opened: Any, name: str) -> None:
    opened.page.get_by_role("button", name=name, exact=True).click()
    settle(opened)


def row_y(opened: Any, name: str) -> float:
    box = opened.root.locator(".labels button", has_text=name).first.bounding_box()
    return box["y"] + box["height"] / 2


def test_the_figure_opens_on_vgg16(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    assert who(opened) == "pool5, row 3 of 7, column 5 of 14"
    assert fact(opened, "sees") == "212 \u00d7 212 px"
    assert fact(opened, "stride") == "32 px"
    assert fact(opened, "offset") == "\u221290 px"
    assert fact(opened, "lost") == "0 %"
    widths = [int(text.split()[0]) for text in readouts(opened)]
    assert widths[:6] == [1, 2, 4, 6, 8, 16] and widths[-1] == 212
    opened.assert_quiet()


def test_hovering_shows_and_clicking_chooses(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    frame = opened.root.locator(".stage.rows").bounding_box()
    y = row_y(opened, "conv3_2")
    opened.page.mouse.move(frame["x"] + frame["width"] * 0.6, y)
    shown = who(opened)
    assert shown.startswith("conv3_2, row") and "click to keep it" in shown
    assert fact(opened, "sees") == "32 \u00d7 32 px"
    assert opened.get("layer") == 17, "hovering does not choose"
    opened.page.mouse.move(frame["x"] + frame["width"] * 0.6, frame["y"] - 30)
    assert who(opened).startswith("pool5")
    opened.page.mouse.click(frame["x"] + frame["width"] * 0.6, y)
    assert opened.get("layer") == 7
    assert fact(opened, "sees") == "32 \u00d7 32 px"
    assert readouts(opened)[:3] == ["", "", ""]

    opened.root.locator(".stage.photo").scroll_into_view_if_needed()
    photo = opened.root.locator(".stage.photo").bounding_box()
    opened.page.mouse.move(photo["x"] + photo["width"] * 0.3, photo["y"] + photo["height"] * 0.7)
    assert who(opened).startswith("conv3_2")
    before = opened.get("unit")
    opened.page.mouse.down()
    opened.page.mouse.move(photo["x"] + photo["width"] * 0.5, photo["y"] + photo["height"] * 0.5, steps=3)
    opened.page.mouse.up()
    row, column = opened.get("unit")
    assert [row, column] != before
    assert column == pytest.approx(56, abs=2) and row == pytest.approx(28, abs=2)
    opened.assert_quiet()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_unit_under_the_pointer_is_the_one_shown(open_widget: Any, width: int):
    """The picture's own geometry: the unit of every layer whose field has its middle under the pointer."""
    opened = open_widget(ReceptiveFieldWidget(), width=width)
    frame = opened.root.locator(".stage.rows").bounding_box()
    fields = ReceptiveFieldWidget().fields
    counts = units(PRESETS["VGG-16"], WIDTH)
    span = WIDTH * 1.15  # the whole image and its margins
    for share in (0.15, 0.5, 0.83):
        pixel = (share - 0.5) * span + WIDTH / 2
        for n, each in enumerate(PRESETS["VGG-16"]):
            opened.page.mouse.move(frame["x"] + share * frame["width"], row_y(opened, each["name"]))
            field = fields[n]
            middle = field.size / 2 - field.padding
            wanted = min(max((pixel - middle) / field.stride, 0), counts[n + 1] - 1)
            text = who(opened)
            assert text.startswith(each["name"])
            column = int(text.split("column ")[1].split(" of")[0])
            assert column == pytest.approx(wanted, abs=0.5 + 2 / field.stride)


def test_touch_picks_and_drags(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget(), width=390, touch=True)
    frame = opened.root.locator(".stage.rows").bounding_box()
    opened.page.touchscreen.tap(frame["x"] + frame["width"] * 0.7, row_y(opened, "conv4_1"))
    settle(opened)
    assert opened.get("layer") == 10
    start = opened.get("unit")
    x, y = frame["x"] + frame["width"] * 0.7, row_y(opened, "conv4_1")
    touch_drag(opened, (x, y), *((x - 12 * step, y) for step in range(1, 8)))
    assert opened.get("unit")[1] < start[1]
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.assert_quiet()


def test_keyboard_alone(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    keyboard = opened.page.keyboard

    tab_to(opened, ".labels button")
    tab_to(opened, ".stage.rows")
    keyboard.press("ArrowRight")
    assert opened.get("unit") == [3, 6]
    keyboard.press("ArrowDown")
    assert opened.get("layer") == 16
    assert opened.get("unit") == [7, 13], "the unit that looks at the same place"
    keyboard.press("Shift+ArrowLeft")
    assert opened.get("unit") == [7, 8]
    keyboard.press("Home")
    assert opened.get("unit") == [7, 0]
    settle(opened)
    assert "row 7, column 0: sees 196 by 196" in opened.root.locator(".stage.rows").get_attribute(
        "aria-valuetext"
    )
    tab_to(opened, ".stage.photo")
    keyboard.press("ArrowDown")
    keyboard.press("End")
    assert opened.get("unit") == [8, 27]
    opened.page.wait_for_timeout(700)
    assert "column 27 of conv5_3" in opened.root.locator("[aria-live=polite]").inner_text()
    tab_to(opened, "input[aria-invalid]")
    keyboard.press("ArrowUp")
    assert opened.get("layers")[16]["kernel"] == 4
    opened.assert_quiet()


def test_layers_can_be_built_edited_moved_and_removed(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget(layers=[layer(3, padding=1, name="first")]))
    page = opened.page
    assert fact(opened, "sees") == "3 \u00d7 3 px"
    press(opened, "+ Pooling")
    press(opened, "+ Convolution")
    assert [each["name"] for each in opened.get("layers")] == ["first", "pool1", "conv1"]
    assert opened.get("layer") == 2
    assert fact(opened, "sees") == "8 \u00d7 8 px"
    page.get_by_label("Dilation").fill("2")
    assert opened.get("layers")[2]["padding"] == 2, "padding that kept the size goes on keeping it"
    assert fact(opened, "sees") == "12 \u00d7 12 px"
    page.get_by_label("Padding").fill("0")
    assert fact(opened, "offset") == "\u22121 px"
    press(opened, "Move the layer down, towards the image")
    assert [each["name"] for each in opened.get("layers")] == ["first", "conv1", "pool1"]
    assert opened.get("layer") == 1
    press(opened, "+ Up-convolution")
    assert opened.get("layers")[2]["kind"] == "up"
    page.get_by_label("Kind").select_option("block")
    assert opened.get("layers")[2]["kind"] == "block"
    press(opened, "Remove")
    press(opened, "Remove")
    assert [each["name"] for each in opened.get("layers")] == ["first", "pool1"]
    press(opened, "Remove")
    assert page.get_by_role("button", name="Remove").is_disabled()
    page.get_by_label("Name").fill("stem")
    page.get_by_label("Name").press("Enter")
    settle(opened)
    assert opened.get("layers")[0]["name"] == "stem"
    assert opened.root.locator(".labels button").inner_text().split()[0] == "stem"
    opened.assert_quiet()


def test_a_faulty_layer_is_refused_and_said(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    field = opened.page.get_by_label("Kernel")
    before = opened.get("layers")
    faults = {"0": "kernel must be a whole number", "": "kernel must be", "31": "no unit is left"}
    for value, words in faults.items():
        field.fill(value)
        assert opened.get("layers") == before
        assert field.get_attribute("aria-invalid") == "true"
        assert words in opened.root.locator(".fault").inner_text()
    field.blur()
    settle(opened)
    assert field.input_value() == "2"
    assert opened.root.locator(".fault").inner_text() == ""
    opened.assert_quiet()


def test_every_preset_is_shown(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    for name, layers in PRESETS.items():
        press(opened, name)
        assert len(opened.get("layers")) == len(layers)
        button = opened.page.get_by_role("button", name=name, exact=True)
        assert button.get_attribute("aria-pressed") == "true"
        size = ReceptiveFieldWidget(layers=layers).fields[-1].size
        shown = int(fact(opened, "sees").split(" ")[0])
        assert shown == size or (name == "Down and up" and shown < size), "its hull is over the phases"
    opened.assert_quiet()


def test_numbers_of_all_layers_stand_in_a_table(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget(layers=PRESETS["AlexNet"]))
    opened.root.locator("summary").click()
    settle(opened)
    rows = [row.split("\t") for row in opened.root.locator("tbody tr").all_inner_texts()]
    assert [row[0] for row in rows] == [each["name"] for each in reversed(PRESETS["AlexNet"])]
    assert rows[0][5:8] == ["195", "32", "\u221266"]
    assert rows[-1][1:8] == ["11", "4", "2", "1", "11", "4", "\u22122"]


def test_zoom_and_both_ways_to_show_the_weights(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    pixels = "(root) => root.querySelector('canvas').toDataURL()"
    pictures = [opened.root.evaluate(pixels)]
    for act in ["Spotlight", "Heat", "Closer", "Farther", "Whole image"]:
        if act in ("Spotlight", "Heat"):
            opened.page.get_by_role("radio", name=act).check()
            settle(opened)
        else:
            press(opened, act)
        pictures.append(opened.root.evaluate(pixels))
    assert pictures[1] != pictures[0] and pictures[2] == pictures[0]
    assert pictures[3] != pictures[0] and pictures[5] == pictures[0]
    opened.assert_quiet()


def test_the_widget_follows_its_model(open_widget: Any):
    """What a kernel sets arrives in the figure: the same path as a change from Python."""
    opened = open_widget(ReceptiveFieldWidget())
    opened.set("unit", [0, 0])
    assert fact(opened, "lost") != "0 %"
    opened.set("layer", 2)
    assert who(opened).startswith("pool1, row 0")
    opened.set("layers", PRESETS["Small"])
    assert who(opened).startswith("conv2, ")
    opened.set("layers", [layer(2, padding=2, kind="pool")])
    assert who(opened).startswith("conv2, "), "a network that cannot be is not shown"
    opened.assert_quiet()


def test_padding_takes_its_share_at_the_border(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget(layers=[layer(3, padding=1)], unit=[0, 0]))
    assert fact(opened, "lost") == f"{100 * (1 - 4 / 9):.0f} %"
    opened.set("unit", [0, 5])
    assert fact(opened, "lost") == "33 %"


def test_nothing_moves_by_itself(open_widget: Any):
    opened = open_widget(ReceptiveFieldWidget())
    opened.page.wait_for_timeout(200)
    opened.root.evaluate("(root) => { root.querySelector('.receptive-fields').frames.length = 0; }")
    opened.page.wait_for_timeout(200)
    assert opened.root.evaluate("(root) => root.querySelector('.receptive-fields').frames.length") == 0
    assert opened.root.evaluate("(root) => root.getAnimations({ subtree: true }).length") == 0


HOVER = """async (root) => {
  const figure = root.querySelector(".receptive-fields");
  const rows = root.querySelector(".stage.rows");
  const at = rows.getBoundingClientRect();
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  figure.frames.length = 0;
  for (let step = 1; step <= 120; step++) {
    rows.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, pointerId: 1, pointerType: "mouse",
      clientX: at.x + at.width * (0.5 + 0.4 * Math.sin(step / 9)), clientY: at.y + 6 + (step % 60) }));
    await frame();
  }
  return figure.frames.slice();
}"""


@pytest.mark.parametrize("preset", ["VGG-16", "ResNet-50", "DeepLab-LargeFOV"])
def test_hovering_is_instant(open_widget: Any, preset: str):
    """Every frame while the pointer runs over the deepest layers of 18 to 22."""
    opened = open_widget(ReceptiveFieldWidget(layers=PRESETS[preset]))
    measure_frames(opened, HOVER).assert_smooth(least=50)  # a frame for each new unit under the pointer
