import { describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { ROOT } from './examples.js';

const PACKAGE = join(ROOT, 'clients/typescript');
const PINNED = join(PACKAGE, 'public-surface.txt');

const OPTIONS: ts.CompilerOptions = { module: ts.ModuleKind.NodeNext, noLib: true, types: [] };

interface Manifest {
  exports: Record<string, string | { import: { types: string } }>;
}

/** Every name that each entry of the package exports, with its declaration. */
async function publicSurface(): Promise<string> {
  const manifest = JSON.parse(await readFile(join(PACKAGE, 'package.json'), 'utf8')) as Manifest;
  const entries = Object.entries(manifest.exports).flatMap(([name, target]) =>
    typeof target === 'string' ? [] : [[name, join(PACKAGE, target.import.types)] as const],
  );
  const program = ts.createProgram(
    entries.map(([, file]) => file),
    OPTIONS,
    onlyOwnFiles(),
  );
  const checker = program.getTypeChecker();
  return entries
    .map(([name, file]) => {
      const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)!)!);
      const texts = exported.map((symbol) =>
        declarationOf(symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol, symbol.name),
      );
      return `=== @latchkey/client${name.slice(1)}\n\n${texts.sort().join('\n\n')}\n`;
    })
    .join('\n');
}

/** What frameworks declare is not looked at: it takes seconds to read, and is not ours to pin. */
function onlyOwnFiles(): ts.CompilerHost {
  const host = ts.createCompilerHost(OPTIONS);
  host.resolveModuleNameLiterals = (literals, from) =>
    literals.map(({ text }) =>
      text.startsWith('.')
        ? ts.resolveModuleName(text, from, OPTIONS, host, undefined, undefined, ts.ModuleKind.ESNext)
        : { resolvedModule: undefined },
    );
  return host;
}

/** Of the contract's own types only the name: the document is pinned elsewhere. */
function declarationOf(symbol: ts.Symbol, name: string): string {
  const [declaration] = symbol.declarations ?? [];
  if (declaration === undefined) throw new Error(`${name} has no declaration: is the package built?`);
  const file = declaration.getSourceFile();
  if (relative(PACKAGE, file.fileName) === 'dist/schema.d.ts') return `interface ${name} (of the contract)`;
  const statement = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  // Without comments, and without what a class keeps to itself.
  const printed = ts.createPrinter({ removeComments: true }).printNode(ts.EmitHint.Unspecified, statement, file);
  return printed.replace(/^ +(?:private .*|#private);\n/gm, '');
}

describe('The public surface of the client', () => {
  it('is the one that is checked in (UPDATE_CONTRACT=1 writes it; review the diff)', async () => {
    const surface = await publicSurface();
    if (process.env['UPDATE_CONTRACT'] === '1') await writeFile(PINNED, surface);
    expect(surface).toBe(await readFile(PINNED, 'utf8'));
    expect(surface).toContain('class LatchkeyClient');
  });
});
