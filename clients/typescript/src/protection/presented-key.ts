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

/** A credential for another service: keys have no dots. */
const JWT_SHAPE = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/**
 * Reads the key from `Authorization: Bearer` or `X-API-Key`, never from the URL: what is in a URL is in the logs of
 * every hop, so a request with a key there is refused. Another scheme of `Authorization`, and a JWT beside an
 * `X-API-Key`, are meant for another service; two keys that differ contradict each other.
 */
export function presentedKey({ authorization, xApiKey, url }: PresentedRequest): Presented {
  if (SECRET_INSIDE_TEXT.test(decoded(url))) return { refusal: 'in-url' };
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  // Sent twice, Node joins it; a list comes only from frameworks that keep it.
  const header = Array.isArray(xApiKey) ? xApiKey.join(', ') : xApiKey;
  if (header === undefined || header === '') return bearer === undefined ? { refusal: 'missing' } : { key: bearer };
  return bearer === undefined || bearer === header || JWT_SHAPE.test(bearer) ? { key: header } : { refusal: 'two' };
}

function decoded(url: string): string {
  try {
    return decodeURIComponent(url);
  } catch {
    return url;
  }
}
