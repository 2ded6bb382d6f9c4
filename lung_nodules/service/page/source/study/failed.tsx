/** A study that has no result: why, and what can be done about it. */

import type { ReactElement } from "react";
import { getJob, getReport, retryJob } from "../api/client";
import type { Job } from "../api/schemas";
import { usePage, useRole, useWords } from "../parts/context";
import { useLoaded } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { canRetry } from "../state/worklist";
import { PassedOver, SeriesList } from "./series_list";

export function Failed({ job, onJob }: { job: Job; onJob: (job: Job) => void }): ReactElement {
  const { words } = useWords();
  const { complain } = usePage();
  const mayOperate = useRole("operator");
  const [report] = useLoaded(job.id, () => getReport(job.id)); // there is one where the line has looked at the study
  const failure = report.state === "ready" && report.value.status !== "completed" ? report.value : null;
  const reason = job.reason ?? failure;
  const title = reason ? words.reasons[reason.code] : undefined;
  const state =
    job.state === "failed" || job.state === "set_aside" || job.state === "cancelled" ? job.state : "refused";
  return (
    <div className="failed">
      <section className="failed-why">
        <p className="failed-state">{words.stateSentences[state]}</p>
        {reason ? (
          <>
            <h2>{title ?? <span lang="en">{reason.sentence}</span>}</h2>
            {title ? <p lang="en">{reason.sentence}</p> : null}
            {reason.advice ? (
              <div className="failed-advice">
                <h3>{words.study.advice}</h3>
                <p lang="en">{reason.advice}</p>
              </div>
            ) : null}
            <p className="failed-code">
              {words.study.code} <code>{reason.code}</code>
            </p>
          </>
        ) : null}
        {mayOperate && canRetry(job) ? (
          <button
            type="button"
            className="button"
            onClick={() => {
              retryJob(job.id)
                .then(() => getJob(job.id))
                .then(onJob, complain);
            }}
          >
            <Icon name="retry" />
            {words.worklist.retry}
          </button>
        ) : null}
      </section>
      {failure ? (
        <section className="failed-series">
          <SeriesList series={failure.series_considered} />
          <PassedOver files={failure.files_passed_over} />
        </section>
      ) : null}
    </div>
  );
}
