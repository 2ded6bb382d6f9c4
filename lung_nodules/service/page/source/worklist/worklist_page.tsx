/** The work list: all studies with state, progress and result, kept up to date while one looks. */

import { useCallback, useEffect, useReducer, useRef, useState, type ReactElement } from "react";
import { listJobs } from "../api/client";
import type { Job } from "../api/schemas";
import { Choice } from "../parts/choice";
import { useRole, useWords } from "../parts/context";
import { goTo, moveFocus, useKeys } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { ProblemPanel } from "../parts/signs";
import { EMPTY, GROUPS, STATES_OF, worklistReducer, type Group } from "../state/worklist";
import { DropZone } from "./drop_zone";
import { JobTable } from "./job_table";
import { useStudies } from "./studies";
import { SubmitDialog } from "./submit_dialog";
import { Uploads, useUploads } from "./uploads";

export interface WorklistProps {
  readonly listen: (listener: (job: Job) => void) => () => void;
  readonly epoch: number;
  readonly onHelp: () => void;
}

export function WorklistPage({ listen, epoch, onHelp }: WorklistProps): ReactElement {
  const { words } = useWords();
  const mayOperate = useRole("operator");
  const [list, dispatch] = useReducer(worklistReducer, EMPTY);
  const [submitting, setSubmitting] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const table = useRef<HTMLTableElement>(null);
  const filter = `${list.group} ${list.text}`;

  const underWay = useRef(new AbortController());
  const load = useCallback(
    (cursor: string | null) => {
      underWay.current.abort();
      const { signal } = (underWay.current = new AbortController());
      dispatch({ type: "load" });
      listJobs({ states: STATES_OF[list.group], text: list.text.trim(), cursor }, signal).then(
        (page) => {
          if (!signal.aborted) dispatch({ type: "page", page, first: cursor === null });
        },
        (problem: unknown) => {
          if (!signal.aborted) dispatch({ type: "problem", problem: problem instanceof Error ? problem : new Error() });
        },
      );
    },
    [list.group, list.text],
  );
  const reload = useCallback(() => load(null), [load]);
  useEffect(() => {
    const timer = setTimeout(reload, list.text ? 250 : 0); // while one types
    return () => {
      clearTimeout(timer);
      underWay.current.abort();
    };
  }, [reload, list.text, epoch]);
  useEffect(() => listen((job) => dispatch({ type: "job", job })), [listen]);
  useEffect(() => {
    document.title = `${words.worklist.title} · ${words.app}`;
  }, [words]);

  const uploads = useUploads(reload);
  const studies = useStudies(list.jobs);
  useKeys("worklist", (command) => {
    if (command === "help") onHelp();
    else if (command === "search") search.current?.focus();
    else if (command === "submit" && mayOperate) setSubmitting(true);
    else if (command === "archive" && mayOperate) goTo({ name: "archive" });
    else if (command === "row-next") moveFocus(table.current, 1);
    else if (command === "row-previous") moveFocus(table.current, -1);
    else return false;
    return true;
  });

  return (
    <main id="content" className="worklist" tabIndex={-1}>
      <div className="worklist-head">
        <h1>{words.worklist.title}</h1>
        {mayOperate ? (
          <div className="worklist-ways">
            <a className="button" href="#/archive">
              <Icon name="search" />
              {words.archive.title}
            </a>
            <button type="button" className="button button-main worklist-submit" onClick={() => setSubmitting(true)}>
              <Icon name="plus" />
              {words.worklist.submit}
            </button>
          </div>
        ) : null}
      </div>
      <div className="worklist-filter">
        <Choice<Group>
          label={words.worklist.columns.state}
          className="choice-line"
          value={list.group}
          options={GROUPS.map((value) => ({ value, text: words.worklist.groups[value] }))}
          onChange={(group) => dispatch({ type: "filter", group })}
        />
        <label className="search">
          <Icon name="search" />
          <span className="unseen">{words.worklist.search}</span>
          <input
            ref={search}
            type="search"
            value={list.text}
            maxLength={64}
            placeholder={words.worklist.search}
            onChange={(event) => dispatch({ type: "filter", text: event.target.value })}
            onKeyDown={(event) => {
              if (event.key === "Escape") event.currentTarget.blur();
            }}
          />
          <kbd aria-hidden="true">/</kbd>
        </label>
      </div>
      <Uploads uploads={uploads} />
      {list.problem ? (
        <ProblemPanel problem={list.problem} onRetry={reload} />
      ) : list.loaded && list.jobs.length === 0 ? (
        <Nothing filtered={filter !== "all "} />
      ) : (
        <JobTable
          ref={table}
          jobs={list.jobs}
          studies={studies}
          loading={!list.loaded}
          onChange={reload}
          onDeleted={(job) => dispatch({ type: "gone", id: job.id })}
        />
      )}
      {list.cursor !== null ? (
        <button
          type="button"
          className="button worklist-more"
          disabled={list.loading}
          onClick={() => load(list.cursor)}
        >
          {words.worklist.more}
        </button>
      ) : null}
      {mayOperate ? <DropZone onFiles={(files) => uploads.send(files, 0)} /> : null}
      {submitting ? (
        <SubmitDialog
          onClose={() => setSubmitting(false)}
          onFiles={uploads.send}
          onJob={(job) => {
            setSubmitting(false);
            goTo({ name: "study", jobId: job.id, findingId: null });
          }}
        />
      ) : null}
    </main>
  );
}

function Nothing({ filtered }: { filtered: boolean }): ReactElement {
  const { words } = useWords();
  return (
    <div className="nothing">
      <h2>{filtered ? words.worklist.noMatch : words.worklist.empty}</h2>
      <p>{filtered ? words.worklist.noMatchAdvice : words.worklist.emptyAdvice}</p>
    </div>
  );
}
