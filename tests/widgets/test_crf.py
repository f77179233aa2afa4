"""The widget of chapter 10: its energies, steps and cut against the library, its claims, its player."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import traitlets

from segcore.crf import edge_weights, energy, free_energy, graph_cut, grid_mean_field, icm, mean_field
from segcore.widgets.crf import STEPS, CrfWidget

from .kit import PHONE, settle

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_the_same_each_time():
    widget = CrfWidget()
    assert widget.to_html() == CrfWidget().to_html()
    assert len(str(widget.public_state())) < 60_000


@pytest.mark.parametrize(
    ("trait", "value"), [("method", "cut"), ("step", 13), ("weight", 6.5), ("color_sigma", 4)]
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any):
    widget = CrfWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def fields(weight: float, sigma: float) -> tuple[Any, ...]:
    widget = CrfWidget()
    return widget.unary, edge_weights(widget.image, weight, sigma), widget.truth, widget.image


def test_what_the_things_to_try_claim():
    unary, weights, truth, image = fields(1.5, 100)
    stopped = icm(unary, weights, iterations=STEPS)
    assert torch.equal(stopped, icm(unary, weights, stopped, 1))
    best = graph_cut(unary, weights)
    assert energy(stopped, unary, weights) > energy(best, unary, weights) + 1
    wrong = {"start": (unary.argmin(0) != truth).sum(), "cut": (best != truth).sum()}
    for sigma in (40, 250):
        found = mean_field(unary, image, 1.5, 0.75, 8, sigma, 3.0, 5).argmax(0)
        wrong[str(sigma)] = (found != truth).sum()
    assert wrong["40"] < 10 < wrong["250"] and wrong["cut"] < wrong["start"]
    unary, weights, _, _ = fields(6, 250)
    steps = {
        p: [free_energy(grid_mean_field(unary, weights, n, p), unary, weights) for n in range(STEPS + 1)]
        for p in (True, False)
    }
    rises = {p: max(b - a for a, b in itertools.pairwise(each)) for p, each in steps.items()}
    assert rises[True] > 10 and rises[False] < 1e-9


# ---- Arithmetic in the browser ---------------------------------------------------------------------------

COURSE = """(root, [method, weight, sigma, steps]) => {
  const { course } = root.segcore.module;
  const { image, odds } = root.segcore.model.get("data");
  const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const values = Float64Array.from(new Int8Array(bytes(odds).buffer), (each) => each / 16);
  const box = { height: 24, width: 32 };
  const run = course(method, { image: bytes(image), odds: values, box, weight, sigma, steps });
  const { costs, least } = run;
  return { maps: run.maps.map((each) => Array.from(each)), costs, exact: Array.from(run.exact), least };
}"""


def run(opened: Any, *args: Any) -> dict[str, Any]:
    found = opened.root.evaluate(COURSE, list(args))
    found["maps"] = torch.tensor(found["maps"], dtype=torch.float64).view(-1, 24, 32)
    return found


@pytest.mark.parametrize(("weight", "sigma"), [(1.5, 100), (3, 40), (6, 250), (0, 100)])
def test_steps_on_the_grid_are_the_librarys(shared_widget: Any, weight: float, sigma: float):
    opened = shared_widget(CrfWidget)
    unary, weights, _, _ = fields(weight, sigma)
    found = run(opened, "icm", weight, sigma, 4)
    for n in range(5):
        labels = icm(unary, weights, iterations=n)
        assert torch.equal(found["maps"][n].long(), labels)
        assert found["costs"][n] == pytest.approx(float(energy(labels, unary, weights)), rel=1e-9)
    best = graph_cut(unary, weights)
    exact = torch.tensor(found["exact"]).view(24, 32).long()
    assert float(energy(exact, unary, weights)) == pytest.approx(
        float(energy(best, unary, weights)), rel=1e-6
    )
    assert found["least"] == pytest.approx(float(energy(best, unary, weights)), rel=1e-6)
    for method, parallel in (("once", True), ("turns", False)):
        found = run(opened, method, weight, sigma, 4)
        for n in range(5):
            q = grid_mean_field(unary, weights, n, parallel)
            torch.testing.assert_close(found["maps"][n], q[1], atol=1e-6, rtol=0)
            assert found["costs"][n] == pytest.approx(float(free_energy(q, unary, weights)), rel=1e-6)


@pytest.mark.parametrize(("weight", "sigma"), [(1.5, 40), (3, 100)])
def test_steps_between_all_pixels_are_the_librarys(shared_widget: Any, weight: float, sigma: float):
    opened = shared_widget(CrfWidget)
    unary, _, _, image = fields(weight, sigma)
    found = run(opened, "dense", weight, sigma, 3)
    for n in range(4):
        q = mean_field(unary, image, 1.5, weight / 2, 8, sigma, 2 * weight, n, exact=True)
        torch.testing.assert_close(found["maps"][n], q[1], atol=1e-6, rtol=0)


# ---- The figure in use -----------------------------------------------------------------------------------


def test_steps_and_controls_change_what_is_drawn(open_widget: Any):
    opened = open_widget(CrfWidget())
    settle(opened)
    picture = opened.root.locator(".now canvas")
    before = picture.evaluate("(el) => el.toDataURL()")
    opened.page.get_by_role("button", name="One step on").click()
    opened.page.wait_for_function(
        "() => document.querySelector('.now .segcore-label').textContent === 'After 1 step'"
    )
    settle(opened)
    assert opened.get("step") == 1
    assert picture.evaluate("(el) => el.toDataURL()") != before
    unary, weights, truth, _ = fields(1.5, 100)
    labels = icm(unary, weights, iterations=1)
    words = opened.root.locator(".segcore-marks").inner_text()
    assert f"{energy(labels, unary, weights):.1f}" in words and str(int((labels != truth).sum())) in words
    opened.page.get_by_role("radio", name="All pairs").check()
    settle(opened)
    assert opened.get("method") == "dense"
    opened.assert_quiet()


def test_playing_ends_at_the_last_step(open_widget: Any):
    opened = open_widget(CrfWidget(step=10))
    settle(opened)
    opened.page.get_by_role("button", name="Play", exact=True).click()
    opened.page.wait_for_function(
        "() => document.querySelector('.now .segcore-label').textContent === 'After 12 steps'"
    )
    settle(opened)
    assert opened.get("step") == STEPS
    opened.assert_quiet()


def test_on_a_phone_the_pictures_stand_side_by_side(open_widget: Any):
    opened = open_widget(CrfWidget(), **PHONE)
    settle(opened)
    boxes = [opened.root.locator(f".{name} canvas").bounding_box() for name in ("image", "start", "now")]
    assert max(box["y"] for box in boxes) - min(box["y"] for box in boxes) < 1
    assert boxes[0]["width"] > 90
