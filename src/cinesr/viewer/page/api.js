// The server's addresses. All are relative to the page's own, which holds the token.

import { set, state } from "./store.js";

class Refusal extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

async function answer(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  const told = await response.json().catch(() => ({}));
  throw new Refusal(told.error ?? `The server answered ${response.status}.`, told.hint ?? null);
}

async function ask(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal("The server does not answer.", "Is `cinesr view` still running?");
  }
  return answer(response);
}

export const beginUpload = (name) => ask("POST", "api/uploads", { name });
export const openUpload = (id) => ask("POST", `api/uploads/${id}/open`);
export const dropUpload = (id) => ask("DELETE", `api/uploads/${id}`);
export const closeSeries = (id) => ask("DELETE", `api/series/${id}`);
export const makeBicubic = (id, scale) => ask("POST", `api/series/${id}/bicubic`, { scale });
export const nameTruth = (id, truth) => ask("PUT", `api/series/${id}/truth`, { truth });
export const startJob = (series, model, wishes) =>
  ask("POST", "api/jobs", { series, model, ...wishes });
export const cancelJob = (id) => ask("POST", `api/jobs/${id}/cancel`);
export const compareSeries = (reference, candidate) =>
  ask("POST", "api/compare/series", { reference, candidate });
export const compareFrame = (reference, candidate, time, slice) =>
  ask("GET", `api/compare?${new URLSearchParams({ reference, candidate, time, slice })}`);

export const thumbnailPath = (id) => `api/series/${id}/thumbnail`;
export const downloadPath = (id) => `api/series/${id}/download`;

// fetch tells nothing about the progress of what it sends; XMLHttpRequest does.
export function sendFile(id, path, file, onprogress) {
  const target = `api/uploads/${id}/${path.split("/").map(encodeURIComponent).join("/")}`;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", target);
    request.upload.onprogress = (event) => onprogress(event.loaded);
    request.onload = () => {
      if (request.status < 300) return resolve();
      let told = {};
      try {
        told = JSON.parse(request.responseText);
      } catch {
        told = {};
      }
      reject(new Refusal(told.error ?? `${path} was refused (${request.status}).`, told.hint));
    };
    request.onerror = () => reject(new Refusal(`${path} could not be sent.`, null));
    request.send(file);
  });
}

async function refresh() {
  try {
    accept(await ask("GET", "api/state"));
  } catch {
    set({ connected: false });
  }
}

function accept(server) {
  if (server.revision !== state.server.revision) set({ server });
  set({ connected: true });
}

// Events where they work, a question a second where they do not.
export function follow() {
  let polling = null;
  const source = new EventSource("api/events");
  source.addEventListener("state", (event) => {
    clearInterval(polling);
    polling = null;
    accept(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    polling ??= setInterval(refresh, 1000);
  });
  return refresh();
}
