/** `npm run rows:accept`: builds what is stale, then takes rows for right that differ from the audit trail. */
await import('./build.mjs');
await import('../dist/src/cli/rows-accept.js');
