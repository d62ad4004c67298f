import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { checkpointKey, checkpointPublicKeys, openCheckpoint, signCheckpoint } from '../../../src/audit/checkpoint.js';
import { Checkpoints } from '../../../src/audit/checkpoints.js';
import { parseVerifyArguments, describePublicKey, verifyTrail } from '../../../src/audit/verify-command.js';
import { TestApp, testConfig } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../support/postgres.js';
import { asOwner } from '../../support/trail.js';

const MINUTE_MS = 60_000;

describe('Checkpoints', () => {
  let database: TestDatabase;
  let replicas: TestApp[];
  let file: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    file = join(await createTestDirectory(), 'checkpoints.ndjson');
    replicas = [];
    for (let n = 0; n < 2; n += 1) replicas.push(await TestApp.start({ AUDIT_CHECKPOINT_FILE: file }, database));
  });
  afterAll(async () => {
    for (const replica of replicas) await replica.stop();
    await database.drop();
  });

  /** The checkpoints; the same file has changes as well. */
  const linesIn = async (path: string) =>
    (await readFile(path, 'utf8').catch(() => ''))
      .split('\n')
      .filter((line) => line.includes('latchkey-audit-checkpoint'));
  const linesOf = () => linesIn(file);
  const look = () => Promise.all(replicas.map(({ app }) => app.get(Checkpoints).look(MINUTE_MS)));
  /** A look that is under way by itself keeps the others from writing, and has not written yet. */
  const hasLines = (count: number, looked: () => Promise<unknown> = look) =>
    eventually(async () => {
      await looked();
      expect(await linesOf()).toHaveLength(count);
    });
  const write = async (rows: number) => {
    for (let left = rows; left > 0; left -= 100) {
      await replicas[0]!.app.get(Changes).transaction(systemCaller('test:write'), async ({ record }) => {
        for (let n = 0; n < Math.min(left, 100); n += 1) record({ resourceType: 'test', resourceId: String(n) });
      });
    }
  };

  it('are written by one replica, for the first rows at once', async () => {
    await hasLines(1);
    const lines = await linesOf();
    const [head] = await replicas[0]!.dataSource.query('SELECT seq, audit_hash AS hash FROM change_head');
    const opened = openCheckpoint(checkpointPublicKeys(replicas[0]!.config.auditKeys), JSON.parse(lines[0]!));
    expect(opened).toMatchObject(head);
  });

  it('wait a minute, or for 1000 rows', async () => {
    await write(999);
    await look();
    expect(await linesOf()).toHaveLength(1);
    await write(1);
    await hasLines(2);
    await write(1);
    await hasLines(3, () => replicas[0]!.app.get(Checkpoints).look(0));
    await replicas[0]!.app.get(Checkpoints).look(0);
    expect(await linesOf()).toHaveLength(3);
  });

  it('are tried again when the file could not be written', async () => {
    const other = await createTestDatabase();
    const directory = await createTestDirectory();
    const app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: join(directory, 'absent', 'checkpoints') }, other);
    await app.adminToken();
    await app.app.get(Checkpoints).look(0);
    expect(await app.dataSource.query('SELECT 1 FROM audit_checkpoint')).toEqual([]);
    await app.stop();
    await other.drop();
  });

  it('cover what was written last when a replica stops', async () => {
    const other = await createTestDatabase();
    const own = join(await createTestDirectory(), 'checkpoints');
    const app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: own }, other);
    await app.adminToken();
    await app.get('/audit-events', { token: await app.adminToken() });
    await app.stop();
    await asOwner(other, async (client) => {
      const { rows } = await client.query('SELECT seq FROM change_head');
      expect(JSON.parse((await linesIn(own)).at(-1)!)).toMatchObject({ seq: rows[0].seq });
    });
    await other.drop();
  });

  describe('on the command line', () => {
    const verify = (path: string | null) => verifyTrail(replicas[0]!.config, replicas[0]!.dataSource, path);

    it('a whole trail exits with 0', async () => {
      const [head] = await replicas[0]!.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
      // Replicas add lists of changes by themselves, also between two looks.
      await eventually(async () => {
        const { text, exitCode } = await verify(file);
        expect(exitCode).toBe(0);
        // Each list of changes is one as well.
        const lists = (await readFile(file, 'utf8')).match(/latchkey-audit-changes/g)!.length;
        expect(text).toMatch(
          new RegExp(`^The audit trail is whole: ${head!.seq} entries, \\d+ reads, ${4 + lists} checkpoints\\.$`),
        );
        expect(await verify(null)).toEqual({ text, exitCode });
      });
    });

    it('log lines serve as well as the file', async () => {
      const [line] = await linesOf();
      const log = join(await createTestDirectory(), 'log');
      await writeFile(
        log,
        `  Latchkey is ready\n{"level":30,"msg":"request"}\n{"level":30,"auditCheckpoint":${line!},"msg":"audit checkpoint"}\n{"lev`,
      );
      expect((await verify(log)).text).toContain('2 checkpoints');
    });

    it('a checkpoint behind the end exits with 1 and tells the place', async () => {
      const config = replicas[0]!.config;
      const ahead = signCheckpoint(checkpointKey(config.auditKeys[0]!.key), {
        seq: '5000',
        hash: Buffer.alloc(32),
        at: '2026-03-01T12:00:00.000Z',
      });
      const cut = join(await createTestDirectory(), 'cut');
      await writeFile(cut, `${JSON.stringify(ahead)}\n`);
      expect(await verify(cut)).toEqual({
        exitCode: 1,
        text: expect.stringMatching(/BROKEN at seq 1\d\d\d: The trail was cut off/),
      });
    });

    it('a forged line exits with 1', async () => {
      const forged = join(await createTestDirectory(), 'forged');
      const eve = signCheckpoint(checkpointKey(Buffer.alloc(32)), {
        seq: '1',
        hash: Buffer.alloc(32),
        at: '2026-03-01T12:00:00.000Z',
      });
      await appendFile(forged, `${(await linesOf())[0]!}\n${JSON.stringify(eve)}\n`);
      expect(await verify(forged)).toEqual({
        exitCode: 1,
        text: expect.stringContaining('Line 2 of the checkpoint file'),
      });
    });

    it('another audit key exits with 1', async () => {
      const config = testConfig({ AUDIT_KEY: 'another-0123456789abcdefghijklmnopqrst' });
      expect(await verifyTrail(config, replicas[0]!.dataSource, null)).toMatchObject({
        exitCode: 1,
        text: expect.stringContaining('seq 1:'),
      });
    });

    it('a file that is not there is no answer', async () => {
      await expect(verify('/nowhere')).rejects.toThrow('ENOENT');
    });

    it('the public key is printed without a database', () => {
      expect(describePublicKey(replicas[0]!.config)).toEqual({
        exitCode: 0,
        text: expect.stringMatching(/^-----BEGIN PUBLIC KEY-----\n[^]+\n-----END PUBLIC KEY-----$/),
      });
    });

    it('arguments that are not known are refused', () => {
      const rest = { files: [], segments: null, offline: false };
      expect(parseVerifyArguments(['--checkpoints', 'x'])).toEqual({ ...rest, checkpoints: 'x', publicKey: false });
      expect(parseVerifyArguments(['--public-key'])).toEqual({ ...rest, checkpoints: null, publicKey: true });
      expect(parseVerifyArguments(['--file', 'a', '--file', 'b']).files).toEqual(['a', 'b']);
      expect(() => parseVerifyArguments(['--checkpoint', 'x'])).toThrow(/--checkpoint/);
    });
  });
});
