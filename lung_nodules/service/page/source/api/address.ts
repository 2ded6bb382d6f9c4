/** Where things are. */

/** Address of a resource under `v1/`, beside this page wherever it is served. */
export function addressOf(path: string): string {
  return new URL(`v1/${path}`, document.baseURI).href;
}

/** This page's own address, without what is after `?` and `#`: where an issuer sends readers back to. */
export function ownAddress(): string {
  return new URL(".", document.baseURI).href;
}
