// What numbers look like. Tables hold one opaque colour per entry, as bytes in canvas order.

const SIZE = 1024;

// Little-endian: a canvas holds red, green, blue, alpha in this order of bytes.
const pack = (red, green, blue) => (255 << 24 | blue << 16 | green << 8 | red) >>> 0;

export function greyTable({ slope, intercept }, { low, high }) {
  const table = new Uint32Array(65536);
  const factor = 255 / Math.max(high - low, 1e-12);
  for (let raw = 0; raw < 65536; raw += 1) {
    const grey = (raw * slope + intercept - low) * factor;
    const level = grey < 0 ? 0 : grey > 255 ? 255 : Math.round(grey);
    table[raw] = pack(level, level, level);
  }
  return table;
}

function blend(stops) {
  const table = new Uint32Array(SIZE);
  for (let entry = 0; entry < SIZE; entry += 1) {
    const place = (entry / (SIZE - 1)) * (stops.length - 1);
    const at = Math.min(Math.floor(place), stops.length - 2);
    const mix = (channel) =>
      Math.round(stops[at][channel] + (stops[at + 1][channel] - stops[at][channel]) * (place - at));
    table[entry] = pack(mix(0), mix(1), mix(2));
  }
  return table;
}

// Signed: lower is blue, equal is black, higher is orange; told apart by the colour-blind too.
export const SIGNED = blend([
  [158, 214, 255], [64, 146, 214], [12, 62, 112], [0, 0, 0], [122, 58, 0], [226, 128, 26],
  [255, 214, 150],
]);

// Size alone, as light that grows: black, violet, orange, pale yellow.
export const SIZED = blend([
  [0, 0, 4], [58, 12, 102], [136, 34, 106], [206, 66, 62], [246, 138, 24], [252, 222, 112],
]);

export const unpack = (colour) => [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
export const css = (colour) => `rgb(${unpack(colour).join(" ")})`;
export const ENTRIES = SIZE;

export const TONES = {
  input: "#d4d7da",
  bicubic: "#e6a532",
  result: "#5cb8e6",
  "result-2": "#cf86b4",
  truth: "#3fba8f",
  other: "#a9a4d6",
};

export const BOXES = ["#ffd24a", "#7de0e6"];
