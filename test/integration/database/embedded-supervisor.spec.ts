import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import {
  type EmbeddedPostgres,
  findCluster,
  startEmbeddedPostgres,
  stopAbandonedPostgres,
} from '../../../src/database/embedded-postgres.js';
import { EmbeddedSupervisor } from '../../../packages/embedded-postgres/src/supervisor.js';
import { eventually } from '../../support/eventually.js';
import { createTestDirectory } from '../../support/postgres.js';

const MAX_RECOVERY_MS = 60_000;

describe('An embedded PostgreSQL that is supervised', () => {
  let parent: string;
  let dataDir: string;
  let users: {
    server: EmbeddedPostgres;
    supervisor: EmbeddedSupervisor;
    errors: string[];
    infos: string[];
    lost: string[];
  }[];

  const use = async () => {
    const server = await startEmbeddedPostgres({ dataDir });
    const user = { server, errors: [] as string[], infos: [] as string[], lost: [] as string[] };
    const supervisor = new EmbeddedSupervisor(server, {
      onError: (sentence) => user.errors.push(sentence),
      onInfo: (sentence) => user.infos.push(sentence),
      onLost: (sentence) => user.lost.push(sentence),
    });
    supervisor.start();
    const used = { ...user, supervisor };
    users.push(used);
    return used;
  };
  const query = async (url: string, sql: string): Promise<unknown[]> => {
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    return client
      .query(sql)
      .then(({ rows }) => rows as unknown[])
      .finally(() => client.end());
  };

  beforeEach(async () => {
    users = [];
    parent = await createTestDirectory();
    dataDir = join(parent, '.data');
  });
  afterEach(async () => {
    await Promise.all(users.map(({ supervisor }) => supervisor.stop()));
    await Promise.allSettled(users.map(({ server }) => server.stop()));
    await stopAbandonedPostgres(dataDir).catch(() => undefined);
    await rm(parent, { recursive: true, force: true });
  });

  it('is started again on its port when it was killed, by one of those that use it, with all that was committed', async () => {
    const [one, other] = [await use(), await use()];
    await query(one.server.ownerUrl, 'CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number');
    const killed = one.server.pid;
    process.kill(killed, 'SIGKILL');
    await eventually(() => {
      expect(one.supervisor.isDown || one.supervisor.restarts + other.supervisor.restarts > 0).toBe(true);
    }, MAX_RECOVERY_MS);
    await eventually(async () => {
      expect(await query(one.server.ownerUrl, 'SELECT count(*)::int FROM kept')).toEqual([{ count: 1000 }]);
      for (const { supervisor, server, errors, infos } of [one, other]) {
        expect([supervisor.isDown, errors.length, infos.length]).toEqual([false, 1, 1]);
        expect(server.pid).not.toBe(killed);
      }
    }, MAX_RECOVERY_MS);
    expect(one.server.pid).toBe(other.server.pid);
    expect(one.supervisor.restarts + other.supervisor.restarts).toBe(1);
    expect(one.errors[0]).toContain(`process ${killed}`);
  }, 150_000);

  it('comes back on its port for servers that run, also when a new start is the first to find it dead', async () => {
    const one = await use();
    await one.supervisor.stop();
    process.kill(one.server.pid, 'SIGKILL');
    const next = await startEmbeddedPostgres({ dataDir });
    try {
      expect([next.adopted, next.port]).toEqual([false, one.server.port]);
      expect(await one.server.restart()).toEqual({ pid: next.pid, startedHere: false });
    } finally {
      await next.stop();
    }
  }, 150_000);

  it('is given up after five attempts when it cannot start, and no other database takes its place', async () => {
    const one = await use();
    const cluster = (await findCluster(dataDir))!;
    await rename(cluster, `${cluster}.elsewhere`);
    await eventually(() => expect(one.lost).toHaveLength(1), MAX_RECOVERY_MS);
    expect(one.lost[0]).toMatch(
      /The embedded PostgreSQL could not be started again: The database in .* is gone: put its files back, or restore a backup/,
    );
    expect(one.errors).toHaveLength(5);
    expect([one.supervisor.isDown, one.supervisor.restarts]).toEqual([true, 0]);
    expect(existsSync(cluster)).toBe(false);
    await rename(`${cluster}.elsewhere`, cluster);
  }, 150_000);

  it('is given up with what PostgreSQL said when its files are damaged', async () => {
    const one = await use();
    const cluster = (await findCluster(dataDir))!;
    await rename(join(cluster, 'global', 'pg_control'), join(cluster, 'pg_control.elsewhere'));
    process.kill(one.server.pid, 'SIGKILL');
    await eventually(() => expect(one.lost).toHaveLength(1), MAX_RECOVERY_MS);
    expect(one.lost[0]).toMatch(/PostgreSQL did not start on .*pg_control/s);
  }, 150_000);

  it('is left stopped by those who stop it', async () => {
    const one = await use();
    await one.supervisor.stop();
    await one.server.stop();
    expect([one.errors, one.supervisor.restarts]).toEqual([[], 0]);
    expect(await one.server.isRunning()).toBe(false);
  }, 60_000);
});
