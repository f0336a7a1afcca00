"""The misalignment explorer in a headless Chromium, for its tests and its picture.

python tests/explorer_page.py docs/images/explorer.png    # draws the picture anew
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from explorer_numbers import State
from PIL import Image
from strategies import Array

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGE = Path(__file__).parents[1] / "docs" / "explorer" / "index.html"
COMMANDS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The path of the installed Chromium, or None."""
    return next((path for name in COMMANDS if (path := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium, closed in the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def link_to(state: State) -> str:
    """A state as the part of a link that follows #, in words of the test's own."""
    texts = {
        key: ",".join(map(repr, value)) if isinstance(value, list) else str(value)
        for key, value in state.items()
    }
    texts["aligned"] = "yes" if state["aligned"] else "no"
    return "#" + "&".join(f"{key}={text}" for key, text in texts.items())


def show(page: Page, state: State) -> None:
    """Bring the page to a state, as when a link with it is followed."""
    page.evaluate(
        """link => {
            history.replaceState(null, "", link);
            dispatchEvent(new HashChangeEvent("hashchange", { newURL: location.href }));
        }""",
        link_to(state),
    )


def state_of(page: Page) -> State:
    """The state as the controls say it."""
    fields = "[...document.querySelectorAll('[data-key]')]"
    read = f"{fields}.map(c => [c.dataset.key, c.dataset.index, c.value])"
    state: State = {}
    for key, index, text in page.evaluate(read):
        value = text if key == "features" else float(text)
        if index is None:
            state[key] = value
        else:
            state.setdefault(key, []).append(value)
    checked = (
        "[...document.querySelectorAll('input:checked')].map(r => [r.name, r.value])"
    )
    state |= dict(page.evaluate(checked))
    return state | {"aligned": state["aligned"] == "yes"}


def roi_of(page: Page) -> list[float]:
    return list(state_of(page)["roi"])


def features_of(page: Page, state: State) -> Array:
    made = page.evaluate("state => features.make(state)", state)
    return np.array(made, np.float64)


def presets(page: Page) -> list[State]:
    return list(page.evaluate("states.PRESETS.map(preset => preset.state)"))


def tables_of(page: Page) -> list[list[list[str]]]:
    """The cells of each table of numbers, without the heads."""
    return list(
        page.evaluate(
            """[...document.querySelectorAll("#tables table")].map(table =>
            [...table.tBodies[0].rows].map(row =>
              [...row.cells].map(cell => cell.textContent)))"""
        )
    )


def draw_picture(file: str) -> None:
    """The page as it opens, down to the outputs side by side."""
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1780})
        page.goto(PAGE.as_uri())
        picture = Image.open(io.BytesIO(page.screenshot()))
    picture.quantize(64).save(file, optimize=True)


if __name__ == "__main__":
    draw_picture(sys.argv[1])
