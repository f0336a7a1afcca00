# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 From loops to kernels
#
# A GPU runs thousands of threads at once, and each does what one round of a loop did.
# This chapter goes from the loop to such a *kernel*, and from a slow kernel to a fast
# one. It needs no GPU: the package's **recorder** runs a kernel in Python, thread by
# thread, and tells who reads and writes what.
#
# **After this chapter you can**
#
# - turn a loop into a kernel: grid, block, thread, guard;
# - say what a warp fetches from memory, and lay a kernel out so that it fetches little;
# - use shared memory, barriers and atomics, and recognise a race;
# - judge a kernel by its counts, and say what they do not tell.
#
# **Before:** chapter 1, 3, 6.
# **Minutes:** 190, of which 115 for the exercises.

# %%
import math
from importlib.util import find_spec

import numpy as np
from numba import cuda, njit

from maskrcnn_scratch.cpu.taps import sample_point
from maskrcnn_scratch.figures.launch import draw_launch
from maskrcnn_scratch.learning import check, exercise, hint, recorder, show
from maskrcnn_scratch.learning.recorder import uninitialised
from maskrcnn_scratch.learning.simulator import simulate

# %% [markdown]
# ## The loop, and the loop compiled
#
# Doubling the brightness of a picture is a loop over its pixels, and Python interprets
# every step of it anew. `numba.njit` translates the function to machine code when it is
# first called; the loop stays a loop, and the result the same.


# %%
def brighten_loop(image, gain, out):
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            out[y, x] = gain * image[y, x]


image = np.arange(1, 16, dtype=np.float32).reshape(3, 5)
by_loop, by_machine = np.empty_like(image), np.empty_like(image)
brighten_loop(image, 2.0, by_loop)
njit(brighten_loop)(image, 2.0, by_machine)
assert np.array_equal(by_loop, by_machine)
assert by_loop[2, 4] == 2.0 * 15

# %% [markdown]
# The package's folder `cpu/` is written this way, one function like the next:
# `compiled` is `njit` with a few settings. Here the sample points of chapter 3.

# %%
show(sample_point)

# %% [markdown]
# ## A thread for each pixel
#
# In a kernel the loops are gone. Every thread runs the same function and finds out
# which pixel is its own. Threads come in **blocks** of $B$, blocks in a **grid**;
# thread $t$ of block $b$ is number
#
# $$i = b B + t$$
#
# of its axis, and `cuda.grid(2)` gives that number for x and y. A picture of $n$
# columns needs $\lceil n / B \rceil$ blocks along x, and the last of them may stand
# out. That is what the `if` is for, the **guard**.


# %%
def brighten(image, gain, out):
    x, y = cuda.grid(2)
    if x >= image.shape[1] or y >= image.shape[0]:
        return
    out[y, x] = gain * image[y, x]


threads = (4, 2)
blocks = (-(-5 // 4), -(-3 // 2))
out = np.empty_like(image)
made = recorder.check(brighten, blocks, threads, image, 2.0, uninitialised(out))
assert blocks == (2, 2)
assert made.reads.size == 2 * 2 * 4 * 2 == 32  # threads, for 15 pixels
assert made.reads.sum() == 15
assert np.array_equal(out, by_loop)

# %% [markdown]
# On a GPU one would write `@cuda.jit` above the function and launch it with
# `brighten[blocks, threads](image, 2.0, out)`. `recorder.check` takes the same function
# and raises an error if anything is wrong with the launch. In its picture a cell has
# the number and colour of the thread that wrote it; circles are readers. The number of
# a thread counts through block 0, then block 1, and so on.

# %%
figure, told = draw_launch(made)
show(figure)
writers = told.panels[0, "out"].writers
b, t = 1, 0  # block (x 1, y 0), thread (x 0, y 0): column 1 * 4 + 0
assert writers[0, 1 * 4 + 0] == 8 * b + t
assert writers.tolist()[2] == [16, 17, 18, 19, 24]

# %% [markdown]
# ### Without the guard
#
# A GPU does not stop a thread that reads past the end: it gets whatever lies there, or
# overwrites it. The recorder names the thread, the address and the line.


# %%
def brighten_all(image, gain, out):
    x, y = cuda.grid(2)
    out[y, x] = gain * image[y, x]


made = recorder.record(brighten_all, blocks, threads, image, 2.0, uninitialised(out))
for fault in made.faults:
    print(fault)
assert made.kinds() == {"out of range"}
assert made.faults[0].index == (0, 5)
show(draw_launch(made)[0])

# %% [markdown]
# ## What a warp fetches
#
# 32 neighbouring threads, a **warp**, execute one instruction together, and memory
# comes in **sectors** of 32 bytes. 32 float32 numbers that lie side by side fill 4
# sectors. If thread $i$ reads element $s\, i$ instead, the numbers lie $s$ times
# further apart, and the warp fetches
#
# $$\min(4 s,\ 32)$$
#
# sectors, of which all but $1/s$ is fetched for nothing. This is the first thing to
# look at in any kernel: **neighbouring threads should read neighbouring numbers**.


# %%
def every(a, step, out):
    i = cuda.grid(1)
    out[i] = a[step * i]


def sectors_read(step):
    a, out = np.zeros(32 * step, np.float32), np.zeros(32, np.float32)
    made = recorder.check(every, 1, 32, a, step, out)
    return sum(one.sectors for one in made.instructions if one.kind == "read")


for step in (1, 2, 3, 8, 20):
    assert sectors_read(step) == min(4 * step, 32)
a = np.zeros(24, np.float32)
show(draw_launch(recorder.check(every, 1, 8, a, 3, np.zeros(8, np.float32)))[0])

# %% [markdown]
# In a map (height, width) the column runs fastest. So x, along which neighbouring
# threads lie, belongs to the columns. Whoever takes x for the row gets the right
# picture and eight times the traffic.


# %%
def brighten_crosswise(image, gain, out):
    y, x = cuda.grid(2)
    if x >= image.shape[1] or y >= image.shape[0]:
        return
    out[y, x] = gain * image[y, x]


square = np.ones((32, 32), np.float32)
along, across = (
    recorder.check(kernel, (1, 32), (32, 1), square, 2.0, np.empty_like(square))
    for kernel in (brighten, brighten_crosswise)
)
assert along.coalescing == 1
assert across.coalescing == 1 / 8

# %% [markdown]
# ## A block meets in shared memory
#
# The threads of a block share a small, fast memory. Here each puts a number there and
# reads what its left neighbour put, for the difference of the two. Between the two
# stands a **barrier**: no thread goes on before all of the block have come to it.


# %%
def differences(a, out):
    tile = cuda.shared.array(8, np.float32)
    t = cuda.threadIdx.x
    tile[t] = a[t]
    cuda.syncthreads()
    out[t] = tile[t] - tile[t - 1] if t > 0 else tile[t]


squares = np.arange(8, dtype=np.float32) ** 2
out = np.empty_like(squares)
made = recorder.check(differences, 1, 8, squares, uninitialised(out))
assert out.tolist() == [0, 1, 3, 5, 7, 9, 11, 13]
figure, told = draw_launch(made)
show(figure)
tile = "tile of block 0"
assert told.panels[0, tile].writers.tolist() == [list(range(8))]
assert told.panels[1, tile].readers[0, 3] == [3, 4]  # its own thread and the next

# %% [markdown]
# Shared memory lies in 32 **banks** of 4 bytes, side by side. A warp whose threads need
# different numbers of one bank gets them one after the other. Where thread $t$ takes
# number $s t$, that makes
#
# $$\gcd(s, 32)$$
#
# passes for one. A column of a tile that is 32 wide takes 32; made one number wider,
# for nothing but this, it takes 1.


# %%
def every_in_tile(step, out):
    tile = cuda.shared.array(32 * 33, np.float32)
    t = cuda.threadIdx.x
    tile[step * t] = t
    out[t] = tile[step * t]


for step in (1, 2, 3, 8, 32, 33):
    made = recorder.check(every_in_tile, 1, 32, step, np.zeros(32, np.float32))
    passes = [one.passes for one in made.instructions if one.space == "shared"]
    assert passes == [math.gcd(step, 32)] * 2  # of the write and of the read

# %% [markdown]
# ## A pass in the simulator is no evidence
#
# numba has a simulator that runs kernels without a GPU, each thread a thread of Python.
# It is the usual way to test them, and it hides what matters most. Three kernels, each
# wrong, each with a result that is right, most of the time:
#
# - without the barrier: Python starts the threads one after the other, so the left
#   neighbour has nearly always been there;
# - with an index of -1: Python counts from the end, and the last number here is a 0;
# - with `+=` from all threads: Python seldom changes threads between the read and the
#   write. A GPU does all the reads first.


# %%
def no_barrier(a, out):
    tile = cuda.shared.array(8, np.float32)
    t = cuda.threadIdx.x
    tile[t] = a[t]
    out[t] = tile[t] - tile[t - 1] if t > 0 else tile[t]


def before_the_first(a, out):
    t = cuda.threadIdx.x
    out[t] = a[t] - a[t - 1]


def plain_sum(a, out):
    out[0] += a[cuda.threadIdx.x]


falling = np.array([28, 21, 15, 10, 6, 3, 1, 0], np.float32)
steps = np.diff(falling, prepend=0)
cases = [(no_barrier, steps), (before_the_first, steps), (plain_sum, falling.sum())]
for kernel, expected in cases:
    right = 0
    for _ in range(10):
        out = np.zeros_like(steps) if np.ndim(expected) else np.zeros(1, np.float32)
        simulate(kernel, 1, 8, falling, out)
        right += np.array_equal(np.squeeze(out), expected)
    assert right > 0  # it passes, by luck: nearly always on a machine that is not busy
    made = recorder.record(kernel, 1, 8, falling, np.zeros_like(out))
    print(f"{kernel.__name__}: right in the simulator, and yet\n    {made.faults[0]}\n")
    assert len(made.faults) == 1

# %% [markdown]
# The recorder does not wait for the bad luck. It notes every access with its thread and
# *phase* (the barriers passed), and two accesses to one place by different threads in
# one phase, one of them a write, are a race, whatever came of it this time.

# %%
made = recorder.record(no_barrier, 1, 8, falling, np.zeros_like(falling))
assert made.kinds() == {"unsynchronised read"}
assert made.faults[0].threads == ((0, 0), (0, 1))  # (block, thread): writer, reader
assert (made.faults[0].index, made.faults[0].phase) == ((0,), 0)
show(draw_launch(made)[0])

# %% [markdown]
# ## Adding to one place
#
# RoIAlign's way back adds gradients to cells, and the points of two bins may lie
# between the same cells. `cuda.atomic.add` reads, adds and writes in one piece, so no
# update is lost. Nothing orders the additions, though, and float32 sums depend on their
# order in the last digits; and additions to **one** address wait for each other.


# %%
def histogram(numbers, counts):
    n = cuda.grid(1)
    if n < numbers.shape[0]:
        cuda.atomic.add(counts, numbers[n], 1)


numbers, counts = np.array([0, 2, 2, 1, 2, 0], np.int32), np.zeros(4, np.int32)
made = recorder.check(histogram, 2, 4, numbers, counts)
assert counts.tolist() == [2, 1, 3, 0]
assert made.atomics.sum() == len(numbers)
figure, told = draw_launch(made)
show(figure)
assert told.panels[0, "counts"].updaters[0, 2] == [1, 2, 4]

big, small = np.float32(2**24), np.float32(1)
assert (big + small) + small != big + (small + small)  # the order tells

# %% [markdown]
# ## Many numbers into one
#
# A sum or a maximum over a block needs no atomics: pairs of threads join their numbers,
# then pairs of pairs. $n$ numbers take $\log_2 n$ rounds, with a barrier after each.
# Every thread comes to every barrier, also those whose work is done; a barrier inside
# of the `if` would leave the others waiting.


# %%
def block_maximum(a, out):
    cells = cuda.shared.array(8, np.float32)
    t = cuda.threadIdx.x
    cells[t] = a[t]
    cuda.syncthreads()
    step = 1
    while step < 8:
        if t % (2 * step) == 0:
            cells[t] = max(cells[t], cells[t + step])
        cuda.syncthreads()
        step *= 2
    if t == 0:
        out[0] = cells[0]


a, out = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.float32), np.zeros(1, np.float32)
made = recorder.check(block_maximum, 1, 8, a, uninitialised(out))
assert out[0] == a.max() == 9
assert made.barriers == 1 + np.log2(8) == 4
show(draw_launch(made)[0])

# %% [markdown]
# ## The ladder: RoIAlign
#
# The package has every GPU component at least twice. The **naive** kernel reads like
# the loop of the reference: a thread for each number of the output, which finds all
# that it needs by itself. The **fast** kernel computes the same and wastes less. The
# kernels need the package numba-cuda, which there is for Linux and Windows.

# %%
if find_spec("numba_cuda"):
    from maskrcnn_scratch.cuda.roi_align_naive import bin_mean, naive_kernel, point

    show(point, bin_mean, naive_kernel)
else:
    print("numba-cuda is not installed; the counts below are in docs/kernels.md")

# %% [markdown]
# What is wasted? Neighbouring threads have neighbouring channels, which lie side by
# side in memory: that is right already. But all 32 channels of a bin compute the same
# places and weights again, in float64. And the four points of a bin are between few
# cells, of which each point reads its own four.
#
# In the fast kernel a block has a row of bins. Its threads share the work of placing
# the points and leave the places in shared memory; after a barrier each thread walks
# along the row for its channel, and since a bilinear weight is a product, rows of cells
# are added up before columns, each cell once.

# %%
if find_spec("numba_cuda"):
    from maskrcnn_scratch.cuda.roi_mean import column_sum, mean_kernel, mean_of_row

    show(column_sum, mean_of_row, mean_kernel)

# %% [markdown]
# The recorder counts both, on one RoI of 7 x 7 cells, 4 x 4 bins of 2 x 2 points and 32
# channels. The naive kernel's reads of features can be counted by hand: 4 cells for
# each of 4 points for each of $4 \cdot 4 \cdot 32$ numbers.


# %%
def counts_of(call):
    """(reads of features, sectors, atomics, barriers) of the launches in a call."""
    with recorder.recording() as made:
        call()
    every = [one for launch in made for one in launch.instructions]
    features = [one for one in every if (one.kind, one.array) == ("read", "maps[0]")]
    return (
        sum(one.accesses for one in features),
        sum(one.sectors for one in every if one.kind != "atomic"),
        sum(one.accesses for one in every if one.kind == "atomic"),
        sum(launch.barriers for launch in made),
    )


if find_spec("numba_cuda"):
    import torch

    from maskrcnn_scratch.cuda import roi_align as gpu

    features, rois = (
        torch.zeros(1, 12, 12, 32),
        torch.tensor([[0, 2.3, 3.1, 9.6, 10.2]]),
    )
    bins, grad = (4, 4), torch.ones(1, 4, 4, 32)
    counts = {
        "naive": counts_of(lambda: gpu.roi_align_naive(features, rois, bins, 1.0, 2)),
        "fast": counts_of(lambda: gpu.roi_align(features, rois, bins, 1.0, 2)),
        "naive, backward": counts_of(
            lambda: gpu.roi_align_backward_naive(grad, features, rois, 1.0, 2)
        ),
        "fast, backward": counts_of(
            lambda: gpu.roi_align_backward(grad, features, rois, 1.0, 2)
        ),
    }
    print(f"{'':16}{'features':>9}{'sectors':>9}{'atomics':>9}{'barriers':>9}")
    for name, row in counts.items():
        print(f"{name:16}" + "".join(f"{number:9}" for number in row))
    assert counts["naive"][0] == 4 * 4 * (4 * 4 * 32) == 8192
    assert 2 * counts["fast"][1] < counts["naive"][1]
    assert counts["naive, backward"][2] == 4 * counts["fast, backward"][2] == 8192

# %% [markdown]
# Less than half of the sectors forward, and a quarter of the atomics backward, for 24
# sectors more; both paid for with barriers, at which a block waits for its slowest
# thread. The page `docs/kernels.md` has such counts of all components, RoIPool, NMS,
# masks and keypoints among them.
#
# ### Is it right?
#
# The mean of readings is linear in the features, $A f$, so the way back is the
# transposed map. Whatever the features $f$ and the gradient $g$ by the output,
#
# $$\langle A f,\ g \rangle = \langle f,\ A^\top g \rangle$$
#
# which two kernels written apart from each other fulfil only if both are right, or both
# wrong in the same way.

# %%
if find_spec("numba_cuda"):
    generator = torch.Generator().manual_seed(0)
    f = torch.randn(features.shape, generator=generator)
    g = torch.randn(grad.shape, generator=generator)
    with recorder.recording():
        forth = gpu.roi_align(f, rois, bins, 1.0, 2)
        back = gpu.roi_align_backward(g, f, rois, 1.0, 2)
    assert math.isclose((forth * g).sum(), (f * back).sum(), rel_tol=1e-4)

# %% [markdown]
# ## What has been run, and what has not
#
# - **No kernel of this package has run on a GPU yet.** All numbers above are counts,
#   none is a time.
# - Every kernel agrees with the reference in the simulator, has no fault in the
#   recorder in three orders of threads, and compiles for compute capabilities 7.5 to
#   10.0. Each of the three finds what the others cannot; none of them replaces a run.
# - Counts do not tell what the caches answer, how many blocks fit on a processor, or
#   how long a thread waits. With a GPU, `python -m pytest -m gpu` comes first, then a
#   clock.
#
# ## Exercises
#
# Your kernels are run by the recorder, then with threads in other orders, then in the
# simulator. If one fails, you are told the thread, the address and the line, and shown
# the smallest launch that was found. A kernel is a plain function, with or without
# `@cuda.jit` above it.

# %% exercise="ex13_1"
exercise("ex13_1")

# %% exercise="ex13_2"
exercise("ex13_2")

# %% exercise="ex13_3"
exercise("ex13_3")

# %% exercise="ex13_4"
exercise("ex13_4")

# %% exercise="ex13_5"
exercise("ex13_5")

# %% [markdown]
# ## Summary
#
# - Thread $t$ of block $b$ is number $b B + t$; the last block stands out: guard it.
# - A warp fetches sectors of 32 bytes: neighbouring threads, neighbouring numbers.
# - A barrier orders a block; all its threads come to it. Nothing orders blocks.
# - Where threads add to one place, atomics; where a block makes one number, a tree.
# - The simulator passes racing kernels; the recorder names thread, address and line.
# - Counts compare two kernels on paper; only a clock on a GPU says which is faster.
#
# ## To read
#
# - NVIDIA, *CUDA C++ Programming Guide*: the programming model, memory, barriers.
# - Harris, *Optimizing Parallel Reduction in CUDA*, for the tree and its rungs.
# - `docs/kernels.md`, `maskrcnn_scratch/cuda/nms_naive.py` and `nms.py`: the next
#   ladder.
# - `maskrcnn_scratch/learning/recorder/`, and `tests/broken_kernels.py`: a
#   wrong kernel for every fault that it names.
