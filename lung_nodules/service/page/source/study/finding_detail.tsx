/** One finding: how suspicious and why, what was measured, what was made of it. */

import type { ReactElement } from "react";
import type { Finding, Report, Review, Verdict } from "../api/schemas";
import { useRole, useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { fixed, moment, percent, wordFor, type Language } from "../words/dictionary";
import { Characteristics } from "./characteristics";
import { VerdictSign } from "./finding_table";
import { placeWord, volumeText } from "./finding_words";
import { SuspicionSquare } from "./suspicion_square";

export interface FindingDetailProps {
  readonly finding: Finding;
  readonly followUp: Report["follow_up"];
  readonly review: Review | null;
  readonly onReview: (finding: Finding, verdict: Verdict) => void;
  readonly onShow: (finding: Finding) => void;
}

export function FindingDetail({ finding, followUp, review, onReview, onShow }: FindingDetailProps): ReactElement {
  const { words } = useWords();
  return (
    <article className="finding" aria-label={finding.finding_id}>
      <header className="finding-head">
        <h2>
          {finding.finding_id} <span className="finding-title">{placeWord(finding, words)}</span>
        </h2>
        <button type="button" className="button button-small" onClick={() => onShow(finding)}>
          {words.finding.show(finding.position.slice.viewer_number)}
        </button>
      </header>
      <ReviewPart finding={finding} review={review} onReview={onReview} />
      <SuspicionSquare finding={finding} />
      <section className="block">
        <h3>{words.finding.followUp}</h3>
        {followUp.length === 0 ? (
          <p className="muted">{words.finding.noFollowUp}</p>
        ) : (
          followUp.map((proposal) => (
            <p key={proposal.guideline}>
              <strong>
                {proposal.guideline} {proposal.category}
              </strong>{" "}
              <span lang="en">{proposal.sentence}</span>
            </p>
          ))
        )}
      </section>
      <Characteristics ratings={finding.characteristics} />
      <Measurements finding={finding} />
    </article>
  );
}

function Measurements({ finding }: { finding: Finding }): ReactElement {
  const { words, language } = useWords();
  return (
    <section className="block">
      <h3>{words.finding.measurements}</h3>
      <dl className="facts">
        {measurementsOf(finding, language).map(([name, value, unit]) => (
          <div key={name}>
            <dt>{words.finding.measured[name]}</dt>
            <dd>
              {value} {unit ? <span className="unit">{unit}</span> : null}
            </dd>
          </div>
        ))}
        <div>
          <dt>{words.finding.columns.density}</dt>
          <dd>{wordFor(words.finding.densities, finding.density)}</dd>
        </div>
      </dl>
    </section>
  );
}

type Measured = keyof ReturnType<typeof useWords>["words"]["finding"]["measured"];

function measurementsOf(finding: Finding, language: Language): readonly (readonly [Measured, string, string])[] {
  const { size, position } = finding;
  return [
    ["long", fixed(size.long_axis_mm, 1, language), "mm"],
    ["short", fixed(size.short_axis_mm, 1, language), "mm"],
    ["mean", fixed(size.mean_diameter_mm, 1, language), "mm"],
    ["volume", volumeText(size.volume_mm3, language), "mm³"],
    ["sphere", fixed(size.equivalent_sphere_diameter_mm, 1, language), "mm"],
    ["hu", fixed(finding.mean_hu, 0, language), "HU"],
    ["solid", percent(finding.solid_fraction, language), ""],
    ["score", fixed(finding.candidate_score, 2, language), ""],
    ["slice", String(position.slice.viewer_number), ""],
    ["position", position.center_lps_mm.map((mm) => fixed(mm, 0, language)).join(", "), "mm"],
  ];
}

interface ReviewPartProps {
  readonly finding: Finding;
  readonly review: Review | null;
  readonly onReview: (finding: Finding, verdict: Verdict) => void;
}

function ReviewPart({ finding, review, onReview }: ReviewPartProps): ReactElement {
  const { words, language } = useWords();
  const mayReview = useRole("operator");
  return (
    <section className="review" aria-label={words.review.section}>
      {review ? (
        <div className="review-made">
          <p>
            <VerdictSign review={review} /> {words.review.verdicts[review.verdict]}
            {review.reviewed_by && review.reviewed_at ? (
              <span className="muted">
                {" "}
                {words.review.by(review.reviewed_by, moment(review.reviewed_at, language))}
              </span>
            ) : null}
          </p>
          <Corrections review={review} language={language} />
          {review.comment ? <p className="review-comment">{review.comment}</p> : null}
        </div>
      ) : null}
      {mayReview ? (
        <div className="review-buttons">
          <button type="button" className="button" aria-keyshortcuts="a" onClick={() => onReview(finding, "accepted")}>
            <Icon name="check" size={16} />
            {words.review.accept}
          </button>
          <button type="button" className="button" aria-keyshortcuts="r" onClick={() => onReview(finding, "rejected")}>
            <Icon name="cross" size={16} />
            {words.review.reject}
          </button>
          <button type="button" className="button" aria-keyshortcuts="c" onClick={() => onReview(finding, "corrected")}>
            <Icon name="pencil" size={16} />
            {words.review.correct}
          </button>
        </div>
      ) : null}
    </section>
  );
}

function Corrections({ review, language }: { review: Review; language: Language }): ReactElement | null {
  const { words } = useWords();
  const parts = [
    review.diameter_mm === null ? null : `${words.review.diameter} ${fixed(review.diameter_mm, 1, language)} mm`,
    review.suspicion === null
      ? null
      : `${words.review.suspicion} ${review.suspicion}, ${words.review.ratings[review.suspicion - 1] ?? ""}`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? null : <p>{parts.join(" · ")}</p>;
}
