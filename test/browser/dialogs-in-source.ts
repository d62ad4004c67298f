import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ts from 'typescript';

const SOURCES = join(import.meta.dirname, '../../console/src');
/** What draws a dialog. */
const DIALOGS = ['Dialog', 'Confirm', 'EachDialog', 'SecretDialog', 'ShownOnce', 'Modal', 'Drawer'];
/** Those that others are made of. */
const SHAPES = ['ui/dialog.tsx', 'ui/confirm.tsx', 'ui/each-dialog.tsx', 'ui/shown-once.tsx', 'keys/secret-dialog.tsx'];

/**
 * Every dialog of the console, as `file Component Shape` in the order of the files: `keys/key-dialogs.tsx Revoke
 * Confirm`. Of several in one component the later ones have their number behind.
 */
export async function dialogsInSource(): Promise<string[]> {
  const files = (await readdir(SOURCES, { recursive: true })).filter(
    (file) => file.endsWith('.tsx') && !SHAPES.includes(file),
  );
  const found = await Promise.all(
    files.sort().map(async (file) => dialogsOf(file, await readFile(join(SOURCES, file), 'utf8'))),
  );
  return found.flat();
}

function dialogsOf(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const times = new Map<string, number>();
  const found: string[] = [];
  const visit = (node: ts.Node, component: string): void => {
    const inside = ts.isFunctionDeclaration(node) && node.name ? node.name.text : component;
    if (ts.isJsxOpeningElement(node) || ts.isJsxSelfClosingElement(node)) {
      const shape = node.tagName.getText(source);
      if (DIALOGS.includes(shape)) {
        const name = `${file} ${inside} ${shape}`;
        const time = (times.get(name) ?? 0) + 1;
        times.set(name, time);
        found.push(time === 1 ? name : `${name} ${time}`);
      }
    }
    ts.forEachChild(node, (child) => visit(child, inside));
  };
  visit(source, '');
  return found;
}
