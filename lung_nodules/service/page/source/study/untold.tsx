/** That whoever waits for the end of a job (the webhook) was not told of it; nothing where all is well. */

import type { ReactElement } from "react";
import type { Job } from "../api/schemas";
import { useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { untold } from "../state/untold";

export function Untold({ job }: { job: Job }): ReactElement | null {
  const { words } = useWords();
  const how = untold(job);
  if (how === null) return null;
  return (
    <p className="study-untold">
      <Icon name="warning" size={16} />
      {words.study.untold[how]}
    </p>
  );
}
