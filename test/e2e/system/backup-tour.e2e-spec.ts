import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createTestDirectory } from '../../support/postgres.js';

const PASSWORD = 'a password for the tour';
/** The checkout under test is the new version already: experiment O03 types these, from the first release on. */
const NOT_TYPED = ['git pull', 'npm ci'];

const missing = ['bash', 'curl', 'npm'].filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
const tour = missing.length === 0 ? it : it.skip;
if (missing.length > 0) console.warn(`SKIPPED: the tour of docs/operations.md needs ${missing.join(', ')}.`);

describe('The blocks of docs/operations.md about backups, typed literally', () => {
  let operator: Operator;

  beforeAll(async () => {
    operator = await Operator.arrive();
  });
  afterAll(() => operator.leave());

  tour(
    'back up, upgrade, lose the machine, restore and sign in',
    async () => {
      const [places, backUp, upgrade, restore, signIn, ...more] = await blocks();
      expect(more).toEqual([]);
      await operator.type(places!);
      await operator.type('npm start');
      const session = await operator.signIn(signIn!);
      const leaked = await operator.createKey(session);
      const other = await operator.createKey(session);
      expect(await operator.type(backUp!)).toMatch(
        /entry \d+ of the audit trail[^]*JWT_SECRET, API_KEY_PEPPERS, TAG_KEYS, RESERVATION_KEY, AUDIT_KEY/,
      );

      await operator.stop('SIGTERM');
      expect(NOT_TYPED.every((line) => upgrade!.split('\n').includes(line))).toBe(true);
      await operator.type(upgrade!);
      expect(await operator.verify(session, leaked)).toBe('VALID');
      await operator.revoke(session, leaked);
      await operator.untilWritten(leaked);

      await operator.loseTheMachine();
      const said = await operator.type(restore!);
      expect(said).toMatch(/MISSING: entries \d+ to \d+/);
      expect(said).toContain(`api-keys:revoke api-key ${leaked.id}`);
      expect(said).toContain('access of 1 keys and 0 users. Ended: 1 sessions');
      expect(said).not.toContain('DIFF');
      expect(await operator.verify(session, other)).toBe(401);
      const renewed = await operator.signIn(signIn!);
      expect(await operator.verify(renewed, leaked)).toBe('REVOKED');
      expect(await operator.verify(renewed, other)).toBe('VALID');
      await operator.stop('SIGTERM');
      expect(await operator.type('npm run doctor')).toMatch(
        /ok {4}the database has all that its checkpoint file has seen\n[^]*The audit trail is whole/,
      );
    },
    600_000,
  );
});

async function blocks(): Promise<string[]> {
  const page = await readFile('docs/operations.md', 'utf8');
  const section = page.slice(page.indexOf('\n## Backup and restore'), page.indexOf('\n## Several replicas'));
  return [...section.matchAll(/^```sh\n(.*?)^```/gms)].map(([, text]) => text!.trim());
}

interface Key {
  readonly id: string;
  readonly secret: string;
}

/** Types commands in a shell, at the places of this test instead of those in the text. */
class Operator {
  private server: ChildProcess | null = null;
  private printed = '';

  private constructor(
    private readonly directory: string,
    private readonly port: number,
    private readonly environment: Record<string, string>,
  ) {}

  static async arrive(): Promise<Operator> {
    const directory = await createTestDirectory();
    await writeFile(join(directory, 'latchkey-passphrase'), 'a passphrase for the tour\n');
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as { port: number };
    await new Promise((closed) => probe.close(closed));
    const environment = {
      PATH: process.env['PATH']!,
      HOME: process.env['HOME'] ?? directory,
      PORT: String(port),
      LOG_LEVEL: 'warn',
      PASSWORD,
      ADMIN_PASSWORD: PASSWORD,
      ADMIN_PASSWORD_IS_TEMPORARY: 'false',
    };
    return new Operator(directory, port, environment);
  }

  async leave(): Promise<void> {
    await this.stop('SIGTERM').catch(() => undefined);
    await rm(this.directory, { recursive: true, force: true });
  }

  /**
   * Runs the lines one after the other, each of which must succeed; a server is left running. Gives what they printed.
   */
  async type(block: string): Promise<string> {
    let output = '';
    for (const line of block.split('\n').filter((one) => !NOT_TYPED.includes(one))) {
      const [, name, value] = /^export (\w+)=(.*)$/.exec(line) ?? [];
      if (name !== undefined) this.environment[name] = this.here(value!);
      else if (line === 'npm start') await this.start();
      else output += await this.run(line);
    }
    return output;
  }

  async signIn(block: string): Promise<string> {
    return (JSON.parse(await this.type(block)) as { accessToken: string }).accessToken;
  }

  async createKey(token: string): Promise<Key> {
    const { body } = await this.post('/api-keys', token, {});
    const { apiKey, secretKey } = body as { apiKey: { id: string }; secretKey: string };
    return { id: apiKey.id, secret: secretKey };
  }

  async revoke(token: string, { id }: Key): Promise<void> {
    expect((await this.post(`/api-keys/${id}/revoke`, token, {})).status).toBe(200);
  }

  /** The verdict, or the status where there is none. */
  async verify(token: string, { secret }: Key): Promise<string | number> {
    const { status, body } = await this.post('/verify', token, { key: secret });
    return status === 200 ? (body as { code: string }).code : status;
  }

  /** Until the checkpoint file has it, which is promised within a second or so. */
  async untilWritten({ id }: Key): Promise<void> {
    const line = `"action":"api-keys:revoke","type":"api-key","id":"${id}"`;
    for (
      const deadline = Date.now() + 60_000;
      !(await readFile(this.environment['AUDIT_CHECKPOINT_FILE']!, 'utf8')).includes(line);
      await sleep(50)
    ) {
      if (Date.now() > deadline) throw new Error(`The checkpoint file does not have ${line}.`);
    }
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.server === null) return;
    const ended = once(this.server, 'close');
    // As a terminal does: npm and all that it began.
    process.kill(-this.server.pid!, signal);
    await ended;
    this.server = null;
  }

  /** Power off, and the disk is gone. */
  async loseTheMachine(): Promise<void> {
    const [pid] = (await readFile(join(this.environment['DATA_DIR']!, 'postgres/postmaster.pid'), 'utf8')).split('\n');
    await this.stop('SIGKILL');
    process.kill(Number(pid), 'SIGKILL');
    await sleep(500);
    // Processes of the server that end on their own may still write.
    await rm(this.environment['DATA_DIR']!, { recursive: true, maxRetries: 20, retryDelay: 200 });
  }

  private here(text: string): string {
    return text
      .replaceAll('/mnt/elsewhere', this.directory)
      .replaceAll('/var/lib/latchkey-data', join(this.directory, 'data'))
      .replaceAll('http://127.0.0.1:3000', `http://127.0.0.1:${this.port}`);
  }

  private async run(line: string): Promise<string> {
    const { stdout } = await promisify(execFile)('bash', ['-euc', this.here(line)], { env: this.environment });
    return stdout;
  }

  private async start(): Promise<void> {
    const server = spawn('npm', ['start'], {
      env: this.environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.server = server;
    this.printed = '';
    for (const stream of [server.stdout, server.stderr])
      stream.on('data', (chunk: Buffer) => (this.printed += chunk.toString()));
    for (const deadline = Date.now() + 180_000; !this.printed.includes('Latchkey is ready'); await sleep(50)) {
      if (Date.now() > deadline || server.exitCode !== null)
        throw new Error(`The server did not start:\n${this.printed}`);
    }
  }

  private async post(path: string, token: string, body: object): Promise<{ status: number; body: unknown }> {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const response = await fetch(`http://127.0.0.1:${this.port}/api/v1${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  }
}
