"""Exercises of chapter 10: an energy, iterated conditional modes, mean field, the message between all pixels.

The references are written apart from `segcore.crf`. Every mistake is one of them with one fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, reaches_gradient

__all__ = ["EXERCISES"]

_GRID = torch.tensor([[0, 0, 1], [0, 1, 1], [0, 0, 0]])


def _hand() -> tuple[Tensor, Tensor, Tensor]:
    """The by-hand example: nine pixels, the truth of whose labels is 0 but for one; weights 2 and 3."""
    unary = torch.stack([_GRID.float(), 1.0 - _GRID])
    return _GRID, unary, torch.stack([torch.full((3, 3), 2.0), torch.full((3, 3), 3.0)])


def _field(
    generator: torch.Generator, count: int, height: int, width: int, strength: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    labels = torch.randint(count, (height, width), generator=generator)
    unary = 3 * torch.rand(count, height, width, generator=generator)
    return labels, unary, strength * torch.rand(2, height, width, generator=generator)


_SIZES = ((2, 3, 4), (3, 4, 3), (4, 5, 6), (5, 2, 7))


# 10.1 ----------------------------------------------------------------------------------------------


def energy(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    """Costs of the labels, and the weights of the neighbours whose labels differ."""
    data = unary.gather(0, labels[None]).sum()
    right = weights[0, :, :-1][labels[:, :-1] != labels[:, 1:]].sum()
    down = weights[1, :-1][labels[:-1] != labels[1:]].sum()
    return data + right + down


Energy = Callable[[Tensor, Tensor, Tensor], Tensor]


def _priced(right: Callable[[Tensor, Tensor], Tensor], part: slice = slice(None)) -> Energy:
    """Another price for a pair of labels, or only some of the two directions."""

    def wrong(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
        across = (weights[0, :, :-1] * right(labels[:, :-1], labels[:, 1:])).sum()
        down = (weights[1, :-1] * right(labels[:-1], labels[1:])).sum()
        return unary.gather(0, labels[None]).sum() + torch.stack([across, down])[part].sum()

    return wrong


def _differ(a: Tensor, b: Tensor) -> Tensor:
    return (a != b).float()


def _read_at_the_second(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    rolled = torch.stack([weights[0].roll(-1, 1), weights[1].roll(-1, 0)])
    return energy(labels, unary, rolled)


def _round_the_edge(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    right = weights[0] * _differ(labels, labels.roll(-1, 1))
    down = weights[1] * _differ(labels, labels.roll(-1, 0))
    return unary.gather(0, labels[None]).sum() + right.sum() + down.sum()


def _paid(cost: Callable[[Tensor, Tensor], Tensor], pairs: float = 1.0) -> Energy:
    """Another price for the labels: a number made of the chosen labels' costs and of all costs."""

    def wrong(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
        return cost(unary.gather(0, labels[None]), unary) + pairs * energy(labels, 0 * unary, weights)

    return wrong


def _edge_pays(beyond: int) -> Energy:
    """A label beyond the last column and the last row."""

    def wrong(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
        wide = torch.nn.functional.pad(labels, (0, 1, 0, 1), value=beyond)
        across, down = _differ(labels, wide[:-1, 1:]), _differ(labels, wide[1:, :-1])
        return unary.gather(0, labels[None]).sum() + (weights * torch.stack([across, down])).sum()

    return wrong


def _short_loops(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    """Pairs whose first pixel lies in neither the last row nor the last column."""
    short = weights.clone()
    short[0, -1] = short[1, :, -1] = 0.0
    return energy(labels, unary, short)


def _energy_cases(generator: torch.Generator) -> list[Case]:
    labels, unary, weights = _hand()
    outside = weights.clone()
    outside[0, :, -1] = outside[1, -1] = 50.0
    row = torch.tensor([[0, 2, 1]])
    cases = [
        Case((labels, unary, weights), "the by-hand example"),
        Case((torch.zeros_like(labels), unary, weights), "one label for all: no pair differs"),
        Case((labels, unary, outside), "large numbers where a weight leaves the grid"),
        Case((row, torch.arange(9.0).view(3, 1, 3), torch.ones(2, 1, 3)), "three labels in a row: 0, 2, 1"),
        Case((row.T, torch.arange(9.0).view(3, 3, 1), torch.ones(2, 3, 1)), "the same in a column"),
        Case((labels, unary, torch.zeros(2, 3, 3)), "no weights: only the labels cost"),
    ]
    return cases + [Case(_field(generator, *size)) for size in _SIZES]


ENERGY = Exercise(
    "10.1",
    "What does a labelling cost?",
    energy,
    _energy_cases,
    any_float=True,
    plan=(
        "First the labels: read at each pixel the cost of the label that stands there, and add these up.",
        "Then the pairs to the right. Compare all columns but the last with all columns but the first.",
        "Where the two labels differ, add the weight that stands at the first pixel of the pair.",
        "Do the same with rows for the pairs below, with the second map of weights.",
    ),
    mistakes=(
        Mistake(
            "each pair twice",
            lambda labels, unary, weights: (
                2 * energy(labels, unary, weights) - unary.gather(0, labels[None]).sum()
            ),
            "How often do you count the pair of two neighbours: once, or once from either side?",
        ),
        Mistake(
            "only pairs to the right",
            _priced(_differ, slice(0, 1)),
            "Your pairs stand side by side. Which other neighbour does a pixel have?",
        ),
        Mistake(
            "only pairs below",
            _priced(_differ, slice(1, 2)),
            "Your pairs stand one above the other. Which other neighbour does a pixel have?",
        ),
        Mistake(
            "the two maps of weights exchanged",
            lambda labels, unary, weights: energy(labels, unary, weights.flip(0)),
            "Which of the two maps belongs to the neighbour to the right, the first or the second?",
        ),
        Mistake(
            "the first map for both directions",
            lambda labels, unary, weights: energy(labels, unary, weights[:1].expand(2, -1, -1)),
            "You take one map of weights for both directions.",
        ),
        Mistake(
            "alike neighbours pay",
            _priced(lambda a, b: (a == b).float()),
            "Who pays in your sum, neighbours that agree or neighbours that differ?",
        ),
        Mistake(
            "only where labels fall",
            _priced(lambda a, b: (a > b).float()),
            "A pair pays in yours only where its first label is larger. Labels are names: to differ will do.",
        ),
        Mistake(
            "labels subtracted with their sign",
            _priced(lambda a, b: (a - b).float()),
            "You subtract one label from the other, so some pairs pay less than nothing. Labels are names.",
        ),
        Mistake(
            "labels as numbers",
            _priced(lambda a, b: (a - b).abs().float()),
            "Labels are names. Are 0 and 2 more different than 0 and 1?",
        ),
        Mistake(
            "weight of the second pixel",
            _read_at_the_second,
            "At which of its two pixels does a pair's weight stand? Look at the task's table.",
        ),
        Mistake(
            "round the edge",
            _round_the_edge,
            "Your last column has a neighbour to its right, the first column. The grid has an edge.",
        ),
        Mistake(
            "all labels paid",
            lambda labels, unary, weights: (
                energy(labels, unary, weights) - unary.gather(0, labels[None]).sum() + unary.sum()
            ),
            "Each pixel has one label and pays for that one only.",
        ),
        Mistake(
            "the cheapest label paid",
            lambda labels, unary, weights: (
                energy(labels, unary, weights) - unary.gather(0, labels[None]).sum() + unary.amin(0).sum()
            ),
            "You pay the cheapest label of each pixel. Which one did `labels` choose?",
        ),
        Mistake(
            "labels for free",
            lambda labels, unary, weights: energy(labels, 0 * unary, weights),
            "Only the pairs are in your sum. What does a pixel's own label cost?",
        ),
        Mistake(
            "pairs counted, not weighed",
            lambda labels, unary, weights: energy(labels, unary, torch.ones_like(weights)),
            "Each pair that differs costs 1 in yours. It costs its weight.",
        ),
        Mistake(
            "labels and pairs multiplied by one half",
            lambda labels, unary, weights: (
                (energy(labels, unary, weights) + unary.gather(0, labels[None]).sum()) / 2
            ),
            "The pairs cost half of what they should. Is each of them in your sum twice, that you halve it?",
        ),
        Mistake(
            "last row and column left out of the pairs",
            _short_loops,
            "Pixels of the last column have neighbours below, and those of the last row to the right.",
        ),
        Mistake(
            "last row and column left out altogether",
            lambda labels, unary, weights: (
                _short_loops(labels, unary, weights)
                - unary.gather(0, labels[None])[0].sum()
                + unary.gather(0, labels[None])[0, :-1, :-1].sum()
            ),
            "Your loops end before the last row and column. Those pixels have labels and neighbours too.",
        ),
        Mistake(
            "the edge pays",
            _edge_pays(-1),
            "Where a pixel has no neighbour, its weight belongs to no pair and costs nothing.",
        ),
        Mistake(
            "zeros beyond the edge",
            _edge_pays(0),
            "Beyond the last column and row you see a label 0. There is no neighbour.",
        ),
        Mistake(
            "pairs subtracted",
            _paid(lambda own, _: own.sum(), -1.0),
            "Does a pair that differs make a labelling cost more or less? Look at the sign.",
        ),
        Mistake(
            "mean in place of sum",
            lambda labels, unary, weights: energy(labels, unary, weights) / labels.numel(),
            "You divide by the number of pixels. The energy is a sum.",
        ),
        Mistake(
            "the other labels paid",
            _paid(lambda own, unary: unary.sum() - own.sum()),
            "You pay the labels that the pixels did not choose.",
        ),
        Mistake(
            "probabilities in place of costs",
            lambda labels, unary, weights: energy(labels, unary.softmax(0), weights),
            "`unary` holds costs already, and they add up as they are.",
        ),
        Mistake(
            "costs taken as probabilities",
            lambda labels, unary, weights: energy(labels, -unary.log(), weights),
            "`unary` is −log p already; no logarithm is left to take.",
        ),
        Mistake(
            "only a rising label pays",
            _priced(lambda a, b: (a < b).float()),
            "A pair from 0 to 1 pays in yours, one from 1 to 0 does not. Both differ.",
        ),
        Mistake(
            "labels as numbers, squared",
            _priced(lambda a, b: (a - b).square().float()),
            "Labels are names. What does the square of their difference say?",
        ),
        Mistake(
            "cheapest labels in place of those given",
            lambda _, unary, weights: energy(unary.argmin(0), unary, weights),
            "You compute the energy of each pixel's cheapest label. Whose energy is asked?",
        ),
    ),
)


# 10.2 ----------------------------------------------------------------------------------------------


def icm(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    """One visit to all pixels in reading order, each taking its cheapest label."""
    return _visit(labels, unary, weights)


def _visit(
    labels: Tensor,
    unary: Tensor,
    weights: Tensor,
    *,
    at_once: bool = False,
    neighbours: str = "rldu",
    ties_stay: bool = True,
    sign: float = 1.0,
    backwards: bool = False,
    own_weight: bool = False,
    last: bool = False,
    first_cheaper: bool = False,
    numbers: bool = False,
    among: bool = False,
    inner: bool = False,
    order: Callable[[int, int, int], tuple[int, ...]] | None = None,
    wraps: str = "",
) -> Tensor:
    """The visit, and its variations."""
    count, height, width = unary.shape
    now = labels.clone()
    names = torch.arange(count)
    places = [(y, x) for y in range(height) for x in range(width)]
    if order is not None:
        places.sort(key=lambda place: order(place[0], place[1], width))
    if inner:
        places = [(y, x) for y, x in places if 0 < y < height - 1 and 0 < x < width - 1]
    for y, x in places[::-1] if backwards else places:
        seen = labels if at_once else now
        back = 0 if own_weight else 1
        around = {
            "r": (y, x + 1, weights[0, y, x]),
            "l": (y, x - 1, weights[0, y, x - back]),
            "d": (y + 1, x, weights[1, y, x]),
            "u": (y - 1, x, weights[1, y - back, x]),
        }
        cost, asked = unary[:, y, x].clone(), [int(now[y, x])]
        for side in neighbours:
            v, z, weight = around[side]
            if (0 <= v < height and 0 <= z < width) or side in wraps:
                other = seen[v % height, z % width]
                cost += sign * weight * ((names - other).abs() if numbers else names != other)
                asked.append(int(other))
        if among:
            cost[[name not in asked for name in range(count)]] = torch.inf
        own = cost[now[y, x]]
        best = int(count - 1 - cost.flip(0).argmin()) if last else int(cost.argmin())
        if first_cheaper:
            best = int((cost < own).long().argmax())
        if not ties_stay or cost[best] < own:
            now[y, x] = best
    return now


def _wrong(**change: Any) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda labels, unary, weights: _visit(labels, unary, weights, **change)


def _until_nothing_changes(labels: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    for _ in range(50):
        before, labels = labels, _visit(labels, unary, weights)
        if torch.equal(before, labels):
            break
    return labels


def _icm_cases(generator: torch.Generator) -> list[Case]:
    row = torch.tensor([[[0.0, 1.0, 0.0]], [[3.0, 0.0, 3.0]]])
    even = torch.zeros(3, 1, 3)
    even[0, 0, 1] = 1.0
    chain = torch.tensor([[[0.0, 1.0, 1.0]], [[3.0, 0.0, 0.0]]])
    cases = [
        Case((torch.tensor([[0, 1, 0]]), row, torch.ones(2, 1, 3)), "the by-hand example"),
        Case((torch.tensor([[0, 1, 0]]), row, torch.full((2, 1, 3), 0.5)), "a tie: it costs 1 either way"),
        Case(
            (torch.tensor([[0, 1, 1]]), chain, torch.full((2, 1, 3), 1.5)),
            "a pair must give way together",
        ),
        Case(
            (torch.tensor([[2, 2, 0]]), even, torch.zeros(2, 1, 3)),
            "no weights and a tie: the label that is there stays",
        ),
        Case(
            (torch.tensor([[0, 1], [1, 0]]), torch.zeros(2, 2, 2), torch.ones(2, 2, 2)),
            "a chessboard without costs: who is visited first?",
        ),
    ]
    for count, height, width in _SIZES:
        cases.append(Case(_field(generator, count, height, width, 2.0)))
        labels, unary, weights = _field(generator, count, height, width, 2.0)
        cases.append(Case((labels, unary.round(), weights.round())))
    return cases


ICM = Exercise(
    "10.2",
    "One pixel at a time",
    icm,
    _icm_cases,
    axes=("row", "column"),
    plan=(
        "Copy the labels, and go through the copy row by row.",
        "For one pixel, begin with the costs of all its labels.",
        "For each neighbour that exists, add that pair's weight to all labels but the neighbour's own. "
        "Take the neighbour's label from the copy, which may have changed.",
        "A pair's weight stands at its first pixel: for the pixel to the left that is the left one.",
        "Change the label only if the cheapest one is cheaper than the label that is there.",
    ),
    mistakes=(
        Mistake(
            "all at once",
            _wrong(at_once=True),
            "All your pixels look at the old labels. Which labels should a pixel see left of it and above?",
        ),
        Mistake(
            "only right and below",
            _wrong(neighbours="rd"),
            "A pixel has up to four neighbours. Which two do you look at?",
        ),
        Mistake(
            "only left and above",
            _wrong(neighbours="lu"),
            "A pixel has up to four neighbours. You only look back at those visited already.",
        ),
        Mistake(
            "only in its row",
            _wrong(neighbours="rl"),
            "A pixel has up to four neighbours. Yours only look along their row.",
        ),
        Mistake(
            "only in its column",
            _wrong(neighbours="du"),
            "A pixel has up to four neighbours. Yours only look along their column.",
        ),
        Mistake(
            "neighbours for nothing",
            _wrong(neighbours=""),
            "Each pixel takes the label that is cheapest by itself. What do its neighbours say?",
        ),
        Mistake(
            "a tie changes the label",
            _wrong(ties_stay=False),
            "Two labels cost the same, and one of them is there already. Does the task let it change?",
        ),
        Mistake(
            "being different pays",
            _wrong(sign=-1.0),
            "In yours it is cheaper to differ from a neighbour than to agree.",
        ),
        Mistake(
            "from the end",
            _wrong(backwards=True),
            "In which order do you visit the pixels? The task says: as one reads.",
        ),
        Mistake(
            "weight of the pixel itself",
            _wrong(own_weight=True),
            "At which pixel stands the weight of the pair with the neighbour on the left?",
        ),
        Mistake(
            "the weights exchanged",
            lambda labels, unary, weights: _visit(labels, unary, weights.flip(0)),
            "Which of the two maps of weights is for neighbours side by side?",
        ),
        Mistake(
            "weights of one",
            lambda labels, unary, weights: _visit(labels, unary, torch.ones_like(weights)),
            "Each neighbour that differs costs 1 in yours. It costs the pair's weight.",
        ),
        Mistake(
            "begins from the cheapest labels",
            lambda labels, unary, weights: _visit(unary.argmin(0), unary, weights),
            "Where does the visit begin? With the labels that were given.",
        ),
        Mistake(
            "until nothing changes",
            _until_nothing_changes,
            "You visit the pixels more than once. The task asks for one visit.",
        ),
        Mistake(
            "the last of the cheapest",
            _wrong(last=True),
            "Several labels are cheapest. Which of them does the task take?",
        ),
        Mistake(
            "a tie changes the label to the last",
            _wrong(last=True, ties_stay=False),
            "Of labels that cost the same, yours takes the last. When may a pixel change, and to which?",
        ),
        Mistake(
            "the first cheaper label",
            _wrong(first_cheaper=True),
            "You take the first label that is cheaper than the pixel's own. Another may be cheaper still.",
        ),
        Mistake(
            "labels as numbers",
            _wrong(numbers=True),
            "Labels are names. Are 0 and 2 more different than 0 and 1?",
        ),
        Mistake(
            "only labels seen nearby",
            _wrong(among=True),
            "You try only the labels of the neighbours. The cheapest one may stand at none of them.",
        ),
        Mistake(
            "to and fro",
            _wrong(order=lambda y, x, width: (y, x if y % 2 == 0 else width - x)),
            "Every second row of yours goes from right to left.",
        ),
        Mistake(
            "two colours in turn",
            _wrong(order=lambda y, x, _: ((y + x) % 2,)),
            "You visit the pixels as on a chessboard, one colour first. The task says: as one reads.",
        ),
        Mistake(
            "inner pixels only",
            _wrong(inner=True),
            "The pixels at the edge have fewer neighbours, but they are visited too.",
        ),
        Mistake(
            "round the edge",
            _wrong(wraps="rldu"),
            "The first column has the last one for a neighbour in yours. The grid has an edge.",
        ),
        Mistake(
            "index minus one",
            _wrong(wraps="lu"),
            "What does index −1 read, where there is no pixel to the left or above?",
        ),
        Mistake(
            "weights doubled",
            lambda labels, unary, weights: _visit(labels, unary, 2 * weights),
            "Each neighbour that differs costs twice the pair's weight in yours.",
        ),
        Mistake(
            "weights halved",
            lambda labels, unary, weights: _visit(labels, unary, weights / 2),
            "Each neighbour that differs costs half the pair's weight in yours.",
        ),
        Mistake(
            "the dearest label",
            lambda labels, unary, weights: _visit(labels, -unary, weights),
            "In yours a label that costs more is liked more. Look at the sign of `unary`.",
        ),
        Mistake(
            "two visits",
            lambda labels, unary, weights: _visit(_visit(labels, unary, weights), unary, weights),
            "You visit the pixels twice. The task asks for one visit.",
        ),
        Mistake(
            "own costs forgotten",
            lambda labels, unary, weights: _visit(labels, 0 * unary, weights),
            "Only the neighbours speak in yours. What does the label itself cost?",
        ),
        Mistake(
            "probabilities in place of costs",
            lambda labels, unary, weights: _visit(labels, unary.softmax(0), weights),
            "`unary` holds costs already, and they count as they are.",
        ),
        Mistake(
            "a vote",
            lambda labels, unary, weights: _visit(labels, 0 * unary, torch.ones_like(weights)),
            "You let the neighbours vote. Both the weights and the pixel's own costs count.",
        ),
    ),
)


# 10.3 ----------------------------------------------------------------------------------------------


def mean_field_step(q: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    """New probabilities from those of the neighbours, all pixels at once."""
    return (-unary + _votes(q, weights)).softmax(0)


def _votes(q: Tensor, weights: Tensor, parts: str = "rldu") -> Tensor:
    """How much weight stands behind each label around each pixel."""
    votes = torch.zeros_like(q)
    right, down = weights[0, :, :-1], weights[1, :-1]
    if "r" in parts:
        votes[:, :, :-1] += right * q[:, :, 1:]
    if "l" in parts:
        votes[:, :, 1:] += right * q[:, :, :-1]
    if "d" in parts:
        votes[:, :-1] += down * q[:, 1:]
    if "u" in parts:
        votes[:, 1:] += down * q[:, :-1]
    return votes


def _own_weight(q: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    votes = _votes(q, weights, "rd")
    votes[:, :, 1:] += weights[0, :, 1:] * q[:, :, :-1]
    votes[:, 1:] += weights[1, 1:] * q[:, :-1]
    return (-unary + votes).softmax(0)


def _rolled(q: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    votes = weights[0] * q.roll(-1, 2) + (weights[0] * q).roll(1, 2)
    votes = votes + weights[1] * q.roll(-1, 1) + (weights[1] * q).roll(1, 1)
    return (-unary + votes).softmax(0)


def _hard(q: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(q.argmax(0), len(q)).movedim(-1, 0).to(q)


def _mean(q: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    ones = _votes(torch.ones_like(q), torch.ones_like(weights)).clamp(min=1)
    return (-unary + _votes(q, weights) / ones).softmax(0)


def _repeated_edge(q: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    """A pixel at the edge is its own neighbour there."""
    votes = _votes(q, weights)
    votes[:, :, -1] += weights[0, :, -1] * q[:, :, -1]
    votes[:, -1] += weights[1, -1] * q[:, -1]
    votes[:, :, 0] += weights[0, :, 0] * q[:, :, 0]
    votes[:, 0] += weights[1, 0] * q[:, 0]
    return (-unary + votes).softmax(0)


def _one_after_another(q: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    now = q.clone()
    for y in range(q.shape[1]):
        for x in range(q.shape[2]):
            now[:, y, x] = (-unary + _votes(now, weights))[:, y, x].softmax(0)
    return now


def _scores(q: Tensor, unary: Tensor, weights: Tensor) -> Tensor:
    return -unary + _votes(q, weights)


def _step_cases(generator: torch.Generator) -> list[Case]:
    unary = torch.tensor([[[0.0, 1.0, 0.0]], [[3.0, 0.0, 3.0]]])
    q = torch.tensor([[[1.0, 0.25, 1.0]], [[0.0, 0.75, 0.0]]])
    loud = torch.ones(2, 1, 3)
    loud[0, 0, -1], loud[1] = 40.0, 40.0
    cases = [
        Case((q, unary, torch.ones(2, 1, 3)), "the by-hand example"),
        Case((q.mT, unary.mT, torch.ones(2, 3, 1)), "the same in a column"),
        Case((q, unary, loud), "large numbers where a weight leaves the grid"),
        Case((q, unary, torch.zeros(2, 1, 3)), "no weights"),
        Case((torch.full((2, 2, 2), 0.5), torch.zeros(2, 2, 2), torch.ones(2, 2, 2)), "nobody knows"),
    ]
    for count, height, width in _SIZES:
        _, costs, weights = _field(generator, count, height, width, 2.0)
        cases.append(Case((torch.rand(costs.shape, generator=generator).softmax(0), costs, weights)))
    return cases


STEP = Exercise(
    "10.3",
    "All pixels ask their neighbours",
    mean_field_step,
    _step_cases,
    any_float=True,
    axes=("label", "row", "column"),
    plan=(
        "Begin with minus the costs, one number for each label and pixel.",
        "For the neighbour to the right, add its probabilities times the pair's weight: a shifted map times "
        "a map.",
        "Do so for all four sides. To the left and above, the weight is shifted with the neighbour.",
        "A softmax over the labels makes probabilities of the sums.",
    ),
    properties=(
        reaches_gradient(
            1,
            lambda: (torch.full((2, 2, 3), 0.5), torch.rand(2, 2, 3), torch.rand(2, 2, 3)),
            "unary",
        ),
        reaches_gradient(
            0,
            lambda: (torch.full((2, 2, 3), 0.5), torch.rand(2, 2, 3), torch.rand(2, 2, 3)),
            "q",
        ),
    ),
    mistakes=(
        Mistake(
            "neighbours repel",
            lambda q, unary, weights: (-unary - _votes(q, weights)).softmax(0),
            "A label that the neighbours like gets less likely in yours. Look at the sign.",
        ),
        Mistake(
            "costs attract",
            lambda q, unary, weights: (unary + _votes(q, weights)).softmax(0),
            "A label that costs more gets likelier in yours. Look at the sign of the costs.",
        ),
        Mistake(
            "no costs",
            lambda q, unary, weights: _votes(q, weights).softmax(0),
            "Only the neighbours speak in yours. What does the pixel itself say?",
        ),
        Mistake(
            "only right and below",
            lambda q, unary, weights: (-unary + _votes(q, weights, "rd")).softmax(0),
            "Each pixel has up to four neighbours. You ask those to the right and below.",
        ),
        Mistake(
            "only left and above",
            lambda q, unary, weights: (-unary + _votes(q, weights, "lu")).softmax(0),
            "Each pixel has up to four neighbours. You ask those to the left and above.",
        ),
        Mistake(
            "weight of the pixel itself",
            _own_weight,
            "At which pixel stands the weight of the pair with the neighbour on the left?",
        ),
        Mistake(
            "round the edge",
            _rolled,
            "The first column asks the last one in yours. The grid has an edge.",
        ),
        Mistake(
            "labels in place of probabilities",
            lambda q, unary, weights: (-unary + _votes(_hard(q), weights)).softmax(0),
            "You ask the neighbours for their likeliest label. Each has a probability for every label.",
        ),
        Mistake(
            "softmax over places",
            lambda q, unary, weights: (-unary + _votes(q, weights)).softmax(-1),
            "What adds up to 1 in yours: the labels of a pixel, or the pixels of a row?",
        ),
        Mistake(
            "no softmax",
            lambda q, unary, weights: -unary + _votes(q, weights),
            "What you return does not add up to 1. It is the logarithm of something.",
        ),
        Mistake(
            "old probabilities kept in",
            lambda q, unary, weights: (q.clamp(min=1e-9).log() - unary + _votes(q, weights)).softmax(0),
            "You multiply by the pixel's old probabilities. A step forgets them and asks the neighbours'.",
        ),
        Mistake(
            "mean of the neighbours",
            _mean,
            "You divide by the number of neighbours. Each pair adds its full weight.",
        ),
        Mistake(
            "weights of one",
            lambda q, unary, weights: (-unary + _votes(q, torch.ones_like(weights))).softmax(0),
            "Each neighbour counts 1 in yours. It counts the pair's weight.",
        ),
        Mistake(
            "the weights exchanged",
            lambda q, unary, weights: mean_field_step(q, unary, weights.flip(0)),
            "Which of the two maps of weights is for neighbours side by side?",
        ),
        Mistake(
            "one after another",
            _one_after_another,
            "Some pixels ask neighbours that have changed already. All should see the old probabilities.",
        ),
        Mistake(
            "not divided by the sum",
            lambda q, unary, weights: _scores(q, unary, weights).exp(),
            "The exponentials are right. What makes the labels of a pixel add up to 1?",
        ),
        Mistake(
            "divided without exponentials",
            lambda q, unary, weights: _scores(q, unary, weights) / _scores(q, unary, weights).sum(0),
            "You divide the exponents by their sum. The exponential comes first.",
        ),
        Mistake(
            "sigmoid",
            lambda q, unary, weights: _scores(q, unary, weights).sigmoid(),
            "You treat each label by itself. The labels of a pixel share the probability.",
        ),
        Mistake(
            "softmax over everything",
            lambda q, unary, weights: _scores(q, unary, weights).flatten().softmax(0).view_as(q),
            "All numbers of your map add up to 1. Each pixel's labels should.",
        ),
        Mistake(
            "a label in place of probabilities",
            lambda q, unary, weights: _hard(_scores(q, unary, weights)),
            "You decide for one label. The step returns probabilities.",
        ),
        Mistake(
            "old probabilities in place of costs",
            lambda q, unary, weights: (q.clamp(min=1e-9).log() + _votes(q, weights)).softmax(0),
            "You begin from the old probabilities. What the pixel itself thinks stands in `unary`.",
        ),
        Mistake(
            "old probabilities added",
            lambda q, unary, weights: (q + _scores(q, unary, weights)).softmax(0),
            "You add the pixel's old probabilities. Only the neighbours' are asked.",
        ),
        Mistake(
            "begins from the costs",
            lambda q, unary, weights: mean_field_step((-unary).softmax(0), unary, weights),
            "Your neighbours answer with probabilities made of `unary`. They hold `q` now.",
        ),
        Mistake(
            "two steps",
            lambda q, unary, weights: mean_field_step(mean_field_step(q, unary, weights), unary, weights),
            "You take two steps. The task asks for one.",
        ),
        Mistake(
            "a quarter of the neighbours",
            lambda q, unary, weights: (-unary + _votes(q, weights) / 4).softmax(0),
            "You divide by four. Each pair adds its full weight.",
        ),
        Mistake(
            "neighbours twice",
            lambda q, unary, weights: (-unary + 2 * _votes(q, weights)).softmax(0),
            "Each neighbour adds twice the pair's weight in yours. From how many sides do you add it?",
        ),
        Mistake(
            "its own probabilities",
            lambda q, unary, weights: (-unary + q * _votes(torch.ones_like(q), weights)).softmax(0),
            "The weights are the neighbours', and the probabilities the pixel's own. Shift both.",
        ),
        Mistake(
            "costs taken as probabilities",
            lambda q, unary, weights: (unary.log() + _votes(q, weights)).softmax(0),
            "`unary` is −log p already; no logarithm is left to take.",
        ),
        Mistake(
            "product in place of sum",
            lambda q, unary, weights: (-unary * _votes(q, weights)).softmax(0),
            "The costs and what the neighbours say are added in the exponent.",
        ),
        Mistake(
            "edge repeated",
            _repeated_edge,
            "A pixel at the edge hears itself from beyond the edge in yours. There is nobody.",
        ),
        Mistake(
            "only in its row",
            lambda q, unary, weights: (-unary + _votes(q, weights, "rl")).softmax(0),
            "A pixel has up to four neighbours. Yours only ask along their row.",
        ),
        Mistake(
            "only in its column",
            lambda q, unary, weights: (-unary + _votes(q, weights, "du")).softmax(0),
            "A pixel has up to four neighbours. Yours only ask along their column.",
        ),
        Mistake(
            "costs twice",
            lambda q, unary, weights: (-2 * unary + _votes(q, weights)).softmax(0),
            "The costs count twice in yours. How often does the formula have them?",
        ),
        Mistake(
            "mean of old and new",
            lambda q, unary, weights: (q + mean_field_step(q, unary, weights)) / 2,
            "You mix old and new probabilities. The task's step takes the new ones as they are.",
        ),
        Mistake(
            "divided by the weights' sum",
            lambda q, unary, weights: (
                -unary + _votes(q, weights) / (_votes(torch.ones_like(q), weights) + 1e-9)
            ).softmax(0),
            "You divide by the sum of the weights around a pixel. Each pair adds its full weight.",
        ),
    ),
)


# 10.4 ----------------------------------------------------------------------------------------------


def message(q: Tensor, image: Tensor, spatial_sigma: float, color_sigma: float) -> Tensor:
    """What all pixels say to each, weighted by nearness and likeness, normalised on both sides."""
    kernel = _kernel(image, spatial_sigma, color_sigma)
    scale = kernel.sum(1).rsqrt()
    return ((scale[:, None] * kernel * scale) @ q.flatten(1).T).T.view(q.shape)


def _kernel(
    image: Tensor,
    spatial_sigma: float,
    color_sigma: float,
    unit: float = 255.0,
    half: float = 2.0,
    power: float = 1.0,
    channels: float = 1.0,
) -> Tensor:
    height, width = image.shape[1:]
    y, x = torch.arange(height), torch.arange(width)
    places = torch.stack([y[:, None].expand(-1, width), x.expand(height, -1)]).flatten(1).T.to(image)
    colors = image.flatten(1).T * unit
    near = (places[:, None] - places).square().sum(-1)
    alike = (colors[:, None] - colors).square().sum(-1) / channels
    return torch.exp(-((near / spatial_sigma**2 + alike / color_sigma**2) ** power) / half)


Message = Callable[[Tensor, Tensor, float, float], Tensor]


def _sent(kernel: Callable[[Tensor, float, float], Tensor], left: float = 0.5, right: float = 0.5) -> Message:
    """The message of another kernel, or divided by other powers of its sums."""

    def wrong(q: Tensor, image: Tensor, spatial_sigma: float, color_sigma: float) -> Tensor:
        k = kernel(image, spatial_sigma, color_sigma)
        n = k.sum(1)
        return ((n[:, None] ** -left * k * n**-right) @ q.flatten(1).T).T.reshape(q.shape)

    return wrong


def _without_itself(image: Tensor, spatial_sigma: float, color_sigma: float) -> Tensor:
    kernel = _kernel(image, spatial_sigma, color_sigma)
    return kernel - torch.diag_embed(kernel.diagonal())


def _seen_as(places: Callable[[Tensor, Tensor, int, int], Tensor]) -> Message:
    """The message with other places: they are made of the row, the column, the height and the width."""

    def kernel(image: Tensor, spatial_sigma: float, color_sigma: float) -> Tensor:
        height, width = image.shape[1:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        at = places(y.flatten().to(image), x.flatten().to(image), height, width).view(-1, height * width)
        near = (at[:, :, None] - at[:, None]).square().sum(0)
        return torch.exp(-near / 2 / spatial_sigma**2) * _kernel(image, 1e6, color_sigma)

    return _sent(kernel)


def _lengths(image: Tensor, spatial_sigma: float, color_sigma: float) -> Tensor:
    """A kernel of lengths in place of squares, each over its sigma's square."""
    return _laplace(image, 2 * spatial_sigma**2, 2 * color_sigma**2)


def _laplace(image: Tensor, spatial_sigma: float, color_sigma: float) -> Tensor:
    height, width = image.shape[1:]
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width)).to(image)
    colors = image.flatten(1).T * 255
    near = (places[:, None] - places).norm(dim=-1)
    alike = (colors[:, None] - colors).norm(dim=-1)
    return torch.exp(-near / spatial_sigma - alike / color_sigma)


def _cut(image: Tensor, spatial_sigma: float, color_sigma: float) -> Tensor:
    kernel = _kernel(image, spatial_sigma, color_sigma)
    return kernel * (_kernel(0 * image, spatial_sigma, color_sigma) >= math.exp(-4.5) * 0.999)


def _turned(q: Tensor, image: Tensor, spatial_sigma: float, color_sigma: float) -> Tensor:
    return message(q, image, spatial_sigma, color_sigma).mT.reshape(q.shape)


def _message_cases(generator: torch.Generator) -> list[Case]:
    q = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]])
    image = torch.zeros(3, 1, 3)
    image[:, 0, 2] = 1.0
    line = torch.stack([torch.arange(12) < 6, torch.arange(12) >= 6])[:, None].float()
    faint = torch.zeros(3, 1, 3)
    faint[0, 0, 2] = 20 / 255
    cases = [
        Case((q, image, 80.0, 13.0), "the by-hand example"),
        Case((q, torch.zeros(3, 1, 3), 1.0, 13.0), "one colour: only the distance counts"),
        Case((q, faint, 80.0, 20.0), "one channel differs by 20, and color_sigma is 20"),
        Case((q.mT, torch.zeros(3, 3, 1), 2.0, 13.0), "a column"),
        Case((line, torch.zeros(3, 1, 12), 2.0, 13.0), "a long row of one colour: the far ones speak too"),
    ]
    for count, height, width, sigmas in (
        (2, 3, 4, (1.5, 9.0)),
        (3, 5, 2, (3.0, 6.0)),
        (4, 4, 6, (2.0, 12.0)),
    ):
        values = torch.rand(count, height, width, generator=generator).softmax(0)
        picture = 0.5 + 0.03 * torch.randn(3, height, width, generator=generator)
        cases.append(Case((values, picture, *sigmas)))
    return cases


MESSAGE = Exercise(
    "10.4",
    "Every pixel asks every pixel",
    message,
    _message_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("label", "row", "column"),
    plan=(
        "List the pixels in reading order: their places (N, 2) and their colours times 255 (N, 3).",
        "Subtract every pixel from every other one. Square, and add up the numbers of a place, and of a "
        "colour.",
        "Divide each by its sigma's square, add both, halve, and take the exponential of minus that: (N, N).",
        "The sums of its rows are n. Divide each entry by the roots of both pixels' n.",
        "Multiply with the labels' probabilities in the same order of pixels, and bring them back to a map.",
    ),
    properties=(reaches_gradient(0, lambda: (torch.rand(2, 2, 3), torch.rand(3, 2, 3), 2.0, 40.0), "q"),),
    mistakes=(
        Mistake(
            "not normalised",
            _sent(_kernel, 0, 0),
            "A pixel with many alike ones hears a message many times as loud. What is n for?",
        ),
        Mistake(
            "a plain mean",
            _sent(_kernel, 1, 0),
            "You divide by the listener's n alone. Both pixels share the division.",
        ),
        Mistake(
            "divided by the speaker's sum",
            _sent(_kernel, 0, 1),
            "You divide by the speaker's n alone. Both pixels share the division.",
        ),
        Mistake(
            "divided by both sums",
            _sent(_kernel, 1, 1),
            "You divide by the product of both n. What is missing over it?",
        ),
        Mistake(
            "colours from 0 to 1",
            _sent(lambda i, s, c: _kernel(i, s, c, unit=1.0)),
            "All colours look alike to you. In which unit is color_sigma?",
        ),
        Mistake(
            "only places",
            _sent(lambda i, s, c: _kernel(0 * i, s, c)),
            "Your message crosses edges as if there were none. Where do the colours come in?",
        ),
        Mistake(
            "only colours",
            _sent(lambda i, s, c: _kernel(i, 1e6, c)),
            "Far pixels speak as loudly as near ones in yours. Where does the distance come in?",
        ),
        Mistake(
            "half forgotten",
            _sent(lambda i, s, c: _kernel(i, s, c, half=1.0)),
            "Your kernel falls too fast. Look at the exponent of a Gaussian once more.",
        ),
        Mistake(
            "distance not squared",
            _sent(lambda i, s, c: _kernel(i, s, c, power=0.5)),
            "Your kernel falls with the distance. A Gaussian falls with its square.",
        ),
        Mistake(
            "sigma not squared",
            _sent(lambda i, s, c: _kernel(i, s**0.5, c**0.5)),
            "The distance is squared in yours. And sigma?",
        ),
        Mistake(
            "mean over the channels",
            _sent(lambda i, s, c: _kernel(i, s, c, channels=3.0)),
            "You take the mean over three channels. How far apart are two colours as points in space?",
        ),
        Mistake(
            "without itself",
            _sent(_without_itself),
            "A pixel does not hear itself in yours. Here it does: j may be i.",
        ),
        Mistake(
            "sum of two kernels",
            _sent(lambda i, s, c: _kernel(0 * i, s, c) + _kernel(i, 1e6, c)),
            "Near or alike is enough in yours. Both must hold: what happens to exponents then?",
        ),
        Mistake(
            "the sigmas exchanged",
            _sent(lambda i, s, c: _kernel(i, c, s)),
            "Which sigma is in pixels, and which in colours?",
        ),
        Mistake(
            "rows and columns mixed up",
            _turned,
            "The numbers are right and stand in the wrong places. How do you come back from a list to a map?",
        ),
        Mistake(
            "without itself, never empty",
            _sent(lambda i, s, c: _without_itself(i, s, c) + 1e-12),
            "You take the diagonal of the kernel out. Here a pixel hears itself too: j may be i.",
        ),
        Mistake(
            "half of the division, the listener's",
            _sent(_kernel, 0.5, 0),
            "You divide by the root of the listener's n. What about the speaker's?",
        ),
        Mistake(
            "half of the division, the speaker's",
            _sent(_kernel, 0, 0.5),
            "You divide by the root of the speaker's n. What about the listener's?",
        ),
        Mistake(
            "multiplied by the roots",
            _sent(_kernel, -0.5, -0.5),
            "Yours makes crowds louder. Look at the sign of n's power.",
        ),
        Mistake(
            "softmax of the kernel",
            _sent(lambda i, s, c: _kernel(i, s, c).softmax(1), 0, 0),
            "The exponential is in the kernel already; a softmax takes it a second time.",
        ),
        Mistake(
            "divided by the sum of all",
            _sent(lambda i, s, c: _kernel(i, s, c) / _kernel(i, s, c).sum(), 0, 0),
            "You divide all messages by one number. Each pixel has its own n.",
        ),
        Mistake(
            "exponent without its minus",
            _sent(lambda i, s, c: 1 / _kernel(i, s, c)),
            "Yours grows with the distance. Look at the sign in the exponent.",
        ),
        Mistake(
            "times sigma",
            _sent(lambda i, s, c: _kernel(i, 1 / s, 1 / c)),
            "A wider sigma makes your kernel narrower. Where do the sigmas stand?",
        ),
        Mistake(
            "lengths over sigma squared",
            _sent(_lengths),
            "Sigma is squared in yours. And the distance?",
        ),
        Mistake(
            "two within the square",
            _sent(lambda i, s, c: _kernel(i, 2 * s, 2 * c, half=1.0)),
            "You square the 2 together with sigma. It stands outside the square.",
        ),
        Mistake(
            "half forgotten for colours",
            _sent(lambda i, s, c: _kernel(i, s, c / 2**0.5)),
            "The colours fall too fast in yours. Look at their denominator once more.",
        ),
        Mistake(
            "half forgotten for places",
            _sent(lambda i, s, c: _kernel(i, s / 2**0.5, c)),
            "The places fall too fast in yours. Look at their denominator once more.",
        ),
        Mistake(
            "lengths over sigma",
            _sent(_laplace),
            "You take distances as they are. A Gaussian falls with their squares.",
        ),
        Mistake(
            "one sigma for both",
            _sent(lambda i, s, c: _kernel(i, s, s)),
            "You measure colours with the sigma of the places.",
        ),
        Mistake(
            "256 colours",
            _sent(lambda i, s, c: _kernel(i, s, c, unit=256.0)),
            "The image goes from 0 to 1 and colours from 0 to 255. What does a white pixel become?",
        ),
        Mistake(
            "rounded colours",
            _sent(lambda i, s, c: _kernel((i * 255).round() / 255, s, c)),
            "You round the colours to whole numbers. Nothing asks for that.",
        ),
        Mistake(
            "colours cut to whole numbers",
            _sent(lambda i, s, c: _kernel((i * 255).floor() / 255, s, c)),
            "You cut the colours to whole numbers, as uint8 does. Nothing asks for that.",
        ),
        Mistake(
            "grey",
            _sent(lambda i, s, c: _kernel(i.mean(0, keepdim=True), s, c)),
            "You turn the image to grey. Two colours of the same brightness differ all the same.",
        ),
        Mistake(
            "first channel only",
            _sent(lambda i, s, c: _kernel(i[:1], s, c)),
            "A colour is three numbers. You look at the first.",
        ),
        Mistake(
            "cut at three sigmas",
            _sent(_cut),
            "You leave out the pixels that are far. They say little, but the sums run over all.",
        ),
        Mistake(
            "places as numbers in a list",
            _seen_as(lambda y, x, _, width: y * width + x),
            "The end of a row is next to the start of the following one in yours. A place has two numbers.",
        ),
        Mistake(
            "places counted column by column",
            _seen_as(
                lambda y, x, height, width: torch.stack([(y * width + x) % height, (y * width + x) // height])
            ),
            "Your list of places and the list of colours do not go through the pixels in the same order.",
        ),
        Mistake(
            "rows only",
            _seen_as(lambda y, x, height, width: y),
            "You measure how many rows two pixels are apart. And the columns?",
        ),
        Mistake(
            "columns only",
            _seen_as(lambda y, x, height, width: x),
            "You measure how many columns two pixels are apart. And the rows?",
        ),
        Mistake(
            "places from 0 to 1",
            _seen_as(lambda y, x, height, width: torch.stack([y / height, x / width])),
            "You measure places in shares of the image. In which unit is spatial_sigma?",
        ),
        Mistake(
            "image reshaped without turning",
            lambda q, image, s, c: message(q, image.reshape(-1, 3).T.reshape(image.shape), s, c),
            "A reshape to (N, 3) mixes the channels. They are the first axis: flatten the others, then turn.",
        ),
        Mistake(
            "labels reshaped without turning",
            lambda q, image, s, c: message(q.reshape(-1, len(q)).T.reshape(q.shape), image, s, c),
            "A reshape to (N, L) mixes the labels. They are the first axis: flatten the others, then turn.",
        ),
        Mistake(
            "result reshaped without turning",
            lambda q, image, s, c: message(q, image, s, c).flatten(1).T.reshape(q.shape),
            "You compute (N, L) and reshape it to a map. Turn it first: the label is the first axis.",
        ),
        Mistake(
            "normalised over the labels",
            lambda q, image, s, c: message(q, image, s, c) / message(q, image, s, c).sum(0),
            "You make the message add up to 1 over the labels. A message is no probability.",
        ),
        Mistake(
            "softmax at the end",
            lambda q, image, s, c: message(q, image, s, c).softmax(0),
            "You put a softmax on the message. That belongs to the step that uses it.",
        ),
        Mistake(
            "its own part taken off",
            lambda q, image, s, c: message(q, image, s, c) - q,
            "You take the pixel's own probabilities off. Here j may be i, and they stay in.",
        ),
    ),
)


EXERCISES = (ENERGY, ICM, STEP, MESSAGE)
