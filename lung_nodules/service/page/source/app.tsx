/** The page as a whole: who is reading, which view, and what is said when something went wrong. */

import { useCallback, useEffect, useMemo, useRef, useState, type ReactElement, type ReactNode } from "react";
import { getMe, getPageSettings } from "./api/client";
import { followJobs, type Connection } from "./api/following";
import type { Job } from "./api/schemas";
import { session } from "./api/session";
import { ArchivePage } from "./archive/archive_page";
import { AuditPage } from "./audit/audit_page";
import { Page, useWords } from "./parts/context";
import { Header } from "./parts/header";
import { Help } from "./parts/help";
import { notYet, useLoaded, useRoute, useSession } from "./parts/hooks";
import { Icon } from "./parts/icons";
import { SignIn } from "./parts/sign_in";
import { ProblemPanel, ProblemText } from "./parts/signs";
import { loadPreferences, savePreferences, type Preferences } from "./state/preferences";
import type { Route } from "./state/route";
import { StudyPage } from "./study/study_page";
import { DICTIONARIES, LOCALES } from "./words/dictionary";
import { WorklistPage } from "./worklist/worklist_page";

type Listener = (job: Job) => void;

export function App(): ReactElement {
  const [preferences, setPreferences] = useState(loadPreferences);
  const [problems, setProblems] = useState<readonly Error[]>([]);
  const [help, setHelp] = useState(false);
  const access = useSession();
  const [me, reloadMe] = useLoaded(access.at, access.at === "in" ? getMe : notYet);
  const isKnown = access.at === "in" && me.state === "ready";
  const [settings] = useLoaded(`settings ${isKnown}`, isKnown ? getPageSettings : notYet);
  const jobs = useJobs(isKnown);
  const route = useRoute();
  const words = DICTIONARIES[preferences.language];

  useApply(preferences);
  const complain = useCallback((problem: unknown) => {
    const error = problem instanceof Error ? problem : new Error(String(problem));
    setProblems((known) => [...known.slice(-2), error]);
  }, []);
  const page = useMemo(
    () => ({
      preferences,
      setPreferences,
      me: isKnown ? me.value : null,
      settings: settings.state === "ready" ? settings.value : null,
      complain,
    }),
    [preferences, isKnown, me, settings, complain],
  );
  const openHelp = useCallback(() => setHelp(true), []);

  return (
    <Page value={page}>
      <a className="skip" href="#content" onClick={focusContent}>
        {words.skipToContent}
      </a>
      <Header connection={jobs.connection} route={route} onHelp={openHelp} />
      {access.at === "out" ? (
        <SignIn way={access.way} problem={access.problem} />
      ) : access.at === "unreachable" ? (
        <Apart>
          <ProblemPanel problem={access.problem} onRetry={() => void session.open()} />
        </Apart>
      ) : me.state === "problem" ? (
        <Apart>
          <ProblemPanel problem={me.problem} onRetry={reloadMe} />
          {access.at === "in" && access.way.mode !== "none" ? (
            <button type="button" className="button" onClick={() => void session.signOut()}>
              {words.signIn.out}
            </button>
          ) : null}
        </Apart>
      ) : isKnown ? (
        <View route={route} jobs={jobs} onHelp={openHelp} />
      ) : (
        <Apart>
          <p>{words.loading} …</p>
        </Apart>
      )}
      <div className="notices" role="alert">
        {problems.map((problem, index) => (
          <div className="notice" key={index}>
            <div className="problem-text">
              <ProblemText problem={problem} />
            </div>
            <button
              type="button"
              className="button button-bare"
              aria-label={words.close}
              onClick={() => setProblems((known) => known.filter((other) => other !== problem))}
            >
              <Icon name="close" />
            </button>
          </div>
        ))}
      </div>
      {help ? <Help onClose={() => setHelp(false)} /> : null}
    </Page>
  );
}

function View({ route, jobs, onHelp }: { route: Route; jobs: Jobs; onHelp: () => void }): ReactElement {
  const { listen, epoch } = jobs;
  switch (route.name) {
    case "worklist":
      return <WorklistPage listen={listen} epoch={epoch} onHelp={onHelp} />;
    case "archive":
      return <ArchivePage onHelp={onHelp} />;
    case "audit":
      return <AuditPage key={route.jobId} jobId={route.jobId} />;
    case "study":
      return (
        <StudyPage
          key={route.jobId}
          jobId={route.jobId}
          findingId={route.findingId}
          listen={listen}
          epoch={epoch}
          onHelp={onHelp}
        />
      );
  }
}

/** In the place of a view, while there is none to show. */
function Apart({ children }: { children: ReactNode }): ReactElement {
  const { words } = useWords();
  return (
    <main id="content" className="apart" tabIndex={-1}>
      <h1 className="unseen">{words.app}</h1>
      {children}
    </main>
  );
}

function focusContent(event: { preventDefault: () => void }): void {
  event.preventDefault(); // the part of the address after # is the route
  document.getElementById("content")?.focus();
}

interface Jobs {
  readonly connection: Connection;
  readonly epoch: number; // grows with each connection: what happened before it was not heard of
  readonly listen: (listener: Listener) => () => void;
}

/** One stream of events for the whole page, handed to whoever listens. */
function useJobs(active: boolean): Jobs {
  const [connection, setConnection] = useState<Connection>("connecting");
  const [epoch, setEpoch] = useState(0);
  const listeners = useRef(new Set<Listener>());
  useEffect(() => {
    if (!active) return;
    const abort = new AbortController();
    const tell = (job: Job): void => listeners.current.forEach((listener) => listener(job));
    const note = (state: Connection): void => {
      setConnection(state);
      if (state === "live") setEpoch((count) => count + 1);
    };
    void followJobs(null, tell, note, abort.signal);
    return () => abort.abort();
  }, [active]);
  const listen = useCallback((listener: Listener) => {
    listeners.current.add(listener);
    return () => void listeners.current.delete(listener);
  }, []);
  return { connection, epoch, listen };
}

function useApply(preferences: Preferences): void {
  useEffect(() => {
    savePreferences(preferences);
    document.documentElement.lang = LOCALES[preferences.language];
    document.documentElement.dataset["theme"] = preferences.theme;
  }, [preferences]);
}
