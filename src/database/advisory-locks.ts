/**
 * Every advisory lock of the database, each with a number of its own: two purposes that share a number block each
 * other. `usage_event_prepare` in a released migration holds 4 242 004; a test keeps this list and the SQL equal.
 */
export const ADVISORY_LOCKS = {
  /** One process migrates, the others wait. Held by a session. */
  migration: 4_242_001,
  /** One process adds roles and the first admin. */
  seed: 4_242_002,
  /** One change at a time alters roles, or takes something from an admin. */
  administration: 4_242_003,
  /** One replica makes the partitions of usage events. Taken inside `usage_event_prepare`. */
  partitions: 4_242_004,
  /** One replica writes a checkpoint of the audit trail. */
  checkpoint: 4_242_005,
  /** One process adds the data of `--demo`. */
  demo: 4_242_006,
  /** One process records the fingerprints of secrets. */
  fingerprints: 4_242_007,
  /** One replica at a time ends again what a failover has lost. */
  historyLoss: 4_242_008,
  /** One replica compares the tables with the audit trail. Held by a session. */
  comparison: 4_242_009,
  /** One change at a time decides which limits a target has. */
  limits: 4_242_030,
  /** One replica at a time writes the copy of the audit trail. Held by a session. */
  auditCopy: 4_242_027,
  /** One replica at a time sends the audit trail to a receiver of syslog. Held by a session. */
  auditSyslog: 4_242_032,
  /** One replica at a time cuts reads from the audit trail. */
  readCut: 4_242_015,
  /** One replica at a time archives usage events. Held by a session. */
  usageArchive: 4_242_031,
  /** One replica at a time seals entries of the audit trail. Held by a session. */
  auditSegments: 4_242_035,
  /** One replica at a time deletes the files of old segments. Held by a session. */
  oldSegments: 4_242_054,
} as const;
