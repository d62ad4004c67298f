/** Stops the run's PostgreSQL and deletes its directory. */
export default async function globalTeardown() {
  await globalThis.stopTestServer?.();
}
