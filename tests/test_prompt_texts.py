"""The reasons that prompts give: each equation in them holds, and a few answers come out by another way."""

from __future__ import annotations

import math
import re
from itertools import product

import pytest

from segcore.prompts import drawn, fill, prompt_slugs, prompts, shown

SIGNS = {"·": "*", "−": "-", "²": "**2", "³": "**3", "½": "0.5", "¼": "0.25", "¾": "0.75"}
RUN = r"[-0-9.()+/√ " + "".join(SIGNS) + r"]+"
EQUATION = re.compile(rf"(?=((?:(?<=[=:,;?a-z])|(?<=^)){RUN})=({RUN}))")


def value(text: str) -> float | None:
    """What an expression of a reason comes to, or None where it is no expression."""
    for sign, code in SIGNS.items():
        text = text.replace(sign, code)
    text = re.sub(r"√(\([^()]*\)|[0-9.]+)", r"(\1)**0.5", text.strip(" .").removesuffix("("))
    try:
        return float(eval(text, {"__builtins__": {}}))
    except (SyntaxError, TypeError):
        return None


def equations(text: str) -> list[tuple[str, str]]:
    """Both sides of each equals sign between two expressions of numbers."""
    return [
        (left, right)
        for left, right in EQUATION.findall(text.replace("$", ""))
        if value(left) is not None and value(right) is not None
    ]


def reasons():
    for slug in prompt_slugs():
        for prompt in prompts(slug):
            for each in drawn(prompt, count=5):
                names = {**each.numbers, "answer": shown(each.answer, prompt.digits)}
                yield prompt, fill(prompt.why, names)


def test_equations_are_found_and_wrong_ones_would_be_seen():
    assert equations("the sum: 2 · 3² − (1 + ½)/3 = 17.5, and √16 = 4.") == [
        (" 2 · 3² − (1 + ½)/3 ", " 17.5"),
        (" √16 ", " 4."),
    ]
    assert value(" 2 · 3² − (1 + ½)/3 ") == 17.5 and value("√16") == 4 and value("√(9 + 7)") == 4
    assert equations("with (m/S)² = 2² and u = 3") == []


def test_the_equations_of_all_reasons_hold():
    checked = {}
    for prompt, text in reasons():
        for left, right in equations(text):
            close = 0.51 * 10.0**-prompt.digits if prompt.digits else 0.005  # of what was rounded to be shown
            assert value(left) == pytest.approx(value(right), abs=close + 0.002), f"{prompt.name}: {text}"
            checked[prompt.name] = checked.get(prompt.name, 0) + 1
    assert len(checked) >= 60, f"equations in {len(checked)} prompts alone"


def found(name: str):
    """Instances of a prompt, each as its numbers and its answer."""
    prompt = next(each for slug in prompt_slugs() for each in prompts(slug) if each.name == name)
    return [({k: v for k, v in d.numbers.items() if k[0] != "_"}, d.answer) for d in drawn(prompt, count=12)]


def test_the_least_labels_are_those_of_all_sixteen():
    for given, answer in found("10.least"):
        (zero, one), w = given["costs"], given["w"]
        costs = {
            labels: sum((zero, one)[each][i] for i, each in enumerate(labels))
            + w * sum(labels[i] != labels[i + 1] for i in range(3))
            for labels in product((0, 1), repeat=4)
        }
        assert answer == min(costs, key=costs.get)
        assert sorted(costs.values())[1] > min(costs.values()), "one labelling is the best"


def test_the_cheapest_cut_is_that_of_all_eight():
    for given, answer in found("02.links"):
        sides = product((0, 1), repeat=3)
        pair = given["ground"], given["thing"]
        assert answer == min(
            sum(pair[side][i] for i, side in enumerate(each))
            + sum(given["links"][i] for i in range(2) if each[i] != each[i + 1])
            for each in sides
        )


def test_pixels_that_are_read_are_sums_of_steps():
    for given, answer in found("06.read"):
        assert answer == len({sum(steps) for steps in product(*((-d, 0, d) for d in given["d"]))})


def test_an_unpadded_u_net_loses_four_pixels_at_each_pair_of_convolutions():
    for given, answer in found("09.valid"):
        side = given["n"] - 4
        for _ in range(given["d"]):
            assert side % 2 == 0
            side = side // 2 - 4
        for _ in range(given["d"]):
            side = 2 * side - 4
        assert answer == side


def test_taken_truths_are_taken_once_by_the_surest():
    for given, answer in found("12.taken"):
        free = {0, 1}
        for which, iou, took in zip(given["on"], given["iou"], answer, strict=True):
            assert took == (iou >= given["least"] and which in free)
            free -= {which} if took else set()


def test_a_match_needs_more_than_one_half():
    for given, answer in found("15.least"):
        union = given["n"] + given["e"]
        assert answer / union > 0.5 >= (answer - 1) / union


def test_places_and_sizes_by_their_formulas():
    for given, answer in found("08.place"):
        assert answer == pytest.approx((given["i"] + 0.5) / given["f"] - 0.5)
    for given, answer in found("08.size"):
        n, k, s, p, o = (given[name] for name in "nkspo")
        assert answer == (n - 1) * s - 2 * p + k + o
    for given, answer in found("11.cells"):
        assert answer == math.ceil(given["n"] / given["o"])
    for given, answer in found("16.oks"):
        assert answer == pytest.approx(given["d"] ** 2 / (8 * given["A"] * given["sigma"] ** 2))
    for given, answer in found("17.stereo"):
        assert answer == pytest.approx(given["f"] * given["b"] / (given["d"] + given["offset"]))
