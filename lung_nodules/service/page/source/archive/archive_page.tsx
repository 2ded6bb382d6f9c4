/** Search an archive for studies and have them read. What is sought stays in memory: not in the address, not stored. */

import { useCallback, useEffect, useReducer, useRef, useState, type ReactElement } from "react";
import { findStudies, listArchives, submitStudy } from "../api/client";
import type { FoundStudy } from "../api/desk_schemas";
import { Choice } from "../parts/choice";
import { usePage, useWords } from "../parts/context";
import { goTo, moveFocus, useKeys, useLoaded, useMedia } from "../parts/hooks";
import { ProblemPanel } from "../parts/signs";
import { EMPTY_SEARCH, searchReducer } from "../state/search";
import { PRIORITIES, PRIORITY_NAMES, type PriorityName } from "../worklist/names";
import { FoundTable } from "./found_table";
import { SearchForm } from "./search_form";

export function ArchivePage({ onHelp }: { onHelp: () => void }): ReactElement {
  const { words } = useWords();
  const [archives, reloadArchives] = useLoaded("archives", listArchives);
  useEffect(() => {
    document.title = `${words.archive.title} · ${words.app}`;
  }, [words]);
  return (
    <main id="content" className="worklist" tabIndex={-1}>
      <div className="worklist-head">
        <h1>{words.archive.title}</h1>
      </div>
      {archives.state === "problem" ? (
        <ProblemPanel problem={archives.problem} onRetry={reloadArchives} />
      ) : archives.state === "loading" ? (
        <p>{words.loading} …</p>
      ) : archives.value.length === 0 ? (
        <div className="nothing">
          <h2>{words.archive.noArchive}</h2>
          <p>{words.archive.noArchiveAdvice}</p>
        </div>
      ) : (
        <Search archives={archives.value} onHelp={onHelp} />
      )}
    </main>
  );
}

function Search({ archives, onHelp }: { archives: readonly string[]; onHelp: () => void }): ReactElement {
  const { words } = useWords();
  const [search, dispatch] = useReducer(searchReducer, { ...EMPTY_SEARCH, archive: archives[0] ?? "" });
  const [priority, setPriority] = useState<PriorityName>("routine");
  const submit = useSubmit(priority, (uid, jobId) => dispatch({ type: "submitted", uid, jobId }));
  const first = useRef<HTMLInputElement>(null);
  const table = useRef<HTMLTableElement>(null);
  const underWay = useRef(new AbortController());
  const load = (cursor: string | null): void => {
    underWay.current.abort();
    const { signal } = (underWay.current = new AbortController());
    dispatch({ type: "load", first: cursor === null });
    findStudies(search.archive, { ...search.asked, ...(cursor ? { cursor } : {}) }, signal).then(
      (page) => dispatch({ type: "page", page }),
      (problem: unknown) => {
        if (!signal.aborted) dispatch({ type: "problem", problem: problem instanceof Error ? problem : new Error() });
      },
    );
  };
  const outcome = useRef<HTMLDivElement>(null);
  const pointsFinely = useMedia("(pointer: fine)");
  useEffect(() => () => underWay.current.abort(), []);
  useEffect(() => {
    if (pointsFinely) first.current?.focus(); // on a phone that would open the keyboard
  }, [pointsFinely]);
  useEffect(() => {
    if (search.loaded) outcome.current?.focus(); // from where j leads into the rows
  }, [search.loaded]);
  useKeys("archive", (command) => {
    if (command === "help") onHelp();
    else if (command === "back") goTo({ name: "worklist" });
    else if (command === "search") first.current?.focus();
    else if (command === "row-next") moveFocus(table.current, 1);
    else if (command === "row-previous") moveFocus(table.current, -1);
    else return false;
    return true;
  });
  return (
    <>
      <SearchForm
        ref={first}
        archives={archives}
        search={search}
        onChange={(change) => dispatch({ type: "ask", ...change })}
        onSearch={() => load(null)}
      />
      {search.problem ? <ProblemPanel problem={search.problem} onRetry={() => load(null)} /> : null}
      {search.loading && search.studies.length === 0 ? <p role="status">{words.archive.searching} …</p> : null}
      {search.loaded && search.studies.length === 0 ? (
        <div className="nothing" role="status" ref={outcome} tabIndex={-1}>
          <h2>{words.archive.nothing}</h2>
          <p>{words.archive.nothingAdvice}</p>
        </div>
      ) : null}
      {search.studies.length > 0 ? (
        <>
          <div className="found-head" ref={outcome} tabIndex={-1}>
            <span role="status">
              {words.archive.found(search.studies.length, search.cursor !== null)}
              {search.isCut ? <span className="found-cut"> {words.archive.cut}</span> : null}
            </span>
            <Choice<PriorityName>
              label={words.submit.priority}
              value={priority}
              options={PRIORITY_NAMES.map((value) => ({ value, text: words.priorities[value] }))}
              onChange={setPriority}
            />
          </div>
          <FoundTable
            ref={table}
            studies={search.studies}
            jobs={search.jobs}
            onSubmit={(study) => submit(search.archive, study)}
          />
        </>
      ) : null}
      {search.cursor !== null ? (
        <button
          type="button"
          className="button worklist-more"
          disabled={search.loading}
          onClick={() => load(search.cursor)}
        >
          {words.worklist.more}
        </button>
      ) : null}
    </>
  );
}

/** Have a study read; the same study twice gives the same job. */
function useSubmit(priority: PriorityName, onJob: (uid: string, jobId: string) => void) {
  const { complain } = usePage();
  const latest = useRef(onJob);
  useEffect(() => {
    latest.current = onJob;
  });
  return useCallback(
    (archive: string, { study_instance_uid }: FoundStudy) =>
      submitStudy({ study_instance_uid, archive, priority: PRIORITIES[priority] }).then(
        (job) => latest.current(study_instance_uid, job.id),
        complain,
      ),
    [priority, complain],
  );
}
