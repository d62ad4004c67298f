import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Of } from '../../common/whole-file.js';
import type { Config } from '../../config/config.js';
import type { AuditRecord } from '../chain.js';
import { type ChainBreak, ChainCheck, type SignedAnchor, type StoredLink } from '../chain-check.js';
import { readCheckpoints } from '../checkpoint-file.js';
import { checkpointPublicKeys } from '../checkpoint.js';
import { CopySurvey } from '../copies/copy-survey.js';
import { ReadChainCheck } from '../reads/read-chain-check.js';
import { readReadCheckpoints } from '../reads/read-checkpoint.js';
import { CUT_ACTION, type ReadCut, readCutOf, type ReadCutRow } from '../reads/read-cuts.js';
import { givenUpBy, RESTORE_ACTION, type Restore } from '../restores.js';
import { entriesIn, readSummary } from './segment-file.js';
import { brokenOrder, type Place } from './sealed-cut.js';
import { isSummaryName, openSummary, type SegmentContent, type SignedSummary } from './segment-summary.js';

type Chain = SegmentContent['chain'];
type SegmentBreak = ChainBreak & { readonly chain: Chain };

/** What a check of a directory of segments came to. */
export interface SegmentsReport {
  /** In order. */
  readonly segments: Readonly<Record<Chain, readonly SignedSummary[]>>;
  /** Entries found sound. */
  readonly checked: number;
  readonly checkedReads: number;
  /** Checkpoints the segments were held against. */
  readonly checkpoints: number;
  readonly firstBroken: SegmentBreak | null;
  /** Reads that no segment has, and that were removed without one: `5 to 17`. */
  readonly gaps: readonly string[];
}

/** What segments are held against. */
export interface SegmentsBasis {
  /** A file of checkpoints; null: none. */
  readonly checkpoints: string | null;
  /** Restores of which the database tells: their checkpoints are not those of this trail. */
  readonly restores: readonly Restore[];
  /** Cuts of reads of which the database tells; null: there is no database, and a gap of the reads is believed. */
  readonly readCuts: readonly ReadCut[] | null;
}

/**
 * Checks the segments in a directory without a database: each file against its signed summary, the segments against
 * each other, and every entry under AUDIT_KEY. The changes begin with their first entry, or with the first segment that
 * is there where `AUDIT_SEGMENTS_KEEP_MONTHS` deletes older ones; the reads begin where they were sealed first.
 *
 * @throws Error when a file cannot be read, DomainError 503 when a version of AUDIT_KEY is not configured
 */
export async function checkSegments(
  config: Pick<Config, 'auditKeys' | 'auditSegmentsKeepMonths'>,
  directory: string,
  basis: SegmentsBasis,
): Promise<SegmentsReport> {
  const check = new SegmentsCheck(config, directory, basis.readCuts);
  const segments: Record<Chain, SignedSummary[]> = { changes: [], reads: [] };
  const anchors = await anchorsOf(config, basis.checkpoints);
  let firstBroken: SegmentBreak | null = null;
  for (const chain of ['changes', 'reads'] as const) {
    const found = await check.summaries(chain);
    if (Array.isArray(found)) segments[chain] = found;
    if (!Array.isArray(found)) firstBroken ??= { ...found, chain };
    else
      for (const run of check.runs(chain, found))
        firstBroken ??= await check.chain(chain, run, anchors[chain], basis.restores);
  }
  const checkpoints = anchors.changes.length + anchors.reads.length;
  const { checked, gaps } = check;
  return { segments, checked: checked.changes, checkedReads: checked.reads, checkpoints, firstBroken, gaps };
}

async function anchorsOf({ auditKeys }: Pick<Config, 'auditKeys'>, file: string | null) {
  if (file === null) return { changes: [], reads: [] };
  const keys = checkpointPublicKeys(auditKeys);
  return {
    changes: (await readCheckpoints(file, keys)).anchors,
    reads: (await readReadCheckpoints(file, keys)).anchors,
  };
}

class SegmentsCheck {
  readonly checked: Record<Chain, number> = { changes: 0, reads: 0 };
  readonly gaps: string[] = [];
  /** Cuts of reads of which sealed changes tell. */
  private readonly sealedCuts: ReadCut[] = [];

  constructor(
    private readonly config: Pick<Config, 'auditKeys' | 'auditSegmentsKeepMonths'>,
    private readonly directory: string,
    private readonly readCuts: readonly ReadCut[] | null,
  ) {}

  /** What the summaries of a chain say, in order, or what is wrong with them. */
  async summaries(chain: Chain): Promise<SignedSummary[] | ChainBreak> {
    const keys = checkpointPublicKeys(this.config.auditKeys);
    const found: SignedSummary[] = [];
    for (const name of (await readdir(this.directory)).filter((one) => isSummaryName(one, chain)).sort()) {
      const file = name.replace(/\.summary\.json$/, '.ndjson.gz');
      const value = await readSummary(this.directory, file);
      const summary = openSummary(keys, value);
      if (summary === null || summary.file !== file || summary.chain !== chain)
        return {
          seq: summary?.fromSeq ?? '0',
          reason: `${name} was not signed with a version of AUDIT_KEY that is configured, or is of another file.`,
        };
      found.push(summary);
    }
    found.sort((one, other) => (BigInt(one.fromSeq) < BigInt(other.fromSeq) ? -1 : 1));
    if (chain === 'changes') return brokenOrder(found, this.startOf(found)) ?? found;
    const lost = this.lostBehind(BigInt(found.at(-1)?.toSeq ?? 0));
    for (const run of this.runs(chain, found)) {
      const broken = brokenOrder(run, run[0]!) ?? otherInstallation(run[0]!, found[0]!);
      if (broken !== null) return broken;
    }
    return lost ?? found;
  }

  /** The segment with which the changes begin, where the first one may be deleted; null: with their first entry. */
  private startOf([first]: readonly SignedSummary[]): SignedSummary | null {
    const isLater = first !== undefined && first.fromSeq !== '1';
    return isLater && this.config.auditSegmentsKeepMonths !== null ? first : null;
  }

  /** Every cut of reads of which the database or sealed changes tell. */
  private get cuts(): ReadCut[] {
    return [...(this.readCuts ?? []), ...this.sealedCuts];
  }

  /** What is wrong where reads behind the last segment were moved to one. */
  private lostBehind(end: bigint): ChainBreak | null {
    const cut = this.cuts.find(({ seq, file }) => file !== undefined && BigInt(seq) > end);
    return cut === undefined ? null : { seq: cut.seq, reason: `The sealed segment ${cut.file} is missing.` };
  }

  /** Segments that follow each other. Reads may have been removed without a segment, while nothing was to be sealed. */
  runs(chain: Chain, segments: readonly SignedSummary[]): SignedSummary[][] {
    const runs: SignedSummary[][] = [];
    this.gaps.length = 0;
    for (const segment of segments) {
      const end = BigInt(runs.at(-1)?.at(-1)?.toSeq ?? 0);
      const isBehindGap = chain === 'reads' && BigInt(segment.fromSeq) > end + 1n && this.wasCut(end, segment);
      if (isBehindGap && runs.length > 0) this.gaps.push(`${end + 1n} to ${BigInt(segment.fromSeq) - 1n}`);
      if (runs.length === 0 || isBehindGap) runs.push([]);
      runs.at(-1)!.push(segment);
    }
    return runs;
  }

  /** Whether the trail tells that the reads behind `end`, up to where this segment begins, were removed without one. */
  private wasCut(end: bigint, { fromSeq, previousHash }: SignedSummary): boolean {
    const within = this.cuts.filter(({ seq }) => BigInt(seq) > end && BigInt(seq) < BigInt(fromSeq));
    if (within.some(({ file }) => file !== undefined)) return false;
    if (this.readCuts === null) return true;
    return within.some(
      ({ seq, hash }) => BigInt(seq) + 1n === BigInt(fromSeq) && hash.toString('hex') === previousHash,
    );
  }

  async chain(
    chain: Chain,
    segments: readonly SignedSummary[],
    anchors: readonly SignedAnchor[],
    restores: readonly Restore[],
  ): Promise<SegmentBreak | null> {
    const survey = new CopySurvey();
    const told: Restore[] = [...restores];
    for (const segment of segments) {
      const reason = await this.otherFile(segment);
      if (reason !== null) return { seq: segment.fromSeq, reason, chain };
      for await (const event of entriesIn(join(this.directory, segment.file))) {
        survey.add(event);
        if (event === null) continue;
        told.push(...lostBy(event.record));
        this.sealedCuts.push(...cutBy(event.record));
      }
    }
    const [first] = segments;
    if (first === undefined) return null;
    const last = segments.at(-1)!;
    const isHere = ({ seq }: SignedAnchor) => BigInt(seq) >= BigInt(first.fromSeq) && BigInt(seq) <= BigInt(last.toSeq);
    const own = anchors.filter((anchor) => isHere(anchor) && givenUpBy(anchor, told) === null);
    const check = this.newCheck(chain, survey, own, {
      seq: (BigInt(first.fromSeq) - 1n).toString(),
      hash: Buffer.from(first.previousHash, 'hex'),
    });
    if (!(check instanceof ChainCheck)) return { ...check, chain };
    const broken = await this.entries(check, chain, segments);
    this.checked[chain] += check.checked;
    return broken && { ...broken, chain };
  }

  private newCheck(chain: Chain, survey: CopySurvey, anchors: readonly SignedAnchor[], start: Place) {
    const { auditKeys } = this.config;
    if (chain === 'reads') return new ReadChainCheck(survey.readSegments(auditKeys), anchors, start);
    const segments = survey.segments(auditKeys);
    return Array.isArray(segments) ? new ChainCheck(segments, anchors, start) : segments;
  }

  private async otherFile({ file, bytes, sha256 }: SignedSummary): Promise<string | null> {
    const path = join(this.directory, file);
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (found === null) return `${file} is missing.`;
    return found.size === bytes && (await sha256Of(path)) === sha256 ? null : `${file} is not the one that was signed.`;
  }

  private async entries(
    check: ChainCheck,
    chain: Chain,
    segments: readonly SignedSummary[],
  ): Promise<ChainBreak | null> {
    const table = chain === 'reads' ? 'audit_read' : 'audit_event';
    for (const { file, fromSeq, toSeq, hash } of segments) {
      let last: StoredLink | null = null;
      for await (const event of entriesIn(join(this.directory, file))) {
        if (event?.table !== table) return { seq: fromSeq, reason: `${file} has a line that is no entry.` };
        const broken = check.next(event.link);
        if (broken !== null) return broken;
        last = event.link;
      }
      if (last?.seq !== toSeq || last.hash.toString('hex') !== hash)
        return { seq: toSeq, reason: `${file} does not end as its summary says.` };
    }
    return null;
  }
}

function otherInstallation({ fromSeq, installation }: SignedSummary, first: SignedSummary): ChainBreak | null {
  return installation === first.installation
    ? null
    : { seq: fromSeq, reason: 'This sealed segment is of another installation.' };
}

/** Where reads begin from then on, where the entry is of a cut of them. */
function cutBy({ action, actor, details }: AuditRecord): ReadCut[] {
  return action === CUT_ACTION && actor.kind === 'system'
    ? [readCutOf([{ details: details as unknown as ReadCutRow['details'] }])!]
    : [];
}

/** The part of the trail that a restore gave up, where the entry is of one. */
function lostBy({ action, actor, details }: AuditRecord): Restore[] {
  const { lost } = details as { lost?: Restore | null };
  return action === RESTORE_ACTION && actor.kind === 'system' && lost != null ? [lost] : [];
}
