/** The audit log, for administrators: who saw or did what, newest first. */

import { useCallback, useEffect, useRef, useState, type ReactElement } from "react";
import { readAudit, type AuditFilter } from "../api/client";
import type { AuditEntry } from "../api/desk_schemas";
import { useWords } from "../parts/context";
import { goTo } from "../parts/hooks";
import { ProblemPanel } from "../parts/signs";
import { wordFor } from "../words/dictionary";
import { AuditTable } from "./audit_table";

interface Fields {
  readonly actor: string;
  readonly action: string;
  readonly firstDate: string; // YYYY-MM-DD, of this browser's days
  readonly lastDate: string;
}

const NO_FIELDS: Fields = { actor: "", action: "", firstDate: "", lastDate: "" };

export function AuditPage({ jobId }: { jobId: string | null }): ReactElement {
  const { words } = useWords();
  const [fields, setFields] = useState(NO_FIELDS);
  const { entries, cursor, loading, problem, load } = useEntries(filterOf(fields, jobId));
  useEffect(() => {
    document.title = `${words.audit.title} · ${words.app}`;
  }, [words]);
  const field = (name: "actor" | "firstDate" | "lastDate"): ReactElement => (
    <label className="field">
      <span>{words.audit.fields[name]}</span>
      <input
        type={name === "actor" ? "text" : "date"}
        value={fields[name]}
        maxLength={200}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => setFields({ ...fields, [name]: event.target.value })}
      />
    </label>
  );
  return (
    <main id="content" className="worklist" tabIndex={-1}>
      <div className="worklist-head">
        <h1>{words.audit.title}</h1>
      </div>
      <form className="search-form" role="search" onSubmit={(event) => event.preventDefault()}>
        {field("actor")}
        <label className="field">
          <span>{words.audit.fields.action}</span>
          <select value={fields.action} onChange={(event) => setFields({ ...fields, action: event.target.value })}>
            <option value="">{words.audit.anyAction}</option>
            {Object.keys(words.actions).map((action) => (
              <option key={action} value={action}>
                {wordFor(words.actions, action)}
              </option>
            ))}
          </select>
        </label>
        {field("firstDate")}
        {field("lastDate")}
        {jobId === null ? null : (
          <button type="button" className="button" onClick={() => goTo({ name: "audit", jobId: null })}>
            {words.audit.allJobs}
          </button>
        )}
      </form>
      {problem ? (
        <ProblemPanel problem={problem} onRetry={() => load(null)} />
      ) : entries.length > 0 ? (
        <AuditTable entries={entries} loading={loading} />
      ) : (
        <p role="status">{loading ? `${words.loading} …` : words.audit.nothing}</p>
      )}
      {cursor === null ? null : (
        <button type="button" className="button worklist-more" disabled={loading} onClick={() => load(cursor)}>
          {words.worklist.more}
        </button>
      )}
    </main>
  );
}

interface Entries {
  readonly entries: readonly AuditEntry[];
  readonly cursor: number | null;
  readonly loading: boolean;
  readonly problem: Error | null;
  readonly load: (cursor: number | null) => void;
}

/** The entries that a filter leaves, page by page; the first one a moment after the filter was changed. */
function useEntries(filter: AuditFilter): Entries {
  const [shown, setShown] = useState<Omit<Entries, "load">>({
    entries: [],
    cursor: null,
    loading: true,
    problem: null,
  });
  const underWay = useRef(new AbortController());
  const key = JSON.stringify(filter);
  const load = useCallback(
    (cursor: number | null) => {
      underWay.current.abort();
      const { signal } = (underWay.current = new AbortController());
      const asked = JSON.parse(key) as AuditFilter;
      setShown((known) => ({ ...known, loading: true, problem: null }));
      readAudit(cursor === null ? asked : { ...asked, cursor }, signal).then(
        (page) =>
          setShown((known) => ({
            entries: cursor === null ? page.entries : [...known.entries, ...page.entries],
            cursor: page.next_cursor,
            loading: false,
            problem: null,
          })),
        (error: unknown) => {
          if (signal.aborted) return;
          setShown((known) => ({ ...known, loading: false, problem: error instanceof Error ? error : new Error() }));
        },
      );
    },
    [key],
  );
  useEffect(() => {
    const timer = setTimeout(() => load(null), 250); // while one types
    return () => {
      clearTimeout(timer);
      underWay.current.abort();
    };
  }, [load]);
  return { ...shown, load };
}

/** The service's query; days begin and end at this browser's midnight. */
function filterOf({ actor, action, firstDate, lastDate }: Fields, jobId: string | null): AuditFilter {
  return {
    ...(actor.trim() ? { actor: actor.trim() } : {}),
    ...(action ? { action } : {}),
    ...(jobId ? { job_id: jobId } : {}),
    ...(firstDate ? { after: midnight(firstDate, 0) } : {}),
    ...(lastDate ? { before: midnight(lastDate, 1) } : {}),
  };
}

function midnight(date: string, daysLater: number): string {
  const day = new Date(`${date}T00:00:00`);
  day.setDate(day.getDate() + daysLater);
  return day.toISOString();
}
