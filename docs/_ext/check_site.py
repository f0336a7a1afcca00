"""Check a built site: every link inside it leads somewhere, every picture has words.

    python docs/_ext/check_site.py docs/_build/html

No network is used: addresses elsewhere are not followed, but nothing that a page needs
to be shown may come from there.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

NEEDED = {"script": "src", "img": "src", "source": "src", "iframe": "src"}
SHOWN = NEEDED | {"link": "href"}
EMBEDDED = ("data:", "blob:")


class Page(HTMLParser):
    """What a page refers to, and what in it can be referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.faults: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        words = given.get("alt", "").strip()  # without any, Sphinx writes the address
        if tag == "img" and (not words or words == given.get("src")):
            self.faults.append(f"no alternative text: {given.get('src', '')[:80]}")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif (target := given.get(SHOWN.get(tag, ""), "")) and not target.startswith(
            EMBEDDED
        ):
            self.links.append(target)
            if urlsplit(target).netloc:
                self.faults.append(f"comes from elsewhere: {target}")


def faults(site: Path) -> list[str]:
    """Every fault of a site, with the page that it is on."""
    pages = {file: Page(file.read_text("utf-8")) for file in site.rglob("*.html")}
    found = []
    for file, page in pages.items():
        told = page.faults + [
            f"leads nowhere: {link}"
            for link in dict.fromkeys(page.links)
            if not leads_somewhere(link, file, pages)
        ]
        found += [f"{file.relative_to(site)}: {fault}" for fault in told]
    return sorted(found)


def leads_somewhere(link: str, file: Path, pages: dict[Path, Page]) -> bool:
    """Whether a link on ``file`` leads out of the site, or to what is there."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = file
    if parts.path:
        target = (file.parent / unquote(parts.path)).resolve()
    anchor = unquote(parts.fragment)
    if target not in pages or not anchor or "=" in anchor:  # a state, for a script
        return target.is_file()
    return anchor in pages[target].anchors


def main(folder: str) -> None:
    """Print the faults, and fail if there are any."""
    site = Path(folder).resolve()
    if not (site / "index.html").is_file():
        raise SystemExit(f"{site} holds no site")
    found = faults(site)
    print(*found, sep="\n")
    if found:
        raise SystemExit(f"{len(found)} faults in {site}")
    print(f"Links and pictures are in order. The site: {site / 'index.html'}")


if __name__ == "__main__":
    main(sys.argv[1])
