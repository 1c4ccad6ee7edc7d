// What of a frame the screen needs: no more pixels than it has, and no more than is seen. A part is
// {level, top, left, rows, columns, isWhole, span}: a pixel of it is the mean of 2^level x 2^level
// pixels of the frame, and its span says where in the image, from 0 to 1, its outer edges lie.

import { clamp } from "./geometry.js";

const WHOLE_PIXELS = 2 ** 21; // So many are had at once, so that moving asks for nothing new.
const GRID = 32; // Larger frames are cut at so many lines, so that moving seldom asks.
const PROBE_GRID = 16;

export const EVERYWHERE = { u0: 0, v0: 0, u1: 1, v1: 1 };
export const pixelsOf = ({ rows, columns }) => rows * columns;

export const contains = (outer, inner) => outer.u0 <= inner.u0 && outer.v0 <= inner.v0
  && outer.u1 >= inner.u1 && outer.v1 >= inner.v1;

// Of an image that is drawn at a place: at least two of its pixels fall on one of the screen's
// before they are averaged. Where averages would hide something, only what is too large is.
export function partOf(series, place, { size, ratio = 1 }, hides = false) {
  const [, , rows, columns] = series.shape;
  const dense = Math.min(columns / place.width, rows / place.height) / ratio;
  const deepest = Math.floor(Math.log2(Math.min(rows, columns)));
  const level = clamp(Math.floor(Math.log2(dense)), 0, deepest);
  const seen = {
    u0: -place.x / place.width, u1: (size.width - place.x) / place.width,
    v0: -place.y / place.height, v1: (size.height - place.y) / place.height,
  };
  const parts = Array.from({ length: level + 1 }, (_, at) => seenAt(series, at, seen));
  const coarsest = parts.at(-1);
  return hides ? parts.find((part) => pixelsOf(part) <= WHOLE_PIXELS) ?? coarsest : coarsest;
}

function seenAt(series, level, seen) {
  const whole = wholePart(series, level);
  return pixelsOf(whole) <= WHOLE_PIXELS ? whole : cut(whole, series, seen, GRID);
}

export function wholePart(series, level = 0) {
  const [, , rows, columns] = series.shape.map((count) => Math.ceil(count / 2 ** level));
  return placed({ level, top: 0, left: 0, rows, columns, isWhole: true }, series);
}

// The finest of all of a frame that is had at once.
export function basePart(series) {
  let level = 0;
  while (pixelsOf(wholePart(series, level)) > WHOLE_PIXELS) level += 1;
  return wholePart(series, level);
}

// Stored values around a place or a line.
export const probePart = (series, box) => cut(wholePart(series), series, box, PROBE_GRID);

// One pixel more on each side, for what is interpolated at the border.
function cut(whole, series, { u0, v0, u1, v1 }, lines) {
  const bounds = (from, to, count, most) => {
    const first = clamp(Math.floor(from * lines), 0, lines - 1);
    const last = clamp(Math.ceil(to * lines), first + 1, lines);
    const step = count / 2 ** whole.level / lines;
    const start = clamp(Math.floor(first * step) - 1, 0, most - 1);
    return [start, clamp(Math.ceil(last * step) + 1, start + 1, most)];
  };
  const [left, right] = bounds(u0, u1, series.shape[3], whole.columns);
  const [top, bottom] = bounds(v0, v1, series.shape[2], whole.rows);
  const part = { level: whole.level, top, left, rows: bottom - top, columns: right - left };
  return placed({ ...part, isWhole: pixelsOf(part) === pixelsOf(whole) }, series);
}

// The last pixel may be of fewer pixels of the frame than the others; it is drawn as if it were
// not, beyond the image's edge.
function placed(part, series) {
  const { level, top, left, rows, columns } = part;
  const [tall, wide] = series.shape.slice(2).map((count) => count / 2 ** level);
  const [u0, v0] = [left / wide, top / tall];
  return { ...part, span: { u0, v0, u1: u0 + columns / wide, v1: v0 + rows / tall } };
}

// From a place in the image to the same one in a part of it.
export const within = ({ u0, v0, u1, v1 }, { u, v }) =>
  ({ u: (u - u0) / (u1 - u0), v: (v - v0) / (v1 - v0) });

// A part as an address asks for it.
export function queryOf({ level, top, left, rows, columns, isWhole }) {
  const cropped = isWhole ? ""
    : `&rows=${top}-${top + rows - 1}&columns=${left}-${left + columns - 1}`;
  return `${level ? `&level=${level}` : ""}${cropped}`;
}
