import type { EntityManager } from 'typeorm';
import type { Anchor } from './chain-check.js';
import { HEAD_SEQ } from './chain-tables.js';

/** What the trail calls a restore. */
export const RESTORE_ACTION = 'system:restore';

/** A restore, as the trail tells of it: the entries of the history before it that are gone. */
export interface Restore {
  /** The last entry that both histories have. */
  readonly afterSeq: string;
  /** The last entry that was known from outside. */
  readonly lostUpToSeq: string;
  /** When that was known, by the clock of the history that is gone; ISO 8601. */
  readonly lostUntil: string;
}

/** Restores that lost something, oldest first. The chain vouches for them like for any other entry. */
export async function findRestores(manager: EntityManager): Promise<Restore[]> {
  const rows = await manager.query<{ lost: Restore | null }[]>(
    `SELECT details->'lost' AS lost FROM audit_event
      WHERE action = $1 AND actor_kind = 'system' AND seq <= ${HEAD_SEQ.audit_event} ORDER BY seq`,
    [RESTORE_ACTION],
  );
  return rows.flatMap(({ lost }) => (lost === null ? [] : [lost]));
}

/**
 * The restore that gave up the history an anchor is of: the chain does not go through it, and need not. Null: none did.
 */
export function givenUpBy({ seq, at }: Pick<Anchor, 'seq' | 'at'>, restores: readonly Restore[]): Restore | null {
  const isOf = ({ afterSeq, lostUpToSeq, lostUntil }: Restore) =>
    BigInt(seq) > BigInt(afterSeq) && BigInt(seq) <= BigInt(lostUpToSeq) && Date.parse(at) <= Date.parse(lostUntil);
  return restores.find(isOf) ?? null;
}
