"""The scribble widget: its minimum cut and GrabCut against the library's, and the figure in use."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import traitlets

from segcore.graph_cuts import grabcut, grid_cut
from segcore.widgets.scribbles import HEIGHT, WIDTH, ScribblesWidget

from .kit import PHONE, assert_accessible, measure_frames, settle

STROKES = [[2, 80, 20, 140, 15], [0, 20, 20, 60, 10]]
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_the_same_each_time():
    widget = ScribblesWidget()
    assert widget.to_html() == ScribblesWidget().to_html()
    assert len(str(widget.public_state())) < 40_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("photo", "dog", "cup"),
        ("gamma", -1.0, "from 0 to 200"),
        ("rounds", 6, "from 0 to 5"),
        ("box", [1, 2, 3], "x1, y1, x2, y2"),
        ("box", [9, 2, 3, 8], "x1, y1, x2, y2"),
        ("strokes", [[1, 4, 4]], "a side, 0 or 2"),
        ("strokes", [[2, 4]], "points x, y"),
        ("view", "both", "cutout"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = ScribblesWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def test_the_readers_own_photograph_stays_in_the_page():
    with pytest.raises(ValueError, match="stays in the page"):
        _ = ScribblesWidget(photo="").image


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def cut_cost(side: torch.Tensor, terminals: torch.Tensor, edges: torch.Tensor) -> float:
    """What a labelling costs, pair by pair."""
    height, width = side.shape
    cost = torch.where(side, -terminals, terminals).clamp(min=0).sum().item()
    for weights, (dy, dx) in zip(edges, STEPS, strict=True):
        for y in range(height - dy):
            for x in range(max(0, -dx), width - max(0, dx)):
                cost += weights[y, x].item() * bool(side[y, x] != side[y + dy, x + dx])
    return cost


def test_the_minimum_cut_equals_the_librarys(shared_widget: Any):
    """On 120 random grids: real and whole weights, among which cuts tie; pixels that lean to no side."""
    opened = shared_widget(ScribblesWidget)
    generator = torch.Generator().manual_seed(3)
    for case in range(120):
        height, width = torch.randint(1, 12, (2,), generator=generator).tolist()
        terminals = 4 * torch.randn(height, width, generator=generator, dtype=torch.float64)
        terminals[torch.rand(height, width, generator=generator) < 0.3] = 0
        edges = (0.1, 1, 5)[case % 3] * torch.rand(4, height, width, generator=generator, dtype=torch.float64)
        if case % 2:
            terminals, edges = terminals.round(), (2 * edges).round()
        found = opened.root.evaluate(
            """(root, [terminals, edges, height, width]) => {
              const { side, flow } = root.segcore.module.cut({ terminals, edges, height, width });
              return [Array.from(side), flow];
            }""",
            [terminals.flatten().tolist(), edges.flatten(1).tolist(), height, width],
        )
        side = torch.tensor(found[0], dtype=torch.bool).reshape(height, width)
        wanted = grid_cut(terminals, torch.zeros_like(terminals), edges)
        assert torch.equal(side, wanted)
        assert found[1] == pytest.approx(cut_cost(side, terminals, edges), abs=1e-9)


AGAIN = """(root, [rounds, edges, height, width]) => {
  const { cutAgain, openCut } = root.segcore.module;
  const graph = openCut({ edges, height, width });
  return rounds.map((terminals) => Array.from(cutAgain(graph, terminals).side));
}"""


def test_a_cut_that_goes_on_from_the_last_flow_is_the_librarys(shared_widget: Any):
    """Eight cuts of one grid after one another: terminals change a little, much, and back; some cuts tie."""
    opened = shared_widget(ScribblesWidget)
    generator = torch.Generator().manual_seed(4)
    for case in range(40):
        height, width = torch.randint(1, 14, (2,), generator=generator).tolist()
        edges = (0.1, 1, 5)[case % 3] * torch.rand(4, height, width, generator=generator, dtype=torch.float64)
        rounds = 4 * torch.randn(8, height, width, generator=generator, dtype=torch.float64)
        rounds[1::2] = rounds[::2] + 0.3 * rounds[1::2]
        rounds[7] = rounds[0]
        rounds[torch.rand(rounds.shape, generator=generator) < 0.2] = 0
        if case % 2:
            rounds, edges = rounds.round(), (2 * edges).round()
        given = [rounds.flatten(1).tolist(), edges.flatten(1).tolist(), height, width]
        found = opened.root.evaluate(AGAIN, given)
        for terminals, side in zip(rounds, found, strict=True):
            wanted = grid_cut(terminals, torch.zeros_like(terminals), edges)
            assert torch.equal(torch.tensor(side, dtype=torch.bool).reshape(height, width), wanted)


GRABCUT = """(root, [data, height, width, trimap, rounds]) =>
  Array.from(root.segcore.module.grabcut({ data, height, width }, trimap, rounds))"""


def in_the_page(opened: Any, image: torch.Tensor, trimap: torch.Tensor, rounds: int) -> torch.Tensor:
    """The mask that the page makes of an 8-bit image ``(3, H, W)``."""
    _, height, width = image.shape
    rgba = torch.cat([image, torch.full_like(image[:1], 255)]).permute(1, 2, 0).flatten().tolist()
    mask = opened.root.evaluate(GRABCUT, [rgba, height, width, trimap.flatten().tolist(), rounds])
    return torch.tensor(mask, dtype=torch.bool).reshape(height, width)


@pytest.mark.parametrize("rounds", [1, 4])
def test_grabcut_equals_the_librarys_on_random_patches(shared_widget: Any, rounds: int):
    opened = shared_widget(ScribblesWidget)
    generator = torch.Generator().manual_seed(rounds)
    for height, width in ((20, 30), (31, 17), (12, 40)):
        noise = torch.rand(1, 3, height // 4 + 1, width // 4 + 1, generator=generator)
        soft = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)
        image = (soft[0] * 255).byte()
        trimap = torch.ones(height, width, dtype=torch.int64)
        trimap[:3] = 0
        trimap[height // 2, width // 3 : width // 2] = 2
        found = in_the_page(opened, image, trimap, rounds)
        assert torch.equal(found, grabcut(image / 255, trimap, rounds))


def test_a_picture_of_one_colour(shared_widget: Any):
    """There is nothing to learn, and nothing breaks."""
    opened = shared_widget(ScribblesWidget)
    image = torch.full((3, 12, 15), 90, dtype=torch.uint8)
    trimap = torch.ones(12, 15, dtype=torch.int64)
    trimap[:, :3] = 0
    found = in_the_page(opened, image, trimap, 2)
    assert torch.equal(found, grabcut(image / 255, trimap, 2))


DONE = """(rounds) => {
  const words = document.querySelector(".time").textContent;
  return words.includes(`after ${rounds} round`) && words.includes("ms a round");
}"""


def pixels_cut_out(opened: Any, rounds: int) -> int:
    """Of the figure's own words, once all rounds are done."""
    settle(opened)
    words = opened.root.locator(".time")
    opened.page.wait_for_function(DONE, arg=rounds)
    return int(re.match(r"([\d,]+) pixels?", words.inner_text())[1].replace(",", ""))


@pytest.mark.parametrize(
    ("photo", "box", "strokes", "rounds"),
    [
        ("cup", [10, 4, 214, 176], [], 5),
        ("astronaut", [40, 2, 178, 180], STROKES, 2),
        ("cat", [], [[2, 80, 60, 170, 90], [0, 15, 15, 20, 100], [0, 225, 15, 225, 120]], 3),
    ],
)
def test_the_figures_cut_is_the_librarys(
    open_widget: Any, photo: str, box: list[int], strokes: list[list[int]], rounds: int
):
    """On the photographs as the page has them; its trimap is the one in Python."""
    widget = ScribblesWidget(photo=photo, box=box, strokes=strokes, rounds=rounds)
    opened = open_widget(widget)
    shape = {"height": HEIGHT, "width": WIDTH}
    trimap = opened.root.evaluate(
        "(root, [box, strokes, shape]) => Array.from(root.segcore.module.trimapOf(box, strokes, shape))",
        [box, strokes, shape],
    )
    assert trimap == widget.trimap.flatten().tolist()
    wanted = int(widget.mask.sum())
    assert abs(pixels_cut_out(opened, rounds) - wanted) <= 0.001 * HEIGHT * WIDTH
    opened.assert_quiet()


def test_without_smoothness_each_pixel_decides_alone(shared_widget: Any):
    opened = shared_widget(ScribblesWidget)
    alone = opened.root.evaluate(
        """(root) => {
          const { linksOf, startCut, cutOnce } = root.segcore.module;
          const data = Uint8ClampedArray.from({ length: 2400 }, (_, n) => (n * 7919) % 251);
          const image = { height: 20, width: 30, data };
          const trimap = Uint8Array.from({ length: 600 }, (_, n) => (n < 90 ? 0 : 1));
          const { mask, terminals } = cutOnce(startCut(image, trimap, linksOf(image), { gamma: 0 }));
          return [...mask.keys()].every((n) => mask[n] === (terminals[n] >= 0 ? 1 : 0));
        }"""
    )
    assert alone


def test_a_straight_stroke_needs_two_points(shared_widget: Any):
    opened = shared_widget(ScribblesWidget)
    assert opened.call("thinned", [2, 1, 1, 2, 1, 3, 1, 9, 1]) == [2, 1, 1, 9, 1]
    assert opened.call("thinned", [0, 1, 1, 4, 1, 4, 5]) == [0, 1, 1, 4, 1, 4, 5]
    assert opened.call("thinned", [0, 1, 1, 6, 1, 3, 1]) == [0, 1, 1, 6, 1, 3, 1]
    assert opened.call("thinned", [0, 5, 5]) == [0, 5, 5]


# ---- The figure in use -----------------------------------------------------------------------------------


def drag(opened: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one pixel of the photograph to another."""
    canvas = opened.root.locator(".painting canvas")
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    unit = frame["width"] / WIDTH
    mouse = opened.page.mouse
    mouse.move(frame["x"] + (start[0] + 0.5) * unit, frame["y"] + (start[1] + 0.5) * unit)
    mouse.down()
    mouse.move(frame["x"] + (end[0] + 0.5) * unit, frame["y"] + (end[1] + 0.5) * unit, steps=4)
    mouse.up()


def test_strokes_a_box_undo_and_clear(open_widget: Any):
    opened = open_widget(ScribblesWidget(photo="astronaut", box=[40, 2, 178, 180], rounds=2))
    before = pixels_cut_out(opened, 2)
    drag(opened, (80, 110), (80, 165))
    assert opened.get("strokes") == [[2, 80, 110, 80, 165]]
    assert pixels_cut_out(opened, 2) > before, "the shoulder comes back"
    opened.page.get_by_role("radio", name="Background").check()
    drag(opened, (70, 30), (60, 30))
    assert opened.get("strokes")[1] == [0, 70, 30, 60, 30]
    opened.page.get_by_role("button", name="Undo").click()
    opened.page.get_by_role("button", name="Undo").click()
    assert opened.get("strokes") == [] and pixels_cut_out(opened, 2) == before
    opened.page.get_by_role("radio", name="Box").check()
    drag(opened, (200, 150), (30, 10))
    assert opened.get("box") == [30, 10, 201, 151], "from any corner"
    opened.page.get_by_role("button", name="Clear").click()
    assert opened.get("box") == []
    opened.page.get_by_role("button", name="Clear", disabled=True).wait_for()
    opened.page.wait_for_function(
        "document.querySelector('.time').textContent.startsWith('Mark some background')"
    )
    opened.page.get_by_role("button", name="Undo").click()
    assert opened.get("box") == [30, 10, 201, 151]
    opened.assert_quiet()


def test_drawing_by_keys(open_widget: Any):
    opened = open_widget(ScribblesWidget(rounds=1))
    opened.root.locator(".painting canvas").focus()
    keyboard = opened.page.keyboard
    keyboard.press("2")
    keyboard.down(" ")
    keyboard.press("ArrowRight")
    keyboard.press("Shift+ArrowDown")
    keyboard.up(" ")
    assert opened.get("strokes") == [[0, WIDTH // 2, HEIGHT // 2, WIDTH // 2 + 1, 90, WIDTH // 2 + 1, 95]]
    keyboard.press("ArrowRight")
    assert len(opened.get("strokes")) == 1, "lifted"
    opened.assert_quiet()


def test_all_marked_as_background_says_what_is_missing(open_widget: Any):
    opened = open_widget(ScribblesWidget(box=[10, 10, 12, 12], strokes=[[0, 11, 11]]))
    opened.page.wait_for_function("document.querySelector('.time').textContent.startsWith('Nothing is left')")
    opened.assert_quiet()


def test_a_photograph_of_the_readers(open_widget: Any, tmp_path: Any):
    """It comes at 43,200 pixels at most, starts without marks, and its state has no address."""
    from PIL import Image

    path = tmp_path / "mine.png"
    Image.linear_gradient("L").resize((600, 900)).convert("RGB").save(path)
    opened = open_widget(ScribblesWidget(strokes=STROKES))
    opened.root.locator("input[type=file]").set_input_files(path)
    opened.page.wait_for_function("document.querySelector('.time').textContent.startsWith('Mark some')")
    assert opened.get("photo") == "" and opened.get("box") == [] and opened.get("strokes") == []
    drag(opened, (10, 10), (30, 10))
    assert "#" not in opened.page.url
    (tmp_path / "broken.png").write_bytes(b"no picture")
    opened.root.locator("input[type=file]").set_input_files(tmp_path / "broken.png")
    opened.page.get_by_text("This file cannot be read as a picture").wait_for()
    opened.assert_quiet()


def test_a_phone_shows_both_in_one_picture(open_widget: Any):
    opened = open_widget(ScribblesWidget(), **PHONE)
    settle(opened)
    assert not opened.root.locator(".result").is_visible()
    assert opened.root.locator(".painting").is_visible()
    assert_accessible(opened)
    opened.assert_quiet()


DRAW = """async (root) => {
  const times = [], { model } = root.segcore, way = [2, 60, 120];
  let last = await new Promise(requestAnimationFrame);
  for (let n = 0; n < 110; n++) {
    way.push(60 + n, 120 + Math.round(30 * Math.sin(n / 9)));
    model.set("strokes", [[...way]]);
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times;
}"""


def test_drawing_leaves_the_page_free(open_widget: Any):
    opened = open_widget(ScribblesWidget(photo="astronaut", box=[40, 2, 178, 180]))
    pixels_cut_out(opened, 5)
    measure_frames(opened, DRAW).assert_smooth()
    pixels_cut_out(opened, 5)
    opened.assert_quiet()


def test_without_a_worker_it_cuts_all_the_same(open_widget: Any):
    opened = open_widget(ScribblesWidget(rounds=2), wait=False, fresh=True)
    opened.page.add_init_script("delete window.Worker; window.Worker = undefined;")
    opened.page.reload()
    opened.page.wait_for_selector("[data-ready=true]")
    assert pixels_cut_out(opened, 2) > 10_000
