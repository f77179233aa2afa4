"""How a reader finds the way, in a browser: the search from any page, and the cards beside links."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"

if not (HTML / "search.html").exists():
    message = "the book is not built: run `make book` first"
    if os.environ.get("CI"):
        raise RuntimeError(message)
    pytest.skip(message, allow_module_level=True)

FORBIDDEN = """for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, {
  get() { throw new DOMException("storage is forbidden", "SecurityError"); },
});"""


def public_functions():
    """Module, name and the chapter that should explain it; None for what serves several chapters."""
    chapters = {path.stem[3:]: f"book/{path.stem}" for path in (ROOT / "book").glob("[0-9][0-9]_*.md")}
    for path in sorted((ROOT / "segcore").rglob("[a-z]*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        public = [
            ast.literal_eval(n.value)
            for n in body
            if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"
        ]
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and public and node.name in public[0]:
                yield node.name, chapters.get(path.stem) if path.parent.name != "checks" else None


def found(opened, query):
    """Address and kind of each page that the search finds, in its order."""
    return opened.page.evaluate("(query) => search(query).map(({ page }) => [page.p, page.k])", query)


@pytest.fixture
def results(open_path):
    def _open(query, *, forbid=False, **options):
        opened = open_path(HTML / "search.html", fresh=forbid, **options)
        if forbid:
            opened.page.add_init_script(FORBIDDEN)
        opened.page.goto(f"{(HTML / 'search.html').as_uri()}?q={query}")
        opened.page.wait_for_function("typeof search === 'function' && globalThis.courseSearch")
        return opened

    return _open


def test_a_result_names_chapter_section_and_sentence(results):
    opened = results("roi_align", forbid=True)
    first = opened.page.locator(".search-page").first
    first.wait_for()
    assert first.locator("h2 a").inner_text() == "13 RoIAlign"
    assert first.locator("li.search-function code").first.inner_text() == "roi_align"
    section = first.locator("a.search-section").first
    assert section.get_attribute("href").startswith("book/13_roi_align.html#")
    sentence = first.locator("li:has(a.search-section) p").first
    assert "roi_align" in sentence.locator("mark").all_inner_texts()
    assert len(sentence.inner_text()) > 60
    opened.assert_quiet()
    section.click()
    opened.page.wait_for_url("**/book/13_roi_align.html#*")
    anchor = opened.page.evaluate("decodeURIComponent(location.hash.slice(1))")
    assert opened.page.locator(f"[id='{anchor}']").count() == 1


def test_chapters_come_first_and_solutions_never(results):
    opened = results("")
    for query in ("RoIAlign", "receptive fields", "mean", "stride", "checkerboard", "convolution"):
        pages = found(opened, query)
        kinds = [kind for _, kind in pages]
        assert kinds == sorted(kinds) and {0, 1, 2} >= set(kinds) and kinds[0] == 0, (query, pages)
        assert not any(page.startswith("solutions") for page, _ in pages)
    assert found(opened, "RoIAlign")[0][0] == "book/13_roi_align"
    assert found(opened, "receptive fields")[0][0] == "book/05_receptive_fields"
    assert found(opened, "checkerboard")[0][0] == "book/08_upsampling"


def test_every_public_function_is_found(results):
    opened = results("")
    names = list(public_functions())
    assert len(names) > 100
    wrong = []
    for name, chapter in names:
        pages = found(opened, name)
        if not pages or (chapter and pages[0][0] != chapter):
            wrong.append((name, chapter, pages[:2]))
    assert wrong == []


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("up-sampling", "upsampling"),
        ("dilated", "dilation"),
        ("colour", "color"),
        ("encoder-decoder", "encoder–decoders"),
        ("rounding", "rounds"),
        ("Dollár", "dollar"),
    ],
)
def test_spellings_and_endings_do_not_matter(results, query, same):
    opened = results("")
    one, other = ({page for page, _ in found(opened, words)} for words in (query, same))
    assert one and len(one & other) >= 0.7 * len(one | other), (one, other)


def test_what_is_nowhere_is_said_and_nothing_is_run(results):
    opened = results("%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D'hacked'%22%3E%20zyzzyva")
    assert opened.page.locator("#search-status").inner_text().startswith("No page holds all of these words")
    assert opened.page.locator("#search-results *").count() == 0
    for query in ("(", "\\", "[a", "*", "a.b", "", "   ", "ß", "𝑥"):
        opened.page.fill("#course-query", query)
        opened.page.wait_for_timeout(160)
    assert opened.page.title().startswith("Search")
    opened.assert_quiet()


def test_results_follow_the_field(results):
    opened = results("RoIPool")
    opened.page.fill("#course-query", "checkerboard")
    opened.page.wait_for_function(
        "document.querySelector('.search-page h2').textContent.includes('Up-sampling')"
    )
    assert "page" in opened.page.locator("#search-status").inner_text()


def test_a_phone_shows_results_without_scrolling_sideways(results):
    opened = results("transposed_conv_matrix%20shape", width=390, height=844, touch=True)
    opened.page.locator(".search-page").first.wait_for()
    opened.page.locator(".search-page details > summary").first.tap()
    widths = opened.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1]


def test_the_keys_search_from_any_page(open_path):
    opened = open_path(HTML / "book/06_dilation.html")
    opened.page.wait_for_load_state("load")
    opened.page.keyboard.press("Control+k")
    opened.page.keyboard.type("RoIPool")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_url("**/search.html?q=RoIPool")
    opened.page.locator(".search-page h2 a", has_text="13 RoIAlign").wait_for()
    opened.assert_quiet()


def test_a_finger_searches_from_any_page(open_path):
    opened = open_path(HTML / "labs/06_dilation.html", width=390, height=844, touch=True)
    opened.page.wait_for_load_state("load")
    opened.page.locator(".search-button__button:visible").first.tap()
    opened.page.keyboard.type("RoIPool")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_url("**/search.html?q=RoIPool")
    opened.page.locator(".search-page h2 a", has_text="13 RoIAlign").wait_for()
    opened.assert_quiet()


def test_the_search_page_is_light():
    loaded = sum(
        (HTML / "_static" / name).stat().st_size for name in ("search-index.js", "search.js", "search.css")
    )
    assert loaded < 1_000_000  # with eighteen chapters; the page as a whole may weigh 1.5 MB
    pages = [
        path.name for path in HTML.rglob("*.html") if "search-index.js" in path.read_text(encoding="utf-8")
    ]
    assert pages == ["search.html"]


# Cards

LINKS = {
    "term": ("a[href='glossary.html#term-RoIAlign']", "Reading a region of interest into a fixed grid"),
    "citation": (".bibtex-citation a", "Girshick"),
    "equation": ("p > a[href='#equation-eq-half-pixel']", "(13.1)"),
    "figure": ("p > a.reference[href='#fig-question']", "Fig. 13.1"),
}


@pytest.fixture
def chapter(open_path):
    def _open(**options):
        opened = open_path(HTML / "book/13_roi_align.html", **options)
        opened.page.wait_for_load_state("load")
        opened.page.wait_for_selector("#equation-eq-half-pixel mjx-container")
        return opened

    return _open


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_pointer_gets_a_card_of_each_kind(chapter, theme, width):
    opened = chapter(theme=theme, width=width)
    for kind, (selector, words) in LINKS.items():
        link = opened.page.locator(f".bd-article {selector}").first
        link.hover()
        card = opened.page.locator("#course-card")
        card.wait_for(state="visible")
        assert words in card.inner_text(), kind
        box = card.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, kind
        assert link.get_attribute("aria-describedby") == "course-card"
        shown = {"equation": "mjx-container", "figure": "img, svg", "citation": "a[href^='https://']"}.get(
            kind, "p"
        )
        assert card.locator(shown).first.is_visible(), kind
        opened.page.mouse.move(0, 0)
        card.wait_for(state="hidden")
        assert link.get_attribute("aria-describedby") is None
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.assert_quiet()


def test_a_card_moves_nothing(chapter):
    opened = chapter()
    opened.page.wait_for_function(
        "() => [...document.querySelectorAll('.segcore-widget')].every((w) => w.dataset.ready === 'true')"
    )
    link = opened.page.locator(".bd-article a[href='glossary.html#term-RoIAlign']").first
    link.scroll_into_view_if_needed()
    opened.page.evaluate(
        "() => new PerformanceObserver((list) => { window.shift = (window.shift ?? 0) + list.getEntries()"
        ".reduce((sum, { value }) => sum + value, 0); }).observe({ type: 'layout-shift' })"
    )
    below = opened.page.locator("#the-idea")
    before = (link.bounding_box(), below.bounding_box()["y"])
    link.hover()
    opened.page.locator("#course-card").wait_for(state="visible")
    opened.page.wait_for_timeout(300)
    assert (link.bounding_box(), below.bounding_box()["y"]) == before
    assert opened.page.evaluate("window.shift ?? 0") == 0


def test_the_pointer_may_go_into_a_card(chapter):
    opened = chapter()
    opened.page.locator(".bd-article a[href='glossary.html#term-RoIAlign']").first.hover()
    card = opened.page.locator("#course-card")
    card.wait_for(state="visible")
    card.hover()
    opened.page.wait_for_timeout(500)
    assert card.is_visible()
    card.locator("a").first.click()
    opened.page.wait_for_url("**/glossary.html#term-region-of-interest")


def test_keys_show_and_close_a_card(chapter):
    opened = chapter()
    link = opened.page.locator(".bd-article a[href='glossary.html#term-feature-map']").first
    link.evaluate("(link) => link.closest('p').setAttribute('tabindex', '-1') ?? link.closest('p').focus()")
    opened.page.keyboard.press("Tab")
    card = opened.page.locator("#course-card")
    card.wait_for(state="visible")
    assert opened.page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "course-card"
    opened.page.keyboard.press("Escape")
    assert card.is_hidden()
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_url("**/glossary.html#term-feature-map")


DRAWING = """(figure) => {
  const size = (width) => `width="${width}" height="200" viewBox="0 0 ${width} 200"`;
  const layout = (name, width) => `<svg data-layout="${name}" ${size(width)}>
    <clipPath id="${name}-clip"><circle cx="90" cy="90" r="80"/></clipPath>
    <path id="${name}-mark" d="M0 0h9"/>
    <rect width="${width}" height="200" clip-path="url(#${name}-clip)"/><use href="#${name}-mark"/></svg>`;
  (figure.querySelector(".course-figure") ?? figure.querySelector("img")).outerHTML =
    `<div class="course-figure">${layout("wide", 600)}${layout("narrow", 300)}</div>`;
}"""


@pytest.mark.parametrize("width", [390, 1280])
def test_a_drawing_in_two_layouts_is_shown_once_and_whole(chapter, width):
    opened = chapter(width=width)
    opened.page.locator("#fig-question").evaluate(DRAWING)
    opened.page.locator(f".bd-article {LINKS['figure'][0]}").first.hover()
    drawing = opened.page.locator("#course-card svg")
    drawing.wait_for(state="visible")
    assert drawing.count() == 1
    assert drawing.locator("rect").get_attribute("clip-path") == "url(#card-wide-clip)"
    assert drawing.locator("use").get_attribute("href") == "#card-wide-mark"
    ids = opened.page.eval_on_selector_all(
        "#fig-question [id], #course-card [id]", "all => all.map((x) => x.id)"
    )
    assert len(ids) == len(set(ids)) == 6
    assert drawing.bounding_box()["width"] > 200


ELSEWHERE = r"""() => {
  const kept = document.getElementById("course-cards") ?? document.createElement("template");
  kept.id = "course-cards";
  document.body.append(kept);
  kept.innerHTML += '<div data-card="x.html#equation-q"><p class="card-title">(9.1)</p>'
    + '<div class="math card-formula">\\[ a^2 + b^2 \\]</div></div>';
  document.querySelector(".bd-article p").innerHTML +=
    ' <a class="reference internal" id="to-q" href="x.html#equation-q">(9.1)</a>';
}"""


def test_an_equation_of_another_page_is_typeset(chapter):
    opened = chapter()
    opened.page.evaluate(ELSEWHERE)
    opened.page.locator("#to-q").hover()
    opened.page.locator("#course-card mjx-container").wait_for(state="visible")
    assert "\\" not in opened.page.locator("#course-card .card-formula mjx-math").inner_text()


def test_an_equation_is_left_out_where_nothing_can_typeset_it(open_path):
    opened = open_path(HTML / "book/bibliography.html")
    opened.page.wait_for_load_state("load")
    assert not opened.page.evaluate("Boolean(globalThis.MathJax?.typesetPromise)")
    opened.page.evaluate(ELSEWHERE)
    opened.page.locator("#to-q").hover()
    opened.page.wait_for_timeout(600)
    assert opened.page.locator("#course-card:visible").count() == 0
    opened.assert_quiet()


def test_a_tap_follows_the_link(chapter):
    opened = chapter(width=390, height=844, touch=True)
    opened.page.locator(".bd-article a[href='glossary.html#term-feature-map']").first.tap()
    opened.page.wait_for_url("**/glossary.html#term-feature-map")
    assert opened.page.locator("#course-card:visible").count() == 0


def test_cards_are_not_printed(chapter):
    opened = chapter()
    opened.page.locator(".bd-article a[href='glossary.html#term-RoIAlign']").first.hover()
    opened.page.locator("#course-card").wait_for(state="visible")
    opened.page.emulate_media(media="print")
    assert opened.page.locator("#course-card").is_hidden()


def test_a_card_passes_axe(chapter):
    from axe_playwright_python.sync_playwright import Axe

    opened = chapter()
    opened.page.locator(".bd-article .bibtex-citation a").first.hover()
    opened.page.locator("#course-card").wait_for(state="visible")
    opened.page.wait_for_timeout(300)
    found = Axe().run(opened.page, context="#course-card", options={"preload": False}).response["violations"]
    assert [violation["id"] for violation in found] == []


def test_no_card_weighs_much():
    weights = {}
    for path in HTML.rglob("*.html"):
        _, _, rest = path.read_text(encoding="utf-8").partition('<template id="course-cards">')
        weights[path.name] = len(rest.partition("</template>")[0].encode())
    assert max(weights.values()) < 20_000 and sum(weights.values()) > 0
