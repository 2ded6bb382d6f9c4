/** The line at the top: what this is, what it must not be used for, and how it is shown. */

import type { ReactElement } from "react";
import { keepToken, readToken, type Connection } from "../api/client";
import { DICTIONARIES, LANGUAGES } from "../words/dictionary";
import { Choice } from "./choice";
import { usePage, useWords } from "./context";
import { Icon, Mark } from "./icons";

export function Header({ connection, onHelp }: { connection: Connection; onHelp: () => void }): ReactElement {
  const { words, language } = useWords();
  const { preferences, setPreferences, me } = usePage();
  const other = preferences.theme === "dark" ? "light" : "dark";
  return (
    <header className="header">
      <a className="header-name" href="#/">
        <Mark />
        <span>{words.app}</span>
      </a>
      <p className="header-disclaimer">{words.disclaimer}</p>
      <div className="header-tools">
        <span className="connection" data-connection={connection} role="status" title={words.connection[connection]}>
          <span className="connection-dot" aria-hidden="true" />
          <span className="connection-text">{words.connection[connection]}</span>
        </span>
        {me && me.auth_mode !== "none" ? (
          <span className="header-reader">
            {me.name} · {words.roles[me.role]}
          </span>
        ) : null}
        {readToken() === null ? null : (
          <button type="button" className="button button-bare" onClick={signOut}>
            {words.signIn.out}
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

function signOut(): void {
  keepToken(null);
  window.location.reload();
}
