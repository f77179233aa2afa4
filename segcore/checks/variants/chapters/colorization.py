"""Variants of chapter 18: bins and colours in other layouts, sharpness in place of temperature."""

from __future__ import annotations

from segcore.checks.variants.conventions import channels_last
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

COLUMNS = Twist(
    "bins-by-columns",
    "a column for each bin",
    "Which axis of the bins counts them here?",
    take="bins = bins.T",
    hand="bins = bins.T",
    given={"bins": "`(2, Q)`, float32: a column for each bin, a* in the first row, b* in the second"},
)
B_FIRST = Twist(
    "b-before-a",
    "bins as b*, a*",
    "Which of the two numbers of a bin is a* here? Those of the pixels come as in the lab.",
    take="bins = bins.flip(1)",
    hand="bins = bins.flip(1)",
    given={"bins": "`(Q, 2)`, float32: **b* and a*** of each bin, b* first"},
)

NEAREST = Varied(
    "18.1",
    "Find the bin that is nearest to each pixel's colour, by the straight distance in the ab plane. Where "
    "two are "
    "equally near, take the one that comes first.",
    {
        "ab": "`(N, 2, H, W)`, float32: a* and b* of each pixel",
        "bins": "`(Q, 2)`, float32: a* and b* of each bin",
    },
    "`(N, H, W)`, int64: numbers of bins, 0 to Q − 1",
    (
        channels_last({"ab": "`(N, H, W, 2)`, float32: a* and b* of each pixel, channels last"}, axis=1),
        COLUMNS,
        B_FIRST,
        Twist(
            "bins-from-1",
            "bins from 1",
            "Which number has the first bin here? Where it stands in a tensor is another number.",
            give="result = result + 1",
            back="result = result - 1",
            returns="`(N, H, W)`, int64: numbers of bins, **1 to Q**",
        ),
    ),
    keeps=("distances along the axes", "only a", "the farthest", "scalar product"),
    notes={"the by-hand example": "one pixel, three bins"},
)

BALANCE = Varied(
    "18.3",
    "Rare colours get a larger weight: w of a bin is proportional to 1 / ((1 − λ)·p + λ / Q), where p is "
    "how often the "
    "bin occurs and Q the number of bins, scaled so that **the sum of p·w over the bins is 1**.{log}",
    {
        "prior": "`(Q,)`, float32: p, which adds up to 1; some may be 0",
        "uniform": "number: λ, above 0 and at most 1",
    },
    "`(Q,)`: weights",
    (
        Twist(
            "part-of-the-prior",
            "the prior's part in place of λ",
            "Whose part of the mixture are you told here: that of the prior, or that of the uniform "
            "distribution?",
            take="uniform = 1 - uniform",
            hand="uniform = 1 - uniform",
            given={"uniform": "number: **1 − λ**, the prior's part of the mixture, at least 0 and below 1"},
        ),
        Twist(
            "per-thousand",
            "the prior in thousandths",
            "What does the prior add up to here? A mixture of distributions needs one that adds up to 1.",
            take="prior = prior / 1000",
            hand="prior = 1000 * prior",
            given={"prior": "`(Q,)`, float32: p **in thousandths**, which adds up to 1000; some may be 0"},
        ),
        Twist(
            "logarithms",
            "the logarithms of the weights",
            "Are the weights themselves asked for here?",
            give="result = result.log()",
            back="result = result.exp()",
            returns="`(Q,)`: natural logarithms of the weights",
            says={"log": " Return the **natural logarithm** of each weight."},
        ),
    ),
    says={"log": ""},
    keeps=("not scaled", "mean over the bins", "no reciprocal", "uniform is not divided by Q"),
    notes={
        "the by-hand example": "two bins",
        "less of the uniform part": "another part of the uniform distribution",
        "λ = 1: the prior has no part in the mixture": "the prior has no part in the mixture",
    },
)

MEAN = Varied(
    "18.5",
    "Turn a distribution over bins of colour into one colour: sharpen it first, f proportional to p to the "
    "power 1 / "
    "T, with the sum of f over the bins 1, then take the mean of the bins' colours with the shares f. "
    "Probabilities may "
    "be 0, T may be as low as 0.005, and the bins may be many: the result must stay right there, too.",
    {
        "probabilities": "`(N, Q, H, W)`, float32: p, which adds up to 1 over the bins",
        "temperature": "number: T, above 0",
        "bins": "`(Q, 2)`, float32: a* and b* of each bin",
    },
    "`(N, 2, H, W)`: a* and b*",
    (
        Twist(
            "sharpness",
            "1 / T in place of T",
            "What does a large number do here: does it sharpen the distribution, or flatten it?",
            take="temperature = 1 / temperature",
            hand="temperature = 1 / temperature",
            given={"temperature": "number: **1 / T**, above 0"},
        ),
        COLUMNS,
        channels_last({"probabilities": "`(N, H, W, Q)`, float32: p, bins last; they add up to 1"}, axis=1),
        Twist(
            "colours-last",
            "the colours as the last axis",
            "The numbers are right. Which axis holds a* and b* here?",
            give="result = result.movedim(1, -1)",
            back="result = result.movedim(-1, 1)",
            returns="`(N, H, W, 2)`: a* and b* as the last axis",
        ),
    ),
    keeps=("not divided by the sum", "softmax without logarithm", "the mode", "T squared"),
    notes={
        "the by-hand example": "one pixel, two bins",
        "T = 1 is the plain mean": "the plain mean",
    },
)

VARIED = (NEAREST, BALANCE, MEAN)
