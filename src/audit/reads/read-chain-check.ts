import { type ChainBreak, ChainCheck, type SignedAnchor, type StoredLink } from '../chain-check.js';
import type { KeySegment } from '../key-segments.js';
import type { ReadRecord } from './append-reads.js';
import type { ReadCut } from './read-cuts.js';

/**
 * Checks the chain of reads, from its last cut on. Each entry names the version of AUDIT_KEY that signed it; versions
 * follow each other as in the trail of changes.
 */
export class ReadChainCheck extends ChainCheck {
  /** Versions of AUDIT_KEY, oldest first; the one of the last entry and its followers. */
  private versions: KeySegment[];

  constructor(segments: readonly KeySegment[], anchors: Iterable<SignedAnchor>, cut: ReadCut | null) {
    // What a cut has removed cannot be compared any more.
    const after = BigInt(cut?.seq ?? 0);
    super(
      segments.map((segment) => ({ ...segment, end: null })),
      [...anchors].filter(({ seq }) => BigInt(seq) > after),
      cut ?? undefined,
    );
    this.versions = [...segments];
  }

  override next(row: StoredLink): ChainBreak | null {
    const { chain, keyVersion } = bodyOf(row);
    const at = this.versions.findIndex(({ version }) => version === keyVersion);
    if (chain !== 'reads' || at < 0) {
      return {
        seq: row.seq,
        reason: 'The body names another chain, or a version of AUDIT_KEY that does not follow from the entry before.',
      };
    }
    this.versions = this.versions.slice(at);
    return super.next(row);
  }

  protected override keyOf(): Buffer {
    return this.versions[0]!.key;
  }

  /** A checkpoint may be signed later than its last entry, with a newer version. */
  protected override maySign(version: string): boolean {
    return this.versions.some((segment) => segment.version === version);
  }
}

function bodyOf({ body }: StoredLink): Partial<ReadRecord> {
  try {
    return JSON.parse(body) as Partial<ReadRecord>;
  } catch {
    return {};
  }
}
