"""The base class of every widget: one ES module, alive with a kernel and without one.

A widget is an `anywidget <https://anywidget.dev>`_: traitlets in Python, one plain ES module in the
browser. This base adds a second form to its MIME bundle, a self-contained ``text/html``: a ``<div>`` with a
still picture, the styles, the module and a model of some twenty lines that stands in for the kernel's.
Jupyter shows the live widget; the book shows the HTML, which works from a web host and from ``file://``
alike and asks nothing of the network. The still picture stands there until the widget is alive, where no
script may run, and in print; ``tools/stills.py`` makes it.

A subclass names its ``_slug`` and declares its synced traits. It brings ``static/<slug>.js`` and
``static/<slug>.css``. What widgets share is the kit, a folder of small modules: an anywidget takes a single
module, so those that a widget names in its import lines (``import { ... } from "./kit/figure.js";``), and
those that they import, are put before it, each in a scope of its own.
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

__all__ = ["CourseWidget"]

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(?:kit/)?(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)
_EXPORT_WORD = re.compile(r"^export (?=(?:async )?(?:function|const|let|class)\b)", re.MULTILINE)
NARROW = 600  # CSS pixels: below, the narrow still picture and the narrow height


def _bound(source: str) -> str:
    """The source with each import line replaced by names taken out of the module's scope."""

    def names(match: re.Match[str]) -> str:
        wanted = ", ".join(name.strip() for name in match[1].split(",") if name.strip())
        return f"const {{ {wanted.replace(' as ', ': ')} }} = kit_{match[2]};"

    return _IMPORT.sub(names, source)


def _lean(source: str) -> str:
    """Without whole-line comments and indentation, which no page needs to carry; every line stays a line."""
    return re.sub(r"^[ ]+", "", re.sub(r"^ *//.*\n", "", source, flags=re.MULTILINE), flags=re.MULTILINE)


def module_source(slug: str) -> str:
    """The widget's ES module with the parts of the kit that it needs put before it.

    Raises:
        ValueError: it imports a name that the kit's module does not export, or exports one that a notebook
            would call in place of the default export.
    """
    source = (STATIC / f"{slug}.js").read_text(encoding="utf-8")
    if taken := sorted({"render", "initialize"} & set(_EXPORT.findall(source))):
        raise ValueError(
            f"{slug}.js exports {', '.join(taken)}, a name that anywidget calls; find another one"
        )
    return "".join(_scopes(slug).values()) + _bound(source)


def _scopes(slug: str) -> dict[str, str]:
    """The modules of the kit that a widget needs, by name, each in a scope of its own."""
    scopes: dict[str, str] = {}

    def bring(source: str, who: str) -> None:
        for match in _IMPORT.finditer(source):
            wanted, kit = {name.split(" as ")[0].strip() for name in match[1].split(",")}, match[2]
            code = (STATIC / "kit" / f"{kit}.js").read_text(encoding="utf-8")
            offered = _EXPORT.findall(code)
            if missing := sorted(wanted - {""} - set(offered)):
                raise ValueError(
                    f"{who} imports {', '.join(missing)} from kit/{kit}.js, which exports {offered}"
                )
            if kit not in scopes:
                bring(code, f"kit/{kit}.js")
                body = _EXPORT_WORD.sub("", _bound(code))
                scopes[kit] = (
                    f"const kit_{kit} = (() => {{\n{body}\nreturn {{ {', '.join(offered)} }};\n}})();\n"
                )

    bring((STATIC / f"{slug}.js").read_text(encoding="utf-8"), f"{slug}.js")
    return scopes


def style_source(slug: str) -> str:
    """The kit's styles, those of its modules that the widget needs and have some, and the widget's own."""
    paths = [STATIC / "kit" / f"{name}.css" for name in ("kit", *_scopes(slug))] + [STATIC / f"{slug}.css"]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())


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
        """The self-contained form: deterministic, and as often on a page as one likes."""
        state, source = self.public_state(), _lean(module_source(self._slug))
        style = re.sub(r"^ +|^/\*.*\*/\n", "", style_source(self._slug), flags=re.MULTILINE)
        digest = hashlib.sha256(
            json.dumps([self._slug, state, source, style], sort_keys=True).encode()
        ).hexdigest()
        key = f"{self._slug}-{digest[:10]}"
        runtime = (STATIC / "kit" / "runtime.js").read_text(encoding="utf-8")
        runtime = runtime.replace("__KEY__", key).replace("__SOURCE__", _inline_json(source))
        return (
            f'<div class="segcore-widget" data-key="{key}" data-widget="{self._slug}" '
            f'role="group" aria-label="{html.escape(self._title)}">'
            f"<style>{style}{self._reserved(key)}</style>"
            f'<script type="application/json" class="segcore-state">{_inline_json(state)}</script>'
            f"{self._still_html()}"
            f'<script type="module" async>{runtime}</script></div>'
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
