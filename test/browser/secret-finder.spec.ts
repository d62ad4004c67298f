import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import ts from 'typescript';

const SOURCE = new URL('../../console/src/keys/secret-finder.ts', `file://${import.meta.dirname}/`);

type Finder = typeof import('../../console/src/keys/secret-finder.js');

/** The console is a package of its own, which the tests do not compile: its one pure module is read as it is. */
const { outputText } = ts.transpileModule(await readFile(SOURCE, 'utf8'), {
  compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
});
const { findSecrets, searchTerm } = (await import(
  `data:text/javascript;base64,${Buffer.from(outputText).toString('base64')}`
)) as Finder;

const KEY_PREFIX = `lk_live_${'aB3'.repeat(5).slice(0, 14)}`;
const SECRET = `${KEY_PREFIX}${'xY9z'.repeat(13).slice(0, 49)}`;
const OTHER = SECRET.replace('aB3', 'Zz1');
const base64 = (text: string) => Buffer.from(text).toString('base64');
const fullWidth = (text: string) =>
  text.replace(/[!-~]/g, (one) => String.fromCharCode(one.charCodeAt(0) - 0x21 + 0xff01));

describe('the secret finder', () => {
  it.each<[string, string]>([
    ['alone', ` ${SECRET}\n`],
    ['a header', `Authorization: Bearer ${SECRET}`],
    ['quotes', `"${SECRET}",`],
    ['a variable', `export LATCHKEY_KEY='${SECRET}'`],
    ['JSON', `{"apiKey": "${SECRET}", "model": "gpt-4o"}`],
    ['JSON in a string', `{\\"key\\":\\"${SECRET}\\"}`],
    ['a URL', `https://api.example.com/v1?key=${SECRET}&x=1`],
    ['an encoded URL', `https://example.com/?q=%22${SECRET}%22`],
    ['a command', `curl -H "x-api-key: ${SECRET}" https://api.example.com`],
    ['a line of a log', `2026-11-29T20:00:00Z WARN 401 key=${SECRET}; retrying`],
    ['YAML', `- name: KEY\n  value: ${SECRET}`],
    ['Markdown', `| key | \`${SECRET}\` |`],
    ['a broken line', `${SECRET.slice(0, 40)}\r\n    ${SECRET.slice(40)}`],
    ['a mail', `${SECRET.slice(0, 60)}=\r\n${SECRET.slice(60)}`],
    ['a shell', `KEY=${SECRET.slice(0, 30)}\\\n${SECRET.slice(30)}`],
    ['an escaped line break', `log:\\n${SECRET}\\n`],
    ['a header in capitals', `AUTHORIZATION: BEARER ${SECRET}`],
    ['credentials in base64', `Authorization: Basic ${base64(`user:${SECRET}`)}`],
    ['base64 without padding, for URLs', Buffer.from(`${SECRET}:`).toString('base64url')],
    ['base64 in lines', base64(`user:${SECRET}`).replace(/(.{40})/g, '$1\n')],
    ['zero-width spaces', [...SECRET].join('\u200b')],
    ['soft hyphens and direction marks', `\u202a${SECRET.slice(0, 30)}\u00ad${SECRET.slice(30)}\u202c`],
    ['full-width letters', fullWidth(SECRET)],
    ['a quoted mail', `> key: ${SECRET.slice(0, 50)}\n> ${SECRET.slice(50)}`],
    ['a URL that was encoded twice', `?q=${SECRET.replaceAll('_', '%255F')}%2522`],
    ['an escape of JSON', `{"key":"${SECRET.replaceAll('_', '\\u005f')}"}`],
    ['an escape of HTML', `<td>${SECRET.replaceAll('_', '&#95;')}</td>`],
    ['another escape of HTML', `<td>${SECRET.replaceAll('_', '&#x5F;')}</td>`],
    ['a named escape of HTML', SECRET.replaceAll('_', '&lowbar;')],
    ['an escape of a script', `'${SECRET.replaceAll('_', '\\x5f')}'`],
    ['a terminal that fills its lines with spaces', `${SECRET.slice(0, 40)}   \r\n${SECRET.slice(40)}  `],
    ['the colours of a terminal', `key=\u001b[1;31m${SECRET.slice(0, 30)}\u001b[0m${SECRET.slice(30)}`],
    ['a string in two parts', `key = "${SECRET.slice(0, 30)}" +\n  "${SECRET.slice(30)}"`],
    ['variation selectors and fillers', `${SECRET.slice(0, 30)}\ufe0f${SECRET.slice(30)}\u3164`],
    ['escaped Markdown', SECRET.replaceAll('_', '\\_')],
    ['a line with percent signs', `100% of calls: ${SECRET} (5 %)`],
    ['a history of a shell', `: 1764450000:0;export LATCHKEY_KEY=${SECRET}`],
    ['a numbered history', ` 1042  curl -u :${SECRET} https://api.example.com`],
  ])('finds the secret in %s', (_form, text) => {
    expect(findSecrets(text, 'lk')).toEqual([{ secret: SECRET, keyPrefix: KEY_PREFIX }]);
  });

  it('finds each of several once', () => {
    const secrets = findSecrets(`A=${SECRET}\nB=${OTHER}\n# was ${SECRET}`, 'lk').map(({ secret }) => secret);
    expect(secrets).toEqual([SECRET, OTHER]);
  });

  it.each([SECRET.slice(0, 30), KEY_PREFIX, `${KEY_PREFIX}…`, SECRET.slice(0, -1)])('takes %s for a part', (text) => {
    expect(findSecrets(text, 'lk')).toEqual([{ secret: null, keyPrefix: KEY_PREFIX }]);
    expect(searchTerm(text, 'lk')).toBe(KEY_PREFIX);
  });

  it.each(['', 'nothing of ours', 'hello', 'https://example.com/page1', 'lk_live_short'])(
    'finds none in “%s”',
    (text) => {
      expect(findSecrets(text, 'lk')).toEqual([]);
    },
  );

  it.each<[string, string]>([
    ['sk-proj-8Fk2mZ0c4T1xYw', 'sk-proj-8Fk2mZ0c4T1xYw'],
    ['Bearer sk-old-0123456789', 'sk-old-0123456789'],
    ['OPENAI_API_KEY="sk-old-0123456789"', 'sk-old-0123456789'],
    [`Authorization: Basic ${base64('user:sk-old-0123456789')}`, 'sk-old-0123456789'],
    [`Authorization: Basic ${base64('sk-old-0123456789:')}`, 'sk-old-0123456789'],
    [fullWidth('sk-old-0123456789'), 'sk-old-0123456789'],
  ])('takes one word of another shape for an imported key: %s', (text, secret) => {
    expect(findSecrets(text, 'lk')).toEqual([{ secret, keyPrefix: secret.slice(0, 12) }]);
  });

  it.each<[string, string]>([
    ['an escape that is not known', SECRET.replaceAll('_', '{u}')],
    ['UTF-16 in base64', Buffer.from(SECRET, 'utf16le').toString('base64')],
    ['two secrets that run into each other', `key ${SECRET.slice(22)}${SECRET.slice(22)} of ours`],
  ])('searches for no more than a public start of %s', (_form, text) => {
    expect(searchTerm(text, 'lk')).not.toMatch(/[A-Za-z0-9]{13}/);
  });

  it.each<[string, string]>([
    ['letters', 'aB'.repeat(100_000)],
    ['ends of statements', `a${';'.repeat(200_000)}a`],
    ['labels', 'a='.repeat(100_000)],
    ['spaces', `a${' '.repeat(200_000)}b`],
  ])('takes no longer than a text of %s is long', (_form, text) => {
    const beganMs = performance.now();
    searchTerm(text, 'lk');
    expect(performance.now() - beganMs).toBeLessThan(2_000);
  });

  it('searches for a public start alone, and for a name as it is', () => {
    expect(searchTerm(`Bearer ${SECRET}`, 'lk')).toBe(KEY_PREFIX);
    expect(searchTerm(`sk-proj-${'a1'.repeat(20)}`, 'lk')).toBe('sk-proj-a1a1');
    expect(searchTerm('billing-2026', 'lk')).toBe('billing-2026');
    expect(searchTerm('sk-old-01…', 'lk')).toBe('sk-old-01');
  });
});
