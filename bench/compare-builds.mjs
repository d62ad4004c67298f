/**
 * Processor time of one warm verify in two builds, in pairs: what a change costs the path that every request takes.
 * Both builds run at once, each on a PostgreSQL of its own; one at a time is under load, the order turns with every
 * pair.
 *
 *   node bench/compare-builds.mjs --other ../another-checkout [--pairs 20] [--seconds 3] [--most 1.5] [--fast-path off]
 *
 * `--fast-path off` measures the ordinary route of this checkout, without the short cut.
 *
 * Exits with 1 if this checkout needs more than `--most` microseconds above the other in the median of the pairs.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadOf } from './processes.mjs';
import { median, percentile, report } from './report.mjs';
import { Latchkey } from './servers/latchkey.mjs';

const KEYS = 1_000;
const CONNECTIONS = 64;
const RUN_UP_SECONDS = 5;
const SERVER_CPU = 0;
const LOADER_CPU = 1;

const { values } = parseArgs({
  options: {
    other: { type: 'string' },
    pairs: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '3' },
    most: { type: 'string', default: '1.5' },
    'fast-path': { type: 'string', default: 'on' },
  },
});
if (values.other === undefined) throw new Error('Give --other: a checkout of the product that is built.');
const seconds = Number(values.seconds);

const builds = [];
try {
  builds.push(await start(undefined), await start(resolve(values.other)));
  for (const build of builds) await microsecondsOf(build, RUN_UP_SECONDS);
  const pairs = [];
  for (let pair = 0; pair < Number(values.pairs); pair += 1) {
    const [first, second] = pair % 2 === 0 ? [0, 1] : [1, 0];
    const measured = [];
    for (const index of [first, second]) {
      // What was leased for its keys has gone back while the other ran.
      await microsecondsOf(builds[index], 1);
      measured[index] = await microsecondsOf(builds[index], seconds);
    }
    pairs.push({ ours: measured[0], theirs: measured[1], more: measured[0] - measured[1] });
    console.error(`pair ${pair + 1}: ${measured[0].toFixed(1)} and ${measured[1].toFixed(1)} µs a request`);
  }
  const more = pairs.map((pair) => pair.more);
  const quartiles = `quartiles ${percentile(more, 0.25).toFixed(2)} and ${percentile(more, 0.75).toFixed(2)}, ${pairs.length} pairs`;
  await report('compare-builds', [
    row('processor time of a warm verify, this checkout', median(pairs.map(({ ours }) => ours))),
    row('the same, the other checkout', median(pairs.map(({ theirs }) => theirs))),
    { ...row('difference', median(more)), reach: `≤ ${values.most}`, detail: quartiles },
  ]);
  process.exitCode = median(more) <= Number(values.most) ? 0 : 1;
} finally {
  for (const { product } of builds) await product.stop();
}

async function start(root) {
  const own = { environment: { FAST_PATH: values['fast-path'] } };
  const product = await Latchkey.start({ cpu: SERVER_CPU, ...(root === undefined ? own : { root }) });
  const bodiesFile = await product.writeBodies(await product.seedKeys(KEYS));
  return { product, bodiesFile };
}

/** Processor time of the server for one request, while it answers as fast as it can. */
async function microsecondsOf({ product, bodiesFile }, duration) {
  const run = await loadOf(product.pid, LOADER_CPU, {
    url: `http://127.0.0.1:${product.port}/api/v1/verify`,
    headers: { 'x-api-key': product.serviceKey },
    bodiesFile,
    connections: CONNECTIONS,
    seconds: duration,
  });
  const isGood = run.errors === 0 && run.non2xx === 0 && Object.keys(run.codes).join() === 'VALID';
  if (!isGood || run.requests < 1_000) throw new Error(`Not all verdicts were VALID: ${JSON.stringify(run)}`);
  return run.microsecondsEach;
}

function row(figure, value) {
  return { figure, value: Math.round(value * 100) / 100, unit: 'µs' };
}
