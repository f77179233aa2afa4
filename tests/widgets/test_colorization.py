"""The widget of chapter 18: its arithmetic against torch, its claims, the temperature in use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import traitlets
from playwright.sync_api import expect

from segcore.color import lab_to_rgb
from segcore.colorization import decode_ab
from segcore.widgets.colorization import PICTURES, ColorizationWidget

from .kit import PHONE, measure_frames, settle

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_the_same_each_time():
    widget = ColorizationWidget()
    assert widget.to_html() == ColorizationWidget().to_html()
    assert len(str(widget.public_state())) < 60_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("picture", "dog", "scene"),
        ("view", "both", "colour"),
        ("temperature", 0.0, "from 0.01 to 1"),
        ("temperature", 2.0, "from 0.01 to 1"),
        ("at", [120, 0], "to 119, 79"),
        ("at", [3], "x, y"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = ColorizationWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def chroma(ab: torch.Tensor, where: torch.Tensor) -> float:
    return ab.norm(dim=1)[where].mean().item()


def test_what_the_things_to_try_claim():
    """Objects go from grey to orange, the floor is green throughout; coffee is right and the cat is wrong."""
    scene = ColorizationWidget()
    truth, p = scene.truth, scene.probabilities
    objects = truth[:, 1].abs() > 25
    objects &= truth[:, 0] > -12
    floor = truth[:, 0] < -25
    assert objects.sum() > 15 and floor.sum() > 100
    mean, sharp, mode = (decode_ab(p, temperature) for temperature in (1, 0.38, 0.01))
    assert chroma(mean, objects) < 0.5 * chroma(truth, objects)
    assert chroma(mean, objects) < chroma(sharp, objects) < chroma(mode, objects)
    assert (mode[:, 1][objects] > 10).float().mean() > 0.85  # "nearly always orange"
    for found in (mean, sharp, mode):
        assert (found - truth).norm(dim=1)[floor].mean() < 6
    errors = {}
    for name in ("coffee", "cat"):
        widget = ColorizationWidget(picture=name)
        found = [decode_ab(widget.probabilities, temperature) for temperature in (1, 0.01)]
        grey = widget.truth.norm(dim=1).mean()
        errors[name] = [((each - widget.truth).norm(dim=1).mean() / grey).item() for each in found]
        # "the temperature hardly matters"
        assert (found[0] - found[1]).norm(dim=1).mean() < 0.35 * found[0].norm(dim=1).mean()
    assert max(errors["coffee"]) < 0.5 and min(errors["cat"]) > 1


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


@pytest.mark.parametrize("picture", PICTURES)
def test_the_annealed_mean_is_the_librarys(shared_widget: Any, picture: str):
    """Of every spot of every picture, from what the page unpacks itself."""
    opened = shared_widget(ColorizationWidget)
    widget = ColorizationWidget(picture=picture)
    packed = widget.data["pictures"][picture]
    for temperature in (1.0, 0.38, 0.1, 0.01):
        found = opened.root.evaluate(
            """(root, [shares, used, bins, temperature]) => {
              const { unpackShares, annealedMean } = root.segcore.module;
              return unpackShares(shares, used, 8).map((pairs) => annealedMean(pairs, temperature, bins));
            }""",
            [packed["shares"], packed["used"], widget.data["bins"], temperature],
        )
        p = widget.probabilities
        logs = torch.where(p > 0, p, 1).log().masked_fill(p <= 0, -torch.inf)
        exact = torch.einsum(
            "nqhw,qk->nhwk",
            (logs / temperature).softmax(1),
            torch.tensor(widget.data["bins"], dtype=torch.float64),
        )
        torch.testing.assert_close(torch.tensor(found).double(), exact.reshape(-1, 2), atol=1e-5, rtol=1e-5)
        ours = decode_ab(p, temperature).movedim(1, -1).reshape(-1, 2)
        torch.testing.assert_close(torch.tensor(found), ours, atol=2e-3, rtol=1e-4)


def test_random_distributions_sharpen_as_in_torch(shared_widget: Any):
    opened = shared_widget(ColorizationWidget)
    generator = torch.Generator().manual_seed(4)
    for count, temperature in ((3, 0.5), (8, 0.2), (20, 0.9)):
        p = torch.randn(count, generator=generator, dtype=torch.float64).softmax(0)
        found = opened.root.evaluate(
            "(root, [pairs, t]) => root.segcore.module.sharpen(pairs, t).map(([, share]) => share)",
            [[[n, share] for n, share in enumerate(p.tolist())], temperature],
        )
        wanted = (p.log() / temperature).softmax(0)
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), wanted, atol=1e-9, rtol=1e-9)


def test_colours_on_the_screen_are_the_librarys(shared_widget: Any):
    opened = shared_widget(ColorizationWidget)
    generator = torch.Generator().manual_seed(5)
    lab = torch.rand(3, 1, 60, generator=generator) * torch.tensor([100.0, 200, 200])[:, None, None]
    lab[1:] -= 100
    found = opened.root.evaluate(
        "(root, colours) => colours.map((colour) => root.segcore.module.labToRgb(...colour))",
        lab[:, 0].T.tolist(),
    )
    torch.testing.assert_close(torch.tensor(found).T / 255, lab_to_rgb(lab)[:, 0], atol=2e-4, rtol=1e-4)


# ---- The figure in use -----------------------------------------------------------------------------------


def test_the_temperature_moves_the_picture_and_the_words(open_widget: Any):
    widget = ColorizationWidget()
    opened = open_widget(widget)
    settle(opened)
    canvas = opened.root.locator("canvas").first
    before = canvas.evaluate("(el) => el.toDataURL()")
    opened.page.get_by_role("slider").fill("100")
    settle(opened)
    assert opened.get("temperature") == 1
    expect(opened.root.locator("output")).to_have_text("1.00, the mean")
    assert canvas.evaluate("(el) => el.toDataURL()") != before
    opened.page.get_by_role("slider").fill("1")
    settle(opened)
    assert opened.get("temperature") == 0.01
    expect(opened.root.locator("output")).to_have_text("0.01, the mode")
    x, y = (each // 4 for each in widget.at)
    a, b = decode_ab(widget.probabilities, 0.01)[0, :, y, x].round().int().tolist()
    words = f"{a:+d}, {b:+d}".replace("-", "−").replace("+0", "0")
    expect(opened.root.locator(".words")).to_contain_text(f"({words}) at 0.01")
    opened.assert_quiet()


def test_a_spot_is_pointed_at_by_hand_and_by_keys(open_widget: Any):
    opened = open_widget(ColorizationWidget(picture="coffee"))
    settle(opened)
    canvas = opened.root.locator("canvas").first
    frame = canvas.bounding_box()
    opened.page.mouse.click(frame["x"] + 0.5 * frame["width"] + 1, frame["y"] + 0.25 * frame["height"] + 1)
    expect(opened.root.locator(".words")).to_contain_text("Row 6, column 16")
    opened.page.mouse.move(0, 0)
    canvas.focus()
    opened.page.keyboard.press("ArrowDown")
    expect(opened.root.locator(".words")).to_contain_text("Row 7, column 16")
    opened.assert_quiet()


MOVE = """async (root) => {
  const times = [];
  let last = await new Promise(requestAnimationFrame);
  for (let n = 0; n < 110; n++) {
    root.segcore.model.set("temperature", (1 + (n % 100)) / 100);
    root.segcore.model.save_changes();
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times;
}"""


def test_the_temperature_moves_smoothly(open_widget: Any):
    opened = open_widget(ColorizationWidget())
    measure_frames(opened, MOVE).assert_smooth()
    opened.assert_quiet()


def test_on_a_phone_the_plane_stands_below_the_picture(open_widget: Any):
    opened = open_widget(ColorizationWidget(), **PHONE)
    settle(opened)
    one, other = (opened.root.locator("canvas").nth(k).bounding_box() for k in range(2))
    assert one["y"] + one["height"] <= other["y"] and one["width"] > 300 and other["width"] > 130


def test_the_key_says_what_the_squares_sizes_mean(open_widget: Any):
    opened = open_widget(ColorizationWidget())
    words = opened.root.locator(".plane .segcore-key").inner_text()
    assert "the larger, the likelier" in words
