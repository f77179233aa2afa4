"""The base class of every widget: one ES module, alive with a kernel and without one.

A widget is an `anywidget <https://anywidget.dev>`_: traitlets in Python, one plain ES module in the
browser. This base adds a second form to its MIME bundle, a self-contained ``text/html``: a ``<div>``, the
styles, the module and a model of some twenty lines that stands in for the kernel's. Jupyter shows the live
widget; the book shows the HTML, which works from a web host and from ``file://`` alike and asks nothing of
the network.

A subclass names its ``_slug`` and declares its synced traits. It brings ``static/<slug>.js`` and
``static/<slug>.css``; ``static/kit.js`` and ``static/kit.css`` are shared. The module may open with one line
``import { ... } from "./kit.js";``: the kit is put in its place, so that one file holds all.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import anywidget

__all__ = ["CourseWidget"]

STATIC = Path(__file__).parent / "static"
_KIT_IMPORT = re.compile(r'^import \{[^}]*\} from "\./kit\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class|let)\b)", re.MULTILINE)

# Runs once per widget in a static page. `model` answers like anywidget's, with no kernel behind it.
_RUNTIME = """
const root = document.getElementById(__ID__);
const state = JSON.parse(root.querySelector(".segcore-state").textContent);
const listeners = new Map();
const model = {
  get: (name) => state[name],
  set(name, value) {
    if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
    state[name] = value;
    for (const event of ["change:" + name, "change"]) {
      for (const call of [...(listeners.get(event) ?? [])]) call();
    }
  },
  on(event, call) { listeners.set(event, [...(listeners.get(event) ?? []), call]); },
  off(event, call) {
    listeners.set(event, (listeners.get(event) ?? []).filter((other) => call && other !== call));
  },
  save_changes() {},
};
const url = URL.createObjectURL(new Blob([__SOURCE__], { type: "text/javascript" }));
const module = await import(url);
URL.revokeObjectURL(url);
const el = root.querySelector(".segcore-stage");
el.replaceChildren();
await module.default.render({ model, el });
root.segcore = { module, model };
root.dataset.ready = "true";
"""


def module_source(slug: str) -> str:
    """The widget's ES module with the kit in place of its import line."""
    source = (STATIC / f"{slug}.js").read_text(encoding="utf-8")
    kit = _EXPORT.sub("", (STATIC / "kit.js").read_text(encoding="utf-8"))
    return _KIT_IMPORT.sub(lambda _: kit, source, count=1)


def style_source(slug: str) -> str:
    """The kit's styles followed by the widget's own."""
    return "\n".join((STATIC / f"{name}.css").read_text(encoding="utf-8") for name in ("kit", slug))


def _inline_json(value: Any) -> str:
    """JSON that can stand inside a ``<script>``: no ``</script>`` or ``<!--`` can end or open anything."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class CourseWidget(anywidget.AnyWidget):
    """An anywidget whose output also holds a form that lives without a kernel.

    Subclasses set ``_slug``, the stem of their static files, and ``_title``, the words that a screen
    reader and a page without scripts show, and declare traits with ``.tag(sync=True)``. The values of
    those traits travel in the page as JSON: keep them small.
    """

    _slug: str
    _title: str = "Interactive figure"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Read the static files of a subclass once, when it is defined."""
        if "_slug" in cls.__dict__:
            cls._esm = module_source(cls._slug)
            cls._css = style_source(cls._slug)
        super().__init_subclass__(**kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_class("segcore-widget")  # the styles' root, live as in the static page

    def public_state(self) -> dict[str, Any]:
        """The synced traits of this widget's own classes, as plain JSON values."""
        base = set(anywidget.AnyWidget.class_trait_names())
        names = [name for name in self.traits(sync=True) if name not in base and not name.startswith("_")]
        state = self.get_state(names)
        return {name: state[name] for name in sorted(names)}

    def to_html(self) -> str:
        """The self-contained form: deterministic, its id derived from its content."""
        state, source, style = self.public_state(), module_source(self._slug), style_source(self._slug)
        digest = hashlib.sha256(
            json.dumps([self._slug, state, source, style], sort_keys=True).encode()
        ).hexdigest()
        ident = f"segcore-{self._slug.replace('_', '-')}-{digest[:10]}"
        runtime = _RUNTIME.replace("__ID__", json.dumps(ident)).replace("__SOURCE__", _inline_json(source))
        return (
            f'<div class="segcore-widget" id="{ident}" data-widget="{self._slug}" '
            f'role="group" aria-label="{self._title}">'
            f"<style>{style}</style>"
            f'<script type="application/json" class="segcore-state">{_inline_json(state)}</script>'
            '<div class="segcore-stage"><p class="segcore-fallback">'
            f"{self._title}: this figure is interactive. "
            "In a notebook, run its cell; in a web page, allow scripts.</p></div>"
            f'<script type="module">{runtime}</script></div>'
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        return {**data, "text/plain": f"{type(self).__name__}()", "text/html": self.to_html()}, metadata
