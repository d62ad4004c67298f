/**
 * `npm run restore -- <file>`: builds what is stale, then restores a backup, or does what follows a restore
 * (`--after`).
 */
await import('./build.mjs');
await import('../dist/src/cli/restore.js');
