import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { EntityManager } from 'typeorm';
import { Principal } from '../access/caller.js';
import { DEMO } from '../openapi/demo-ids.js';
import { REFUSED_CALL_LIMITS } from '../verification/refusals/refused-calls.js';
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

/** What the verdicts that refused were asked. Addresses are of documentation (RFC 5737). */
const REFUSED = [
  { code: 'MODEL_NOT_ALLOWED', detail: 'The model is not in the key’s list.', ip: '203.0.113.7', model: 'o3-pro' },
  { code: 'MODEL_NOT_ALLOWED', detail: 'The model is not in the key’s list.', ip: '203.0.113.9', model: 'o3-pro' },
  { code: 'RATE_LIMITED', detail: 'The rate limit per minute is used up.', ip: '203.0.113.7', model: 'gpt-4o-mini' },
] as const;

/** Verdicts on the demo's main key within the last minute, and the calls that were refused. */
export async function addDemoVerdicts(tx: EntityManager): Promise<void> {
  await tx.query(
    `INSERT INTO verdict_minute (key_id, minute, code, count)
     SELECT $1, date_trunc('minute', now()), code, count
       FROM unnest($2::text[], $3::bigint[]) AS verdicts (code, count)
     ON CONFLICT DO NOTHING`,
    [DEMO.keyId, ['VALID', 'MODEL_NOT_ALLOWED', 'RATE_LIMITED'], [3, 2, 1]],
  );
  const calls = REFUSED.map((call, index) => ({
    ...{ key_id: DEMO.keyId, via: 'verify', scopes: ['chat:write'], client_request_id: `demo-${index + 1}`, ...call },
    ...{ asked_by_kind: 'key', asked_by: DEMO.gatewayKeyId },
  }));
  const { perKey, perKeyAndMinute, inAll } = REFUSED_CALL_LIMITS;
  await tx.query(
    `SELECT refused_calls_note(jsonb_agg(call || jsonb_build_object('at_ms', extract(epoch FROM now()) * 1000 + n)), $2, $3, $4)
       FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS c (call, n)`,
    [JSON.stringify(calls), perKey, perKeyAndMinute, inAll],
  );
}
