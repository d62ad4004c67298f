import { setTimeout as sleep } from 'node:timers/promises';

/** A route whose answer goes on until its caller leaves. */
const ENDLESS = /\/audit-events\/stream(\?|$)/;
/** As long as the first of it is waited for, in milliseconds: where nothing is recorded, nothing comes. */
const PATIENCE_MS = 300;

/** The text of an answer to a request for `target`; of one that does not end what came first. */
export async function textOf(target: string, response: Response): Promise<string> {
  if (!ENDLESS.test(target) || !response.ok || response.body === null) return response.text();
  const reader = response.body.getReader();
  const first = await Promise.race([reader.read(), sleep(PATIENCE_MS, null)]);
  await reader.cancel();
  return first?.value === undefined ? '' : Buffer.from(first.value as Uint8Array).toString();
}
