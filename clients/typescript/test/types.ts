/** What users of the package rely upon, as the compiler sees it: this file is only checked, never run. */
/* eslint-disable @typescript-eslint/no-unused-vars -- most names are here for their types */
import type { FastifyRequest } from 'fastify';
import type { Request } from 'express';
import {
  type ApiKey,
  KeyRefused,
  LatchkeyClient,
  LatchkeyError,
  type LatchkeyProblem,
  type Reservation,
  SettlementRefused,
  type UsageResult,
  type Verdict,
} from '../src/latchkey.js';
import { requireApiKey } from '../src/express.js';
import type { ApiKeyHook } from '../src/fastify.js';
import { CurrentApiKey, LatchkeyModule, RequireApiKey } from '../src/nest.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Does not compile unless the two are the same type. */
declare function same<A, B>(equal: Equal<A, B>): void;
declare const client: LatchkeyClient;
declare const reservation: Reservation;

// Verdicts
const verdict = await client.verify({ key: 'k', scopes: ['a'], cost: 2 }, { signal: AbortSignal.timeout(1) });
same<typeof verdict, Verdict>(true);
same<Verdict['valid'], boolean>(true);
same<Verdict['keyId'], string | undefined>(true);
same<Verdict['code'] & 'VALID', 'VALID'>(true);
same<Extract<Verdict['code'], 'RATE_LIMITED' | 'UNAVAILABLE' | 'made up'>, 'RATE_LIMITED' | 'UNAVAILABLE'>(true);
same<Awaited<ReturnType<LatchkeyClient['verifyAll']>>, Verdict[]>(true);
// @ts-expect-error a question names a key
void client.verify({ model: 'gpt' });
// @ts-expect-error and has no other fields than the contract's
void client.verify({ key: 'k', modell: 'gpt' });

// Reservations: only a valid verdict has one, and then it surely has
const reserved = await client.reserve('k', 5, { model: 'gpt', reservationTtlSeconds: 90 });
if (reserved.valid) same<typeof reserved.reservation, Reservation>(true);
if (reserved.valid) same<typeof reserved.keyId, string>(true);
// @ts-expect-error what is held is said once, as an argument
void client.reserve('k', 5, { reserveCents: 3 });
same<ReturnType<LatchkeyClient['settle']>, Promise<UsageResult>>(true);
void client.settle(reservation, { costCents: 1, outputTokens: 3 });
// @ts-expect-error a settlement is for its reservation
void client.settle(reservation, { apiKeyId: 'x' });
const made = await client.withReservation('k', 5, async (hold) => {
  hold.record({ costCents: 1 });
  return 42;
});
same<typeof made, number>(true);

try {
  await client.withReservation('k', 5, () => 42);
} catch (error) {
  if (error instanceof SettlementRefused) same<SettlementRefused<number>['result'], number>(true);
}

// Usage
same<
  UsageResult['outcome'],
  'accepted' | 'duplicate' | 'conflict' | 'already-settled' | 'unknown-key' | 'refused' | 'invalid'
>(true);
void client.reportUsage({ apiKeyId: 'x', costCents: null, model: null });
same<LatchkeyClient['lostUsage'], number>(true);
void client.reportUsage({ apiKeyId: 'x', costCents: 0.5 });
// @ts-expect-error money is a number of cents
void client.reportUsage({ apiKeyId: 'x', costCents: '0.5' });

// Management
const created = await client.keys.create({ name: 'Billing', budgetType: 'monthly' }, { idempotencyKey: 'x' });
same<typeof created.apiKey, ApiKey>(true);
same<typeof created.secretKey, string>(true);
same<ApiKey['status'], 'revoked' | 'inactive' | 'expired' | 'pending' | 'active'>(true);
for await (const key of client.keys.listAll({ tag: ['a'] })) same<typeof key, ApiKey>(true);
// @ts-expect-error the environment of a key cannot be changed
void client.keys.update('id', { environment: 'test' });
const roles = await client.call('get', '/roles', { query: { page: 1 } });
same<(typeof roles.data)[number]['name'], string>(true);
// @ts-expect-error no such route
void client.call('get', '/nothing');
// @ts-expect-error not with this method
void client.call('delete', '/roles');

// Errors
declare const problem: LatchkeyProblem;
same<typeof problem.retryAfterSeconds, number | null>(true);
const refused: LatchkeyError = new KeyRefused(verdict);
void refused.code;

// Options
void new LatchkeyClient({ baseUrl: 'http://h', key: async () => 'k', failurePolicy: 'open' });
// @ts-expect-error a service needs a key
void new LatchkeyClient({ baseUrl: 'http://h' });
// @ts-expect-error there are two policies
void new LatchkeyClient({ baseUrl: 'http://h', key: 'k', failurePolicy: 'maybe' });

// Guards
void requireApiKey(
  client,
  { scopes: ['a'], model: (request) => request.get('x-model') },
  { address: (request) => request.ip },
);
same<Request['apiKey'], Verdict | undefined>(true);
same<FastifyRequest['apiKey'], Verdict | null>(true);
same<ApiKeyHook extends (...args: never[]) => Promise<void> ? true : false, true>(true);
RequireApiKey({ scopes: ['a'], model: (request) => request.body?.model }) satisfies MethodDecorator & ClassDecorator;
CurrentApiKey() satisfies ParameterDecorator;
LatchkeyModule.forRoot({ client });
LatchkeyModule.forRootAsync({ inject: ['x'], useFactory: (key: string) => ({ baseUrl: 'http://h', key }) });
