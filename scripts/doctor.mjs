/**
 * `npm run doctor`: holds the books against each other and prints each check. Exits with 0 when all agree, 1 with any
 * difference (each is named), 2 when that could not be found out. It changes nothing.
 */
await import('./build.mjs');
await import('../dist/src/cli/doctor.js');
