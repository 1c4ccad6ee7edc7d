// Puts the page together.

import { follow } from "./api.js";
import { startDetails } from "./details.js";
import { byId } from "./dom.js";
import { startExporting } from "./exporting.js";
import { forget, onArrival } from "./frames.js";
import { startJobsList } from "./jobs-list.js";
import { startKeys } from "./keys.js";
import { report } from "./notices.js";
import { startOpening } from "./opening.js";
import { startPointer } from "./pointer.js";
import { prune } from "./scene.js";
import { startSeriesList } from "./series-list.js";
import { frameArrived, startStage } from "./stage.js";
import { state, subscribe } from "./store.js";
import { startTheme } from "./theme.js";
import { startToolbar } from "./toolbar.js";
import { startTransport } from "./transport.js";
import { startUpscaleDialog } from "./upscale-dialog.js";

let present = new Set();
let failuresTold = 0;

function forgetClosed() {
  const now = new Set(state.server.series.map((series) => series.id));
  for (const id of present) if (!now.has(id)) forget(id);
  present = now;
}

// What the command line named and could not be opened.
function tellFailures() {
  const failures = state.server.failures ?? [];
  failures.slice(failuresTold).forEach(({ error, hint }) => report({ message: error, hint }));
  failuresTold = failures.length;
}

function startChrome() {
  const drawer = byId("show-series");
  const toggle = (open) => {
    document.body.classList.toggle("drawer-open", open);
    drawer.setAttribute("aria-expanded", document.body.classList.contains("drawer-open"));
  };
  drawer.addEventListener("click", () => toggle());
  byId("scrim").addEventListener("click", () => toggle(false));
  document.addEventListener("keydown", (event) => event.key === "Escape" && toggle(false));
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
  subscribe(["connected"], () => { byId("lost").hidden = state.connected; });
  subscribe(["server"], () => {
    byId("version").textContent = state.server.version;
    tellFailures();
    const [first] = state.server.opening;
    if (!byId("opening-text").textContent || byId("opening").dataset.server) {
      byId("opening").hidden = !first;
      byId("opening").dataset.server = first ? "yes" : "";
      byId("opening-text").textContent = first ? `Opening ${first.name}` : "";
      byId("opening-bar").value = first?.total ? first.done / first.total : 0;
    }
  });
}

subscribe(["server"], () => {
  forgetClosed();
  prune();
});
startTheme();
startChrome();
startStage();
startTransport();
startToolbar();
startPointer();
startKeys();
startSeriesList();
startJobsList();
startUpscaleDialog();
startDetails();
startOpening();
startExporting();
onArrival((problem) => {
  if (problem) report({ message: problem });
  frameArrived();
});
await follow();
document.body.classList.add("ready");
