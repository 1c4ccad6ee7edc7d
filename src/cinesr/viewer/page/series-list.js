// The list of what is open, each input followed by what was made from it.

import { closeSeries, thumbnailPath } from "./api.js";
import { TONES } from "./colours.js";
import { byId, element, roving } from "./dom.js";
import { descendants, labelOf, rootOf, toneOf, truthOf } from "./family.js";
import { fixed } from "./geometry.js";
import { report } from "./notices.js";
import { showSeries } from "./scene.js";
import { state, subscribe } from "./store.js";

let signature = "";

export function startSeriesList() {
  const list = byId("series");
  roving(list, "[role=option]");
  list.addEventListener("click", (event) => choose(event.target.closest("[role=option]")));
  list.addEventListener("keydown", (event) => {
    const item = event.target.closest("[role=option]");
    if (!item) return;
    if (event.key === "Enter" || event.key === " ") choose(item);
    else if (event.key === "Delete") remove(item.dataset.id);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  subscribe(["server", "panes", "root", "truths"], refresh);
}

function choose(item) {
  if (!item) return;
  showSeries(item.dataset.id);
  document.body.classList.remove("drawer-open");
}

export async function remove(id) {
  try {
    await closeSeries(id);
  } catch (error) {
    report(error);
  }
}

function inOrder() {
  const { series } = state.server;
  return series.filter((one) => rootOf(one) === one)
    .flatMap((ancestor) => [ancestor, ...descendants(ancestor)]);
}

function refresh() {
  const ordered = inOrder();
  const next = JSON.stringify(ordered.map(({ id, name }) => [id, name]));
  if (next !== signature) {
    signature = next;
    const focused = document.activeElement?.dataset?.id;
    byId("series").replaceChildren(...ordered.map(item));
    byId("series").querySelector(`[data-id="${focused}"]`)?.focus();
    byId("series-count").textContent = ordered.length ? String(ordered.length) : "";
  }
  for (const node of byId("series").children) {
    const series = state.server.series.find((one) => one.id === node.dataset.id);
    const chosen = state.panes.includes(series.id);
    node.setAttribute("aria-selected", chosen);
    node.tabIndex = series.id === state.panes[0] ? 0 : -1;
    node.querySelector(".tone").style.background = chosen ? TONES[toneOf(series)] : "transparent";
    node.querySelector(".item-role").textContent =
      truthOf()?.id === series.id ? "ground truth" : "";
  }
  const items = [...byId("series").children];
  if (items.length && !items.some((node) => node.tabIndex === 0)) items[0].tabIndex = 0;
}

function item(series) {
  const [phases, slices, rows, columns] = series.shape;
  const spacing = series.spacing_mm ? ` · ${fixed(series.spacing_mm.row, 2)} mm` : "";
  const many = (count, word) => (count > 1 ? `${count} ${word}` : null);
  const counts = [many(phases, "phases"), many(slices, "slices")].filter(Boolean).join(" · ");
  const title = rootOf(series) === series ? series.name : labelOf(series);
  return element("li", {
    role: "option", tabIndex: -1, data: { id: series.id },
    class: rootOf(series) === series ? "item" : "item made",
  },
  element("span", { class: "tone", "aria-hidden": "true" }),
  element("img", { src: thumbnailPath(series.id), alt: "", loading: "lazy", width: 52, height: 52 }),
  element("span", { class: "item-text" },
    element("span", { class: "item-title", title: series.name }, title),
    element("span", { class: "item-facts" }, `${columns} × ${rows}${spacing}`),
    element("span", { class: "item-facts" }, counts || "1 frame"),
    element("span", { class: "item-facts item-role" })));
}
