"""The widget of chapter 17: its shading and angles against torch, its claims, the lamp under the hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import traitlets

from segcore.geometry import normal_metrics
from segcore.widgets.geometry import SCENES, SOURCES, GeometryWidget

from .kit import PHONE, measure_frames, settle

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_the_same_each_time():
    widget = GeometryWidget()
    assert widget.to_html() == GeometryWidget().to_html()
    assert len(str(widget.public_state())) < 60_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("scene", "third", "first"),
        ("source", "truth", "network"),
        ("light", [0.5], "x, y"),
        ("light", [0.5, 1.5], "from -1 to 1"),
        ("at", [48, 0], "to 47, 47"),
        ("view", "both", "lamp"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = GeometryWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def test_what_the_things_to_try_claim():
    """The network errs on objects; floor and wall are most of the picture; depth is exact on most pixels."""
    for scene in SCENES:
        widget = GeometryWidget(scene=scene)
        truth, found, depth = (widget.normals(name) for name in ("truth", "network", "depth"))
        objects = widget.objects
        assert 0.1 < objects.double().mean() < 0.4
        rest = normal_metrics(found, truth, ~objects)["mean"]
        assert rest < 6 and normal_metrics(found, truth, objects)["mean"] > 2 * rest
        assert normal_metrics(depth, truth)["median"] < 0.1
        assert normal_metrics(depth, truth)["mean"] > 3


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def flat(normals: torch.Tensor) -> list[float]:
    """Three numbers a pixel, as the module has them."""
    return normals.permute(1, 2, 0).flatten().tolist()


@pytest.mark.parametrize("source", ["truth", *SOURCES])
def test_the_page_unpacks_what_python_does(shared_widget: Any, source: str):
    opened = shared_widget(GeometryWidget)
    widget = GeometryWidget()
    found = opened.root.evaluate(
        "(root, text) => Array.from(root.segcore.module.unpackNormals(text))",
        widget.data["scenes"]["first"][source],
    )
    torch.testing.assert_close(torch.tensor(found), torch.tensor(flat(widget.normals(source))))


def test_shading_is_the_cosine(shared_widget: Any):
    """Of random normals under lamps within the disc and beyond it."""
    opened = shared_widget(GeometryWidget)
    generator = torch.Generator().manual_seed(2)
    normals = torch.nn.functional.normalize(torch.randn(3, 6, 7, generator=generator).double(), dim=0)
    for x, y in ((0.0, 0.0), (-0.8, -0.4), (0.6, 0.8), (1.0, 1.0), (-1.0, 0.0)):
        flat_light = torch.tensor([x, y], dtype=torch.float64)
        flat_light = flat_light / max(1.0, flat_light.norm().item())
        z = -(1 - flat_light.square().sum()).clamp(min=0).sqrt()
        wanted = (normals * torch.cat([flat_light, z[None]])[:, None, None]).sum(0).clamp(min=0)
        found = opened.root.evaluate(
            "(root, [normals, light]) => Array.from(root.segcore.module.shade(normals, light))",
            [flat(normals), [x, y]],
        )
        torch.testing.assert_close(torch.tensor(found).double(), wanted.flatten(), atol=1e-6, rtol=1e-6)


def test_angles_and_their_means(shared_widget: Any):
    opened = shared_widget(GeometryWidget)
    widget = GeometryWidget()
    truth, other = widget.normals("truth"), widget.normals("network")
    found = opened.root.evaluate(
        """(root, [one, other, objects]) => {
          const { angles, summary } = root.segcore.module;
          return summary(angles(one, other), objects);
        }""",
        [flat(truth), flat(other), widget.objects.flatten().int().tolist()],
    )
    everywhere = normal_metrics(other, truth)
    assert found["all"] == pytest.approx(everywhere["mean"], abs=1e-3)
    assert found["objects"] == pytest.approx(normal_metrics(other, truth, widget.objects)["mean"], abs=1e-3)
    assert found["close"] == pytest.approx(everywhere["within 11.25°"], abs=1e-6)


# ---- The figure in use -----------------------------------------------------------------------------------


def test_dragging_moves_the_lamp_and_both_pictures(open_widget: Any):
    opened = open_widget(GeometryWidget())
    settle(opened)
    canvases = opened.root.locator("canvas")
    before = [canvases.nth(k).evaluate("(el) => el.toDataURL()") for k in range(2)]
    frame = canvases.first.bounding_box()
    mouse = opened.page.mouse
    mouse.move(frame["x"] + 0.25 * frame["width"], frame["y"] + 0.5 * frame["height"])
    mouse.down()
    mouse.move(frame["x"] + 0.9 * frame["width"], frame["y"] + 0.25 * frame["height"], steps=5)
    mouse.up()
    settle(opened)
    assert opened.get("light") == pytest.approx([0.8, -0.5], abs=0.051)
    assert opened.page.get_by_role("slider").first.input_value() == str(round(20 * opened.get("light")[0]))
    after = [canvases.nth(k).evaluate("(el) => el.toDataURL()") for k in range(2)]
    assert before[0] != after[0] and before[1] != after[1]
    opened.assert_quiet()


def test_a_pixel_is_compared_and_marks_are_the_librarys(open_widget: Any):
    widget = GeometryWidget(source="depth", at=[30, 20], view="angle")
    opened = open_widget(widget)
    settle(opened)
    truth, other = widget.normals("truth"), widget.normals("depth")
    angle = torch.rad2deg((truth * other).sum(0).clamp(-1, 1).acos())
    assert "Row 21, column 31" in opened.root.locator(".words").inner_text()
    assert f"{angle[20, 30]:.1f}° apart" in opened.root.locator(".words").inner_text()
    marks = opened.root.locator(".segcore-marks").inner_text()
    assert f"{angle.mean():.1f}°" in marks and f"{angle[widget.objects].mean():.1f}°" in marks
    opened.root.locator("canvas").first.focus()
    opened.page.keyboard.press("ArrowDown")
    assert opened.get("at") == [30, 24]
    opened.assert_quiet()


MOVE = """async (root) => {
  const times = [];
  let last = await new Promise(requestAnimationFrame);
  for (let n = 0; n < 110; n++) {
    root.segcore.model.set("light", [Math.cos(n / 9), Math.sin(n / 9)]);
    root.segcore.model.save_changes();
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times;
}"""


def test_the_lamp_moves_smoothly(open_widget: Any):
    opened = open_widget(GeometryWidget())
    measure_frames(opened, MOVE).assert_smooth()
    opened.assert_quiet()


def test_on_a_phone_both_pictures_stand_side_by_side(open_widget: Any):
    opened = open_widget(GeometryWidget(), **PHONE)
    settle(opened)
    one, other = (opened.root.locator("canvas").nth(k).bounding_box() for k in range(2))
    assert one["y"] == other["y"] and one["x"] + one["width"] <= other["x"]
    assert one["width"] > 140


def test_the_scale_stands_below_its_picture(open_widget: Any):
    opened = open_widget(GeometryWidget(view="angle"))
    for width in (900, 580, 390, 320):
        opened.page.set_viewport_size({"width": width, "height": 900})
        settle(opened)
        other, scale = (opened.root.locator(each).bounding_box() for each in (".other canvas", ".angle"))
        assert abs(scale["x"] - other["x"]) < 3 and scale["y"] >= other["y"] + other["height"]
