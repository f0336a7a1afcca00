"""A student's function, called so that nothing it does can harm the check."""

from __future__ import annotations

import contextlib
import copy
import io
import linecache
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from maskrcnn_scratch.learning.compare import plain
from maskrcnn_scratch.learning.exercise import Function, Inputs
from maskrcnn_scratch.learning.timeout import TookTooLong, within

CALL_SECONDS = 5.0
ENDLESS = "your function did not return within {:g} s; look for a loop that never ends"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a function, and the inputs that show it.

    ``kind`` is one of unsolved, exception, endless, changed input, wrong type, wrong
    shape, not a number, wrong value; a fault of a kernel is named by the recorder.
    """

    kind: str
    says: str
    law: str = ""
    inputs: Inputs = field(default_factory=dict)
    expected: Any = None
    got: Any = None
    printed: str = ""
    figure: Callable[[], Figure] | None = None


class Stumbled(Exception):
    """Ends the trial of one input: the function did not get as far as a value.

    ``figure`` draws what happened, once it is asked for. ``detail`` tells stumblings of
    one kind apart, where misconceptions are compared.
    """

    def __init__(
        self,
        kind: str,
        says: str,
        figure: Callable[[], Figure] | None = None,
        detail: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(says)
        self.kind, self.says = kind, says
        self.figure, self.detail = figure, detail


class Watched:
    """Calls ``function`` with copies of its arguments, for a limited time.

    Whatever it does apart from returning raises Stumbled; KeyboardInterrupt, which is
    the user's, passes. What it prints is kept in ``printed``. Torch tensors come back
    as arrays; so do lists, if ``arrays`` says that the function is known to mean them.
    """

    def __init__(self, function: Function, arrays: bool = False) -> None:
        self.function = function
        self.arrays = arrays
        self.printed = ""

    def __call__(self, *arguments: Any) -> Any:
        mine = copy.deepcopy(arguments)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = within(CALL_SECONDS, self.function, *mine)
        except KeyboardInterrupt:
            raise
        except TookTooLong:
            raise Stumbled("endless", ENDLESS.format(CALL_SECONDS)) from None
        except NotImplementedError:
            raise Stumbled("unsolved", "it is not solved yet") from None
        except Stumbled:
            raise
        except BaseException as error:
            which = (type(error).__name__,)  # IndexError is unlike NameError
            says = told(error, self.function)
            raise Stumbled("exception", says, detail=which) from None
        finally:
            self.printed = printed.getvalue()
        if value is Ellipsis:
            raise Stumbled("unsolved", "it is not solved yet")
        for number, (given, after) in enumerate(zip(arguments, mine, strict=True)):
            if not same(given, after):
                says = f"your function changed its input {self._name(number)}"
                raise Stumbled(
                    "changed input", f"{says}; copy it before you write to it"
                )
        value = plain(value)
        is_list = self.arrays and isinstance(value, list | tuple)
        return np.asarray(value) if is_list else value

    def _name(self, number: int) -> str:
        code = getattr(self.function, "__code__", None)
        names = code.co_varnames[: code.co_argcount] if code else ()
        return f"`{names[number]}`" if number < len(names) else f"number {number + 1}"


def told(error: BaseException, function: Function) -> str:
    """The error in a sentence, with the student's own line where it came from."""
    what = f"your function raised {type(error).__name__}"
    text = " ".join(str(error).split())
    if text:
        what += f": {text[:300]}"
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    if not own or own[-1].lineno is None:
        return what
    line = linecache.getline(own[-1].filename, own[-1].lineno).strip()
    return f"{what}, in line {own[-1].lineno}: `{line}`" if line else what


def same(one: Any, other: Any) -> bool:
    """Equal to the bit, NaN to NaN, in arrays, records, lists and plain values."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
        )
    if isinstance(one, list | tuple):
        return (
            type(one) is type(other)
            and len(one) == len(other)
            and all(same(a, b) for a, b in zip(one, other, strict=True))
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return bool(one == other or one != one) if not callable(one) else True
