import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { DataSource, EntityManager } from 'typeorm';
import { systemCaller } from '../../../src/access/caller.js';
import { AuditEventsRepository } from '../../../src/audit/audit-events.repository.js';
import { linkHash } from '../../../src/audit/chain.js';
import { ChainVerifier, type ChainReport } from '../../../src/audit/chain-verifier.js';
import { Changes } from '../../../src/audit/changes.js';
import { Checkpoints } from '../../../src/audit/checkpoints.js';
import { CheckpointsRepository } from '../../../src/audit/checkpoints.repository.js';
import { dataSource } from '../../../src/database/data-source.js';
import { TestApp } from '../../support/app.js';
import { createTestDirectory } from '../../support/postgres.js';

const ROWS = 60;
const RUNS_PER_KIND = 40;

/** All columns but `seq`, with a value that no row has. */
const COLUMNS: Record<string, string> = {
  id: 'gen_random_uuid()',
  at: `at + interval '1 microsecond'`,
  actor_kind: `'key'`,
  actor_id: `'eve'`,
  actor_owner_id: 'gen_random_uuid()',
  action: `action || 'x'`,
  resource_type: `resource_type || 'x'`,
  resource_id: `coalesce(resource_id, '') || 'x'`,
  outcome: `CASE outcome WHEN 'success' THEN 'refused' ELSE 'success' END`,
  ip: `'192.0.2.99'`,
  request_id: `'request'`,
  changes: `changes || '[{"field":"x","before":null,"after":1}]'::jsonb`,
  details: `details || '{"x":1}'::jsonb`,
  body: `overlay(body placing CASE substr(body, length(body) / 2, 1) WHEN 'x' THEN 'y' ELSE 'x' END from length(body) / 2 for 1)`,
  hash: `sha256(hash)`,
};

const NAMES = Object.keys(COLUMNS);
const seqs = fc.integer({ min: 1, max: ROWS });
const laterSeqs = fc.integer({ min: 2, max: ROWS });

/** Each kind of tampering, as a random statement or more of the database's owner. */
const KINDS: Record<string, fc.Arbitrary<(tx: EntityManager) => Promise<unknown>>> = {
  edit: fc.tuple(seqs, fc.constantFrom(...NAMES)).map(
    ([seq, column]) =>
      (tx) =>
        tx.query(`UPDATE audit_event SET ${column} = ${COLUMNS[column]!} WHERE seq = ${seq}`),
  ),
  delete: fc.tuple(seqs, fc.integer({ min: 0, max: 3 })).map(
    ([seq, more]) =>
      (tx) =>
        tx.query(`DELETE FROM audit_event WHERE seq BETWEEN ${seq} AND ${seq + more}`),
  ),
  'delete and close the gap': laterSeqs.map((seq) => async (tx) => {
    await tx.query(`DELETE FROM audit_event WHERE seq = ${seq - 1}`);
    for (let n = seq; n <= ROWS; n += 1) await tx.query(`UPDATE audit_event SET seq = seq - 1 WHERE seq = ${n}`);
    await tx.query('UPDATE change_head SET seq = seq - 1');
  }),
  insert: seqs.map((seq) => async (tx) => {
    for (let n = ROWS; n >= seq; n -= 1) await tx.query(`UPDATE audit_event SET seq = seq + 1 WHERE seq = ${n}`);
    await copyRow(tx, seq + 1, seq);
    await tx.query('UPDATE change_head SET seq = seq + 1');
  }),
  'append behind the head': seqs.map((seq) => (tx) => copyRow(tx, seq, ROWS + 1)),
  'put before the first': seqs.map((seq) => (tx) => copyRow(tx, seq, 0)),
  swap: fc
    .tuple(seqs, seqs)
    .filter(([a, b]) => a !== b)
    .map(([a, b]) => async (tx) => {
      await tx.query(`UPDATE audit_event SET seq = -1 WHERE seq = ${a}`);
      await tx.query(`UPDATE audit_event SET seq = ${a} WHERE seq = ${b}`);
      await tx.query(`UPDATE audit_event SET seq = ${b} WHERE seq = -1`);
    }),
  'cut the tail': seqs.map((seq) => (tx) => tx.query(`DELETE FROM audit_event WHERE seq >= ${seq}`)),
  'cut the tail and move the head': laterSeqs.map((seq) => (tx) => cutTail(tx, seq)),
  'cut the tail, move the head and drop the checkpoints in the database': laterSeqs.map((seq) => async (tx) => {
    await cutTail(tx, seq);
    await tx.query('ALTER TABLE audit_checkpoint DISABLE TRIGGER ALL');
    await tx.query('DELETE FROM audit_checkpoint');
  }),
  'recompute without the key': seqs.map((seq) => async (tx) => {
    const key = randomBytes(32);
    await tx.query(
      `UPDATE audit_event SET actor_id = 'eve', body = (body::jsonb || '{"note":"eve"}')::text WHERE seq = ${seq}`,
    );
    const rows = await tx.query<{ seq: string; body: string; hash: Buffer }[]>(
      `SELECT seq, body, hash FROM audit_event WHERE seq >= ${seq - 1} ORDER BY seq`,
    );
    let previous = seq === 1 ? Buffer.alloc(32) : rows.shift()!.hash;
    for (const row of rows) {
      previous = linkHash(key, previous, row.body);
      await tx.query('UPDATE audit_event SET hash = $1 WHERE seq = $2', [previous, row.seq]);
    }
    await tx.query('UPDATE change_head SET audit_hash = $1', [previous]);
  }),
  'begin an empty trail': fc.constant(async (tx) => {
    await tx.query('DELETE FROM audit_event');
    await tx.query(`UPDATE change_head SET seq = 0, audit_hash = decode(repeat('00', 32), 'hex')`);
  }),
  'move the head': fc
    .constantFrom('seq = seq - 1', 'seq = seq + 1', 'audit_hash = sha256(audit_hash)')
    .map((set) => (tx) => tx.query(`UPDATE change_head SET ${set}`)),
  'remove the head': fc.constant((tx) => tx.query('DELETE FROM change_head')),
};

async function copyRow(tx: EntityManager, from: number, to: number): Promise<void> {
  const columns = NAMES.join(', ');
  const values = NAMES.map((name) => (name === 'id' ? 'gen_random_uuid()' : name)).join(', ');
  await tx.query(
    `INSERT INTO audit_event (seq, ${columns}) SELECT ${to}, ${values} FROM audit_event WHERE seq = ${from}`,
  );
}

async function cutTail(tx: EntityManager, seq: number): Promise<void> {
  await tx.query(`DELETE FROM audit_event WHERE seq >= ${seq}`);
  await tx.query(
    `UPDATE change_head SET (seq, audit_hash) = (SELECT seq, hash FROM audit_event WHERE seq = ${seq - 1})`,
  );
}

describe('A check of the trail', () => {
  let app: TestApp;
  let owner: DataSource;

  beforeAll(async () => {
    app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: join(await createTestDirectory(), 'checkpoints.ndjson') });
    const [seeded] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
    for (let n = Number(seeded!.seq); n < ROWS; n += 1) {
      await app.app.get(Changes).transaction(systemCaller('test:write'), async ({ record }) => {
        record({
          resourceType: 'test',
          resourceId: `${n}`,
          changes: [{ field: 'a', before: null, after: n / 10 }],
          details: { n, text: 'ü😀"\\' },
        });
      });
    }
    await app.app.get(Checkpoints).look(0);
    owner = await dataSource(app.database.ownerUrl, { max: 1 }).initialize();
  });
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });

  /** What a check finds after `tamper`, of which nothing remains. */
  async function reportAfter(tamper: (tx: EntityManager) => Promise<unknown>): Promise<ChainReport> {
    const runner = owner.createQueryRunner();
    await runner.startTransaction();
    try {
      await runner.query('ALTER TABLE audit_event DISABLE TRIGGER ALL');
      await tamper(runner.manager);
      return await new ChainVerifier(
        new AuditEventsRepository(runner.manager),
        new CheckpointsRepository(runner.manager),
        app.config,
      ).verify();
    } finally {
      await runner.rollbackTransaction();
      await runner.release();
    }
  }

  it('finds nothing where nothing was done', async () => {
    expect(await reportAfter(async () => undefined)).toMatchObject({ ok: true, checked: ROWS, firstBroken: null });
  });

  it.each(Object.entries(KINDS))(
    'finds every random case of: %s',
    async (_, tampers) => {
      await fc.assert(
        fc.asyncProperty(tampers, async (tamper) => {
          const report = await reportAfter(tamper);
          expect(report).toMatchObject({
            ok: false,
            firstBroken: { seq: expect.any(String), reason: expect.any(String) },
          });
        }),
        { numRuns: RUNS_PER_KIND },
      );
    },
    60_000,
  );

  it.each(NAMES)('finds an edit of the column %s in the row it is in', async (column) => {
    const report = await reportAfter((tx) =>
      tx.query(`UPDATE audit_event SET ${column} = ${COLUMNS[column]!} WHERE seq = 17`),
    );
    expect(report).toMatchObject({ checked: 16, firstBroken: { seq: '17' } });
  });
});
