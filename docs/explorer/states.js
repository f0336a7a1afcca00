"use strict";
/* What the page shows, as one plain object; examples of it; its form as a link. */

window.states = (() => {
  const STRIDES = [1, 2, 4, 8, 16, 32, 64];
  const MOST_CELLS = 256; // a side; more could neither be seen nor drawn quickly
  const MOST_IN_ROI = 256 * 256; // cells; as many are read in every layer

  /* Every part of a state, with the range of its numbers or the words it may be.
  image: width, height; roi: x1, y1, x2, y2, both in image pixels; out: bin rows, bin
  columns; layer: the one on the map; pick: bin row, bin column, point. */
  const NUMBERS = {
    image: { names: ["image width", "image height"], from: 1, to: 2048, whole: true },
    stride: { names: ["stride"], from: 1, to: 64, whole: true },
    roi: { names: ["x1", "y1", "x2", "y2"] }, // its range goes with the image
    out: { names: ["bin rows", "bin columns"], from: 1, to: 28, whole: true },
    samples: { names: ["points a side"], from: 0, to: 4, whole: true },
    seed: { names: ["seed"], from: 0, to: 9999, whole: true },
    pick: { names: ["bin row", "bin column", "point"], from: 0, to: 1e6, whole: true },
  };
  const WORDS = {
    layer: ["pool", "warp", "align"],
    rounding: ["round", "floor"],
    aligned: ["yes", "no"],
    mode: ["mean", "max"],
    features: ["blob", "ramp", "noise", "numbers"],
  };
  const SINGLE = ["stride", "samples", "seed"];

  const FIRST = {
    image: [800, 800], stride: 32, roi: [0, 0, 665, 665], out: [7, 7], layer: "pool",
    rounding: "floor", aligned: true, samples: 2, mode: "mean", features: "blob",
    seed: 1, pick: [6, 6, 0],
  };

  const PRESETS = [
    {
      name: "665 / 32 into 7",
      note: "An object of 665 pixels in an image of 800, at stride 32: 20.78 cells. " +
        "Floored, 20 are left, and each of the 7 bins gets 2 of its 2.86: 14 cells " +
        "are read, and the last bin reads 201.5 pixels away from its place. Change " +
        "the rounding, or the layer on the map.",
      state: FIRST,
    },
    {
      name: "8×8 into 2×2",
      note: "The example of many introductions to RoIPool: a map of 8×8, the RoI " +
        "from (0, 3) to (7, 8), 2×2 bins. They cut 7 columns into 3 and 4, and 5 " +
        "rows into 2 and 3. Flooring makes them 3 and 3, 2 and 2; the published " +
        "layer takes both ends into the RoI and pools 8 columns and 6 rows.",
      state: {
        ...FIRST, image: [8, 8], stride: 1, roi: [0, 3, 7, 8], out: [2, 2],
        features: "noise", pick: [0, 0, 0],
      },
    },
    {
      name: "8×8 into 7×7",
      note: "8 cells into 7 bins. Floored, each bin is one cell and the eighth is " +
        "not read. Rounded, the box (0, 0, 8, 8) becomes 9 cells and neighbouring " +
        "bins share one. RoIAlign's bins are 8/7 of a cell each.",
      state: {
        ...FIRST, image: [8, 8], stride: 1, roi: [0, 0, 8, 8], features: "numbers",
        pick: [3, 3, 0],
      },
    },
    {
      name: "Mask R-CNN, figure 3",
      note: "As in the paper's figure 3: a feature map of 5×5 (dashed), a RoI with " +
        "2×2 bins (solid), four points a bin, each read from its four cells. The " +
        "figure gives no coordinates; these are like it.",
      state: {
        ...FIRST, image: [5, 5], stride: 1, roi: [0.75, 0.875, 4, 3.875], out: [2, 2],
        layer: "align", rounding: "round", features: "noise", pick: [0, 0, 0],
      },
    },
    {
      name: "5×5 by hand",
      note: "Features 0 to 24, RoI (1, 1) to (3, 3), 4×4 bins, one point a bin: " +
        "detectron2's check of the half pixel. Aligned, RoIAlign gives 4.5 to 13.5; " +
        "legacy, 7.5 to 16.5, half a cell too far to the right and bottom.",
      state: {
        ...FIRST, image: [5, 5], stride: 1, roi: [1, 1, 3, 3], out: [4, 4],
        layer: "align", rounding: "round", samples: 1, features: "numbers",
        pick: [0, 0, 0],
      },
    },
  ];

  const cells = (state) =>
    state.image.map((pixels) => Math.ceil(pixels / state.stride));

  /* The range of a number; a RoI may leave the image by its width or height. */
  function rangeOf(state, key, k) {
    if (key !== "roi") return NUMBERS[key];
    const side = state.image[k % 2];
    return { from: -side, to: 2 * side, whole: false };
  }

  /* What is wrong with a state, as a sentence; "" where nothing is. */
  function wrongWith(state) {
    for (const [key, { names }] of Object.entries(NUMBERS)) {
      const values = [state[key]].flat();
      if (values.length !== names.length) {
        const needed = `${names.join(", ")}: ${names.length}`;
        return `${key} needs ${needed}, not ${values.length}.`;
      }
      for (const [k, value] of values.entries()) {
        const { from, to, whole } = rangeOf(state, key, k);
        if (!Number.isFinite(value)) return `${names[k]} is not a number.`;
        if (value < from || value > to || (whole && !Number.isInteger(value))) {
          const kind = whole ? "a whole number" : "a number";
          return `${names[k]} is ${value}; it must be ${kind} from ${from} to ${to}.`;
        }
      }
    }
    if (!STRIDES.includes(state.stride)) {
      return `stride is ${state.stride}; it must be one of ${STRIDES.join(", ")}.`;
    }
    const most = Math.max(...cells(state));
    if (most > MOST_CELLS) {
      return `The map would be ${most} cells wide or high; the page draws at most ` +
        `${MOST_CELLS}. Take a larger stride or a smaller image.`;
    }
    const [x1, y1, x2, y2] = state.roi.map((c) => c / state.stride);
    const spanned = Math.round(Math.abs((x2 - x1) * (y2 - y1)));
    if (spanned > MOST_IN_ROI) {
      return `The RoI would span ${spanned} cells; the page reads at most ` +
        `${MOST_IN_ROI}. Take a larger stride or a smaller RoI.`;
    }
    return "";
  }

  /* What is odd about a RoI that the page does follow. */
  function oddAbout(state) {
    const [x1, y1, x2, y2] = state.roi;
    const [width, height] = state.image;
    const said = [];
    if (x2 < x1 || y2 < y1) {
      said.push("The RoI is inside out: its width or height is negative. RoIPool and " +
        "RoIWarp go on with one cell, legacy RoIAlign too; aligned RoIAlign reads it " +
        "mirrored, or, with adaptive sampling, not at all.");
    } else if (x2 === x1 || y2 === y1) {
      said.push("The RoI is empty: its width or height is 0. RoIPool and RoIWarp go " +
        "on with one cell, legacy RoIAlign too; with adaptive sampling aligned " +
        "RoIAlign reads nothing.");
    }
    const [right, left] = [Math.max(x1, x2), Math.min(x1, x2)];
    const [bottom, top] = [Math.max(y1, y2), Math.min(y1, y2)];
    if (right <= 0 || bottom <= 0 || left >= width || top >= height) {
      said.push("The RoI lies outside the image: what is read there is 0, or the " +
        "cells at the border.");
    }
    return said.join(" ");
  }

  function toLink(state) {
    const text = { ...state, aligned: state.aligned ? "yes" : "no" };
    const parts = Object.entries(text).map(([key, value]) => `${key}=${value}`);
    return `#${parts.join("&")}`;
  }

  const toNumber = (text) => (text.trim() === "" ? NaN : Number(text));

  /* The state of a link, and what is wrong with the link; parts that are not in it are
  those of the first example, and so is everything where something is wrong. */
  function fromLink(link) {
    const bad = (wrong) => ({ state: FIRST, wrong });
    const state = { ...FIRST };
    for (const part of link.replace(/^#/, "").split("&").filter(Boolean)) {
      const [key, text = ""] = part.split("=");
      if (Object.hasOwn(WORDS, key)) {
        if (!WORDS[key].includes(text)) return bad(`${key} cannot be “${text}”.`);
        state[key] = key === "aligned" ? text === "yes" : text;
      } else if (Object.hasOwn(NUMBERS, key)) {
        const values = text.split(/,|%2C/i).map(toNumber);
        state[key] = SINGLE.includes(key) && values.length === 1 ? values[0] : values;
      } else {
        return bad(`It has a part that the page does not know: “${key}”.`);
      }
    }
    const wrong = wrongWith(state);
    return wrong ? bad(wrong) : { state, wrong };
  }

  return {
    FIRST, PRESETS, STRIDES, cells, wrongWith, oddAbout, toLink, fromLink, toNumber,
  };
})();
