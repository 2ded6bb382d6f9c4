/** All findings, the most suspicious first; a click shows one in the images. */

import { useEffect, useRef, type ReactElement } from "react";
import type { Finding, Report, Review } from "../api/schemas";
import { useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { SuspicionBar } from "../parts/signs";
import { fixed, wordFor } from "../words/dictionary";
import { placeWord, volumeText } from "./finding_words";

export interface FindingTableProps {
  readonly report: Report;
  readonly chosen: Finding | null;
  readonly reviews: ReadonlyMap<string, Review>;
  readonly onChoose: (finding: Finding) => void;
}

export function FindingTable({ report, chosen, reviews, onChoose }: FindingTableProps): ReactElement {
  const { words } = useWords();
  const { columns } = words.finding;
  if (report.findings.length === 0) {
    return (
      <div className="nothing nothing-small">
        <h2>{words.study.noFindings}</h2>
        <p>{words.study.noFindingsAdvice}</p>
        <Counts report={report} />
      </div>
    );
  }
  return (
    <div className="findings-box">
      <table className="findings">
        <caption className="unseen">{words.finding.table}</caption>
        <thead>
          <tr>
            <th scope="col">{columns.id}</th>
            <th scope="col" className="number">
              {columns.diameter} <span className="unit">mm</span>
            </th>
            <th scope="col" className="number">
              {columns.volume} <span className="unit">mm³</span>
            </th>
            <th scope="col">{columns.place}</th>
            <th scope="col">{columns.suspicion}</th>
          </tr>
        </thead>
        <tbody>
          {report.findings.map((finding) => (
            <FindingRow
              key={finding.finding_id}
              finding={finding}
              isChosen={finding.finding_id === chosen?.finding_id}
              review={reviews.get(finding.finding_id) ?? null}
              onChoose={onChoose}
            />
          ))}
        </tbody>
      </table>
      <Counts report={report} />
    </div>
  );
}

function Counts({ report }: { report: Report }): ReactElement | null {
  const { words } = useWords();
  const notes = [
    report.findings_cap === null ? null : words.study.capped(report.findings_cap),
    report.candidates.not_examined === 0 ? null : words.study.notExamined(report.candidates.not_examined),
  ].filter((note) => note !== null);
  return notes.length === 0 ? null : <p className="muted findings-note">{notes.join(" ")}</p>;
}

interface FindingRowProps {
  readonly finding: Finding;
  readonly isChosen: boolean;
  readonly review: Review | null;
  readonly onChoose: (finding: Finding) => void;
}

function FindingRow({ finding, isChosen, review, onChoose }: FindingRowProps): ReactElement {
  const { words, language } = useWords();
  const row = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    const parent = row.current?.closest(".findings-box");
    if (isChosen && parent && parent.scrollHeight > parent.clientHeight)
      row.current?.scrollIntoView({ block: "nearest" });
  }, [isChosen]);
  const { size, position } = finding;
  return (
    <tr ref={row} data-chosen={isChosen} data-verdict={review?.verdict} onClick={() => onChoose(finding)}>
      <th scope="row">
        <button
          type="button"
          className="finding-id"
          aria-pressed={isChosen}
          aria-label={words.finding.goTo(finding.finding_id, position.slice.viewer_number)}
          onClick={() => onChoose(finding)}
        >
          {finding.finding_id}
        </button>
        {review ? <VerdictSign review={review} /> : null}
      </th>
      <td className="number">
        {fixed(size.long_axis_mm, 1, language)}
        <span className="times"> × </span>
        {fixed(size.short_axis_mm, 1, language)}
      </td>
      <td className="number">{volumeText(size.volume_mm3, language)}</td>
      <td className="finding-place">
        <span>{placeWord(finding, words, true)}</span>
        <span className="muted">{wordFor(words.finding.densities, finding.density)}</span>
      </td>
      <td className="finding-suspicion">
        <SuspicionBar value={finding.overall_suspicion} level={finding.suspicion} />
        <span className="finding-word" data-level={finding.suspicion}>
          {words.finding.suspicions[finding.suspicion]}
        </span>
      </td>
    </tr>
  );
}

const VERDICT_ICONS = { accepted: "check", rejected: "cross", corrected: "pencil" } as const;

export function VerdictSign({ review }: { review: Review }): ReactElement {
  const { words } = useWords();
  return (
    <span className="verdict" data-verdict={review.verdict} title={words.review.verdicts[review.verdict]}>
      <Icon name={VERDICT_ICONS[review.verdict]} size={14} />
      <span className="unseen">{words.review.verdicts[review.verdict]}</span>
    </span>
  );
}
