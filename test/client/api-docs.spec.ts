import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkedInDocument, operationsOf } from '../support/openapi.js';
import { ROOT, run } from './examples.js';

const DOCS = join(ROOT, 'docs/api');
const TSC = join(ROOT, 'clients/typescript/node_modules/typescript/bin/tsc');

/** What the examples of all pages start from, as docs/api/README.md says. */
const GIVEN = `
import { LatchkeyClient } from '@latchkey/client';
${['baseUrl', 'accessToken', 'gatewayKey', 'secret', 'password', 'keyId', 'userId', 'sessionId', 'projectId', 'limitId']
  .map((name) => `declare const ${name}: string;`)
  .join('\n')}
`;

interface Section {
  readonly page: string;
  /** `POST /verify`. */
  readonly route: string;
  readonly text: string;
  readonly examples: readonly string[];
}

function sectionsOf(page: string, text: string): Section[] {
  return text
    .split(/^## `/m)
    .slice(1)
    .map((part) => ({
      page,
      route: part.slice(0, part.indexOf('`')),
      text: part,
      examples: [...part.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!),
    }));
}

describe('docs/api', () => {
  let sections: Section[];
  let project: string;

  beforeAll(async () => {
    const pages = (await readdir(DOCS)).filter((name) => name !== 'README.md');
    const texts = await Promise.all(pages.map((page) => readFile(join(DOCS, page), 'utf8')));
    sections = pages.flatMap((page, index) => sectionsOf(page, texts[index]!));
    project = await mkdtemp(join(tmpdir(), 'latchkey-docs-'));
  });
  afterAll(() => rm(project, { recursive: true, force: true }));

  it('has a section for every route, once', async () => {
    const documented = sections.map(({ route }) => route).sort();
    const routes = operationsOf(await checkedInDocument())
      .filter(({ path }) => path.startsWith('/api/v1/'))
      .map(({ method, path }) => `${method} ${path.replace('/api/v1', '')}`);
    expect(documented).toEqual(routes.sort());
  });

  it('says who may call each, as the server decides it', async () => {
    const rules = new Map(
      operationsOf(await checkedInDocument()).map(({ method, path, operation }) => [
        `${method} ${path.replace('/api/v1', '')}`,
        operation['x-access'] as { permission?: string; alsoNeeds?: string },
      ]),
    );
    const wrong = sections.filter(({ route, text }) => {
      const { permission, alsoNeeds } = rules.get(route)!;
      const needs = /^- Needs: (.*)$/m.exec(text)?.[1] ?? '';
      return [permission, alsoNeeds].some((one) => one !== undefined && !needs.includes(`\`${one}\``));
    });
    expect(wrong.map(({ route }) => route)).toEqual([]);
  });

  it('names codes that there are, in each section', async () => {
    const codes = new Set(
      [...(await readFile(join(ROOT, 'docs/http-status-codes.md'), 'utf8')).matchAll(/`([A-Z][A-Z_]+)`/g)].map(
        ([, code]) => code,
      ),
    );
    const wrong = sections.flatMap(({ route, text }) => {
      const line = /^- Errors of its own: (.*)$/m.exec(text)?.[1];
      if (line === undefined) return [`${route}: no errors`];
      return [...line.matchAll(/`(\w+)`/g)]
        .filter(([, code]) => !codes.has(code))
        .map(([, code]) => `${route}: ${code}`);
    });
    expect(wrong).toEqual([]);
  });

  it('has a worked example for each route that the client’s types accept', async () => {
    expect(sections.filter(({ examples }) => examples.length !== 1).map(({ route }) => route)).toEqual([]);
    await mkdir(join(project, 'node_modules/@latchkey'), { recursive: true });
    await symlink(join(ROOT, 'clients/typescript'), join(project, 'node_modules/@latchkey/client'));
    for (const name of ['@types', 'undici-types'])
      await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
    const examples = sections.map(
      ({ page, route, examples: [code] }, index) =>
        `// ${page}: ${route}\nexport async function example${index}() {\n${code}}\n`,
    );
    // What the page itself prints makes the two clients.
    const [clients] = /^```ts\n[\s\S]*?^```$/m.exec(await readFile(join(DOCS, 'README.md'), 'utf8'))!;
    const source = [GIVEN, clients.replace(/^```(ts)?$/gm, ''), 'void latchkey;\n', ...examples].join('\n');
    await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    await writeFile(join(project, 'examples.ts'), source);
    const compilerOptions = { target: 'ES2023', module: 'nodenext', strict: true, types: ['node'], noEmit: true };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['examples.ts'] }));
    expect(await run(process.execPath, [TSC], { cwd: project })).toBe('');
  });
});
