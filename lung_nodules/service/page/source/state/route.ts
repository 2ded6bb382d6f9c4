/** Where in the page one is, kept in the address after `#` so that a link leads back to it. */

export type Route =
  { readonly name: "worklist" } | { readonly name: "study"; readonly jobId: string; readonly findingId: string | null };

export function readRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?");
  const [, jobId] = /^\/studies\/([^/]+)$/.exec(path) ?? [];
  if (jobId === undefined) return { name: "worklist" };
  try {
    return { name: "study", jobId: decodeURIComponent(jobId), findingId: new URLSearchParams(query).get("finding") };
  } catch {
    return { name: "worklist" }; // a broken escape
  }
}

export function writeRoute(route: Route): string {
  if (route.name === "worklist") return "#/";
  const query = route.findingId === null ? "" : `?${new URLSearchParams({ finding: route.findingId }).toString()}`;
  return `#/studies/${encodeURIComponent(route.jobId)}${query}`;
}
