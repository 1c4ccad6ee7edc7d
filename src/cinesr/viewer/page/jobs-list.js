// Work in hand: progress, time left, cancel. News of finished work.

import { cancelJob } from "./api.js";
import { byId, element, icon } from "./dom.js";
import { seriesOf } from "./family.js";
import { announce, report, tell } from "./notices.js";
import { setPane, showSeries } from "./scene.js";
import { set, state, subscribe } from "./store.js";

const items = new Map();
const known = new Map(); // job id -> state, to notice what has changed

let isFirst = true; // What had ended before the page was there is no news.

const ENDED = new Set(["done", "failed", "cancelled"]);

export function startJobsList() {
  subscribe(["server"], refresh);
}

function refresh() {
  const jobs = state.server.jobs.filter((job) => !ENDED.has(job.state));
  byId("jobs-section").hidden = jobs.length === 0;
  for (const [id, node] of items) {
    if (!jobs.some((job) => job.id === id)) {
      node.remove();
      items.delete(id);
    }
  }
  for (const job of jobs) {
    if (!items.has(job.id)) {
      items.set(job.id, makeItem(job));
      byId("jobs").append(items.get(job.id));
    }
    update(items.get(job.id), job);
  }
  if (isFirst) state.server.jobs.forEach((job) => known.set(job.id, job.state));
  isFirst = false;
  state.server.jobs.forEach(notice);
}

const nameOf = (job) => (job.kind === "compare" ? "Scores of the series" : job.model);

function makeItem(job) {
  const source = seriesOf(job.series)?.name ?? "";
  return element("li", { class: "job", data: { id: job.id } },
    element("span", { class: "job-name" }, nameOf(job)),
    element("span", { class: "job-source", title: source }, source),
    element("progress", { max: 1, "aria-label": `Progress of ${nameOf(job)}` }),
    element("span", { class: "job-state" }),
    element("button", { type: "button", class: "bare small", title: "Cancel",
      "aria-label": `Cancel ${nameOf(job)}`,
      onclick: () => cancelJob(job.id).catch(report) }, icon("close")));
}

function update(node, job) {
  node.querySelector("progress").value = job.total ? job.done / job.total : 0;
  node.querySelector(".job-state").textContent = job.state === "waiting"
    ? "waiting" : `${job.done} of ${job.total}${left(job.seconds_left)}`;
  node.dataset.state = job.state;
}

export function left(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 90) return `, ${Math.ceil(seconds)} s left`;
  return seconds < 5400 ? `, ${Math.round(seconds / 60)} min left`
    : `, ${(seconds / 3600).toFixed(1)} h left`;
}

function notice(job) {
  const before = known.get(job.id);
  known.set(job.id, job.state);
  if (before === job.state) return;
  if (job.state === "running") announce(`${nameOf(job)} has started`);
  if (job.state === "cancelled") tell(`${nameOf(job)} was cancelled`);
  if (job.state === "failed") report({ message: job.error ?? `${nameOf(job)} failed.`, hint: job.hint });
  if (job.state === "done" && job.kind === "upscale") arrived(job);
}

// Whoever looks at the input alone sees the result beside it; nobody else is disturbed.
function arrived(job) {
  announce(`${job.model} is done`);
  if (state.panes.length === 1 && state.panes[0] === job.series) {
    setPane(1, job.result);
    set({ mode: "divider" });
    return;
  }
  tell(`${job.model} is done`, seriesOf(job.series)?.name,
    { label: "Show", run: () => showSeries(job.result) });
}
