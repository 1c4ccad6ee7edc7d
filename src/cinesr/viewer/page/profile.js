// The values along a drawn line, for every series of the family: how steep an edge is.

import { TONES } from "./colours.js";
import { byId, element, vector } from "./dom.js";
import { family, labelOf, roleOf, root, toneOf } from "./family.js";
import { frameAt, loadFrame } from "./frames.js";
import { extentOf, interpolate, roundLength, short } from "./geometry.js";
import { within } from "./parts.js";
import { boxAround, probeOf, shown } from "./scene.js";
import { state, subscribe } from "./store.js";

const SAMPLES = 240;
const MOST = 6;
const BOX = { width: 300, height: 190, left: 40, right: 8, top: 10, bottom: 30 };
const DASHES = { input: "1 3", bicubic: "6 3", truth: "", result: "", "result-2": "2 2", other: "4 2" };

let scheduled = false;
let turns = 0;

export function startProfile() {
  subscribe(["line", "time", "slice", "panes", "server", "root", "truths"], () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      draw();
    });
  });
}

const members = () => [...new Set([...shown().filter((one) => roleOf(one) !== "other"), ...family()])]
  .sort((one, other) => family().indexOf(one) - family().indexOf(other)).slice(0, MOST);

async function draw() {
  const { line } = state;
  byId("profile-hint").hidden = Boolean(line);
  byId("profile").hidden = !line;
  if (!line || !root()) return;
  const turn = ++turns;
  const curves = [];
  for (const series of members()) {
    const frame = await frameFor(probeOf(series, boxAround(line)));
    if (turn !== turns) return; // There is something newer to draw.
    if (frame) curves.push({ series, values: along(frame, line) });
  }
  if (curves.length) chart(curves, lengthOf(line));
}

// During playback only what is at hand is drawn; at rest the others are fetched, one after another,
// because those of long lines are large.
const frameFor = async (wanted) =>
  frameAt(wanted) ?? (state.playing ? null : loadFrame(wanted).catch(() => null));

function along(frame, line) {
  return Array.from({ length: SAMPLES }, (_, index) => {
    const share = index / (SAMPLES - 1);
    return interpolate(frame, within(frame.span, {
      u: line.u0 + (line.u1 - line.u0) * share, v: line.v0 + (line.v1 - line.v0) * share,
    }));
  });
}

function lengthOf(line) {
  const extent = extentOf(root());
  const length = Math.hypot((line.u1 - line.u0) * extent.width,
    (line.v1 - line.v0) * extent.height);
  return { length, unit: extent.known ? "mm" : "pixels of the input" };
}

function chart(curves, { length, unit }) {
  const all = curves.flatMap(({ values }) => values);
  const [low, high] = niceBounds(Math.min(...all), Math.max(...all));
  const across = (at) => BOX.left + at / length * (BOX.width - BOX.left - BOX.right);
  const up = (value) =>
    BOX.height - BOX.bottom - (value - low) / (high - low) * (BOX.height - BOX.top - BOX.bottom);
  const parts = [
    ...ticks(low, high, 5).flatMap((value) => [
      vector("line", { x1: BOX.left, x2: BOX.width - BOX.right, y1: up(value), y2: up(value),
        class: "grid" }),
      label(short(value), BOX.left - 5, up(value) + 3.5, "end")]),
    ...ticks(0, length, 5).map((at) => label(short(at), across(at), BOX.height - BOX.bottom + 14)),
    label(unit, (BOX.left + BOX.width - BOX.right) / 2, BOX.height - 3),
    ...curves.map(({ series, values }) => vector("polyline", {
      points: values.map((value, index) =>
        `${across(index / (SAMPLES - 1) * length).toFixed(1)},${up(value).toFixed(1)}`).join(" "),
      class: "curve", stroke: TONES[toneOf(series)], "stroke-dasharray": DASHES[toneOf(series)],
    })),
  ];
  const names = curves.map(({ series }) => labelOf(series)).join(", ");
  byId("profile-chart").setAttribute("aria-label",
    `Values along a line of ${short(length, 3)} ${unit}: ${names}`);
  byId("profile-chart").replaceChildren(...parts);
  byId("profile-legend").replaceChildren(...curves.map(({ series }) => element("li", {},
    vector("svg", { width: 22, height: 8, "aria-hidden": "true" }, vector("line", {
      x1: 0, x2: 22, y1: 4, y2: 4, class: "curve", stroke: TONES[toneOf(series)],
      "stroke-dasharray": DASHES[toneOf(series)],
    })), labelOf(series))));
}

const label = (text, x, y, anchor = "middle") => {
  const node = vector("text", { x, y, "text-anchor": anchor });
  node.textContent = text;
  return node;
};

function niceBounds(low, high) {
  const step = roundLength(Math.max(high - low, 1e-9) / 3);
  return [Math.floor(low / step) * step, Math.max(Math.ceil(high / step), 1 + Math.floor(low / step)) * step];
}

function ticks(low, high, most) {
  const roughly = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(roughly));
  const step = power * [1, 2, 5, 10].find((digit) => digit * power >= roughly);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, index) => (first + index) * step);
}
