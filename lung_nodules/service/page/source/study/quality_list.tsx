/** The checks of the input, with what was measured and what it was held against. */

import type { ReactElement } from "react";
import type { Check } from "../api/schemas";
import { useWords } from "../parts/context";
import { OutcomeSign, type Outcome } from "../parts/signs";
import { fixed, unitText, wordFor, type Language } from "../words/dictionary";

const SEVERITY = { fail: 0, warn: 1, pass: 2 } as const;

export function worstOutcome(checks: readonly Check[]): Outcome {
  return checks.map((check) => check.outcome).sort((a, b) => SEVERITY[a] - SEVERITY[b])[0] ?? "pass";
}

export function QualityList({ checks }: { checks: readonly Check[] }): ReactElement {
  const { words } = useWords();
  const worst = worstOutcome(checks);
  const ordered = [...checks].sort((a, b) => SEVERITY[a.outcome] - SEVERITY[b.outcome]);
  return (
    <section className="block">
      <h2 className="quality-summary">{words.quality.summary[worst]}</h2>
      <ul className="checks">
        {ordered.map((check) => (
          <CheckRow key={`${check.code} ${check.sentence}`} check={check} />
        ))}
      </ul>
    </section>
  );
}

function CheckRow({ check }: { check: Check }): ReactElement {
  const { words, language } = useWords();
  const own = words.quality.sentences[check.code]?.[check.outcome];
  return (
    <li className="check" data-outcome={check.outcome}>
      <OutcomeSign outcome={check.outcome} named={false} />
      <div className="check-text">
        <h3>{wordFor(words.quality.titles, check.code)}</h3>
        <p lang={own ? undefined : "en"}>{own ?? check.sentence}</p>
      </div>
      <p className="check-value">
        {valueText(check.value, check.unit, language)}
        {check.limit !== null && check.outcome !== "pass" ? (
          <span className="muted">{words.quality.limit(valueText(check.limit, check.unit, language))}</span>
        ) : null}
      </p>
    </li>
  );
}

/** A value as measured, with as many decimals as a reader needs; codes such as DICOM's 00 are left out. */
export function valueText(value: number | string | null, unit: string, language: Language): string {
  if (value === null || value === "00" || value === "01") return "";
  if (typeof value === "string") return `${value} ${unitText(unit)}`.trim();
  if (unit === "1") return `${fixed(100 * value, 0, language)} %`;
  const decimals =
    Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) < 0.1 ? 3 : Math.abs(value) < 10 ? 2 : 1;
  return `${fixed(value, decimals, language)} ${unitText(unit)}`.trim();
}
