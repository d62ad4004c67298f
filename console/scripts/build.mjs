/**
 * `node scripts/build.mjs [folder]`: client types from the OpenAPI document, then types checked and pages bundled side
 * by side; a contract that no longer fits what the console calls fails the build. Big files get a Brotli twin.
 */
import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';

const root = fileURLToPath(new URL('../', import.meta.url));
const output = resolve(process.argv[2] ?? join(root, 'dist'));
const require = createRequire(import.meta.url);

/** The file behind a package's command, wherever npm has put the package. */
function commandOf(name, command = name) {
  const manifest = findManifest(name);
  const { bin } = require(manifest);
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[command]);
}

function findManifest(name) {
  for (const folder of require.resolve.paths(name) ?? []) {
    const manifest = join(folder, name, 'package.json');
    try {
      require(manifest);
      return manifest;
    } catch {
      // Not in this folder: the next one up.
    }
  }
  throw new Error(`${name} is not installed: run npm ci.`);
}

function run(...args) {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
    child.once('error', fail);
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(`${args[0]} ended with exit code ${code}.`))));
  });
}

/** What a browser loads; small files are not worth a second one. */
async function compress(folder) {
  for (const name of await readdir(folder)) {
    if (!/\.(js|css|svg)$/.test(name)) continue;
    const content = await readFile(join(folder, name));
    if (content.length < 1024) continue;
    const params = { [constants.BROTLI_PARAM_QUALITY]: 10, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
    await writeFile(join(folder, `${name}.br`), await promisify(brotliCompress)(content, { params }));
  }
}

try {
  await run(commandOf('openapi-typescript'), '../docs/openapi.json', '--output', 'src/api/schema.ts');
  await Promise.all([
    run(commandOf('typescript', 'tsc'), '--noEmit'),
    run(commandOf('vite'), 'build', '--outDir', output, '--emptyOutDir', '--logLevel', 'warn'),
  ]);
  await compress(join(output, 'assets'));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
