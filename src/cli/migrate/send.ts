import { setTimeout as sleep } from 'node:timers/promises';
import type { ImportApiKeysView } from '../../api-keys/bulk/import-api-keys.view.js';
import { StartRefusal } from '../../common/start-refusal.js';
import { bodyOf, type PlannedRow } from './plan.js';

/** One import may take this long: 500 keys are ten transactions. */
const REQUEST_MS = 120_000;
/** Attempts for one batch. The same import again finds duplicates, so that a repeat takes no key twice. */
const ATTEMPTS = 5;
/** Longest wait for `Retry-After` that is obeyed, in seconds. */
const MAX_WAIT_SECONDS = 60;

/** Where batches go. */
export interface Destination {
  /** Such as https://keys.example.com. */
  readonly url: string;
  /** An API key, or the access token of a session. */
  readonly credential: string;
  readonly raiseOwnerLimits: boolean;
}

/** What the server made of a row. */
export interface SentRow {
  readonly row: PlannedRow;
  readonly outcome: 'created' | 'duplicate' | 'refused';
  readonly reason: string | null;
}

/**
 * Imports one batch, again after a 429, a 503 or no answer.
 *
 * @throws StartRefusal with the answer of a server that refuses the whole batch, or gives none
 */
export async function sendBatch(destination: Destination, batch: readonly PlannedRow[]): Promise<readonly SentRow[]> {
  const { results } = await importBatch(destination, bodyOf(batch, destination.raiseOwnerLimits));
  return results.map((result): SentRow => {
    const fields = result.errors?.map(({ path, message }) => `${path} ${message}`) ?? [];
    const reason = [result.code, ...(fields.length > 0 ? fields : [result.detail])].filter(Boolean).join(': ');
    return { row: batch[result.index]!, outcome: result.outcome, reason: reason === '' ? null : reason };
  });
}

async function importBatch({ url, credential }: Destination, body: string): Promise<ImportApiKeysView> {
  const target = new URL('/api/v1/api-keys/import?wait=true', url);
  for (let attempt = 1; ; attempt += 1) {
    const answer = await post(target, credential, body);
    if (typeof answer === 'object' && answer.status === 200) return JSON.parse(answer.text) as ImportApiKeysView;
    const mayRepeat = typeof answer === 'string' || answer.status === 429 || answer.status === 503;
    if (!mayRepeat || attempt === ATTEMPTS) throw new StartRefusal(sentenceAbout(target, answer));
    await sleep(1000 * (typeof answer === 'string' ? 1 : answer.waitSeconds));
  }
}

interface HttpAnswer {
  readonly status: number;
  readonly waitSeconds: number;
  readonly text: string;
}

/** The answer, or why there is none. */
async function post(target: URL, credential: string, body: string): Promise<HttpAnswer | string> {
  try {
    const response = await fetch(target, {
      method: 'POST',
      redirect: 'error',
      headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    const after = Number(response.headers.get('retry-after') ?? 1);
    const waitSeconds = after > 0 && after <= MAX_WAIT_SECONDS ? after : 1;
    return { status: response.status, waitSeconds, text: await response.text() };
  } catch (error) {
    const { message, cause } = error as Error;
    return cause instanceof Error ? `${message}: ${cause.message}` : message;
  }
}

function sentenceAbout({ origin }: URL, answer: HttpAnswer | string): string {
  if (typeof answer === 'string')
    return `${origin} gave no answer (${answer}). Check the URL, and run the same command again.`;
  const detail = /"detail":("(?:[^"\\]|\\.)*")/.exec(answer.text)?.[1];
  const said = detail === undefined ? 'no problem document' : (JSON.parse(detail) as string);
  return `${origin} answered with status ${answer.status} (${said}). Nothing of this batch was taken; correct that, and run the same command again.`;
}
