import type { ApiKey } from '../api-key.entity.js';

/** How long an owner has to draw an offered secret: 24 hours. */
const HAND_OVER_MS = 86_400_000;

/** The columns of a key that hold an offer. */
export type HandOverState = Pick<ApiKey, 'handOverBy' | 'handOverUntil' | 'handOverOverlapSeconds'>;

/** An offer that the owner of a key can take up: the key's next secret. */
export interface HandOver {
  /** The user who made the offer. */
  readonly by: string;
  readonly until: Date;
  /** How long the secret before goes on working once the offered one is drawn. */
  readonly overlapSeconds: number;
}

/** A key whose next secret is offered to nobody. */
export const NO_HAND_OVER: HandOverState = { handOverBy: null, handOverUntil: null, handOverOverlapSeconds: null };

/** An offer that begins at `now`. */
export function handOverFrom(now: Date, by: string, overlapSeconds: number): HandOverState {
  return {
    handOverBy: by,
    handOverUntil: new Date(now.getTime() + HAND_OVER_MS),
    handOverOverlapSeconds: overlapSeconds,
  };
}

/** The offer of a key that is open at `now`; null: there is none, it has ended, or the key is revoked. */
export function openHandOver(key: HandOverState & Pick<ApiKey, 'revokedAt'>, now: Date): HandOver | null {
  const { handOverBy: by, handOverUntil: until, handOverOverlapSeconds: overlapSeconds, revokedAt } = key;
  if (by === null || until === null || overlapSeconds === null) return null;
  return revokedAt === null && until > now ? { by, until, overlapSeconds } : null;
}
