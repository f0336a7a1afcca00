"""Mask R-CNN from scratch: every component readable, the whole thing trainable.

The package is a house of floors; each imports only from floors below it:

0. ``reference``: NumPy alone, plain loops, one component a module: the specification
1. ``cpu``, ``data``, ``figures``: compiled components; images; pictures
2. ``ops``: differentiable torch operators
3. ``models``: backbones, FPN, RPN, heads, Mask R-CNN
4. ``evaluation``, ``inference``: COCO AP; detections and overlays
5. ``training``: the loop

Coordinates, said once: a box is ``(x1, y1, x2, y2)`` in image pixels, as floats; the
pixel in row i, column j covers ``[j, j + 1) x [i, i + 1)``, so its centre lies at
``(j + 0.5, i + 0.5)`` and a box from 0 to W spans the whole width.
"""

__version__ = "0.1.0"
