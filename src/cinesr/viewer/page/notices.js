// What the page says: messages that stay until read, and words for screen readers.

import { byId, element, icon } from "./dom.js";

const PASSING_MS = 4000;
const MOST = 4;

export function announce(text) {
  byId("announcer").textContent = text;
}

function put(node) {
  const list = byId("notices");
  list.append(node);
  while (list.children.length > MOST) list.firstChild.remove();
}

function notice(kind, title, detail, action) {
  const node = element("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" },
    element("div", { class: "notice-text" },
      element("strong", {}, title),
      detail ? element("span", {}, detail) : null),
    action ? element("button", { type: "button", class: "plain small",
      onclick: () => { action.run(); node.remove(); } }, action.label) : null,
    element("button", { type: "button", class: "bare small", "aria-label": "Dismiss this message",
      onclick: () => node.remove() }, icon("close")));
  put(node);
  return node;
}

export function report(error) {
  const known = [...document.querySelectorAll(".notice.error strong")];
  if (known.some((node) => node.textContent === error.message)) return;
  notice("error", error.message, error.hint);
}

export function tell(title, detail = null, action = null) {
  const node = notice("news", title, detail, action);
  setTimeout(() => node.remove(), PASSING_MS);
}
