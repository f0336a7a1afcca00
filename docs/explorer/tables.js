"use strict";
/* Every number as tables, on the page (rounded) and as text to paste (in full). */

window.tables = (() => {
  const { NAMES } = window.drawing;
  const MOST_ROWS = 700; // on the page; what is copied holds all

  const eachAxis = (told, of) => Object.keys(NAMES).flatMap((layer) =>
    ["x", "y"].flatMap((axis) => of(told[layer][axis], [NAMES[layer], axis])));

  function rois(told) {
    return {
      title: "The RoI, by axis",
      head: ["layer", "axis", "stride", "RoI from", "to", "size", "used from", "to",
        "size", "cells lost", "bin size", "bins cover"],
      rows: eachAxis(told, (a, names) => [[...names, a.stride, a.roi.start, a.roi.end,
        a.roi.size, a.quantised.start, a.quantised.end, a.quantised.size, a.lost,
        a.binSize, a.covered]]),
    };
  }

  function bins(told) {
    return {
      title: "The bins, by axis",
      head: ["layer", "axis", "bin", "ideal from", "to", "even from", "to", "used from",
        "to", "shift by corners", "by borders", "by reading", "in all", "in pixels",
        "points (index)"],
      rows: eachAxis(told, (a, names) => a.bins.map((bin, k) => [...names, k,
        a.idealBins[k].start, a.idealBins[k].end, a.evenBins[k].start,
        a.evenBins[k].end, bin.start, bin.end, a.cornerShift[k], a.borderShift[k],
        a.readingShift[k], a.shift[k], a.shift[k] * a.stride, a.points[k]])),
    };
  }

  function outputs(told) {
    const [rows, columns] = [told.pool.out.length, told.pool.out[0].length];
    const all = [];
    for (let i = 0; i < rows; i += 1) {
      for (let j = 0; j < columns; j += 1) {
        all.push([i, j, told.pool.out[i][j], told.pool.argmax[i][j],
          told.warp.out[i][j], told.align.out[i][j]]);
      }
    }
    return {
      title: "The outputs",
      head: ["bin row", "bin column", "RoIPool", "its cell (row x width + column)",
        "RoIWarp", "RoIAlign"],
      rows: all,
    };
  }

  function picked(told) {
    return {
      title: "The picked point and its cells",
      head: ["layer", "bin row", "bin column", "point", "y (index)", "x (index)",
        "cell row", "cell column", "weight", "feature", "weight x feature",
        "value read", "counts in the bin"],
      rows: Object.keys(NAMES).flatMap((layer) => {
        const { i, j, s, y, x, points, cells, value, share } = told[layer].picked;
        if (!points) return [[NAMES[layer], i, j, ...Array(10).fill("none")]];
        const point = [NAMES[layer], i, j, s, y, x];
        if (!cells.length) return [[...point, ...Array(5).fill("none"), value, share]];
        return cells.map((c) => [...point, c.row, c.column, c.weight, c.feature,
          c.weight * c.feature, value, share]);
      }),
    };
  }

  const all = (told) => [rois(told), bins(told), outputs(told), picked(told)];

  /* Six decimals, no needless zeros; "none" where nothing is read. */
  function rounded(value) {
    if (Array.isArray(value)) return value.map(rounded).join("; ");
    if (typeof value === "string") return value;
    return Number.isFinite(value) ? String(Number(value.toFixed(6)) + 0) : "none";
  }

  function inFull(value) {
    if (Array.isArray(value)) return value.map(inFull).join("; ");
    return Number.isNaN(value) ? "none" : String(value);
  }

  function html({ title, head, rows }) {
    const cells = (row) => row.map((value) => `<td>${rounded(value)}</td>`).join("");
    const shown = rows.slice(0, MOST_ROWS);
    const more = rows.length > shown.length
      ? `<p>The first ${shown.length} of ${rows.length} rows; the copy holds all.</p>`
      : "";
    return `<h3>${title}</h3><div class="scroll" tabindex="0" role="region" ` +
      `aria-label="${title}"><table><thead><tr>` +
      head.map((name) => `<th scope="col">${name}</th>`).join("") +
      `</tr></thead><tbody>${shown.map((row) => `<tr>${cells(row)}</tr>`).join("")}` +
      `</tbody></table></div>${more}`;
  }

  function draw(told) {
    document.getElementById("tables").innerHTML = all(told).map(html).join("");
  }

  const asText = (told) => all(told).map(({ title, head, rows }) =>
    [[title], head, ...rows].map((row) => row.map(inFull).join("\t")).join("\n"))
    .join("\n\n") + "\n";

  return { draw, asText };
})();
