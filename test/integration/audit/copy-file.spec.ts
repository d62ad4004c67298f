import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { appendFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { AuditCopy } from '../../../src/audit/copies/audit-copy.js';
import { verifyCopy } from '../../../src/audit/verify-command.js';
import { Conditions } from '../../../src/common/conditions.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../support/postgres.js';
import { asOwner, trailRowsOnce } from '../../support/trail.js';

describe('AUDIT_COPY_FILE', () => {
  let database: TestDatabase;
  let replicas: TestApp[];
  let directory: string;
  let file: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await createTestDirectory();
    file = join(directory, 'copy.ndjson');
    replicas = [];
    for (let n = 0; n < 2; n += 1) replicas.push(await TestApp.start({ AUDIT_COPY_FILE: file }, database));
  });
  afterAll(async () => {
    for (const replica of replicas) await replica.stop();
    await database.drop();
  });

  const write = async (rows: number) => {
    await replicas[0]!.app.get(Changes).transaction(systemCaller('test:write'), async ({ record }) => {
      for (let n = 0; n < rows; n += 1) record({ resourceType: 'test', resourceId: String(n) });
    });
  };
  const look = () => Promise.all(replicas.map(({ app }) => app.get(AuditCopy).look()));
  const heads = async () => {
    const [row] = await replicas[0]!.dataSource.query<{ changes: string; reads: string }[]>(
      'SELECT c.seq AS changes, r.seq AS reads FROM change_head c, audit_read_head r',
    );
    return [Number(row!.changes), Number(row!.reads)];
  };
  /** Numbers of one chain in a file, in the order of its lines; lines that were cut short left out. */
  const seqsIn = async (path: string, chain?: string) =>
    (await readFile(path, 'utf8')).split('\n').flatMap((line) => {
      try {
        const event = JSON.parse(line) as { seq: string; chain?: string };
        return event.chain === chain ? [Number(event.seq)] : [];
      } catch {
        return [];
      }
    });
  const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);
  /** Waits until the copy has all there is, and holds it to be whole and without repetitions. */
  const isWhole = async (...files: string[]) => {
    await eventually(async () => {
      await look();
      const found = await Promise.all(files.map((path) => seqsIn(path)));
      expect(found.flat().length).toBeGreaterThanOrEqual((await heads())[0]!);
    }, 60_000);
    const changes = (await Promise.all(files.map((path) => seqsIn(path)))).flat();
    const reads = (await Promise.all(files.map((path) => seqsIn(path, 'reads')))).flat();
    expect([changes, reads]).toEqual([upTo(changes.length), upTo(reads.length)]);
    const { text, exitCode } = await verifyCopy(replicas[0]!.config, files, null);
    expect([exitCode, text]).toEqual([0, expect.stringContaining('The copy is whole')]);
    expect(text).not.toContain('repeat');
  };

  it('gets every entry of both chains once, while two replicas write to it and one of them records', async () => {
    const token = await replicas[0]!.adminToken();
    await replicas[0]!.get('/audit-events', { token });
    await trailRowsOnce(replicas[0]!, 1, `action = 'audit:read'`);
    for (let n = 0; n < 5; n += 1) await Promise.all([write(300), look(), look()]);
    await isWhole(file);
    expect((await seqsIn(file, 'reads')).length).toBeGreaterThan(0);
  });

  it('goes on where a writer was ended: after its write and before its note, or within a line', async () => {
    await isWhole(file);
    const note = await readFile(`${file}.position`, 'utf8');
    await write(3);
    await isWhole(file);
    // As if the process had been killed between the two writes.
    await writeFile(`${file}.position`, note);
    await write(1);
    await isWhole(file);
    // As if the disk had been full.
    await appendFile(file, '{"id":"019a8b5e","seq":"');
    await write(1);
    await isWhole(file);
    expect((await verifyCopy(replicas[0]!.config, [file], null)).text).toContain('cut short: 1');
  });

  it('is whole with a person who was made, renamed and erased, and has nothing that says who that was', async () => {
    const [replica] = replicas;
    const token = await replica!.adminToken();
    const email = 'copied@example.test';
    const body = { email, name: 'Grace Copied', kind: 'person', password: 'a password of the copied', roles: [] };
    const { id } = (await replica!.post('/users', { token, body })).body;
    await replica!.request('PATCH', `/users/${id}`, { token, body: { name: 'Grace Renamed' } });
    await isWhole(file);
    expect((await replica!.post(`/users/${id}/erase`, { token, body: { confirm: email } })).status).toBe(204);
    await isWhole(file);
    const text = await readFile(file, 'utf8');
    expect(text).toContain('"commitment"');
    expect([text.includes(email), text.includes('Grace'), text.includes('"personal"')]).toEqual([false, false, false]);
  });

  it('goes on in a new file where the old one was moved away', async () => {
    await isWhole(file);
    await rename(file, `${file}.1`);
    await write(2);
    await isWhole(`${file}.1`, file);
    expect((await seqsIn(file)).length).toBeLessThan(100);
  });

  it('is degraded while it cannot be written, and catches up', async () => {
    const [replica] = replicas;
    const state = () => replica!.app.get(Conditions).check()['auditCopy']!;
    await rename(file, `${file}.2`);
    await mkdir(file);
    await write(1);
    await eventually(async () => {
      await look();
      expect(state()).toEqual({ status: 'degraded', reason: expect.stringContaining('AUDIT_COPY_FILE') });
    });
    // What cannot be gone on from comes before the room for a file, and the file before its position: a replica that
    // looks by itself between the two would begin a new file.
    const note = await readFile(`${file}.position`, 'utf8');
    await writeFile(`${file}.position`, '');
    await rm(file, { recursive: true });
    await eventually(async () => {
      await look();
      expect(state().status).toBe('degraded');
    });
    await rename(`${file}.2`, file);
    await writeFile(`${file}.position`, note);
    await isWhole(`${file}.1`, file);
    await eventually(async () => {
      await look();
      expect(state()).toEqual({ status: 'up' });
    });
  });

  it('does not wait for reads that were removed for their age', async () => {
    await isWhole(`${file}.1`, file);
    await asOwner(database, async (client) => {
      const { rows } = await client.query<{ seq: string; hash: string }>(
        `SELECT seq, encode(audit_hash, 'hex') AS hash FROM audit_read_head`,
      );
      const { seq, hash } = rows[0]!;
      expect(Number(seq)).toBeGreaterThan(0);
      await replicas[0]!.app.get(Changes).transaction(systemCaller('audit:cut'), async ({ record }) => {
        record({ resourceType: 'audit-event', resourceId: null, details: { upToSeq: seq, hash } });
      });
      await client.query('DELETE FROM audit_read WHERE seq <= $1', [seq]);
    });
    await isWhole(`${file}.1`, file);
    const note = JSON.parse(await readFile(`${file}.position`, 'utf8')) as object;
    await writeFile(`${file}.position`, JSON.stringify({ ...note, audit_read: { seq: '0', hash: '' } }));
    // Ends, though the copy has not got to the end of the reads.
    await look();
    await write(1);
    await isWhole(`${file}.1`, file);
  });

  it('is degraded where the database ends before it, also while nothing is recorded', async () => {
    await isWhole(`${file}.1`, file);
    const set = (change: string) =>
      asOwner(database, (client) => client.query(`UPDATE change_head SET seq = seq ${change}`));
    const state = () => replicas[0]!.app.get(Conditions).check()['auditCopy']!.status;
    const before = await readFile(file, 'utf8');
    await set('- 1');
    await eventually(async () => {
      await look();
      expect(state()).toBe('degraded');
    });
    expect(await readFile(file, 'utf8')).toBe(before);
    await set('+ 1');
    await isWhole(`${file}.1`, file);
    await eventually(async () => {
      await look();
      expect(state()).toBe('up');
    });
  });

  it('is left as it is where the database was set back', async () => {
    await isWhole(`${file}.1`, file);
    await asOwner(database, async (client) => {
      await client.query('ALTER TABLE audit_event DISABLE TRIGGER ALL');
      await client.query(
        `UPDATE audit_event SET hash = sha256('another history') WHERE seq = (SELECT seq FROM change_head)`,
      );
      await client.query('ALTER TABLE audit_event ENABLE TRIGGER ALL');
    });
    const before = await readFile(file, 'utf8');
    await write(1);
    await eventually(async () => {
      await look();
      expect(replicas[0]!.app.get(Conditions).check()['auditCopy']!.status).toBe('degraded');
    });
    expect(await readFile(file, 'utf8')).toBe(before);
  });
});
