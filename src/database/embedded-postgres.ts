import * as clusters from '../../packages/embedded-postgres/src/cluster.js';
import * as servers from '../../packages/embedded-postgres/src/embedded-postgres.js';
import { LATCHKEY } from './application.js';

/** The embedded PostgreSQL of Latchkey, as one of its users holds it. */
export type EmbeddedPostgres = servers.EmbeddedPostgres;

/** Starts Latchkey's embedded PostgreSQL, or adopts the one that runs already. @see servers.startEmbeddedPostgres */
export function startEmbeddedPostgres(
  options: Omit<servers.EmbeddedPostgresOptions, 'application'>,
): Promise<EmbeddedPostgres> {
  return servers.startEmbeddedPostgres({ ...options, application: LATCHKEY });
}

/** Stops a server that dead processes left behind; false where a living one uses it. @throws StartRefusal */
export function stopAbandonedPostgres(dataDir: string): Promise<boolean> {
  return servers.stopAbandonedPostgres(LATCHKEY, dataDir);
}

/** Where the cluster of a data directory lies, or null. @throws StartRefusal where it is lost, or that of another */
export function findCluster(dataDir: string): Promise<string | null> {
  return clusters.findCluster(LATCHKEY, dataDir);
}

/** Removes the cluster of a data directory with its passwords. Nothing may run on it. */
export function removeCluster(dataDir: string): Promise<void> {
  return clusters.removeCluster(LATCHKEY, dataDir);
}
