// The panes: their place on the page, their headings, and when they are painted.

import { TONES } from "./colours.js";
import { byId, element, icon } from "./dom.js";
import { extentOf, fixed, pixelAt, placeImage, short } from "./geometry.js";
import { labelOf, toneOf } from "./family.js";
import { frameAt, hasFrame, loadFrame, need, prefetch } from "./frames.js";
import { paintPane } from "./painting.js";
import { paneSelect } from "./pane-select.js";
import { within } from "./parts.js";
import { layersOf, rmsOf } from "./pictures.js";
import {
  basesWanted, boxOf, framesNext, framesWanted, isPair, partsOfPanes, phases, probeOf, probesWanted,
  removePane, setPane, setScreen, settings, shown, slices,
} from "./scene.js";
import { set, state, subscribe } from "./store.js";

const IDLE_MS = 150; // A hand that steps through slices does not want every slice's whole loop.
const MOST_RATIO = 2; // Finer screens would cost time that no eye sees.

const stage = byId("stage");
const views = []; // {frame, canvas, selects, values, metas}
let divider = null;
let structure = "";
let scheduled = false;
let incomplete = false;
let idle = 0;

const observer = new ResizeObserver(() => requestPaint());

export function startStage() {
  subscribe(["panes", "mode", "server", "root", "truths"], rebuild);
  subscribe(["time", "slice", "view", "contrast", "smooth", "boxes", "line", "cursor", "divider",
    "blinkSide", "overlay", "panes", "mode", "root", "truths", "server"], requestPaint);
  observer.observe(stage);
  rebuild();
}

function requestPaint() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    paint();
  });
}

function rebuild() {
  const count = isPair() ? 1 : shown().length;
  const wanted = `${isPair()}/${count}/${state.mode === "divider"}`;
  if (wanted !== structure) {
    structure = wanted;
    observer.disconnect();
    observer.observe(stage);
    views.length = 0;
    stage.replaceChildren();
    for (let index = 0; index < count; index += 1) addView(index);
    stage.dataset.count = count;
  }
  refreshHeads();
}

function addView(index) {
  const canvas = element("canvas", { tabIndex: 0, role: "img", data: { pane: index } });
  const frame = element("div", { class: "view" }, canvas);
  const pair = isPair();
  const slots = pair ? [0, 1] : [index];
  const parts = slots.map((slot) => headPart(slot, pair));
  const head = element("div", { class: pair ? "pane-head pair" : "pane-head" },
    ...parts.map((part) => part.node));
  if (pair) head.insertBefore(swapButton(), parts[1].node);
  const node = element("div", { class: "pane" }, head, frame);
  if (pair && state.mode === "divider") {
    divider = makeDivider();
    frame.append(divider);
  }
  stage.append(node);
  observer.observe(frame);
  views.push({ frame, canvas, slots, parts });
}

function headPart(slot, pair) {
  const tone = element("span", { class: "tone", "aria-hidden": "true" });
  const choice = paneSelect(slot, (id) => setPane(slot, id));
  const meta = element("span", { class: "pane-meta" });
  const value = element("span", { class: "pane-value" });
  const node = element("div", { class: "pane-part" }, tone, choice.node, meta, value);
  if (!pair && state.panes.length > 1) {
    node.append(element("button", {
      class: "bare small", type: "button", "aria-label": `Close pane ${slot + 1}`,
      title: "Close this pane", onclick: () => removePane(slot),
    }, icon("close")));
  }
  return { node, tone, choice, meta, value };
}

const swapButton = () => element("button", {
  class: "bare small swap", type: "button", "aria-label": "Swap the two series", title: "Swap (x)",
  onclick: swap,
}, icon("swap"));

export function swap() {
  const [before, after, ...rest] = state.panes;
  if (after) set({ panes: [after, before, ...rest] });
}

function refreshHeads() {
  for (const view of views) {
    view.slots.forEach((slot, at) => {
      const series = shown()[slot];
      if (!series) return;
      const { tone, choice } = view.parts[at];
      tone.style.background = TONES[toneOf(series)];
      choice.refresh(series);
    });
  }
}

function makeDivider() {
  const handle = element("div", {
    class: "divider", tabIndex: 0, role: "slider", "aria-label": "Divider between the two series",
    "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "horizontal",
  }, element("span", { class: "grip", "aria-hidden": "true" }, icon("swap")));
  const move = (event) => {
    const box = handle.parentElement.getBoundingClientRect();
    set({ divider: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) });
  };
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.stopPropagation();
    handle.setPointerCapture(event.pointerId);
    handle.addEventListener("pointermove", move);
  });
  handle.addEventListener("pointerup", () => handle.removeEventListener("pointermove", move));
  handle.addEventListener("pointercancel", () => handle.removeEventListener("pointermove", move));
  handle.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02,
      PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    set({ divider: Math.min(1, Math.max(0, state.divider + steps[event.key])) });
  });
  return handle;
}

const sizeOf = ({ frame }) => ({ width: frame.clientWidth, height: frame.clientHeight });

function paint() {
  const all = shown();
  if (!all.length) return;
  const ratio = Math.min(MOST_RATIO, window.devicePixelRatio);
  setScreen({ sizes: views.map(sizeOf), ratio });
  const probes = probesWanted();
  need([...framesWanted(), ...probes, ...(state.playing ? [] : basesWanted())]);
  const panes = partsOfPanes();
  incomplete = !probes.every(hasFrame);
  views.forEach((view, index) => {
    if (!panes[index]) return;
    const size = sizeOf(view);
    const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (!width || !height) return;
    if (view.canvas.width !== width) view.canvas.width = width;
    if (view.canvas.height !== height) view.canvas.height = height;
    const context = view.canvas.getContext("2d", { alpha: false });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const whole = paintPane(context, { ...settings(), parts: panes[index], size, ratio });
    view.frame.classList.toggle("waiting", !whole);
    incomplete ||= !whole;
    describe(view, index, panes[index]);
  });
  if (divider) {
    divider.style.left = `${state.divider * 100}%`;
    divider.setAttribute("aria-valuenow", Math.round(state.divider * 100));
    divider.setAttribute("aria-valuetext", `${Math.round(state.divider * 100)} percent from the left`);
  }
  set({ values: all.map(valueOf).join() });
  fetchAhead();
}

// A frame came: painted if it was waited for; either way there is room for the next.
export function frameArrived() {
  if (incomplete) requestPaint();
  else fetchAhead();
}

function fetchAhead() {
  clearTimeout(idle);
  if (state.playing) prefetch(framesNext());
  else idle = setTimeout(() => prefetch(framesNext()), IDLE_MS);
}

function describe(view, index, parts) {
  const names = parts.map((part) => nameOf(part.layers.at(-1))).join(" beside ");
  const place = `phase ${state.time + 1} of ${phases()}, slice ${state.slice + 1} of ${slices()}`;
  const text = `${names}, ${place}`;
  if (view.canvas.getAttribute("aria-label") !== text) view.canvas.setAttribute("aria-label", text);
  view.canvas.dataset.tool = state.tool;
  view.slots.forEach((slot, at) => {
    setText(view.parts[at].meta, metaOf(shown()[slot]));
    const value = valueOf(shown()[slot]);
    setText(view.parts[at].value, value);
    const lit = state.mode !== "blink" || !isPair() || at === state.blinkSide;
    view.parts[at].node.classList.toggle("dim", !lit);
  });
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Its size; or how far from the input it is when it is degraded again, where that is shown.
function metaOf(series) {
  const layer = layersOf(series).find(({ kind }) => kind === "consistency");
  const rms = state.mode !== "difference" && layer && rmsOf(layer);
  return rms ? `${fixed(rms, 2)} % RMS` : `${series.shape[3]} × ${series.shape[2]}`;
}

const nameOf = (layer) => ({
  image: labelOf(layer.series),
  error: `Error of ${labelOf(layer.series)}`,
  consistency: `${labelOf(layer.series)}, degraded again, less the input`,
  difference: layer.reference && `${labelOf(layer.series)} less ${labelOf(layer.reference)}`,
})[layer.kind];

// The stored value of the pixel under the cursor, as it is: nothing interpolated, nothing averaged.
export function valueOf(series) {
  const { cursor } = state;
  const isInside = (share) => share >= 0 && share < 1;
  if (!series || !cursor || !isInside(cursor.u) || !isInside(cursor.v)) return "";
  const frame = frameAt(probeOf(series, boxOf(cursor)));
  if (!frame) return "";
  const { rows, columns, data, slope, intercept, span } = frame;
  const { u, v } = within(span, cursor);
  const raw = data[pixelAt(v, rows) * columns + pixelAt(u, columns)];
  return short(raw * slope + intercept, 5);
}

// For whoever reads the values out: when they are at hand.
export const valuesAtHand = () => Promise.all(probesWanted().map(loadFrame));

// From a point on a pane's canvas to a place in the image, and how many pixels are one image.
export function placeAt(index, x, y) {
  const view = views[index];
  const series = shown()[view.slots[0]];
  const reference = extentOf(shown()[0]);
  const place = placeImage(extentOf(series, shown()[0]), reference, state.view, sizeOf(view));
  return { u: (x - place.x) / place.width, v: (y - place.y) / place.height, place };
}

export const paneSizes = () => views.map(sizeOf);
