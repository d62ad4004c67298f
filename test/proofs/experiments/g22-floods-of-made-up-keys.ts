import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster, type Replica } from '../harness/cluster.js';
import type { Experiment, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { quantile } from '../harness/quantile.js';
import type { Random } from '../harness/random.js';

const DISTINCT = { ci: 200_000, full: 1_000_000 } as const;
const IMPORTED = { ci: 1_000, full: 20_000 } as const;
const PER_IMPORT = 500;
const WARM_UP = 60_000;
const PER_BATCH = 100;
const FLOODERS = 8;
const QUIET_MS = 5_000;
const MAX_GROWTH_MIB = 20;
const LEAST_VALID = 20;
/** The statement that looks keys up. */
const LOOK_UP = /^execute load-records: /;
/** What a replica sends by itself, it sends twice a second at most, and again for each change. */
const MAX_PER_SECOND = 5;
/** Records live for five minutes at most: those of the valid key and its caller are then read again. */
const RECORD_LIFE_S = 300;
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/**
 * Keys that nobody made, each another one, while a valid key is asked for as before: first of our shape with a made-up
 * tag, then of the shapes of other systems, from which keys were imported. PostgreSQL writes down every statement it is
 * sent.
 */
export const g22: Experiment = {
  id: 'G22',
  guarantee:
    'floods of made-up keys cost nothing, with imported keys too: 0 statements, RSS + ≤ 20 MB over 1 M distinct keys (CI 200 000)',
  inCi: true,
  fault: {
    what: 'nothing is refused by memory alone, neither by its tag nor as never imported',
    patch: 'trusts-tags.mjs',
  },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(1, { MAX_ACTIVE_KEYS: '1000000' }, fault);
    try {
      const replica = cluster.replica(0);
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const key = await cluster.createKey();
      const imported = await importKeys(cluster, IMPORTED[size]);
      const startedMs = performance.now();
      const flood = new Flood(replica, caller.secret, key.secret, random);
      await warmUp(flood);
      const quiet = await flood.valid(QUIET_MS);
      const before = await residentMib(replica);
      const violations: string[] = [];
      const floors: [Floor, ...Floor[]] = [
        floor('calls of the valid key before the floods', quiet.length, LEAST_VALID),
      ];
      const figures: Record<string, number> = { distinct: DISTINCT[size], imported: imported.length };
      figures['quietP99Ms'] = quantile(quiet, 0.99);
      for (const [shape, draw] of Object.entries({ own: () => flood.own(), foreign: () => flood.foreign() })) {
        const { statements, valid, seconds } = await flooded(cluster, flood, DISTINCT[size] / 2, draw, imported.pop()!);
        const lookUps = statements.filter((text) => LOOK_UP.test(text)).length;
        const reloads = 2 * Math.floor((performance.now() - startedMs) / 1000 / RECORD_LIFE_S);
        log(
          `${shape}: ${Math.round(DISTINCT[size] / 2 / seconds)} made-up keys a second, ${lookUps} look-ups, ${statements.length} statements`,
        );
        // The look-up of a key that exists shows that look-ups are seen.
        floors.push(
          floor(`${shape}: look-ups of a key that exists`, lookUps, 1),
          floor(`${shape}: calls of the valid key`, valid.length, LEAST_VALID),
        );
        if (lookUps > 1 + reloads) violations.push(`made-up keys of ${shape} shape: ${lookUps - 1} look-ups`);
        violations.push(...frequent(statements, seconds).map((text) => `made-up keys of ${shape} shape: ${text}`));
        figures[`${shape}KeysPerSecond`] = Math.round(DISTINCT[size] / 2 / seconds);
        figures[`${shape}LookUps`] = lookUps - 1;
        figures[`${shape}Statements`] = statements.length;
        figures[`${shape}FloodP99Ms`] = quantile(valid, 0.99);
      }
      const growth = (await residentMib(replica)) - before;
      if (growth > MAX_GROWTH_MIB) violations.push(`RSS grew by ${growth.toFixed(1)} MiB`);
      violations.push(...(await flood.lost(imported)), ...flood.violations);
      return {
        violations: [...new Set(violations)].slice(0, 50),
        floors: [...floors, floor('made-up keys refused', flood.refused, DISTINCT[size])],
        figures: { ...figures, rssGrowthMiB: tenths(growth) },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** Code, buffers and the pools of sockets get their size before anything is measured. */
async function warmUp(flood: Flood): Promise<void> {
  await flood.send(WARM_UP / 2, () => flood.own());
  await flood.send(WARM_UP / 2, () => flood.foreign());
}

interface Flooded {
  readonly statements: readonly string[];
  readonly valid: readonly number[];
  readonly seconds: number;
}

/** @param unseen a key that exists and was never asked about: its look-up shows that look-ups are seen */
async function flooded(
  { database }: ProofCluster,
  flood: Flood,
  count: number,
  draw: () => string,
  unseen: string,
): Promise<Flooded> {
  const recorded = await database.recordStatements();
  const began = performance.now();
  let flooding = true;
  const valid = flood.valid(() => !flooding);
  await flood.send(count, draw);
  flooding = false;
  const took = await valid;
  flood.violations.push(...(await flood.lost([unseen])));
  const seconds = (performance.now() - began) / 1000;
  return { statements: await recorded(), valid: took, seconds };
}

/** Statements that came more often than anything does that no request asks for. */
function frequent(statements: readonly string[], seconds: number): string[] {
  const counts = new Map<string, number>();
  for (const text of statements) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts]
    .filter(([text, count]) => !LOOK_UP.test(text) && count > MAX_PER_SECOND * (seconds + 1))
    .map(([text, count]) => `${count} times in ${Math.round(seconds)} s: ${text.slice(0, 120)}`);
}

/** Imports keys of another system; gives their secrets. */
async function importKeys(cluster: ProofCluster, count: number): Promise<string[]> {
  const secrets = Array.from({ length: count }, () => `sk-${randomBytes(24).toString('base64url')}`);
  for (let from = 0; from < count; from += PER_IMPORT) {
    const keys = secrets
      .slice(from, from + PER_IMPORT)
      .map((secret) => ({ sha256: createHash('sha256').update(secret).digest('hex'), prefix: secret.slice(0, 8) }));
    const { status, body } = await cluster
      .replica(0)
      .client.post('/api-keys/import', { token: cluster.adminToken, body: { keys }, timeoutMs: 60_000 });
    if (status !== 200 || body.counts.created !== keys.length)
      throw new Error(`import answered ${status}: ${JSON.stringify(body).slice(0, 300)}`);
  }
  return secrets;
}

/** Both sides: who makes keys up, and who has one. */
class Flood {
  readonly violations: string[] = [];
  refused = 0;

  constructor(
    private readonly replica: Replica,
    private readonly callerSecret: string,
    private readonly secret: string,
    private readonly random: Random,
  ) {}

  /** So many keys, in batches, from several clients. */
  async send(count: number, draw: () => string): Promise<void> {
    let made = 0;
    await Promise.all(
      Array.from({ length: FLOODERS }, async () => {
        while (made < count) {
          made += PER_BATCH;
          const codes = await this.codesOf(Array.from({ length: PER_BATCH }, draw));
          const wrong = codes.find((code) => code !== 'NOT_FOUND' && code !== 'MALFORMED');
          this.refused += codes.length;
          if (wrong !== undefined) this.violations.push(`a made-up key: ${wrong}`);
        }
      }),
    );
  }

  /** Milliseconds that each verify of the valid key took, one after the other. */
  async valid(until: number | (() => boolean)): Promise<number[]> {
    const took: number[] = [];
    const began = performance.now();
    const isOver = typeof until === 'number' ? () => performance.now() - began > until : until;
    while (!isOver()) {
      const start = performance.now();
      const { body } = await this.replica.client.post('/verify', {
        apiKey: this.callerSecret,
        body: { key: this.secret },
      });
      took.push(performance.now() - start);
      if (body.valid !== true) this.violations.push(`the valid key: ${String(body.code)}`);
      await sleep(5);
    }
    return took;
  }

  /** What does not hold if the imported keys among all the made-up ones do not work. */
  async lost(imported: readonly string[]): Promise<string[]> {
    const codes: string[] = [];
    for (let from = 0; from < imported.length; from += PER_BATCH)
      codes.push(...(await this.codesOf(imported.slice(from, from + PER_BATCH))));
    const lost = codes.filter((code) => code !== 'VALID');
    return lost.length === 0 ? [] : [`${lost.length} of ${imported.length} imported keys do not work: ${lost[0]}`];
  }

  /** The valid key's shape with everything behind its prefix made up; one tag in 56 thousand millions would match. */
  own(): string {
    const prefix = this.secret.slice(0, this.secret.lastIndexOf('_') + 1);
    return prefix + this.text(this.secret.length - prefix.length);
  }

  /** As keys of other systems look, and as nothing does. */
  foreign(): string {
    const { random } = this;
    return random.pick([
      () => `sk-${this.text(32)}`,
      () => this.text(32),
      () => this.text(12),
      () => `ghp_${this.text(36)}`,
      () => `${this.text(8)}-${this.text(4)}-${this.text(4)}-${this.text(4)}-${this.text(12)}`,
      () => `${this.text(20)}.${this.text(20)}`,
      () => `${this.text(10)} ${this.text(10)}`,
      () => `clé-${this.text(20)}`,
      () => `lk-${this.text(60)}`,
      () => `lk_live_${this.text(20)}`,
    ])();
  }

  private text(length: number): string {
    let made = '';
    while (made.length < length) made += ALPHABET[this.random.integer(ALPHABET.length)];
    return made;
  }

  private async codesOf(keys: readonly string[]): Promise<string[]> {
    const body = { items: keys.map((key) => ({ key })) };
    const answer = await this.replica.client.post('/verify/batch', {
      apiKey: this.callerSecret,
      body,
      timeoutMs: 30_000,
    });
    return answer.status === 200
      ? (answer.body.results as { code: string }[]).map(({ code }) => code)
      : [`status ${answer.status}`];
  }
}

async function residentMib({ pid }: Replica): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
