import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor, floorsOfKinds } from '../harness/floors.js';
import type { Random } from '../harness/random.js';
import { Spenders } from '../harness/spenders.js';

const SIZES = { ci: { rounds: 1, roundMs: 35_000 }, full: { rounds: 200, roundMs: 30_000 } } as const;
/** A round takes so many times as long at most. */
const MOST_ROUNDS = 10;
const CLIENTS = 64;
const MICRO_CENTS = 1_000_000;
/** Enough for some seconds of traffic, so that most faults meet a budget that is nearly used up. */
const LIMIT = 300 * MICRO_CENTS;
/** By turns, so that each comes in a short run too. */
const FAULTS = [
  'a replica is killed',
  'a replica stands still',
  'PostgreSQL is killed',
  'a replica is killed',
  'the network is silent',
] as const;
type BrokenBy = (typeof FAULTS)[number];

/**
 * G01's spenders, while replicas are killed and paused and PostgreSQL crashes and hangs; reports and releases are sent
 * twice, at once and in any order. All reports come within their reservations' time, so there is no excuse for a
 * single micro-cent beyond the limit. What nobody knows the outcome of stays held: that is no overspending.
 */
export const g02: Experiment = {
  id: 'G02',
  guarantee:
    'no overspend and no acknowledged report lost by 64 clients under kills, pauses, crashes of PostgreSQL, repeated reports and releases; the doctor is content',
  inCi: true,
  fault: { what: 'what a call draws from a lease stays in it', patch: 'draws-without-test.mjs' },
  run: async ({ size, random, log, fault }) => {
    const { rounds, roundMs } = SIZES[size];
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const violations: string[] = [];
      const broken = new Map<BrokenBy, number>();
      const figures = { rounds, faults: 0, calls: 0, admitted: 0, refused: 0, undecided: 0, spentMicroCents: 0 };
      for (let round = 0; round < rounds && violations.length === 0; round += 1) {
        const key = await cluster.createKey({ budgetLimitCents: LIMIT / MICRO_CENTS });
        const spenders = new Spenders(cluster, key, caller.secret, LIMIT, random, {
          clients: CLIENTS,
          thinkMs: 400,
          repeats: 0.2,
          withFaults: true,
        });
        const spending = spenders.spend(Number.POSITIVE_INFINITY, MOST_ROUNDS * roundMs);
        const until = performance.now() + roundMs;
        // On a slow machine a start takes so long that not every kind would come.
        while (performance.now() < until || broken.size < new Set(FAULTS).size) {
          await sleep(300 + random.integer(1_200));
          const kind = FAULTS[figures.faults % FAULTS.length]!;
          await breakSomething(cluster, random, kind);
          broken.set(kind, (broken.get(kind) ?? 0) + 1);
          figures.faults += 1;
        }
        spenders.end();
        await spending;
        const [account] = await cluster.database.query<{ spent: string; overdraft: string; leased: string }>(
          `SELECT spent_micro_cents::text AS spent, overdraft_micro_cents::text AS overdraft, leased_micro_cents::text AS leased
             FROM budget_account WHERE key_id = $1 AND period = 'total'`,
          [key.id],
        );
        const spent = Number(account!.spent);
        violations.push(...spenders.violations);
        if (spent > LIMIT) violations.push(`overspent: ${spent} of ${LIMIT} µ¢`);
        if (spent !== spenders.acknowledged)
          violations.push(`${spenders.acknowledged} µ¢ were acknowledged, ${spent} are in the account`);
        if (spenders.late > 0) violations.push(`${spenders.late} reports in time were called late`);
        if (account!.overdraft !== '0') violations.push(`an overdraft of ${account!.overdraft} µ¢`);
        figures.calls += spenders.calls;
        figures.admitted += spenders.admitted;
        figures.refused += spenders.refused;
        figures.undecided += spenders.undecided;
        figures.spentMicroCents += spent;
        log(
          `round ${round}: ${spenders.calls} calls, ${spenders.admitted} admitted, ${spenders.refused} refused, ${spenders.undecided} undecided, ${spent} of ${LIMIT} µ¢ spent`,
        );
        violations.push(...(await bookDifferences(cluster)));
      }
      const { exitCode, report } = await cluster.doctor();
      if (exitCode !== 0) violations.push(`the doctor ended with ${exitCode}: ${report}`);
      const floors = [
        floor('calls admitted', figures.admitted, CLIENTS * rounds),
        floor('calls refused', figures.refused, rounds),
        floor('micro-cents acknowledged', figures.spentMicroCents, (LIMIT / 10) * rounds),
        ...floorsOfKinds('how often', [...new Set(FAULTS)], broken, rounds),
      ] as const;
      return { violations, floors, figures };
    } finally {
      await cluster.stop();
    }
  },
};

/** One thing that breaks, until it is whole again. */
async function breakSomething(cluster: ProofCluster, random: Random, kind: BrokenBy): Promise<void> {
  const replica = random.pick(cluster.replicas);
  if (kind === 'a replica is killed') {
    await replica.end('SIGKILL');
    await sleep(random.integer(500));
    await replica.start();
  } else if (kind === 'a replica stands still') {
    replica.pause();
    await sleep(500 + random.integer(3_000));
    replica.resume();
  } else if (kind === 'PostgreSQL is killed') {
    cluster.database.kill();
    await sleep(random.integer(1_500));
    await cluster.database.restart();
  } else {
    await cluster.database.pause();
    await sleep(500 + random.integer(2_500));
    cluster.database.resume();
  }
}
