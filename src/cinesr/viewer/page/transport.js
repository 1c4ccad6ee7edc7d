// Play, phase, slice and speed: the row below the images.

import { byId, element, icon } from "./dom.js";
import { root } from "./family.js";
import { fixed } from "./geometry.js";
import { startPlayer, togglePlaying } from "./player.js";
import { phases, slices } from "./scene.js";
import { set, state, subscribe } from "./store.js";

const SPEEDS = [0.25, 0.5, 1, 2];

export function startTransport() {
  byId("play").addEventListener("click", togglePlaying);
  byId("phase").addEventListener("input", (event) =>
    set({ playing: false, time: Number(event.target.value) - 1 }));
  byId("slice").addEventListener("input", (event) =>
    set({ slice: Number(event.target.value) - 1 }));
  byId("speed").replaceChildren(...SPEEDS.map((speed) =>
    element("option", { value: speed, selected: speed === 1 }, `${speed}×`)));
  byId("speed").addEventListener("change", (event) => set({ speed: Number(event.target.value) }));
  subscribe(["time", "slice", "panes", "root", "server", "playing"], refresh);
  subscribe(["root", "speed", "server"], () => showRate(null));
  startPlayer(showRate);
  refresh();
}

function refresh() {
  const [times, places] = [phases(), slices()];
  if (state.time >= times) set({ time: times - 1 });
  if (state.slice >= places) set({ slice: places - 1 });
  slider("phase", state.time, times, root()?.frame_time_ms
    ? `${state.time + 1} / ${times}, ${Math.round(state.time * root().frame_time_ms)} ms` : null);
  slider("slice", state.slice, places, null);
  byId("play").disabled = times < 2;
  byId("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  const drawn = state.playing ? "pause" : "play";
  if (byId("play").dataset.icon !== drawn) {
    byId("play").dataset.icon = drawn;
    byId("play").replaceChildren(icon(drawn));
  }
}

function slider(id, value, count, spoken) {
  const node = byId(id);
  node.max = count;
  node.value = value + 1;
  node.disabled = count < 2;
  node.style.setProperty("--share", `${count > 1 ? (value / (count - 1)) * 100 : 0}%`);
  node.setAttribute("aria-valuetext", spoken ?? `${value + 1} of ${count}`);
  byId(`${id}-text`).textContent = `${value + 1} / ${count}`;
}

// Frames a second: as measured while playing, as the scan says otherwise.
function showRate(measured) {
  const own = root()?.frame_time_ms;
  byId("rate").dataset.measured = measured ?? "";
  if (measured === 0) byId("rate").textContent = "loading";
  else if (measured) byId("rate").textContent = `${fixed(measured, 1)} per s`;
  else if (!root()) byId("rate").textContent = "";
  else byId("rate").textContent = own ? `${fixed(1000 / own, 1)} per s` : "25 per s, assumed";
}
