/**
 * `npm run start:cluster`: builds what is stale, then runs the primary in this very process, so that signals reach it.
 */
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Latchkey needs Node 20.19 or newer; this is Node ${process.versions.node}.`);
  process.exit(1);
}

// Imported one after the other: an older Node might not even read them, and the server comes out of the build.
await import('./end-with-npm.mjs');
await import('./build.mjs');
await import('../dist/src/server/cluster.js');
