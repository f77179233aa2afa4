"""A widget of chapter 2: draw on a photograph and watch GrabCut, live in the page.

Three photographs that ship with scikit-image travel in the page at 240 by 180 pixels, as WebP. The reader's
own photograph never leaves their browser.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import traitlets
from torch import Tensor

from segcore.graph_cuts import BACKGROUND, FOREGROUND, UNKNOWN, grabcut
from segcore.widgets.base import CourseWidget
from segcore.widgets.packing import unpack_webp, webp

__all__ = ["ScribblesWidget"]

WIDTH, HEIGHT = 240, 180
BRUSH = 5  # pixels across
# Of each photograph the part that is shown: left, top, right, bottom.
PHOTOGRAPHS = {
    "cup": ("coffee", (40, 0, 573, 400)),
    "astronaut": ("astronaut", (0, 0, 512, 384)),
    "cat": ("chelsea", (40, 0, 440, 300)),
}
VIEWS = ("cutout", "colours", "edges")
BOX = [10, 4, 214, 176]


@lru_cache(maxsize=1)
def _pictures() -> dict[str, str]:
    from segcore.data.images import photograph

    return {name: webp(photograph(file), (HEIGHT, WIDTH), box) for name, (file, box) in PHOTOGRAPHS.items()}


class ScribblesWidget(CourseWidget):
    """GrabCut over a photograph: a box, strokes, and the cut that follows from them.

    Attributes:
        photo: "cup", "astronaut" or "cat"; "" is the photograph that the reader has opened in the page.
        box: x1, y1, x2, y2 in whole pixels, outside of which all is background; an empty list for none.
        strokes: each a side, 2 for the object and 0 for the background, and the points x, y, x, y, ... of its
            way; a later stroke has the last word.
        gamma: how much a cut between neighbours costs; the library's is 50.
        rounds: of learning and cutting, 0 to 5; with 0 the colours are those under the strokes alone.
        view: what the second picture shows, "cutout", "colours" or "edges".
        data: the pictures, packed; read-only.

    Example:
        >>> widget = ScribblesWidget(photo="cup", box=[10, 4, 214, 176])
        >>> widget.image.shape, widget.mask.shape
        (torch.Size([3, 180, 240]), torch.Size([180, 240]))
    """

    _slug = "scribbles"
    _title = "GrabCut on a photograph, from a box and strokes"

    data = traitlets.Dict(read_only=True).tag(sync=True)
    photo = traitlets.Enum((*PHOTOGRAPHS, ""), default_value="cup").tag(sync=True)
    box = traitlets.List(traitlets.Int(), default_value=BOX).tag(sync=True)
    strokes = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    gamma = traitlets.Float(50.0).tag(sync=True)
    rounds = traitlets.Int(5).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {"pictures": dict(_pictures())}

    @traitlets.validate("gamma", "rounds")
    def _check_number(self, proposal: Any) -> float:
        name, value = proposal["trait"].name, proposal["value"]
        most = {"gamma": 200, "rounds": 5}[name]
        if not 0 <= value <= most:
            raise traitlets.TraitError(f"{name} must be from 0 to {most}; got {value}")
        return value

    @traitlets.validate("box")
    def _check_box(self, proposal: Any) -> list[int]:
        box = list(proposal["value"])
        if box and not (len(box) == 4 and 0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
            raise traitlets.TraitError(f"box must be x1, y1, x2, y2 of a box, or empty; got {box}")
        return box

    @traitlets.validate("strokes")
    def _check_strokes(self, proposal: Any) -> list[list[int]]:
        for stroke in proposal["value"]:
            if len(stroke) < 3 or len(stroke) % 2 == 0 or stroke[0] not in (BACKGROUND, FOREGROUND):
                raise traitlets.TraitError(
                    f"a stroke must be a side, {BACKGROUND} or {FOREGROUND}, and points x, y; got {stroke}"
                )
        return proposal["value"]

    @property
    def image(self) -> Tensor:
        """The picture: float32 ``(3, 180, 240)``. The reader's own stays in the page: an error."""
        if not self.photo:
            raise ValueError(
                "the reader's own photograph stays in the page; set photo to 'cup', 'astronaut' or 'cat'"
            )
        return unpack_webp(self.data["pictures"][self.photo])

    @property
    def trimap(self) -> Tensor:
        """What the box and the strokes say, as `grabcut` takes it: int64 ``(180, 240)``."""
        y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
        known = torch.full((HEIGHT, WIDTH), UNKNOWN)
        if self.box:
            x1, y1, x2, y2 = self.box
            known[~((x >= x1) & (x < x2) & (y >= y1) & (y < y2))] = BACKGROUND
        for side, *way in self.strokes:
            points = list(zip(way[::2], way[1::2], strict=True))
            for (ax, ay), (bx, by) in zip(points[:1] + points, points, strict=False):
                steps = max(abs(bx - ax), abs(by - ay), 1)
                for step in range(steps + 1):
                    # Half a pixel rounds up, as in the page.
                    u, v = (int((b - a) * step / steps + a + 0.5) for a, b in ((ax, bx), (ay, by)))
                    known[(x - u) ** 2 + (y - v) ** 2 <= BRUSH**2 / 4] = side
        return known

    @property
    def mask(self) -> Tensor:
        """The object: bool ``(180, 240)``; of smoothness 50, and of one round where `rounds` is 0."""
        return grabcut(self.image, self.trimap, max(self.rounds, 1))
