"""Variants of chapter 1: images and segments in other forms, errors in other units."""

from __future__ import annotations

from segcore.checks.variants.conventions import channels_last, percent, turned
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

MEANS = Varied(
    "1.1",
    "A map of labels says for each pixel to which segment it belongs. Return the mean colour of each "
    "segment: "
    "for each channel by itself, the mean over the segment's pixels. A segment may lie in several "
    "parts.{range}",
    {
        "image": "`(C, H, W)`, float32",
        "labels": "`(H, W)`, int64: 0 to K − 1; each of them occurs",
    },
    "`(K, C)`, float32: row k is the mean over the pixels of segment k",
    (
        channels_last({"image": "`(H, W, C)`, float32: channels last"}),
        Twist(
            "labels-from-1",
            "labels from 1",
            "Which number has the first segment here? There is no segment 0, and the last one has a row, "
            "too.",
            take="labels = labels - 1",
            hand="labels = labels + 1",
            given={"labels": "`(H, W)`, int64: 1 to K; each of them occurs"},
            returns="`(K, C)`, float32: the first row is the mean over the pixels of segment 1",
        ),
        turned(
            "`(C, K)`, float32: column k is the mean over the pixels of segment k",
            "a row for each channel",
            "What is a row of the result here: a segment, or a channel?",
        ),
        Twist(
            "of-255",
            "the image counted to 255, the means to 1",
            "In which range does the image come, and in which one are the means asked?",
            take="image = image / 255",
            hand="image = image * 255",
            given={"image": "`(C, H, W)`, float32, where 255 is full light"},
            says={
                "range": " The image counts from 0 to 255; the means are asked in the range where 1 is full "
                "light."
            },
        ),
    ),
    says={"range": ""},
    keeps=("sum, not mean", "divided by all pixels", "median", "one mean for all"),
)
LEAKS = Varied(
    "1.4",
    "How much do superpixels leak over the outlines of true regions? For each pair of a segment P and a "
    "region S "
    "that meet, take the smaller of two numbers: the pixels of P inside of S, and the pixels of P outside "
    "of S. "
    "Add them up over all pairs{unit}.",
    {
        "labels": "`(H, W)`, int64: the segments P, 0 to K − 1",
        "truth": "`(H, W)`, int64: the regions S, 0 to R − 1",
    },
    "one number, as a tensor: a share of all pixels",
    (
        Twist(
            "segments-as-masks",
            "the segments as masks",
            "How is a segment given here? One mask each: which axis counts the segments?",
            take="labels = labels.long().argmax(0)",
            hand="labels = F.one_hot(labels).movedim(-1, 0).bool()",
            given={"labels": "`(K, H, W)`, bool: a mask for each segment P; each pixel lies in just one"},
        ),
        Twist(
            "regions-as-masks",
            "the true regions as masks",
            "How is a true region given here? One mask each: which axis counts the regions?",
            take="truth = truth.long().argmax(0)",
            hand="truth = F.one_hot(truth).movedim(-1, 0).bool()",
            given={"truth": "`(R, H, W)`, bool: a mask for each region S; each pixel lies in just one"},
        ),
        percent("one number, as a tensor: the share of all pixels in percent"),
        Twist(
            "in-pixels",
            "a number of pixels in place of a share",
            "Is a share of all pixels asked here, or how many pixels leak?",
            give="result = result * labels.numel()",
            back="result = result / labels.numel()",
            returns="one number, as a tensor, float32: how many pixels",
            says={"unit": ""},
        ),
    ),
    says={"unit": ", and divide by the number of all pixels"},
    keeps=("each leak once", "outside, always", "roles exchanged", "larger part"),
    why="Segment 0 has three pixels in region 0 and one outside: 1. It has one in region 1 and three "
    "outside: 1. Segment 1 lies in region 1 as a whole: 0.",
)

VARIED = (MEANS, LEAKS)
