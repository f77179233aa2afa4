"""Every sentence of the book that sets a figure names a state that the figure has."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools" / "ext")]

from course_widgets import read_state  # noqa: E402
from stills import widgets  # noqa: E402

_ROLE = re.compile(r"\{figure-state\}`([^`]+)`")
STATES = [
    (page.name, text)
    for page in sorted((ROOT / "book").rglob("*.md"))
    for text in _ROLE.findall(page.read_text(encoding="utf-8"))
]


def read_value(text, now):
    """A value as `kit/address.js` reads it: as what the trait holds now."""
    if isinstance(now, str):
        return text
    if isinstance(now, list | tuple) and not text.startswith("["):
        text = f"[{text}]"
    value = json.loads(text)
    return float(value) if isinstance(now, float) else value


@pytest.mark.parametrize(("page", "text"), STATES)
def test_the_state_exists(page, text):
    _, state, slug = read_state(text)
    widget = widgets()[slug]()
    with widget.hold_trait_notifications():  # several traits may be legal only together
        for part in filter(None, state.partition(":")[2].split(";")):
            trait, _, written = part.partition("=")
            assert trait in widget.public_state(), f"{page}: {slug} has no {trait}"
            setattr(widget, trait, read_value(written, getattr(widget, trait)))


@pytest.mark.parametrize("text", ["words alone", "<roi_align:box=1>", "words <roi align:x=1>", "words <a:b"])
def test_a_state_in_another_form_is_an_error(text):
    with pytest.raises(ValueError, match="is written"):
        read_state(text)
