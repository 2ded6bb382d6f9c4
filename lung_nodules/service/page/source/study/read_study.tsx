/** A study that was read: images on one side, what was found in them on the other. */

import { useCallback, useEffect, useMemo, useReducer, useState, type ReactElement } from "react";
import { getSlices, listReviews } from "../api/client";
import type { Finding, Job, Report, Review, Slices, Verdict } from "../api/schemas";
import { usePage, useRole, useWords } from "../parts/context";
import { goTo, noteRoute, useKeys, useLoaded, useMedia } from "../parts/hooks";
import { Icon } from "../parts/icons";
import { ProblemPanel } from "../parts/signs";
import { planeShape, type Grid } from "../image/planes";
import { lengthMm } from "../image/view";
import { writeRoute } from "../state/route";
import { neighbour, openViewer, viewerReducer, type Ruler, type Viewer } from "../state/viewer";
import { day } from "../words/dictionary";
import { Panel } from "./panel";
import { ReviewDialog } from "./review_dialog";
import { DeleteButton } from "../worklist/delete_button";
import { BackLink } from "./study_page";
import { Untold } from "./untold";
import { ViewerPane } from "./viewer_pane";

export interface ReadStudyProps {
  readonly job: Job;
  readonly report: Report;
  readonly findingId: string | null;
}

export function ReadStudy({ job, report, findingId }: ReadStudyProps): ReactElement {
  const { words } = useWords();
  const mayReview = useRole("operator");
  const [slices, reloadSlices] = useLoaded(job.id, () => getSlices(job.id));
  const [reviews, reloadReviews] = useLoaded(job.id, () => listReviews(job.id));
  const [asking, setAsking] = useState<{ finding: Finding; verdict: Verdict } | null>(null);
  const [ruler, setRuler] = useState<number | null>(null);
  const chosen = useMemo(
    () => report.findings.find((finding) => finding.finding_id === findingId) ?? report.findings[0] ?? null,
    [report, findingId],
  );
  const [asked, setAsked] = useState(0); // grows whenever a finding is asked for, the chosen one once more included
  const choose = useCallback(
    (finding: Finding | undefined) => {
      if (!finding) return;
      noteRoute({ name: "study", jobId: job.id, findingId: finding.finding_id });
      setAsked((count) => count + 1);
    },
    [job.id],
  );
  const review = useCallback((finding: Finding, verdict: Verdict) => setAsking({ finding, verdict }), []);
  useKeys("study", (command) => {
    if (command === "finding-next") choose(neighbour(report.findings, chosen?.finding_id ?? null, 1));
    else if (command === "finding-previous") choose(neighbour(report.findings, chosen?.finding_id ?? null, -1));
    else if (chosen && mayReview && command === "accept") review(chosen, "accepted");
    else if (chosen && mayReview && command === "reject") review(chosen, "rejected");
    else if (chosen && mayReview && command === "correct") review(chosen, "corrected");
    else return false;
    return true;
  });
  const byFinding = useMemo(() => {
    const list: readonly Review[] = reviews.state === "ready" ? reviews.value : [];
    return new Map(list.map((one) => [one.finding_id, one]));
  }, [reviews]);

  return (
    <main id="content" className="study" tabIndex={-1}>
      <StudyHead job={job} report={report} />
      <Untold job={job} />
      <div className="study-body">
        {slices.state === "ready" ? (
          <Images
            key={job.id}
            jobId={job.id}
            report={report}
            slices={slices.value}
            chosen={chosen}
            asked={asked}
            reviews={byFinding}
            onChoose={choose}
            onRuler={setRuler}
          />
        ) : (
          <div className="viewer viewer-none">
            {slices.state === "problem" ? (
              <ProblemPanel problem={slices.problem} onRetry={reloadSlices} />
            ) : (
              <p>{words.loading} …</p>
            )}
          </div>
        )}
        <Panel job={job} report={report} chosen={chosen} reviews={byFinding} onChoose={choose} onReview={review} />
      </div>
      {asking ? (
        <ReviewDialog
          jobId={job.id}
          resultUid={report.result_uid}
          finding={asking.finding}
          verdict={asking.verdict}
          review={byFinding.get(asking.finding.finding_id) ?? null}
          rulerMm={ruler}
          onClose={() => setAsking(null)}
          onSaved={() => {
            setAsking(null);
            reloadReviews();
          }}
        />
      ) : null}
    </main>
  );
}

interface ImagesProps {
  readonly jobId: string;
  readonly report: Report;
  readonly slices: Slices;
  readonly chosen: Finding | null;
  readonly asked: number;
  readonly reviews: ReadonlyMap<string, Review>;
  readonly onChoose: (finding: Finding) => void;
  readonly onRuler: (mm: number | null) => void;
}

function Images({ jobId, report, slices, chosen, asked, reviews, onChoose, onRuler }: ImagesProps): ReactElement {
  const touch = useMedia("(pointer: coarse)");
  const grid = useMemo(() => gridOf(slices), [slices]);
  const [viewer, dispatch] = useReducer(viewerReducer, null, (): Viewer => {
    const opened = openViewer(grid, touch ? "scroll" : "window");
    return chosen ? viewerReducer(opened, { type: "finding", finding: chosen }) : opened;
  });
  useEffect(() => {
    if (chosen) dispatch({ type: "finding", finding: chosen });
  }, [chosen, asked]);
  useEffect(() => onRuler(rulerLength(viewer.ruler, grid)), [viewer.ruler, grid, onRuler]);
  return (
    <ViewerPane
      jobId={jobId}
      slices={slices}
      findings={report.findings}
      lungs={report.lungs.bounding_box_voxel}
      chosen={chosen}
      reviews={reviews}
      viewer={viewer}
      dispatch={dispatch}
      onChoose={onChoose}
    />
  );
}

function gridOf(slices: Slices): Grid {
  return {
    numSlices: slices.num_slices,
    numRows: slices.rows,
    numColumns: slices.columns,
    spacingMm: slices.spacing_mm,
    direction: slices.direction,
  };
}

function rulerLength(ruler: Ruler | null, grid: Grid): number | null {
  return ruler && lengthMm(ruler.from, ruler.to, planeShape(grid, ruler.plane));
}

function StudyHead({ job, report }: { job: Job; report: Report }): ReactElement {
  const { words, language } = useWords();
  const { settings } = usePage();
  const mayAudit = useRole("admin");
  const { study } = report;
  const facts = [
    study.patient_id,
    study.patient_sex ? (words.study.sexes[study.patient_sex] ?? study.patient_sex) : null,
    study.patient_age_years === null ? null : words.study.age(Math.floor(study.patient_age_years)),
    study.study_date ? day(study.study_date, language) : null,
  ].filter((fact) => fact !== null);
  const link = settings?.viewer_url?.replaceAll("{study_instance_uid}", encodeURIComponent(study.study_instance_uid));
  return (
    <div className="study-head">
      <BackLink />
      <h1 className="study-label">{job.label}</h1>
      <p className="study-facts">{facts.join("  ·  ")}</p>
      <p className="study-result" data-level={report.classification_result}>
        <span className="study-result-dot" aria-hidden="true" />
        {words.study.results[report.classification_result]}
        {report.findings.length > 0 ? (
          <span className="muted"> {words.study.numFindings(report.findings.length)}</span>
        ) : null}
      </p>
      <span className="study-tools">
        {mayAudit ? (
          <a
            className="button button-bare"
            href={writeRoute({ name: "audit", jobId: job.id })}
            title={words.audit.ofJob}
          >
            <Icon name="list" />
            <span className="unseen">{words.audit.ofJob}</span>
          </a>
        ) : null}
        <DeleteButton job={job} onDeleted={() => goTo({ name: "worklist" })} />
      </span>
      {link ? (
        <a className="button study-ohif" href={link} target="_blank" rel="noreferrer">
          {words.study.ohif}
          <Icon name="external" size={16} />
        </a>
      ) : null}
    </div>
  );
}
