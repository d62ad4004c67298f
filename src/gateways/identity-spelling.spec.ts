import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { misspelledIdentity } from './identity-spelling.js';

const NAMES = [
  'X-Latchkey-Key-Id',
  'X-Latchkey-Owner-Id',
  'X-Latchkey-Scopes',
  'X-Latchkey-Tags',
  'X-Latchkey-Reservation-Id',
  'X-Latchkey-Gateway-Key',
  'X-Latchkey-Ask',
];
const refuses = (...names: string[]) => misspelledIdentity(names.flatMap((name) => [name, 'value'])) !== null;

/** How a CGI-like server names a header for the service behind it. */
const cgiName = (name: string) => name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_');

describe('misspelledIdentity', () => {
  it.each(NAMES)('takes %s as it is written, and in lower case', (name) => {
    expect(refuses('Host', name, name.toLowerCase())).toBe(false);
  });

  it.each([
    'X_Latchkey_Owner_Id',
    'X-Latchkey_Owner-Id',
    'x_latchkey-key-id',
    'x-latchkey_key_id',
    'X-LATCHKEY-TAGS',
    'X-latchkey-Tags',
    'X.Latchkey.Scopes',
    'X-Latchkey-Owner_Id',
  ])('refuses %s', (name) => {
    expect(refuses('Host', 'Accept', name)).toBe(true);
  });

  it.each([
    'X-Request-Id',
    'X_Request_Id',
    'X-Latch-Key-Id',
    'XLatchkey',
    'Latchkey-Owner-Id',
    'X',
    '_',
    'X-Latchkeys',
  ])('has no business with %s', (name) => {
    expect(refuses(name)).toBe(false);
  });

  it('refuses every other spelling that a CGI-like server takes for the same name', () => {
    const separator = fc.constantFrom('-', '_', '.', '~', '+');
    const spelled = fc
      .constantFrom(...NAMES)
      .chain((name) =>
        fc
          .array(fc.tuple(fc.boolean(), separator), { minLength: name.length, maxLength: name.length })
          .map((choices) =>
            [...name]
              .map((letter, index) =>
                letter === '-' ? choices[index]![1] : choices[index]![0] ? letter.toUpperCase() : letter.toLowerCase(),
              )
              .join(''),
          ),
      );
    fc.assert(
      fc.property(spelled, (name) => {
        const exact = NAMES.find((one) => cgiName(one) === cgiName(name))!;
        expect(refuses(name)).toBe(name !== exact && name !== exact.toLowerCase());
      }),
    );
  });

  it('does not repeat what the client wrote', () => {
    expect(JSON.stringify(misspelledIdentity(['X_Latchkey_Secret-Of-Mine', 'v']))).not.toContain('Secret');
  });
});
