/** What every part of the page may need: words, who is reading, what to say when something went wrong. */

import { createContext, useContext } from "react";
import type { Me, PageSettings } from "../api/schemas";
import type { Preferences } from "../state/preferences";
import { DICTIONARIES, type Language, type Words } from "../words/dictionary";

export interface PageContext {
  readonly preferences: Preferences;
  readonly setPreferences: (preferences: Preferences) => void;
  readonly me: Me | null;
  readonly settings: PageSettings | null;
  readonly complain: (problem: unknown) => void;
}

export const Page = createContext<PageContext | null>(null);

export function usePage(): PageContext {
  const page = useContext(Page);
  if (!page) throw new Error("outside of the page");
  return page;
}

export function useWords(): { words: Words; language: Language } {
  const { language } = usePage().preferences;
  return { words: DICTIONARIES[language], language };
}

const RANK = { viewer: 0, operator: 1, admin: 2 } as const;

/** Whether the reader's role covers one; the service decides, the page only leaves out what it would refuse. */
export function useRole(needed: keyof typeof RANK): boolean {
  const { me } = usePage();
  return me !== null && RANK[me.role] >= RANK[needed];
}
