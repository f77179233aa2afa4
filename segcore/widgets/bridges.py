"""The second widget of chapter 9: a trained U-Net and SegNet that lose what crosses over while they answer.

They run in the page on a scene that the reader moves. A bridge that is off gives the U-Net's decoder zeros in
place of the encoder's map; a SegNet without its switches spreads each value over four pixels where it had put
it back in its place. What that costs over 100 scenes was measured by ``python -m benchmarks.trainings
switches --write``.
"""

from __future__ import annotations

from typing import Any

import traitlets

from segcore.widgets.base import CourseWidget
from segcore.widgets.scene import SIZE, VIEWS, SceneTraits, in_order, measured, networks, stored_worlds

__all__ = ["BridgesWidget"]

PLACES = ("switches", "quarters", "whole")


class BridgesWidget(SceneTraits, CourseWidget):
    """A U-Net with bridges and a SegNet with switches to take away, on a scene to move.

    Attributes:
        scene, objects, lamp, chosen, pixel, data: see `SceneTraits`.
        off: the bridges that are off, from 1 (96 × 96) to 3 (24 × 24), in order.
        places: how SegNet unpools: by its "switches", in "quarters", one for each of the four pixels, or with
            the "whole" value in each.
        view: "labels" or "mistakes".

    Example:
        >>> BridgesWidget(off=[1, 3]).off
        [1, 3]
    """

    _slug = "bridges"
    _title = "A U-Net without its bridges and a SegNet without its switches, while they answer"

    off = traitlets.List(traitlets.Int(min=1, max=3)).tag(sync=True)
    places = traitlets.Enum(PLACES, default_value=PLACES[0]).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {
            "size": SIZE,
            "worlds": stored_worlds(),
            "networks": networks("unet", "segnet"),
            "answers": [["unet", "U-Net"], ["segnet", "SegNet"]],
            "measured": measured("unet", "segnet"),
        }

    @traitlets.validate("off")
    def _check_off(self, proposal: Any) -> list[int]:
        return in_order(proposal["value"], "off")
