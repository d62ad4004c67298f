/**
 * What limits that keys share cost, as ratios of one run: reports and acquires with and without a limit, a warm verify
 * of keys that more and more limits bind, the end of an account, calls in flight, new members; and lists of accounts.
 * Writes `results/limits.json`.
 *
 *   npm run --prefix bench limits -- [--rounds 5] [--seconds 4] [--only reports,checks,slots,members,end,lists]
 *     [--replicas 1,3] [--build DIRECTORY]
 *
 * `--build` measures the server of another checkout, which is built.
 * Rounds are interleaved: in each, every variant is measured in turn, on the same build and database. Medians are
 * quoted, with the lowest and the highest. A run on a machine that was busy with other work is void.
 */
import { loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as checks from './limits/checks.mjs';
import * as end from './limits/end.mjs';
import * as lists from './limits/lists.mjs';
import * as members from './limits/members.mjs';
import * as reports from './limits/reports.mjs';
import * as slots from './limits/slots.mjs';
import { OtherWork, sentenceOf } from './other-work.mjs';
import { report } from './report.mjs';
import { Latchkey } from './servers/latchkey.mjs';

const SCENARIOS = { reports, checks, slots, members, end, lists };
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string', default: Object.keys(SCENARIOS).join(',') },
    replicas: { type: 'string', default: '1,3' },
    build: { type: 'string' },
  },
});
const chosen = values.only.split(',').map((name) => {
  if (!(name in SCENARIOS)) throw new Error(`There is no scenario ${name}, only ${Object.keys(SCENARIOS).join(', ')}.`);
  return SCENARIOS[name];
});

const rows = [];
const otherWork = new OtherWork();
const latchkey = await Latchkey.start({
  cpu: 0,
  ...(values.build === undefined ? {} : { root: resolve(values.build) }),
  settings: { shared_preload_libraries: 'pg_stat_statements', track_functions: 'pl' },
});
try {
  await latchkey.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
  const bench = { latchkey, loaderCpu: 1, rounds: Number(values.rounds), seconds: Number(values.seconds) };
  for (const replicas of values.replicas.split(',').map(Number)) {
    while (latchkey.replicas.length < replicas) await latchkey.addReplica();
    for (const scenario of chosen.filter((one) => one.replicas.includes(replicas))) {
      for await (const row of scenario.run(bench, replicas)) {
        console.error(`  ${row.figure}: ${row.value} ${row.unit}, ${row.detail ?? ''}`);
        rows.push(row);
      }
    }
  }
} finally {
  await latchkey.stop();
}
const others = otherWork.end();
await report('limits', rows, { load: loadavg()[0], others, isVoid: others.isVoid });
console.error(sentenceOf(others, loadavg()[0]));
if (others.isVoid) process.exitCode = 1;
