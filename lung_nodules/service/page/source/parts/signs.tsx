/** Small signs that the list and the study share: suspicion, quality, states, problems. */

import type { ReactElement } from "react";
import { Problem } from "../api/problem";
import type { JobState } from "../api/schemas";
import { fixed } from "../words/dictionary";
import { useWords } from "./context";
import { Icon } from "./icons";

export type Outcome = "pass" | "warn" | "fail";

/** A share of one as a hairline, with its number; the word, not the colour alone, says how suspicious. */
export function SuspicionBar({ value, level }: { value: number; level: string }): ReactElement {
  const { language } = useWords();
  return (
    <span className="suspicion" data-level={level}>
      <span className="suspicion-track" aria-hidden="true">
        <span className="suspicion-fill" style={{ transform: `scaleX(${value})` }} />
      </span>
      <span className="suspicion-number">{fixed(value, 2, language)}</span>
    </span>
  );
}

export function OutcomeSign({ outcome, named = true }: { outcome: Outcome; named?: boolean }): ReactElement {
  const { words } = useWords();
  const icon = { pass: "check", warn: "warning", fail: "cross" } as const;
  return (
    <span className="outcome" data-outcome={outcome}>
      <Icon name={icon[outcome]} size={16} />
      <span className={named ? "" : "unseen"}>{words.quality.outcomes[outcome]}</span>
    </span>
  );
}

export function isOutcome(text: string): text is Outcome {
  return text === "pass" || text === "warn" || text === "fail";
}

export function StateSign({ state }: { state: JobState }): ReactElement {
  const { words } = useWords();
  return (
    <span className="state" data-state={state}>
      <span className="state-dot" aria-hidden="true" />
      {words.states[state]}
    </span>
  );
}

/** A problem in the reader's language, with the service's own sentence below where it has one. */
export function ProblemText({ problem }: { problem: Error }): ReactElement {
  const { words } = useWords();
  const known = problem instanceof Problem ? problem : new Problem(0, "page", problem.message);
  const title = words.reasons[known.code] ?? (known.message || words.problems.other(known.status));
  return (
    <>
      <strong>{title}</strong>
      {known.message && known.message !== title ? <span lang="en">{known.message}</span> : null}
      {known.advice ? <span lang="en">{known.advice}</span> : null}
      {known.retryAfterS === null ? null : <span>{words.problems.retryAfter(known.retryAfterS)}</span>}
    </>
  );
}

export function ProblemPanel({ problem, onRetry }: { problem: Error; onRetry: () => void }): ReactElement {
  const { words } = useWords();
  return (
    <div className="problem-panel" role="alert">
      <Icon name="warning" size={22} />
      <div className="problem-text">
        <ProblemText problem={problem} />
      </div>
      <button type="button" className="button" onClick={onRetry}>
        {words.problems.again}
      </button>
    </div>
  );
}
