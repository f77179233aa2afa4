"""The widget of detections and matches: arithmetic against the library, the figure in use."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
import traitlets

from segcore.instance_metrics import evaluate_instances, mask_iou, match
from segcore.metrics import average_precision
from segcore.widgets.instance_metrics import AXES, START, TRUTHS, InstanceMetricsWidget, ellipses

from .kit import PHONE, assert_accessible, settle

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_the_same_each_time():
    widget = InstanceMetricsWidget()
    assert widget.to_html() == InstanceMetricsWidget().to_html()
    assert len(str(widget.public_state())) < 2_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("threshold", 1.0, "from 0.05 to 0.95"),
        ("picked", 6, "from 0 to 5"),
        ("detections", [[1, 2, 0.5]], "6 of x, y and score"),
        ("detections", [[1.5, 2, 0.5]] * 6, "whole pixels"),
        ("detections", [[1, 2, 1.5]] * 6, "a score from"),
        ("detections", [[121, 2, 0.5]] * 6, "0 to 120"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = InstanceMetricsWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


# ---- Arithmetic in the browser ---------------------------------------------------------------------------

EVALUATE = """(root, [detections, threshold]) => {
  const scene = root.segcore.model.get("scene");
  return root.segcore.module.evaluate(detections, scene, threshold);
}"""


def test_ious_matches_and_ap_equal_the_librarys(shared_widget: Any):
    """Random places and scores, equal ones among them, at all thresholds of the slider."""
    opened = shared_widget(InstanceMetricsWidget)
    draw = random.Random(0)
    for _ in range(40):
        detections = []
        for _ in AXES:
            x, y, *_ = draw.choice(TRUTHS)
            x, y = x + draw.randint(-6, 6), y + draw.randint(-6, 6)
            detections.append([x, y, draw.choice([0.5, 0.25, round(draw.uniform(0.01, 0.99), 2)])])
        threshold = draw.randint(1, 19) / 20
        found = opened.root.evaluate(EVALUATE, [detections, threshold])
        widget = InstanceMetricsWidget(detections=detections, threshold=threshold)
        ious = mask_iou(widget.prediction["masks"], widget.truth["masks"])
        assert torch.allclose(torch.tensor(found["ious"]).double(), ious, atol=1e-6)
        assert found["taken"] == match(widget.prediction, widget.truth, threshold).truth.tolist()
        assert found["ap"] == pytest.approx(
            evaluate_instances([widget.prediction], [widget.truth])["AP"], abs=1e-9
        )
        scores, right = widget.prediction["scores"], torch.tensor(found["taken"]) >= 0
        expected = average_precision(scores, right, len(TRUTHS), "coco").item()
        assert found["apHere"] == pytest.approx(expected, abs=1e-9)
        assert found["order"] == scores.argsort(descending=True, stable=True).tolist()
    opened.assert_quiet()


def test_a_pixel_belongs_to_an_ellipse_if_its_centre_lies_in_it(shared_widget: Any):
    opened = shared_widget(InstanceMetricsWidget)
    for each in TRUTHS:
        mask = opened.root.evaluate(
            "(root, each) => Array.from(root.segcore.module.pixels(each, { width: 120, height: 90 }))",
            list(each),
        )
        assert torch.equal(torch.tensor(mask).bool().view(90, 120), ellipses([each])[0])


# ---- The figure ------------------------------------------------------------------------------------------

STATE = "(root, name) => root.segcore.model.get(name)"


def state(opened: Any, name: str) -> Any:
    return opened.root.evaluate(STATE, name)


def test_dragging_a_detection_moves_it_and_the_numbers_follow(open_widget: Any):
    opened = open_widget(InstanceMetricsWidget())
    before = opened.root.locator(".numbers").inner_text()
    box = opened.root.locator(".scene").bounding_box()
    unit = box["width"] / 120
    mouse = opened.page.mouse
    mouse.move(box["x"] + 48 * unit, box["y"] + 40 * unit)  # of A, and of no other
    mouse.down()
    mouse.move(box["x"] + 78 * unit, box["y"] + 60 * unit, steps=4)
    mouse.up()
    settle(opened)
    x, y, score = state(opened, "detections")[0]
    assert abs(x - 63) <= 1 and abs(y - 50) <= 1 and score == START[0][2]
    assert state(opened, "detections")[1:] == [list(each) for each in START[1:]]
    assert opened.root.locator(".numbers").inner_text() != before
    opened.assert_quiet()


def test_arrow_keys_move_a_detection_and_its_name_says_what_came_of_it(open_widget: Any):
    opened = open_widget(InstanceMetricsWidget())
    grip = opened.root.locator(".detection").nth(3)
    grip.focus()
    for _ in range(2):
        opened.page.keyboard.press("Shift+ArrowRight")
    settle(opened)
    assert state(opened, "detections")[3][:2] == [103, 66] and state(opened, "picked") == 3
    assert "Wrong" in grip.get_attribute("aria-label")
    assert (
        "truth 4" in opened.root.locator(".words").inner_text()
        or "no truth" in opened.root.locator(".words").inner_text()
    )


def test_the_threshold_turns_detections_wrong_and_the_mean_stays(open_widget: Any):
    opened = open_widget(InstanceMetricsWidget())
    mean = opened.root.locator(".numbers b").nth(1).inner_text()
    opened.root.get_by_role("slider", name="IoU threshold").fill("0.9")
    settle(opened)
    assert opened.root.locator(".detection.right").count() < 4
    assert opened.root.locator(".numbers b").nth(1).inner_text() == mean


def test_trials_do_what_they_say(open_widget: Any):
    opened = open_widget(InstanceMetricsWidget())

    def press(name: str) -> None:
        opened.root.get_by_role("button", name=name, exact=True).click()
        settle(opened)

    press("Twice found")
    classes = opened.root.locator(".detection").evaluate_all(
        "nodes => nodes.map((n) => n.getAttribute('class'))"
    )
    assert "right" in classes[4] and "wrong" in classes[0]
    press("Unsure and wrong")
    assert opened.root.locator(".numbers b").first.inner_text() == "1.000"
    press("Sure and wrong")
    assert float(opened.root.locator(".numbers b").first.inner_text()) < 0.9


def test_accessible_by_day_and_night_and_on_a_phone(open_widget: Any):
    opened = open_widget(InstanceMetricsWidget(), **PHONE)
    assert_accessible(opened)


def test_letters_stand_apart(shared_widget: Any):
    """As the figure begins, and wherever two of the same size lie as two often do: all can be read."""
    opened = shared_widget(InstanceMetricsWidget)
    draw = random.Random(0)
    places = [[*each[:2]] for each in START]
    numbers = [[x, y + (ry - 4 if ry > 8 else ry + 4)] for x, y, _, ry in TRUTHS]
    for _ in range(40):
        ovals = [[*place, *axes] for place, axes in zip(places, AXES, strict=True)]
        letters = opened.call("placeLetters", ovals, numbers, {"width": 120, "height": 90})
        for n, (x, y) in enumerate(letters):
            assert 2 < x < 118 and 2 < y < 88
            others = letters[:n] + letters[n + 1 :] + numbers
            assert min(math.dist((x, y), other) for other in others) > 5, "a letter is 5 high"
        x, y, _, _ = TRUTHS[0]
        places[0], places[4] = ([x + draw.randint(-6, 6), y + draw.randint(-6, 6)] for _ in range(2))


DOTS = """(root) => [...root.querySelectorAll(".plot .dot text")].map((text) => {
  const { x, y, width, height } = text.getBoundingClientRect();
  const plot = text.ownerSVGElement.getBoundingClientRect();
  return [x - plot.x, y - plot.y, width, height, plot.width];
})"""


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 0.9},  # all six stand at 0, 0
        {
            "detections": [
                [33, 30, 0.9],
                [34, 31, 0.8],
                [33, 73, 0.7],
                [35, 33, 0.6],
                [30, 30, 0.5],
                [32, 30, 0.4],
            ]
        },
        {"detections": [list(each) for each in START[:4]] + [[27, 25, 0.58], [66, 74, 0.57]]},
    ],
)
def test_letters_of_the_curve_stand_apart(open_widget: Any, changes: dict[str, Any]):
    found = open_widget(InstanceMetricsWidget(**changes)).root.evaluate(DOTS)
    for n, (x, y, width, height, room) in enumerate(found):
        assert x >= 0 and x + width <= room + 1
        for u, v, across, down, _ in found[n + 1 :]:
            assert min(x + width, u + across) - max(x, u) < 1 or min(y + height, v + down) - max(y, v) < 4
