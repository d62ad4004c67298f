/** `npm run build`: builds what is stale; nothing if nothing has changed. */
import { buildStale } from './build-stale.mjs';
import { BUILDS } from './builds.mjs';

try {
  await buildStale(BUILDS);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
