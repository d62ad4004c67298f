import { describe, expect, it } from '@jest/globals';
import { readdir, readFile } from 'node:fs/promises';
import { VERDICT_CODES } from '../../src/verification/checks.js';

const ROOT = new URL('../../', `file://${import.meta.dirname}/`);

describe('docs/http-status-codes.md', () => {
  it('names every code that an error can carry, with the status it has', async () => {
    expect([...(await codesInSource())].filter((code) => !documented.has(code)).sort()).toEqual([]);
  });

  it('names no code that no error carries', async () => {
    const used = await codesInSource();
    expect([...documented].filter((code) => !used.has(code))).toEqual([]);
  });

  it('names every verdict', async () => {
    const section = (await page()).split('## Verdicts')[1]!;
    expect([...section.matchAll(/`([A-Z_]{3,})`/g)].map(([, code]) => code)).toEqual([...VERDICT_CODES]);
  });
});

const documented = new Set([...(await page()).matchAll(/^\| \d{3} \| `([A-Z_]+)` \|/gm)].map(([, code]) => code!));

function page(): Promise<string> {
  return readFile(new URL('docs/http-status-codes.md', ROOT), 'utf8');
}

/** Codes are written where the error is made; nowhere are they put together. */
async function codesInSource(): Promise<Set<string>> {
  const files = (await readdir(new URL('src', ROOT), { recursive: true })).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'),
  );
  const codes = new Set<string>();
  for (const file of files) {
    if (file.startsWith('openapi/')) continue;
    const text = await readFile(new URL(`src/${file}`, ROOT), 'utf8');
    for (const [, code] of text.matchAll(/(?:new DomainError|super)\(\s*'[a-z-]+',\s*'([A-Z_]+)'/g)) codes.add(code!);
    // The tables of errors that are not thrown by us: `{ kind | status, code }`.
    for (const [, code] of text.matchAll(/(?:kind|status): ['\w-]+, code: '([A-Z_]+)'/g)) codes.add(code!);
    for (const [, code] of text.matchAll(/code: '([A-Z_]+)',\s*requestId/g)) codes.add(code!);
  }
  return codes;
}
