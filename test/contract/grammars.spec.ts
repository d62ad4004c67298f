import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { parseKeyPolicy } from '../../src/access/key-policy.schema.js';
import { CreateApiKeyDto } from '../../src/api-keys/api-key.dto.js';
import { AliasPipe } from '../../src/api-keys/by-alias/alias.pipe.js';
import { KeyIdPipe } from '../../src/api-keys/key-id.pipe.js';
import { readBody } from '../../src/common/body-schema.js';
import { askOf } from '../../src/gateways/forward-auth-query.js';
import { parseReports } from '../../src/usage/usage-parser.js';
import { ExplainDto } from '../../src/verification/explain/explain.dto.js';
import { VerifyDto } from '../../src/verification/verify.dto.js';

const KEY = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

/** Whether a place accepts a value of the field that it shares with others. */
type Place = (value: string) => boolean;

const passes = (run: () => unknown): boolean => {
  try {
    run();
    return true;
  } catch {
    return false;
  }
};
const verify = (field: object) => 'value' in readBody(VerifyDto, { key: 'k', ...field });
const explain = (field: object) => 'value' in readBody(ExplainDto, field);
const gateway = (parameters: Record<string, string>) => passes(() => askOf(parameters));
const key = (fields: object) => validateSync(plainToInstance(CreateApiKeyDto, fields)).length === 0;
const policy = (fields: object) => passes(() => parseKeyPolicy(fields));
const usage = (fields: object) => {
  const parsed = parseReports(
    { events: [{ id: 'a', apiKeyId: KEY, ...fields }] },
    { now: new Date(0), callerId: KEY, openReservation: () => null, showsSecret: () => false },
  );
  return 'events' in parsed && 'report' in parsed.events[0]!;
};

const PLACES: Readonly<Record<string, Readonly<Record<string, Place>>>> = {
  model: {
    verify: (model) => verify({ model }),
    explain: (model) => explain({ model }),
    'forward-auth': (model) => gateway({ model }),
    usage: (model) => usage({ model }),
    'a key': (model) => key({ allowedModels: [model] }),
    'a policy': (model) => policy({ models: [model] }),
    'the defaults of a policy': (model) => policy({ defaults: { allowedModels: [model] } }),
  },
  chatbot: {
    verify: (chatbot) => verify({ chatbot }),
    explain: (chatbot) => explain({ chatbot }),
    'forward-auth': (chatbot) => gateway({ chatbot }),
    usage: (chatbot) => usage({ chatbot }),
    'a key': (chatbot) => key({ allowedChatbots: [chatbot] }),
  },
  scope: {
    verify: (scope) => verify({ scopes: [scope] }),
    explain: (scope) => explain({ scopes: [scope] }),
    'forward-auth': (scope) => gateway({ scope }),
    'a key': (scope) => key({ scopes: [scope] }),
    'a policy': (scope) => policy({ scopes: [scope] }),
  },
  id: {
    usage: (apiKeyId) => usage({ apiKeyId }),
    'a path': (id) => passes(() => new KeyIdPipe().transform(id)),
    'an owner': (ownerId) => key({ ownerId }),
  },
  alias: {
    'a key': (alias) => key({ alias }),
    'a path': (alias) => passes(() => new AliasPipe().transform(alias)),
  },
};

const CHARACTERS = [
  'a',
  '4',
  '-',
  '.',
  '*',
  '/',
  ':',
  '_',
  ' ',
  '"',
  '\\',
  '\n',
  '\r',
  '\t',
  '\u0000',
  '\u007f',
  '\u0085',
  '\u00a0',
  '\u2028',
  'é',
  '日',
  '😀',
  '\ud800',
  '\udc00',
];
const texts = fc.oneof(
  fc.string({ unit: fc.constantFrom(...CHARACTERS), maxLength: 8 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc
    .tuple(fc.constantFrom('a', '😀', 'é', ' '), fc.constantFrom(63, 64, 65, 100, 101, 127, 128, 129, 512))
    .map(([unit, count]) => unit.repeat(count)),
  fc.constantFrom('gpt-4o\n', 'gpt-4o', 'Claude 3.5 Sonnet', '..', '.', ''),
  fc.uuid({ version: [1, 4, 7] }),
  fc.constantFrom(
    '00000000-0000-0000-0000-000000000001',
    '11111111-1111-9111-1111-111111111111',
    `${KEY}\n`,
    KEY.toUpperCase(),
  ),
);

describe.each(Object.entries(PLACES))('The grammar of a %s', (_, places) => {
  it('is the same wherever one is given', () => {
    let accepted = 0;
    fc.assert(
      fc.property(texts, (text) => {
        const verdicts = Object.entries(places).map(([place, accepts]) => [place, accepts(text)] as const);
        if (verdicts[0]![1]) accepted += 1;
        expect(new Set(verdicts.map(([, verdict]) => verdict)).size === 1 ? [] : verdicts).toEqual([]);
      }),
      { numRuns: 1000 },
    );
    expect(accepted).toBeGreaterThan(20);
  });
});
