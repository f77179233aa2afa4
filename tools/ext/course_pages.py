"""Last touches on each built page: faults of the stock theme mended, dead weight left out.

- myst-nb writes the state of all ipywidgets, random ids included, into every page. Our widgets carry their
  own HTML, so it is dropped: pages become smaller, and two builds equal to the byte.
- The theme's nested sidebar has ``<summary>`` elements with no name, and its bibliography lists a role whose
  children do not fit it: both are mended, so that a screen reader can read them out.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_SUMMARY = re.compile(r"<summary>(?=<span class=\"toctree-toggle\")")
_LIST_ROLE = re.compile(r' role="(?:list|doc-biblioentry|doc-backlink)"')
_STATE = "application/vnd.jupyter.widget-state+json"


def _tidy(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if getattr(script, "attributes", {}).get("type") != _STATE
    ]
    if "body" in context:
        context["body"] = _LIST_ROLE.sub("", context["body"])
    render = context.get("generate_toctree_html")
    if render is not None:

        def named_summaries(*args: Any, **kwargs: Any) -> Any:
            html = render(*args, **kwargs)
            if isinstance(html, str):
                return _SUMMARY.sub('<summary aria-label="Show or hide the pages below">', html)
            for summary in html.find_all("summary"):
                summary["aria-label"] = "Show or hide the pages below"
            return html

        context["generate_toctree_html"] = named_summaries


_NO_SUMMARY = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the page hook, after the theme's own."""
    app.connect("html-page-context", _tidy, priority=900)
    # Search fetches each hit's page for a summary, which browsers refuse from file://. There it does without.
    app.add_js_file(None, body=_NO_SUMMARY, priority=201)  # right after documentation_options.js
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
