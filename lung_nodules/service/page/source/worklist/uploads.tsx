/** Files on their way to the service. */

import { useCallback, useState, type ReactElement } from "react";
import { uploadFiles } from "../api/client";
import { usePage, useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { percent } from "../words/dictionary";

interface Upload {
  readonly id: number;
  readonly count: number;
  readonly share: number;
  readonly abort: AbortController;
}

export interface UploadsState {
  readonly underWay: readonly Upload[];
  readonly send: (files: readonly File[], priority: number) => void;
}

let lastId = 0;

export function useUploads(onSent: () => void): UploadsState {
  const { complain } = usePage();
  const [underWay, setUnderWay] = useState<readonly Upload[]>([]);
  const send = useCallback(
    (files: readonly File[], priority: number) => {
      if (files.length === 0) return;
      lastId += 1;
      const upload = { id: lastId, count: files.length, share: 0, abort: new AbortController() };
      const change = (share: number): void =>
        setUnderWay((all) => all.map((one) => (one.id === upload.id ? { ...one, share } : one)));
      setUnderWay((all) => [...all, upload]);
      uploadFiles(files, priority, change, upload.abort.signal)
        .then(onSent, (problem: unknown) => {
          if (!upload.abort.signal.aborted) complain(problem);
        })
        .finally(() => setUnderWay((all) => all.filter((one) => one.id !== upload.id)));
    },
    [complain, onSent],
  );
  return { underWay, send };
}

export function Uploads({ uploads }: { uploads: UploadsState }): ReactElement | null {
  const { words, language } = useWords();
  if (uploads.underWay.length === 0) return null;
  return (
    <ul className="uploads" aria-live="polite">
      {uploads.underWay.map((upload) => (
        <li key={upload.id} className="upload">
          <Icon name="upload" />
          <span>{words.worklist.uploading(upload.count)}</span>
          <progress aria-label={words.worklist.uploading(upload.count)} value={upload.share} max={1} />
          <span className="number">{percent(upload.share, language)}</span>
          <button
            type="button"
            className="button button-bare"
            aria-label={words.cancel}
            onClick={() => upload.abort.abort()}
          >
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  );
}
