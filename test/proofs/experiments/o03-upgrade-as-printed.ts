import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ADMIN } from '../harness/cluster.js';
import type { Experiment, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { HttpClient } from '../harness/http-client.js';
import { FIRST_RELEASE, hasCommit, ROOT } from '../harness/other-builds.js';
import { freePorts } from '../../support/free-port.js';

/** `npm ci` fetches what is not in npm's cache, and `npm start` builds. */
const STEP_TIMEOUT_MS = 900_000;
const READY = 'is ready';
const POLL_MS = 100;
const run = promisify(execFile);

/**
 * An operator of the first release types the upgrade of docs/operations.md, line by line, in a clone whose origin has
 * this commit: nothing else is needed, the session goes on, keys work, and what had ended stays ended.
 */
export const o03: Experiment = {
  id: 'O03',
  guarantee:
    'the upgrade of docs/operations.md, typed literally in a clone of the first release, is all that is needed',
  inCi: true,
  fault: { what: 'the new build looks for its data in another folder', patch: 'looks-elsewhere.mjs' },
  run: async ({ log, fault }): Promise<Outcome> => {
    if (!(await hasCommit(FIRST_RELEASE)))
      return { skipped: `git has no commit ${FIRST_RELEASE} here (a shallow clone?)` };
    const operator = await Operator.arrive(fault?.patch);
    try {
      const violations: string[] = [];
      await operator.type(['npm ci', 'npm start']);
      const before = await operator.signIn();
      const kept = await operator.createKey(before);
      const revoked = await operator.createKey(before);
      await operator.post(`/api-keys/${revoked.id}/revoke`, before, {});
      let rightBefore = 0;
      for (const [what, key, wanted] of [
        ['kept', kept, 'VALID'],
        ['revoked', revoked, 'REVOKED'],
      ] as const) {
        const verdict = await operator.verify(before, key);
        if (verdict === wanted) rightBefore += 1;
        else violations.push(`before the upgrade the key that was ${what} is ${verdict}`);
      }
      log('the first release runs');
      await operator.stop();
      const lines = await upgradeLines();
      const started = performance.now();
      await operator.type(lines);
      const seconds = Math.round((performance.now() - started) / 100) / 10;
      const after = await operator.signIn();
      const verdicts = {
        kept: await operator.verify(before, kept),
        revoked: await operator.verify(after, revoked),
        made: await operator.createKey(after).then((made) => operator.verify(after, made), String),
      };
      if (verdicts.kept !== 'VALID') violations.push(`with the session of before, the key is ${verdicts.kept}`);
      if (verdicts.revoked !== 'REVOKED') violations.push(`the revoked key is ${verdicts.revoked}`);
      if (verdicts.made !== 'VALID') violations.push(`a new key is not to be had: ${verdicts.made}`);
      await operator.stop();
      violations.push(...(await operator.doctor()));
      const floors = [
        floor('lines typed', lines.length, 3),
        floor('keys verified with the right verdict before', rightBefore, 2),
        floor('keys verified after', Object.keys(verdicts).length, 3),
      ] as const;
      return { violations, floors, figures: { lines: lines.length, upgradeSeconds: seconds } };
    } finally {
      await operator.leave();
    }
  },
};

/** The lines of the block that follows "Upgrade:". */
async function upgradeLines(): Promise<string[]> {
  const page = await readFile(join(ROOT, 'docs/operations.md'), 'utf8');
  const block = /\nUpgrade: [^`]*```sh\n(.*?)\n```/s.exec(page)?.[1];
  if (block === undefined) throw new Error('docs/operations.md has no block about an upgrade.');
  return block.split('\n');
}

interface Key {
  readonly id: string;
  readonly secret: string;
}

/** Types commands into a shell in a clone of the first release. */
class Operator {
  private server: ChildProcess | null = null;
  private readonly client: HttpClient;

  private constructor(
    private readonly folder: string,
    private readonly port: number,
    private readonly fault: string | undefined,
  ) {
    this.client = new HttpClient(port);
  }

  static async arrive(fault: string | undefined): Promise<Operator> {
    const folder = await mkdtemp(join(tmpdir(), 'latchkey-o03-'));
    const [port] = await freePorts(1);
    const operator = new Operator(folder, port!, fault);
    const origin = join(folder, 'origin.git');
    await run('git', ['init', '-q', '--bare', '--initial-branch=main', origin]);
    await run('git', ['-C', ROOT, 'push', '-q', origin, `${FIRST_RELEASE}:refs/heads/main`]);
    await run('git', ['clone', '-q', origin, operator.clone]);
    await run('git', ['-C', ROOT, 'push', '-q', origin, 'HEAD:refs/heads/main']);
    return operator;
  }

  private get clone(): string {
    return join(this.folder, 'latchkey');
  }

  private get environment(): Record<string, string> {
    return {
      PATH: process.env['PATH']!,
      HOME: process.env['HOME'] ?? this.folder,
      PORT: String(this.port),
      DATA_DIR: join(this.folder, 'data'),
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
    };
  }

  /** Runs the lines one after the other, each of which must succeed; `npm start` is left running once it is ready. */
  async type(lines: readonly string[]): Promise<void> {
    for (const line of lines) {
      if (line === 'npm start') await this.start();
      else await run('bash', ['-euc', line], { cwd: this.clone, env: this.environment, timeout: STEP_TIMEOUT_MS });
    }
  }

  async signIn(): Promise<string> {
    const { accessToken } = await this.post('/auth/login', undefined, ADMIN);
    return accessToken as string;
  }

  async createKey(token: string): Promise<Key> {
    const { apiKey, secretKey } = await this.post('/api-keys', token, {});
    return { id: (apiKey as { id: string }).id, secret: secretKey as string };
  }

  /** The verdict, or the status where there is none. */
  async verify(token: string, { secret }: Key): Promise<string | number> {
    const { status, body } = await this.client.post('/verify', { token, body: { key: secret } });
    return status === 200 ? String(body.code) : status;
  }

  async post(path: string, token: string | undefined, body: object): Promise<Record<string, unknown>> {
    const answer = await this.client.post(path, { ...(token === undefined ? {} : { token }), body });
    if (answer.status >= 300)
      throw new Error(`POST ${path} was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** What the doctor objects to. */
  async doctor(): Promise<string[]> {
    return run('npm', ['run', 'doctor'], { cwd: this.clone, env: this.environment, timeout: STEP_TIMEOUT_MS }).then(
      () => [],
      ({ stdout }: { stdout: string }) => [`the doctor objects:\n${stdout}`],
    );
  }

  /** Ctrl-C in the terminal: everything that `npm start` began hears it. */
  async stop(): Promise<void> {
    const { server } = this;
    if (server === null) return;
    this.server = null;
    const ended = once(server, 'close');
    process.kill(-server.pid!, 'SIGINT');
    await ended;
  }

  async leave(): Promise<void> {
    await this.stop();
    this.client.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  private async start(): Promise<void> {
    // The fault is in the build under test, not in the first release.
    const isOld = (await run('git', ['-C', this.clone, 'rev-parse', 'HEAD'])).stdout.startsWith(FIRST_RELEASE);
    const patch =
      isOld || this.fault === undefined
        ? {}
        : { NODE_OPTIONS: `--import=${join(ROOT, 'test/proofs/faults', this.fault)}` };
    const server = spawn('npm', ['start'], {
      cwd: this.clone,
      env: { ...this.environment, ...patch },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.server = server;
    let printed = '';
    for (const stream of [server.stdout, server.stderr])
      stream.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    for (const deadline = performance.now() + STEP_TIMEOUT_MS; !printed.includes(READY); await sleep(POLL_MS)) {
      if (performance.now() > deadline || server.exitCode !== null)
        throw new Error(`npm start did not come to be ready:\n${printed}`);
    }
  }
}
