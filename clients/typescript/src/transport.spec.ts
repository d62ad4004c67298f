import { beforeEach, describe, expect, it } from '@jest/globals';
import { FakeRuntime, settled } from '../test/fake-runtime.js';
import { LatchkeyProblem, LatchkeyUnreachable } from './errors.js';
import { type ApiRequest, Transport } from './transport.js';

const KEY = 'lk_live_canary';
const ok = () => Response.json({ fine: true });
const problem = (status: number, code: string, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify({ title: 'No', status, detail: 'because', code, requestId: 'r-1' }), {
    status,
    headers: { 'content-type': 'application/problem+json; charset=utf-8', ...headers },
  });
const failing = (code: string) =>
  Object.assign(new TypeError('fetch failed'), { cause: Object.assign(new Error(code), { code }) });

describe('the transport', () => {
  let runtime: FakeRuntime;
  /** What `fetch` does, attempt by attempt; the last one for ever. */
  let answers: (() => Response | Promise<Response>)[];
  let requests: { url: string; init: RequestInit }[];

  beforeEach(() => {
    runtime = new FakeRuntime();
    requests = [];
  });

  const transportOf = (settings: { baseUrl?: string; key?: string | (() => string | Promise<string>) } = {}) =>
    new Transport({
      baseUrl: 'http://latchkey.test/',
      key: KEY,
      runtime,
      attempts: 3,
      fetch: async (url, init) => {
        requests.push({ url: url as string, init: init! });
        const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
        return answer();
      },
      ...settings,
    });

  const send = async (request: Partial<ApiRequest> = {}) => {
    const outcome = transportOf()
      .send({ method: 'POST', path: '/verify', repeat: 'always', timeoutMs: 10_000, ...request })
      .catch((error: unknown) => error);
    await runtime.advance(60_000);
    return outcome;
  };

  it('sends JSON below /api/v1 with the key as a bearer token', async () => {
    answers = [ok];
    expect(await send({ body: { a: 1 } })).toMatchObject({ status: 200, body: { fine: true } });
    expect(requests[0]).toMatchObject({
      url: 'http://latchkey.test/api/v1/verify',
      init: { method: 'POST', body: '{"a":1}', redirect: 'manual' },
    });
    expect(requests[0]!.init.headers).toMatchObject({
      authorization: `Bearer ${KEY}`,
      'content-type': 'application/json',
    });
  });

  it('asks for the key before each request', async () => {
    answers = [ok];
    const keys = ['first', 'second'];
    const transport = transportOf({ key: async () => keys.shift()! });
    for (let time = 0; time < 2; time += 1)
      await transport.send({ method: 'GET', path: '/x', repeat: 'always', timeoutMs: 1_000 });
    expect(requests.map(({ init }) => (init.headers as Record<string, string>)['authorization'])).toEqual([
      'Bearer first',
      'Bearer second',
    ]);
  });

  it.each([
    ['ftp://latchkey.test', /http or https/],
    ['latchkey.test', /http or https/],
    ['http://user:secret@latchkey.test', /no credentials/],
    ['http://latchkey.test?x=1', /no credentials, query/],
  ])('refuses %s as a base URL', (baseUrl, message) => {
    expect(() => transportOf({ baseUrl })).toThrow(message);
  });

  it.each([['http://h.test/keys'], ['http://h.test/keys/'], ['http://h.test/keys/api/v1']])(
    'takes %s as a base URL',
    async (baseUrl) => {
      answers = [ok];
      await transportOf({ baseUrl }).send({ method: 'GET', path: '/x', repeat: 'always', timeoutMs: 1_000 });
      expect(requests[0]!.url).toBe('http://h.test/keys/api/v1/x');
    },
  );

  it.each([[''], ['with space'], ['with\nnewline']])('refuses %j as a key without printing it', (key) => {
    expect(() => transportOf({ key })).toThrow(/^key must be visible ASCII: is the variable set\?$/);
  });

  it('makes a problem document an error with its members', async () => {
    answers = [() => problem(409, 'ALREADY_REVOKED', { 'retry-after': '7' })];
    expect(await send()).toMatchObject({
      name: 'LatchkeyProblem',
      status: 409,
      code: 'ALREADY_REVOKED',
      message: 'because',
      requestId: 'r-1',
      retryAfterSeconds: 7,
    });
    expect(requests).toHaveLength(1);
  });

  describe.each([
    [
      'a connection that was refused',
      () => Promise.reject(failing('ECONNREFUSED')),
      { always: 3, undecided: 3, 'not-sent': 3 },
    ],
    ['a 503 of Latchkey', () => problem(503, 'UNAVAILABLE'), { always: 3, undecided: 3, 'not-sent': 1 }],
    [
      'a 503 of a Latchkey that has too many requests',
      () => problem(503, 'OVERLOADED'),
      { always: 3, undecided: 3, 'not-sent': 1 },
    ],
    [
      'a connection that was reset',
      () => Promise.reject(failing('ECONNRESET')),
      { always: 3, undecided: 1, 'not-sent': 1 },
    ],
    ['a 502 of a proxy', () => new Response('<html>', { status: 502 }), { always: 3, undecided: 1, 'not-sent': 1 }],
    [
      'half an answer',
      () => new Response('{"valid":tr', { headers: { 'content-type': 'application/json' } }),
      { always: 3, undecided: 1, 'not-sent': 1 },
    ],
    ['a 500', () => problem(500, 'INTERNAL_ERROR'), { always: 1, undecided: 1, 'not-sent': 1 }],
    ['a 401', () => problem(401, 'UNAUTHENTICATED'), { always: 1, undecided: 1, 'not-sent': 1 }],
    ['a 429', () => problem(429, 'TOO_MANY_REQUESTS'), { always: 1, undecided: 1, 'not-sent': 1 }],
  ] as const)('after %s', (_, answer, attempts) => {
    it.each(['always', 'undecided', 'not-sent'] as const)('repeats what may be repeated: %s', async (repeat) => {
      answers = [answer];
      expect(await send({ repeat })).toBeInstanceOf(Error);
      expect(requests).toHaveLength(attempts[repeat]);
    });
  });

  it('gives the answer of a later attempt', async () => {
    answers = [() => problem(503, 'UNAVAILABLE'), ok];
    expect(await send({ repeat: 'undecided' })).toMatchObject({ status: 200 });
  });

  it('waits for as long as the server asks, and not at all where that is too long', async () => {
    answers = [() => problem(503, 'UNAVAILABLE', { 'retry-after': '3' }), ok];
    const patient = transportOf().send({ method: 'POST', path: '/x', repeat: 'undecided', timeoutMs: 10_000 });
    await runtime.advance(2_999);
    expect(requests).toHaveLength(1);
    await runtime.advance(1);
    expect(await patient).toMatchObject({ status: 200 });
    answers = [() => problem(503, 'UNAVAILABLE', { 'retry-after': '3' }), ok];
    requests = [];
    await expect(
      transportOf().send({ method: 'POST', path: '/x', repeat: 'undecided', timeoutMs: 2_000 }),
    ).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(requests).toHaveLength(1);
  });

  it('ends after its time with all attempts', async () => {
    answers = [() => Promise.reject(failing('ECONNREFUSED')), () => new Promise<Response>(() => undefined)];
    const outcome = transportOf()
      .send({ method: 'GET', path: '/x', repeat: 'always', timeoutMs: 1_000 })
      .catch((error: unknown) => error);
    await runtime.advance(1_000);
    expect(await outcome).toMatchObject({ code: 'TIMEOUT' });
    expect(requests[1]!.init.signal!.aborted).toBe(true);
  });

  it('ends with the reason of the signal, whatever it waits for', async () => {
    const caller = new AbortController();
    answers = [() => new Promise<Response>(() => undefined)];
    const outcome = transportOf().send({
      method: 'GET',
      path: '/x',
      repeat: 'always',
      timeoutMs: 1_000,
      signal: caller.signal,
    });
    await settled();
    caller.abort(new Error('the user left'));
    await expect(outcome).rejects.toThrow('the user left');

    answers = [() => problem(503, 'UNAVAILABLE', { 'retry-after': '5' })];
    const second = new AbortController();
    const waiting = transportOf().send({
      method: 'GET',
      path: '/x',
      repeat: 'always',
      timeoutMs: 60_000,
      signal: second.signal,
    });
    await settled();
    second.abort(new Error('the user left again'));
    await expect(waiting).rejects.toThrow('the user left again');
    expect(requests).toHaveLength(2);
  });

  it('follows no redirect, and says so', async () => {
    answers = [() => new Response(null, { status: 302, headers: { location: 'http://elsewhere.test' } })];
    expect(await send({ repeat: 'undecided' })).toMatchObject({
      code: 'UNEXPECTED_ANSWER',
      message: expect.stringMatching(/302.*baseUrl/),
    });
  });

  it('tells a server that is away from one that says no', () => {
    expect(new LatchkeyUnreachable('NOT_CONNECTED', '').notSent).toBe(true);
    expect(new LatchkeyUnreachable('CONNECTION_LOST', '').notSent).toBe(false);
    expect(new LatchkeyProblem(400, 'X', '', [], null, null, {})).not.toBeInstanceOf(LatchkeyUnreachable);
  });
});
