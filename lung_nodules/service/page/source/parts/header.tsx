/** The line at the top: what this is, what it must not be used for, and how it is shown. */

import type { ReactElement } from "react";
import type { Connection } from "../api/following";
import { session } from "../api/session";
import { writeRoute, type Route } from "../state/route";
import { DICTIONARIES, LANGUAGES } from "../words/dictionary";
import { Choice } from "./choice";
import { usePage, useRole, useWords } from "./context";
import { Icon, Mark } from "./icons";

export interface HeaderProps {
  readonly connection: Connection;
  readonly route: Route;
  readonly onHelp: () => void;
}

export function Header({ connection, route, onHelp }: HeaderProps): ReactElement {
  const { words, language } = useWords();
  const { preferences, setPreferences, me } = usePage();
  const other = preferences.theme === "dark" ? "light" : "dark";
  return (
    <header className="header">
      <a className="header-name" href="#/">
        <Mark />
        <span>{words.app}</span>
      </a>
      <Places route={route} />
      <p className="header-disclaimer">{words.disclaimer}</p>
      <div className="header-tools">
        {me ? <ConnectionSign connection={connection} /> : null}
        {me && me.auth_mode !== "none" ? (
          <span className="header-reader">
            {me.name} · {words.roles[me.role]}
          </span>
        ) : null}
        {me === null || me.auth_mode === "none" ? null : (
          <button
            type="button"
            className="button button-bare"
            onClick={() => void session.signOut()}
            aria-label={words.signIn.out}
            title={words.signIn.out}
          >
            <Icon name="leave" />
          </button>
        )}
        <Choice
          label={words.language}
          className="choice-quiet"
          value={language}
          options={LANGUAGES.map((value) => ({
            value,
            text: <span lang={value}>{value === "en" ? "EN" : DICTIONARIES[value].name}</span>,
          }))}
          onChange={(value) => setPreferences({ ...preferences, language: value })}
        />
        <button
          type="button"
          className="button button-bare"
          aria-label={`${words.theme}: ${words.themes[other]}`}
          title={words.themes[other]}
          onClick={() => setPreferences({ ...preferences, theme: other })}
        >
          <Icon name={other === "light" ? "sun" : "moon"} />
        </button>
        <button
          type="button"
          className="button button-bare"
          aria-label={words.keyboard}
          title={`${words.keyboard} (?)`}
          onClick={onHelp}
        >
          <Icon name="help" />
        </button>
      </div>
    </header>
  );
}

/** The views that a reader's role opens; none where there is but one. */
function Places({ route }: { route: Route }): ReactElement | null {
  const { words } = useWords();
  const mayOperate = useRole("operator");
  const mayAudit = useRole("admin");
  if (!mayOperate) return null;
  const places: readonly Route[] = [
    { name: "worklist" },
    { name: "archive" },
    ...(mayAudit ? [{ name: "audit", jobId: null } as const] : []),
  ];
  const here = route.name === "study" ? "worklist" : route.name;
  return (
    <nav className="places" aria-label={words.places}>
      {places.map((place) => (
        <a key={place.name} href={writeRoute(place)} aria-current={place.name === here ? "page" : undefined}>
          {words[place.name === "study" ? "worklist" : place.name].title}
        </a>
      ))}
    </nav>
  );
}

function ConnectionSign({ connection }: { connection: Connection }): ReactElement {
  const { words } = useWords();
  return (
    <span className="connection" data-connection={connection} role="status" title={words.connection[connection]}>
      <span className="connection-dot" aria-hidden="true" />
      <span className="connection-text">{words.connection[connection]}</span>
    </span>
  );
}
