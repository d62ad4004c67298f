/**
 * Sizes of files and functions, in lines that are neither blank nor comments. What was larger when the rule came is
 * listed in `size-exceptions.json` with its size: it may not grow, and an entry that is no longer needed is reported,
 * so that the list only shrinks.
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const MAX_FILE_LINES = 400;
export const MAX_FUNCTION_LINES = 50;
/** Of a React component: a function of a `.tsx` file whose name begins with a capital. */
export const MAX_COMPONENT_LINES = 100;

const root = fileURLToPath(new URL('../', import.meta.url));

/** File → name of a function, or `file` for the file itself → lines. */
export const exceptions = JSON.parse(readFileSync(new URL('size-exceptions.json', import.meta.url), 'utf8'));

/** The rule, with the list of what may be larger. */
export const sizesExcept = (allowed) => ({
  meta: {
    type: 'suggestion',
    schema: [],
    messages: {
      large: '{{what}} has {{lines}} lines of code; at most {{most}}. Divide it by idea.',
      spare: '{{what}} has {{lines}} lines of code: remove it from lint/size-exceptions.json.',
    },
  },
  create(context) {
    const file = relative(root, context.filename).replaceAll('\\', '/');
    const listed = new Map(Object.entries(allowed[file] ?? {}));
    const codeLines = linesOfCode(context.sourceCode);

    function check(node, name, limit) {
      const lines = countBetween(codeLines, node.loc);
      const what = name === 'file' ? 'The file' : name;
      const exception = listed.get(name);
      if (exception === undefined) {
        if (lines > limit) context.report({ node, messageId: 'large', data: { what, lines, most: limit } });
        return;
      }
      listed.delete(name);
      if (lines > exception) context.report({ node, messageId: 'large', data: { what, lines, most: exception } });
      if (lines <= limit) context.report({ node, messageId: 'spare', data: { what, lines } });
    }

    return {
      ':function'(node) {
        if (isDescribeCallback(node)) return;
        const name = nameOf(node);
        check(node, name, isComponent(file, name) ? MAX_COMPONENT_LINES : MAX_FUNCTION_LINES);
      },
      'Program:exit'(node) {
        check(node, 'file', MAX_FILE_LINES);
        for (const what of listed.keys()) context.report({ node, messageId: 'spare', data: { what, lines: 0 } });
      },
    };
  },
});

/** Numbers of the lines that hold a token; a template literal holds each line that it runs over. */
function linesOfCode({ ast }) {
  const lines = new Set();
  for (const { loc } of ast.tokens) for (let line = loc.start.line; line <= loc.end.line; line += 1) lines.add(line);
  return [...lines].sort((one, other) => one - other);
}

function countBetween(lines, { start, end }) {
  return lines.filter((line) => line >= start.line && line <= end.line).length;
}

function isComponent(file, name) {
  return file.endsWith('.tsx') && /^[A-Z]/.test(name);
}

/** Put tests together, on the condition that something is there: their size is that of their file. */
const GROUPS = [
  'describe',
  'inBrowser',
  'withCaddy',
  'withNginx',
  'withOpenssl',
  'withPgBouncer',
  'withPrometheus',
  'withRsyslog',
];

function isDescribeCallback({ parent }) {
  return parent.type === 'CallExpression' && GROUPS.includes(rootName(parent.callee));
}

function rootName(node) {
  if (node.type === 'CallExpression') return rootName(node.callee);
  if (node.type === 'TaggedTemplateExpression') return rootName(node.tag);
  return node.type === 'MemberExpression' ? rootName(node.object) : node.name;
}

/** The function's own name, or that of what it is given to: a variable, a member, or the call with its first text. */
function nameOf(node) {
  if (node.id) return node.id.name;
  const { parent } = node;
  if (parent.key) return parent.key.name ?? String(parent.key.value ?? 'computed');
  if (parent.type === 'VariableDeclarator') return parent.id.name ?? 'destructured';
  if (parent.type === 'CallExpression') return nameOfCall(parent, node);
  return 'anonymous';
}

function nameOfCall(call, node) {
  const [first] = call.arguments;
  const name = call.callee.property?.name ?? rootName(call.callee) ?? 'anonymous';
  if (first?.type === 'Literal') return `${name}: ${first.value}`;
  return first === node && call.parent.type === 'VariableDeclarator' ? (call.parent.id.name ?? name) : name;
}
