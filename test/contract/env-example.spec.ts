import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { loadConfig } from '../../src/config/config.js';
import { environmentSchema } from '../../src/config/environment.js';
import { FILE_TWINS } from '../../src/config/file-twins.js';

const text = await readFile(new URL('../../.env.example', `file://${import.meta.dirname}/`), 'utf8');

/**
 * Blocks are divided by blank lines: comments that explain, then the variable, commented out where it has no default.
 */
const variables = text
  .split(/\n\s*\n/)
  .slice(1)
  .map((block) => {
    const lines = block.trim().split('\n');
    const found = /^(# )?([A-Z][A-Z0-9_]*)=(.*)$/.exec(lines.at(-1)!);
    return {
      name: found?.[2],
      hasDefault: found?.[1] === undefined,
      value: found?.[3] ?? '',
      explanation: lines.slice(0, -1),
    };
  });

describe('.env.example', () => {
  it('lists exactly the variables of the schema, each once, in its order', () => {
    expect(variables.map(({ name }) => name)).toEqual(Object.keys(environmentSchema.shape));
  });

  it('explains each of them', () => {
    const unexplained = variables.filter(
      ({ explanation }) => explanation.length === 0 || explanation.some((line) => !/^# .{10,}/.test(line)),
    );
    expect(unexplained.map(({ name }) => name)).toEqual([]);
  });

  it('shows the default of each that has one, and comments out the others', () => {
    const defaults = environmentSchema.parse({}) as Record<string, unknown>;
    expect(
      Object.fromEntries(variables.filter(({ hasDefault }) => hasDefault).map(({ name, value }) => [name, value])),
    ).toEqual(Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, String(value)])));
  });

  it('shows examples that the schema takes', () => {
    const examples = Object.fromEntries(
      variables.filter(({ value }) => value !== '').map(({ name, value }) => [name, value]),
    );
    expect(environmentSchema.safeParse(examples).error?.issues ?? []).toEqual([]);
  });

  it('names the file of each variable that may be given as one, and of no other', () => {
    const told = variables.filter(
      ({ name, explanation }) => explanation.at(-1) === `# Or ${name}_FILE, the path of a file with the value.`,
    );
    expect(told.map(({ name }) => name).sort()).toEqual([...FILE_TWINS].sort());
  });

  it('shows no secret that could be left in', () => {
    const flags = new Set(['true', 'false']);
    for (const { name, value } of variables.filter((one) => !flags.has(one.value))) {
      if (/SECRET|PEPPER|TAG_KEYS|_KEY$|PASSWORD|TOKEN/.test(name!)) expect([name, value]).toEqual([name, '']);
    }
  });

  it('is not a configuration for production as it is', () => {
    expect(() => loadConfig({ NODE_ENV: 'production' })).toThrow(/JWT_SECRET must be given with NODE_ENV=production/);
  });
});
