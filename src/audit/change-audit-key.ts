import type { DataSource, EntityManager } from 'typeorm';
import { systemCaller } from '../access/caller.js';
import { missingVersion } from '../common/missing-version.js';
import type { Config, VersionedKey } from '../config/config.js';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import { inTransaction, type OpenTransaction } from '../database/transaction.js';
import { appendActs, lockHead } from './append.js';
import { CHANGE_CHANNEL } from './changes.js';
import { signKeyChange } from './key-change.js';

/** Every change waits for the head: a start that finds it busy waits for so long. In milliseconds. */
const LOCK_MS = 10_000;
/** As everywhere: a process that is frozen loses its locks. */
const IDLE_MS = 2_000;
const MAX_CHANGE_MS = 15_000;

/**
 * Lets the first version of AUDIT_KEY sign from now on, on all replicas: the head names it. The old version makes one
 * more entry, which says so, and a checkpoint with both signatures ends its segment. A version signs one segment at
 * most: a replica that still has an ended one in front goes on with its successor, so that two orders of the list can
 * run side by side.
 *
 * @returns what to tell the operator; null if nothing changed
 */
export async function changeAuditKey(dataSource: DataSource, { auditKeys }: Config): Promise<string | null> {
  const to = auditKeys[0]!;
  if (auditKeys.length === 1) return null;
  const bounds = { lockMs: LOCK_MS, idleMs: IDLE_MS, deadlineMs: performance.now() + MAX_CHANGE_MS };
  return inTransaction(dataSource, bounds, async (transaction) => {
    const tx = transaction.manager;
    const version = (await lockHead(transaction)).audit_key_version ?? PLAIN_VERSION;
    if (version === to.version || (await hasEnded(tx, to.version))) return null;
    const from = auditKeys.find((key) => key.version === version);
    if (from === undefined) throw missingVersion('AUDIT_KEY', version);
    await change(transaction, auditKeys, from, to);
    return `AUDIT_KEY version ${to.version} signs the audit trail from now on; keep version ${version}, with which older entries are checked.`;
  });
}

async function change(
  transaction: OpenTransaction,
  auditKeys: readonly VersionedKey[],
  from: VersionedKey,
  to: VersionedKey,
): Promise<void> {
  const details = { variable: 'AUDIT_KEY', from: from.version, to: to.version };
  const entry = { resourceType: 'secret', resourceId: `AUDIT_KEY.${to.version}`, details };
  await appendActs(transaction, auditKeys, [{ caller: systemCaller('secrets:sign'), entry }], CHANGE_CHANNEL);
  const tx = transaction.manager;
  const { seq, audit_hash: hash, at } = await lockHead(transaction);
  const { signatures } = signKeyChange(from, to, { seq, hash, at: at.toISOString() });
  await tx.query(
    'INSERT INTO audit_key_change (seq, hash, at, from_version, to_version, signatures) VALUES ($1, $2, $3, $4, $5, $6)',
    [seq, hash, at, from.version, to.version, signatures],
  );
  await tx.query('SELECT audit_name_key($1)', [to.version]);
}

async function hasEnded(tx: EntityManager, version: string): Promise<boolean> {
  return (await tx.query<unknown[]>('SELECT 1 FROM audit_key_change WHERE from_version = $1', [version])).length > 0;
}
