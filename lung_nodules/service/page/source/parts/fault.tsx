/** The last resort: an error of the page itself becomes a sentence instead of an empty window. */

import { Component, type ReactNode } from "react";
import { loadPreferences } from "../state/preferences";
import { DICTIONARIES } from "../words/dictionary";

export class Fault extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    const { problems } = DICTIONARIES[loadPreferences().language];
    return (
      <main className="fault" role="alert">
        <h1>{problems.crashed}</h1>
        <button type="button" className="button button-main" onClick={() => window.location.reload()}>
          {problems.reload}
        </button>
      </main>
    );
  }
}
