/** What to look for in an archive. */

import type { ReactElement, Ref } from "react";
import { useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import type { Fields, Search } from "../state/search";

export interface SearchFormProps {
  readonly archives: readonly string[];
  readonly search: Search;
  readonly onChange: (change: { archive?: string; fields?: Partial<Fields> }) => void;
  readonly onSearch: () => void;
  readonly ref: Ref<HTMLInputElement>;
}

const MODALITIES = ["CT", "PT", "MR", ""] as const;

export function SearchForm({ archives, search, onChange, onSearch, ref }: SearchFormProps): ReactElement {
  const { words } = useWords();
  const { fields } = search;
  const text = (name: "name" | "patientId" | "accession" | "description", isFirst = false): ReactElement => (
    <label className="field">
      <span>{words.archive.fields[name]}</span>
      <input
        ref={isFirst ? ref : null}
        value={fields[name]}
        maxLength={60}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => onChange({ fields: { [name]: event.target.value } })}
      />
    </label>
  );
  const date = (name: "firstDate" | "lastDate"): ReactElement => (
    <label className="field">
      <span>{words.archive.fields[name]}</span>
      <input
        type="date"
        value={fields[name]}
        onChange={(event) => onChange({ fields: { [name]: event.target.value } })}
      />
    </label>
  );
  return (
    <form
      className="search-form"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onSearch();
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape" && event.target instanceof HTMLElement) event.target.blur();
      }}
    >
      {text("name", true)}
      {text("patientId")}
      {text("accession")}
      {text("description")}
      {date("firstDate")}
      {date("lastDate")}
      <label className="field">
        <span>{words.archive.fields.modality}</span>
        <select value={fields.modality} onChange={(event) => onChange({ fields: { modality: event.target.value } })}>
          {MODALITIES.map((modality) => (
            <option key={modality} value={modality}>
              {modality || words.archive.anyModality}
            </option>
          ))}
        </select>
      </label>
      {archives.length > 1 ? (
        <label className="field">
          <span>{words.submit.archive}</span>
          <select value={search.archive} onChange={(event) => onChange({ archive: event.target.value })}>
            {archives.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      ) : null}
      <button type="submit" className="button button-main" disabled={search.loading}>
        <Icon name="search" />
        {words.archive.button}
      </button>
    </form>
  );
}
