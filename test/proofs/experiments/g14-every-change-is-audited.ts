import { setTimeout as sleep } from 'node:timers/promises';
import { CHANGE_KINDS } from '../changes/kinds.js';
import { Performer } from '../changes/performer.js';
import { differences } from '../changes/story.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor, floorsOfKinds } from '../harness/floors.js';
import type { Random } from '../harness/random.js';

const KILLS = { ci: 8, full: 100 } as const;
/** As many as a slow machine has time for. */
const LEAST_KILLS = 3;
/** Of each kind, beside kills. */
const LEAST = { ci: 3, full: 30 } as const;
const WORKERS = 6;
/** Between two changes of a worker while a server starts, which would wait for the processors most of the time. */
const PAUSE_AT_START_MS = 100;
/** For kinds that come late, on a machine that is slow. */
const MOST_MS = { ci: 240_000, full: 900_000 } as const;
const MOST_VIOLATIONS = 20;

/**
 * Changes of every kind on three replicas that are killed meanwhile; then each kind once more, first while PostgreSQL
 * refuses the entry. In the end what was acknowledged, the trail and the tables must tell the same story.
 */
export const g14: Experiment = {
  id: 'G14',
  guarantee:
    'every change of every kind has exactly one audit entry, over kills of servers; a change that cannot be recorded is not made',
  inCi: true,
  fault: { what: 'a change commits before its entries are written', patch: 'commits-before-entries.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(3, { TRUSTED_PROXIES: '127.0.0.1/32' }, fault);
    try {
      const performer = await Performer.prepare(cluster, random);
      const kills = await besideKills(cluster, performer, random, KILLS[size], LEAST[size], MOST_MS[size]);
      const beside = performer.counts();
      log(
        `${performer.acknowledged.length} changes acknowledged over ${kills} kills, ${performer.unanswered} without an answer`,
      );
      const refused = await performer.workRefused();
      const violations = [
        ...performer.violations,
        ...(await differences(cluster, performer.acknowledged, performer.refusedIds)),
      ];
      return {
        violations,
        floors: [
          floor('kills of servers', kills, LEAST_KILLS),
          floor('changes that a kill met on their way', performer.unanswered, 1),
          ...floorsOfKinds('acknowledged beside kills:', CHANGE_KINDS, beside, LEAST[size]),
          ...floorsOfKinds('refused without an entry:', CHANGE_KINDS, refused, 1),
        ],
        figures: {
          kinds: CHANGE_KINDS.length,
          kills,
          acknowledged: performer.acknowledged.length,
          unanswered: performer.unanswered,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

/** Until so many kills were made and each kind was acknowledged so often. Gives the kills. */
async function besideKills(
  cluster: ProofCluster,
  performer: Performer,
  random: Random,
  wanted: number,
  least: number,
  mostMs: number,
): Promise<number> {
  const until = performance.now() + mostMs;
  let isOver = false;
  let isStarting = false;
  const pause = async () => {
    if (isStarting) await sleep(PAUSE_AT_START_MS);
  };
  const workers = Array.from({ length: WORKERS }, (_, index) => performer.work(index, () => isOver, pause));
  const isShown = () => CHANGE_KINDS.every((kind) => (performer.counts().get(kind) ?? 0) >= least);
  let kills = 0;
  while ((kills < wanted || !isShown()) && performance.now() < until && performer.violations.length < MOST_VIOLATIONS) {
    await sleep(300 + random.integer(700));
    const replica = random.pick(cluster.replicas);
    await replica.end('SIGKILL');
    isStarting = true;
    await replica.start();
    isStarting = false;
    kills += 1;
  }
  isOver = true;
  await Promise.all(workers);
  return kills;
}
