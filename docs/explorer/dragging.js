"use strict";
/* Moving and resizing the RoI: by pointer (mouse, pen, finger) and by keyboard. */

window.dragging = (() => {
  /* The ends that a hold moves: n is y1, e is x2, and so on. */
  const ENDS = { w: 0, n: 1, e: 2, s: 3 };

  /* A RoI after its hold has been pulled by so many image pixels, on a grid of
  ``grain`` pixels; an edge stops at the opposite one. */
  function pulled(roi, hold, dx, dy, grain) {
    const snap = (value) => Math.round(value / grain) * grain;
    if (hold === "move") {
      const [mx, my] = [snap(roi[0] + dx) - roi[0], snap(roi[1] + dy) - roi[1]];
      return [roi[0] + mx, roi[1] + my, roi[2] + mx, roi[3] + my];
    }
    const next = [...roi];
    for (const letter of hold) {
      const end = ENDS[letter];
      const to = snap(roi[end] + (end % 2 ? dy : dx));
      const other = roi[(end + 2) % 4];
      next[end] = end < 2 ? Math.min(to, other) : Math.max(to, other);
    }
    return next;
  }

  /* Whole pixels, and sixteenths where the image has few. */
  const grainOf = (state) => (Math.max(...state.image) < 64 ? 1 / 16 : 1);

  /* Keys move both ends or the second one: [x1, y1, x2, y2] for a step of 1. */
  const KEYS = {
    arrowleft: [-1, 0, -1, 0], arrowright: [1, 0, 1, 0],
    arrowup: [0, -1, 0, -1], arrowdown: [0, 1, 0, 1],
    a: [0, 0, -1, 0], d: [0, 0, 1, 0], w: [0, 0, 0, -1], s: [0, 0, 0, 1],
  };

  /* The RoI after a key, or null where the key means nothing here. */
  function keyed(state, event) {
    const by = KEYS[event.key.toLowerCase()];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return null;
    const step = event.shiftKey ? state.stride : 1;
    const next = state.roi.map((c, k) => c + by[k] * step);
    // What only shrinks stops at size 0, or where it was when the RoI is inside out.
    for (const [first, last] of [[0, 2], [1, 3]]) {
      const least = Math.min(state.roi[first], state.roi[last]);
      if (by[first] === 0 && by[last] < 0) next[last] = Math.max(next[last], least);
    }
    return next;
  }

  /* Joins the overlay to the page: ``page`` gives state and place, and takes a RoI
  (shown with the same view until the drag ends), or a tap at a place in cells. */
  function listen(overlay, page) {
    let held = null;
    overlay.addEventListener("pointerdown", (event) => {
      if (held || event.button) return;
      const { state, place } = page.now();
      const [hold, pointer] = [event.target.dataset?.hold, event.pointerId];
      held = { hold, pointer, event, roi: state.roi, place, moved: false };
      overlay.setPointerCapture(event.pointerId);
      overlay.focus({ preventScroll: true });
    });
    const follow = (event) => {
      if (!held || event.pointerId !== held.pointer) return;
      const dx = event.clientX - held.event.clientX;
      const dy = event.clientY - held.event.clientY;
      held.moved ||= Math.hypot(dx, dy) > 3;
      if (!held.moved || !held.hold) return;
      const { state } = page.now();
      const pixels = (d) => (d / held.place.scale) * state.stride;
      const grain = grainOf(state);
      page.move(pulled(held.roi, held.hold, pixels(dx), pixels(dy), grain), true);
    };
    const end = (event) => {
      if (!held || event.pointerId !== held.pointer) return;
      // Browsers bundle moves: where the pointer leaves may be news.
      if (event.type === "pointerup") follow(event);
      const { moved, place } = held;
      held = null;
      if (moved) {
        page.move(page.now().state.roi, false);
      } else if (event.type === "pointerup") {
        const corner = overlay.getBoundingClientRect();
        page.tap(place.y.cells(event.clientY - corner.top),
          place.x.cells(event.clientX - corner.left));
      }
    };
    // A finger on the RoI drags it, beside it scrolls the page. (Chromium heeds no
    // touch-action of parts of a drawing.)
    overlay.addEventListener("touchstart", (event) => {
      if (event.target.dataset?.hold) event.preventDefault();
    }, { passive: false });
    overlay.addEventListener("pointermove", follow);
    overlay.addEventListener("pointerup", end);
    overlay.addEventListener("pointercancel", end);
    overlay.addEventListener("keydown", (event) => {
      const roi = keyed(page.now().state, event);
      if (!roi) return;
      event.preventDefault();
      page.move(roi, false);
    });
  }

  return { listen };
})();
