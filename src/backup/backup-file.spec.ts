import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BackupHeader, checkBackup, writeBackup } from './backup-file.js';

const KEY = Buffer.alloc(32, 7);
const HEADER: BackupHeader = {
  build: '1.2.3',
  postgres: '18.4',
  madeAt: '2026-03-01T12:00:00.000Z',
  migrations: ['One1'],
  epoch: 'e',
  head: { seq: '7', hash: '00', at: null },
  partitions: ['2026-03-01'],
};
const CONTENT = randomBytes(300_000);

async function* chunks(): AsyncGenerator<Buffer> {
  for (let at = 0; at < CONTENT.length; at += 70_000) yield CONTENT.subarray(at, at + 70_000);
}

describe('A backup file', () => {
  let directory: string;
  let path: string;
  let whole: Buffer;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'latchkey-backup-'));
    path = join(directory, 'whole');
    await writeBackup(path, HEADER, chunks(), () => ({ users: 3 }), KEY);
    whole = await readFile(path);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const check = async (bytes: Buffer, keys = [KEY]) => {
    const other = join(directory, 'other');
    await writeFile(other, bytes);
    return checkBackup(other, keys);
  };

  it('gives back what was written, and says what it is in its first two lines', async () => {
    const backup = await checkBackup(path, [Buffer.alloc(32, 8), KEY]);
    const parts: Buffer[] = [];
    for await (const part of backup.content()) parts.push(part);
    expect(Buffer.concat(parts).equals(CONTENT)).toBe(true);
    expect([backup.header, backup.rows]).toEqual([HEADER, { users: 3 }]);
    expect(whole.toString('latin1').split('\n', 2)).toEqual(['latchkey-backup/1', JSON.stringify(HEADER)]);
  });

  it('is for its owner alone, and leaves nothing else behind', async () => {
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await readdir(directory)).filter((name) => name.includes('unfinished'))).toEqual([]);
  });

  it('replaces no file', async () => {
    await expect(writeBackup(path, HEADER, chunks(), () => ({}), KEY)).rejects.toThrow('exists and is not replaced');
    expect((await readFile(path)).equals(whole)).toBe(true);
  });

  it('does not appear when its content fails', async () => {
    async function* failing(): AsyncGenerator<Buffer> {
      yield CONTENT;
      throw new Error('the connection is gone');
    }
    await expect(writeBackup(join(directory, 'failed'), HEADER, failing(), () => ({}), KEY)).rejects.toThrow(
      'the connection is gone',
    );
    expect((await readdir(directory)).filter((name) => name.startsWith('failed'))).toEqual([]);
  });

  it.each([0.001, 0.1, 0.5, 0.9, 0.999])('is refused when it is cut short to %f of its length', async (part) => {
    await expect(check(whole.subarray(0, Math.floor(whole.length * part)))).rejects.toThrow(
      /cut short or altered|does not begin with/,
    );
  });

  it('is refused when its last line is missing a byte, or one of another backup', async () => {
    await expect(check(whole.subarray(0, -1))).rejects.toThrow('cut short or altered');
    await expect(check(whole.subarray(0, -2))).rejects.toThrow('cut short or altered');
    await expect(check(Buffer.concat([whole, whole]))).rejects.toThrow('cut short or altered');
  });

  it.each([20, 300, 200_000, -20, -200])('is refused when the byte at %d is another', async (at) => {
    const altered = Buffer.from(whole);
    const index = at < 0 ? altered.length + at : at;
    altered[index] = altered[index]! ^ 1;
    await expect(check(altered)).rejects.toThrow(/was altered|cut short or altered/);
  });

  it('is refused without the audit key it was sealed with', async () => {
    await expect(check(whole, [Buffer.alloc(32, 9)])).rejects.toThrow(
      'was made with another AUDIT_KEY, or was altered',
    );
  });

  it('is refused when it is something else', async () => {
    await expect(check(Buffer.from('PGDMP'))).rejects.toThrow('is not a backup of Latchkey');
    await expect(check(Buffer.alloc(0))).rejects.toThrow('is not a backup of Latchkey');
    await expect(checkBackup(join(directory, 'absent'), [KEY])).rejects.toThrow('cannot be read');
  });
});
