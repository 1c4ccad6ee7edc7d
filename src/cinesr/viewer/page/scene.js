// What is to be seen now: which series in which pane, in which mode, and the frames it takes.

import { family, root, rootOf, seriesOf } from "./family.js";
import { hasFrame, momentsAhead } from "./frames.js";
import { drawingsOf } from "./painting.js";
import { contains, pixelsOf, probePart } from "./parts.js";
import { addressOf, framesOf, layersOf } from "./pictures.js";
import { set, state } from "./store.js";

export const MOST_PANES = 4;
const MOST_PROBED = 2 ** 20; // Pixels: a line that takes more is drawn at rest only.
const RUN = 4; // So many phases of one series before those of the next.

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

// What the panes are drawn on: their sizes, and device pixels per pixel of the page.
let screen = { sizes: [], ratio: 1 };

export function setScreen(seen) {
  screen = seen;
}

// Everything that is drawn; in blink also the side that is not seen at the moment.
function drawings({ sizes, ratio } = screen) {
  const blinks = state.mode === "blink" && isPair();
  const panes = blinks ? shown().slice(0, 2).map(alone) : partsOfPanes();
  return panes.flatMap((parts, index) => {
    const size = sizes[blinks ? 0 : index];
    return size ? drawingsOf({ ...settings(), parts, size, ratio }) : [];
  });
}

const framesAt = (time, drawn) => drawn.flatMap((drawing) => framesOf(drawing, time));
const distinct = (wanted) => [...new Map(wanted.map((one) => [one.key, one])).values()];

export const framesWanted = (time = state.time, on = screen) =>
  distinct(framesAt(time, drawings(on)));

export const isReady = (time) => framesWanted(time).every(hasFrame);

// Whole frames, to be shown where a hand moves to before what is seen there in detail has come.
export const basesWanted = () =>
  distinct(drawings().flatMap(({ base }) => (base ? framesOf(base) : [])));

// Stored values of a series at a place or along a line: from what is drawn, where that is in full
// detail, else from a part that is fetched for them.
export function probeOf(series, box, time = state.time, drawn = drawings()) {
  return framesAt(time, drawn).find(({ id, layer, part }) => id === series.id
    && layer === "frames" && part.level === 0 && contains(part.span, box))
    ?? addressOf(series, probePart(series, box), time);
}

export const boxOf = ({ u, v }) => ({ u0: u, v0: v, u1: u, v1: v });
export const boxAround = ({ u0, v0, u1, v1 }) => ({
  u0: Math.min(u0, u1), v0: Math.min(v0, v1), u1: Math.max(u0, u1), v1: Math.max(v0, v1),
});

// For the values under the cursor and along the line.
export function probesWanted(time = state.time, drawn = drawings()) {
  const { cursor, line } = state;
  const boxes = [...(cursor ? [boxOf(cursor)] : []), ...(line ? [boxAround(line)] : [])];
  return distinct(boxes.flatMap((box) => shown().map((one) => probeOf(one, box, time, drawn))))
    .filter(({ part }) => pixelsOf(part) <= MOST_PROBED);
}

// The frames of the coming phases, in runs, so that each series travels several at once.
export function framesNext() {
  const count = phases();
  const drawn = drawings();
  const at = (time) => distinct([...framesAt(time, drawn), ...probesWanted(time, drawn)]);
  const ahead = Math.min(count - 1, momentsAhead(at(state.time)));
  const moments = Array.from({ length: ahead }, (_, step) => at((state.time + 1 + step) % count));
  const rounds = [];
  for (let from = 0; from < ahead; from += RUN) {
    const run = moments.slice(from, from + RUN);
    rounds.push(...run[0].flatMap((_, one) => run.map((moment) => moment[one])));
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
