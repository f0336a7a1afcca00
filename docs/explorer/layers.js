"use strict";
/* RoIPool, RoIWarp and RoIAlign: every number of one RoI, without drawing any.

The functions are those of maskrcnn_scratch/reference/ (roi_steps.py, roi_pool.py,
roi_warp.py, roi_align.py, bilinear.py), one for one: at_least_one_cell there is
atLeastOneCell here. tests/test_explorer.py compares the numbers.

Boxes are [x1, y1, x2, y2] in image pixels; the pixel in row i, column j covers
[j, j + 1) x [i, i + 1). Two coordinates occur on a feature map: in *cells*, cell i
covers [i, i + 1); in *index* coordinates its value sits at i: index = cells - 0.5. */

window.layers = (() => {
  const count = (n) => Array.from({ length: n }, (_, k) => k); // 0 .. n - 1
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const mean = (values) => (values.length ? sum(values) / values.length : NaN);

  // roi_steps.py

  const span = (start, end) =>
    ({ start, end, size: end - start, centre: (start + end) / 2 });

  function parts(whole, n) {
    const size = whole.size / n;
    const border = (k) => whole.start + k * size;
    return count(n).map((k) => span(border(k), border(k + 1)));
  }

  /* One axis: the RoI in cells, the RoI and the bins that the layer goes on with, the
  index coordinates that each bin reads; shifts in cells, one a bin. Corner, border and
  reading shift add up to the whole shift. */
  function axisSteps(stride, roi, quantised, bins, points) {
    const idealBins = parts(roi, bins.length);
    const evenBins = parts(quantised, bins.length);
    const shifts = (from, to) => to.map((bin, k) => bin.centre - from[k].centre);
    const readings = points.map((some) => mean(some) + 0.5);
    return {
      stride, roi, quantised, bins, points, idealBins, evenBins,
      binSize: quantised.size / bins.length,
      lost: roi.size - quantised.size,
      covered: bins[bins.length - 1].end - bins[0].start,
      cornerShift: shifts(idealBins, evenBins),
      borderShift: shifts(evenBins, bins),
      readingShift: readings.map((place, k) => place - bins[k].centre),
      shift: readings.map((place, k) => place - idealBins[k].centre),
    };
  }

  function spansInCells(box, spatialScale) {
    const [x1, y1, x2, y2] = box.map((c) => c * spatialScale);
    return { y: span(y1, y2), x: span(x1, x2) };
  }

  /* Rows and columns never mix: a layer's steps are one axis, done twice. */
  function bothAxes(box, outputSize, spatialScale, axis) {
    const { y, x } = spansInCells(box, spatialScale);
    return { y: axis(y, outputSize[0]), x: axis(x, outputSize[1]) };
  }

  const atLeastOneCell = (roi) => (roi.size < 1 ? span(roi.start, roi.start + 1) : roi);

  const pointsOf = (steps, i, j) =>
    steps.y.points[i].flatMap((y) => steps.x.points[j].map((x) => [y, x]));

  // roi_pool.py

  /* Halves away from zero: 2.5 -> 3, -0.5 -> -1. Math.round takes them upwards. */
  function roundHalfAway(c) {
    const whole = Math.trunc(c);
    return Math.abs(c - whole) >= 0.5 ? whole + Math.sign(c) : whole;
  }

  const quantise = (roi, rounding) => rounding === "round"
    ? span(roundHalfAway(roi.start), roundHalfAway(roi.end))
    : span(Math.floor(roi.start), Math.floor(roi.end));

  function overlappingBins(roi, n) {
    const size = roi.size / n;
    return count(n).map((k) =>
      span(roi.start + Math.floor(k * size), roi.start + Math.ceil((k + 1) * size)));
  }

  function wholeCellBins(roi, n) {
    const size = Math.max(Math.floor(roi.size / n), 1);
    const border = (k) => roi.start + k * size;
    return count(n).map((k) => span(border(k), border(k + 1)));
  }

  const cellsOf = (bin) => count(Math.max(bin.size, 0)).map((k) => bin.start + k);

  function roiPoolSteps(box, outputSize, spatialScale, rounding) {
    return bothAxes(box, outputSize, spatialScale, (roi, n) => {
      const corners = quantise(roi, rounding);
      // Rounded corners are cells, and the last one belongs to the RoI.
      const inclusive = rounding === "round";
      const quantised = atLeastOneCell(span(corners.start, corners.end + inclusive));
      const bins = (inclusive ? overlappingBins : wholeCellBins)(quantised, n);
      return axisSteps(1 / spatialScale, roi, quantised, bins, bins.map(cellsOf));
    });
  }

  /* The maximum over those cells of a bin that are on the map, and its flat index; of
  equal features the first in reading order. An empty bin gives 0 and -1. */
  function largest(map, rows, columns) {
    const [height, width] = [map.length, map[0].length];
    let [best, winner] = [0, -1];
    for (const row of rows.filter((r) => 0 <= r && r < height)) {
      for (const column of columns.filter((c) => 0 <= c && c < width)) {
        if (winner === -1 || map[row][column] > best) {
          [best, winner] = [map[row][column], row * width + column];
        }
      }
    }
    return [best, winner];
  }

  function roiPool(map, steps) {
    const won = steps.y.points.map((rows) =>
      steps.x.points.map((columns) => largest(map, rows, columns)));
    const pick = (which) => won.map((row) => row.map((bin) => bin[which]));
    return { out: pick(0), argmax: pick(1) };
  }

  // roi_align.py and roi_warp.py

  function axisPoints(roi, n, samplingRatio, aligned) {
    const binSize = roi.size / n;
    const start = aligned ? roi.start - 0.5 : roi.start;
    const adaptive = binSize > 0 ? Math.ceil(binSize) : 0;
    const samples = samplingRatio <= 0 ? adaptive : samplingRatio;
    return count(n).map((k) =>
      count(samples).map((s) => start + k * binSize + ((s + 0.5) * binSize) / samples));
  }

  function roiAlignSteps(box, outputSize, spatialScale, samplingRatio, aligned) {
    return bothAxes(box, outputSize, spatialScale, (roi, n) => {
      const kept = aligned ? roi : atLeastOneCell(roi);
      const points = axisPoints(kept, n, samplingRatio, aligned);
      return axisSteps(1 / spatialScale, roi, kept, parts(kept, n), points);
    });
  }

  function roiWarpSteps(box, outputSize, spatialScale, samplingRatio, rounding) {
    return bothAxes(box, outputSize, spatialScale, (roi, n) => {
      const quantised = atLeastOneCell(quantise(roi, rounding));
      const points = axisPoints(quantised, n, samplingRatio, true);
      return axisSteps(1 / spatialScale, roi, quantised, parts(quantised, n), points);
    });
  }

  /* How much each sample of a bin counts in its mean or maximum. */
  function sampleWeights(values, mode) {
    if (mode === "mean") return values.map(() => 1 / values.length);
    const winner = values.reduce((w, value, s) => (value > values[w] ? s : w), 0);
    return values.map((_, s) => Number(s === winner));
  }

  function readBins(map, steps, mode) {
    return steps.y.bins.map((_, i) => steps.x.bins.map((_, j) => {
      const values = pointsOf(steps, i, j).map(([y, x]) => bilinear(map, y, x));
      return sum(sampleWeights(values, mode).map((weight, s) => weight * values[s]));
    }));
  }

  // bilinear.py

  /* The two cells [index, weight] that a read at c mixes; none outside [-1, size]. */
  function bilinearTaps(size, c) {
    if (!(-1 <= c && c <= size)) return [];
    const inside = clamp(c, 0, size - 1);
    const low = Math.trunc(inside);
    const high = Math.min(low + 1, size - 1);
    return [[low, 1 - (inside - low)], [high, inside - low]];
  }

  /* The four cells of a read in both directions. */
  function cellsRead(map, y, x) {
    return bilinearTaps(map.length, y).flatMap(([row, yWeight]) =>
      bilinearTaps(map[0].length, x).map(([column, xWeight]) =>
        ({ row, column, weight: yWeight * xWeight, feature: map[row][column] })));
  }

  function bilinear(map, y, x) {
    const columns = bilinearTaps(map[0].length, x);
    let value = 0;
    for (const [row, yWeight] of bilinearTaps(map.length, y)) {
      for (const [column, xWeight] of columns) {
        value += yWeight * xWeight * map[row][column];
      }
    }
    return value;
  }

  // What the page asks for

  /* One point of one bin: where it is, the cells that it reads, how much it counts. A
  pick [bin row, bin column, point] beyond the last goes to the last. */
  function pickedPoint(map, steps, pick, read, shareOf) {
    const i = Math.min(pick[0], steps.y.bins.length - 1);
    const j = Math.min(pick[1], steps.x.bins.length - 1);
    const points = pointsOf(steps, i, j);
    if (!points.length) return { i, j, points: 0 };
    const s = Math.min(pick[2], points.length - 1);
    const [y, x] = points[s];
    const cells = read(map, y, x);
    const value = sum(cells.map((cell) => cell.weight * cell.feature));
    const share = shareOf(points, s, i, j);
    return { i, j, s, y, x, points: points.length, cells, value, share };
  }

  const cellAlone = (map, row, column) => map[row]?.[column] === undefined ? []
    : [{ row, column, weight: 1, feature: map[row][column] }];

  /* All numbers of a state (see states.js) on a map of features, layer by layer. */
  function follow(state, map) {
    const { roi, out, stride, rounding, samples, aligned, mode, pick } = state;
    const scale = 1 / stride;
    const width = map[0].length;

    const pool = roiPoolSteps(roi, out, scale, rounding);
    const pooled = roiPool(map, pool);
    const wins = (points, s, i, j) => {
      const [[y, x], won] = [points[s], pooled.argmax[i][j]];
      return Number(won >= 0 && y === Math.floor(won / width) && x === won % width);
    };

    const counts = (points, s) =>
      sampleWeights(points.map(([y, x]) => bilinear(map, y, x)), mode)[s];

    const sampled = (steps) => ({
      ...steps,
      out: readBins(map, steps, mode),
      picked: pickedPoint(map, steps, pick, cellsRead, counts),
    });
    return {
      pool: {
        ...pool, ...pooled, picked: pickedPoint(map, pool, pick, cellAlone, wins),
      },
      warp: sampled(roiWarpSteps(roi, out, scale, samples, rounding)),
      align: sampled(roiAlignSteps(roi, out, scale, samples, aligned)),
    };
  }

  return { follow };
})();
