"""Variants of chapter 2: agreement as a distance, regions counted from 1, boundaries as likeness."""

from __future__ import annotations

from segcore.checks.variants.conventions import percent
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

RAND = Varied(
    "2.1",
    "Two maps of regions of one image are compared by **pairs** of two different pixels: both maps may put "
    "the two "
    "in one region, or both may keep them apart; then they agree. {what} Names mean nothing, and a region "
    "may lie in "
    "several parts. Every pair of pixels counts, neighbours or not.",
    {"labels": "`(H, W)`, int64, 0 or more; at least two pixels", "truth": "`(H, W)`, int64, 0 or more"},
    "one number, as a tensor, from 0 to 1",
    (
        Twist(
            "disagreement",
            "the share on which they disagree",
            "Which pairs are asked for: those on which both maps agree, or the others? Two equal maps get 0 "
            "here.",
            give="result = 1 - result",
            back="result = 1 - result",
            says={"what": "Return the share of all pairs on which they do **not** agree."},
        ),
        percent("one number, as a tensor, from 0 to 100: in percent"),
        Twist(
            "regions-as-masks",
            "the true regions as masks",
            "How is a true region given here? One mask each: in which mask does a pixel lie?",
            take="truth = truth.long().argmax(0)",
            hand="truth = F.one_hot(truth).movedim(-1, 0).bool()",
            given={
                "truth": "`(R, H, W)`, bool: a mask for each region, some may be empty; each pixel lies in "
                "just one"
            },
        ),
    ),
    says={"what": "Return the share of all pairs on which they agree."},
    keeps=("pixels paired with themselves", "names compared", "only neighbours", "diagonal in the divisor"),
)

MERGING = Varied(
    "2.2",
    "Regions of an image merge, the two neighbours with the **{first}** first. The new region then has "
    "**one** "
    "boundary with each neighbour, even where both parts had one: {two} where s1 and s2 are those of the "
    "parts and "
    "l1 and l2 their lengths, and its length is l1 + l2. Go on as long as {goes}. No two boundaries are "
    "alike.",
    {
        "pairs": "`(E, 2)`, int64: two neighbouring regions, in any order, each pair once",
        "strengths": "`(E,)`, float32: of each boundary",
        "lengths": "`(E,)`, int64, at least 1: of each boundary",
        "count": "whole number of regions, which are 0 to `count` − 1",
        "threshold": "number",
    },
    "`(count,)`, int64: for each region the **lowest** region of what it is part of in the end",
    (
        Twist(
            "regions-from-1",
            "regions from 1",
            "Which number has the first region here? Where it stands in a tensor is another number.",
            take="pairs = pairs - 1",
            hand="pairs = pairs + 1",
            give="result = result + 1",
            back="result = result - 1",
            given={
                "pairs": "`(E, 2)`, int64: two neighbouring regions, in any order, each pair once",
                "count": "whole number of regions, which are 1 to `count`",
            },
            returns="`(count,)`, int64: for each region, from region 1 on, the **lowest** region of what it "
            "is part "
            "of in the end",
        ),
        Twist(
            "likeness",
            "likeness in place of strength",
            "What does a large number mean here: that two regions differ, or that they are alike?",
            take="strengths, threshold = -strengths, -threshold",
            hand="strengths, threshold = -strengths, -threshold",
            given={
                "strengths": "`(E,)`, float32: how alike the two regions are",
                "threshold": "number: the least likeness at which two regions merge",
            },
            says={
                "first": "largest likeness",
                "two": "its likeness is (s1 · l1 + s2 · l2) / (l1 + l2),",
                "goes": "the largest likeness is **at or above** the threshold",
            },
        ),
        Twist(
            "columns-of-pairs",
            "a column for each pair",
            "Which axis of the pairs counts the boundaries here?",
            take="pairs = pairs.T",
            hand="pairs = pairs.T",
            given={
                "pairs": "`(2, E)`, int64: column e holds two neighbouring regions, in any order, each pair "
                "once"
            },
        ),
        Twist(
            "sums-along-boundaries",
            "strengths summed up along each boundary",
            "Is the strength of a boundary given here as a mean, or as a sum over its length?",
            take="strengths = strengths / lengths",
            hand="strengths = strengths * lengths",
            given={
                "strengths": "`(E,)`, float32: the sum along each boundary; its strength is this by its "
                "length"
            },
        ),
    ),
    says={
        "first": "weakest boundary between them",
        "two": "its strength is (s1 · l1 + s2 · l2) / (l1 + l2),",
        "goes": "the weakest boundary is **at or below** the threshold",
    },
    keeps=("one merge only", "members forgotten", "lengths ignored"),
    notes={
        "a boundary as strong as the threshold goes too": "a boundary just at the threshold merges, too",
        "no boundary is so weak": "no boundary is within the threshold",
        "weak boundaries: all become one": "all become one region, in other steps",
    },
)

VARIED = (RAND, MERGING)
