/** Where the service asks who one is: an access token, kept in this tab alone. */

import { useState, type ReactElement } from "react";
import { keepToken, readToken } from "../api/client";
import { useWords } from "./context";

export function SignIn({ onToken }: { onToken: () => void }): ReactElement {
  const { words } = useWords();
  const [token, setToken] = useState("");
  return (
    <main id="content" className="sign-in">
      <form
        className="sign-in-form"
        onSubmit={(event) => {
          event.preventDefault();
          keepToken(token.trim());
          onToken();
        }}
      >
        <h1>{words.signIn.title}</h1>
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
        {readToken() === null ? null : <p className="field-wrong">{words.signIn.wrong}</p>}
        <button type="submit" className="button button-main">
          {words.signIn.button}
        </button>
      </form>
    </main>
  );
}
