"""The skips widget: its arithmetic against PyTorch and `segcore`, and the figure under a reader's hand."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets

from segcore.data.scenes import CLASSES, make_scenes
from segcore.metrics import boundary_f1, confusion_matrix, mean_iou
from segcore.skips import UpScore
from segcore.widgets.skips import STRIDES, SkipsWidget

from .kit import (
    COLUMN,
    PHONE,
    assert_accessible,
    first_form_height,
    measure_frames,
    settle,
    tab_to,
    thumb,
    touch_drag,
    unfold,
)

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
        matrix = confusion_matrix(*maps, 4)
        for tolerance in (0, 1, 2, 2.3):
            got = opened.call("measure", *flat, {"size": 24, "tolerance": tolerance, "count": 4})
            assert got["matrix"] == matrix.flatten().tolist()
            assert got["iou"] == pytest.approx(mean_iou(matrix).item(), abs=1e-12)
            wanted = boundary_f1(*maps, tolerance, 4).nanmean().item()
            assert got["outline"] == pytest.approx(wanted, abs=1e-12)


def test_every_subset_and_net_equals_torch(shared_widget: Any):
    """All 31 subsets and the three nets on both scenes; and scoring first or last gives the same."""
    opened = shared_widget(SkipsWidget)
    script = """(root, [kind, scene, what]) => {
        const { module, model } = root.segcore;
        const data = model.get("data");
        const { shares, bias } = module[kind](data, scene, what);
        const sum = module.sumShares(shares, bias);
        let worst = 0;
        if (kind === "layerShares") {  // every channel up-sampled, then the 1 x 1 convolution
          const large = (k) => module.resizeBilinear(module.layerMap(data, scene, k), 96, 96);
          const late = module.classifierOf(data, what).parts
            .map(({ k, weights }) => ({ full: module.scoreMap(large(k), weights, 4) }));
          const other = module.sumShares(late, bias).data;
          worst = Math.max(...other.map((value, n) => Math.abs(value - sum.data[n])));
        }
        const some = Array.from({ length: 512 }, (_, n) => sum.data[n * 71]);
        return [some, Array.from(module.argmax(sum)), worst];
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

TRIALS = {
    "Deepest alone": {"view": "hypercolumn", "layers": [32]},
    "Finest alone": {"view": "hypercolumn", "layers": [2]},
    "Both ends": {"view": "hypercolumn", "layers": [2, 32]},
    "All five": {"view": "hypercolumn", "layers": list(STRIDES)},
}


def press(opened: Any, name: str) -> str:
    """Press a trial; what it says."""
    opened.page.get_by_role("button", name=name, exact=True).click()
    settle(opened)
    return opened.root.locator(".segcore-note").inner_text()


def numbers(opened: Any) -> list[str]:
    settle(opened)
    return opened.root.locator(".number strong").all_inner_texts()


def worth(widget: SkipsWidget) -> tuple[float, float]:
    """Mean IoU and mean boundary F1 of the widget's prediction, by the library."""
    prediction, truth = widget.prediction, widget.labels
    iou = mean_iou(confusion_matrix(prediction, truth, 4)).item()
    return iou, boundary_f1(prediction, truth, 2, 4).nanmean().item()


def assert_shows_the_librarys(opened: Any) -> None:
    names = ("view", "layers", "fcn", "scene")
    iou, outline = worth(SkipsWidget(**opened.state(names)))
    assert numbers(opened)[:2] == [f"{iou:.2f}", f"{outline:.2f}"]


def shares_along(widget: SkipsWidget, pair: tuple[int, int], n: int = 241) -> torch.Tensor:
    """What each share, the bias last, gives to the second class above the first: ``(shares, n)``."""
    shares = widget._layer_scores() if widget.view == "hypercolumn" else widget._fcn_scores()
    full = torch.cat([F.interpolate(each[None], (96, 96), mode="bilinear") for each in shares])
    x1, y1, x2, y2 = widget.line
    t = torch.linspace(0, 1, n, dtype=torch.float64)
    grid = torch.stack([x1 + t * (x2 - x1), y1 + t * (y2 - y1)], -1) / 48 - 1
    at = F.grid_sample(
        full, grid.expand(len(full), 1, n, 2), mode="bilinear", padding_mode="border", align_corners=False
    )
    return (at[:, pair[1]] - at[:, pair[0]]).squeeze(1)


def test_the_profile_equals_torch(shared_widget: Any):
    opened = shared_widget(SkipsWidget)
    script = """(root, [scene, layers, pair, line]) => {
        const { module, model } = root.segcore;
        const { shares, bias } = module.layerShares(model.get("data"), scene, layers);
        const { lines, sum } = module.profile(shares, bias, pair, line, 241);
        return [...lines, sum].map((each) => Array.from(each));
    }"""
    for scene, layers, pair in ((0, list(STRIDES), (0, 3)), (1, [4, 16], (0, 2))):
        widget = SkipsWidget(scene=scene, layers=layers, line=[3.25, 90, 71.5, 40.75])
        wanted = shares_along(widget, pair)
        got = opened.root.evaluate(script, [scene, layers, list(pair), widget.line])
        torch.testing.assert_close(torch.tensor(got[:-1]).double(), wanted[:-1], rtol=0, atol=1e-5)
        torch.testing.assert_close(torch.tensor(got[-1]).double(), wanted.sum(0), rtol=0, atol=1e-5)


def test_what_the_trials_say(open_widget: Any):
    """Each note against the library's numbers; none makes the figure move."""
    opened = open_widget(SkipsWidget(), width=COLUMN)
    data = opened.get("data")
    height = first_form_height(opened)
    assert height <= 700
    said = {}
    for name, state in TRIALS.items():
        said[name] = press(opened, name)
        assert opened.state(state) == state
        assert opened.root.locator(".segcore-trials [aria-pressed=true]").all_inner_texts() == [name]
        assert_shows_the_librarys(opened)
        assert first_form_height(opened) == pytest.approx(height, abs=0.5)

    deep, fine = SkipsWidget(layers=[32]), SkipsWidget(layers=[2])
    along = shares_along(deep, (0, 3)).sum(0)
    rise = ((along - along[0]) / (along[-1] - along[0]) - torch.tensor([[0.05], [0.95]])).abs().argmin(1)
    assert (rise[1] - rise[0]) * 50 / 240 > 32, "a ramp, longer than a cell"
    gone = set(deep.labels.unique().tolist()) - set(deep.prediction.unique().tolist())
    assert f"No pixel is called {' or '.join(CLASSES[k] for k in gone)}." in said["Deepest alone"] and gone
    assert worth(deep)[1] < 0.3, "blobs"

    truth = fine.labels
    taken = {
        (a, b): (fine.prediction[truth == a] == b).double().mean().item()
        for a, b in itertools.permutations((1, 2, 3), 2)
    }
    (a, b), share = max(taken.items(), key=lambda item: item[1])
    assert (
        f"Of all {CLASSES[a]} pixels {round(100 * share)} % are called {CLASSES[b]}." in said["Finest alone"]
    )
    assert data["layers"][0]["field"] == 4

    step = shares_along(SkipsWidget(layers=[2, 32]), (0, 3))
    places = [round((32.4 + d) * 240 / 50) for d in (-4, 4)]
    jump = step[:, places[1]] - step[:, places[0]]
    assert jump[0] > 0.8 * jump.sum(), "the fine layer supplies the step"
    for line in ([8, 60, 88, 60], [48, 54, 80, 42], [20, 10, 20, 90]):  # whichever edges it crosses
        shares = shares_along(SkipsWidget(layers=[2, 32], line=line), (0, 3))
        fine_step, coarse_step = shares[:2].diff(dim=1).abs().amax(1)
        assert coarse_step < 0.35 * fine_step
    table = {key: [f"{value:.2f}" for value in point] for key, point in data["table"].items()}
    f1 = [table[key][1] for key in ("32", "2", "2 32")]
    assert f"{f1[0]} and {f1[1]} alone, {f1[2]} together" in said["Both ends"]
    five = f"mean IoU is {table['2 4 8 16 32'][0]}, against {table['32'][0]}"
    assert five in said["All five"] and f"Over {data['held_out']} scenes" in said["All five"]

    for fcn in (32, 16, 8, 32):
        text = press(opened, "FCN: 32s, 16s, 8s")
        assert (opened.get("view"), opened.get("fcn")) == ("fcn", fcn)
        assert f"FCN-{fcn}s over 200 scenes: {data['fcn_table'][f'FCN{fcn}s'][1]:.2f}." in text
        assert_shows_the_librarys(opened)
        assert first_form_height(opened) == pytest.approx(height, abs=0.5)
    opened.assert_quiet()


def test_what_the_chapter_says():
    """Who calls the dark cylinder a box, who makes which step, the hostile scene."""
    widget = SkipsWidget(layers=list(STRIDES))
    dark = widget.labels == 3
    dark[:, :30] = False  # the other cylinder
    box, cylinder = (
        {s: (SkipsWidget(layers=[s]).prediction[dark] == k).double().mean().item() for s in STRIDES}
        for k in (2, 3)
    )
    assert min(box[2], box[4], box[8]) > 0.75 and box[32] == 0 < 0.5 < cylinder[32]
    assert abs(box[16] - cylinder[16]) < 0.1

    def steps(line: list[float], pair: tuple[int, int]) -> list[float]:
        shares = shares_along(SkipsWidget(layers=list(STRIDES), line=line), pair)[:-1]
        rise = shares[:, -1] - shares[:, 0]
        return (rise / rise.sum()).tolist()

    into = steps(widget.line, (0, 3))
    assert into[0] + into[1] == pytest.approx(2 / 3, abs=0.03) and into[4] < 0
    across = steps([48, 54, 80, 42], (3, 2))
    assert widget.labels[54, 48] == 3 and widget.labels[42, 80] == 2
    assert across[4] == pytest.approx(0.5, abs=0.03)
    all_five, both = (worth(SkipsWidget(scene=1, layers=layers)) for layers in (list(STRIDES), [2, 32]))
    assert all_five[0] < both[0] - 0.05 and all_five[1] < both[1] - 0.05
    scene = SkipsWidget().data["scenes"][0]["fcn"]
    assert [len(scene[f"FCN8s.{n}"]) * 3 // 4 // 8 for n in ("score_fr", "score_pool4", "score_pool3")] == [
        9,
        36,
        144,
    ]


def test_layers_go_in_and_out(open_widget: Any):
    """Toggles, the last of which is held; the folds follow: cards, wrong pixels, costs."""
    opened = open_widget(SkipsWidget(), width=COLUMN)
    unfold(opened)
    boxes = opened.root.locator(".layers input")
    assert [boxes.nth(n).is_disabled() for n in range(5)] == [False] * 4 + [True], "the last one stays"
    assert "one or more" in opened.root.locator(".layers legend").inner_text()
    boxes.nth(0).check(force=True)
    assert opened.get("layers") == [2, 32]
    boxes.nth(4).uncheck(force=True)
    assert opened.get("layers") == [2]
    settle(opened)
    assert boxes.nth(0).is_disabled() and not boxes.nth(4).is_disabled()
    assert_shows_the_librarys(opened)
    press(opened, "All five")
    assert opened.root.locator('.layer-card[data-on="true"]').count() == 5
    opened.page.get_by_role("radio", name="In own cells").check(force=True)
    assert opened.get("maps") == "own"
    press(opened, "FCN: 32s, 16s, 8s")
    cards = opened.root.locator(".layer-card:visible")
    assert cards.count() == 3 and opened.root.locator('.layer-card[data-on="true"]').count() == 1
    for width in (COLUMN, 390, 320):
        opened.page.set_viewport_size({"width": width, "height": 900})
        settle(opened)
        for n in range(3):
            card, canvas = cards.nth(n).bounding_box(), cards.nth(n).locator("canvas").bounding_box()
            assert canvas["x"] >= card["x"] and canvas["x"] + canvas["width"] <= card["x"] + card["width"]
    opened.page.set_viewport_size({"width": COLUMN, "height": 900})
    opened.page.get_by_role("radio", name="8s").check(force=True)
    settle(opened)
    assert opened.get("fcn") == 8 and opened.root.locator('.layer-card[data-on="true"]').count() == 3
    opened.page.get_by_role("radio", name="2", exact=True).check(force=True)
    assert opened.get("scene") == 1 and opened.get("line") == opened.get("data")["scenes"][1]["line"]
    assert_shows_the_librarys(opened)
    widget = SkipsWidget(view="fcn", fcn=8, scene=1)
    wrong = (widget.prediction != widget.labels).sum().item()
    assert (
        opened.root.locator(".errors .prose").inner_text().startswith(f"{wrong:,} of 9,216 pixels are wrong")
    )
    opened.set("view", "hypercolumn")
    opened.set("layers", [2])
    settle(opened)
    # 48 x 48 cells of 16 channels for 4 classes, and 4 neighbours for each of 96 x 96 pixels and class.
    cost = (48 * 48 * 16 * 4 + 4 * 96 * 96 * 4) / 1e6
    assert f"{cost:.1f} million products with all 16 channels" in opened.root.inner_text()
    opened.assert_quiet()


def test_the_address(open_widget: Any):
    opened = open_widget(SkipsWidget(), fragment="#skips:layers=2,32;line=48,54,80,42;maps=own")
    assert opened.state(("layers", "line", "maps")) == {
        "layers": [2, 32],
        "line": [48, 54, 80, 42],
        "maps": "own",
    }
    settle(opened)
    assert opened.root.locator(".profile h4").inner_text() == "A to B: box, not cylinder"
    press(opened, "FCN: 32s, 16s, 8s")
    opened.page.wait_for_function("location.hash.includes('view=fcn')")
    for asked, word in (
        ("layers=32,2", "in this order"),
        ("layers=", "layers"),
        ("line=0,0,97,0", "from 0 to 96"),
    ):
        opened.page.evaluate("(asked) => { location.hash = `skips:fcn=8;${asked}`; }", asked)
        opened.page.wait_for_function(
            "(word) => document.querySelector('.segcore-notice').textContent.includes(word)", arg=word
        )
        assert opened.state(("fcn", "layers")) == {"fcn": 8, "layers": [32]}
    opened.assert_quiet()


def test_dots_of_the_cloud_choose_a_subset(open_widget: Any):
    """By mouse, and by arrow keys in the order of mean IoU."""
    opened = open_widget(SkipsWidget(), width=COLUMN)
    unfold(opened)
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
    opened.set("view", "hypercolumn")
    opened.set("layers", [32])
    settle(opened)
    data = opened.get("data")
    ranked = sorted((data["table"] | data["fcn_table"]).items(), key=lambda item: item[1][0])
    assert ranked[0][0] == "32" and canvas.get_attribute("aria-valuenow") == "1"
    canvas.focus()
    for n in range(1, 4):
        opened.page.keyboard.press("ArrowRight")
        settle(opened)
        assert canvas.get_attribute("aria-valuenow") == str(n + 1)
        assert f"mean IoU {ranked[n][1][0]:.2f}" in canvas.get_attribute("aria-valuetext")
    opened.page.keyboard.press("ArrowDown")
    settle(opened)
    assert canvas.get_attribute("aria-valuenow") == "3"
    opened.assert_quiet()


def test_the_line_is_dragged_with_the_mouse(open_widget: Any):
    opened = open_widget(SkipsWidget(line=[10, 60, 58, 60]), width=COLUMN)
    plate = opened.root.locator(".plate")
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
    drag((30, 80), (30, 80))  # a click brings the line's middle there
    x1, y1, x2, y2 = opened.get("line")
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == (pytest.approx(30, abs=1), pytest.approx(80, abs=1))
    opened.assert_quiet()


def test_keyboard_alone(open_widget: Any):
    opened = open_widget(SkipsWidget())
    keyboard = opened.page.keyboard
    tab_to(opened, ".segcore-trials button:nth-of-type(4)")
    keyboard.press("Enter")
    assert opened.get("layers") == list(STRIDES)
    tab_to(opened, ".segcore-bar input[type=radio]")
    keyboard.press("ArrowRight")
    assert opened.get("view") == "fcn"
    keyboard.press("ArrowLeft")
    tab_to(opened, ".layers input")
    keyboard.press("Space")
    assert opened.get("layers") == [4, 8, 16, 32]
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
    assert opened.root.locator("[aria-live=polite].segcore-hidden").inner_text() == reading
    opened.assert_quiet()


def test_a_thumb_moves_the_line_and_scrolls_past(open_widget: Any):
    opened = open_widget(SkipsWidget(), **PHONE)
    assert first_form_height(opened) <= 900
    opened.page.evaluate("document.body.style.paddingBottom = '1600px'")
    plate = opened.root.locator(".plate")
    plate.scroll_into_view_if_needed()
    settle(opened)
    frame = plate.bounding_box()

    def on_screen(x: float, y: float) -> tuple[float, float]:
        return frame["x"] + x * frame["width"] / 96, frame["y"] + y * frame["height"] / 96

    before = opened.get("line")
    assert thumb(opened, *on_screen(70, 30)) > 50, "the page scrolls"
    assert opened.get("line") == before, "and the line stays"
    frame = plate.bounding_box()
    opened.page.touchscreen.tap(*on_screen(48, 19))
    settle(opened)
    x1, y1, x2, y2 = opened.get("line")
    assert (x1 + x2) / 2 == pytest.approx(48, abs=1) and (y1 + y2) / 2 == pytest.approx(19, abs=1)
    touch_drag(opened, on_screen(x2, y2), on_screen(x2, y2 + 20), on_screen(x2, y2 + 40))
    assert opened.get("line") == [x1, y1, pytest.approx(x2, abs=1), pytest.approx(y2 + 40, abs=1)]
    opened.root.locator(".layers label").nth(0).tap()
    settle(opened)
    assert opened.get("layers") == [2, 32]
    opened.assert_quiet()


def test_accessible_in_the_other_view(open_widget: Any):
    opened = open_widget(SkipsWidget(layers=[2, 8], view="fcn"))
    unfold(opened)
    assert_accessible(opened)
    for width in (320, 390, 700, 1280):
        opened.assert_no_sideways_scroll(width)
    opened.assert_quiet()


# The line as it goes round, one move in each frame: the time of each drawing, in milliseconds.
ROUND = """async (root) => {
  const figure = root.querySelector(".skips");
  const plate = figure.querySelector(".plate");
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const { left, top, width } = plate.getBoundingClientRect();
  const send = (type, step) => plate.dispatchEvent(new PointerEvent(type, { bubbles: true, pointerId: 1,
    button: 0, clientX: left + width * (0.5 + 0.2 * Math.sin(step / 9)),
    clientY: top + width * (0.5 - 0.2 * Math.sin(step / 7)) }));
  plate.setPointerCapture = () => {};
  figure.frames.length = 0;
  send("pointerdown", 0);
  for (let step = 1; step <= 120; step++) {
    send("pointermove", step);
    await frame();
  }
  send("pointerup", 120);
  await frame();
  return figure.frames.slice();
}"""


def test_dragging_leaves_room_for_sixty_frames_a_second(open_widget: Any):
    opened = open_widget(SkipsWidget(layers=list(STRIDES)), width=COLUMN, reduced_motion="no-preference")
    unfold(opened)
    frames = measure_frames(opened, ROUND)
    frames.assert_smooth()
