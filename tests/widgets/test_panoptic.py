"""The widget of chapter 15: its arithmetic against the library, its trials, and shapes in the hand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
import traitlets

from segcore.panoptic import panoptic_quality
from segcore.widgets.panoptic import (
    CLASSES,
    GUESS,
    HEIGHT,
    STUFF,
    THINGS,
    VOID,
    WIDTH,
    PanopticWidget,
    render,
)

from .kit import measure_frames, settle, unfold

NAMES = ("PQ", "SQ", "RQ")

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_the_same_each_time():
    widget = PanopticWidget()
    assert widget.to_html() == PanopticWidget().to_html()
    assert len(str(widget.public_state())) < 1_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("horizon", 33, "from 0 to 32"),
        ("selected", 5, "from 0 to 4"),
        ("shapes", [list(GUESS[0])], "must be 5 lists"),
        ("shapes", [[1, *GUESS[0][1:]], *map(list, GUESS[1:])], r"shapes\[0\] must be \[class 2 or 3"),
        ("shapes", [*map(list, GUESS[:4]), [2, 60, 1, 2, 2, 4, 1]], r"shapes\[4\]"),
        ("shapes", [*map(list, GUESS[:4]), [2, 20, 1, 0.5, 2, 4, 1]], "rx and ry from 1 to 24"),
        ("shapes", [*map(list, GUESS[:4]), [2, 20, 1, 2, 2, 3, 1]], "power 2 or 4"),
        ("shapes", [*map(list, GUESS[:4]), [2, 20, 1, 2, 2, 4, 3]], "state 0, 1 or 2"),
        ("shapes", [*map(list, GUESS[:4]), [2, math.nan, 1, 2, 2, 4, 1]], r"shapes\[4\]"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = PanopticWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def test_the_street_has_what_the_rules_are_about():
    widget = PanopticWidget()
    assert set(widget.target[..., 0].unique().tolist()) == {0, 1, 2, 3, VOID}
    persons = widget.quality["per_class"][3]
    assert (persons["TP"], persons["FP"], persons["FN"]) == (1, 1, 1), "and the one on the crowd is ignored"


# ---- Arithmetic in the browser ---------------------------------------------------------------------------

QUALITY = """(root, [guess, truth, things, stuff]) => {
  const { quality } = root.segcore.module;
  const found = quality(guess, truth, { things, stuff, empty: 255 });
  const plain = (row) =>
    Object.fromEntries(Object.entries(row).map(([k, v]) => [k, Number.isNaN(v) ? null : v]));
  const { all, classes } = found;
  return [all, found.things, found.stuff, ...[...things, ...stuff].map((k) => classes[k])].map(plain);
}"""


def as_map(panoptic: torch.Tensor) -> dict[str, list[int]]:
    return {"classes": panoptic[..., 0].flatten().tolist(), "instances": panoptic[..., 1].flatten().tolist()}


def test_quality_equals_the_librarys(shared_widget: Any):
    opened = shared_widget(PanopticWidget)
    generator = torch.Generator().manual_seed(2)
    kinds = torch.tensor([0, 1, 2, 3, 9, VOID])
    for size in (3, 8, 17, 25):
        for share in (0.2, 0.5):
            coarse = torch.randint(6, (size, size), generator=generator), torch.randint(3, (size, size))
            truth = (
                torch.stack([kinds[coarse[0]], coarse[1]], -1).repeat_interleave(3, 0).repeat_interleave(3, 1)
            )
            other = torch.rand(truth.shape[:2], generator=generator) < share
            guess = torch.where(other[..., None], truth.roll(2, 0), truth)
            things, stuff = [2, 3], [0, 1, 9]
            rows = opened.root.evaluate(QUALITY, [as_map(guess), as_map(truth), things, stuff])
            ours = panoptic_quality(guess, truth, things, stuff)
            wanted = [ours[k] for k in ("all", "things", "stuff")] + [
                ours["per_class"][k] for k in things + stuff
            ]
            for row, expected in zip(rows, wanted, strict=True):
                assert row.keys() == expected.keys()
                for name, value in row.items():
                    value = math.nan if value is None else value
                    assert value == pytest.approx(expected[name], abs=1e-12, nan_ok=True)
    opened.assert_quiet()


def test_shapes_are_drawn_as_in_python(shared_widget: Any):
    opened = shared_widget(PanopticWidget)
    generator = torch.Generator().manual_seed(4)
    for _ in range(20):
        draws = torch.rand(5, 7, generator=generator).tolist()
        shapes = [
            [
                2 + (a > 0.5),
                *(round(2 * WIDTH * b) / 2, round(2 * HEIGHT * c) / 2),
                *(1 + round(16 * d) / 2, 1 + round(16 * e) / 2),
                *(4 if f > 0.5 else 2, int(3 * g)),
            ]
            for a, b, c, d, e, f, g in draws
        ]
        found = opened.root.evaluate(
            "(root, state) => root.segcore.module.rasterize(state)", {"horizon": 13, "shapes": shapes}
        )
        assert found == as_map(render(13, shapes))
    opened.assert_quiet()


# ---- The figure in use -----------------------------------------------------------------------------------


def table(opened: Any) -> dict[str, dict[str, str]]:
    rows = opened.root.locator("table.classes tbody tr").all()
    texts = [(row.locator("th").inner_text(), row.locator("td").all_inner_texts()) for row in rows]
    return {
        name: dict(zip(("TP", "FP", "FN", "SQ", "RQ", "PQ"), cells, strict=True)) for name, cells in texts
    }


def widget_of(opened: Any) -> PanopticWidget:
    """The same state in Python."""
    return PanopticWidget(**{name: opened.get(name) for name in ("shapes", "horizon", "selected")})


def assert_shows_the_truth(opened: Any) -> None:
    settle(opened)
    shown, quality = table(opened), widget_of(opened).quality
    expected = {CLASSES[k]: quality["per_class"][k] for k in THINGS + STUFF}
    expected |= {f"mean, {group}": quality[group] for group in ("things", "stuff", "all")}
    for name, row in expected.items():
        for column, value in row.items():
            text = "–" if math.isnan(value) else f"{value:.2f}" if column in NAMES else str(value)
            if not math.isnan(value) and column in NAMES:
                assert abs(float(shown[name][column]) - value) <= 0.00501
            else:
                assert shown[name][column] == text


def test_what_the_trials_say_is_so(open_widget: Any):
    opened = open_widget(PanopticWidget())
    note = opened.root.locator(".segcore-note")

    def press(name: str) -> PanopticWidget:
        opened.page.get_by_role("button", name=name, exact=True).click()
        assert_shows_the_truth(opened)
        return widget_of(opened)

    assert_shows_the_truth(opened)
    car = press("A pixel past one half").quality["per_class"][2]
    assert (car["TP"], car["FN"]) == (1, 0) and car["SQ"] == pytest.approx(0.56, abs=0.005)
    car = press("A pixel past one half").quality["per_class"][2]
    assert (car["TP"], car["FP"], car["FN"]) == (0, 2, 1)
    assert "0.49" in note.inner_text() and "0.49" in opened.root.locator(".sentence").inner_text()
    press("A pixel past one half")
    assert opened.get("shapes") == [list(shape) for shape in GUESS], "and back"
    people = press("Two people as one").quality["per_class"][3]
    assert (people["TP"], people["FP"], people["FN"], people["PQ"]) == (0, 1, 2, 0)
    both = press("A car cut in two")
    assert both.quality["per_class"][2]["TP"] == 0 and both.quality["per_class"][2]["FP"] == 3
    named = press("Wrong name").quality["per_class"]
    assert named[2]["FP"] == 2 and named[3]["FN"] == 2
    before = PanopticWidget().quality["per_class"][3]["FP"]
    assert press("Off the crowd").quality["per_class"][3]["FP"] == before + 1
    perfect = press("As the truth").quality
    assert perfect["all"] == dict.fromkeys(NAMES, 1.0)
    opened.assert_quiet()


def test_a_segment_follows_the_hand_and_the_keys(open_widget: Any):
    opened = open_widget(PanopticWidget())
    grip = opened.root.locator(".grip").nth(0)
    box = grip.bounding_box()
    unit = opened.root.locator(".scene canvas").bounding_box()["width"] / WIDTH
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] / 2 + 4 * unit, box["y"] + box["height"] / 2, steps=5)
    opened.page.mouse.up()
    assert opened.get("shapes")[0][1:3] == [17, 20] and opened.get("selected") == 0
    assert_shows_the_truth(opened)
    grip.focus()
    for key, part, value in [
        ("ArrowLeft", 1, 16),
        ("Shift+ArrowUp", 2, 15),
        ("+", 3, 9.5),
        ("-", 3, 9),
        ("c", 6, 2),
        ("c", 6, 1),
        ("Delete", 6, 0),
    ]:
        opened.page.keyboard.press(key)
        assert opened.get("shapes")[0][part] == value, key
        assert_shows_the_truth(opened)
    assert "taken away" in opened.root.locator(".sentence").inner_text()
    opened.page.get_by_role("button", name="Put back").click()
    opened.page.get_by_role("button", name="Shrink").click()
    opened.root.locator("input[type=radio]").nth(1).check()
    assert opened.get("shapes")[0] == [3, 16, 15, 8.5, 4.5, 4, 1]
    for _ in range(30):
        grip.press("Shift+ArrowRight")
    assert opened.get("shapes")[0][1] == WIDTH, "it stays in the picture"
    opened.assert_quiet()


def test_every_iou_stands_under_the_fold(open_widget: Any):
    opened = open_widget(PanopticWidget())
    unfold(opened)
    settle(opened)
    cells = opened.root.locator("table.pairs tbody td.matched").all_inner_texts()
    assert len(cells) == 4 and all(float(cell) > 0.5 for cell in cells)
    opened.root.locator("input[type=range]").fill("30")
    assert opened.get("horizon") == 30
    assert_shows_the_truth(opened)
    assert table(opened)["road"]["TP"] == "0"
    opened.assert_quiet()


DRAG = """async (root) => {
  const grip = root.querySelector(".grip");
  grip.setPointerCapture = () => {};
  const fire = (type, dx) => grip.dispatchEvent(new PointerEvent(
    type, { bubbles: true, pointerId: 1, clientX: 100 + dx, clientY: 100 }));
  fire("pointerdown", 0);
  const { frames } = root.querySelector(".panoptic");
  frames.length = 0;
  for (let step = 1; step <= 55; step++) {
    fire("pointermove", 40 * (step % 3));
    await new Promise((done) => requestAnimationFrame(done));
  }
  fire("pointerup", 0);
  return frames.slice();
}"""


def test_dragging_leaves_room_for_sixty_frames_a_second(open_widget: Any):
    opened = open_widget(PanopticWidget())
    measure_frames(opened, DRAG).assert_smooth(least=50)


def test_marks_do_not_lie_on_each_other(shared_widget: Any):
    """Random ones, as far as there is room; the first stays, and none moves that need not."""
    opened = shared_widget(PanopticWidget)
    draw = random.Random(0)
    for _ in range(60):
        marks = [[draw.uniform(30, 400), draw.uniform(13, 280), draw.choice([30, 54])] for _ in range(5)]
        order = draw.sample(range(5), 5)
        ys = opened.call("spreadMarks", marks, order, 300)
        assert ys[order[0]] == marks[order[0]][1]
        for n, (x, y, half) in enumerate(marks):
            assert 13 <= ys[n] <= 287
            others = [m for m in range(5) if m != n]
            assert all(abs(x - marks[m][0]) >= half + marks[m][2] or abs(ys[n] - ys[m]) >= 26 for m in others)
            near = [m for m in others if abs(x - marks[m][0]) < half + marks[m][2] and abs(y - ys[m]) < 26]
            assert near or ys[n] == y
