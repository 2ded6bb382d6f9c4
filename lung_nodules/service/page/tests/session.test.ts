import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

const provider = vi.hoisted(() => ({ end: (): Promise<boolean> => Promise.resolve(true) }));

// the way to a real provider and back takes a browser: tests/service/page/test_page_sign_in.py of the repository
vi.mock("../source/api/issuer", () => ({
  Issuer: class {
    arrive = () => Promise.resolve(true);
    signOut = () => provider.end();
  },
}));

import { session } from "../source/api/session";

const way = { mode: "oidc", issuer: "https://idp.example", client_id: "page", scope: "openid" };

beforeEach(async () => {
  vi.stubGlobal("document", { baseURI: "https://service.example/" });
  vi.stubGlobal("fetch", () => Promise.resolve(Response.json(way)));
  await session.open();
  expect(session.state().at).toBe("in");
});

afterEach(() => vi.unstubAllGlobals());

describe("signing out", () => {
  it("says nothing where the provider has ended its session", async () => {
    provider.end = () => Promise.resolve(true);
    await session.signOut();
    expect(session.state()).toMatchObject({ at: "out", problem: null });
  });

  it("hides what was shown before the provider answers", () => {
    provider.end = () => new Promise(() => undefined);
    void session.signOut();
    expect(session.state()).toMatchObject({ at: "out", problem: null });
  });

  it("says that the provider's session goes on where the provider has no end for it", async () => {
    provider.end = () => Promise.resolve(false);
    await session.signOut();
    expect(session.state()).toMatchObject({ at: "out", problem: { code: "session-goes-on" } });
  });

  it("says that the provider's session may be open where the provider is not reached", async () => {
    provider.end = () => Promise.reject(new Error("Failed to fetch"));
    await session.signOut();
    expect(session.state()).toMatchObject({ at: "out", problem: { code: "session-may-be-open" } });
  });
});
