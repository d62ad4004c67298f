import { beforeEach, describe, expect, it } from '@jest/globals';
import { formatAddress, parseAddress } from '../../../../packages/contract/src/address.js';
import { ADDRESS_FORMS } from '../../../../test/support/address-forms.js';
import { LatchkeyClient } from '../client.js';
import type { Verdict, VerdictCode, VerifyQuestion } from '../contract.js';
import {
  type Decision,
  type IncomingRequest,
  type KeyRequirement,
  protect,
  type ProtectionOptions,
} from './protect.js';

const KEY = `lk_live_${'a'.repeat(63)}`;
const LIMITS: Verdict['rateLimits'] = [
  { window: 'minute', limit: 60, remaining: 41, resetSeconds: 37 },
  { window: 'day', limit: 5_000, remaining: 0, resetSeconds: 40_000.2 },
];

const problem = (status: number, code: string, detail: string, errors: object[] = []) =>
  Response.json({ status, code, detail, errors }, { status });

describe('a guard', () => {
  let questions: VerifyQuestion[];
  /** What Latchkey says. */
  let answer: () => Verdict | Response;
  let errors: unknown[];

  beforeEach(() => {
    questions = [];
    errors = [];
    answer = () => ({ valid: true, code: 'VALID', keyId: 'k', degraded: false });
  });

  const decide = (
    incoming: Partial<IncomingRequest> = {},
    requirement: KeyRequirement<{ model: string }> = {},
    options: ProtectionOptions<{ model: string }> = {},
  ): Promise<Decision> => {
    const client = new LatchkeyClient({
      baseUrl: 'http://latchkey.test',
      key: 'service',
      fetch: async (_, init) => {
        questions.push(JSON.parse(init!.body as string) as VerifyQuestion);
        const said = answer();
        return said instanceof Response ? said : Response.json(said);
      },
    });
    const request = { authorization: `Bearer ${KEY}`, xApiKey: undefined, url: '/chat', ip: '192.0.2.1', ...incoming };
    return protect(client, { model: 'gpt' }, request, requirement, {
      onError: (error) => errors.push(error),
      ...options,
    });
  };
  const refusalOf = async (...given: Parameters<typeof decide>) => (await decide(...given)).refusal!;

  it('asks for what the route needs', async () => {
    await decide(
      {},
      {
        scopes: ['chat:write'],
        model: ({ model }) => model,
        chatbot: 'bot',
        cost: 2,
        reserveCents: () => 1.5,
        reservationTtlSeconds: 90,
      },
    );
    expect(questions).toEqual([
      {
        key: KEY,
        ip: '192.0.2.1',
        scopes: ['chat:write'],
        model: 'gpt',
        chatbot: 'bot',
        cost: 2,
        reserveCents: 1.5,
        reservationTtlSeconds: 90,
      },
    ]);
  });

  it.each([
    ['a bearer token', { authorization: `Bearer ${KEY}` }],
    ['a bearer token, however it is spelt', { authorization: `bearer   ${KEY} ` }],
    ['X-API-Key', { authorization: undefined, xApiKey: KEY }],
    ['X-API-Key beside another kind of credential', { authorization: 'Basic dTpw', xApiKey: KEY }],
    ['X-API-Key beside a JWT', { authorization: 'Bearer e30.e30.c2ln', xApiKey: KEY }],
    ['the same key twice', { xApiKey: KEY }],
  ])('reads the key from %s', async (_, incoming) => {
    await decide(incoming);
    expect(questions).toMatchObject([{ key: KEY }]);
  });

  it.each([
    ['nothing', { authorization: undefined }, 401, 'UNAUTHENTICATED', 'Bearer'],
    ['another kind of credential', { authorization: 'Basic dTpw' }, 401, 'UNAUTHENTICATED', 'Bearer'],
    ['an empty header', { authorization: undefined, xApiKey: '' }, 401, 'UNAUTHENTICATED', 'Bearer'],
    ['two keys', { xApiKey: 'another' }, 401, 'UNAUTHENTICATED', 'Bearer error="invalid_token"'],
    ['a key in the URL', { url: `/chat?key=${KEY}` }, 400, 'VALIDATION_FAILED', undefined],
    [
      'a key in the URL, encoded',
      { url: `/chat?key=lk%5Flive%5F${'a'.repeat(63)}` },
      400,
      'VALIDATION_FAILED',
      undefined,
    ],
  ])('asks nobody about %s', async (_, incoming, status, code, challenge) => {
    expect(await refusalOf(incoming)).toMatchObject({ status, problem: { status, code, type: 'about:blank' } });
    expect((await refusalOf(incoming)).headers['WWW-Authenticate']).toBe(challenge);
    expect(questions).toEqual([]);
  });

  it.each<[VerdictCode, number, string | undefined]>([
    ['MALFORMED', 401, 'Bearer error="invalid_token"'],
    ['NOT_FOUND', 401, 'Bearer error="invalid_token"'],
    ['DISABLED', 401, 'Bearer error="invalid_token"'],
    ['REVOKED', 401, 'Bearer error="invalid_token"'],
    ['EXPIRED', 401, 'Bearer error="invalid_token"'],
    ['OWNER_INACTIVE', 401, 'Bearer error="invalid_token"'],
    ['PROJECT_INACTIVE', 401, 'Bearer error="invalid_token"'],
    ['IP_NOT_ALLOWED', 403, undefined],
    ['MODEL_NOT_ALLOWED', 403, undefined],
    ['CHATBOT_NOT_ALLOWED', 403, undefined],
    ['INSUFFICIENT_SCOPE', 403, 'Bearer error="insufficient_scope", scope="chat:write chat:read"'],
    ['RATE_LIMITED', 429, undefined],
    ['BUDGET_EXCEEDED', 403, undefined],
    ['UNAVAILABLE', 503, undefined],
    ['VALIDATION_FAILED', 400, undefined],
  ])('answers %s with %d', async (code, status, challenge) => {
    answer = () => ({
      valid: false,
      code,
      detail: 'Because.',
      retryAfterSeconds: 7.2,
      rateLimits: LIMITS,
      degraded: false,
    });
    const refusal = await refusalOf({}, { scopes: ['chat:write', 'chat:read'] });
    expect(refusal).toMatchObject({
      status,
      problem: { type: 'about:blank', status, code, detail: 'Because.', retryAfterSeconds: 7.2 },
      headers: { 'Retry-After': '8', 'Cache-Control': 'no-store' },
    });
    expect(refusal.headers['WWW-Authenticate']).toBe(challenge);
    expect(refusal.problem.title).not.toBe('Error');
  });

  it('says how much of the limits is left, on allow and on refusal', async () => {
    const headers = {
      'RateLimit-Policy': '"minute";q=60;w=60, "day";q=5000;w=86400',
      RateLimit: '"minute";r=41;t=37, "day";r=0;t=40001',
    };
    answer = () => ({ valid: true, code: 'VALID', rateLimits: LIMITS, degraded: false });
    expect(await decide()).toMatchObject({ headers });
    answer = () => ({ valid: false, code: 'RATE_LIMITED', rateLimits: LIMITS, degraded: false });
    expect(await refusalOf()).toMatchObject({ headers });
  });

  it('says nothing of limits that a key does not have', async () => {
    expect(await decide()).toMatchObject({ headers: {} });
  });

  it('takes the address that it is told to', async () => {
    await decide({}, {}, { address: () => '198.51.100.7' });
    await decide({ ip: 'fe80::1%eth0' });
    await decide({ ip: undefined });
    expect(questions.map(({ ip }) => ip)).toEqual(['198.51.100.7', 'fe80::1', undefined]);
  });

  it.each(ADDRESS_FORMS)('asks for the address in %j, which is %j', async (written, address) => {
    await decide({ ip: written });
    // The server has the last word on how an address is written.
    expect(questions[0]!.ip === undefined ? null : formatAddress(parseAddress(questions[0]!.ip!)!)).toBe(address);
  });

  it('answers 400 where the end user’s own words are wrong', async () => {
    const wrong = [{ path: 'model', message: 'must have at most 128 characters' }];
    answer = () => problem(400, 'VALIDATION_FAILED', 'model: must have at most 128 characters', wrong);
    expect(await refusalOf()).toMatchObject({ status: 400, problem: { code: 'VALIDATION_FAILED', errors: wrong } });
    expect(errors).toEqual([]);
  });

  it.each([
    ['the service’s own key is refused', () => problem(401, 'UNAUTHENTICATED', 'Present a key lk_live_…')],
    ['the route asks for nonsense', () => problem(400, 'VALIDATION_FAILED', 'x', [{ path: 'scopes.0', message: 'x' }])],
  ])('answers 503 and tells the service when %s', async (_, said) => {
    answer = said;
    const refusal = await refusalOf();
    expect(refusal).toMatchObject({
      status: 503,
      problem: { code: 'UNAVAILABLE', detail: 'The key cannot be checked at the moment.' },
    });
    expect(errors).toMatchObject([{ name: 'LatchkeyProblem', status: said().status }]);
  });

  it('refuses when the route’s own function throws', async () => {
    const requirement: KeyRequirement<{ model: string }> = {
      model: () => {
        throw new Error('no body');
      },
    };
    expect(await refusalOf({}, requirement)).toMatchObject({ status: 503 });
    expect(errors).toMatchObject([{ message: 'no body' }]);
    expect(questions).toEqual([]);
  });
});
