/** `npm run secrets`: draws secrets into files, and makes the steps of changing one. */
await import('./build.mjs');
await import('../dist/src/cli/secrets.js');
