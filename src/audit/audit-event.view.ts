import { ApiExtraModels, ApiProperty, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger';
import type { ActorKind } from './audit-event.entity.js';
import type { ChainReport } from './chain-verifier.js';
import type { Openings } from './personal-values.js';
import type { AuditedEvent } from './stored-event.js';

/** Who acted. */
export class AuditActorView {
  /**
   * A signed-in user, a key, a caller without credentials, or the server itself.
   * @example "user"
   */
  kind: ActorKind;

  /**
   * Of the user or key; null for callers without credentials and the server.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  id: string | null;

  /**
   * The user, or the key's owner.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  ownerId: string | null;
}

/** What the plugin cannot read from `unknown`: any value of JSON. */
const ANY_JSON = {
  oneOf: [
    { type: 'string' },
    { type: 'number' },
    { type: 'boolean' },
    { type: 'array', items: {} },
    { type: 'object' },
  ],
  nullable: true,
};

/** One field before and after a change. */
export class FieldChangeView {
  /** @example "rateLimitPerMinute" */
  field: string;

  /** Null if the thing was made by this change. */
  @ApiProperty(ANY_JSON)
  before: unknown;

  /** Null if the thing was removed by this change. */
  @ApiProperty(ANY_JSON)
  after: unknown;
}

/** What opens a commitment: SHA-256 of the salt and of the value in canonical JSON is the commitment. */
export class OpeningView {
  /**
   * 32 bytes, hexadecimal.
   * @example "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
   */
  salt: string;

  @ApiProperty(ANY_JSON)
  value: unknown;
}

/**
 * One entry of the audit trail, exactly as it was hashed: without `hash` and `personal`, in canonical JSON, it is what
 * the hash covers.
 */
@ApiExtraModels(OpeningView)
export class AuditEventView {
  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /**
   * Order of commit within its chain, without gaps; digits.
   * @example "4711"
   */
  seq: string;

  /**
   * `reads`: of the chain of reads. Absent: of the chain of changes and refusals.
   * @example "reads"
   */
  chain?: 'reads';

  /**
   * Of the chain of reads: the version of `AUDIT_KEY` that signed the entry.
   * @example "1"
   */
  keyVersion?: string;

  /**
   * True: what is stored is no entry that Latchkey wrote. Of it `id`, `seq`, `at` and `hash` are shown, and `action` is
   * `audit:unreadable`; verify the trail. Absent otherwise.
   * @example true
   */
  isUnreadable?: true;

  /**
   * When it was recorded.
   * @example "2026-03-01T12:00:00.000Z"
   */
  at: string;

  actor: AuditActorView;

  /**
   * `resource:verb`.
   * @example "api-keys:revoke"
   */
  action: string;

  /** @example "api-key" */
  resourceType: string;

  /**
   * Id or name of what was acted on; null for lists and for what came to nothing.
   * @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55"
   */
  resourceId: string | null;

  /** @example "success" */
  outcome: 'success' | 'refused';

  /**
   * The caller's address.
   * @example "192.0.2.7"
   */
  ip: string | null;

  /**
   * `X-Request-Id` of the answer.
   * @example "4f7f2c1e-5d8e-4e43-9e0f-2f6f0a1f7c11"
   */
  requestId: string | null;

  /** Personal values of users are commitments: `{ "commitment": … }`, which `personal` opens. */
  changes: FieldChangeView[];

  /**
   * What else there is to say. Of refusals: `code`. `count`: how many equal reads or refusals this entry stands for.
   * @example { "code": "PERMISSION_DENIED" }
   */
  details: Record<string, unknown>;

  /**
   * What opens the commitments in the entry, by commitment. One that is missing is of a person who was erased. Absent:
   * the entry has no commitments.
   */
  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: { $ref: getSchemaPath(OpeningView) },
    example: {},
  })
  personal?: Record<string, OpeningView>;

  /**
   * HMAC-SHA-256 over the hash of the entry before and this entry; hexadecimal.
   * @example "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
   */
  hash: string;

  static from({ record, hash, isUnreadable, openings }: AuditedEvent): AuditEventView {
    return {
      id: record.id,
      seq: record.seq,
      ...(record.chain === undefined ? {} : { chain: record.chain }),
      ...(record.keyVersion === undefined ? {} : { keyVersion: record.keyVersion }),
      ...(isUnreadable ? { isUnreadable } : {}),
      at: record.at,
      actor: { kind: record.actor.kind, id: record.actor.id, ownerId: record.actor.ownerId },
      action: record.action,
      resourceType: record.resourceType,
      resourceId: record.resourceId,
      outcome: record.outcome,
      ip: record.ip,
      requestId: record.requestId,
      changes: record.changes.map(({ field, before, after }) => ({ field, before, after })),
      details: { ...record.details },
      ...(openings === undefined ? {} : { personal: personalOf(openings) }),
      hash: hash.toString('hex'),
    };
  }
}

function personalOf(openings: Openings): Record<string, OpeningView> {
  const views = [...openings].map(([commitment, { salt, value }]) => [
    commitment,
    { salt: salt.toString('hex'), value },
  ]);
  return Object.fromEntries(views) as Record<string, OpeningView>;
}

/** How to go on. */
export class AuditEventsMetaView {
  /**
   * Events of a page.
   * @example 50
   */
  limit: number;

  /**
   * Asks for the events before these; null: there are none.
   * @example "MTIzNA"
   */
  nextCursor: string | null;

  /**
   * Changes and refusals up to this number are in sealed segments, and in no list; null: none are.
   * @example "120000"
   */
  sealedUpTo: string | null;
}

/** A page of the audit trail, newest first. */
export class AuditEventsPageView {
  data: AuditEventView[];

  meta: AuditEventsMetaView;
}

/** Where the trail stops being what was recorded. */
export class ChainBreakView {
  /**
   * The first entry that is wrong or missing; "0" if it is none of them.
   * @example "4711"
   */
  seq: string;

  /** @example "This entry is missing." */
  reason: string;

  /**
   * Which chain of the trail it is in.
   * @example "changes"
   */
  chain: 'changes' | 'reads';
}

/** What a check of the whole trail came to. */
export class ChainReportView {
  ok: boolean;

  /**
   * Entries of changes and refusals found sound, from the last sealed segment on; with those of it that stay.
   * @example 4711
   */
  checked: number;

  /**
   * Entries of the chain of reads found sound, from the last cut on.
   * @example 1200
   */
  checkedReads: number;

  /**
   * The last entry that is in a sealed segment, which `npm run audit:verify -- --segments` checks; null: none is.
   * @example "120000"
   */
  sealedUpTo: string | null;

  /** Null if nothing is wrong. */
  firstBroken: ChainBreakView | null;

  static from({ ok, checked, checkedReads, sealedUpTo, firstBroken }: ChainReport): ChainReportView {
    const broken = firstBroken && { seq: firstBroken.seq, reason: firstBroken.reason, chain: firstBroken.chain };
    return { ok, checked, checkedReads, sealedUpTo, firstBroken: broken };
  }
}
