import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { replaceFile, sha256Of, syncFile, writeCompressed } from '../../common/whole-file.js';
import type { ChainCheck, StoredLink } from '../chain-check.js';
import { type ChainTable, linksOf } from '../chain-tables.js';
import { lineWithoutPersonal } from '../copies/event-line.js';
import { eventOf } from '../stored-event.js';
import type { Ask } from '../stretch.js';
import { entriesIn, readSummary } from './segment-file.js';
import type { Place } from './sealed-cut.js';
import type { SegmentShelf } from './segment-shelf.js';
import {
  isSameContent,
  isSummaryName,
  openSummary,
  type SegmentContent,
  segmentName,
  type SignedSummary,
  summaryName,
} from './segment-summary.js';

/** Entries of one segment: some megabytes, and a transaction of about a second that removes them. */
export const MAX_ENTRIES = 20_000;
const ROWS_PER_QUERY = 1_000n;
/** Checked before other work of the process gets its turn. */
const ROWS_PER_TURN = 200;
const TABLE_OF = { changes: 'audit_event', reads: 'audit_read' } as const satisfies Record<string, ChainTable>;

/** Which entries a segment gets. */
export interface SegmentPlan {
  readonly chain: SegmentContent['chain'];
  /** The entry before the first one. */
  readonly start: Place;
  readonly toSeq: string;
  /** A check that begins at `start`. */
  readonly newCheck: () => ChainCheck;
}

/**
 * Writes a segment and its summary, whole and on the disk, or not at all. Each entry is checked before it is written,
 * and again as it is read back from the file. What a process left that was killed is read back and goes on.
 *
 * @throws Error where an entry is not what was recorded, or where the file is there with other entries
 */
export async function writeSegment(ask: Ask, shelf: SegmentShelf, plan: SegmentPlan): Promise<SignedSummary> {
  const { directory, installation } = shelf;
  const fromSeq = (BigInt(plan.start.seq) + 1n).toString();
  const file = segmentName(plan.chain, fromSeq, plan.toSeq);
  const path = join(directory, file);
  if (!(await isThere(path))) await writeCompressed(directory, file, () => checkedLines(ask, plan), ELSEWHERE);
  await syncFile(path);
  const { from, until, last } = await readBack(path, plan);
  await requireSameHash(ask, path, plan, last);
  const content: SegmentContent = {
    installation,
    chain: plan.chain,
    fromSeq,
    toSeq: plan.toSeq,
    previousHash: plan.start.hash.toString('hex'),
    hash: last.toString('hex'),
    entries: Number(BigInt(plan.toSeq) - BigInt(plan.start.seq)),
    from,
    until,
    file,
    bytes: (await stat(path)).size,
    sha256: await sha256Of(path),
  };
  const left = await readSummary(directory, file);
  const signed = left === null ? null : openSummary(shelf.publicKeys, left);
  // The same entries, compressed by another build: the summary is of the file that was there before.
  const isOfEntries =
    signed !== null && isSameContent({ ...signed, bytes: content.bytes, sha256: content.sha256 }, content);
  if (isOfEntries && isSameContent(signed, content)) {
    await syncFile(join(directory, summaryName(file)));
    return signed;
  }
  if (left !== null && !isOfEntries)
    throw new Error(`${join(directory, summaryName(file))} is of other entries: ${ELSEWHERE}`);
  const summary = shelf.sign(content);
  await replaceFile(join(directory, summaryName(file)), `${JSON.stringify(summary, undefined, 2)}\n`);
  return summary;
}

/**
 * Where the segment ends that was sealed before a restore, if there is one that begins with `fromSeq`: entries that are
 * sealed again go into the same segments.
 */
export async function endOfEarlier(
  { directory, installation, publicKeys }: SegmentShelf,
  chain: SegmentContent['chain'],
  fromSeq: string,
): Promise<string | null> {
  const names = await readdir(directory).catch(() => []);
  const beginning = segmentName(chain, fromSeq, '0').split('-').slice(0, -1).join('-');
  for (const name of names.filter((one) => isSummaryName(one, chain) && one.startsWith(`${beginning}-`)).sort()) {
    const file = name.replace(/\.summary\.json$/, '.ndjson.gz');
    const summary = openSummary(publicKeys, await readSummary(directory, file));
    if (summary?.fromSeq === fromSeq && summary.installation === installation) return summary.toSeq;
  }
  return null;
}

const ELSEWHERE = 'move it away, or set another AUDIT_ARCHIVE_DIR.';

async function* checkedLines(ask: Ask, { chain, start, toSeq, newCheck }: SegmentPlan): AsyncGenerator<string> {
  const check = newCheck();
  const last = BigInt(toSeq);
  for (let from = BigInt(start.seq) + 1n; from <= last; from += ROWS_PER_QUERY) {
    const upTo = last < from + ROWS_PER_QUERY ? last : from + ROWS_PER_QUERY - 1n;
    const rows = await ask<StoredLink>(linksOf(TABLE_OF[chain]), [
      from.toString(),
      upTo.toString(),
      Number(ROWS_PER_QUERY),
    ]);
    if (BigInt(rows.length) < upTo - from + 1n) throw new Error(`Entries between ${from} and ${upTo} are missing.`);
    for (let at = 0; at < rows.length; at += ROWS_PER_TURN) {
      yield rows
        .slice(at, at + ROWS_PER_TURN)
        .map((row) => lineOf(check, row))
        .join('');
      await nextTurn();
    }
  }
}

function lineOf(check: ChainCheck, row: StoredLink): string {
  const broken = check.next(row);
  if (broken !== null) throw new Error(`Entry ${broken.seq} cannot be sealed. ${broken.reason}`);
  const { seq, id, at, body, hash } = row;
  return lineWithoutPersonal(eventOf({ seq, id, at: at.replace('000Z', 'Z'), body, hash }));
}

interface ReadBack {
  readonly from: string;
  readonly until: string;
  readonly last: Buffer;
}

async function readBack(path: string, { chain, start, toSeq, newCheck }: SegmentPlan): Promise<ReadBack> {
  const check = newCheck();
  let first: StoredLink | null = null;
  let last: StoredLink | null = null;
  for await (const event of entriesIn(path)) {
    const broken = event?.table === TABLE_OF[chain] ? check.next(event.link) : LINE;
    if (broken !== null) throw new Error(`${path} does not have what was written to it: ${broken.reason}`);
    last = event!.link;
    first ??= last;
    if (check.checked % ROWS_PER_TURN === 0) await nextTurn();
  }
  if (first === null || last?.seq !== toSeq || BigInt(check.checked) !== BigInt(toSeq) - BigInt(start.seq))
    throw new Error(`${path} does not have the entries up to ${toSeq}: ${ELSEWHERE}`);
  const instantOf = (at: string) => at.replace('000Z', 'Z');
  return { from: instantOf(first.at), until: instantOf(last.at), last: last.hash };
}

const LINE = { reason: 'A line is no entry of this chain.' };

async function requireSameHash(ask: Ask, path: string, { chain, toSeq }: SegmentPlan, hash: Buffer): Promise<void> {
  const [row] = await ask<{ hash: Buffer }>(`SELECT hash FROM ${TABLE_OF[chain]} WHERE seq = $1`, [toSeq]);
  if (row?.hash.equals(hash) !== true)
    throw new Error(
      `${path} has another entry ${toSeq} than the database, which was restored to a state before it: ${ELSEWHERE}`,
    );
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
