"""The book's figures: one matplotlib figure becomes an SVG with two layouts, for a desk and for a phone.

Text in it is text, in the page's own font and in colours that follow the page's theme. On a phone the panels
stand below each other, and no letter is smaller than on a desk. Pixels stay pixels: an image is embedded as
it is, as WebP, and the browser scales it. `viz.use_style` switches this on where the book is built; notebooks
keep their PNG.

The narrow layout is made from the wide one: pictures in two columns, plots in one, headings broken where they
do not fit. A figure for which that is not right says so through `viz.on_a_phone`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import re
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any, Literal
from xml.etree import ElementTree

if find_spec("matplotlib") is None:
    raise ModuleNotFoundError("figures need matplotlib: pip install 'segcore[widgets]'", name="matplotlib")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.gridspec import GridSpec
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from PIL import Image

from segcore.viz import GREY, PALETTE

__all__ = ["SMALLEST", "figure_svg", "show_figures_as_svg"]

SMALLEST = 9.0
"""Points: no text is smaller, which is 12 pixels of a page at full size."""

DESK = 7.04
"""Inches, 676 pixels: the column on a screen of 1280, contents beside it. What is wider is made to fit."""

PHONE = 3.68
"""Inches, 353 pixels: the column on a phone of 390."""

ALONE = 4.3
"""Inches: up to this width the wide layout serves phones too."""

_NAMESPACE = re.compile(r"\{[^}]*\}")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_NUMBER_OR_WHOLE = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_ID = {"id": "^", "href": "(?<=^#)", "clip-path": r"(?<=url\(#)", "style": r"(?<=url\(#)"}
_INK = {color: f"var(--figure-{name}, {color})" for name, color in [("grey", GREY), *enumerate(PALETTE)]}
_ANCHOR = {"left": "start", "center": "middle", "right": "end"}


def figure_svg(figure: Figure) -> str:
    """The figure as SVG: an outer element that shows the wide layout, with each layout inside it.

    Args:
        figure: any figure. It is left as it was.

    Returns:
        The SVG, the same for the same figure to the last byte. The inner elements have `data-layout` "wide"
        and "narrow"; a figure that fits a phone as it is has the first alone.

    Example:
        >>> figure, ax = plt.subplots(figsize=(6, 3))
        >>> figure_svg(figure).count("data-layout")
        2
        >>> plt.close(figure)
    """
    with _fitted(figure):
        wide = _layout(figure, "wide")
    layouts = [wide]
    if figure.get_figwidth() > ALONE:
        with _narrow(figure):
            layouts.append(_layout(figure, "narrow"))
    outer = {name: wide.attrib[name] for name in ("width", "height", "viewBox")}
    root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **outer})
    for layout in layouts[1:]:
        layout.set("display", "none")
    root.extend(layouts)
    text = ElementTree.tostring(root, encoding="unicode")
    name = hashlib.sha256(text.encode()).hexdigest()[:6]  # ids that no other figure of the page has
    return re.sub(r'((?:\bid="|href="#|url\(#))(?=(?:wide|narrow)-)', rf"\1f{name}-", text)


def show_figures_as_svg() -> None:
    """Have IPython show figures by `figure_svg` alone. Outside IPython it does nothing."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or shell.display_formatter is None:
        return
    plt.switch_backend(plt.get_backend())  # loads it; loaded later, it would set its own format
    for formatter in shell.display_formatter.formatters.values():
        formatter.pop(Figure, None)
    shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, figure_svg)


# ---- One layout as an element ----------------------------------------------------------------------


def _layout(figure: Figure, name: str) -> ElementTree.Element:
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "segcore",
        "svg.image_inline": True,
        "image.composite_image": False,
        "path.simplify_threshold": 0.3,
    }
    buffer = io.BytesIO()
    with plt.rc_context(style), _prepared(figure):
        figure.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.03, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    width, height = (float(number) for number in root.attrib["viewBox"].split()[2:])
    _tidy(root, name)
    root.attrib.clear()
    root.attrib.update(
        {
            "data-layout": name,
            "width": f"{width * 96 / 72:.0f}",
            "height": f"{height * 96 / 72:.0f}",
            "viewBox": f"0 0 {width:.1f} {height:.1f}",
            "font-family": "system-ui, sans-serif",
            "stroke-linejoin": "round",
        }
    )
    return root


@contextmanager
def _prepared(figure: Figure) -> Iterator[None]:
    """Images unscaled, no text too small, and each text's anchor noted where matplotlib drops it."""
    with ExitStack() as undo:
        for image in figure.findobj(AxesImage):
            if image.get_interpolation() in ("auto", "antialiased", "nearest"):
                _change(undo, image, interpolation="none")
        for text in figure.findobj(Text):
            if text.get_text() and float(text.get_fontsize()) < SMALLEST:
                _change(undo, text, fontsize=SMALLEST)
            turned = text.get_rotation() % 360 and text.get_rotation_mode() != "anchor"
            if "\n" in text.get_text() or turned:
                side = getattr(text, "_multialignment", None) or text.get_horizontalalignment()
                _change(undo, text, gid=f"anchor-{_ANCHOR[side]}")
        yield


def _change(undo: ExitStack, artist: Any, **properties: Any) -> None:
    for name, value in properties.items():
        undo.callback(getattr(artist, f"set_{name}"), getattr(artist, f"get_{name}")())
        getattr(artist, f"set_{name}")(value)


def _tidy(root: ElementTree.Element, name: str) -> None:
    """Make matplotlib's SVG small, fit to stand inside a page, and its text of the page's colours."""
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
        element.attrib = {_NAMESPACE.sub("", key): value for key, value in element.attrib.items()}
    named = set(re.findall(r'(?:url\(|href=")#([^)"]+)', ElementTree.tostring(root, encoding="unicode")))
    for element in root.iter():
        element.tail = None
        if element.tag not in ("text", "tspan"):
            element.text = None
        anchor = element.get("id", "")
        if anchor.startswith("anchor-"):
            for text in element.iter("text"):
                _anchor(text, anchor.removeprefix("anchor-"))
        if anchor not in named:
            element.attrib.pop("id", None)
        for key in ("id", "href", "clip-path", "style"):  # both layouts use the same ids
            if key in element.attrib and not element.attrib[key].startswith("data:"):
                element.set(key, re.sub(_ID[key], f"{name}-", element.attrib[key]))
        _tidy_attributes(element)
        if element.tag == "image":
            _tidy_image(element)
    _prune(root)


def _tidy_attributes(element: ElementTree.Element) -> None:
    style = _style(element)
    style.pop("font-family", None)
    if "fill" in style and ("font-size" in style or element.find("text") is not None):  # a text's
        style["fill"] = _INK.get(style["fill"], style["fill"])
    if style:
        element.set("style", ";".join(f"{key}:{value}" for key, value in style.items()))
    else:
        element.attrib.pop("style", None)
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if element.tag != "image":
        for key in ("d", "x", "y", "transform", "width", "height", "points"):
            if key in element.attrib:
                value = _NUMBER.sub(_rounded, element.attrib[key])
                element.set(key, _short_path(value) if key == "d" else value)


def _rounded(number: re.Match[str]) -> str:
    value = float(number[0])
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.1 else f"{value:.4g}"


def _short_path(d: str) -> str:
    """A path with its spaces taken out, and its level and upright lines by one number."""
    short: list[str] = []
    before: list[str] = []
    for part in re.findall(r"[A-Za-z][^A-Za-z]*", d):
        numbers = part[1:].split()
        if part[0] == "L" and before[:1] == numbers[:1]:
            short.append("V" + numbers[1])
        elif part[0] == "L" and before[1:] == numbers[1:]:
            short.append("H" + numbers[0])
        else:
            short.append(part[0] + " ".join(numbers))
        before = numbers[-2:]
    return "".join(short)


def _style(element: ElementTree.Element) -> dict[str, str]:
    parts = (part.split(":", 1) for part in element.get("style", "").split(";") if ":" in part)
    return {key.strip(): value.strip() for key, value in parts}


def _anchor(text: ElementTree.Element, anchor: str) -> None:
    """Hang a text that starts at its left by its middle or end instead: another font may be narrower."""
    style = _style(text)
    if anchor == "start" or "text-anchor" in style or not text.text:
        return
    size = float(style["font-size"].removesuffix("px"))
    font = FontProperties(size=size, weight=int(style.get("font-weight", 400)))
    width, _, _ = text_to_path.get_text_width_height_descent(text.text, font, ismath=False)
    text.set("x", f"{width * (0.5 if anchor == 'middle' else 1):.2f}")
    text.set("style", f"{text.attrib['style']};text-anchor:{anchor}")


def _tidy_image(image: ElementTree.Element) -> None:
    """Embed an image's own pixels as WebP; where they are larger than the screen's they are squares."""
    data = base64.b64decode(image.attrib["href"].split(",", 1)[1])
    image.set("href", f"data:image/webp;base64,{base64.b64encode(_webp(data)).decode()}")
    scale = [float(number) for number in _NUMBER_OR_WHOLE.findall(image.get("transform", ""))]
    image.set("transform", _NUMBER.sub(lambda number: f"{float(number[0]):.4g}", image.attrib["transform"]))
    image.attrib.pop("style", None)
    if len(scale) == 6 and max(abs(number) for number in scale[:4]) * 96 / 72 >= 1.5:
        image.set("style", "image-rendering:pixelated")


@functools.lru_cache(maxsize=32)
def _webp(png: bytes) -> bytes:
    """Without loss where colours are few and it is not much heavier, as in label maps; else as a photo."""
    picture: Image.Image = Image.open(io.BytesIO(png))
    picture.load()
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")

    def packed(**options: Any) -> bytes:
        buffer = io.BytesIO()  # method 6 would take seconds for a large map, and save a fifth
        picture.save(buffer, format="WEBP", method=4, exact=True, **options)
        return buffer.getvalue()

    photograph = packed(quality=86)
    if picture.getcolors(256) is None:
        return photograph
    exact = packed(lossless=True, quality=100)
    small = picture.width * picture.height <= 128**2
    return exact if small or len(exact) <= 1.5 * len(photograph) else photograph


def _prune(parent: ElementTree.Element) -> None:
    """Take out what draws nothing, and groups that only group."""
    for child in list(parent):
        _prune(child)
        place = list(parent).index(child)
        blank = child.tag == "path" and child.get("style") == "fill:none" and parent.tag != "clipPath"
        empty = child.tag in ("g", "defs") and len(child) == 0
        if child.tag in ("metadata", "style") or blank or empty:
            parent.remove(child)
        elif child.tag == "g" and not child.attrib:
            parent.remove(child)
            for offset, grandchild in enumerate(list(child)):
                parent.insert(place + offset, grandchild)
    _join(parent)


def _join(parent: ElementTree.Element) -> None:
    """Make one path of neighbours that are drawn alike, such as the many edges of an outline."""
    before = None
    for child in list(parent):
        line = (
            child.tag == "path"
            and "fill:none" in child.get("style", "")
            and "opacity" not in child.attrib["style"]
        )
        alike = {key: value for key, value in child.attrib.items() if key != "d"}
        if line and before is not None and alike == before[1]:
            before[0].set("d", before[0].attrib["d"] + child.attrib["d"])
            parent.remove(child)
        else:
            before = (child, alike) if line and "id" not in alike else None


# ---- The two layouts -- -----------------------------------------------------------------------------


@contextmanager
def _fitted(figure: Figure) -> Iterator[None]:
    """Make `figure` no wider than the column of a desk, its letters as large as before."""
    with ExitStack() as undo:
        width, height = figure.get_size_inches()
        if width > DESK:
            undo.callback(figure.set_size_inches, width, height)
            figure.set_size_inches(DESK, height * DESK / width)
            figure.draw_without_rendering()
            for ax in figure.axes:
                _break(undo, ax.title, ax.get_window_extent().width / figure.dpi * 72 + 3)
        yield


@contextmanager
def _narrow(figure: Figure) -> Iterator[None]:
    """Lay the panels of `figure` out for a phone, and back again."""
    given_columns, given_height, down = vars(figure).get("segcore_phone", (None, None, False))
    panels = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    if given_columns is None:  # who gives the columns counts a place that is left empty
        panels = [ax for ax in panels if _shows(ax)]
    if down:
        panels.sort(key=lambda ax: ax.get_subplotspec().colspan.start)  # type: ignore[union-attr]
    columns = given_columns or _columns(panels)
    rows = -(-len(panels) // columns)
    width = PHONE / columns
    heights = [
        max((given_height or _height(ax, width)) + _around(ax) for ax in panels[row * columns :][:columns])
        for row in range(rows)
    ]
    sizes = {ax: ax.get_window_extent().width / figure.dpi for ax in panels}
    with ExitStack() as undo:
        undo.callback(figure.set_size_inches, *figure.get_size_inches())
        undo.callback(figure.set_layout_engine, figure.get_layout_engine())
        figure.set_size_inches(PHONE, sum(heights))
        figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.05, wspace=0.02, hspace=0.02)
        grid = GridSpec(rows, columns, figure, height_ratios=heights)
        for place, ax in enumerate(panels):
            undo.callback(ax.set_subplotspec, ax.get_subplotspec())  # type: ignore[arg-type]
            ax.set_subplotspec(grid[place])
            _label_shared(undo, ax)
        for ax in panels:
            for title in (ax.title, ax.xaxis.label, ax.yaxis.label):
                _break(undo, title, (width if title is not ax.yaxis.label else max(heights)) * 72 - 6)
            if _is_picture(ax):
                thinner = max(0.6, min(1.0, width / sizes[ax]))
                drawn: list[Any] = [*ax.lines, *ax.collections, *ax.patches]
                for line in drawn:
                    _change(undo, line, linewidth=np.multiply(line.get_linewidth(), thinner))
        yield


def _shows(ax: Axes) -> bool:
    return ax.get_visible() and bool(
        ax.axison or ax.images or ax.lines or ax.patches or ax.collections or ax.texts
    )


def _is_picture(ax: Axes) -> bool:
    return ax.get_aspect() != "auto"


def _columns(panels: list[Axes]) -> int:
    return 2 if len(panels) > 1 and all(_is_picture(ax) for ax in panels) else 1


def _height(ax: Axes, width: float) -> float:
    """Inches that a panel wants, without what stands around it."""
    if _is_picture(ax):
        across, down = (abs(np.diff(limits)[0]) for limits in (ax.get_xlim(), ax.get_ylim()))
        return float(width * down / across * ax.get_aspect())
    return min(max(ax.get_window_extent().height / ax.figure.dpi, 2.0), 0.85 * width)


def _around(ax: Axes) -> float:
    """Inches of heading and labels above and below a panel, about."""
    lines = ax.get_title().count("\n") + 1 if ax.get_title() else 0
    ticks = any(label.get_text() for label in ax.get_xticklabels()) and ax.axison
    return 0.17 * lines + 0.17 * bool(ax.get_xlabel()) + 0.2 * ticks + 0.1


def _label_shared(undo: ExitStack, ax: Axes) -> None:
    """Numbers at each axis, also where panels share one: the neighbour that had them stands elsewhere now."""
    sides: tuple[tuple[Literal["x", "y"], str], ...] = (("x", "labelbottom"), ("y", "labelleft"))
    for axis, side in sides:
        shared = len(getattr(ax, f"get_shared_{axis}_axes")().get_siblings(ax)) > 1
        if shared and not getattr(ax, f"{axis}axis").get_tick_params().get(side, True):
            undo.callback(ax.tick_params, axis, **{side: False})
            ax.tick_params(axis, **{side: True})


def _break(undo: ExitStack, text: Text, width: float) -> None:
    """Break a heading where it is wider than `width` points, into as few and as even lines as can be."""
    words, font = text.get_text(), text.get_fontproperties()

    def fits(line: str) -> bool:
        return bool(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] <= width)

    lines = words.split("\n")
    if "$" in words or all(map(fits, lines)):
        return
    broken: list[str] = []
    for line in lines:
        tries = (textwrap.wrap(line, most) for most in range(len(line), 3, -1))
        fitting = [cut for cut in tries if all(map(fits, cut))]
        fewest = [cut for cut in fitting if len(cut) == len(fitting[0])]
        broken += fewest[-1] if fewest else [line]
    _change(undo, text, text="\n".join(broken))
