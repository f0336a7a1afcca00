"""The misalignment explorer in a headless Chromium, for its tests and its picture.

    python tests/explorer_page.py docs/images/explorer.png    # draws the picture anew
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGE = Path(__file__).parents[1] / "docs" / "explorer" / "index.html"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The path of the installed Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


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


def draw_picture(file: str) -> None:
    """The page as it opens, down to the outputs side by side."""
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1780})
        page.goto(PAGE.as_uri())
        page.screenshot(path=file)


if __name__ == "__main__":
    draw_picture(sys.argv[1])
