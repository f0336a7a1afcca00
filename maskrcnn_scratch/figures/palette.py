"""One colour for one thing, in every picture of this package.

The colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

PIXEL = "#CCCCCC"
"""Pixels of the image."""
CELL = "#999999"
"""Cells of a feature map."""
ROI = "#0072B2"
"""A region of interest, where it truly is."""
QUANTISED = "#D55E00"
"""The same after its corners were rounded to whole cells."""
BIN = "#E69F00"
"""The bins that a region is divided into."""
SAMPLE = "#009E73"
"""Places at which features are read."""
FAULT = "#CC79A7"
"""What is wrong."""
OBJECT = "#56B4E9"
"""A true object: its box, its mask."""
ANCHOR = "#000000"
"""A box to start from, before it is moved onto an object."""
