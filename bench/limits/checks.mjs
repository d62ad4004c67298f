/** A warm verify of keys that have four limits of their own, and of those that 1, 4 and 8 limits bind beside them. */
import { randomUUID } from 'node:crypto';
import { loadOf } from '../processes.mjs';
import { median } from '../report.mjs';
import { giveToOwners, makeLimit, rangeOf, removeLimits, requireGood, round } from './product.mjs';

export const replicas = [1];

const KEYS = 250;
const RUN_UP_SECONDS = 2;
/** As many as one target may have; of each unit that is leased, and one by another period. */
const DRAFTS = [
  { amountCents: 1_000_000_000 },
  { unit: 'requests', amount: 1_000_000_000_000 },
  { unit: 'tokens', amount: 1_000_000_000_000 },
  { amountCents: 1_000_000_000, per: 'total' },
];
const VARIANTS = [
  { limits: 0, ofOwner: 0, ofProject: 0 },
  { limits: 1, ofOwner: 1, ofProject: 0 },
  { limits: 4, ofOwner: 4, ofProject: 0 },
  { limits: 8, ofOwner: 4, ofProject: 4 },
];

export async function* run(bench) {
  const variants = [];
  for (const variant of VARIANTS) variants.push({ ...variant, bodiesFile: await keysOf(bench, variant), runs: [] });
  for (const variant of variants) await measure(bench, variant, RUN_UP_SECONDS);
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    for (const variant of variants) {
      // What was leased for its keys has gone back while the others ran.
      await measure(bench, variant, 1);
      variant.runs.push(await measure(bench, variant, bench.seconds));
    }
  }
  await removeLimits(bench);
  const [own, ...others] = variants;
  yield {
    figure: 'a warm verify of a key with four limits of its own, processor time',
    value: round(median(own.runs)),
    unit: 'µs',
    detail: rangeOf(own.runs),
  };
  for (const { limits, runs } of others) {
    const ratios = runs.map((each, turn) => each / own.runs[turn]);
    yield {
      figure: `the same with ${limits} limit${limits === 1 ? '' : 's'} that it shares with others`,
      value: round(median(ratios)),
      unit: '× its own',
      ...(limits === 8 ? { reach: '≤ 1.3' } : {}),
      detail: `${rangeOf(ratios)}; ${median(runs).toFixed(1)} µs`,
    };
  }
}

/** Keys of an owner and a project of their own, with so many limits; gives the file of their questions. */
async function keysOf(bench, { ofOwner, ofProject }) {
  const { latchkey } = bench;
  const keys = await latchkey.seedKeys(KEYS);
  const [owner] = await giveToOwners(bench, keys, 1);
  const project = (await latchkey.call('/projects', { name: `Project ${randomUUID()}` })).id;
  await latchkey.query('UPDATE api_key SET project_id = $2 WHERE id = ANY ($1)', [keys.map(({ id }) => id), project]);
  for (const draft of DRAFTS.slice(0, ofOwner))
    await makeLimit(bench, { ...draft, target: { kind: 'owner', id: owner } });
  for (const draft of DRAFTS.slice(0, ofProject))
    await makeLimit(bench, { ...draft, target: { kind: 'project', id: project } });
  return latchkey.writeBodies(keys);
}

async function measure({ latchkey, loaderCpu }, { limits, bodiesFile }, seconds) {
  const run = await loadOf(latchkey.pid, loaderCpu, {
    url: `http://127.0.0.1:${latchkey.port}/api/v1/verify`,
    headers: { 'x-api-key': latchkey.serviceKey },
    bodiesFile,
    connections: 64,
    seconds,
  });
  requireGood(`verify with ${limits} limits`, run);
  return run.microsecondsEach;
}
