// Which series belong together: an input, what was made from it, and the truth it is held against.

import { state } from "./store.js";

export const seriesOf = (id) => state.server.series.find((series) => series.id === id) ?? null;

export function rootOf(series) {
  let root = series;
  while (root?.parent && seriesOf(root.parent)) root = seriesOf(root.parent);
  return root;
}

export const root = () => seriesOf(state.root);

export function descendants(ancestor) {
  return state.server.series.filter(
    (series) => series.id !== ancestor?.id && rootOf(series)?.id === ancestor?.id,
  );
}

export function truthOf(ancestor = root()) {
  if (!ancestor) return null;
  const named = state.truths[ancestor.id];
  if (named !== undefined) return seriesOf(named);
  const told = descendants(ancestor).find((series) => series.truth);
  return told ? seriesOf(told.truth) : null;
}

// In the order in which they are compared: input, interpolation, models, truth.
export function family(ancestor = root()) {
  if (!ancestor) return [];
  const made = descendants(ancestor);
  const truth = truthOf(ancestor);
  return [
    ancestor,
    ...made.filter((series) => series.kind === "bicubic"),
    ...made.filter((series) => series.kind === "result"),
    ...(truth && truth !== ancestor && !made.includes(truth) ? [truth] : []),
  ];
}

export function roleOf(series) {
  if (truthOf()?.id === series.id) return "truth";
  if (series.kind === "input") return series.id === state.root ? "input" : "other";
  return series.kind;
}

export function labelOf(series) {
  switch (roleOf(series)) {
    case "truth": return "Truth";
    case "input": return "Input";
    case "bicubic": return `Bicubic ×${series.scale}`;
    case "result": return series.model ?? series.name;
    default: return series.name;
  }
}

// One colour for each part, here and in the profile; results of several models differ.
export function toneOf(series) {
  const role = roleOf(series);
  if (role !== "result") return role;
  const results = family().filter((one) => one.kind === "result");
  return results.indexOf(series) % 2 ? "result-2" : "result";
}

export const frameTime = (series) => series?.frame_time_ms || 40;

export function fitsAsTruth(candidate, ancestor) {
  if (candidate.id === ancestor.id || candidate.kind !== "input") return false;
  const [phases, slices, rows, columns] = ancestor.shape;
  const [otherPhases, otherSlices, otherRows, otherColumns] = candidate.shape;
  const scale = otherRows / rows;
  return phases === otherPhases && slices === otherSlices && Number.isInteger(scale)
    && scale > 1 && otherColumns === columns * scale;
}
