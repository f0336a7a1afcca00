"use strict";
/* The page: holds the state, hands it to the drawings, and listens to the controls. */

(() => {
  const { states, layers, features, stage, cards, tables, dragging } = window;
  const { NAMES, short, farthest } = window.drawing;
  const element = (id) => document.getElementById(id);
  const controls = [...document.querySelectorAll("[data-key]")];
  const radios = [...document.querySelectorAll("input[type=radio]")];

  const OWN = "A RoI of your own. An example brings you back to a known case.";

  let state, told, drawn;

  // From the state to the page

  function showProblem(sentence) {
    element("problem").textContent = sentence;
    element("problem").hidden = !sentence;
  }

  /* One control's part of the state, as text; of a pick, the point that is shown. */
  function textOf(control) {
    const { key, index } = control.dataset;
    const { i, j, s = 0 } = told[state.layer].picked;
    if (key === "pick") return String([i, j, s][index]);
    return String(index === undefined ? state[key] : state[key][index]);
  }

  const yesOrNo = (value) => (value ? "yes" : "no");

  function showControls() {
    for (const control of controls) {
      control.value = textOf(control);
      control.removeAttribute("aria-invalid");
    }
    for (const radio of radios) {
      const value = state[radio.name];
      const text = radio.name === "aligned" ? yesOrNo(value) : value;
      radio.checked = radio.value === text;
    }
    const same = (preset) => states.toLink(preset.state) === states.toLink(state);
    const now = states.PRESETS.find(same);
    element("preset-note").textContent = now ? now.note : OWN;
    [...element("presets").children].forEach((button, k) =>
      button.setAttribute("aria-pressed", String(states.PRESETS[k] === now)));
  }

  /* The RoI and the largest shift in a sentence, which screen readers hear too. */
  function reading() {
    const { x, y } = told[state.layer];
    const off = Math.abs(farthest([...x.shift, ...y.shift]));
    const shift = Number.isFinite(off)
      ? `${short(off)} cells, ${short(off * state.stride)} image pixels`
      : "there is none, as nothing is read";
    return `RoI (${state.roi.map(short).join(", ")}) in image pixels, ` +
      `${short(x.roi.size)} by ${short(y.roi.size)} cells. Largest shift of a bin of ` +
      `${NAMES[state.layer]}: ${shift}.`;
  }

  const later = (task, wait) => {
    let timer;
    return () => { clearTimeout(timer); timer = setTimeout(task, wait); };
  };
  const say = later(() => { element("live").textContent = reading(); }, 300);
  // Browsers refuse an address that changes with every move of a pointer.
  const writeLink = later(() =>
    history.replaceState(null, "", states.toLink(state)), 200);

  function render(keepView = false) {
    const map = features.make(state);
    told = layers.follow(state, map);
    drawn = stage.draw(state, map, told, keepView ? drawn.view : undefined);
    cards.draw(state, map, told);
    showControls();
    element("reading").textContent = reading();
    element("odd").textContent = states.oddAbout(state);
    if (!keepView) tables.draw(told); // not at every move of a drag
    say();
  }

  /* Takes over a change where it makes sense, and says why where it does not. */
  function change(patch, keepView = false) {
    const next = { ...state, ...patch };
    const wrong = states.wrongWith(next);
    showProblem(wrong && `${wrong} The page still shows the last good value.`);
    if (wrong) return false;
    state = next;
    render(keepView);
    writeLink();
    return true;
  }

  // From the page to the state

  function readControl(control) {
    const { key, index } = control.dataset;
    const text = control.value;
    const value = key === "features" ? text : states.toNumber(text);
    const whole = index === undefined ? value : state[key].with(Number(index), value);
    if (!change({ [key]: whole })) control.setAttribute("aria-invalid", "true");
  }

  /* The bin and point of the layer on the map that are nearest to a place in cells. */
  function tap(row, column) {
    const { x, y } = told[state.layer];
    const nearest = (places, to) => places.reduce((best, place, k) =>
      (Math.abs(place - to) < Math.abs(places[best] - to) ? k : best), 0);
    const along = (axis, to) => {
      const k = nearest(axis.bins.map((bin) => bin.centre), to);
      return [k, nearest(axis.points[k], to - 0.5)];
    };
    const [[i, sy], [j, sx]] = [along(y, row), along(x, column)];
    change({ pick: [i, j, sy * x.points[j].length + sx] });
  }

  function openLink(address) {
    const read = states.fromLink(new URL(address).hash);
    state = read.state;
    showProblem(read.wrong &&
      `This link cannot be followed: ${read.wrong} The page shows its first example.`);
    render();
  }

  /* Copies text; where the browser refuses, shows it, selected, to copy by hand. */
  async function copy(text, said) {
    const byHand = element("by-hand");
    byHand.hidden = true;
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied.";
    } catch {
      byHand.value = text;
      byHand.hidden = false;
      byHand.select();
      const done = document.execCommand("copy");
      byHand.hidden = done;
      said.textContent = done ? "Copied."
        : "This browser lets no page copy; the text is selected, to copy by hand.";
    }
  }

  function start() {
    const options = states.STRIDES.map((stride) => `<option>${stride}</option>`);
    document.querySelector("[data-key=stride]").innerHTML = options.join("");
    for (const preset of states.PRESETS) {
      const button = document.createElement("button");
      [button.type, button.textContent] = ["button", preset.name];
      button.addEventListener("click", () => change(preset.state));
      element("presets").append(button);
    }
    for (const control of controls) {
      control.addEventListener("change", () => readControl(control));
    }
    for (const radio of radios) {
      radio.addEventListener("change", () => change({
        [radio.name]: radio.name === "aligned" ? radio.value === "yes" : radio.value,
      }));
    }
    element("cards").addEventListener("click", (event) => {
      const bin = event.target.closest("[data-bin]")?.dataset.bin;
      if (bin) change({ pick: [...bin.split(",").map(Number), 0] });
    });
    element("copy-numbers").addEventListener("click", () =>
      copy(tables.asText(told), element("numbers-copied")));
    element("copy-link").addEventListener("click", () =>
      copy(location.href.split("#")[0] + states.toLink(state), element("link-copied")));
    dragging.listen(element("overlay"), {
      now: () => ({ state, place: drawn.place }),
      move: (roi, keepView) => change({ roi }, keepView),
      tap,
    });
    // The event's own address: a late writeLink may have changed the page's since.
    window.addEventListener("hashchange", (event) => openLink(event.newURL));
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      // Phones change the height alone, also during a drag.
      if (width !== window.innerWidth) render();
      width = window.innerWidth;
    });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => render());
    element("settings").open = matchMedia("(min-width: 60rem)").matches;
    openLink(location.href);
  }

  start();
})();
