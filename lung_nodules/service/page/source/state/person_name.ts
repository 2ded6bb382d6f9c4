/** A person's name as DICOM writes it (PS3.5 6.2.1), as one reads it. */

/** `Doe^Jane^M=王^小东` becomes `Doe, Jane M · 王小东`; phonetic forms are left out. */
export function personName(text: string): string {
  const [alphabetic = "", ideographic = ""] = text.split("=");
  return [readAlphabetic(alphabetic), ideographic.split("^").join("")].filter((form) => form !== "").join(" · ");
}

function readAlphabetic(form: string): string {
  const [family = "", ...given] = form.split("^").map((part) => part.trim());
  const rest = given.filter((part) => part !== "").join(" ");
  return family !== "" && rest !== "" ? `${family}, ${rest}` : family || rest;
}

/** What a reader types as a pattern that finds it anywhere, in this order; wildcards of his own are left as they are. */
export function asPattern(text: string): string {
  const words = text
    .trim()
    .split(/[\s,^]+/)
    .filter((word) => word !== "");
  if (words.length === 0) return "";
  return /[*?]/.test(text) ? text.trim() : `*${words.join("*")}*`;
}
