"""The misalignment of RoI layers, measured (Mask R-CNN, section 3, "RoIAlign").

``shifts``    where bins read against where they should, over many random RoIs
``gradient``  the same from the layers' own gradients
``bounds``    how far a border and a bin can be off, and how far they were found
``moves``     features while a RoI, or an object in it, moves by less than a cell
``masks``     the IoU that a perfect mask loses
``study``     all of these as tables, and what is committed of them

Everything is computed from ``reference/``. Rows and columns of a RoI layer never mix,
so one axis tells all: a RoI is an interval here, and a shift is along it.
"""
