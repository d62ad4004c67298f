import { describe, expect, it } from '@jest/globals';
import { LIMIT_TARGETS, LIMIT_UNITS, MEMBERS_OF, type SaidLimit, limitSentence, limitSentenceParts } from './limit.js';

const LIMIT: SaidLimit = {
  target: { kind: 'project', name: 'Search' },
  each: 'owner',
  unit: 'cents',
  per: 'month',
  timeZone: 'Europe/Berlin',
  amount: 5000,
  models: ['gpt-4*'],
  mode: 'enforce',
};
const KEY = { kind: 'key', name: 'Billing' } as const;
const OWNER = { kind: 'owner', name: 'Ada Lovelace' } as const;
const ALL = { kind: 'installation', name: null } as const;

describe('The sentence of a limit', () => {
  it.each<[Partial<SaidLimit>, string]>([
    [{}, 'Each owner in project Search may spend at most 50.00 USD per month (Europe/Berlin) on gpt-4*.'],
    [
      { each: 'key', per: 'day', timeZone: 'UTC', models: [] },
      'Each key in project Search may spend at most 50.00 USD per day (UTC).',
    ],
    [
      { each: null, per: 'total', models: ['a', 'b', 'c*'] },
      'All keys in project Search together may spend at most 50.00 USD in total on a, b and c*.',
    ],
    [
      { target: KEY, each: null, per: 'week', models: ['o1', 'o3'] },
      'Key Billing may spend at most 50.00 USD per week (Europe/Berlin) on o1 and o3.',
    ],
    [
      { target: OWNER, each: null, models: [] },
      'All keys of owner Ada Lovelace together may spend at most 50.00 USD per month (Europe/Berlin).',
    ],
    [
      { target: OWNER, each: 'key', models: [] },
      'Each key of owner Ada Lovelace may spend at most 50.00 USD per month (Europe/Berlin).',
    ],
    [
      { target: KEY, each: 'subject', models: [] },
      'Each subject of key Billing may spend at most 50.00 USD per month (Europe/Berlin).',
    ],
    [
      { target: OWNER, each: 'subject', models: [] },
      'Each subject of owner Ada Lovelace may spend at most 50.00 USD per month (Europe/Berlin).',
    ],
    [
      { target: ALL, each: null, models: [], amount: 123_456_789 },
      'All keys together may spend at most 1,234,567.89 USD per month (Europe/Berlin).',
    ],
    [
      { target: ALL, each: 'owner', per: 'total', models: [], amount: 0 },
      'Each owner may spend at most 0.00 USD in total.',
    ],
    [{ target: ALL, each: 'key', per: 'total', models: [] }, 'Each key may spend at most 50.00 USD in total.'],
    [
      { target: { kind: 'project', name: null }, each: null, per: 'total', models: [] },
      'All keys in project that is gone together may spend at most 50.00 USD in total.',
    ],
    [
      { mode: 'observe', models: [], per: 'total' },
      'Each owner in project Search may spend at most 50.00 USD in total; this is only observed, nothing is refused.',
    ],
    [
      { unit: 'requests', per: 'minute', timeZone: 'UTC', amount: 600, models: [] },
      'Each owner in project Search may make at most 600 calls per minute.',
    ],
    [
      { unit: 'tokens', per: 'minute', timeZone: 'UTC', amount: 100_000, models: [] },
      'Each owner in project Search may use at most 100,000 tokens per minute.',
    ],
    [
      { unit: 'requests', per: 'hour', timeZone: 'UTC', amount: 1, each: null },
      'All keys in project Search together may make at most 1 call per hour on gpt-4*.',
    ],
  ])('%j', (fields, sentence) => {
    expect(limitSentence({ ...LIMIT, ...fields }, 'USD')).toBe(sentence);
  });

  it.each([
    [0.000001, '0.00000001'],
    [0.1, '0.001'],
    [1, '0.01'],
    [150, '1.50'],
    [99_999, '999.99'],
    [100_000, '1,000.00'],
    [1_000_000_000, '10,000,000.00'],
  ])('has %p cents as %s, to the last digit', (amountCents, text) => {
    expect(limitSentence({ ...LIMIT, amount: amountCents }, 'EUR')).toContain(` at most ${text} EUR per month`);
  });

  it.each<[Partial<SaidLimit>, string]>([
    [
      { unit: 'requests', amount: 20, per: 'day', models: [] },
      'Each owner in project Search may make at most 20 calls per day (Europe/Berlin).',
    ],
    [
      { unit: 'requests', amount: 1, per: 'total', each: null, models: [], target: KEY },
      'Key Billing may make at most 1 call in total.',
    ],
    [
      { unit: 'tokens', amount: 1_000_000, timeZone: 'UTC', each: null, models: [] },
      'All keys in project Search together may use at most 1,000,000 tokens per month (UTC).',
    ],
    [
      { unit: 'tokens', amount: 1, per: 'week', each: 'key', target: ALL },
      'Each key may use at most 1 token per week (Europe/Berlin) on gpt-4*.',
    ],
    [
      { unit: 'slots', amount: 5, per: null, timeZone: 'UTC', models: [] },
      'Each owner in project Search may make at most 5 calls at once.',
    ],
    [
      { unit: 'slots', amount: 1, per: null, timeZone: 'UTC', each: 'key', target: OWNER, mode: 'observe' },
      'Each key of owner Ada Lovelace may make at most 1 call at once on gpt-4*; this is only observed, nothing is refused.',
    ],
  ])('of what is counted in whole numbers: %j', (fields, sentence) => {
    expect(limitSentence({ ...LIMIT, ...fields }, 'USD')).toBe(sentence);
  });

  it('is the same in parts, of which an amount of cents is one', () => {
    expect(limitSentenceParts(LIMIT)).toEqual([
      { text: 'Each owner in project Search may spend at most ' },
      { cents: 5000 },
      { text: ' per month (Europe/Berlin) on gpt-4*.' },
    ]);
    expect(limitSentenceParts({ ...LIMIT, unit: 'tokens', models: [] })).toEqual([
      { text: 'Each owner in project Search may use at most 5,000 tokens per month (Europe/Berlin).' },
    ]);
  });

  it('is another one for each unit, target and its members', () => {
    const sentences = LIMIT_TARGETS.flatMap((kind) =>
      MEMBERS_OF[kind].flatMap((each) =>
        LIMIT_UNITS.map((unit) => limitSentence({ ...LIMIT, target: { kind, name: 'X' }, each, unit }, 'USD')),
      ),
    );
    expect(sentences).toHaveLength(13 * LIMIT_UNITS.length);
    expect(new Set(sentences).size).toBe(sentences.length);
  });
});
