import type { ApiKey } from '../api-key.entity.js';
import { openHandOver } from './hand-over.js';

/** The next secret of a key, offered to its owner. */
export class HandOverView {
  /**
   * The user who offers it.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  offeredBy: string;

  /** @example "Ada Lovelace" */
  offeredByName: string;

  /** When the offer ends: 24 hours after it was made. */
  expiresAt: Date;

  /**
   * How long the old secret goes on working once the new one is drawn.
   * @example 3600
   */
  overlapSeconds: number;

  /** The offer of a key that is open at `now`; null: there is none. */
  static from(key: ApiKey, offeredByName: string | null, now: Date): HandOverView | null {
    const open = openHandOver(key, now);
    if (open === null) return null;
    const { by, until, overlapSeconds } = open;
    return { offeredBy: by, offeredByName: offeredByName ?? '', expiresAt: until, overlapSeconds };
  }
}
