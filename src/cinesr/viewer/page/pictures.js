// From frames to canvases. A picture is made again only when something it shows has changed.

import { ENTRIES, SIGNED, SIZED, greyTable } from "./colours.js";
import { roleOf, root, rootOf, truthOf } from "./family.js";
import { address, frameAt } from "./frames.js";
import { clamp } from "./geometry.js";
import { contains } from "./parts.js";
import { state } from "./store.js";

const KEPT_PIXELS = 12 * 2 ** 20; // of which each takes eight bytes
const DIFFERENCE_SHARE = 0.2; // of the window's width is the end of the scale of differences
const CONSISTENCY_SHARE = 0.05;

const pictures = new Map();
const tables = new Map();

// The family shares the root's window, so that one grey means one value in all panes.
function windowOf(series) {
  const member = roleOf(series) === "other" ? rootOf(series) : root() ?? series;
  const { low, high } = member.window;
  const width = high - low || 1;
  return { low: low + state.contrast.low * width, high: low + state.contrast.high * width };
}

function rangeOf(layer) {
  const { low, high } = windowOf(root());
  return (high - low) * (layer.kind === "consistency" ? CONSISTENCY_SHARE : DIFFERENCE_SHARE);
}

const clampTime = (series) => Math.min(state.time, series.shape[0] - 1);
const clampSlice = (series) => Math.min(state.slice, series.shape[1] - 1);

export const addressOf = (series, part, time = clampTime(series)) =>
  address(series.id, Math.min(time, series.shape[0] - 1), clampSlice(series), { part });

// What a pane shows of a series: the picture itself, its error, or what it loses degraded again.
export function layersOf(series) {
  const image = { kind: "image", series };
  const truth = truthOf();
  if (state.overlay === "error" && truth && truth.id !== series.id) {
    return [{ kind: "error", series, reference: truth }];
  }
  if (state.overlay === "consistency" && series.parent) {
    return [image, { kind: "consistency", series }];
  }
  return [image];
}

// A drawing is a layer with the parts of its frames that are to be seen: {layer, part,
// referencePart, place, slot, base}. Its base is what is shown of it while they are on their way.
export function framesOf({ layer, part, referencePart }, time) {
  const own = addressOf(layer.series, part, time);
  if (layer.kind === "consistency") {
    return [address(own.id, own.time, own.slice, { layer: "consistency" })];
  }
  return layer.reference ? [own, addressOf(layer.reference, referencePart, time)] : [own];
}

// What there is of a drawing, from below: the picture alone where it is as it should be.
export function picturesOf(drawing) {
  const picture = pictureOf(drawing);
  const below = drawing.base && (!picture || picture.stale) ? picturesOf(drawing.base) : [];
  return picture ? [...below, picture] : below;
}

const keyOf = ({ layer: { kind, series, reference }, slot }) =>
  [slot, kind, series.id, reference?.id].join("|");

export const rmsOf = (layer) => pictures.get(keyOf({ layer, slot: "pane" }))?.rms;

// The canvas of a drawing, or null while its frames are on their way and nothing older is there.
function pictureOf(drawing) {
  const { layer } = drawing;
  const wanted = framesOf(drawing);
  const frames = wanted.map(frameAt);
  const key = keyOf(drawing);
  const known = pictures.get(key);
  if (frames.includes(null)) {
    if (known) known.stale = true;
    return known ?? null;
  }
  const { low, high } = windowOf(layer.series);
  const signature = [low, high, ...wanted.map((one) => one.key)].join("|");
  const picture = known ?? { canvas: document.createElement("canvas") };
  pictures.delete(key);
  pictures.set(key, picture); // Insertion order is order of last use.
  if (picture.signature !== signature) {
    render(picture, layer, frames, { low, high });
    Object.assign(picture, { signature, rms: frames[0].rms });
    forgetOldest();
  }
  picture.stale = false;
  return picture;
}

function forgetOldest() {
  const sizes = [...pictures].map(([key, { canvas }]) => [key, canvas.width * canvas.height]);
  let held = sizes.reduce((sum, [, pixels]) => sum + pixels, 0);
  for (const [key, pixels] of sizes.slice(0, -1)) {
    if (held <= KEPT_PIXELS) return;
    pictures.delete(key);
    held -= pixels;
  }
}

function render(picture, layer, frames, bounds) {
  const finest = frames.reduce((best, frame) => (density(frame) > density(best) ? frame : best));
  const { rows, columns } = finest;
  const { canvas } = picture;
  picture.span = finest.span;
  if (canvas.width !== columns || canvas.height !== rows || !picture.pixels) {
    canvas.width = columns;
    canvas.height = rows;
    picture.context = canvas.getContext("2d", { alpha: layer.kind === "consistency" });
    picture.pixels = picture.context.createImageData(columns, rows);
    picture.words = new Uint32Array(picture.pixels.data.buffer);
  }
  if (layer.kind === "image") fillGrey(picture.words, frames[0], layer.series, bounds);
  else if (layer.kind === "consistency") fillTransparent(picture.words, frames[0], rangeOf(layer));
  else fillDifference(picture.words, frames, finest, layer);
  picture.context.putImageData(picture.pixels, 0, 0);
}

const density = ({ columns, span }) => columns / (span.u1 - span.u0);

function fillGrey(words, frame, series, bounds) {
  const signature = [frame.slope, frame.intercept, bounds.low, bounds.high].join("|");
  const key = `${series.id}/${frame.slope}`; // That of averages may differ.
  let known = tables.get(key);
  if (known?.signature !== signature) {
    known = { signature, table: greyTable(frame, bounds) };
    tables.set(key, known);
  }
  const { table } = known;
  const { data } = frame;
  for (let at = 0; at < data.length; at += 1) words[at] = table[data[at]];
}

function fillTransparent(words, { data, slope, intercept }, range) {
  for (let at = 0; at < data.length; at += 1) {
    const share = clamp((data[at] * slope + intercept) / range, -1, 1);
    const colour = SIGNED[Math.round((share * 0.5 + 0.5) * (ENTRIES - 1))];
    // Strong differences cover the picture, small ones let it through.
    const cover = Math.round(255 * Math.min(1, Math.abs(share) * 1.6));
    words[at] = (colour & 0xffffff | cover << 24) >>> 0;
  }
}

function fillDifference(words, [own, reference], finest, layer) {
  const first = resampled(own, finest);
  const second = resampled(reference, finest);
  const signed = layer.kind === "difference";
  const table = signed ? SIGNED : SIZED;
  const factor = (ENTRIES - 1) / rangeOf(layer) * (signed ? 0.5 : 1);
  const zero = signed ? (ENTRIES - 1) / 2 : 0;
  for (let at = 0; at < words.length; at += 1) {
    const difference = (first[at] - second[at]) * factor;
    const entry = zero + (signed ? difference : Math.abs(difference));
    words[at] = table[entry < 0 ? 0 : entry > ENTRIES - 1 ? ENTRIES - 1 : Math.round(entry)];
  }
}

// Stored values on another grid of the same image, interpolated linearly between centres.
function resampled({ data, rows, columns, slope, intercept, span }, grid) {
  const values = new Float32Array(grid.rows * grid.columns);
  if (rows === grid.rows && columns === grid.columns && contains(span, grid.span)) {
    for (let at = 0; at < values.length; at += 1) values[at] = data[at] * slope + intercept;
    return values;
  }
  const { u0, v0, u1, v1 } = grid.span;
  const across = neighbours(columns, [span.u0, span.u1], grid.columns, [u0, u1]);
  const down = neighbours(rows, [span.v0, span.v1], grid.rows, [v0, v1]);
  for (let row = 0, at = 0; row < grid.rows; row += 1) {
    const top = down.first[row] * columns;
    const bottom = down.second[row] * columns;
    for (let column = 0; column < grid.columns; column += 1, at += 1) {
      const [left, right] = [across.first[column], across.second[column]];
      const share = across.share[column];
      const upper = data[top + left] + (data[top + right] - data[top + left]) * share;
      const lower = data[bottom + left] + (data[bottom + right] - data[bottom + left]) * share;
      values[at] = (upper + (lower - upper) * down.share[row]) * slope + intercept;
    }
  }
  return values;
}

function neighbours(count, [from, to], wanted, [start, end]) {
  const first = new Int32Array(wanted);
  const second = new Int32Array(wanted);
  const share = new Float32Array(wanted);
  for (let index = 0; index < wanted; index += 1) {
    const place = start + (index + 0.5) / wanted * (end - start);
    const centre = clamp((place - from) / (to - from) * count - 0.5, 0, count - 1);
    first[index] = Math.floor(centre);
    second[index] = Math.min(first[index] + 1, count - 1);
    share[index] = centre - first[index];
  }
  return { first, second, share };
}

export const legendOf = (layer) => {
  if (layer.kind === "image") return null;
  return { table: layer.kind === "error" ? SIZED : SIGNED, range: rangeOf(layer),
    signed: layer.kind !== "error" };
};

