import { beforeEach, describe, expect, it } from '@jest/globals';
import { LatchkeyClient, type LatchkeyClientOptions } from './client.js';
import type { Verdict } from './contract.js';
import type { CallHold } from './held-calls.js';

const RESERVATION = { id: 'reservation-1', expiresAt: '2030-01-31T12:00:00.000Z', cents: 5 };
const VALID: Verdict = { valid: true, code: 'VALID', keyId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', degraded: false };

describe('a call that holds what it was asked to', () => {
  /** What the server answers, by path. */
  let routes: Record<string, (body: Record<string, unknown>) => Response>;
  let calls: { path: string; body: Record<string, unknown> }[];

  beforeEach(() => {
    calls = [];
    routes = {
      '/verify': () => Response.json({ ...VALID, reservation: RESERVATION }),
      '/reservations/release': () => Response.json({ released: true, cents: 5 }),
      '/usage': ({ events }) => {
        const results = (events as { id: string }[]).map(({ id }) => ({ id, outcome: 'accepted' }));
        return Response.json({ accepted: results.length, duplicates: 0, results });
      },
    };
  });
  const clientOf = (options: Partial<LatchkeyClientOptions> = {}) =>
    new LatchkeyClient({
      baseUrl: 'http://latchkey.test',
      key: 'lk_live_service',
      attempts: 1,
      fetch: (url, init) => {
        const path = new URL(url).pathname.replace('/api/v1', '');
        const body = JSON.parse((init?.body as string | undefined) ?? '{}') as Record<string, unknown>;
        calls.push({ path, body });
        return Promise.resolve(routes[path]!(body));
      },
      ...options,
    });
  const paths = () => calls.map(({ path }) => path);
  const settlement = () =>
    (calls.find(({ path }) => path === '/usage')?.body['events'] as Record<string, unknown>[] | undefined)?.[0];

  it('holds what the request names, and settles by the reservation', async () => {
    const client = clientOf();
    const answer = await client.withReservation('k', { cents: 5, tokens: 900, ttlSeconds: 40 }, () => 'done');
    expect(answer).toBe('done');
    await client.flush();
    expect(calls[0]!.body).toEqual({ key: 'k', reserveCents: 5, reserveTokens: 900, reservationTtlSeconds: 40 });
    expect(settlement()).toMatchObject({ reservationId: RESERVATION.id });
  });

  it('renews at a third of the time to live, until the work ends, also where an answer is missing', async () => {
    let renewals = 0;
    routes['/reservations/renew'] = () => {
      renewals += 1;
      return renewals === 2
        ? Response.json({ code: 'UNAVAILABLE', status: 503 }, { status: 503 })
        : Response.json({ renewed: true, expiresAt: '2030-01-31T12:00:00.000Z' });
    };
    const client = clientOf({ attempts: 1 });
    const runs = async () => {
      while (renewals < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    await client.withReservation('k', { ttlSeconds: 0.06 }, runs);
    const sent = calls.filter(({ path }) => path === '/reservations/renew');
    expect(sent[0]!.body).toEqual({ reservationId: RESERVATION.id, ttlSeconds: 0.06 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(calls.filter(({ path }) => path === '/reservations/renew')).toHaveLength(sent.length);
    await client.close();
  });

  it('does not renew again what has ended or is not renewed, also beside an amount', async () => {
    let code = 'RESERVATION_ENDED';
    routes['/reservations/renew'] = () => Response.json({ code, status: 409 }, { status: 409 });
    const client = clientOf();
    const works = () => new Promise<void>((resolve) => setTimeout(resolve, 60));
    await client.withReservation('k', { ttlSeconds: 0.03 }, works);
    expect(paths().filter((path) => path === '/reservations/renew')).toHaveLength(1);
    code = 'RESERVATION_NOT_RENEWABLE';
    await client.withReservation('k', { cents: 1, ttlSeconds: 0.03 }, works);
    expect(paths().filter((path) => path === '/reservations/renew')).toHaveLength(2);
    await client.close();
  });

  it('holds nothing where no limit of calls in flight binds the key, and reports what is recorded', async () => {
    routes['/verify'] = () => Response.json(VALID);
    const client = clientOf();
    await client.withReservation('k', {}, () => undefined);
    await client.flush();
    expect(paths()).toEqual(['/verify']);
    await client.withReservation('k', {}, (hold) => {
      expect(hold.reservation).toBeUndefined();
      hold.record({ id: 'recorded', outputTokens: 7 });
    });
    await client.flush();
    expect(settlement()).toEqual({ id: 'recorded', apiKeyId: VALID.keyId, outputTokens: 7 });
  });

  it('settles what the key holds of tokens unasked, and says 0 where the call is to hold none', async () => {
    const reservation = { ...RESERVATION, tokens: 4000, assumed: true };
    routes['/verify'] = (body) => Response.json(body['reserveTokens'] === 0 ? VALID : { ...VALID, reservation });
    const client = clientOf();
    await client.withReservation('k', {}, (hold) => {
      expect(hold.reservation).toEqual(reservation);
      hold.record({ inputTokens: 30, outputTokens: 7 });
    });
    await client.flush();
    expect(settlement()).toMatchObject({ reservationId: RESERVATION.id, inputTokens: 30, outputTokens: 7 });
    expect(settlement()).not.toHaveProperty('apiKeyId');
    const nothing = (hold: CallHold) => expect(hold.reservation).toBeUndefined();
    await client.withReservation('k', { tokens: 0 }, nothing);
    const failing = () => Promise.reject(new Error('the provider is away'));
    await expect(client.withReservation('k', {}, failing)).rejects.toThrow('the provider is away');
    await client.close();
    expect(calls.at(-1)).toEqual({ path: '/reservations/release', body: { reservationId: RESERVATION.id } });
  });

  it('tells which limit refused', async () => {
    const limit = { id: 'l', name: 'Streams', unit: 'slots', per: null, state: 'exhausted' };
    routes['/verify'] = () => Response.json({ valid: false, code: 'CONCURRENCY_LIMITED', limit, degraded: false });
    const refused = clientOf().withReservation('k', {}, () => undefined);
    await expect(refused).rejects.toMatchObject({ code: 'CONCURRENCY_LIMITED', limit });
  });
});
