"use strict";
/* The feature map with one layer's steps on it, as layers.follow returned them. */

window.stage = (() => {
  const { brief, box, words, greys } = window.drawing;
  const HIGHEST = 700; // screen pixels
  const TICKS = 26; // room for the numbers of cells, left and above
  const SMALLEST_TEXT_CELL = 30;
  const MOST_ARROWS = 400;
  const CORNERS = ["nw", "ne", "se", "sw"];
  const element = (id) => document.getElementById(id);

  /* The part of the plane, in cells, that holds the map and all of a layer's spans. */
  function viewOf(state, steps) {
    const side = (axis, cells) => {
      const spans = [axis.roi, axis.quantised, ...axis.bins];
      const ends = spans.flatMap((s) => [s.start, s.end]);
      const margin = Math.max(0.3, 0.03 * cells);
      return {
        start: Math.min(0, ...ends) - margin, end: Math.max(cells, ...ends) + margin,
      };
    };
    const [columns, rows] = window.states.cells(state);
    return { x: side(steps.x, columns), y: side(steps.y, rows) };
  }

  /* From cells to screen pixels, filling the width or the greatest height. */
  function placing(view) {
    const [wide, high] = [view.x.end - view.x.start, view.y.end - view.y.start];
    const room = element("stage").clientWidth;
    const scale = Math.min((room - TICKS) / wide, (HIGHEST - TICKS) / high);
    const along = (axis) => ({
      at: (c) => TICKS + (c - view[axis].start) * scale,
      span: (s) => ({
        start: TICKS + (s.start - view[axis].start) * scale,
        end: TICKS + (s.end - view[axis].start) * scale,
      }),
      cells: (pixels) => (pixels - TICKS) / scale + view[axis].start,
    });
    return {
      scale, width: TICKS + wide * scale, height: TICKS + high * scale,
      x: along("x"), y: along("y"),
    };
  }

  function drawHeat(map, place) {
    const canvas = element("heat");
    const [rows, columns] = [map.length, map[0].length];
    [canvas.width, canvas.height] = [columns, rows];
    const grey = greys(map);
    const picture = new ImageData(columns, rows);
    map.flat().forEach((v, k) => picture.data.set([...grey(v), 255], 4 * k));
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.style.transform = `translate(${place.x.at(0)}px, ${place.y.at(0)}px)`;
    canvas.style.width = `${columns * place.scale}px`;
    canvas.style.height = `${rows * place.scale}px`;
  }

  /* Cell borders, and their numbers along two sides. */
  function grid(map, place) {
    const [rows, columns] = [map.length, map[0].length];
    const [right, bottom] = [place.x.at(columns), place.y.at(rows)];
    const [left, top] = [place.x.at(0), place.y.at(0)];
    const every = Math.max(1, 2 ** Math.ceil(Math.log2(22 / place.scale)));
    const step = place.scale >= 4 ? 1 : every;
    let lines = "", texts = "";
    for (let c = 0; c <= columns; c += step) {
      lines += `M${place.x.at(c)} ${top}V${bottom}`;
    }
    for (let r = 0; r <= rows; r += step) {
      lines += `M${left} ${place.y.at(r)}H${right}`;
    }
    for (let c = 0; c <= columns; c += every) {
      texts += words(place.x.at(c), top - 8, c, "tick middle", 10);
    }
    for (let r = 0; r <= rows; r += every) {
      texts += words(left - 8, place.y.at(r) + 3.5, r, "tick end", 10);
    }
    return `<path class="grid" d="${lines}"/>${texts}`;
  }

  /* The features, where they fit. */
  function values(map, place) {
    if (place.scale < SMALLEST_TEXT_CELL) return "";
    return map.map((row, r) => row.map((value, c) =>
      words(place.x.at(c) + 3, place.y.at(r) + 11, brief(value), "value", 10)).join(""))
      .join("");
  }

  const outline = (x, y) => `M${x.start} ${y.start}H${x.end}V${y.end}H${x.start}Z`;

  /* What no bin covers of the true RoI. */
  function uncovered(steps, place) {
    const inside = (axis) => ({
      start: Math.max(axis.roi.start, axis.bins[0].start),
      end: Math.min(axis.roi.end, axis.bins[axis.bins.length - 1].end),
    });
    const [x, y] = [inside(steps.x), inside(steps.y)];
    const covered = x.end > x.start && y.end > y.start
      ? outline(place.x.span(x), place.y.span(y)) : "";
    const all = outline(place.x.span(steps.x.roi), place.y.span(steps.y.roi));
    return `<path class="uncovered" fill-rule="evenodd" d="${all}${covered}"/>`;
  }

  const eachBin = (steps, draw) => steps.y.bins.map((_, i) =>
    steps.x.bins.map((_, j) => draw(i, j)).join("")).join("");

  const bins = (steps, place) => eachBin(steps, (i, j) =>
    box(place.x.span(steps.x.bins[j]), place.y.span(steps.y.bins[i]), "bin"));

  /* All points as one path of dots, which round caps draw; each place once. */
  function points(steps, place) {
    const placesOf = (axis) =>
      [...new Set(steps[axis].points.flat())].map((c) => place[axis].at(c + 0.5));
    const [xs, ys] = [placesOf("x"), placesOf("y")];
    const apart = (places) =>
      Math.abs(places[places.length - 1] - places[0]) / (places.length - 1 || NaN);
    const room = Math.min(...[apart(xs), apart(ys)].filter(Number.isFinite));
    const dot = Math.min(Math.max(room / 3.5, 1.5), 7);
    const dots = ys.map((y) => xs.map((x) => `M${x} ${y}h0`).join("")).join("");
    return `<path class="halo" stroke-width="${1.4 * dot}" d="${dots}"/>` +
      `<path class="sample" stroke-width="${dot}" d="${dots}"/>`;
  }

  /* From where each bin belongs to the middle of what it reads. */
  function shifts(steps, place) {
    if (steps.y.bins.length * steps.x.bins.length > MOST_ARROWS) return "";
    return eachBin(steps, (i, j) => {
      const [dy, dx] = [steps.y.shift[i], steps.x.shift[j]];
      if (!(Math.hypot(dx, dy) * place.scale > 2)) return "";
      const [y, x] = [steps.y.idealBins[i].centre, steps.x.idealBins[j].centre];
      const from = `${place.x.at(x)} ${place.y.at(y)}`;
      const [x2, y2] = [place.x.at(x + dx), place.y.at(y + dy)];
      return `<path class="shift" d="M${from}L${x2} ${y2}"/>` +
        `<circle class="shift-end" cx="${x2}" cy="${y2}" r="2.5"/>`;
    });
  }

  /* The picked bin, its picked point, and the cells that this reads. */
  function picked(steps, place) {
    const { i, j, x, y, points: number, cells = [] } = steps.picked;
    const [columns, rows] = [steps.x.bins[j], steps.y.bins[i]];
    const bin = box(place.x.span(columns), place.y.span(rows), "picked-bin");
    if (!number) return bin;
    const one = (axis, c) => place[axis].span({ start: c, end: c + 1 });
    const read = cells.filter((cell) => cell.weight > 0)
      .map((cell) => box(one("x", cell.column), one("y", cell.row), "picked-cell"));
    const [cx, cy] = [place.x.at(x + 0.5), place.y.at(y + 0.5)];
    const dot = `<circle class="picked-point" cx="${cx}" cy="${cy}" r="6"/>`;
    return bin + read.join("") + dot;
  }

  /* What is taken hold of: edges, then the inside, then corners, the last on top. They
  reach outwards, so that a small RoI can still be moved. */
  function handles(steps, place) {
    const [x, y] = [place.x.span(steps.x.roi), place.y.span(steps.y.roi)];
    const [left, right] = [Math.min(x.start, x.end), Math.max(x.start, x.end)];
    const [top, bottom] = [Math.min(y.start, y.end), Math.max(y.start, y.end)];
    const coarse = matchMedia("(pointer: coarse)").matches;
    const reach = coarse ? 22 : 12;
    const hold = (what, x1, y1, x2, y2) => box(
      { start: x1, end: x2 }, { start: y1, end: y2 }, "hold", `data-hold="${what}"`);
    const strips = hold("n", left, top - reach, right, top + 4) +
      hold("s", left, bottom - 4, right, bottom + reach) +
      hold("w", left - reach, top, left + 4, bottom) +
      hold("e", right - 4, top, right + reach, bottom);
    const [cx, cy] = [(left + right) / 2, (top + bottom) / 2];
    const inside = hold("move", Math.min(left + 4, cx - 8), Math.min(top + 4, cy - 8),
      Math.max(right - 4, cx + 8), Math.max(bottom - 4, cy + 8));
    // A hold is named by the ends that it moves: n is y1, w is x1, wherever they are.
    const ends = { n: y.start, s: y.end, w: x.start, e: x.end };
    const corners = CORNERS.map((what) => {
      const [hx, hy] = [ends[what[1]], ends[what[0]]];
      const out = (value, middle) => value + (value < middle ? -1 : 1) * reach / 2;
      const [ox, oy] = [out(hx, cx), out(hy, cy)];
      const r = reach / 2 + 3;
      return hold(what, ox - r, oy - r, ox + r, oy + r) +
        `<rect class="knob" x="${hx - 4}" y="${hy - 4}" width="8" height="8"/>`;
    });
    return strips + inside + corners.join("");
  }

  const HATCH = '<defs><pattern id="hatch" width="7" height="7" ' +
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">' +
    '<path class="hatch" d="M0 0V7"/></pattern></defs>';

  /* Draws a state; ``view`` keeps what an earlier call returned, as while dragging. */
  function draw(state, map, told, view) {
    const steps = told[state.layer];
    const shown = view ?? viewOf(state, steps);
    const place = placing(shown);
    const overlay = element("overlay");
    overlay.setAttribute("width", place.width);
    overlay.setAttribute("height", place.height);
    drawHeat(map, place);
    const roi = [place.x.span(steps.x.roi), place.y.span(steps.y.roi)];
    const used = [place.x.span(steps.x.quantised), place.y.span(steps.y.quantised)];
    overlay.innerHTML = HATCH + grid(map, place) + uncovered(steps, place) +
      bins(steps, place) + values(map, place) + box(...roi, "roi") +
      box(...used, "quantised") + shifts(steps, place) + points(steps, place) +
      picked(steps, place) + handles(steps, place);
    return { view: shown, place };
  }

  return { draw };
})();
