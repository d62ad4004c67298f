/** What a request presents, as it came. */
export interface PresentedRequest {
  authorization: string | undefined;
  xApiKey: string | string[] | undefined;
  /** Path and query. */
  url: string;
}

/** The key, or why there is none to verify. */
export type Presented = { key: string } | { refusal: 'missing' | 'two' | 'in-url' };

/** A secret of any prefix; without its last characters it is still one. */
const SECRET_INSIDE_TEXT = /_(?:live|test)_[0-9A-Za-z]{57}/;

/**
 * Reads the key from `Authorization: Bearer` or `X-API-Key`, never from the URL: what is in a URL is in the logs of
 * every hop, so a request with a key there is refused, and the key should be revoked.
 */
export function presentedKey({ authorization, xApiKey, url }: PresentedRequest): Presented {
  if (SECRET_INSIDE_TEXT.test(decoded(url))) return { refusal: 'in-url' };
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  // Sent twice, Node joins it; a list comes only from frameworks that keep it.
  const header = Array.isArray(xApiKey) ? xApiKey.join(', ') : xApiKey;
  if (bearer !== undefined && header !== undefined && bearer !== header) return { refusal: 'two' };
  const key = bearer ?? header;
  return key === undefined || key === '' ? { refusal: 'missing' } : { key };
}

function decoded(url: string): string {
  try {
    return decodeURIComponent(url);
  } catch {
    return url;
  }
}
