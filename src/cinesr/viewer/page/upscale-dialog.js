// The choice of model and scale, with what each model's card says.

import { startJob } from "./api.js";
import { byId, element } from "./dom.js";
import { root } from "./family.js";
import { report, tell } from "./notices.js";
import { state } from "./store.js";

const dialog = byId("upscale-dialog");
let scale = null;

export function startUpscaleDialog() {
  byId("upscale").addEventListener("click", show);
  byId("upscale-form").addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  byId("scales").addEventListener("change", (event) => {
    scale = Number(event.target.value);
    listModels();
  });
}

// Pixels up to this size become twice as many by default, coarser ones four times as many.
const FINE_MM = 2.2;

function usualScale(models) {
  const { spacing_mm: spacing } = root();
  const wanted = spacing && Math.min(spacing.row, spacing.column) > FINE_MM ? 4 : 2;
  return models.find((model) => model.default && model.scale === wanted)?.scale
    ?? models[0]?.scale;
}

function show() {
  const models = state.server.models;
  scale = usualScale(models);
  const scales = [...new Set(models.map((model) => model.scale))].sort((a, b) => a - b);
  byId("scales").replaceChildren(element("legend", {}, "Scale"), ...scales.map((value) =>
    element("label", { class: "chip" },
      element("input", { type: "radio", name: "scale", value, checked: value === scale }),
      `×${value}`)));
  byId("upscale-what").textContent = root().name;
  listModels();
  dialog.showModal();
}

// A model that learned one recipe alone inverts that one and no scan: it stands behind a fold.
const isForScans = (model) => model.card.degradation?.methods?.length !== 1;

function listModels() {
  const fitting = state.server.models.filter((model) => model.scale === scale)
    .sort((one, other) => Number(other.default) - Number(one.default));
  const first = fitting.filter(isForScans);
  const rest = fitting.filter((model) => !isForScans(model));
  const chosen = first[0] ?? rest[0];
  const item = (model) => modelItem(model, model === chosen);
  byId("models").replaceChildren(element("legend", {}, "Model"), ...first.map(item),
    ...(rest.length ? [element("details", { class: "others", open: !first.length },
      element("summary", {}, `${rest.length} more that learned one degradation only`),
      ...rest.map(item))] : []));
  const [phases, slices, rows, columns] = root().shape;
  byId("upscale-size").textContent =
    `${columns} × ${rows} becomes ${columns * scale} × ${rows * scale}, ${phases * slices} `
    + `${phases * slices === 1 ? "frame" : "frames"}.`;
}

function modelItem(model, checked) {
  const note = (model.summary.for ?? "").replaceAll("`", "");
  return element("div", { class: "model" },
    element("label", {},
      element("input", { type: "radio", name: "model", value: model.name, checked }),
      element("span", { class: "model-text" },
        element("span", { class: "model-name" }, model.name,
          model.default ? element("span", { class: "badge" }, "default") : null),
        element("span", { class: "model-for" }, note))),
    element("details", { class: "card" },
      element("summary", {}, "Card", element("span", { class: "hidden" }, ` of ${model.name}`)),
      card(model)));
}

// First the words that were meant for reading, then everything that the card holds.
function card(model) {
  const { limits, intended_use: use, input_spacing_mm: spacing, data } = model.card;
  const rows = [
    ...Object.entries(model.summary).filter(([label]) => label !== "for"),
    ["use", use],
    ["input pixels", spacing && `${spacing[0]} to ${spacing[1]} mm`],
    ["learned from", data && [data.name, data.licence].filter(Boolean).join(", ")],
  ].filter(([, text]) => text);
  return element("div", { class: "card-text" },
    element("dl", {}, ...rows.flatMap(([label, text]) =>
      [element("dt", {}, label), element("dd", {}, text)])),
    limits?.length ? element("ul", {}, ...limits.map((text) => element("li", {}, text))) : null,
    element("details", {}, element("summary", {}, "Everything in the card"),
      element("pre", { tabIndex: 0 }, JSON.stringify(model.card, null, 1))));
}

function wishes() {
  const [spacing, denoise] = [byId("spacing-out").value, byId("denoise").value];
  return {
    spacing_out_mm: spacing === "" ? null : Number(spacing),
    acquired: byId("acquired").value.trim() || null,
    denoise: denoise === "" ? 1 : Number(denoise),
  };
}

async function start() {
  const model = new FormData(byId("upscale-form")).get("model");
  dialog.close();
  try {
    await startJob(root().id, model, wishes());
    tell(`${model} is in the queue`);
  } catch (error) {
    report(error);
  }
}
