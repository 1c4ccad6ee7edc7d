// GIF through gifenc, with a palette of our own: fine greys and the colours that the page uses.

import { BOXES, SIGNED, SIZED, TONES, unpack } from "./colours.js";
import { GIFEncoder, nearestColorIndex } from "./vendor/gifenc/gifenc.js";

const GREYS = 180;
const SAMPLES = 32;

const fromHex = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));

function makePalette() {
  const greys = Array.from({ length: GREYS }, (_, step) =>
    Array(3).fill(Math.round(step * 255 / (GREYS - 1))));
  const scale = (table) => Array.from({ length: SAMPLES }, (_, step) =>
    unpack(table[Math.round(step * (table.length - 1) / (SAMPLES - 1))]));
  const marks = [...BOXES, "#ff8f6b", ...Object.values(TONES)].map(fromHex);
  return [...greys, ...scale(SIGNED), ...scale(SIZED), ...marks].slice(0, 256);
}

export class GifWriter {
  constructor({ width, height }) {
    Object.assign(this, { width, height, passed: 0, known: new Map() });
    this.palette = makePalette();
    this.encoder = GIFEncoder();
    this.first = true;
  }

  add(context, ms) {
    const { data } = context.getImageData(0, 0, this.width, this.height);
    const pixels = new Uint32Array(data.buffer);
    const indices = new Uint8Array(pixels.length);
    for (let at = 0; at < pixels.length; at += 1) indices[at] = this.indexOf(pixels[at]);
    this.encoder.writeFrame(indices, this.width, this.height, {
      palette: this.first ? this.palette : null, delay: this.delay(ms),
    });
    this.first = false;
  }

  // GIF counts in hundredths of a second; what rounding leaves goes to the next frame.
  delay(ms) {
    const before = Math.round(this.passed / 10);
    this.passed += Math.max(20, ms);
    return (Math.round(this.passed / 10) - before) * 10;
  }

  indexOf(pixel) {
    let index = this.known.get(pixel);
    if (index === undefined) {
      index = nearestColorIndex(this.palette, unpack(pixel));
      this.known.set(pixel, index);
    }
    return index;
  }

  finish() {
    this.encoder.finish();
    return new Blob([this.encoder.bytes()], { type: "image/gif" });
  }
}
