import { missingVersion } from '../../common/missing-version.js';
import type { VersionedKey } from '../../config/versioned-secrets.js';
import { linkHash } from '../chain.js';
import { type Anchor, type ChainBreak, GENESIS, type StoredLink } from '../chain-check.js';
import type { KeyChange } from '../key-change.js';
import { type KeySegment, segmentsOf } from '../key-segments.js';
import { CUT_ACTION } from '../reads/read-cuts.js';
import type { CopiedEvent } from './copied-event.js';

type Place = Pick<Anchor, 'seq' | 'hash'>;

/** What a first look at a copy finds: where its chains begin, what signed them, and where reads were removed. */
export class CopySurvey {
  /** Lines that are no events. */
  unreadable = 0;
  readonly cuts = new Map<string, Place>();
  private readonly changes: KeyChange[] = [];
  private readonly readVersions = new Set<string>();
  private readonly firstChanges: StoredLink[] = [];
  firstRead: StoredLink | null = null;

  /** The first entry of changes; null: the copy has none. */
  get firstChange(): StoredLink | null {
    return this.firstChanges[0] ?? null;
  }

  add(event: CopiedEvent | null): void {
    if (event === null) this.unreadable += 1;
    else if (event.table === 'audit_read') this.addRead(event);
    else this.addChange(event);
  }

  /**
   * The entry that the changes of the copy build on. A copy that begins later than the trail is believed its first
   * entry.
   */
  get start(): Place {
    const [first] = this.firstChanges;
    return first === undefined || first.seq === '1' ? { seq: '0', hash: GENESIS } : first;
  }

  /** The same of the reads, which a cut vouches for where they begin behind one. */
  get startOfReads(): Place {
    const first = this.firstRead;
    if (first === null || first.seq === '1') return { seq: '0', hash: GENESIS };
    return this.cuts.get(first.seq) ?? first;
  }

  /** What signed the changes, in order. @throws DomainError 503 when a version is not configured */
  segments(keys: readonly VersionedKey[]): KeySegment[] | ChainBreak {
    return segmentsOf(keys, this.changes, this.changes.at(-1)?.to ?? this.onlyVersion(keys));
  }

  /** What signed the reads, in order. Each read names its version. */
  readSegments(keys: readonly VersionedKey[]): KeySegment[] {
    return [...this.readVersions].map((version) => {
      const known = keys.find((key) => key.version === version);
      if (known === undefined) throw missingVersion('AUDIT_KEY', version);
      return { version, key: known.key, end: null };
    });
  }

  private addChange({ record, link }: CopiedEvent): void {
    if (this.firstChanges.length < 2 && this.firstChanges[0]?.seq !== link.seq) this.firstChanges.push(link);
    if (record.actor.kind !== 'system') return;
    const { upToSeq, hash, variable, from, to } = record.details;
    if (record.action === CUT_ACTION && typeof upToSeq === 'string' && typeof hash === 'string') {
      this.cuts.set((BigInt(upToSeq) + 1n).toString(), { seq: upToSeq, hash: Buffer.from(hash, 'hex') });
    }
    if (record.action !== 'secrets:sign' || variable !== 'AUDIT_KEY') return;
    if (typeof from !== 'string' || typeof to !== 'string') return;
    const isKnown = this.changes.some(({ seq }) => seq === link.seq);
    if (!isKnown) this.changes.push({ seq: link.seq, hash: link.hash, at: record.at, from, to });
  }

  private addRead({ record, link }: CopiedEvent): void {
    this.firstRead ??= link;
    if (record.keyVersion !== undefined) this.readVersions.add(record.keyVersion);
  }

  /** Where no change of AUDIT_KEY is in the copy, the version that its first entries fit. */
  private onlyVersion(keys: readonly VersionedKey[]): string {
    const { hash } = this.start;
    const next = this.firstChanges.find(({ seq }) => BigInt(seq) === BigInt(this.start.seq) + 1n);
    const fits = keys.find(({ key }) => next !== undefined && linkHash(key, hash, next.body).equals(next.hash));
    return (fits ?? keys[0]!).version;
  }
}
