/** A study that waits or is being read: its steps, and the stages of the analysis as they pass. */

import type { ReactElement } from "react";
import { cancelJob } from "../api/client";
import { STEPS, type Job } from "../api/schemas";
import { usePage, useRole, useWords } from "../parts/context";
import { canCancel } from "../state/worklist";
import { percent, wordFor } from "../words/dictionary";
import { sourceName } from "../worklist/names";
import { PrioritySign } from "../worklist/priority_sign";

export function Progress({ job, onChange }: { job: Job; onChange: () => void }): ReactElement {
  const { words, language } = useWords();
  const { complain } = usePage();
  const mayOperate = useRole("operator");
  const at = job.step === null ? -1 : STEPS.indexOf(job.step);
  return (
    <div className="progress">
      <p className="progress-sentence">{words.stateSentences[job.state === "queued" ? "queued" : "running"]}</p>
      <ol className="steps">
        {STEPS.map((step, index) => (
          <li
            key={step}
            className="step"
            data-past={index < at}
            data-current={index === at}
            aria-current={index === at ? "step" : undefined}
          >
            <span className="step-dot" aria-hidden="true" />
            <span className="step-name">{words.steps[step]}</span>
            {index === at && step === "analyse" && job.stage ? (
              <span className="step-stage">{wordFor(words.stages, job.stage)}</span>
            ) : null}
          </li>
        ))}
      </ol>
      <div className="progress-line">
        <div
          className="progress-track"
          role="progressbar"
          aria-label={words.study.progress}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(job.progress * 100)}
        >
          <span style={{ transform: `scaleX(${job.progress})` }} />
        </div>
        <span className="progress-number">{percent(job.progress, language)}</span>
      </div>
      <p className="progress-facts">
        {sourceName(job, words)} · <PrioritySign job={job} onChange={onChange} />
        {job.reason ? <span lang="en"> · {job.reason.sentence}</span> : null}
      </p>
      <p className="progress-facts">{words.study.waiting}</p>
      {mayOperate && canCancel(job) ? (
        <button type="button" className="button" onClick={() => void cancelJob(job.id).then(onChange, complain)}>
          {words.worklist.cancel}
        </button>
      ) : null}
    </div>
  );
}
