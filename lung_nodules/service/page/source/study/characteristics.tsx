/** The ratings that LIDC's readers are expected to give, each on its own scale with its ends named. */

import type { ReactElement } from "react";
import { useWords } from "../parts/context";
import { fixed } from "../words/dictionary";

/** Last step of LIDC's scales; all begin at 1 (Armato et al., Medical Physics 2011). */
const LAST: Readonly<Record<string, number>> = { internal_structure: 4, calcification: 6 };

/** Those that tell most about suspicion come first. */
const ORDER = [
  "spiculation",
  "lobulation",
  "margin",
  "sphericity",
  "texture",
  "calcification",
  "subtlety",
  "internal_structure",
];

export function Characteristics({ ratings }: { ratings: Readonly<Record<string, number>> }): ReactElement | null {
  const { words } = useWords();
  const names = Object.keys(ratings).sort((a, b) => rank(a) - rank(b));
  if (names.length === 0) return null;
  return (
    <section className="block">
      <h3>{words.finding.characteristics}</h3>
      <p className="muted block-hint">{words.finding.characteristicsHint}</p>
      <ul className="scales">
        {names.map((name) => (
          <Scale key={name} name={name} value={ratings[name] ?? 1} />
        ))}
      </ul>
    </section>
  );
}

function rank(name: string): number {
  const at = ORDER.indexOf(name);
  return at < 0 ? ORDER.length : at;
}

function Scale({ name, value }: { name: string; value: number }): ReactElement {
  const { words, language } = useWords();
  const [title, low, high] = words.finding.scales[name] ?? [name, "", ""];
  const last = LAST[name] ?? 5;
  const x = (step: number): number => 4 + ((step - 1) / (last - 1)) * 92;
  const steps = Array.from({ length: last }, (_, index) => index + 1);
  return (
    <li className="scale">
      <span className="scale-name">{title}</span>
      <span className="scale-end scale-low">{low}</span>
      <svg className="scale-line" viewBox="0 0 100 12" aria-hidden="true" focusable="false">
        <path className="scale-track" d={`M${x(1)} 6H${x(last)}`} />
        {steps.map((step) => (
          <circle key={step} className="scale-step" cx={x(step)} cy="6" r="1.3" />
        ))}
        <circle className="scale-value" cx={x(Math.min(last, Math.max(1, value)))} cy="6" r="3.4" />
      </svg>
      <span className="scale-end scale-high">{high}</span>
      <span className="scale-number">
        {fixed(value, 1, language)}
        <span className="muted"> / {last}</span>
      </span>
    </li>
  );
}
