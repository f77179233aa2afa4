"""Modules put into one: what is reached of the kit and no more, each declaration whole, once on a page."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from segcore.widgets import modules
from segcore.widgets.base import KIT_ENDS, STATIC, module_source
from segcore.widgets.bridges import BridgesWidget
from segcore.widgets.encoder_decoders import EncoderDecoderWidget
from segcore.widgets.grouping import HierarchyWidget
from segcore.widgets.scribbles import ScribblesWidget

from .conftest import wait_until_alive, write_page
from .kit import settle, widget_classes

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "ext"))

import course_widgets

NUMBERS = """// Numbers.
const hidden = 1;
export const two = 2 * hidden;
const [three, four] = [3, 4];
export const seven = () => three + four;
export function unused() { return lost; }
const lost = 5;
"""
SUMS = """import { two as pair, unused } from "./numbers.js";
export function double(x) { return pair * x; }
export function idle() { return unused(); }
"""


def kit_of(folder, widget, **kit):
    (folder / "kit").mkdir()
    (folder / "probe.js").write_text(widget)
    for name, text in kit.items():
        (folder / "kit" / f"{name}.js").write_text(text)
    return modules.kit(folder, "probe")


def test_only_what_is_reached_stands_there_in_the_order_of_need(tmp_path):
    scopes = kit_of(tmp_path, 'import { double } from "./kit/sums.js";\n', sums=SUMS, numbers=NUMBERS)
    assert list(scopes) == ["numbers", "sums"]
    assert scopes["numbers"] == (
        "const kit_numbers = (() => {\nconst hidden = 1;\nconst two = 2 * hidden;\nreturn { two };\n})();\n"
    )
    assert "const { two: pair } = kit_numbers;" in scopes["sums"]
    assert "idle" not in scopes["sums"] and "unused" not in scopes["sums"]


def test_names_declared_together_come_together(tmp_path):
    scopes = kit_of(tmp_path, 'import { seven } from "./kit/numbers.js";\n', numbers=NUMBERS)
    assert scopes["numbers"].count("const [three, four] = [3, 4];") == 1
    assert "hidden" not in scopes["numbers"]


def test_what_is_no_declaration_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"kit/sums.js holds 'start\(\);' at its top"):
        kit_of(tmp_path, 'import { one } from "./kit/sums.js";\n', sums="export const one = 1;\nstart();\n")


# Each declaration is read by itself; and whatever word of it can be declared beside it is declared in none.
READ = """(declared) => {
  const legal = (text) => { try { new Function(text); return true; } catch { return false; } };
  const bad = [];
  for (const [names, text] of declared) {
    if (!legal(text)) bad.push(["no declaration by itself", text.slice(0, 60)]);
    const words = new Set(text.match(/[A-Za-z_$][\\w$]*/g));
    for (const word of words) {
      const free = legal(`${text}\\nlet ${word};`);
      if (legal(`let ${word};`) && free === names.includes(word)) bad.push([word, names]);
    }
  }
  return bad;
}"""


def test_a_browser_reads_each_declaration_by_itself(open_path, tmp_path):
    page = tmp_path / "empty.html"
    page.write_text("<link rel=icon href='data:,'>")
    opened, declared = open_path(page), []
    for path in sorted((STATIC / "kit").glob("*.js")):
        if path.name not in {"runtime.js", "notebook.js"}:
            texts: dict[str, list[str]] = {}
            for name, text in modules._read(path).declared.items():
                texts.setdefault(text, []).append(name)
            declared += [[names, text] for text, names in texts.items()]
    assert len(declared) > 200
    assert opened.page.evaluate(READ, declared) == []
    found = opened.page.evaluate(READ, [[["a"], "const a = 1, b = 2;"], [["c"], "const c = `"]])
    assert [each[0] for each in found] == ["b", "no declaration by itself"]


@pytest.mark.parametrize("widget", widget_classes(), ids=lambda each: each._slug)
def test_no_widget_carries_what_it_cannot_reach(widget):
    """Every export of its kit is named in it elsewhere than where it is declared and given out."""
    source = module_source(widget._slug)
    for name, scope in modules.kit(STATIC, widget._slug).items():
        for given in re.findall(r"\w+", scope.rpartition("return {")[2].partition("}")[0]):
            assert len(re.findall(rf"\b{given}\b", source)) > 2, f"{given} of kit/{name}.js"


def test_a_page_holds_the_kit_once(open_path, tmp_path):
    """Two widgets of a chapter, and one of them twice: alive, quiet, with the same pictures, and lighter."""
    widgets = [EncoderDecoderWidget(), BridgesWidget(), BridgesWidget()]
    apart = write_page(tmp_path / "apart.html", *widgets)
    text = apart.read_text(encoding="utf-8")
    once = tmp_path / "once.html"
    once.write_text(course_widgets.kit_once(text), encoding="utf-8")
    light = once.read_text(encoding="utf-8")
    assert light.count("const kit_figure =") == 1 and text.count("const kit_figure =") == 3
    assert light.count('<style data-kit="kit">') == 1 and light.count(KIT_ENDS) == 3
    pictures = []
    for path in (apart, once):
        opened = open_path(path)
        wait_until_alive(opened, 3)
        settle(opened)
        pictures.append(opened.page.evaluate("document.querySelector('main').innerText"))
        opened.assert_quiet()
    assert pictures[0] == pictures[1]


COLOURS = """() => [...document.querySelectorAll(".grouping .segcore-mark.scale")]
  .map((mark) => getComputedStyle(mark).backgroundImage)"""


def test_a_widget_s_own_styles_hold_beside_another(open_path, tmp_path):
    """They stand behind those of the kit, also of the kit that the other brings."""
    found = []
    for name, widgets in (("alone", [HierarchyWidget()]), ("both", [HierarchyWidget(), ScribblesWidget()])):
        path = write_page(tmp_path / f"{name}.html", *widgets)
        path.write_text(course_widgets.kit_once(path.read_text(encoding="utf-8")), encoding="utf-8")
        opened = open_path(path)
        wait_until_alive(opened, len(widgets))
        found.append(opened.page.evaluate(COLOURS))
    assert found[0] == found[1] != []


def test_a_page_with_one_widget_is_left_as_it_is():
    body = f"<p>before</p>{BridgesWidget().to_html()}<p>after</p>"
    assert course_widgets.kit_once(body) == body
