/** A study that has no result: why, and what can be done about it. */

import type { ReactElement } from "react";
import { retryJob } from "../api/client";
import type { Job } from "../api/schemas";
import { usePage, useRole, useWords } from "../parts/context";
import { goTo } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { canRetry } from "../state/worklist";
import { DeleteButton } from "../worklist/delete_button";
import { Untold } from "./untold";

export function Failed({ job, onChange }: { job: Job; onChange: () => void }): ReactElement {
  const { words } = useWords();
  const { complain } = usePage();
  const mayOperate = useRole("operator");
  const { reason } = job;
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
            {title && reason.sentence !== `${title}.` ? <p lang="en">{reason.sentence}</p> : null}
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
        <Untold job={job} />
        <div className="failed-ways">
          {mayOperate && canRetry(job) ? (
            <button type="button" className="button" onClick={() => void retryJob(job.id).then(onChange, complain)}>
              <Icon name="retry" />
              {words.worklist.retry}
            </button>
          ) : null}
          <DeleteButton job={job} onDeleted={() => goTo({ name: "worklist" })} />
        </div>
      </section>
    </div>
  );
}
