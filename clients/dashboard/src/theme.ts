/** Light, dark, or as the system says. The choice stays in this browser, if that keeps anything for this page. */
export type Theme = "system" | "light" | "dark";
const KEPT = "tidegate-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

let chosen: Theme = read();

/** A browser that is told to keep nothing refuses even the look. */
function read(): Theme {
  try {
    const kept = localStorage.getItem(KEPT);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    return "system";
  }
}

export function chosenTheme(): Theme {
  return chosen;
}

export function applyTheme(): void {
  document.documentElement.dataset["theme"] = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
}

export function chooseTheme(theme: Theme): void {
  chosen = theme;
  applyTheme();
  try {
    localStorage.setItem(KEPT, theme);
  } catch {
    // It holds for as long as this page is open.
  }
}

dark.addEventListener("change", applyTheme);
