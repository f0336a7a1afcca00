"""The misalignment explorer, driven in a headless Chromium: its numbers are right.

Most tests read what the page says (tables, cards, drawing); the 240 random cases ask
its arithmetic, ``layers.follow``, directly. Every test also fails where the page logs
anything, throws, or asks for anything that is not a file beside it.

Deliberate faults, and the test that caught each. In ``layers.js``, all by the 240
random cases: halves rounded up or towards zero; floor for round, truncation for floor;
the last cell left out when rounding, taken in when flooring; bins that start at the
ceiling or end at the floor; bins of 0 cells, or of a rounded number; no least size, or
one for inside-out RoIs alone, for aligned RoIAlign too, not for legacy; RoIWarp
unrounded or legacy; half a pixel never or always; samples at the starts of their parts;
adaptive sampling by floor, or of inside-out RoIs; x for y, rows for columns; the last
of equal cells or samples; a maximum that starts from 0; the map's last row cut off; the
maximum for the mean; reads cut off half a cell before or after the map, not clamped;
weights swapped or taken from one axis; each shift measured from the wrong bins; signs
and sizes of what is lost and covered; a cell off the map that wins its bin by a flat
index that wraps (found so); points counted column by column.

In the other scripts:

- bins drawn where they belong, points half a cell off: the map shows the numbers
- arrows reversed: arrows lead from ...
- holds swapped, no whole pixels: dragging with the mouse
- edges that cross: a drag across the opposite edge stops there
- a drag that scrolls the page (found so), one that never scrolls: the fingers' tests
- Shift ignored, browser's own keys taken, nothing said aloud: keys move and resize
- a size below 0 by keys: shrinking stops at nothing
- a tap half a pixel off: a tap picks the nearest point
- another column in a table, cells for pixels: the tables say the numbers
- cells for pixels in a card, one layer's output in all: the cards say the numbers
- a copy of rounded numbers: copying the numbers; nothing shown where it is refused
- a seed that the noise or the link ignores, a ramp at corners: the features, every
  state survives its link
- an address that is never written: a link carries the state
- bad links that are followed in part, unchecked, or lead elsewhere: a bad link says so
- bad values taken: a bad value says so; odd RoIs unexplained: an odd RoI is ...
- a note that lies: 665 pixels at stride 32
- a wide element, a field without a name, no outline, a colour of its own, no way back:
  the tests named so
- a picture from the network, a message on the console: every test
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from explorer_numbers import (
    NAMES,
    State,
    check_numbers,
    check_tables,
    number,
    outputs_of,
    random_states,
    short,
    steps_of,
    tables_meant,
)
from explorer_page import (
    PAGE,
    chromium,
    features_of,
    open_browser,
    presets,
    roi_of,
    show,
    state_of,
    tables_of,
)
from PIL import Image
from strategies import Array

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.reference.roi_steps import Span

pytest.importorskip(
    "playwright.sync_api", reason='playwright is missing: pip install ".[browser]"'
)
if not chromium():
    pytest.skip("no Chromium is installed", allow_module_level=True)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

# The page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def watched(page: Page, faults: list[str]) -> Page:
    """Note what no page may do."""
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:"))
            or faults.append(f"request: {request.url}")
        ),
    )
    return page


def opened(context: BrowserContext, faults: list[str]) -> Page:
    page = watched(context.new_page(), faults)
    page.goto(PAGE.as_uri())
    return page


@pytest.fixture(scope="module")
def desktop(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The page on a desktop screen, and what went wrong on it."""
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield opened(context, faults), faults
    context.close()


@pytest.fixture
def page(desktop: tuple[Page, list[str]]) -> Iterator[Page]:
    """The same page for all tests (opening one takes longest), as it opens."""
    page, faults = desktop
    show(page, presets(page)[0])
    page.evaluate("scrollTo(0, 0)")
    yield page
    assert not faults


@pytest.fixture(scope="module")
def handheld(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The page on a phone with a touch screen, and what went wrong on it."""
    faults: list[str] = []
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    yield opened(context, faults), faults
    context.close()


@pytest.fixture
def phone(handheld: tuple[Page, list[str]]) -> Iterator[Page]:
    page, faults = handheld
    show(page, presets(page)[0])
    page.evaluate("scrollTo(0, 0)")
    yield page
    assert not faults


# The numbers


def test_240_random_cases_and_the_presets(page: Page) -> None:
    """RoIs inside, outside, empty, inside out; all options."""
    states = [*random_states(), *presets(page)]
    ask = """states => JSON.stringify(
        states.map(state => {
            const wrong = window.states.wrongWith(state);
            const map = window.features.make(state);
            return { wrong, map, told: layers.follow(state, map) };
        }),
        (key, value) => Number.isNaN(value) ? "NaN" : value)"""  # JSON has no NaN
    answers = json.loads(page.evaluate(ask, states))
    for state, answer in zip(states, answers, strict=True):
        assert answer["wrong"] == "", state
        check_numbers(answer["told"], state, np.array(answer["map"], np.float64))


def test_the_cases_are_of_every_kind() -> None:
    """The random cases hold what tells the layers and rules apart."""
    states = random_states()
    rois = [np.array(s["roi"]) / s["stride"] for s in states]
    assert sum(any(r[:2] > r[2:]) for r in rois) > 20  # inside out
    assert sum(any(r[:2] == r[2:]) for r in rois) > 10  # empty
    assert sum(any(r % 1 == 0.5) for r in rois) > 100  # halfway
    assert sum(any((r % 1 == 0.5) & (r < 0)) for r in rois) > 20
    assert sum(any(r < 0) for r in rois) > 50
    assert sum(s["out"][0] != s["out"][1] for s in states) > 100
    choices = ("stride", "rounding", "aligned", "samples", "mode", "features", "layer")
    counts = (7, 2, 2, 5, 2, 4, 3)
    for name, count in zip(choices, counts, strict=True):
        assert len({s[name] for s in states}) == count


def test_the_features(page: Page) -> None:
    """A ramp tells the place, numbers count, the blob is even, noise has a seed."""
    state = presets(page)[0] | {"image": [7 * 32, 5 * 32]}
    rows, columns = np.indices((5, 7))
    made = {
        kind: features_of(page, state | {"features": kind})
        for kind in ("ramp", "numbers", "blob", "noise")
    }
    assert (made["ramp"] == columns + 0.5).all()
    assert (made["numbers"] == 7 * rows + columns).all()
    blob = made["blob"]
    np.testing.assert_allclose(blob, blob[::-1, ::-1], rtol=1e-12)
    assert np.unravel_index(blob.argmax(), blob.shape) == (2, 3)
    assert blob.max() == 1
    noise = made["noise"]
    assert ((noise >= 0) & (noise < 1)).all()
    assert len(np.unique(noise)) > 20
    again = features_of(page, state | {"features": "noise"})
    other = features_of(page, state | {"features": "noise", "seed": 2})
    assert (noise == again).all()
    assert not (noise == other).all()


# What the page says


def test_the_tables_say_the_numbers(page: Page) -> None:
    """Of every preset and some random states, brought up by their links."""
    for state in [*presets(page), *random_states(20)[5:]]:
        show(page, state)
        check_tables(tables_of(page), tables_meant(state, features_of(page, state)))


def test_a_long_table_says_that_it_is_cut(page: Page) -> None:
    """28 x 28 bins are more than are shown; they are copied in full."""
    show(page, presets(page)[0] | {"out": [28, 28]})
    assert len(tables_of(page)[2]) == 700
    assert "The first 700 of 784 rows" in page.locator("#tables").inner_text()
    text = page.evaluate("tables.asText(layers.follow(states.FIRST, [[1]]))")
    assert text.count("\n") == 6 + 6 * 7 + 49 + 3 + 4 * 2 + 3  # rows, heads, gaps


@pytest.mark.parametrize("k", range(5))
def test_a_preset_s_button(page: Page, k: int) -> None:
    """It brings up its state, tells what there is to see, and shows as pressed."""
    state = presets(page)[k]
    show(page, random_states(1)[0])
    buttons = page.locator("#presets button")
    assert page.locator("#presets [aria-pressed=true]").count() == 0
    assert "your own" in page.locator("#preset-note").inner_text()
    buttons.nth(k).click()
    assert buttons.nth(k).get_attribute("aria-pressed") == "true"
    assert page.locator("#presets [aria-pressed=true]").count() == 1
    assert len(page.locator("#preset-note").inner_text()) > 80
    shown = state_of(page)
    assert {key: shown[key] for key in state} == state
    check_tables(tables_of(page), tables_meant(state, features_of(page, state)))


def columns_of(page: Page, table: int, layer: str) -> list[list[float]]:
    """The x rows of a layer in a table of axes, without the names."""
    rows = [row for row in tables_of(page)[table] if row[:2] == [layer, "x"]]
    return [[number(text) for text in row[2:14]] for row in rows]


def test_665_pixels_at_stride_32(page: Page) -> None:
    """20.78 -> 20 cells, 2.857 -> 2 a bin, 14 covered; rounded, 22 overlapping."""
    stride, start, end, size, _, _, used, lost, bin_size, covered = columns_of(
        page, 0, "RoIPool"
    )[0]
    assert (stride, start, end, size) == (32, 0, 20.78125, 20.78125)
    assert (used, lost, covered) == (20, 0.78125, 14)
    assert round(bin_size, 3) == 2.857
    last = columns_of(page, 1, "RoIPool")[-1]
    assert round(last[-1], 1) == -201.5  # as the note says
    assert "201.5 pixels" in page.locator("#preset-note").inner_text()
    page.locator("input[value=round]").check(force=True)
    assert columns_of(page, 0, "RoIPool")[0][6] == 22
    assert columns_of(page, 0, "RoIAlign")[0][8] == 2.96875


def test_8_x_8_into_2_x_2(page: Page) -> None:
    """Flooring: 3 and 3 columns, 2 and 2 rows; rounding pools 8 columns, 6 rows."""
    page.locator("#presets button").nth(1).click()

    def used(axis: str) -> list[float]:
        rows = [row for row in tables_of(page)[1] if row[:2] == ["RoIPool", axis]]
        return [number(row[8]) - number(row[7]) for row in rows]

    assert (used("x"), used("y")) == ([3, 3], [2, 2])
    page.locator("input[value=round]").check(force=True)
    sizes = {row[1]: row[8] for row in tables_of(page)[0] if row[0] == "RoIPool"}
    assert sizes == {"x": "8", "y": "6"}


def test_8_x_8_into_7_x_7(page: Page) -> None:
    """Flooring: one cell a bin, the eighth unread; rounding: 9 cells, one shared."""
    page.locator("#presets button").nth(2).click()
    bins = np.array(columns_of(page, 1, "RoIPool"))[:, 5:7]
    assert bins.tolist() == [[k, k + 1] for k in range(7)]
    assert columns_of(page, 0, "RoIAlign")[0][8] == round(8 / 7, 6)
    page.locator("input[value=round]").check(force=True)
    assert columns_of(page, 0, "RoIPool")[0][6] == 9
    bins = np.array(columns_of(page, 1, "RoIPool"))[:, 5:7]
    assert (bins[:-1, 1] - bins[1:, 0] == 1).all()


def test_the_paper_s_figure_3(page: Page) -> None:
    """A map of 5 x 5, 2 x 2 bins, four points a bin, each read from four cells."""
    page.locator("#presets button").nth(3).click()
    assert "point 0 of 4" in page.locator("#card-align").inner_text()
    picked = [row for row in tables_of(page)[3] if row[0] == "RoIAlign"]
    assert len({(row[6], row[7]) for row in picked}) == 4
    assert round(sum(float(row[8]) for row in picked), 5) == 1
    assert page.locator("#overlay .bin").count() == 4


def test_the_5_x_5_table(page: Page) -> None:
    """detectron2's case: aligned 4.5 .. 13.5, legacy 7.5 .. 16.5."""
    page.locator("#presets button").nth(4).click()
    table = 2.5 * np.arange(4)[:, None] + 0.5 * np.arange(4)
    for value, first in (("yes", 4.5), ("no", 7.5)):
        page.locator(f"input[name=aligned][value={value}]").check(force=True)
        out = [float(row[5]) for row in tables_of(page)[2]]
        assert out == (first + table).ravel().tolist()


def test_the_cards_say_the_numbers(page: Page) -> None:
    """Outputs in the bins, sizes, the worst shifts."""
    for state in [presets(page)[0], *presets(page)[3:], *random_states(8)]:
        show(page, state)
        features = features_of(page, state)
        outputs = outputs_of(state, features)
        for layer, steps in steps_of(state).items():
            card = page.locator(f"#card-{layer}")
            texts = card.locator("svg.out text").all_text_contents()
            values = [float(t.replace("\u2212", "-")) for t in texts]
            rough = np.where(np.abs(outputs[layer]) < 10, 0.0051, 0.51)
            assert (
                np.abs(np.reshape(values, rough.shape) - outputs[layer]) < rough
            ).all()
            facts = card.locator("table").inner_text()
            for axis in (steps.x, steps.y):
                assert short(axis.roi.size) in facts
                assert short(axis.quantised.size) in facts
                assert short(axis.covered) in facts
                worst = max(axis.shift, key=abs)
                if np.isfinite(worst) and abs(worst) > 1e-9:
                    assert f"{short(worst)} cells" in facts
                    assert f"{short(worst * axis.stride)} px" in facts


def check_drawing(page: Page, state: State) -> None:
    """The rectangles and dots on the map, from screen pixels back to cells."""
    steps = steps_of(state)[state["layer"]]
    path = page.locator("#overlay .grid").get_attribute("d") or ""
    lines = [
        [float(n) for n in pair] for pair in re.findall(r"M(\S+) ([-\d.]+)[VH]", path)
    ]
    columns = -(-state["image"][0] // state["stride"])
    left, top = lines[0]
    scale = (lines[columns][0] - left) / columns

    def rectangles(kind: str) -> Array:
        read = """all => all.map(r =>
            ["x", "y", "width", "height"].map(n => +r.getAttribute(n)))"""
        told = np.array(page.eval_on_selector_all(f"#overlay .{kind}", read))
        return (told - [left, top, 0, 0]) / scale

    def rectangle(x: Span, y: Span) -> list[float]:
        return [min(x), min(y), abs(x.size), abs(y.size)]

    close = {"rtol": 0, "atol": 1e-6}
    for kind, x, y in (
        ("roi", steps.x.roi, steps.y.roi),
        ("quantised", steps.x.quantised, steps.y.quantised),
    ):
        np.testing.assert_allclose(rectangles(kind), [rectangle(x, y)], **close)
    bins = [rectangle(x, y) for y in steps.y.bins for x in steps.x.bins]
    np.testing.assert_allclose(rectangles("bin"), bins, **close)
    dots = page.locator("#overlay .sample").get_attribute("d") or ""
    told = [[float(n) for n in pair] for pair in re.findall(r"M(\S+) (\S+?)h0", dots)]
    # Bins of RoIPool share cells: each place is drawn once.
    xs, ys = ({c for bin_ in axis.points for c in bin_} for axis in (steps.x, steps.y))
    meant = [
        [left + (x + 0.5) * scale, top + (y + 0.5) * scale] for x in xs for y in ys
    ]
    np.testing.assert_allclose(sorted(told), sorted(meant), rtol=0, atol=1e-6)


def test_the_map_shows_the_numbers(page: Page) -> None:
    """RoI, RoI used, bins and points lie where they should, half a cell and all."""
    for state in [*presets(page), *random_states(12)]:
        show(page, state)
        check_drawing(page, state)


def test_arrows_lead_from_the_bins_places_to_what_they_read(page: Page) -> None:
    """As long as the shifts, in the right direction; none where nothing shifts."""
    state = presets(page)[0]
    steps = steps_of(state)["pool"]
    d = "all => all.map(p => p.getAttribute('d').match(/-?[\\d.]+/g).map(Number))"
    arrows = np.array(page.eval_on_selector_all("#overlay .shift", d))
    assert len(arrows) == 49
    dx, dy = (arrows[:, 2:] - arrows[:, :2]).T
    ratio = dx[-1] / steps.x.shift[-1]
    meant = [(x, y) for y in steps.y.shift for x in steps.x.shift]
    np.testing.assert_allclose(
        np.array(meant) * ratio, np.stack([dx, dy], 1), atol=1e-6
    )
    assert ratio > 0
    page.locator("input[name=layer][value=align]").check(force=True)
    assert page.locator("#overlay .shift").count() == 0


def test_the_colours_are_the_palette_s(page: Page) -> None:
    read = "name => getComputedStyle(document.body).getPropertyValue(name)"
    for name in ("CELL", "ROI", "QUANTISED", "BIN", "SAMPLE", "FAULT"):
        colour = page.evaluate(read, f"--{name.lower()}")
        assert colour.upper() == getattr(palette, name)


# Keyboard, mouse, touch


def test_keys_move_and_resize(page: Page) -> None:
    """By a pixel, with Shift by a stride; the numbers follow."""
    show(page, presets(page)[0] | {"roi": [100, 100, 300, 300]})
    page.locator("#overlay").focus()
    for key, roi in (
        ("ArrowLeft", [99, 100, 299, 300]),
        ("ArrowUp", [99, 99, 299, 299]),
        ("ArrowRight", [100, 99, 300, 299]),
        ("ArrowDown", [100, 100, 300, 300]),
        ("Shift+ArrowRight", [132, 100, 332, 300]),
        ("Shift+ArrowDown", [132, 132, 332, 332]),
        ("d", [132, 132, 333, 332]),
        ("s", [132, 132, 333, 333]),
        ("a", [132, 132, 332, 333]),
        ("w", [132, 132, 332, 332]),
        ("Shift+D", [132, 132, 364, 332]),
        ("Shift+W", [132, 132, 364, 300]),
        ("q", [132, 132, 364, 300]),
        ("Control+ArrowLeft", [132, 132, 364, 300]),
    ):
        page.keyboard.press(key)
        assert roi_of(page) == roi, key
    state = presets(page)[0] | {"roi": roi_of(page)}
    check_tables(tables_of(page), tables_meant(state, features_of(page, state)))
    heard = (
        "document.getElementById('live').textContent.startsWith('RoI (132, 132, 364,')"
    )
    page.wait_for_function(heard)


def test_shrinking_stops_at_nothing(page: Page) -> None:
    show(page, presets(page)[0] | {"roi": [100, 100, 120, 110]})
    page.locator("#overlay").focus()
    page.keyboard.press("Shift+A")
    page.keyboard.press("Shift+W")
    assert roi_of(page) == [100, 100, 100, 100]
    assert "empty" in page.locator("#odd").inner_text()


HOLDS = {
    "move": (1, 1, 1, 1),
    "nw": (1, 1, 0, 0),
    "ne": (0, 1, 1, 0),
    "se": (0, 0, 1, 1),
    "sw": (1, 0, 0, 1),
    "n": (0, 1, 0, 0),
    "e": (0, 0, 1, 0),
    "s": (0, 0, 0, 1),
    "w": (1, 0, 0, 0),
}


def middle(hold: Locator) -> tuple[float, float]:
    box = hold.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pixel_on_screen(page: Page) -> float:
    """Screen pixels an image pixel."""
    width = page.locator("#overlay rect.roi").get_attribute("width")
    x1, _, x2, _ = roi_of(page)
    return float(width or 0) / (x2 - x1)


@pytest.mark.parametrize("hold", HOLDS)
def test_dragging_with_the_mouse(page: Page, hold: str) -> None:
    """The ends that belong to the hold follow the pointer, to whole pixels."""
    roi = [200, 160, 500, 480]
    show(page, presets(page)[0] | {"roi": roi})
    page.locator("#overlay").scroll_into_view_if_needed()
    x, y = middle(page.locator(f"[data-hold={hold}]"))
    scale = pixel_on_screen(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 11, steps=4)
    page.mouse.move(x + 60 * scale, y - 45 * scale)
    page.mouse.up()
    moved = [
        end + by * on
        for end, by, on in zip(roi, (60, -45) * 2, HOLDS[hold], strict=True)
    ]
    assert roi_of(page) == moved
    page.mouse.move(x, y)
    assert roi_of(page) == moved  # let go


def test_a_drag_across_the_opposite_edge_stops_there(page: Page) -> None:
    show(page, presets(page)[0] | {"roi": [300, 300, 400, 400]})
    page.locator("#overlay").scroll_into_view_if_needed()
    x, y = middle(page.locator("[data-hold=se]"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 250, y - 250, steps=3)
    page.mouse.up()
    assert roi_of(page) == [300, 300, 300, 300]


def test_small_images_move_by_sixteenths(page: Page) -> None:
    page.locator("#presets button").nth(4).click()
    page.locator("#overlay").scroll_into_view_if_needed()
    x, y = middle(page.locator("[data-hold=move]"))
    scale = pixel_on_screen(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 0.45 * scale, y + 1.2 * scale, steps=3)
    page.mouse.up()
    assert roi_of(page) == [1.4375, 2.1875, 3.4375, 4.1875]


def swipe(page: Page, start: tuple[float, float], by: tuple[float, float]) -> None:
    """One finger, from a place by some screen pixels."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", start)
    for part in (0.25, 0.5, 0.75, 1):
        touch("touchMove", (start[0] + part * by[0], start[1] + part * by[1]))
    touch("touchEnd")
    session.detach()


@pytest.mark.parametrize("hold", ["move", "se", "w"])
def test_dragging_with_a_finger(phone: Page, hold: str) -> None:
    roi = [200, 200, 500, 500]
    show(phone, presets(phone)[0] | {"roi": roi})
    phone.locator("#overlay").scroll_into_view_if_needed()
    before = phone.evaluate("scrollY")
    scale = pixel_on_screen(phone)
    start = middle(phone.locator(f"[data-hold={hold}]"))
    swipe(phone, start, (80 * scale, 100 * scale))
    ends = zip(roi, (80, 100) * 2, HOLDS[hold], strict=True)
    np.testing.assert_allclose(
        roi_of(phone), [e + by * on for e, by, on in ends], atol=2
    )
    assert phone.evaluate("scrollY") == before


def test_a_finger_beside_the_roi_scrolls_the_page(phone: Page) -> None:
    """The map does not trap who wants to read on."""
    show(phone, presets(phone)[0] | {"roi": [0, 0, 200, 200]})
    phone.locator("#overlay").scroll_into_view_if_needed()
    before = phone.evaluate("scrollY")
    box = phone.locator("#overlay").bounding_box()
    assert box
    swipe(phone, (box["x"] + 250, box["y"] + 200), (0, -150))
    phone.wait_for_function(f"scrollY > {before} + 50")
    assert roi_of(phone) == [0, 0, 200, 200]


def test_a_tap_picks_the_nearest_point(page: Page) -> None:
    """RoI 1 .. 3, 4 x 4 bins of half a cell: the bin in row 2, column 1."""
    page.locator("#presets button").nth(4).click()
    page.locator("select[data-key=samples]").select_option("2")
    page.locator("#overlay").scroll_into_view_if_needed()
    roi = page.locator("#overlay rect.roi").bounding_box()
    assert roi
    # Bin 2, 1 is [2, 2.5) x [1.5, 2); of its four points the upper right is the second.
    page.mouse.click(
        roi["x"] + roi["width"] * 0.9 / 2, roi["y"] + roi["height"] * 1.1 / 2
    )
    assert state_of(page)["pick"] == [2, 1, 1]
    assert roi_of(page) == [1, 1, 3, 3]
    assert "Bin 2, 1: point 1 of 4" in page.locator("#card-align").inner_text()


def test_a_bin_of_an_output_can_be_picked(page: Page) -> None:
    page.locator("#card-warp [data-bin='3,5']").click()
    assert state_of(page)["pick"] == [3, 5, 0]


# Links


def test_a_link_carries_the_state(page: Page) -> None:
    """The address follows a change, and opens the same page again."""
    state = random_states(40)[-1] | {"pick": [0, 0, 0]}
    show(page, state)
    fields = page.locator("[data-key=roi]")
    fields.nth(2).fill("1.5")
    fields.nth(2).press("Enter")
    state["roi"][2] = 1.5
    page.wait_for_function(
        "location.hash.includes('roi=') && location.hash.includes(',1.5,')"
    )
    other = page.context.new_page()
    other.goto(page.url)
    shown = state_of(other)
    assert {key: shown[key] for key in state} == state
    assert tables_of(other) == tables_of(page)
    assert other.locator("#problem").is_hidden()
    other.close()


def test_every_state_survives_its_link(page: Page) -> None:
    states = [*random_states(), *presets(page)]
    read = "all => all.map(s => states.fromLink(states.toLink(s)))"
    for state, answer in zip(states, page.evaluate(read, states), strict=True):
        assert answer == {"state": state, "wrong": ""}


def test_a_link_may_say_a_part(page: Page) -> None:
    """The rest is the first example's."""
    first = presets(page)[0]
    page.evaluate("location.hash = 'stride=16&layer=align'")
    page.wait_for_function("document.querySelector('[data-key=stride]').value === '16'")
    shown = state_of(page)
    meant = first | {"stride": 16, "layer": "align"}
    assert {key: shown[key] for key in meant} == meant


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("#roi=1,2,3", "4, not 3"),
        ("#roi=1,2,x,4", "x2 is not a number"),
        ("#roi=1,,3,4", "y1 is not a number"),
        ("#roi=0,0,NaN,4", "x2 is not a number"),
        ("#roi=0,0,1e9,4", "from -800 to 1600"),
        ("#stride=3", "must be one of 1, 2"),
        ("#stride=1,2", "1, not 2"),
        ("#out=0,7", "bin rows is 0"),
        ("#out=2.5,7", "a whole number"),
        ("#image=2048,800&stride=2", "1024 cells"),
        ("#image=256,256&stride=1&roi=-256,-256,512,512", "span 589824 cells"),
        ("#layer=roi", "layer cannot be"),
        ("#aligned=maybe", "aligned cannot be"),
        ("#colour=red", "does not know: “colour”"),
        ("#toString=1", "does not know"),
        ("#<img src=x onerror=alert(1)>", "does not know"),
        ("#%E0%A4%A", "does not know"),
    ],
)
def test_a_bad_link_says_so_and_shows_the_first_example(
    page: Page, link: str, said: str
) -> None:
    page.locator("#presets button").nth(2).click()
    page.evaluate("link => { location.hash = link; }", link)
    page.wait_for_function("!document.getElementById('problem').hidden")
    problem = page.locator("#problem").inner_text()
    assert problem.startswith("This link cannot be followed: ")
    assert said in problem
    assert page.locator("#presets button").first.get_attribute("aria-pressed") == "true"
    page.locator("#presets button").nth(1).click()
    assert page.locator("#problem").is_hidden()


# Fields


@pytest.mark.parametrize(
    ("key", "index", "text", "said"),
    [
        ("roi", 0, "", "x1 is not a number"),
        ("roi", 3, "1e5", "y2 is 100000"),
        ("image", 0, "0", "image width is 0"),
        ("image", 1, "-800", "image height is -800"),
        ("image", 0, "9.5", "a whole number"),
        ("image", 0, "100", "x2 is 665"),
        ("out", 0, "29", "from 1 to 28"),
        ("out", 1, "-1", "bin columns is -1"),
        ("seed", None, "", "seed is not a number"),
        ("pick", 2, "-1", "point is -1"),
    ],
)
def test_a_bad_value_says_so_and_changes_nothing(
    page: Page, key: str, index: int | None, text: str, said: str
) -> None:
    before = tables_of(page)
    field = page.locator(f"[data-key={key}]").nth(index or 0)
    field.fill(text)
    field.press("Enter")
    field.blur()
    assert said in page.locator("#problem").inner_text()
    assert "last good value" in page.locator("#problem").inner_text()
    assert field.get_attribute("aria-invalid") == "true"
    assert tables_of(page) == before
    page.locator("#overlay").focus()
    page.keyboard.press("ArrowRight")  # the page goes on from the last good state
    assert page.locator("#problem").is_hidden()
    assert page.locator("[aria-invalid]").count() == 0
    assert roi_of(page) == [1, 0, 666, 665]


@pytest.mark.parametrize(
    ("roi", "said"),
    [
        ([500, 0, 100, 665], "inside out"),
        ([0, 300, 665, 100], "inside out"),
        ([100, 100, 100, 300], "empty"),
        ([-300, 0, -10, 300], "outside the image"),
        ([0, 900, 100, 1000], "outside the image"),
        ([0, 0, 665, 665], ""),
    ],
)
def test_an_odd_roi_is_followed_and_explained(
    page: Page, roi: list[float], said: str
) -> None:
    state = presets(page)[0] | {"roi": roi}
    for layer in NAMES:
        show(page, state | {"layer": layer})
        check_drawing(page, state | {"layer": layer})
    assert page.locator("#problem").is_hidden()
    told = page.locator("#odd").inner_text()
    assert said in told
    assert bool(told) == bool(said)
    check_tables(tables_of(page), tables_meant(state, features_of(page, state)))


def test_every_control_changes_the_numbers(page: Page) -> None:
    """Through the controls, step by step, and compared each time."""
    state = presets(page)[0]
    changes: Sequence[tuple[str, int | None, Any]] = [
        ("image", 0, 640),
        ("roi", 2, 500.5),
        ("roi", 1, -20),
        ("stride", None, 64),
        ("out", 0, 3),
        ("out", 1, 5),
        ("samples", None, 0),
        ("features", None, "noise"),
        ("seed", None, 7),
        ("pick", 0, 2),
        ("pick", 1, 4),
        ("pick", 2, 1),
    ]
    for key, index, value in changes:
        control = page.locator(f"[data-key={key}]").nth(index or 0)
        if key in ("stride", "samples", "features"):
            control.select_option(str(value))
        else:
            control.fill(str(value))
            control.press("Enter")
        if index is None:
            state[key] = value
        else:
            state[key] = [*state[key][:index], value, *state[key][index + 1 :]]
        check_tables(tables_of(page), tables_meant(state, features_of(page, state)))
    for name, value in (("rounding", "round"), ("aligned", "no"), ("mode", "max")):
        page.locator(f"input[name={name}][value={value}]").check(force=True)
        state[name] = value if name != "aligned" else False
        check_tables(tables_of(page), tables_meant(state, features_of(page, state)))


# Copying


CATCH = """Object.defineProperty(navigator, "clipboard", { configurable: true, value: {
    writeText: async text => { window.caught = text; } } })"""
REFUSE = """Object.defineProperty(navigator, "clipboard", { configurable: true, value: {
    writeText: async () => { throw new Error("no"); } } });
    document.execCommand = () => false;"""


def test_copying_the_numbers(page: Page) -> None:
    """Tab-separated, a title, a head and the rows of each table, in full precision."""
    page.evaluate(CATCH)
    state = presets(page)[0]  # bins of 20 / 7 cells, which six decimals do not say
    page.locator("#copy-numbers").click()
    page.wait_for_function(
        "document.getElementById('numbers-copied').textContent === 'Copied.'"
    )
    blocks = page.evaluate("caught").rstrip("\n").split("\n\n")
    tables = [[line.split("\t") for line in block.split("\n")] for block in blocks]
    for table in tables:
        assert len(table[0]) == 1
        assert {len(row) for row in table[1:]} == {len(table[1])}
    meant = tables_meant(state, features_of(page, state))
    check_tables([table[2:] for table in tables], meant)
    assert float(tables[0][2][8]) == steps_of(state)["pool"].x.quantised.size
    assert float(tables[0][2][10]) == steps_of(state)["pool"].x.bin_size


def test_copying_the_link(page: Page) -> None:
    page.evaluate(CATCH)
    state = random_states(9)[-1]
    show(page, state)
    page.locator("#copy-link").click()
    page.wait_for_function(
        "document.getElementById('link-copied').textContent === 'Copied.'"
    )
    base, _, link = page.evaluate("caught").partition("#")
    assert base == PAGE.as_uri()
    assert page.evaluate("link => states.fromLink(link)", link) == {
        "state": state,
        "wrong": "",
    }


def test_where_copying_is_refused_the_text_is_shown(page: Page) -> None:
    page = page.context.new_page()
    page.goto(PAGE.as_uri())
    page.evaluate(REFUSE)
    page.locator("#copy-numbers").click()
    shown = page.locator("#by-hand")
    shown.wait_for(state="visible")
    assert shown.input_value() == page.evaluate(
        "tables.asText(layers.follow(states.FIRST, features.make(states.FIRST)))"
    )
    selected = "e => e.selectionEnd - e.selectionStart === e.value.length"
    assert shown.evaluate(selected)
    assert "by hand" in page.locator("#numbers-copied").inner_text()
    page.close()


# For everyone


def test_every_control_has_a_name(page: Page) -> None:
    """As assistive technology computes it."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    focusable = [
        node
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] not in ("RootWebArea", "MenuListPopup", "option")
        and any(
            p["name"] == "focusable" and p["value"]["value"]
            for p in node.get("properties", [])
        )
    ]
    names = [node.get("name", {}).get("value", "").strip() for node in focusable]
    assert all(names), [node["role"]["value"] for node in focusable if not node["name"]]
    controls = "input, select, textarea, button, a, [tabindex='0'], summary"
    assert len(names) == page.locator(f":is({controls}):visible").count()
    images = [node for node in nodes if node.get("role", {}).get("value") == "image"]
    assert all(node["name"]["value"] for node in images)


def test_everything_is_reached_by_tab_with_a_visible_focus(page: Page) -> None:
    """One stop for a group of radio buttons, one for everything else."""
    read = """() => {
        const [at, body] = [document.activeElement, document.body];
        if (at === body) return null;
        const seen = at.type === "radio" ? at.nextElementSibling : at;
        const number = [...document.querySelectorAll("*")].indexOf(at);
        return [number, getComputedStyle(seen).outlineStyle, at.outerHTML];
    }"""
    page.locator("a").last.focus()
    stops: set[int] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate(read)
        if stop and stop[0] in stops:
            break  # once around
        if stop:
            stops.add(stop[0])
            assert stop[1] != "none", stop[2]
    controls = "[data-key], button, a, [tabindex='0'], summary"
    groups = len({"layer", "rounding", "aligned", "mode"})
    assert len(stops) == page.locator(f":is({controls}):visible").count() + groups


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(browser: Browser, scheme: Any) -> None:
    """At 390 pixels, and at 320; and the text stands out from the page."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme=scheme
    )
    page = context.new_page()
    page.goto(PAGE.as_uri())
    page.locator("summary").click()
    for width, k in itertools.product((390, 320), range(5)):
        page.set_viewport_size({"width": width, "height": 844})
        page.locator("#presets button").nth(k).click()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        map_box = page.locator("#overlay").bounding_box()
        assert map_box
        assert map_box["width"] <= width - 30
    colours = (
        "['color', 'backgroundColor'].map(n => getComputedStyle(document.body)[n])"
    )
    ink, ground = (
        np.mean([int(c) for c in re.findall(r"\d+", text)[:3]])
        for text in page.evaluate(colours)
    )
    assert (
        (ink < 60 and ground > 240)
        if scheme == "light"
        else (ink > 200 and ground < 40)
    )
    context.close()


@pytest.mark.parametrize("screen", ["page", "phone"])
def test_every_example_is_a_picture_of_its_own(
    screen: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """To be looked at: ``--basetemp FOLDER`` says where the screenshots go."""
    page: Page = request.getfixturevalue(screen)
    seen = []
    for place, state in enumerate(presets(page)):
        show(page, state)
        file = tmp_path / f"{screen}-{place}.png"
        page.screenshot(path=file, full_page=True)
        picture = np.array(Image.open(file).convert("RGB"))
        assert picture.shape[1] == page.viewport_size["width"]
        for colour in (palette.ROI, palette.BIN, palette.SAMPLE):
            rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            assert (picture == rgb).all(axis=2).sum() > 50, colour
        seen.append(picture.tobytes())
    assert len(set(seen)) == len(seen)


def test_the_way_back_to_the_site(page: Page) -> None:
    """Links lead to pages that the site has a source of."""
    links = page.eval_on_selector_all(
        "a", "all => all.map(a => a.getAttribute('href'))"
    )
    assert "../index.html" in links
    for link in links:
        assert (PAGE.parent / link).resolve().with_suffix(".md").is_file()
