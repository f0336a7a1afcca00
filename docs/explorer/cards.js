"use strict";
/* The three layers side by side: outputs, sizes, shifts and the picked point. */

window.cards = (() => {
  const { NAMES, short, brief, change, farthest, greys, box, words } = window.drawing;
  const WIDTH = 320; // of a card's drawings, in their own units

  const readsOf = (state) =>
    `the ${state.mode === "max" ? "largest" : "mean"} of bilinear reads`;

  const HOW = {
    pool: () => "corners and bins to whole cells; the largest feature of each bin",
    warp: (state) => `corners to whole cells, bins kept; ${readsOf(state)}`,
    align: (state) =>
      `nothing rounded${state.aligned ? "" : ", half a cell off"}; ${readsOf(state)}`,
  };

  const square = (column, row, side) => [
    { start: column * side, end: (column + 1) * side },
    { start: row * side, end: (row + 1) * side },
  ];

  /* Black or white, whichever is read better on a grey. */
  const inkOn = ([r, g, b]) => (r + g + b > 3 * 135 ? "on-light" : "on-dark");

  function output(layer, told, grey) {
    const out = told[layer].out;
    const side = Math.min(WIDTH / out[0].length, WIDTH / out.length, 72);
    const { i, j } = told[layer].picked;
    const size = Math.min(12, side / 2.9);
    const bins = out.flatMap((row, r) => row.map((value, c) => {
      const colour = grey(value);
      const cell = box(...square(c, r, side), "out-bin",
        `fill="rgb(${colour})" data-bin="${r},${c}"`);
      if (size < 7) return cell;
      const [x, y] = [(c + 0.5) * side, (r + 0.5) * side + size * 0.35];
      return cell + words(x, y, brief(value), `middle ${inkOn(colour)}`, size);
    }));
    const [width, height] = [side * out[0].length, side * out.length];
    const name = `Output of ${NAMES[layer]}: ${out.length} by ${out[0].length} bins`;
    return `<svg class="out" role="img" aria-label="${name}" ` +
      `style="max-width:${width}px" viewBox="-1 -1 ${width + 2} ${height + 2}">` +
      `${bins.join("")}${box(...square(j, i, side), "picked-bin")}</svg>`;
  }

  /* How far the worst bin is off, in cells and in image pixels. */
  function worst(axis) {
    const shift = farthest(axis.shift);
    if (!Number.isFinite(shift)) return "nothing read";
    return `${short(shift)} cells<br>${short(shift * axis.stride)} px`;
  }

  /* An even bin, and what became of it: bins of RoIPool may differ by a cell. */
  function binSizes(axis) {
    const used = axis.bins.map((bin) => bin.size).sort((a, b) => a - b).map(short);
    return [...new Set([short(axis.binSize), [...new Set(used)].join(" or ")])]
      .join(" \u2192 ");
  }

  function facts({ x, y }) {
    const rows = [
      ["RoI, cells", (axis) => change(axis.roi.size, axis.quantised.size)],
      ["bin, cells", binSizes],
      ["bins cover", (axis) => short(axis.covered)],
      ["largest shift", worst],
    ];
    const lines = rows.map(([name, of]) =>
      `<tr><th scope="row">${name}</th><td>${of(x)}</td><td>${of(y)}</td></tr>`);
    return '<table class="facts"><thead><tr><td></td><th scope="col">across (x)</th>' +
      '<th scope="col">down (y)</th></tr></thead>' +
      `<tbody>${lines.join("")}</tbody></table>`;
  }

  /* A bar for each bin of an axis, up for a shift towards larger coordinates. */
  function bars(axis, label, top, most) {
    const [left, height] = [58, 22];
    const middle = top + height;
    const step = (WIDTH - left) / axis.shift.length;
    const drawn = axis.shift.map((shift, k) => {
      const pixels = Number.isFinite(shift) ? shift * axis.stride : 0;
      const tip = middle - (pixels / most) * height;
      const bar = { start: left + (k + 0.15) * step, end: left + (k + 0.85) * step };
      return box(bar, { start: tip, end: middle }, "bar");
    });
    return `<path class="axis" d="M${left} ${middle}H${WIDTH}"/>${drawn.join("")}` +
      words(0, middle + 4, label, "tick") +
      words(left - 4, top + 8, short(most), "tick end", 9) +
      words(left - 4, top + 2 * height, short(-most), "tick end", 9);
  }

  /* Shifts of all bins in image pixels, to the same scale in all cards. */
  function shiftChart({ x, y }, most, name) {
    return '<h4>Shift of each bin, image pixels</h4><svg class="bars" role="img" ' +
      `viewBox="0 -4 ${WIDTH} 114" aria-label="Shift of each bin of ${name}; ` +
      `the numbers are in the table below">${bars(x, "x", 0, most)}` +
      `${bars(y, "y", 62, most)}</svg>`;
  }

  const ceilingOf = (pixels) => (pixels > 0 ? Number(pixels.toPrecision(2)) : 1);

  function mostShift(told) {
    const pixels = Object.values(told).flatMap(({ x, y }) => [x, y]).map((axis) =>
      Math.abs(farthest(axis.shift) * axis.stride));
    return ceilingOf(Math.max(0, ...pixels.filter(Number.isFinite)));
  }

  /* The cells of one read, each with its weight and feature, and the point in them. */
  function taps({ cells, y, x }) {
    const [side, drawn] = [88, new Map()];
    // At the border of the map both rows or columns are one: their weights add up.
    for (const cell of cells) {
      const key = `${cell.row},${cell.column}`;
      const before = drawn.get(key)?.weight ?? 0;
      drawn.set(key, { ...cell, weight: cell.weight + before });
    }
    const [row0, column0] = [cells[0].row, cells[0].column];
    const squares = [...drawn.values()].map(({ row, column, weight, feature }) => {
      const [columns, rows] = square(column - column0, row - row0, side);
      // The point lies between the four centres: words keep to the outer halves.
      const first = rows.start + (row > row0 ? side - 35 : 14);
      const line = (k, text, kind) =>
        words(columns.start + 5, first + 14 * k, text, kind);
      return box(columns, rows, "tap", `style="fill-opacity:${0.06 + 0.4 * weight}"`) +
        line(0, `cell ${row}, ${column}`, "faint") + line(1, short(feature), "strong") +
        line(2, `\u00d7 ${short(weight)}`, "");
    });
    const [px, py] = [(x + 0.5 - column0) * side, (y + 0.5 - row0) * side];
    const point = cells.length > 1
      ? `<circle class="picked-point" cx="${px}" cy="${py}" r="4"/>` : "";
    const extent = (of) => side * (1 + Math.max(...cells.map(of)));
    const width = extent((c) => c.column - column0) + 2;
    const height = extent((c) => c.row - row0) + 2;
    return '<svg class="taps" role="img" aria-label="The cells that the point reads" ' +
      `width="${width}" height="${height}" viewBox="-1 -1 ${width} ${height}">` +
      `${squares.join("")}${point}</svg>`;
  }

  function pickedPoint(layer, { picked }, mode) {
    const { i, j, s, y, x, points, cells, value, share } = picked;
    if (!points) return `<h4>Bin ${i}, ${j}</h4><p>It reads nothing, and gives 0.</p>`;
    const what = layer === "pool" ? "cell" : "point";
    const counted = layer === "pool" || mode === "max"
      ? (share ? "It is the largest of the bin." : "It is not the largest of the bin.")
      : `It counts ${short(share)} in the mean.`;
    const outside = cells.length ? "" : " It lies off the map and reads nothing.";
    return `<h4>Bin ${i}, ${j}: ${what} ${s} of ${points}</h4><div class="picked">` +
      `${cells.length ? taps(picked) : ""}<p>Index coordinates<br>` +
      `y ${short(y)}, x ${short(x)}<br>Value <strong>${short(value)}</strong><br>` +
      `${counted}${outside}</p></div>`;
  }

  function draw(state, map, told) {
    const [grey, most] = [greys(map), mostShift(told)];
    const card = (layer) => {
      const shown = layer === state.layer ? "card shown" : "card";
      return `<article class="${shown}" id="card-${layer}" ` +
        `aria-labelledby="name-${layer}"><h3 id="name-${layer}">${NAMES[layer]}</h3>` +
        `<p class="how">${HOW[layer](state)}</p>${output(layer, told, grey)}` +
        facts(told[layer]) + shiftChart(told[layer], most, NAMES[layer]) +
        `${pickedPoint(layer, told[layer], state.mode)}</article>`;
    };
    document.getElementById("cards").innerHTML = Object.keys(NAMES).map(card).join("");
  }

  return { draw };
})();
