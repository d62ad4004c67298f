import { describe, expect, it } from '@jest/globals';
import { type SentenceForm, inParts, isInstant, written } from './sentence.js';

const AT = '2030-02-01T00:00:00.000Z';
const CONSOLE: SentenceForm = { cents: (cents) => `$${(cents / 100).toFixed(2)}`, at: (at) => at.slice(0, 10) };

describe('A sentence in parts', () => {
  const raise = inParts`, raised by ${{ cents: 1 }} until ${{ at: AT }}`;
  const sentence = inParts`${{ cents: 486.5 }} is left (${'monthly'}${raise}); it counts as ${2}.`;

  it('keeps its values apart from its text', () => {
    expect(sentence).toEqual([
      { cents: 486.5 },
      { text: ' is left (monthly, raised by ' },
      { cents: 1 },
      { text: ' until ' },
      { at: AT },
      { text: '); it counts as 2.' },
    ]);
  });

  it('is written with the unit and in ISO 8601 by the API', () => {
    expect(written(sentence)).toBe(`486.5 cents is left (monthly, raised by 1 cent until ${AT}); it counts as 2.`);
  });

  it('is written in the form of another program', () => {
    expect(written(sentence, CONSOLE)).toBe(
      '$4.87 is left (monthly, raised by $0.01 until 2030-02-01); it counts as 2.',
    );
  });

  it('has no parts without text', () => {
    expect(inParts``).toEqual([]);
    expect(inParts`${''}${[]}`).toEqual([]);
    expect(written(inParts`Ends at ${{ at: AT }}`)).toBe(`Ends at ${AT}`);
  });

  it('shows an amount of 0', () => {
    expect(written(inParts`Reserves ${{ cents: 0 }}.`)).toBe('Reserves 0 cents.');
  });
});

describe('An instant', () => {
  it.each([AT, '2030-02-28T23:59:59Z', '2028-02-29T00:00:00.5Z'])('is %s', (text) => {
    expect(isInstant(text)).toBe(true);
  });

  // Names may look like one, and nothing can be said of them.
  it.each(['2030-13-01T00:00:00Z', '2030-02-30T00:00:00Z', '2030-01-01T25:00:00Z', '2030-02-01', 'at 2030', ''])(
    'is not %p',
    (text) => {
      expect(isInstant(text)).toBe(false);
    },
  );
});
