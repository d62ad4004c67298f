import { CLUSTER_ENTRIES } from '../../packages/embedded-postgres/src/cluster.js';

/** Names of what lies in `DATA_DIR`. The settings look for them before a database is opened. */
export const DATA_DIR_ENTRIES = {
  /** Generated secrets, mode 0600. */
  secrets: 'secrets.json',
  ...CLUSTER_ENTRIES,
} as const;
