/** Small hooks that more than one part uses. */

import { useCallback, useEffect, useRef, useState, useSyncExternalStore, type RefObject } from "react";
import { session, type SessionState } from "../api/session";
import { commandOf, isTakenBy, type Command, type Context } from "../state/keys";
import { readRoute, writeRoute, type Route } from "../state/route";

export function useSession(): SessionState {
  return useSyncExternalStore(session.subscribe, session.state);
}

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribeHash, () => window.location.hash);
  return readRoute(hash);
}

function subscribeHash(listener: () => void): () => void {
  window.addEventListener("hashchange", listener);
  return () => window.removeEventListener("hashchange", listener);
}

export function goTo(route: Route): void {
  window.location.hash = writeRoute(route);
}

/** Replace the address without a step in the browser's history. */
export function noteRoute(route: Route): void {
  const address = writeRoute(route);
  if (window.location.hash === address) return;
  window.history.replaceState(null, "", address);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/** The time, renewed every so often, for what says how long ago something was. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Answer to the keyboard; keys for the element with the focus, or while a dialog is open, are left alone. */
export function useKeys(context: Context, act: (command: Command) => boolean): void {
  const latest = useRef(act);
  useEffect(() => {
    latest.current = act;
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
      const target = event.target instanceof HTMLElement ? event.target : document.body;
      if (isTakenBy(describe(target), event.key)) return;
      const command = commandOf(event, context);
      if (command && latest.current(command)) event.preventDefault();
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, [context]);
}

function describe(element: HTMLElement): Parameters<typeof isTakenBy>[0] {
  return {
    tagName: element.tagName,
    role: element.getAttribute("role"),
    isContentEditable: element.isContentEditable,
    ...(element instanceof HTMLInputElement ? { type: element.type } : {}),
  };
}

/** Size of an element's content in CSS pixels, kept up to date. */
export function useBox<T extends HTMLElement>(): [RefObject<T | null>, { width: number; height: number }] {
  const ref = useRef<T | null>(null);
  const [box, setBox] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setBox({ width: entry.contentRect.width, height: entry.contentRect.height });
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, box];
}

export type Loaded<T> =
  | { readonly state: "loading" }
  | { readonly state: "ready"; readonly value: T }
  | { readonly state: "problem"; readonly problem: Error };

/** What a promise gives, asked for again whenever `key` changes or `reload` is called. */
export function useLoaded<T>(key: string, load: () => Promise<T>): [Loaded<T>, () => void] {
  const [kept, setKept] = useState<{ key: string; loaded: Loaded<T> } | null>(null);
  const latest = useRef(load);
  const [count, setCount] = useState(0);
  useEffect(() => {
    latest.current = load;
  });
  useEffect(() => {
    let current = true;
    const keep = (loaded: Loaded<T>): void => {
      if (current) setKept({ key, loaded });
    };
    latest.current().then(
      (value) => keep({ state: "ready", value }),
      (problem: unknown) => keep({ state: "problem", problem: problem instanceof Error ? problem : new Error() }),
    );
    return () => {
      current = false;
    };
  }, [key, count]);
  const reload = useCallback(() => setCount((value) => value + 1), []);
  return [kept?.key === key ? kept.loaded : { state: "loading" }, reload];
}

/** Whether a media query holds. */
export function useMedia(query: string): boolean {
  const subscribe = useCallback(
    (listener: () => void) => {
      const media = window.matchMedia(query);
      media.addEventListener("change", listener);
      return () => media.removeEventListener("change", listener);
    },
    [query],
  );
  return useSyncExternalStore(subscribe, () => window.matchMedia(query).matches);
}

const NOTHING = new Promise<never>(() => undefined);

/** What never comes: for `useLoaded`, while there is nothing to ask for. */
export const notYet = (): Promise<never> => NOTHING;

/** Move the focus from study to study; into the list where it is elsewhere. */
export function moveFocus(table: HTMLTableElement | null, by: number): void {
  const links = [...(table?.querySelectorAll<HTMLElement>("[data-row]") ?? [])];
  const at = links.findIndex((link) => link === document.activeElement);
  links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
}
