/** Help: every key and gesture, drawn from the same table that the keyboard answers to. */

import type { ReactElement } from "react";
import { BINDINGS, type Context } from "../state/keys";
import { useWords } from "./context";
import { Dialog } from "./dialog";

const KEY_NAMES: Readonly<Record<string, string>> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  PageUp: "Page ↑",
  PageDown: "Page ↓",
  Escape: "Esc",
  Enter: "↵",
};

export function Help({ onClose }: { onClose: () => void }): ReactElement {
  const { words } = useWords();
  return (
    <Dialog title={words.help.title} wide onClose={onClose}>
      <div className="help">
        <Keys context="study" />
        <div className="help-side">
          <Keys context="worklist" />
          <Keys context="archive" />
          <section>
            <h3>{words.help.mouse}</h3>
            <dl className="help-list">
              {words.help.gestures.map(([gesture, what]) => (
                <div key={gesture}>
                  <dt>{gesture}</dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        </div>
      </div>
    </Dialog>
  );
}

function Keys({ context }: { context: Context }): ReactElement {
  const { words } = useWords();
  return (
    <section>
      <h3>{words.help.contexts[context]}</h3>
      <dl className="help-list">
        {BINDINGS.filter(({ contexts }) => contexts.includes(context)).map(({ command, keys }) => (
          <div key={command}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{KEY_NAMES[key] ?? key.toUpperCase()}</kbd>
              ))}
            </dt>
            <dd>{words.help.commands[command]}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
