const TIMEOUT_MS = 3_000;
const MAX_BYTES = 256 * 1024;

/** What the identity provider answered: its status, and the JSON of its body (null where it is none). */
export interface JsonAnswer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * Asks the identity provider, within 3 s and 256 KiB; redirects are not followed, so that a request goes to the address
 * that was configured or to none.
 *
 * @throws Error when there is no answer, or a larger one
 */
export async function fetchJson(
  uri: string,
  init: Pick<RequestInit, 'method' | 'headers' | 'body'> = {},
): Promise<JsonAnswer> {
  const headers = { accept: 'application/json', ...(init.headers as Record<string, string> | undefined) };
  const response = await fetch(uri, { ...init, headers, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > MAX_BYTES) throw new Error('The answer of the identity provider is too large.');
    chunks.push(chunk as Uint8Array);
  }
  return { status: response.status, body: parsed(Buffer.concat(chunks).toString('utf8')) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
