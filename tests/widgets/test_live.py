"""Every widget live in JupyterLab: what a hand does arrives in Python, what Python sets is drawn."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import nbformat
import pytest

from .kit import PICK, other_value, settle, unfold, widget_classes

CLASSES = {each._slug: each for each in widget_classes()}
# As many as a reader may have in one notebook: JupyterLab asks the kernel for all widgets' states at once,
# and goes on without those that do not come within seconds.
GROUPS = [list(CLASSES)[start : start + 6] for start in range(0, len(CLASSES), 6)]
CELL = """from {module} import {name}
from IPython.display import display
W = globals().get("W", {{}})
W["{slug}"] = {name}()
display(W["{slug}"], W["{slug}"])"""
CONTROL: dict[str, str] = {}  # a control's selector, for a widget whose first ones change nothing it keeps


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on localhost with a notebook for each group, a cell for each widget; a form of address."""
    home = tmp_path_factory.mktemp("jupyter")
    (home / "notebooks").mkdir()
    for number, group in enumerate(GROUPS):
        classes = [(CLASSES[slug], slug) for slug in group]
        sources = [CELL.format(module=c.__module__, name=c.__name__, slug=slug) for c, slug in classes]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, home / "notebooks" / f"live{number}.ipynb")
    port, token = free_port(), secrets.token_hex(16)
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **folders, "IPYTHONDIR": str(home / "ipython"), "JUPYTER_PLATFORM_DIRS": "1"}
    settings = home / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')  # every output stays, also far from what is in sight
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    environment.pop("SEGCORE_STATIC", None)
    log = (home / "log").open("wb")
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={home / 'notebooks'}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=2).read()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail("JupyterLab did not start:\n" + (home / "log").read_text()[-3000:])
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/lab/workspaces/w{{0}}/tree/live{{0}}.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(20)
        log.close()


class Kernel:
    """Python behind the notebook, asked through the page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def evaluate(self, expression: str) -> Any:
        text = self.page.evaluate(
            """async (code) => {
              const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
              let text = "";
              const future = kernel.requestExecute({ code, silent: false, store_history: false });
              future.onIOPub = (message) => {
                if (message.header.msg_type === "stream") text += message.content.text;
                if (message.header.msg_type === "error") text += "ERROR " + message.content.evalue;
              };
              await future.done;
              return text;
            }""",
            f"import json; print(json.dumps({expression}))",
        )
        assert not text.startswith("ERROR"), text
        return json.loads(text)

    def run(self, statement: str) -> None:
        self.evaluate(f"exec({statement!r})")


def poll(read: Callable[[], Any], accept: Callable[[Any], bool], seconds: float = 60, what: str = "") -> Any:
    """Messages between page and kernel take their time: read until the value is accepted."""
    deadline = time.monotonic() + seconds
    while not accept(value := read()):
        assert time.monotonic() < deadline, f"{what} still {value!r} after {seconds} s"
        time.sleep(0.1)
    return value


@dataclass
class Notebook:
    """The open notebook: a page, its kernel, and the two views of each widget."""

    page: Any
    kernel: Kernel
    errors: list[str]
    slugs: list[str]

    def views(self, slug: str) -> Any:
        """The widget's two views, scrolled to: JupyterLab leaves out what is far away."""
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").nth(self.slugs.index(slug))
        views = cell.locator(".jp-OutputArea-output .segcore-root")

        def scrolled() -> int:  # again and again: what comes alive above moves it away
            cell.scroll_into_view_if_needed()
            return views.count()

        poll(scrolled, lambda count: count == 2, 180, f"{slug}: views")
        return views

    def state(self, slug: str) -> dict[str, Any]:
        return self.kernel.evaluate(f"W[{slug!r}].public_state()")

    def wait_for_widgets(self) -> None:
        for slug in self.slugs:
            self.views(slug)
        unfold(self)

    def assert_quiet(self) -> None:
        assert self.errors == []


def picture(view: Any) -> Any:
    """All that is drawn: markup, what fields hold, the pixels of canvases."""
    return view.evaluate(
        """(root) => [root.innerHTML.replace(/ data-lm-suppress-shortcuts="true"/g, ""),
          ...[...root.querySelectorAll("input, select")].map((el) => [el.value, el.checked]),
          ...[...root.querySelectorAll("canvas")].map((el) => el.width && el.toDataURL())]"""
    )


@pytest.fixture(scope="module", params=range(len(GROUPS)))
def notebook(browser: Any, lab: str, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """JupyterLab in the browser with one of the notebooks, all cells run."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(lab.format(request.param))
    wait_for_kernel(page)
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    opened = Notebook(page, Kernel(page), errors, GROUPS[request.param])
    opened.wait_for_widgets()
    yield opened
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    context.close()


def wait_for_kernel(page: Any) -> None:
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext", timeout=60_000)
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )


@pytest.mark.parametrize(
    ("notebook", "slug"),
    [(number, slug) for number, group in enumerate(GROUPS) for slug in group],
    indirect=["notebook"],
    scope="module",
)
def test_page_and_kernel_are_one(notebook: Notebook, slug: str) -> None:
    """Shown twice; Python moves both pictures, a hand in one moves Python and the other picture."""
    assert notebook.page.locator(".jp-Notebook .segcore-stage").count() == 0, (
        "JupyterLab must pick the live widget, not the static form"
    )
    views = notebook.views(slug)
    first, second = views.nth(0), views.nth(1)
    settle(notebook)
    assert first.bounding_box()["height"] > 100

    widget = CLASSES[slug]()
    name, value = other_value(widget)
    before = picture(first), picture(second)
    notebook.kernel.run(f"W[{slug!r}].{name} = {value!r}")
    for view, old in zip((first, second), before, strict=True):
        view.scroll_into_view_if_needed()  # a network rests where nobody sees it
        poll(lambda: picture(view) != old, bool)  # noqa: B023

    state, old, tried = notebook.state(slug), picture(second), []
    for n in range(12):
        picked = first.evaluate(f"(root, args) => ({PICK})(root, ...args)", [n, CONTROL.get(slug, "")])
        assert picked, f"no control changes the traits; tried {tried}"
        tried.append(picked["name"])
        if picked["key"].startswith("Arrow"):
            notebook.page.keyboard.press(picked["key"])
        else:
            notebook.page.mouse.click(*picked["at"])
        try:
            poll(lambda: notebook.state(slug), lambda now: now != state, 1.5)
            break
        except AssertionError:
            continue
    else:
        raise AssertionError(f"no control changes the traits; tried {tried}")
    second.scroll_into_view_if_needed()
    poll(lambda: picture(second) != old, bool)
    notebook.assert_quiet()


def test_no_id_stands_twice(notebook: Notebook) -> None:
    script = "Array.from(document.querySelectorAll('.segcore-root [id]'), (node) => node.id)"
    ids = notebook.page.evaluate(script)
    assert len(ids) == len(set(ids))  # some widgets need none


@pytest.mark.parametrize(
    "notebook",
    [n for n, group in enumerate(GROUPS) if "roi_align" in group],
    indirect=True,
    scope="module",
)
def test_a_dragged_box_is_not_set_back(notebook: Notebook) -> None:
    """A drag sends many messages; at rest page and kernel agree, and no late echo moves the box."""
    kernel, page = notebook.kernel, notebook.page
    move = notebook.views("roi_align").first.locator(".handle-move").first
    kernel.run("W['roi_align'].box = [20.25, 30.5, 90.0, 100.75]")
    move.scroll_into_view_if_needed()
    settle(notebook)
    before = kernel.evaluate("list(W['roi_align'].box)")
    area = move.bounding_box()
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 10, steps=8)
    page.mouse.up()
    after = poll(lambda: kernel.evaluate("list(W['roi_align'].box)"), lambda box: box != before)
    page.wait_for_timeout(500)
    after = kernel.evaluate("list(W['roi_align'].box)")
    assert after[0] > before[0] and after[1] > before[1]
    assert after[2] - after[0] == pytest.approx(before[2] - before[0], abs=1e-6), "dragging keeps the size"
    assert area["x"] + 40 == pytest.approx(move.bounding_box()["x"], abs=1)
    kernel.run("W['roi_align'].box = [20.25, 30.5, 55.125, 100.75]")
    width = poll(lambda: move.bounding_box()["width"], lambda width: width < 0.6 * area["width"])
    assert width == pytest.approx(area["width"] / 2, abs=1)
    notebook.assert_quiet()


LOOKS = """(root) => [...root.querySelectorAll(".segcore-mark, .segcore-first > div")].map((node) => {
  const style = getComputedStyle(node);
  const { backgroundColor, backgroundImage, borderRadius, borderTopWidth, columnGap, maxWidth } = style;
  const size = node.matches(".segcore-mark") ? [style.height, style.width] : [];
  return [node.className, backgroundColor, backgroundImage, borderRadius, borderTopWidth, columnGap, maxWidth,
    ...size];
})"""


def test_own_styles_hold_beside_other_widgets(notebook: Notebook, open_widget: Any) -> None:
    """The kit's styles stand once in the notebook, before all own ones: a widget looks as it does alone."""
    notebook.page.evaluate(
        "jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })"
    )
    notebook.page.wait_for_selector("body[data-jp-theme-light=true]", state="attached")
    kit = notebook.page.evaluate(
        "[...document.styleSheets].filter((each) => each.ownerNode.dataset.segcoreKit === 'kit').length"
    )
    assert kit == 1
    for slug in notebook.slugs:
        alone = open_widget(CLASSES[slug]()).root.evaluate(LOOKS)
        assert alone and notebook.views(slug).first.evaluate(LOOKS) == alone, slug


DRAWN = """(root) => [getComputedStyle(root).color,
    ...[...root.querySelectorAll("canvas")].map((el) => el.width && el.toDataURL())]"""


def test_light_and_dark(notebook: Notebook) -> None:
    """JupyterLab's own switch, there and back: words and canvases of every widget follow."""
    script = "(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })"

    def drawn() -> dict[str, list[Any]]:
        return {slug: notebook.views(slug).first.evaluate(DRAWN) for slug in notebook.slugs}

    def follows(slug: str, old: list[Any]) -> Callable[[list[Any]], bool]:
        return lambda now: now[0] != old[0] and (not any(old[1:]) or now[1:] != old[1:])

    seen = drawn()
    for theme, light in (("JupyterLab Dark", "false"), ("JupyterLab Light", "true")):
        notebook.page.evaluate(script, theme)
        notebook.page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
        before, seen = seen, {}
        for slug in notebook.slugs:
            view = notebook.views(slug).first
            view.scroll_into_view_if_needed()
            seen[slug] = poll(lambda: view.evaluate(DRAWN), follows(slug, before[slug]), what=slug)  # noqa: B023
    notebook.assert_quiet()


def test_reopened(notebook: Notebook) -> None:
    """Saved and opened again, the kernel still running: every widget stands there and follows."""
    page = notebook.page
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    page.reload()
    wait_for_kernel(page)
    notebook.wait_for_widgets()
    for slug in notebook.slugs:
        name, value = other_value(CLASSES[slug]())
        view = notebook.views(slug).first
        values = [value, CLASSES[slug]().public_state()[name]]
        if notebook.state(slug)[name] == values[0]:
            values.reverse()
        before = picture(view)
        notebook.kernel.run(f"W[{slug!r}].{name} = {values[0]!r}")
        poll(lambda: picture(view) != before, bool)  # noqa: B023
    notebook.assert_quiet()
