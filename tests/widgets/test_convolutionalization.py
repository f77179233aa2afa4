"""The convolutionalization widget: arithmetic against PyTorch and the library, the figure in use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets
from torch import nn

from segcore.convolutionalization import convolutionalize, sliding_window, windows
from segcore.data.images import faces
from segcore.widgets.convolutionalization import ConvolutionalizationWidget

from .kit import PHONE, assert_accessible, measure_frames, settle, unfold

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = ConvolutionalizationWidget()
    assert widget.to_html() == ConvolutionalizationWidget().to_html()
    assert len(str(widget.public_state())) < 40_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("window", [27, 0], "each from 0 to 26"),
        ("window", [0, -1], "each from 0 to 26"),
        ("window", [1, 2, 3], "row, column"),
        ("window", ["a", "b"], "int"),
        ("neighbour", 0, "from 1 to 7"),
        ("neighbour", 8, "from 1 to 7"),
        ("channel", 4, "from 0 to 3"),
        ("view", "sparse", "dense"),
        ("padding", "yes", "bool"),
        ("cost", [512, 4], "side, convolutions, stride"),
        ("cost", [63, 4, 4], "from 64 to 1024"),
        ("cost", [2000, 4, 4], "from 64 to 1024"),
        ("cost", [512, 0, 1], "1 to 8 convolutions"),
        ("cost", [512, 9, 1], "1 to 8 convolutions"),
        ("cost", [512, 4, 3], "1, 2, 4, 8 or 16"),
        ("cost", [512, 1, 4], "at most 2 to the number"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = ConvolutionalizationWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


@pytest.mark.parametrize("padding", [False, True])
def test_the_stored_network_knows_the_faces(padding: bool):
    patches, labels = faces()
    widget = ConvolutionalizationWidget(padding=padding)
    found = widget.classifier(patches[:, :1].double()).argmax(dim=1)
    assert (found == labels).double().mean() > 0.97


def test_one_pass_is_the_sliding_window_but_for_padding():
    for padding in (False, True):
        widget = ConvolutionalizationWidget(padding=padding)
        no, yes = sliding_window(widget.classifier, widget.image, 25, 4)[0]
        gap = (yes - no - widget.scores).abs()
        assert gap.shape == (27, 27)
        assert gap.max() > 10 if padding else gap.max() < 1e-9
    unpadded = ConvolutionalizationWidget().scores
    assert unpadded.argmax() == 6 * 27 + 12  # the face


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def as_map(values: torch.Tensor) -> dict[str, Any]:
    channels, height, width = values.shape
    return {"data": values.flatten().tolist(), "channels": channels, "height": height, "width": width}


def as_layer(layer: nn.Module, kernel: int) -> dict[str, Any]:
    return {"weight": layer.weight.flatten().tolist(), "bias": layer.bias.tolist(), "kernel": kernel}


# Typed arrays do not travel as JSON: they become plain ones.
CALL = """(root, [name, args]) => JSON.parse(JSON.stringify(root.segcore.module[name](...args),
  (key, value) => (value instanceof Float64Array ? Array.from(value) : value)))"""


def call(opened: Any, name: str, *args: Any) -> Any:
    return opened.root.evaluate(CALL, [name, list(args)])


def assert_same(found: dict[str, Any], wanted: torch.Tensor) -> None:
    shape = (found["channels"], found["height"], found["width"])
    values = torch.tensor(found["data"], dtype=torch.float64).reshape(shape)
    torch.testing.assert_close(values, wanted.detach(), rtol=1e-9, atol=1e-9)


def randoms(generator: torch.Generator, *size: int) -> torch.Tensor:
    return torch.randn(*size, generator=generator, dtype=torch.float64)


def test_layers_equal_torch(shared_widget: Any):
    opened = shared_widget(ConvolutionalizationWidget)
    generator = torch.Generator().manual_seed(4)
    for kernel in (1, 2, 3, 4):
        for padding in (0, 1, 2):
            layer = nn.Conv2d(3, 2, kernel, padding=padding, dtype=torch.float64)
            image = randoms(generator, 3, 7, 9)
            found = call(opened, "conv2d", as_map(image), as_layer(layer, kernel), padding)
            assert_same(found, layer(image[None])[0])
    image = randoms(generator, 2, 9, 7)
    assert_same(call(opened, "maxPool", as_map(image), 2), F.max_pool2d(image, 2))
    assert_same(call(opened, "relu", as_map(image)), image.relu())
    assert_same(call(opened, "crop", as_map(image), 3, 1, 5), image[:, 3:8, 1:6])
    layer = nn.Linear(18, 5, dtype=torch.float64)
    x = randoms(generator, 18)
    found = call(opened, "linear", x.tolist(), as_layer(layer, 1))
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), layer(x).detach())
    opened.assert_quiet()


NETWORKS = "(root) => root.segcore.module.readNetwork(root.segcore.model.get('network'))"
BOTH_WAYS = f"""(root, [padded, places]) => {{
  const {{ module, model }} = root.segcore;
  const network = ({NETWORKS})(root)[padded];
  const image = module.readImage(model.get("scene"));
  const {{ maps, scores }} = module.dense(image, network);
  const alone = places.map(([r, c]) => module.classify(module.crop(image, 4 * r, 4 * c, 25), network).score);
  return {{ scores: Array.from(scores.data), alone, sides: maps.map((map) => map.height) }};
}}"""


@pytest.mark.parametrize("padding", [False, True])
def test_both_ways_equal_the_librarys(open_widget: Any, padding: bool):
    """The trained network on the photograph: every cell of the map, and every seventh window alone."""
    widget = ConvolutionalizationWidget(padding=padding)
    opened = open_widget(widget)
    places = [(n // 27, n % 27) for n in range(0, 27 * 27, 7)]
    found = opened.root.evaluate(BOTH_WAYS, [int(padding), places])
    assert found["sides"] == ([65, 33] if padding else [63, 30])
    scores = torch.tensor(found["scores"], dtype=torch.float64)
    torch.testing.assert_close(scores.reshape(27, 27), widget.scores, rtol=1e-9, atol=1e-9)
    cut = windows(widget.image, 25, 4)[0]
    patches = torch.stack([cut[row, column] for row, column in places])
    no, yes = widget.classifier(patches).T
    alone = torch.tensor(found["alone"], dtype=torch.float64)
    torch.testing.assert_close(alone, yes - no, rtol=1e-9, atol=1e-9)
    if not padding:  # not only close: the same bits
        assert found["alone"] == [found["scores"][row * 27 + column] for row, column in places]


def as_modules(layers: list[dict[str, Any]]) -> list[nn.Module]:
    """The family as PyTorch's modules on the meta device, linear layers flattened."""
    modules: list[nn.Module] = []
    with torch.device("meta"):
        for layer in layers:
            if layer["kind"] == "pool":
                modules.append(nn.MaxPool2d(layer["kernel"]))
            elif layer["kind"] == "conv":
                modules.append(nn.Conv2d(layer["inputs"], layer["outputs"], layer["kernel"]))
            else:
                flatten = [nn.Flatten()] if layer["kernel"] > 1 else []
                modules += [*flatten, nn.Linear(layer["inputs"] * layer["kernel"] ** 2, layer["outputs"])]
    return modules


def count(modules: Any, size: int) -> list[int]:
    counts, x = [], torch.empty(1, 3, size, size, device="meta")
    for module in modules:
        x = module(x)
        if isinstance(module, nn.Conv2d | nn.Linear):
            counts.append(x.numel() * module.weight[0].numel())
    return counts


def test_counts_are_those_of_real_networks(shared_widget: Any):
    """Windows, strides and multiplications of the whole family, counted from what PyTorch's layers give."""
    opened = shared_widget(ConvolutionalizationWidget)
    tried = 0
    for depth in (1, 3, 8):
        for stride in (1, 2, 4, 8, 16):
            if stride > 2**depth:
                continue
            layers = call(opened, "family", depth, stride)
            assert sum(layer["kind"] == "conv" for layer in layers) == depth
            found = call(opened, "compare", layers, 200)
            classifier = nn.Sequential(*as_modules(layers))
            whole = convolutionalize(classifier, found["window"])
            assert whole.stride == (stride, stride) and whole.least[0] == found["window"]
            cells = (200 - found["window"]) // stride + 1
            assert found["windows"] == cells**2
            one = count(classifier, found["window"])
            assert found["alone"] == [each * cells**2 for each in one]
            convolutions = [layer for layer in whole.modules() if not isinstance(layer, nn.Sequential)]
            assert found["pass"] == count(convolutions, 200)
            assert found["totals"] == [sum(found["alone"]), sum(found["pass"])]
            tried += 1
    assert tried == 11
    small = call(opened, "compare", call(opened, "family", 8, 16), 64)
    assert small["windows"] == 0
    assert "larger than the image" in call(opened, "costSentence", small, 64)


def test_shared_cells_are_counted_one_by_one(shared_widget: Any):
    opened = shared_widget(ConvolutionalizationWidget)
    for side, step in ((25, 4), (11, 2), (4, 1)):
        for right in range(8):
            first = {(y, x) for y in range(side) for x in range(side)}
            second = {(y, x + step * right) for y, x in first}
            assert call(opened, "shared", side, step, right) == len(first & second)
    assert call(opened, "neighbourOf", [3, 20], 6) == [3, 26]
    assert call(opened, "neighbourOf", [3, 21], 6) == [3, 15]
    assert call(opened, "cellAt", 12.5, 16.5) == [1, 0]
    assert call(opened, "cellAt", -9, 500) == [26, 0]


# ---- The figure ------------------------------------------------------------------------------------------


def readout(opened: Any) -> list[str]:
    return opened.root.locator(".readout b").all_inner_texts()


def text(value: float) -> str:
    return f"{value:.6f}".replace("-", "\u2212")


def test_a_reader_drags_the_window_and_sees_one_number(open_widget: Any):
    widget = ConvolutionalizationWidget()
    opened = open_widget(widget)
    assert readout(opened) == [text(widget.alone), text(widget.alone), "0"]
    box = opened.root.locator("canvas.source").bounding_box()
    scale = box["width"] / 129
    mouse = opened.page.mouse
    mouse.move(box["x"] + 60 * scale, box["y"] + 40 * scale)
    mouse.down()
    mouse.move(box["x"] + (12.5 + 4 * 20) * scale, box["y"] + (12.5 + 4 * 15) * scale, steps=4)
    mouse.up()
    settle(opened)
    assert opened.get("window") == [15, 20]
    widget.window = [15, 20]
    assert readout(opened) == [text(widget.alone), text(widget.scores[15, 20].item()), "0"]
    assert "The same number" in opened.root.locator(".verdict").inner_text()
    opened.root.locator("canvas.map").click(position={"x": 12.5 * scale, "y": 16.5 * scale})
    assert opened.get("window") == [1, 0]
    best = opened.page.get_by_role("button", name="Highest score")
    best.click()
    assert opened.get("window") == [6, 12]
    settle(opened)
    assert best.is_disabled(), "it has no more to do"
    opened.root.locator("canvas.source").focus()
    opened.page.keyboard.press("Shift+ArrowDown")
    assert opened.get("window") == [11, 12]
    best.click()
    unfold(opened)
    opened.page.get_by_label("Column of the map").focus()
    opened.page.keyboard.press("ArrowRight")
    settle(opened)
    assert opened.get("window") == [6, 13]
    captions = opened.root.locator(".layer .prose").all_inner_texts()
    assert "77 of 121, 64 %" in captions[0] and "8 of 16, 50 %" in captions[1]
    opened.page.get_by_label("Neighbour at").fill("1")
    settle(opened)
    captions = opened.root.locator(".layer .prose").all_inner_texts()
    assert "99 of 121, 82 %" in captions[0] and "12 of 16, 75 %" in captions[1]
    opened.assert_quiet()


def note_begins(opened: Any, words: str) -> None:
    """All 729 windows come a few in each frame: wait, on a busy machine longer."""
    script = "(words) => document.querySelector('.readout .note').textContent.startsWith(words)"
    opened.page.wait_for_function(script, arg=words)


def test_padding_makes_them_differ(open_widget: Any):
    widget = ConvolutionalizationWidget(padding=True)
    opened = open_widget(ConvolutionalizationWidget())
    opened.page.get_by_role("radio", name="Difference").check()
    unfold(opened)
    note = opened.root.locator(".readout .note")
    note_begins(opened, "Zero")
    opened.page.get_by_label("Zero padding").check()
    settle(opened)
    alone, cell = widget.alone, widget.scores[6, 12].item()
    assert readout(opened) == [text(alone), text(cell), text(alone - cell)]
    assert "zeros around it" in opened.root.locator(".verdict").inner_text()
    captions = opened.root.locator(".layer .prose").all_inner_texts()
    assert "Changed by zeros around the window: 48 cells" in captions[0]
    assert "40 cells" in captions[1]
    note_begins(opened, "Up to")
    no, yes = sliding_window(widget.classifier, widget.image, 25, 4)[0]
    most = (yes - no - widget.scores).abs().max().item()
    assert note.inner_text() == f"Up to {most:.1f}."
    opened.page.get_by_role("radio", name="One pass").check()
    settle(opened)
    work, x = 0, widget.image
    for layer in convolutionalize(widget.classifier, 25).modules():
        if not isinstance(layer, nn.Sequential):
            x = layer(x)
            work += x.numel() * layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else 0
    assert f"{work / 1e6:.2f} million" in note.inner_text()
    opened.assert_quiet()


def test_sliding_counts_and_ends(open_widget: Any):
    opened = open_widget(ConvolutionalizationWidget(), reduced_motion="no-preference")
    opened.page.get_by_role("button", name="Window by window").click()
    opened.page.wait_for_function("parseInt(document.querySelector('.readout .note').textContent) > 40")
    assert opened.get("view") == "windows"
    opened.page.get_by_role("button", name="Stop").click()
    note_begins(opened, "729 of 729")
    assert "47.2 million" in opened.root.locator(".readout .note").inner_text()
    opened.assert_quiet()


def test_what_the_trials_say_is_so(open_widget: Any):
    """The notes under the buttons, against PyTorch's numbers."""
    opened = open_widget(ConvolutionalizationWidget())

    def press(name: str) -> ConvolutionalizationWidget:
        opened.page.get_by_role("button", name=name, exact=True).click()
        settle(opened)
        traits = ("window", "padding", "view")
        return ConvolutionalizationWidget(**{trait: opened.get(trait) for trait in traits})

    face = press("On the face")
    row, column = face.window
    assert face.scores[row, column] > 0 and abs(face.alone - face.scores[row, column]) < 1e-9
    alarm = press("A false alarm")
    row, column = alarm.window
    assert (
        alarm.scores[row, column] > 0 and abs(row - 6) + abs(column - 12) > 13
    )  # no pixel shared with the face
    assert "above 0" in opened.root.locator(".verdict").inner_text()
    padded = press("Zero padding")
    row, column = padded.window
    assert abs(padded.alone - padded.scores[row, column]) > 1
    assert "zeros around it" in opened.root.locator(".verdict").inner_text()
    opened.assert_quiet()


def test_the_first_form_and_the_address(open_widget: Any):
    opened = open_widget(ConvolutionalizationWidget(), width=840)
    height = "root => root.querySelector('.segcore-first').offsetHeight"
    assert opened.root.evaluate(height) <= 700
    opened.page.set_viewport_size({"width": 390, "height": 844})
    settle(opened)
    assert opened.root.evaluate(height) <= 900
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.page.evaluate("location.hash = 'convolutionalization:window=19,25;padding=true;cost=256,3,8'")
    opened.page.wait_for_function(
        "document.querySelector('[data-widget]').segcore.model.get('padding') === true"
    )
    assert [opened.get("window"), opened.get("cost")] == [[19, 25], [256, 3, 8]]
    opened.page.evaluate("location.hash = 'convolutionalization:cost=256,1,8'")
    opened.page.wait_for_function("document.querySelector('.segcore-notice').textContent !== ''")
    assert "cost must be one of 1, 2" in opened.root.locator(".segcore-notice").inner_text()
    opened.assert_quiet()


def test_the_bill_follows_its_sliders(open_widget: Any):
    opened = open_widget(ConvolutionalizationWidget())
    unfold(opened)
    assert opened.root.locator(".cost tbody tr").count() == 6
    summary = opened.root.locator(".summary")
    assert "28 \u00d7 28" in summary.inner_text() and "19.5 times fewer" in summary.inner_text()
    opened.page.get_by_label("Convolutions", exact=True).fill("1")
    settle(opened)
    assert opened.get("cost") == [512, 1, 2]  # the stride must follow
    assert opened.root.locator(".cost tbody tr").count() == 3
    opened.page.get_by_label("Convolutions", exact=True).fill("8")
    settle(opened)  # only now the stride may be larger: its slider's end follows with the next frame
    opened.page.get_by_label("Stride, pixels").fill("4")
    opened.page.get_by_label("Side of the image, pixels").fill("64")
    settle(opened)
    assert opened.get("cost") == [64, 8, 16]
    assert "larger than the image" in summary.inner_text()
    opened.set("cost", [1024, 6, 1])
    opened.set("window", [0, 0])
    settle(opened)
    assert opened.page.get_by_label("Side of the image, pixels").input_value() == "1024"
    assert opened.page.get_by_label("Row of the map").input_value() == "1", "people count from 1"
    opened.assert_quiet()


def test_accessible_with_padding(open_widget: Any):
    assert_accessible(open_widget(ConvolutionalizationWidget(padding=True)))


def test_phone_touch_and_theme(open_widget: Any):
    opened = open_widget(ConvolutionalizationWidget(), **PHONE)
    opened.root.locator("canvas.map").tap(position={"x": 20, "y": 20})
    settle(opened)
    assert opened.get("window")[0] < 3
    opened.assert_quiet()  # reading pixels back, below, makes Chromium complain
    pixel = """(root) => Array.from(root.querySelector("canvas.map").getContext("2d")
        .getImageData(150, 150, 1, 1).data)"""
    light = opened.root.evaluate(pixel)
    opened.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    settle(opened)
    assert opened.root.evaluate(pixel) == light, "a cell's colour means the same by day and by night"
    rim = pixel.replace("150, 150", "1, 1")
    assert opened.root.evaluate(rim)[3] < 255, "beyond the cells the page shows through"


# The window runs to and fro, one step in each frame, padding on: the time of each drawing, in milliseconds.
DRAG = """async (root) => {
  const figure = root.querySelector(".convolutionalization");
  figure.querySelector("details").open = true;
  const slider = figure.querySelectorAll("input[type=range]")[1];
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  figure.frames.length = 0;
  for (let step = 1; step <= 120; step++) {
    slider.value = 1 + Math.abs((step % 52) - 26);
    slider.dispatchEvent(new Event("input"));
    await frame();
  }
  return figure.frames.slice();
}"""


def test_dragging_leaves_room_for_sixty_frames_a_second(open_widget: Any):
    opened = open_widget(ConvolutionalizationWidget(padding=True), reduced_motion="no-preference")
    measure_frames(opened, DRAG).assert_smooth()


def test_the_key_says_how_far_the_neighbour_is(open_widget: Any):
    """By itself it is two cells away, not the next one."""
    opened = open_widget(ConvolutionalizationWidget())
    words = opened.root.locator(".segcore-key").first
    assert "2 cells further" in words.inner_text()
    opened.set("neighbour", 1)
    settle(opened)
    assert "1 cell further" in words.inner_text()
