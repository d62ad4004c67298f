import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { inspect } from 'node:util';
import { settled } from '../test/fake-runtime.js';
import { LatchkeyClient, type LatchkeyClientOptions } from './client.js';
import type { Verdict } from './contract.js';
import { type LatchkeyError, SettlementRefused } from './errors.js';

const SERVICE_KEY = 'lk_live_canaryofthiservice';
const RESERVATION = { id: 'reservation-1', expiresAt: '2030-01-31T12:00:00.000Z', cents: 5 };
const VALID: Verdict = { valid: true, code: 'VALID', keyId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', degraded: false };
const away = () => Response.json({ title: 'x', status: 503, detail: 'away', code: 'UNAVAILABLE' }, { status: 503 });

describe('the client', () => {
  /** What the server answers, by path. */
  let routes: Record<string, (body: Record<string, unknown>) => Response | Promise<Response>>;
  let calls: { path: string; body: Record<string, unknown>; headers: Record<string, string> }[];
  let outages: LatchkeyError[];

  beforeEach(() => {
    calls = [];
    outages = [];
    routes = {
      '/verify': () => Response.json(VALID),
      '/reservations/release': () => Response.json({ released: true, cents: 5 }),
      '/usage': ({ events }) => {
        const results = (events as { id: string }[]).map(({ id }) => ({ id, outcome: 'accepted' }));
        return Response.json({ accepted: results.length, duplicates: 0, results });
      },
    };
  });
  afterEach(() => void jest.restoreAllMocks());

  const clientOf = (options: Partial<LatchkeyClientOptions> = {}) =>
    new LatchkeyClient({
      baseUrl: 'http://latchkey.test',
      key: SERVICE_KEY,
      attempts: 1,
      onUnavailable: (error) => outages.push(error),
      fetch: async (url, init) => {
        const path = new URL(url).pathname.replace('/api/v1', '');
        const body = JSON.parse((init?.body as string | undefined) ?? '{}') as Record<string, unknown>;
        calls.push({ path, body, headers: init?.headers as Record<string, string> });
        return routes[path]!(body);
      },
      ...options,
    });
  const paths = () => calls.map(({ path }) => path);

  it('gives the verdict of the server', async () => {
    expect(await clientOf().verify({ key: 'lk_live_x', model: 'gpt' })).toEqual(VALID);
    expect(calls[0]!.body).toEqual({ key: 'lk_live_x', model: 'gpt' });
  });

  it.each([[''], ['x'.repeat(513)], [undefined as unknown as string]])(
    'refuses what cannot be a key without asking (%#)',
    async (key) => {
      expect(await clientOf({ failurePolicy: 'open' }).verify({ key })).toMatchObject({
        valid: false,
        code: 'MALFORMED',
      });
      expect(await clientOf().verifyAll([{ key }])).toMatchObject([{ valid: false, code: 'MALFORMED' }]);
      expect(calls).toEqual([]);
    },
  );

  describe.each([
    ['a 503', away],
    [
      'a lost connection',
      () => Promise.reject(Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNRESET' } })),
    ],
    ['a page of a proxy', () => new Response('<html>', { status: 200, headers: { 'content-type': 'text/html' } })],
    ['an object that is no verdict', () => Response.json({ valid: 'yes', code: 'VALID' })],
    ['an empty answer', () => new Response(null, { status: 204 })],
  ])('with %s', (_, answer) => {
    beforeEach(() => {
      routes['/verify'] = answer;
      routes['/verify/batch'] = answer;
    });

    it('refuses, and says why to the service', async () => {
      expect(await clientOf().verify({ key: 'k' })).toEqual({
        valid: false,
        code: 'UNAVAILABLE',
        detail: 'The key cannot be checked at the moment.',
        degraded: true,
        retryAfterSeconds: 1,
      });
      expect(outages).toHaveLength(1);
      expect(await clientOf().verifyAll([{ key: 'k' }, { key: 'l' }])).toMatchObject([
        { valid: false, code: 'UNAVAILABLE' },
        { valid: false, code: 'UNAVAILABLE' },
      ]);
    });

    it('lets through where the service chose so, but never what reserves money', async () => {
      const client = clientOf({ failurePolicy: 'open' });
      expect(await client.verify({ key: 'k' })).toMatchObject({ valid: true, code: 'UNAVAILABLE', degraded: true });
      expect(await client.verify({ key: 'k', reserveCents: 1 })).toMatchObject({ valid: false, code: 'UNAVAILABLE' });
      expect(await client.reserve('k', 1)).toMatchObject({ valid: false });
      expect(await client.verifyAll([{ key: 'k' }, { key: 'k', reserveCents: 0 }])).toMatchObject([
        { valid: true },
        { valid: false },
      ]);
    });
  });

  it.each([
    [401, 'UNAUTHENTICATED'],
    [403, 'PERMISSION_DENIED'],
    [400, 'VALIDATION_FAILED'],
  ])('throws a %d, which is the fault of the service, under either policy', async (status, code) => {
    routes['/verify'] = () => Response.json({ code, detail: 'no', status }, { status });
    await expect(clientOf({ failurePolicy: 'open' }).verify({ key: 'k' })).rejects.toMatchObject({
      name: 'LatchkeyProblem',
      status,
      code,
    });
    expect(outages).toEqual([]);
  });

  it('stops asking a server that does not answer, and begins again after a while', async () => {
    routes['/verify'] = away;
    const client = clientOf({ circuitBreaker: { failures: 3, openMs: 2_000 } });
    for (let time = 0; time < 10; time += 1) await client.verify({ key: 'k' });
    expect(calls).toHaveLength(3);
    expect(outages.at(-1)).toMatchObject({ code: 'CIRCUIT_OPEN' });
    routes['/verify'] = () => Response.json(VALID);
    while (!(await client.verify({ key: 'k' })).valid) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await client.verify({ key: 'k' })).toEqual(VALID);
  });

  describe('verifies of one turn', () => {
    /** Decides by the key: `valid…`, else refused. */
    const decided = (key: unknown): Verdict =>
      String(key).startsWith('valid')
        ? { ...VALID, name: String(key) }
        : { valid: false, code: 'REVOKED', degraded: false };
    const problem = (status: number, code: string) => () => Response.json({ code, detail: 'no', status }, { status });

    beforeEach(() => {
      routes['/verify'] = ({ key }) => Response.json(decided(key));
      routes['/verify/batch'] = ({ items }) =>
        Response.json({ results: (items as { key: string }[]).map(({ key }) => decided(key)) });
    });

    it('share a request, and each gets its own verdict', async () => {
      const client = clientOf();
      const names = ['valid-1', 'revoked', 'valid-2'];
      const verdicts = await Promise.all(names.map((key) => client.verify({ key })));
      expect(verdicts.map(({ code, name }) => [code, name])).toEqual([
        ['VALID', 'valid-1'],
        ['REVOKED', undefined],
        ['VALID', 'valid-2'],
      ]);
      expect(calls.map(({ path, body }) => [path, body])).toEqual([
        ['/verify/batch', { items: names.map((key) => ({ key })) }],
      ]);
      expect(client.isFresh(verdicts[0]!)).toBe(true);
    });

    it('come from several callbacks of a turn, as requests of a server do', async () => {
      const client = clientOf();
      const asked: Promise<Verdict>[] = [];
      await new Promise<void>((resolve) => {
        process.nextTick(() => asked.push(client.verify({ key: 'valid-1' })));
        process.nextTick(() => resolve(void asked.push(client.verify({ key: 'valid-2' }))));
      });
      await Promise.all(asked);
      expect(paths()).toEqual(['/verify/batch']);
    });

    it('are one plain verify where there is one, and so is the next turn', async () => {
      const client = clientOf();
      await client.verify({ key: 'valid' });
      await client.verify({ key: 'valid' });
      expect(paths()).toEqual(['/verify', '/verify']);
    });

    it('are asked by themselves where batches are off', async () => {
      const client = clientOf({ batchVerifies: false });
      await Promise.all([client.verify({ key: 'valid' }), client.verify({ key: 'valid' })]);
      expect(paths()).toEqual(['/verify', '/verify']);
    });

    it('are asked in batches that the server takes: 100 questions, and its limit of bytes', async () => {
      const client = clientOf();
      await Promise.all(Array.from({ length: 201 }, (_, index) => client.verify({ key: `valid-${index}` })));
      const sizes = () => calls.map(({ body }) => (body['items'] as unknown[] | undefined)?.length ?? 1);
      expect(sizes()).toEqual([100, 100, 1]);
      calls = [];
      const scopes = Array.from({ length: 100 }, (_, index) => `${index}`.padEnd(128, 'x'));
      await Promise.all(Array.from({ length: 9 }, () => client.verify({ key: 'valid', scopes })));
      expect(sizes()).toEqual([4, 4, 1]);
    });

    it('are kept apart where their signals, times or kinds differ', async () => {
      const client = clientOf();
      const { signal } = new AbortController();
      await Promise.all([
        client.verify({ key: 'valid-1' }),
        client.verify({ key: 'valid-2' }, { signal }),
        client.verify({ key: 'valid-3' }, { timeoutMs: 500 }),
        client.verify({ key: 'valid-4', dryRun: true }),
        client.verify({ key: 'valid-5' }, { signal }),
      ]);
      const asked = calls.map(({ body }) => (body['items'] as { key: string }[] | undefined) ?? [body]);
      expect(asked.map((items) => items.map(({ key }) => key))).toEqual([
        ['valid-1'],
        ['valid-2', 'valid-5'],
        ['valid-3'],
        ['valid-4'],
      ]);
    });

    it('end with their own signal alone', async () => {
      routes['/verify/batch'] = () => new Promise(() => undefined);
      const client = clientOf();
      const ended = new AbortController();
      const both = ['valid-1', 'valid-2'].map((key) => client.verify({ key }, { signal: ended.signal }));
      const other = client.verify({ key: 'valid-3' });
      expect(await other).toMatchObject({ name: 'valid-3' });
      ended.abort(new Error('enough'));
      for (const one of both) await expect(one).rejects.toThrow('enough');
    });

    it('fail one by one: what was not decided is asked by itself, and what is wrong is thrown to its caller', async () => {
      const errors = [{ path: 'model', message: 'is none' }];
      routes['/verify/batch'] = () =>
        Response.json({
          results: [
            decided('valid-1'),
            { valid: false, code: 'UNAVAILABLE', degraded: true },
            { valid: false, code: 'VALIDATION_FAILED', detail: 'model: is none', errors, degraded: false },
            { no: 'verdict' },
          ],
        });
      const client = clientOf();
      const outcomes = await Promise.allSettled(
        ['valid-1', 'valid-2', 'valid-3', 'valid-4'].map((key) => client.verify({ key })),
      );
      expect(outcomes).toMatchObject([
        { value: { name: 'valid-1' } },
        { value: { name: 'valid-2' } },
        { reason: { name: 'LatchkeyProblem', status: 400, code: 'VALIDATION_FAILED', errors } },
        { value: { valid: false, code: 'UNAVAILABLE' } },
      ]);
      expect(paths()).toEqual(['/verify/batch', '/verify']);
      expect(outages).toHaveLength(1);
    });

    it('wait for no other: a verdict comes while a question beside it is asked again', async () => {
      routes['/verify/batch'] = () =>
        Response.json({ results: [decided('valid-1'), { valid: false, code: 'UNAVAILABLE', degraded: true }] });
      let answer = (_response: Response): void => undefined;
      routes['/verify'] = () => new Promise((resolve) => (answer = resolve));
      const client = clientOf();
      const [one, other] = [client.verify({ key: 'valid-1' }), client.verify({ key: 'valid-2' })];
      expect(await one).toMatchObject({ name: 'valid-1' });
      while (calls.length < 2) await settled();
      answer(Response.json(decided('valid-2')));
      expect(await other).toMatchObject({ name: 'valid-2' });
    });

    it('are asked as they were, whatever becomes of their lists', async () => {
      const client = clientOf();
      const scopes = ['read'];
      const both = [client.verify({ key: 'valid-1', scopes }), client.verify({ key: 'valid-2', scopes })];
      scopes[0] = 'admin';
      await Promise.all(both);
      expect(calls[0]!.body).toMatchObject({ items: [{ scopes: ['read'] }, { scopes: ['read'] }] });
    });

    it('are asked by themselves where the batch as a whole is refused for its form', async () => {
      routes['/verify/batch'] = problem(413, 'BODY_TOO_LARGE');
      const client = clientOf();
      const verdicts = await Promise.all(['valid-1', 'revoked'].map((key) => client.verify({ key })));
      expect(verdicts.map(({ code }) => code)).toEqual(['VALID', 'REVOKED']);
      expect(paths()).toEqual(['/verify/batch', '/verify', '/verify']);
    });

    it('all meet an outage, and the fault of the service', async () => {
      routes['/verify/batch'] = away;
      const open = clientOf({ failurePolicy: 'open' });
      const questions = [{ key: 'valid-1' }, { key: 'valid-2', reserveCents: 1 }];
      const verdicts = await Promise.all(questions.map((question) => open.verify(question)));
      expect(verdicts).toMatchObject([
        { valid: true, code: 'UNAVAILABLE' },
        { valid: false, code: 'UNAVAILABLE' },
      ]);
      expect(outages).toHaveLength(2);
      routes['/verify/batch'] = problem(403, 'PERMISSION_DENIED');
      const refused = await Promise.allSettled(questions.map((question) => open.verify(question)));
      expect(refused).toMatchObject(questions.map(() => ({ reason: { status: 403 } })));
    });
  });

  describe('drops a verdict that is older than 5 seconds', () => {
    beforeEach(() => {
      routes['/verify'] = ({ reserveCents }) => {
        // The host sleeps while the answer is on its way: only the wall clock knows.
        const woken = Date.now() + 5_001;
        jest.spyOn(Date, 'now').mockReturnValue(woken);
        return Response.json(reserveCents === undefined ? VALID : { ...VALID, reservation: RESERVATION });
      };
    });

    it('and refuses', async () => {
      expect(await clientOf().verify({ key: 'k' })).toMatchObject({ valid: false, code: 'UNAVAILABLE' });
    });

    it('and releases what it holds', async () => {
      const client = clientOf();
      expect(await client.reserve('k', 5)).toMatchObject({ valid: false, code: 'UNAVAILABLE' });
      await settled();
      expect(calls.at(-1)).toMatchObject({ path: '/reservations/release', body: { reservationId: RESERVATION.id } });
    });

    it('but keeps a refusal, which does no harm', async () => {
      const refuse = routes['/verify']!;
      routes['/verify'] = async (body) => {
        await refuse(body);
        return Response.json({ valid: false, code: 'REVOKED', degraded: false });
      };
      expect(await clientOf({ failurePolicy: 'open' }).verify({ key: 'k' })).toMatchObject({
        valid: false,
        code: 'REVOKED',
      });
    });
  });

  it('knows how old a verdict is', async () => {
    const client = clientOf();
    const verdict = await client.verify({ key: 'k' });
    expect(client.isFresh(verdict)).toBe(true);
    jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 5_100);
    expect(client.isFresh(verdict)).toBe(false);
  });

  it('treats a verdict that holds nothing, though it was to, as none', async () => {
    expect(await clientOf({ failurePolicy: 'open' }).reserve('k', 5)).toMatchObject({
      valid: false,
      code: 'UNAVAILABLE',
    });
  });

  describe('a call with a reservation', () => {
    beforeEach(() => {
      routes['/verify'] = () => Response.json({ ...VALID, reservation: RESERVATION });
    });
    const settlement = () =>
      (calls.find(({ path }) => path === '/usage')?.body['events'] as Record<string, unknown>[] | undefined)?.[0];

    it('settles the last word of the work, without waiting for that', async () => {
      const client = clientOf();
      const answer = await client.withReservation(
        'k',
        5,
        (hold) => {
          hold.record({ costCents: 1 });
          hold.record({ costCents: 2, outputTokens: 7 });
          return 'done';
        },
        { model: 'gpt' },
      );
      expect(answer).toBe('done');
      await client.flush();
      expect(calls[0]!.body).toEqual({ key: 'k', model: 'gpt', reserveCents: 5 });
      expect(settlement()).toEqual({
        id: expect.stringMatching(/^settle-[\w-]{43}$/),
        reservationId: RESERVATION.id,
        costCents: 2,
        outputTokens: 7,
      });
    });

    it('is charged what was held where the work says nothing', async () => {
      const client = clientOf();
      await client.withReservation('k', 5, () => undefined);
      await client.flush();
      expect(settlement()).toEqual({ id: expect.any(String), reservationId: RESERVATION.id });
    });

    it('releases where the work fails before it has used anything', async () => {
      const client = clientOf();
      await expect(client.withReservation('k', 5, () => Promise.reject(new Error('upstream is down')))).rejects.toThrow(
        'upstream is down',
      );
      await client.close();
      expect(paths()).toEqual(['/verify', '/reservations/release']);
    });

    it('settles what was used where the work fails after that', async () => {
      const client = clientOf();
      const work = client.withReservation('k', 5, (hold) => {
        hold.record({ costCents: 0.25 });
        throw new Error('the client left');
      });
      await expect(work).rejects.toThrow('the client left');
      await client.close();
      expect(paths()).toEqual(['/verify', '/usage']);
      expect(settlement()).toMatchObject({ costCents: 0.25 });
    });

    const answerUsage = (result: object, status = 400) => {
      routes['/usage'] = ({ events }) => {
        const results = (events as { id: string }[]).map(({ id }) => ({ id, ...result }));
        return Response.json({ code: 'VALIDATION_FAILED', detail: 'x', status, results }, { status });
      };
    };

    it.each([
      [
        'invalid',
        { outcome: 'invalid', errors: [{ path: 'costCents', message: 'must be an amount of cents' }] },
        400,
        'The event was refused: costCents: must be an amount of cents',
      ],
      ['conflict', { outcome: 'conflict' }, 409, 'The settlement was not booked: conflict.'],
      ['already-settled', { outcome: 'already-settled' }, 409, 'The settlement was not booked: already-settled.'],
    ])('throws what the work gave where the settlement is refused as %s', async (outcome, result, status, message) => {
      answerUsage(result, status);
      const problems: unknown[] = [];
      const client = clientOf({ usage: { onProblem: (problem) => problems.push(problem) } });
      const error = await client
        .withReservation('k', 5, (hold) => {
          hold.record({ costCents: -1 });
          return 'done';
        })
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(SettlementRefused);
      expect(error).toMatchObject({
        name: 'SettlementRefused',
        code: 'SETTLEMENT_REFUSED',
        outcome,
        message,
        result: 'done',
        event: { reservationId: RESERVATION.id, costCents: -1 },
      });
      expect([problems.length, client.lostUsage]).toEqual([1, 1]);
    });

    it('does not wait for the answer to its settlement for longer than it is told to', async () => {
      routes['/usage'] = () => new Promise<Response>(() => undefined);
      for (const settlementWaitMs of [0, 30]) {
        const client = clientOf({ settlementWaitMs, usage: { onProblem: () => undefined } });
        expect(await client.withReservation('k', 5, () => 'done')).toBe('done');
        expect(client.queuedUsage).toBe(1);
        expect(await client.close({ timeoutMs: 1 })).toHaveLength(1);
      }
    });

    it('throws what the work throws, also where the settlement is refused', async () => {
      answerUsage({ outcome: 'invalid', errors: [] });
      const client = clientOf({ usage: { onProblem: () => undefined } });
      const work = client.withReservation('k', 5, (hold) => {
        hold.record({ costCents: 1 });
        throw new Error('the client left');
      });
      await expect(work).rejects.toThrow('the client left');
      await client.close();
      expect(client.lostUsage).toBe(1);
    });

    it('does not begin when the key may not', async () => {
      routes['/verify'] = () =>
        Response.json({
          valid: false,
          code: 'BUDGET_EXCEEDED',
          detail: 'Spent.',
          retryAfterSeconds: 60,
          degraded: false,
        });
      const work = jest.fn();
      const refused = clientOf().withReservation('k', 5, work);
      await expect(refused).rejects.toMatchObject({
        name: 'KeyRefused',
        code: 'BUDGET_EXCEEDED',
        message: 'Spent.',
        retryAfterSeconds: 60,
      });
      expect(work).not.toHaveBeenCalled();
    });

    it('does not begin when its settlement would have no place', async () => {
      const client = clientOf({ usage: { maxQueued: 1, collectMs: 60_000, onProblem: () => undefined } });
      void client.reportUsage({ apiKeyId: VALID.keyId! });
      await expect(client.withReservation('k', 5, () => undefined)).rejects.toMatchObject({ code: 'QUEUE_FULL' });
      expect(paths()).toEqual([]);
      await client.close();
    });

    it('gives its place back after a refusal', async () => {
      routes['/verify'] = () => Response.json({ valid: false, code: 'REVOKED', degraded: false });
      const client = clientOf({ usage: { maxQueued: 1 } });
      for (let time = 0; time < 3; time += 1)
        await expect(client.withReservation('k', 5, () => undefined)).rejects.toMatchObject({ code: 'REVOKED' });
      expect(await client.close()).toEqual([]);
    });
  });

  it('gives the verdict of each item, also where the form of one is wrong', async () => {
    const misshapen: Verdict = {
      valid: false,
      code: 'VALIDATION_FAILED',
      detail: 'model: x',
      degraded: false,
      errors: [{ path: 'model', message: 'x' }],
    };
    routes['/verify/batch'] = () => Response.json({ results: [VALID, misshapen] });
    expect(await clientOf().verifyAll([{ key: 'a' }, { key: 'b', model: '\n' }])).toEqual([VALID, misshapen]);
    expect(outages).toEqual([]);
  });

  it('takes null in a question for absent', async () => {
    expect(await clientOf().verify({ key: 'k', reserveCents: null, model: null })).toEqual(VALID);
    routes['/verify'] = away;
    expect(await clientOf({ failurePolicy: 'open' }).verify({ key: 'k', reserveCents: null })).toMatchObject({
      valid: true,
      code: 'UNAVAILABLE',
    });
  });

  it('settles the same reservation under the same id', async () => {
    const client = clientOf();
    await client.settle(RESERVATION, { costCents: 1 });
    await client.settle(RESERVATION.id, { costCents: 1 });
    const ids = calls.map(({ body }) => (body['events'] as { id: string }[])[0]!.id);
    expect(new Set(ids).size).toBe(1);
  });

  it('reads the outcomes of a conflict', async () => {
    const problems: unknown[] = [];
    routes['/usage'] = ({ events }) => {
      const [{ id }] = events as [{ id: string }];
      const members = { accepted: 0, duplicates: 0, results: [{ id, outcome: 'conflict' }] };
      return Response.json(
        { code: 'USAGE_CONFLICT', detail: 'x', status: 409, ...members },
        { status: 409, headers: { 'content-type': 'application/problem+json' } },
      );
    };
    const client = clientOf({ usage: { onProblem: (problem) => problems.push(problem) } });
    const result = client.reportUsage({ id: 'a', apiKeyId: VALID.keyId! });
    await client.flush();
    expect(await result).toEqual({ id: 'a', outcome: 'conflict' });
    expect(problems).toEqual([
      { kind: 'not-booked', event: { id: 'a', apiKeyId: VALID.keyId }, result: { id: 'a', outcome: 'conflict' } },
    ]);
  });

  it('makes a key once, however often the connection breaks', async () => {
    let attempts = 0;
    routes['/api-keys'] = () => {
      attempts += 1;
      if (attempts < 3) throw Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNRESET' } });
      return Response.json({ apiKey: {}, secretKey: 's' }, { status: 201 });
    };
    await clientOf({ attempts: 3 }).keys.create({ name: 'Billing' });
    expect(new Set(calls.map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
    expect(calls).toHaveLength(3);
  });

  it('never puts a value into the path as a path', async () => {
    routes['/api-keys/..%2Fusers%3Fx'] = () => Response.json({});
    await clientOf().keys.get('../users?x');
    expect(paths()).toEqual(['/api-keys/..%2Fusers%3Fx']);
    await expect(clientOf().keys.get('..')).rejects.toThrow('id must be given.');
    await expect(clientOf().keys.revoke('')).rejects.toThrow('id must be given.');
  });

  it('shows its key to nobody', async () => {
    routes['/verify'] = () =>
      Promise.reject(Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNRESET' } }));
    const client = clientOf();
    await client.verify({ key: 'k' });
    for (const text of [
      inspect(client, { depth: 10, showHidden: true }),
      JSON.stringify(client),
      inspect(outages, { depth: 10 }),
    ])
      expect(text).not.toContain('canary');
  });

  it('refuses a policy that is none', () => {
    expect(() => clientOf({ failurePolicy: 'Open' as 'open' })).toThrow("failurePolicy must be 'closed' or 'open'.");
  });
});
