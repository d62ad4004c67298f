/**
 * A caller that reports as much as it can, over many connections, in a thread of its own: what it costs to write and
 * read its requests must not delay the clients that are measured. `workerData`: `{ port, apiKey, kinds, connections }`,
 * where `kinds` are bodies of {@link KINDS} with their arguments. Told `go` and `pause`; says `paused` with its counts
 * once nothing is under way.
 */
import { Agent, request } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';

const EVENTS = 1_000;
/** After a 429 or 503, which asks for a second. */
const IMPATIENCE_MS = 250;

const { port, apiKey, kinds, connections } = workerData;
const agent = new Agent({ keepAlive: true, maxSockets: connections });
const counts = { accepted: 0, refused: 0, throttled: 0, failed: 0, unanswered: 0 };
let isGoing = false;
let underWay = 0;
let number = 0;

const listOf = (one) => `{"events":[${Array.from({ length: EVENTS }, one).join(',')}]}`;
const KINDS = {
  /** Amounts that bring a key to its end, and go on. */
  dear: ({ keyId, costCents }) =>
    listOf(() => `{"id":"dear-${number++}","apiKeyId":"${keyId}","costCents":${costCents}}`),
  /** Ids that were used with other content. */
  conflicts: ({ keyId }) => {
    const requests = 1 + (number++ % 1_000);
    return listOf((_, index) => `{"id":"conflict-${index}","apiKeyId":"${keyId}","requests":${requests}}`);
  },
  /** One id with a thousand contents, of a key that there never was. */
  twins: () => {
    const id = `twin-${number++}`;
    return listOf(
      (_, index) => `{"id":"${id}","apiKeyId":"00000000-0000-7000-8000-000000000000","requests":${index + 1}}`,
    );
  },
  /** Keys that there never were. */
  strangers: () =>
    listOf(
      () =>
        `{"id":"a","apiKeyId":"00000000-0000-7000-8000-${(number++).toString(16).padStart(12, '0')}","costCents":1}`,
    ),
  /** One reservation, settled a thousand times. */
  settles: ({ reservationId }) => listOf(() => `{"id":"settle-${number++}","reservationId":"${reservationId}"}`),
  /** Fields that are wrong. */
  invalid: ({ keyId }) => listOf(() => `{"id":"invalid","apiKeyId":"${keyId}","costCents":1e300,"latencyMs":-1}`),
};

function send(body) {
  return new Promise((resolve) => {
    const payload = Buffer.from(body);
    const headers = { 'x-api-key': apiKey, 'content-type': 'application/json', 'content-length': payload.length };
    const sent = request(
      { host: '127.0.0.1', port, method: 'POST', path: '/api/v1/usage', agent, headers },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
        response.on('error', () => resolve(0));
      },
    );
    sent.on('error', () => resolve(0));
    sent.end(payload);
  });
}

async function flood(index) {
  const { kind, ...given } = kinds[index % kinds.length];
  underWay += 1;
  while (isGoing) {
    const status = await send(KINDS[kind](given));
    if (status === 200) counts.accepted += 1;
    else if (status === 400 || status === 409) counts.refused += 1;
    else {
      if (status === 429 || status === 503) counts.throttled += 1;
      else if (status === 0) counts.unanswered += 1;
      else counts.failed += 1;
      await new Promise((resolve) => setTimeout(resolve, IMPATIENCE_MS));
    }
  }
  underWay -= 1;
  if (underWay === 0) parentPort.postMessage(counts);
}

parentPort.on('message', (message) => {
  isGoing = message === 'go';
  if (isGoing) for (let index = 0; index < connections; index += 1) void flood(index);
});
