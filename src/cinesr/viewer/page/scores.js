// Where a ground truth is open: how near each series comes to it, for this frame and in all.

import { compareFrame, compareSeries, nameTruth } from "./api.js";
import { byId, element } from "./dom.js";
import { dot } from "./details.js";
import { family, fitsAsTruth, labelOf, root, seriesOf, truthOf } from "./family.js";
import { fixed } from "./geometry.js";
import { report } from "./notices.js";
import { set, state, subscribe } from "./store.js";

const WAIT_MS = 250;
const MEASURES = [["psnr", "PSNR, dB", 2], ["ssim", "SSIM", 4], ["lpips", "LPIPS", 4]];

const frames = new Map(); // "truth/candidate/time/slice" -> scores
const jobs = new Map(); // "truth/candidate" -> id of the job that scores the series
let timer = 0;
let signature = "";
let shownTable = "";

export function startScores() {
  byId("truth").addEventListener("change", (event) => chooseTruth(event.target.value || null));
  byId("score-series").addEventListener("click", scoreSeries);
  subscribe(["server", "root", "truths"], refreshChoice);
  subscribe(["server", "root", "truths", "time", "slice", "playing"], refreshScores);
}

function candidates() {
  const truth = truthOf();
  if (!truth) return [];
  return family().filter((series) => series.id !== truth.id
    && ["result", "bicubic"].includes(series.kind) && same(series.shape, truth.shape));
}

const same = (one, other) => one.every((size, at) => size === other[at]);

function refreshChoice() {
  const ancestor = root();
  const fitting = ancestor
    ? state.server.series.filter((series) => fitsAsTruth(series, ancestor)) : [];
  const truth = truthOf();
  const next = JSON.stringify([ancestor?.id, truth?.id, fitting.map(({ id, name }) => [id, name])]);
  if (next !== signature) {
    signature = next;
    byId("truth").replaceChildren(
      element("option", { value: "" }, fitting.length ? "none" : "none fits"),
      ...fitting.map((series) =>
        element("option", { value: series.id, selected: series === truth }, series.name)));
    byId("truth").disabled = !fitting.length;
  }
  byId("truth-hint").hidden = Boolean(truth) || fitting.length > 0;
  byId("score-table").hidden = !truth;
  byId("score-series").hidden = !truth;
  passOn(truth);
}

async function chooseTruth(id) {
  const ancestor = root();
  set({ truths: { ...state.truths, [ancestor.id]: id } });
  if (id) return;
  await Promise.all(family(ancestor).filter((series) => series.truth)
    .map((series) => nameTruth(series.id, null))).catch(report);
}

// What is made later from the same input is held against the same truth.
const told = new Set();
function passOn(truth) {
  if (!truth) return;
  for (const series of candidates()) {
    const key = `${series.id}/${truth.id}`;
    if (series.kind !== "result" || series.truth === truth.id || told.has(key)) continue;
    told.add(key);
    nameTruth(series.id, truth.id).catch(report);
  }
}

function refreshScores() {
  draw();
  clearTimeout(timer);
  if (!state.playing) timer = setTimeout(ask, WAIT_MS);
}

const keyOf = (truth, series) => `${truth.id}/${series.id}/${state.time}/${state.slice}`;

async function ask() {
  const truth = truthOf();
  for (const series of candidates()) {
    const key = keyOf(truth, series);
    if (frames.has(key)) continue;
    frames.set(key, null);
    try {
      frames.set(key, await compareFrame(truth.id, series.id, state.time, state.slice));
    } catch (error) {
      frames.delete(key);
      return report(error);
    }
    draw();
  }
}

async function scoreSeries() {
  const truth = truthOf();
  for (const series of candidates()) {
    try {
      const job = await compareSeries(truth.id, series.id);
      jobs.set(`${truth.id}/${series.id}`, job.id);
    } catch (error) {
      return report(error);
    }
  }
}

function draw() {
  const truth = truthOf();
  if (!truth) return;
  const rows = candidates().map((series) => {
    const job = state.server.jobs.find((one) => one.id === jobs.get(`${truth.id}/${series.id}`));
    return { series, here: frames.get(keyOf(truth, series)),
      all: job?.state === "done" ? job.result : null };
  });
  const text = JSON.stringify(rows.map(({ series, here, all }) => [labelOf(series), here, all]));
  if (text === shownTable) return;
  shownTable = text;
  byId("score-rows").replaceChildren(...(rows.length ? rows.flatMap(tableRows)
    : [element("tr", {}, element("td", { colSpan: 4, class: "quiet" },
      "Upscale first, or add a bicubic pane."))]));
  byId("score-series").disabled = rows.length === 0;
}

function tableRows({ series, here, all }) {
  const cells = (scores) => MEASURES.map(([name, , digits]) =>
    element("td", {}, scores ? fixed(scores[name], digits) : "·"));
  const name = element("th", { scope: "row" }, dot(seriesOf(series.id)), labelOf(series));
  const first = element("tr", {}, name, ...cells(here));
  if (!all) return [first];
  return [first, element("tr", { class: "all" },
    element("th", { scope: "row" }, "whole series"), ...cells(all))];
}
