/** What the report says, in four parts: findings, quality, study, files. */

import { useId, useRef, useState, type KeyboardEvent, type ReactElement } from "react";
import type { Finding, Job, Report, Review, Verdict } from "../api/schemas";
import { useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { writeRoute } from "../state/route";
import { Details } from "./details";
import { Files } from "./files";
import { FindingDetail } from "./finding_detail";
import { FindingTable } from "./finding_table";
import { QualityList, worstOutcome } from "./quality_list";

const TABS = ["findings", "quality", "study", "files"] as const;
type Tab = (typeof TABS)[number];

export interface PanelProps {
  readonly job: Job;
  readonly report: Report;
  readonly chosen: Finding | null;
  readonly reviews: ReadonlyMap<string, Review>;
  readonly onChoose: (finding: Finding) => void;
  readonly onReview: (finding: Finding, verdict: Verdict) => void;
}

export function Panel(props: PanelProps): ReactElement {
  const { words } = useWords();
  const [tab, setTab] = useState<Tab>("findings");
  const id = useId();
  const tabs = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent): void => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    const next = TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length] ?? "findings";
    setTab(next);
    tabs.current?.querySelector<HTMLElement>(`[data-tab="${next}"]`)?.focus();
  };
  const worst = worstOutcome(props.report.quality);
  return (
    <aside className="panel" aria-label={words.study.tabs[tab]}>
      <div className="tabs" role="tablist" ref={tabs} onKeyDown={move}>
        {TABS.map((name) => (
          <button
            key={name}
            type="button"
            role="tab"
            data-tab={name}
            id={`${id}-${name}`}
            aria-selected={name === tab}
            aria-controls={`${id}-panel`}
            tabIndex={name === tab ? 0 : -1}
            onClick={() => setTab(name)}
          >
            {words.study.tabs[name]}
            {name === "findings" ? <span className="tab-count">{props.report.findings.length}</span> : null}
            {name === "quality" && worst !== "pass" ? (
              <span className="tab-dot" data-outcome={worst}>
                <span className="unseen">{words.quality.outcomes[worst]}</span>
              </span>
            ) : null}
          </button>
        ))}
      </div>
      <Superseded job={props.job} />
      <div className="panel-content" role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${tab}`} tabIndex={0}>
        <TabContent tab={tab} {...props} />
      </div>
      <p className="panel-disclaimer">{words.disclaimer}</p>
    </aside>
  );
}

/** The way to the result that holds now. */
function Superseded({ job }: { job: Job }): ReactElement | null {
  const { words } = useWords();
  if (job.replaced_by === null) return null;
  return (
    <a className="panel-superseded" href={writeRoute({ name: "study", jobId: job.replaced_by, findingId: null })}>
      <Icon name="warning" size={16} />
      {words.study.replacedBy}
    </a>
  );
}

function TabContent({
  tab,
  job,
  report,
  chosen,
  reviews,
  onChoose,
  onReview,
}: PanelProps & { tab: Tab }): ReactElement {
  switch (tab) {
    case "findings":
      return (
        <>
          <FindingTable report={report} chosen={chosen} reviews={reviews} onChoose={onChoose} />
          {chosen ? (
            <FindingDetail
              finding={chosen}
              followUp={[...report.follow_up, ...chosen.follow_up]}
              review={reviews.get(chosen.finding_id) ?? null}
              onReview={onReview}
              onShow={onChoose}
            />
          ) : null}
        </>
      );
    case "quality":
      return <QualityList checks={report.quality} />;
    case "study":
      return <Details job={job} report={report} />;
    case "files":
      return <Files job={job} reviews={reviews} />;
  }
}
