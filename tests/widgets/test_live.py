"""The same widget live in JupyterLab: what is dragged arrives in Python, what Python sets moves the box."""

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
from typing import Any

import nbformat
import pytest

SOURCE = "from segcore.widgets.roi_align import RoIAlignWidget\nwidget = RoIAlignWidget()\nwidget"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on localhost with one notebook; its address, token included."""
    home = tmp_path_factory.mktemp("jupyter")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SOURCE)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (home / "notebooks").mkdir()
    nbformat.write(notebook, home / "notebooks" / "live.ipynb")
    port, token = free_port(), secrets.token_hex(16)
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **folders, "IPYTHONDIR": str(home / "ipython"), "JUPYTER_PLATFORM_DIRS": "1"}
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
        yield f"http://127.0.0.1:{port}/lab/tree/live.ipynb?token={token}"
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


def poll(read: Callable[[], Any], accept: Callable[[Any], bool], seconds: float = 10) -> Any:
    """Messages between page and kernel take their time: read until the value is accepted."""
    deadline = time.monotonic() + seconds
    while not accept(value := read()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(0.1)
    return value


def test_the_box_is_one_in_page_and_kernel(browser: Any, lab: str) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 1800})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(lab)
        page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.sessionContext", timeout=60_000
        )
        page.wait_for_function(
            "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
            timeout=60_000,
        )
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_selector(".jp-OutputArea .segcore-widget canvas", timeout=60_000)
        assert page.locator(".segcore-stage").count() == 0, (
            "JupyterLab must pick the live widget, not the static form"
        )
        kernel = Kernel(page)
        before = kernel.evaluate("list(widget.box)")

        # Dragging in the page moves the traitlet.
        move = page.locator(".jp-OutputArea .handle-move").first
        move.scroll_into_view_if_needed()
        area = move.bounding_box()
        x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 40, y + 10, steps=8)
        page.mouse.up()
        after = poll(lambda: kernel.evaluate("list(widget.box)"), lambda box: box != before)
        assert after[0] > before[0] and after[1] > before[1]
        assert after[2] - after[0] == pytest.approx(before[2] - before[0], abs=1e-6), (
            "dragging keeps the size"
        )

        # Once things are at rest, page and kernel agree: no late echo of the kernel's has set the box back.
        fields = page.locator(".jp-OutputArea .edge-field input")

        def shown() -> list[float]:
            return [float(fields.nth(n).input_value()) for n in range(4)]

        poll(lambda: kernel.evaluate("list(widget.box)"), lambda box: box == pytest.approx(shown()))
        assert area["x"] + 40 == pytest.approx(move.bounding_box()["x"], abs=1)

        # Setting the traitlet moves the box in the page.
        view = page.locator(".jp-OutputArea .map-view").first.bounding_box()
        unit = view["width"] / (
            14 * 16
        )  # CSS pixels per pixel of the image: 12 cells, and one of room at each side
        kernel.run("widget.box = [20.25, 30.5, 90.0, 100.75]")
        poll(shown, lambda box: box == pytest.approx([20.25, 30.5, 90.0, 100.75]))
        box = poll(move.bounding_box, lambda box: abs(box["x"] - view["x"] - (20.25 + 16) * unit) < 1)
        assert box["width"] == pytest.approx(69.75 * unit, abs=1)
        assert box["y"] - view["y"] == pytest.approx((30.5 + 16) * unit, abs=1)
        kernel.run("widget.output_size = [2, 3]")
        grid = page.locator(".jp-OutputArea .output.align [role=gridcell]")
        poll(grid.count, lambda count: count == 6)
        assert errors == []
    finally:
        context.close()
