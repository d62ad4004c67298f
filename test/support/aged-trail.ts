import type { Client } from 'pg';
import { linkHash } from '../../src/audit/chain.js';
import { GENESIS } from '../../src/audit/chain-check.js';
import { checkpointKey, signCheckpoint } from '../../src/audit/checkpoint.js';
import { signKeyChange } from '../../src/audit/key-change.js';
import { canonicalJson } from '../../src/common/canonical-json.js';
import type { VersionedKey } from '../../src/config/versioned-secrets.js';
import { allowSealing } from './allow-sealing.js';
import type { TestDatabase } from './postgres.js';
import { asOwner } from './trail.js';

const DAY_MS = 86_400_000;

/** How old entries become, in days. */
interface Ages {
  /** The last entry that becomes old. */
  readonly upToSeq: string;
  readonly oldestDays?: number;
  readonly newestDays?: number;
}

interface AgedEntry {
  readonly seq: string;
  readonly at: string;
  readonly body: string;
  readonly hash: Buffer;
}

interface KeyChangeRow {
  readonly seq: string;
  readonly from: string;
  readonly to: string;
}

/**
 * Makes the entries up to `upToSeq` old, as they would be had they been recorded then: from `oldestDays` to
 * `newestDays` ago, in order. The chain is calculated anew, each part with the key that signed it, and a checkpoint
 * covers all of it. What is sealed stays as it is. The owner lets what is older than three months be sealed.
 */
export async function ageTrail(database: TestDatabase, auditKeys: readonly VersionedKey[], ages: Ages): Promise<void> {
  await asOwner(database, async (client) => {
    await client.query('BEGIN');
    for (const table of TABLES) await client.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
    await client.query('SELECT FROM change_head FOR UPDATE');
    const keys = await keysOf(client, auditKeys);
    const aged = await age(client, keys, ages);
    await client.query(
      `UPDATE audit_event e SET at = a.at, body = a.body, hash = a.hash
         FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::bytea[]) AS a (seq, at, body, hash)
        WHERE a.seq = e.seq`,
      (['seq', 'at', 'body', 'hash'] as const).map((name) => aged.map((entry) => entry[name])),
    );
    await signChanges(client, keys, aged);
    await signEnd(client, keys, aged.at(-1)!);
    for (const table of TABLES) await client.query(`ALTER TABLE ${table} ENABLE TRIGGER ALL`);
    for (const [table, name] of TRIGGERS) await client.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${name}`);
    await client.query('COMMIT');
  });
  await allowSealing(database, 3);
}

/** The entries behind the last sealed segment, as they are once they are old. */
async function age(client: Client, keys: Keys, { upToSeq, oldestDays = 400, newestDays = 150 }: Ages) {
  const cuts = await client.query<{ seq: string; hash: Buffer }>(
    'SELECT to_seq AS seq, hash FROM audit_segment ORDER BY to_seq DESC LIMIT 1',
  );
  const cut = cuts.rows[0] ?? { seq: '0', hash: GENESIS };
  const { rows } = await client.query<{ seq: string; body: string }>(
    'SELECT seq, body FROM audit_event WHERE seq > $1 ORDER BY seq',
    [cut.seq],
  );
  let previous = cut.hash;
  const last = Number(upToSeq);
  return rows.map(({ seq, body }): AgedEntry => {
    const days = oldestDays - ((oldestDays - newestDays) * Number(seq)) / last;
    const record = JSON.parse(body) as { at: string };
    const at = Number(seq) > last ? record.at : new Date(Date.now() - days * DAY_MS).toISOString();
    const text = canonicalJson({ ...record, at });
    previous = linkHash(keys.at(seq).key, previous, text);
    return { seq, at, body: text, hash: previous };
  });
}

/** Which key signed which entry. */
interface Keys {
  readonly changes: readonly KeyChangeRow[];
  readonly of: (version: string) => VersionedKey;
  readonly at: (seq: string) => VersionedKey;
}

async function keysOf(client: Client, auditKeys: readonly VersionedKey[]): Promise<Keys> {
  const { rows: changes } = await client.query<KeyChangeRow>(
    'SELECT seq, from_version AS from, to_version AS to FROM audit_key_change ORDER BY seq',
  );
  const { rows } = await client.query<{ version: string }>(
    `SELECT coalesce(audit_key_version, '1') AS version FROM change_head`,
  );
  const of = (version: string) => auditKeys.find((key) => key.version === version)!;
  const at = (seq: string) => of(changes.find((one) => BigInt(one.seq) >= BigInt(seq))?.from ?? rows[0]!.version);
  return { changes, of, at };
}

async function signChanges(client: Client, keys: Keys, aged: readonly AgedEntry[]): Promise<void> {
  for (const { seq, from, to } of keys.changes) {
    const place = aged.find((entry) => entry.seq === seq);
    if (place === undefined) continue;
    const { at, signatures } = signKeyChange(keys.of(from), keys.of(to), place);
    await client.query('UPDATE audit_key_change SET hash = $2, at = $3, signatures = $4 WHERE seq = $1', [
      seq,
      place.hash,
      at,
      signatures,
    ]);
  }
}

async function signEnd(client: Client, keys: Keys, { seq, hash }: AgedEntry): Promise<void> {
  await client.query('UPDATE change_head SET audit_hash = $1', [hash]);
  await client.query('DELETE FROM audit_checkpoint');
  const end = { seq, hash, at: new Date().toISOString() };
  const { at, signature } = signCheckpoint(checkpointKey(keys.at(seq).key), end);
  await client.query('INSERT INTO audit_checkpoint (seq, hash, at, signature) VALUES ($1, $2, $3, $4)', [
    seq,
    hash,
    at,
    signature,
  ]);
}

const TABLES = ['audit_event', 'audit_checkpoint', 'audit_key_change'];
const TRIGGERS = [
  ['audit_event', 'audit_event_append_only'],
  ['audit_event', 'audit_event_sealed'],
  ['audit_checkpoint', 'audit_checkpoint_append_only'],
];
