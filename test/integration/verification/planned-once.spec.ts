import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { lockHead } from '../../../src/audit/append.js';
import { dataSource } from '../../../src/database/data-source.js';
import { sessionConfigOf } from '../../../src/database/session-config.js';
import { LiveConnection } from '../../../src/database/live-connection.js';
import { inTransaction } from '../../../src/database/transaction.js';
import { DataPlaneConnections } from '../../../src/key-cache/data-plane-connections.js';
import { POLL } from '../../../src/key-cache/feed/feed-connection.js';
import { KeyRecordsReader } from '../../../src/key-cache/records/key-records.reader.js';
import { ReplicasRepository } from '../../../src/replicas/replicas.repository.js';
import { TestApp } from '../../support/app.js';

const TIMEOUT_MS = 5_000;
const KID = '00000000000000';
/** More than PostgreSQL tries before it compares plans. */
const REPEATED = 8;

describe('the statements of the data plane', () => {
  let app: TestApp;
  let connections: DataPlaneConnections;
  let feed: LiveConnection;

  beforeAll(async () => {
    // Nothing has been analyzed yet, and most tables are empty: plans of such a session have to last.
    app = await TestApp.start();
    connections = new DataPlaneConnections(app.dataSource);
    feed = new LiveConnection(sessionConfigOf(app.dataSource, 'feed', 'data-plane'));
    const [reader, replicas] = [new KeyRecordsReader(connections), new ReplicasRepository(connections)];
    for (let time = 0; time < REPEATED; time += 1) {
      await reader.load({ kids: [KID], macs: [] }, TIMEOUT_MS);
      await replicas.heartbeat('01890000-0000-7000-8000-000000000000', {
        ...{ appliedSeq: 0n, lagMs: 0 },
        ...{ history: null, isHistoryWhole: null },
      });
      await feed.query({ ...POLL, values: ['0'] }, TIMEOUT_MS);
    }
    await replicas.remove(['01890000-0000-7000-8000-000000000000']);
  });
  afterAll(async () => {
    await connections.close();
    await feed.close();
    await app.stop();
  });

  const cases = [
    { name: 'load-records', values: `'{${KID}}', '{}', '{}'`, session: () => connections.reader() },
    { name: 'send-heartbeat', values: `gen_random_uuid(), 0, 0, NULL, NULL`, session: () => connections.writer },
    { name: 'poll-changes', values: '0', session: () => feed },
  ];

  it.each(cases)('are planned once a session: $name', async ({ name, session }) => {
    const [plans] = await session().query(
      {
        text: 'SELECT generic_plans::int AS once, custom_plans::int AS anew FROM pg_prepared_statements WHERE name = $1',
        values: [name],
      },
      TIMEOUT_MS,
    );
    expect(plans).toEqual({ once: REPEATED, anew: 0 });
  });

  it.each(cases)(
    'find what they read by key, though tables were empty then: $name',
    async ({ name, values, session }) => {
      const plan = await session().query<{ 'QUERY PLAN': string }>(
        { text: `EXPLAIN (COSTS OFF) EXECUTE "${name}" (${values})` },
        TIMEOUT_MS,
      );
      const lines = plan.map((line) => line['QUERY PLAN']);
      expect(lines.length).toBeGreaterThan(3);
      // The head is one row.
      expect(lines.filter((line) => /Seq Scan on (?!change_head)|Hash Join|Merge Join/.test(line))).toEqual([]);
    },
  );

  it('are a way of planning that a change takes while it holds the head, and no longer', async () => {
    const SHOWN = `SELECT pg_backend_pid() AS pid, current_setting('plan_cache_mode') AS mode, current_setting('enable_seqscan') AS whole`;
    const pool = await dataSource(app.database.appUrl, { max: 1 }).initialize();
    try {
      const bounds = { lockMs: TIMEOUT_MS, idleMs: TIMEOUT_MS, deadlineMs: performance.now() + TIMEOUT_MS };
      const [held] = await inTransaction(pool, bounds, async (tx) => {
        await lockHead(tx);
        return tx.manager.query<Record<string, unknown>[]>(SHOWN);
      });
      const [after] = await pool.query<Record<string, unknown>[]>(SHOWN);
      expect(held).toEqual({ pid: after!['pid'], mode: 'force_generic_plan', whole: 'off' });
      expect(after).toMatchObject({ mode: 'auto', whole: 'on' });
    } finally {
      await pool.destroy();
    }
  });
});
