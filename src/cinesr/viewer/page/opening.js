// Files come in: dropped, or picked; folders with all they hold.

import { beginUpload, dropUpload, openUpload, sendFile } from "./api.js";
import { byId } from "./dom.js";
import { announce, report } from "./notices.js";
import { showSeries } from "./scene.js";
import { state } from "./store.js";

const AT_ONCE = 3;

export function startOpening() {
  for (const kind of ["files", "folder"]) {
    const input = byId(`pick-${kind}`);
    input.addEventListener("change", () => {
      open([...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
      input.value = "";
    });
    for (const button of document.querySelectorAll(`[data-open=${kind}]`)) {
      button.addEventListener("click", () => input.click());
    }
  }
  let depth = 0;
  const mark = () => document.body.classList.toggle("dropping", depth > 0);
  document.addEventListener("dragenter", () => { depth += 1; mark(); });
  document.addEventListener("dragleave", () => { depth -= 1; mark(); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    mark();
    const files = await collect(event.dataTransfer);
    if (files.length) open(files);
  });
}

// Entries have to be asked for at once: after the first wait the browser forgets them.
async function collect(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ path: file.name, file }));
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ path: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await walk(one, found);
  }
}

const bytes = (count) => count > 2 ** 30
  ? `${(count / 2 ** 30).toFixed(1)} GB` : `${Math.ceil(count / 2 ** 20)} MB`;

function refuse(files) {
  const { limits } = state.server;
  if (!limits) return null;
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  const largest = files.reduce((most, { file }) => Math.max(most, file.size), 0);
  if (files.length > limits.files) {
    return [`${files.length} files are more than ${limits.files}.`, "Open a part of them."];
  }
  if (largest > limits.file_bytes) {
    return [`A file of ${bytes(largest)} is larger than ${bytes(limits.file_bytes)}.`,
      "Name it on the command line: cinesr view FILE"];
  }
  if (total > limits.total_bytes) {
    return [`${bytes(total)} are more than ${bytes(limits.total_bytes)}.`,
      "Name them on the command line: cinesr view FOLDER"];
  }
  return null;
}

export async function open(files) {
  const refusal = refuse(files);
  if (refusal) return report({ message: refusal[0], hint: refusal[1] });
  const name = files[0].path.split("/")[0];
  const total = files.reduce((sum, { file }) => sum + file.size, 0) || 1;
  let upload = null;
  progress(`Reading ${name}`, 0);
  try {
    upload = await beginUpload(name);
    await sendAll(upload.id, files, (sent) => progress(`Reading ${name}`, sent / total));
    progress(`Opening ${name}`, 1);
    const { id } = upload;
    upload = null; // From here on the server keeps or removes it.
    const { series } = await openUpload(id);
    await shownLater(series[0]);
    announce(`${name} is open: ${series.length} series`);
  } catch (error) {
    if (upload) dropUpload(upload.id).catch(() => {});
    report(error);
  } finally {
    progress("", null);
  }
}

async function sendAll(id, files, onprogress) {
  const sent = new Map();
  const waiting = [...files];
  const one = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const { path, file } = next;
      await sendFile(id, path, file, (count) => {
        sent.set(path, count);
        onprogress([...sent.values()].reduce((sum, part) => sum + part, 0));
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

// The list of series comes by its own way, a moment after the answer.
async function shownLater(id) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (state.server.series.some((series) => series.id === id)) return showSeries(id);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function progress(text, share) {
  byId("opening").hidden = share === null;
  byId("opening-text").textContent = text;
  byId("opening-bar").value = share ?? 0;
}
