"""Floor 1: the components compiled for the CPU by numba. Arrays in, arrays out.

Same names and same results as ``reference``. Features are channels last: (images,
height, width, channels), so that the innermost loops run over channels, one after the
other in memory. NCHW maps are served in blocks of channels (``layouts``).
"""
