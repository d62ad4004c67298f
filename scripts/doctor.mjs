/**
 * `npm run doctor [-- --production]`: holds the books against each other and prints each check. Exits with 0 when all
 * agree, 1 with any difference (each is named), 2 when that could not be found out. It changes nothing. With
 * `--production` it prints the points of docs/production-checklist.md, and exits with 1 while one is to be done.
 */
await import('./build.mjs');
await import('../dist/src/cli/doctor.js');
