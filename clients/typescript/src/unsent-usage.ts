import type { SentUsageEvent } from './contract.js';

/** What still has events to send. */
export interface Unsent {
  /** Events that wait, those under way included. */
  unsent(): readonly SentUsageEvent[];
}

/** Events that are printed of each queue, so that they can be reported again; of more there is the number alone. */
const MAX_PRINTED = 100;

const watched = new Set<Unsent>();

/** Says at the end of the process, with `console.error`, what is lost because nobody called `close`. */
export function watchUnsent(queue: Unsent): void {
  if (watched.size === 0) process.once('exit', tell);
  watched.add(queue);
}

/** There is nothing left to lose. */
export function unwatchUnsent(queue: Unsent): void {
  if (watched.delete(queue) && watched.size === 0) process.removeListener('exit', tell);
}

function tell(): void {
  for (const queue of watched) {
    const events = queue.unsent();
    if (events.length === 0) continue;
    const printed = events.slice(0, MAX_PRINTED);
    const more = events.length > printed.length ? `, the first ${printed.length} of them` : '';
    console.error(
      `Latchkey: the process ends with ${events.length} usage events that were not sent. Call close() before it ends, and ` +
        `report these again${more}:\n${printed.map((event) => JSON.stringify(event)).join('\n')}`,
    );
  }
}
