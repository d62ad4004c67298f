import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCaller } from '../../../src/access/caller.js';
import { changeAuditKey } from '../../../src/audit/change-audit-key.js';
import { Changes } from '../../../src/audit/changes.js';
import { checkpointKey, checkpointPublicKeys, openCheckpoint, signCheckpoint } from '../../../src/audit/checkpoint.js';
import { Checkpoints } from '../../../src/audit/checkpoints.js';
import { CheckpointsRepository } from '../../../src/audit/checkpoints.repository.js';
import { ReadRecorder } from '../../../src/audit/reads/read-recorder.js';
import { describePublicKey, verifyTrail } from '../../../src/audit/verify-command.js';
import { onMissingVersion } from '../../../src/common/missing-version.js';
import type { Config } from '../../../src/config/config.js';
import { acceptSecrets } from '../../../src/installation/accept-secrets.js';
import { TestApp, testConfig } from '../../support/app.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../support/postgres.js';
import { eventually } from '../../support/eventually.js';
import { asOwner } from '../../support/trail.js';

const [ONE, TWO, THREE] = [1, 2, 3].map((version) => `${version}:${randomBytes(32).toString('base64url')}`) as [
  string,
  string,
  string,
];
const PLAIN = ONE.slice(2);

describe('A change of AUDIT_KEY', () => {
  let database: TestDatabase;
  let file: string;
  const apps: TestApp[] = [];

  beforeEach(async () => {
    database = await createTestDatabase();
    file = join(await createTestDirectory(), 'checkpoints.ndjson');
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.stop();
    await database.drop();
  });

  /** A replica that starts as `main` does: secrets first, then the key that signs. */
  const start = async (auditKey: string): Promise<TestApp> => {
    const app = await TestApp.start({ AUDIT_KEY: auditKey, AUDIT_CHECKPOINT_FILE: file }, database);
    apps.push(app);
    await acceptSecrets(app.dataSource, app.config);
    await changeAuditKey(app.dataSource, app.config);
    return app;
  };
  /** Changes, four at a time. */
  const write = (app: TestApp, count = 1) =>
    Promise.all(
      Array.from({ length: Math.min(count, 4) }, async (_, writer) => {
        for (let n = writer; n < count; n += 4) {
          await app.app
            .get(Changes)
            .transaction(systemCaller('test:write'), async ({ record }) =>
              record({ resourceType: 'test', resourceId: String(n) }),
            );
        }
      }),
    );
  const verify = (app: TestApp, config: Config = app.config) => verifyTrail(config, app.dataSource, file);
  const head = async () =>
    (await apps[0]!.dataSource.query('SELECT seq::int, audit_key_version FROM change_head'))[0] as {
      seq: number;
      audit_key_version: string;
    };

  it('happens once, while replicas of both orders write at the same time, and the trail stays whole', async () => {
    const old = [await start(PLAIN), await start(PLAIN)];
    await write(old[0]!, 5);
    const before = await start(`${ONE},${TWO}`);
    const writing = Promise.all([write(before, 40), before.app.get(Checkpoints).look(0)]);
    const after = [await start(`${TWO},${ONE}`), await start(`${TWO},${ONE}`)];
    await writing;
    await Promise.all([
      write(after[0]!, 40),
      write(before, 40),
      write(after[1]!, 40),
      after[0]!.app.get(Checkpoints).look(0),
    ]);
    await start(`${ONE},${TWO}`);
    await write(before, 5);
    await before.app.get(Checkpoints).look(0);
    expect((await head()).audit_key_version).toBe('2');
    expect(await after[0]!.dataSource.query('SELECT from_version, to_version FROM audit_key_change')).toEqual([
      { from_version: '1', to_version: '2' },
    ]);
    // Replicas go on to write checkpoints between two looks.
    const whole = /^The audit trail is whole: (\d+) entries, \d+ reads, \d+ checkpoints\.$/;
    const [byOld, byNew] = [await verify(before), await verify(after[0]!)];
    for (const { text, exitCode } of [byOld, byNew])
      expect([text, exitCode]).toEqual([expect.stringMatching(whole), 0]);
    expect(whole.exec(byNew.text)![1]).toBe(whole.exec(byOld.text)![1]);
    const lines = (await readFile(file, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; from?: string });
    expect(lines.filter(({ type }) => type === 'latchkey-audit-key-change/1')).toEqual([
      expect.objectContaining({ from: '1', to: '2' }),
    ]);
  });

  it('is an entry of the trail, made with the old version', async () => {
    await write(await start(`${ONE},${TWO}`));
    const app = await start(`${TWO},${ONE}`);
    const [entry] = await app.dataSource.query(
      `SELECT e.actor_kind, e.details, c.from_version FROM audit_event e JOIN audit_key_change c USING (seq, hash) WHERE action = 'secrets:sign'`,
    );
    expect(entry).toEqual({
      actor_kind: 'system',
      details: { variable: 'AUDIT_KEY', from: '1', to: '2' },
      from_version: '1',
    });
  });

  it('can follow on another', async () => {
    await write(await start(`${ONE},${TWO},${THREE}`));
    await write(await start(`${TWO},${ONE},${THREE}`));
    const app = await start(`${THREE},${ONE},${TWO}`);
    await write(app, 3);
    await app.app.get(Checkpoints).look(0);
    expect((await verify(app)).exitCode).toBe(0);
    expect((await head()).audit_key_version).toBe('3');
  });

  it('goes on in the chain of reads, whose entries name the version that signed them', async () => {
    const read = (app: TestApp, n: number) =>
      app.app.get(ReadRecorder).record(systemCaller('test:read'), { resourceType: 'test', resourceId: `${n}` });
    const before = await start(`${ONE},${TWO}`);
    const versions = async () =>
      (
        await before.dataSource.query<{ version: string }[]>(
          `SELECT body::jsonb->>'keyVersion' AS version FROM audit_read ORDER BY seq`,
        )
      ).map(({ version }) => version);
    read(before, 1);
    await eventually(async () => expect(await versions()).toEqual(['1']));
    const after = await start(`${TWO},${ONE}`);
    read(after, 2);
    await eventually(async () => expect(await versions()).toEqual(['1', '2']));
    read(before, 3);
    await eventually(async () => expect(await versions()).toEqual(['1', '2', '2']));
    await before.app.get(Checkpoints).look(0);
    expect(await verify(after)).toMatchObject({ exitCode: 0, text: expect.stringContaining(', 3 reads,') });
  });

  it('leaves a replica without the new version unable to change anything, which says so by name', async () => {
    const without = await start(ONE);
    await write(without);
    await start(`${ONE},${TWO}`);
    await start(`${TWO},${ONE}`);
    const before = await head();
    const missed: string[] = [];
    const stop = onMissingVersion((variable) => missed.push(variable));
    const error = await write(without).then(
      () => null,
      (thrown: unknown) => thrown as Error,
    );
    expect([error?.message, String((error?.cause as Error).message)]).toEqual([
      expect.not.stringContaining('AUDIT_KEY'),
      'AUDIT_KEY has no version 2 here: add it behind the others, and restart this replica.',
    ]);
    stop();
    // Its look for checkpoints may have missed it, too.
    expect(new Set(missed)).toEqual(new Set(['AUDIT_KEY']));
    expect(await head()).toEqual(before);
    await without.app.get(Checkpoints).look(0);
    // Another replica may have signed this place meanwhile, with version 2.
    const newest = await without.app.get(CheckpointsRepository).findNewest();
    const isOwn = newest !== null && openCheckpoint(checkpointPublicKeys(without.config.auditKeys), newest) !== null;
    expect(isOwn && Number(newest.seq) >= before.seq).toBe(false);
    const verifyInside = (app: TestApp) => verifyTrail(app.config, app.dataSource, null);
    await expect(verifyInside(without)).rejects.toThrow('cannot decide');
    expect((await verifyInside(apps.at(-1)!)).exitCode).toBe(0);
  });

  it('keeps a build that knows no versions from writing', async () => {
    await write(await start(PLAIN));
    const asOldBuild = () =>
      asOwner(database, (client) =>
        client.query('UPDATE change_head SET seq = seq + 1, audit_hash = sha256(audit_hash)'),
      );
    await start(`${ONE},${TWO}`);
    await expect(asOldBuild()).rejects.toThrow('change_head_audit_key_version_check');
  });

  describe('is found out', () => {
    const changed = async () => {
      const app = await start(`${ONE},${TWO}`);
      await write(app, 2);
      const next = await start(`${TWO},${ONE}`);
      await write(next, 2);
      // The other replica may be looking at this moment.
      await eventually(async () => {
        await next.app.get(Checkpoints).look(0);
        const newest = await next.app.get(CheckpointsRepository).findNewest();
        expect(Number(newest?.seq)).toBe((await head()).seq);
      });
      return next;
    };
    const tamper = (sql: string) =>
      asOwner(database, async (client) => {
        for (const table of ['audit_key_change', 'audit_event', 'audit_checkpoint'])
          await client.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
        await client.query(sql);
      });

    it.each([
      ['removed', 'DELETE FROM audit_key_change', 'seq 1'],
      [
        'removed, and the head renamed',
        `DELETE FROM audit_key_change; UPDATE change_head SET audit_key_version = '1'`,
        'did not sign|hash does not follow',
      ],
      ['moved', 'UPDATE audit_key_change SET seq = seq - 1', 'was not signed with both'],
      [
        'signed by one key alone',
        `UPDATE audit_key_change SET signatures = jsonb_set(signatures, '{2}', signatures->'1')`,
        'was not signed with both',
      ],
      ['given to another version', `UPDATE change_head SET audit_key_version = '1'`, 'another version of AUDIT_KEY'],
    ])('when it was %s', async (_, sql, reason) => {
      const app = await changed();
      expect((await verify(app)).exitCode).toBe(0);
      await tamper(sql);
      expect(await verify(app)).toEqual({ exitCode: 1, text: expect.stringMatching(new RegExp(reason)) });
    });

    it('when a checkpoint of the old key vouches for newer entries', async () => {
      const app = await changed();
      const [row] = await app.dataSource.query<{ seq: string; hash: Buffer }[]>(
        'SELECT seq, audit_hash AS hash FROM change_head',
      );
      const old = testConfig({ AUDIT_KEY: ONE }).auditKeys[0]!;
      const { signature } = signCheckpoint(checkpointKey(old.key), {
        seq: row!.seq,
        hash: row!.hash,
        at: '2026-03-01T12:00:00.000Z',
      });
      await tamper(
        `UPDATE audit_checkpoint SET signature = '${signature}', at = '2026-03-01T12:00:00Z' WHERE seq = ${row!.seq}`,
      );
      expect(await verify(app)).toEqual({
        exitCode: 1,
        text: expect.stringContaining('was signed with version 1 of AUDIT_KEY, which did not sign this part'),
      });
    });
  });

  it('shows a public key for each version', () => {
    const { text } = describePublicKey(testConfig({ AUDIT_KEY: `${TWO},${ONE}` }));
    expect(text.match(/^Version \d$/gm)).toEqual(['Version 2', 'Version 1']);
    expect(text.match(/BEGIN PUBLIC KEY/g)).toHaveLength(2);
  });
});
