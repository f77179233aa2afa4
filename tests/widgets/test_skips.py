"""The skips widget: its arithmetic against PyTorch and `segcore`, and the figure under a reader's hand."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets

from segcore.data.scenes import CLASSES, make_scenes
from segcore.metrics import boundary_f1, confusion_matrix, mean_iou
from segcore.skips import UpScore
from segcore.widgets.skips import STRIDES, SkipsWidget

from .kit import assert_accessible, settle, tab_to

SUBSETS = [list(s) for k in range(1, 6) for s in itertools.combinations(STRIDES, k)]

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = SkipsWidget()
    assert len(json.dumps(widget.public_state())) < 60_000
    assert widget.to_html() == SkipsWidget().to_html()
    data = widget.data
    assert set(data["classifiers"]) == set(data["table"]) == {" ".join(map(str, s)) for s in SUBSETS}


def test_labels_are_those_of_the_scenes():
    """The held-out scenes can be rendered again; the page's labels are theirs, pixel by pixel."""
    from benchmarks.trainings.skips_widget import SHOWN, SIZE

    for n, number in enumerate(SHOWN):
        truth = make_scenes(1, SIZE, seed=72, start=number).labels[0]
        assert torch.equal(SkipsWidget(scene=n).labels, truth)
        assert truth.unique().tolist() == list(range(len(CLASSES)))


def test_more_layers_serve_the_edges():
    """What the chapter says of the stored table."""
    table = SkipsWidget().data["table"]
    fcn = SkipsWidget().data["fcn_table"]
    assert table["2 4 8 16 32"][0] > table["32"][0] + 0.15
    assert table["2 4 8 16 32"][1] > table["32"][1] + 0.3
    assert fcn["FCN32s"][0] + 0.15 < fcn["FCN16s"][0] < fcn["FCN8s"][0] - 0.05
    assert fcn["FCN32s"][1] < fcn["FCN16s"][1] < fcn["FCN8s"][1]


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("layers", [], "at least one stride"),
        ("layers", [3], "out of"),
        ("layers", [2, 2], "each once"),
        ("scene", 2, "from 0 to 1"),
        ("scene", -1, "from 0 to 1"),
        ("line", [0, 0, 97, 0], "from 0 to 96"),
        ("line", [0, 0, math.nan, 0], "from 0 to 96"),
        ("line", [0, 0, 9], "x1, y1, x2, y2"),
        ("line", ["a", 0, 0, 0], "numbers"),
        ("fcn", 4, "32"),
        ("view", "unet", "fcn"),
        ("maps", "big", "own"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = SkipsWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before
    widget.layers = [32, 2]
    assert widget.layers == [2, 32]


def test_own_up_sampling_is_that_of_the_net():
    """The widget's learned up-sampling is `UpScore` with the stored weights."""
    from segcore.widgets.skips import _halves

    widget = SkipsWidget(view="fcn", fcn=16)
    up = UpScore(4, 2)
    weights = _halves(widget.data["upscore"]["FCN16s.upscore2"]).float().reshape(up.weight.shape)
    assert (weights - up.weight).abs().max() > 1e-3, "it has learned"
    up.load_state_dict({"weight": weights})
    fr, pool4 = (
        _halves(widget.data["scenes"][0]["fcn"][f"FCN16s.{name}"]).float().reshape(1, 4, side, side)
        for name, side in (("score_fr", 3), ("score_pool4", 6))
    )
    wanted = F.interpolate(up(fr) + pool4, scale_factor=16, mode="bilinear").detach()[0]
    torch.testing.assert_close(widget.scores.float(), wanted, rtol=1e-5, atol=1e-4)


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def as_json(values: torch.Tensor) -> dict[str, Any]:
    channels, height, width = values.shape
    return {"data": values.flatten().tolist(), "channels": channels, "height": height, "width": width}


def call(opened: Any, function: str, *args: Any) -> torch.Tensor:
    """An exported function that returns a map or an array, as a flat float64 tensor."""
    script = """(root, [name, args]) => {
        const result = root.segcore.module[name](...args);
        return Array.from(result.data ?? result);
    }"""
    return torch.tensor(opened.root.evaluate(script, [function, list(args)]), dtype=torch.float64)


def test_arithmetic_equals_torch(shared_widget: Any):
    opened = shared_widget(SkipsWidget)
    generator = torch.Generator().manual_seed(7)
    for channels, height, width in [(1, 1, 1), (2, 3, 3), (4, 6, 5), (3, 48, 48)]:
        x = torch.randn(channels, height, width, generator=generator, dtype=torch.float64)
        size = (height * 4, width * 2)
        wanted = F.interpolate(x[None], size, mode="bilinear", align_corners=False).flatten()
        torch.testing.assert_close(
            call(opened, "resizeBilinear", as_json(x), *size), wanted, rtol=0, atol=1e-9
        )
        weights = torch.randn(channels, 4, generator=generator, dtype=torch.float64)
        wanted = torch.einsum("chw,ck->khw", x, weights).flatten()
        got = call(opened, "scoreMap", as_json(x), weights.flatten().tolist(), 4)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)
    for side in (1, 3, 6):
        up = UpScore(4, 2).double()
        with torch.no_grad():
            up.weight.copy_(torch.randn(up.weight.shape, generator=generator, dtype=torch.float64))
            x = torch.randn(4, side, side + 1, generator=generator, dtype=torch.float64)
            wanted = up(x[None]).flatten()
        got = call(opened, "upscore", as_json(x), up.weight.flatten().tolist())
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)
    opened.assert_quiet()


def test_metrics_equal_the_library(shared_widget: Any):
    opened = shared_widget(SkipsWidget)
    generator = torch.Generator().manual_seed(8)
    for coarse, classes in [(3, 4), (6, 4), (12, 2), (24, 3)]:
        maps = [
            F.interpolate(torch.rand(1, classes, coarse, coarse, generator=generator), 24).argmax(1)[0]
            for _ in range(2)
        ]
        flat = [each.flatten().tolist() for each in maps]
        got = opened.call("meanIou", *flat, 4)
        assert got == pytest.approx(mean_iou(confusion_matrix(*maps, 4)).item(), abs=1e-12)
        for tolerance in (0, 1, 2, 2.3):
            wanted = boundary_f1(*maps, tolerance, 4)
            got = torch.tensor(opened.call("boundaryF1", *flat, 24, tolerance, 4), dtype=torch.float64)
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12, equal_nan=True)


def test_every_subset_and_net_equals_torch(shared_widget: Any):
    """All 31 subsets and the three nets on both scenes; and scoring first or last gives the same."""
    opened = shared_widget(SkipsWidget)
    script = """(root, [kind, scene, what]) => {
        const { module, model } = root.segcore;
        const data = model.get("data");
        const { shares, bias } = module[kind](data, scene, what);
        const other = kind === "layerShares" ? module.upsampleThenScore(data, scene, what) : null;
        const sum = module.sumShares(shares, bias);
        const worst = other ? Math.max(...other.map((value, n) => Math.abs(value - sum[n]))) : 0;
        const some = Array.from({ length: 512 }, (_, n) => sum[n * 71]);
        return [some, Array.from(module.argmax(sum, 4)), worst];
    }"""
    places = torch.arange(512) * 71
    for scene in (0, 1):
        cases = [("layerShares", s, SkipsWidget(scene=scene, layers=s)) for s in SUBSETS]
        cases += [("fcnShares", n, SkipsWidget(scene=scene, view="fcn", fcn=n)) for n in (32, 16, 8)]
        for kind, what, widget in cases:
            some, labels, worst = opened.root.evaluate(script, [kind, scene, what])
            wanted = widget.scores
            got = torch.tensor(some, dtype=torch.float64)
            torch.testing.assert_close(got, wanted.flatten()[places], rtol=0, atol=1e-6)
            assert torch.equal(torch.tensor(labels), widget.prediction.flatten()), (kind, what)
            assert worst < 1e-9
    opened.assert_quiet()


def test_products_are_counted(shared_widget: Any):
    opened = shared_widget(SkipsWidget)
    # One layer, 10 channels, stride 4, 8 x 8 pixels, 3 classes: 2 x 2 cells.
    counted = opened.call("products", [10], [4], 8, 3)
    assert counted == {"scoreFirst": 4 * 10 * 3 + 4 * 64 * 3, "upsampleFirst": 4 * 64 * 10 + 64 * 10 * 3}


def test_profile_and_pair(shared_widget: Any):
    opened = shared_widget(SkipsWidget)
    labels = torch.zeros(8, 8, dtype=torch.int64)
    labels[:, 4:] = 2
    found = opened.call("labelsAlong", labels.flatten().tolist(), 8, [0, 4, 8, 4], 161)
    assert found["changes"] == [pytest.approx(4, abs=0.05)]
    assert opened.call("pairOf", found["labels"]) == [0, 2]
    assert opened.call("pairOf", [1, 0, 3, 1]) == [1, 0]
    assert opened.call("pairOf", [0, 0]) == [0, 1] and opened.call("pairOf", [3, 3]) == [3, 0]
    ramp = as_json(torch.arange(8.0).repeat(8, 1)[None])
    for x, value in [(0.5, 0), (4, 3.5), (7.5, 7), (8, 7), (0, 0)]:
        assert opened.call("valueAt", ramp, 0, x, 3.2) == pytest.approx(value)


# ---- The figure ------------------------------------------------------------------------------------------


def numbers(opened: Any) -> list[str]:
    settle(opened)
    return opened.root.locator(".number strong").all_inner_texts()


def test_numbers_on_the_page_are_those_of_the_library(open_widget: Any):
    opened = open_widget(SkipsWidget())
    for view, layers, fcn, scene in [
        ("hypercolumn", [32], 32, 0),
        ("hypercolumn", [2, 8, 32], 32, 1),
        ("fcn", [32], 8, 1),
    ]:
        widget = SkipsWidget(view=view, layers=layers, fcn=fcn, scene=scene)
        for name in ("view", "layers", "fcn", "scene"):
            opened.set(name, getattr(widget, name))
        shown = numbers(opened)
        prediction, truth = widget.prediction, widget.labels
        assert shown[0] == f"{mean_iou(confusion_matrix(prediction, truth, 4)).item():.2f}"
        assert shown[1] == f"{boundary_f1(prediction, truth, 2, 4).nanmean().item():.2f}"
        wrong = (prediction != truth).sum().item()
        assert opened.root.locator(".panel .caption").last.inner_text().startswith(f"{wrong} of 9216")
    opened.assert_quiet()


def test_layers_go_in_and_out(open_widget: Any):
    opened = open_widget(SkipsWidget())
    boxes = opened.root.locator(".layer-card input")
    boxes.nth(0).check()
    assert opened.get("layers") == [2, 32]
    boxes.nth(4).uncheck()
    assert opened.get("layers") == [2]
    boxes.nth(0).click()  # the last one stays
    assert opened.get("layers") == [2] and boxes.nth(0).is_checked()
    opened.page.get_by_role("button", name="All five").click()
    assert opened.get("layers") == [2, 4, 8, 16, 32]
    settle(opened)
    assert opened.root.locator('.layer-card[data-on="true"]').count() == 5
    opened.page.get_by_role("radio", name="Own cells").check()
    assert opened.get("maps") == "own"
    opened.page.get_by_role("button", name="FCN-8s").click()
    settle(opened)
    assert (opened.get("view"), opened.get("fcn")) == ("fcn", 8)
    assert opened.root.locator(".layer-card:visible").count() == 3
    opened.page.get_by_role("radio", name="32s").check()
    settle(opened)
    assert opened.root.locator('.layer-card[data-on="true"]').count() == 1
    opened.page.get_by_role("radio", name="2", exact=True).check()
    assert opened.get("scene") == 1 and opened.get("line") == opened.get("data")["scenes"][1]["line"]
    opened.assert_quiet()


def test_dots_of_the_cloud_choose_a_subset(open_widget: Any):
    opened = open_widget(SkipsWidget())
    canvas = opened.root.locator(".cloud")
    canvas.scroll_into_view_if_needed()
    settle(opened)
    chosen = set()
    frame = canvas.bounding_box()
    for share in (0.15, 0.5, 0.6, 0.7):
        for down in (0.12, 0.2, 0.28, 0.75):
            opened.page.mouse.click(frame["x"] + share * frame["width"], frame["y"] + down * frame["height"])
            chosen.add((opened.get("view"), opened.get("fcn"), tuple(opened.get("layers"))))
    assert len(chosen) > 2
    settle(opened)
    assert "Mean IoU and boundary F1 of all subsets" in canvas.get_attribute("aria-label")
    opened.assert_quiet()


def test_the_line_is_dragged_with_the_mouse(open_widget: Any):
    opened = open_widget(SkipsWidget(line=[10, 60, 58, 60]))
    plate = opened.root.locator(".panel .plate").first
    plate.scroll_into_view_if_needed()
    frame = plate.bounding_box()
    unit = frame["width"] / 96
    mouse = opened.page.mouse

    def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        mouse.move(frame["x"] + start[0] * unit, frame["y"] + start[1] * unit)
        mouse.down()
        mouse.move(frame["x"] + end[0] * unit, frame["y"] + end[1] * unit, steps=3)
        mouse.up()
        settle(opened)

    drag((58, 60), (70, 50))
    assert opened.get("line") == [10, 60, pytest.approx(70, abs=0.5), pytest.approx(50, abs=0.5)]
    drag((40, 55), (40, 30))  # the line itself: both ends move
    x1, y1, x2, y2 = opened.get("line")
    assert (x2 - x1, y2 - y1) == (pytest.approx(60, abs=1), pytest.approx(-10, abs=1))
    assert y1 == pytest.approx(35, abs=1)
    drag((40, y1 - 5), (40, -90))  # the image's border holds it
    assert min(opened.get("line")) == pytest.approx(0, abs=0.3)
    assert opened.get("line")[1] - opened.get("line")[3] == pytest.approx(10, abs=1)
    x1, y1, x2, y2 = opened.get("line")
    drag((x1, y1), (x2 - 1, y2))  # the ends never meet
    x1, y1, x2, y2 = opened.get("line")
    assert math.hypot(x2 - x1, y2 - y1) >= 8
    opened.assert_quiet()


def test_keyboard_alone(open_widget: Any):
    opened = open_widget(SkipsWidget())
    keyboard = opened.page.keyboard

    tab_to(opened, ".choices input")
    keyboard.press("ArrowRight")
    assert opened.get("view") == "fcn"
    keyboard.press("ArrowLeft")
    tab_to(opened, ".layer-card input")
    keyboard.press("Space")
    assert opened.get("layers") == [2, 32]
    before = opened.get("line")
    tab_to(opened, ".handle")
    keyboard.press("ArrowRight")
    keyboard.press("Shift+ArrowUp")
    assert opened.get("line") == [before[0] + 1, before[1] - 5, *before[2:]]
    keyboard.press("Tab")
    keyboard.press("ArrowDown")
    assert opened.get("line")[3] == before[3] + 1
    settle(opened)
    reading = opened.root.locator(".profile .reading").inner_text()
    assert reading.startswith("True edge at ")
    opened.page.wait_for_timeout(700)
    assert reading.startswith(opened.root.locator("[aria-live=polite].segcore-hidden").inner_text())
    opened.assert_quiet()


def test_touch_drags_the_line(open_widget: Any):
    opened = open_widget(SkipsWidget(), width=390, touch=True)
    plate = opened.root.locator(".panel .plate").first
    plate.scroll_into_view_if_needed()
    frame = plate.bounding_box()
    opened.page.touchscreen.tap(frame["x"] + 0.5 * frame["width"], frame["y"] + 0.2 * frame["height"])
    settle(opened)
    x1, y1, x2, y2 = opened.get("line")
    assert (x1 + x2) / 2 == pytest.approx(48, abs=1) and (y1 + y2) / 2 == pytest.approx(19, abs=1)
    opened.root.locator(".layer-card").nth(0).tap()
    assert opened.get("layers") == [2, 32]
    opened.assert_quiet()


def test_accessible_in_the_other_view(open_widget: Any):
    assert_accessible(open_widget(SkipsWidget(layers=[2, 8], view="fcn")))


def test_no_width_overflows(open_widget: Any):
    opened = open_widget(SkipsWidget(layers=list(STRIDES)))
    for width in (320, 390, 700, 1280):
        for view in ("fcn", "hypercolumn"):
            opened.set("view", view)
            opened.assert_no_sideways_scroll(width)
    opened.assert_quiet()


def test_frames_while_dragging(open_widget: Any):
    """What a frame of ours costs while the line is dragged, beside the 16.7 ms that a frame may take."""
    opened = open_widget(SkipsWidget(layers=list(STRIDES)), reduced_motion="no-preference")
    plate = opened.root.locator(".panel .plate").first
    plate.scroll_into_view_if_needed()
    frame = plate.bounding_box()
    mouse = opened.page.mouse
    mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    mouse.down()
    opened.root.evaluate("(root) => { root.querySelector('.skips').frames.length = 0; }")
    for n in range(90):
        share = 0.5 + 0.2 * math.sin(n / 9)
        mouse.move(frame["x"] + share * frame["width"], frame["y"] + (1 - share) * frame["height"])
    mouse.up()
    settle(opened)
    times = opened.root.evaluate("(root) => root.querySelector('.skips').frames")
    tail = statistics.quantiles(times, n=20)[-1]
    print(f"{len(times)} frames, median {statistics.median(times):.1f} ms, 95 % {tail:.1f} ms")
    assert len(times) > 20
    assert statistics.median(times) < 8, "half of what a frame at 60 a second may take"
    opened.assert_quiet()
