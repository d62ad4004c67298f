import { canonicalJson } from '../../common/canonical-json.js';
import { type VersionedKey, PLAIN_VERSION } from '../../config/versioned-secrets.js';
import type { OpenTransaction } from '../../database/transaction.js';
import { type Act, recordOf, signingKey } from '../append.js';
import { type AuditRecord, linkHash } from '../chain.js';

/** What an entry of a read says. It names its chain, so that it cannot be taken for one of the other. */
export interface ReadRecord extends AuditRecord {
  readonly chain: 'reads';
  /** The version of AUDIT_KEY that signed it. */
  readonly keyVersion: string;
}

interface ReadHead {
  readonly seq: string;
  readonly audit_hash: Buffer;
  readonly at: Date;
}

/**
 * Appends reads to their chain, in order, and commits. It never takes the head of the trail of changes: no change waits
 * for it. The version that signs is read behind the lock, so that no entry has an older one than the entry before it.
 *
 * @throws DomainError 503 when the version that signs is not configured; as every transaction
 */
export async function commitReads(
  tx: OpenTransaction,
  auditKeys: readonly VersionedKey[],
  acts: readonly Act[],
): Promise<void> {
  const [[head], [change]] = await Promise.all([
    tx.manager.query<ReadHead[]>(
      `SELECT seq, audit_hash, date_trunc('milliseconds', clock_timestamp()) AS at FROM audit_read_head FOR UPDATE`,
    ),
    tx.manager.query<{ version: string }[]>('SELECT coalesce(audit_key_version, $1) AS version FROM change_head', [
      PLAIN_VERSION,
    ]),
  ]);
  if (!head || !change) throw new Error('The head of the reads is missing: the schema is damaged.');
  const key = signingKey(auditKeys, change.version);
  let { seq, previous } = { seq: BigInt(head.seq), previous: head.audit_hash };
  const links = acts.map((act) => {
    seq += 1n;
    const record: ReadRecord = { ...recordOf(seq, head.at, act), chain: 'reads', keyVersion: change.version };
    const body = canonicalJson(record);
    previous = linkHash(key, previous, body);
    return { body, hash: previous };
  });
  await tx.commit({
    text: `WITH appended AS (
       INSERT INTO audit_read (seq, id, at, actor_kind, actor_id, actor_owner_id, action, resource_type,
                               resource_id, outcome, ip, request_id, changes, details, body, hash)
       SELECT (b->>'seq')::bigint, (b->>'id')::uuid, (b->>'at')::timestamptz, b->'actor'->>'kind', b->'actor'->>'id',
              (b->'actor'->>'ownerId')::uuid, b->>'action', b->>'resourceType', b->>'resourceId', b->>'outcome',
              b->>'ip', b->>'requestId', b->'changes', b->'details', body, hash
         FROM unnest($1::text[], $2::bytea[]) AS row (body, hash), LATERAL (SELECT body::jsonb AS b) AS parsed
     ) UPDATE audit_read_head SET seq = ($3::text)::bigint, audit_hash = $4`,
    values: [links.map(({ body }) => body), links.map(({ hash }) => hash), seq.toString(), previous],
  });
}
