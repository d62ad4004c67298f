/**
 * `npm run build [-- name…]`: builds what is stale, all of it or what is named; nothing if nothing has changed.
 * Imported by what starts the server, it builds what that needs.
 */
import { fileURLToPath } from 'node:url';
import { buildStale } from './build-stale.mjs';
import { BUILDS } from './builds.mjs';

const isCommand = process.argv[1] === fileURLToPath(import.meta.url);
const names = isCommand ? process.argv.slice(2) : ['server', 'console'];

try {
  await buildStale(names.length === 0 ? BUILDS : BUILDS.filter(({ name }) => names.includes(name)));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
