// Where things lie. Places in an image are (u, v) from 0 to 1 between its outer edges, so that
// images of different resolution meet: the centre of pixel i of n lies at (i + 0.5) / n.

export function extentOf(series, reference = null) {
  const [, , rows, columns] = series.shape;
  if (series.spacing_mm) {
    const { row, column } = series.spacing_mm;
    return { width: columns * column, height: rows * row, known: true };
  }
  if (reference && reference !== series) {
    const extent = extentOf(reference);
    const aspect = columns / rows / (extent.width / extent.height);
    if (Math.abs(aspect - 1) < 0.01) return { ...extent, known: false };
  }
  const scale = series.scale ?? 1;
  return { width: columns / scale, height: rows / scale, known: false };
}

// The image's rectangle in a pane of the given size. Zoom 1 shows the whole reference.
export function placeImage(extent, reference, view, size) {
  const scale = Math.min(size.width / reference.width, size.height / reference.height) * view.zoom;
  const width = extent.width * scale;
  const height = extent.height * scale;
  const x = size.width / 2 - reference.width * scale * (view.u - 0.5) - width / 2;
  const y = size.height / 2 - reference.height * scale * (view.v - 0.5) - height / 2;
  return { x, y, width, height, scale };
}

export const pixelAt = (share, count) =>
  Math.min(count - 1, Math.max(0, Math.floor(share * count)));

export function positionOf(series, place, slice) {
  const matrix = series.origin_mm;
  if (!matrix || !series.spacing_mm) return null;
  const [, , rows, columns] = series.shape;
  const index = [place.u * columns - 0.5, place.v * rows - 0.5, slice, 1];
  return [0, 1, 2].map((axis) =>
    matrix[axis].reduce((sum, factor, at) => sum + factor * index[at], 0));
}

// The longest length out of 1, 2, 5, 10, ... that fits.
export function roundLength(longest) {
  const power = 10 ** Math.floor(Math.log10(longest));
  return power * ([5, 2, 1].find((digit) => digit * power <= longest) ?? 1);
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Linear interpolation between pixel centres; the border's pixels go on outwards.
export function interpolate(frame, place) {
  const { data, rows, columns, slope, intercept } = frame;
  const x = clamp(place.u * columns - 0.5, 0, columns - 1);
  const y = clamp(place.v * rows - 0.5, 0, rows - 1);
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, bottom] = [Math.min(left + 1, columns - 1), Math.min(top + 1, rows - 1)];
  const at = (row, column) => data[row * columns + column];
  const upper = at(top, left) + (at(top, right) - at(top, left)) * (x - left);
  const lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * (x - left);
  return (upper + (lower - upper) * (y - top)) * slope + intercept;
}

export const short = (value, digits = 4) =>
  Number.isFinite(value) ? String(Number(value.toPrecision(digits))).replace("-", "−") : "-";

export const fixed = (value, digits) =>
  value === null || value === undefined || !Number.isFinite(value)
    ? "-" : value.toFixed(digits).replace("-", "−");
