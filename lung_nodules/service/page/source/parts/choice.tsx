/** One of a few, in a row: radio buttons to the browser and to a screen reader. */

import { useId, type ReactElement, type ReactNode } from "react";

export interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly options: readonly {
    readonly value: T;
    readonly text: ReactNode;
    readonly hint?: string;
    readonly disabled?: boolean;
  }[];
  readonly value: T | null;
  readonly onChange: (value: T) => void;
  readonly className?: string;
}

export function Choice<T extends string>({
  label,
  options,
  value,
  onChange,
  className = "",
}: ChoiceProps<T>): ReactElement {
  const name = useId();
  return (
    <fieldset className={`choice ${className}`}>
      <legend className="unseen">{label}</legend>
      {options.map((option) => (
        <label key={option.value} className="choice-option" title={option.hint}>
          <input
            type="radio"
            className="unseen"
            name={name}
            value={option.value}
            checked={option.value === value}
            disabled={option.disabled ?? false}
            onChange={() => onChange(option.value)}
          />
          <span className="choice-text">{option.text}</span>
        </label>
      ))}
    </fieldset>
  );
}
