// Light or dark: as the system says, until somebody chooses.

import { byId } from "./dom.js";

const KEY = "cinesr-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function kept() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // Storage may be closed to the page; the choice then lasts as long as it does.
  }
}

function keep(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    return;
  }
}

export function startTheme() {
  const wear = (theme) => {
    document.documentElement.dataset.theme = theme;
    byId("theme").setAttribute("aria-label", theme === "dark" ? "Light theme" : "Dark theme");
  };
  wear(kept() ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => kept() ?? wear(dark.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    keep(next);
    wear(next);
  });
}
