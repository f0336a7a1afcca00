"use strict";
/* What the drawings share: words, numbers, greys. */

window.drawing = (() => {
  const NAMES = { pool: "RoIPool", warp: "RoIWarp", align: "RoIAlign" };

  /* A number as it is read: four digits, no needless zeros, a real minus. */
  function short(value) {
    if (!Number.isFinite(value)) return "nothing";
    const rounded = Number(value.toPrecision(4));
    const text = String(Math.abs(rounded) < 1e-9 ? 0 : rounded);
    return text.replace("-", "\u2212");
  }

  /* The same in as few digits as fit into a bin or cell. */
  function brief(value) {
    const size = Math.abs(value);
    return short(Number(value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)));
  }

  /* A number before and after a step; once where the step leaves it alone. */
  const change = (before, after) =>
    [...new Set([short(before), short(after)])].join(" \u2192 ");

  /* The number of largest size; NaN where there is none. */
  const farthest = (values) => values.filter(Number.isFinite)
    .reduce((most, v) => (Math.abs(v) <= Math.abs(most) ? most : v), NaN);

  const channels = (colour) => colour.match(/\d+(\.\d+)?/g).slice(0, 3).map(Number);

  /* Greys for a map's features, dark to bright as the page's colours say. */
  function greys(map) {
    const style = getComputedStyle(document.getElementById("heat"));
    const [low, high] = [channels(style.color), channels(style.backgroundColor)];
    const values = map.flat();
    const least = values.reduce((a, b) => Math.min(a, b));
    const range = values.reduce((a, b) => Math.max(a, b)) - least || 1;
    return (value) => {
      const part = Math.min(Math.max((value - least) / range, 0), 1);
      return low.map((c, k) => Math.round(c + part * (high[k] - c)));
    };
  }

  /* A rectangle; its spans may be inside out. */
  function box(columns, rows, kind, more = "") {
    const [x, y] = [columns, rows].map((span) => Math.min(span.start, span.end));
    const [width, height] = [columns, rows].map((s) => Math.abs(s.end - s.start));
    return `<rect class="${kind}" x="${x}" y="${y}" width="${width}" ` +
      `height="${height}" ${more}/>`;
  }

  const words = (x, y, text, kind = "", size = 11) =>
    `<text class="${kind}" x="${x}" y="${y}" font-size="${size}">${text}</text>`;

  return { NAMES, short, brief, change, farthest, greys, box, words };
})();
