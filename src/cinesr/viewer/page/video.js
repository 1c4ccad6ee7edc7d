// MP4 through the browser's own encoder (WebCodecs) and mp4-muxer.

import { ArrayBufferTarget, Muxer } from "./vendor/mp4-muxer/mp4-muxer.js";

const CODECS = [["avc1.640028", "avc"], ["vp09.00.40.08", "vp9"], ["av01.0.08M.08", "av1"]];
const SHORTEST_MS = 4000; // A player does not loop by itself: short loops are repeated.
const BITS_PER_PIXEL = 0.35;

async function support(width, height) {
  for (const [codec, name] of CODECS) {
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

export class VideoWriter {
  static async make({ width, height }) {
    const found = await support(width, height);
    if (!found) throw new Error(`No encoder takes ${width} × ${height} pixels; choose a GIF.`);
    return new VideoWriter(found, { width, height });
  }

  constructor({ settings, name }, { width, height }) {
    this.muxer = new Muxer({ target: new ArrayBufferTarget(), fastStart: "in-memory",
      video: { codec: name, width, height } });
    this.problem = null;
    this.encoder = new VideoEncoder({
      output: (chunk, facts) => this.muxer.addVideoChunk(chunk, facts),
      error: (error) => { this.problem = error; },
    });
    this.encoder.configure(settings);
    this.bitmaps = [];
    this.passed = 0;
    this.frames = 0;
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
    this.encoder.close();
    this.muxer.finalize();
    return new Blob([this.muxer.target.buffer], { type: "video/mp4" });
  }
}
