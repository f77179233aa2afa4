"""The map of the course as a picture to click: which chapter leans on which.

``{chapter-map}`` shows it above its list. Two layouts, for a desk and for a phone, are drawn here from two
tables: where each chapter stands, and what it builds on. Each chapter is a link with a name and what it
builds on in words; pointing at one, or reaching it by key, brings out its lines. Links in picture and list
carry ``data-chapter="NN_slug"``, so that a script finds them.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from course_cards import PARTS
from sphinx.application import Sphinx

# What each chapter builds on. Only what a reader should have seen, not all that it mentions.
BUILDS_ON: dict[int, tuple[int, ...]] = {
    2: (1,), 5: (4,), 6: (5,), 7: (4,), 8: (4,), 9: (7, 8), 10: (2,), 11: (6, 9, 10), 12: (3,),
    13: (8,), 14: (13,), 15: (12, 14), 16: (9, 14), 17: (9,), 18: (9,),
}  # fmt: skip
NAMES: dict[int, tuple[str, ...]] = {
    1: ("Superpixels",), 2: ("Grouping",), 3: ("Metrics",), 4: ("Convolu-", "tionalization"),
    5: ("Receptive", "fields"), 6: ("Dilation",), 7: ("Skip", "connections"),
    8: ("Learned", "up-sampling"), 9: ("Encoders", "and decoders"),
    10: ("Random", "fields"), 11: ("DeepLab",), 12: ("Instance", "metrics"), 13: ("RoIAlign",),
    14: ("Mask R-CNN",), 15: ("Panoptic", "segmentation"), 16: ("Keypoints",), 17: ("Depth and", "normals"),
    18: ("Colorization",),
}  # fmt: skip
# Column and row of each chapter; on a desk lines run to the right, on a phone down,
# where they keep to the lanes between rows and columns. No line runs behind a box.
WIDE: dict[int, tuple[float, float]] = {
    1: (0, 0), 2: (1, 0), 10: (2, 0), 11: (3, 0.3), 4: (0, 1.6), 5: (1, 1), 6: (2, 1), 7: (1, 2), 8: (1, 3),
    9: (2, 2.4), 17: (3, 1.08), 18: (3, 1.86), 16: (4, 2.75), 13: (2, 3.45), 14: (3, 3.45), 15: (4, 3.85),
    3: (0, 4.45), 12: (2, 4.45),
}  # fmt: skip
TALL: dict[int, tuple[float, float]] = {
    1: (0, 0), 4: (1, 0), 3: (2, 0), 2: (0, 1), 5: (1, 1), 12: (2, 1), 10: (0, 2), 6: (1, 2), 8: (2, 2),
    7: (1, 3), 13: (2, 3), 11: (0, 4), 9: (1, 4), 14: (2, 4), 17: (0, 5), 16: (1, 5), 15: (2, 5), 18: (0, 6),
}  # fmt: skip
_SLUGS = {int(name[:2]): name for _, chapters in PARTS for name, _, _ in chapters}
_TITLES = {int(name[:2]): title for _, chapters in PARTS for name, title, _ in chapters}
_QUESTIONS = {int(name[:2]): question for _, chapters in PARTS for name, _, question in chapters}
_PART = {int(name[:2]): at for at, (_, chapters) in enumerate(PARTS) for name, _, _ in chapters}


class Layout:
    """One drawing of the map."""

    def __init__(
        self,
        kind: str,
        places: dict[int, tuple[float, float]],
        size: tuple[int, int],
        step: tuple[float, float],
    ):
        self.kind, self.places, self.size, self.step = kind, places, size, step

    def corner(self, chapter: int) -> tuple[float, float]:
        """The upper left corner of a chapter's box."""
        column, row = self.places[chapter]
        return 2 + column * self.step[0], 2 + row * self.step[1]

    def line(self, start: int, end: int) -> str:
        """The path from a chapter to one that builds on it."""
        (x1, y1), (x2, y2), (width, height) = self.corner(start), self.corner(end), self.size
        if self.kind == "wide":
            x1, y1, y2 = x1 + width, y1 + height / 2, y2 + height / 2
            bend = max(18.0, min(60.0, (x2 - x1) / 2))
            return f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2 - 5:g} {y2:g}"
        if y1 == y2:  # to the neighbour's side
            y = y1 + height / 2
            ends = (x1 + width, x2 - 5) if x1 < x2 else (x1, x2 + width + 5)
            return f"M{ends[0]:g} {y:g}H{ends[1]:g}"
        x1, x2, y1 = x1 + width / 2, x2 + width / 2, y1 + height
        return f"M{x1:g} {y1:g}" + self._down(start, end, (x1, y1), (x2, y2))

    def _down(self, start: int, end: int, at: tuple[float, float], to: tuple[float, float]) -> str:
        """The way down from a box to one further below, in the lanes that no box stands in."""
        (column, row), (last, below) = self.places[start], self.places[end]
        lane = self.step[1] - self.size[1]  # between two rows

        def sway(x1: float, y1: float, x2: float, y2: float) -> str:
            return f"C{x1:g} {(y1 + y2) / 2:g} {x2:g} {(y1 + y2) / 2:g} {x2:g} {y2:g}"

        between = {(last, row + down) for down in range(1, round(below - row))}
        if not between & set(self.places.values()):  # in the end's own column
            first = min(at[1] + lane, to[1] - 5)
            return sway(*at, to[0], first) + (f"V{to[1] - 5:g}" if first < to[1] - 5 else "")
        outmost = max(place for place, _ in self.places.values())
        side = 1 if last > column or last == column == outmost else -1
        x = at[0] + side * self.step[0] / 2
        return sway(*at, x, at[1] + lane) + f"V{to[1] - lane:g}" + sway(x, to[1] - lane, to[0], to[1] - 5)

    def box(self, chapter: int, address: str | None) -> str:
        """A chapter: its number and name, as a link where it stands."""
        (x, y), (width, height), names = self.corner(chapter), self.size, NAMES[chapter]
        first = y + height / 2 + (4.5 if len(names) == 1 else -3)
        lines = "".join(
            f'<tspan x="{x + 28:g}" y="{first + 15 * at:g}">{escape(words)}</tspan>'
            for at, words in enumerate(names)
        )
        drawn = (
            f"<title>{escape(_QUESTIONS[chapter])}</title>"
            f'<rect x="{x:g}" y="{y:g}" width="{width}" height="{height}" rx="7"/>'
            f'<rect class="map-edge" x="{x:g}" y="{y + 7:g}" width="4" height="{height - 14}"/>'
            f'<text class="map-no" x="{x + 9:g}" y="{y + height / 2 + 4.5:g}">{chapter}</text>'
            f"<text>{lines}</text>"
        )
        kind = f'class="map-box map-part-{_PART[chapter]} at-{chapter}"'
        if address is None:
            return f'<g {kind} opacity=".5">{drawn}</g>'
        on = " and ".join(map(str, BUILDS_ON.get(chapter, ())))
        words = f"{chapter} {_TITLES[chapter]}" + (f", builds on {on}" if on else "")
        name = _SLUGS[chapter]
        return f'<a {kind} href="{address}" data-chapter="{name}" aria-label="{escape(words)}">{drawn}</a>'

    def svg(self, addresses: dict[int, str]) -> str:
        """The drawing; `addresses` are those of the chapters that stand."""
        width = 4 + max(self.corner(chapter)[0] for chapter in self.places) + self.size[0] - 2
        width += self.step[0] - self.size[0] if self.kind == "tall" else 0  # a lane beside the last column
        height = 4 + max(self.corner(chapter)[1] for chapter in self.places) + self.size[1] - 2
        lines = "".join(
            f'<path class="map-line from-{start} to-{end}" d="{self.line(start, end)}"/>'
            for end, starts in BUILDS_ON.items()
            for start in starts
        )
        head = (
            f'<marker id="map-{self.kind}-tip" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="8" '
            'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 6 3 0 6z"/></marker>'
        )
        boxes = "".join(self.box(chapter, addresses.get(chapter)) for chapter in sorted(self.places))
        return (
            f'<svg class="map-{self.kind}" viewBox="0 0 {width:g} {height:g}" role="group" '
            f'aria-label="Map of the chapters: lines lead from a chapter to those that build on it">'
            f"<defs>{head}</defs><g>{lines}</g>{boxes}</svg>"
        )


LAYOUTS = (Layout("wide", WIDE, (120, 50), (139, 66)), Layout("tall", TALL, (111, 46), (123, 70)))


def highlights() -> str:
    """Rules that bring out the lines of the chapter that is pointed at or reached by key."""
    at = (f".course-map:has(.at-{n}:is(:hover,:focus-visible)) :is(.from-{n},.to-{n})" for n in _SLUGS)
    return f"<style>{','.join(at)}{{stroke:var(--course-second);stroke-width:2.4;opacity:1}}</style>"


def map_html(addresses: dict[int, str]) -> str:
    """The picture in both layouts, of which the page's width shows one."""
    drawn = "".join(layout.svg(addresses) for layout in LAYOUTS)
    return f'<div class="course-map">{highlights()}{drawn}</div>'


_ITEM = re.compile(r'(<li class="map-stands"><p><span class="map-number">(\d+)</span>\s*<a )')


def _mark(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Say in the list, too, which chapter a link leads to."""
    body = context.get("body", "")
    if "map-stands" in body:
        context["body"] = _ITEM.sub(lambda item: f'{item[1]}data-chapter="{_SLUGS[int(item[2])]}" ', body)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the page hook."""
    app.connect("html-page-context", _mark)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
