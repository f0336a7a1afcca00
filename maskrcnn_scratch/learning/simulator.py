"""numba's CUDA simulator, for one launch, in any process.

NUMBA_ENABLE_CUDASIM=1 makes every kernel of a process a simulated one, if it is set
before numba is imported. This runs a single one so, whatever the process is set to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from numba.cuda.simulator.kernel import FakeCUDAKernel

from maskrcnn_scratch.learning.recorder.rebuild import python_function


def simulate(kernel: Any, blocks: Any, threads: Any, *arguments: Any) -> None:
    """Run ``kernel[blocks, threads](*arguments)``, a Python thread for each thread.

    Arrays get the results. A pass is no evidence: threads start one after the other, an
    index below 0 counts from the end, and ``+=`` seldom meets another thread. What a
    kernel raises is raised here.
    """
    simulated = FakeCUDAKernel(python_function(kernel), device=False)
    simulated[blocks, threads](
        *(FakeCUDAArray(a) if isinstance(a, np.ndarray) else a for a in arguments)
    )
