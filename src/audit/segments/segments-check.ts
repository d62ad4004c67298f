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
}

/** What segments are held against. */
export interface SegmentsBasis {
  /** A file of checkpoints; null: none. */
  readonly checkpoints: string | null;
  /** Restores of which the database tells: their checkpoints are not those of this trail. */
  readonly restores: readonly Restore[];
}

/**
 * Checks the segments in a directory without a database: each file against its signed summary, the segments against
 * each other, and every entry under AUDIT_KEY. The changes begin with their first entry; the reads begin where they
 * were sealed first.
 *
 * @throws Error when a file cannot be read, DomainError 503 when a version of AUDIT_KEY is not configured
 */
export async function checkSegments(
  config: Pick<Config, 'auditKeys'>,
  directory: string,
  basis: SegmentsBasis,
): Promise<SegmentsReport> {
  const check = new SegmentsCheck(config, directory);
  const segments: Record<Chain, SignedSummary[]> = { changes: [], reads: [] };
  const anchors = await anchorsOf(config, basis.checkpoints);
  let firstBroken: SegmentBreak | null = null;
  for (const chain of ['changes', 'reads'] as const) {
    const found = await check.summaries(chain);
    if (Array.isArray(found)) segments[chain] = found;
    firstBroken ??= Array.isArray(found)
      ? await check.chain(chain, found, anchors[chain], basis.restores)
      : { ...found, chain };
  }
  const checkpoints = anchors.changes.length + anchors.reads.length;
  return { segments, checked: check.checked.changes, checkedReads: check.checked.reads, checkpoints, firstBroken };
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

  constructor(
    private readonly config: Pick<Config, 'auditKeys'>,
    private readonly directory: string,
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
    return brokenOrder(found, chain === 'changes' ? null : (found[0] ?? null)) ?? found;
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
        if (event !== null) told.push(...lostBy(event.record));
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
    this.checked[chain] = check.checked;
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

/** The part of the trail that a restore gave up, where the entry is of one. */
function lostBy({ action, actor, details }: AuditRecord): Restore[] {
  const { lost } = details as { lost?: Restore | null };
  return action === RESTORE_ACTION && actor.kind === 'system' && lost != null ? [lost] : [];
}
