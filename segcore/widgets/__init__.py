"""Widgets that are alive in Jupyter and, with no kernel, in the rendered page."""

from importlib.util import find_spec

if find_spec("anywidget") is None:
    raise ModuleNotFoundError("widgets need anywidget: pip install 'segcore[widgets]'", name="anywidget")

from segcore.widgets.export import export_network, import_network

__all__ = ["export_network", "import_network"]
