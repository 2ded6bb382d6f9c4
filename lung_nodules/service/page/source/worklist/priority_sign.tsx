/** How soon a job is to go; a choice for whoever may change it. */

import type { ReactElement } from "react";
import { setPriority } from "../api/client";
import type { Job } from "../api/schemas";
import { usePage, useWords } from "../parts/context";
import { canReorder } from "../state/worklist";
import { PRIORITIES, PRIORITY_NAMES, priorityName, type PriorityName } from "./names";

export function PrioritySign({ job, onChange }: { job: Job; onChange: () => void }): ReactElement {
  const { words } = useWords();
  const { me, complain } = usePage();
  const name = priorityName(job.priority);
  if (!canReorder(job, me)) {
    return (
      <span className="priority" data-priority={name}>
        {words.priorities[name]}
      </span>
    );
  }
  return (
    <select
      className="priority-choice"
      data-priority={name}
      aria-label={`${words.worklist.columns.priority}: ${job.label}`}
      value={name}
      onChange={(event) => {
        setPriority(job.id, PRIORITIES[event.target.value as PriorityName]).then(onChange, complain);
      }}
    >
      {PRIORITY_NAMES.map((each) => (
        <option key={each} value={each}>
          {words.priorities[each]}
        </option>
      ))}
    </select>
  );
}
