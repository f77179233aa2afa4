"""Firefox by WebDriver BiDi, which it speaks itself: no driver to install; one process, one tab for all.

`Firefox.open` gives an open page like that of the kit for Chromium: those functions of the kit that evaluate
JavaScript and press keys take it too (`settle`, `move_a_control`, `keyboard_walk`, ...).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .kit import OpenPage

FIREFOX = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
LOCAL = ("file:", "data:", "blob:", "about:", "resource:", "chrome:")

# Nothing of its own on the network, no first-run pages, no motion; the web sees a dead proxy.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.type": 1,
    "remote.active-protocols": 1,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "termsofuse.bypassNotification": True,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "ui.prefersReducedMotion": 1,
}

KEYS = {
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Shift": "\ue008",
    "Control": "\ue009",
    "PageUp": "\ue00e",
    "PageDown": "\ue00f",
    "End": "\ue010",
    "Home": "\ue011",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
}
FUNCTION = re.compile(r"\s*(async\s+)?(\([^)]*\)|\w+)\s*=>")


class Firefox:
    """One Firefox without a window, its tab, and the connection to it."""

    def __init__(self, home: Path, seconds: float = 60) -> None:
        import websocket

        profile = home / "profile"
        profile.mkdir()
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        self.log = home / "firefox.log"
        command = [FIREFOX, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        environment = {**os.environ, "HOME": str(home), "MOZ_CRASHREPORTER_DISABLE": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*map(str, command), "about:blank"], stdout=log, stderr=log, env=environment
            )
        try:
            address = self._address(time.monotonic() + seconds)
            self.socket = websocket.create_connection(
                f"{address}/session", timeout=seconds, suppress_origin=True
            )
            self.count, self.page, self.preload = 0, None, None
            self.send("session.new", capabilities={})
            self.send(
                "session.subscribe",
                events=["log.entryAdded", "network.beforeRequestSent", "network.fetchError"],
            )
            # A tab of our own: the first one never gets the focus, and then no key presses a button.
            self.tab = self.send("browsingContext.create", type="tab")["context"]
        except BaseException:
            self.process.kill()
            raise

    def _address(self, deadline: float) -> str:
        while time.monotonic() < deadline and self.process.poll() is None:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", text):
                return found[1]
            time.sleep(0.05)
        raise RuntimeError(f"Firefox did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def send(self, method: str, **parameters: Any) -> Any:
        """A command's result; the events that come before it go to the open page."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.count:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['error']}: {message['message']}")
                return message["result"]
            if message.get("type") == "event" and self.page:
                self.page.note(message["method"], message["params"])

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, theme: str = "light", fragment: str = ""
    ) -> FirefoxPage:
        """Open a file in the tab, in place of the page before, and wait until it has loaded."""
        self.page = None
        self.send("browsingContext.navigate", context=self.tab, url="about:blank", wait="complete")
        if self.preload:
            self.send("script.removePreloadScript", script=self.preload)
        keep = "() => { if (location.protocol !== 'file:') return;" + "".join(
            f" localStorage.setItem('{name}', '{theme}');" for name in ("mode", "theme")
        )
        self.preload = self.send("script.addPreloadScript", functionDeclaration=keep + " }")["script"]
        tab = Tab(self)
        tab.set_viewport_size({"width": width, "height": height})
        self.page = page = FirefoxPage(tab)
        url = path.resolve().as_uri() + fragment
        self.send("browsingContext.navigate", context=self.tab, url=url, wait="complete")
        return page

    def close(self) -> None:
        try:
            self.send("browser.close")
            self.socket.close()
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait(20)


@dataclass
class Tab:
    """The part of Playwright's page that the kit uses."""

    firefox: Firefox

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """An expression, or a function of one JSON argument; what it returns, or resolves to, as JSON."""
        call = f"({script})(argument)" if FUNCTION.match(script) else f"({script})"
        result = self.firefox.send(
            "script.callFunction",
            functionDeclaration=f"async (text) => {{ const argument = JSON.parse(text);"
            f" const value = await {call}; return value === undefined ? 'null' : JSON.stringify(value); }}",
            arguments=[{"type": "string", "value": json.dumps(argument)}],
            target={"context": self.firefox.tab},
            awaitPromise=True,
            userActivation=True,
        )
        if result["type"] == "exception":
            raise AssertionError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    def wait_for_function(self, script: str, *, arg: Any = None, timeout: float = 120_000) -> None:
        deadline = time.monotonic() + timeout / 1000
        while not self.evaluate(script, arg):
            assert time.monotonic() < deadline, f"not within {timeout / 1000} s: {script}"
            time.sleep(0.05)

    def set_viewport_size(self, size: dict[str, int]) -> None:
        self.viewport_size = size
        self.firefox.send("browsingContext.setViewport", context=self.firefox.tab, viewport=size)

    def _act(self, kind: str, actions: list[dict[str, Any]]) -> None:
        source = {"type": kind, "id": kind, "actions": actions}
        self.firefox.send("input.performActions", context=self.firefox.tab, actions=[source])

    @property
    def keyboard(self) -> Tab:
        return self

    def press(self, key: str) -> None:
        """One key, or several held together: "ArrowRight", "Shift+Tab"."""
        held = [KEYS.get(name, name) for name in ([key] if key == "+" else key.split("+"))]
        down = [{"type": "keyDown", "value": value} for value in held]
        self._act("key", down + [{"type": "keyUp", "value": value} for value in reversed(held)])

    def type(self, text: str) -> None:
        for letter in text:
            self.press(letter)

    def drag(self, *points: tuple[float, float]) -> None:
        """The pointer goes to the first point, down, over the others, up; one point is a click."""
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y)} for x, y in points]
        down, up = ({"type": f"pointer{name}", "button": 0} for name in ("Down", "Up"))
        self._act("pointer", [moves[0], down, *moves[1:], up])

    def screenshot(self, path: Path) -> None:
        shot = self.firefox.send("browsingContext.captureScreenshot", context=self.firefox.tab)
        path.write_bytes(base64.b64decode(shot["data"]))


class FirefoxPage(OpenPage):
    """A page in Firefox, with what it complained of and what it asked the outside for."""

    class Root:
        """The first widget."""

        def __init__(self, page: Tab) -> None:
            self.page = page

        def evaluate(self, script: str, argument: Any = None) -> Any:
            root = "document.querySelector('.segcore-widget[data-widget]')"
            return self.page.evaluate(f"(argument) => ({script})({root}, argument)", argument)

    @property
    def root(self) -> Any:
        return self.Root(self.page)

    def note(self, method: str, event: dict[str, Any]) -> None:
        if method == "log.entryAdded" and event["level"] in ("warn", "error"):
            self.errors.append(f"{event['level']}: {event['text']}")
        elif method == "network.beforeRequestSent" and not event["request"]["url"].startswith(LOCAL):
            self.requests.append(event["request"]["url"])

    def assert_quiet(self) -> None:
        self.page.evaluate("new Promise((done) => setTimeout(done, 30))")  # what is under way arrives before
        super().assert_quiet()
