"""Variants of chapter 10: scores in place of costs, weights in another order, labels from 1 or last."""

from __future__ import annotations

from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

BELOW_FIRST = Twist(
    "below-first",
    "the weights below before those to the right",
    "Which of the two maps of weights belongs to the neighbour to the right here?",
    take="weights = weights.flip(0)",
    hand="weights = weights.flip(0)",
    given={
        "weights": "`(2, H, W)`, float32: at each pixel the weight to the pixel **below**, then the one to "
        "the right; what "
        "leaves the grid belongs to no pair"
    },
)
SCORES = Twist(
    "scores",
    "scores in place of costs",
    "Is a large number of a label good or bad here? A score is a cost with the other sign.",
    take="unary = -unary",
    hand="unary = -unary",
    given={"unary": "`(L, H, W)`, float32: the score of each label; its **cost is minus** the score"},
)
LAST = Twist(
    "labels-last",
    "the labels of the costs as the last axis",
    "Which axis of the costs counts the labels here?",
    take="unary = unary.movedim(-1, 0)",
    hand="unary = unary.movedim(0, -1)",
    given={"unary": "`(H, W, L)`, float32: the cost of each label, labels last"},
)
WEIGHTS = (
    "`(2, H, W)`, float32: at each pixel the weight to the pixel to the right, then the one below; what "
    "leaves the grid "
    "belongs to no pair"
)

ENERGY = Varied(
    "10.1",
    "Return what a labelling costs{unit}: the sum over all pixels of the cost of the label that each has, "
    "plus the sum "
    "over all pairs of neighbours with **different** labels of the pair's weight. A pixel has a neighbour "
    "to the right "
    "and one below, if they are in the grid; each pair counts once. Any two labels that differ are equally "
    "different.",
    {
        "labels": "`(H, W)`, int64: 0 to L − 1",
        "unary": "`(L, H, W)`, float32: the cost of each label",
        "weights": WEIGHTS,
    },
    "one number, as a tensor",
    (
        BELOW_FIRST,
        SCORES,
        LAST,
        Twist(
            "a-pixel",
            "the mean cost of a pixel",
            "Is the whole cost asked here? Look at what comes back.",
            give="result = result / labels.numel()",
            back="result = result * labels.numel()",
            returns="one number, as a tensor: the whole cost divided by the number of pixels",
            says={"unit": ", **on average over the pixels**"},
        ),
    ),
    says={"unit": ""},
    keeps=(
        "only pairs to the right",
        "only pairs below",
        "alike neighbours pay",
        "labels as numbers",
        "pairs counted, not weighed",
    ),
    notes={
        "the by-hand example": "three rows of three pixels",
        "large numbers where a weight leaves the grid": "large weights that leave the grid",
    },
)

STEP = Varied(
    "10.3",
    "Take one step of mean field, for all pixels at once. A pixel's new probability of label l is "
    "proportional to "
    "exp(−cost of l + sum over its neighbours of weight · the neighbour's old probability of l), and the new "
    "probabilities of a pixel add up to 1. A pixel has up to four neighbours, above, below, left and right, "
    "if they "
    "are in the grid. Gradients must reach `unary` and `q`.",
    {
        "q": "`(L, H, W)`, float32: the old probabilities",
        "unary": "`(L, H, W)`, float32: the cost of each label",
        "weights": WEIGHTS,
    },
    "`(L, H, W)`, float32: the new probabilities",
    (
        BELOW_FIRST,
        SCORES,
        LAST,
        Twist(
            "old-labels-last",
            "the old probabilities with labels last",
            "Which axis of the old probabilities counts the labels here? The costs have it elsewhere.",
            take="q = q.movedim(-1, 0)",
            hand="q = q.movedim(0, -1)",
            given={"q": "`(H, W, L)`, float32: the old probabilities, labels last"},
        ),
    ),
    keeps=("only right and below", "no softmax", "mean of the neighbours", "old probabilities kept in"),
    notes={
        "the by-hand example": "three pixels in a row",
        "the same in a column": "three pixels in a column",
    },
)

VARIED = (ENERGY, STEP)
