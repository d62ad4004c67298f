/** Names of what lies in `DATA_DIR`. The settings look for them before a database is opened. */
export const DATA_DIR_ENTRIES = {
  /** Generated secrets, mode 0600. */
  secrets: 'secrets.json',
  /** The embedded cluster. */
  cluster: 'postgres',
  /** Where the cluster is, if it cannot be in `DATA_DIR`. */
  clusterLocation: 'postgres-location.json',
} as const;
