/** Submit a study by its UID, or files of this computer. */

import { useState, type ReactElement } from "react";
import { listArchives, submitStudy } from "../api/client";
import { droppedFiles } from "../api/dropped";
import type { Job } from "../api/schemas";
import { Choice } from "../parts/choice";
import { usePage, useWords } from "../parts/context";
import { Dialog } from "../parts/dialog";
import { useLoaded } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { PRIORITIES, PRIORITY_NAMES, type PriorityName } from "./names";

export interface SubmitDialogProps {
  readonly onClose: () => void;
  readonly onJob: (job: Job) => void;
  readonly onFiles: (files: readonly File[], priority: number) => void;
}

const UID = /^[0-9.]{1,64}$/;

export function SubmitDialog({ onClose, onJob, onFiles }: SubmitDialogProps): ReactElement {
  const { words } = useWords();
  const { complain } = usePage();
  const [archives] = useLoaded("archives", listArchives);
  const names = archives.state === "ready" ? archives.value : [];
  const [uid, setUid] = useState("");
  const [archive, setArchive] = useState("");
  const [priority, setPriority] = useState<PriorityName>("routine");
  const [busy, setBusy] = useState(false);
  const wrong = uid.trim() !== "" && !UID.test(uid.trim());

  const submit = (): void => {
    const chosen = archive || names[0];
    const order = {
      study_instance_uid: uid.trim(),
      priority: PRIORITIES[priority],
      ...(chosen ? { archive: chosen } : {}),
    };
    setBusy(true);
    submitStudy(order)
      .then(onJob, complain)
      .finally(() => setBusy(false));
  };
  const take = (files: readonly File[]): void => {
    onFiles(files, PRIORITIES[priority]);
    onClose();
  };
  return (
    <Dialog title={words.submit.title} onClose={onClose}>
      <form
        className="submit"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <div className="field">
          <span>{words.submit.priority}</span>
          <Choice<PriorityName>
            label={words.submit.priority}
            value={priority}
            options={PRIORITY_NAMES.map((value) => ({ value, text: words.priorities[value] }))}
            onChange={setPriority}
          />
        </div>
        <section className="submit-part">
          <h3>{words.submit.fromArchive}</h3>
          <a href="#/archive">{words.submit.search}</a>
          {names.length > 1 ? (
            <label className="field">
              <span>{words.submit.archive}</span>
              <select value={archive || names[0]} onChange={(event) => setArchive(event.target.value)}>
                {names.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
          ) : null}
          <label className="field">
            <span>{words.submit.uid}</span>
            <input
              data-first=""
              value={uid}
              inputMode="decimal"
              autoComplete="off"
              spellCheck={false}
              placeholder="1.2.840…"
              aria-invalid={wrong}
              aria-describedby={wrong ? "uid-wrong" : undefined}
              onChange={(event) => setUid(event.target.value)}
            />
          </label>
          {wrong ? (
            <p className="field-wrong" id="uid-wrong">
              {words.submit.uidWrong}
            </p>
          ) : null}
          <button type="submit" className="button button-main" disabled={busy || wrong || uid.trim() === ""}>
            {words.submit.button}
          </button>
        </section>
        <FileField onFiles={take} />
      </form>
    </Dialog>
  );
}

function FileField({ onFiles }: { onFiles: (files: readonly File[]) => void }): ReactElement {
  const { words } = useWords();
  const { complain } = usePage();
  return (
    <section className="submit-part">
      <h3>{words.submit.files}</h3>
      <label
        className="drop-field"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          event.stopPropagation();
          droppedFiles(event.dataTransfer).then(onFiles, complain);
        }}
      >
        <Icon name="upload" size={22} />
        <span>{words.submit.dropHere}</span>
        <span className="drop-field-button">{words.submit.choose}</span>
        <input type="file" multiple className="unseen" onChange={(event) => onFiles([...(event.target.files ?? [])])} />
      </label>
    </section>
  );
}
