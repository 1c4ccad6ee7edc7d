// Hands on the images: wheel, drag, two fingers, and drawing of boxes and the line.

import { BOXES } from "./colours.js";
import { byId } from "./dom.js";
import { clamp } from "./geometry.js";
import { placeAt } from "./stage.js";
import { set, state } from "./store.js";

const MOST_ZOOM = 40;
const SMALLEST = 0.01; // A box or a line this short was a click.

const fingers = new Map();
let gesture = null;

export function startPointer() {
  const stage = byId("stage");
  stage.addEventListener("wheel", onWheel, { passive: false });
  stage.addEventListener("pointerdown", onDown);
  stage.addEventListener("pointermove", onMove);
  stage.addEventListener("pointerup", onUp);
  stage.addEventListener("pointercancel", onUp);
  stage.addEventListener("pointerleave", () => fingers.size || set({ cursor: null }));
  stage.addEventListener("contextmenu", (event) => paneOf(event) && event.preventDefault());
  stage.addEventListener("dblclick", (event) => paneOf(event) && fit());
}

// The canvas under the hand; the divider lies over one, and takes for itself what drags it.
const paneOf = ({ target }) => target.closest(".view")?.querySelector("canvas");

function locate(event) {
  const pane = paneOf(event);
  const box = pane.getBoundingClientRect();
  return placeAt(Number(pane.dataset.pane), event.clientX - box.left, event.clientY - box.top);
}

export function fit() {
  set({ view: { zoom: 1, u: 0.5, v: 0.5 } });
}

export function resetContrast() {
  set({ contrast: { low: 0, high: 1 } });
}

// Zooms so that the given place stays where it is on the screen.
export function zoomBy(factor, about = state.cursor ?? { u: state.view.u, v: state.view.v }) {
  const zoom = clamp(state.view.zoom * factor, 0.25, MOST_ZOOM);
  const share = 1 - state.view.zoom / zoom;
  const u = state.view.u + (about.u - state.view.u) * share;
  const v = state.view.v + (about.v - state.view.v) * share;
  set({ view: { zoom, u: clamp(u, 0, 1), v: clamp(v, 0, 1) } });
}

function onWheel(event) {
  if (!paneOf(event)) return;
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 16 : 1;
  zoomBy(Math.exp(-event.deltaY * lines * 0.0015), locate(event));
}

function onDown(event) {
  const pane = paneOf(event);
  if (!pane) return;
  pane.focus({ preventScroll: true });
  pane.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, event);
  if (fingers.size === 2) {
    gesture = { kind: "pinch", distance: fingerDistance() };
    return;
  }
  const place = locate(event);
  const kind = event.button === 2 || event.shiftKey ? "contrast" : state.tool;
  if (event.button === 1) gesture = { kind: "move", event };
  else if (kind === "box") gesture = boxGesture(place);
  else gesture = { kind, event, start: place };
}

// A press inside a box takes it along; elsewhere it begins a new one, and the oldest goes.
function boxGesture(place) {
  const at = state.boxes.findIndex((box) =>
    place.u > box.u0 && place.u < box.u1 && place.v > box.v0 && place.v < box.v1);
  if (at >= 0) return { kind: "carry", at, box: state.boxes[at], start: place };
  const kept = state.boxes.length < BOXES.length ? state.boxes : state.boxes.slice(1);
  return { kind: "box", start: place, before: state.boxes, kept };
}

function fingerDistance() {
  const [first, second] = [...fingers.values()];
  return Math.hypot(first.clientX - second.clientX, first.clientY - second.clientY);
}

function onMove(event) {
  if (!paneOf(event)) return set({ cursor: null });
  const before = fingers.get(event.pointerId);
  if (gesture && before) {
    fingers.set(event.pointerId, event);
    MOVES[gesture.kind](event, before, locate(event));
  }
  // Only now, because the image may have moved below the hand.
  const { u, v } = locate(event);
  set({ cursor: u >= 0 && u < 1 && v >= 0 && v < 1 ? { u, v } : null });
}

const MOVES = {
  pinch(event, before, place) {
    if (fingers.size < 2) return;
    const distance = fingerDistance();
    zoomBy(distance / gesture.distance, place);
    gesture.distance = distance;
  },
  move(event, before, { place }) {
    const { zoom, u, v } = state.view;
    set({ view: {
      zoom,
      u: clamp(u - (event.clientX - before.clientX) / place.width, 0, 1),
      v: clamp(v - (event.clientY - before.clientY) / place.height, 0, 1),
    } });
  },
  contrast(event, before) {
    changeContrast((event.clientX - before.clientX) / 300, (event.clientY - before.clientY) / 300);
  },
  box(event, before, place) {
    set({ boxes: [...gesture.kept, span(gesture.start, place)] });
  },
  carry(event, before, place) {
    const { at, box, start } = gesture;
    const du = clamp(place.u - start.u, -box.u0, 1 - box.u1);
    const dv = clamp(place.v - start.v, -box.v0, 1 - box.v1);
    const moved = { u0: box.u0 + du, u1: box.u1 + du, v0: box.v0 + dv, v1: box.v1 + dv };
    set({ boxes: state.boxes.map((one, index) => (index === at ? moved : one)) });
  },
  line(event, before, place) {
    set({ line: {
      u0: gesture.start.u, v0: gesture.start.v,
      u1: clamp(place.u, 0, 1), v1: clamp(place.v, 0, 1),
    } });
  },
};

export function span(one, other) {
  const [u0, u1] = [one.u, other.u].map((u) => clamp(u, 0, 1)).sort((a, b) => a - b);
  const [v0, v1] = [one.v, other.v].map((v) => clamp(v, 0, 1)).sort((a, b) => a - b);
  return { u0, u1, v0, v1 };
}

// Right widens, down brightens, in shares of the scan's own window.
export function changeContrast(wider, brighter) {
  const { low, high } = state.contrast;
  const width = Math.max(0.02, (high - low) * Math.exp(wider));
  const level = (low + high) / 2 - brighter * (high - low);
  set({ contrast: { low: level - width / 2, high: level + width / 2 } });
}

function onUp(event) {
  fingers.delete(event.pointerId);
  if (gesture?.kind === "box") {
    const drawn = state.boxes.at(-1);
    const small = !drawn || drawn.u1 - drawn.u0 < SMALLEST || drawn.v1 - drawn.v0 < SMALLEST;
    if (small) set({ boxes: gesture.before });
  }
  if (gesture?.kind === "line" && state.line) {
    const { u0, v0, u1, v1 } = state.line;
    if (Math.hypot(u1 - u0, v1 - v0) < SMALLEST) set({ line: null });
  }
  if (!fingers.size) gesture = null;
}
