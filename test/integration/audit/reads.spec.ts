import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { RESTORE_ACTION } from '../../../src/audit/restores.js';
import { AuditEventsRepository } from '../../../src/audit/audit-events.repository.js';
import { linkHash } from '../../../src/audit/chain.js';
import { type ChainReport, ChainVerifier } from '../../../src/audit/chain-verifier.js';
import { checkpointKey } from '../../../src/audit/checkpoint.js';
import { Checkpoints } from '../../../src/audit/checkpoints.js';
import { CheckpointsRepository } from '../../../src/audit/checkpoints.repository.js';
import { ReadHousekeeping } from '../../../src/audit/reads/read-housekeeping.js';
import { ReadRecorder } from '../../../src/audit/reads/read-recorder.js';
import { type SignedReadCheckpoint, signReadCheckpoint } from '../../../src/audit/reads/read-checkpoint.js';
import { verifyTrail } from '../../../src/audit/verify-command.js';
import { findMissingReads } from '../../../src/backup/missing-reads.js';
import { checkpointPublicKeys } from '../../../src/audit/checkpoint.js';
import { dataSource } from '../../../src/database/data-source.js';
import { TestApp } from '../../support/app.js';
import { createTestDirectory } from '../../support/postgres.js';
import { eventually } from '../../support/eventually.js';
import { asOwner, trailRowsOnce } from '../../support/trail.js';

const READS = 20;

describe('Reads in the trail', () => {
  let app: TestApp;
  let admin: string;
  let file: string;
  let owner: DataSource;

  beforeAll(async () => {
    file = join(await createTestDirectory(), 'checkpoints.ndjson');
    app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: file, MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    owner = await dataSource(app.database.ownerUrl, { max: 2 }).initialize();
    for (let n = 0; n < READS; n += 1) await readNewKey();
    await trailRowsOnce(app, READS, `action = 'api-keys:read' AND body::jsonb ? 'chain'`);
    // Writes one, and no more by itself: it would when it finds checkpoints that are dated back here.
    await app.app.get(Checkpoints).close();
  });
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });

  const readNewKey = async () => {
    const { body } = await app.post('/api-keys', { token: admin });
    return app.get(`/api-keys/${body.apiKey.id}`, { token: admin });
  };
  const reads = (condition = 'true', parameters: unknown[] = []) =>
    app.dataSource.query<{ seq: string; at: Date; details: { count?: number } }[]>(
      `SELECT * FROM audit_read WHERE ${condition} ORDER BY seq`,
      parameters,
    );
  const verify = () => app.app.get(ChainVerifier).verify();

  it('are a whole chain of their own, and no entries among the changes', async () => {
    const report = await verify();
    expect(report).toMatchObject({ ok: true, firstBroken: null });
    expect(report.checkedReads).toBeGreaterThanOrEqual(READS);
    expect(
      await app.dataSource.query(`SELECT 1 FROM audit_event WHERE action LIKE '%:read' AND outcome = 'success'`),
    ).toEqual([]);
  });

  it('that are equal are one counted entry behind the first', async () => {
    const auditor = await app.addUser(['auditor']);
    for (let n = 0; n < 7; n += 1) await app.get('/users', { token: auditor.token });
    await trailRowsOnce(app, 1, 'actor_id = $1', [auditor.id]);
    app.app.get(ReadRecorder)['sweep'](Number.POSITIVE_INFINITY);
    const rows = await trailRowsOnce(app, 2, 'actor_id = $1', [auditor.id]);
    expect(rows.map(({ details }) => details['count'])).toEqual([undefined, 6]);
  });

  it('are recorded while the head of the changes is held, and changes are made while theirs is', async () => {
    const auditor = await app.addUser(['auditor']);
    await owner.transaction(async (tx) => {
      await tx.query('SELECT 1 FROM change_head FOR UPDATE');
      await app.get('/roles', { token: auditor.token });
      await trailRowsOnce(app, 1, 'actor_id = $1', [auditor.id]);
    });
    await owner.transaction(async (tx) => {
      await tx.query('SELECT 1 FROM audit_read_head FOR UPDATE');
      await app.get('/users', { token: auditor.token });
      expect((await app.post('/api-keys', { token: admin })).status).toBe(201);
      expect(await reads('actor_id = $1', [auditor.id])).toHaveLength(1);
    });
    await trailRowsOnce(app, 2, 'actor_id = $1', [auditor.id]);
  });

  it('that cannot be recorded are answered, told of, and recorded later', async () => {
    const auditor = await app.addUser(['auditor']);
    const isDown = async () => (await app.get('//health')).body.details.auditReads.status === 'degraded';
    await asOwner(app.database, (client) => client.query('REVOKE INSERT ON audit_read FROM latchkey_app'));
    try {
      expect((await app.get('/users', { token: auditor.token })).status).toBe(200);
      await eventually(async () => expect(await isDown()).toBe(true));
    } finally {
      await asOwner(app.database, (client) => client.query('GRANT INSERT ON audit_read TO latchkey_app'));
    }
    await eventually(async () => expect(await isDown()).toBe(false));
    const [row] = await trailRowsOnce(app, 1, 'actor_id = $1', [auditor.id]);
    expect(row!.details['occurredAt']).toMatch(/Z$/);
  });

  it('are listed with the changes, page by page, each once, whatever is added meanwhile', async () => {
    const auditor = await app.addUser(['auditor', 'creator']);
    for (const path of ['/roles', '/users', '/permissions']) {
      await app.get(path, { token: auditor.token });
      await trailRowsOnce(app, 1, 'actor_id = $1 AND resource_type = $2', [auditor.id, path.slice(1, -1)]);
      expect((await app.post('/api-keys', { token: auditor.token })).status).toBe(201);
    }
    const walk = async (limit: number) => {
      const seen: { id: string; at: string }[] = [];
      for (let cursor: string | null = ''; cursor !== null;) {
        const { body } = await app.get(
          `/audit-events?actorId=${auditor.id}&limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`,
          { token: admin },
        );
        seen.push(...body.data);
        cursor = body.meta.nextCursor as string | null;
        await app.get(`/users/${auditor.id}`, { token: auditor.token });
      }
      return seen;
    };
    const all = await walk(200);
    expect(all.length).toBeGreaterThanOrEqual(6);
    expect(all.map(({ at }) => at)).toEqual(
      all
        .map(({ at }) => at)
        .sort()
        .reverse(),
    );
    for (const limit of [1, 2, 3]) {
      const walked = (await walk(limit)).map(({ id }) => id);
      expect(new Set(walked).size).toBe(walked.length);
      expect(walked.filter((id) => all.some((event) => event.id === id))).toEqual(all.map(({ id }) => id));
    }
  });

  describe('that are tampered with', () => {
    const reportAfter = async (
      tamper: (tx: EntityManager) => Promise<unknown>,
      meanwhile: (tx: EntityManager) => Promise<unknown> = () => Promise.resolve(),
    ): Promise<ChainReport> => {
      const runner = owner.createQueryRunner();
      await runner.startTransaction();
      try {
        await runner.query('ALTER TABLE audit_read DISABLE TRIGGER ALL');
        await tamper(runner.manager);
        const { manager } = runner;
        const events = new AuditEventsRepository(beforeReads(manager, () => meanwhile(manager)));
        return await new ChainVerifier(events, new CheckpointsRepository(manager), app.config).verify();
      } finally {
        await runner.rollbackTransaction();
        await runner.release();
      }
    };
    const forgeCut = async (tx: EntityManager) => {
      await tx.query(
        `INSERT INTO audit_event SELECT seq + 1, gen_random_uuid(), now(), 'system', NULL, NULL, 'audit:cut', 'audit-event', NULL, 'success', NULL, NULL, '[]',
         jsonb_build_object('upToSeq', '5', 'hash', encode((SELECT hash FROM audit_read WHERE seq = 5), 'hex')), '{}', sha256('x') FROM change_head`,
      );
      await tx.query("UPDATE change_head SET seq = seq + 1, audit_hash = sha256('x'), signed_seq = seq + 1");
      await tx.query('DELETE FROM audit_read WHERE seq <= 5');
    };
    const moveHead =
      'UPDATE audit_read_head SET (seq, audit_hash) = (SELECT seq, hash FROM audit_read ORDER BY seq DESC LIMIT 1)';

    it.each<[string, (tx: EntityManager) => Promise<unknown>]>([
      ['edit a column', (tx) => tx.query(`UPDATE audit_read SET actor_id = 'eve' WHERE seq = 5`)],
      ['edit a body', (tx) => tx.query(`UPDATE audit_read SET body = replace(body, 'read', 'raed') WHERE seq = 5`)],
      ['make a body no JSON', (tx) => tx.query(`UPDATE audit_read SET body = 'x' WHERE seq = 5`)],
      ['delete one', (tx) => tx.query('DELETE FROM audit_read WHERE seq = 5')],
      ['delete the oldest', (tx) => tx.query('DELETE FROM audit_read WHERE seq <= 5')],
      [
        'swap two',
        (tx) =>
          tx.query(
            'UPDATE audit_read a SET body = b.body, hash = b.hash FROM audit_read b WHERE a.seq = 5 AND b.seq = 6',
          ),
      ],
      [
        'cut the tail',
        async (tx) => {
          await tx.query('DELETE FROM audit_read WHERE seq > 5');
          await tx.query(moveHead);
        },
      ],
      ['add behind the head', (tx) => tx.query('UPDATE audit_read_head SET seq = seq - 1')],
      [
        'sign with another key',
        async (tx) => {
          const [row] = await tx.query<{ body: string }[]>('SELECT body FROM audit_read WHERE seq = 1');
          await tx.query('UPDATE audit_read SET hash = $1 WHERE seq = 1', [
            linkHash(Buffer.alloc(32, 7), Buffer.alloc(32), row!.body),
          ]);
        },
      ],
      ['say that they were cut, without the key', forgeCut],
      ['remove the head', (tx) => tx.query('DELETE FROM audit_read_head')],
    ])('are found: %s', async (_, tamper) => {
      const report = await reportAfter(tamper);
      expect(report).toMatchObject({ ok: false, firstBroken: { seq: expect.any(String), reason: expect.any(String) } });
    });

    it('are found where a cut is forged while they are checked', async () => {
      const report = await reportAfter(() => Promise.resolve(), forgeCut);
      expect(report).toMatchObject({ ok: false, firstBroken: { chain: 'changes' } });
    });

    it('are found in the entry that was edited, by the name of their chain', async () => {
      const report = await reportAfter((tx) => tx.query(`UPDATE audit_read SET ip = '192.0.2.9' WHERE seq = 7`));
      expect(report).toMatchObject({ checkedReads: 6, firstBroken: { seq: '7', chain: 'reads' } });
    });

    it('are found where a checkpoint outside of the database has seen more', async () => {
      const key = checkpointKey(app.config.auditKeys[0]!.key);
      const place = { seq: '5000', hash: '0'.repeat(64) };
      const cut = join(await createTestDirectory(), 'cut');
      await writeFile(cut, `${JSON.stringify(signReadCheckpoint(key, '2026-03-01T12:00:00.000Z', place, place))}\n`);
      const { exitCode, text } = await verifyTrail(app.config, app.dataSource, cut);
      expect([exitCode, text]).toEqual([
        1,
        expect.stringMatching(/BROKEN at seq \d+ of the reads: The trail was cut off/),
      ]);
      // What a restore tells of it: from there on, what was seen until now is missing.
      const missing = await findMissingReads(app.dataSource.manager, [cut], checkpointPublicKeys(app.config.auditKeys));
      expect(missing).toMatchObject({ afterSeq: '4999' });
      expect(
        await findMissingReads(app.dataSource.manager, [file], checkpointPublicKeys(app.config.auditKeys)),
      ).toBeNull();
      // Once a restore has told of it, another one has nothing to tell.
      await app.app.get(Changes, { strict: false }).transaction(systemCaller(RESTORE_ACTION), ({ record }) => {
        const details = { restoredSeq: '0', lost: null, lostReads: missing };
        record({ resourceType: 'system', resourceId: null, details });
        return Promise.resolve();
      });
      expect(
        await findMissingReads(app.dataSource.manager, [cut], checkpointPublicKeys(app.config.auditKeys)),
      ).toBeNull();
    });

    it('are found where a line of the file is forged', async () => {
      const copy = join(await createTestDirectory(), 'forged');
      const place = { seq: '1', hash: '0'.repeat(64) };
      await writeFile(copy, await readFile(file));
      await appendFile(
        copy,
        `${JSON.stringify(signReadCheckpoint(checkpointKey(Buffer.alloc(32)), '2026-03-01T12:00:00.000Z', place, place))}\n`,
      );
      expect(await verifyTrail(app.config, app.dataSource, copy)).toMatchObject({
        exitCode: 1,
        text: expect.stringContaining('not signed with this audit key'),
      });
    });
  });

  describe('that are old', () => {
    it('cannot be removed by the application before they are cut', async () => {
      await expect(app.dataSource.query('DELETE FROM audit_read WHERE seq = 1')).rejects.toThrow(
        'append-only beyond its last cut',
      );
      await expect(app.dataSource.query('DELETE FROM audit_read_checkpoint')).rejects.toThrow(
        'append-only beyond its last cut',
      );
    });

    it('cannot be removed by way of a temporary table that stands in for the trail', async () => {
      const removing = app.dataSource.transaction(async (tx) => {
        await tx.query(
          'CREATE TEMPORARY TABLE audit_event (details jsonb, action text, actor_kind text) ON COMMIT DROP',
        );
        await tx.query(`INSERT INTO pg_temp.audit_event VALUES ('{"upToSeq":"999999"}', 'audit:cut', 'system')`);
        await tx.query('DELETE FROM public.audit_read WHERE seq = 1');
      });
      await expect(removing).rejects.toThrow('append-only beyond its last cut');
    });

    const stored = async (client: Client, statements: (client: Client) => Promise<void>) => {
      const tables = ['audit_read', 'audit_read_checkpoint'];
      for (const table of tables) await client.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
      await statements(client);
      for (const table of tables)
        for (const trigger of ['append_only', 'cut'])
          await client.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${table}_${trigger}`);
    };
    const backDate = () =>
      asOwner(app.database, (client) =>
        stored(client, async () => {
          await client.query(`UPDATE audit_read SET at = at - interval '2 years'`);
          await client.query(`UPDATE audit_read_checkpoint SET at = at - interval '2 years'`);
        }),
      );
    /** As this installation would have signed them then. */
    const signStored = (years: number) =>
      asOwner(app.database, (client) =>
        stored(client, async () => {
          const { rows } = await client.query<{ line: SignedReadCheckpoint }>('SELECT line FROM audit_read_checkpoint');
          for (const { line } of rows) {
            const at = new Date(Date.parse(line.at) - years * 366 * 86_400_000).toISOString();
            const key = checkpointKey(app.config.auditKeys[0]!.key);
            const signed = signReadCheckpoint(key, at, { seq: line.seq, hash: line.hash }, line.changes);
            await client.query('UPDATE audit_read_checkpoint SET line = $2 WHERE seq = $1', [line.seq, signed]);
          }
        }),
      );

    /** The rows behind a cut were dated back here, so that their columns differ from what was signed. */
    const dateAsSigned = () =>
      asOwner(app.database, (client) =>
        stored(client, async () => {
          await client.query(`UPDATE audit_read SET at = (body::jsonb->>'at')::timestamptz`);
        }),
      );

    it('are cut at a checkpoint, which the changes vouch for; the rest is whole, and goes on', async () => {
      const housekeeping = app.app.get(ReadHousekeeping);
      // The oldest goes first. Others may be recorded meanwhile.
      const oldest = async () => (await reads())[0]!.seq;
      const before = await oldest();
      await housekeeping.run();
      expect(await oldest()).toBe(before);

      // Two years later, by the columns alone: a database writer says so of a row, and removes what the reads prove.
      await backDate();
      await housekeeping.run();
      expect(await oldest()).toBe(before);
      expect(await app.dataSource.query(`SELECT 1 FROM audit_event WHERE action = 'audit:cut'`)).toEqual([]);

      // Two years later: what there was is old, and a checkpoint of then vouches for it.
      await signStored(2);
      await app.get('/permissions', { token: admin });
      await trailRowsOnce(
        app,
        1,
        `action = 'permissions:read' AND at > now() - interval '1 day' AND actor_kind = 'user'`,
      );
      const [checkpoint] = await app.dataSource.query<{ seq: string }[]>(
        'SELECT max(seq) AS seq FROM audit_read_checkpoint',
      );
      await Promise.all([housekeeping.run(), housekeeping.run()]);
      const [first] = await reads();
      expect(BigInt(first!.seq)).toBe(BigInt(checkpoint!.seq) + 1n);
      const cuts = await app.dataSource.query<{ details: object }[]>(
        `SELECT details FROM audit_event WHERE action = 'audit:cut'`,
      );
      expect(cuts.map(({ details }) => details)).toEqual([
        { upToSeq: checkpoint!.seq, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      ]);
      await dateAsSigned();
      expect(await verify()).toMatchObject({ ok: true, firstBroken: null });
      await expect(app.dataSource.query('DELETE FROM audit_read WHERE seq = $1', [first!.seq])).rejects.toThrow(
        'append-only beyond its last cut',
      );
      await readNewKey();
      await app.app.get(Checkpoints).look(0);
      expect(await verify()).toMatchObject({ ok: true, firstBroken: null });
      expect((await app.get('/audit-events/export', { token: admin })).status).toBe(200);
    });

    it('are not missing where they are cut while they are checked', async () => {
      const { manager } = app.dataSource;
      const readOnce = async () => {
        const had = (await reads()).length;
        await readNewKey();
        await eventually(async () => expect((await reads()).length).toBeGreaterThan(had));
      };
      await readOnce();
      await app.app.get(Checkpoints).look(0);
      // What is behind the checkpoint stays.
      await readOnce();
      await backDate();
      await signStored(2);
      const first = async () => (await reads())[0]!.seq;
      const before = await first();
      const cut = async () => {
        await app.app.get(ReadHousekeeping).run();
        await dateAsSigned();
      };
      const events = new AuditEventsRepository(beforeReads(manager, cut));
      const report = await new ChainVerifier(events, new CheckpointsRepository(manager), app.config).verify();
      expect(await first()).not.toBe(before);
      expect(report).toMatchObject({ ok: true, firstBroken: null });
    });
  });
});

/** A manager of the database that does `work` once, before the entries of reads are first looked at. */
function beforeReads(manager: EntityManager, work: () => Promise<unknown>): EntityManager {
  let isDone = false;
  const query = async (text: string, parameters?: unknown[]): Promise<unknown> => {
    if (!isDone && /FROM audit_read WHERE seq >= /.test(text)) {
      isDone = true;
      await work();
    }
    return manager.query(text, parameters);
  };
  return new Proxy(manager, { get: (target, name) => (name === 'query' ? query : Reflect.get(target, name)) });
}
