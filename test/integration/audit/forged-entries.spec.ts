import { afterEach, describe, expect, it } from '@jest/globals';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { systemCaller } from '../../../src/access/caller.js';
import { ChainCheck, GENESIS } from '../../../src/audit/chain-check.js';
import { Changes } from '../../../src/audit/changes.js';
import { Checkpoints } from '../../../src/audit/checkpoints.js';
import { readHead } from '../../../src/audit/head.js';
import { checkStretch } from '../../../src/audit/stretch.js';
import { ChangeLog } from '../../../src/backup/change-log.js';
import { Conditions } from '../../../src/common/conditions.js';
import { TestApp } from '../../support/app.js';
import { createTestDirectory } from '../../support/postgres.js';
import { asOwner, trailRowsOnce } from '../../support/trail.js';

/** What a writer of the database can do with the rights of the application. */
describe('An entry of the trail that was put into the database', () => {
  const apps: TestApp[] = [];
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.stop();
  });

  const start = async (variables: Record<string, string> = {}) => {
    const app = await TestApp.start(variables);
    apps.push(app);
    return app;
  };

  const asApplication = async <T>(app: TestApp, work: (client: Client) => Promise<T>): Promise<T> => {
    const client = new Client({ connectionString: app.database.appUrl });
    await client.connect();
    return work(client).finally(() => client.end());
  };

  const insert = (client: Client, table: string, seq: string, body: string, hash: Buffer) =>
    client.query(
      `INSERT INTO ${table} (seq, id, at, actor_kind, action, resource_type, outcome, body, hash)
       VALUES ($1, $2, '2026-01-02T03:04:05.678Z', 'system', 'audit:cut', 'audit', 'success', $3, $4)`,
      [seq, randomUUID(), body, hash],
    );

  /** Adds an entry, and moves the head to it. */
  const append = (app: TestApp, bodyOf: (seq: string) => string) =>
    asApplication(app, async (client) => {
      await client.query('BEGIN');
      const { rows } = await client.query<{ seq: string }>('SELECT seq + 1 AS seq FROM change_head FOR UPDATE');
      const [seq, hash] = [rows[0]!.seq, randomBytes(32)];
      await insert(client, 'audit_event', seq, bodyOf(seq), hash);
      await client.query(`SELECT audit_move_head($1, $2, 'x')`, [seq, hash]);
      await client.query('COMMIT');
      return seq;
    });

  const listed = async (app: TestApp, token: string) =>
    (await app.get('/audit-events?limit=100', { token })).body.data as Record<string, unknown>[];
  const exported = async (app: TestApp, token: string) => {
    const { status, body } = await app.get('/audit-events/export', { token });
    expect(status).toBe(200);
    return (body as unknown as string)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  const chainOf = (app: TestApp) => app.app.get(Conditions).check()['auditChain'];
  const change = (app: TestApp, count = 1) =>
    app.app.get(Changes).transaction(systemCaller('test:write'), async ({ record }) => {
      for (let n = 0; n < count; n += 1) record({ resourceType: 'role', resourceId: String(n) });
    });

  it('is in no list where it lies behind the head, nor counts as a cut of the reads', async () => {
    const app = await start();
    const token = await app.adminToken();
    await asApplication(app, (client) => insert(client, 'audit_event', '1000000000000', '{}', Buffer.alloc(32)));
    await asApplication(app, (client) => insert(client, 'audit_read', '1000000000000', 'no JSON', Buffer.alloc(32)));
    const lists = [await listed(app, token), await exported(app, token)];
    for (const events of lists) {
      expect(events.length).toBeGreaterThan(3);
      expect(events.filter(({ seq, isUnreadable }) => seq === '1000000000000' || isUnreadable === true)).toEqual([]);
    }
    expect((await app.post('/audit-events/verify', { token })).body).toMatchObject({
      ok: false,
      firstBroken: { chain: 'changes', reason: 'There are entries behind the head of the trail.' },
    });
  });

  it('is shown as unreadable where the head was moved to it, and hides no other', async () => {
    const app = await start();
    const token = await app.adminToken();
    const bodies = ['{}', 'no JSON', 'null', '[]', '{"seq":"9223372036854775807","id":"x","at":"never","actor":null}'];
    const seqs: string[] = [];
    for (const body of bodies) seqs.push(await append(app, () => body));
    await change(app);
    for (const events of [await listed(app, token), await exported(app, token)]) {
      const unreadable = events.filter(({ isUnreadable }) => isUnreadable === true);
      expect(unreadable.map(({ seq }) => seq).sort()).toEqual([...seqs].sort());
      expect(unreadable[0]).toMatchObject({
        at: '2026-01-02T03:04:05.678Z',
        action: 'audit:unreadable',
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      });
      expect(events.some(({ action }) => action === 'test:write')).toBe(true);
    }
    let pages = 0;
    for (let cursor: string | null = ''; cursor !== null; pages += 1) {
      const answer: { body: { meta: { nextCursor: string | null } } } = await app.get(
        `/audit-events?limit=2${cursor && `&cursor=${cursor}`}`,
        { token },
      );
      cursor = answer.body.meta.nextCursor;
      expect(pages).toBeLessThan(100);
    }
  });

  it('gets no checkpoint and no line of changes, and is told', async () => {
    const file = join(await createTestDirectory(), 'checkpoints');
    const app = await start({ AUDIT_CHECKPOINT_FILE: file });
    const sign = async () => {
      await app.app.get(Checkpoints).look(0);
      await app.app.get(ChangeLog).look();
    };
    const lines = async () =>
      (await readFile(file, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { type: string; seq: string });
    await change(app);
    await sign();
    expect(chainOf(app)).toEqual({ status: 'up' });
    const signed = await lines();
    expect(new Set(signed.map(({ type }) => type))).toEqual(
      new Set(['latchkey-audit-checkpoint/1', 'latchkey-audit-changes/1']),
    );
    const seq = await append(app, (own) => JSON.stringify({ seq: own, id: 'x' }));
    await change(app);
    await sign();
    expect((await lines()).filter((line) => BigInt(line.seq) >= BigInt(seq))).toEqual([]);
    expect(await app.dataSource.query('SELECT seq FROM audit_checkpoint WHERE seq >= $1', [seq])).toEqual([]);
    expect(chainOf(app)).toEqual({
      status: 'degraded',
      reason: expect.stringContaining(`Entry ${seq} of the chain of changes`),
    });
    expect(app.app.get(Conditions).check()['changeLog']).toMatchObject({ status: 'degraded' });
    // All of this lasts while it is there, at the end of the process as well.
    await sign();
    expect(chainOf(app)).toMatchObject({ status: 'degraded' });
  });

  it('gets no checkpoint of the chain of reads either', async () => {
    const app = await start();
    const token = await app.adminToken();
    await app.app.get(Checkpoints).look(0);
    await app.get('/users', { token });
    // By now no recorded read can take the place of the forged one.
    await trailRowsOnce(app, 1, `action = 'users:read'`);
    await asOwner(app.database, (client) =>
      client.query(`WITH added AS (
          INSERT INTO audit_read (seq, id, at, actor_kind, action, resource_type, outcome, body, hash)
          SELECT seq + 1, gen_random_uuid(), now(), 'system', 'users:read', 'user', 'success', '{"chain":"reads","keyVersion":"1"}', sha256('x') FROM audit_read_head
          RETURNING seq, hash)
        UPDATE audit_read_head h SET seq = added.seq, audit_hash = added.hash FROM added`),
    );
    await app.app.get(Checkpoints).look(0);
    expect(chainOf(app)).toEqual({ status: 'degraded', reason: expect.stringContaining('of the chain of reads') });
  });

  it('is found wherever it is among those that have no checkpoint, a thousand at a time', async () => {
    const app = await start();
    for (let n = 0; n < 11; n += 1) await change(app, 100);
    const { manager } = app.dataSource;
    const [key] = app.config.auditKeys;
    const stretch = async (maxMs: number) => {
      const check = new ChainCheck([{ ...key!, end: null }]);
      const begin = { seq: '0', hash: GENESIS };
      return checkStretch(
        (text, values) => manager.query(text, values),
        check,
        'audit_event',
        begin,
        await readHead(manager),
        maxMs,
      );
    };
    expect(await stretch(-1)).toMatchObject({ place: { seq: '1000' }, broken: null });
    expect(await stretch(60_000)).toMatchObject({ place: { seq: (await readHead(manager)).seq }, broken: null });
    // Looks no more by itself.
    await app.app.get(Checkpoints).close();
    await change(app, 100);
    const edited = (BigInt((await readHead(manager)).seq) - 50n).toString();
    await asOwner(app.database, async (client) => {
      await client.query('ALTER TABLE audit_event DISABLE TRIGGER ALL');
      await client.query(`UPDATE audit_event SET resource_id = 'x' WHERE seq = $1`, [edited]);
    });
    await app.app.get(Checkpoints).look(0);
    expect(chainOf(app)).toEqual({ status: 'degraded', reason: expect.stringContaining(`Entry ${edited} of`) });
  });
});
