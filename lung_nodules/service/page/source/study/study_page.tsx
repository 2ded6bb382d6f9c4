/** One study: its images and findings once it was read, before that how far it is, or why it cannot be read. */

import { useEffect, useState, type ReactElement } from "react";
import { getJob, getReport } from "../api/client";
import type { Job } from "../api/schemas";
import { useWords } from "../parts/context";
import { goTo, useKeys, useLoaded } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { ProblemPanel, StateSign } from "../parts/signs";
import { Failed } from "./failed";
import { Progress } from "./progress";
import { ReadStudy } from "./read_study";

export interface StudyPageProps {
  readonly jobId: string;
  readonly findingId: string | null;
  readonly listen: (listener: (job: Job) => void) => () => void;
  readonly onHelp: () => void;
}

export function StudyPage({ jobId, findingId, listen, onHelp }: StudyPageProps): ReactElement {
  const { words } = useWords();
  const [loaded, reload] = useLoaded(jobId, () => getJob(jobId));
  const [news, setNews] = useState<Job | null>(null);
  const job = news ?? (loaded.state === "ready" ? loaded.value : null);
  useEffect(
    () =>
      listen((changed) => {
        if (changed.id === jobId) setNews(changed);
      }),
    [jobId, listen],
  );
  useEffect(() => {
    document.title = `${job?.label ?? words.study.tabs.study} · ${words.app}`;
  }, [job?.label, words]);
  useKeys("study", (command) => {
    if (command === "back") goTo({ name: "worklist" });
    else if (command === "help") onHelp();
    else return false;
    return true;
  });

  if (job === null) {
    return (
      <main id="content" className="study-bare" tabIndex={-1}>
        <BackLink />
        {loaded.state === "problem" ? (
          <ProblemPanel problem={loaded.problem} onRetry={reload} />
        ) : (
          <p>{words.loading} …</p>
        )}
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
        <Progress job={job} onJob={setNews} />
      ) : (
        <Failed job={job} onJob={setNews} />
      )}
    </main>
  );
}

function Result({ job, findingId }: { job: Job; findingId: string | null }): ReactElement {
  const { words } = useWords();
  const [report, reload] = useLoaded(`${job.id} ${job.finished_at ?? ""}`, () => getReport(job.id));
  if (report.state === "ready" && report.value.status === "completed") {
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
