import { setTimeout as sleep } from 'node:timers/promises';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Experiment } from '../harness/experiment.js';
import { floor, floorsOfKinds } from '../harness/floors.js';
import { quantile } from '../harness/quantile.js';

const ROUNDS = { ci: 24, full: 300 } as const;
const MAX_LAG_MS = 1_000;
/** So long without an accept, and so many refusals on every replica, end the look after a change. */
const QUIET_MS = 150;
const REFUSALS = 5;
/** A machine that is busy otherwise may stop for seconds: that is no lag of ours. */
const PATIENCE_MS = 20_000;
/** Of each replica, each of which asks again as soon as it has an answer. */
const CLIENTS = 2;
const P99_MS = 100;
/**
 * Of the changes of a run in CI, of which there are some ninety, the slowest would be the p99. It is bounded by itself.
 */
const JUDGED_QUANTILE = { ci: 0.95, full: 0.99 } as const;
/** On a machine where a verify waits for a processor, a change waits so many times as long: each of its steps does. */
const BUSY = 4;
/** Calls of a replica within the bound after a commit: as many as this show what it did in it. */
const LEAST_WITHIN_BOUND = 3;
/** Every so many rounds the change waits for the replicas. */
const WAIT_EVERY = 3;
/** Ahead of now, so that the key is seen to be good before it ends. */
const EXPIRES_IN_MS = 1_000;

/** A key that all replicas accept, how that is asked, and what ends it. */
interface Case {
  readonly isAccepted: (replica: number) => Promise<boolean>;
  readonly change: (wait: string) => Promise<ProofAnswer>;
  /** Of a change that counts from an instant of its own, and not from its commit. */
  readonly countsFromMs?: () => number;
}

type Kind = (context: Setting, round: number) => Promise<Case>;

interface Setting {
  readonly cluster: ProofCluster;
  readonly callerSecret: string;
}

const KINDS = {
  revoke: async (setting) => {
    const key = await setting.cluster.createKey();
    return {
      isAccepted: verify(setting, { key: key.secret }),
      change: (wait) => manage(setting, 'POST', `/api-keys/${key.id}/revoke${wait}`),
    };
  },
  disable: async (setting) => {
    const key = await setting.cluster.createKey();
    return {
      isAccepted: verify(setting, { key: key.secret }),
      change: (wait) => manage(setting, 'POST', `/api-keys/${key.id}/deactivate${wait}`),
    };
  },
  narrow: async (setting) => {
    const key = await setting.cluster.createKey({ scopes: ['chat:read', 'chat:write'] });
    return {
      isAccepted: verify(setting, { key: key.secret, scopes: ['chat:write'] }),
      change: (wait) => manage(setting, 'PATCH', `/api-keys/${key.id}${wait}`, { scopes: ['chat:read'] }),
    };
  },
  expire: async (setting) => {
    const key = await setting.cluster.createKey();
    let expiresAtMs = 0;
    return {
      isAccepted: verify(setting, { key: key.secret }),
      change: async (wait) => {
        for (let ahead = EXPIRES_IN_MS; ; ahead *= 2) {
          expiresAtMs = Date.now() + ahead;
          const answer = await manage(setting, 'PATCH', `/api-keys/${key.id}${wait}`, {
            expiresAt: new Date(expiresAtMs).toISOString(),
          });
          // On a machine that is busy the instant may have passed before the request arrived.
          if (answer.status === 400 && ahead < PATIENCE_MS) continue;
          await sleep(Math.max(0, expiresAtMs - Date.now()));
          return answer;
        }
      },
      countsFromMs: () => expiresAtMs,
    };
  },
  ownerDisabled: async (setting, round) => {
    const user = await manage(setting, 'POST', '/users', {
      email: `owner-${round}@latchkey.test`,
      name: `Owner ${round}`,
      password: `the password of ${round}`,
    });
    const key = await setting.cluster.createKey({ ownerId: created(user).id });
    return {
      isAccepted: verify(setting, { key: key.secret }),
      change: (wait) => manage(setting, 'PATCH', `/users/${created(user).id}${wait}`, { isActive: false }),
    };
  },
  roleChanged: async (setting, round) => {
    const name = `caller-${round}`;
    created(await manage(setting, 'POST', '/roles', { name, permissions: ['platform:api-keys:verify'] }));
    const key = await setting.cluster.createKey({ roles: [name] });
    const asked = await setting.cluster.createKey();
    return {
      isAccepted: async (replica) =>
        (
          await setting.cluster
            .replica(replica)
            .client.post('/verify', { apiKey: key.secret, body: { key: asked.secret } })
        ).status === 200,
      change: (wait) => manage(setting, 'PATCH', `/roles/${name}${wait}`, { permissions: [] }),
    };
  },
} satisfies Readonly<Record<string, Kind>>;

type KindName = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as KindName[];

/** Keys in use on three replicas are revoked, disabled, narrowed, expire, and lose their owner or role. */
export const g05: Experiment = {
  id: 'G05',
  guarantee:
    'revoke, disable, expiry, narrowing, owner disabled and role changed take effect on every replica, counted from the commit: p99 ≤ 100 ms, max ≤ 1 s; after the answer to ?wait=true at once',
  inCi: true,
  fault: { what: 'notices wake nobody, and nobody waits for the replicas', patch: 'deaf-replicas.mjs' },
  run: async ({ size, log, fault }) => {
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const setting: Setting = { cluster, callerSecret: (await cluster.createKey({ roles: ['gateway'] })).secret };
      const trial = new Trial(setting);
      // Expiry waits for most of its time, so it goes beside the others, which go by turns: all of them at once would
      // keep two cores so busy that the lag would be that of the machine.
      const others = NAMES.filter((name) => name !== 'expire');
      await Promise.all([trial.run(['expire'], ROUNDS[size]), trial.run(others, ROUNDS[size])]);
      for (const line of trial.summary()) log(line);
      const { boundMs, ...times } = trial.judge(JUDGED_QUANTILE[size]);
      const waited = Math.floor(ROUNDS[size] / WAIT_EVERY);
      return {
        violations: trial.violations,
        floors: [
          floor('calls refused after a change', trial.refused, REFUSALS * 3 * ROUNDS[size] * NAMES.length),
          floor(
            'calls within the bound after a commit, on each replica, in the mean',
            trial.callsWithin(boundMs),
            LEAST_WITHIN_BOUND,
          ),
          ...floorsOfKinds('changes counted from the commit:', NAMES, trial.counted, ROUNDS[size] - waited),
          ...floorsOfKinds('changes that waited:', NAMES, trial.waited, waited),
        ],
        figures: {
          roundsOfEach: ROUNDS[size],
          kinds: NAMES.length,
          ...trial.maxima(),
          ...times,
          boundMs,
          askedEveryMs: quantile(trial.gaps, 0.5),
          acceptedAfterWait: trial.acceptedAfterWait,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** What came of the changes of every kind. */
class Trial {
  readonly violations: string[] = [];
  readonly counted = new Map<KindName, number>();
  readonly waited = new Map<KindName, number>();
  /** Milliseconds between two calls of one replica: no lag is known better than by this. */
  readonly gaps: number[] = [];
  /** Milliseconds of each call. */
  readonly durations: number[] = [];
  /**
   * Milliseconds from a commit to its answer, of changes that do not wait. PostgreSQL notes the time of a commit before
   * it flushes it: what a disk takes for that is in each lag.
   */
  readonly commits: number[] = [];
  refused = 0;
  private changes = 0;
  /** When calls were sent after a commit, in milliseconds. */
  private readonly sentAfterMs: number[] = [];
  acceptedAfterWait = 0;
  private readonly lagsOf = new Map<KindName, number[]>(NAMES.map((name) => [name, []]));

  constructor(private readonly setting: Setting) {}

  async run(names: readonly KindName[], rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round += 1) {
      for (const name of names) if (this.violations.length < 20) await this.once(name, round);
    }
  }

  /** Compares the lag with the bound that a commit and a verify of this machine allow; gives both. */
  judge(judged: number): Record<'boundMs' | 'p50Ms' | 'p99Ms' | 'commitMs' | 'maxMs' | 'verifyP99Ms', number> {
    const all = [...this.lagsOf.values()].flat();
    const verifyP99Ms = quantile(this.durations, 0.99);
    const [judgedMs, commitMs] = [quantile(all, judged), quantile(this.commits, judged)];
    const boundMs = Math.max(P99_MS, BUSY * verifyP99Ms, P99_MS + commitMs);
    if (judgedMs > boundMs) {
      this.violations.push(
        `the lag is ${judgedMs} ms, a commit with its answer ${commitMs} ms (p${100 * judged}), a verify ${verifyP99Ms} ms`,
      );
    }
    const [p50Ms, p99Ms, maxMs] = [quantile(all, 0.5), quantile(all, 0.99), quantile(all, 1)];
    return { boundMs, p50Ms, p99Ms, commitMs, maxMs, verifyP99Ms };
  }

  /** How many calls a replica was sent within so many milliseconds after a commit, in the mean. */
  callsWithin(ms: number): number {
    return this.sentAfterMs.filter((sentMs) => sentMs < ms).length / (3 * this.changes);
  }

  maxima(): Record<string, number> {
    return Object.fromEntries(NAMES.map((name) => [`${name}MaxMs`, quantile(this.lagsOf.get(name)!, 1)]));
  }

  summary(): string[] {
    return NAMES.map((name) => {
      const lags = this.lagsOf.get(name)!;
      return `${name}: ${lags.length} changes, p50 ${quantile(lags, 0.5)} ms, p99 ${quantile(lags, 0.99)} ms, max ${quantile(lags, 1)} ms`;
    });
  }

  private async once(name: KindName, round: number): Promise<void> {
    const waits = round % WAIT_EVERY === WAIT_EVERY - 1;
    const watch = new Watch(await KINDS[name](this.setting, round));
    await watch.untilAccepted();
    const { fromMs, answeredMs, problems } = await watch.change(this.setting, waits);
    await watch.untilRefused(Math.max(fromMs, answeredMs));
    const lagMs = watch.lagSince(waits ? answeredMs : fromMs);
    this.violations.push(...[...problems, ...watch.problems].map((problem) => `${name} ${round}: ${problem}`));
    this.changes += 1;
    this.refused += watch.refused;
    this.sentAfterMs.push(...watch.sentAfter(fromMs));
    this.gaps.push(...watch.gaps());
    this.durations.push(...watch.durations());
    const counts = waits ? this.waited : this.counted;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    const commitMs = answeredMs - fromMs;
    if (!waits) {
      this.lagsOf.get(name)!.push(lagMs);
      this.commits.push(commitMs);
    } else if (lagMs > watch.allowedAfterWaitMs) this.acceptedAfterWait += 1;
    if (waits && lagMs > watch.allowedAfterWaitMs)
      this.violations.push(`${name} ${round}: accepted ${lagMs} ms after the answer to ?wait=true`);
    const longestMs = Math.max(...watch.durations());
    if (!waits && lagMs > Math.max(MAX_LAG_MS, BUSY * longestMs, MAX_LAG_MS + commitMs)) {
      this.violations.push(
        `${name} ${round}: accepted ${lagMs} ms after the commit, whose answer took ${commitMs} ms; the longest verify took ${longestMs} ms`,
      );
    }
  }
}

/** One call, by the wall clock, which PostgreSQL and the experiment share. */
interface Call {
  readonly replica: number;
  readonly sentMs: number;
  readonly tookMs: number;
  readonly isAccepted: boolean;
}

/**
 * Asks every replica without a pause. What counts is when a call was sent: how long it then waited for its answer, on a
 * machine with more to do, is no lag.
 */
class Watch {
  readonly problems: string[] = [];
  private readonly calls: Call[] = [];
  private readonly clients: Promise<void>[];
  private isOver = false;
  private fromMs = Number.POSITIVE_INFINITY;

  constructor(private readonly one: Case) {
    this.clients = [0, 1, 2].flatMap((replica) => Array.from({ length: CLIENTS }, () => this.ask(replica)));
  }

  /** Calls that were sent after the change and refused. */
  get refused(): number {
    return this.calls.filter(({ sentMs, isAccepted }) => !isAccepted && sentMs > this.fromMs).length;
  }

  /** An expiry is by the clock of a replica, which it knows to within half a round trip to the database. */
  get allowedAfterWaitMs(): number {
    return this.one.countsFromMs === undefined ? 0 : P99_MS;
  }

  async untilAccepted(): Promise<void> {
    const until = Date.now() + PATIENCE_MS;
    const isAccepted = () =>
      [0, 1, 2].every((replica) => this.calls.some((call) => call.replica === replica && call.isAccepted));
    while (!isAccepted() && Date.now() < until) await sleep(1);
    if (!isAccepted()) this.problems.push('it was not accepted before the change');
  }

  /** Makes the change; gives the instant of its commit and that of its answer. */
  async change(
    { cluster }: Setting,
    waits: boolean,
  ): Promise<{ fromMs: number; answeredMs: number; problems: string[] }> {
    const { status, headers, body } = await this.one.change(waits ? '?wait=true' : '');
    const answeredMs = Math.max(Date.now(), this.one.countsFromMs?.() ?? 0);
    this.fromMs = this.one.countsFromMs?.() ?? (await committedAtMs(cluster, String(headers['x-request-id'])));
    const problems = status < 300 ? [] : [`the change answered ${status}: ${JSON.stringify(body)}`];
    return { fromMs: this.fromMs, answeredMs, problems };
  }

  /** What a replica has evicted it does not accept again (G06): a short quiet is enough. */
  async untilRefused(sinceMs: number): Promise<void> {
    const refusals = (replica: number) =>
      this.calls.filter((call) => call.replica === replica && !call.isAccepted && call.sentMs > sinceMs).length;
    const isQuiet = () =>
      [0, 1, 2].every((replica) => refusals(replica) >= REFUSALS) &&
      Date.now() > sinceMs + this.lagSince(sinceMs) + QUIET_MS;
    while (!isQuiet() && Date.now() < sinceMs + PATIENCE_MS) await sleep(5);
    if (![0, 1, 2].every((replica) => refusals(replica) > 0))
      this.problems.push('a replica refused nothing after the change');
    this.isOver = true;
    await Promise.all(this.clients);
  }

  /** Milliseconds until the last call was sent that was accepted; 0: none was. */
  lagSince(sinceMs: number): number {
    return Math.max(
      0,
      ...this.calls
        .filter(({ isAccepted }) => isAccepted)
        .map(({ sentMs }) => Math.round(10 * (sentMs - sinceMs)) / 10),
    );
  }

  /** Of each call that was sent after an instant, how many milliseconds after. */
  sentAfter(fromMs: number): number[] {
    return this.calls.filter(({ sentMs }) => sentMs > fromMs).map(({ sentMs }) => sentMs - fromMs);
  }

  durations(): number[] {
    return this.calls.map(({ tookMs }) => tookMs);
  }

  /** Between calls of one replica that were sent after the change. */
  gaps(): number[] {
    return [0, 1, 2].flatMap((replica) => {
      const times = this.calls
        .filter((call) => call.replica === replica && call.sentMs > this.fromMs)
        .map(({ sentMs }) => sentMs);
      const inOrder = times.sort((left, right) => left - right);
      return inOrder.slice(1).map((at, index) => at - inOrder[index]!);
    });
  }

  private async ask(replica: number): Promise<void> {
    while (!this.isOver) {
      const sentMs = Date.now();
      const isAccepted = await this.one.isAccepted(replica).catch((error: unknown) => {
        this.problems.push(`replica ${replica} did not answer: ${String(error)}`);
        return false;
      });
      this.calls.push({ replica, sentMs, tookMs: Date.now() - sentMs, isAccepted });
    }
  }
}

/** When the change of a request was committed, by the clock that PostgreSQL and the experiment share. */
async function committedAtMs({ database }: ProofCluster, requestId: string): Promise<number> {
  const [row] = await database.query<{ ms: number }>(
    'SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 * 1000 AS ms FROM audit_event WHERE request_id = $1',
    [requestId],
  );
  if (row === undefined) throw new Error(`The trail has no entry of request ${requestId}.`);
  return row.ms;
}

function verify({ cluster, callerSecret }: Setting, body: Record<string, unknown>): Case['isAccepted'] {
  return async (replica) =>
    (await cluster.replica(replica).client.post('/verify', { apiKey: callerSecret, body })).body.valid === true;
}

function manage({ cluster }: Setting, method: string, path: string, body?: unknown): Promise<ProofAnswer> {
  return patiently(() =>
    cluster.replica(0).client.request(method, `/api/v1${path}`, { token: cluster.adminToken, body }),
  );
}

function created({ status, body }: ProofAnswer): { id: string } {
  if (status !== 201) throw new Error(`a create answered ${status}: ${JSON.stringify(body)}`);
  return body as { id: string };
}
