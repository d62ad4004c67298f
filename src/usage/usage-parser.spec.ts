import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ReservationSigner, type Reservation } from '../quotas/reservation.js';
import { entryOf } from './usage-entry.js';
import { type ParserContext, parseReports } from './usage-parser.js';

const KEY = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';
const OTHER = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e66';
const CALLER = '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55';
const signer = new ReservationSigner([{ version: '1', key: Buffer.alloc(32, 1) }]);
const reservation: Reservation = {
  keyId: KEY,
  reservationId: '019a8b5e-1111-7cc3-b4a1-3a7c2f1d9e55',
  callerId: CALLER,
  amount: 1_500_000n,
  month: '2026-11-01',
  expiresAtMs: 0,
  isDefaultHold: false,
  holds: [],
};
const context: ParserContext = { now: new Date('2026-11-21T12:00:00Z'), callerId: CALLER, openReservation: (text) => signer.open(text) };

const errorsOf = (event: unknown) => {
  const parsed = parseReports({ events: [event] }, context);
  return 'errors' in parsed ? parsed.errors.map(({ path }) => path) : [];
};
const reportOf = (event: unknown) => {
  const parsed = parseReports({ events: [event] }, context);
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
  return parsed.reports[0]!;
};

describe('A reported event', () => {
  it('has defaults', () => {
    expect(reportOf({ id: 'a', apiKeyId: KEY.toUpperCase() })).toMatchObject({ keyId: KEY, requests: 1, inputTokens: 0, outputTokens: 0, costMicroCents: null, model: null });
  });

  it('is of the key of its reservation, with or without naming it', () => {
    const reservationId = signer.sign(reservation);
    expect(reportOf({ id: 'a', reservationId }).keyId).toBe(KEY);
    expect(reportOf({ id: 'a', reservationId, apiKeyId: KEY }).reservation).toMatchObject({ amount: 1_500_000n });
  });

  it.each([
    ['neither key nor reservation', {}, 'events.0.apiKeyId'],
    ['another key than that of the reservation', { apiKeyId: OTHER, reservationId: signer.sign(reservation) }, 'events.0.apiKeyId'],
    ['a reservation of another caller', { reservationId: signer.sign({ ...reservation, callerId: OTHER }) }, 'events.0.reservationId'],
    ['a reservation that somebody else signed', { reservationId: new ReservationSigner([{ version: '1', key: Buffer.alloc(32, 2) }]).sign(reservation) }, 'events.0.reservationId'],
    ['a seventh decimal', { apiKeyId: KEY, costCents: 1e-7 }, 'events.0.costCents'],
    ['a cost above 10⁹ cents', { apiKeyId: KEY, costCents: 1_000_000_000.5 }, 'events.0.costCents'],
    ['a time five minutes and a second ahead', { apiKeyId: KEY, occurredAt: '2026-11-21T12:05:01Z' }, 'events.0.occurredAt'],
    ['a day that does not exist', { apiKeyId: KEY, occurredAt: '2026-02-30T00:00:00Z' }, 'events.0.occurredAt'],
    ['an endpoint of 257 characters', { apiKeyId: KEY, endpoint: 'x'.repeat(257) }, 'events.0.endpoint'],
    ['null for a field', { apiKeyId: KEY, model: null }, 'events.0.model'],
  ])('is refused with %s', (_, fields, path) => {
    expect(errorsOf({ id: 'a', ...fields })).toEqual([path]);
  });

  it('is charged what was reserved, unless it names its cost', () => {
    const reservationId = signer.sign(reservation);
    expect(entryOf(CALLER, reportOf({ id: 'a', reservationId })).chargeMicroCents).toBe(1_500_000n);
    expect(entryOf(CALLER, reportOf({ id: 'a', reservationId, costCents: 0 })).chargeMicroCents).toBe(0n);
    expect(entryOf(CALLER, reportOf({ id: 'a', apiKeyId: KEY })).chargeMicroCents).toBe(0n);
  });

  it('names at most a hundred wrong fields', () => {
    const parsed = parseReports({ events: Array.from({ length: 1000 }, () => ({ a: 1, b: 2 })) }, context);
    expect('errors' in parsed && parsed.errors).toHaveLength(100);
  });

  it('has one payload hash however it is spelt, and another for every change', () => {
    const fields = fc.record(
      {
        requests: fc.integer({ min: 2, max: 9 }),
        inputTokens: fc.integer({ min: 1, max: 9 }),
        outputTokens: fc.integer({ min: 1, max: 9 }),
        costCents: fc.integer({ min: 1, max: 9 }),
        model: fc.constantFrom('a', 'b'),
        chatbot: fc.constantFrom('a', 'b'),
        endpoint: fc.constantFrom('a', 'b'),
        statusCode: fc.integer({ min: 200, max: 205 }),
        latencyMs: fc.integer({ min: 1, max: 9 }),
        occurredAt: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z'),
      },
      { requiredKeys: [] },
    );
    const hashOf = (event: object) => entryOf(CALLER, reportOf({ id: 'a', apiKeyId: KEY, ...event })).payloadHash;
    fc.assert(
      fc.property(fields, fields, (one, other) => {
        const reversed = Object.fromEntries(Object.entries(one).reverse());
        expect(hashOf(reversed)).toBe(hashOf(one));
        const same = (a: Record<string, unknown>, b: Record<string, unknown>) => Object.keys({ ...a, ...b }).every((name) => a[name] === b[name]);
        expect(hashOf(one) === hashOf(other)).toBe(same(one, other));
      }),
    );
  });
});
