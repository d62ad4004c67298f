import type { DataSource } from 'typeorm';
import { PLAIN_VERSION, type VersionedKey } from '../../config/versioned-secrets.js';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { SessionClient } from '../../database/session-client.js';
import { sessionConfigOf } from '../../database/session-config.js';
import type { KeySegment } from '../key-segments.js';
import { requireThere, segmentShelf } from '../segments/segment-shelf.js';
import type { SignedSummary } from '../segments/segment-summary.js';
import { BEGINNING, type Place } from '../segments/sealed-cut.js';
import { endOfEarlier, MAX_ENTRIES, writeSegment } from '../segments/write-segment.js';
import type { Ask } from '../stretch.js';
import { ReadChainCheck } from './read-chain-check.js';
import { findReadCut, findReadSegment } from './read-cuts.js';

/**
 * Writes reads behind the newest cut to sealed segments, up to and with `upTo`; gives the last segment, or null where
 * another replica cuts reads. Nothing is removed. Ended at any point, the next call goes on.
 *
 * @param ending gives up what is under way, which then throws
 */
export async function sealReads(
  dataSource: DataSource,
  auditKeys: readonly VersionedKey[],
  directory: string,
  upTo: string,
  ending: AbortSignal,
): Promise<SignedSummary | null> {
  const session = new SessionClient(sessionConfigOf(dataSource, 'audit-reads', 'reader'));
  const giveUp = () => session.destroy();
  ending.addEventListener('abort', giveUp);
  try {
    ending.throwIfAborted();
    await session.connect();
    const ask: Ask = async (text, values) => (await session.query(text, values)).rows as never;
    const [lock] = await ask<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [ADVISORY_LOCKS.readCut]);
    if (!lock!.taken) return null;
    const shelf = await segmentShelf(ask, auditKeys, directory);
    const segments = await versionsOf(ask, auditKeys);
    const newest = await findReadSegment(dataSource.manager);
    if (newest !== null) await requireThere(directory, newest);
    let summary: SignedSummary | null = null;
    for (let start: Place = (await findReadCut(dataSource.manager)) ?? BEGINNING; BigInt(start.seq) < BigInt(upTo);) {
      const from = BigInt(start.seq) + 1n;
      const planned = BigInt(upTo) < from + BigInt(MAX_ENTRIES) ? upTo : (from + BigInt(MAX_ENTRIES) - 1n).toString();
      const earlier = await endOfEarlier(shelf, 'reads', from.toString());
      const place = start;
      const newCheck = () => new ReadChainCheck(segments, [], place.seq === '0' ? null : place);
      summary = await writeSegment(ask, shelf, { chain: 'reads', start, toSeq: earlier ?? planned, newCheck });
      start = { seq: summary.toSeq, hash: Buffer.from(summary.hash, 'hex') };
    }
    // The cut takes it next, and a session that is only closed has it for a moment longer.
    await ask('SELECT pg_advisory_unlock($1)', [ADVISORY_LOCKS.readCut]);
    return summary;
  } finally {
    ending.removeEventListener('abort', giveUp);
    session.destroy();
  }
}

/** Every version of AUDIT_KEY that may have signed, oldest first. */
async function versionsOf(ask: Ask, auditKeys: readonly VersionedKey[]): Promise<KeySegment[]> {
  const rows = await ask<{ version: string }>(
    `SELECT version FROM (SELECT seq, from_version AS version FROM audit_key_change
                          UNION ALL SELECT NULL, coalesce(audit_key_version, $1) FROM change_head) AS v ORDER BY seq NULLS LAST`,
    [PLAIN_VERSION],
  );
  return rows
    .flatMap(({ version }) => auditKeys.filter((key) => key.version === version))
    .map((key) => ({ ...key, end: null }));
}
