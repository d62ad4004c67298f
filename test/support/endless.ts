import { setTimeout as sleep } from 'node:timers/promises';

/** A route whose answer goes on until its caller leaves. */
const ENDLESS = /\/audit-events\/stream(\?|$)/;
/** As long as the first entry is waited for, in milliseconds: where nothing is recorded, nothing comes. */
const PATIENCE_MS = 300;

/** The text of an answer to a request for `target`; of one that does not end what came until there was an entry. */
export async function textOf(target: string, response: Response, patienceMs = PATIENCE_MS): Promise<string> {
  if (!ENDLESS.test(target) || !response.ok || response.body === null) return response.text();
  const reader = response.body.getReader();
  const isOver = sleep(patienceMs, null);
  let text = '';
  // It begins with an empty line.
  while (text.trim() === '') {
    const next = await Promise.race([reader.read(), isOver]);
    if (next?.value === undefined) break;
    text += Buffer.from(next.value as Uint8Array).toString();
  }
  await reader.cancel();
  return text;
}
