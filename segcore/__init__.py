"""segcore: the library behind an interactive course on image segmentation.

One module a chapter; each opens with its idea and its paper. Functions are imported from their module::

    from segcore.roi_align import roi_align

Importing the package itself is light: it pulls in neither matplotlib, nor ipywidgets, nor torchvision.
"""

__version__ = "0.1.0"
