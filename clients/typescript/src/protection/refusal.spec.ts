import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import type { VerdictCode } from '../contract.js';
import { refusalOf } from './refusal.js';

const ROOT = new URL('../../../../', import.meta.url);
const page = await readFile(new URL('docs/getting-started.md', ROOT), 'utf8');
const contract = JSON.parse(await readFile(new URL('docs/openapi.json', ROOT), 'utf8')) as {
  components: { schemas: { VerdictView: { properties: { code: { enum: VerdictCode[] } } } } };
};
const codes = contract.components.schemas.VerdictView.properties.code.enum;

/** The status of each verdict in the table that is for callers in other languages. */
const statuses = new Map(
  page
    .slice(page.indexOf('### Any other language'))
    .split('\n\n')
    .find((part) => part.startsWith('| `code` |'))!
    .split('\n')
    .flatMap((line) => {
      const [, names = '', status = ''] = line.split('|');
      return [...names.matchAll(/`([A-Z_]+)`/g)].map(([, name]) => [name!, status.trim()] as const);
    }),
);

describe('The status of a refusal', () => {
  it('is the one that docs/getting-started.md tells callers in other languages', () => {
    const answered = codes
      .filter((code) => code !== 'VALID')
      .map((code) => [code, String(refusalOf({ valid: false, code, degraded: false }, []).status)] as const);
    expect(answered.length).toBeGreaterThan(10);
    expect(statuses).toEqual(new Map([['VALID', 'go on'], ...answered]));
  });
});
