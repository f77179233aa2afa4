"""The base class: both forms, deterministic, and safe against what a label may contain."""

from __future__ import annotations

import pytest
import traitlets

from segcore.widgets import base
from segcore.widgets.base import STATIC, CourseWidget

MODULE = """import { double } from "./kit/sums.js";
export function quadruple(x) { return double(double(x)); }
export default { render({ model, el }) {
  const button = document.createElement("button");
  const show = () => { button.textContent = model.get("label") + " " + quadruple(model.get("count")); };
  const press = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
  button.addEventListener("click", press);
  model.on("change:count", show);
  show();
  el.append(button);
} };
"""


def make_class(tmp_path, monkeypatch):
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "sums.js").write_text(
        'import { two as pair } from "./numbers.js";\n'
        "const hidden = pair;\nexport function double(x) { return hidden * x; }\n"
    )
    (kit / "numbers.js").write_text("const hidden = 1;\nexport const two = 2 * hidden;\n")
    (kit / "kit.css").write_text(".segcore-widget { color: inherit }\n")
    for name in ("runtime.js", "notebook.js"):
        (kit / name).write_text((STATIC / "kit" / name).read_text())
    (tmp_path / "probe.js").write_text(MODULE)
    (tmp_path / "probe.css").write_text("")
    monkeypatch.setattr(base, "STATIC", tmp_path)

    class Probe(CourseWidget):
        _slug = "probe"
        _title = "A probe"
        count = traitlets.Int(1).tag(sync=True)
        label = traitlets.Unicode("count").tag(sync=True)
        unsynced = traitlets.Int(7)

    return Probe


def test_bundle_holds_both_forms_and_no_address(tmp_path, monkeypatch):
    probe = make_class(tmp_path, monkeypatch)
    first, second = (probe()._repr_mimebundle_()[0] for _ in range(2))
    assert "application/vnd.jupyter.widget-view+json" in first
    assert first["text/plain"] == "Probe()"
    assert first["text/html"] == second["text/html"], "two builds must be equal to the byte"


def test_state_holds_synced_traits_alone(tmp_path, monkeypatch):
    assert make_class(tmp_path, monkeypatch)(count=3).public_state() == {"count": 3, "label": "count"}


def test_different_state_gives_different_id(tmp_path, monkeypatch):
    probe = make_class(tmp_path, monkeypatch)
    assert probe(count=1).to_html() != probe(count=2).to_html()


def test_an_import_that_the_kit_lacks_is_named(tmp_path, monkeypatch):
    make_class(tmp_path, monkeypatch)
    (tmp_path / "probe.js").write_text('import { triple } from "./kit/sums.js";\n')
    with pytest.raises(ValueError, match=r"probe.js imports triple from kit/sums.js"):
        base.module_source("probe")


def test_alive_in_a_page_without_kernel(tmp_path, monkeypatch, open_widget):
    opened = open_widget(make_class(tmp_path, monkeypatch)(count=2))
    button = opened.page.locator("button")
    assert button.inner_text() == "count 8"
    button.click()
    assert button.inner_text() == "count 12"
    assert opened.get("count") == 3
    assert opened.call("quadruple", 2.5) == 10
    opened.assert_quiet()


def test_a_hostile_label_is_only_text(tmp_path, monkeypatch, open_widget):
    label = "</script><script>window.broken = 1</script><!-- & \u2028 '\""
    opened = open_widget(make_class(tmp_path, monkeypatch)(label=label))
    assert opened.get("label") == label
    assert opened.page.evaluate("window.broken") is None
    opened.assert_quiet()


def test_kit_notes_errors_and_outside_requests(tmp_path, open_path):
    """The kit itself must be able to fail."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<link rel=icon href='data:,'>"
        "<script>fetch('https://example.org/x').catch(() => {}); nothing()</script>"
    )
    opened = open_path(page)
    opened.page.wait_for_timeout(200)
    assert any("nothing" in error for error in opened.errors)
    assert opened.requests == ["https://example.org/x"]


@pytest.mark.parametrize("name", ["render", "initialize"])
def test_a_name_that_anywidget_calls_is_refused(tmp_path, monkeypatch, name):
    """A notebook would call it in place of the default export; a page would not, and hide the fault."""
    make_class(tmp_path, monkeypatch)
    (tmp_path / "probe.js").write_text(MODULE + f"export function {name}() {{}}\n")
    with pytest.raises(ValueError, match=f"exports {name}, a name that anywidget calls"):
        base.module_source("probe")
