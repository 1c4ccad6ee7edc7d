// How to look: modes, tools, and what lies over the images.

import { bicubic } from "./pane-select.js";
import { byId, roving } from "./dom.js";
import { family, labelOf, root, truthOf } from "./family.js";
import { fixed, positionOf, short } from "./geometry.js";
import { report } from "./notices.js";
import { fit, resetContrast } from "./pointer.js";
import { MOST_PANES, counterpart, isPair, shown } from "./scene.js";
import { valueOf } from "./stage.js";
import { set, state, subscribe } from "./store.js";

const BLINK_MS = 700;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export function startToolbar() {
  group("modes", "mode", setMode);
  group("tools", "tool", (tool) => set({ tool }));
  byId("add-pane").addEventListener("click", addPane);
  byId("fit").addEventListener("click", fit);
  byId("reset-contrast").addEventListener("click", resetContrast);
  byId("smooth").addEventListener("click", () => set({ smooth: !state.smooth }));
  byId("overlay").addEventListener("change", (event) => set({ overlay: event.target.value }));
  subscribe(["mode", "tool", "smooth", "overlay", "panes", "server", "truths", "root"], refresh);
  subscribe(["cursor", "values", "time", "slice", "panes", "root", "contrast", "server"], readout);
  setInterval(blink, BLINK_MS);
  refresh();
}

function group(id, name, choose) {
  const container = byId(id);
  for (const button of container.querySelectorAll("button")) {
    button.addEventListener("click", () => choose(button.value));
  }
  roving(container, "button", (button) => choose(button.value));
  subscribe([name], () => mark(id, state[name]));
  mark(id, state[name]);
}

function mark(id, value) {
  for (const button of byId(id).querySelectorAll("button")) {
    const chosen = button.value === value;
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
}

function blink() {
  if (state.mode === "blink" && isPair() && !still.matches) set({ blinkSide: 1 - state.blinkSide });
}

// Two pictures are compared: where there is one, its counterpart comes along.
export async function setMode(mode) {
  set({ mode });
  if (mode === "grid" || state.panes.length > 1 || !root()) return;
  await addPane();
}

export async function addPane() {
  if (!root() || state.panes.length >= MOST_PANES) return;
  const other = family().find((series) => !state.panes.includes(series.id));
  const preferred = state.panes.length === 1 ? counterpart() : other;
  const made = family().some((series) => series.kind === "bicubic");
  try {
    const id = preferred?.id ?? (made ? state.panes.at(-1) : await bicubic(resultScale()));
    set({ panes: [...state.panes, id] });
  } catch (error) {
    report(error);
  }
}

const resultScale = () => family().find((series) => series.kind === "result")?.scale
  ?? state.server.models.find((model) => model.default)?.scale ?? 4;

function refresh() {
  const any = shown().length > 0;
  document.body.classList.toggle("empty", !any);
  enable("error", Boolean(truthOf()));
  enable("consistency", family().some((series) => series.parent));
  byId("overlay").value = state.overlay;
  byId("add-pane").disabled = !any || state.mode !== "grid" || state.panes.length >= MOST_PANES;
  byId("smooth").setAttribute("aria-pressed", state.smooth);
  byId("save-comparison").disabled = !any;
  byId("upscale").disabled = !any;
}

function enable(value, possible) {
  byId("overlay").querySelector(`[value=${value}]`).disabled = !possible;
  if (!possible && state.overlay === value) set({ overlay: "none" });
}

function readout() {
  const series = shown().at(0);
  const line = byId("readout");
  if (!series) return void (line.textContent = "");
  const spacing = series.spacing_mm;
  const pixel = spacing
    ? `${fixed(spacing.row, 3)} × ${fixed(spacing.column, 3)} mm pixels` : "pixel spacing not known";
  if (!state.cursor) return void (line.textContent = `${labelOf(series)}: ${pixel}`);
  const position = positionOf(series, state.cursor, state.slice);
  const place = position
    ? `${["L", "P", "S"].map((axis, at) => `${axis} ${fixed(position[at], 1)}`).join("  ")} mm`
    : `row ${short(state.cursor.v * series.shape[2])}, column ${short(state.cursor.u * series.shape[3])}`;
  const values = shown().slice(0, MOST_PANES)
    .map((one) => `${labelOf(one)} ${valueOf(one) || "-"}`).join(",  ");
  line.textContent = `${place}   ${values}`;
}

