/** Studies that an archive has, each with a button that has it read. */

import { useState, type ReactElement, type Ref } from "react";
import type { FoundStudy } from "../api/desk_schemas";
import { useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { personName } from "../state/person_name";
import { writeRoute } from "../state/route";
import { day } from "../words/dictionary";

export interface FoundTableProps {
  readonly studies: readonly FoundStudy[];
  readonly jobs: ReadonlyMap<string, string>;
  readonly onSubmit: (study: FoundStudy) => Promise<void>;
  readonly ref: Ref<HTMLTableElement>;
}

export function FoundTable({ studies, jobs, onSubmit, ref }: FoundTableProps): ReactElement {
  const { words } = useWords();
  const { columns } = words.archive;
  return (
    <table className="jobs found" ref={ref}>
      <caption className="unseen">{words.archive.title}</caption>
      <thead>
        <tr>
          <th scope="col">{columns.patient}</th>
          <th scope="col">{columns.date}</th>
          <th scope="col">{columns.study}</th>
          <th scope="col" className="number">
            {columns.images}
          </th>
          <th scope="col">
            <span className="unseen">{words.worklist.columns.actions}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {studies.map((study) => (
          <FoundRow
            key={study.study_instance_uid}
            study={study}
            jobId={jobs.get(study.study_instance_uid) ?? null}
            onSubmit={onSubmit}
          />
        ))}
      </tbody>
    </table>
  );
}

interface FoundRowProps {
  readonly study: FoundStudy;
  readonly jobId: string | null;
  readonly onSubmit: (study: FoundStudy) => Promise<void>;
}

function FoundRow({ study, jobId, onSubmit }: FoundRowProps): ReactElement {
  const { words, language } = useWords();
  const name = personName(study.patient_name) || study.patient_id || words.unknown;
  return (
    <tr className="found-study">
      <td className="found-patient">
        <span className="found-name">{name}</span>
        <span className="job-detail">{study.patient_id}</span>
      </td>
      <td className="found-date">{study.study_date ? day(study.study_date, language) : words.unknown}</td>
      <td className="found-description" title={study.study_instance_uid}>
        <span>{study.description || words.archive.noDescription}</span>
        <span className="job-detail">
          {[study.modalities.join(", "), study.accession_number].filter((fact) => fact !== "").join(" · ")}
        </span>
      </td>
      <td className="number found-images" data-label={words.archive.columns.images}>
        {study.num_instances}
      </td>
      <td className="found-action">
        <FoundAction study={study} name={name} jobId={jobId} onSubmit={onSubmit} />
      </td>
    </tr>
  );
}

function FoundAction({ study, name, jobId, onSubmit }: FoundRowProps & { name: string }): ReactElement {
  const { words } = useWords();
  const [busy, setBusy] = useState(false);
  if (jobId !== null) {
    return (
      <a
        data-row=""
        className="found-open"
        aria-label={`${words.archive.open}: ${name}`}
        href={writeRoute({ name: "study", jobId, findingId: null })}
      >
        <Icon name="check" size={16} />
        {words.archive.open}
      </a>
    );
  }
  return (
    <button
      type="button"
      data-row=""
      className="button button-small"
      aria-label={`${words.submit.button}: ${name}`}
      disabled={busy}
      onClick={() => {
        setBusy(true);
        void onSubmit(study).finally(() => setBusy(false));
      }}
    >
      {words.submit.button}
    </button>
  );
}
