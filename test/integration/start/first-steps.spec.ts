import { afterEach, describe, expect, it } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';
import { SECRETS, Started } from './started.js';
import { freePort } from '../../support/free-port.js';

const missing = ['bash', 'curl', 'sed'].filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
const typed = missing.length === 0 ? it : it.skip;
if (missing.length > 0) console.warn(`SKIPPED: the first steps need ${missing.join(', ')}.`);

/** Everything that a shell or JSON reads as its own. */
const AWKWARD = `it's "a" $HOME \`id\` \\n pass !! % word; & é`;

describe('The commands that a first start prints', () => {
  let database: TestDatabase;
  let server: Started;
  let port: number;

  afterEach(async () => {
    await server.end('SIGTERM');
    await database.drop();
  });

  const print = async (environment: Record<string, string>) => {
    database = await createTestDatabase();
    port = await freePort();
    server = Started.fromSources({
      ...SECRETS,
      DATABASE_URL: database.appUrl,
      DATABASE_MIGRATION_URL: database.ownerUrl,
      PORT: String(port),
      LOG_LEVEL: 'error',
      ...environment,
    });
    await server.until('Verify it:');
    await server.until('/api/v1/verify');
    const lines = server.stderr.split('\n').filter((line) => line.startsWith('    '));
    expect(lines.length).toBeGreaterThanOrEqual(5);
    return lines.join('\n');
  };

  typed(
    'work as typed, with a generated password',
    async () => {
      expect(await type(await print({ ADMIN_EMAIL: "o'brien@latchkey.test" }))).toMatchObject({
        valid: true,
        code: 'VALID',
      });
    },
    60_000,
  );

  typed(
    'work as typed where ADMIN_PASSWORD is set, whatever it holds',
    async () => {
      const commands = await print({ ADMIN_PASSWORD: AWKWARD, ADMIN_PASSWORD_IS_TEMPORARY: 'false' });
      expect(server.stderr + server.stdout).not.toContain(AWKWARD);
      expect(await type(commands, { ADMIN_PASSWORD: AWKWARD })).toMatchObject({ valid: true, code: 'VALID' });
    },
    60_000,
  );

  typed(
    'change ADMIN_PASSWORD first, into whatever is chosen',
    async () => {
      const commands = await print({ ADMIN_PASSWORD: AWKWARD });
      const NEW_PASSWORD = `${AWKWARD} and more`;
      expect(await type(commands, { ADMIN_PASSWORD: AWKWARD, NEW_PASSWORD })).toMatchObject({
        valid: true,
        code: 'VALID',
      });
      const signIn = (password: string) =>
        fetch(`http://127.0.0.1:${port}/api/v1/auth/login`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ email: 'admin@latchkey.local', password }),
        });
      expect((await signIn(AWKWARD)).status).toBe(401);
      expect(await (await signIn(NEW_PASSWORD)).json()).toMatchObject({ mustChangePassword: false });
    },
    60_000,
  );

  typed(
    'ask for the password in a terminal that does not have ADMIN_PASSWORD',
    async () => {
      const commands = await print({ ADMIN_PASSWORD: 'correct horse "battery"', ADMIN_PASSWORD_IS_TEMPORARY: 'false' });
      const asking = commands.split('\n').findIndex((line) => line.includes('read '));
      const withAnswer = commands
        .split('\n')
        .toSpliced(asking + 1, 0, 'correct horse "battery"')
        .join('\n');
      expect(await type(withAnswer)).toMatchObject({ valid: true, code: 'VALID' });
    },
    60_000,
  );
});

/** The verdict that the last command prints; with the history of an interactive shell, which expands `!!`. */
async function type(commands: string, environment: Record<string, string> = {}): Promise<unknown> {
  const bash = spawn('bash', ['--norc'], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  bash.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  bash.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  bash.stdin.end(`set -o history -o histexpand\n${commands}\n`);
  await new Promise((resolve) => bash.once('close', resolve));
  try {
    return JSON.parse(stdout) as unknown;
  } catch {
    throw new Error(`The last command printed no verdict: ${stdout}\n${stderr}`);
  }
}
