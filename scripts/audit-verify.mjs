/**
 * `npm run audit:verify [-- --checkpoints FILE] [-- --file COPY] [-- --public-key]`: checks the audit trail, or copies
 * of it. Exits with 0 when it is whole, 1 when it is broken (with the place and the reason), 2 when that could not be
 * found out.
 */
await import('./build.mjs');
await import('../dist/src/cli/audit-verify.js');
