/** What the server writes into the page. Nothing of it is secret. */
export interface Settings {
  /** Where clients reach the server, without a slash at the end. */
  publicUrl: string;
  /** ISO 4217; amounts of the API are hundredths of it. */
  currency: string;
  /** What every secret made here begins with: `lk` in `lk_live_…`. */
  keyPrefix: string;
  /** How long a renewal lasts where the key says nothing. */
  keyValidityDays: number;
  /** The cap on the active keys of an owner without a cap of the owner's own. */
  maxActiveKeys: number;
  /** What the identity provider is called that people may sign in with; null: with a password alone. */
  identityProvider: string | null;
  /** Where the API is described; null: `SWAGGER_ENABLED` is off. */
  apiReference: string | null;
}

function read(name: string): string | null {
  return document.querySelector<HTMLMetaElement>(`meta[name="latchkey:${name}"]`)?.content ?? null;
}

/** The settings of this installation. */
export const settings: Settings = {
  publicUrl: read('public-url') ?? window.location.origin,
  currency: read('currency') ?? 'USD',
  keyPrefix: read('key-prefix') ?? 'lk',
  keyValidityDays: Number(read('key-validity-days') ?? 15),
  maxActiveKeys: Number(read('max-active-keys') ?? 10),
  identityProvider: read('identity-provider'),
  apiReference: read('api-reference'),
};
