/** A question before something that cannot be undone. */

import { useState, type ReactElement } from "react";
import { usePage, useWords } from "./context";
import { Dialog } from "./dialog";

export interface ConfirmProps {
  readonly title: string;
  readonly sentence: string;
  readonly button: string;
  readonly act: () => Promise<unknown>;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

export function Confirm({ title, sentence, button, act, onDone, onClose }: ConfirmProps): ReactElement {
  const { words } = useWords();
  const { complain } = usePage();
  const [busy, setBusy] = useState(false);
  const confirm = (): void => {
    setBusy(true);
    act().then(onDone, complain).finally(onClose);
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <p className="confirm-sentence">{sentence}</p>
      <div className="dialog-foot">
        <button type="button" className="button" data-first="" onClick={onClose}>
          {words.cancel}
        </button>
        <button type="button" className="button button-danger" disabled={busy} onClick={confirm}>
          {button}
        </button>
      </div>
    </Dialog>
  );
}
