"""The test kit itself must be able to fail: one widget with the faults that it looks for."""

from __future__ import annotations

from typing import Any

import pytest
import traitlets

from segcore.widgets import base
from segcore.widgets.base import STATIC, CourseWidget

from .kit import (
    PHONE,
    faults,
    first_form_height,
    keyboard_walk,
    layout_shift,
    measure_frames,
    move_a_control,
    other_value,
    refused_value,
    settle,
    thumb,
)

FAULTY = """export default { render({ model, el }) {
  window.addEventListener("resize", () => model.get("count"));
  el.innerHTML = `<div class="segcore-root"><div class="segcore-first">
    <p id="pale" style="color: #bbb; background: #fff">Pale words</p>
    <button id="dim" style="outline: none">No focus to be seen</button>
    <div><button id="out" tabindex="-1">Not reached</button></div>
    <button id="good">Good</button></div>
    <div id="wide" style="width: 700px">Wide</div>
    <div id="wall" style="height: 500px; touch-action: none; background: #eee"></div></div>`;
  model.on("change:count", () => {});
  window.push = () => el.querySelector("#pale").before(Object.assign(document.createElement("div"),
    { id: "late", style: "height: 300px" }));
} };
"""


@pytest.fixture
def faulty(tmp_path: Any, monkeypatch: Any) -> type[CourseWidget]:
    (tmp_path / "kit").symlink_to(STATIC / "kit")
    (tmp_path / "faulty.js").write_text(FAULTY)
    (tmp_path / "faulty.css").write_text("")
    monkeypatch.setattr(base, "STATIC", tmp_path)

    class Faulty(CourseWidget):
        _slug = "faulty"
        _title = "A faulty widget"
        count = traitlets.Int(1, min=0, max=9).tag(sync=True)

    return Faulty


def test_faults_are_found(faulty: Any, open_widget: Any) -> None:
    opened = open_widget(faulty())
    assert layout_shift(opened) < 0.05
    assert any("#pale" in fault for fault in faults(opened))
    walk = keyboard_walk(opened)
    assert walk["stops"] == 2
    assert len(walk["missed"]) == 1 and 'id="out"' in walk["missed"][0]
    assert len(walk["dim"]) == 1 and 'id="dim"' in walk["dim"][0]
    with pytest.raises(AssertionError, match="no control changes"):
        move_a_control(opened, ["count"])
    opened.page.evaluate("push()")
    settle(opened)
    assert layout_shift(opened) > 0.05
    assert first_form_height(opened) > 300
    with pytest.raises(AssertionError, match=r"sideways at 390 px: .*wide"):
        opened.assert_no_sideways_scroll(390)


def test_what_stays_after_removal_is_found(tmp_path: Any, faulty: Any, open_widget: Any) -> None:
    opened = open_widget(faulty())
    opened.root.evaluate("""(root) => { const { render } = root.segcore.module.default;
      root.segcore.module = { default: { render: (args) => { render(args); return () => {}; } } }; }""")
    with pytest.raises(AssertionError, match="listeners on the model"):
        opened.assert_removal_leaves_nothing()


def test_a_thumb_is_held_by_what_takes_touches(faulty: Any, open_widget: Any) -> None:
    opened = open_widget(faulty(), **PHONE)
    opened.page.evaluate("document.body.style.paddingBottom = '1600px'")
    opened.page.evaluate("document.querySelector('#wall').scrollIntoView()")
    settle(opened)
    assert thumb(opened, 195, 300) == 0
    opened.page.evaluate("document.querySelector('#wall').style.touchAction = 'pan-y'")
    settle(opened)
    assert thumb(opened, 195, 300) > 50


def test_slow_frames_are_found(faulty: Any, open_widget: Any) -> None:
    opened = open_widget(faulty())
    busy = """async (root, [roots]) => { const times = [];
      for (let n = 0; n < 20; n++) await new Promise((done) => requestAnimationFrame(() => {
        const begin = performance.now();
        let sum = 0;  // work, not time by the clock, of which a busy machine gives a part
        for (let n = 0; n < roots; n++) sum += Math.sqrt(n);
        times.push(performance.now() - begin + 0 * sum);
        done();
      }));
      return times; }"""
    measure_frames(opened, busy, 0).assert_smooth(least=20)
    with pytest.raises(AssertionError, match="script, processor time"):
        measure_frames(opened, busy, 20_000_000).assert_smooth(least=20)


def test_values_to_try_are_legal_and_others_are_not(faulty: Any) -> None:
    assert other_value(faulty()) == ("count", 2)
    assert refused_value(faulty()) == ("count", 10**9)
