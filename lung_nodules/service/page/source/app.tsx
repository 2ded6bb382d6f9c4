/** The page as a whole: who is reading, which view, and what is said when something went wrong. */

import { useCallback, useEffect, useMemo, useRef, useState, type ReactElement } from "react";
import { followJobs, getMe, getPageSettings, type Connection } from "./api/client";
import { Problem } from "./api/problem";
import type { Job } from "./api/schemas";
import { Page } from "./parts/context";
import { Header } from "./parts/header";
import { Help } from "./parts/help";
import { useLoaded, useRoute } from "./parts/hooks";
import { SignIn } from "./parts/sign_in";
import { ProblemText } from "./parts/signs";
import { loadPreferences, savePreferences, type Preferences } from "./state/preferences";
import { StudyPage } from "./study/study_page";
import { DICTIONARIES, LOCALES } from "./words/dictionary";
import { WorklistPage } from "./worklist/worklist_page";
import { Icon } from "./parts/icons";

type Listener = (job: Job) => void;

export function App(): ReactElement {
  const [preferences, setPreferences] = useState(loadPreferences);
  const [problems, setProblems] = useState<readonly Error[]>([]);
  const [help, setHelp] = useState(false);
  const [me, reloadMe] = useLoaded("me", getMe);
  const [settings] = useLoaded(me.state, getPageSettings);
  const signedIn = me.state === "ready";
  const { connection, epoch, listen } = useJobs(signedIn);
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
      me: me.state === "ready" ? me.value : null,
      settings: settings.state === "ready" ? settings.value : null,
      complain,
    }),
    [preferences, me, settings, complain],
  );
  const mustSignIn = me.state === "problem" && me.problem instanceof Problem && me.problem.status === 401;
  const openHelp = useCallback(() => setHelp(true), []);

  return (
    <Page value={page}>
      <a className="skip" href="#content" onClick={focusContent}>
        {words.skipToContent}
      </a>
      <Header connection={connection} onHelp={openHelp} />
      {mustSignIn ? (
        <SignIn onToken={reloadMe} />
      ) : route.name === "worklist" ? (
        <WorklistPage listen={listen} epoch={epoch} onHelp={openHelp} />
      ) : (
        <StudyPage
          key={route.jobId}
          jobId={route.jobId}
          findingId={route.findingId}
          listen={listen}
          epoch={epoch}
          onHelp={openHelp}
        />
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
