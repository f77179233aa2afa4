"""The second widget of chapter 11: a trained DeepLabv3 whose pyramid can be taken apart while it answers.

The page switches branches of its ASPP off and gives the filters other rates than they were trained with. What
that costs over 100 scenes was measured by ``python -m benchmarks.trainings switches --write``.
"""

from __future__ import annotations

from typing import Any

import traitlets

from segcore.widgets.base import CourseWidget
from segcore.widgets.scene import SIZE, VIEWS, SceneTraits, in_order, measured, networks, stored_worlds

__all__ = ["PyramidWidget"]

MOST = 12


class PyramidWidget(SceneTraits, CourseWidget):
    """A DeepLabv3 with branches to switch off and rates to change, on a scene to move.

    Attributes:
        scene, objects, lamp, chosen, pixel, data: see `SceneTraits`.
        off: the branches of ASPP that are off, in order: 0 the 1×1 filter, 1 to 3 the 3×3 filters, 4 the
            mean of the map.
        rates: of the 3×3 filters, from 1 to 12; [2, 4, 6] as trained.
        view: "labels" or "mistakes".

    Example:
        >>> PyramidWidget(rates=[4, 8, 12]).rates
        [4, 8, 12]
    """

    _slug = "pyramid"
    _title = "A DeepLabv3 whose pyramid can be taken apart while it answers"

    off = traitlets.List(traitlets.Int(min=0, max=4)).tag(sync=True)
    rates = traitlets.List(traitlets.Int(min=1, max=MOST), [2, 4, 6], minlen=3, maxlen=3).tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {
            "size": SIZE,
            "worlds": stored_worlds(),
            "networks": networks("deeplab"),
            "answers": [["deeplab", "DeepLabv3"]],
            "measured": measured("deeplab"),
        }

    @traitlets.validate("off")
    def _check_off(self, proposal: Any) -> list[int]:
        return in_order(proposal["value"], "off")
