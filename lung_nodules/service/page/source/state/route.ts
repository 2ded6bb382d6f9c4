/** Where in the page one is, kept in the address after `#` so that a link leads back to it. Nothing of a patient is in it. */

export type Route =
  | { readonly name: "worklist" }
  | { readonly name: "archive" }
  | { readonly name: "audit"; readonly jobId: string | null }
  | { readonly name: "study"; readonly jobId: string; readonly findingId: string | null };

export function readRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?");
  if (path === "/archive") return { name: "archive" };
  if (path === "/audit") return { name: "audit", jobId: new URLSearchParams(query).get("job") };
  const [, jobId] = /^\/studies\/([^/]+)$/.exec(path) ?? [];
  if (jobId === undefined) return { name: "worklist" };
  try {
    return { name: "study", jobId: decodeURIComponent(jobId), findingId: new URLSearchParams(query).get("finding") };
  } catch {
    return { name: "worklist" }; // a broken escape
  }
}

export function writeRoute(route: Route): string {
  switch (route.name) {
    case "worklist":
      return "#/";
    case "archive":
      return "#/archive";
    case "audit":
      return `#/audit${queryOf({ job: route.jobId })}`;
    case "study":
      return `#/studies/${encodeURIComponent(route.jobId)}${queryOf({ finding: route.findingId })}`;
  }
}

function queryOf(values: Readonly<Record<string, string | null>>): string {
  const given = Object.entries(values).filter((pair): pair is [string, string] => pair[1] !== null);
  return given.length === 0 ? "" : `?${new URLSearchParams(given).toString()}`;
}
