// Beside the images: contrast, scores against a truth, the line's profile, facts of each series.

import { downloadPath } from "./api.js";
import { TONES } from "./colours.js";
import { byId, element, icon } from "./dom.js";
import { family, labelOf, root, toneOf } from "./family.js";
import { fixed, short } from "./geometry.js";
import { startProfile } from "./profile.js";
import { startScores } from "./scores.js";
import { remove } from "./series-list.js";
import { set, state, subscribe } from "./store.js";

let signature = "";

export function startDetails() {
  for (const id of ["level", "width"]) {
    byId(id).addEventListener("change", fromNumbers);
  }
  byId("remove-marks").addEventListener("click", () => set({ boxes: [], line: null }));
  subscribe(["contrast", "root", "server"], showContrast);
  subscribe(["boxes", "line"], () => {
    byId("remove-marks").disabled = !state.boxes.length && !state.line;
  });
  subscribe(["server", "root", "truths", "panes"], showFacts);
  startScores();
  startProfile();
}

function bounds() {
  const { low, high } = root().window;
  const width = high - low || 1;
  return { low, width };
}

function showContrast() {
  if (!root()) return;
  const { low, width } = bounds();
  const { contrast } = state;
  if (document.activeElement?.closest("#contrast")) return;
  byId("level").value = Number((low + width * (contrast.low + contrast.high) / 2).toPrecision(4));
  byId("width").value = Number((width * (contrast.high - contrast.low)).toPrecision(4));
}

function fromNumbers() {
  const [level, wide] = [Number(byId("level").value), Number(byId("width").value)];
  if (!root() || !(wide > 0) || !Number.isFinite(level)) return;
  const { low, width } = bounds();
  set({ contrast: {
    low: (level - wide / 2 - low) / width, high: (level + wide / 2 - low) / width,
  } });
}

function showFacts() {
  const members = family();
  const next = JSON.stringify([members, members.map(labelOf)]);
  if (next === signature) return;
  const opened = new Set([...byId("facts").querySelectorAll("details[open]")]
    .map((node) => node.dataset.id));
  signature = next;
  byId("facts").replaceChildren(...members.map((series) =>
    facts(series, opened.has(series.id) || members.length === 1)));
}

function facts(series, open) {
  return element("details", { class: "facts", open, data: { id: series.id } },
    element("summary", {}, dot(series), labelOf(series)),
    element("dl", {}, ...rowsOf(series).flatMap(([label, text]) =>
      [element("dt", {}, label), element("dd", {}, text)])),
    series.checks?.length ? element("ul", { class: "checks" }, ...series.checks.map((check) =>
      element("li", { class: check.warning ? "warning" : "fine" },
        element("span", { class: "check-name" }, check.name), ` ${check.finding}`))) : null,
    series.notes?.length ? element("ul", { class: "notes" },
      ...series.notes.map((note) => element("li", {}, note))) : null,
    element("div", { class: "row" },
      element("a", { class: "button plain small", href: downloadPath(series.id), download: "" },
        icon("download"), "Download", element("span", { class: "hidden" }, ` ${labelOf(series)}`)),
      element("button", { type: "button", class: "plain small", onclick: () => remove(series.id) },
        "Close", element("span", { class: "hidden" }, ` ${labelOf(series)}`))));
}

export function dot(series) {
  const node = element("span", { class: "tone", "aria-hidden": "true" });
  node.style.background = TONES[toneOf(series)];
  return node;
}

function rowsOf(series) {
  const [phases, slices, rows, columns] = series.shape;
  const { spacing_mm: spacing, value_range: range } = series;
  return [
    ["name", series.name],
    ["pixels", `${columns} × ${rows}`],
    ["frames", `${phases} phases, ${slices} slices`],
    ["spacing", spacing ? `${fixed(spacing.row, 4)} × ${fixed(spacing.column, 4)} mm`
      : "not in the file"],
    ["slices", spacing?.slice && slices > 1 ? `${fixed(spacing.slice, 2)} mm apart` : null],
    ["phase", series.frame_time_ms ? `${fixed(series.frame_time_ms, 1)} ms` : null],
    ["values", `${series.dtype}, ${short(range.low)} to ${short(range.high)}`],
    ["made by", series.derivation],
  ].filter(([, text]) => text);
}
