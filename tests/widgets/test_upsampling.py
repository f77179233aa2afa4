"""The up-sampling widget: its arithmetic against PyTorch, and the figure under a reader's hand."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets

from segcore.data.images import photograph
from segcore.upsampling import overlap_count, zero_insert
from segcore.widgets.upsampling import UpsamplingWidget

from .kit import assert_accessible, settle, tab_to

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = UpsamplingWidget()
    assert len(str(widget.public_state())) < 2_000
    assert len(widget.to_html()) < 120_000
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


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def as_json(grid: torch.Tensor) -> dict[str, Any]:
    return {"data": grid.flatten().tolist(), "height": grid.shape[0], "width": grid.shape[1]}


def as_tensor(grid: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(grid["data"], dtype=torch.float64).reshape(grid["height"], grid["width"])


def call_all(opened: Any, function: str, cases: list[Any]) -> list[Any]:
    """One exported function over many argument lists; grids come back as plain JSON."""
    return opened.root.evaluate(
        """(root, [name, cases]) => cases.map((args) => {
            const result = root.segcore.module[name](...args);
            return result?.data ? { ...result, data: Array.from(result.data) } : result;
        })""",
        [function, cases],
    )


def option_sets() -> list[tuple[int, ...]]:
    """Every kernel to 5, stride to 4, padding to 4, output padding to 4, on inputs of 1x3, 4x2 and 3x3."""
    return list(itertools.product([(1, 3), (4, 2), (3, 3)], range(1, 6), range(1, 5), range(5), range(5)))


def test_both_views_equal_torch_over_all_legal_options(shared_widget: Any):
    opened = shared_widget(UpsamplingWidget)
    generator = torch.Generator().manual_seed(8)
    cases, expected, questions, legal = [], [], [], []
    for size, kernel, stride, padding, output_padding in option_sets():
        x = torch.randn(*size, generator=generator, dtype=torch.float64)
        weight = torch.randn(kernel, kernel, generator=generator, dtype=torch.float64)
        options = {"stride": stride, "padding": padding, "outputPadding": output_padding}
        try:
            wanted = F.conv_transpose2d(
                x[None, None],
                weight[None, None],
                stride=stride,
                padding=padding,
                output_padding=output_padding,
            )[0, 0]
        except RuntimeError:
            wanted = torch.empty(0)
        questions.append([{"height": size[0], "width": size[1], "kernel": kernel, **options}])
        legal.append(wanted.numel() > 0)
        if wanted.numel():
            cases.append([as_json(x), as_json(weight), options])
            expected.append(wanted)
    problems = call_all(opened, "optionProblem", questions)
    assert [problem is None for problem in problems] == legal, "legal is what torch accepts and is not empty"
    open_ones = [q[0] | p["cure"] for q, p in zip(questions, problems, strict=True) if p]
    again = call_all(opened, "optionProblem", [[question] for question in open_ones])
    twice = [[q | p["cure"]] for q, p in zip(open_ones, again, strict=True) if p]
    assert not any(call_all(opened, "optionProblem", twice)), "two cures lead to something legal"
    worst = 0.0
    for view in ("transposedConv", "fractionalConv"):
        for got, wanted in zip(call_all(opened, view, cases), expected, strict=True):
            worst = max(worst, (as_tensor(got) - wanted).abs().max().item())
    print(f"{len(cases)} legal combinations, largest difference {worst:.1e}")
    assert len(cases) > 500 and worst < 1e-5
    opened.assert_quiet()


def test_zeros_counts_and_phases_equal_the_library(shared_widget: Any):
    opened = shared_widget(UpsamplingWidget)
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for stride in range(1, 5):
        got = as_tensor(call_all(opened, "zeroInsert", [[as_json(x), stride]])[0])
        torch.testing.assert_close(got, zero_insert(x[None, None], stride)[0, 0])
        for kernel in range(1, 6):
            options = {"kernel": kernel, "stride": stride}
            counts = as_tensor(call_all(opened, "overlapCount", [[5, 5, options]])[0])
            torch.testing.assert_close(counts, overlap_count(kernel, stride, 5).double())
            weight = torch.randn(kernel, kernel, dtype=torch.float64)
            flat = F.conv_transpose2d(
                torch.ones(1, 1, 12, 12, dtype=torch.float64), weight[None, None], stride=stride
            )[0, 0]
            start = stride * -(-kernel // stride)  # past the border's influence, in step with the strokes
            phases = as_tensor(call_all(opened, "phaseSums", [[as_json(weight), stride]])[0])
            torch.testing.assert_close(phases, flat[start : start + stride, start : start + stride])


def test_resizing_and_unpooling_equal_torch(shared_widget: Any):
    opened = shared_widget(UpsamplingWidget)
    generator = torch.Generator().manual_seed(2)
    for height, width, factor in itertools.product((1, 2, 5), (1, 3, 8), range(1, 5)):
        x = torch.randn(height, width, generator=generator, dtype=torch.float64)
        size = (height * factor, width * factor)
        got = as_tensor(call_all(opened, "resizeBilinear", [[as_json(x), *size]])[0])
        wanted = F.interpolate(x[None, None], size=size, mode="bilinear")[0, 0]
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
        got = as_tensor(call_all(opened, "nearest", [[as_json(x), factor]])[0])
        torch.testing.assert_close(got, F.interpolate(x[None, None], size=size, mode="nearest")[0, 0])
        places = torch.randint(factor**2, (height, width), generator=generator)
        got = as_tensor(call_all(opened, "maxUnpool", [[as_json(x), places.flatten().tolist(), factor]])[0])
        rows = torch.arange(height)[:, None] * factor + places // factor
        flat = rows * size[1] + torch.arange(width) * factor + places % factor
        wanted = F.max_unpool2d(x[None, None], flat[None, None], factor)[0, 0]
        torch.testing.assert_close(got, wanted)
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    got = as_tensor(call_all(opened, "resizeBilinear", [[as_json(x), 7, 11]])[0])
    wanted = F.interpolate(x[None, None], size=(7, 11), mode="bilinear")[0, 0]
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["transposed", "nearest", "bilinear", "unpool"])
def test_strokes_add_up_to_the_method(shared_widget: Any, method: str):
    """All strokes painted are what torch computes; half of one is half of it."""
    opened = shared_widget(UpsamplingWidget)
    generator = torch.Generator().manual_seed(3)
    for height, width, stride in itertools.product((1, 3), (2, 8), range(1, 5)):
        x = torch.randn(height, width, generator=generator)
        filter_ = torch.randn(3, 3, generator=generator)
        places = torch.randint(stride**2, (height, width), generator=generator)
        widget = UpsamplingWidget(
            input=x.tolist(), filter=filter_.tolist(), stride=stride, method=method, places=places.tolist()
        )
        wanted = widget.output.double()
        options = {
            "height": height,
            "width": width,
            "filter": as_json(filter_),
            "places": places.flatten().tolist(),
            "stride": stride,
        }
        got = opened.root.evaluate(
            """(root, [method, options, x, canvas]) => {
                const { stamps, paint } = root.segcore.module;
                const strokes = stamps(method, options);
                const some = (...args) => Array.from(paint(x, strokes, canvas, ...args).data);
                return [some(), some(1), some(1, 0.5), some(2)];
            }""",
            [method, options, as_json(x), {"height": wanted.shape[0], "width": wanted.shape[1]}],
        )
        whole, one, half, two = (torch.tensor(g, dtype=torch.float64).reshape(wanted.shape) for g in got)
        torch.testing.assert_close(whole, wanted, rtol=0, atol=1e-5)
        torch.testing.assert_close(half, (one + two) / 2, rtol=0, atol=1e-9)


def test_numbers_are_read_as_people_type_them(shared_widget: Any):
    opened = shared_widget(UpsamplingWidget)
    good = {
        "2": 2,
        "-0.5": -0.5,
        "\u22123": -3,
        "1/4": 0.25,
        "-1 / 2": -0.5,
        ".5": 0.5,
        "0,25": 0.25,
        "+1": 1,
    }
    assert [opened.call("parseNumber", text) for text in good] == list(good.values())
    for text in ("", "-", "a", "1/", "1e5", "--1", "1/2/3"):
        assert math.isnan(opened.call("parseNumber", text)), text


def test_presets_are_what_they_say(shared_widget: Any):
    opened = shared_widget(UpsamplingWidget)
    build = "(root, [kind, name, ...args]) => root.segcore.module[kind][name][1](...args)"
    bilinear = torch.tensor(opened.root.evaluate(build, ["FILTERS", "bilinear", 3]))
    assert bilinear.tolist() == [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]
    eye = torch.tensor(opened.root.evaluate(build, ["INPUTS", "eye"])).float()
    crop = photograph("chelsea").mean(0)[75:155, 132:212].reshape(8, 10, 8, 10).mean((1, 3))
    scaled = (crop - crop.min()) / (crop.max() - crop.min()) * 9
    assert (eye - scaled).abs().max() <= 0.51
    for kernel in range(1, 6):
        for name in ("ones", "bilinear", "random", "edge"):
            rows = opened.root.evaluate(build, ["FILTERS", name, kernel])
            assert len(rows) == kernel and {len(row) for row in rows} == {kernel}
        edge = torch.tensor(opened.root.evaluate(build, ["FILTERS", "edge", kernel]))
        assert kernel == 1 or edge.sum() == 0


# ---- The figure ------------------------------------------------------------------------------------------


def cell(opened: Any, kind: str, row: int, column: int) -> Any:
    title = {"input": "Input", "filter": "Filter"}[kind]
    return opened.page.get_by_label(f"{title}, row {row}, column {column}", exact=True)


def shown_sum(opened: Any) -> float:
    settle(opened)
    return float(opened.root.locator(".sum").get_attribute("data-value"))


def point_at(opened: Any, row: int, column: int) -> None:
    """Move the mouse to one cell of the output."""
    canvas = opened.root.locator(".output-canvas")
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    title = opened.root.locator(".result h3").inner_text()  # "Output, 7 x 7"
    height, width = (int(n) for n in title.split(", ")[1].split(" \u00d7 "))
    painted = opened.get("mode") == "paint" and opened.get("method") == "transposed"
    cut = opened.get("padding") if painted else 0
    full = (len(opened.get("input")[0]) - 1) * opened.get("stride") + len(opened.get("filter"))
    columns = max(full, cut + width) if painted else width
    unit = frame["width"] / columns
    assert row < height
    opened.page.mouse.move(frame["x"] + (column + cut + 0.5) * unit, frame["y"] + (row + cut + 0.5) * unit)
    settle(opened)


def test_hovering_writes_the_sum_out(open_widget: Any):
    widget = UpsamplingWidget(filter=[[0.5, -1, 2], [1, 3, 0], [0.25, 1, 1]], padding=1, output_padding=1)
    opened = open_widget(widget)
    for mode in ("paint", "zeros"):
        opened.set("mode", mode)
        settle(opened)
        for row, column in itertools.product((0, 1, 3, 5), (0, 2, 5)):
            point_at(opened, row, column)
            assert f"row {row}, column {column}" in opened.root.locator(".why h4").inner_text()
            assert shown_sum(opened) == pytest.approx(widget.output[row, column].item(), abs=1e-5)
            terms = opened.root.locator(".term").all_inner_texts()
            values = [math.prod(float(f.replace("\u2212", "-")) for f in t.split(" \u00d7 ")) for t in terms]
            assert sum(values) == pytest.approx(widget.output[row, column].item(), abs=1e-2)
            assert opened.root.locator(".editor.input .taking-part").count() == len(
                {t.split(" ")[0] for t in terms}
            )
    opened.assert_quiet()


def test_every_cell_can_be_edited(open_widget: Any):
    opened = open_widget(UpsamplingWidget())
    cell(opened, "input", 1, 2).fill("-7.5")
    assert opened.get("input") == [[1, 2, 3], [4, 5, -7.5], [7, 8, 9]]
    field = cell(opened, "filter", 0, 1)
    field.fill("1/4")
    assert opened.get("filter")[0] == [1, 0.25, 1]
    assert field.input_value() == "1/4", "nothing is rewritten under the cursor"
    field.fill("a quarter")
    assert field.get_attribute("aria-invalid") == "true"
    assert "such as 2" in opened.root.locator(".editor.filter .cell-problem").inner_text()
    assert opened.get("filter")[0] == [1, 0.25, 1]
    field.blur()
    settle(opened)
    assert field.input_value() == "0.25"
    assert opened.root.locator(".editor.filter .cell-problem").inner_text() == ""
    assert opened.page.get_by_label("Filter: examples").input_value() == ""
    opened.assert_quiet()


def test_examples_fill_input_and_filter(open_widget: Any):
    opened = open_widget(UpsamplingWidget())
    opened.page.get_by_label("Input: examples").select_option("single")
    assert opened.get("input") == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    opened.page.get_by_label("Input: examples").select_option("eye")
    assert len(opened.get("input")) == 8
    opened.page.get_by_label("Filter: examples").select_option("bilinear")
    assert opened.get("filter")[1] == [0.5, 1, 0.5]
    opened.page.get_by_label("Kernel", exact=True).fill("4")
    assert opened.get("filter")[0] == [0.0625, 0.1875, 0.1875, 0.0625], "an example keeps its kind"
    cell(opened, "filter", 0, 0).fill("2")
    opened.page.get_by_label("Kernel", exact=True).fill("2")
    assert opened.get("filter") == [[2, 0.1875], [0.1875, 0.5625]], "an edited filter keeps its weights"
    opened.page.get_by_label("The input\u2019s rows").fill("2")
    opened.page.get_by_label("The input\u2019s columns").fill("5")
    assert [len(row) for row in opened.get("input")] == [5, 5]
    settle(opened)
    assert opened.root.locator(".editor.input .cells input").count() == 10
    opened.assert_quiet()


def test_illegal_options_are_explained_and_not_clamped(open_widget: Any):
    opened = open_widget(UpsamplingWidget())
    page, problem = opened.page, opened.root.locator(".problem")
    page.get_by_label("Output padding").fill("2")
    assert "Output padding 2 is not below the stride, 2" in problem.inner_text()
    assert page.get_by_label("Output padding").get_attribute("aria-invalid") == "true"
    assert page.get_by_label("Output padding").input_value() == "2", "what was typed stays"
    assert opened.get("output_padding") == 0
    page.get_by_label("Stride").fill("3")  # which makes it legal
    assert (opened.get("stride"), opened.get("output_padding")) == (3, 2)
    assert problem.inner_text() == ""

    page.get_by_label("Stride").fill("1")
    assert "it may be 0 only" in problem.inner_text()
    assert opened.get("stride") == 3
    page.get_by_role("button", name="Set output padding to 0").click()
    assert (opened.get("stride"), opened.get("output_padding")) == (1, 0)

    page.get_by_label("Padding", exact=True).fill("4")
    assert "nothing would be left. It may be 0 to 2" in problem.inner_text()
    page.get_by_role("button", name="Set padding to 2").click()
    assert opened.get("padding") == 2
    settle(opened)
    assert opened.root.locator(".result h3").inner_text() == "Output, 1 \u00d7 1"

    page.get_by_label("Kernel", exact=True).fill("9")
    assert "The kernel must be a whole number from 1 to 5" in problem.inner_text()
    page.get_by_label("Kernel", exact=True).fill("")
    assert len(opened.get("filter")) == 3
    page.get_by_label("Kernel", exact=True).fill("5")
    assert len(opened.get("filter")) == 5 and problem.inner_text() == ""
    opened.assert_quiet()


def test_strokes_play_pause_step_reverse_and_scrub(open_widget: Any):
    opened = open_widget(UpsamplingWidget(step=0), reduced_motion="no-preference")
    page = opened.page

    def button(name: str) -> Any:
        return page.get_by_role("button", name=name, exact=True)

    button("One step on").click()
    button("One step on").click()
    assert opened.get("step") == 2
    settle(opened)
    assert opened.root.locator(".source h3").inner_text() == "Stroke 2 of 9"
    button("One step back").click()
    assert opened.get("step") == 1
    button("To the end").click()
    assert opened.get("step") == 9
    button("To the beginning").click()
    assert opened.get("step") == 0
    button("Play").click()
    page.wait_for_function("document.querySelector('[data-widget]').segcore.model.get('step') >= 1")
    button("Pause").click()
    paused = opened.get("step")
    page.wait_for_timeout(150)
    assert opened.get("step") == paused
    opened.set("step", 3)
    button("Play backwards").click()
    page.wait_for_function("document.querySelector('[data-widget]').segcore.model.get('step') < 2")
    page.wait_for_function("document.querySelector('[data-widget]').segcore.model.get('step') === 0")
    button("Play backwards").wait_for()  # it was Pause: at the beginning it stops by itself

    slider = page.get_by_label("Strokes painted")
    slider.fill("4.5")
    settle(opened)
    assert opened.get("step") == 4
    assert opened.root.locator(".source h3").inner_text() == "Stroke 5 of 9"
    slider.press("ArrowRight")
    assert opened.get("step") == 5
    slider.press("ArrowLeft")
    slider.press("ArrowLeft")
    assert opened.get("step") == 3
    slider.press("End")
    assert opened.get("step") == 9
    opened.assert_quiet()


def test_the_same_numbers_arrive_in_both_modes(open_widget: Any):
    """The finished pictures of the two modes are equal, pixel by pixel, where nothing else is drawn."""
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
    opened.page.get_by_role("radio", name="Zeros inserted").check()
    assert opened.get("mode") == "zeros"
    opened.page.get_by_role("button", name="To the end").click()
    settle(opened)
    assert opened.root.evaluate(pixels) == painted
    assert opened.get("step") == 49
    assert "differ by 0." in opened.root.locator(".verdict").inner_text()
    opened.assert_quiet()


def test_methods_can_be_compared(open_widget: Any):
    widget = UpsamplingWidget(stride=3)
    opened = open_widget(widget)
    for label, method in [
        ("Nearest", "nearest"),
        ("Bilinear", "bilinear"),
        ("Max unpooling", "unpool"),
        ("Up-convolution", "transposed"),
    ]:
        opened.page.get_by_role("radio", name=label).check()
        assert opened.get("method") == method
        settle(opened)
        widget.method = method
        assert opened.page.get_by_label("Kernel", exact=True).is_visible() == (method == "transposed")
        for row, column in [(0, 0), (4, 4), (7, 2)]:
            point_at(opened, row, column)
            assert shown_sum(opened) == pytest.approx(widget.output[row, column].item(), abs=1e-5)
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


def test_things_to_try_show_what_they_say(open_widget: Any):
    opened = open_widget(UpsamplingWidget())

    def press(name: str) -> tuple[str, str]:
        opened.page.get_by_role("button", name=name, exact=True).click()
        settle(opened)
        verdict = opened.root.locator(".verdict")
        return verdict.inner_text(), verdict.get_attribute("data-kind")

    text, kind = press("Checkerboard")
    assert "not divisible" in text and "1 in some inner cells and 4 in others" in text and kind == "uneven"
    text, kind = press("Divisible")
    assert "is divisible" in text and "gets 4 strokes" in text and kind == "even"
    text, kind = press("Same counts, no pattern")
    assert "not divisible" in text and "add up to 1 in every inner cell" in text and kind == "even"
    text, kind = press("Holes")
    assert "never reached" in text and kind == "uneven"
    press("One stroke")
    weights = opened.get("filter")
    point_at(opened, 2, 2)
    assert shown_sum(opened) == pytest.approx(weights[0][0])
    press("A cat\u2019s eye")
    assert opened.root.locator(".result h3").inner_text() == "Output, 16 \u00d7 16"
    opened.assert_quiet()


def test_keyboard_alone(open_widget: Any):
    opened = open_widget(UpsamplingWidget())
    keyboard = opened.page.keyboard

    tab_to(opened, ".methods input")
    keyboard.press("ArrowRight")
    assert opened.get("method") == "nearest"
    keyboard.press("ArrowLeft")
    opened.set("step", 5)
    settle(opened)
    tab_to(opened, ".settings .segcore-choice input")
    keyboard.press("ArrowRight")
    assert opened.get("mode") == "zeros"
    keyboard.press("ArrowLeft")
    tab_to(opened, ".editor.input .cells input")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    keyboard.type("6")
    assert opened.get("input")[1] == [4, 6, 6]
    keyboard.press("PageUp")
    assert opened.get("input")[1] == [4, 7, 6]
    tab_to(opened, ".editor.filter .cells input")
    keyboard.press("PageDown")
    assert opened.get("filter")[0] == [0, 1, 1]
    tab_to(opened, ".output-canvas")
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowRight"):
        keyboard.press(key)
    settle(opened)
    assert "row 2, column 4" in opened.root.locator(".why h4").inner_text()
    opened.page.wait_for_timeout(700)
    assert opened.root.locator("[aria-live=polite]").inner_text().startswith("Row 2, column 4: ")
    tab_to(opened, "[aria-label='One step on']")
    step = opened.get("step")
    keyboard.press("Enter")
    assert opened.get("step") == step + 1
    tab_to(opened, "input[type=range]")
    keyboard.press("Home")
    assert opened.get("step") == 0
    opened.assert_quiet()


def test_touch_points_and_scrubs(open_widget: Any):
    opened = open_widget(UpsamplingWidget(), width=390, touch=True)
    canvas = opened.root.locator(".output-canvas")
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    opened.page.touchscreen.tap(frame["x"] + 4.5 / 7 * frame["width"], frame["y"] + 3.5 / 7 * frame["height"])
    settle(opened)
    assert "row 3, column 4" in opened.root.locator(".why h4").inner_text()
    slider = opened.page.get_by_label("Strokes painted")
    slider.scroll_into_view_if_needed()
    frame = slider.bounding_box()
    opened.page.touchscreen.tap(frame["x"] + frame["width"] - 12, frame["y"] + frame["height"] / 2)
    settle(opened)
    assert opened.get("step") == 9
    opened.assert_quiet()


def test_the_widget_follows_its_model(open_widget: Any):
    """What a kernel sets arrives in the figure, also where several traits are legal only together."""
    opened = open_widget(UpsamplingWidget(stride=4, output_padding=3))
    opened.set("stride", 2)
    opened.set("output_padding", 1)
    opened.set("filter", [[1, 2], [3, 4]])
    settle(opened)
    assert opened.page.get_by_label("Stride").input_value() == "2"
    assert opened.page.get_by_label("Kernel", exact=True).input_value() == "2"
    assert cell(opened, "filter", 1, 0).input_value() == "3"
    assert opened.root.locator(".result h3").inner_text() == "Output, 7 \u00d7 7"
    opened.set("step", 2)
    settle(opened)
    assert opened.root.locator(".reading").inner_text() == "2 of 9 strokes"
    opened.set("step", 500)
    settle(opened)
    assert opened.root.locator(".reading").inner_text() == "9 of 9 strokes"
    opened.assert_quiet()


def test_nothing_moves_for_readers_who_prefer_stillness(open_widget: Any):
    opened = open_widget(UpsamplingWidget(), reduced_motion="reduce")
    assert opened.page.get_by_role("button", name="Play", exact=True).count() == 0
    opened.page.wait_for_timeout(100)
    opened.root.evaluate("(root) => { root.querySelector('.upsampling').frames.length = 0; }")
    opened.page.wait_for_timeout(200)
    assert opened.root.evaluate("(root) => root.querySelector('.upsampling').frames.length") == 0
    assert opened.root.evaluate("(root) => root.getAnimations({ subtree: true }).length") == 0


@pytest.mark.parametrize("trial", ["Checkerboard", "A cat\u2019s eye"])
def test_accessible_in_the_things_to_try(open_widget: Any, trial: str):
    opened = open_widget(UpsamplingWidget())
    opened.page.get_by_role("button", name=trial).click()
    opened.page.get_by_label("Output padding").fill("3")
    assert_accessible(opened)


def test_no_width_overflows(open_widget: Any):
    opened = open_widget(UpsamplingWidget())
    opened.page.get_by_role("button", name="A cat\u2019s eye").click()
    for width in (320, 390, 700, 1280):
        for mode in ("zeros", "paint"):
            opened.set("mode", mode)
            opened.assert_no_sideways_scroll(width)
    opened.assert_quiet()


@pytest.mark.parametrize(("mode", "columns"), [("paint", 3), ("paint", 8), ("zeros", 8)])
def test_frames_while_scrubbing(open_widget: Any, mode: str, columns: int):
    """What a frame of ours costs while the slider is dragged, beside the 16.7 ms that a frame may take."""
    eye = [[(3 * i + 5 * j) % 10 for j in range(columns)] for i in range(columns)]
    widget = UpsamplingWidget(input=eye, mode=mode, stride=4 if columns == 8 else 2, step=0)
    opened = open_widget(widget, reduced_motion="no-preference")
    slider = opened.page.get_by_label("Strokes painted")
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
