// MP4 through the browser's own encoder (WebCodecs) and mp4-muxer.

import { ArrayBufferTarget, Muxer } from "./vendor/mp4-muxer/mp4-muxer.js";

// H.264 in its baseline profile: others let encoders put frames out of order, as Firefox's does.
const CODECS = [["avc1.42e028", "avc"], ["vp09.00.40.08", "vp9"], ["av01.0.08M.08", "av1"]];
const SHORTEST_MS = 4000; // A player does not loop by itself: short loops are repeated.
const BITS_PER_PIXEL = 0.35;

// What a browser does not play itself is no good here. The question also readies the codecs of
// WebKitGTK, whose encoder otherwise takes the whole page down.
const plays = (codec) => document.createElement("video").canPlayType(`video/mp4; codecs="${codec}"`);

async function support(width, height) {
  for (const [codec, name] of CODECS.filter(([each]) => plays(each))) {
    const settings = { codec, width, height, bitrate: Math.max(2e6, width * height * 30 * BITS_PER_PIXEL) };
    const found = await VideoEncoder.isConfigSupported(settings).catch(() => null);
    if (found?.supported) return { settings, name };
  }
  return null;
}

// Why there is no MP4 here, in words for the button; null where there is.
export async function videoObstacle() {
  if (!("VideoEncoder" in window)) return "This browser cannot encode video (no WebCodecs).";
  if (!(await support(640, 480))) return "This browser has no encoder for MP4.";
  return null;
}

// How an H.264 stream begins, as a file has to say it (ISO/IEC 14496-15, 5.3.3.1). Firefox's own
// description repeats a byte, so where the stream holds its parameter sets those are taken.
export function described(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const units = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4 + view.getUint32(at)) {
    units.push(bytes.subarray(at + 4, at + 4 + view.getUint32(at)));
  }
  const [sequence, picture] = [7, 8].map((type) => units.find(([first]) => (first & 31) === type));
  if (!sequence || !picture) return null;
  const sized = (unit) => [unit.length >> 8, unit.length & 255, ...unit];
  return new Uint8Array(
    [1, ...sequence.subarray(1, 4), 0xff, 0xe1, ...sized(sequence), 1, ...sized(picture)]);
}

export class VideoWriter {
  static async make({ width, height }) {
    const found = await support(width, height);
    if (!found) throw new Error(`No encoder takes ${width} × ${height} pixels; choose a GIF.`);
    return new VideoWriter(found, { width, height });
  }

  constructor({ settings, name }, { width, height }) {
    this.muxer = new Muxer({ target: new ArrayBufferTarget(), fastStart: "in-memory",
      video: { codec: name, width, height } });
    this.encoding = name;
    this.problem = null;
    this.encoder = new VideoEncoder({
      output: (chunk, facts) => this.put(chunk, facts),
      error: (error) => { this.problem ??= error; },
    });
    this.encoder.configure(settings);
    this.bitmaps = [];
    this.passed = 0;
    this.frames = 0;
  }

  // What is thrown here would be lost, and a file with holes saved.
  put(chunk, facts) {
    try {
      if (facts?.decoderConfig && this.encoding === "avc") {
        const bytes = new Uint8Array(chunk.byteLength);
        chunk.copyTo(bytes);
        facts.decoderConfig.description = described(bytes) ?? facts.decoderConfig.description;
      }
      this.muxer.addVideoChunk(chunk, facts);
    } catch (error) {
      this.problem ??= error;
    }
  }

  async add(context, ms) {
    const bitmap = await createImageBitmap(context.canvas);
    this.bitmaps.push({ bitmap, ms });
    await this.encode(bitmap, ms);
  }

  async encode(bitmap, ms) {
    const frame = new VideoFrame(bitmap, { timestamp: this.passed * 1000, duration: ms * 1000 });
    this.encoder.encode(frame, { keyFrame: this.frames % 60 === 0 });
    frame.close();
    this.passed += ms;
    this.frames += 1;
    while (this.encoder.encodeQueueSize > 4) await new Promise((go) => setTimeout(go, 4));
    if (this.problem) throw this.problem;
  }

  async finish() {
    const once = this.bitmaps.slice();
    while (this.passed < SHORTEST_MS) {
      for (const { bitmap, ms } of once) await this.encode(bitmap, ms);
    }
    once.forEach(({ bitmap }) => bitmap.close());
    await this.encoder.flush();
    if (this.problem) throw this.problem;
    this.encoder.close();
    this.muxer.finalize();
    return new Blob([this.muxer.target.buffer], { type: "video/mp4" });
  }
}
