/**
 * Starts the run's PostgreSQL. Jest runs this once a run, however many projects name it, and outside of its own
 * module system; plain JavaScript, because Jest would turn TypeScript here into CommonJS, which cannot import ours.
 */
import './register-typescript.mjs';

export default async function globalSetup() {
  const { startTestServer } = await import('./test-server.ts');
  globalThis.stopTestServer = await startTestServer();
}
