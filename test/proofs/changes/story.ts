import type { ProofCluster } from '../harness/cluster.js';
import type { Acknowledged } from './kinds.js';

/** An entry of the trail, as far as this looks at it. */
interface Entry {
  readonly seq: string;
  readonly actor_id: string | null;
  readonly action: string;
  readonly resource_type: string;
  readonly resource_id: string | null;
  readonly outcome: string;
  readonly request_id: string | null;
  readonly changes: readonly { readonly field: string; readonly before: unknown; readonly after: unknown }[];
}

const MOST_PROBLEMS = 20;

/**
 * Where what was acknowledged, the trail and the tables do not tell the same story; empty: they do.
 *
 * @param refused ids of requests that were answered by a 503 that says that nothing was changed
 */
export async function differences(
  cluster: ProofCluster,
  acknowledged: readonly Acknowledged[],
  refused: readonly string[],
): Promise<string[]> {
  const entries = await cluster.database.query<Entry>(
    'SELECT seq::text, actor_id, action, resource_type, resource_id, outcome, request_id, changes FROM audit_event ORDER BY audit_event.seq',
  );
  return [
    ...unlike(acknowledged, entries),
    ...told(refused, entries),
    ...broken(entries, await openings(cluster)),
    ...(await untoldRows(cluster)),
    ...(await objections(cluster, entries.length)),
  ];
}

/** Each acknowledged change has exactly one entry, which names its act, what it was done to and by whom. */
function unlike(acknowledged: readonly Acknowledged[], entries: readonly Entry[]): string[] {
  const byRequest = successesByRequest(entries);
  const problems = acknowledged.flatMap(({ kind, requestId, action, resourceType, resourceId, actorId }) => {
    const found = byRequest.get(requestId) ?? [];
    const wanted = `${action} ${resourceType} ${resourceId} by ${actorId}`;
    const told = found.map(
      (entry) => `${entry.action} ${entry.resource_type} ${entry.resource_id} by ${entry.actor_id}`,
    );
    return told.length === 1 && told[0] === wanted
      ? []
      : [`${kind}: acknowledged ${wanted}, the trail has ${told.join(' and ') || 'nothing'}`];
  });
  return problems.slice(0, MOST_PROBLEMS);
}

function successesByRequest(entries: readonly Entry[]): ReadonlyMap<string, readonly Entry[]> {
  const found = new Map<string, Entry[]>();
  for (const entry of entries) {
    const { outcome, request_id } = entry;
    if (outcome === 'success' && request_id !== null) found.set(request_id, [...(found.get(request_id) ?? []), entry]);
  }
  return found;
}

/** What was refused by a 503 that says that nothing was changed has no entry. */
function told(refused: readonly string[], entries: readonly Entry[]): string[] {
  const byRequest = successesByRequest(entries);
  const problems = refused.flatMap((id) =>
    (byRequest.get(id) ?? []).map(
      ({ action, resource_id }) => `${action} ${resource_id} was refused, and the trail has it`,
    ),
  );
  return problems.slice(0, MOST_PROBLEMS);
}

/** Values behind commitments; those of erased persons are gone. */
async function openings({ database }: ProofCluster): Promise<ReadonlyMap<string, unknown>> {
  const rows = await database.query<{ commitment: string; value: unknown }>(
    `SELECT encode(commitment, 'hex') AS commitment, value FROM personal_value`,
  );
  return new Map(rows.map(({ commitment, value }) => [commitment, value]));
}

/** Stands for a value that nothing opens any more. */
const ERASED = Symbol('erased');

/**
 * Each entry goes on from what the one before has left: none is missing, and none tells of a change that was not made.
 * What a person was called who is erased cannot be compared.
 */
function broken(entries: readonly Entry[], values: ReadonlyMap<string, unknown>): string[] {
  const problems: string[] = [];
  const state = new Map<string, string | typeof ERASED>();
  const text = (value: unknown) => {
    const commitment = (value as { commitment?: string } | null)?.commitment;
    if (commitment === undefined) return JSON.stringify(value ?? null, sorted);
    return values.has(commitment) ? JSON.stringify(values.get(commitment), sorted) : ERASED;
  };
  for (const { seq, action, resource_type, resource_id, outcome, changes } of entries) {
    if (outcome !== 'success') continue;
    for (const { field, before, after } of changes) {
      const name = `${resource_type} ${resource_id} ${field}`;
      const known = state.get(name) ?? 'null';
      const said = text(before);
      if (known !== ERASED && said !== ERASED && said !== known)
        problems.push(`entry ${seq} (${action}): ${name} was ${known}, the entry says ${said}`);
      state.set(name, text(after));
    }
  }
  return problems.slice(0, MOST_PROBLEMS);
}

/** Objects with their members in one order. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)));
}

const SUCCESS = `e.outcome = 'success' AND e.action`;
const CREATED = `('api-keys:create', 'api-keys:import')`;
/** Rows that no entry tells of, and entries whose rows are not there. */
const UNTOLD: Readonly<Record<string, string>> = {
  'a key without exactly one entry of its creation': `
    SELECT k.id FROM api_key k WHERE 1 <> (SELECT count(*) FROM audit_event e WHERE e.resource_id = k.id::text AND ${SUCCESS} IN ${CREATED})`,
  'an entry of a creation without its key': `
    SELECT e.resource_id AS id FROM audit_event e WHERE ${SUCCESS} IN ${CREATED} AND NOT EXISTS (SELECT 1 FROM api_key k WHERE k.id::text = e.resource_id)
       AND NOT EXISTS (SELECT 1 FROM audit_event d WHERE d.resource_id = e.resource_id AND d.action = 'api-keys:delete' AND d.outcome = 'success')`,
  'a key that was deleted and is there': `
    SELECT k.id FROM api_key k JOIN audit_event e ON e.resource_id = k.id::text AND ${SUCCESS} = 'api-keys:delete'`,
  'a revoked key without exactly one entry of it': `
    SELECT k.id FROM api_key k WHERE k.revoked_at IS NOT NULL AND 1 <> (SELECT count(*) FROM audit_event e WHERE e.resource_id = k.id::text AND ${SUCCESS} = 'api-keys:revoke')`,
  'an entry of a revocation whose key is not revoked': `
    SELECT k.id FROM api_key k JOIN audit_event e ON e.resource_id = k.id::text AND ${SUCCESS} = 'api-keys:revoke' WHERE k.revoked_at IS NULL`,
  'a key whose secrets are not those of its entries': `
    SELECT k.id FROM api_key k WHERE (SELECT count(*) FROM api_key_secret s WHERE s.key_id = k.id) <>
      (SELECT count(*) FROM audit_event e WHERE e.resource_id = k.id::text AND ${SUCCESS} IN ('api-keys:create', 'api-keys:import', 'api-keys:regenerate', 'api-key-secrets:draw')
          AND e.details ? 'kid' AND NOT e.details ? 'isReplay')`,
  'a user without exactly one entry of their creation': `
    SELECT u.id FROM users u WHERE 1 <> (SELECT count(*) FROM audit_event e WHERE e.resource_id = u.id::text AND ${SUCCESS} = 'users:create')`,
  'an entry of a user that was not made': `
    SELECT e.resource_id AS id FROM audit_event e WHERE ${SUCCESS} = 'users:create' AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id::text = e.resource_id)`,
  'a user who is deleted without exactly one entry of it, or the other way round': `
    SELECT u.id FROM users u WHERE (u.deleted_at IS NOT NULL)::int <> (SELECT count(*) FROM audit_event e WHERE e.resource_id = u.id::text AND ${SUCCESS} = 'users:delete')`,
  'a session without exactly one entry of its sign-in': `
    SELECT s.id FROM session s WHERE 1 <> (SELECT count(*) FROM audit_event e WHERE e.details->>'sessionId' = s.id::text AND ${SUCCESS} = 'auth:login')`,
  'a session that was ended and is there': `
    SELECT s.id FROM session s JOIN audit_event e ON e.details->>'sessionId' = s.id::text AND ${SUCCESS} IN ('auth:logout', 'sessions:revoke')`,
  'a second factor that is not what its last entry says': `
    SELECT u.id FROM users u LEFT JOIN second_factor f ON f.user_id = u.id
      LEFT JOIN LATERAL (SELECT e.action FROM audit_event e WHERE e.resource_id = u.id::text AND ${SUCCESS} LIKE 'second-factors:%' ORDER BY e.seq DESC LIMIT 1) AS last ON true
     WHERE u.deleted_at IS NULL AND coalesce(last.action, 'second-factors:delete') NOT IN
       (CASE WHEN f.user_id IS NULL THEN 'second-factors:delete' WHEN f.confirmed_at IS NULL THEN 'second-factors:create' ELSE 'second-factors:activate' END,
        CASE WHEN f.confirmed_at IS NOT NULL THEN 'second-factors:regenerate' ELSE '' END)`,
  'a role that its entries do not tell of': `
    SELECT r.name AS id FROM role r WHERE 1 <> (SELECT count(*) FILTER (WHERE e.action = 'roles:create') - count(*) FILTER (WHERE e.action = 'roles:delete')
      FROM audit_event e WHERE e.resource_id = r.name AND e.resource_type = 'role' AND e.outcome = 'success')`,
  'an entry of a role that was not made': `
    SELECT e.resource_id AS id FROM audit_event e WHERE e.resource_type = 'role' AND e.outcome = 'success' GROUP BY 1
    HAVING count(*) FILTER (WHERE e.action = 'roles:create') > count(*) FILTER (WHERE e.action = 'roles:delete') AND NOT EXISTS (SELECT 1 FROM role r WHERE r.name = e.resource_id)`,
  'a project that its entries do not tell of': `
    SELECT p.id FROM project p WHERE 1 <> (SELECT count(*) FROM audit_event e WHERE e.resource_id = p.id::text AND ${SUCCESS} = 'projects:create')`,
  'an entry of a project that was not made': `
    SELECT e.resource_id AS id FROM audit_event e WHERE e.resource_type = 'project' AND e.outcome = 'success' GROUP BY 1
    HAVING count(*) FILTER (WHERE e.action = 'projects:create') > count(*) FILTER (WHERE e.action = 'projects:delete') AND NOT EXISTS (SELECT 1 FROM project p WHERE p.id::text = e.resource_id)`,
  'a gap in seq':
    'SELECT seq::text AS id FROM (SELECT seq, lag(seq) OVER (ORDER BY seq) AS before FROM audit_event) e WHERE seq - before <> 1',
  'a head that is not the last entry':
    'SELECT seq::text AS id FROM change_head WHERE seq <> (SELECT max(seq) FROM audit_event)',
};

async function untoldRows({ database }: ProofCluster): Promise<string[]> {
  const found: string[] = [];
  for (const [what, sql] of Object.entries(UNTOLD)) {
    for (const { id } of (await database.query<{ id: string }>(sql)).slice(0, MOST_PROBLEMS))
      found.push(`${what}: ${id}`);
  }
  return found;
}

/** What the chain says of itself, and the doctor of every audited field of keys, users and roles. */
async function objections(cluster: ProofCluster, entries: number): Promise<string[]> {
  const { body } = await cluster
    .replica(0)
    .client.post('/audit-events/verify', { token: cluster.adminToken, timeoutMs: 60_000 });
  const { exitCode, report } = await cluster.doctor();
  return [
    ...(body.ok === true && Number(body.checked) >= entries
      ? []
      : [`the chain of ${entries} entries: ${JSON.stringify(body)}`]),
    ...(exitCode === 0 ? [] : [`the doctor ended with ${exitCode}: ${report}`]),
  ];
}
