import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { LIMIT_SCHEMA, VERDICT_SCHEMA } from './verdict.schema.js';

/** The members a class of the view declares, from its source: types leave nothing behind to ask at run time. */
function membersOf(name: string, file = './verdict.view.ts'): string[] {
  const source = readFileSync(new URL(file, import.meta.url), 'utf8');
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

  it('names exactly the members of the limits of a verdict', () => {
    const numbers = membersOf('LimitNumbersView', './verdict-limit.view.ts');
    const [limit, refusing] = [
      membersOf('VerdictLimitView', './verdict-limit.view.ts'),
      membersOf('RefusingLimitView'),
    ];
    expect(Object.keys(LIMIT_SCHEMA.properties).sort()).toEqual([...numbers, ...limit].sort());
    expect(Object.keys(VERDICT_SCHEMA.properties.limit.properties).sort()).toEqual([...numbers, ...refusing].sort());
    expect(VERDICT_SCHEMA.properties.limits.items).toBe(LIMIT_SCHEMA);
    expect(VERDICT_SCHEMA.properties.tightest).toBe(LIMIT_SCHEMA);
  });
});
