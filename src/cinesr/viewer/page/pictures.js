// From frames to canvases. A picture is made again only when something it shows has changed.

import { ENTRIES, SIGNED, SIZED, greyTable } from "./colours.js";
import { roleOf, root, rootOf, truthOf } from "./family.js";
import { address, frameAt } from "./frames.js";
import { clamp } from "./geometry.js";
import { state } from "./store.js";

const KEPT = 12;
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

export const addressOf = (series, time = clampTime(series)) =>
  address(series.id, Math.min(time, series.shape[0] - 1), clampSlice(series));

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

export function framesOf(layer, time) {
  const own = addressOf(layer.series, time);
  if (layer.kind === "consistency") return [{ ...own, layer: "consistency" }];
  return layer.reference ? [own, addressOf(layer.reference, time)] : [own];
}

// The canvas of a layer, or null while its frames are on their way and nothing older is there.
export function pictureOf(layer) {
  const slot = `${layer.kind}|${layer.series.id}|${layer.reference?.id}`;
  const wanted = framesOf(layer);
  const frames = wanted.map(frameAt);
  const known = pictures.get(slot);
  if (frames.includes(null)) {
    if (known) known.stale = true;
    return known ?? null;
  }
  const { low, high } = windowOf(layer.series);
  const signature = [low, high, ...wanted.map(({ time, slice }) => `${time}/${slice}`)].join("|");
  if (known?.signature === signature) {
    known.stale = false;
    return known;
  }
  const picture = known ?? { canvas: document.createElement("canvas") };
  render(picture, layer, frames, { low, high });
  Object.assign(picture, { signature, stale: false, rms: frames[0].rms });
  pictures.delete(slot);
  pictures.set(slot, picture);
  if (pictures.size > KEPT) pictures.delete(pictures.keys().next().value);
  return picture;
}

function render(picture, layer, frames, bounds) {
  const finest = frames.reduce((best, frame) => (frame.columns > best.columns ? frame : best));
  const { rows, columns } = finest;
  const { canvas } = picture;
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

function fillGrey(words, frame, series, bounds) {
  const signature = [frame.slope, frame.intercept, bounds.low, bounds.high].join("|");
  let known = tables.get(series.id);
  if (known?.signature !== signature) {
    known = { signature, table: greyTable(frame, bounds) };
    tables.set(series.id, known);
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

// Stored values on another grid over the same extent, interpolated linearly between centres.
function resampled({ data, rows, columns, slope, intercept }, grid) {
  const values = new Float32Array(grid.rows * grid.columns);
  if (rows === grid.rows && columns === grid.columns) {
    for (let at = 0; at < values.length; at += 1) values[at] = data[at] * slope + intercept;
    return values;
  }
  const across = neighbours(columns, grid.columns);
  const down = neighbours(rows, grid.rows);
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

function neighbours(count, wanted) {
  const first = new Int32Array(wanted);
  const second = new Int32Array(wanted);
  const share = new Float32Array(wanted);
  for (let index = 0; index < wanted; index += 1) {
    const centre = clamp((index + 0.5) * count / wanted - 0.5, 0, count - 1);
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

