/** Line icons on a 20-pixel grid, drawn for this page; always beside or behind a name in words. */

import type { ReactElement } from "react";

const PATHS = {
  window: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
  scroll: "M10 3v14M7 6l3-3 3 3M7 14l3 3 3-3",
  pan: "M10 3v14M3 10h14M8 5l2-2 2 2M8 15l2 2 2-2M5 8l-2 2 2 2M15 8l2 2-2 2",
  zoom: "M8.500 3.500a5 5 0 1 0 0 10 5 5 0 0 0 0-10zM12.200 12.200 16.500 16.500M6.500 8.500h4M8.500 6.500v4",
  ruler: "M3 13 13 3l4 4L7 17zM6 10l1.500 1.500M8.500 7.500 10 9M11 5l1.500 1.500",
  outlines:
    "M6 4.500c3-2 8 0 9.500 3.500s0 7-3.500 8-7-.5-8-4 0-6 2-7.500zM10 8.500a1.500 1.500 0 1 0 0 3 1.500 1.500 0 0 0 0-3z",
  reset: "M4 10a6 6 0 1 0 2-4.500M4 3.500v3h3",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  help: "M7.500 7.500a2.500 2.500 0 1 1 3.500 2.300c-.8.4-1 .8-1 1.700M10 14.500v.1M10 2.500a7.500 7.500 0 1 0 0 15 7.500 7.500 0 0 0 0-15z",
  search: "M9 3.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM13 13l4 4",
  back: "M12 4l-6 6 6 6",
  sun: "M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.300 4.300l1 1M14.700 14.700l1 1M15.700 4.300l-1 1M5.300 14.700l-1 1",
  moon: "M16 11.500A6.500 6.500 0 1 1 8.500 4a5.200 5.200 0 0 0 7.500 7.500z",
  close: "M5 5l10 10M15 5 5 15",
  check: "M4 10.500l4 4 8-9",
  cross: "M5.500 5.500l9 9M14.500 5.500l-9 9",
  pencil: "M4 16l1-4 8.500-8.500 3 3L8 15z",
  warning: "M10 3.500 17.500 16.500h-15zM10 8.500v3.500M10 14.200v.1",
  download: "M10 3v9.500M6 9l4 4 4-4M4 16.500h12",
  external: "M8 4H4v12h12v-4M11 4h5v5M16 4l-7 7",
  retry: "M16 10a6 6 0 1 1-2-4.500M16 3.500v3h-3",
  stop: "M6 6h8v8H6z",
  upload: "M10 13V3.500M6 7.500l4-4 4 4M4 16.500h12",
  list: "M4 5h12M4 10h12M4 15h8",
  leave: "M8 4H4v12h4M9 10h8M13.500 6.500 17 10l-3.500 3.500",
  trash: "M4 6h12M8 6V4h4v2M5.500 6l.700 10.500h7.600L14.500 6M8.500 9v4.500M11.500 9v4.500",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }): ReactElement {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark(): ReactElement {
  return (
    <svg className="mark" width="26" height="26" viewBox="4 4 24 24" aria-hidden="true" focusable="false">
      <path d="M14 7c-5 2-8.500 8-8.500 14 0 4 2 5 4.500 4.500 3-.6 4-2.500 4-6zM18 7c5 2 8.500 8 8.500 14 0 4-2 5-4.500 4.500-3-.6-4-2.500-4-6z" />
      <circle cx="22" cy="16.500" r="2.200" />
    </svg>
  );
}
