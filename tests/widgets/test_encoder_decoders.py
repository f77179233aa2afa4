"""The widget of the up-sampling architectures: its arithmetic against the modules, and the figure at work."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch
import traitlets
from torch.utils.flop_counter import FlopCounterMode

from segcore.encoder_decoders import DeconvNet, UNet, _mirrored
from segcore.widgets.encoder_decoders import NETWORKS, EncoderDecoderWidget

from .kit import PHONE, assert_accessible, first_form_height, settle, tab_to, unfold

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = EncoderDecoderWidget()
    assert len(str(widget.public_state())) < 60_000
    assert widget.to_html() == EncoderDecoderWidget().to_html()
    trained = widget.trained
    assert set(trained["networks"]) == set(NETWORKS)
    assert all(0 < network["score"] < 1 for network in trained["networks"].values())


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("size", 15, "from 16 to 640"),
        ("size", 641, "from 16 to 640"),
        ("width", 3, "from 4 to 64"),
        ("depth", 0, "from 1 to 5"),
        ("depth", 6, "from 1 to 5"),
        ("architecture", "vnet", "fcn32"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = EncoderDecoderWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


# ---- Arithmetic in the browser ---------------------------------------------------------------------------

SETTINGS = [
    ("fcn32", 64, 16, 4),
    ("fcn32", 33, 4, 1),
    ("fcn32", 224, 64, 5),
    ("fcn8", 64, 16, 4),
    ("fcn8", 100, 8, 2),
    ("fcn8", 57, 12, 2),
    ("unet", 64, 16, 4),
    ("unet", 572, 64, 4),
    ("unet", 61, 20, 5),
    ("unet", 101, 8, 1),
    ("unet", 16, 4, 5),
    ("unet_valid", 572, 64, 4),
    ("unet_valid", 252, 16, 4),
    ("unet_valid", 40, 8, 1),
    ("unet_valid", 444, 4, 5),
    ("deconvnet", 64, 16, 4),
    ("deconvnet", 224, 64, 5),
    ("deconvnet", 300, 8, 4),
    ("deconvnet", 45, 4, 2),
    ("deconvnet", 16, 4, 5),
    ("segnet", 64, 16, 4),
    ("segnet", 224, 64, 5),
    ("segnet", 77, 12, 3),
    ("segnet", 17, 4, 5),
]


def real(kind: str, size: int, width: int, depth: int) -> dict[str, int]:
    """Output, parameters that learn, and multiply-adds of the module."""
    with torch.device("cpu" if kind.startswith("fcn") else "meta"):  # meta computes shapes alone
        network = EncoderDecoderWidget(architecture=kind, size=size, width=width, depth=depth).network()
        image = torch.empty(1, 3, size, size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        output = network.eval()(image)
    assert output.shape[:2] == (1, 4) and output.shape[2] == output.shape[3]
    return {
        "output": output.shape[2],
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "cost": counter.get_total_flops() // 2,
    }


def described(opened: Any, settings: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """What the browser says of each."""
    return opened.root.evaluate(
        """(root, all) => all.map(([kind, size, width, depth]) =>
            root.segcore.module.describe(kind, { size, width, depth }))""",
        settings,
    )


def test_shapes_parameters_and_multiply_adds_are_those_of_the_modules(shared_widget: Any, monkeypatch: Any):
    unpool = "segcore.encoder_decoders.max_unpool2d"  # it looks at the indices, and meta has none
    monkeypatch.setattr(unpool, lambda x, i, k, output_size: x.new_empty(*x.shape[:2], *output_size))
    opened = shared_widget(EncoderDecoderWidget)
    for settings, network in zip(SETTINGS, described(opened, SETTINGS), strict=True):
        assert {name: network[name] for name in ("output", "parameters", "cost")} == real(*settings), settings
    assert described(opened, [("unet_valid", 572, 64, 4)])[0]["output"] == 388


def test_blocks_have_the_shapes_of_the_modules(shared_widget: Any):
    opened = shared_widget(EncoderDecoderWidget)
    for kind in ("unet", "unet_valid"):
        size = 252 if kind == "unet_valid" else 50
        network = EncoderDecoderWidget(architecture=kind, width=4, size=size).network().eval()
        shapes = {}

        def keep(module: Any, inputs: Any, output: Any, shapes: Any = shapes) -> None:
            shapes[module] = tuple(output.shape[1:3]), tuple(inputs[0].shape[1:3])

        for module in [*network.encoder, *network.decoder]:
            module.register_forward_hook(keep)
        with torch.no_grad():
            network(torch.zeros(1, 3, size, size))
        told = {each["id"]: each for each in described(opened, [(kind, size, 4, 4)])[0]["blocks"]}
        ids = ["enc0", "enc1", "enc2", "enc3", "bottom", "dec3", "dec2", "dec1", "dec0"]
        for name, module in zip(ids, [*network.encoder, *network.decoder], strict=True):
            assert (told[name]["channels"], told[name]["size"]) == shapes[module][0]
        for level in range(4):
            join = told[f"join{level}"]
            assert (join["channels"], join["size"]) == shapes[network.decoder[3 - level]][1]


def test_legal_sizes_are_those_that_the_module_takes(shared_widget: Any):
    opened = shared_widget(EncoderDecoderWidget)
    problems = opened.root.evaluate(
        """(root) => [1, 2, 3].flatMap((depth) => Array.from({ length: 150 }, (_, n) =>
            [depth, 16 + n, root.segcore.module.sizeProblem("unet_valid", { size: 16 + n, depth })]))"""
    )
    networks = {depth: UNet(3, 4, 4, depth, padding="valid").to("meta").eval() for depth in (1, 2, 3)}
    for depth, size, problem in problems:
        try:
            networks[depth](torch.empty(1, 3, size, size, device="meta"))
            legal = True
        except ValueError as error:
            legal = False
            assert all(str(better) in str(error) for better in problem["sizes"])
        assert legal == (problem is None), (depth, size)
    assert opened.call("sizeProblem", "unet_valid", {"size": 570, "depth": 4})["sizes"] == [556, 572]
    assert [opened.call("coveringSize", size, 4) for size in (64, 388, 389)] == [252, 572, 588]
    least = opened.call("sizeProblem", "fcn8", {"size": 31, "depth": 4})
    assert least["sizes"] == [32] and opened.call("sizeProblem", "fcn8", {"size": 32, "depth": 4}) is None


def test_mirroring_is_overlap_tiles(shared_widget: Any):
    opened = shared_widget(EncoderDecoderWidget)
    for size in (1, 2, 7):
        told = [opened.call("mirroredIndex", index, size) for index in range(-20, 20)]
        assert told == _mirrored(torch.arange(-20, 20), size).tolist()


def test_numbers_for_people(shared_widget: Any):
    opened = shared_widget(EncoderDecoderWidget)
    texts = {
        0: "0",
        9999: "9,999",
        99_999: "99,999",
        123_456: "123 k",
        999_499: "999 k",
        999_500: "1.00 M",
        31_043_716: "31.0 M",
    }
    for number, text in texts.items():
        assert opened.call("short", number).replace("\u202f", " ") == text


def test_a_full_kernel_needs_a_large_image():
    """DeconvNet's fc6 is as large as the map, up to the paper's 7."""
    kernels = [
        EncoderDecoderWidget(architecture="deconvnet", size=size, width=4, depth=5).network().kernel
        for size in (16, 64, 224, 640)
    ]
    assert kernels == [1, 2, 7, 7]
    assert isinstance(EncoderDecoderWidget(architecture="deconvnet", width=4).network(), DeconvNet)


# ---- The figure ------------------------------------------------------------------------------------------


def press(opened: Any, name: str) -> None:
    unfold(opened)
    opened.page.get_by_role("button", name=name, exact=True).click()
    settle(opened)


def fact(opened: Any, name: str) -> str:
    value = opened.root.locator(".facts div", has_text=name).locator("dd")
    return value.inner_text().replace("\u202f", " ")


def text(opened: Any, selector: str) -> str:
    return opened.root.locator(selector).first.inner_text().replace("\u202f", " ")


def blocks(opened: Any) -> list[str]:
    """The blocks in the order in which they are read."""
    script = "(root) => Array.from(root.querySelectorAll('.block'), (each) => each.dataset.id)"
    return opened.root.evaluate(script)


def test_each_network_is_shown_with_its_numbers_and_joins(open_widget: Any):
    opened = open_widget(EncoderDecoderWidget())
    joins = {"fcn32": 0, "fcn8": 2, "unet": 4, "unet_valid": 4, "deconvnet": 4, "segnet": 4}
    for kind, name in NETWORKS.items():
        press(opened, name)
        assert opened.get("architecture") == kind
        size = 252 if kind == "unet_valid" else 64
        assert opened.get("size") == size
        network = described(opened, [(kind, size, 16, 4)])[0]
        assert fact(opened, "Parameters").replace(",", "") == str(network["parameters"])
        assert fact(opened, "Output") == f"4 × {network['output']} × {network['output']}"
        assert blocks(opened) == [each["id"] for each in network["blocks"]]
        assert sum(each.startswith("join") for each in blocks(opened)) == joins[kind]
        skips = opened.root.locator(".diagram .arrow.concat, .diagram .arrow.sum, .diagram .arrow.switches")
        assert skips.count() == joins[kind]
        pressed = opened.root.locator(".segcore-trials [aria-pressed=true]")
        assert pressed.all_inner_texts() == [name]
    rows = opened.root.locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == list(NETWORKS.values())
    scores = EncoderDecoderWidget().trained["networks"]
    assert [row.split("\t")[-1] for row in rows] == [f"{each['score']:.2f}" for each in scores.values()]
    opened.assert_quiet()


def test_sliders_change_the_numbers(open_widget: Any):
    opened = open_widget(EncoderDecoderWidget())
    unfold(opened)
    page = opened.page
    page.get_by_role("slider", name="Width").fill("64")
    page.get_by_role("slider", name="Depth").fill("3")
    page.get_by_role("slider", name="Input size").fill("100")
    settle(opened)
    network = described(opened, [("unet", 100, 64, 3)])[0]
    assert fact(opened, "Parameters").replace(",", "") == str(network["parameters"])
    assert fact(opened, "Output") == "4 × 100 × 100"
    assert "bottom" in blocks(opened) and "enc3" not in blocks(opened)
    assert "Maps are stored for depth 4" in text(opened, ".pictures")
    press(opened, "As trained here")
    assert [opened.get(name) for name in ("size", "width", "depth")] == [64, 16, 4]
    press(opened, "U-Net, valid")
    press(opened, "As large as published")
    assert [opened.get(name) for name in ("size", "width", "depth")] == [572, 64, 4]
    assert fact(opened, "Output") == "4 × 388 × 388" and fact(opened, "Parameters") == "31,043,716"
    assert "Reads 572, predicts 388: 92 pixels less" in text(opened, ".note")
    press(opened, "FCN-8s")
    assert page.get_by_role("slider", name="Depth").is_disabled()
    opened.assert_quiet()


def test_a_size_that_does_not_fit_is_said_and_mended(open_widget: Any):
    opened = open_widget(EncoderDecoderWidget(architecture="unet_valid", size=570))
    assert "570 does not halve evenly 4 times" in text(opened, ".segcore-first .problem")
    assert fact(opened, "Output") == "–"
    labels = opened.root.locator(".block .label").all_text_contents()
    assert "?²" in "".join(labels) and any("566²" in label for label in labels)
    assert opened.root.locator(".block.odd").count() == 1
    press(opened, "Use 556")
    assert opened.get("size") == 556 and fact(opened, "Output") == "4 × 372 × 372"
    opened.set("size", 100)
    settle(opened)
    assert "188 pixels at least" in text(opened, ".problem")
    press(opened, "U-Net")
    assert text(opened, ".problem") == "" and fact(opened, "Output") == "4 × 100 × 100"
    press(opened, "U-Net, valid")
    assert opened.get("size") == 284, "it reads what it needs to predict 100 pixels"
    press(opened, "SegNet")
    assert opened.get("size") == 100
    opened.assert_quiet()


def test_hovering_shows_a_block_and_clicking_keeps_it(open_widget: Any):
    opened = open_widget(EncoderDecoderWidget())
    opened.page.wait_for_selector(".pictures img")
    assert text(opened, ".panel h4") == "Decoder 1" and text(opened, ".shape") == "16 × 64 × 64"
    opened.root.locator("[data-id=join2] .ring").hover()
    settle(opened)
    assert text(opened, ".panel h4") == "Concatenate, level 3" and "32,832 parameters" in text(
        opened, ".sums"
    )
    assert opened.root.locator(".pictures figcaption").all_inner_texts() == ["from the encoder", "from below"]
    assert opened.get("block") == "dec0", "hovering does not choose"
    opened.root.locator("[data-id=bottom] .ring").click()
    settle(opened)
    assert opened.get("block") == "bottom"
    opened.page.mouse.move(5, 5)
    settle(opened)
    assert text(opened, ".panel h4") == "Bottom" and text(opened, ".shape") == "256 × 4 × 4"
    rows = opened.root.locator(".layers li").all_inner_texts()
    assert [row.split("\n")[-1].replace(",", "") for row in rows] == ["295680", "590592"]
    opened.root.locator("[data-id=out] .ring").click()
    settle(opened)
    assert opened.root.locator(".pictures figcaption").all_inner_texts() == ["prediction", "truth"]
    press(opened, "FCN-32s")
    assert text(opened, ".panel h4") == "Prediction"
    opened.set("block", "dec2")
    settle(opened)
    assert text(opened, ".panel h4") == "Prediction", "a network without that block shows the next"
    opened.assert_quiet()


def test_pictures_are_the_stored_ones(open_widget: Any):
    """Prediction and truth in the class colours, pixel by pixel, with the stored score of the scene."""
    import base64
    import io

    import numpy as np
    from PIL import Image

    from segcore.viz import class_colors

    opened = open_widget(EncoderDecoderWidget(block="out"))
    opened.page.wait_for_selector(".pictures img")
    drawn = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))
        for url in opened.root.evaluate(
            "(root) => Array.from(root.querySelectorAll('.pictures img'), (i) => i.src)"
        )
    ]
    trained = EncoderDecoderWidget().trained
    atlas, truth = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(trained[name])))) for name in ("atlas", "truth")
    )
    x, y, w, h = trained["networks"]["unet"]["blocks"]["out"][0]["at"]
    colours = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in class_colors(4)])
    assert np.array_equal(drawn[0], colours[atlas[y : y + h, x : x + w] // 17])
    assert np.array_equal(drawn[1], colours[truth // 17])
    assert (drawn[0] == drawn[1]).all(-1).mean() > 0.9

    settings = [(kind, 252 if kind == "unet_valid" else 64, 16, 4) for kind in NETWORKS]
    for (kind, *_), network in zip(settings, described(opened, settings), strict=True):
        stored = trained["networks"][kind]["blocks"]
        sizes = {each["id"]: each["size"] for each in network["blocks"]} | {"out": 64}
        assert stored.keys() <= sizes.keys()
        for name, pictures in stored.items():
            assert all(each["at"][2] == -(-sizes[name] // each["step"]) for each in pictures), (kind, name)


def test_the_stored_scene_is_the_one_named(open_widget: Any):
    import base64
    import io

    import numpy as np
    from PIL import Image

    from segcore.data.scenes import make_scenes

    scene = make_scenes(1, 64, seed=1)
    stored = np.asarray(Image.open(io.BytesIO(base64.b64decode(EncoderDecoderWidget().trained["image"]))))
    assert np.array_equal(stored, (scene.image[0] * 255).round().byte().permute(1, 2, 0).numpy())


def test_keyboard_alone(open_widget: Any):
    opened = open_widget(EncoderDecoderWidget())
    keyboard = opened.page.keyboard

    tab_to(opened, ".segcore-trials button")
    tab_to(opened, ".block")
    assert opened.page.evaluate("document.activeElement.dataset.id") == "dec0"
    for key, block in [
        ("ArrowLeft", "join0"),
        ("ArrowUp", "enc0"),
        ("ArrowRight", "enc1"),
        ("Home", "image"),
    ]:
        keyboard.press(key)
        assert opened.get("block") == block
        assert opened.page.evaluate("document.activeElement.dataset.id") == block
    keyboard.press("End")
    keyboard.press("ArrowRight")
    assert opened.get("block") == "out"
    opened.page.wait_for_timeout(700)
    assert (
        "U-Net: Prediction, 4 channels of 64 by 64" in opened.root.locator("[aria-live=polite]").inner_text()
    )
    assert opened.root.locator("[role=radio][aria-checked=true]").count() == 1
    unfold(opened)
    tab_to(opened, "input[type=range]")
    keyboard.press("ArrowRight")
    assert opened.get("size") == 68
    opened.assert_quiet()


def test_the_focus_stays_while_blocks_are_laid_anew(open_widget: Any):
    """As when the pictures come, or the settings change: no block leaves the page that a reader stands on."""
    opened = open_widget(EncoderDecoderWidget())
    opened.root.locator("[data-id=enc1]").focus()
    opened.set("width", 20)
    settle(opened)
    assert opened.page.evaluate("document.activeElement.dataset.id") == "enc1"


def test_touch_and_phone(open_widget: Any):
    opened = open_widget(EncoderDecoderWidget(), **PHONE)
    for name in NETWORKS.values():
        opened.page.get_by_role("button", name=name, exact=True).tap()
        settle(opened)
        inside = opened.root.evaluate(
            """(root) => Array.from(root.querySelectorAll(".block .ring"))
                .map((ring) => ring.getBoundingClientRect())
                .every((box) => box.left >= 0 && box.right <= innerWidth)"""
        )
        assert inside, name
    opened.root.locator("[data-id=enc2] .ring").tap()
    settle(opened)
    assert opened.get("block") == "enc2"
    opened.set("depth", 5)
    settle(opened)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.assert_quiet()


def test_what_is_said_of_each_network_is_so(open_widget: Any):
    """Notes against the modules and the stored results; pictures of other settings are said to be so."""
    opened = open_widget(EncoderDecoderWidget(), width=840)
    scores = EncoderDecoderWidget().trained["networks"]
    for kind, name in NETWORKS.items():
        opened.page.get_by_role("button", name=name, exact=True).click()
        settle(opened)
        said = text(opened, ".segcore-note")
        assert f"mean IoU {scores[kind]['score']:.2f}." in said
        assert first_form_height(opened) <= 700
        if kind == "unet_valid":
            assert "reads 252 pixels and predicts 68" in said
        if kind == "deconvnet":
            network = described(opened, [(kind, 64, 16, 4)])[0]
            most = max(network["blocks"], key=lambda each: each["parameters"])
            share = round(100 * most["parameters"] / network["parameters"])
            assert f"{most['name']} holds {share} %" in said and share > 30
    opened.page.set_viewport_size({"width": 390, "height": 844})
    settle(opened)
    for name in NETWORKS.values():
        opened.page.get_by_role("button", name=name, exact=True).click()
        settle(opened)
        assert first_form_height(opened) <= 900
    unfold(opened)
    assert "stay those" not in text(opened, ".note")
    opened.set("width", 32)
    settle(opened)
    assert "stay those of the networks trained here, of width 16" in text(opened, ".note")
    opened.assert_quiet()


def test_accessible_at_its_widest(open_widget: Any):
    assert_accessible(open_widget(EncoderDecoderWidget(architecture="unet_valid", size=570)))


def test_the_widget_follows_its_model(open_widget: Any):
    opened = open_widget(EncoderDecoderWidget())
    opened.set("architecture", "segnet")
    opened.set("width", 64)
    opened.set("depth", 5)
    opened.set("size", 224)
    settle(opened)
    assert fact(opened, "Parameters").startswith("29,4")
    opened.assert_quiet()


MORPH = """async (root) => {
  const figure = root.querySelector(".encoder_decoders");
  const place = () => root.querySelector("[data-id=enc1]").getAttribute("transform");
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  figure.frames.length = 0;
  const places = new Set([place()]);
  for (const kind of ["fcn8", "unet", "segnet", "fcn32"]) {
    root.segcore.model.set("architecture", kind);
    for (let n = 0; n < 36; n++) { await frame(); places.add(place()); }
  }
  const times = figure.frames.slice();
  figure.frames.length = 0;
  for (let n = 0; n < 60; n++) {
    root.segcore.model.set(n % 2 ? "width" : "size", n % 2 ? 4 + n : 64 + 4 * n);
    await frame();
  }
  return { times, places: places.size, dragged: figure.frames.slice() };
}"""


def test_switching_moves_smoothly_and_not_at_all_where_motion_is_unwanted(open_widget: Any):
    opened = open_widget(EncoderDecoderWidget(), reduced_motion="no-preference")
    opened.page.wait_for_selector(".pictures img")
    session = opened.page.context.new_cdp_session(opened.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(1000 * m["value"] for m in metrics if m["name"] == "ScriptDuration")

    before = busy()
    moved = opened.root.evaluate(MORPH)
    script = (busy() - before) / len(moved["times"] + moved["dragged"])
    medians = {name: round(statistics.median(moved[name]), 2) for name in ("times", "dragged")}
    print({"frames": len(moved["times"]), "script, ms per frame": round(script, 2)} | medians)
    assert script < 8, "of the processor's time; the clock's is printed, a busy machine stretches it"
    still = open_widget(EncoderDecoderWidget())
    still.page.wait_for_selector(".pictures img")
    jumps = still.root.evaluate(MORPH)["places"]
    assert jumps <= 5 < moved["places"], "it jumps; it moves"


KEY = """(root) => [...root.querySelectorAll(".legend .item")].filter((item) => item.checkVisibility())
  .map((item) => item.innerText.trim())"""
MARKS = """(root) => [...root.querySelectorAll(".block.join")].filter((node) => node.checkVisibility())
  .map((node) => [".glyph", ".dot"].map((part) => node.querySelector(part).getAttribute("d")))"""


@pytest.mark.parametrize(
    ("architecture", "skip", "filled"),
    [
        ("unet", "skip: maps, concatenated", True),
        ("fcn8", "skip: class scores, added", False),
        ("segnet", "skip: places of the maxima", True),
        ("fcn32", "", False),
    ],
)
def test_the_key_names_every_arrow_and_the_mark_where_a_skip_joins(
    open_widget: Any, architecture: str, skip: str, filled: bool
):
    """Arrows aside do not halve; and two touching maps are no pair of bars, which would say pause."""
    opened = open_widget(EncoderDecoderWidget(architecture=architecture))
    shown = opened.root.evaluate(KEY)
    assert {"pooling halves", "on to the next layers", "up-sampling"} <= set(shown)
    assert [each for each in shown if each.startswith("skip")] == [skip] * bool(skip)
    marks = opened.root.evaluate(MARKS)
    assert bool(marks) == bool(skip)
    key = opened.root.evaluate(
        """(root) => [...root.querySelectorAll(".legend .disc")].filter((node) => node.checkVisibility())
          .map(({ parentElement: mark }) => mark.querySelector(".dot").getAttribute("d") !== "")"""
    )
    assert key == [filled] * bool(skip)
    for lines, dot in marks:
        assert lines and bool(dot) == filled
