"""Minutes, difficulty, the fast track, the map of the chapters, and figures as files."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
pytest.importorskip("sphinx")
sys.path[:0] = [str(ROOT / "tools" / "ext"), str(ROOT / "tools")]

import course_figures  # noqa: E402
import course_map  # noqa: E402
import course_pace  # noqa: E402
import course_print  # noqa: E402
import figure_files  # noqa: E402
import lab_pace  # noqa: E402
from course_cards import CHAPTERS, read_lab  # noqa: E402
from docutils import nodes  # noqa: E402
from lab_generate import read  # noqa: E402
from lab_shown import solution_lines  # noqa: E402

LABS = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.ipynb"))


# ---- Minutes and levels ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_a_lab_takes_what_its_exercises_take_and_the_rest(path):
    notebook = read(path)
    assert lab_pace.faults(path.stem, notebook, solution_lines(notebook)) == []
    course = notebook.metadata["course"]
    total = sum(item["minutes"] for item in course["exercises"]) + course.get("rest", 0)
    assert total == course["minutes"] and 60 <= total <= 120
    levels = [pace.level for pace in lab_pace.paces(course).values()]
    assert max(levels) == 3 or path.stem in {"18_colorization"}, "a lab rises to something"


def test_every_chapter_names_one_exercise_for_a_hurry():
    assert list(lab_pace.FAST) == list(CHAPTERS)
    for path in LABS:
        exercise, why = lab_pace.FAST[path.stem]
        assert course_pace.fast_exercise(path.stem, read_lab(path))[0] == exercise
        assert 4 <= len(why.split()) <= 20


def spoilt(change):
    notebook = copy.deepcopy(read(ROOT / "solutions" / "13_roi_align.ipynb"))
    change(notebook.metadata["course"], notebook)
    return lab_pace.faults("13_roi_align", notebook, {"13.3": 12, "13.1": 5})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda course, _: course["exercises"][0].pop("level"), "gives 13.1 no minutes or no level"),
        (lambda course, _: course.update(minutes=95), "take 90 minutes, but course.minutes says 95"),
        (lambda course, _: course["exercises"][0].update(level=3), "level 3; 10 minutes and 5 lines say 1"),
        (lambda course, _: course["exercises"][0].update(level=4), "is of level 4"),
        (lambda course, _: course["exercises"].pop(2), "FAST names 13.3"),
        (lambda _, book: book.cells[0].update(source="About 9 minutes.\n| 13.1 | `f` | 3 |"), "annotate"),
    ],
)  # fmt: skip
def test_what_is_amiss_with_minutes_is_said(change, words):
    assert any(words in fault for fault in spoilt(change)), spoilt(change)


def test_the_lab_says_it_under_each_heading_and_in_its_table():
    lab = read(ROOT / "labs" / "13_roi_align.ipynb")
    text = "\n".join(cell.source for cell in lab.cells if cell.cell_type == "markdown")
    lines = re.findall(
        r"^## (13\.\d) .*\n\n\*(●*○*) Difficulty (\d) of 3, about (\d+) minutes\.(.*)\*$", text, re.M
    )
    rows = re.findall(r"^\| (13\.\d) \|.*\| (●*○*) \| (\d+) \|$", text, re.M)
    assert [line[0] for line in lines] == [f"13.{n}" for n in range(1, 6)]
    assert [(line[0], line[1], line[3]) for line in lines] == rows
    assert [line[0] for line in lines if "hurry" in line[4]] == ["13.3"]
    assert all(line[1].count("●") == int(line[2]) and len(line[1]) == 3 for line in lines)


def test_tables_are_made_twice_alike():
    for path in LABS:
        notebook = read(path)
        first = notebook.cells[0].source
        assert lab_pace.with_table(first, notebook.metadata["course"]) == first
    plain = "# A lab\n\nNo table."
    assert lab_pace.with_table(plain, {"minutes": 3}) == plain


# ---- Minutes of reading ------------------------------------------------------------------------------


def test_minutes_of_reading_follow_from_what_the_page_holds():
    assert course_pace.reading_minutes(Counter(word=2200)) == 10
    for kind in course_pace.SECONDS:
        more = course_pace.reading_minutes(Counter({"word": 2200}) + Counter({kind: 1000}))
        assert more > 10, f"{kind} takes no time"
    assert course_pace.reading_minutes(Counter()) == 1


def test_code_that_nobody_sees_is_not_read():
    document = nodes.container()
    shown, folded, output = nodes.container(), nodes.container(), nodes.container()
    folded["hide_mode"], output["nb_element"] = "input", "cell_code_output"
    for box in (shown, folded, output):
        box += nodes.literal_block("", "one\ntwo\nthree")
        document += box
    document += nodes.paragraph("", "four words and more")
    document += nodes.raw("", '<div class="segcore-widget" data-key="x">', format="html")
    found = course_pace.contents(document)
    assert (found["code"], found["word"], found["widget"]) == (3, 4, 1)


def test_the_line_below_the_title_leads_to_the_exercise():
    head = course_pace.head("13_roi_align", 15, read_lab(ROOT / "solutions" / "13_roi_align.ipynb"))
    assert head.astext() == (
        "About 15 minutes to read, 90 for the lab. "
        "In a hurry, read it and do exercise 13.3 RoIAlign as two matrix products (23 minutes)."
    )
    link = next(head.findall(nodes.reference))
    assert link["refuri"] == "../labs/13_roi_align.html#roialign-as-two-matrix-products"


# ---- The map -----------------------------------------------------------------------------------------


def test_the_map_has_all_chapters_and_no_two_in_one_place():
    numbers = {int(name[:2]) for name in CHAPTERS}
    assert set(course_map.NAMES) == numbers
    for layout in course_map.LAYOUTS:
        assert set(layout.places) == numbers
        boxes = [(*layout.corner(n), n) for n in layout.places]
        width, height = layout.size
        for x, y, n in boxes:
            for u, v, other in boxes:
                assert n == other or abs(x - u) >= width or abs(y - v) >= height, (layout.kind, n, other)
    for chapter, earlier in course_map.BUILDS_ON.items():
        assert all(each < chapter for each in earlier), "nothing leans on what comes later"


def test_lines_run_forward():
    for layout in course_map.LAYOUTS:
        axis = 0 if layout.kind == "wide" else 1
        for end, starts in course_map.BUILDS_ON.items():
            for start in starts:
                ahead = layout.places[end][axis] - layout.places[start][axis]
                beside = layout.kind == "tall" and abs(layout.places[end][0] - layout.places[start][0]) == 1
                assert ahead > 0 or (ahead == 0 and beside), (layout.kind, start, end)


def points(path):
    """Points of a path of M, C, V and H, close to each other."""
    at, found = (0.0, 0.0), []
    for kind, numbers in re.findall(r"([MCVH])([^MCVH]*)", path):
        values = [float(each) for each in numbers.split()]
        if kind == "M":
            at = (values[0], values[1])
            continue
        ends = {"V": (at[0], *values), "H": (*values, at[1])}.get(kind, tuple(values[-2:]))
        p, q = (values[:2], values[2:4]) if kind == "C" else (at, ends)
        for t in (each / 60 for each in range(61)):
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
            found.append(
                tuple(sum(w * c[k] for w, c in zip(weights, (at, p, q, ends), strict=True)) for k in (0, 1))
            )
        at = ends
    return found


@pytest.mark.parametrize("layout", course_map.LAYOUTS, ids=lambda layout: layout.kind)
def test_no_line_runs_behind_a_box(layout):
    for end, starts in course_map.BUILDS_ON.items():
        for start in starts:
            for x, y in points(layout.line(start, end)):
                for n in layout.places:
                    dx, dy = x - layout.corner(n)[0], y - layout.corner(n)[1]
                    behind = 0.5 < dx < layout.size[0] - 0.5 and 0.5 < dy < layout.size[1] - 0.5
                    assert not behind, f"the line from {start} to {end} runs behind {n}"


def test_the_map_is_links_with_names():
    html = course_map.map_html({n: f"{name}.html" for n, name in course_map._SLUGS.items() if n != 2})
    root = ElementTree.fromstring(re.sub("<style>.*?</style>", "", html))
    for svg in root:
        links = {link.get("data-chapter"): link for link in svg.iter("a")}
        assert set(links) == set(CHAPTERS) - {"02_grouping"}
        assert links["09_encoder_decoders"].get("aria-label") == "9 Encoders and decoders, builds on 7 and 8"
        assert links["01_superpixels"].get("aria-label") == "1 Superpixels"
        assert links["13_roi_align"].get("href") == "13_roi_align.html"
        assert len(list(svg.iter("path"))) == 1 + sum(map(len, course_map.BUILDS_ON.values()))


# ---- Code below its figure, widgets on paper ---------------------------------------------------------


def test_the_code_of_a_figure_stands_below_it():
    cell = nodes.container(nb_element="cell_code")
    folded, output = nodes.container(classes=["above-input"]), nodes.container()
    plain = nodes.container("", nodes.container(classes=["above-input"]), nb_element="cell_code")
    output += nodes.figure()
    cell += [folded, output]
    tree = nodes.container("", cell, plain)
    course_figures.code_below(tree)
    assert cell.children == [output, folded] and folded["classes"] == ["below-figure"]
    assert plain.children[0]["classes"] == ["above-input"], "what draws no figure stays"


def test_a_widget_says_on_paper_where_it_lives():
    still = '<figure class="segcore-still"><picture><img></picture><figcaption>x</figcaption></figure>'
    named = 'data-widget="{}" role="group" aria-label="T &amp; t"'
    widget = f'<div class="segcore-widget" data-key="k" {named}><s></s>{still}</div>'
    none = '<div class="segcore-widget" data-widget="c" role="group" aria-label="C"><p></p></div>'
    body = none + widget.format("a") + widget.format("b")
    made = course_print.captioned(body, "book/x.html")
    lines = re.findall(r'</figcaption><p class="segcore-printed">(.*?)</p></figure>', made)
    assert lines == [f"T &amp; t. Take it in your hands: <code>book/x.html#{slug}</code>" for slug in "ab"]
    assert '<a href="https://h/book/x.html#a">' in course_print.captioned(body, "book/x.html", "https://h/")


# ---- Figures as files --------------------------------------------------------------------------------

PAGE = """<figure class="align-default" id="fig-one"><div class="course-figure">
<svg role="img" aria-label="A &amp; b" data-layout="wide" width="30" height="20" viewBox="0 0 30 20"
font-family="system-ui, sans-serif"><image
href="../_images/p.webp" width="9"/><use href="#fa-wide-x"/>
<path id="fa-wide-x" style="fill:var(--figure-0, #0073d6)"/></svg>
<svg data-layout="narrow" width="3"></svg></div><figcaption><p><span class="caption-number">Fig. 1.1 </span>A
<code>name</code>.<a class="headerlink" href="#fig-one">#</a></p></figcaption></figure>
<figure id="fig-file"><img src="../_images/q.svg" alt="x"></figure>
<div class="segcore-widget" data-key="k" data-widget="roi_align" role="group" aria-label="Boxes">"""


@pytest.fixture
def pages(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "_images").mkdir()
    Image.effect_noise((8, 8), 50).convert("RGB").save(tmp_path / "_images" / "p.webp")
    (tmp_path / "_images" / "q.svg").write_text("<svg/>")
    for name in ("01_a", "02_b"):
        (tmp_path / "book" / f"{name}.html").write_text(PAGE, encoding="utf-8")
    return tmp_path


def test_each_figure_is_a_file_that_stands_alone(pages):
    out = pages / "figures"
    out.mkdir()
    (out / "old.svg").write_text("of another book")
    made = figure_files.make(pages, out)
    names = ["fig-one.svg", "fig-file.svg", "widget-roi_align.png", "02_b-fig-one.svg", "02_b-fig-file.svg"]
    assert [each.file for each in made] == names
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "index.html"])
    assert made[0].words == "Fig. 1.1 A name." and made[0].page == "book/01_a"
    text = (out / "fig-one.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.get("viewBox") == "0 0 30 20" and root.get("aria-label") == "A & b"
    link = "{http://www.w3.org/1999/xlink}href"
    assert [node.get(link)[:22] for node in root.iter() if node.get(link)] == [
        "data:image/png;base64,",
        "#fa-wide-x",
    ]
    assert "var(" not in text and "fill:#0073d6" in text and "system-ui" not in text
    with Image.open(out / "widget-roi_align.png") as still:
        assert still.width > 800
    index = (out / "index.html").read_text(encoding="utf-8")
    assert all(f'src="{name}"' in index for name in names) and "5 figures" in index


def test_what_figures_lack_is_said(pages):
    with pytest.raises(ValueError, match=r"p\.webp is missing: build the book anew"):
        figure_files.standing_alone('<svg><image href="p.webp"/></svg>', pages)
    with pytest.raises(ValueError, match="no SVG that can stand alone"):
        figure_files.standing_alone("<svg><g></svg>", pages)
    with pytest.raises(ValueError, match="holds a figure: build the book anew"):
        figure_files.make(pages / "nowhere", pages / "out")


def test_make_knows_the_two_commands():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "make pdf" in text and "make figures" in text
