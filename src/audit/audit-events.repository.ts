import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import type { ChainEnd, ChainHead, StoredLink } from './chain-check.js';
import { type ChainTable, HEAD_SEQ, linksOf } from './chain-tables.js';
import { KEY_CHANGES } from './key-changes-sql.js';
import { findLostReads, findReadCut, type LostReads, type ReadCut } from './reads/read-cuts.js';
import { commitmentsIn, findOpenings } from './personal-values.js';
import { findRestores, type Restore } from './restores.js';
import { checkKept, type KeptCheck } from './segments/kept-entries.js';
import type { KeySegment } from './key-segments.js';
import {
  CUT_SEQ,
  findCut,
  findSealEntry,
  findSegments,
  type Place,
  type SealEntry,
  type StoredSegment,
} from './segments/sealed-cut.js';
import { type AuditedEvent, eventOf, type StoredEvent } from './stored-event.js';

/** What events are looked for; absent members do not narrow. */
export interface AuditFilter {
  readonly actorId?: string | undefined;
  readonly action?: string | undefined;
  readonly resourceType?: string | undefined;
  readonly resourceId?: string | undefined;
  readonly outcome?: string | undefined;
  /** What was read and not refused, or all else. */
  readonly isRead?: boolean | undefined;
  /** From this instant on. */
  readonly from?: string | undefined;
  /** Before this instant. */
  readonly to?: string | undefined;
}

/** Behind which a chain begins. Sealed entries that stay because they tell a state are no part of a list. */
const BEFORE_FIRST = { audit_event: CUT_SEQ, audit_read: '0' } as const satisfies Record<ChainTable, string>;

/** What `eventOf` reads. */
const EVENT = `seq, id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, body, hash`;

/**
 * Reads the trail, up to its heads. What it gives of an event is the body that was hashed; the columns only serve to
 * find it.
 */
@Injectable()
export class AuditEventsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** Events of one chain before `before`, newest first. */
  async findBefore(filter: AuditFilter, before: string, limit: number, table: ChainTable): Promise<AuditedEvent[]> {
    if (!mayHold(table, filter)) return [];
    const { where, parameters } = conditionsOf(filter, table);
    const rows = await this.manager.query<StoredEvent[]>(
      `SELECT ${EVENT} FROM ${table} WHERE seq < $1 AND seq > ${BEFORE_FIRST[table]} AND seq <= ${HEAD_SEQ[table]} ${where} ORDER BY seq DESC LIMIT $2`,
      [before, limit, ...parameters],
    );
    return this.withOpenings(rows.map(eventOf));
  }

  /** Events of one chain after `after`, oldest first. */
  async findAfter(filter: AuditFilter, after: string, limit: number, table: ChainTable): Promise<AuditedEvent[]> {
    if (!mayHold(table, filter)) return [];
    const { where, parameters } = conditionsOf(filter, table);
    const rows = await this.manager.query<StoredEvent[]>(
      `SELECT ${EVENT} FROM ${table} WHERE seq > $1 AND seq > ${BEFORE_FIRST[table]} AND seq <= ${HEAD_SEQ[table]} ${where} ORDER BY seq LIMIT $2`,
      [after, limit, ...parameters],
    );
    return this.withOpenings(rows.map(eventOf));
  }

  private async withOpenings(events: AuditedEvent[]): Promise<AuditedEvent[]> {
    const commitments = events.map(({ record }) => commitmentsIn(record));
    const openings = await findOpenings(this.manager, commitments.flat());
    return events.map((event, index) => {
      const own = commitments[index]!;
      if (own.length === 0) return event;
      return { ...event, openings: new Map([...openings].filter(([commitment]) => own.includes(commitment))) };
    });
  }

  /** Restores that gave up a part of the trail, oldest first. */
  findRestores(): Promise<Restore[]> {
    return findRestores(this.manager);
  }

  /** What restores have told of lost reads. */
  findLostReads(): Promise<LostReads[]> {
    return findLostReads(this.manager);
  }

  /** Where the chain of changes begins in the database. */
  findCut(): Promise<Place> {
    return findCut(this.manager);
  }

  /** Up to which entry a chain was removed for its age, or is in sealed segments; at least 0. */
  async cutOf(table: ChainTable): Promise<string> {
    return table === 'audit_read' ? ((await this.findReadCut())?.seq ?? '0') : (await this.findCut()).seq;
  }

  /** All segments that were sealed, oldest first. */
  findSegments(): Promise<StoredSegment[]> {
    return findSegments(this.manager);
  }

  /** What the trail says of the newest segment. */
  findSealEntry(): Promise<SealEntry | null> {
    return findSealEntry(this.manager);
  }

  /** Checks the sealed entries that stay in the database. */
  checkKept(segments: readonly KeySegment[], cut: Place, told: SealEntry['details']): Promise<KeptCheck> {
    return checkKept(this.manager, segments, cut, told);
  }

  /** `seq` of the newest event; 0 if there is none. */
  async lastSeq(table: ChainTable): Promise<string> {
    const [row] = await this.manager.query<{ seq: string }[]>(`SELECT coalesce(${HEAD_SEQ[table]}, 0) AS seq`);
    return row!.seq;
  }

  /** The newest cut of the chain of reads; null: it begins with its first entry. */
  findReadCut(): Promise<ReadCut | null> {
    return findReadCut(this.manager);
  }

  /**
   * Where the chain of reads begins, as the entries of the trail up to `upTo` say, and where it ends; null if there is
   * no head row.
   */
  async findReadEnds(upTo: string): Promise<{ head: ChainEnd; cut: ReadCut | null } | null> {
    const cut = await findReadCut(this.manager, upTo);
    const [head] = await this.manager.query<ChainEnd[]>(
      `SELECT seq, audit_hash AS hash, (SELECT coalesce(max(seq), 0) FROM audit_read) AS "maxSeq" FROM audit_read_head`,
    );
    return head ? { head, cut } : null;
  }

  /** Where the trail ends, all of it as of one instant; null if there is no head row. */
  async findHead(): Promise<ChainHead | null> {
    const [head] = await this.manager.query<ChainHead[]>(
      `SELECT seq, audit_hash AS hash, (SELECT coalesce(max(seq), 0) FROM audit_event) AS "maxSeq",
              coalesce(audit_key_version, $1) AS "auditKeyVersion", (${KEY_CHANGES}) AS "keyChanges" FROM change_head`,
      [PLAIN_VERSION],
    );
    return head ?? null;
  }

  /** Stored rows from `from` up to and with `upTo`, in order of `seq`. @see linksOf */
  findLinks(from: bigint, upTo: bigint, limit: number, table: ChainTable): Promise<StoredLink[]> {
    return this.manager.query<StoredLink[]>(linksOf(table), [from.toString(), upTo.toString(), limit]);
  }
}

/** The verbs of acts that change nothing; a test holds them and the routes equal. */
export const READING_VERBS = ['read', 'explain', 'export', 'verify'] as const;

/** As the index audit_event_not_read_idx has it, to the letter: a parameter would keep PostgreSQL from using it. */
const IS_NO_READ = `(outcome = 'refused' OR action !~ ':(${READING_VERBS.join('|')})$')`;

const COLUMNS = {
  actorId: 'actor_id =',
  action: 'action =',
  resourceType: 'resource_type =',
  resourceId: 'resource_id =',
  outcome: 'outcome =',
  from: 'at >=',
  to: 'at <',
} satisfies Record<Exclude<keyof AuditFilter, 'isRead'>, string>;

/** Reads that were refused are refusals, among the changes. */
function mayHold(table: ChainTable, { isRead, outcome }: AuditFilter): boolean {
  return table === 'audit_event' || (isRead !== false && outcome !== 'refused');
}

/** The conditions of a filter, each beginning with AND; its parameters are $3 and on. */
export function conditionsOf(
  filter: AuditFilter,
  table: ChainTable = 'audit_event',
): { where: string; parameters: string[] } {
  const given = (Object.keys(COLUMNS) as (keyof typeof COLUMNS)[]).filter((name) => filter[name] !== undefined);
  const reads =
    filter.isRead === undefined || table === 'audit_read' ? [] : [`AND ${filter.isRead ? 'NOT ' : ''}${IS_NO_READ}`];
  return {
    where: [...given.map((name, index) => `AND ${COLUMNS[name]} $${index + 3}`), ...reads].join(' '),
    parameters: given.map((name) => filter[name]!),
  };
}
