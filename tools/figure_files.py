"""Each figure of the book as a file of its own: ``python tools/figure_files.py`` or ``make figures``.

`segcore.figures` draws a figure as SVG that lives in a page: its colours follow the page's, its photographs
are files beside it. Here the wide layout is taken out of the built page and made to stand alone: colours
written out, photographs inside as PNG, which every program reads. ``_build/figures/fig-question.svg`` bears
the figure's label; widgets are ``widget-roi_align.png``, their still pictures; ``index.html`` shows all, with
captions.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parent))

from PIL import Image

import book

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "_build" / "figures"
STILLS = ROOT / "segcore" / "widgets" / "static" / "stills"
_FIGURE = re.compile(r'<figure[^>]*\bid="(?P<name>[^"]+)"[^>]*>(?P<body>.*?)</figure>', re.DOTALL)
_WIDE = re.compile(r'<svg[^>]*\bdata-layout="wide".*?</svg>', re.DOTALL)
_WIDGET = re.compile(
    r'class="segcore-widget"[^>]*data-widget="(?P<slug>\w+)"[^>]*aria-label="(?P<title>[^"]*)"'
)
_CAPTION = re.compile(r"<figcaption.*?</figcaption>", re.DOTALL)
_MARKS = re.compile(r'<a class="headerlink".*?</a>|<[^>]+>', re.DOTALL)


@dataclass(frozen=True)
class Made:
    """A file that was made, with what the index says of it."""

    file: str
    page: str
    words: str


def standing_alone(svg: str, folder: Path) -> str:
    """A page's SVG as the text of a file.

    Args:
        svg: the element, as it stands in the page.
        folder: the page's folder, from which its pictures' addresses count.

    Raises:
        ValueError: it is no SVG that can be read, or a picture is missing.
    """

    def embedded(match: re.Match[str]) -> str:
        file = folder / match[1]
        if not file.is_file():
            raise ValueError(f"the picture {match[1]} is missing: build the book anew with `make book`")
        return f' xlink:href="{png_address(file)}"'

    svg = re.sub(r'\shref="([^"#:]+\.webp)"', embedded, svg)
    svg = re.sub(r'\shref="#', ' xlink:href="#', svg)
    svg = re.sub(r"var\(--[\w-]+,\s*(#[0-9a-fA-F]{3,8})\)", r"\1", svg)
    svg = svg.replace("system-ui, sans-serif", "sans-serif")
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    svg = svg.replace("<svg ", f"<svg {names} ", 1)
    try:
        ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise ValueError(f"a figure of the page is no SVG that can stand alone: {error}") from error
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg}\n'


@functools.lru_cache(maxsize=256)
def png_address(file: Path) -> str:
    """A picture as the address that holds it, in PNG."""
    buffer = io.BytesIO()
    with Image.open(file) as picture:
        picture.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def plain(caption: str) -> str:
    """A caption's words."""
    return html.unescape(re.sub(r"\s+", " ", _MARKS.sub("", caption))).strip()


def figures_of(path: Path, page: str, output: Path, taken: set[str]) -> list[Made]:
    """Write the figures of one built page.

    A label that another page has, too, gets the page's name before it.
    """
    text = path.read_text(encoding="utf-8")
    made = []
    for found in _FIGURE.finditer(text):
        name = found["name"] if found["name"] not in taken else f"{Path(page).name}-{found['name']}"
        caption = _CAPTION.search(found["body"])
        words = plain(caption[0]) if caption else ""
        if wide := _WIDE.search(found["body"]):
            file = f"{name}.svg"
            (output / file).write_text(standing_alone(wide[0], path.parent), encoding="utf-8")
        elif image := re.search(r'<img[^>]*\bsrc="([^":]+)"', found["body"]):
            source = path.parent / image[1]
            file = f"{name}{source.suffix}"
            shutil.copyfile(source, output / file)
        else:
            continue
        taken.add(name)
        made.append(Made(file, page, words))
    for found in _WIDGET.finditer(text):
        still, name = STILLS / f"{found['slug']}-wide.avif", f"widget-{found['slug']}"
        if still.is_file() and name not in taken:
            with Image.open(still) as picture:
                picture.save(output / f"{name}.png", optimize=True)
            taken.add(name)
            words = f"{html.unescape(found['title'])} (a widget, as a still picture)"
            made.append(Made(f"{name}.png", page, words))
    return made


def index(made: list[Made]) -> str:
    """The page that shows all files."""
    rows = "".join(
        f'<figure id="{Path(each.file).stem}"><a href="{each.file}">'
        f'<img loading="lazy" src="{each.file}" alt="{each.file}"></a>'
        f"<figcaption><b>{each.file}</b> {html.escape(each.words)} "
        f'<a href="../html/{each.page}.html">{each.page}</a></figcaption></figure>'
        for each in made
    )
    style = (
        "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
        "main{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:2rem}"
        "html{color:#1d232b;background:#fff}figure{margin:0}"
        "img{width:100%;height:13rem;object-fit:contain}figcaption{overflow-wrap:anywhere}b{display:block}"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Figures of the course</title>'
        f"<style>{style}</style><h1>{len(made)} figures of the course</h1>"
        f"<p>The text is under CC BY 4.0; so are the figures.</p><main>{rows}</main></html>"
    )


def make(html_folder: Path, output: Path) -> list[Made]:
    """Write every figure of the built book, and the index; what lay in the folder before is removed.

    Raises:
        ValueError: there is no figure, or one cannot stand alone.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    made: list[Made] = []
    taken: set[str] = set()
    for path in sorted((html_folder / "book").glob("*.html")):
        made += figures_of(path, f"book/{path.stem}", output, taken)
    if not made:
        raise ValueError(f"no page below {html_folder} holds a figure: build the book anew with `make book`")
    (output / "index.html").write_text(index(made), encoding="utf-8")
    return made


def main() -> int:
    """Build the book where it is not built, then write the files."""
    html_folder = ROOT / "_build" / "html"
    if not (html_folder / "book" / "index.html").exists() and (code := book.build()):
        return code
    try:
        made = make(html_folder, OUTPUT)
    except (ValueError, OSError) as error:
        print(f"figure_files.py: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in OUTPUT.iterdir())
    print(f"{OUTPUT}: {len(made)} figures, {size / 1e6:.1f} MB; index.html shows them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
