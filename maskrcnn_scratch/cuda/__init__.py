"""Floor 1: the components as numba-CUDA kernels, with the names of ``reference``.

The functions take and return torch tensors, for torch owns a GPU's memory: outputs come
from its caching allocator and launches run on its current stream. The kernels
themselves know arrays alone. Features are channels last, as in ``cpu``: (images,
height, width, channels), any strides.

Each module climbs a ladder: a naive kernel that reads like the reference, one thread
an output, then the fast one that production uses, with the waste that it removes and
the bytes that it cannot avoid. Nothing here waits for the GPU or looks at a value on
it: what the reference refuses with an error (a RoI of no image, say) becomes NaN.

Without a GPU the same functions take CPU tensors in numba's simulator
(NUMBA_ENABLE_CUDASIM=1).
"""
