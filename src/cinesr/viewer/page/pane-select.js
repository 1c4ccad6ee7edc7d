// The choice of what a pane shows; an interpolation that is not there yet is made when chosen.

import { makeBicubic } from "./api.js";
import { element } from "./dom.js";
import { family, labelOf, root } from "./family.js";
import { report } from "./notices.js";
import { state } from "./store.js";

const MAKE = "bicubic:";

export function paneSelect(slot, choose) {
  const node = element("select", { "aria-label": `Series in pane ${slot + 1}` });
  let signature = "";
  node.addEventListener("change", async () => {
    if (!node.value.startsWith(MAKE)) return choose(node.value);
    try {
      choose(await bicubic(Number(node.value.slice(MAKE.length))));
    } catch (error) {
      report(error);
    }
  });

  function refresh(current) {
    const groups = choices();
    const next = JSON.stringify([groups, current.id]);
    if (next === signature) return;
    signature = next;
    node.replaceChildren(...groups.filter(([, options]) => options.length).map(([label, options]) =>
      element("optgroup", { label }, ...options.map(([value, text]) =>
        element("option", { value, selected: value === current.id }, text)))));
  }
  return { node, refresh };
}

function choices() {
  const members = family();
  const others = state.server.series.filter((series) => !members.includes(series));
  return [
    ["This scan", members.map((series) => [series.id, labelOf(series)])],
    ["Make", missingScales(members).map((scale) => [MAKE + scale, `Bicubic ×${scale}`])],
    ["Other series", others.map((series) => [series.id, labelOf(series)])],
  ];
}

function missingScales(members) {
  const present = members.filter((one) => one.kind === "bicubic").map((one) => one.scale);
  const scales = new Set(state.server.models.map((model) => model.scale));
  return [...scales].filter((scale) => !present.includes(scale)).sort((a, b) => a - b);
}

// The id of the root's interpolation of this scale, which the server makes where there is none.
export async function bicubic(scale) {
  const present = family().find((one) => one.kind === "bicubic" && one.scale === scale);
  if (present) return present.id;
  const made = await makeBicubic(root().id, scale);
  if (!state.server.series.some((series) => series.id === made.id)) {
    state.server.series.push(made);
  }
  return made.id;
}
