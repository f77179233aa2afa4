"""The base class of every widget: one ES module, alive with a kernel and without one.

A widget is an `anywidget <https://anywidget.dev>`_: traitlets in Python, one plain ES module in the
browser. This base adds a second form to its MIME bundle, a self-contained ``text/html``: a ``<div>`` with a
still picture, the styles, the module and a model of some twenty lines that stands in for the kernel's.
Jupyter shows the live widget; the book shows the HTML, which works from a web host and from ``file://``
alike and asks nothing of the network. The still picture stands there until the widget is alive, where no
script may run, and in print; ``tools/stills.py`` makes it.

A subclass names its ``_slug`` and declares its synced traits. It brings ``static/<slug>.js`` and
``static/<slug>.css``. What widgets share is the kit, a folder of small modules: an anywidget takes a single
module, so what a widget reaches by its import lines (``import { ... } from "./kit/figure.js";``) is put
before it (``modules.py``). On a page of the book several widgets share it (``tools/ext/course_widgets.py``).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import anywidget

from segcore.widgets import modules

__all__ = ["CourseWidget"]

STATIC = Path(__file__).parent / "static"
KIT_ENDS = "/* the widget's own */\n"  # in a page's script, before this stands the kit
NARROW = 600  # CSS pixels: below, the narrow still picture and the narrow height


def module_source(slug: str) -> str:
    """The widget's ES module with what it reaches of the kit put before it.

    Raises:
        ValueError: it imports a name that the kit's module does not export, or exports one that a notebook
            would call in place of the default export.
    """
    source = (STATIC / f"{slug}.js").read_text(encoding="utf-8")
    if taken := sorted({"render", "initialize"} & set(modules.exported(source))):
        raise ValueError(
            f"{slug}.js exports {', '.join(taken)}, a name that anywidget calls; find another one"
        )
    return "".join(modules.kit(STATIC, slug).values()) + modules.bound(source)


def _styles(slug: str) -> dict[str, str]:
    """The kit's styles, those of its modules that the widget needs and have some, and the widget's own."""
    kit = {name: STATIC / "kit" / f"{name}.css" for name in ("kit", *modules.kit(STATIC, slug))}
    paths = {**kit, "": STATIC / f"{slug}.css"}
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.is_file()}


def _live_forms(slug: str) -> tuple[str, str]:
    """For a notebook: the module, which first puts the kit's styles into the page, and the own styles."""
    styles = _styles(slug)
    own = styles.pop("", "")
    first = (STATIC / "kit" / "notebook.js").read_text(encoding="utf-8")
    return first.replace("__STYLES__", json.dumps(styles)) + module_source(slug), own


@cache
def _still(path: Path) -> str:
    """A still picture as a data URL, or an empty string where none was made yet."""
    return "data:image/avif;base64," + base64.b64encode(path.read_bytes()).decode() if path.exists() else ""


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
            cls._esm, cls._css = _live_forms(cls._slug)
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
        """The self-contained form: deterministic, and as often on a page as one likes."""
        state = self.public_state()
        source = modules.closed((STATIC / f"{self._slug}.js").read_text(encoding="utf-8"))
        source = modules.lean("".join(modules.kit(STATIC, self._slug).values()) + KIT_ENDS + source)
        if re.search(r"</script|<!--", source, re.IGNORECASE):
            raise ValueError(f"{self._slug}.js or its kit holds </script or <!--, which would end its script")
        styles = {
            name: re.sub(r"^ +|^/\*.*\*/\n", "", text, flags=re.MULTILINE)
            for name, text in _styles(self._slug).items()
        }
        digest = hashlib.sha256(
            json.dumps([self._slug, state, source, styles], sort_keys=True).encode()
        ).hexdigest()
        key = f"{self._slug}-{digest[:10]}"
        styles[""] += self._reserved(key)
        runtime = (STATIC / "kit" / "runtime.js").read_text(encoding="utf-8").replace("__KEY__", key)
        return (
            f'<div class="segcore-widget" data-key="{key}" data-widget="{self._slug}" '
            f'role="group" aria-label="{html.escape(self._title)}">'
            + "".join(f'<style data-kit="{name}">{text}</style>' for name, text in styles.items())
            + f'<script type="application/json" class="segcore-state">{_inline_json(state)}</script>'
            f"{self._still_html()}"
            f'<script type="module" async>{source}{modules.lean(runtime)}</script></div>'
        )

    def _sizes(self) -> dict[str, Any]:
        """Sizes in CSS pixels of the widget as first drawn, measured when the stills were made."""
        path = STATIC / "stills" / f"{self._slug}.json"
        return json.loads(path.read_text(encoding="utf-8"))["sizes"] if path.exists() else {}

    def _reserved(self, key: str) -> str:
        """Rules that keep the widget's height free until it is alive, for each width that was measured."""
        rules = [
            f'@container (min-width:{width - 12}px){{[data-key="{key}"]:not([data-ready])>.segcore-still'
            f"{{height:{height}px}}}}"
            for width, height in sorted(self._sizes().get("heights", []))
        ]
        return "".join(rules)

    def _still_html(self) -> str:
        """What stands there before the widget is alive, without scripts, and in print."""
        wide, narrow = (
            _still(STATIC / "stills" / f"{self._slug}-{which}.avif") for which in ("wide", "narrow")
        )
        title = html.escape(self._title)
        words = (
            f"{title}: this figure is interactive. In a notebook, run its cell; in a web page, allow scripts."
        )
        if not wide:
            return f'<div class="segcore-still"><p class="segcore-fallback">{words}</p></div>'
        sizes = self._sizes()
        (width, height), (small, tall) = sizes["wide"], sizes["narrow"]
        return (
            '<figure class="segcore-still"><picture>'
            f'<source media="(max-width: {NARROW}px)" srcset="{narrow}" width="{small}" height="{tall}">'
            f'<img src="{wide}" width="{width}" height="{height}" alt="{title}, as a still picture">'
            f'</picture><figcaption class="segcore-fallback">{words}</figcaption></figure>'
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        return {**data, "text/plain": f"{type(self).__name__}()", "text/html": self.to_html()}, metadata
