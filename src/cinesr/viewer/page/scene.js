// What is to be seen now: which series in which pane, in which mode, and the frames it takes.

import { family, root, rootOf, seriesOf } from "./family.js";
import { framesAhead, hasFrame } from "./frames.js";
import { framesOf, layersOf } from "./pictures.js";
import { set, state } from "./store.js";

export const MOST_PANES = 4;
export const isPair = () => state.mode !== "grid" && shown().length > 1;

export const shown = () => state.panes.map(seriesOf).filter(Boolean);
export const phases = () => Math.max(1, ...shown().map((series) => series.shape[0]));
export const slices = () => Math.max(1, ...shown().map((series) => series.shape[1]));

const WHOLE = [0, 1];
const alone = (series) => [{ layers: layersOf(series), share: WHOLE }];

// One list of parts for each pane; two parts share a pane at the divider.
export function partsOfPanes() {
  const all = shown();
  if (!isPair()) return all.map(alone);
  const [before, after] = all;
  if (state.mode === "divider") {
    return [[
      { layers: layersOf(before), share: [0, state.divider] },
      { layers: layersOf(after), share: [state.divider, 1] },
    ]];
  }
  if (state.mode === "blink") return [alone(state.blinkSide ? after : before)];
  const layer = { kind: "difference", series: after, reference: before };
  return [[{ layers: [layer], share: WHOLE }]];
}

function layersWanted() {
  if (state.mode === "blink" && isPair()) return shown().slice(0, 2).flatMap(layersOf);
  return partsOfPanes().flat().flatMap((part) => part.layers);
}

export const framesWanted = (time = state.time) =>
  layersWanted().flatMap((layer) => framesOf(layer, time));

export const isReady = (time) => framesWanted(time).every(hasFrame);

// The frames of the coming phases, pane by pane, so that each series travels in long runs.
export function framesNext() {
  const count = phases();
  const layers = layersWanted();
  const ahead = Math.min(count - 1, framesAhead(layers.map((layer) => layer.series.id)));
  const times = Array.from({ length: ahead }, (_, step) => (state.time + 1 + step) % count);
  const lists = layers.map((layer) => times.flatMap((time) => framesOf(layer, time)));
  const rounds = [];
  const run = 4;
  for (let from = 0; from < ahead; from += run) {
    for (const list of lists) {
      const each = list.length / Math.max(1, ahead);
      rounds.push(...list.slice(from * each, (from + run) * each));
    }
  }
  return rounds;
}

export const settings = () => ({
  reference: shown()[0],
  view: state.view,
  smooth: state.smooth,
  boxes: state.boxes,
  line: state.line,
  cursor: state.cursor,
});

// What to hold an input against before anybody chose: the latest result, else an interpolation.
export function counterpart() {
  const members = family();
  const present = state.panes[0];
  const results = members.filter((series) => series.kind === "result");
  const others = members.filter((series) => series.id !== present);
  return results.filter((series) => series.id !== present).at(-1) ?? others[0] ?? null;
}

export function showSeries(id) {
  const series = seriesOf(id);
  if (!series) return;
  const ancestor = rootOf(series);
  const sameRoot = state.root === ancestor.id;
  const kept = sameRoot ? {} : {
    time: 0, slice: Math.floor(ancestor.shape[1] / 2), boxes: [], line: null, cursor: null,
    contrast: { low: 0, high: 1 }, view: { zoom: 1, u: 0.5, v: 0.5 }, overlay: "none",
  };
  const pair = series.id !== ancestor.id;
  set({
    ...kept,
    root: ancestor.id,
    panes: pair ? [ancestor.id, series.id] : [ancestor.id],
    mode: pair && !(sameRoot && state.panes.length > 1) ? "divider" : state.mode,
  });
}

export function setPane(index, id) {
  const panes = [...state.panes];
  panes[index] = id;
  set({ panes });
}

export function removePane(index) {
  if (state.panes.length < 2) return;
  set({ panes: state.panes.filter((_, at) => at !== index) });
}

// Series that were closed leave their panes; an empty stage takes the first there is.
export function prune() {
  const panes = state.panes.filter(seriesOf);
  if (panes.length !== state.panes.length) set({ panes });
  if (state.root && !root()) set({ root: null, panes: [] });
  if (!root() && state.server.series.length) showSeries(state.server.series[0].id);
  else if (root() && !state.panes.length) set({ panes: [state.root] });
}
