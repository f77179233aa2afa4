"""Variants of chapter 9: maps with channels last, the decoder first; Dice as a score, of probabilities."""

from __future__ import annotations

from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

SKIP = Varied(
    "9.1",
    "The encoder's map is larger than the decoder's. Cut its **middle** out, as large as the decoder's map, "
    "and join "
    "both along the axis of channels: {order}. Gradients must reach both.",
    {
        "skip": "`(N, A, H, W)`: the encoder's map",
        "x": "`(N, B, h, w)`: the decoder's map; H − h and W − w are even and not negative",
    },
    "`(N, A + B, h, w)`",
    (
        Twist(
            "decoder-first",
            "the decoder's channels first",
            "Both parts are right. Whose channels come first here?",
            give="result = torch.cat([result[:, skip.shape[1] :], result[:, : skip.shape[1]]], dim=1)",
            back="result = torch.cat([result[:, x.shape[1] :], result[:, : x.shape[1]]], dim=1)",
            says={"order": "**the decoder's channels first**, then the encoder's"},
        ),
        Twist(
            "encoder-channels-last",
            "the encoder's map with channels last",
            "Which axis of the encoder's map holds its channels here, and which ones are its rows and "
            "columns?",
            take="skip = skip.movedim(-1, 1)",
            hand="skip = skip.movedim(1, -1)",
            given={"skip": "`(N, H, W, A)`: the encoder's map, channels last"},
        ),
        Twist(
            "decoder-channels-last",
            "the decoder's map with channels last",
            "Which axis of the decoder's map holds its channels here, and which ones are its rows and "
            "columns?",
            take="x = x.movedim(-1, 1)",
            hand="x = x.movedim(1, -1)",
            given={
                "x": "`(N, h, w, B)`: the decoder's map, channels last; H − h and W − w are even and not "
                "negative"
            },
        ),
    ),
    says={"order": "the encoder's channels first, then the decoder's"},
    keeps=("upper left corner", "lower right corner"),
)

DICE = Varied(
    "9.4",
    "For each class that occurs among the pixels that count, add up three things over all pixels of the "
    "batch that "
    "count: its probability p, its truth g (1 or 0), and the product p·g. The class's Dice is 2·sum(p·g) / "
    "(sum(p) + "
    "sum(g)). Return {what}. Pixels whose truth is `ignore_index` do not count; a class that does not occur "
    "among "
    "the others is left out of the mean. The gradient must reach `logits`.",
    {
        "logits": "`(N, C, H, W)`: the probabilities are their softmax over the classes",
        "target": "`(N, H, W)`, int64: classes 0 to C − 1, or `ignore_index`",
        "ignore_index": "whole number, 255 where left out; it may be a class, too",
    },
    "a number, as a tensor; 0 if no pixel counts",
    (
        Twist(
            "probabilities",
            "probabilities in place of logits",
            "What are you given: logits, or probabilities already? They add up to 1 over the classes.",
            take="logits = logits.log()",
            hand="logits = logits.softmax(1)",
            given={"logits": "`(N, C, H, W)`: probabilities already, which add up to 1 over the classes"},
        ),
        Twist(
            "channels-last",
            "the classes as the last axis",
            "Which axis of the logits holds the classes here?",
            take="logits = logits.movedim(-1, 1)",
            hand="logits = logits.movedim(1, -1)",
            given={
                "logits": "`(N, H, W, C)`: classes last; the probabilities are their softmax over the classes"
            },
        ),
        Twist(
            "score",
            "the score in place of the loss",
            "Should your number rise or fall as the prediction gets better?",
            give="result = 1 - result",
            back="result = 1 - result",
            returns="a number, as a tensor; 1 if no pixel counts",
            says={"what": "**the mean of the classes' Dice** itself"},
        ),
        Twist(
            "classes-from-1",
            "classes from 1",
            "Which number has the first class in the truth here? Its place among the logits is the first "
            "one.",
            take="target, ignore_index = target - 1, ignore_index - 1",
            hand="target, ignore_index = target + 1, ignore_index + 1",
            given={
                "target": "`(N, H, W)`, int64: classes 1 to C (class 1 is place 0 of the logits), or "
                "`ignore_index`",
                "ignore_index": "whole number; it may be a class, too",
            },
        ),
    ),
    says={"what": "1 less the mean of the classes' Dice, a loss"},
    keeps=("absent classes cost 1", "absent classes cost 0", "one sum over all classes", "argmax"),
    notes={
        "class 1 does not occur: it is left out of the mean": "a class does not occur: it is left out of "
        "the mean",
        "no pixel counts: 0": "no pixel counts",
        "here class 0 is ignored": "here a class is ignored",
    },
)

VARIED = (SKIP, DICE)
