/** From the answer to a revoke until the last of three replicas refuses, while all three verify other keys. */
import { load } from '../processes.mjs';
import { percentile } from '../report.mjs';

export const title = 'revocation over three replicas';

const REPLICAS = 3;
const REVOKED = 200;
const PER_SECOND_EACH = 500;

export async function* run(bench) {
  const { latchkey, question, headers } = bench;
  const added = REPLICAS - latchkey.replicas.length;
  for (let index = 0; index < added; index += 1) await latchkey.addReplica();
  const doomed = await latchkey.seedKeys(REVOKED);
  const ports = latchkey.replicas.map(({ port }) => port);
  const seconds = 30;
  const background = ports.map((port) =>
    load(bench.loaderCpu, {
      url: `http://127.0.0.1:${port}/api/v1/verify`,
      headers,
      bodiesFile: bench.files.warm,
      connections: 8,
      rate: PER_SECOND_EACH,
      seconds,
    }),
  );
  const lagsMs = [];
  for (const { id, secret } of doomed) {
    const ask = (port) => latchkey.call('/verify', { key: secret, ...question }, { apiKey: latchkey.serviceKey, port });
    await Promise.all(ports.map(ask));
    await latchkey.call(`/api-keys/${id}/revoke`, {}, {});
    const began = performance.now();
    await Promise.all(
      ports.map(async (port) => {
        while ((await ask(port)).code !== 'REVOKED') await new Promise((resolve) => setTimeout(resolve, 1));
      }),
    );
    lagsMs.push(performance.now() - began);
  }
  await Promise.all(background);
  for (let index = 0; index < added; index += 1) await latchkey.removeReplica();
  yield {
    figure: `revocation, the last of three replicas, ${REVOKED} keys, beside ${3 * PER_SECOND_EACH}/s`,
    value: bench.round(percentile(lagsMs, 0.99)),
    unit: 'ms p99',
    reach: '≤ 100',
    rounds: [0.5, 0.9, 1].map((part) => bench.round(percentile(lagsMs, part))),
  };
}
