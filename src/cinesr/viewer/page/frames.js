// The frames at hand: a bounded cache in front of the worker that fetches them.

import { seriesOf } from "./family.js";
import { EVERYWHERE, pixelsOf, queryOf } from "./parts.js";

const MEBIBYTE = 2 ** 20;
const CACHE_BYTES = 48 * MEBIBYTE;
const BATCH_BYTES = 2 * MEBIBYTE;
const BATCH_FRAMES = 32;
const FETCHES = 2; // As quick as more at once, which would only wait in memory for one another.
const MOST_FETCHES = 5; // A browser opens six connections to one server; events hold one of them.
const RETRY_MS = 2000;

const cache = new Map(); // Insertion order is order of last use.
const expected = new Map(); // key -> promise's resolvers
const failed = new Map(); // key -> {time, message}
const fetches = new Map(); // ticket -> addresses
const spares = []; // memory of evicted frames, to be filled again
let held = 0;
let tickets = 0;
let tell = () => {};

const worker = new Worker(new URL("./frames-worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => {
  if (data.buffer) keep(data);
  else fail(data);
};

// A frame, or a part of it (`parts.js`); of other layers there are no parts.
export function address(id, time, slice, { layer = "frames", part = null } = {}) {
  const query = `api/series/${id}/${layer}?slice=${slice}${part ? queryOf(part) : ""}&time=`;
  return { id, time, slice, layer, part, query, key: query + time };
}

// Called with a message (or none) whenever a frame came or could not come.
export function onArrival(callback) {
  tell = callback;
}

export function frameAt({ key }) {
  const frame = cache.get(key);
  if (!frame) return null;
  cache.delete(key);
  cache.set(key, frame);
  return frame;
}

export const hasFrame = (wanted) => cache.has(wanted.key);
export const heldBytes = () => held;

// Gives a frame when it is there: for whoever needs one whatever is on the screen.
export async function loadFrame(wanted) {
  for (;;) {
    const frame = frameAt(wanted);
    if (frame) return frame;
    const problem = failed.get(wanted.key);
    if (problem && recent(problem)) throw new Error(problem.message);
    if (!seriesOf(wanted.id)) throw new Error("The series was closed.");
    if (missing(wanted)) send([wanted]);
    await new Promise((resolve) => expected.get(wanted.key).resolvers.push(resolve));
  }
}

const recent = ({ time }) => performance.now() - time < RETRY_MS;

function missing({ key }) {
  const problem = failed.get(key);
  return !cache.has(key) && !expected.has(key) && !(problem && recent(problem));
}

// What the screen waits for: asked for at once, each by itself. Where a hand that zooms asks for
// more than can come, the rest is asked for again, or no longer, when something has come.
export function need(wanted) {
  for (const one of wanted) if (missing(one) && fetches.size < MOST_FETCHES) send([one]);
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

const follows = (last, one) => last.query === one.query && last.time + 1 === one.time;

// A figure comes with what is degraded again; it is that of one frame only if one was asked for.
const mostOf = (one) => (one.layer === "frames"
  ? Math.min(BATCH_FRAMES, Math.max(1, Math.floor(BATCH_BYTES / bytesOf(one)))) : 1);

function bytesOf({ id, part }) {
  const [, , rows, columns] = seriesOf(id).shape;
  return pixelsOf(part ?? { rows, columns }) * 2;
}

// How many moments of these frames may be held ahead without pushing out what is on the screen.
export function momentsAhead(wanted) {
  const each = wanted.reduce((sum, one) => sum + bytesOf(one), 0);
  return Math.floor((0.6 * CACHE_BYTES) / Math.max(1, each));
}

function send(batch) {
  const [{ id, query, time }] = batch;
  if (!seriesOf(id)) return;
  const last = batch.at(-1).time;
  const times = last === time ? time : `${time}-${last}`;
  const ticket = ++tickets;
  fetches.set(ticket, batch);
  for (const { key } of batch) expected.set(key, { resolvers: [] });
  const path = new URL(query + times, document.baseURI).href;
  const spare = spares.pop();
  worker.postMessage({ ticket, path, spare }, spare ? [spare] : []);
}

// The frames of one answer share its memory, which goes when the last of them is evicted.
function keep({ ticket, buffer, facts }) {
  const batch = fetches.get(ticket);
  const pixels = pixelsOf(facts);
  if (buffer.byteLength !== batch.length * pixels * 2) {
    return fail({ ticket, error: "The server's answer was cut short." });
  }
  fetches.delete(ticket);
  batch.forEach(({ key, part }, index) => {
    const data = new Uint16Array(buffer, index * pixels * 2, pixels);
    cache.set(key, { data, span: part?.span ?? EVERYWHERE, ...facts });
    held += data.byteLength;
  });
  for (const [old, frame] of cache) {
    if (held <= CACHE_BYTES) break;
    cache.delete(old);
    held -= frame.data.byteLength;
    if (spares.length < FETCHES && !isHeld(frame.data.buffer)) spares.push(frame.data.buffer);
  }
  batch.forEach(({ key }) => settle(key));
  tell(null);
}

const isHeld = (buffer) => [...cache.values()].some(({ data }) => data.buffer === buffer);

function fail({ ticket, error }) {
  for (const { key } of fetches.get(ticket)) {
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
    if (key.startsWith(`api/series/${id}/`)) {
      cache.delete(key);
      held -= frame.data.byteLength;
    }
  }
}
