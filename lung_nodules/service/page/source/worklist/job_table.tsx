/** The rows of the work list. */

import { memo, type ReactElement, type Ref } from "react";
import { cancelJob, retryJob } from "../api/client";
import type { StudyOfJob } from "../api/desk_schemas";
import type { Job } from "../api/schemas";
import { usePage, useRole, useWords } from "../parts/context";
import { goTo, useNow } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { isOutcome, OutcomeSign, StateSign, SuspicionBar } from "../parts/signs";
import { writeRoute } from "../state/route";
import { canCancel, canRetry } from "../state/worklist";
import { ago, day, duration, moment, percent, wordFor } from "../words/dictionary";
import { DeleteButton } from "./delete_button";
import { priorityName, sourceName } from "./names";
import { PrioritySign } from "./priority_sign";

export interface JobTableProps {
  readonly jobs: readonly Job[];
  readonly studies: ReadonlyMap<string, StudyOfJob>;
  readonly loading: boolean;
  readonly onChange: () => void;
  readonly onDeleted: (job: Job) => void;
  readonly ref: Ref<HTMLTableElement>;
}

export function JobTable({ jobs, studies, loading, onChange, onDeleted, ref }: JobTableProps): ReactElement {
  const { words } = useWords();
  const { columns } = words.worklist;
  const now = useNow(15_000);
  return (
    <table className="jobs" ref={ref} aria-busy={loading}>
      <caption className="unseen">{words.worklist.title}</caption>
      <thead>
        <tr>
          <th scope="col">{columns.study}</th>
          <th scope="col">{columns.state}</th>
          <th scope="col" className="number">
            {columns.findings}
          </th>
          <th scope="col">{columns.suspicion}</th>
          <th scope="col">{columns.quality}</th>
          <th scope="col">{columns.priority}</th>
          <th scope="col">{columns.submitted}</th>
          <th scope="col">
            <span className="unseen">{columns.actions}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {jobs.map((job) => (
          <JobRow
            key={job.id}
            job={job}
            study={studies.get(job.id) ?? null}
            now={now}
            onChange={onChange}
            onDeleted={onDeleted}
          />
        ))}
      </tbody>
    </table>
  );
}

interface JobRowProps {
  readonly job: Job;
  readonly study: StudyOfJob | null;
  readonly now: number;
  readonly onChange: () => void;
  readonly onDeleted: (job: Job) => void;
}

const JobRow = memo(function JobRow({ job, study, now, onChange, onDeleted }: JobRowProps): ReactElement {
  const { language } = useWords();
  const open = (): void => goTo({ name: "study", jobId: job.id, findingId: null });
  return (
    <tr
      className="job"
      data-state={job.state}
      onClick={(event) => {
        if (!(event.target as HTMLElement).closest("a, button, select, dialog") && !window.getSelection()?.toString())
          open();
      }}
    >
      <td className="job-study">
        <StudyCell job={job} study={study} />
      </td>
      <td className="job-state">
        <JobStateCell job={job} />
      </td>
      <JobResult job={job} />
      <td className="job-priority" data-priority={priorityName(job.priority)}>
        <PrioritySign job={job} onChange={onChange} />
      </td>
      <td className="job-time">
        <time dateTime={job.created_at} title={moment(job.created_at, language)}>
          {ago(job.created_at, now, language)}
        </time>
        <Took job={job} />
      </td>
      <td className="job-actions">
        <JobActions job={job} onChange={onChange} />
        <DeleteButton job={job} onDeleted={() => onDeleted(job)} />
      </td>
    </tr>
  );
});

/** By whose study it is where the report tells; by its label before. */
function StudyCell({ job, study }: { job: Job; study: StudyOfJob | null }): ReactElement {
  const { words, language } = useWords();
  const name = study?.patient_id ?? null;
  const facts = [
    study?.study_date ? day(study.study_date, language) : null,
    study?.accession_number ?? null,
    name === null ? null : job.label,
    sourceName(job, words),
    job.version > 1 ? words.worklist.version(job.version) : null,
  ].filter((fact) => fact !== null);
  return (
    <>
      <a
        data-row=""
        href={writeRoute({ name: "study", jobId: job.id, findingId: null })}
        className={name === null ? "job-label" : "job-label job-patient"}
      >
        {name ?? job.label}
      </a>
      <span className="job-source">{facts.join(" · ")}</span>
    </>
  );
}

function JobStateCell({ job }: { job: Job }): ReactElement {
  const { words, language } = useWords();
  if (job.state === "running") {
    const stage =
      job.step === "analyse" && job.stage ? wordFor(words.stages, job.stage) : words.steps[job.step ?? "fetch"];
    return (
      <>
        <StateSign state={job.state} />
        <span className="job-detail">
          {job.cancel_requested ? words.worklist.cancelling : `${stage} · ${percent(job.progress, language)}`}
        </span>
        <span
          className="job-progress"
          role="progressbar"
          aria-label={words.study.progress}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(job.progress * 100)}
        >
          <span style={{ transform: `scaleX(${job.progress})` }} />
        </span>
      </>
    );
  }
  const reason = job.reason ? (words.reasons[job.reason.code] ?? job.reason.sentence) : null;
  return (
    <>
      <StateSign state={job.state} />
      {reason ? <span className="job-detail">{reason}</span> : null}
      {job.replaced_by === null ? null : <span className="job-detail">{words.worklist.superseded}</span>}
    </>
  );
}

function JobResult({ job }: { job: Job }): ReactElement {
  const { words } = useWords();
  const { summary } = job;
  const level = summary?.result ?? "";
  return (
    <>
      <td className="number job-findings" data-label={words.worklist.columns.findings}>
        {summary ? summary.num_findings : null}
      </td>
      <td className="job-suspicion">
        {summary?.highest_suspicion != null ? (
          <>
            <SuspicionBar value={summary.highest_suspicion} level={level} />
            <span className="job-result" data-level={level}>
              {resultWord(level, words.study.results)}
            </span>
          </>
        ) : summary ? (
          <span className="job-result">{words.worklist.noFinding}</span>
        ) : null}
      </td>
      <td className="job-quality">
        {summary && isOutcome(summary.quality) ? <OutcomeSign outcome={summary.quality} /> : null}
      </td>
    </>
  );
}

function resultWord(level: string, results: Readonly<Record<string, string>>): string {
  return results[level] ?? level;
}

function Took({ job }: { job: Job }): ReactElement | null {
  const { words, language } = useWords();
  if (job.started_at === null || job.finished_at === null) return null;
  const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
  return <span className="job-detail">{words.worklist.took(duration(seconds, language))}</span>;
}

function JobActions({ job, onChange }: { job: Job; onChange: () => void }): ReactElement | null {
  const { words } = useWords();
  const { complain } = usePage();
  const mayOperate = useRole("operator");
  if (!mayOperate) return null;
  const act = (request: Promise<unknown>): void => {
    request.then(onChange, complain);
  };
  if (canCancel(job)) {
    return (
      <button
        type="button"
        className="button button-bare"
        onClick={() => act(cancelJob(job.id))}
        title={words.worklist.cancel}
      >
        <Icon name="stop" />
        <span className="unseen">{`${words.worklist.cancel}: ${job.label}`}</span>
      </button>
    );
  }
  if (!canRetry(job)) return null;
  return (
    <button
      type="button"
      className="button button-bare"
      onClick={() => act(retryJob(job.id))}
      title={words.worklist.retry}
    >
      <Icon name="retry" />
      <span className="unseen">{`${words.worklist.retry}: ${job.label}`}</span>
    </button>
  );
}
