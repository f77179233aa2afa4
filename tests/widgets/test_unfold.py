"""A pixel unfolds: what looks at what, how each number came about, and the three levels in use."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets
from torch import nn

from segcore.deeplab import deeplab_for_scenes
from segcore.encoder_decoders import UNet
from segcore.receptive_fields import input_region, receptive_field
from segcore.skips import FCN8s
from segcore.widgets import export_network, import_network
from segcore.widgets.export import edited
from segcore.widgets.networks import SIZE, NetworksWidget

from .kit import PHONE, assert_accessible, settle
from .test_networks import answered, everything, unsettled

# ---- What looks at what ----------------------------------------------------------------------------------


FIELDS = "(root, [d, asked]) => asked.map(([n, at]) => root.segcore.module.fieldsOf(d, n, at)[0])"
COURSE = pytest.mark.parametrize(
    "network",
    [FCN8s(3, 4, width=2), UNet(3, 4, width=2, depth=3), deeplab_for_scenes()],
    ids=["FCN-8s", "U-Net", "DeepLabv3+"],
)


def places(shape: list[int]) -> set[tuple[int, int]]:
    """A corner, two edges and the inside of a map."""
    _, height, width = shape
    return {(0, 0), (width - 1, height // 2), (width // 2, height // 3), (width // 3, height - 1)}


@COURSE
def test_fields_are_those_of_the_library(shared_widget: Any, network: nn.Module):
    """For every layer that both know by name, up to the first up-sampling."""
    opened = shared_widget(NetworksWidget)
    described = export_network(network.eval(), torch.rand(1, 3, SIZE, SIZE))
    fields = receptive_field(network, (3, SIZE, SIZE))
    asked, wanted = [], []
    for number, step in enumerate(described["steps"], 1):
        if step["op"] in ("pad", "transposed", "resize", "average"):
            break
        for x, y in places(step["shape"]) if step["name"] in fields.names else ():
            left, top, right, bottom = input_region(fields[step["name"]], (x, y, x + 1, y + 1))
            asked.append([number, [x, y]])
            wanted.append([max(0, left), max(0, top), min(SIZE, right) - 1, min(SIZE, bottom) - 1])
    assert len(asked) > 30
    assert opened.root.evaluate(FIELDS, [described, asked]) == wanted


@COURSE
def test_fields_are_where_a_gradient_arrives(
    shared_widget: Any, network: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    """Weights above zero and means in place of maxima: then no path can cancel another."""
    opened = shared_widget(NetworksWidget)

    def mean(x: Any, kernel: Any, stride: Any, around: Any, *_: Any) -> Any:
        pooled = F.avg_pool2d(x, kernel, stride, around, ceil_mode=True)
        return pooled, torch.zeros_like(pooled)

    described = export_network(network.eval(), torch.rand(1, 3, SIZE, SIZE))
    read = import_network(described)
    for name, values in read.named_buffers():
        values.copy_(values.abs() + 1e-3 if name.startswith("weight") else torch.ones_like(values))
    monkeypatch.setattr("segcore.widgets.export.F.max_pool2d", mean)
    number = described["outputs"]["output"]
    asked = [[number, list(at)] for at in ((0, 0), (95, 40), (33, 95), (50, 47))]
    wanted = []
    for _, (x, y) in asked:
        image = torch.rand(1, 3, SIZE, SIZE, requires_grad=True)
        (slope,) = torch.autograd.grad(read(image)[0, 0, y, x], image)
        rows, columns = (slope[0].abs().sum((0, axis)).nonzero().flatten().tolist() for axis in (2, 1))
        wanted.append([columns[0], rows[0], columns[-1], rows[-1]])
    assert opened.root.evaluate(FIELDS, [described, asked]) == wanted


# ---- How a number came about -----------------------------------------------------------------------------

MADE = """(root, [described, image, edits, asked]) => {
  const { networkOf, insideOf } = root.segcore.module;
  const network = networkOf(described, false, edits);
  network.run(Float32Array.from(image));
  return asked.map((each) => {
    const { values, made } = insideOf(network, each);
    return { ...made, map: Array.from(values).filter((_, n) => n % 7 === 0) };
  });
}"""


def flat(rows: list[list[Any]]) -> list[Any]:
    return [value for row in rows for value in row]


def all_maps(described: dict[str, Any], image: torch.Tensor) -> list[torch.Tensor]:
    """Each step's map, from torch."""
    count = len(described["steps"])
    named = {**described, "outputs": {f"{n}": n for n in range(count + 1)}}
    found = import_network(named)(image)
    return [found[f"{n}"][0] for n in range(count + 1)]


def test_every_number_is_torchs_and_the_sum_of_what_is_shown(shared_widget: Any):
    """Networks with every kind of step, some of them edited; numbers of every step, at random places."""
    opened = shared_widget(NetworksWidget)
    dice = random.Random(0)
    for network, size in everything(0):
        image = torch.rand(1, 3, *size)
        described = export_network(unsettled(network, 0), image, "int8")
        joins = [s["name"] for s in described["steps"] if s["op"] in ("add", "concatenate")]
        unpooled = [s["name"] for s in described["steps"] if s["op"] == "unpool"]
        edits = {name: {"zero": [0]} for name in joins[:1]} | {n: {"op": "nearest"} for n in unpooled[:1]}
        changed = edited(described, edits)
        maps = all_maps(changed, image)
        asked = []
        for number, step in enumerate(changed["steps"], 1):
            channels, height, width = step["shape"]
            inputs = len(maps[step["from"][0]]) // step["groups"] if "weight" in step else 1
            for _ in range(2):
                unit = [dice.randrange(width), dice.randrange(height)]
                channel, given = dice.randrange(channels), dice.randrange(inputs)
                asked.append({"map": number, "channel": channel, "unit": unit, "input": given})
        found = opened.root.evaluate(MADE, [described, image.flatten().tolist(), edits, asked])
        for each, made in zip(asked, found, strict=True):
            step, (x, y) = changed["steps"][each["map"] - 1], each["unit"]
            plane = maps[each["map"]][each["channel"]]
            near = pytest.approx(float(plane[y, x]), rel=1e-4, abs=1e-4)
            assert made["value"] == near
            torch.testing.assert_close(
                torch.tensor(made["map"], dtype=torch.float32), plane.flatten()[::7], rtol=1e-3, atol=1e-4
            )
            if "weights" in made:
                total = sum(made["sums"]) + made["bias"]
                assert (max(0, total) if step.get("relu") else total) == near
                pairs = zip(flat(made["values"]), flat(made["weights"]), strict=True)
                shown = sum((value or 0) * weight for value, weight in pairs)
                assert shown == pytest.approx(made["sums"][each["input"]], rel=1e-4, abs=1e-4)
            elif "values" in made:
                assert max(v for v in flat(made["values"]) if v is not None) == near


def test_a_window_is_what_torch_reads(shared_widget: Any):
    """The values and weights of a convolution's window, one by one, with padding where there is none."""
    opened = shared_widget(NetworksWidget)
    torch.manual_seed(3)
    network = nn.Conv2d(3, 2, 3, padding=2, dilation=2).eval()
    image = torch.rand(1, 3, 9, 9)
    described = export_network(network, image, "float32")
    asked = {"map": 1, "channel": 1, "unit": [1, 4], "input": 2}
    (made,) = opened.root.evaluate(MADE, [described, image.flatten().tolist(), {}, [asked]])
    assert made["weights"] == [pytest.approx(row, abs=1e-6) for row in network.weight[1, 2].tolist()]
    for row, y in zip(made["values"], (2, 4, 6), strict=True):
        assert row[0] is None, "left of the image"
        assert row[1:] == pytest.approx([float(image[0, 2, y, 1]), float(image[0, 2, y, 3])])
    assert made["bias"] == pytest.approx(network.bias[1].item(), abs=1e-6)


# ---- In use ----------------------------------------------------------------------------------------------


def numbers(opened: Any) -> list[list[str]]:
    return opened.root.evaluate(
        """root => [...root.querySelectorAll('.unfold table')].map((table) =>
             [...table.querySelectorAll('td')].map((cell) => cell.textContent))"""
    )


def until(opened: Any, script: str) -> None:
    opened.page.wait_for_function(f"() => {script}")


def test_three_levels_by_mouse_and_back_by_escape(open_widget: Any):
    opened = open_widget(NetworksWidget())
    answered(opened)
    page = opened.page
    canvas = opened.root.locator(".net canvas").nth(3)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    unit = box["width"] / SIZE
    canvas.click(position={"x": 30.5 * unit, "y": 50.5 * unit})
    assert opened.get("pixel") == [3, 30, 50]
    words = opened.root.locator(".unfold .seen")
    until(opened, "document.querySelector('.unfold .seen')?.textContent.includes('It looks at')")
    assert words.inner_text().startswith("Scores of this pixel: background")
    layer = page.get_by_label("Layer on the way")
    layer.select_option(label="decoder.2.0: 3 × 3 convolution")
    until(opened, "document.querySelector('.unfold .about')?.textContent.includes('then ReLU')")
    page.get_by_role("slider", name="Channel", exact=True).fill("4")
    assert opened.get("pixel") == [3, 30, 50, 25, 3]
    inner = opened.root.locator(".unfold .layer canvas")
    until(opened, "document.querySelector('.unfold .layer canvas').width > 100")
    inner.scroll_into_view_if_needed()
    step = inner.bounding_box()["width"] / SIZE
    inner.click(position={"x": 31.5 * step, "y": 50.5 * step})
    assert opened.get("pixel")[:7] == [3, 30, 50, 25, 3, 31, 50]
    settle(opened)
    page.get_by_role("slider", name="Input channel").fill("11")
    settle(opened)
    described = opened.get("data")["networks"]["unet"]
    shown = opened.root.evaluate(
        """root => { const { module, model } = root.segcore, { worlds } = model.get('data');
             return Array.from(module.sceneOf(worlds[0], 96, 96).image); }"""
    )
    image = torch.tensor(shown).view(1, 3, SIZE, SIZE)
    maps = all_maps(described, image)
    window = maps[24][10, 49:52, 30:33].flatten().tolist()
    text = [f"{value:.2f}".replace("-", "−") for value in window]
    assert numbers(opened)[0] == [each.replace("−0.00", "0.00") for each in text]
    said = opened.root.locator(".unfold .sum").inner_text()
    assert said.endswith(f"{float(maps[25][3, 50, 31]):.2f}.".replace("-", "−"))
    for left in ([3, 30, 50, 25, 3], [3, 30, 50], []):
        page.keyboard.press("Escape")
        assert opened.get("pixel") == left
    assert canvas.evaluate("node => node === document.activeElement"), "the focus is where it all began"
    opened.assert_quiet()


def test_by_keyboard_and_with_the_scene_moving(open_widget: Any):
    opened = open_widget(NetworksWidget())
    answered(opened)
    page = opened.page
    opened.root.locator(".net canvas").nth(2).focus()
    for key in ("Enter", "ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    assert opened.get("pixel") == [2, 49, 43]
    opened.set("pixel", [2, 49, 43, 7, 0])
    until(opened, "document.querySelector('.unfold .layer canvas').width > 100")
    opened.root.locator(".unfold .layer canvas").focus()
    page.keyboard.press("Enter")
    until(opened, "document.querySelectorAll('.unfold table').length === 3")
    page.keyboard.press("ArrowDown")
    before = opened.get("pixel")
    assert len(before) == 8
    page.keyboard.press("Escape")
    opened.set("pixel", before)
    until(opened, "document.querySelectorAll('.unfold table').length === 3")
    until(opened, "document.querySelector('.unfold .sum').textContent.length > 9")
    first = opened.root.locator(".unfold .sum").text_content()
    page.get_by_role("radio", name="2", exact=True).check()
    page.wait_for_function("(old) => document.querySelector('.unfold .sum').textContent !== old", arg=first)
    assert opened.get("pixel") == before, "the same number, of another scene"
    opened.assert_quiet()


@pytest.mark.parametrize("pixel", [[2, 48, 60], [3, 30, 50, 14, 40, 8, 9, 0], [2, 48, 60, 11, 7, 1, 1, 79]])
def test_unfolded_it_is_accessible_and_fits_a_phone(open_widget: Any, pixel: list[int]):
    opened = open_widget(NetworksWidget(pixel=pixel), **PHONE)
    answered(opened)
    until(opened, "document.querySelector('.unfold .seen')?.textContent.includes('It looks at')")
    if len(pixel) == 8:
        until(opened, "document.querySelector('.unfold .sum')?.textContent.length > 9")
    for width in (320, 390):
        opened.assert_no_sideways_scroll(width)
    assert_accessible(opened)
    opened.assert_quiet()


@pytest.mark.parametrize(
    "pixel",
    [
        [4, 0, 0],
        [0, 96, 0],
        [0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 16, 0],
        [0, 1, 1, 7, 80],
        [0, 1, 1, 7, 0, 12, 0, 0],
    ],
)
def test_what_is_not_there_is_refused_by_python_and_page(open_widget: Any, pixel: list[int]):
    with pytest.raises(traitlets.TraitError, match="pixel must be empty or"):
        NetworksWidget(pixel=pixel)
    text = ",".join(map(str, pixel))
    opened = open_widget(NetworksWidget(), fragment=f"#networks:pixel={text}")
    assert opened.get("pixel") == []
    assert "pixel must be empty, or" in opened.page.locator("main").inner_text()


def test_weights_that_do_not_fit_are_said(open_widget: Any):
    widget = NetworksWidget()
    broken = {**widget.data["networks"]["unet"], "weights": widget.data["networks"]["unet"]["weights"][:4000]}
    networks = {**widget.data["networks"], "unet": broken}
    widget.set_trait("data", {**widget.data, "networks": networks})
    opened = open_widget(widget)
    until(opened, "document.querySelector('.segcore-notice').textContent.includes('do not belong')")
    opened.assert_quiet()
