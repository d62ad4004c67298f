import { existsSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Config } from '../config/config.js';
import { missingVersion } from '../common/missing-version.js';
import { AuditEventsRepository } from './audit-events.repository.js';
import type { ChainTable } from './chain-tables.js';
import { type ChainBreak, ChainCheck, type ChainEnd, type ChainHead, type SignedAnchor } from './chain-check.js';
import { readCheckpoints } from './checkpoint-file.js';
import { type CheckpointPublicKey, checkpointPublicKeys, openCheckpoint } from './checkpoint.js';
import { CheckpointsRepository } from './checkpoints.repository.js';
import { type KeyChange, anchorOf, openKeyChange } from './key-change.js';
import { type KeySegment, segmentsOf } from './key-segments.js';
import { ReadChainCheck } from './reads/read-chain-check.js';
import { openReadCheckpoint, readReadCheckpoints } from './reads/read-checkpoint.js';
import { type ReadCut, isOfLostReads } from './reads/read-cuts.js';
import { openSegments, type Place } from './segments/sealed-cut.js';
import { givenUpBy } from './restores.js';

const ROWS_PER_QUERY = 5_000n;
/** Some 5 ms of work, between which requests get their turn. */
const ROWS_PER_TURN = 200;
const LOWEST_SEQ = -(2n ** 63n);
/** Checks in which old reads are cut before it is believed that reads are missing. One cut a day is usual. */
const MAX_CUTS_MET = 3;
/** The same of sealed segments: of a trail that is sealed for the first time there are many, one after the other. */
const MAX_SEALS_MET = 1_000;

/** What a check of the whole trail came to. */
export interface ChainReport {
  readonly ok: boolean;
  /**
   * Entries found sound: those behind the last sealed segment, and those of sealed segments that stay in the database;
   * without those of the chain of reads.
   */
  readonly checked: number;
  /** Entries of the chain of reads found sound, from the last cut on. */
  readonly checkedReads: number;
  /** Checkpoints the trail was held against. */
  readonly checkpoints: number;
  /** The last entry that is in a sealed segment; null: none is. */
  readonly sealedUpTo: string | null;
  readonly firstBroken: FirstBreak | null;
}

/** Where the trail is broken, and in which of its chains. */
export interface FirstBreak extends ChainBreak {
  readonly chain: 'changes' | 'reads';
}

/** What one pass over the trail came to. */
interface Pass {
  readonly report: Omit<ChainReport, 'sealedUpTo'>;
  /** Where the reads began that were looked at; undefined: none were. */
  readonly cut?: ReadCut | null;
}

/** Checkpoints of one chain, and what was wrong with them. */
interface Anchors {
  readonly anchors: readonly SignedAnchor[];
  readonly forged: ChainBreak | null;
}

/** Checks the whole trail against the audit key, the head and all checkpoints at hand. */
@Injectable()
export class ChainVerifier {
  private readonly publicKeys: readonly CheckpointPublicKey[];
  private running: Promise<ChainReport> | null = null;

  constructor(
    private readonly events: AuditEventsRepository,
    private readonly checkpoints: CheckpointsRepository,
    private readonly config: Config,
  ) {
    this.publicKeys = checkpointPublicKeys(config.auditKeys);
  }

  /**
   * As `check`, with the configured checkpoint file if it has been begun. Who asks while a check is under way gets
   * that one's answer.
   */
  verify(): Promise<ChainReport> {
    const file = this.config.auditCheckpointFile;
    this.running ??= this.check(file !== null && existsSync(file) ? file : null).finally(() => (this.running = null));
    return this.running;
  }

  /**
   * Reads the trail from its first entry on, in short queries, and stops at the first break. Entries that are
   * written meanwhile are not looked at. Where old reads are cut meanwhile, it begins anew: those that are gone are not
   * missing, if the trail of changes is whole up to the entry that says so. Entries that are sealed meanwhile are not
   * missing either.
   *
   * @param checkpointFile anchors outside the database; null: those in it alone
   * @throws Error when database or file cannot be read, or a version of AUDIT_KEY that signed a part is missing
   */
  async check(checkpointFile: string | null): Promise<ChainReport> {
    for (let [cuts, seals] = [1, 1]; ;) {
      const sealed = await this.events.findCut();
      const { report, cut } = await this.pass(checkpointFile, sealed);
      const isSealedSince = (await this.events.findCut()).seq !== sealed.seq;
      const isCutSince = cut !== undefined && (await this.events.findReadCut())?.seq !== cut?.seq;
      if (report.ok || (isSealedSince ? seals++ === MAX_SEALS_MET : !isCutSince || cuts++ === MAX_CUTS_MET))
        return { ...report, sealedUpTo: sealed.seq === '0' ? null : sealed.seq };
    }
  }

  private async pass(checkpointFile: string | null, sealed: Place): Promise<Pass> {
    // Before the heads: they must not be older than any checkpoint they are held against.
    const { anchors, forged } = await this.findAnchors(checkpointFile);
    const reads = await this.findReadAnchors(checkpointFile);
    const { head, changes, forgedChange } = await this.findHead();
    if (head === null) return brokenAtOnce({ seq: '0', reason: 'The head of the trail is missing.' }, anchors.length);
    const segments = forgedChange ?? segmentsOf(this.config.auditKeys, changes, head.auditKeyVersion);
    if (!Array.isArray(segments)) return brokenAtOnce(segments, anchors.length);
    const others = [...anchors, ...changes.map(anchorOf)];
    const check = new ChainCheck(
      segments.filter(({ end }) => end === null || BigInt(end.seq) > BigInt(sealed.seq)),
      others.filter(({ seq }) => BigInt(seq) > BigInt(sealed.seq)),
      sealed,
    );
    const kept = { checked: 0 };
    const broken =
      (await this.firstBreak(check, head, sealed)) ??
      forged ??
      otherCut(sealed, others) ??
      (await this.checkSealed(segments, sealed, kept));
    const checked = { checked: kept.checked + check.checked, checkpoints: anchors.length + reads.anchors.length };
    if (broken !== null)
      return { report: { ok: false, ...checked, checkedReads: 0, firstBroken: { ...broken, chain: 'changes' } } };
    // Behind the changes, which vouch for where it begins.
    const ends = await this.events.findReadEnds(head.seq);
    const { brokenRead, checkedReads } = await this.checkReads(segments, reads, ends);
    const firstBroken: FirstBreak | null = brokenRead && { ...brokenRead, chain: 'reads' };
    return { report: { ok: brokenRead === null, ...checked, checkedReads, firstBroken }, cut: ends?.cut ?? null };
  }

  /**
   * What is wrong with what the database knows of sealed segments, and with the entries of them that stay in it. The
   * entries behind the cut are sound: one of them tells of both.
   */
  private async checkSealed(
    segments: readonly KeySegment[],
    cut: Place,
    kept: { checked: number },
  ): Promise<ChainBreak | null> {
    const stored = openSegments(this.publicKeys, await this.events.findSegments());
    if (!Array.isArray(stored)) return stored;
    const last = stored.at(-1);
    const told = await this.events.findSealEntry();
    if (last === undefined)
      return told && { seq: told.seq, reason: 'This entry tells of a sealed segment that the database does not know.' };
    const isTold = told !== null && BigInt(told.seq) > BigInt(cut.seq);
    if (!isTold || (['toSeq', 'hash', 'file', 'sha256'] as const).some((name) => told.details[name] !== last[name]))
      return { seq: cut.seq, reason: 'The newest entry that tells of a sealed segment does not tell of this one.' };
    const { checked, broken } = await this.events.checkKept(segments, cut, told.details);
    kept.checked = checked;
    return broken;
  }

  private async checkReads(
    segments: readonly KeySegment[],
    { anchors, forged }: Anchors,
    ends: { head: ChainEnd; cut: ReadCut | null } | null,
  ): Promise<{ brokenRead: ChainBreak | null; checkedReads: number }> {
    if (ends === null)
      return { brokenRead: { seq: '0', reason: 'The head of the reads is missing.' }, checkedReads: 0 };
    const check = new ReadChainCheck(segments, anchors, ends.cut);
    const brokenRead = (await this.firstBreakOf(check, ends.head, BigInt(ends.cut?.seq ?? 0), 'audit_read')) ?? forged;
    return { brokenRead, checkedReads: check.checked };
  }

  /** The head, and the changes of key up to it. */
  private async findHead(): Promise<{ head: ChainHead | null; changes: KeyChange[]; forgedChange: ChainBreak | null }> {
    const head = await this.events.findHead();
    const changes: KeyChange[] = [];
    for (const stored of head?.keyChanges ?? []) {
      const missing = [stored.from, stored.to].find((version) =>
        this.publicKeys.every((key) => key.version !== version),
      );
      if (missing !== undefined) throw missingVersion('AUDIT_KEY', missing);
      const change = openKeyChange(this.publicKeys, stored);
      if (change === null) {
        const reason = `The change of AUDIT_KEY from version ${stored.from} to ${stored.to} was not signed with both.`;
        return { head, changes, forgedChange: { seq: stored.seq, reason } };
      }
      changes.push(change);
    }
    return { head, changes, forgedChange: null };
  }

  private async firstBreak(check: ChainCheck, head: ChainHead, sealed: Place): Promise<ChainBreak | null> {
    const [early] = await this.events.findLinks(LOWEST_SEQ, 0n, 1, 'audit_event');
    if (early) return check.next(early);
    return this.firstBreakOf(check, head, BigInt(sealed.seq), 'audit_event');
  }

  private async firstBreakOf(
    check: ChainCheck,
    head: ChainEnd,
    after: bigint,
    table: ChainTable,
  ): Promise<ChainBreak | null> {
    const last = BigInt(head.seq);
    for (let from = after + 1n; from <= last; from += ROWS_PER_QUERY) {
      const upTo = last < from + ROWS_PER_QUERY ? last : from + ROWS_PER_QUERY - 1n;
      const rows = await this.events.findLinks(from, upTo, Number(ROWS_PER_QUERY), table);
      for (const [index, row] of rows.entries()) {
        const broken = check.next(row);
        if (broken !== null) return broken;
        if (index % ROWS_PER_TURN === ROWS_PER_TURN - 1) await nextTurn();
      }
      if (BigInt(rows.length) < upTo - from + 1n) break;
    }
    return check.end(head);
  }

  private async findReadAnchors(file: string | null): Promise<Anchors> {
    const newest = await this.checkpoints.findNewestOfReads();
    const stored = newest === null ? null : openReadCheckpoint(this.publicKeys, newest);
    const written = file === null ? { anchors: [], forgedLines: [] } : await readReadCheckpoints(file, this.publicKeys);
    const lost = await this.events.findLostReads();
    const [line] = written.forgedLines;
    const isForged = newest !== null && stored === null;
    const reason =
      line !== undefined
        ? `Line ${line} of the checkpoint file was`
        : 'The newest checkpoint of reads in the database was';
    return {
      anchors: [...written.anchors, ...(stored === null ? [] : [stored])].filter(
        (anchor) => !isOfLostReads(anchor, lost),
      ),
      forged: line !== undefined || isForged ? { seq: '0', reason: `${reason} not signed with this audit key.` } : null,
    };
  }

  private async findAnchors(file: string | null): Promise<Anchors> {
    const newest = await this.checkpoints.findNewest();
    const stored = newest === null ? null : openCheckpoint(this.publicKeys, newest);
    const written = file === null ? { anchors: [], forgedLines: [] } : await readCheckpoints(file, this.publicKeys);
    const [line] = written.forgedLines;
    const restores = await this.events.findRestores();
    return {
      anchors: [...written.anchors, ...(stored === null ? [] : [stored])].filter(
        (anchor) => givenUpBy(anchor, restores) === null,
      ),
      forged:
        line !== undefined
          ? { seq: '0', reason: `Line ${line} of the checkpoint file was not signed with this audit key.` }
          : newest !== null && stored === null
            ? { seq: newest.seq, reason: 'The newest checkpoint in the database was not signed with this audit key.' }
            : null,
    };
  }
}

/** Where a checkpoint has seen another entry than the last one that is sealed. */
function otherCut(cut: Place, anchors: readonly SignedAnchor[]): ChainBreak | null {
  const other = anchors.find(({ seq, hash }) => seq === cut.seq && !hash.equals(cut.hash));
  return other === undefined
    ? null
    : { seq: cut.seq, reason: `The hash is not the one that a checkpoint of ${other.at} has seen.` };
}

function brokenAtOnce(broken: ChainBreak, checkpoints: number): Pass {
  return {
    report: { ok: false, checked: 0, checkedReads: 0, checkpoints, firstBroken: { ...broken, chain: 'changes' } },
  };
}
