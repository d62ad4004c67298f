import { createHash, type Hash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import { linkHash } from '../chain.js';
import { type ChainBreak, differingColumn, type StoredLink } from '../chain-check.js';
import { LINK_COLUMNS } from '../chain-tables.js';
import type { KeySegment } from '../key-segments.js';
import type { Place } from './sealed-cut.js';

const ROWS_PER_QUERY = 1_000;
/** Checked before other work of the process gets its turn. */
const ROWS_PER_TURN = 200;
/** Numbers of entries that have a hash of their own, as in `audit_kept_digest`: some hundred kilobytes of text. */
const BLOCK = 4096;

/**
 * What stays in the database of sealed entries: the state of every thing at the cut, as entries that tell of it. The
 * entry that tells of the segment has both members, so the chain vouches for them.
 */
export interface Snapshot {
  readonly entries: number;
  /** SHA-256 over a line `block sha256` for each block of `seq`, over lines `seq previous-hash hash`; hexadecimal. */
  readonly sha256: string;
}

interface KeptPlace {
  readonly seq: string;
  readonly previous: Buffer;
  readonly hash: Buffer;
}

/** The snapshot as it is stored: PostgreSQL hashes what has changed as `SnapshotDigest` does it, and sends one row. */
export async function snapshotOf(manager: EntityManager): Promise<Snapshot> {
  const [row] = await manager.query<Snapshot[]>('SELECT entries, sha256 FROM audit_kept_digest()');
  return row!;
}

/** What a check of the entries that were kept came to. */
export interface KeptCheck {
  readonly checked: number;
  readonly broken: ChainBreak | null;
}

/**
 * Checks the entries up to `cut` that stay in the database: each must follow under AUDIT_KEY from the hash that was
 * kept with it, and all of them must be those of which the entry behind the cut tells.
 *
 * @param segments what signed the whole trail, from its first entry on
 * @param told what the trail says of the snapshot
 */
export async function checkKept(
  manager: EntityManager,
  segments: readonly KeySegment[],
  cut: Place,
  told: Readonly<Record<string, unknown>>,
): Promise<KeptCheck> {
  const digest = new SnapshotDigest();
  for (let after = '0'; ;) {
    const rows = await manager.query<(StoredLink & { previous: Buffer | null; keptHash: Buffer | null })[]>(
      `SELECT ${LINK_COLUMNS('e.')}, k.previous, k.hash AS "keptHash" FROM audit_event e LEFT JOIN audit_kept k ON k.seq = e.seq
        WHERE e.seq > $1 AND e.seq <= $2 ORDER BY e.seq LIMIT ${ROWS_PER_QUERY}`,
      [after, cut.seq],
    );
    for (const [index, { previous, keptHash, ...row }] of rows.entries()) {
      if (index % ROWS_PER_TURN === ROWS_PER_TURN - 1) await nextTurn();
      const { entries: checked } = digest;
      if (previous === null || keptHash === null)
        return { checked, broken: { seq: row.seq, reason: `This entry should not exist: it was sealed.` } };
      const { key } = segments.find(({ end }) => end === null || BigInt(end.seq) >= BigInt(row.seq))!;
      const reason = faultOf(row, key, previous, keptHash);
      if (reason !== null) return { checked, broken: { seq: row.seq, reason } };
      digest.add({ seq: row.seq, previous, hash: keptHash });
    }
    if (rows.length < ROWS_PER_QUERY) break;
    after = rows.at(-1)!.seq;
  }
  const { entries, sha256 } = digest.end();
  const isTold = told['keptEntries'] === entries && told['keptSha256'] === sha256;
  return { checked: entries, broken: isTold ? null : { seq: cut.seq, reason: OTHERS } };
}

const OTHERS =
  'The sealed entries that stayed in the database, because they tell a state, are not those that were kept: one is missing, or was added.';

function faultOf(row: StoredLink, key: Buffer, previous: Buffer, keptHash: Buffer): string | null {
  if (!linkHash(key, previous, row.body).equals(row.hash) || !keptHash.equals(row.hash))
    return 'The hash of this sealed entry, which stayed in the database, does not follow from its body.';
  const column = differingColumn(row);
  return column === null ? null : `The column ${column} says something else than the body that was hashed.`;
}

class SnapshotDigest {
  entries = 0;
  private readonly hash: Hash = createHash('sha256');
  private block: { readonly number: bigint; readonly hash: Hash } | null = null;

  /** Entries come in their order. */
  add({ seq, previous, hash }: KeptPlace): void {
    this.entries += 1;
    const number = BigInt(seq) / BigInt(BLOCK);
    if (this.block?.number !== number) this.endBlock();
    this.block ??= { number, hash: createHash('sha256') };
    this.block.hash.update(`${seq} ${previous.toString('hex')} ${hash.toString('hex')}\n`);
  }

  end(): Snapshot {
    this.endBlock();
    return { entries: this.entries, sha256: this.hash.digest('hex') };
  }

  private endBlock(): void {
    if (this.block !== null) this.hash.update(`${this.block.number} ${this.block.hash.digest('hex')}\n`);
    this.block = null;
  }
}
