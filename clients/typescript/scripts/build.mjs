/**
 * `node scripts/build.mjs <folder>`: types from the OpenAPI document, then the compiler, which a contract that no
 * longer fits what the client calls fails; twice, as ES modules and, in `cjs/`, as CommonJS.
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const require = createRequire(import.meta.url);
const output = resolve(process.argv[2] ?? join(root, 'dist'));
const SCHEMA = join(root, 'src/schema.ts');

/** The file behind a package's command, wherever npm has put the package. */
function commandOf(name, command) {
  for (const folder of require.resolve.paths(name) ?? []) {
    const manifest = join(folder, name, 'package.json');
    try {
      return join(dirname(manifest), require(manifest).bin[command]);
    } catch {
      // Not in this folder: the next one up.
    }
  }
  throw new Error(`${name} is not installed: run npm ci.`);
}

function run(...args) {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', fail);
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(`${args[0]} ended with exit code ${code}.`))));
  });
}

/** Left alone where nothing has changed, and never half written where somebody reads it. */
async function generateSchema() {
  const draft = join(dirname(output), `schema-${process.pid}.ts`);
  try {
    await run(commandOf('openapi-typescript', 'openapi-typescript'), '../../docs/openapi.json', '--output', draft);
    const [made, known] = await Promise.all([readFile(draft, 'utf8'), readFile(SCHEMA, 'utf8').catch(() => null)]);
    if (made === known) return;
    await rename(draft, SCHEMA);
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * The compiler makes the format that the nearest package.json names, so the same sources are compiled beside one that
 * says CommonJS. In this folder, since the types of the frameworks are found from here.
 */
async function compileCommonJs() {
  const workshop = join(root, `.build/commonjs-${process.pid}`);
  const manifest = JSON.stringify({ type: 'commonjs' });
  try {
    await cp(join(root, 'src'), join(workshop, 'src'), { recursive: true });
    await writeFile(join(workshop, 'package.json'), manifest);
    const compilerOptions = { rootDir: 'src', noEmit: false, declaration: true, verbatimModuleSyntax: false };
    const config = { extends: '../../tsconfig.json', compilerOptions, include: ['src'], exclude: ['src/**/*.spec.ts'] };
    await writeFile(join(workshop, 'tsconfig.json'), JSON.stringify(config));
    await run(commandOf('typescript', 'tsc'), '-p', workshop, '--outDir', join(output, 'cjs'));
    await mkdir(join(output, 'cjs'), { recursive: true });
    await writeFile(join(output, 'cjs/package.json'), manifest);
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

try {
  await generateSchema();
  await run(commandOf('typescript', 'tsc'), '-p', 'tsconfig.build.json', '--outDir', output);
  await compileCommonJs();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
