/** The rows of the audit log. */

import type { ReactElement } from "react";
import type { AuditEntry } from "../api/desk_schemas";
import { useWords } from "../parts/context";
import { writeRoute } from "../state/route";
import { moment, wordFor } from "../words/dictionary";

export function AuditTable({ entries, loading }: { entries: readonly AuditEntry[]; loading: boolean }): ReactElement {
  const { words } = useWords();
  const { columns } = words.audit;
  return (
    <table className="jobs audit" aria-busy={loading}>
      <caption className="unseen">{words.audit.title}</caption>
      <thead>
        <tr>
          <th scope="col">{columns.when}</th>
          <th scope="col">{columns.who}</th>
          <th scope="col">{columns.what}</th>
          <th scope="col">{columns.about}</th>
          <th scope="col">{columns.outcome}</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((entry) => (
          <AuditRow key={entry.id} entry={entry} />
        ))}
      </tbody>
    </table>
  );
}

function AuditRow({ entry }: { entry: AuditEntry }): ReactElement {
  const { words, language } = useWords();
  return (
    <tr className="audit-entry">
      <td className="audit-when">
        <time dateTime={entry.at}>{moment(entry.at, language)}</time>
        <span className="job-detail">{entry.address}</span>
      </td>
      <td className="audit-who">
        <span className="audit-actor">{entry.actor === "-" ? words.audit.nobody : entry.actor}</span>
        <span className="job-detail">{wordFor(words.roles, entry.role === "-" ? "" : entry.role)}</span>
      </td>
      <td className="audit-what">{wordFor(words.actions, entry.action)}</td>
      <td className="audit-about">
        {entry.job_id === null ? null : (
          <a href={writeRoute({ name: "study", jobId: entry.job_id, findingId: null })}>{entry.job_id.slice(0, 8)}</a>
        )}
        {entry.object ? <span className="job-detail">{entry.object}</span> : null}
        <StudiesShown uids={entry.studies} />
      </td>
      <td className="audit-outcome" data-outcome={entry.outcome}>
        {words.audit.outcomes[entry.outcome]}
        {entry.code ? <span className="job-detail">{words.reasons[entry.code] ?? entry.code}</span> : null}
      </td>
    </tr>
  );
}

/** The studies that an entry is about, folded: a search of an archive shows many. */
function StudiesShown({ uids }: { uids: readonly string[] }): ReactElement | null {
  const { words } = useWords();
  if (uids.length === 0) return null;
  return (
    <details className="audit-studies">
      <summary>{words.audit.studies(uids.length)}</summary>
      <ul>
        {uids.map((uid) => (
          <li key={uid}>{uid}</li>
        ))}
      </ul>
    </details>
  );
}
