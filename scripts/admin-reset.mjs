/** `npm run admin:reset`: builds what is stale, then gives the admin of ADMIN_EMAIL a new password. */
await import('./build.mjs');
await import('../dist/src/cli/admin-reset.js');
