/** `npm run backup -- <file>`: builds what is stale, then writes the embedded database, or the secrets, into a file. */
await import('./build.mjs');
await import('../dist/src/cli/backup.js');
