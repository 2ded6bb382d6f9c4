/**
 * Overall suspicion as an area: a unit square of which the probability of a nodule takes a width, and readers' suspicion,
 * given a nodule, a height. By the law of total probability their product is the number by which findings are ordered.
 */

import type { ReactElement } from "react";
import type { Finding } from "../api/schemas";
import { useWords } from "../parts/context";
import { fixed } from "../words/dictionary";

const SIDE = 92;

export function SuspicionSquare({ finding }: { finding: Finding }): ReactElement {
  const { words, language } = useWords();
  const across = finding.nodule_probability * SIDE;
  const up = finding.suspicion_score * SIDE;
  return (
    <section className="square-block" data-level={finding.suspicion}>
      <svg
        className="square"
        width={SIDE + 2}
        height={SIDE + 2}
        viewBox={`-1 -1 ${SIDE + 2} ${SIDE + 2}`}
        role="img"
        aria-label={words.finding.product}
      >
        <rect className="square-frame" width={SIDE} height={SIDE} />
        <path className="square-grid" d={`M0 ${SIDE / 2}H${SIDE}M${SIDE / 2} 0V${SIDE}`} />
        <rect className="square-area" y={SIDE - up} width={across} height={up} />
        <path className="square-edge" d={`M0 ${SIDE - up}H${across}V${SIDE}`} />
      </svg>
      <div className="square-text">
        <p className="square-overall">
          <span className="square-number">{fixed(finding.overall_suspicion, 2, language)}</span>
          <span>
            {words.finding.overall}
            <span className="finding-word" data-level={finding.suspicion}>
              {words.finding.suspicions[finding.suspicion]}
            </span>
          </span>
        </p>
        <dl className="facts">
          <div>
            <dt>{words.finding.nodule}</dt>
            <dd>{fixed(finding.nodule_probability, 2, language)}</dd>
          </div>
          <div>
            <dt>{words.finding.readers}</dt>
            <dd>{fixed(finding.suspicion_score, 2, language)}</dd>
          </div>
        </dl>
      </div>
      <p className="square-note muted">{words.finding.notDiagnosis}</p>
    </section>
  );
}
