import type { DataSource } from 'typeorm';
import { bindPassword, importedBinding } from '../access/credential-binding.js';
import { systemCaller } from '../access/caller.js';
import { type Change, Changes } from '../audit/changes.js';
import type { FieldChange } from '../audit/audit-event.entity.js';
import type { Config } from '../config/config.js';
import { type RowDifference, compareTables, describeDifference } from './table-comparison.js';
import { ACCEPT_ACTION } from './told-state.js';

/** Rows of one transaction: it holds the head of the trail, and others wait for it. */
const BATCH = 100;

/**
 * Takes rows for right as they are, each with an entry of the trail that says what it differed in, and binds what they
 * store. `ids`: of keys and users, or names of roles; null: all that differ.
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
  const changes = new Changes(dataSource, config);
  for (let from = 0; from < differences.length; from += BATCH) {
    const batch = differences.slice(from, from + BATCH);
    await changes.transaction(systemCaller(ACCEPT_ACTION), async (change) => {
      for (const one of batch) await accept(config, change, one);
    });
  }
  return differences.map(describeDifference);
}

async function accept(
  { peppers }: Config,
  change: Change,
  { type, id, changes, problems, isGone }: RowDifference,
): Promise<void> {
  const kids = type === 'api-key' ? await bindSecrets(change, peppers, id) : [];
  const identity = type === 'user' ? await bindUser(change, peppers, id) : {};
  const details = { problems, ...(isGone ? { isGone } : {}), ...(kids.length === 0 ? {} : { kids }), ...identity };
  change.record({ resourceType: type, resourceId: id, changes: isGone ? [GONE] : changes, details });
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
