import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Config } from '../../config/config.js';
import { type Anchor, type ChainBreak, ChainCheck, type SignedAnchor, type StoredLink } from '../chain-check.js';
import { readCheckpoints } from '../checkpoint-file.js';
import { checkpointPublicKeys } from '../checkpoint.js';
import { ReadChainCheck } from '../reads/read-chain-check.js';
import { readReadCheckpoints } from '../reads/read-checkpoint.js';
import { type CopiedEvent, eventOfLine } from './copied-event.js';
import { CopySurvey } from './copy-survey.js';

/** Entries of which it is known whether a second line of them says the same. More than a sink sends again. */
const REMEMBERED = 100_000;

/** What a check of a copy came to. */
export interface CopyReport {
  readonly checked: number;
  readonly checkedReads: number;
  readonly checkpoints: number;
  /** The numbers with which the two chains of the copy begin; null: it has none of their entries. */
  readonly from: { readonly changes: string | null; readonly reads: string | null };
  /** Lines that repeat an earlier one. */
  readonly repeated: number;
  /** Lines that are no events. */
  readonly unreadable: number;
  readonly firstBroken: FirstBreak;
}

/**
 * Checks a copy of the trail, made of files in this order, without a database: each chain from its first entry in the
 * copy on. Lines that a sink has sent twice may be there twice.
 *
 * @param checkpoints a file of checkpoints that the copy must go through; null: none
 * @throws Error when a file cannot be read, DomainError 503 when a version of AUDIT_KEY is not configured
 */
export async function checkCopy(
  config: Pick<Config, 'auditKeys'>,
  files: readonly string[],
  checkpoints: string | null,
): Promise<CopyReport> {
  const survey = new CopySurvey();
  for await (const event of eventsOf(files)) survey.add(event);
  const keys = checkpointPublicKeys(config.auditKeys);
  const none = { anchors: [] as readonly SignedAnchor[], forgedLines: [] as readonly number[] };
  const ofChanges = checkpoints === null ? none : await readCheckpoints(checkpoints, keys);
  const ofReads = checkpoints === null ? none : await readReadCheckpoints(checkpoints, keys);
  const checks = new CopyChecks(config, survey, ofChanges.anchors, ofReads.anchors);
  const forged = [...ofChanges.forgedLines, ...ofReads.forgedLines][0];
  let firstBroken = forged === undefined ? null : forgedLine(forged);
  if (firstBroken === null) {
    for await (const event of eventsOf(files)) {
      firstBroken = event === null ? null : checks.next(event);
      if (firstBroken !== null) break;
    }
  }
  return {
    ...checks.counts,
    checkpoints: ofChanges.anchors.length + ofReads.anchors.length,
    unreadable: survey.unreadable,
    firstBroken: firstBroken ?? checks.end(),
  };
}

type FirstBreak = (ChainBreak & { readonly chain: Chain }) | null;
type Chain = 'changes' | 'reads';

/** Both chains of a copy, checked side by side. */
class CopyChecks {
  private readonly changes: ChainCheck | ChainBreak;
  private reads: ReadChainCheck;
  private readonly seen: Record<Chain, Map<string, string>> = { changes: new Map(), reads: new Map() };
  private readonly last: Record<Chain, StoredLink | null> = { changes: null, reads: null };
  private readsBefore = 0;
  private repeated = 0;

  constructor(
    private readonly config: Pick<Config, 'auditKeys'>,
    private readonly survey: CopySurvey,
    anchors: readonly SignedAnchor[],
    private readonly readAnchors: readonly SignedAnchor[],
  ) {
    const segments = survey.segments(config.auditKeys);
    const { start } = survey;
    // What lies before the copy cannot be compared with it.
    const comparable = anchors.filter(({ seq }) => BigInt(seq) > BigInt(start.seq));
    this.changes = Array.isArray(segments) ? new ChainCheck(segments, comparable, start) : segments;
    this.reads = this.readsFrom(survey.startOfReads);
  }

  get counts(): Pick<CopyReport, 'checked' | 'checkedReads' | 'repeated' | 'from'> {
    const { firstChange, firstRead } = this.survey;
    return {
      checked: this.changes instanceof ChainCheck ? this.changes.checked : 0,
      checkedReads: this.readsBefore + this.reads.checked,
      repeated: this.repeated,
      from: { changes: firstChange?.seq ?? null, reads: firstRead?.seq ?? null },
    };
  }

  next({ table, link }: CopiedEvent): FirstBreak {
    const chain = table === 'audit_read' ? 'reads' : 'changes';
    const said = digestOf(link);
    const known = this.seen[chain].get(link.seq);
    if (known !== undefined) {
      this.repeated += 1;
      return known === said ? null : { seq: link.seq, reason: DIFFERS, chain };
    }
    this.remember(chain, link.seq, said);
    const broken = chain === 'changes' ? this.nextChange(link) : this.nextRead(link);
    this.last[chain] = link;
    return broken && { ...broken, chain };
  }

  end(): FirstBreak {
    const { changes: change, reads: read } = this.last;
    if (!(this.changes instanceof ChainCheck)) return { ...this.changes, chain: 'changes' };
    const ofChanges = change && this.changes.end({ ...change, maxSeq: change.seq });
    if (ofChanges !== null) return { ...ofChanges, chain: 'changes' };
    const ofReads = read && this.reads.end({ ...read, maxSeq: read.seq });
    return ofReads && { ...ofReads, chain: 'reads' };
  }

  private nextChange(link: StoredLink): ChainBreak | null {
    if (!(this.changes instanceof ChainCheck)) return this.changes;
    return link.seq === this.survey.start.seq ? null : this.changes.next(link);
  }

  private nextRead(link: StoredLink): ChainBreak | null {
    if (this.last.reads === null && link.seq === this.survey.startOfReads.seq) return null;
    const cut = this.survey.cuts.get(link.seq);
    // A sink that was behind found the reads before this cut removed; the changes vouch for it.
    if (this.last.reads !== null && cut !== undefined && BigInt(this.last.reads.seq) < BigInt(cut.seq)) {
      this.readsBefore += this.reads.checked;
      this.reads = this.readsFrom(cut);
    }
    return this.reads.next(link);
  }

  private readsFrom(place: Pick<Anchor, 'seq' | 'hash'>): ReadChainCheck {
    const segments = this.survey.readSegments(this.config.auditKeys);
    return new ReadChainCheck(segments, this.readAnchors, place.seq === '0' ? null : place);
  }

  private remember(chain: Chain, seq: string, said: string): void {
    const seen = this.seen[chain];
    if (seen.size >= REMEMBERED) seen.delete(seen.keys().next().value!);
    seen.set(seq, said);
  }
}

const DIFFERS =
  'The copy has this entry twice, and they differ: the database was set back to a state before it, or one was changed.';

function digestOf({ hash, body }: StoredLink): string {
  return createHash('sha256').update(hash).update(body).digest('base64');
}

function forgedLine(line: number): FirstBreak {
  return {
    seq: '0',
    reason: `Line ${line} of the checkpoint file was not signed with this audit key.`,
    chain: 'changes',
  };
}

async function* eventsOf(files: readonly string[]): AsyncGenerator<CopiedEvent | null> {
  for (const file of files) {
    for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      if (line !== '') yield eventOfLine(line);
    }
  }
}
