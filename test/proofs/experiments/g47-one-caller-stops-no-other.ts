import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { quantile } from '../harness/quantile.js';

/** Of each phase, quiet and flooded by turns. */
const PHASES = { ci: { count: 3, seconds: 4 }, full: { count: 20, seconds: 30 } } as const;
const CALLERS = 4;
const EVENTS_TO_END = 200;
const PAUSE_MS = 30;
const FLOOD_CONNECTIONS = 24;
/** The highest ceiling there is, so that a few requests bring a sum to its end. */
const MOST_CENTS = 1_000_000_000;
/** Sums end here. */
const END = '9000000000000000000';
const MOST_TIMES_QUIET = 2;
/** Order, not speed: the flood shares the processors with the server. */
const LEAST_BOUND_MS = 500;
const SUCCEED = 0.99;
/** Part of all reports in floods, whatever stood still meanwhile. */
const MOST_FAILURES = 0.1;
/** Part of the flood's requests, where a connection breaks. */
const MOST_UNANSWERED = 0.02;
/**
 * Reports of the phase in the middle, and answers of the flood, decided and all of them, without which nothing was
 * shown. Where each report takes as long as the least bound, there are thirty.
 */
const FLOOR = { reports: 25, decided: 10, answers: 40 } as const;
/** Of the server about events, in the whole run. Without a bound they are one for each event that is refused. */
const MOST_LINES = 3;

interface Phase {
  readonly tookMs: number[];
  readonly failures: string[];
}

interface Flood {
  readonly accepted: number;
  readonly refused: number;
  readonly throttled: number;
  readonly failed: number;
  readonly unanswered: number;
}

/**
 * One service key reports what it should not, a thousand events a request over many connections: amounts that bring a
 * limited key to the end of what can be summed and go on, ids with other contents, one id with a thousand contents,
 * unknown keys, one reservation a thousand times, and wrong fields. Four other service keys of the same owner report a
 * few events each meanwhile. There is no limit of an installation yet: what is shared is the replica's writer, its one
 * thread and PostgreSQL.
 */
export const g47: Experiment = {
  id: 'G47',
  guarantee:
    'one caller cannot stop the metering of another: 99 % of the reports of others succeed within twice their quiet p99; sums that reach their end refuse at verify, never at settle',
  inCi: true,
  fault: { what: 'all callers share one queue, without turns and shares', patch: 'shares-nothing.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(1, { MAX_EVENT_COST_CENTS: String(MOST_CENTS) }, fault);
    let flood: Worker | undefined;
    try {
      const [attacker, ...callers] = await Promise.all(
        Array.from({ length: CALLERS + 1 }, () => cluster.createKey({ roles: ['gateway'] })),
      );
      const { client } = cluster.replica(0);
      const poisoned = await cluster.createKey({ budgetLimitCents: 100 });
      const reservationId = await reserved(cluster, attacker!.secret, poisoned.secret);
      await bringToEnd(cluster, attacker!.secret, poisoned.id);
      flood = new Worker(new URL('../harness/report-flood.mjs', import.meta.url), {
        execArgv: [],
        workerData: {
          port: Number(new URL(cluster.replica(0).url).port),
          apiKey: attacker!.secret,
          connections: FLOOD_CONNECTIONS,
          kinds: [
            { kind: 'dear', keyId: poisoned.id, costCents: MOST_CENTS },
            { kind: 'conflicts', keyId: poisoned.id },
            { kind: 'twins' },
            { kind: 'strangers' },
            { kind: 'settles', reservationId },
            { kind: 'invalid', keyId: poisoned.id },
          ],
        },
      });
      const keys = await Promise.all(callers.map(() => cluster.createKey()));
      let acknowledged = 0;
      let number = 0;
      const phase = async (): Promise<Phase> => {
        const tookMs: number[] = [];
        const failures: string[] = [];
        const endMs = performance.now() + PHASES[size].seconds * 1000;
        const report = async (index: number): Promise<void> => {
          while (performance.now() < endMs) {
            const events = Array.from({ length: 1 + random.integer(3) }, () => ({
              id: `e-${number++}`,
              apiKeyId: keys[index]!.id,
              costCents: random.integer(1000) / 1000,
            }));
            const start = performance.now();
            const answer = await client
              .post('/usage', { apiKey: callers[index]!.secret, body: { events } })
              .catch((error: Error) => ({ status: error.message }));
            if (answer.status === 200) acknowledged += events.length;
            else failures.push(String(answer.status));
            tookMs.push(answer.status === 200 ? performance.now() - start : Infinity);
            await sleep(PAUSE_MS);
          }
        };
        await Promise.all(callers.map((_, index) => report(index)));
        return { tookMs, failures };
      };

      const [quiet, flooded]: [Phase[], Phase[]] = [[], []];
      let counts: Flood = { accepted: 0, refused: 0, throttled: 0, failed: 0, unanswered: 0 };
      await phase();
      for (let round = 0; round < PHASES[size].count; round += 1) {
        quiet.push(await phase());
        flood.postMessage('go');
        flooded.push(await phase());
        flood.postMessage('pause');
        [counts] = (await once(flood, 'message')) as [Flood];
      }

      const violations: string[] = [];
      const quietP99 = quantile(
        quiet.map(({ tookMs }) => quantile(tookMs, 0.99)),
        0.5,
      );
      const floodP99 = quantile(
        flooded.map(({ tookMs }) => quantile(tookMs, 0.99)),
        0.5,
      );
      const boundMs = Math.max(MOST_TIMES_QUIET * quietP99, LEAST_BOUND_MS);
      const { late, of } = lateReports(flooded, boundMs);
      const failures = flooded.flatMap((one) => one.failures);
      if (areTooMany(late, of, flooded.length))
        violations.push(
          `${late} of ${of} reports of others took longer than ${boundMs} ms; p99 ${quietP99} ms when quiet`,
        );
      const reports = flooded.reduce((sum, { tookMs }) => sum + tookMs.length, 0);
      if (failures.length > MOST_FAILURES * reports)
        violations.push(
          `${failures.length} of ${reports} reports of others failed: ${[...new Set(failures)].join(', ')}`,
        );
      const quietFailures = lateReports(quiet, Number.MAX_VALUE);
      if (areTooMany(quietFailures.late, quietFailures.of, quiet.length))
        violations.push('reports failed without a flood');
      const decided = counts.accepted + counts.refused;
      const answered = decided + counts.throttled + counts.failed;
      if (counts.failed > 0) violations.push(`${counts.failed} requests of the flood got another answer`);
      if (counts.unanswered > MOST_UNANSWERED * answered)
        violations.push(`${counts.unanswered} requests of the flood got no answer`);
      violations.push(...(await endProblems(cluster, attacker!.secret, poisoned)));

      const [kept] = await cluster.database.query<{ count: number }>(
        'SELECT count(*)::int AS count FROM usage_event WHERE key_id = ANY($1)',
        [keys.map(({ id }) => id)],
      );
      if (kept!.count < acknowledged) violations.push(`${acknowledged} events acknowledged, ${kept!.count} kept`);
      const lines = cluster
        .replica(0)
        .output.join('')
        .split('\n')
        .filter((line) => line.includes('usage event'));
      if (lines.length > MOST_LINES)
        violations.push(`${lines.length} lines of events in the log: ${lines.at(-1)!.slice(0, 200)}`);
      violations.push(...(await bookDifferences(cluster)));
      if (violations.length > 0) violations.push(...(await cluster.reasons()));
      log(`p99 ${quietP99} ms quiet, ${floodP99} ms in the flood; ${JSON.stringify(counts)}; ${lines.length} lines`);
      return {
        violations,
        floors: [
          floor('reports of a quiet phase, in the median', reportsOf(quiet), FLOOR.reports),
          floor('reports of a phase with a flood, in the median', reportsOf(flooded), FLOOR.reports),
          floor('requests of the flood decided', decided, FLOOR.decided),
          floor('requests of the flood answered', decided + counts.throttled, FLOOR.answers),
        ],
        figures: {
          quietP99Ms: quietP99,
          floodP99Ms: floodP99,
          late,
          reports,
          failures: failures.length,
          floodAccepted: counts.accepted,
          floodRefused: counts.refused,
          floodThrottled: counts.throttled,
          logLines: lines.length,
        },
      };
    } finally {
      await flood?.terminate();
      await cluster.stop();
    }
  },
};

/**
 * Reports that failed or took longer, of all phases but the worst: a machine that stands still for seconds makes what
 * is under way late.
 */
function lateReports(phases: readonly Phase[], boundMs: number): { late: number; of: number } {
  const counts = phases.map(({ tookMs }) => ({ late: tookMs.filter((ms) => ms > boundMs).length, of: tookMs.length }));
  const [, ...others] = counts.sort((left, right) => right.late / right.of - left.late / left.of);
  return others.reduce((sum, { late, of }) => ({ late: sum.late + late, of: sum.of + of }), { late: 0, of: 0 });
}

/** Where a slow machine makes few reports, one of a phase is more than a hundredth. */
function areTooMany(late: number, of: number, phases: number): boolean {
  return late > Math.max((1 - SUCCEED) * of, phases - 1);
}

function reportsOf(phases: readonly Phase[]): number {
  return quantile(
    phases.map(({ tookMs }) => tookMs.length),
    0.5,
  );
}

/** As the issue met it: amounts of the greatest ceiling until their sum no longer fits. */
async function bringToEnd(cluster: ProofCluster, apiKey: string, apiKeyId: string): Promise<void> {
  const reports = Math.ceil(Number(BigInt(END) / (BigInt(MOST_CENTS) * 1_000_000n)) / EVENTS_TO_END) + 1;
  for (let report = 0; report < reports; report += 1) {
    const events = Array.from({ length: EVENTS_TO_END }, (_, index) => ({
      id: `to-end-${report}-${index}`,
      apiKeyId,
      costCents: MOST_CENTS,
    }));
    const { status, body } = await patiently(() =>
      cluster.replica(0).client.post('/usage', { apiKey, body: { events } }),
    );
    if (status !== 200)
      throw new Error(`a report on the way to the end was answered ${status}: ${JSON.stringify(body)}`);
  }
}

/** A reservation of the attacker's. */
async function reserved(cluster: ProofCluster, apiKey: string, key: string): Promise<string> {
  const body = { key, reserveCents: 1, reservationTtlSeconds: 1800 };
  const answer = await patiently(() => cluster.replica(0).client.post('/verify', { apiKey, body }));
  if (typeof answer.body.reservation?.id !== 'string')
    throw new Error(`a verify answered ${JSON.stringify(answer.body)}`);
  return answer.body.reservation.id as string;
}

/** The poisoned key is at its end: a verify refuses it, and what is reported of it is accepted all the same. */
async function endProblems(
  cluster: ProofCluster,
  apiKey: string,
  { id, secret }: { id: string; secret: string },
): Promise<string[]> {
  const problems: string[] = [];
  const { client } = cluster.replica(0);
  const [sums] = await cluster.database.query<{ spent: string; total: string }>(
    `SELECT a.spent_micro_cents::text AS spent, saturating_add(t.cost_micro_cents, saturated(coalesce((
              SELECT sum(p.cost_micro_cents) FROM usage_pending_rows() p WHERE p.key_id = a.key_id), 0)))::text AS total FROM budget_account a
       JOIN key_totals t USING (key_id) WHERE a.key_id = $1 AND a.period = 'total'`,
    [id],
  );
  if (sums!.spent !== END || sums!.total !== END) problems.push(`the key is not at its end: ${JSON.stringify(sums)}`);
  const verdict = await patiently(() => client.post('/verify', { apiKey, body: { key: secret } }));
  if (verdict.body.code !== 'BUDGET_EXCEEDED') problems.push(`a key at its end: ${JSON.stringify(verdict.body)}`);
  const events = [{ id: 'one-more', apiKeyId: id, costCents: MOST_CENTS }];
  const more = await patiently(() => client.post('/usage', { apiKey, body: { events } }));
  if (more.body.accepted !== 1) problems.push(`a report of a key at its end: ${JSON.stringify(more.body)}`);
  const { report } = await cluster.doctor();
  if (!report.includes(`totals of key ${id}`))
    problems.push('the doctor does not name the key whose totals have reached their end');
  return problems;
}
