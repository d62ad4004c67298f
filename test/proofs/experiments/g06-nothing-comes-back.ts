import { setTimeout as sleep } from 'node:timers/promises';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';

const LOOPS = { ci: 300, full: 10_000 } as const;
const KEYS = 12;
/** Looks at each replica after a change has been waited for; a load that was under way then has arrived by the last. */
const LOOKS = 4;
const BETWEEN_LOOKS_MS = 110;
/** See faults/slow-loads.mjs. */
const LONGEST_LOAD_MS = 400;

/**
 * Keys are switched off and on again as fast as it goes, while every replica is asked for them without a pause: each
 * change evicts the key, so that a load of it is always on its way, and made slow, when the next change comes. Once
 * `deactivate?wait=true` has been answered nobody may accept the key, however late a load arrives. 10 000 schedules of
 * the same races, one by one, are in test/simulation.
 */
export const g06: Experiment = {
  id: 'G06',
  guarantee: 'a revoked key is never resurrected by a cache race: 0 in 10 000 live loops (CI 300)',
  inCi: true,
  fault: { what: 'a record is remembered whatever has changed since it was read', patch: 'takes-any-load.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(3, {}, fault, ['slow-loads.mjs']);
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      // Of an owner each: changes of one owner's keys wait for each other.
      const keys = await Promise.all(
        Array.from({ length: KEYS }, async (_, index) =>
          cluster.createKey({ ownerId: await newOwner(cluster, index) }),
        ),
      );
      const race = new Race(cluster, caller.secret, random);
      await Promise.all(keys.map((key) => race.run(key, LOOPS[size])));
      log(
        `${race.loops} loops, ${race.raced} verifies beside them, ${race.accepted} of them accepted, ${race.resurrected} after the change`,
      );
      const floors = [
        floor('changes made', race.loops, LOOPS[size]),
        floor('verifies accepted beside the changes', race.accepted, LOOPS[size] / 30),
        floor('verifies refused after the change', race.refused, LOOPS[size] * LOOKS),
      ] as const;
      return {
        violations: race.violations,
        floors,
        figures: {
          loops: race.loops,
          raced: race.raced,
          acceptedBeside: race.accepted,
          resurrected: race.resurrected,
          slowestChangeMs: Math.round(race.slowestChangeMs),
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

async function newOwner(cluster: ProofCluster, index: number): Promise<string> {
  const body = { email: `owner-${index}@latchkey.test`, name: `Owner ${index}`, password: `the password of ${index}` };
  const answer = await patiently(() => cluster.replica(0).client.post('/users', { token: cluster.adminToken, body }));
  if (answer.status !== 201) throw new Error(`a create answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body.id as string;
}

class Race {
  readonly violations: string[] = [];
  loops = 0;
  raced = 0;
  accepted = 0;
  refused = 0;
  resurrected = 0;
  slowestChangeMs = 0;

  constructor(
    private readonly cluster: ProofCluster,
    private readonly callerSecret: string,
    private readonly random: Random,
  ) {}

  async run(key: { readonly id: string; readonly secret: string }, most: number): Promise<void> {
    let racing = true;
    const verifiers = [0, 1, 2].map(async (replica) => {
      while (racing) {
        this.raced += 1;
        if (await this.isAccepted(replica, key.secret)) this.accepted += 1;
        await sleep(40 + this.random.integer(40));
      }
    });
    while (this.loops < most && this.violations.length < 20) {
      this.loops += 1;
      const loop = this.loops;
      await this.change(key.id, 'deactivate?wait=true');
      for (let look = 0; look < LOOKS; look += 1) {
        const accepted = await Promise.all([0, 1, 2].map((replica) => this.isAccepted(replica, key.secret)));
        const where = accepted.flatMap((isAccepted, replica) => (isAccepted ? [replica] : []));
        this.refused += accepted.length - where.length;
        if (where.length > 0) {
          this.resurrected += 1;
          this.violations.push(
            `loop ${loop}, look ${look}: accepted on replica ${where.join(', ')} after it was switched off everywhere`,
          );
        }
        await sleep(BETWEEN_LOOKS_MS);
      }
      await this.change(key.id, 'activate');
      // At once, so that the loads this evicts for are on their way when the next change comes; or while they arrive.
      await sleep(this.random.integer(2) * this.random.integer(LONGEST_LOAD_MS));
    }
    racing = false;
    await Promise.all(verifiers);
  }

  private async change(id: string, verb: string): Promise<void> {
    const { client, name } = this.random.pick(this.cluster.replicas);
    const began = performance.now();
    try {
      const { status, body } = await patiently(() =>
        client.post(`/api-keys/${id}/${verb}`, { token: this.cluster.adminToken, timeoutMs: 40_000 }),
      );
      if (status >= 300) this.violations.push(`${verb} answered ${status}: ${JSON.stringify(body)}`);
    } catch (error) {
      this.violations.push(`${verb} on ${name} had no answer: ${String(error)}`);
    }
    this.slowestChangeMs = Math.max(this.slowestChangeMs, performance.now() - began);
  }

  private async isAccepted(replica: number, secret: string): Promise<boolean> {
    try {
      const { body } = await this.cluster
        .replica(replica)
        .client.post('/verify', { apiKey: this.callerSecret, body: { key: secret } });
      return body.valid === true;
    } catch (error) {
      this.violations.push(`a verify on replica ${replica} had no answer: ${String(error)}`);
      return false;
    }
  }
}
