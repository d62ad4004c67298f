import { startEmbeddedPostgres } from '../../../src/database/embedded-postgres.js';

/** A process that uses the embedded PostgreSQL of the directory it is given until it is killed or told to stop. */
const server = await startEmbeddedPostgres({ dataDir: process.argv[2] ?? '' });
process.on('message', () => {
  void server.stop().then(() => process.exit(0));
});
process.send?.({ ownerUrl: server.ownerUrl, appUrl: server.appUrl, adopted: server.adopted, pid: server.pid });
