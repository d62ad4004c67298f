import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');
const SECRET = 'old-4f7a1c9be2d0486d';

/** The command as a process of its own, from the sources. */
function migrate(args: readonly string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', './test/support/register-typescript.mjs', 'src/cli/migrate.ts', ...args],
    { cwd: ROOT, encoding: 'utf8', env: { PATH: process.env['PATH'], ...environment } },
  );
  return { status, stdout, stderr };
}

describe('npm run migrate', () => {
  let directory: string;
  let keys: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'latchkey-migrate-'));
    keys = join(directory, 'keys.csv');
    await writeFile(keys, `secret,name\n${SECRET},Billing\n`);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('ends with a sentence, and exit code 1, without a credential', () => {
    const { status, stdout, stderr } = migrate(['--from', 'csv', '--send', 'http://127.0.0.1:1', keys]);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^LATCHKEY_KEY is not set: .+\n$/);
  }, 60_000);

  it('writes the bodies of the imports for their owner alone, and over no file', async () => {
    const out = join(directory, 'bodies');
    const first = migrate(['--from', 'csv', '--out', out, '--raise-owner-limits', keys]);
    expect(first).toEqual({
      status: 0,
      stdout: 'row 1  Billing  ready\n1 row: 1 ready. Nothing was sent: --send URL imports.\n',
      stderr: '',
    });
    const file = join(out, 'import-001.json');
    const sha256 = createHash('sha256').update(SECRET).digest('hex');
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({
      keys: [{ expiresAt: null, sha256, prefix: SECRET.slice(0, 5), name: 'Billing', isActive: true }],
      raiseOwnerLimits: true,
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const again = migrate(['--from', 'csv', '--out', out, keys]);
    expect([again.status, again.stderr]).toEqual([1, expect.stringMatching(/import-001\.json.+another directory/)]);
  }, 60_000);
});
