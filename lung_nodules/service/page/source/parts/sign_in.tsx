/** Where the service asks who one is: at its identity provider, or by an access token. */

import { useState, type ReactElement } from "react";
import type { SignInWay } from "../api/desk_schemas";
import { session } from "../api/session";
import { usePage, useWords } from "./context";
import { ProblemText } from "./signs";

export function SignIn({ way, problem }: { way: SignInWay; problem: Error | null }): ReactElement {
  const { words } = useWords();
  return (
    <main id="content" className="sign-in" tabIndex={-1}>
      <div className="sign-in-form">
        <h1>{words.signIn.title}</h1>
        {problem ? (
          <div className="problem-text sign-in-problem" role="alert">
            <ProblemText problem={problem} />
          </div>
        ) : null}
        {way.issuer && way.client_id ? <AtIssuer issuer={way.issuer} /> : <ByToken />}
      </div>
    </main>
  );
}

function AtIssuer({ issuer }: { issuer: string }): ReactElement {
  const { words } = useWords();
  const { complain } = usePage();
  const [busy, setBusy] = useState(false);
  const signIn = (): void => {
    setBusy(true);
    session.signIn().catch((error: unknown) => {
      setBusy(false);
      complain(error);
    });
  };
  return (
    <>
      <p>{words.signIn.atIssuer}</p>
      <button type="button" className="button button-main" disabled={busy} onClick={signIn}>
        {words.signIn.with(new URL(issuer).host)}
      </button>
    </>
  );
}

function ByToken(): ReactElement {
  const { words } = useWords();
  const [token, setToken] = useState("");
  return (
    <form
      className="sign-in-token"
      onSubmit={(event) => {
        event.preventDefault();
        session.paste(token.trim());
      }}
    >
      <p>{words.signIn.sentence}</p>
      <label className="field">
        <span>{words.signIn.token}</span>
        <textarea
          rows={4}
          required
          value={token}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => setToken(event.target.value)}
        />
      </label>
      <button type="submit" className="button button-main">
        {words.signIn.button}
      </button>
    </form>
  );
}
