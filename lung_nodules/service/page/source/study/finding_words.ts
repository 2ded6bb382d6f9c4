/** A finding in words. */

import type { Finding } from "../api/schemas";
import { fixed, wordFor, type Language, type Words } from "../words/dictionary";

/** The lobe where the report knows it, else the side. */
export function placeWord(finding: Finding, words: Words, short = false): string {
  const { side, lobe } = finding.position;
  if (lobe !== null) return wordFor(words.finding.lobes, lobe);
  if (side === null) return words.unknown;
  return wordFor(short ? words.finding.sidesShort : words.finding.sides, side);
}

/** A volume in mm3 with three figures where they mean something. */
export function volumeText(mm3: number, language: Language): string {
  return fixed(mm3, mm3 < 100 ? 1 : 0, language);
}
