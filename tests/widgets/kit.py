"""What browser tests of widgets have in common; `conftest` has the fixtures and lists all of it."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import statistics
from dataclasses import dataclass, field
from typing import Any

import torch
import traitlets

import segcore.widgets
from segcore.widgets.base import CourseWidget

FRAME = 1000 / 60  # milliseconds that a frame may take
SCRIPT = 0.7 * FRAME  # of them for a widget's script
PACE = 36.0  # milliseconds that PACER takes where these limits were set
COLOURS = ("color-contrast", "link-in-text-block")  # axe's rules that another theme can break
COLUMN = 840  # width of a page whose widget is as wide as the book's column at its widest
PHONE = {"width": 390, "height": 844, "touch": True}

PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<title>Widget</title><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>body {{ margin: 16px; font-family: sans-serif }}
html[data-theme=dark] body {{ background: #15191e; color: #dfe4ea }}</style>
</head><body><main><h1>Widget</h1>{body}</main></body></html>"""


def widget_classes() -> list[type[CourseWidget]]:
    """Every widget of `segcore.widgets`: one more joins the tests without a line of theirs."""
    for found in pkgutil.walk_packages(segcore.widgets.__path__, "segcore.widgets."):
        importlib.import_module(found.name)
    classes, queue = set(), [CourseWidget]
    while queue:
        queue += queue[0].__subclasses__()
        each = queue.pop(0)
        if "_slug" in each.__dict__ and each.__module__.startswith("segcore.widgets."):
            classes.add(each)
    return sorted(classes, key=lambda each: each._slug)


def disc(shape: tuple[int, int], points: list[tuple[int, int]], size: int) -> set[int]:
    """The pixels that a round brush touches at these points, numbered along the rows."""
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    inside = torch.zeros(shape, dtype=torch.bool)
    for x, y in points:
        inside |= (rows - y) ** 2 + (columns - x) ** 2 <= size**2 / 4
    return set(inside.flatten().nonzero()[:, 0].tolist())


def other_value(widget: CourseWidget, skip: tuple[str, ...] = ()) -> tuple[str, Any]:
    """A trait of this widget and a value that it does not have and takes: simple traits first."""

    def near(value: Any) -> list[Any]:
        if isinstance(value, bool):
            return [not value]
        if isinstance(value, int | float):
            return [value + 1, value - 1, value + 2]
        if isinstance(value, list) and value:
            return [[each, *value[1:]] for each in near(value[0])] + [value[:-1], value[1:]]
        return []

    state = widget.public_state()
    settable = [name for name in state if not widget.traits()[name].read_only]
    for name in sorted(settable, key=lambda name: len(json.dumps(state[name]))):
        trait = widget.traits()[name]
        choices = list(trait.values) if isinstance(trait, traitlets.Enum) else near(state[name])
        for value in choices if name not in skip else ():
            fresh = type(widget)(**{key: getattr(widget, key) for key in settable})
            try:
                setattr(fresh, name, value)
            except traitlets.TraitError:
                continue
            changed = {key for key, other in fresh.public_state().items() if other != state[key]}
            if changed == {name}:
                return name, fresh.public_state()[name]
    raise AssertionError(f"{type(widget).__name__}: no trait found that can be set alone")


def refused_value(widget: CourseWidget) -> tuple[str, Any]:
    """A trait of this widget and a value of the right kind that it refuses."""
    state = widget.public_state()
    for name in sorted(state, key=lambda name: len(json.dumps(state[name]))):
        wrong = {str: ["nonsense"], int: [10**9, -(10**9)], float: [10**9, -(10**9)]}.get(
            type(state[name]), []
        )
        for value in [] if widget.traits()[name].read_only else wrong:
            try:
                setattr(type(widget)(), name, value)
            except traitlets.TraitError:
                return name, value
    raise AssertionError(f"{type(widget).__name__}: no simple trait refuses anything")


# ---- An open page ------------------------------------------------------------------------------------------

# Renders a widget once more and takes it away; counts listeners on the model, observers, listeners outside.
REMOVAL = """
async (root) => {
  const { module, model } = root.segcore;
  let [listeners, outer] = [0, 0];
  const spy = {
    get: model.get, set() {}, save_changes() {},
    on() { listeners += 1; }, off() { listeners -= 1; },
  };
  const undo = [];
  const wrap = (owner, name, by) => {
    const original = owner[name];
    owner[name] = function (...args) { by(this); return original.apply(this, args); };
    undo.push(() => { owner[name] = original; });
  };
  const seen = new Set();
  for (const Observer of [MutationObserver, ResizeObserver, IntersectionObserver]) {
    wrap(Observer.prototype, "observe", (o) => seen.add(o));
    wrap(Observer.prototype, "disconnect", (o) => seen.delete(o));
  }
  for (const Target of [window, document, MediaQueryList.prototype]) {
    wrap(Target, "addEventListener", () => { outer += 1; });
    wrap(Target, "removeEventListener", () => { outer -= 1; });
  }
  const el = document.createElement("div");
  document.body.append(el);
  const stop = module.default.render({ model: spy, el });
  await new Promise((done) => setTimeout(done, 200));
  const during = [listeners, seen.size, outer];
  stop();
  const after = [listeners, seen.size, outer];
  undo.forEach((call) => call());
  return { during, after, empty: el.children.length === 0 };
}
"""


CALL = """(root, [name, args]) => {
  const plain = (value) => {
    if (ArrayBuffer.isView(value)) return Array.from(value);
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
  };
  return plain(root.segcore.module[name](...args));
}"""


@dataclass
class OpenPage:
    """A page in the browser, with what it complained of and what it asked the outside for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)  # every address that was asked for, the page's own too

    @property
    def root(self) -> Any:
        return self.page.locator(".segcore-widget[data-widget]").first

    def call(self, function: str, *args: Any) -> Any:
        """Call a function that the widget's module exports, with JSON arguments; arrays become lists."""
        return self.root.evaluate(CALL, [function, list(args)])

    def get(self, trait: str) -> Any:
        return self.root.evaluate("(root, name) => root.segcore.model.get(name)", trait)

    def set(self, trait: str, value: Any) -> None:
        self.root.evaluate("(root, [name, value]) => root.segcore.model.set(name, value)", [trait, value])

    def state(self, names: Any) -> dict[str, Any]:
        script = "(root, names) => Object.fromEntries(names.map((n) => [n, root.segcore.model.get(n)]))"
        return self.root.evaluate(script, list(names))

    def assert_removal_leaves_nothing(self) -> None:
        """What `render` returns undoes it: no listener on model, page or window remains, and no observer."""
        left = self.root.evaluate(REMOVAL.strip())
        assert left["during"][0] > 0, "the counts see nothing"
        assert left["after"] == [0, 0, 0], "listeners on the model, observers, listeners outside"
        assert left["empty"]

    def assert_quiet(self) -> None:
        assert self.errors == [], f"console errors: {self.errors}"
        assert self.requests == [], "requests outside the page's own folder"

    def assert_no_sideways_scroll(self, width: int) -> None:
        """At this width, once all is drawn; the elements that stick out are named."""
        self.page.set_viewport_size({"width": width, "height": self.page.viewport_size["height"]})
        settle(self)
        found = self.page.evaluate(
            """(width) => [document.documentElement.scrollWidth <= width,
              [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > width)
                .slice(0, 5).map((e) => e.outerHTML.slice(0, 100))]""",
            width,
        )
        assert found[0], f"the page scrolls sideways at {width} px: {found[1]}"


def settle(opened: Any) -> None:
    """Wait until what was asked for is drawn: fonts are there, two frames have passed, no worker computes."""
    opened.page.evaluate(
        """async () => {
          await document.fonts.ready;
          const end = performance.now() + 120_000; // a worker that never answers is for the test to tell
          const busy = () => document.querySelector("[data-busy]") && performance.now() < end;
          for (let calm = 0; calm < 2; calm = busy() ? 0 : calm + 1) await new Promise(requestAnimationFrame);
        }"""
    )


def unfold(opened: Any) -> None:
    """Open every `<details>` of the page."""
    opened.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    settle(opened)


def turn(opened: Any, theme: str) -> None:
    """Switch the open page to light or dark, as the book's button does, without fading."""
    opened.page.emulate_media(color_scheme=theme)
    opened.page.evaluate(
        """(theme) => {
          if (!document.querySelector("#kit-still")) document.head.insertAdjacentHTML("beforeend",
            "<style id=kit-still>*, *::before, *::after { transition: none !important }</style>");
          Object.assign(document.documentElement.dataset, { mode: theme, theme });
        }""",
        theme,
    )
    settle(opened)


def centre(locator: Any) -> tuple[float, float]:
    """The middle of an element on screen, in CSS pixels, scrolled to."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def tab_to(opened: Any, selector: str, most: int = 90) -> None:
    """Press Tab until the focus is on an element that matches."""
    for _ in range(most):
        opened.page.keyboard.press("Tab")
        if opened.page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with Tab")


# ---- Accessibility -----------------------------------------------------------------------------------------


# Words of a listing and signs of a formula that look as one before them are hidden: axe would measure the
# contrast of the same ink on the same ground thousands of times.
HIDE_THE_FAMILIAR = """() => {
  const ground = (el) => {
    for (let up = el; up; up = up.parentElement) {
      const colour = getComputedStyle(up).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
  };
  const looks = new Set();
  const style = document.createElement("style");
  style.textContent = "[data-familiar] { visibility: hidden !important }";
  document.head.append(style);
  for (const el of document.querySelectorAll("pre *, mjx-container *")) {
    const { color, fontSize, fontWeight, opacity } = getComputedStyle(el);
    const look = [color, ground(el), fontSize, fontWeight, opacity].join();
    if (looks.has(look) && !el.childElementCount) el.dataset.familiar = "";
    looks.add(look);
  }
  window.showTheFamiliar = () => {
    style.remove();
    for (const el of document.querySelectorAll("[data-familiar]")) delete el.dataset.familiar;
  };
}"""


def faults(opened: Any, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe finds serious.

    Without its preloading, which itself asks for files and fails from ``file://``, and without a list of all
    that is right, which takes it as long as the search. A page reads axe's half a megabyte once.
    """
    from axe_playwright_python.sync_playwright import Axe

    options = {"preload": False, "resultTypes": ["violations"]} | (
        {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    )
    opened.page.evaluate(HIDE_THE_FAMILIAR)
    axe = Axe("0") if opened.page.evaluate("Boolean(window.axe)") else Axe()
    found = axe.run(opened.page, options=options).response["violations"]
    opened.page.evaluate("showTheFamiliar()")
    return [
        f"{v['id']}: {node['target']} {node['html'][:160]}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]


def assert_accessible(opened: Any) -> None:
    """No serious fault in light, and none of colours in dark; the page is left dark."""
    turn(opened, "light")
    assert faults(opened) == [], "in light"
    turn(opened, "dark")
    assert faults(opened, COLOURS) == [], "in dark"


WALK_BEGIN = """(root) => {
  for (const end of ["before", "after"])
    root[end](Object.assign(document.createElement("button"), { textContent: end, id: `kit-${end}` }));
  // What a focus could change: of the element, its neighbours and what it holds; a canvas's picture too.
  const look = (el) => [el, el.nextElementSibling, el.parentElement, el.closest("label"), ...el.children]
    .filter(Boolean).map((each) => {
      const s = getComputedStyle(each);
      const picture = each.tagName === "CANVAS" && each === el ? each.toDataURL() : "";
      return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor,
        s.stroke, s.strokeWidth, s.opacity, s.visibility, picture].join();
    }).join("|");
  const shown = (el) => el.checkVisibility({ visibilityProperty: true });
  const controls = "a[href], button, input, select, textarea, summary, [tabindex]";
  const all = () => [...root.querySelectorAll(controls)]
    .filter((el) => shown(el) && !el.disabled && el.getAttribute("aria-disabled") !== "true"
      && !el.closest("[inert]"));
  root.kit = { look, all, plain: new Map(all().map((el) => [el, look(el)])), visited: new Map() };
  document.querySelector("#kit-before").focus();
}"""

WALK_STEP = """(root) => {
  const el = document.activeElement;
  if (el.id === "kit-after") return "end";
  if (!root.contains(el)) return "outside";
  if (root.kit.visited.has(el)) return "again";
  root.kit.visited.set(el, root.kit.look(el));
  return "";
}"""

WALK_END = """(root) => {
  const { look, all, plain, visited } = root.kit;
  const name = (el) => el.outerHTML.slice(0, 120);
  const dim = [...visited].filter(([el, look_]) =>
    (el.isConnected ? look(el) : plain.get(el)) === look_).map(([el]) => name(el));
  // One stop serves a group: radio buttons of a name, and what arrow keys reach inside a composite.
  const group = (el) => el.closest("[role=grid], [role=radiogroup], [role=listbox], [role=toolbar], "
    + "[role=tablist], [role=menu], [role=group], fieldset, table");
  const served = (el) => visited.has(el)
    || (el.type === "radio" && [...visited.keys()].some((v) => v.type === "radio" && v.name === el.name))
    || (el.tabIndex < 0 && group(el) && root.contains(group(el)) && group(el) !== root
      && [...visited.keys()].some((v) => group(el).contains(v)));
  const missed = all().filter((el) => !served(el)).map(name);
  document.querySelectorAll("#kit-before, #kit-after").forEach((each) => each.remove());
  return { stops: visited.size, dim, missed };
}"""


def keyboard_walk(opened: Any, most: int = 400) -> dict[str, Any]:
    """Tab from before the widget to behind it: `stops`, controls `missed`, and stops whose focus is `dim`."""
    opened.root.evaluate(WALK_BEGIN)
    for _ in range(most):
        opened.page.keyboard.press("Tab")
        where = opened.root.evaluate(WALK_STEP)
        if where:
            break
    else:
        raise AssertionError(f"the focus does not leave the widget in {most} steps")
    assert where == "end", f"the focus goes {where} before it comes to the widget's end"
    return opened.root.evaluate(WALK_END)


# ---- Controls ----------------------------------------------------------------------------------------------

# The n-th control of a widget that can be moved by key: focuses it and says which key moves it and where.
# Plain JavaScript, for it runs in Chromium, in Firefox and in JupyterLab.
PICK = """(root, n, selector) => {
  const controls = [...root.querySelectorAll(selector
    || "input[type=range], input[type=number], input[type=radio], input[type=checkbox], select, "
      + "button, [role=slider][tabindex], [role=gridcell][tabindex='0']")]
    .filter((el) => !el.disabled && el.getAttribute("aria-disabled") !== "true" && el.checkVisibility()
      && !(el.type === "radio" && el.checked));
  const order = ["[type=range]", "input, select", "button", "*"];
  const rank = (el) => order.findIndex((kind) => el.matches(kind));
  controls.sort((a, b) => rank(a) - rank(b));
  const el = controls[n];
  if (!el) return null;
  el.scrollIntoView({ block: "center" });
  el.focus();
  const atEnd = el.type === "range" && Number(el.value) >= Number(el.max);
  const keys = { range: atEnd ? "ArrowLeft" : "ArrowRight", number: "ArrowUp", radio: " ", checkbox: " " };
  const key = el.matches("button") ? "Enter" : el.matches("input") ? keys[el.type] ?? "Enter" : "ArrowRight";
  const box = (el.labels?.[0] ?? el).getBoundingClientRect();
  return { key: el.matches("select") ? "ArrowDown" : key, name: el.outerHTML.slice(0, 120),
    at: [box.x + box.width / 2, box.y + box.height / 2] };
}"""


def move_a_control(opened: Any, names: Any, selector: str = "", most: int = 12) -> dict[str, Any]:
    """Move one control after the other by key until the widget's state differs; what differs, by name."""
    before, tried = opened.state(names), []
    for n in range(most):
        picked = opened.root.evaluate(f"(root, [n, selector]) => ({PICK})(root, n, selector)", [n, selector])
        if picked is None:
            break
        tried.append(picked["name"])
        opened.page.keyboard.press(picked["key"])
        settle(opened)
        after = opened.state(names)
        if after != before:
            return {name: value for name, value in after.items() if value != before[name]}
    raise AssertionError(f"no control changes the widget's state; tried {tried}")


# ---- Touch -------------------------------------------------------------------------------------------------


def touch_drag(opened: Any, start: tuple[float, float], *points: tuple[float, float], rest: int = 0) -> None:
    """A finger goes down at `start`, over the points, rests for so many milliseconds, and goes up."""
    session = opened.page.context.new_cdp_session(opened.page)
    moves = [("touchStart", [start]), *(("touchMove", [point]) for point in points), ("touchEnd", [])]
    for kind, at in moves:
        if kind == "touchEnd" and rest:
            opened.page.wait_for_timeout(rest)
        touches = [{"x": x, "y": y} for x, y in at]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    session.detach()
    settle(opened)


def thumb(opened: Any, x: float, y: float, by: float = 160) -> float:
    """Push the page up with a thumb that goes down at (x, y); how far the page scrolled."""
    before = opened.page.evaluate("scrollY")
    points = [(x, y - by * n / 4) for n in range(1, 5)]
    touch_drag(opened, (x, y), *points, rest=200)  # lifted in motion, it would fling the page on and on
    return opened.page.evaluate(AT_REST) - before


# Where the page stands once it has not scrolled for twelve frames.
AT_REST = """() => new Promise((done) => {
  let [last, still] = [scrollY, 0];
  const look = () => {
    [last, still] = [scrollY, scrollY === last ? still + 1 : 0];
    if (still >= 12) done(scrollY); else requestAnimationFrame(look);
  };
  look();
})"""


# ---- Time and size -----------------------------------------------------------------------------------------

# Runs before the page's scripts: notes when the last of its widgets has come alive, and each layout shift.
WATCH = """
window.kitAlive = null;
window.kitShift = 0;
new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.kitShift += e.value; }))
  .observe({ type: "layout-shift", buffered: true });
new MutationObserver(() => {
  const widgets = [...document.querySelectorAll(".segcore-widget[data-widget]")];
  if (widgets.length && widgets.every((w) => w.dataset.ready === "true")) window.kitAlive = performance.now();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-ready"] });
"""


def alive_after(opened: Any) -> float:
    """Milliseconds from opening the page to the last of its widgets being alive."""
    return opened.page.evaluate("window.kitAlive")


def layout_shift(opened: Any) -> float:
    """The page's layout shifts so far, added up (CLS counts those that no input caused)."""
    settle(opened)
    return opened.page.evaluate("window.kitShift")


def first_form_height(opened: Any) -> float:
    """Height in pixels of what a reader sees first, the one element `.segcore-first` in `.segcore-root`."""
    found = opened.root.locator(".segcore-root .segcore-first")
    assert found.count() == 1, f"{found.count()} elements .segcore-first, there must be one"
    return found.bounding_box()["height"]


@dataclass(frozen=True)
class Frames:
    """What frames cost: processor time a frame, and the widget's own clock, all in milliseconds."""

    count: int
    script: float
    task: float
    median: float
    most: float  # 95th percentile
    slower: float  # than where the limits were set, the page's own arithmetic: how many times, at least 1

    def dear(self) -> bool:
        """Whether a frame costs more than it may."""
        return self.script >= self.slower * SCRIPT or self.task >= self.slower * 2 * FRAME

    def assert_smooth(self, least: int = 100) -> None:
        """Sixty frames a second, judged by processor time: a shared machine stretches the widget's clock.

        Processors for rent differ by half from hour to hour, and two processes on one core slow each other:
        the limits grow by as much as the same arithmetic took longer in the same page, just before and after.
        """
        assert self.count >= least
        assert self.script < self.slower * SCRIPT, "script, processor time a frame"
        painted = "even where a processor without a graphics card paints every pixel"
        assert self.task < self.slower * 2 * FRAME, painted


# Arithmetic over an array that fits no first cache, as widgets do over pictures.
PACER = """() => {
  const values = new Float64Array(1 << 16);
  for (let round = 0; round < 200; round++) {
    for (let n = 0; n < values.length; n++) values[n] = Math.sqrt(values[n] + n * round);
  }
  return values[7];
}"""


def measure_frames(opened: Any, moves: str, *args: Any) -> Frames:
    """Run `moves`, JavaScript ``async (root, args) => times`` that gives the frames' times; seen with -s.

    What else the machine does only adds to what a frame costs, so where it seems too much, the moves are made
    up to three times more, and the least counts.
    """
    found = [_measured(opened, moves, *args)]
    while len(found) < 4 and min(found, key=lambda each: each.script).dear():
        found.append(_measured(opened, moves, *args))
    return min(found, key=lambda each: each.script)


def _measured(opened: Any, moves: str, *args: Any) -> Frames:
    session = opened.page.context.new_cdp_session(opened.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> dict[str, float]:
        return {m["name"]: 1000 * m["value"] for m in session.send("Performance.getMetrics")["metrics"]}

    settle(opened)
    begin = busy()
    opened.page.evaluate(PACER)
    before = busy()
    times = opened.root.evaluate(moves, list(args))
    after = busy()
    opened.page.evaluate(PACER)
    end = busy()
    session.detach()
    script, task = ((after[k] - before[k]) / len(times) for k in ("ScriptDuration", "TaskDuration"))
    pace = (before["TaskDuration"] - begin["TaskDuration"] + end["TaskDuration"] - after["TaskDuration"]) / 2
    tail = statistics.quantiles(times, n=20)[-1]
    frames = Frames(len(times), script, task, statistics.median(times), tail, max(1.0, pace / PACE))
    print(f"the page's own arithmetic: {pace:.0f} ms")
    print({name: round(value, 2) for name, value in dataclasses.asdict(frames).items()})
    return frames
