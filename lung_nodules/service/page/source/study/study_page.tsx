/** One study: its images and findings once it was read, before that how far it is, or why it cannot be read. */

import { useCallback, useEffect, useState, type ReactElement } from "react";
import { getJob, getReport } from "../api/client";
import type { Job } from "../api/schemas";
import { useWords } from "../parts/context";
import { goTo, noteRoute, useKeys, useLoaded } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { ProblemPanel, StateSign } from "../parts/signs";
import { Failed } from "./failed";
import { Progress } from "./progress";
import { ReadStudy } from "./read_study";

export interface StudyPageProps {
  readonly jobId: string;
  readonly findingId: string | null;
  readonly listen: (listener: (job: Job) => void) => () => void;
  readonly epoch: number;
  readonly onHelp: () => void;
}

export function StudyPage({ jobId, findingId, listen, epoch, onHelp }: StudyPageProps): ReactElement {
  const { words } = useWords();
  const { job, problem, reload } = useJob(jobId, listen, epoch);
  useEffect(() => {
    // a duplicate has nothing to show: on to the job that has the study, be it read or not
    if (job?.duplicate_of) noteRoute({ name: "study", jobId: job.duplicate_of, findingId });
  }, [job, findingId]);
  useEffect(() => {
    document.title = `${job?.label ?? words.study.tabs.study} · ${words.app}`;
  }, [job?.label, words]);
  useKeys("study", (command) => {
    if (command === "back") goTo({ name: "worklist" });
    else if (command === "help") onHelp();
    else return false;
    return true;
  });

  if (job === null || job.duplicate_of !== null) {
    return (
      <main id="content" className="study-bare" tabIndex={-1}>
        <BackLink />
        {problem ? <ProblemPanel problem={problem} onRetry={reload} /> : <p>{words.loading} …</p>}
      </main>
    );
  }
  if (job.state === "done") return <Result job={job} findingId={findingId} />;
  return (
    <main id="content" className="study-bare" tabIndex={-1}>
      <div className="study-bare-head">
        <BackLink />
        <h1 className="study-label">{job.label}</h1>
        <StateSign state={job.state} />
      </div>
      {job.state === "queued" || job.state === "running" ? (
        <Progress job={job} onChange={reload} />
      ) : (
        <Failed job={job} onChange={reload} />
      )}
    </main>
  );
}

/** A job as it is now: fetched, and then as events tell; an event is newer than an answer that it overtakes. */
function useJob(
  jobId: string,
  listen: StudyPageProps["listen"],
  epoch: number,
): { job: Job | null; problem: Error | null; reload: () => void } {
  const [job, setJob] = useState<Job | null>(null);
  const [problem, setProblem] = useState<Error | null>(null);
  const [count, setCount] = useState(0);
  useEffect(() => {
    let isOvertaken = false;
    const keep = (fresh: Job): void => {
      isOvertaken = true;
      setJob(fresh);
      setProblem(null);
    };
    const stop = listen((changed) => {
      if (changed.id === jobId) keep(changed);
    });
    getJob(jobId).then(
      (fetched) => {
        if (!isOvertaken) keep(fetched);
      },
      (error: unknown) => {
        if (!isOvertaken) setProblem(error instanceof Error ? error : new Error());
      },
    );
    return () => {
      isOvertaken = true;
      stop();
    };
  }, [jobId, listen, epoch, count]);
  const reload = useCallback(() => setCount((value) => value + 1), []);
  return { job, problem, reload };
}

function Result({ job, findingId }: { job: Job; findingId: string | null }): ReactElement {
  const { words } = useWords();
  const [report, reload] = useLoaded(`${job.id} ${job.finished_at ?? ""}`, () => getReport(job.id));
  if (report.state === "ready") {
    return <ReadStudy job={job} report={report.value} findingId={findingId} />;
  }
  return (
    <main id="content" className="study-bare" tabIndex={-1}>
      <BackLink />
      {report.state === "problem" ? (
        <ProblemPanel problem={report.problem} onRetry={reload} />
      ) : (
        <p>{words.loading} …</p>
      )}
    </main>
  );
}

export function BackLink(): ReactElement {
  const { words } = useWords();
  return (
    <a className="back" href="#/">
      <Icon name="back" />
      <span>{words.study.back}</span>
    </a>
  );
}
