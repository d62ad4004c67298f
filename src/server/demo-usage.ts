import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { EntityManager } from 'typeorm';
import { Principal } from '../access/caller.js';
import { DEMO } from '../openapi/demo-ids.js';
import { UsageService } from '../usage/usage.service.js';

/** Cost in cents, tokens in and out. */
const CALLS = [
  { model: 'gpt-4o-mini', costCents: 0.034, inputTokens: 812, outputTokens: 204 },
  { model: 'gpt-4o-mini', costCents: 0.051, inputTokens: 1203, outputTokens: 310 },
  { model: 'claude-sonnet-5', costCents: 1.27, inputTokens: 2440, outputTokens: 356 },
] as const;

/** What the keys of the demo have used, reported as the demo's gateway would: the first start alone calls this. */
export async function reportDemoUsage(app: NestFastifyApplication): Promise<void> {
  const principal = new Principal(
    'key',
    DEMO.gatewayKeyId,
    DEMO.serviceId,
    'Chat gateway',
    ['gateway'],
    ['platform:usage:report'],
  );
  const caller = { principal, ip: null, requestId: null, action: 'demo:add' };
  const events = [DEMO.keyId, DEMO.clientKeyId].flatMap((apiKeyId) =>
    CALLS.map((call, index) => ({
      id: `demo-${index + 1}`,
      apiKeyId,
      chatbot: 'support-bot',
      statusCode: 200,
      ...call,
    })),
  );
  await app.get(UsageService, { strict: false }).report(caller, { events });
}

/** Verdicts on the demo's main key within the last minute. */
export async function addDemoVerdicts(tx: EntityManager): Promise<void> {
  await tx.query(
    `INSERT INTO verdict_minute (key_id, minute, code, count)
     SELECT $1, date_trunc('minute', now()), code, count
       FROM unnest($2::text[], $3::bigint[]) AS verdicts (code, count)
     ON CONFLICT DO NOTHING`,
    [DEMO.keyId, ['VALID', 'MODEL_NOT_ALLOWED', 'RATE_LIMITED'], [3, 2, 1]],
  );
}
