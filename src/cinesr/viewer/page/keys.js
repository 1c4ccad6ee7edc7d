// The keyboard: everything that the mouse can do.

import { byId, element } from "./dom.js";
import { clamp } from "./geometry.js";
import { announce } from "./notices.js";
import { togglePlaying } from "./player.js";
import { changeContrast, fit, resetContrast, span, zoomBy } from "./pointer.js";
import { phases, shown, slices } from "./scene.js";
import { swap, valueOf, valuesAtHand } from "./stage.js";
import { labelOf } from "./family.js";
import { BOXES } from "./colours.js";
import { addPane, setMode } from "./toolbar.js";
import { set, state } from "./store.js";

const press = (id) => () => !byId(id).disabled && byId(id).click();

const KEYS = [
  ["Time and slice", [
    [["Space"], "play or pause", [" "], togglePlaying],
    [["←", "→"], "phase back, on", ["ArrowLeft", "ArrowRight"], (key) => stepPhase(sign(key))],
    [["↓", "↑"], "slice down, up", ["ArrowDown", "ArrowUp"], (key) => stepSlice(sign(key))],
    [["Home", "End"], "first, last phase", ["Home", "End"], (key) =>
      set({ playing: false, time: key === "Home" ? 0 : phases() - 1 })],
  ]],
  ["Compare", [
    [["1"], "side by side", ["1"], () => setMode("grid")],
    [["2"], "divider", ["2"], () => setMode("divider")],
    [["3"], "blink", ["3"], () => setMode("blink")],
    [["4"], "difference", ["4"], () => setMode("difference")],
    [["a"], "add a pane", ["a"], addPane],
    [["x"], "swap the two series; in blink, show the other", ["x"], swapOrBlink],
    [["e"], "next overlay", ["e"], nextOverlay],
  ]],
  ["Zoom and contrast", [
    [["+", "−"], "zoom in, out", ["+", "=", "-"], (key) => zoomBy(key === "-" ? 1 / 1.25 : 1.25)],
    [["0"], "fit", ["0"], fit],
    [["[", "]"], "narrower, wider window", ["[", "]"], (key) =>
      changeContrast(key === "[" ? -0.1 : 0.1, 0)],
    [["{", "}"], "darker, brighter", ["{", "}"], (key) =>
      changeContrast(0, key === "{" ? -0.05 : 0.05)],
    [["r"], "the scan's own window", ["r"], resetContrast],
    [["s"], "smooth or square pixels", ["s"], press("smooth")],
  ]],
  ["Point and draw", [
    [["Shift", "arrows"], "move the cross", [], null],
    [["c"], "centre on the cross", ["c"], () =>
      state.cursor && set({ view: { ...state.view, ...state.cursor } })],
    [["v"], "tool: move", ["v"], () => set({ tool: "move" })],
    [["b"], "tool: magnified box", ["b"], () => set({ tool: "box" })],
    [["l"], "tool: line profile", ["l"], () => set({ tool: "line" })],
    [["Enter"], "first, then second corner or end at the cross", ["Enter"], mark],
    [["Delete"], "remove boxes and line; in the list, close the series", ["Delete"], () =>
      set({ boxes: [], line: null })],
  ]],
  ["Files", [
    [["o"], "open files", ["o"], press("open-files")],
    [["u"], "upscale", ["u"], press("upscale")],
    [["w"], "save the comparison", ["w"], press("save-comparison")],
    [["?"], "this list", ["?"], () => byId("keys-dialog").showModal()],
  ]],
];

const ACTIONS = new Map(KEYS.flatMap(([, rows]) =>
  rows.flatMap(([, , keys, action]) => keys.map((key) => [key, action]))));

let corner = null;

export function startKeys() {
  byId("keys-list").replaceChildren(...KEYS.map(([title, rows]) =>
    element("section", {}, element("h3", {}, title), element("dl", {}, ...rows.flatMap(row)))));
  byId("show-keys").addEventListener("click", () => byId("keys-dialog").showModal());
  document.addEventListener("keydown", onKey);
}

const row = ([caps, text]) => [
  element("dt", {}, ...caps.map((cap) => element("kbd", {}, cap))), element("dd", {}, text)];

const typing = (node) => node.matches("input:not([type=range]), select, textarea");
const pressing = (node) => node.matches("button, summary, a, input");

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("dialog[open]") || typing(event.target)) return;
  if ((event.key === " " || event.key === "Enter") && pressing(event.target)) return;
  const arrow = event.key.startsWith("Arrow");
  if (event.target.matches("input") && (arrow || ["Home", "End"].includes(event.key))) return;
  if (!shown().length && !["o", "?"].includes(event.key)) return;
  if (arrow && event.shiftKey) moveCross(event.key);
  else if (ACTIONS.has(event.key)) ACTIONS.get(event.key)(event.key);
  else return;
  event.preventDefault();
}

const sign = (key) => (key === "ArrowRight" || key === "ArrowUp" ? 1 : -1);

function stepPhase(step) {
  const count = phases();
  set({ playing: false, time: (state.time + step + count) % count });
  announce(`Phase ${state.time + 1} of ${count}`);
}

function stepSlice(step) {
  set({ slice: clamp(state.slice + step, 0, slices() - 1) });
  announce(`Slice ${state.slice + 1} of ${slices()}`);
}

function swapOrBlink() {
  if (state.mode === "blink") set({ blinkSide: 1 - state.blinkSide });
  else swap();
}

function nextOverlay() {
  const options = [...byId("overlay").options].filter((option) => !option.disabled);
  const at = options.findIndex((option) => option.value === state.overlay);
  const next = options[(at + 1) % options.length];
  set({ overlay: next.value });
  announce(`Overlay: ${next.textContent}`);
}

// One pixel of the first pane's series at a time; its values are read out.
function moveCross(key) {
  const [, , rows, columns] = shown()[0].shape;
  const { u, v } = state.cursor ?? { u: state.view.u, v: state.view.v };
  const across = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0;
  const down = key === "ArrowDown" ? 1 : key === "ArrowUp" ? -1 : 0;
  const centre = (share, count, step) =>
    (clamp(Math.floor(share * count) + step, 0, count - 1) + 0.5) / count;
  set({ cursor: { u: centre(u, columns, across), v: centre(v, rows, down) } });
  const speak = () =>
    announce(shown().map((series) => `${labelOf(series)} ${valueOf(series)}`).join(", "));
  valuesAtHand().then(speak, speak);
}

function mark() {
  if (state.tool === "move" || !state.cursor) return;
  if (!corner) {
    corner = state.cursor;
    announce("First point set");
    return;
  }
  const box = span(corner, state.cursor);
  if (state.tool === "line") {
    set({ line: { u0: corner.u, v0: corner.v, u1: state.cursor.u, v1: state.cursor.v } });
  } else if (box.u1 > box.u0 && box.v1 > box.v0) {
    set({ boxes: [...state.boxes, box].slice(-BOXES.length) });
  }
  corner = null;
  announce("Second point set");
}
