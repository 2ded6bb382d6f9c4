/** What a reader has chosen for this browser: language and theme. Nothing of a patient is kept. */

import type { Language } from "../words/dictionary";

export type Theme = "dark" | "light";
const KEY = "lung-nodules.preferences";

export interface Preferences {
  readonly language: Language;
  readonly theme: Theme;
}

export function readPreferences(stored: string | null, languages: readonly string[]): Preferences {
  const spoken: Language = languages[0]?.toLowerCase().startsWith("zh") ? "zh" : "en";
  const kept = parse(stored);
  return {
    language: kept.language === "en" || kept.language === "zh" ? kept.language : spoken,
    theme: kept.theme === "light" ? "light" : "dark",
  };
}

function parse(stored: string | null): { language?: unknown; theme?: unknown } {
  try {
    const value: unknown = JSON.parse(stored ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

export const loadPreferences = (): Preferences => readPreferences(localStorage.getItem(KEY), navigator.languages);

export const savePreferences = (preferences: Preferences): void =>
  localStorage.setItem(KEY, JSON.stringify(preferences));
