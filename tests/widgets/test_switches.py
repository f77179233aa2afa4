"""Trained networks with parts switched off: skip_paths, bridges and pyramid, against torch and in use."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import traitlets

from benchmarks.trainings import switches
from segcore.data.scenes import make_scenes
from segcore.metrics import boundary_f1, confusion_matrix, mean_iou
from segcore.widgets import import_network
from segcore.widgets.bridges import BridgesWidget
from segcore.widgets.export import edited
from segcore.widgets.networks import SIZE, NetworksWidget
from segcore.widgets.pyramid import PyramidWidget
from segcore.widgets.scene import SEED, STORED, networks
from segcore.widgets.skip_paths import SkipPathsWidget, paths

from .kit import PHONE, settle
from .test_networks import ANSWERED

ROOT = Path(__file__).parents[2]
WIDGETS = (SkipPathsWidget, BridgesWidget, PyramidWidget)


@pytest.fixture(scope="module")
def scene() -> Any:
    """The first of the stored scenes, as Python renders it."""
    return make_scenes(1, SIZE, seed=SEED, start=STORED[0])


def outputs(described: dict[str, Any], scene: Any) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {name: each[0] for name, each in import_network(described)(scene.image).items()}


# ---- Python ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widget_class", WIDGETS)
def test_weights_travel_within_the_budget(widget_class: Any):
    widget = widget_class()
    assert widget.to_html() == widget_class().to_html()
    weights = [len(base64.b64decode(each["weights"])) for each in widget.data["networks"].values()]
    assert sum(weights) < 400_000


def test_three_paths_are_the_whole_of_an_fcn8s(scene: Any):
    found = outputs(paths(networks("skips")["skips"]), scene)
    torch.testing.assert_close(
        found["fc7"] + found["pool4"] + found["pool3"], found["FCN-8s"], rtol=0, atol=1e-4
    )


def test_the_stored_settings_are_those_that_were_measured():
    """The page's copy is seed 0's; and two of its numbers again, on the first of these scenes."""
    results = json.loads((ROOT / "book" / "results" / "switches.json").read_text())["runs"][0]
    stored = json.loads(switches.TARGET.read_text())
    assert results == stored
    assert set(stored["unet"]) == set(switches.bridges()) and set(stored["deeplab"]) == set(
        switches.branches()
    )
    scenes = make_scenes(20, SIZE, seed=2)
    for key in ("", "0123"):
        found = switches.miou(
            edited(networks("deeplab")["deeplab"], switches.branches()[key]), scenes.image, scenes.labels
        )
        assert found == pytest.approx(stored["deeplab"][key], abs=0.08)


@pytest.mark.parametrize(
    ("widget_class", "trait", "value"),
    [
        (BridgesWidget, "off", [2, 1]),
        (BridgesWidget, "off", [4]),
        (BridgesWidget, "places", "nearest"),
        (PyramidWidget, "off", [0, 0]),
        (PyramidWidget, "rates", [1, 2, 13]),
        (PyramidWidget, "rates", [1, 2]),
        (SkipPathsWidget, "shown", 4),
        (SkipPathsWidget, "pixel", [4, 0, 0]),
    ],
)
def test_bad_values_are_refused(widget_class: Any, trait: str, value: Any):
    with pytest.raises(traitlets.TraitError):
        widget_class(**{trait: value})


# ---- The page's arithmetic -------------------------------------------------------------------------------


def test_the_page_edits_as_the_measurement_did(shared_widget: Any):
    bridges, pyramid = shared_widget(BridgesWidget), shared_widget(PyramidWidget)
    for key, edits in switches.bridges().items():
        found = bridges.call("edits", {"off": [int(each) for each in key], "places": "switches"})
        assert found == {"unet": edits, "segnet": {}}
    for key, edits in switches.unpoolings(networks("segnet")["segnet"]).items():
        found = bridges.call("edits", {"off": [], "places": key or "switches"})
        assert found == {"unet": {}, "segnet": edits}
    for key, edits in switches.branches().items():
        rates = [int(each) for each in key.split("-")] if "-" in key else [2, 4, 6]
        off = [] if "-" in key else [int(each) for each in key]
        found = pyramid.call("edits", {"off": off, "rates": rates})["deeplab"]
        wanted = {f"{switches.ASPP}.cat": {"zero": []}} | switches.rates_changed((2, 4, 6)) | edits
        assert found == wanted


def test_edited_networks_give_in_the_page_what_they_give_in_torch(shared_widget: Any, scene: Any):
    opened = shared_widget(NetworksWidget)
    script = ANSWERED.replace("networkOf(described, plain)", "networkOf(described, false, plain)")
    stored = networks("unet", "segnet")
    unpoolings = switches.unpoolings(stored["segnet"]).values()
    tried = [(stored["unet"], switches.bridges()["13"]), *((stored["segnet"], edits) for edits in unpoolings)]
    tried += [(networks("deeplab")["deeplab"], switches.branches()[key]) for key in ("014", "4-8-12")]
    for described, edits in tried:
        (wanted,) = outputs(edited(described, edits), scene).values()
        _, found = opened.root.evaluate(script, [described, scene.image.flatten().tolist(), edits])
        logits = torch.tensor(next(iter(found.values()))).view_as(wanted)
        assert (logits.argmax(0) == wanted.argmax(0)).float().mean() >= 0.999
        # Where two maxima are alike but for their last bits, a value may be put back elsewhere.
        unpooled = any(step["op"] == "unpool" for step in edited(described, edits)["steps"])
        assert ((logits - wanted).abs() > 1e-3).float().mean() <= (0.005 if unpooled else 0)


def test_the_boundary_score_is_the_librarys(shared_widget: Any, scene: Any):
    opened = shared_widget(SkipPathsWidget)
    found = outputs(paths(networks("skips")["skips"]), scene)["FCN-8s"].argmax(0)
    given = [found.flatten().tolist(), scene.labels.flatten().tolist(), SIZE]
    wanted = float(boundary_f1(found[None], scene.labels, 2, 4).nanmean())
    assert opened.call("boundaryScore", *given) == pytest.approx(wanted, abs=1e-6)


def test_what_the_trials_of_the_skips_claim(scene: Any):
    found = outputs(paths(networks("skips")["skips"]), scene)
    sums = [found["fc7"], found["fc7"] + found["pool4"], found["FCN-8s"]]
    said = [[int(each[:, y, x].argmax()) for each in sums] for x, y in ((26, 75), (6, 51))]
    assert said == [[0, 0, 2], [2, 2, 0]]
    assert [int(scene.labels[0, y, x]) for x, y in ((26, 75), (6, 51))] == [2, 0]
    scores = [float(mean_iou(confusion_matrix(each.argmax(0), scene.labels[0], 4))) for each in sums]
    assert scores == sorted(scores)


def test_without_its_pyramid_deeplab_sees_background_alone(scene: Any):
    described = edited(networks("deeplab")["deeplab"], switches.branches()["01234"])
    assert (outputs(described, scene)["DeepLabv3"].argmax(0) == 0).all()


def test_without_its_finest_bridge_the_box_breaks(scene: Any):
    described, box = networks("unet")["unet"], scene.labels[0] == 2
    shares = [
        float(
            (outputs(edited(described, switches.bridges()[key]), scene)["U-Net"].argmax(0) == 2)[box]
            .float()
            .mean()
        )
        for key in ("", "1")
    ]
    assert shares[0] > 0.95 and shares[1] < 0.8


def test_without_its_places_segnets_objects_swell(scene: Any):
    """With a quarter of each value in each pixel; with the whole, far more than the places is lost."""
    described, objects = networks("segnet")["segnet"], scene.labels[0] > 0
    edits = switches.unpoolings(described)
    found = {key: outputs(edited(described, each), scene)["SegNet"].argmax(0) for key, each in edits.items()}
    size = {key: int((labels > 0).sum()) / int(objects.sum()) for key, labels in found.items()}
    assert 0.98 < size[""] < 1.02 and size["quarters"] > 1.05
    right = {key: float((labels == scene.labels[0]).float().mean()) for key, labels in found.items()}
    assert right[""] > right["quarters"] > right["whole"] + 0.1


# ---- In use ----------------------------------------------------------------------------------------------


def until_scored(opened: Any, name: str, wanted: float) -> None:
    """The number behind a network's name is this one; the page's scene differs by 1/255 from Python's."""
    opened.page.wait_for_function(
        """([name, wanted]) => [...document.querySelectorAll('.net .segcore-label')].some((each) => {
             const [said, number] = [each.firstChild.textContent, each.lastChild.textContent];
             return said === name && number && Math.abs(Number(number) - wanted) < 0.02;
           })""",
        arg=[name, wanted],
    )


def score(described: dict[str, Any], edits: dict[str, Any], scene: Any) -> float:
    (logits,) = outputs(edited(described, edits), scene).values()
    return float(mean_iou(confusion_matrix(logits.argmax(0), scene.labels[0], 4)))


def test_bridges_by_their_switches(open_widget: Any, scene: Any):
    opened = open_widget(BridgesWidget())
    stored = networks("unet")
    until_scored(opened, "U-Net", score(stored["unet"], {}, scene))
    opened.page.get_by_role("checkbox", name="96 × 96").uncheck()
    assert opened.get("off") == [1]
    until_scored(opened, "U-Net", score(stored["unet"], switches.bridges()["1"], scene))
    table = opened.get("data")["measured"]["unet"]
    words = opened.root.locator(".words").inner_text()
    assert f"U-Net {table['1']:.2f} (as trained {table['']:.2f})" in words
    opened.page.get_by_role("button", name="One after the other").click()
    assert opened.get("off") == [3]
    until_scored(opened, "U-Net", score(stored["unet"], switches.bridges()["3"], scene))
    segnet = networks("segnet")["segnet"]
    until_scored(opened, "SegNet", score(segnet, {}, scene))
    opened.page.get_by_role("radio", name="The whole each").check()
    until_scored(opened, "SegNet", score(segnet, switches.unpoolings(segnet)["whole"], scene))
    opened.page.get_by_role("button", name="SegNet without places").click()
    assert opened.get("places") == "quarters" and opened.get("off") == []
    until_scored(opened, "SegNet", score(segnet, switches.unpoolings(segnet)["quarters"], scene))
    opened.assert_quiet()


def test_a_pyramid_taken_apart(open_widget: Any, scene: Any):
    opened = open_widget(PyramidWidget(), **PHONE)
    described = networks("deeplab")["deeplab"]
    until_scored(opened, "DeepLabv3", score(described, {}, scene))
    opened.page.get_by_role("checkbox", name="mean").uncheck()
    until_scored(opened, "DeepLabv3", score(described, switches.branches()["4"], scene))
    opened.page.get_by_role("slider", name="Rate, trained with 6").fill("12")
    assert opened.get("rates") == [2, 4, 12] and opened.get("off") == [4]
    assert "not measured so" in opened.root.locator(".words").inner_text()
    opened.page.get_by_role("checkbox", name="mean").check()
    until_scored(opened, "DeepLabv3", score(described, switches.branches()["2-4-12"], scene))
    opened.assert_quiet()


def test_paths_at_a_pixel(open_widget: Any, scene: Any):
    """The table's rows add up to what torch says, within what two renderings differ; a skip off is struck."""
    opened = open_widget(SkipPathsWidget())
    opened.page.get_by_role("button", name="A lost corner").click()
    opened.page.wait_for_function("() => document.querySelector('.scores .wins th')?.textContent === 'box'")
    rows = opened.root.evaluate(
        """root => [...root.querySelectorAll('.scores tbody tr')].map((row) =>
             [...row.querySelectorAll('td')].map((cell) => Number(cell.textContent.replace('−', '-'))))"""
    )
    found = outputs(paths(networks("skips")["skips"]), scene)
    for k, row in enumerate(rows):
        assert sum(row[:3]) == pytest.approx(row[3], abs=0.021)
        wanted = [float(found[name][k, 75, 26]) for name in ("fc7", "pool4", "pool3", "FCN-8s")]
        assert row == pytest.approx(wanted, abs=0.15)
    opened.page.get_by_role("checkbox", name="+ pool3").uncheck()
    opened.page.wait_for_function(
        "() => document.querySelector('.scores .wins th')?.textContent === 'background'"
    )
    assert opened.root.locator(".scores td.off").count() == 4
    settle(opened)
    canvas = opened.root.locator(".net canvas").nth(1)
    canvas.scroll_into_view_if_needed()
    canvas.focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.get("pixel") == [0, 27, 75], "the same place on the map of fc7"
    opened.assert_quiet()
