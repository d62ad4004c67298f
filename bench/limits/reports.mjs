/**
 * Reports through whole replicas, and acquires beside them, with no limit and with one that all of them are charged to.
 * The reports reserve nothing, so that each is charged to what binds its key when it is received. The calls beside them
 * reserve for two minutes: each asks PostgreSQL for leases of its own.
 */
import { load, processorTimeOfChildren } from '../processes.mjs';
import { median } from '../report.mjs';
import { giveToOwners, loadAll, makeLimit, rangeOf, removeLimits, round } from './product.mjs';

export const replicas = [1, 3];

const KEYS = 1_000;
const OWNERS = 100;
const RUN_UP_SECONDS = 1;
const ACQUIRES_PER_SECOND = 100;
const MUCH_CENTS = 1_000_000_000;

const VARIANTS = [
  { name: 'one limit of the installation, cents', draft: { amountCents: MUCH_CENTS } },
  { name: 'one limit of the installation, tokens', draft: { unit: 'tokens', amount: 1_000_000_000_000 } },
  { name: 'one limit of each owner, cents', draft: { amountCents: MUCH_CENTS, each: 'owner' } },
];
const SHAPES = [
  { name: 'batches of 100', perRequest: 100, connections: 8 },
  { name: 'single events', perRequest: 1, connections: 64 },
];

export async function* run(bench, replicas) {
  const keys = await bench.latchkey.seedKeys(KEYS);
  await giveToOwners(bench, keys, OWNERS);
  const reserving = await bench.latchkey.seedKeys(20);
  const bodiesFile = await bench.latchkey.writeBodies(reserving, { reserveCents: 0.01, reservationTtlSeconds: 120 });
  const setting = { bench, keyIds: keys.map(({ id }) => id), bodiesFile };
  for (const shape of SHAPES) yield* await compare(setting, shape, replicas);
}

async function compare(setting, shape, replicas) {
  const { bench } = setting;
  const rounds = VARIANTS.map(() => []);
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const without = await measure(setting, shape);
    for (const [index, { draft }] of VARIANTS.entries()) {
      await makeLimit(bench, draft);
      rounds[index].push({ a: await measure(setting, shape), b: without });
      await removeLimits(bench);
    }
  }
  const beside = `${shape.name}, ${replicas} replica${replicas === 1 ? '' : 's'}`;
  return VARIANTS.flatMap(({ name }, index) => rowsOf(`${name}: ${beside}`, rounds[index]));
}

async function measure({ bench, keyIds, bodiesFile }, { perRequest, connections }) {
  const { latchkey, loaderCpu, seconds } = bench;
  const events = { events: { keyIds, perRequest }, connections };
  await loadAll(bench, '/usage', { ...events, seconds: RUN_UP_SECONDS });
  await latchkey.query('SELECT pg_stat_statements_reset(), pg_stat_reset()');
  const before = await processorTimeOfChildren(latchkey.postgres.pid);
  const [reports, acquires] = await Promise.all([
    loadAll(bench, '/usage', { ...events, seconds }),
    load(loaderCpu, {
      url: `http://127.0.0.1:${latchkey.port}/api/v1/verify`,
      headers: { 'x-api-key': latchkey.serviceKey },
      bodiesFile,
      connections: 32,
      rate: ACQUIRES_PER_SECOND,
      seconds,
    }),
  ]);
  const refused = Object.keys(acquires.codes).filter((code) => code !== 'VALID' && code !== 'UNAVAILABLE');
  if (refused.length > 0) throw new Error(`Calls that reserve were refused with ${refused.join(', ')}.`);
  const booked = reports.requests * perRequest;
  const processor = (await processorTimeOfChildren(latchkey.postgres.pid)) - before;
  const [{ ms }] = await latchkey.query(
    `SELECT coalesce(sum(total_exec_time), 0) AS ms FROM pg_stat_statements WHERE query LIKE '%usage_book%'`,
  );
  const [{ part }] = await latchkey.query(
    `SELECT sum(total_time) FILTER (WHERE funcname = 'limit_accounts_charge')
              / nullif(sum(total_time) FILTER (WHERE funcname LIKE 'usage_book%'), 0) AS part FROM pg_stat_user_functions`,
  );
  return {
    eventsPerSecond: reports.requestsPerSecond * perRequest,
    acquireP50Ms: acquires.p50Ms,
    acquireP99Ms: acquires.p99Ms,
    unanswered: acquires.non2xx + acquires.errors + reports.unanswered,
    lockedPart: Number(part ?? 0),
    processorEach: processor / booked,
    statementEach: (ms * 1_000) / booked,
  };
}

function rowsOf(figure, pairs) {
  const row = (what, unit, pick, digits, reach) => {
    const ratios = pairs.map(({ a, b }) => pick(a) / pick(b));
    const [with_, without] = [median(pairs.map(({ a }) => pick(a))), median(pairs.map(({ b }) => pick(b)))];
    return {
      figure: `${figure}, ${what}`,
      value: round(median(ratios)),
      unit: '× without',
      ...(reach === undefined ? {} : { reach }),
      detail: `${rangeOf(ratios)}; ${with_.toFixed(digits)} of ${without.toFixed(digits)} ${unit}`,
    };
  };
  return [
    row('events', 'events/s', ({ eventsPerSecond }) => eventsPerSecond, 0, '≥ 0.8'),
    row('acquire p50', 'ms', ({ acquireP50Ms }) => acquireP50Ms, 1),
    row('acquire p99', 'ms', ({ acquireP99Ms }) => acquireP99Ms, 1, '≤ 2'),
    {
      figure: `${figure}, reports and calls that got no answer in time`,
      value: pairs.reduce((sum, { a }) => sum + a.unanswered, 0),
      unit: 'calls',
      detail: `${pairs.reduce((sum, { b }) => sum + b.unanswered, 0)} without`,
    },
    {
      figure: `${figure}, part of the booking statement from the sums of limits on, its wait for the account included`,
      value: round(median(pairs.map(({ a }) => a.lockedPart * 100))),
      unit: '%',
      detail: rangeOf(pairs.map(({ a }) => a.lockedPart * 100)),
    },
    row('PostgreSQL, processor time an event', 'µs', ({ processorEach }) => processorEach, 1),
    row('the booking statement with its waits, an event', 'µs', ({ statementEach }) => statementEach, 1),
  ];
}
