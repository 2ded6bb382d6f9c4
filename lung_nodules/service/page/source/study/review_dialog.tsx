/** Accept, reject or correct a finding, with a comment. */

import { useState, type ReactElement } from "react";
import { putReview, type ReviewOrder } from "../api/client";
import { VERDICTS, type Finding, type Review, type Verdict } from "../api/schemas";
import { Choice } from "../parts/choice";
import { useWords } from "../parts/context";
import { Dialog } from "../parts/dialog";
import { ProblemText } from "../parts/signs";
import { fixed } from "../words/dictionary";
import { placeWord } from "./finding_words";

export interface ReviewDialogProps {
  readonly jobId: string;
  readonly resultUid: string; // of the report that is shown
  readonly finding: Finding;
  readonly verdict: Verdict;
  readonly review: Review | null; // what was stated before
  readonly rulerMm: number | null; // length of the ruler on the images
  readonly onClose: () => void;
  readonly onSaved: () => void;
}

interface Draft {
  readonly verdict: Verdict;
  readonly comment: string;
  readonly diameter: string;
  readonly suspicion: string; // "" or 1 to 5
}

export function ReviewDialog({
  jobId,
  resultUid,
  finding,
  verdict,
  review,
  rulerMm,
  onClose,
  onSaved,
}: ReviewDialogProps): ReactElement {
  const { words } = useWords();
  const [draft, setDraft] = useState<Draft>({
    verdict,
    comment: review?.comment ?? "",
    diameter: review?.diameter_mm?.toString() ?? "",
    suspicion: review?.suspicion?.toString() ?? "",
  });
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Error | null>(null);
  const lacksValue = draft.verdict === "corrected" && draft.diameter === "" && draft.suspicion === "";
  const save = (): void => {
    setBusy(true);
    putReview(jobId, finding.finding_id, orderOf(draft, resultUid)).then(onSaved, (error: unknown) => {
      setBusy(false);
      setProblem(error instanceof Error ? error : new Error(String(error)));
    });
  };
  return (
    <Dialog title={words.review.title(finding.finding_id)} onClose={onClose}>
      <form
        className="review-form"
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <FindingLine finding={finding} />
        <Choice<Verdict>
          label={words.review.verdict}
          className="choice-wide"
          value={draft.verdict}
          options={VERDICTS.map((value) => ({ value, text: words.review.verdicts[value] }))}
          onChange={(value) => setDraft({ ...draft, verdict: value })}
        />
        <p className="review-sentence">{words.review.verdictSentences[draft.verdict]}</p>
        {draft.verdict === "corrected" ? (
          <CorrectionFields draft={draft} finding={finding} rulerMm={rulerMm} onChange={setDraft} />
        ) : null}
        <label className="field">
          <span>{words.review.comment}</span>
          <textarea
            data-first=""
            rows={3}
            maxLength={2000}
            value={draft.comment}
            onChange={(event) => setDraft({ ...draft, comment: event.target.value })}
          />
          <span className="muted">{words.review.commentHint}</span>
        </label>
        {problem ? (
          <div className="problem-text field-wrong" role="alert">
            <ProblemText problem={problem} />
          </div>
        ) : null}
        <footer className="dialog-foot">
          {lacksValue ? <span className="muted dialog-note">{words.review.needsValue}</span> : null}
          <button type="button" className="button" onClick={onClose}>
            {words.cancel}
          </button>
          <button type="submit" className="button button-main" disabled={busy || lacksValue}>
            {words.save}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function FindingLine({ finding }: { finding: Finding }): ReactElement {
  const { words, language } = useWords();
  const { size } = finding;
  return (
    <p className="muted review-finding">
      {placeWord(finding, words)} · {words.finding.slice(finding.position.slice.viewer_number)} ·{" "}
      {fixed(size.long_axis_mm, 1, language)} × {fixed(size.short_axis_mm, 1, language)} mm ·{" "}
      {words.finding.suspicions[finding.suspicion]}
    </p>
  );
}

interface CorrectionProps {
  readonly draft: Draft;
  readonly finding: Finding;
  readonly rulerMm: number | null;
  readonly onChange: (draft: Draft) => void;
}

function CorrectionFields({ draft, finding, rulerMm, onChange }: CorrectionProps): ReactElement {
  const { words, language } = useWords();
  return (
    <div className="correction">
      <div className="field">
        <label>
          <span>{words.review.diameter}</span>
          <span className="field-unit">
            <input
              type="number"
              min="0.5"
              max="300"
              step="0.1"
              value={draft.diameter}
              placeholder={finding.size.mean_diameter_mm.toFixed(1)}
              onChange={(event) => onChange({ ...draft, diameter: event.target.value })}
            />
            mm
          </span>
        </label>
        {rulerMm === null ? null : (
          <button
            type="button"
            className="button button-small"
            onClick={() => onChange({ ...draft, diameter: rulerMm.toFixed(1) })}
          >
            {words.review.useRuler(fixed(rulerMm, 1, language))}
          </button>
        )}
      </div>
      <div className="field">
        <span>{words.review.suspicion}</span>
        <Choice
          label={words.review.suspicion}
          value={draft.suspicion}
          options={[
            { value: "", text: words.review.unchanged },
            ...words.review.ratings.map((text, index) => ({
              value: String(index + 1),
              text: String(index + 1),
              hint: text,
            })),
          ]}
          onChange={(suspicion) => onChange({ ...draft, suspicion })}
        />
        <span className="muted">{draft.suspicion ? words.review.ratings[Number(draft.suspicion) - 1] : null}</span>
      </div>
    </div>
  );
}

function orderOf(draft: Draft, resultUid: string): ReviewOrder {
  const order = { verdict: draft.verdict, comment: draft.comment.trim(), result_uid: resultUid };
  if (draft.verdict !== "corrected") return order;
  return {
    ...order,
    ...(draft.diameter ? { diameter_mm: Number(draft.diameter) } : {}),
    ...(draft.suspicion ? { suspicion: Number(draft.suspicion) } : {}),
  };
}
