/** The series of a study, and why each was read or not. */

import type { ReactElement } from "react";
import type { Series } from "../api/schemas";
import { useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { wordFor } from "../words/dictionary";

export function SeriesList({ series }: { series: readonly Series[] }): ReactElement | null {
  const { words, language } = useWords();
  if (series.length === 0) return null;
  return (
    <section className="block">
      <h2>
        {words.study.seriesConsidered} <span className="muted">{words.study.seriesHint(series.length)}</span>
      </h2>
      <ul className="series">
        {series.map((one) => (
          <li key={one.series_instance_uid} className="series-one" data-chosen={one.chosen}>
            <span className="series-sign">{one.chosen ? <Icon name="check" size={16} /> : null}</span>
            <span className="series-name">
              {one.series_number === null ? "" : `${one.series_number}  `}
              {one.series_description || one.modality}
            </span>
            <span className="muted series-count">
              {one.modality} · {words.study.imagesPerSeries(one.num_instances)}
            </span>
            <span className="series-why">
              {language === "en" ? one.sentence : <Translated text={words.reasons[one.code]} original={one.sentence} />}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A sentence in the reader's language with the service's own, which is English, behind it. */
export function Translated({ text, original }: { text: string | undefined; original: string }): ReactElement {
  return (
    <>
      {text ? <span>{text} </span> : null}
      <span lang="en" className={text ? "muted" : ""}>
        {original}
      </span>
    </>
  );
}

export function PassedOver({ files }: { files: Readonly<Record<string, number>> }): ReactElement | null {
  const { words } = useWords();
  const entries = Object.entries(files);
  if (entries.length === 0) return null;
  return (
    <section className="block">
      <h2>{words.study.passedOver}</h2>
      <dl className="facts facts-long">
        {entries.map(([code, count]) => (
          <div key={code}>
            <dt>{wordFor(words.reasons, code)}</dt>
            <dd>{count}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
