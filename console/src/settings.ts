/** What the server writes into the page. Nothing of it is secret. */
export interface Settings {
  /** Where clients reach the server, without a slash at the end. */
  publicUrl: string;
  /** ISO 4217; amounts of the API are hundredths of it. */
  currency: string;
}

function read(name: string): string | null {
  return document.querySelector<HTMLMetaElement>(`meta[name="latchkey:${name}"]`)?.content ?? null;
}

/** The settings of this installation. */
export const settings: Settings = {
  publicUrl: read('public-url') ?? window.location.origin,
  currency: read('currency') ?? 'USD',
};
