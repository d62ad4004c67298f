import { beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import ts from 'typescript';

const ROOT = resolve(import.meta.dirname, '../..');
const TABLE = join(ROOT, 'packages/contract/src/api-key-fields.ts');

/** A field that is in the table and nowhere else. */
const SCRATCH = `export const API_KEY_FIELDS = {
  priority: {
    ...ORDINARY, schema: whole(1, 10), column: 'priority', owner: 'tighten', policyBound: 'maxPriority',
    description: 'Scratch.', example: 1,
  },`;

/** Where the compiler asks for an answer, and the questions there. */
const ASKING: Readonly<Record<string, number>> = {
  // In requests to create and to update, in the row, in the view.
  'src/api-keys/every-field.ts': 4,
  // What is more of it.
  'src/api-keys/settings/owner-limits.ts': 1,
  // Its place in the export.
  'src/api-keys/lists/api-key.csv.ts': 1,
  // Read from the request.
  'src/api-keys/settings/draft.ts': 1,
  'src/key-cache/records/key-record.ts': 1,
  // That the policy has the bound, and what lies outside of it.
  'src/access/key-policy.ts': 2,
};

describe('A field that is in the table alone', () => {
  let found: Map<string, string[]>;

  beforeAll(() => {
    const table = readFileSync(TABLE, 'utf8');
    found = errorsWith(table.replace('export const API_KEY_FIELDS = {', SCRATCH));
  }, 300_000);

  it.each(Object.keys(ASKING))('does not compile in %s', (file) => {
    expect(found.get(file)?.length ?? 0).toBeGreaterThanOrEqual(ASKING[file]!);
    expect(found.get(file)!.join('\n')).toMatch(/priority|maxPriority|TakenField/i);
  });

  it('lacks its place in the export, also where the view has it', () => {
    expect(found.get('src/api-keys/lists/api-key.csv.ts')).toEqual([expect.stringContaining(`constraint 'never'`)]);
  });

  it('is the only reason for that', () => {
    expect([...errorsWith(readFileSync(TABLE, 'utf8')).values()].flat()).toEqual([]);
  }, 300_000);
});

/** What the compiler says of the files above, by file, if the table has this text. */
function errorsWith(table: string): Map<string, string[]> {
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => readFileSync(path, 'utf8'));
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, ROOT);
  const host = ts.createCompilerHost(options);
  const readFile = host.readFile.bind(host);
  host.readFile = (path) => (resolve(path) === TABLE ? table : readFile(path));
  host.getSourceFile = (path, languageVersion) => {
    const text = host.readFile(path);
    return text === undefined ? undefined : ts.createSourceFile(path, text, languageVersion, true);
  };
  const program = ts.createProgram(
    Object.keys(ASKING).map((file) => join(ROOT, file)),
    options,
    host,
  );
  const errors = new Map<string, string[]>();
  for (const file of Object.keys(ASKING)) {
    const source = program.getSourceFile(join(ROOT, file))!;
    const messages = program
      .getSemanticDiagnostics(source)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
    if (messages.length > 0) errors.set(relative(ROOT, source.fileName), messages);
  }
  return errors;
}
