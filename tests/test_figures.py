"""A figure becomes an SVG for phones and dark pages, the same to the byte; and every picture is described."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import yaml
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

from segcore import viz
from segcore.figures import SMALLEST, figure_svg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools" / "ext"))
SVG = "{http://www.w3.org/2000/svg}"
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]_*.md"))
SOLUTIONS = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.ipynb"))
PHONE = 358  # CSS pixels: the text column on a screen of 390


@pytest.fixture(autouse=True)
def the_course_s_style():
    with plt.rc_context():
        viz.use_style()
        yield
    plt.close("all")


def pictures(count=3, size=(6, 9), titles="abc", **options):
    figure, axes = plt.subplots(1, count, figsize=(9, 2.4), squeeze=False, **options)
    for k, ax in enumerate(axes[0]):
        viz.show_image(torch.linspace(0, 1, size[0] * size[1]).view(size), ax=ax, title=titles[k])
    return figure


def plots(**options):
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), **options)
    for ax in axes:
        ax.plot([0, 1, 2], [3, 1, 4], label="a line")
        ax.set(xlabel="across", ylabel="along the upright axis", title="a plot")
    axes[0].legend()
    return figure


def diagram():
    figure, ax = plt.subplots(figsize=(8, 3))
    ax.text(0.5, 0.5, "small", fontsize=6)
    ax.text(0.2, 0.5, "two lines,\ncentred", ha="center")
    ax.text(0.8, 0.5, "turned", rotation=90, ha="right")
    ax.text(0.3, 0.2, "$k^2$ cells", color=viz.PALETTE[1])
    ax.axis("off")
    return figure


DRAWN = {"pictures": pictures, "plots": plots, "shared": lambda: plots(sharey=True), "diagram": diagram}


def layouts(figure):
    return {
        each.get("data-layout"): each
        for each in ElementTree.fromstring(figure_svg(figure))
        if each.tag == f"{SVG}svg"
    }


def style(element):
    return dict(part.split(":", 1) for part in element.get("style", "").split(";") if part)


def sizes(layout):
    """Font sizes in CSS pixels, at full size: the viewBox is in points. Exponents may be smaller."""
    scale = float(layout.get("width")) / float(layout.get("viewBox").split()[2])
    texts = [
        [style(part) for part in each.iter() if "font-size" in style(part)]
        for each in layout.iter(f"{SVG}text")
    ]
    return [scale * max(float(part["font-size"].removesuffix("px")) for part in parts) for parts in texts]


def places(layout):
    """Left and upper edge of each embedded image."""
    found = [re.findall(r"-?[\d.]+", each.get("transform")) for each in layout.iter(f"{SVG}image")]
    return [(float(matrix[4]), float(matrix[5])) for matrix in found]


@pytest.mark.parametrize("name", DRAWN)
def test_the_narrow_layout_fits_a_phone_and_no_text_is_below_eleven_pixels(name):
    both = layouts(DRAWN[name]())
    assert list(both) == ["wide", "narrow"]
    assert float(both["narrow"].get("width")) <= PHONE + 2
    for layout in both.values():
        assert min(sizes(layout)) > 11


@pytest.mark.parametrize("name", DRAWN)
def test_the_wide_layout_fits_a_desk_with_the_contents_beside_it(name):
    figure = DRAWN[name]()
    figure.set_size_inches(9.6, 3)
    assert float(layouts(figure)["wide"].get("width")) <= 688


def test_a_figure_that_fits_a_phone_has_one_layout():
    figure, ax = plt.subplots(figsize=(4, 3))
    ax.plot([1, 2])
    assert list(layouts(figure)) == ["wide"]


def test_pictures_stand_in_two_columns_and_plots_in_one():
    narrow = layouts(pictures())["narrow"]
    (x1, y1), (x2, y2), (x3, y3) = places(narrow)
    assert x1 == x3 < x2 and y1 == pytest.approx(y2, abs=0.1) and y3 > y1 + 50
    widths = {
        name: float(layout.get("width")) / float(layout.get("height"))
        for name, layout in layouts(plots()).items()
    }
    assert widths["wide"] > 2 and widths["narrow"] < 0.9


def test_an_author_may_say_how_many_columns_and_how_high():
    figure = pictures()
    viz.on_a_phone(figure, columns=3)
    assert len({y for _, y in places(layouts(figure)["narrow"])}) == 1
    tall, low = plots(), plots()
    viz.on_a_phone(tall, height=3.0)
    viz.on_a_phone(low, height=1.5)
    heights = [float(layouts(each)["narrow"].get("height")) for each in (tall, low)]
    assert heights[0] - heights[1] == pytest.approx(2 * 1.5 * 96, rel=0.1)
    grid, axes = plt.subplots(2, 2, figsize=(8, 8))
    for k, ax in enumerate(axes.flat):
        viz.show_image(torch.zeros(4, 4), ax=ax, title=f"panel {k}")
    viz.on_a_phone(grid, columns=1, down=True)

    def heights():
        return {each.text: float(each.get("y")) for each in layouts(grid)["narrow"].iter(f"{SVG}text")}

    found = heights()
    assert sorted(found, key=found.get) == ["panel 0", "panel 2", "panel 1", "panel 3"]
    axes[1, 0].set_visible(False)
    viz.on_a_phone(grid, columns=2, down=True)
    found = heights()
    assert found["panel 0"] < found["panel 1"] == found["panel 3"], "the empty place is kept"
    for wrong, message in [({"columns": 0}, "at least 1"), ({"height": 0}, "above 0")]:
        with pytest.raises(ValueError, match=message):
            viz.on_a_phone(figure, **wrong)


def test_a_heading_that_is_too_long_for_its_panel_is_broken():
    long = "a heading that is much too long for half a phone"
    narrow = layouts(pictures(2, titles=[long, "b"]))["narrow"]
    lines = [each.text for each in narrow.iter(f"{SVG}text")]
    assert len(lines) > 2 and " ".join(line for line in lines if line != "b") == long


def test_panels_that_share_an_axis_have_its_numbers_each_where_they_stack():
    both = layouts(plots(sharey=True))
    count = {
        name: sum(each.text == "3.0" for each in layout.iter(f"{SVG}text")) for name, layout in both.items()
    }
    assert count == {"wide": 1, "narrow": 2}
    figure = plots()
    for ax in figure.axes:
        ax.xaxis.tick_top()
        ax.set(xticks=[0, 1, 2], yticks=[])
    both = layouts(figure)
    count = {
        name: sum(each.text == "1" for each in layout.iter(f"{SVG}text")) for name, layout in both.items()
    }
    assert count["wide"] == count["narrow"], "numbers that stand above are not repeated below"


@pytest.mark.parametrize("name", DRAWN)
def test_the_figure_is_left_as_it_was(name):
    figure = DRAWN[name]()

    def state():
        words = [t for ax in figure.axes for t in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)]
        texts = [(t.get_text(), t.get_fontsize(), t.get_gid()) for t in words]
        specs = [(ax.get_subplotspec().num1, ax.get_subplotspec().get_gridspec().ncols) for ax in figure.axes]
        kept = [image.get_interpolation() for ax in figure.axes for image in ax.images]
        labels = [ax.yaxis.get_tick_params().get("labelleft") for ax in figure.axes]
        return texts, specs, kept, labels, figure.get_size_inches().tolist(), type(figure.get_layout_engine())

    figure.canvas.draw()
    before = state()
    first = figure_svg(figure)
    figure.canvas.draw()
    assert state() == before
    assert figure_svg(figure) == first


def test_another_process_draws_the_same_bytes():
    program = (
        "import hashlib, sys; sys.path.insert(0, 'tests'); import test_figures as t; t.viz.use_style();"
        "print(hashlib.sha256(''.join(t.figure_svg(d()) for d in t.DRAWN.values()).encode()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


@pytest.mark.parametrize("name", DRAWN)
def test_ids_are_the_figure_s_own_and_all_that_is_named_is_there(name):
    svg = figure_svg(DRAWN[name]())
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids)) and len({each.split("-")[0] for each in ids}) <= 1
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg)) == set(ids)
    other = figure_svg(DRAWN[name]().axes[0].set_title("another") and plt.gcf())
    assert not set(ids) & set(re.findall(r'\bid="([^"]+)"', other)), (
        "two figures of one page have none in common"
    )


def test_no_rule_of_a_figure_reaches_the_page():
    svg = figure_svg(plots())
    assert (
        "<style" not in svg and "<metadata" not in svg and "font-family" not in re.sub("<svg[^>]*>", "", svg)
    )


def test_text_has_the_page_s_colours():
    svg = figure_svg(diagram())
    assert f"fill:var(--figure-grey, {viz.GREY})" in svg and f"fill:var(--figure-1, {viz.PALETTE[1]})" in svg
    assert f"fill:{viz.PALETTE[1]}" not in svg, "nor has a formula's frame another one"
    texts = [each for layout in layouts(plots()).values() for each in layout.iter(f"{SVG}text")]
    assert texts and all(style(each)["fill"].startswith("var(--figure-") for each in texts)


def test_centred_lines_and_turned_words_hang_by_their_anchor():
    texts = {each.text: each for each in layouts(diagram())["wide"].iter(f"{SVG}text")}
    for line in ("two lines,", "centred"):
        assert style(texts[line])["text-anchor"] == "middle"
        width = text_to_path.get_text_width_height_descent(line, FontProperties(size=9.5), ismath=False)[0]
        assert float(texts[line].get("x")) == pytest.approx(width / 2, abs=0.01)
    assert style(texts["turned"])["text-anchor"] == "end"
    assert style(texts["small"])["font-size"] == f"{SMALLEST:g}px"


def test_pixels_are_embedded_as_they_are():
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
    labels = torch.arange(12).view(3, 4) % 5
    viz.show_labels(labels, ax=left, legend=False)
    photo = torch.rand(3, 400, 400, generator=torch.Generator().manual_seed(0))
    photo = torch.nn.functional.avg_pool2d(photo, 9, 1, 4)
    viz.show_image(photo, ax=right)
    small, large = layouts(figure)["wide"].iter(f"{SVG}image")
    decoded = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(each.get("href").split(",")[1]))).convert("RGB"))
        for each in (small, large)
    ]
    expected = np.array([to_rgb(color) for color in viz.class_colors(5)])[labels.numpy()]
    assert np.abs(decoded[0] / 255 - expected).max() < 0.005, "few colours: without loss"
    assert np.abs(decoded[1] / 255 - photo.permute(1, 2, 0).numpy()).mean() < 0.02
    assert "pixelated" in small.get("style") and large.get("style") is None


def test_a_large_map_is_packed_in_no_time_and_once_for_both_layouts():
    from segcore.figures import _webp

    figure, axes = plt.subplots(1, 2, figsize=(8, 3))
    values = torch.nn.functional.avg_pool2d(torch.rand(1, 400, 400, generator=torch.manual_seed(0)), 9, 1, 4)[
        0
    ]
    for ax in axes:
        viz.show_heatmap(values, ax=ax, colorbar=False)
    _webp.cache_clear()
    start = time.process_time()
    svg = figure_svg(figure)
    assert time.process_time() - start < 5, "the best packing takes ten seconds for such a map"
    assert _webp.cache_info().misses == 1 and svg.count("data:image/webp") == 4


def test_what_is_drawn_alike_is_one_path():
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, 4:16, 3:17] = True
    viz.show_masks(None, mask, alpha=0)
    paths = [
        each for each in layouts(plt.gcf())["wide"].iter(f"{SVG}path") if "#1c90f7" in each.get("style", "")
    ]
    assert len(paths) == 1 and re.fullmatch(r"M[\d. ]+([HV][\d.]+){4}", paths[0].get("d"))
    figure, ax = plt.subplots()
    ax.vlines([0, 1, 2], 0, 1, color=viz.PALETTE[2])
    drawn = [
        each for each in layouts(figure)["wide"].iter(f"{SVG}path") if viz.PALETTE[2] in each.get("style", "")
    ]
    assert len(drawn) == 1 and drawn[0].get("d").count("M") == 3, "lines that are drawn alike"


def test_ipython_shows_svg_where_the_book_is_built_and_png_elsewhere():
    program = (
        "from IPython.core.interactiveshell import InteractiveShell; shell = InteractiveShell.instance();"
        "import matplotlib.pyplot as plt; from segcore import viz; viz.use_style();"
        "print(*sorted(shell.display_formatter.format(plt.subplots()[0])[0]))"
    )

    def shown(**more):
        backend = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYTHONPATH": str(ROOT)}
        environment = {key: value for key, value in os.environ.items() if key != "SEGCORE_FIGURES"}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, **backend, **more},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert shown(SEGCORE_FIGURES="svg") == ["image/svg+xml", "text/plain"]
    assert "image/svg+xml" not in shown()


# ---- In the page --------------------------------------------------------------------------------


def test_the_page_gets_both_layouts_with_the_words_and_files_for_the_pixels(tmp_path):
    course_figures = pytest.importorskip("course_figures")
    svg = figure_svg(pictures())
    html = course_figures.figure_html(svg, 'A "quoted" picture & more', tmp_path, "../_images/")
    width = float(layouts(pictures())["wide"].get("width"))
    start = r'<div class="course-figure" id="([\w-]+)">'
    rule = r"<style>@media screen{@container \(max-width:(\d+)px\){(.*?})}}"
    name, below, shown = re.match(start + rule, html).groups()
    assert shown == f"#{name}>svg{{display:none}}#{name}>svg~svg{{display:block}}"
    assert (
        int(below) / width * SMALLEST * 96 / 72 == pytest.approx(11, abs=0.1) and 'display="none"' not in html
    )
    assert html.count('role="img" aria-label="A &quot;quoted&quot; picture &amp; more"') == 2
    assert "data:" not in html
    for name in re.findall(r'href="\.\./_images/([^"]+)"', html):
        data = (tmp_path / name).read_bytes()
        assert name == f"{hashlib.sha256(data).hexdigest()[:20]}.webp" and data[8:12] == b"WEBP"
    assert len(list(tmp_path.iterdir())) == 1, "three panels, two layouts, one photograph: one file"
    assert course_figures.layouts('<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>') == []


def contrast(a, b):
    def luminance(color):
        c = np.array(to_rgb(color))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    dark, light = sorted(0.05 + luminance(c) for c in (a, b))
    return light / dark


@pytest.mark.parametrize("theme, page", [("light", "#ffffff"), ("dark", "#15191e")])
def test_every_colour_of_text_has_a_contrast_of_4_5_on_its_page(theme, page):
    css = (ROOT / "book" / "_static" / "figures.css").read_text()
    rules = css.split("@media screen", 1)
    colours = dict(re.findall(r"--figure-(\d): (#\w{6})", rules[0] if theme == "light" else rules[1]))
    assert sorted(colours) == [str(k) for k in range(len(viz.PALETTE))]
    selector = 'html[data-theme="dark"]' if theme == "dark" else "html[data-theme]"
    muted = re.search(
        re.escape(selector) + r" {.*?--course-muted: (#\w+)",
        (ROOT / "book/_static/course.css").read_text(),
        re.S,
    )
    for colour in [*colours.values(), muted[1]]:
        assert contrast(colour, page) >= 4.5


# ---- What a picture shows, in words ------------------------------------------------------------


def described(alt):
    """Words, not a file's name."""
    return alt is not None and len(alt.split()) >= 6 and not re.search(r"[0-9a-f]{32}|\.png", alt)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_of_a_chapter_has_a_name_a_caption_and_a_description(path):
    cells = re.findall(r"```\{code-cell\} ipython3\n(.*?)```", path.read_text(encoding="utf-8"), re.S)
    drawing = [cell for cell in cells if "plt.show()" in cell]
    assert drawing
    for cell in drawing:
        options = yaml.safe_load(cell.split("---\n")[1])["mystnb"]
        assert options["figure"]["name"] and options["figure"]["caption"], cell
        assert described(options["image"]["alt"]), options["image"]["alt"]


def test_a_picture_of_double_density_keeps_its_shape():
    """Its width is as it was drawn; its height follows it where the page is narrower."""
    course_figures = pytest.importorskip("course_figures")
    nodes = pytest.importorskip("docutils.nodes")
    image = nodes.image(uri="a.png", width="760", height="342")
    cell = nodes.container("", image, nb_element="cell_code", cell_metadata={"course": {"alt": "A cat"}})
    course_figures._describe(None, nodes.container("", cell))
    assert image["width"] == "760" and "height" not in image and image["alt"] == "A cat"


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_every_picture_of_a_solution_is_described(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    drawn = [c for c in cells if any("image/png" in o.get("data", {}) for o in c.get("outputs", []))]
    assert drawn
    for cell in drawn:
        assert described(cell["metadata"].get("course", {}).get("alt")), "".join(cell["source"])[:200]
