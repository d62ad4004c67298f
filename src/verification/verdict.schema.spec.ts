import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { VERDICT_SCHEMA } from './verdict.schema.js';

/** The members a class of the view declares, from its source: types leave nothing behind to ask at run time. */
function membersOf(name: string): string[] {
  const source = readFileSync(new URL('./verdict.view.ts', import.meta.url), 'utf8');
  const body = new RegExp(`export class ${name}\\b[^{]*\\{([\\s\\S]*?)\\n\\}`).exec(source)![1]!;
  return [...body.matchAll(/^ {2}(\w+)\??:/gm)].map((match) => match[1]!).sort();
}

describe('the schema verdicts are written by', () => {
  it.each([
    ['VerdictView', VERDICT_SCHEMA],
    ['RateLimitView', VERDICT_SCHEMA.properties.rateLimits.items],
    ['BudgetView', VERDICT_SCHEMA.properties.budget],
    ['ReservationView', VERDICT_SCHEMA.properties.reservation],
    ['CheckView', VERDICT_SCHEMA.properties.checks.items],
  ])('names exactly the members of %s', (name, schema) => {
    expect(Object.keys(schema.properties).sort()).toEqual(membersOf(name));
  });
});
