/** Whose studies the jobs of the list have read: asked for once a job, when there is a report to tell it. */

import { useEffect, useRef, useState } from "react";
import { listStudies } from "../api/client";
import type { StudyOfJob } from "../api/desk_schemas";
import type { Job } from "../api/schemas";
import { usePage } from "../parts/context";

const AT_A_TIME = 100;

const isRead = ({ state }: Job): boolean => state === "done" || state === "duplicate";

export function useStudies(jobs: readonly Job[]): ReadonlyMap<string, StudyOfJob> {
  const { complain } = usePage();
  const [studies, setStudies] = useState<ReadonlyMap<string, StudyOfJob>>(new Map());
  const asked = useRef(new Set<string>());
  useEffect(() => {
    const fresh = jobs.filter((job) => isRead(job) && !asked.current.has(job.id)).map(({ id }) => id);
    for (let from = 0; from < fresh.length; from += AT_A_TIME) {
      const ids = fresh.slice(from, from + AT_A_TIME);
      for (const id of ids) asked.current.add(id);
      listStudies(ids).then(
        (told) => setStudies((known) => new Map([...known, ...told.map((study) => [study.job_id, study] as const)])),
        (problem: unknown) => {
          for (const id of ids) asked.current.delete(id);
          complain(problem);
        },
      );
    }
  }, [jobs, complain]);
  return studies;
}
