/** A key that the replica has never seen, while others are verified at half of what it can. */
import { load } from '../processes.mjs';
import { median, percentile } from '../report.mjs';

export const title = 'cold keys';

const ASKED = 400;
const BACKGROUND_PER_SECOND = 2000;

export async function* run(bench) {
  const p99Ms = [];
  const rates = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const { tookMs, requestsPerSecond } = await oneRound(bench);
    p99Ms.push(percentile(tookMs, 0.99));
    rates.push(requestsPerSecond);
  }
  yield {
    figure: `first verify of a key, ${ASKED} keys, beside ${BACKGROUND_PER_SECOND}/s of others`,
    value: bench.round(median(p99Ms)),
    unit: 'ms p99',
    reach: '≤ 20',
    rounds: p99Ms.map(bench.round),
    requestsPerSecond: Math.round(median(rates)),
  };
}

/** Keys of its own: one that was asked about before is no stranger. */
async function oneRound(bench) {
  const { latchkey, headers, urls, question } = bench;
  const strangers = await latchkey.seedKeys(ASKED);
  const seconds = 12;
  const background = load(bench.loaderCpu, {
    url: urls.verify,
    headers,
    bodiesFile: bench.files.warm,
    connections: 32,
    rate: BACKGROUND_PER_SECOND,
    seconds,
  });
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const tookMs = [];
  for (const { secret } of strangers) {
    const began = performance.now();
    const verdict = await latchkey.call('/verify', { key: secret, ...question }, { apiKey: latchkey.serviceKey });
    tookMs.push(performance.now() - began);
    if (verdict.code !== 'VALID') throw new Error(`a cold key was answered ${verdict.code}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  const { requestsPerSecond } = await background;
  return { tookMs, requestsPerSecond };
}
