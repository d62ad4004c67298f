import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import { type DataSource, type EntityManager, QueryFailedError } from 'typeorm';
import { systemCaller } from '../../../src/access/caller.js';
import { type Change, Changes } from '../../../src/audit/changes.js';
import { dataSource } from '../../../src/database/data-source.js';
import { inOneTrip } from '../../../src/database/in-one-trip.js';
import { socketOf } from '../../../src/database/lost-connection.js';
import {
  ConnectionLostError,
  inTransaction,
  inTransactionBehind,
  type OpenTransaction,
  OutcomeUnknownError,
} from '../../../src/database/transaction.js';
import { TcpProxy } from '../../proofs/harness/tcp-proxy.js';
import { testConfig } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const CALLER = systemCaller('test:change');
const POOL = 4;

describe('A transaction', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let pool: DataSource;
  let changes: Changes;

  beforeAll(async () => {
    database = await createTestDatabase();
    const url = new URL(database.appUrl);
    proxy = await TcpProxy.start(Number(url.port));
    url.port = String(proxy.port);
    pool = await dataSource(url.href, { max: POOL }).initialize();
    changes = new Changes(pool, testConfig());
    await pool.query(`INSERT INTO role (name, permissions) VALUES ('probe', '{}')`);
  });
  afterAll(async () => {
    await pool.destroy();
    await proxy.stop();
    await database.drop();
  });

  const bounds = (maxMs = 8_000) => ({ lockMs: 2_000, idleMs: 2_000, deadlineMs: performance.now() + maxMs });
  const describeAs = (text: string) => ({
    text: `UPDATE role SET description = $1 WHERE name = 'probe'`,
    values: [text],
  });
  const described = async () =>
    (await pool.query<{ description: string }[]>(`SELECT description FROM role WHERE name = 'probe'`))[0]!.description;
  const note = ({ tx, record, write }: Change, text: string) => {
    const { text: sql, values } = describeAs(text);
    write(tx.query(sql, values));
    record({ resourceType: 'role', resourceId: 'probe' });
  };
  const loseSession = async ({ tx }: Change) => {
    const [row] = await tx.query<{ pid: number }[]>('SELECT pg_backend_pid() AS pid');
    await pool.query('SELECT pg_terminate_backend($1)', [row!.pid]);
    await sleep(50);
  };

  it('that loses its connection before the commit runs once more, and is made once', async () => {
    let runs = 0;
    const { seq } = await changes.commit(CALLER, async (change) => {
      runs += 1;
      if (runs === 1) await loseSession(change);
      note(change, 'once more');
    });
    expect([runs, await described()]).toEqual([2, 'once more']);
    expect(await pool.query('SELECT 1 FROM audit_event WHERE seq >= $1', [seq])).toHaveLength(1);
  });

  it('whose process stood still while its session ended runs once more', async () => {
    let runs = 0;
    await changes.commit(CALLER, async (change) => {
      runs += 1;
      const [row] = await change.tx.query<{ pid: number }[]>('SELECT pg_backend_pid() AS pid');
      note(change, 'stood still');
      // Synchronous: what the server says meanwhile is not read before COMMIT is sent.
      if (runs === 1) terminate(database.ownerUrl, row!.pid);
    });
    expect([runs, await described()]).toEqual([2, 'stood still']);
  });

  it('whose COMMIT could not be written was not made, and runs once more', async () => {
    let runs = 0;
    await changes.commit(CALLER, async (change) => {
      runs += 1;
      note(change, 'written');
      if (runs > 1) return;
      const socket = socketOf(
        (change.tx.queryRunner as unknown as { databaseConnection: PoolClient }).databaseConnection,
      );
      const write = socket.write.bind(socket);
      socket.write = (chunk: Buffer | string, ...rest: unknown[]) => {
        if (!chunk.toString().includes('COMMIT')) return (write as (...args: unknown[]) => boolean)(chunk, ...rest);
        socket.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' }));
        return false;
      };
    });
    expect([runs, await described()]).toEqual([2, 'written']);
  });

  it('that loses its connection twice is refused, and says that nothing was changed', async () => {
    let runs = 0;
    const refused = changes.transaction(CALLER, async (change) => {
      runs += 1;
      await loseSession(change);
      note(change, 'never');
    });
    await expect(refused).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('nothing was changed'),
    });
    expect([runs, await described()]).toEqual([2, 'written']);
  });

  it('that is silent for two seconds gives up its locks, and runs once more', async () => {
    let runs = 0;
    let hasLocked = () => {};
    const locked = new Promise<void>((resolve) => (hasLocked = resolve));
    const frozen = changes.transaction(CALLER, async (change) => {
      runs += 1;
      await change.tx.query(`SELECT 1 FROM role WHERE name = 'probe' FOR UPDATE`);
      hasLocked();
      // As a process that is stopped; the other change below waits for this one's lock.
      if (runs === 1) await sleep(4_500);
      note(change, 'frozen');
    });
    await locked;
    const began = performance.now();
    await pool.query(`UPDATE role SET description = 'other' WHERE name = 'probe'`);
    expect(performance.now() - began).toBeLessThan(4_400);
    await frozen;
    expect([runs, await described()]).toEqual([2, 'frozen']);
  });

  it('whose commit is sent and not answered has an unknown outcome, and does not run again', async () => {
    let runs = 0;
    const unknown = inTransaction(pool, bounds(), async (tx) => {
      runs += 1;
      const isSent = () =>
        pool.query<unknown[]>(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`,
        );
      void eventually(async () => expect((await isSent()).length).toBeGreaterThan(0)).then(() => proxy.reset());
      await tx.commit({ text: 'SELECT pg_sleep(3)', values: [] });
    });
    await expect(unknown).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(runs).toBe(1);
  });

  it('is cut at its deadline where a statement hangs, and was not made', async () => {
    const began = performance.now();
    const cut = inTransaction(pool, bounds(400), async (tx) => {
      await tx.manager.query(describeAs('too late').text, ['too late']);
      await tx.manager.query('SELECT pg_sleep(5)');
    });
    await expect(cut).rejects.toBeInstanceOf(ConnectionLostError);
    expect(performance.now() - began).toBeLessThan(4_900);
    expect(await described()).toBe('frozen');
  });

  it('whose last statement is refused was not made, and keeps its connection', async () => {
    const refused = inTransaction(pool, bounds(), async (tx) => {
      await tx.manager.query(describeAs('refused').text, ['refused']);
      await tx.commit({ text: `INSERT INTO role (name, permissions) VALUES ('probe', '{}')`, values: [] });
    });
    await expect(refused).rejects.toBeInstanceOf(QueryFailedError);
    expect(await described()).toBe('frozen');
  });

  it('fails with what a write was refused for, and not with what followed from it', async () => {
    const refused = changes.transaction(CALLER, async ({ tx, write, record }) => {
      write(tx.query(`INSERT INTO role (name, permissions) VALUES ('probe', '{}')`));
      record({ resourceType: 'role', resourceId: 'probe' });
      await sleep(50);
      await tx.query('SELECT 1');
    });
    await expect(refused).rejects.toMatchObject({ driverError: { code: '23505' } });
  });

  it('reads behind a lock what the lock has waited for, in one round trip', async () => {
    let isLocked = () => {};
    const locked = new Promise<void>((resolve) => (isLocked = resolve));
    const first = inTransaction(pool, bounds(), async (tx) => {
      await tx.manager.query(describeAs('committed').text, ['committed']);
      isLocked();
      await sleep(200);
    });
    await locked;
    const second = await inTransaction(pool, bounds(), (tx) =>
      inOneTrip(tx.manager, [
        { text: `SELECT 1 FROM role WHERE name = 'probe' FOR SHARE` },
        { text: `SELECT description FROM role WHERE name = 'probe'` },
      ]),
    );
    await first;
    expect(second[1]).toEqual([{ description: 'committed' }]);
  });

  it('whose BEGIN is refused makes nothing of what would have followed, and keeps its connection', async () => {
    let runs = 0;
    const refused = { ...bounds(), lockMs: 'no number' as unknown as number };
    const work = async ({ manager }: OpenTransaction) => {
      runs += 1;
      const { text, values } = describeAs('without BEGIN');
      await manager.query(text, values);
    };
    const first = (manager: EntityManager) => inOneTrip(manager, [{ text: 'SELECT 1' }]);
    await expect(inTransactionBehind(pool, refused, first, work)).rejects.toThrow('syntax error');
    await expect(inTransaction(pool, refused, work)).rejects.toThrow('syntax error');
    expect([runs, await described()]).toEqual([0, expect.not.stringContaining('without')]);
  });

  it('gives its work what was read and locked with BEGIN', async () => {
    const first = (manager: EntityManager) =>
      inOneTrip(manager, [
        { text: `SELECT pg_current_xact_id()::text AS id FROM role WHERE name = 'probe' FOR UPDATE` },
      ]);
    const [before, after] = await inTransactionBehind(pool, bounds(), first, async ({ manager }, found) => [
      (found as [[{ id: string }]])[0][0].id,
      (await manager.query<{ id: string }[]>('SELECT pg_current_xact_id()::text AS id'))[0]!.id,
    ]);
    expect(after).toBe(before);
  });

  it('sends nothing more once it is over: another transaction has its connection', async () => {
    const over = await inTransaction(pool, bounds(), ({ manager }) => Promise.resolve(manager));
    await expect(inOneTrip(over, [{ text: 'SELECT 1' }])).rejects.toThrow('already released');
  });

  it('leaves the pool with every connection it had', async () => {
    const answers = await Promise.all(
      Array.from({ length: POOL * 3 }, () => pool.query<{ one: number }[]>('SELECT 1 AS one')),
    );
    expect(answers).toHaveLength(POOL * 3);
  });
});

/** Ends a session from another process, while this one does nothing. */
function terminate(url: string, pid: number): void {
  const script = `import { Client } from 'pg';
    const client = new Client(${JSON.stringify(url)});
    await client.connect();
    await client.query('SELECT pg_terminate_backend(${pid}, 5000)');
    await client.end();`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}
