/** Deletes a job with its files, after a question. */

import { useState, type ReactElement } from "react";
import { deleteJob } from "../api/client";
import type { Job } from "../api/schemas";
import { Confirm } from "../parts/confirm";
import { usePage, useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { canDelete } from "../state/worklist";

export function DeleteButton({ job, onDeleted }: { job: Job; onDeleted: () => void }): ReactElement | null {
  const { words } = useWords();
  const { me } = usePage();
  const [asking, setAsking] = useState(false);
  if (!canDelete(job, me)) return null;
  return (
    <>
      <button
        type="button"
        className="button button-bare"
        onClick={() => setAsking(true)}
        title={words.remove.button}
        aria-label={`${words.remove.button}: ${job.label}`}
      >
        <Icon name="trash" />
      </button>
      {asking ? (
        <Confirm
          title={words.remove.title(job.label)}
          sentence={words.remove.sentence}
          button={words.remove.button}
          act={() => deleteJob(job.id)}
          onDone={onDeleted}
          onClose={() => setAsking(false)}
        />
      ) : null}
    </>
  );
}
