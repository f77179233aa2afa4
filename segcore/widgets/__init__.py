"""Widgets that are alive in Jupyter and, with no kernel, in the rendered page."""
