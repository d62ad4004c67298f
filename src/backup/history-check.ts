import type { DataSource } from 'typeorm';
import { openAnchor } from '../audit/checkpoint-file.js';
import { newestLine } from '../audit/checkpoint-tail.js';
import { checkpointPublicKeys } from '../audit/checkpoint.js';
import { readHead } from '../audit/head.js';
import { findRestores, givenUpBy } from '../audit/restores.js';
import { findCut } from '../audit/segments/sealed-cut.js';
import { type StartCheck, StartRefusal } from '../common/start-refusal.js';
import type { Config } from '../config/config.js';

/**
 * Whether the database still has what the checkpoint file has seen. One that does not was restored, or was promoted
 * from a standby that had not everything: what was revoked in between would work again.
 */
export function historyCheck(config: Config, dataSource: DataSource): StartCheck {
  return { check: 'the database has all that its checkpoint file has seen', run: () => compare(config, dataSource) };
}

async function compare(config: Config, { manager }: DataSource): Promise<string | null> {
  const path = config.auditCheckpointFile;
  if (path === null) return 'no AUDIT_CHECKPOINT_FILE: a restore of an older state would not be noticed';
  const publicKeys = checkpointPublicKeys(config.auditKeys);
  let newest;
  try {
    newest = await newestLine(path, (claim) => openAnchor(publicKeys, claim));
  } catch (error) {
    return `not compared: ${(error as Error).message}`;
  }
  if (newest === null) return 'the file has no checkpoint yet';
  // After the file: the head must not be older than what it is held against.
  const [head, restores] = [await readHead(manager), await findRestores(manager)];
  if (givenUpBy(newest, restores) !== null) return null;
  if (BigInt(newest.seq) > BigInt(head.seq))
    throw refusal(
      `ends with entry ${head.seq}, and the checkpoint file ${path} has seen entry ${newest.seq} at ${newest.at}`,
    );
  const { seq: cut } = await findCut(manager);
  if (BigInt(newest.seq) < BigInt(cut)) return `the file ends with entry ${newest.seq}; those up to ${cut} are sealed`;
  const [row] = await manager.query<{ hash: Buffer }[]>('SELECT hash FROM audit_event WHERE seq = $1', [newest.seq]);
  if (newest.seq !== '0' && row?.hash.equals(newest.hash) !== true)
    throw refusal(`has another entry ${newest.seq} than the checkpoint file ${path} has seen at ${newest.at}`);
  return null;
}

function refusal(fact: string): StartRefusal {
  return new StartRefusal(
    `The audit trail of the database ${fact}: the database was restored, or changed places with one that lacks the newest changes. Run npm run restore -- --after, which says what is missing and revokes again what was revoked; then start.`,
  );
}
