import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedInstallation } from '../harness/embedded-installation.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Random } from '../harness/random.js';

/** Keys that lose their access after the backup, for each way to lose it. */
const KEYS = { ci: 6, full: 60 } as const;
const CLIENTS = 6;
/** How long after a change the checkpoint file has it; what is younger may be lost. */
const WRITTEN_WITHIN_MS = 3_000;
/** Floor: a backup of an installation that does nothing shows nothing. */
const LEAST_DURING = 20;

interface Key {
  readonly id: string;
  readonly secret: string;
}

/** What happened to a key after the backup, and how. */
interface Narrowed extends Key {
  readonly how: string;
}

/** A backup under load, a machine that is lost, a restore that is killed once: nothing that was revoked comes back. */
export const o12: Experiment = {
  id: 'O12',
  guarantee:
    'after a restore what was revoked stays revoked, what is missing is named, sessions have ended, and the books balance',
  inCi: true,
  fault: { what: 'changes are not kept in the checkpoint file', patch: 'forgets-changes.mjs' },
  run: async ({ size, random, log, fault }) => {
    const installation = await EmbeddedInstallation.start(2, fault);
    try {
      const session = await installation.signIn();
      const owner = new Owner(installation, session, random);
      const keys: Key[] = [];
      for (let n = 0; n < KEYS[size] * 4 + 2; n += 1) keys.push(await owner.createKey());
      const spare = keys.slice(KEYS[size] * 4);
      const violations: string[] = [];

      const load = new Load(owner, spare[0]!);
      const before = load.start();
      await before;
      const acknowledgedBefore = [...load.created];
      const { during, backup } = await load.during(() =>
        installation.run('cli/backup', [join(installation.directory, 'backup')]),
      );
      await load.stop();
      if (backup.exitCode !== 0) violations.push(`the backup ended with ${backup.exitCode}: ${backup.output}`);
      await writeFile(join(installation.directory, 'passphrase'), 'a passphrase for proofs\n');
      const secrets = [
        join(installation.directory, 'secrets'),
        '--passphrase-file',
        join(installation.directory, 'passphrase'),
      ];
      await installation.run('cli/backup', ['--secrets', ...secrets]);

      const narrowed = await owner.narrow(keys.slice(0, KEYS[size] * 4));
      await owner.report(spare[1]!, 7);
      await sleep(WRITTEN_WITHIN_MS);
      await installation.loseTheMachine();

      await installation.run('cli/restore', ['--secrets', ...secrets]);
      const path = join(installation.directory, 'backup');
      const killed = await installation.run('cli/restore', [path], () =>
        existsSync(join(installation.dataDir, 'postgres')),
      );
      const early = await installation.run('server/main', []);
      if (early.exitCode !== 1 || !early.output.includes('is not finished'))
        violations.push(`a start on half a restore ended with ${early.exitCode}: ${early.output}`);
      const restored = await installation.run('cli/restore', [path]);
      log(restored.output.trimEnd());
      if (restored.exitCode !== 0) violations.push(`the restore ended with ${restored.exitCode}: ${restored.output}`);
      if (!/^MISSING: entries \d+ to \d+/m.test(restored.output))
        violations.push('the restore did not name what is missing');
      for (const { id, how } of narrowed)
        if (!restored.output.includes(id)) violations.push(`the restore does not name a key that was ${how}`);
      const doctor = await installation.run('cli/doctor', []);
      if (doctor.exitCode !== 0) violations.push(`the doctor ended with ${doctor.exitCode}: ${doctor.output}`);

      await installation.startReplicas();
      if ((await installation.replica(1).client.request('GET', '/api/v1/auth/me', { token: session })).status !== 401)
        violations.push('a session of before the restore goes on');
      const again = new Owner(installation, await installation.signIn(), random);
      for (const { how, ...key } of narrowed) {
        const verdict = await again.verify(key);
        if (verdict === 'VALID') violations.push(`a key that was ${how} is VALID again`);
      }
      for (const key of [...spare, ...acknowledgedBefore]) {
        const verdict = await again.verify(key);
        if (verdict !== 'VALID') violations.push(`a key of before the backup is ${verdict}`);
      }
      const floors = [
        floor('keys that lost access after the backup', narrowed.length, 4 * KEYS[size]),
        floor('changes acknowledged during the backup', during, LEAST_DURING),
        floor('restores killed before their end', killed.exitCode === null ? 1 : 0, 1),
        floor('keys that work as before', acknowledgedBefore.length, 1),
      ] as const;
      return {
        violations,
        floors,
        figures: {
          narrowed: narrowed.length,
          acknowledgedDuringBackup: during,
          keysOfBefore: acknowledgedBefore.length,
        },
      };
    } finally {
      await installation.stop();
    }
  },
};

/** What the admin does, on any replica. */
class Owner {
  constructor(
    private readonly installation: EmbeddedInstallation,
    private readonly token: string,
    private readonly random: Random,
  ) {}

  async createKey(fields: Record<string, unknown> = { budgetLimitCents: 1_000 }): Promise<Key> {
    const body = await this.done('POST', '/api-keys', fields);
    return { id: body.apiKey.id as string, secret: body.secretKey as string };
  }

  async report(key: Key, cents: number): Promise<void> {
    await this.done('POST', '/usage', {
      events: [{ id: `${key.id}-${this.random.integer(1e9)}`, apiKeyId: key.id, costCents: cents }],
    });
  }

  /** Takes access from each key, by turns in another way. */
  async narrow(keys: readonly Key[]): Promise<Narrowed[]> {
    const ways = [
      { how: 'revoked', act: (key: Key) => this.done('POST', `/api-keys/${key.id}/revoke`, {}) },
      { how: 'deactivated', act: (key: Key) => this.done('POST', `/api-keys/${key.id}/deactivate`, {}) },
      { how: 'given another secret', act: (key: Key) => this.done('POST', `/api-keys/${key.id}/regenerate`, {}) },
      { how: 'deleted', act: (key: Key) => this.done('DELETE', `/api-keys/${key.id}/permanent`) },
    ] as const;
    const narrowed: Narrowed[] = [];
    for (const [index, key] of keys.entries()) {
      const { how, act } = ways[index % ways.length]!;
      await act(key);
      narrowed.push({ ...key, how });
    }
    return narrowed;
  }

  async verify({ secret }: Key): Promise<string> {
    return (await this.done('POST', '/verify', { key: secret })).code as string;
  }

  private async done(method: string, path: string, body?: object): Promise<ProofAnswer['body']> {
    const { client } = this.installation.replica(this.random.integer(2));
    const answer = await client.request(method, `/api/v1${path}`, {
      token: this.token,
      ...(body === undefined ? {} : { body }),
    });
    if (answer.status >= 300)
      throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
}

/** Clients that create keys and report usage until they are stopped. */
class Load {
  /** Keys whose creation was acknowledged. */
  readonly created: Key[] = [];
  private acknowledged = 0;
  private isStopping = false;
  private running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly owner: Owner,
    private readonly spender: Key,
  ) {}

  /** Resolves once it is well under way. */
  async start(): Promise<void> {
    this.running = Promise.all(Array.from({ length: CLIENTS }, (_, index) => this.client(index)));
    while (this.created.length < CLIENTS) await sleep(20);
  }

  /** How many changes were acknowledged while `work` ran. */
  async during<T>(work: () => Promise<T>): Promise<{ during: number; backup: T }> {
    const from = this.acknowledged;
    const backup = await work();
    return { during: this.acknowledged - from, backup };
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await this.running;
  }

  private async client(index: number): Promise<void> {
    while (!this.isStopping) {
      if (index % 2 === 0) this.created.push(await this.owner.createKey());
      else await this.owner.report(this.spender, 0.01);
      this.acknowledged += 1;
      await sleep(15);
    }
  }
}
