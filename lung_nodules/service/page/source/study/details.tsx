/** Study, scan, models and run, as the report has them. */

import type { ReactElement } from "react";
import type { Job, Report } from "../api/schemas";
import { useWords } from "../parts/context";
import { day, duration, fixed, wordFor } from "../words/dictionary";
import { PassedOver, SeriesList } from "./series_list";

export function Details({ job, report }: { job: Job; report: Report }): ReactElement {
  const { words } = useWords();
  const { details } = words;
  return (
    <>
      {job.replaces === null ? null : <p className="block muted">{words.study.replaces}</p>}
      <Facts title={words.study.tabs.study} facts={useStudyFacts(report)} />
      <Facts title={details.scan} facts={useScanFacts(report)} />
      <SeriesList series={report.series_considered} />
      <PassedOver files={report.files_passed_over} />
      <Models report={report} />
      <Facts title={details.run} facts={useRunFacts(report)} />
    </>
  );
}

type Fact = readonly [name: string, value: string | null];

function Facts({ title, facts }: { title: string; facts: readonly Fact[] }): ReactElement {
  const { words } = useWords();
  return (
    <section className="block">
      <h2>{title}</h2>
      <dl className="facts facts-long">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd className={value === null ? "muted" : ""}>{value ?? words.unknown}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function useStudyFacts({ study }: Report): readonly Fact[] {
  const { words, language } = useWords();
  return [
    [words.study.patientId, study.patient_id],
    [words.details.sex, study.patient_sex ? (words.study.sexes[study.patient_sex] ?? study.patient_sex) : null],
    [words.details.date, study.study_date ? day(study.study_date, language) : null],
    [words.details.accession, study.accession_number],
    [words.details.uid, study.study_instance_uid],
  ];
}

function useScanFacts({ protocol, lungs }: Report): readonly Fact[] {
  const { words, language } = useWords();
  const { details } = words;
  const mm = (value: number, decimals = 2): string => `${fixed(value, decimals, language)} mm`;
  const scanner = [protocol.manufacturer, protocol.manufacturer_model_name].filter((part) => part !== null).join(" · ");
  const litres = [lungs.right_litres, lungs.left_litres].map((litre) => fixed(litre, 2, language)).join(" + ");
  return [
    [details.scanner, scanner || null],
    [details.kernel, protocol.convolution_kernel],
    [details.voltage, protocol.kvp === null ? null : `${fixed(protocol.kvp, 0, language)} kV`],
    [details.thickness, protocol.slice_thickness_mm === null ? null : mm(protocol.slice_thickness_mm)],
    [details.spacing, protocol.spacing_mm.map((value) => fixed(value, 2, language)).join(" × ") + " mm"],
    [details.matrix, `${protocol.num_slices} × ${protocol.num_rows} × ${protocol.num_columns}`],
    [details.contrast, protocol.contrast_agent],
    [details.lungs, `${litres} L`],
  ];
}

function useRunFacts({ run, software, result_uid }: Report): readonly Fact[] {
  const { words, language } = useWords();
  const seconds = Object.values(run.seconds_by_stage).reduce((sum, value) => sum + value, 0);
  return [
    [words.details.software, `${software.name} ${software.version}`],
    [words.details.runtime, run.runtime],
    [words.details.device, run.device],
    [words.details.seconds, duration(seconds, language)],
    [words.details.resultUid, result_uid],
  ];
}

function Models({ report }: { report: Report }): ReactElement {
  const { words, language } = useWords();
  const { details } = words;
  return (
    <section className="block">
      <h2>{details.models}</h2>
      <ul className="models">
        {report.models.map((model) => (
          <li key={model.kind}>
            <span>{wordFor(details.modelKinds, model.kind)}</span>
            <span>
              {model.name} <span className="muted">{model.version}</span>
              <span className="muted model-hash" title={model.sha256}>
                {model.sha256.slice(0, 12)}
              </span>
            </span>
            <span className="muted">
              {model.operating_point === null ? "" : `${details.operatingPoint} ${model.operating_point}`}
              {model.false_positives_per_scan === null
                ? ""
                : ` · ${details.falsePositives(fixed(model.false_positives_per_scan, 1, language))}`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
