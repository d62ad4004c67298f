/**
 * Every figure of docs/performance.md, on one machine in one run: prints a table and writes `results/bench.json`.
 *
 *   node bench/bench.mjs [--rounds 7] [--seconds 4] [--keys 100000] [--only verify,usage]
 *
 * Servers run on one processor and the loader on the other. Rounds are interleaved: in each, ours and the bare server
 * are loaded in turn, under each release of Node. A ratio is the bare server's processor time a request ÷ ours, of one
 * round; medians are quoted, with the lowest and the highest. A run on a machine that was busy with other work is void.
 */
import { loadavg } from 'node:os';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OtherWork, sentenceOf } from './other-work.mjs';
import { end, freePort, load, loadOf, residentMb, spawnOn, untilReady } from './processes.mjs';
import { median, report, versionOf } from './report.mjs';
import { findRuntimes } from './runtimes.mjs';
import * as betterAuth from './scenarios/better-auth.mjs';
import * as cold from './scenarios/cold.mjs';
import * as create from './scenarios/create.mjs';
import * as direct from './scenarios/direct.mjs';
import * as memory from './scenarios/memory.mjs';
import * as replicas from './scenarios/replicas.mjs';
import * as revocation from './scenarios/revocation.mjs';
import * as statements from './scenarios/statements.mjs';
import * as usage from './scenarios/usage.mjs';
import * as verify from './scenarios/verify.mjs';
import { Latchkey, QUESTION } from './servers/latchkey.mjs';

const SCENARIOS = {
  ...{ verify, direct, statements, replicas, create, cold, usage },
  ...{ 'better-auth': betterAuth, revocation, memory },
};
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '4' },
    keys: { type: 'string', default: '100000' },
    only: { type: 'string', default: Object.keys(SCENARIOS).join(',') },
  },
});
const chosen = values.only.split(',');
const unknown = chosen.filter((name) => !(name in SCENARIOS));
if (unknown.length > 0)
  throw new Error(`no such scenario: ${unknown.join(', ')}; there are ${Object.keys(SCENARIOS).join(', ')}`);

const RUN_UP_SECONDS = 2;
const serverCpu = 0;
const loaderCpu = 1;
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const loads = [loadavg()[0]];
const otherWork = new OtherWork();

const latchkey = await Latchkey.start({ cpu: serverCpu });
const rows = [];
const bares = [];
try {
  const keys = await latchkey.seedKeys(Number(values.keys));
  const unlimited = await latchkey.seedKeys(1000, { minute: null, hour: null, day: null, budgetCents: null });
  // A key may have 10 000 a minute at most: those that Zipf asks for most often are limited by hour and day alone.
  const head = await latchkey.seedKeys(50, { minute: null, hour: 100_000, day: 1_000_000, budgetCents: 1_000_000_000 });
  const fewCalls = await latchkey.seedKeys(5000, { minute: 60, hour: null, day: 1000, budgetCents: 1_000_000_000 });
  const found = findRuntimes();
  const hot = await latchkey.seedKeys(rounds * found.length, {
    minute: null,
    hour: null,
    day: 1_000_000,
    budgetCents: 1_000_000_000,
  });
  const warm = keys.slice(0, 1000);
  const verdictsFile = await writeVerdicts([...keys, ...unlimited, ...head, ...fewCalls, ...hot]);
  const runtimes = [];
  for (const [index, { file, name }] of found.entries()) {
    const ours = index === 0 ? latchkey.replicas[0] : await latchkey.addReplica({ runtime: file });
    const bare = await startBare(file, verdictsFile);
    bares.push(bare);
    runtimes.push({ name, ours, bare });
  }
  const [{ ours, bare }] = runtimes;
  const bench = {
    latchkey,
    keys,
    warm,
    runtimes,
    files: {
      warm: await latchkey.writeBodies(warm),
      unlimited: await latchkey.writeBodies(unlimited),
      few: await latchkey.writeBodies(keys.slice(0, 500)),
      zipf: await latchkey.writeBodies([...head, ...keys.slice(head.length)]),
      fewCalls: await latchkey.writeBodies(fewCalls),
      batches: await latchkey.writeBatches(warm),
      // One key for each round of each release.
      hot: await Promise.all(
        Array.from({ length: rounds }, (_, turn) =>
          Promise.all(found.map((_, index) => latchkey.writeBodies([hot[turn * found.length + index]]))),
        ),
      ),
    },
    question: QUESTION,
    headers: { 'x-api-key': latchkey.serviceKey },
    urls: {
      verify: urlOf(ours, '/api/v1/verify'),
      usage: urlOf(ours, '/api/v1/usage'),
      bareVerify: urlOf(bare, '/verify'),
      bareUsage: urlOf(bare, '/usage'),
    },
    rounds,
    seconds,
    serverCpu,
    loaderCpu,
    compare,
    urlOf,
    requireAnswers,
    residentMb,
    round,
  };
  for (const name of chosen) {
    const scenario = SCENARIOS[name];
    console.error(`${scenario.title} …`);
    try {
      for await (const row of scenario.run(bench)) {
        console.error(`  ${row.figure}: ${row.value} ${row.unit}`);
        rows.push(row);
        loads.push(loadavg()[0]);
      }
    } catch (error) {
      // What was measured before, and what is measured after it, counts all the same.
      console.error(error);
      rows.push({ figure: scenario.title, value: 'failed', unit: '', detail: error.message });
      process.exitCode = 1;
    }
  }

  /**
   * The same load on ours and on the bare server, in turn, under each release of Node: a row for each release. Each is
   * brought up to speed first: while the other ran, what was leased for its keys has gone back. `options` may be those
   * of a round and a release. `goals` holds one goal a release.
   */
  async function compare(figure, path, options, goals) {
    const pairs = runtimes.map(() => []);
    for (let turn = 0; turn < rounds; turn += 1) {
      for (const [index, runtime] of runtimes.entries()) {
        const what = typeof options === 'function' ? options(turn, index) : options;
        const a = await measure(runtime.ours, `/api/v1${path}`, { headers: bench.headers, ...what });
        const b = await measure(runtime.bare, path, what);
        requireAnswers(figure, a);
        pairs[index].push({ a, b, ratio: b.microsecondsEach / a.microsecondsEach });
      }
    }
    return runtimes.map(({ name }, index) => rowOf(`${figure}, ${name}`, pairs[index], goals?.[index]));
  }

  async function measure(server, path, options) {
    const all = { url: urlOf(server, path), ...options };
    await load(loaderCpu, { ...all, seconds: RUN_UP_SECONDS });
    return loadOf(server.child.pid, loaderCpu, { ...all, seconds });
  }
} finally {
  for (const { child } of bares) await end(child);
  await latchkey.stop();
}
const busiest = Math.max(...loads);
const others = otherWork.end();
await report('bench', rows, {
  load: round(busiest),
  others,
  isVoid: others.isVoid,
  peers: { fastify: versionOf('fastify'), 'better-auth': versionOf('better-auth') },
});
console.error(sentenceOf(others, busiest));
if (others.isVoid) process.exitCode = 1;

function rowOf(figure, pairs, reach) {
  const ratios = pairs.map(({ ratio }) => ratio).sort((one, other) => one - other);
  const of = (pick) => median(pairs.map(pick));
  const rate = `${Math.round(of(({ a }) => a.requestsPerSecond))}/s of ${Math.round(of(({ b }) => b.requestsPerSecond))}/s`;
  const each = `${of(({ a }) => a.microsecondsEach).toFixed(1)} µs of ${of(({ b }) => b.microsecondsEach).toFixed(1)} µs`;
  return {
    figure,
    value: round(median(ratios)),
    unit: '× bare Fastify',
    ...(reach === undefined ? {} : { reach: `≥ ${reach}` }),
    detail: `${round(ratios[0])} to ${round(ratios.at(-1))}; ${each}; ${rate}`,
  };
}

/** A run that measured refusals or errors is no run. */
function requireAnswers(figure, run) {
  const looked = Object.values(run.codes).reduce((sum, count) => sum + count, 0);
  const good = (run.codes.VALID ?? 0) + (run.codes['200'] ?? 0);
  if (run.errors > 0 || run.non2xx > 0 || looked === 0 || good < looked)
    throw new Error(`${figure}: not all answers were good: ${JSON.stringify(run)}`);
}

async function writeVerdicts(keys) {
  const sample = await latchkey.call(
    '/verify',
    { key: keys[0].secret, ...QUESTION, dryRun: true },
    { apiKey: latchkey.serviceKey },
  );
  const file = join(latchkey.dataDir, 'verdicts');
  await writeFile(file, keys.map(({ id, secret }) => JSON.stringify([secret, { ...sample, keyId: id }])).join('\n'));
  return file;
}

async function startBare(runtime, verdictsFile) {
  const port = await freePort();
  const child = spawnOn(serverCpu, runtime, ['bench/servers/bare.mjs'], {
    env: { PATH: process.env.PATH, PORT: String(port), VERDICTS_FILE: verdictsFile },
  });
  await untilReady(child, `http://127.0.0.1:${port}/ready`);
  return { port, child };
}

function urlOf({ port }, path) {
  return `http://127.0.0.1:${port}${path}`;
}

function round(value) {
  return Math.round(value * 1000) / 1000;
}
