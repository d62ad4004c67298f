/**
 * A paid service whose callers present API keys: `GET /search` costs 0.01 cents, `POST /chat` at most 2. Settings:
 * LATCHKEY_URL, LATCHKEY_KEY (a key with the role `gateway`), PORT.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { KeyRefused, LatchkeyClient, LatchkeyError, type Verdict } from '@latchkey/client';

const latchkey = new LatchkeyClient({ baseUrl: process.env.LATCHKEY_URL!, key: process.env.LATCHKEY_KEY! });

const MODEL = 'gpt-4o-mini';

/** The codes of a key that does not work (401), and of limits (429); any other refusal is a 403. */
const STATUS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    ['MALFORMED', 'NOT_FOUND', 'DISABLED', 'REVOKED', 'EXPIRED', 'OWNER_INACTIVE', 'PROJECT_INACTIVE'].map((code) => [
      code,
      401,
    ]),
  ),
  RATE_LIMITED: 429,
  UNAVAILABLE: 503,
};

/** Verifies, works, and reports what the call cost. */
async function search(key: string, ip: string | undefined): Promise<object> {
  const verdict = await latchkey.verify({ key, ip, scopes: ['search'] });
  if (!verdict.valid) throw new KeyRefused(verdict);
  // Sent later, and again until it is booked: the caller does not wait for it.
  void latchkey.reportUsage({ apiKeyId: verdict.keyId, costCents: 0.01, endpoint: 'GET /search' });
  return { found: [] };
}

/** Reserves what the call may cost at most, works, and settles what it has cost. */
function chat(key: string, ip: string | undefined): Promise<object> {
  return latchkey.withReservation(
    key,
    2,
    (hold) => {
      hold.record({ costCents: 0.8, inputTokens: 812, outputTokens: 204, model: MODEL });
      return { answer: 'Forty-two.' };
    },
    { ip, model: MODEL, scopes: ['chat'] },
  );
}

const ROUTES: Readonly<Record<string, (key: string, ip: string | undefined) => Promise<object>>> = {
  'GET /search': search,
  'POST /chat': chat,
};

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const key = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const work = ROUTES[`${request.method} ${request.url}`];
  if (work === undefined) return answer(response, 404, { code: 'ROUTE_NOT_FOUND' });
  try {
    answer(response, 200, await work(key, request.socket.remoteAddress));
  } catch (error) {
    if (error instanceof KeyRefused) return refuse(response, error.verdict);
    console.error(error instanceof LatchkeyError ? `${error.code}: ${error.message}` : error);
    answer(response, 503, { code: 'UNAVAILABLE' });
  }
}

function refuse(response: ServerResponse, { code, detail, retryAfterSeconds }: Verdict): void {
  if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', Math.ceil(retryAfterSeconds));
  answer(response, STATUS[code] ?? 403, { code, detail });
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

const server = createServer((request, response) => void serve(request, response));
server.listen(Number(process.env.PORT), '127.0.0.1');
// What is queued is sent before the process ends.
process.once('SIGTERM', () => server.close(() => void latchkey.close()));
