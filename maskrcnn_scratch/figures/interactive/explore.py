"""A figure with controls: live where a kernel runs, a picture everywhere else.

``explore`` shows one output that holds both. JupyterLab draws the controls; viewers
without a kernel, such as a page on GitHub or a print, draw the picture.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from io import BytesIO
from typing import Any, Protocol, TypeVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
INSTALL = "To move the controls, install them: pip install 'maskrcnn-scratch[course]'"
DOTS = 100  # an inch
CONTROL_WIDTH = "420px"


class Seen(Protocol):
    """The numbers of a figure, which can say what is seen."""

    def sentence(self) -> str:
        """What the figure shows now, with its main numbers, in one sentence."""


S = TypeVar("S", bound=Seen)
Draw = Callable[..., tuple[Figure, S]]


@dataclass(frozen=True)
class Slider:
    """A number from ``low`` to ``high``; whole if all four numbers are.

    Raises ValueError where it would start outside of them.
    """

    label: str
    value: float
    low: float
    high: float
    step: float = 1

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"{self.label} is {self.value}; it must be from {self.low} to"
                f" {self.high}"
            )

    def widget(self) -> Any:
        """The ipywidget. Arrow keys move it by one step."""
        import ipywidgets

        numbers = (self.value, self.low, self.high, self.step)
        whole = all(isinstance(number, int) for number in numbers)
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        limits = {"min": self.low, "max": self.high, "step": self.step}
        return kind(value=self.value, **limits, **looks(self.label))


@dataclass(frozen=True)
class Choice:
    """One of some values, each with the words for it.

    Raises ValueError where it would start with none of them.
    """

    label: str
    value: Any
    options: dict[str, Any]

    def __post_init__(self) -> None:
        if self.value not in self.options.values():
            known = ", ".join(repr(value) for value in self.options.values())
            raise ValueError(
                f"{self.label} is {self.value!r}; it must be one of {known}"
            )

    def widget(self) -> Any:
        """The ipywidget. Arrow keys change it."""
        import ipywidgets

        options = list(self.options.items())
        return ipywidgets.Dropdown(
            options=options, value=self.value, **looks(self.label)
        )


Control = Slider | Choice


def looks(label: str) -> dict[str, Any]:
    """What all controls share: their label in full, and one width."""
    wide = {"description_width": "150px"}
    return {"description": label, "style": wide, "layout": {"width": CONTROL_WIDTH}}


def explore(draw: Draw[S], /, **controls: Control) -> S:
    """Show ``draw``'s figure with controls for its parameters; return its numbers.

    ``draw`` takes a value for each of ``controls``, by name, and returns a figure and
    its numbers. What is returned belongs to the values at the start. Where no kernel
    runs, as in a script, nothing is shown.
    """
    figure, told = draw(**{name: control.value for name, control in controls.items()})
    if in_kernel():
        from IPython.display import publish_display_data

        publish_display_data(*bundle(draw, controls, figure, told))
    return told


def in_kernel() -> bool:
    """Whether this runs in a notebook's kernel, which has imported IPython."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython and ipython.get_ipython(), "kernel")


def bundle(
    draw: Draw[S], controls: dict[str, Control], figure: Figure, told: S
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One output's data by MIME type, and its metadata: words, picture and controls.

    Without ipywidgets there are no controls, and the words say how to get them.
    """
    png, words = png_of(figure), told.sentence()
    data: dict[str, Any] = {"image/png": as_text(png), "text/plain": words}
    if find_spec("ipywidgets"):
        box = live(draw, controls, png, words)
        data[WIDGET_VIEW] = box._repr_mimebundle_()[WIDGET_VIEW]
    else:
        data["text/plain"] = f"{words}\n{INSTALL}"
    return data, {"image/png": {"alt": words}}


def live(draw: Draw[S], controls: dict[str, Control], png: bytes, words: str) -> Any:
    """The controls, the picture and the words, as an ipywidget that redraws itself.

    An error in drawing takes the place of the words.
    """
    import ipywidgets

    inputs = {name: control.widget() for name, control in controls.items()}
    picture = ipywidgets.HTML(image_tag(png, words))
    caption = ipywidgets.HTML(paragraph(words))

    def redraw(_: object) -> None:
        try:
            values = {name: control.value for name, control in inputs.items()}
            figure, told = draw(**values)
            words = told.sentence()
            picture.value = image_tag(png_of(figure), words)
        except Exception as error:  # whatever it is, a reader needs one sentence
            words = f"These values cannot be drawn: {error}. The picture is older."
        caption.value = paragraph(words)

    for control in inputs.values():
        control.observe(redraw, "value")
    panel = ipywidgets.Box(list(inputs.values()), layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox([panel, picture, caption])


def png_of(figure: Figure) -> bytes:
    """A figure as a PNG file of at most 256 colours: small, and quick to make."""
    figure.set_dpi(DOTS)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    few = pixels.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = BytesIO()
    few.save(file, "PNG")
    return file.getvalue()


def as_text(png: bytes) -> str:
    """The form in which notebooks and pages hold a picture."""
    return base64.b64encode(png).decode("ascii")


def image_tag(png: bytes, words: str) -> str:
    """A picture in a page, with words for those who do not see it."""
    source = f"data:image/png;base64,{as_text(png)}"
    return f'<img style="max-width: 100%" alt="{escape(words)}" src="{source}">'


def paragraph(words: str) -> str:
    """Words in a page, in lines that can be read."""
    return f'<p style="max-width: 50em; line-height: 1.4">{escape(words)}</p>'
