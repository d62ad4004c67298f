import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';

const ROUNDS = { ci: 1, full: 6 } as const;
const ANSWERED_WITHIN_MS = 10_500;
const BACK_WITHIN_MS = 2_000;
/** More than the pool has connections: what a connection that was lost does not give back would be missed. */
const AFTERWARDS = 30;
const MAX_STALENESS_SECONDS = 30;
const IDLE_CONNECTIONS = 18;

/** How a request ended. */
interface Ending {
  readonly kind: string;
  readonly status: number;
  readonly code: string | undefined;
  readonly tookMs: number;
}

/**
 * Twice PostgreSQL says nothing more: the connections are forgotten on the way and never reset, while new ones find no
 * one; and a synchronous standby never confirms, so that every commit waits.
 */
export const f05: Experiment = {
  id: 'F05',
  guarantee:
    'connections that go silent and are never reset: every request is answered within 10.5 s, cached keys verify, and 2 s after new connections work all does',
  inCi: true,
  fault: { what: 'a statement waits for its answer for as long as it takes', patch: 'waits-for-ever.mjs' },
  run: async ({ size, log, fault }) => {
    const cluster = await ProofCluster.start(1, { MAX_STALENESS_SECONDS: String(MAX_STALENESS_SECONDS) }, fault);
    const violations: string[] = [];
    const floors: [Floor, ...Floor[]] = [floor('rounds', 0, 2 * ROUNDS[size])];
    const figures: Record<string, number> = {};
    const note = (name: string, value: number) => (figures[name] = Math.max(figures[name] ?? 0, Math.round(value)));
    try {
      const scene = await Scene.prepare(cluster);
      for (let round = 0; round < ROUNDS[size] && violations.length === 0; round += 1) {
        await scene.restock();
        for (const way of ['network', 'standby'] as const) {
          const creating = scene.creates(12);
          await (way === 'network' ? scene.silence() : scene.loseStandby());
          const endings = [
            ...(await creating),
            ...(await scene.askAll()),
            ...(way === 'network' ? await scene.askAll() : []),
          ];
          floors[0] = { ...floors[0], got: floors[0].got + 1 };
          floors.push(...floorsOf(`${way} ${round}`, endings));
          violations.push(...scene.judge(way, endings).map((problem) => `${way} ${round}: ${problem}`));
          note(`${way}SlowestMs`, Math.max(...endings.map(({ tookMs }) => tookMs)));
          note(`${way}Unknown`, endings.filter(({ code }) => code === 'OUTCOME_UNKNOWN').length);
          await (way === 'network' ? scene.hear() : scene.findStandby());
          const { backMs, problems } = await scene.comeBack();
          violations.push(...problems.map((problem) => `${way} ${round}: ${problem}`));
          note(`${way}BackMs`, backMs);
          log(
            `${way}: slowest answer ${figures[`${way}SlowestMs`]} ms, ${figures[`${way}Unknown`]} unknown, back after ${Math.round(backMs)} ms`,
          );
        }
      }
      const { exitCode, report } = await cluster.doctor();
      if (exitCode !== 0) violations.push(`the doctor found: ${report}`);
      return { violations, floors, figures };
    } finally {
      await cluster.database.query('ALTER SYSTEM RESET synchronous_standby_names').catch(() => undefined);
      await cluster.database.query('SELECT pg_reload_conf()').catch(() => undefined);
      await cluster.stop();
    }
  },
};

function floorsOf(what: string, endings: readonly Ending[]): Floor[] {
  const writes = endings.filter(({ kind }) => /create|revoke|sign-in|usage/.test(kind));
  return [
    floor(`${what}: changes that met the silence`, writes.filter(({ status }) => status === 503).length, 6),
    floor(
      `${what}: cached verifies answered`,
      endings.filter(({ kind, status }) => kind === 'verify' && status === 200).length,
      1,
    ),
  ];
}

interface Key {
  readonly id: string;
  readonly secret: string;
}

class Scene {
  private constructor(
    private readonly cluster: ProofCluster,
    private readonly gateway: Key,
    private readonly known: Key,
    /** Keys to be revoked, one a try. */
    private readonly doomed: Key[],
    /** A key that may do what its owner may: it is known from memory, so that the change itself meets the silence. */
    private readonly service: Key,
  ) {}

  static async prepare(cluster: ProofCluster): Promise<Scene> {
    const gateway = await cluster.createKey({ roles: ['gateway'] });
    const service = await cluster.createKey({ roles: ['admin'] });
    const scene = new Scene(cluster, gateway, await cluster.createKey(), [], service);
    for (let warm = 0; warm < 10; warm += 1) await scene.verify();
    await patiently(() => scene.post('/api-keys', { apiKey: service.secret, body: {} }));
    return scene;
  }

  /** Keys for the revokes of one round. */
  async restock(): Promise<void> {
    while (this.doomed.length < 6) this.doomed.push(await this.cluster.createKey());
  }

  /** Creates that are under way when the silence begins: some of them in the middle of a transaction. */
  creates(count: number): Promise<Ending[]> {
    return Promise.all(
      Array.from({ length: count }, (_, index) => sleep(index * 5).then(() => this.ask('create', () => this.create()))),
    );
  }

  /** Connections that are open are never heard again, and new ones are not answered either. */
  async silence(): Promise<void> {
    // Idle connections: a request that takes one of them sends its statement into the silence.
    await Promise.all(Array.from({ length: IDLE_CONNECTIONS }, () => this.askList()));
    this.cluster.database.proxy.forget();
    this.cluster.database.proxy.setMode('silent');
  }

  /** New connections work; those of before stay silent. */
  async hear(): Promise<void> {
    this.cluster.database.proxy.forget();
    this.cluster.database.proxy.setMode('pass');
  }

  async loseStandby(): Promise<void> {
    await this.cluster.database.query(`ALTER SYSTEM SET synchronous_standby_names = 'nowhere'`);
    await this.cluster.database.query('SELECT pg_reload_conf()');
    await sleep(200);
  }

  async findStandby(): Promise<void> {
    await this.cluster.database.query('ALTER SYSTEM RESET synchronous_standby_names');
    await this.cluster.database.query('SELECT pg_reload_conf()');
  }

  /** Every kind of request at once. */
  askAll(): Promise<Ending[]> {
    const token = this.cluster.adminToken;
    const { client } = this.cluster.replica(0);
    const event = { events: [{ id: randomUUID(), apiKeyId: this.known.id, costCents: 1 }] };
    return Promise.all([
      this.ask('create', () => this.create()),
      this.ask('create by a key', () => this.post('/api-keys', { apiKey: this.service.secret, body: {} })),
      this.ask('revoke', () => this.post(`/api-keys/${this.doomed.pop()!.id}/revoke`, { token, body: {} })),
      this.ask('revoke by a key', () =>
        this.post(`/api-keys/${this.doomed.pop()!.id}/revoke`, { apiKey: this.service.secret, body: {} }),
      ),
      this.ask('list', () => client.request('GET', '/api/v1/api-keys', { token, timeoutMs: 20_000 })),
      this.ask('sign-in', () =>
        this.post('/auth/login', { body: { email: 'admin@latchkey.test', password: 'a password for proofs' } }),
      ),
      this.ask('usage', () => this.post('/usage', { apiKey: this.gateway.secret, body: event })),
      this.ask('audit', () => client.request('GET', '/api/v1/audit-events', { token, timeoutMs: 20_000 })),
      this.ask('verify', () => this.verify()),
    ]);
  }

  judge(way: 'network' | 'standby', endings: readonly Ending[]): string[] {
    const problems = endings
      .filter(({ tookMs }) => tookMs > ANSWERED_WITHIN_MS)
      .map(({ kind, tookMs }) => `${kind} took ${Math.round(tookMs)} ms`);
    problems.push(...endings.filter(({ status }) => status === 0).map(({ kind }) => `${kind} had no answer`));
    // 429: requests of one principal take turns, and those that wait for too long behind others that hang are refused.
    problems.push(
      ...endings
        .filter(({ status }) => status >= 300 && status !== 503 && status !== 429)
        .map(({ kind, status, code }) => `${kind} answered ${status} ${code}`),
    );
    problems.push(
      ...endings
        .filter(({ kind, status }) => kind === 'verify' && status !== 200)
        .map(({ status }) => `a cached verify answered ${status}`),
    );
    if (way === 'standby' && !endings.some(({ code }) => code === 'OUTCOME_UNKNOWN'))
      problems.push('no change said that its outcome is unknown');
    return problems;
  }

  /** Until a create works again; then nothing is missing from the pool, and what was unknown can be found out. */
  async comeBack(): Promise<{ backMs: number; problems: string[] }> {
    const began = performance.now();
    for (;;) {
      const [created, listed] = await Promise.all([this.ask('create', () => this.create()), this.askList()]);
      if ((created.status === 201 && listed.status === 200) || performance.now() - began > 30_000) break;
      await sleep(20);
    }
    const backMs = performance.now() - began;
    const problems = backMs > BACK_WITHIN_MS ? [`it took ${Math.round(backMs)} ms until changes were made again`] : [];
    const answers = await Promise.all(Array.from({ length: AFTERWARDS }, () => this.askList()));
    const refused = answers.filter(({ status }) => status !== 200);
    if (refused.length > 0)
      problems.push(
        `${refused.length} of ${AFTERWARDS} requests at once were refused afterwards: the pool has lost connections`,
      );
    const [{ count }] = (await this.cluster.database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'latchkey' AND state LIKE 'idle in transaction%' AND state_change < now() - interval '3 seconds'`,
    )) as [{ count: number }];
    if (count > 0) problems.push(`${count} sessions sit in a transaction`);
    return { backMs, problems: [...problems, ...(await this.revokeAgain())] };
  }

  /** A revoke may be repeated whatever became of it: it is made, or 409 says when it was. */
  private async revokeAgain(): Promise<string[]> {
    const { id } = await this.cluster.createKey();
    const revoke = () => this.post(`/api-keys/${id}/revoke`, { token: this.cluster.adminToken, body: {} });
    await patiently(revoke);
    const { status, body } = await revoke();
    return status === 409 && body.code === 'ALREADY_REVOKED' && !Number.isNaN(Date.parse(body.revokedAt as string))
      ? []
      : [`a repeated revoke answered ${status} ${JSON.stringify(body)}`];
  }

  private create(): Promise<ProofAnswer> {
    return this.post('/api-keys', { token: this.cluster.adminToken, body: {} });
  }

  private askList(): Promise<Ending> {
    return this.ask('list', () =>
      this.cluster
        .replica(0)
        .client.request('GET', '/api/v1/api-keys?size=1', { token: this.cluster.adminToken, timeoutMs: 20_000 }),
    );
  }

  private verify(): Promise<ProofAnswer> {
    return this.post('/verify', { apiKey: this.gateway.secret, body: { key: this.known.secret } });
  }

  private post(path: string, options: { token?: string; apiKey?: string; body: unknown }): Promise<ProofAnswer> {
    return this.cluster.replica(0).client.post(path, { ...options, timeoutMs: 20_000 });
  }

  private async ask(kind: string, send: () => Promise<ProofAnswer>): Promise<Ending> {
    const began = performance.now();
    const answer = await send().catch(() => null);
    return {
      kind,
      status: answer?.status ?? 0,
      code: answer?.body?.code as string | undefined,
      tookMs: performance.now() - began,
    };
  }
}
