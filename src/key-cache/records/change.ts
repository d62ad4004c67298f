import type { LimitTarget } from '../../quotas/limits/limit-facts.js';

/** One change of the feed that may touch what replicas remember. */
export interface Change {
  readonly seq: bigint;
  readonly touches: 'key' | 'owner' | 'role' | 'project' | 'limit';
  /** null: all of them. */
  readonly id: string | null;
  /** The key was made by this change: what is held for it is younger. Absent: it was there before. */
  readonly isNew?: true;
  /** MACs of all imported secrets of the key. Absent: it has none. */
  readonly importedMacs?: readonly Buffer[];
  /** What the limit is of; null: not known any more. Absent: the change is not of a limit. */
  readonly target?: ChangedTarget | null;
}

/** What a limit is of, as the feed tells it. */
export interface ChangedTarget {
  readonly kind: LimitTarget;
  /** Null for the installation. */
  readonly id: string | null;
}

/** A secret that was replaced with an overlap. */
export interface ReplacedSecret {
  readonly kid: string;
  readonly at: Date;
}

/** What a change has ended. Other fields of it are not read. */
export interface Endings {
  /** The key was revoked, or the key or user deleted. */
  readonly isRevoked: boolean;
  /** The key, user or project was deactivated (false) or activated (true); null: neither. */
  readonly isActive: boolean | null;
  /** Public ids of the secrets that were ended. */
  readonly endedKids: readonly string[];
  /** The secret that was replaced, which works until `at` beside the new one. Absent: none was. */
  readonly replaced?: ReplacedSecret;
}

/** One row of the audit trail, as much of it as the feed reads. */
export interface FeedRow {
  readonly seq: bigint;
  /** Names this row in every history: another row of the same `seq` has another id. */
  readonly id: string;
  /** When it was chained, Unix milliseconds of the database's clock. */
  readonly atMs: number;
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string | null;
  readonly outcome: string;
  /** Whether the row names fields that changed. */
  readonly hasChanges: boolean;
  /** null: it ended nothing. */
  readonly endings: Endings | null;
  /** Of the key that the row is about: MACs of all its imported secrets. Absent: it has none. */
  readonly importedMacs?: readonly Buffer[];
  /** Of the limit that the row is about: what it is of. Absent: of another thing, or the limit is gone. */
  readonly target?: ChangedTarget;
}

const TOUCHED: Readonly<Record<string, Change['touches']>> = {
  'api-key': 'key',
  user: 'owner',
  role: 'role',
  project: 'project',
  limit: 'limit',
};

/** Acts about a user that change nothing a key depends on: how the person signs in, and what they were told. */
const OF_SIGNING_IN = /^(?:auth|sessions|second-factors):/;

/**
 * What a row of the trail means for caches. Refusals, reads and sign-ins are rows too and mean nothing; a change
 * without a name of its thing means all things of its kind.
 */
export function changeOf(row: FeedRow): Change | null {
  const touches = TOUCHED[row.resourceType];
  if (touches === undefined || row.outcome !== 'success' || row.action.endsWith(':read')) return null;
  if (OF_SIGNING_IN.test(row.action)) return null;
  if (row.resourceId === null && !row.hasChanges) return null;
  const id = touches === 'role' ? row.resourceId : (row.resourceId?.toLowerCase() ?? null);
  return {
    seq: row.seq,
    touches,
    id,
    ...(row.action === 'api-keys:create' ? { isNew: true as const } : {}),
    ...(row.importedMacs === undefined ? {} : { importedMacs: row.importedMacs }),
    ...(touches === 'limit' ? { target: row.target ?? null } : {}),
  };
}
