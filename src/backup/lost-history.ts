import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { EntityManager } from 'typeorm';
import type { Anchor } from '../audit/chain-check.js';
import { openChangeLine, type RecordedChange } from '../audit/change-line.js';
import { claimOf, openAnchor } from '../audit/checkpoint-file.js';
import type { CheckpointPublicKey } from '../audit/checkpoint.js';
import { readHead } from '../audit/head.js';
import { findRestores, givenUpBy, type Restore } from '../audit/restores.js';
import { CUT_SEQ } from '../audit/segments/sealed-cut.js';
import { StartRefusal } from '../common/start-refusal.js';

/** Lines that are kept of the end of a file: several months of checkpoints. */
const MAX_LINES = 200_000;

/** Entries by their numbers, both included. */
export interface Range {
  readonly from: bigint;
  readonly upTo: bigint;
}

/** What checkpoint files know of entries that the database does not have. */
export interface LostHistory extends Restore {
  /** Changes of keys, users and roles in it, in order. */
  readonly changes: readonly RecordedChange[];
  /** Entries of which no file says what they were. */
  readonly unknown: readonly Range[];
}

/** What was found in checkpoint files. */
export interface FoundHistory {
  /** null: the database has everything the files know of. */
  readonly lost: LostHistory | null;
  /** Lines that claim to be ours and are not signed with this audit key. */
  readonly forgedLines: number;
}

/**
 * Holds checkpoint files against the trail: which entries they have seen that the database does not have.
 *
 * @throws StartRefusal when a file cannot be read
 */
export async function findLostHistory(
  manager: EntityManager,
  files: readonly string[],
  keys: readonly CheckpointPublicKey[],
): Promise<FoundHistory> {
  const claims = (await Promise.all(files.map(readClaims))).flat();
  // After the files: the head must not be older than what it is held against.
  const [head, restores] = [await readHead(manager), await findRestores(manager)];
  const inChain = await findInChain(manager, claims);
  let forgedLines = 0;
  const anchors: { anchor: Anchor; claim: unknown }[] = [];
  // All of them: after a failover, lines of the new history may lie behind those of the one that was lost.
  for (const claim of claims.sort((a, b) => (seqOf(a) < seqOf(b) ? 1 : -1))) {
    const anchor = openAnchor(keys, claim);
    if (anchor === null) forgedLines += 1;
    else if (!inChain.has(claim) && givenUpBy(anchor, restores) === null) anchors.push({ anchor, claim });
  }
  if (anchors.length === 0) return { lost: null, forgedLines };
  const oldest = BigInt(anchors.at(-1)!.anchor.seq);
  const fork = [...inChain]
    .map(seqOf)
    .reduce<bigint | null>((most, seq) => (seq < oldest && seq > (most ?? -1n) ? seq : most), null);
  const lines = anchors.flatMap(({ claim }) => openChangeLine(keys, claim) ?? []);
  const divergesBeforeHead =
    anchors.some(({ anchor }) => BigInt(anchor.seq) <= BigInt(head.seq)) ||
    (await contradicts(
      manager,
      lines.flatMap(({ changes }) => changes),
      fork ?? 0n,
    ));
  const afterSeq = divergesBeforeHead ? (fork ?? 0n) : BigInt(head.seq);
  const newest = anchors[0]!.anchor;
  const latest = anchors.reduce(
    (most, { anchor }) => (Date.parse(anchor.at) > Date.parse(most.at) ? anchor : most),
    newest,
  );
  const lostUpTo = BigInt(newest.seq);
  const covered = lines.map(({ after, anchor }) => ({ from: BigInt(after) + 1n, upTo: BigInt(anchor.seq) }));
  return {
    forgedLines,
    lost: {
      afterSeq: afterSeq.toString(),
      lostUpToSeq: newest.seq,
      lostUntil: latest.at,
      changes: inOrder(
        lines.flatMap(({ changes }) => changes),
        afterSeq,
      ),
      unknown: gaps({ from: afterSeq + 1n, upTo: lostUpTo }, covered),
    },
  };
}

/** Claims at the end of a file, not yet checked. */
async function readClaims(path: string): Promise<unknown[]> {
  const claims: unknown[] = [];
  try {
    for await (const line of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity })) {
      const claim = claimOf(line);
      if (claim !== null) claims.push(claim);
      if (claims.length >= 2 * MAX_LINES) claims.splice(0, MAX_LINES);
    }
  } catch (error) {
    throw new StartRefusal(
      `The checkpoint file ${path} cannot be read (${(error as Error).message}): put it there, or name another one by --checkpoints.`,
    );
  }
  return claims.slice(-MAX_LINES);
}

/** For the order alone: a line that is no line of ours comes first and is found out then. */
function seqOf(claim: unknown): bigint {
  const { seq } = (claim ?? {}) as { seq?: unknown };
  return typeof seq === 'string' && /^\d{1,19}$/.test(seq) ? BigInt(seq) : 2n ** 64n;
}

/** Claims that the chain goes through. What is in sealed segments was in the chain when it was sealed. */
async function findInChain(manager: EntityManager, claims: readonly unknown[]): Promise<ReadonlySet<unknown>> {
  const places = claims.map((claim) => claim as { seq?: unknown; hash?: unknown });
  const readable = places.filter(
    ({ seq, hash }) => isSeq(seq) && typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash),
  );
  const rows = await manager.query<{ at: string }[]>(
    `SELECT k.at FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS k (seq, hash, at)
       LEFT JOIN audit_event e ON e.seq = k.seq
      WHERE e.hash = decode(k.hash, 'hex') OR k.seq <= ${CUT_SEQ}`,
    [readable.map(({ seq }) => seq), readable.map(({ hash }) => hash)],
  );
  return new Set(rows.map(({ at }) => readable[Number(at) - 1]));
}

function isSeq(value: unknown): value is string {
  return typeof value === 'string' && /^\d{1,18}$/.test(value);
}

/** Whether the trail says something else about an entry than a file does. */
async function contradicts(
  manager: EntityManager,
  changes: readonly RecordedChange[],
  after: bigint,
): Promise<boolean> {
  const known = changes.filter(({ seq }) => BigInt(seq) > after);
  const rows = await manager.query<unknown[]>(
    `SELECT 1 FROM audit_event e JOIN unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS k (seq, at, action) ON k.seq = e.seq
      WHERE date_trunc('milliseconds', e.at) <> k.at OR e.action <> k.action LIMIT 1`,
    [known.map(({ seq }) => seq), known.map(({ at }) => at), known.map(({ action }) => action)],
  );
  return rows.length > 0;
}

/** Each change once, however many files tell of it. */
function inOrder(changes: readonly RecordedChange[], after: bigint): RecordedChange[] {
  const bySeq = new Map(changes.filter(({ seq }) => BigInt(seq) > after).map((change) => [change.seq, change]));
  return [...bySeq.values()].sort((a, b) => (BigInt(a.seq) < BigInt(b.seq) ? -1 : 1));
}

/** The parts of `whole` that no range covers. */
function gaps(whole: Range, covered: readonly Range[]): Range[] {
  const found: Range[] = [];
  let next = whole.from;
  for (const { from, upTo } of [...covered].sort((a, b) => (a.from < b.from ? -1 : 1))) {
    if (from > whole.upTo) break;
    if (from > next) found.push({ from: next, upTo: from - 1n });
    if (upTo >= next) next = upTo + 1n;
  }
  if (next <= whole.upTo) found.push({ from: next, upTo: whole.upTo });
  return found;
}
