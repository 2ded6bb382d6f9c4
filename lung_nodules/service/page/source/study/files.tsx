/** What can be taken home. */

import type { ReactElement } from "react";
import { addressOf } from "../api/address";
import { download, listFiles } from "../api/client";
import type { Job, ResultFile, Review } from "../api/schemas";
import { usePage, useWords } from "../parts/context";
import { useLoaded } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { ProblemPanel } from "../parts/signs";
import { bytes, type Words } from "../words/dictionary";

export function Files({ job, reviews }: { job: Job; reviews: ReadonlyMap<string, Review> }): ReactElement {
  const { words } = useWords();
  const [files, reload] = useLoaded(job.id, () => listFiles(job.id));
  return (
    <>
      <section className="block">
        <h2>{words.files.title}</h2>
        {files.state === "problem" ? <ProblemPanel problem={files.problem} onRetry={reload} /> : null}
        {files.state === "loading" ? <p className="muted">{words.loading} …</p> : null}
        <ul className="files">
          {files.state === "ready"
            ? files.value.map((file) => (
                <FileRow
                  key={file.name}
                  path={`jobs/${encodeURIComponent(job.id)}/files/${encodeURIComponent(file.name)}`}
                  name={file.name}
                  kind={kindOf(file, words)}
                  size={file.bytes}
                />
              ))
            : null}
        </ul>
      </section>
      {reviews.size > 0 ? (
        <section className="block">
          <h2>{words.review.exportTitle}</h2>
          <p className="muted block-hint">{words.review.exportHint}</p>
          <ul className="files">
            {reviewedFiles(reviews, words).map(([name, kind]) => (
              <FileRow key={name} path={`jobs/${encodeURIComponent(job.id)}/${name}`} name={name} kind={kind} />
            ))}
          </ul>
        </section>
      ) : null}
    </>
  );
}

function FileRow({
  path,
  name,
  kind,
  size,
}: {
  path: string;
  name: string;
  kind: string;
  size?: number;
}): ReactElement {
  const { language } = useWords();
  const { complain, me } = usePage();
  return (
    <li>
      <a
        className="file"
        href={addressOf(path)}
        download={name}
        onClick={(event) => {
          if (me?.auth_mode === "none") return;
          event.preventDefault();
          download(path, name).catch(complain);
        }}
      >
        <Icon name="download" />
        <span className="file-kind">{kind}</span>
        <span className="muted file-name">{name}</span>
        <span className="muted file-size">{size === undefined ? "" : bytes(size, language)}</span>
      </a>
    </li>
  );
}

function kindOf(file: ResultFile, words: Words): string {
  const known = words.files.kinds[file.name];
  if (known) return known;
  if (file.media_type === "application/pdf") return words.files.pdf;
  return file.media_type.startsWith("image/") ? words.files.picture : words.files.other;
}

/** What the service makes of reviews; there is a SEG of its own only where something was rejected. */
function reviewedFiles(
  reviews: ReadonlyMap<string, Review>,
  { review }: Words,
): readonly (readonly [string, string])[] {
  const isRejected = [...reviews.values()].some(({ verdict }) => verdict === "rejected");
  return [
    ["corrected.dcm", review.corrected],
    ...(isRejected ? [["corrected_segmentation.dcm", review.correctedOutlines] as const] : []),
    ["labels.json", review.labels],
    ["labels.zip", review.cohort],
  ];
}
