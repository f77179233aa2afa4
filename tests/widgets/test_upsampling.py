"""The up-sampling widget: its arithmetic against PyTorch, and the figure under a reader's hand."""

from __future__ import annotations

import itertools
import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets

from segcore.data.images import photograph
from segcore.upsampling import overlap_count, zero_insert
from segcore.widgets.upsampling import UpsamplingWidget

from .kit import assert_accessible, first_form_height, settle, tab_to, thumb, unfold

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = UpsamplingWidget()
    assert len(str(widget.public_state())) < 2_000
    assert len(widget.to_html()) < 250_000, "stills and all"
    assert widget.to_html() == UpsamplingWidget().to_html()


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("input", [[1, 2], [3]], "rows of one length"),
        ("input", [], "rows of one length"),
        ("input", [[]], "rows of one length"),
        ("input", [[math.nan]], "finite"),
        ("input", [[1e6]], "at most 999"),
        ("input", [["a"]], "rows of numbers"),
        ("input", [[1] * 9], "at most 8 rows and columns"),
        ("filter", [[1, 2]], "square"),
        ("filter", [[1] * 6] * 6, "at most 5 rows and columns"),
        ("stride", 0, "from 1 to 4"),
        ("stride", 5, "from 1 to 4"),
        ("padding", -1, "from 0 to 4"),
        ("padding", 4, "cuts everything off a painted area of 7 cells; it may be at most 3"),
        ("output_padding", 2, "from 0 to stride - 1 = 1"),
        ("output_padding", -1, "from 0 to stride - 1 = 1"),
        ("method", "cubic", "nearest"),
        ("mode", "slide", "zeros"),
        ("step", -1, "0 .nothing painted. or more"),
        ("places", [[16]], "from 0 to 15"),
        ("places", [[0.5]], "from 0 to 15"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = UpsamplingWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def test_traits_that_belong_together_are_judged_together():
    widget = UpsamplingWidget(stride=4, output_padding=3)
    with pytest.raises(traitlets.TraitError, match="stride - 1 = 1"):
        widget.stride = 2
    with widget.hold_trait_notifications():
        widget.stride = 2
        widget.output_padding = 1
    assert (widget.stride, widget.output_padding) == (2, 1)
    with pytest.raises(traitlets.TraitError, match="stride - 1 = 0"):
        UpsamplingWidget(stride=1, output_padding=1)


def test_outputs_from_python_follow_the_traits():
    widget = UpsamplingWidget(filter=[[1, 2], [3, 4]], stride=3, padding=1, output_padding=2)
    x = torch.tensor(widget.input)[None, None].float()
    weight = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    torch.testing.assert_close(widget.output, F.conv_transpose2d(x, weight, None, 3, 1, 2)[0, 0])
    widget.method = "nearest"
    assert widget.output[:3, :3].eq(1).all() and widget.output.shape == (9, 9)
    widget.method = "bilinear"
    torch.testing.assert_close(widget.output, F.interpolate(x, size=(9, 9), mode="bilinear")[0, 0])
    widget.method, widget.places = "unpool", [[8, 0]]
    assert widget.output[2, 2] == 1 and widget.output[0, 3] == 2 and widget.output[0, 6] == 3


def test_the_chapter_says_what_its_links_show():
    """The sentences of the chapter that set the figure, each against the widget's own output."""
    text = (Path(__file__).parents[2] / "book" / "08_upsampling.md").read_text(encoding="utf-8")
    shown = {}
    for words, state in re.findall(r"\{figure-state\}`([^`<]+?)\s*<upsampling:([^>]+)>`", text):
        parts = (part.split("=", 1) for part in state.split(";"))
        widget = UpsamplingWidget(**{trait: json.loads(value) for trait, value in parts})
        assert widget.step >= len(widget.input) * len(widget.input[0]), "all strokes are painted"
        shown[words] = widget
    holes = shown["kernel 2 with stride 3"]
    assert (len(holes.filter), holes.stride) == (2, 3)
    assert "leaves 28 of 64 cells" in text and holes.output.numel() == 64 and holes.output.eq(0).sum() == 28
    assert set(shown["in the grids above"].output.flatten().tolist()) == {1, 2, 4}
    bilinear = shown["The bilinear 3 \u00d7 3 filter"]
    assert bilinear.output.eq(1).all() and len(bilinear.filter) == 3


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def as_json(grid: torch.Tensor) -> dict[str, Any]:
    return {"data": grid.flatten().tolist(), "height": grid.shape[0], "width": grid.shape[1]}


def as_tensor(grid: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(grid["data"], dtype=torch.float64).reshape(grid["height"], grid["width"])


def call_all(opened: Any, function: str, cases: list[Any], wanted: tuple[str, ...] = ()) -> list[Any]:
    """One exported function over many argument lists; grids come back as plain JSON."""
    return opened.root.evaluate(
        """(root, [name, cases, wanted]) => {
            const plain = (value) => value?.data ? { ...value, data: Array.from(value.data) } : value;
            return cases.map((args) => {
                const result = root.segcore.module[name](...args);
                if (!wanted.length) return plain(result);
                return Object.fromEntries(wanted.map((key) => [key, plain(result[key])]));
            });
        }""",
        [function, cases, list(wanted)],
    )


def random_state(
    generator: torch.Generator, size: tuple[int, int], kernel: int = 3, **more: Any
) -> dict[str, Any]:
    """A state with random numbers, as the widget's traits would have it."""
    state = {
        "input": torch.randn(*size, generator=generator, dtype=torch.float64).tolist(),
        "filter": torch.randn(kernel, kernel, generator=generator, dtype=torch.float64).tolist(),
        "stride": 2, "padding": 0, "output_padding": 0, "method": "transposed", "mode": "paint",
        "places": torch.randint(16, size, generator=generator).tolist(),
    }  # fmt: skip
    return state | more


def torch_output(state: dict[str, Any]) -> torch.Tensor:
    """What PyTorch itself makes of a state; empty where it refuses."""
    x = torch.tensor(state["input"], dtype=torch.float64)[None, None]
    stride = state["stride"]
    if state["method"] == "transposed":
        weight = torch.tensor(state["filter"], dtype=torch.float64)[None, None]
        try:
            return F.conv_transpose2d(x, weight, None, stride, state["padding"], state["output_padding"])[
                0, 0
            ]
        except RuntimeError:
            return torch.empty(0)
    if state["method"] == "unpool":
        places = torch.tensor(state["places"]) % stride**2
        rows = torch.arange(x.shape[2])[:, None] * stride + places // stride
        flat = rows * x.shape[3] * stride + torch.arange(x.shape[3]) * stride + places % stride
        return F.max_unpool2d(x, flat[None, None], stride)[0, 0]
    size = [stride * n for n in x.shape[2:]]
    return F.interpolate(x, size=size, mode=state["method"])[0, 0]


def test_both_views_equal_torch_over_all_legal_options(shared_widget: Any):
    """Every kernel to 5, stride to 4, padding to 4, output padding to 4, on inputs of 1x3, 4x2 and 3x3."""
    opened = shared_widget(UpsamplingWidget)
    generator = torch.Generator().manual_seed(8)
    names = ("size", "kernel", "stride", "padding", "output_padding")
    sizes = [(1, 3), (4, 2), (3, 3)]
    options = [
        dict(zip(names, one, strict=True))
        for one in itertools.product(sizes, range(1, 6), range(1, 5), range(5), range(5))
    ]
    states = [random_state(generator, **option) for option in options]
    wanted = [torch_output(state) for state in states]
    questions = [option | {"height": option["size"][0], "width": option["size"][1]} for option in options]
    problems = call_all(opened, "optionProblem", [[question] for question in questions])
    legal = [output.numel() > 0 for output in wanted]
    assert [problem is None for problem in problems] == legal, "legal is what torch accepts and is not empty"
    open_ones = [q | p["cure"] for q, p in zip(questions, problems, strict=True) if p]
    again = call_all(opened, "optionProblem", [[question] for question in open_ones])
    twice = [[q | p["cure"]] for q, p in zip(open_ones, again, strict=True) if p]
    assert not any(call_all(opened, "optionProblem", twice)), "two cures lead to something legal"

    chosen = [(s, w) for s, w, good in zip(states, wanted, legal, strict=True) if good]
    painted = call_all(opened, "compute", [[state] for state, _ in chosen], ("output", "views"))
    grids = [[as_json(torch.tensor(s["input"])), as_json(torch.tensor(s["filter"])), s] for s, _ in chosen]
    slid = call_all(opened, "fractionalConv", grids)
    worst = 0.0
    for (_, right), one, other in zip(chosen, painted, slid, strict=True):
        for got in (one["output"], other):
            worst = max(worst, (as_tensor(got) - right).abs().max().item())
        assert one["views"] < 1e-9
    print(f"{len(chosen)} legal combinations, largest difference {worst:.1e}")
    assert len(chosen) > 500 and worst < 1e-5
    opened.assert_quiet()


def check_counts_and_phases(opened: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    for stride in range(1, 5):
        got = as_tensor(call_all(opened, "zeroInsert", [[as_json(x), stride]])[0])
        torch.testing.assert_close(got, zero_insert(x[None, None], stride)[0, 0])
        for kernel in range(1, 6):
            state = random_state(generator, (5, 5), kernel, stride=stride)
            found = call_all(opened, "compute", [[state]], ("output", "counts", "flat"))[0]
            counts = overlap_count(kernel, stride, 5).double()
            torch.testing.assert_close(as_tensor(found["counts"]), counts)
            ones = state | {"input": torch.ones(5, 5).tolist()}
            torch.testing.assert_close(as_tensor(found["flat"]), torch_output(ones))
            flat = torch_output(state | {"input": torch.ones(12, 12).tolist()})
            start = stride * -(-kernel // stride)  # past the border's influence, in step with the strokes
            weight = as_json(torch.tensor(state["filter"]))
            phases = as_tensor(call_all(opened, "phaseSums", [[weight, stride]])[0])
            torch.testing.assert_close(phases, flat[start : start + stride, start : start + stride])


def check_methods(opened: Any) -> None:
    generator = torch.Generator().manual_seed(2)
    states = [
        random_state(generator, (height, width), stride=stride, method=method)
        for height, width, stride in itertools.product((1, 2, 5), (1, 3, 8), range(1, 5))
        for method in ("nearest", "bilinear", "unpool")
    ]
    results = call_all(opened, "compute", [[state] for state in states], ("output", "count"))
    for state, found in zip(states, results, strict=True):
        wanted = torch_output(state)
        torch.testing.assert_close(as_tensor(found["output"]), wanted, rtol=0, atol=1e-5)
        assert found["count"] == len(state["input"]) * len(state["input"][0])


def check_strokes_in_part(opened: Any) -> None:
    """Half a stroke is half of it, and the first two strokes are two."""
    state = random_state(torch.Generator().manual_seed(3), (2, 3))
    options = {
        "height": 2,
        "width": 3,
        "filter": as_json(torch.tensor(state["filter"])),
        "places": [0] * 6,
        "stride": 2,
    }
    got = opened.root.evaluate(
        """(root, [options, x, canvas]) => {
            const { stamps, paint } = root.segcore.module;
            const strokes = stamps("transposed", options);
            return [[1], [1, 0.5], [2]].map((args) => Array.from(paint(x, strokes, canvas, ...args).data));
        }""",
        [options, as_json(torch.tensor(state["input"])), {"height": 5, "width": 7}],
    )
    one, half, two = (torch.tensor(g, dtype=torch.float64) for g in got)
    torch.testing.assert_close(half, (one + two) / 2, rtol=0, atol=1e-9)
    first = torch.tensor([[state["input"][0][0], 0, 0], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(one.reshape(5, 7), torch_output(state | {"input": first.tolist()}))


def check_examples(opened: Any) -> None:
    build = "(root, [kind, name, ...args]) => root.segcore.module[kind][name][1](...args)"
    bilinear = torch.tensor(opened.root.evaluate(build, ["FILTERS", "bilinear", 3]))
    assert bilinear.tolist() == [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]
    assert opened.root.evaluate(build, ["FILTERS", "corner", 3]) == UpsamplingWidget().filter
    eye = torch.tensor(opened.root.evaluate(build, ["INPUTS", "eye"])).float()
    crop = photograph("chelsea").mean(0)[75:155, 132:212].reshape(8, 10, 8, 10).mean((1, 3))
    scaled = (crop - crop.min()) / (crop.max() - crop.min()) * 9
    assert (eye - scaled).abs().max() <= 0.51
    for kernel in range(1, 6):
        for name in ("corner", "ones", "bilinear", "random", "edge"):
            rows = opened.root.evaluate(build, ["FILTERS", name, kernel])
            assert len(rows) == kernel and {len(row) for row in rows} == {kernel}
        edge = torch.tensor(opened.root.evaluate(build, ["FILTERS", "edge", kernel]))
        assert kernel == 1 or edge.sum() == 0


def test_arithmetic_equals_torch_and_the_library(shared_widget: Any):
    opened = shared_widget(UpsamplingWidget)
    for check in (check_counts_and_phases, check_methods, check_strokes_in_part, check_examples):
        check(opened)
    opened.assert_quiet()


# ---- The figure ------------------------------------------------------------------------------------------

RAMP = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
WAYS = ("Paint", "Zeros inserted", "Nearest", "Bilinear", "Unpooling")


def press(opened: Any, name: str) -> None:
    opened.page.get_by_role("button", name=name, exact=True).click()
    settle(opened)


def choose(opened: Any, way: str) -> None:
    opened.page.get_by_role("radio", name=way, exact=True).check()
    settle(opened)


def note(opened: Any) -> str:
    return opened.page.locator(".segcore-note").inner_text()


def cell(opened: Any, kind: str, row: int, column: int) -> Any:
    """The field of a cell; rows and columns count from 1, as in all words."""
    return opened.page.get_by_label(f"{kind}, row {row}, column {column}", exact=True)


def shown_sum(opened: Any) -> float:
    settle(opened)
    return float(opened.root.locator(".sum").get_attribute("data-value"))


def state_of(opened: Any) -> dict[str, Any]:
    names = ("input", "filter", "stride", "padding", "output_padding", "method", "mode", "places")
    return {name: opened.get(name) for name in names}


def unit_of(opened: Any) -> tuple[dict[str, float], float, int]:
    """Where the output lies, how large its cells are, and how many of them are cut off before the first."""
    frame = opened.root.locator(".output-canvas").bounding_box()
    state = state_of(opened)
    cut = state["padding"] if (state["method"], state["mode"]) == ("transposed", "paint") else 0
    _, width = torch_output(state).shape
    full = (len(state["input"][0]) - 1) * state["stride"] + len(state["filter"])
    return frame, frame["width"] / (max(full, cut + width) if cut else width), cut


def point_at(opened: Any, row: int, column: int) -> None:
    """Move the mouse to one cell of the output, counted from 0."""
    opened.root.locator(".output-canvas").scroll_into_view_if_needed()
    frame, unit, cut = unit_of(opened)
    opened.page.mouse.move(frame["x"] + (column + cut + 0.5) * unit, frame["y"] + (row + cut + 0.5) * unit)
    settle(opened)


def numbers_of(text: str) -> list[float]:
    glyphs = str.maketrans({"\u2212": "-", "\u00bc": "0.25", "\u00bd": "0.5", "\u00be": "0.75"})
    return [float(part) for part in text.translate(glyphs).split(" \u00b7 ")]


def test_things_to_try_show_what_they_say(open_widget: Any):
    """Each note against the numbers of the state that its button sets; and no note outlives its state."""
    opened = open_widget(UpsamplingWidget())

    def tried(name: str) -> tuple[str, dict[str, Any], torch.Tensor, dict[str, Any]]:
        press(opened, name)
        state = state_of(opened)
        found = call_all(opened, "compute", [[state]], ("output", "counts", "flat"))[0]
        output = as_tensor(found["output"])
        torch.testing.assert_close(output, torch_output(state))
        return note(opened), state, output, found

    at_rest = note(opened)
    unfold(opened)
    verdict = opened.root.locator(".verdict")

    text, state, output, _ = tried("A single 1")
    assert "exactly one copy of the filter" in text
    copy = torch.zeros_like(output)
    copy[2:5, 2:5] = torch.tensor(state["filter"])
    assert torch.equal(output, copy) and opened.get("step") == 5

    text, state, output, _ = tried("Bilinear filter")
    values = torch.tensor(state["input"], dtype=torch.float64)
    assert "stay where they land" in text and torch.equal(output[::2, ::2], values)
    assert torch.equal(output[1::2, ::2], (values[1:] + values[:-1]) / 2)
    corners = values[1:, 1:] + values[1:, :-1] + values[:-1, 1:] + values[:-1, :-1]
    assert torch.equal(output[1::2, 1::2], corners / 4)

    text, state, output, found = tried("Checkerboard")
    assert "1, 2 or 4 strokes" in text and set(found["counts"]["data"]) == {1, 2, 4}
    assert {value for row in state["input"] + state["filter"] for value in row} == {1}, "flat and flat"
    assert "not divisible by stride 2: inner cells get 1 to 4" in verdict.inner_text()
    assert "1 in some inner cells and 4 in others" in verdict.inner_text()
    text, state, output, found = tried("Checkerboard")
    assert "cat\u2019s eye" in text and output.shape == (16, 16)
    assert verdict.get_attribute("data-kind") == "uneven"
    assert opened.page.get_by_label("Filter: examples").input_value() == "random"

    text, state, output, found = tried("No checkerboard")
    assert "Kernel 4 is divisible by stride 2" in text and len(state["filter"]) == 4
    assert as_tensor(found["counts"])[1:-1, 1:-1].eq(4).all()
    assert "every inner cell gets 4 strokes" in verdict.inner_text()
    assert verdict.get_attribute("data-kind") == "even"
    cell(opened, "Filter", 2, 2).fill("2")
    settle(opened)
    assert verdict.get_attribute("data-kind") == "uneven", "the weave returns"
    assert note(opened) == at_rest and opened.page.locator("[aria-pressed=true]").count() == 0
    press(opened, "No checkerboard")
    text, state, output, found = tried("No checkerboard")
    assert "As many strokes" in text and set(found["counts"]["data"]) == {1, 2, 4}
    assert output.eq(1).all() and "no checkerboard" in verdict.inner_text()
    cell(opened, "Filter", 1, 1).fill("1")
    settle(opened)
    assert verdict.get_attribute("data-kind") == "uneven" and note(opened) == at_rest

    opened.set("filter", [[1, 1], [1, 1]])
    opened.set("stride", 3)
    settle(opened)
    assert "Kernel 2 is smaller than stride 3: some cells are never reached" in verdict.inner_text()
    opened.set("stride", 1)
    settle(opened)
    assert "With stride 1 every inner cell gets the same weights" in verdict.inner_text()
    assert opened.page.locator(".seen").count() == 4
    opened.assert_quiet()


def test_the_ways_and_their_words_follow_the_state(open_widget: Any):
    widget = UpsamplingWidget(stride=3, step=9)
    opened = open_widget(widget)
    unfold(opened)
    methods = dict(zip(WAYS, ("transposed", "transposed", "nearest", "bilinear", "unpool"), strict=True))
    titles = set()
    for way, method in methods.items():
        choose(opened, way)
        assert (opened.get("method"), opened.get("step")) == (method, 81 if way == "Zeros inserted" else 9)
        widget.method = method
        titles.add(opened.page.locator(".title").inner_text())
        transposed = method == "transposed"
        assert opened.page.get_by_label("Kernel", exact=True).is_visible() == transposed
        assert opened.page.get_by_label("Filter: examples").is_visible() == transposed
        for row, column in [(0, 0), (4, 4), (7, 2)]:
            point_at(opened, row, column)
            assert shown_sum(opened) == pytest.approx(widget.output[row, column].item(), abs=1e-5)
        flat = opened.root.locator(".map canvas").nth(1).get_attribute("aria-label")
        if method in ("nearest", "bilinear"):
            assert flat.endswith("1 everywhere"), "a flat input stays flat"
    assert len(titles) == 5
    assert "8 of 9 cells stay zero" in note(opened) and widget.output.eq(0).sum() == 81 - 9
    captions = opened.page.locator(".map .caption").all_inner_texts()[2:]
    for method, caption in zip(("transposed", "nearest", "bilinear", "unpool"), captions, strict=True):
        widget.method = method
        low, high = widget.output.min().item(), widget.output.max().item()
        assert caption == f"9 \u00d7 9, from {low:g} to {high:g}"
    choose(opened, "Zeros inserted")
    for stride, words in enumerate(
        ("one cell", "half a cell", "a third of a cell", "a quarter of a cell"), 1
    ):
        opened.set("stride", stride)
        settle(opened)
        assert f"one cell on is {words} of the input" in note(opened)
        zeros = ["", ", 1 zero between", ", 2 zeros between", ", 3 zeros between"][stride - 1]
        assert opened.root.locator(".input h4").inner_text() == f"Input{zeros}"
    opened.assert_quiet()


def test_hovering_writes_the_sum_out(open_widget: Any):
    widget = UpsamplingWidget(filter=[[0.5, -1, 2], [1, 3, 0], [0.25, 1, 1]], padding=1, output_padding=1)
    opened = open_widget(widget)
    for mode in ("paint", "zeros"):
        opened.set("mode", mode)
        settle(opened)
        for row, column in itertools.product((0, 1, 5), (0, 3, 5)):
            point_at(opened, row, column)
            text = opened.root.locator(".sum").inner_text()
            assert text.startswith(f"Row {row + 1}, column {column + 1} = ")
            assert shown_sum(opened) == pytest.approx(widget.output[row, column].item(), abs=1e-5)
            terms = [numbers_of(t) for t in opened.root.locator(".term").all_inner_texts()]
            assert sum(map(math.prod, terms)) == pytest.approx(widget.output[row, column].item(), abs=1e-2)
            assert opened.root.locator(".panel.input .taking-part").count() == len(terms)
    opened.set("mode", "paint")
    opened.set("step", 2)
    point_at(opened, 1, 1)
    assert "(2 of 4 strokes painted so far)" in opened.root.locator(".sum").inner_text()
    opened.set("filter", [[1]])
    opened.set("padding", 0)
    point_at(opened, 1, 1)
    assert opened.root.locator(".sum").inner_text() == "Row 2, column 2 = 0: no stroke reaches it"
    opened.assert_quiet()


def test_every_cell_can_be_edited_and_examples_fill_them(open_widget: Any):
    opened = open_widget(UpsamplingWidget())
    page = opened.page
    cell(opened, "Input", 2, 3).fill("-7.5")
    assert opened.get("input") == [[1, 2, 3], [4, 5, -7.5], [7, 8, 9]]
    settle(opened)
    assert page.locator(".segcore-key li", has_text="below zero").is_visible()
    field = cell(opened, "Filter", 1, 2)
    field.fill("1/4")
    assert opened.get("filter")[0] == [3, 0.25, 1]
    assert field.input_value() == "1/4", "nothing is rewritten under the cursor"
    field.fill("a quarter")
    assert field.get_attribute("aria-invalid") == "true"
    assert "such as 2" in opened.root.locator(".panel.filter .segcore-problem").inner_text()
    assert opened.get("filter")[0] == [3, 0.25, 1]
    field.blur()
    settle(opened)
    assert field.input_value() == "\u00bc" and field.get_attribute("aria-invalid") == "false"
    assert opened.root.locator(".panel.filter .segcore-problem").inner_text() == ""
    assert page.get_by_label("Filter: examples").input_value() == ""

    unfold(opened)
    page.get_by_label("Input: examples").select_option("single")
    assert opened.get("input") == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    page.get_by_label("Input: examples").select_option("eye")
    assert len(opened.get("input")) == 8
    page.get_by_label("Filter: examples").select_option("bilinear")
    assert opened.get("filter")[1] == [0.5, 1, 0.5]
    page.get_by_label("Kernel", exact=True).fill("4")
    assert opened.get("filter")[0] == [0.0625, 0.1875, 0.1875, 0.0625], "an example keeps its kind"
    cell(opened, "Filter", 1, 1).fill("2")
    page.get_by_label("Kernel", exact=True).fill("2")
    assert opened.get("filter") == [[2, 0.1875], [0.1875, 0.5625]], "an edited filter keeps its weights"
    page.get_by_label("Rows of the input").fill("2")
    page.get_by_label("Columns", exact=True).fill("5")
    assert [len(row) for row in opened.get("input")] == [5, 5]
    settle(opened)
    assert opened.root.locator(".panel.input .cells input").count() == 10
    opened.assert_quiet()


def test_illegal_options_are_explained_and_not_clamped(open_widget: Any):
    opened = open_widget(UpsamplingWidget(filter=[[1] * 3] * 3))
    page = opened.page
    unfold(opened)
    problem = opened.root.locator(".segcore-folded .segcore-problem")
    page.get_by_label("Output padding").fill("2")
    assert "Output padding 2 is not below the stride, 2" in problem.inner_text()
    assert page.get_by_label("Output padding").get_attribute("aria-invalid") == "true"
    page.get_by_label("Output padding").blur()
    assert page.get_by_label("Output padding").input_value() == "2", "what was typed stays"
    assert page.get_by_label("Output padding").get_attribute("aria-invalid") == "true"
    assert opened.get("output_padding") == 0
    page.get_by_label("Stride").fill("3")  # which makes it legal
    assert (opened.get("stride"), opened.get("output_padding")) == (3, 2)
    assert problem.inner_text() == ""
    settle(opened)
    assert (
        "(3 \u2212 1) \u00b7 3 \u2212 2 \u00b7 0 + 3 + 2 = 11" in opened.root.locator(".sizes").inner_text()
    )

    page.get_by_label("Stride").fill("1")
    assert "it may be 0 only" in problem.inner_text()
    assert opened.get("stride") == 3
    press(opened, "Set output padding to 0")
    assert (opened.get("stride"), opened.get("output_padding")) == (1, 0)

    page.get_by_label("Padding", exact=True).fill("4")
    assert "nothing would be left. It may be 0 to 2" in problem.inner_text()
    press(opened, "Set padding to 2")
    assert opened.get("padding") == 2
    assert opened.root.locator(".result h4").inner_text() == "Output, 1 \u00d7 1"

    page.get_by_label("Kernel", exact=True).fill("9")
    assert "The kernel must be a whole number from 1 to 5" in problem.inner_text()
    page.get_by_label("Kernel", exact=True).fill("")
    assert len(opened.get("filter")) == 3
    page.get_by_label("Kernel", exact=True).fill("5")
    assert len(opened.get("filter")) == 5 and problem.inner_text() == ""
    page.get_by_label("Padding", exact=True).fill("9")
    opened.set("padding", 1)
    settle(opened)
    assert problem.inner_text() == "" and page.get_by_label("Padding", exact=True).input_value() == "1"

    choose(opened, "Nearest")  # padding has no meaning here, and must not stand in the way
    page.get_by_label("Rows of the input").fill("1")
    assert len(opened.get("input")) == 1 and problem.inner_text() == ""
    opened.assert_quiet()


def test_strokes_play_pause_step_reverse_and_scrub(open_widget: Any):
    opened = open_widget(UpsamplingWidget(step=0), reduced_motion="no-preference")
    page = opened.page
    assert page.get_by_role("button", name="One step back").is_disabled()
    press(opened, "One step on")
    press(opened, "One step on")
    assert opened.get("step") == 2
    assert opened.root.locator(".stroke h4").inner_text() == "2 \u00d7 the filter"
    assert (
        opened.root.locator(".panel.input .working").get_attribute("aria-label") == "Input, row 1, column 2"
    )
    press(opened, "One step back")
    assert opened.get("step") == 1
    press(opened, "To the end")
    assert opened.get("step") == 9 and page.get_by_role("button", name="To the end").is_disabled()
    press(opened, "To the beginning")
    assert opened.get("step") == 0
    press(opened, "Play")
    page.wait_for_function("document.querySelector('[data-widget]').segcore.model.get('step') >= 1")
    press(opened, "Pause")
    paused = opened.get("step")
    page.wait_for_timeout(150)
    assert opened.get("step") == paused
    opened.set("step", 3)
    press(opened, "Play backwards")
    page.wait_for_function("document.querySelector('[data-widget]').segcore.model.get('step') === 0")
    page.get_by_role("button", name="Play backwards").wait_for()  # at the beginning it stops by itself

    slider = page.get_by_label("Strokes painted").and_(page.get_by_role("slider"))
    slider.fill("4.5")
    settle(opened)
    assert opened.get("step") == 4
    assert opened.root.locator(".stroke h4").inner_text() == "5 \u00d7 the filter"
    slider.press("ArrowRight")
    assert opened.get("step") == 5
    slider.press("PageUp")
    assert opened.get("step") == 8, "a row of the input"
    slider.press("ArrowLeft")
    slider.press("End")
    assert opened.get("step") == 9
    choose(opened, "Zeros inserted")
    assert opened.get("step") == 49, "as far as before"
    opened.set("step", 10)
    settle(opened)
    choose(opened, "Paint")
    assert (
        opened.get("step") == 2 and opened.root.locator(".segcore-reading").inner_text() == "2 of 9 strokes"
    )
    opened.assert_quiet()


def test_the_same_numbers_arrive_in_both_modes(open_widget: Any):
    """The finished pictures of the two modes are equal where nothing else is drawn, whatever their size."""
    widget = UpsamplingWidget(filter=[[1, 2, 0], [0, 1, -1], [3, 0, 1]], step=99)
    opened = open_widget(widget)
    pixels = """(root) => {
        const canvas = root.querySelector(".output-canvas");
        const copy = document.createElement("canvas");
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const pen = copy.getContext("2d", { willReadFrequently: true });
        pen.drawImage(canvas, 0, 0);
        const at = (row, column) => Array.from(pen.getImageData(
            (column + 0.2) * canvas.width / 7, (row + 0.2) * canvas.height / 7, 1, 1).data);
        return [[0, 0], [0, 6], [1, 5], [6, 0], [4, 6], [5, 3]].map(([row, column]) => at(row, column));
    }"""
    settle(opened)
    painted = opened.root.evaluate(pixels)
    unfold(opened)
    choose(opened, "Zeros inserted")
    assert (opened.get("mode"), opened.get("step")) == ("zeros", 49)
    assert opened.root.evaluate(pixels) == painted and len({tuple(p) for p in painted}) > 2
    assert "differ by 0." in opened.root.locator(".verdict").inner_text()
    opened.assert_quiet()


def test_a_maximum_can_be_moved(open_widget: Any):
    opened = open_widget(UpsamplingWidget(method="unpool"))
    point_at(opened, 3, 2)
    opened.page.mouse.down()
    opened.page.mouse.up()
    assert opened.get("places")[1] == [3, 2, 2]
    assert shown_sum(opened) == 5
    canvas = opened.root.locator(".output-canvas")
    canvas.press("ArrowRight")
    canvas.press("Enter")
    assert opened.get("places")[1] == [3, 3, 2]
    assert shown_sum(opened) == 5
    opened.assert_quiet()


def test_keyboard_alone(open_widget: Any):
    opened = open_widget(UpsamplingWidget())
    keyboard = opened.page.keyboard

    tab_to(opened, ".segcore-trials button")
    keyboard.press("Enter")
    assert opened.get("input")[1] == [0, 1, 0]
    opened.set("input", RAMP)
    tab_to(opened, ".segcore-choice input")
    keyboard.press("ArrowRight")
    assert opened.get("mode") == "zeros"
    keyboard.press("ArrowLeft")
    settle(opened)
    tab_to(opened, ".panel.input .cells input")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    keyboard.type("6")
    assert opened.get("input")[1] == [4, 6, 6]
    keyboard.press("PageUp")
    assert opened.get("input")[1] == [4, 7, 6]
    tab_to(opened, ".panel.filter .cells input")
    keyboard.press("PageDown")
    assert opened.get("filter")[0] == [2, 2, 1]
    tab_to(opened, ".output-canvas")
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowRight"):
        keyboard.press(key)
    settle(opened)
    assert opened.root.locator(".sum").inner_text().startswith("Row 3, column 5 = ")
    opened.page.wait_for_timeout(700)
    assert opened.root.locator("[aria-live=polite]").inner_text().startswith("Row 3, column 5 = ")
    tab_to(opened, "[aria-label='One step back']")
    step = opened.get("step")
    keyboard.press("Enter")
    assert opened.get("step") == step - 1
    tab_to(opened, "input[type=range]")
    keyboard.press("Home")
    assert opened.get("step") == 0
    tab_to(opened, "summary")
    keyboard.press("Enter")
    tab_to(opened, ".settings input")
    keyboard.type("4")
    opened.assert_quiet()


def test_addresses_set_the_figure(open_widget: Any):
    opened = open_widget(UpsamplingWidget())

    def go(address: str) -> str:
        opened.page.evaluate("hash => { location.hash = hash }", address)
        opened.page.wait_for_timeout(80)
        return opened.page.locator(".segcore-notice").inner_text()

    assert go("upsampling:input=[[1,1],[1,1]];filter=[[1,1],[1,1]];stride=3;step=99") == ""
    assert opened.get("filter") == [[1, 1], [1, 1]] and opened.get("stride") == 3
    assert opened.root.locator(".result h4").inner_text() == "Output, 5 \u00d7 5"
    assert opened.root.locator(".segcore-reading").inner_text() == "4 of 4 strokes"
    assert go("upsampling:method=unpool;places=[[3,3,3],[0,0,0],[0,0,0]]") == ""
    assert opened.get("places")[0] == [3, 3, 3] and opened.get("stride") == 2, "the rest as at the start"
    before = state_of(opened)
    for address, said in [
        ("stride=7", "stride must be a whole number from 1 to 4"),
        ("filter=[[1,2]]", "filter must be a square"),
        ("filter=[[1,2],[3]]", "filter must be rows of one length, at most 5 each way"),
        ("input=1,2", "input must be rows of one length, at most 8 each way"),
        ("input=[[1000]]", "input must be a list, each a list, each a number from -999 to 999"),
        ("output_padding=2", "Output padding 2 is not below the stride, 2"),
        ("padding=4", "nothing would be left"),
        ("method=cubic", "method must be one of transposed, nearest, bilinear, unpool"),
    ]:
        assert said in go(f"upsampling:{address}"), address
    assert state_of(opened) == before | {"method": "transposed", "places": UpsamplingWidget().places}
    press(opened, "Checkerboard")
    opened.page.wait_for_function("decodeURI(location.hash).includes('filter=[[1,1,1],[1,1,1],[1,1,1]]')")
    opened.assert_quiet()


def test_the_widget_follows_its_model(open_widget: Any):
    """What a kernel sets arrives in the figure, also where several traits are legal only together."""
    opened = open_widget(UpsamplingWidget(stride=4, output_padding=3))
    unfold(opened)
    opened.set("stride", 2)
    settle(opened)
    opened.set("output_padding", 1)
    opened.set("filter", [[1, 2], [3, 4]])
    settle(opened)
    assert opened.page.get_by_label("Stride").input_value() == "2"
    assert opened.page.get_by_label("Kernel", exact=True).input_value() == "2"
    assert cell(opened, "Filter", 2, 1).input_value() == "3"
    assert opened.root.locator(".result h4").inner_text() == "Output, 7 \u00d7 7"
    opened.set("step", 2)
    settle(opened)
    assert opened.root.locator(".segcore-reading").inner_text() == "2 of 9 strokes"
    opened.set("step", 500)
    settle(opened)
    assert opened.root.locator(".segcore-reading").inner_text() == "9 of 9 strokes"
    opened.set("padding", 4)  # not legal alone: 7 cells are there
    settle(opened)
    assert opened.root.locator(".result h4").inner_text() == "Output, 7 \u00d7 7"
    opened.set("input", [[1] * 8] * 8)
    settle(opened)
    assert opened.root.locator(".result h4").inner_text() == "Output, 9 \u00d7 9"
    cell(opened, "Input", 8, 8).focus()
    opened.set("input", [[1] * 4] * 4)  # the cell under the cursor goes
    settle(opened)
    assert opened.root.locator(".panel.input .cells input").count() == 16
    opened.page.wait_for_timeout(150)
    opened.root.evaluate("(root) => { root.querySelector('.upsampling').frames.length = 0; }")
    opened.page.wait_for_timeout(200)
    assert opened.root.evaluate("(root) => root.querySelector('.upsampling').frames.length") == 0, "at rest"
    assert opened.root.evaluate("(root) => root.getAnimations({ subtree: true }).length") == 0
    opened.assert_quiet()


TRIED = (
    "A single 1",
    "Bilinear filter",
    "Checkerboard",
    "Checkerboard",
    "No checkerboard",
    "No checkerboard",
)


@pytest.mark.parametrize(("width", "most"), [(320, 960), (390, 900), (768, 720), (1280, 700)])
def test_the_first_form_fits(open_widget: Any, width: int, most: int):
    """Cause and effect on one screen, whatever is tried; nothing sticks out, and a thumb scrolls."""
    touch = width < 600
    opened = open_widget(UpsamplingWidget(), width=840 if width == 1280 else width, touch=touch)
    page = opened.page
    heights = {}

    def measure(name: str) -> None:
        heights[name] = round(first_form_height(opened))
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], name

    measure("at first")
    assert heights["at first"] <= most, heights
    for n, name in enumerate(TRIED):
        press(opened, name)
        measure(f"{n} {name}")
    opened.set("input", RAMP)
    for name in WAYS:
        choose(opened, name)
        measure(name)
    assert max(heights.values()) <= most + 30, heights
    smallest = """(root) => Math.min(...Array.from(root.querySelectorAll(".segcore-first *"))
        .filter((node) => node.checkVisibility() && node.childNodes.length && node.textContent.trim())
        .map((node) => parseFloat(getComputedStyle(node).fontSize)))"""
    assert opened.root.evaluate(smallest) >= 11
    canvas = opened.root.locator(".output-canvas")
    choose(opened, "Paint")
    if touch:
        canvas.scroll_into_view_if_needed()
        frame, unit, _ = unit_of(opened)
        page.touchscreen.tap(frame["x"] + 2.5 * unit, frame["y"] + 1.5 * unit)
        settle(opened)
        assert opened.root.locator(".sum").inner_text().startswith("Row 1, column 2 = ")  # padding 1
        assert canvas.evaluate("(node) => getComputedStyle(node).touchAction") == "pan-y"
        page.evaluate("scrollTo(0, 0)")
        frame = canvas.bounding_box()
        assert thumb(opened, frame["x"] + 2.5 * unit, frame["y"] + frame["height"] / 2) > 50
    opened.assert_quiet()


def test_accessible_in_the_things_to_try(open_widget: Any):
    opened = open_widget(UpsamplingWidget())
    unfold(opened)
    for name in ("Checkerboard", "Checkerboard"):
        press(opened, name)
    opened.page.get_by_label("Output padding").fill("3")
    assert_accessible(opened)


@pytest.mark.parametrize(("mode", "columns"), [("paint", 3), ("paint", 8), ("zeros", 8)])
def test_frames_while_scrubbing(open_widget: Any, mode: str, columns: int):
    """What a frame of ours costs while the slider is dragged, beside the 16.7 ms that a frame may take."""
    eye = [[(3 * i + 5 * j) % 10 for j in range(columns)] for i in range(columns)]
    widget = UpsamplingWidget(input=eye, mode=mode, stride=4 if columns == 8 else 2, step=0)
    opened = open_widget(widget, reduced_motion="no-preference")
    slider = opened.page.get_by_role("slider")
    slider.scroll_into_view_if_needed()
    frame = slider.bounding_box()
    x, y = frame["x"] + 10, frame["y"] + frame["height"] / 2
    mouse = opened.page.mouse
    mouse.move(x, y)
    mouse.down()
    opened.root.evaluate("(root) => { root.querySelector('.upsampling').frames.length = 0; }")
    for n in range(120):
        mouse.move(x + (frame["width"] - 20) * (0.5 - 0.5 * math.cos(n / 12)), y)
    mouse.up()
    settle(opened)
    times = opened.root.evaluate("(root) => root.querySelector('.upsampling').frames")
    print(
        f"{mode} {columns}x{columns}: {len(times)} frames, median {statistics.median(times):.1f} ms, "
        f"95 % {statistics.quantiles(times, n=20)[-1]:.1f} ms"
    )
    assert len(times) > 30
    assert statistics.median(times) < 8, "half of what a frame at 60 a second may take"
    opened.assert_quiet()
