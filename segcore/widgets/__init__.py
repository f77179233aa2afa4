"""Widgets that are alive in Jupyter and, with no kernel, in the rendered page."""

from segcore.widgets.export import export_network, import_network

__all__ = ["export_network", "import_network"]
