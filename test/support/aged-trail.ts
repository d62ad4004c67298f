import { linkHash } from '../../src/audit/chain.js';
import { GENESIS } from '../../src/audit/chain-check.js';
import { checkpointKey, signCheckpoint } from '../../src/audit/checkpoint.js';
import { signKeyChange } from '../../src/audit/key-change.js';
import { canonicalJson } from '../../src/common/canonical-json.js';
import type { VersionedKey } from '../../src/config/versioned-secrets.js';
import type { TestDatabase } from './postgres.js';
import { asOwner } from './trail.js';

const DAY_MS = 86_400_000;

/**
 * Makes the entries up to `upToSeq` old, as they would be had they been recorded then: from `oldestDays` to `newestDays`
 * ago, in order. The chain is calculated anew, each part with the key that signed it, and a checkpoint covers all of it. What is sealed
 * stays as it is.
 */
export async function ageTrail(
  database: TestDatabase,
  auditKeys: readonly VersionedKey[],
  { upToSeq, oldestDays = 400, newestDays = 150 }: { upToSeq: string; oldestDays?: number; newestDays?: number },
): Promise<void> {
  await asOwner(database, async (client) => {
    await client.query('BEGIN');
    await client.query('ALTER TABLE audit_event DISABLE TRIGGER ALL; ALTER TABLE audit_checkpoint DISABLE TRIGGER ALL');
    await client.query('SELECT FROM change_head FOR UPDATE');
    const cuts = await client.query<{ seq: string; hash: Buffer }>(
      'SELECT to_seq AS seq, hash FROM audit_segment ORDER BY to_seq DESC LIMIT 1',
    );
    const cut = cuts.rows[0] ?? { seq: '0', hash: GENESIS };
    const { rows } = await client.query<{ seq: string; body: string }>(
      'SELECT seq, body FROM audit_event WHERE seq > $1 ORDER BY seq',
      [cut.seq],
    );
    const changes = (
      await client.query<{ seq: string; from: string; to: string }>(
        'SELECT seq, from_version AS from, to_version AS to FROM audit_key_change ORDER BY seq',
      )
    ).rows;
    const head = await client.query<{ version: string }>(
      `SELECT coalesce(audit_key_version, '1') AS version FROM change_head`,
    );
    const keyOf = (version: string) => auditKeys.find((key) => key.version === version)!;
    const keyAt = (seq: string) =>
      keyOf(changes.find((change) => BigInt(change.seq) >= BigInt(seq))?.from ?? head.rows[0]!.version);
    let previous = cut.hash;
    const last = Number(upToSeq);
    const aged = rows.map(({ seq, body }) => {
      const days = oldestDays - ((oldestDays - newestDays) * Number(seq)) / last;
      const record = JSON.parse(body) as { at: string };
      const at = Number(seq) > last ? record.at : new Date(Date.now() - days * DAY_MS).toISOString();
      const text = canonicalJson({ ...record, at });
      previous = linkHash(keyAt(seq).key, previous, text);
      return { seq, at, body: text, hash: previous };
    });
    await client.query(
      `UPDATE audit_event e SET at = a.at, body = a.body, hash = a.hash
         FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::bytea[]) AS a (seq, at, body, hash) WHERE a.seq = e.seq`,
      [
        aged.map(({ seq }) => seq),
        aged.map(({ at }) => at),
        aged.map(({ body }) => body),
        aged.map(({ hash }) => hash),
      ],
    );
    await client.query('ALTER TABLE audit_key_change DISABLE TRIGGER ALL');
    for (const { seq, from, to } of changes) {
      const place = aged.find((entry) => entry.seq === seq);
      if (place === undefined) continue;
      const { at, signatures } = signKeyChange(keyOf(from), keyOf(to), { ...place, at: place.at });
      await client.query('UPDATE audit_key_change SET hash = $2, at = $3, signatures = $4 WHERE seq = $1', [
        seq,
        place.hash,
        at,
        signatures,
      ]);
    }
    await client.query('ALTER TABLE audit_key_change ENABLE TRIGGER ALL');
    await client.query('UPDATE change_head SET audit_hash = $1', [previous]);
    await client.query('DELETE FROM audit_checkpoint');
    const end = { seq: aged.at(-1)!.seq, hash: previous, at: new Date().toISOString() };
    const { seq, at, signature } = signCheckpoint(checkpointKey(keyAt(end.seq).key), end);
    await client.query('INSERT INTO audit_checkpoint (seq, hash, at, signature) VALUES ($1, $2, $3, $4)', [
      seq,
      previous,
      at,
      signature,
    ]);
    await client.query('ALTER TABLE audit_event ENABLE TRIGGER ALL; ALTER TABLE audit_checkpoint ENABLE TRIGGER ALL');
    for (const [table, name] of TRIGGERS) await client.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${name}`);
    await client.query('COMMIT');
  });
}

const TRIGGERS = [
  ['audit_event', 'audit_event_append_only'],
  ['audit_event', 'audit_event_sealed'],
  ['audit_checkpoint', 'audit_checkpoint_append_only'],
];
