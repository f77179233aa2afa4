"""A check's card as the tests of hints read it: the rungs of its ladder, in text and in HTML."""

from __future__ import annotations

import html.parser

from segcore.checks import ladder
from segcore.checks.engine import judge

NAMES = {2: "Where", 3: "How", 4: "Show"}
VOID = {"img", "br"}


class Tree(html.parser.HTMLParser):
    """A page's elements, each closed where it must be; its summaries and whether their details are open."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.summaries, self.opened, self.marks, self.sources = [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        if tag == "details":
            self.opened.append("open" in known)
        if tag == "img":
            assert known["alt"], "a picture without words"
            self.sources.append(known["src"])
        if tag == "summary":
            self.summaries.append((self.open.count("details"), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "summary" in self.open:
            depth, text = self.summaries[-1]
            self.summaries[-1] = depth, text + data
        if "mark" in self.open:
            self.marks.append(data)


def climbed(exercise, function, opened=4):
    return climb(exercise, judge(exercise, function), opened)


def climb(exercise, report, opened=4):
    ladder.climb(report.card, exercise, opened)
    return report, repr(report.card), Tree(report.card._repr_html_())


def rungs_of(card):
    return sorted({fold.rung for fold in card.folds})


def plain(parts):
    """What a rung says in words: blocks, drawings and lists of code are no words."""
    return [line for kind, part in parts if kind in ("text", "prose", "hint", "steps") for line in part]
