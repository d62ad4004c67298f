import { owns } from '../../access/access-basis.js';
import type { Principal } from '../../access/caller.js';
import type { ApiKeyDetails } from '../api-key.view.js';
import { openHandOver } from './hand-over.js';

type Offered = Pick<ApiKeyDetails, 'key' | 'handOverByName' | 'managerIds'>;

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

  /** Whether the caller may draw it: as the signed-in owner, or as a manager of the service account that is. */
  mayDraw: boolean;

  /** The offer of a key that is open at `now`, as `principal` sees it; null: there is none. */
  static from({ key, handOverByName, managerIds }: Offered, principal: Principal, now: Date): HandOverView | null {
    const open = openHandOver(key, now);
    if (open === null) return null;
    const { by, until, overlapSeconds } = open;
    const mayDraw = owns(principal, { ownerId: key.ownerId, managerIds });
    return { offeredBy: by, offeredByName: handOverByName ?? '', expiresAt: until, overlapSeconds, mayDraw };
  }
}
