/**
 * Signing in at an OpenID Connect provider: authorization code with PKCE, by oidc-client-ts.
 *
 * Tokens are in memory alone. What must outlive the way to the provider and back (state, verifier) is in the tab's
 * storage until it is used, and so is the mark that somebody has signed in here: a page that is loaded anew asks the
 * provider once, without a question to the reader.
 */

import { InMemoryWebStorage, UserManager, WebStorageStateStore, type User } from "oidc-client-ts";
import { ownAddress } from "./address";

const SIGNED_IN = "lung-nodules.signed-in";
const EARLY_S = 30; // a token is renewed so long before it ends
const NO_QUESTION = ["login_required", "interaction_required", "consent_required", "account_selection_required"];

export interface IssuerPlace {
  readonly issuer: string;
  readonly client_id: string;
  readonly scope: string;
}

export class Issuer {
  readonly #manager: UserManager;
  #user: User | null = null;
  #renewal: Promise<boolean> | null = null;

  constructor({ issuer, client_id, scope }: IssuerPlace) {
    this.#manager = new UserManager({
      authority: issuer,
      client_id,
      scope,
      redirect_uri: ownAddress(),
      post_logout_redirect_uri: ownAddress(),
      userStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
      stateStore: new WebStorageStateStore({ store: sessionStorage }),
      automaticSilentRenew: false, // renewed when a request needs it
      monitorSession: false,
    });
  }

  /**
   * Take the provider's answer from the address, or ask it once more after a reload.
   *
   * @returns Whether somebody is signed in; null while the browser is on its way to the provider.
   */
  async arrive(): Promise<boolean | null> {
    if (new URLSearchParams(window.location.search).has("state")) return this.#takeAnswer();
    if (sessionStorage.getItem(SIGNED_IN) === null) return false;
    await this.#leaveFor({ prompt: "none" });
    return null;
  }

  async signIn(): Promise<void> {
    await this.#leaveFor({});
  }

  /** The access token, renewed where it is about to end; null where it has ended for good. */
  async token(): Promise<string | null> {
    if (this.#user && (this.#user.expires_in ?? Infinity) < EARLY_S) await this.renew();
    return this.#user && !this.#user.expired ? this.#user.access_token : null;
  }

  /** Get another access token by the refresh token, once for all who ask meanwhile. */
  renew(): Promise<boolean> {
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  /**
   * End the session here and at the provider. Throws where that one is not reached.
   *
   * @returns Whether it ends there, too: a provider without an `end_session_endpoint` keeps it.
   */
  async signOut(): Promise<boolean> {
    sessionStorage.removeItem(SIGNED_IN);
    this.#user = null;
    try {
      return await this.#leaveForGood();
    } catch (error) {
      await this.#manager.removeUser(); // no token stays here, whatever goes on over there
      throw error;
    }
  }

  async #leaveForGood(): Promise<boolean> {
    const metadata = await this.#manager.metadataService.getMetadata();
    if (metadata.revocation_endpoint) await this.#manager.revokeTokens(["refresh_token"]).catch(() => undefined);
    if (metadata.end_session_endpoint) await this.#manager.signoutRedirect();
    else await this.#manager.removeUser();
    return Boolean(metadata.end_session_endpoint);
  }

  async #leaveFor(how: { prompt?: string }): Promise<void> {
    await this.#manager.signinRedirect({ ...how, state: window.location.hash });
  }

  async #takeAnswer(): Promise<boolean> {
    const answer = window.location.href;
    const show = (hash: unknown): void =>
      window.history.replaceState(null, "", `${ownAddress()}${typeof hash === "string" ? hash : ""}`);
    show(""); // an answer is good once
    sessionStorage.removeItem(SIGNED_IN);
    try {
      this.#user = await this.#manager.signinRedirectCallback(answer);
    } catch (error) {
      show(stateOf(error));
      if (NO_QUESTION.includes(codeOf(error))) return false;
      throw error;
    }
    show(this.#user.state);
    sessionStorage.setItem(SIGNED_IN, "");
    return true;
  }

  async #renew(): Promise<boolean> {
    if (!this.#user?.refresh_token) return false;
    try {
      this.#user = await this.#manager.signinSilent();
    } catch {
      return false; // the session has ended at the provider, or it does not answer: the service will say
    }
    return this.#user !== null;
  }
}

function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "error" in error ? String(error.error) : "";
}

function stateOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "state" in error ? error.state : null;
}
