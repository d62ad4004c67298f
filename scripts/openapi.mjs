/** `node scripts/openapi.mjs [file]`: writes the OpenAPI document of the built server; needs no database. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { buildStale } from './build-stale.mjs';
import { BUILDS } from './builds.mjs';

// The server alone: the console is built from the document that this makes.
await buildStale(BUILDS.filter(({ name }) => name === 'server'));
const { buildOpenApiDocument } = await import('../dist/src/server/offline-document.js');
const target = process.argv[2] ?? fileURLToPath(new URL('../docs/openapi.json', import.meta.url));
const text = `${JSON.stringify(await buildOpenApiDocument(), null, 2)}\n`;
if (target === '-') process.stdout.write(text);
else await writeFile(target, text);
