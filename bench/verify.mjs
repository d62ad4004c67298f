/**
 * Verify against a bare Fastify server: warm keys, Zipf over many, one hot key; the p99 at half of saturation; what a
 * cached key costs in memory; what verifying costs PostgreSQL. Rounds are interleaved, ratios are of one round each,
 * medians are quoted.
 *
 *   node bench/verify.mjs [--rounds 3] [--seconds 8]
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { end, freePort, load, residentMb, spawnOn, untilReady } from './processes.mjs';
import { median, report } from './report.mjs';
import { Latchkey, QUESTION } from './servers/latchkey.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '8' }, keys: { type: 'string', default: '100000' } } });
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const SERVER_CPU = 0;
const LOADER_CPU = 1;

const latchkey = await Latchkey.start({ cpu: SERVER_CPU });
const many = await latchkey.seedKeys(Number(values.keys));
const warm = many.slice(0, 1000);
const [hot] = await latchkey.seedKeys(1, { minute: null, hour: null, day: 1_000_000, budgetCents: 1_000_000_000 });
const files = { warm: await latchkey.writeBodies(warm), zipf: await latchkey.writeBodies(many), hot: await latchkey.writeBodies([hot]) };
const bare = await startBare(many.concat(hot));
const headers = { 'x-api-key': latchkey.serviceKey };
const urls = { latchkey: `http://127.0.0.1:${latchkey.port}/api/v1/verify`, bare: `http://127.0.0.1:${bare.port}/verify` };

const rows = [];
try {
  await load(LOADER_CPU, { url: urls.latchkey, headers, bodiesFile: files.warm, connections: 64, seconds: 3 });
  const statementsBefore = await statements();
  await compare('verify, warm (1 000 keys, 64 connections)', { bodiesFile: files.warm, connections: 64 }, 0.65);
  const statementsWarm = (await statements()) - statementsBefore;
  await compare('verify, Zipf (100 000 keys, 128 connections)', { bodiesFile: files.zipf, connections: 128, order: 'zipf' }, 0.4);
  await compare('verify, one hot key (64 connections)', { bodiesFile: files.hot, connections: 64 }, 0.58);
  await latency();
  rows.push({ figure: 'statements a second while warm keys are verified at full speed', value: round(statementsWarm / (rounds * seconds)), unit: '1/s' });
  rows.push({ figure: 'memory after the Zipf run', value: await residentMb(latchkey.pid), unit: 'MB RSS', reach: '≤ 300' });
} finally {
  await end(bare.child);
  await latchkey.stop();
}
await report('verify', rows);

/** Both servers in turn, the same load; the ratio of each round. */
async function compare(figure, options, reach) {
  const ratios = [];
  const ours = [];
  for (let turn = 0; turn < rounds; turn += 1) {
    const a = await load(LOADER_CPU, { url: urls.latchkey, headers, seconds, ...options });
    const b = await load(LOADER_CPU, { url: urls.bare, seconds, ...options });
    requireAnswers(figure, a);
    ratios.push(a.requestsPerSecond / b.requestsPerSecond);
    ours.push(a);
  }
  rows.push({
    figure,
    value: round(median(ratios)),
    unit: '× bare Fastify',
    reach: `≥ ${reach}`,
    rounds: ratios.map(round),
    requestsPerSecond: Math.round(median(ours.map((run) => run.requestsPerSecond))),
    p99Ms: median(ours.map((run) => run.p99Ms)),
    codes: ours.at(-1).codes,
  });
}

/** Both at half of what ours reaches when saturated. */
async function latency() {
  const saturated = rows[0].requestsPerSecond;
  const options = { bodiesFile: files.warm, connections: 64, rate: Math.floor(saturated / 2), seconds };
  const ours = [];
  const theirs = [];
  for (let turn = 0; turn < rounds; turn += 1) {
    ours.push((await load(LOADER_CPU, { url: urls.latchkey, headers, ...options })).p99Ms);
    theirs.push((await load(LOADER_CPU, { url: urls.bare, ...options })).p99Ms);
  }
  rows.push({ figure: 'p99 of verify at half of its saturation', value: median(ours), unit: 'ms', reach: '≤ 5', rounds: ours });
  rows.push({ figure: 'p99 of bare Fastify at the same rate', value: median(theirs), unit: 'ms', rounds: theirs });
}

/** A run that measured refusals or errors is no run. */
function requireAnswers(figure, run) {
  const valid = run.codes.VALID ?? 0;
  const looked = Object.values(run.codes).reduce((sum, count) => sum + count, 0);
  if (run.errors > 0 || run.non2xx > 0 || valid < looked * 0.99) {
    console.error(`${figure}: not all answers were VALID: ${JSON.stringify(run)}`);
  }
}

async function statements() {
  const [row] = await latchkey.query(`SELECT xact_commit + xact_rollback AS count FROM pg_stat_database WHERE datname = current_database()`);
  return Number(row.count);
}

async function startBare(keys) {
  const sample = await latchkey.call('/verify', { key: keys[0].secret, ...QUESTION, dryRun: true }, { apiKey: latchkey.serviceKey });
  const file = join(latchkey.dataDir, 'verdicts');
  await writeFile(file, keys.map(({ id, secret }) => JSON.stringify([secret, { ...sample, keyId: id }])).join('\n'));
  const port = await freePort();
  const child = spawnOn(SERVER_CPU, process.execPath, ['bench/servers/bare.mjs'], { env: { PATH: process.env.PATH, PORT: String(port), VERDICTS_FILE: file } });
  await untilReady(child, `http://127.0.0.1:${port}/ready`);
  return { port, child };
}

function round(value) {
  return Math.round(value * 1000) / 1000;
}
