import { createHash, randomBytes as systemRandomBytes } from 'node:crypto';
import { format, inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { looksLikeSecret } from '../common/secret-shape.js';
import {
  findVersion,
  importedMacOf,
  isSecretPrefix,
  macMatches,
  macOf,
  mint,
  parse,
  Secret,
  secretPattern,
  signing,
  tagMatches,
  type MintedSecret,
  type ParsedSecret,
  type VersionedSecret,
} from './secret.js';

const tagKeys: VersionedSecret[] = [{ version: 1, key: Buffer.from('tag-key-1') }];
const pepper = Buffer.from('pepper-1');
const keyId = '01890a5d-ac96-774b-bcce-b302099a8057';
const counting = (size: number) => Buffer.from(Array.from({ length: size }, (_, index) => index));

const mintFrom = (bytes: Buffer, environment: 'live' | 'test' = 'live', prefix = 'lk'): MintedSecret =>
  mint({ prefix, environment, tagKeys, randomBytes: () => bytes });
const parsed = (text: string, prefix = 'lk'): ParsedSecret => {
  const result = parse(text, prefix);
  if (result === null) throw new Error('does not parse');
  return result;
};

const randomness = fc.uint8Array({ minLength: 48, maxLength: 48 }).map((bytes) => Buffer.from(bytes));
const environments = fc.constantFrom('live' as const, 'test' as const);
const prefixes = fc.constantFrom('lk', 'a', 'live', 'acme2', 'abcdefghijklmnop');

describe('Secret', () => {
  const hidden = new Secret('canary-4711');

  it.each([
    ['a template', `${String(hidden)}`],
    ['concatenation', 'secret: ' + String(hidden)],
    ['JSON', JSON.stringify({ hidden, list: [hidden] })],
    ['inspect', inspect({ nested: { hidden } }, { depth: 9, showHidden: true })],
    ['inspect without custom functions', inspect(hidden, { customInspect: false, showHidden: true })],
    ['format', format('%s %j %o %O', hidden, hidden, hidden, hidden)],
    ['own properties', Reflect.ownKeys(hidden).map(String).join()],
    ['a structured clone', JSON.stringify(structuredClone(hidden))],
  ])('does not show itself in %s', (_, shown) => {
    expect(shown).not.toContain('4711');
  });

  it('says in its place that there is a secret', () => {
    expect(String(hidden)).toBe('[secret]');
    expect(inspect(hidden)).toBe('[secret]');
    expect(JSON.stringify(hidden)).toBe('"[secret]"');
  });

  it('is revealed on demand only', () => {
    expect(hidden.reveal()).toBe('canary-4711');
  });
});

describe('mint', () => {
  it('makes the published vectors', () => {
    const first = mint({ prefix: 'lk', environment: 'live', tagKeys, randomBytes: counting });
    expect(first.kid).toBe('iJxkEgOGusQGwp');
    expect(first.keyPrefix).toBe('lk_live_iJxkEgOGusQGwp');
    expect(first.secret.reveal()).toBe('lk_live_iJxkEgOGusQGwp3oDH4mEVFvp7u7ED6UzpF5eHPrBI5AHumY7UBpOQIJzvWH7fs');
    expect(mintFrom(Buffer.alloc(48, 0xff), 'test', 'acme').secret.reveal()).toBe(
      'acme_test_Tflk9n8mt7Fhc7yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp14iWu3d',
    );
    expect(mintFrom(Buffer.alloc(48)).secret.reveal()).toBe(`lk_live_${'0'.repeat(57)}mLfuX2`);
  });

  it('gives 63 base62 characters after the key prefix, whatever the randomness', () => {
    fc.assert(
      fc.property(randomness, environments, prefixes, (bytes, environment, prefix) => {
        const minted = mintFrom(bytes, environment, prefix);
        expect(minted.secret.reveal()).toMatch(new RegExp(`^${prefix}_${environment}_[0-9A-Za-z]{63}$`));
        expect(minted.body.reveal()).toHaveLength(43);
        expect(minted.secret.reveal().startsWith(minted.keyPrefix)).toBe(true);
      }),
    );
  });

  it('keeps all 256 bits of the body: other bytes give another body', () => {
    fc.assert(
      fc.property(randomness, fc.integer({ min: 16, max: 47 }), fc.integer({ min: 0, max: 7 }), (bytes, at, bit) => {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << bit), at);
        expect(mintFrom(flipped).body.reveal()).not.toBe(mintFrom(bytes).body.reveal());
      }),
    );
  });

  it('shows neither secret nor body when the result is logged', () => {
    const minted = mintFrom(systemRandomBytes(48));
    const shown = inspect(minted, { depth: 9 }) + JSON.stringify(minted);
    expect(shown).toContain(minted.kid);
    expect(shown).not.toContain(minted.body.reveal());
  });

  it.each(['', 'LK', 'l-k', 'l_k', '1k', 'a'.repeat(17), 'lk\n', '(a+)+'])('refuses the prefix %j', (prefix) => {
    expect(isSecretPrefix(prefix)).toBe(false);
    expect(() => mintFrom(Buffer.alloc(48), 'live', prefix)).toThrow(RangeError);
    expect(() => secretPattern(prefix)).toThrow(RangeError);
  });

  it('refuses to mint without a tag key or with too little randomness', () => {
    expect(() => mint({ prefix: 'lk', environment: 'live', tagKeys: [], randomBytes: counting })).toThrow(RangeError);
    expect(() => mintFrom(Buffer.alloc(47))).toThrow(RangeError);
  });
});

describe('parse', () => {
  it('takes apart what mint put together', () => {
    fc.assert(
      fc.property(randomness, environments, prefixes, (bytes, environment, prefix) => {
        const minted = mintFrom(bytes, environment, prefix);
        const result = parsed(minted.secret.reveal(), prefix);
        expect(result.environment).toBe(environment);
        expect(result.kid).toBe(minted.kid);
        expect(result.keyPrefix).toBe(minted.keyPrefix);
        expect(result.body.reveal()).toBe(minted.body.reveal());
        expect(tagMatches(result, tagKeys)).toBe(true);
      }),
    );
  });

  const whole = mintFrom(systemRandomBytes(48)).secret.reveal();

  it.each([
    ['an empty text', ''],
    ['a space in front', ` ${whole}`],
    ['a space behind', `${whole} `],
    ['a line break behind', `${whole}\n`],
    ['a line break in the last place', `${whole.slice(0, -1)}\n`],
    ['a character less', whole.slice(0, -1)],
    ['a character more', `${whole}0`],
    ['another prefix', whole.replace('lk_', 'xk_')],
    ['an upper-case prefix', whole.replace('lk_', 'LK_')],
    ['an unknown environment', whole.replace('_live_', '_prod_')],
    ['no separator', whole.replace('_live_', '_liveX')],
    ['an underscore in the body', `${whole.slice(0, 40)}_${whole.slice(41)}`],
    ['a NUL', `${whole.slice(0, 40)}\0${whole.slice(41)}`],
    ['a letter outside ASCII', `${whole.slice(0, 40)}ä${whole.slice(41)}`],
    ['a lone surrogate', `${whole.slice(0, 40)}\ud800${whole.slice(41)}`],
    ['the length alone', 'x'.repeat(whole.length)],
  ])('gives null for %s', (_, text) => {
    expect(parse(text, 'lk')).toBeNull();
  });

  it('accepts exactly what the published expression matches as a whole', () => {
    const anchored = new RegExp(`^(?:${secretPattern('lk').source})$`);
    const close = fc
      .tuple(
        fc.constantFrom('lk_live_', 'lk_test_', 'lk_prod_', 'lk-live_'),
        fc.string({ minLength: 60, maxLength: 66 }),
      )
      .map(([head, tail]) => head + tail);
    const base62 = fc.stringMatching(/^lk_(live|test)_[0-9A-Za-z]{62,64}$/);
    fc.assert(
      fc.property(fc.oneof(close, base62), (text) => {
        expect(parse(text, 'lk') !== null).toBe(anchored.test(text));
      }),
    );
  });

  it('leaves a body of 2^256 or more to the tag', () => {
    const text = `lk_live_${'0'.repeat(14)}${'z'.repeat(43)}${'0'.repeat(6)}`;
    expect(tagMatches(parsed(text), tagKeys)).toBe(false);
  });
});

describe('tagMatches', () => {
  it('refuses a text in which any character of kid, body or tag was exchanged', () => {
    fc.assert(
      fc.property(
        randomness,
        fc.integer({ min: 0, max: 62 }),
        fc.stringMatching(/^[0-9A-Za-z]$/),
        (bytes, at, other) => {
          const text = mintFrom(bytes).secret.reveal();
          const position = 'lk_live_'.length + at;
          fc.pre(text.charAt(position) !== other);
          expect(tagMatches(parsed(text.slice(0, position) + other + text.slice(position + 1)), tagKeys)).toBe(false);
        },
      ),
    );
  });

  it('signs with the first key and verifies with all of them', () => {
    const retired = { version: 1, key: Buffer.from('old') };
    const current = { version: 2, key: Buffer.from('new') };
    const make = (keys: VersionedSecret[]) =>
      parsed(mint({ prefix: 'lk', environment: 'live', tagKeys: keys, randomBytes: counting }).secret.reveal());
    expect(tagMatches(make([retired]), [current, retired])).toBe(true);
    expect(tagMatches(make([current, retired]), [current])).toBe(true);
    expect(tagMatches(make([current, retired]), [retired])).toBe(false);
    expect(tagMatches(make([current]), [])).toBe(false);
  });
});

describe('macOf', () => {
  const minted = mintFrom(counting(48));

  it('makes the published vector, from the minted and from the parsed secret alike', () => {
    const vector = 'f685fc5a8c50ef2f990d3be1dd2a74125c13de5cdfd18b75016c83e4f3af8229';
    expect(macOf(pepper, keyId, minted).toString('hex')).toBe(vector);
    expect(macOf(pepper, keyId, parsed(minted.secret.reveal())).toString('hex')).toBe(vector);
  });

  it('differs for another pepper, key, kid or body', () => {
    const macs = [
      macOf(pepper, keyId, minted),
      macOf(Buffer.from('pepper-2'), keyId, minted),
      macOf(pepper, '01890a5d-ac96-774b-bcce-b302099a8058', minted),
      macOf(pepper, keyId, { ...minted, kid: '0JxkEgOGusQGwp' }),
      macOf(pepper, keyId, { ...minted, body: new Secret('0'.repeat(43)) }),
    ].map((mac) => mac.toString('hex'));
    expect(new Set(macs).size).toBe(macs.length);
  });

  it('does not let characters wander from one part into the next', () => {
    const shifted = { kid: minted.kid.slice(1), body: minted.body };
    const straight = macOf(pepper, keyId, minted);
    expect(macOf(pepper, keyId + minted.kid.charAt(0), shifted).equals(straight)).toBe(false);
  });
});

describe('importedMacOf', () => {
  const sha256 = createHash('sha256').update('sk-other-system').digest();

  it('makes the published vector', () => {
    expect(importedMacOf(pepper, sha256).toString('hex')).toBe(
      '9e16f42de999e8c5a3e5e3617ae65b19a16949260b03dbdaa356acfc5bc7fdc8',
    );
  });

  it('refuses a digest of another length, such as hexadecimal text', () => {
    expect(() => importedMacOf(pepper, Buffer.from(sha256.toString('hex')))).toThrow(RangeError);
  });
});

describe('macMatches', () => {
  it('holds for equal MACs only, and for other lengths not', () => {
    const mac = macOf(pepper, keyId, mintFrom(counting(48)));
    const other = Buffer.from(mac);
    other.writeUInt8(other.readUInt8(31) ^ 1, 31);
    expect(macMatches(mac, Buffer.from(mac))).toBe(true);
    expect(macMatches(mac, other)).toBe(false);
    expect(macMatches(mac.subarray(0, 16), mac)).toBe(false);
    expect(macMatches(Buffer.alloc(0), mac)).toBe(false);
  });
});

describe('versions', () => {
  const list: VersionedSecret[] = [
    { version: 2, key: Buffer.from('b') },
    { version: '1', key: Buffer.from('a') },
  ];

  it('signs with the first and finds each, whether its version is a number or a text', () => {
    expect(signing(list)).toBe(list[0]);
    expect(findVersion(list, '2')).toBe(list[0]);
    expect(findVersion(list, 1)).toBe(list[1]);
    expect(findVersion(list, 3)).toBeNull();
  });
});

describe('secretPattern', () => {
  it('finds every minted secret inside other text', () => {
    fc.assert(
      fc.property(randomness, environments, fc.string(), fc.string(), (bytes, environment, before, after) => {
        const text = mintFrom(bytes, environment).secret.reveal();
        expect(secretPattern('lk').test(before + text + after)).toBe(true);
      }),
    );
  });
});

describe('looksLikeSecret', () => {
  const { secret, keyPrefix } = mintFrom(systemRandomBytes(48), 'test', 'acme');
  const text = secret.reveal();

  it.each([
    ['a secret of any prefix', text],
    ['a secret in a query string', `/api/v1/forward-auth?key=${text}&scope=a`],
    ['a secret without its tag', text.slice(0, -6)],
    ['a secret without its prefix', text.slice(4)],
  ])('recognises %s', (_, seen) => {
    expect(looksLikeSecret(seen)).toBe(true);
  });

  it.each([
    ['an empty text', ''],
    ['a key prefix', keyPrefix],
    ['a start of one', 'lk_live_'],
    ['a UUID', keyId],
    ['a name', 'load_test_environment_of_the_production_team_in_the_north_of_the_country'],
    ['a long word', 'x'.repeat(5000)],
  ])('lets %s pass', (_, seen) => {
    expect(looksLikeSecret(seen)).toBe(false);
  });

  it('comes to its end with a hostile text', () => {
    const hostile = `_live_${'a'.repeat(56)}-`.repeat(20_000);
    expect(looksLikeSecret(hostile)).toBe(false);
  });
});
