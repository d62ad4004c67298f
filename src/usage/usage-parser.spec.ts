import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ReservationSigner, type Reservation } from '../quotas/reservation.js';
import { entryOf, isRepeatOf } from './usage-entry.js';
import { type ParserContext, type ReadEvent, parseReports } from './usage-parser.js';

const KEY = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';
const OTHER = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e66';
const CALLER = '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55';
const signer = new ReservationSigner([{ version: '1', key: Buffer.alloc(32, 1) }]);
const reservation: Reservation = {
  keyId: KEY,
  reservationId: '019a8b5e-1111-7cc3-b4a1-3a7c2f1d9e55',
  callerId: CALLER,
  amount: 1_500_000n,
  tokens: 0n,
  month: '2026-11-01',
  expiresAtMs: 0,
  isDefaultHold: false,
  holds: [],
};
const context: ParserContext = {
  now: new Date('2026-11-21T12:00:00Z'),
  callerId: CALLER,
  openReservation: (text) => signer.open(text),
  showsSecret: (text) => text.includes('SECRET'),
};

const readingOf = (event: unknown) => {
  const parsed = parseReports({ events: [event] }, context);
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
  return parsed.events[0]!;
};
const errorsOf = (event: unknown) => {
  const reading = readingOf(event);
  return 'errors' in reading ? reading.errors.map(({ path }) => path) : [];
};
const readOf = (event: unknown): ReadEvent => {
  const reading = readingOf(event);
  if ('errors' in reading) throw new Error(JSON.stringify(reading.errors));
  return reading;
};
const reportOf = (event: unknown) => readOf(event).report;

describe('A secret in a reported event', () => {
  it.each(['model', 'chatbot', 'endpoint', 'id'])('is refused in %s, and not repeated', (name) => {
    const reading = readingOf({ id: 'a', apiKeyId: KEY, [name]: 'x SECRET y' });
    expect('errors' in reading && reading.errors).toEqual([{ path: name, message: 'must not contain an API key' }]);
    expect(JSON.stringify(reading)).not.toContain('SECRET');
  });

  it('is dropped with its label where a reservation is settled, also from one that is too long', () => {
    for (const endpoint of ['SECRET', `SECRET${'x'.repeat(300)}`]) {
      const { report, labelsCut } = readOf({ id: 'a', reservationId: signer.sign(reservation), model: 'm', endpoint });
      expect([report.endpoint, report.model, labelsCut]).toEqual([null, 'm', ['endpoint']]);
    }
  });
});

describe('A reported event', () => {
  it('has defaults', () => {
    expect(reportOf({ id: 'a', apiKeyId: KEY.toUpperCase() })).toMatchObject({
      keyId: KEY,
      requests: 1,
      inputTokens: 0,
      outputTokens: 0,
      costMicroCents: null,
      model: null,
    });
  });

  it('is of the key of its reservation, with or without naming it', () => {
    const reservationId = signer.sign(reservation);
    expect(reportOf({ id: 'a', reservationId }).keyId).toBe(KEY);
    expect(reportOf({ id: 'a', reservationId, apiKeyId: KEY }).reservation).toMatchObject({ amount: 1_500_000n });
  });

  it.each([
    ['neither key nor reservation', {}, 'apiKeyId'],
    [
      'another key than that of the reservation',
      { apiKeyId: OTHER, reservationId: signer.sign(reservation) },
      'apiKeyId',
    ],
    [
      'a reservation of another caller',
      { reservationId: signer.sign({ ...reservation, callerId: OTHER }) },
      'reservationId',
    ],
    [
      'a reservation that another key signed',
      { reservationId: new ReservationSigner([{ version: '1', key: Buffer.alloc(32, 2) }]).sign(reservation) },
      'reservationId',
    ],
    ['a cost as text', { apiKeyId: KEY, costCents: '1' }, 'costCents'],
    ['a cost that is negative', { apiKeyId: KEY, costCents: -1e-7 }, 'costCents'],
    ['a cost above 10⁹ cents', { apiKeyId: KEY, costCents: 1_000_000_000.5 }, 'costCents'],
    ['a time five minutes and a second ahead', { apiKeyId: KEY, occurredAt: '2026-11-21T12:05:01Z' }, 'occurredAt'],
    ['a day that does not exist', { apiKeyId: KEY, occurredAt: '2026-02-30T00:00:00Z' }, 'occurredAt'],
    ['an endpoint of 257 characters', { apiKeyId: KEY, endpoint: 'x'.repeat(257) }, 'endpoint'],
    ['a line end in the model', { apiKeyId: KEY, model: 'gpt-4o\n' }, 'model'],
    ['null for every id', { apiKeyId: null, reservationId: null }, 'apiKeyId'],
  ])('is refused with %s', (_, fields, path) => {
    expect(errorsOf({ id: 'a', ...fields })).toEqual([path]);
  });

  it('is charged what was reserved, unless it names its cost', () => {
    const reservationId = signer.sign(reservation);
    expect(entryOf(CALLER, reportOf({ id: 'a', reservationId })).chargeMicroCents).toBe(1_500_000n);
    expect(entryOf(CALLER, reportOf({ id: 'a', reservationId, costCents: 0 })).chargeMicroCents).toBe(0n);
    expect(entryOf(CALLER, reportOf({ id: 'a', apiKeyId: KEY })).chargeMicroCents).toBe(0n);
  });

  it('is charged a computed cost, rounded half up to the micro-cent', () => {
    expect(reportOf({ id: 'a', apiKeyId: KEY, costCents: 0.1 + 0.2 }).costMicroCents).toBe(300_000n);
    expect(reportOf({ id: 'a', apiKeyId: KEY, costCents: 0.0000005 }).costMicroCents).toBe(1n);
    expect(reportOf({ id: 'a', apiKeyId: KEY, costCents: 1e-7 }).costMicroCents).toBe(0n);
  });

  it('takes null for absent', () => {
    const nulls = {
      requests: null,
      inputTokens: null,
      costCents: null,
      model: null,
      chatbot: null,
      endpoint: null,
      statusCode: null,
      latencyMs: null,
      occurredAt: null,
      tags: [],
    };
    expect(readOf({ id: 'a', apiKeyId: KEY, reservationId: null, ...nulls })).toEqual(
      readOf({ id: 'a', apiKeyId: KEY }),
    );
  });

  it('names at most ten of its wrong fields', () => {
    const fields = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`member${index}`, index]));
    expect(errorsOf({ id: 'a', ...fields })).toHaveLength(10);
  });

  it('settles its reservation whatever its labels say, and names those', () => {
    const wrong = {
      requests: 0,
      inputTokens: -1,
      outputTokens: 1.5,
      model: `gpt-4o\n${'x'.repeat(600)}`,
      chatbot: '\u0007',
      endpoint: 7,
      statusCode: 99,
      latencyMs: 'fast',
      occurredAt: '2026-11-21T13:00:00Z',
    };
    const { report, labelsCut } = readOf({
      id: 'a',
      reservationId: signer.sign(reservation),
      costCents: 1.25,
      ...wrong,
    });
    expect(report).toMatchObject({
      costMicroCents: 1_250_000n,
      keyId: KEY,
      requests: 1,
      inputTokens: 0,
      outputTokens: 0,
      chatbot: null,
      endpoint: null,
      statusCode: null,
      latencyMs: null,
      occurredAt: null,
      tags: [],
    });
    expect(report.model).toBe(`gpt-4o${'x'.repeat(122)}`);
    expect([...labelsCut].sort()).toEqual(Object.keys(wrong).sort());
  });

  it.each([
    ['its cost', { costCents: '1' }, ['costCents']],
    ['its id', { id: 'a\n' }, ['id']],
    ['a member that there is not', { costcents: 1 }, ['costcents']],
    ['the signature of the reservation', { reservationId: 'forged' }, ['model']],
  ])('is refused with a reservation where %s is wrong', (_, fields, paths) => {
    expect(
      errorsOf({
        id: 'a',
        reservationId: signer.sign(reservation),
        model: 'fine',
        ...fields,
        ...('reservationId' in fields ? { model: '\n' } : {}),
      }),
    ).toEqual(paths);
  });

  it('has the payload hash of the released form, so that replicas of another build take it for the same', () => {
    const full = {
      requests: 2,
      inputTokens: 812,
      outputTokens: 164,
      costCents: 1.25,
      model: 'gpt-4o-mini',
      chatbot: 'support-bot',
      endpoint: 'POST /v1/chat',
      statusCode: 200,
      latencyMs: 412.5,
      occurredAt: '2026-11-21T11:32:55.120Z',
    };
    const reservationId = signer.sign(reservation);
    const hashOf = (event: object) => entryOf(CALLER, reportOf({ id: 'a', ...event })).payloadHash;
    // Computed by the build of commit 88cb0f3.
    expect(hashOf({ apiKeyId: KEY })).toBe('38fda5223f62d4494d5b6055ebc9894a');
    expect(hashOf({ apiKeyId: KEY, costCents: 0 })).toBe('c4a7e9072c5f9c97683748450ccde85d');
    expect(hashOf({ apiKeyId: KEY, ...full })).toBe('1883f7ecc25452c740cb3ccf4b2b95e3');
    expect(hashOf({ reservationId })).toBe('fd5371ee2cdbc1a11c852b2f2da49a75');
    expect(hashOf({ reservationId, costCents: 0 })).toBe('e0471a6ba04d2de77ff5989d4c13dbf4');
    expect(hashOf({ reservationId, ...full })).toBe('4aaf8527604b4a49ea35c0f93ba3d93b');
    expect(hashOf({ apiKeyId: KEY, model: 'é 日本' })).toBe('7e50e4240b651e7356cd634f31162870');
  });

  it('is a repeat of one that means the same: without a reservation, no cost is 0', () => {
    const entry = (event: object) => entryOf(CALLER, reportOf({ id: 'a', ...event }));
    const isRepeat = (again: object, booked: object) => isRepeatOf(entry(again), entry(booked).payloadHash);
    const free = { apiKeyId: KEY, model: 'm' };
    expect(isRepeat({ ...free, costCents: 0 }, free)).toBe(true);
    expect(isRepeat(free, { ...free, costCents: 0 })).toBe(true);
    expect(isRepeat({ ...free, costCents: -0 }, free)).toBe(true);
    expect(isRepeat({ ...free, costCents: 0, model: 'other' }, free)).toBe(false);
    expect(isRepeat({ ...free, costCents: 1 }, free)).toBe(false);
    const reservationId = signer.sign(reservation);
    expect(isRepeat({ reservationId, costCents: 0 }, { reservationId })).toBe(false);
    expect(isRepeat({ reservationId }, { reservationId, costCents: 0 })).toBe(false);
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
        const same = (a: Record<string, unknown>, b: Record<string, unknown>) =>
          Object.keys({ ...a, ...b }).every((name) => a[name] === b[name]);
        expect(hashOf(one) === hashOf(other)).toBe(same(one, other));
      }),
    );
  });
});
