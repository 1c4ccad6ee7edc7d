// The frames at hand: a bounded cache in front of the worker that fetches them.

import { seriesOf } from "./family.js";

const MEBIBYTE = 2 ** 20;
const CACHE_BYTES = 48 * MEBIBYTE;
const BATCH_BYTES = 2 * MEBIBYTE;
const BATCH_FRAMES = 32;
const FETCHES = 4; // A browser opens six connections to one server; events hold one of them.
const RETRY_MS = 2000;

const cache = new Map(); // Insertion order is order of last use.
const expected = new Map(); // key -> promise's resolvers
const failed = new Map(); // key -> {time, message}
const fetches = new Map(); // ticket -> keys
const spares = []; // memory of evicted frames, to be filled again
let held = 0;
let tickets = 0;
let tell = () => {};

const worker = new Worker(new URL("./frames-worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => {
  if (data.buffer) keep(data);
  else fail(data);
};

export const address = (id, time, slice, layer = "frames") => ({ id, time, slice, layer });
const keyOf = ({ id, time, slice, layer }) => `${id}/${layer}/${slice}/${time}`;

// Called with a message (or none) whenever a frame came or could not come.
export function onArrival(callback) {
  tell = callback;
}

export function frameAt(wanted) {
  const key = keyOf(wanted);
  const frame = cache.get(key);
  if (!frame) return null;
  cache.delete(key);
  cache.set(key, frame);
  return frame;
}

export const hasFrame = (wanted) => cache.has(keyOf(wanted));
export const heldBytes = () => held;

// Gives a frame when it is there: for whoever needs one whatever is on the screen.
export async function loadFrame(wanted) {
  for (;;) {
    const frame = frameAt(wanted);
    if (frame) return frame;
    const problem = failed.get(keyOf(wanted));
    if (problem && recent(problem)) throw new Error(problem.message);
    if (!seriesOf(wanted.id)) throw new Error("The series was closed.");
    need([wanted]);
    await new Promise((resolve) => expected.get(keyOf(wanted)).resolvers.push(resolve));
  }
}

const recent = ({ time }) => performance.now() - time < RETRY_MS;

function missing(wanted) {
  const key = keyOf(wanted);
  const problem = failed.get(key);
  return !cache.has(key) && !expected.has(key) && !(problem && recent(problem));
}

// What the screen waits for: asked for at once, each by itself.
export function need(wanted) {
  for (const one of wanted.filter(missing)) send([one]);
}

// What will be wanted next, in this order: asked for in batches while there is a free connection.
export function prefetch(wanted) {
  wanted.forEach(frameAt); // What is shown next counts as used, or it would be evicted unseen.
  let batch = [];
  for (const one of wanted) {
    if (fetches.size >= FETCHES) return;
    if (!missing(one)) continue;
    const last = batch.at(-1);
    if (last && !(follows(last, one) && batch.length < mostOf(one))) {
      send(batch);
      batch = [];
    }
    batch.push(one);
  }
  if (batch.length && fetches.size < FETCHES) send(batch);
}

const follows = (last, one) => last.id === one.id && last.layer === one.layer
  && last.slice === one.slice && last.time + 1 === one.time;

// A figure comes with what is degraded again; it is that of one frame only if one was asked for.
const mostOf = (one) => (one.layer === "frames"
  ? Math.min(BATCH_FRAMES, Math.max(1, Math.floor(BATCH_BYTES / bytesOf(one)))) : 1);

function bytesOf({ id }) {
  const [, , rows, columns] = seriesOf(id).shape;
  return rows * columns * 2;
}

// How many frames of these series may be held ahead without pushing out what is on the screen.
export function framesAhead(ids) {
  const each = ids.reduce((sum, id) => sum + bytesOf({ id }), 0);
  return Math.floor((0.6 * CACHE_BYTES) / Math.max(1, each));
}

function send(batch) {
  const [{ id, slice, layer, time }] = batch;
  const series = seriesOf(id);
  if (!series) return;
  const last = batch.at(-1).time;
  const times = last === time ? time : `${time}-${last}`;
  const ticket = ++tickets;
  fetches.set(ticket, batch.map(keyOf));
  for (const one of batch) expected.set(keyOf(one), { resolvers: [] });
  const path = `api/series/${id}/${layer}?slice=${slice}&time=${times}`;
  const absolute = new URL(path, document.baseURI).href;
  const spare = spares.pop();
  const shape = series.shape.slice(2);
  worker.postMessage({ ticket, path: absolute, shape, spare }, spare ? [spare] : []);
}

// The frames of one answer share its memory, which goes when the last of them is evicted.
function keep({ ticket, buffer, facts }) {
  const keys = fetches.get(ticket);
  const pixels = facts.rows * facts.columns;
  if (buffer.byteLength !== keys.length * pixels * 2) {
    return fail({ ticket, error: "The server's answer was cut short." });
  }
  fetches.delete(ticket);
  keys.forEach((key, index) => {
    const data = new Uint16Array(buffer, index * pixels * 2, pixels);
    cache.set(key, { data, ...facts });
    held += data.byteLength;
  });
  for (const [old, frame] of cache) {
    if (held <= CACHE_BYTES) break;
    cache.delete(old);
    held -= frame.data.byteLength;
    const alone = frame.data.byteLength === frame.data.buffer.byteLength;
    if (alone && spares.length < FETCHES) spares.push(frame.data.buffer);
  }
  keys.forEach(settle);
  tell(null);
}

function fail({ ticket, error }) {
  for (const key of fetches.get(ticket)) {
    failed.set(key, { time: performance.now(), message: error });
    settle(key);
  }
  fetches.delete(ticket);
  tell(error);
}

function settle(key) {
  const waiting = expected.get(key);
  expected.delete(key);
  waiting?.resolvers.forEach((resolve) => resolve());
}

export function forget(id) {
  for (const [key, frame] of cache) {
    if (key.startsWith(`${id}/`)) {
      cache.delete(key);
      held -= frame.data.byteLength;
    }
  }
}
