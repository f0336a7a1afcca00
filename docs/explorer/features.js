"use strict";
/* Maps of features to read from: map[row][column]. */

window.features = (() => {
  /* Numbers in [0, 1) that look random and are the same for the same seed: a counter,
  its bits mixed by two multiplications (32-bit integers). */
  function mixer(seed) {
    let counter = Math.imul(seed + 1, 0x9e3779b9);
    return () => {
      counter = (counter + 0x9e3779b9) | 0;
      let bits = Math.imul(counter ^ (counter >>> 16), 0x85ebca6b);
      bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
      return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
    };
  }

  /* The value of a cell, given a map of so many rows and columns. */
  const KINDS = {
    // The column coordinate of the cell's centre: an exact read tells where it was.
    ramp: () => (_, column) => column + 0.5,
    numbers: (rows, columns) => (row, column) => row * columns + column,
    noise: (rows, columns, seed) => {
      const next = mixer(seed);
      return () => Math.floor(100 * next()) / 100;
    },
    blob: (rows, columns) => (row, column) => {
      const y = (row + 0.5) / rows - 0.5;
      const x = (column + 0.5) / columns - 0.5;
      return Math.exp(-16 * (y * y + x * x));
    },
  };

  function make(state) {
    const [columns, rows] = window.states.cells(state);
    const value = KINDS[state.features](rows, columns, state.seed);
    return Array.from({ length: rows }, (_, row) =>
      Array.from({ length: columns }, (_, column) => value(row, column)));
  }

  return { make };
})();
