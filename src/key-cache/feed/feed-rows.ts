import { FULL_OVERLAP_MS, MOST_TOLD_FULL } from '../../quotas/full-notices.js';
import type { ChangedTarget, Endings, FeedRow } from '../records/change.js';

/** Columns of the trail as the feed reads them, of rows `e`. Of what a change says only endings are read. */
export const FEED_COLUMNS = `
  e.seq, e.id, extract(epoch FROM e.at) * 1000 AS at_ms, e.action, e.resource_type, e.resource_id, e.outcome,
  e.changes <> '[]' AS has_changes,
  CASE WHEN e.outcome = 'success' AND e.resource_type IN ('api-key', 'user', 'project')
    THEN jsonb_path_query_array(e.changes, '$[*] ? (@.field == "revokedAt" || @.field == "isActive")') END AS ends,
  CASE WHEN e.outcome = 'success' AND e.resource_type = 'api-key'
    THEN coalesce(e.details->'endedKids',
      CASE WHEN e.action = 'api-key-secrets:delete' THEN jsonb_build_array(e.details->>'kid') END) END AS ended_kids,
  CASE WHEN e.outcome = 'success' AND e.resource_type = 'api-key' AND e.details->>'previousSecretExpiresAt' IS NOT NULL
    THEN jsonb_build_object('kid', e.details->>'previousKid', 'at', e.details->>'previousSecretExpiresAt')
  END AS replaced`;

/**
 * MACs of all imported secrets of the key that the row `e` is about: whatever has changed of it, so that those who
 * follow the feed know of each as soon as of the change that brought it.
 */
export const IMPORTED_MACS = `
  CASE WHEN e.outcome = 'success' AND e.resource_type = 'api-key' AND e.resource_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
    THEN (SELECT json_agg(encode(s.mac, 'hex')) FROM api_key_secret s WHERE s.key_id = e.resource_id::uuid AND s.kind = 'imported')
  END AS imported_macs`;

/** What the limit is of that the row `e` is about. A limit that has ended keeps its row, so that this is known. */
export const LIMIT_TARGET = `
  CASE WHEN e.outcome = 'success' AND e.resource_type = 'limit' AND e.resource_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
    THEN (SELECT json_build_object('kind', l.target_kind, 'id', l.target_id) FROM quota_limit l WHERE l.id = e.resource_id::uuid)
  END AS limit_target`;

/**
 * Accounts that were marked full of late, and are full; null: too many to be told. The order makes PostgreSQL take the
 * index of marks: without statistics it expects very many, and would read the table until it had found enough.
 * @see FullNotices
 */
export const FULL_BUDGETS = `
  SELECT CASE WHEN count(*) <= ${MOST_TOLD_FULL} THEN coalesce(json_agg(f.key_id), '[]') END FROM (
    SELECT a.key_id FROM budget_account a
     WHERE a.full_at > statement_timestamp() - interval '${FULL_OVERLAP_MS} milliseconds'
       AND a.spent_micro_cents >= a.limit_micro_cents + CASE WHEN a.raise_until > statement_timestamp() THEN a.raise_micro_cents ELSE 0 END
     ORDER BY a.full_at DESC LIMIT ${MOST_TOLD_FULL + 1}) AS f`;

/** One row as JSON carries it. */
export interface StoredFeedRow {
  readonly seq: number | string;
  readonly id: string;
  readonly at_ms: number | string;
  readonly action: string;
  readonly resource_type: string;
  readonly resource_id: string | null;
  readonly outcome: string;
  readonly has_changes: boolean;
  readonly ends: readonly { readonly field: string; readonly after: unknown }[] | null;
  readonly ended_kids: readonly string[] | null;
  readonly replaced: { readonly kid: string; readonly at: string } | null;
  /** Absent where they were not asked for. */
  readonly imported_macs?: readonly string[] | null;
  readonly limit_target?: ChangedTarget | null;
}

export function feedRowOf(row: StoredFeedRow): FeedRow {
  return {
    seq: BigInt(row.seq),
    id: row.id,
    atMs: Number(row.at_ms),
    action: row.action,
    resourceType: row.resource_type,
    resourceId: row.resource_id,
    outcome: row.outcome,
    hasChanges: row.has_changes,
    endings: endingsOf(row),
    ...(row.limit_target ? { target: row.limit_target } : {}),
    ...(row.imported_macs ? { importedMacs: row.imported_macs.map((mac) => Buffer.from(mac, 'hex')) } : {}),
  };
}

/** Deleting ends as revoking does; that the trail then says `isActive: null` adds nothing to it. */
function endingsOf({ action, ends, ended_kids: endedKids, replaced }: StoredFeedRow): Endings | null {
  const after = (field: string): unknown => ends?.find((one) => one.field === field)?.after ?? null;
  const isDeleted = action === 'api-keys:delete' || action === 'users:delete';
  const isActive = after('isActive');
  const endings: Endings = {
    isRevoked: isDeleted || after('revokedAt') !== null,
    isActive: typeof isActive === 'boolean' && !isDeleted ? isActive : null,
    endedKids: endedKids ?? [],
    ...(replaced === null ? {} : { replaced: { kid: replaced.kid, at: new Date(replaced.at) } }),
  };
  const isAny = endings.isRevoked || endings.isActive !== null || endings.endedKids.length > 0 || replaced !== null;
  return isAny ? endings : null;
}
