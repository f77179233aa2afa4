"""The widget of the first page: a scene that the reader moves, and four networks that answer as it moves.

The scene is rendered in the page, by the rays of `segcore.data.scenes`, so its truth is always known; the
networks run there, too, by ``static/kit/network.js``. They are FCN-32s, 16s and 8s, which share one backbone,
and a U-Net, trained and written down by ``python -m benchmarks.trainings networks --write``.
"""

from __future__ import annotations

from typing import Any

import traitlets

from segcore.widgets.base import CourseWidget
from segcore.widgets.scene import SIZE, VIEWS, SceneTraits, networks, stored_worlds, worlds

__all__ = ["NetworksWidget", "worlds"]

ANSWERS = [["skips", "FCN-32s"], ["skips", "FCN-16s"], ["skips", "FCN-8s"], ["unet", "U-Net"]]


class NetworksWidget(SceneTraits, CourseWidget):
    """A scene to rearrange by hand, its truth, and what four networks make of it.

    Attributes:
        scene, objects, lamp, chosen, pixel, data: see `SceneTraits`.
        view: "labels" or "mistakes".

    Example:
        >>> widget = NetworksWidget(scene=1, objects=[[0, 2, 0.4, 3.0, 0]])
        >>> list(widget.data["networks"]), len(widget.data["worlds"])
        (['skips', 'unet'], 6)
    """

    _slug = "networks"
    _title = "A scene to move, and four networks that segment it as it moves"

    view = traitlets.Enum(VIEWS, default_value=VIEWS[0]).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        found = networks("skips", "unet")
        return {"size": SIZE, "worlds": stored_worlds(), "networks": found, "answers": ANSWERS}
