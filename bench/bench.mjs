/**
 * Every figure of docs/performance.md, on one machine in one run: prints a table and writes `results/bench.json`.
 * Servers run on one processor and the loader on the other; rounds are interleaved, ratios are of one round each, and
 * medians are quoted.
 *
 *   node bench/bench.mjs [--rounds 3] [--seconds 8] [--keys 100000] [--only verify,usage]
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { end, freePort, load, residentMb, spawnOn, untilReady } from './processes.mjs';
import { median, report } from './report.mjs';
import * as betterAuth from './scenarios/better-auth.mjs';
import * as cold from './scenarios/cold.mjs';
import * as memory from './scenarios/memory.mjs';
import * as revocation from './scenarios/revocation.mjs';
import * as statements from './scenarios/statements.mjs';
import * as usage from './scenarios/usage.mjs';
import * as verify from './scenarios/verify.mjs';
import { Latchkey, QUESTION } from './servers/latchkey.mjs';

const SCENARIOS = { verify, statements, cold, usage, 'better-auth': betterAuth, revocation, memory };
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '8' },
    keys: { type: 'string', default: '100000' },
    only: { type: 'string', default: Object.keys(SCENARIOS).join(',') },
  },
});
const chosen = values.only.split(',');
const unknown = chosen.filter((name) => !(name in SCENARIOS));
if (unknown.length > 0) throw new Error(`no such scenario: ${unknown.join(', ')}; there are ${Object.keys(SCENARIOS).join(', ')}`);

const RUN_UP_SECONDS = 3;
const serverCpu = 0;
const loaderCpu = 1;
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);

const latchkey = await Latchkey.start({ cpu: serverCpu });
const rows = [];
let bare;
try {
  const keys = await latchkey.seedKeys(Number(values.keys));
  // A key may have 10 000 a minute at most: those that Zipf asks for most often are limited by hour and day alone.
  const head = await latchkey.seedKeys(50, { minute: null, hour: 100_000, day: 1_000_000, budgetCents: 1_000_000_000 });
  const [hot] = await latchkey.seedKeys(1, { minute: null, hour: null, day: 1_000_000, budgetCents: 1_000_000_000 });
  const warm = keys.slice(0, 1000);
  bare = await startBare([...keys, ...head, hot]);
  const at = (port, path) => `http://127.0.0.1:${port}${path}`;
  const bench = {
    latchkey,
    keys,
    warm,
    files: {
      warm: await latchkey.writeBodies(warm),
      few: await latchkey.writeBodies(keys.slice(0, 500)),
      zipf: await latchkey.writeBodies([...head, ...keys.slice(head.length)]),
      hot: await latchkey.writeBodies([hot]),
    },
    question: QUESTION,
    headers: { 'x-api-key': latchkey.serviceKey },
    urls: {
      verify: at(latchkey.port, '/api/v1/verify'),
      usage: at(latchkey.port, '/api/v1/usage'),
      bareVerify: at(bare.port, '/verify'),
      bareUsage: at(bare.port, '/usage'),
    },
    rounds,
    seconds,
    serverCpu,
    loaderCpu,
    compare,
    requireAnswers,
    residentMb,
    round,
  };
  for (const name of chosen) {
    const scenario = SCENARIOS[name];
    console.error(`${scenario.title} …`);
    rows.push(...(await scenario.run(bench)));
  }

  /**
   * Verify on both servers in turn, the same load; the ratio of each round. Each is brought up to speed first: while the
   * other ran, what was leased for its keys has gone back.
   */
  async function compare(figure, options, reach) {
    const ratios = [];
    const ours = [];
    for (let turn = 0; turn < rounds; turn += 1) {
      const ourLoad = { url: bench.urls.verify, headers: bench.headers, ...options };
      const theirLoad = { url: bench.urls.bareVerify, ...options };
      await load(loaderCpu, { ...ourLoad, seconds: RUN_UP_SECONDS });
      const a = await load(loaderCpu, { ...ourLoad, seconds });
      await load(loaderCpu, { ...theirLoad, seconds: RUN_UP_SECONDS });
      const b = await load(loaderCpu, { ...theirLoad, seconds });
      requireAnswers(figure, a);
      ratios.push(a.requestsPerSecond / b.requestsPerSecond);
      ours.push(a);
    }
    return {
      figure,
      value: round(median(ratios)),
      unit: '× bare Fastify',
      ...(reach === null ? {} : { reach: `≥ ${reach}` }),
      rounds: ratios.map(round),
      requestsPerSecond: Math.round(median(ours.map((run) => run.requestsPerSecond))),
      p99Ms: median(ours.map((run) => run.p99Ms)),
    };
  }
} finally {
  if (bare !== undefined) await end(bare.child);
  await latchkey.stop();
}
await report('bench', rows);

/** A run that measured refusals or errors is no run. */
function requireAnswers(figure, run) {
  const looked = Object.values(run.codes).reduce((sum, count) => sum + count, 0);
  const good = (run.codes.VALID ?? 0) + (run.codes['200'] ?? 0);
  if (run.errors > 0 || run.non2xx > 0 || good < looked) throw new Error(`${figure}: not all answers were good: ${JSON.stringify(run)}`);
}

async function startBare(keys) {
  const sample = await latchkey.call('/verify', { key: keys[0].secret, ...QUESTION, dryRun: true }, { apiKey: latchkey.serviceKey });
  const file = join(latchkey.dataDir, 'verdicts');
  await writeFile(file, keys.map(({ id, secret }) => JSON.stringify([secret, { ...sample, keyId: id }])).join('\n'));
  const port = await freePort();
  const child = spawnOn(serverCpu, process.execPath, ['bench/servers/bare.mjs'], { env: { PATH: process.env.PATH, PORT: String(port), VERDICTS_FILE: file } });
  await untilReady(child, `http://127.0.0.1:${port}/ready`);
  return { port, child };
}

function round(value) {
  return Math.round(value * 1000) / 1000;
}
