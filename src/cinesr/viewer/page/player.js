// Playback by the clock: a late frame is skipped, a missing one is waited for.

import { frameTime, root } from "./family.js";
import { need } from "./frames.js";
import { framesWanted, isReady, phases } from "./scene.js";
import { set, state, subscribe } from "./store.js";

const RATE_MS = 1000;

let last = 0;
let shownAt = [];
let running = false;
let onRate = () => {};

export const stepMs = () => frameTime(root()) / state.speed;

export function startPlayer(whenRateIsKnown) {
  onRate = whenRateIsKnown;
  subscribe(["playing"], () => {
    if (!state.playing || running) return;
    running = true;
    last = performance.now();
    shownAt = [];
    requestAnimationFrame(tick);
  });
}

export function togglePlaying() {
  if (phases() > 1) set({ playing: !state.playing });
}

function tick(now) {
  if (!state.playing || phases() < 2) {
    running = false;
    set({ playing: false });
    onRate(null);
    return;
  }
  requestAnimationFrame(tick);
  const step = stepMs();
  const due = Math.floor((now - last) / step);
  if (due < 1) return;
  const count = phases();
  let steps = Math.min(due, count);
  while (steps > 0 && !isReady((state.time + steps) % count)) steps -= 1;
  // What was waited for is not made up for by running faster afterwards.
  last = steps === due ? last + due * step : now;
  if (steps > 0) {
    set({ time: (state.time + steps) % count });
    rate(now);
  } else {
    need(framesWanted((state.time + 1) % count));
    onRate(0);
  }
}

function rate(now) {
  shownAt.push(now);
  shownAt = shownAt.filter((time) => now - time <= RATE_MS);
  const span = now - shownAt[0];
  if (span > RATE_MS / 2) onRate((shownAt.length - 1) * 1000 / span);
}
