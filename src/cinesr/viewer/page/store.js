// The page's one state. `set` changes it; whoever subscribed to a changed name is called once.

export const state = {
  server: { version: "", series: [], jobs: [], models: [], opening: [], limits: null },
  connected: false,
  root: null, // the input whose family of results is being looked at
  panes: [], // ids of up to four series
  mode: "grid",
  time: 0,
  slice: 0,
  playing: false,
  speed: 1,
  view: { zoom: 1, u: 0.5, v: 0.5 },
  contrast: { low: 0, high: 1 }, // as shares of the root's own window
  smooth: false,
  overlay: "none",
  tool: "move",
  boxes: [],
  line: null,
  cursor: null,
  values: "", // under the cursor, as far as they are at hand
  divider: 0.5,
  blinkSide: 0,
  truths: {}, // root id -> id of the series that serves as its ground truth
};

const subscriptions = [];
let changed = new Set();

export function set(patch) {
  const before = changed.size;
  for (const [name, value] of Object.entries(patch)) {
    if (state[name] !== value) {
      state[name] = value;
      changed.add(name);
    }
  }
  if (before === 0 && changed.size > 0) queueMicrotask(notify);
}

export function subscribe(names, callback) {
  subscriptions.push({ names, callback });
}

function notify() {
  const names = changed;
  changed = new Set();
  for (const { names: wanted, callback } of subscriptions) {
    if (wanted.some((name) => names.has(name))) callback(names);
  }
}
