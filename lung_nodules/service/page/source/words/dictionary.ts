/** Languages, and numbers and times as each writes them. */

import { chinese } from "./chinese";
import { english, type Words } from "./english";

export type Language = "en" | "zh";
export type { Words };

export const LANGUAGES: readonly Language[] = ["en", "zh"];
export const DICTIONARIES: Readonly<Record<Language, Words>> = { en: english, zh: chinese };
export const LOCALES: Readonly<Record<Language, string>> = { en: "en-GB", zh: "zh-CN" };

/** A number with a fixed number of decimals. */
export function fixed(value: number, decimals: number, language: Language): string {
  const format = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return new Intl.NumberFormat(LOCALES[language], format).format(value).replace("-", "\u2212");
}

/** A share of one as whole per cent. */
export function percent(share: number, language: Language): string {
  return new Intl.NumberFormat(LOCALES[language], { style: "percent" }).format(share);
}

/** How long ago, in the largest unit that fits. */
export function ago(iso: string, nowMs: number, language: Language): string {
  const format = new Intl.RelativeTimeFormat(LOCALES[language], { numeric: "auto", style: "short" });
  const seconds = Math.min(0, (Date.parse(iso) - nowMs) / 1000);
  const units = [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ] as const;
  for (const [unit, size] of units) if (-seconds >= size) return format.format(Math.ceil(seconds / size), unit);
  return format.format(0, "second");
}

/** A moment in full. */
export function moment(iso: string, language: Language): string {
  return new Intl.DateTimeFormat(LOCALES[language], { dateStyle: "medium", timeStyle: "medium" }).format(new Date(iso));
}

/** A date as DICOM's headers give it (YYYY-MM-DD), without a time zone that could move it. */
export function day(iso: string, language: Language): string {
  return new Intl.DateTimeFormat(LOCALES[language], { dateStyle: "medium", timeZone: "UTC" }).format(new Date(iso));
}

/** Seconds as a reader says them: 48 s, 2 min 5 s. */
export function duration(seconds: number, language: Language): string {
  const locale = LOCALES[language];
  const unit = (value: number, name: string): string =>
    new Intl.NumberFormat(locale, { style: "unit", unit: name, unitDisplay: "narrow" }).format(value);
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return unit(whole, "second");
  return `${unit(Math.floor(whole / 60), "minute")} ${unit(whole % 60, "second")}`;
}

/** Bytes with a binary unit. */
export function bytes(count: number, language: Language): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${fixed(value, power === 0 || value >= 100 ? 0 : 1, language)} ${units[power] ?? "B"}`;
}

/** UCUM units as one reads them. */
export function unitText(unit: string): string {
  const known: Record<string, string> = { "{slices}": "", "1": "", a: "", cm2: "cm²", mm3: "mm³" };
  return known[unit] ?? unit;
}

/** A dictionary's word for a code, or the code itself with spaces: a newer service may have more of them. */
export function wordFor(words: Readonly<Record<string, string>>, code: string): string {
  return words[code] ?? code.replaceAll(/[-_]/g, " ");
}
