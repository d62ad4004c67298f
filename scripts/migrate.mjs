/** `npm run migrate`: builds what is stale, then takes over keys of another system. docs/migrating.md */
await import('./build.mjs');
await import('../dist/src/cli/migrate.js');
