import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTestDatabase, createTestDirectory, type TestDatabase } from '../../support/postgres.js';
import { SECRETS } from './started.js';

/** Draining is cut after 10 s; a machine that is busy takes its time to end a process. */
const ENDED_WITHIN_MS = 12_000;
/** The server as a process of its own, from the sources. */
function start(
  environment: Record<string, string>,
  modules: readonly string[] = [],
): { child: ChildProcess; output: () => string } {
  let output = '';
  const imports = ['./test/support/register-typescript.mjs', ...modules].flatMap((module) => ['--import', module]);
  const child = spawn(process.execPath, [...imports, 'src/server/main.ts'], {
    env: {
      PATH: process.env['PATH'],
      NODE_ENV: 'test',
      ADMIN_PASSWORD: 'a password for tests',
      PORT: '0',
      LOG_LEVEL: 'error',
      ...SECRETS,
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, output: () => output };
}

async function until(output: () => string, text: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; !output().includes(text); await sleep(50)) {
    if (Date.now() > deadline) throw new Error(`It did not say ${text}:\n${output()}`);
  }
}

/** Milliseconds from SIGTERM to the end, and how it ended. */
async function end(child: ChildProcess): Promise<{ ms: number; code: number | null; signal: NodeJS.Signals | null }> {
  const began = performance.now();
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.once('exit', (code, signal) => resolve([code, signal])),
  );
  child.kill('SIGTERM');
  const guard = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const [code, signal] = await ended;
  clearTimeout(guard);
  return { ms: performance.now() - began, code, signal };
}

describe('a server whose files hang', () => {
  let database: TestDatabase;
  let directory: string;
  let urls: Record<string, string>;

  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await createTestDirectory();
    urls = { DATABASE_URL: database.appUrl, DATABASE_MIGRATION_URL: database.ownerUrl };
  });
  afterAll(() => database.drop());

  const pipe = (name: string): string => {
    execFileSync('mkfifo', [join(directory, name)]);
    return join(directory, name);
  };

  it('ends in time, with code 0, and says what it could not write or read', async () => {
    const { child, output } = start({
      ...urls,
      AUDIT_CHECKPOINT_FILE: pipe('checkpoints'),
      DENYLIST_FILE: pipe('denylist'),
    });
    await until(output, 'Latchkey is ready');
    const { ms, code } = await end(child);
    expect({ code, isInTime: ms < ENDED_WITHIN_MS }).toEqual({ code: 0, isInTime: true });
    expect(output()).toContain('DENYLIST_FILE cannot be read');
    expect(output()).toContain('no audit checkpoint could be written');
  }, 90_000);

  it('ends in time also where a thread does not come back from a file system', async () => {
    const module = join(directory, 'hang.mjs');
    // As a read of a network file system that is gone.
    await writeFile(
      module,
      `import { open } from 'node:fs/promises'; void open(${JSON.stringify(pipe('hung'))}, 'r');`,
    );
    const { child, output } = start(urls, [module]);
    await until(output, 'Latchkey is ready');
    const { ms } = await end(child);
    expect(ms).toBeLessThan(ENDED_WITHIN_MS);
    await rm(module);
  }, 90_000);
});
