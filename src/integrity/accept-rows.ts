import type { DataSource } from 'typeorm';
import { bindPassword, importedBinding } from '../access/credential-binding.js';
import { systemCaller } from '../access/caller.js';
import { type Change, Changes } from '../audit/changes.js';
import type { FieldChange } from '../audit/audit-event.entity.js';
import type { Config } from '../config/config.js';
import { listedOverrides } from '../limits/audited-override.js';
import type { Override } from '../limits/limit-override.js';
import type { Limit } from '../limits/limit.entity.js';
import { type RowDifference, compareTables, compareThing, describeDifference } from './table-comparison.js';
import { ACCEPT_ACTION } from './told-state.js';

/** Rows of one transaction: it holds the head of the trail, and others wait for it. */
const BATCH = 100;

/**
 * Takes rows for right as they are, each with an entry of the trail that says what it differed in, and binds what they
 * store. `ids`: of keys, users, projects and limits, or names of roles; null: all that differ. What cannot be compared
 * is left as it is.
 *
 * @returns what was accepted, a line each
 */
export async function acceptRows(
  config: Config,
  dataSource: DataSource,
  ids: readonly string[] | null,
): Promise<string[]> {
  const differences: RowDifference[] = [];
  for await (const slice of compareTables(config, dataSource)) {
    differences.push(...slice.differences.filter(({ id }) => ids === null || ids.includes(id)));
  }
  return acceptDifferences(config, dataSource, differences);
}

/** As `acceptRows`, of what a comparison has found. A row that Latchkey has changed since is compared again. */
export async function acceptDifferences(
  config: Config,
  dataSource: DataSource,
  found: readonly RowDifference[],
): Promise<string[]> {
  const changes = new Changes(dataSource, config);
  const accepted: RowDifference[] = [];
  for (let open = found.filter(isReadable); open.length > 0;) {
    const batch = open.slice(0, BATCH);
    const changed = await changes.transaction(systemCaller(ACCEPT_ACTION), async (change) => {
      const since: RowDifference[] = [];
      for (const one of batch) {
        if (await hasChangedSince(change, one)) since.push(one);
        else await accept(config, change, one);
      }
      return since;
    });
    accepted.push(...batch.filter((one) => !changed.includes(one)));
    const again: RowDifference[] = [];
    for (const one of changed) {
      const now = await compareThing(config, dataSource.manager, one);
      if (now !== null) again.push(now);
    }
    open = [...open.slice(BATCH), ...again.filter(isReadable)];
  }
  return accepted.map(describeDifference);
}

const isReadable = ({ isUnreadable = false }: RowDifference): boolean => !isUnreadable;

const LOCK_ROW: Record<RowDifference['type'], string> = {
  role: 'SELECT FROM role WHERE name = $1 FOR UPDATE',
  user: 'SELECT FROM users WHERE id = $1::uuid FOR UPDATE',
  project: 'SELECT FROM project WHERE id = $1::uuid FOR UPDATE',
  limit: 'SELECT FROM quota_limit WHERE id = $1::uuid FOR UPDATE',
  'api-key': 'SELECT FROM api_key WHERE id = $1::uuid FOR UPDATE',
};

/**
 * Whether the trail has an entry about a row that its comparison has not read. The row is locked: none is on its way.
 */
async function hasChangedSince({ tx }: Change, { type, id, newestSeq }: RowDifference): Promise<boolean> {
  await tx.query(LOCK_ROW[type], [id]);
  const [row] = await tx.query<{ isChanged: boolean }[]>(
    `SELECT EXISTS (SELECT FROM audit_event WHERE resource_type = $1 AND resource_id = $2 AND seq > $3) AS "isChanged"`,
    [type, id, newestSeq ?? '0'],
  );
  return row!.isChanged;
}

async function accept(
  { peppers }: Config,
  change: Change,
  { type, id, changes, problems, isGone }: RowDifference,
): Promise<void> {
  const kids = type === 'api-key' ? await bindSecrets(change, peppers, id) : [];
  const identity = type === 'user' ? await bindUser(change, peppers, id) : {};
  const overrides = type === 'limit' ? { overrides: await overridesOf(change, id) } : {};
  const details = {
    problems,
    ...(isGone ? { isGone } : {}),
    ...(kids.length === 0 ? {} : { kids }),
    ...identity,
    ...overrides,
  };
  change.record({ resourceType: type, resourceId: id, changes: isGone ? [GONE] : changes, details });
}

/** The overrides of a limit, as they are from now on. */
async function overridesOf({ tx }: Change, id: string): Promise<ReturnType<typeof listedOverrides>> {
  const rows = await tx.query<(Omit<Override, 'amount'> & Pick<Limit, 'unit'> & { amount: string })[]>(
    `SELECT o.member_id AS "memberId", o.amount, o.until, o.reason, l.unit
       FROM quota_limit_override o JOIN quota_limit l ON l.id = o.limit_id WHERE l.id = $1::uuid ORDER BY o.member_id`,
    [id],
  );
  return rows.flatMap(({ unit, ...row }) => listedOverrides(unit, [{ ...row, amount: BigInt(row.amount) }]));
}

const GONE: FieldChange = { field: 'isGone', before: false, after: true };

/** Gives what the entry names as the identity of the user. */
async function bindUser(
  { tx }: Change,
  peppers: Config['peppers'],
  id: string,
): Promise<{ issuer?: string; subject?: string }> {
  const [user] = await tx.query<{ hash: string | null; issuer: string | null; subject: string | null }[]>(
    'SELECT password_hash AS hash, oidc_issuer AS issuer, oidc_subject AS subject FROM users WHERE id = $1 FOR UPDATE',
    [id],
  );
  if (user?.issuer != null && user.subject !== null) return { issuer: user.issuer, subject: user.subject };
  if (user?.hash == null) return {};
  const { binding } = bindPassword(peppers, id, user.hash);
  await tx.query('UPDATE users SET password_binding = $2, password_binding_version = $3 WHERE id = $1', [
    id,
    binding.mac,
    binding.version,
  ]);
  return {};
}

/** Gives the kids of all secrets that work. */
async function bindSecrets({ tx }: Change, peppers: Config['peppers'], id: string): Promise<string[]> {
  const secrets = await tx.query<{ kid: string; kind: string; mac: Buffer; version: string }[]>(
    `SELECT kid, kind, mac, pepper_version AS version FROM api_key_secret WHERE key_id = $1 AND revoked_at IS NULL ORDER BY kid FOR UPDATE`,
    [id],
  );
  for (const { kid, kind, mac, version } of secrets) {
    const pepper = peppers.find((one) => one.version === version);
    if (kind !== 'imported' || pepper === undefined) continue;
    await tx.query('UPDATE api_key_secret SET binding = $2 WHERE kid = $1', [
      kid,
      importedBinding(pepper.key, id, kid, mac),
    ]);
  }
  return secrets.map(({ kid }) => kid);
}
