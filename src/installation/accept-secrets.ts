import type { DataSource } from 'typeorm';
import { systemCaller } from '../access/caller.js';
import { changeAlone } from '../audit/change-alone.js';
import { Changes } from '../audit/changes.js';
import type { Config } from '../config/config.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import type { Fingerprint } from './fingerprint.js';
import { InstallationRepository, nameOf } from './installation.repository.js';
import { type Configured, checkSecrets } from './secret-check.js';

/**
 * Lets a process go on only with the secrets of its database, and records those the database has not seen. To be called
 * after the schema is up to date, and before anything else is written. Processes that start at once record one set.
 *
 * @returns what to tell the operator, a sentence each
 * @throws StartRefusal as `checkSecrets`; then nothing has been written
 */
export async function acceptSecrets(dataSource: DataSource, config: Config): Promise<readonly string[]> {
  const { configured, unrecorded, warnings } = await checkSecrets(config, dataSource.manager);
  if (unrecorded.length === 0) return warnings;
  const recorded = await recordSecrets(dataSource, config, configured);
  return recorded.length === 0
    ? warnings
    : [`Secrets seen for the first time: ${recorded.map(nameOf).join(', ')}.`, ...warnings];
}

/** Another process may have recorded some meanwhile, and not the same: one at a time looks again, and records. */
function recordSecrets(
  dataSource: DataSource,
  config: Config,
  configured: readonly Configured[],
): Promise<readonly Fingerprint[]> {
  const changes = new Changes(dataSource, config);
  return changeAlone(changes, systemCaller('secrets:record'), ADVISORY_LOCKS.fingerprints, async ({ tx, record }) => {
    const { unrecorded, auditKeyVersion } = await checkSecrets(config, tx, configured);
    const installation = new InstallationRepository(tx);
    if (!config.isAuditKeyPlain) await installation.nameAuditKeyVersion(auditKeyVersion);
    for (const one of unrecorded) {
      await installation.insert(one);
      const { variable, version } = one;
      record({ resourceType: 'secret', resourceId: `${variable}.${version}`, details: { variable, version } });
    }
    return unrecorded;
  });
}
