"""The Mask R-CNN in the page: its numbers against torch, what its trials claim, and the figure in use."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image

from segcore.data.scenes import make_scenes
from segcore.detection import decode
from segcore.instance_metrics import match
from segcore.mask_rcnn import instance_targets, mask_rcnn_for_scenes
from segcore.roi_align import roi_align
from segcore.widgets.detectors import export_detector, import_detector
from segcore.widgets.instances import InstancesWidget
from segcore.widgets.scene import SIZE

from .kit import measure_frames, settle

RESULTS = Path(__file__).parents[2] / "book" / "results" / "instances.json"

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_the_same_each_time_and_below_what_a_page_may_weigh():
    widget = InstancesWidget()
    assert widget.to_html() == InstancesWidget().to_html()
    weights = [len(base64.b64decode(part["weights"])) for part in widget.data["detector"]["parts"].values()]
    assert sum(weights) < 400_000
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"]
    assert {run["bytes"] for run in stored} == {sum(weights)}, "these weights were measured"


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("stage", "anchors", "proposals"),
        ("threshold", 0.0, "from 0.05 to 0.95; got 0.0"),
        ("threshold", float("nan"), "from 0.05 to 0.95"),
        ("picked", 32, "32"),
        ("objects", [[0, 1, 0.0, 9.0, -1]], "z from 2 to 6"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = InstancesWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


# ---- The page's arithmetic -------------------------------------------------------------------------------

# Detections without their maps, of the soft masks the own one, of the pasted how many pixels are object.
# Without a description the widget's own network; what is large travels as text, which is many times faster.
FOUND = """(root, [described, images, plain]) => JSON.parse(images).map((image) => {
  const { module, model } = root.segcore;
  const { found, proposals } =
    module.foundIn(JSON.parse(described) ?? model.get("data").detector, image, plain);
  const plainly = ({ box, label, score, soft, pasted }) => ({ box, label, score,
    soft: Array.from(soft[label]), pixels: pasted.filter((each) => each >= 0.5).length });
  return { proposals: proposals.map(({ box }) => box), found: found.map(plainly) };
})"""


def assert_the_same(found: dict[str, Any], wanted: dict[str, torch.Tensor]) -> None:
    assert [each["label"] for each in found["found"]] == wanted["labels"].tolist()
    for name, key, tolerance in (("boxes", "box", 1e-3), ("scores", "score", 1e-4), ("soft", "soft", 1e-3)):
        values = torch.tensor([each[key] for each in found["found"]]).view_as(wanted[name])
        torch.testing.assert_close(values, wanted[name], rtol=0, atol=tolerance)
    pixels = torch.tensor([each["pixels"] for each in found["found"]])
    assert (pixels - wanted["masks"].sum((1, 2))).abs().max() <= 1


@pytest.mark.parametrize(
    ("weights", "plain", "count"), [("float32", False, 4), ("int6", False, 4), ("int6", True, 1)]
)
def test_the_page_finds_what_torch_finds(shared_widget: Any, weights: str, plain: bool, count: int):
    opened = shared_widget(InstancesWidget)
    network = mask_rcnn_for_scenes()
    described = export_detector(network, (SIZE, SIZE), weights)
    scenes = make_scenes(count, SIZE, seed=2)
    given = json.dumps(described if weights == "float32" else None)
    found = opened.root.evaluate(FOUND, [given, json.dumps(scenes.image.flatten(1).tolist()), plain])
    with torch.no_grad():
        wanted = (network if weights == "float32" else import_detector(described))(scenes.image)
    for a, b in zip(found, wanted, strict=True):
        assert len(a["found"]) > 2
        assert_the_same(a, b)


def test_the_proposals_are_torchs(shared_widget: Any):
    opened = shared_widget(InstancesWidget)
    network, image = mask_rcnn_for_scenes(), make_scenes(1, SIZE, seed=3).image
    described = json.dumps(export_detector(network, (SIZE, SIZE), "float32"))
    kept: list[torch.Tensor] = []
    propose = network._propose
    network._propose = lambda *given: kept.extend(propose(*given)) or kept  # type: ignore[method-assign]
    with torch.no_grad():
        network(image)
    (found,) = opened.root.evaluate(FOUND, [described, json.dumps(image.flatten(1).tolist()), False])
    torch.testing.assert_close(torch.tensor(found["proposals"]), kept[0], rtol=0, atol=1e-3)


ALIGNED = """(root, [values, [channels, height, width], boxes, bins, scale]) => boxes.map((box) =>
  Array.from(root.segcore.module.roiAlign({ values, channels, height, width }, box, bins, scale)))"""


def test_roi_align_is_the_librarys(shared_widget: Any):
    """Boxes inside, over the edges, outside, and without an area."""
    opened = shared_widget(InstancesWidget)
    generator = torch.Generator().manual_seed(0)
    for bins, scale in ((7, 0.25), (3, 1.0), (14, 0.25)):
        features = torch.randn(1, 2, 9, 12, generator=generator)
        corner = (torch.rand(30, 2, generator=generator) * 1.6 - 0.4) * torch.tensor([12, 9]) / scale
        boxes = torch.cat([corner, corner + torch.rand(30, 2, generator=generator) * 8 / scale], 1)
        boxes[0] = torch.tensor([4.0, 4, 4, 4])
        given = [features.flatten().tolist(), [2, 9, 12], boxes.tolist(), bins, scale]
        found = torch.tensor(opened.root.evaluate(ALIGNED, given))
        wanted = roi_align(features, [boxes], bins, scale)
        torch.testing.assert_close(found, wanted.flatten(1), rtol=0, atol=1e-5)


def test_boxes_are_decoded_as_by_the_library(shared_widget: Any):
    opened = shared_widget(InstancesWidget)
    generator = torch.Generator().manual_seed(1)
    deltas = torch.randn(40, 4, generator=generator) * torch.tensor([3, 3, 5, 5])
    deltas[0] = torch.tensor([0.0, 0, 90, -90])
    corner = torch.rand(40, 2, generator=generator) * 50
    anchors = torch.cat([corner, corner + 1 + torch.rand(40, 2, generator=generator) * 30], 1)
    pairs = list(zip(deltas.tolist(), anchors.tolist(), strict=True))
    script = "(root, pairs) => pairs.map((pair) => root.segcore.module.decodeBox(...pair))"
    found = torch.tensor(opened.root.evaluate(script, pairs))
    torch.testing.assert_close(found, decode(deltas, anchors), rtol=1e-5, atol=1e-3)


MATCHED = """(root, given) => {
  const [found, instances, labels] = JSON.parse(given);
  const { taken, truths } = root.segcore.module.matched(found, { instances, labels });
  const missed = truths.filter(({ by }) => by < 0).length;
  return [taken.map((each) => [each?.number ?? 0, each?.iou ?? null]), missed];
}"""


def test_who_takes_whom_is_the_librarys(shared_widget: Any):
    """Masks of true objects moved by chance, some called by another name, some twice."""
    opened = shared_widget(InstancesWidget)
    scenes = make_scenes(12, SIZE, seed=5)
    generator = torch.Generator().manual_seed(2)
    hits = misses = 0
    for scene, truth in zip(scenes, instance_targets(scenes.instances, scenes.object_classes), strict=True):
        rows = torch.randint(len(truth["labels"]), (7,), generator=generator)
        shifts = torch.randint(-3, 4, (7, 2), generator=generator).tolist()
        moved = [truth["masks"][row].roll(by, (0, 1)) for row, by in zip(rows, shifts, strict=True)]
        masks = torch.stack(moved)
        renamed = torch.rand(7, generator=generator) < 0.2
        labels = torch.where(renamed, torch.randint(1, 4, (7,), generator=generator), truth["labels"][rows])
        found = {"masks": masks, "labels": labels, "scores": torch.linspace(0.9, 0.3, 7)}
        wanted = match(found, truth)
        pasted = masks.int().flatten(1).tolist()
        given = [{"label": k, "pasted": m} for k, m in zip(labels.tolist(), pasted, strict=True)]
        maps = [scene.instances.flatten().tolist(), scene.labels.flatten().tolist()]
        taken, missed = opened.root.evaluate(MATCHED, json.dumps([given, *maps]))
        numbers = scene.instances.unique()
        numbers = numbers[numbers > 0]
        for (number, iou), index, value in zip(
            taken, wanted.truth.tolist(), wanted.iou.tolist(), strict=True
        ):
            assert number == (0 if index < 0 else int(numbers[index]))
            assert index < 0 or iou == pytest.approx(value, abs=1e-9)
        assert missed == int(wanted.missed.sum())
        hits, misses = hits + int((wanted.truth >= 0).sum()), misses + missed
    assert hits > 20 and misses > 5


# ---- What the trials claim -------------------------------------------------------------------------------

TRIED = """(root, [scene, objects]) => {
  const { module, model } = root.segcore, { size, worlds, detector } = model.get("data");
  const shown = module.sceneOf(module.worldOf(worlds[scene], { objects, lamp: [] }), size, size);
  const { found, proposals } = module.foundIn(detector, shown.image, false);
  const sure = found.filter(({ score }) => score >= 0.5);
  const { truths, taken } = module.matched(sure, shown);
  return { proposals: proposals.length, found: found.map(({ label, score }) => [label, score]),
    truths: truths.map(({ number, label, area, iou }) => [number, label, area, iou]),
    taken: taken.map((each) => each?.number ?? 0) };
}"""


def test_what_the_things_to_try_claim(shared_widget: Any):
    opened = shared_widget(InstancesWidget)

    def tried(scene: int, objects: list[list[float]]) -> dict[str, Any]:
        return opened.root.evaluate(TRIED, [scene, objects])

    def sure(seen: dict[str, Any], least: float = 0.5) -> list[int]:
        return [label for label, score in seen["found"] if score >= least]

    touching = [tried(0, [[0, 1, 0.5, 3, -1], [2, 1, x, 3.3, -1]]) for x in (-0.3, 0.1, 0.35)]
    assert [len(seen["taken"]) for seen in touching] == [2, 2, 1]
    ious = [[iou for *_, iou in seen["truths"]] for seen in touching]
    assert min(ious[0]) > 0.9 and 0.65 < min(ious[1]) < 0.9 and min(ious[2]) == 0
    hidden = [tried(0, [[1, 2, 0, 2.9, -1], [0, 1, x, 3.8, -1]]) for x in (1.3, 1, 0.6, 0.3)]
    whole, _, half, tenth = (dict((n, area) for n, _, area, _ in seen["truths"])[2] for seen in hidden)
    assert 0.4 < half / whole < 0.6 and 0.05 < tenth / whole < 0.12
    scores = [max((s for label, s in seen["found"] if label == 1), default=0) for seen in hidden]
    assert scores[1] > 0.95 > scores[2] > 0.6 and scores[3] < 0.3
    assert hidden[2]["truths"][1][3] > 0.7, "its mask keeps to what is seen"
    far = [tried(1, [[2, 2, 0, z, -1]]) for z in (2.4, 4.2, 6)]
    assert [sorted(sure(seen, 0.4)) for seen in far] == [[2], [2], [2, 3]]
    empty = tried(0, [[0, 1, 4, 2, -1]])
    assert empty["truths"] == empty["found"] == [] and empty["proposals"] == 64
    wrong = tried(5, [])
    assert 0 in wrong["taken"] and sure(wrong) == [2] * 4
    assert [label for _, label, _, iou in wrong["truths"] if not iou] == [3], "the cylinder, called a box"


def test_tags_stand_apart_and_on_little_of_other_boxes(shared_widget: Any):
    opened = shared_widget(InstancesWidget)
    draw = random.Random(0)

    def meets(one: list[float], other: list[float]) -> bool:
        return all(one[k] < other[k + 2] and other[k] < one[k + 2] for k in (0, 1))

    for _ in range(60):
        corners = [[draw.uniform(0, 200), draw.uniform(0, 200)] for _ in range(5)]
        boxes = [[x, y, x + draw.uniform(20, 90), y + draw.uniform(20, 90)] for x, y in corners]
        widths = [draw.choice([60, 66, 94]) for _ in boxes]
        places = opened.call("placeTags", boxes, widths, 290, 15)
        tags = [[x, y, x + width, y + 15] for (x, y), width in zip(places, widths, strict=True)]
        for n, tag in enumerate(tags):
            assert min(tag) >= 0 and max(tag) <= 290
            assert not any(meets(tag, other) for other in tags[n + 1 :])
    # A sphere above, left of a cylinder; another sphere below it. The cylinder's tag covers neither.
    boxes = [[122, 65, 186, 127], [211, 65, 250, 140], [202, 126, 290, 213]]
    (_, first), (left, top), _ = opened.call("placeTags", boxes, [84, 90, 84], 290, 15)
    assert not any(meets([left, top, left + 90, top + 15], box) for box in (boxes[0], boxes[2]))
    assert first == 49, "above its box"


# ---- The figure in use -----------------------------------------------------------------------------------


def words(opened: Any, said: str) -> str:
    """What stands below the pictures, once it holds these words."""
    opened.page.wait_for_function(
        "(said) => document.querySelector('.instances .words').textContent.includes(said)", arg=said
    )
    return opened.root.locator(".words").inner_text()


def answer_head(opened: Any, said: str) -> None:
    """Wait until the answer's heading says so."""
    opened.page.wait_for_function(
        "(said) => document.querySelector('.instances .answer .segcore-label').textContent === said", arg=said
    )


def test_it_answers_and_each_stage_is_shown(open_widget: Any):
    opened = open_widget(InstancesWidget())
    assert words(opened, "Found") == "Found 4 of 4 objects, mean IoU of the masks 0.95; nothing wrong."
    answer_head(opened, "4 masks")
    pictures = set()
    for stage, head in (("Boxes", "4 boxes"), ("Soft masks", "4 soft masks"), ("Masks", "4 masks")):
        opened.page.get_by_role("radio", name=stage, exact=True).check()
        answer_head(opened, head)
        pictures.add(opened.root.locator(".answer canvas").evaluate("(canvas) => canvas.toDataURL()"))
    assert len(pictures) == 3
    opened.page.get_by_role("radio", name="Proposals").check()
    opened.page.wait_for_function(
        "/^[1-6][0-9] proposals$/.test(document.querySelector('.answer .segcore-label').textContent)"
    )
    opened.assert_quiet()


def test_a_lower_threshold_shows_more(open_widget: Any):
    opened = open_widget(InstancesWidget(scene=4))
    assert "nothing wrong" in words(opened, "Found 5 of 5")
    opened.page.get_by_role("slider", name="Shown from score").fill("0.05")
    assert "wrong: " in words(opened, "wrong: ")
    opened.page.get_by_role("slider", name="Shown from score").fill("0.95")
    assert "nothing wrong" in words(opened, "Found 3 of 5")
    opened.assert_quiet()


def test_an_object_is_chosen_by_hand_and_by_key(open_widget: Any):
    opened = open_widget(InstancesWidget())
    words(opened, "Found")
    head, canvas = opened.root.locator(".soft .segcore-label"), opened.root.locator(".answer canvas")
    assert head.inner_text() == "Soft: sphere 1.00"
    box = canvas.bounding_box()
    canvas.click(position={"x": 0.3 * box["width"], "y": 0.6 * box["height"]})
    opened.page.wait_for_function(
        "document.querySelector('.soft .segcore-label').textContent === 'Soft: box 1.00'"
    )
    picked = opened.get("picked")
    canvas.focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.get("picked") == picked + 1
    for _ in range(9):
        opened.page.keyboard.press("ArrowLeft")
    assert opened.get("picked") == 0
    for _ in range(9):
        opened.page.keyboard.press("ArrowDown")
    assert opened.get("picked") == 3, "no farther than there are"
    opened.page.wait_for_function(
        "document.querySelector('.answer canvas').ariaLabel.includes('Chosen: cylinder 0.99')"
    )
    opened.assert_quiet()


def test_the_way_from_anchor_to_mask(open_widget: Any):
    opened = open_widget(InstancesWidget())
    words(opened, "Found")
    opened.page.get_by_text("The chosen object, from anchor to mask").click()
    opened.page.wait_for_function(
        "document.querySelector('.every .taken .segcore-label')?.textContent === 'sphere'"
    )
    rows = opened.root.locator(".segcore-folded tbody tr").all_inner_texts()
    anchor, _, box = ([float(each.replace("\u2212", "-")) for each in row.split()[1:]] for row in rows)
    assert (anchor[2] - anchor[0]) * (anchor[3] - anchor[1]) == pytest.approx(24**2, rel=0.02)
    assert box == pytest.approx([67, 42, 96, 70], abs=1.5)
    opened.assert_quiet()


def test_an_empty_scene_and_back(open_widget: Any):
    opened = open_widget(InstancesWidget())
    words(opened, "Found")
    nothing = opened.page.get_by_role("button", name="Nothing there")
    nothing.click()
    answer_head(opened, "64 proposals")
    nothing.click()
    assert words(opened, "No object") == "No object is there; none is found."
    answer_head(opened, "0 masks")
    assert opened.root.locator(".soft .segcore-label").inner_text() == "Soft: none"
    nothing.click()
    words(opened, "Found 4 of 4")
    opened.assert_quiet()


def test_a_photograph_stays_in_the_page(open_widget: Any, tmp_path: Path):
    opened = open_widget(InstancesWidget())
    words(opened, "Found")
    path = tmp_path / "one.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 300, 4), np.uint8)).save(path)
    opened.root.locator("input[type=file]").set_input_files(path)
    words(opened, "nobody knows")
    opened.page.get_by_role("radio", name="2", exact=True).check()
    words(opened, "Found 3 of 3")
    opened.assert_quiet()


@pytest.mark.parametrize("missing", ["Worker", "WebAssembly"])
def test_without_a_worker_or_webassembly_it_answers_all_the_same(open_widget: Any, missing: str):
    opened = open_widget(InstancesWidget(), wait=False, fresh=True)
    opened.page.add_init_script(f"delete window.{missing}; window.{missing} = undefined;")
    opened.page.reload()
    opened.page.wait_for_selector("[data-ready=true]")
    assert words(opened, "Found") == "Found 4 of 4 objects, mean IoU of the masks 0.95; nothing wrong."


def test_weights_of_another_network_are_said(open_widget: Any):
    widget = InstancesWidget()
    detector = json.loads(json.dumps(widget.data["detector"]))
    head = detector["parts"]["box_head"]
    head["weights"] = head["weights"][:4000]
    widget.set_trait("data", {**widget.data, "detector": detector})
    opened = open_widget(widget)
    opened.page.wait_for_function(
        "document.querySelector('.segcore-notice').textContent.includes('they do not belong to these steps')"
    )
    assert opened.root.locator(".answer .segcore-label").inner_text() == "\u2026"
    opened.assert_quiet()


MOVE = """async (root) => {
  const times = [], { model } = root.segcore;
  let last = await new Promise(requestAnimationFrame);
  for (let n = 0; n < 110; n++) {
    const x = 0.4 * Math.sin(n / 9);
    model.set("objects", [[0, 1, x, 3.2, -1], [1, 2, -0.6, 2.7, -1], [3, 3, 1.1, 4.2, -1]]);
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times;
}"""


def test_dragging_leaves_the_page_free(open_widget: Any):
    opened = open_widget(InstancesWidget())
    words(opened, "Found")
    measure_frames(opened, MOVE).assert_smooth()
    settle(opened)
    opened.assert_quiet()
