import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { constants, readFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { appendLine } from '../../../src/audit/append-line.js';
import { Checkpoints } from '../../../src/audit/checkpoints.js';
import { CheckpointsRepository, MAX_HOLD_MS } from '../../../src/audit/checkpoints.repository.js';
import { ADVISORY_LOCKS } from '../../../src/database/advisory-locks.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDirectory } from '../../support/postgres.js';
import { asOwner } from '../../support/trail.js';

describe('A checkpoint file that cannot be written', () => {
  let directory: string;
  let number = 0;
  let fifo: string;

  beforeAll(async () => {
    directory = await createTestDirectory();
  });
  beforeEach(() => {
    fifo = join(directory, `fifo-${(number += 1)}`);
    execFileSync('mkfifo', [fifo]);
  });

  it('is refused at once where it is a pipe that nothing reads', async () => {
    // What is given up after 3 s is refused with another sentence.
    await expect(appendLine(fifo, 'x')).rejects.toThrow('a pipe that nothing reads');
  });

  it('takes a line where it is a pipe that something reads', async () => {
    const reader = await open(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    await appendLine(fifo, 'a line');
    const { buffer, bytesRead } = await reader.read({ buffer: Buffer.alloc(100) });
    expect(buffer.toString('utf8', 0, bytesRead)).toBe('a line\n');
    await reader.close();
  });

  it('is given up after 3 s where its file system does not answer', async () => {
    const children = () =>
      readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').split(' ').filter(Boolean);
    const before = children();
    const writing = appendLine(join(directory, 'stopped'), 'x');
    writing.catch(() => undefined);
    // A process that stands still, as one does that waits for a file system.
    const [child] = children().filter((pid) => !before.includes(pid));
    process.kill(Number(child!), 'SIGSTOP');
    await expect(writing).rejects.toThrow('did not answer within 3 s');
    await appendLine(join(directory, 'another'), 'x');
  });

  it('says which file, and why', async () => {
    await expect(appendLine(join(directory, 'absent', 'file'), 'x')).rejects.toThrow(
      /absent\/file cannot be written: ENOENT/,
    );
  });

  it('keeps what is appended at once by several processes whole', async () => {
    const path = join(directory, 'lines');
    const lines = Array.from({ length: 6 }, (_, index) => String(index).repeat(5_000));
    await Promise.all(lines.map((line) => appendLine(path, line)));
    expect((await readFile(path, 'utf8')).trimEnd().split('\n').sort()).toEqual(lines);
  });

  describe('on a replica', () => {
    let app: TestApp;
    let admin: string;

    beforeAll(async () => {
      const path = join(directory, 'fifo-of-the-replica');
      execFileSync('mkfifo', [path]);
      app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: path });
      admin = await app.adminToken();
    });
    afterAll(() => app.stop());

    it('stops no change of users and roles', async () => {
      const user = await app.addUser(['creator']);
      const looking = app.app.get(Checkpoints).look(0);
      const answers = await Promise.all([
        app.patch(`/users/${user.id}`, { token: admin, body: { isActive: false } }),
        app.put(`/users/${user.id}/roles`, { token: admin, body: { roles: ['user'] } }),
        app.post('/roles', { token: admin, body: { name: 'hanging', permissions: [] } }),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 201]);
      expect((await app.delete(`/users/${user.id}?keys=revoke`, { token: admin })).status).toBe(204);
      await looking;
      expect(await app.dataSource.query('SELECT 1 FROM audit_checkpoint')).toEqual([]);
    });

    it('keeps no connection of the pool, and no session in a transaction', async () => {
      const looking = app.app.get(Checkpoints).look(0);
      await asOwner(app.database, async (client) => {
        const { rows } = await client.query(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'
              AND application_name LIKE 'latchkey-checkpoint%'`,
        );
        expect(rows).toEqual([]);
      });
      await looking;
      await asOwner(app.database, async (client) => {
        // PostgreSQL may take a moment to end the session, and the replica also looks by itself.
        await eventually(async () => {
          const { rows } = await client.query(
            `SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
              WHERE datname = current_database() AND locktype = 'advisory' AND objid = $1`,
            [ADVISORY_LOCKS.checkpoint],
          );
          expect(rows).toEqual([]);
        });
      });
    });
  });

  it('is written while roles are changed without a pause', async () => {
    const path = join(directory, 'busy');
    const app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: path });
    const token = await app.adminToken();
    let isBusy = true;
    const busy = Array.from({ length: 3 }, async (_, index) => {
      for (let round = 0; isBusy; round += 1)
        await app.patch('/roles/creator', { token, body: { description: `${index} ${round}` } });
    });
    const [head] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
    await app.app.get(Checkpoints).look(0);
    isBusy = false;
    await Promise.all(busy);
    // On a slow machine the replica has looked by itself before; the same file has changes as well.
    const lines = (await readFile(path, 'utf8'))
      .split('\n')
      .filter((line) => line.includes('latchkey-audit-checkpoint'));
    expect(Number((JSON.parse(lines.at(-1)!) as { seq: string }).seq)).toBeGreaterThanOrEqual(Number(head!.seq));
    await app.stop();
  });

  it('is left to another replica when the one that writes is frozen', async () => {
    const app = await TestApp.start({ AUDIT_CHECKPOINT_FILE: join(directory, 'taken') });
    const token = await app.adminToken();
    let isTaken = () => {};
    const taken = new Promise<void>((resolve) => (isTaken = resolve));
    const frozen = app.app.get(CheckpointsRepository).exclusively(() => {
      isTaken();
      return new Promise(() => undefined);
    });
    frozen.catch(() => undefined);
    await taken;
    const covered = async () =>
      (await app.dataSource.query<{ seq: string | null }[]>('SELECT max(seq) AS seq FROM audit_checkpoint'))[0]!.seq;
    const before = await covered();
    expect((await app.post('/roles', { token, body: { name: 'new', permissions: [] } })).status).toBe(201);
    await app.app.get(Checkpoints).look(0);
    expect(await covered()).toBe(before);
    await sleep(MAX_HOLD_MS);
    await eventually(async () => {
      await app.app.get(Checkpoints).look(0);
      expect(Number(await covered())).toBeGreaterThan(Number(before));
    });
    await app.stop();
  });
});
