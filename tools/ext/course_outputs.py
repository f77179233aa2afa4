"""Pages whose code was run anew are read anew, though their text is as it was.

`tools/book.py` runs them before Sphinx begins, and names them in ``COURSE_RAN``.
"""

from __future__ import annotations

import os
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def _outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    return [name for name in os.environ.get("COURSE_RAN", "").split() if name in env.found_docs]


def setup(app: Sphinx) -> dict[str, Any]:
    """Say which pages are to be read."""
    app.connect("env-get-outdated", _outdated)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
