import type { Period } from './quota-store.js';

/** The month of an instant (UTC), as its first day. */
export function monthOf(ms: number): Period {
  return `${new Date(ms).toISOString().slice(0, 7)}-01`;
}

/** The instant at which a month ends and the next begins. */
export function monthEnd(month: Period): number {
  const start = new Date(`${month}T00:00:00.000Z`);
  return Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1);
}
