import {
  type LimitMember,
  type LimitMode,
  type LimitPeriod,
  type LimitTargetKind,
  type LimitUnit,
  limitSentence,
  limitSentenceParts,
} from '../../packages/contract/src/limit.js';
import { PageMetaView } from '../common/page.view.js';
import { SentencePartView } from '../common/sentence-part.view.js';
import { versionOf } from '../common/version.js';
import { auditedLimit } from '../quotas/limits/audited-limit.js';
import { type LimitAccount, isExhausted, remainingOf } from './limit-account.js';
import { inCents, inUnit } from './limit-amount.js';
import type { LimitAct } from './limit-visibility.js';
import type { Limit } from './limit.entity.js';

/**
 * `exhausted`: the amount is spent, or all slots are taken, and every call is refused. A limit that observes is never
 * exhausted.
 */
export type LimitState = 'ok' | 'exhausted';

/** Whose calls a limit counts. */
export class LimitTargetView {
  kind: LimitTargetKind;

  /**
   * null: the installation.
   * @example "019a8b5e-0004-7cb7-98e5-7eb06351d299"
   */
  id: string | null;

  /**
   * The name of the key, owner or project; null: the installation, or a target that is gone.
   * @example "Search"
   */
  name: string | null;
}

/** An override while it is in force. */
export class OverrideView {
  /**
   * In the unit of the limit.
   * @example 20000
   */
  amount: number;

  /**
   * null: a limit of another unit than cents.
   * @example 20000
   */
  amountCents: number | null;

  /** When it ends by itself; null: it does not. */
  until: Date | null;

  /** @example "Load test until Friday" */
  reason: string;
}

/** The key, owner or subject that an account belongs to. */
export class LimitMemberView {
  kind: LimitMember;

  /**
   * Of a subject its text; once that was erased, the id that was made of it.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  id: string;

  /**
   * Of a subject its text. null: it is gone, or was erased.
   * @example "Ada Lovelace"
   */
  name: string | null;
}

/** An account of a limit in the running period. */
export class LimitAccountView {
  /** null: all calls of the limit share the account. */
  member: LimitMemberView | null;

  state: LimitState;

  /**
   * What there may be, in the unit of the limit: that of the override while one is in force.
   * @example 50000
   */
  amount: number;

  /**
   * What was used since the period began, or since the limit was made, in the unit of the limit; late reports beyond
   * the amount included. Of `slots`: calls in flight. Of a limit by minute or hour: in the last minute or hour, with
   * what replicas have in hand for their next calls, and of tokens with what is reserved.
   * @example 12034.5
   */
  used: number;

  /**
   * What is reserved, or set aside by a replica for its next calls, in the unit of the limit. Of requests, slots, and a
   * limit by minute or hour: 0, because that is used.
   */
  held: number;

  /** What is neither used nor held, in the unit of the limit. */
  remaining: number;

  /**
   * `amount` of a limit of cents; null: of another unit.
   * @example 50000
   */
  amountCents: number | null;

  /**
   * `used` of a limit of cents; null: of another unit.
   * @example 12034.5
   */
  spentCents: number | null;

  /** `held` of a limit of cents; null: of another unit. */
  heldCents: number | null;

  /** `remaining` of a limit of cents; null: of another unit. */
  remainingCents: number | null;

  /**
   * Percent of the amount that is used; more than 100 where late reports overdrew it.
   * @example 24.069
   */
  usedPercent: number;

  /** When the period began; null: `total`, or a limit by minute or hour. */
  startsAt: Date | null;

  /**
   * When it counts from 0 again; null: never. Of a limit by minute or hour: when nothing counts any more of what has
   * been used; null: nothing does.
   */
  resetsAt: Date | null;

  override: OverrideView | null;

  /** Lists the fields that may leave. */
  static from(account: LimitAccount, member: LimitMemberView | null, mode: LimitMode): LimitAccountView {
    const { override, unit } = account;
    const remaining = remainingOf(account);
    return {
      member,
      state: isExhausted(account, mode) ? 'exhausted' : 'ok',
      amount: inUnit(unit, account.amount),
      used: inUnit(unit, account.spent),
      held: inUnit(unit, account.held),
      remaining: inUnit(unit, remaining),
      amountCents: inCents(unit, account.amount),
      spentCents: inCents(unit, account.spent),
      heldCents: inCents(unit, account.held),
      remainingCents: inCents(unit, remaining),
      usedPercent: account.usedPercent,
      startsAt: account.startsAt,
      resetsAt: account.endsAt,
      override:
        override === null
          ? null
          : {
              amount: inUnit(unit, override.amount),
              amountCents: inCents(unit, override.amount),
              until: override.until,
              reason: override.reason,
            },
    };
  }
}

/** A limit that several calls share. */
export class LimitView {
  /** @example "019a8b5e-0006-7ed9-ba07-90d28573f4bb" */
  id: string;

  /**
   * Version of the limit, to be sent as `If-Match: "<version>"` with a change.
   * @example "p3yQyJkYbQ7mUq0c"
   */
  version: string;

  /** @example "Search team, monthly" */
  name: string;

  /** @example "search-monthly" */
  alias: string | null;

  /** @example "Agreed with finance for 2027" */
  description: string;

  /**
   * The limit in one sentence.
   * @example "All keys in project Search together may spend at most 500.00 USD per month (Europe/Berlin)."
   */
  sentence: string;

  /** `sentence` in parts, for programs that write amounts in a form of their own. */
  sentenceParts: SentencePartView[];

  unit: LimitUnit;

  /**
   * In the unit.
   * @example 50000
   */
  amount: number;

  /**
   * `amount` of a limit of cents; null: of another unit.
   * @example 50000
   */
  amountCents: number | null;

  /** null: `slots`, which no period counts. */
  per: LimitPeriod | null;

  /** @example "Europe/Berlin" */
  timeZone: string;

  target: LimitTargetView;

  /** Members that have an account each; null: all calls of the target share one. */
  each: LimitMember | null;

  /** Empty: every model. */
  models: string[];

  mode: LimitMode;

  /** What was spent before is not counted. */
  countsFrom: Date;

  /**
   * The account of which most is used, in the running period; null: the limit has no account yet, or the caller lacks
   * `platform:limits:read`.
   */
  fullest: LimitAccountView | null;

  createdAt: Date;

  updatedAt: Date;

  /** Lists the fields that may leave. */
  static from({ limit, targetName, fullest }: KnownLimit, currency: string): LimitView {
    const target = { kind: limit.targetKind, id: limit.targetId, name: targetName };
    return {
      id: limit.id,
      version: versionOf(auditedLimit(limit)),
      name: limit.name,
      alias: limit.alias,
      description: limit.description,
      ...sentenceOf(limit, targetName, currency),
      unit: limit.unit,
      amount: inUnit(limit.unit, limit.amount),
      amountCents: inCents(limit.unit, limit.amount),
      per: limit.per,
      timeZone: limit.timeZone,
      target,
      each: limit.each,
      models: limit.models,
      mode: limit.mode,
      countsFrom: limit.countsFrom,
      fullest,
      createdAt: limit.createdAt,
      updatedAt: limit.updatedAt,
    };
  }
}

/** A limit, and what its view tells besides. */
export interface KnownLimit {
  readonly limit: Limit;
  readonly targetName: string | null;
  readonly fullest: LimitAccountView | null;
}

/** The limit that a new one has taken the place of. */
export class ReplacedLimitView {
  /** @example "019a8b5e-0006-7ed9-ba07-90d28573f4aa" */
  id: string;

  unit: LimitUnit;

  /**
   * What it had counted in the running period, over all its accounts, in its unit; null: the caller lacks
   * `platform:limits:read`.
   * @example 40000
   */
  used: number | null;

  /**
   * `used` of a limit of cents.
   * @example 40000
   */
  spentCents: number | null;

  /** Of a limit that has counted so much. */
  static of({ id, unit }: Limit, spent: bigint | null): ReplacedLimitView {
    const [used, spentCents] = spent === null ? [null, null] : [inUnit(unit, spent), inCents(unit, spent)];
    return { id, unit, used, spentCents };
  }
}

/** The limit of an alias after a change. */
export class PutLimitView extends LimitView {
  /** With `restart=true`: the limit that ended, whose sum starts from 0 in this one; null: none ended. */
  replaced: ReplacedLimitView | null;
}

/** A limit in one sentence, and that sentence in parts. */
type Sentence = Pick<LimitView, 'sentence' | 'sentenceParts'>;

/** The sentence of a limit whose target has this name. */
export function sentenceOf(limit: Limit, targetName: string | null, currency: string): Sentence {
  const { targetKind: kind, each, unit, per, timeZone, models, mode } = limit;
  const target = { kind, name: targetName };
  const said = { target, each, unit, per, timeZone, amount: inUnit(unit, limit.amount), models, mode };
  return { sentence: limitSentence(said, currency), sentenceParts: limitSentenceParts(said) };
}

/** A page of limits. */
export class LimitsPageView {
  data: LimitView[];
  meta: PageMetaView;
}

/** A page of accounts of a limit. */
export class LimitAccountsPageView {
  data: LimitAccountView[];
  meta: PageMetaView;
}

/** The reason for a use so far that is not told. */
export type UnknownUse = 'total' | 'not-reported' | 'too-many-rows' | 'not-permitted';

/** What a limit would come to, told without making it. */
export class LimitDryRunView {
  /**
   * The limit in one sentence.
   * @example "All keys in project Search together may spend at most 500.00 USD per month (Europe/Berlin)."
   */
  sentence: string;

  /** `sentence` in parts, for programs that write amounts in a form of their own. */
  sentenceParts: SentencePartView[];

  /**
   * Keys that it binds and that are not revoked; null: more than 100 000.
   * @example 12
   */
  keyCount: number | null;

  /**
   * Owners of these keys; null: of more than 100 000 keys.
   * @example 3
   */
  ownerCount: number | null;

  /**
   * Accounts that it has: one, or one for each member; null: of more than 100 000 keys, or one for each subject.
   * @example 1
   */
  accountCount: number | null;

  /**
   * Accounts that would refuse every call from now on; null: the amount is 0 and binds more than 100 000 keys, or the
   * caller lacks `platform:limits:read`.
   * @example 0
   */
  exhaustedCount: number | null;

  /**
   * What the keys have used in the running period so far, in the unit, by whole hours; null: see `costUnknown`. A new
   * limit does not count it.
   * @example 32010.25
   */
  usedSoFar: number | null;

  /**
   * `usedSoFar` of a limit of cents.
   * @example 32010.25
   */
  costSoFarCents: number | null;

  /**
   * The reason for no `usedSoFar`: `total`, which is not summed up; `not-reported`, requests and slots, which no report
   * tells, and tokens by minute, which reports tell by hours; `too-many-rows`, which take too long to sum up; or
   * `not-permitted`, without `platform:limits:read`. null: it is there.
   * @example null
   */
  costUnknown: UnknownUse | null;
}

/** A limit as those see it who may know its numbers. */
export class BoundLimitDetailsView {
  /**
   * Version of the limit, to be sent as `If-Match: "<version>"` with a change.
   * @example "p3yQyJkYbQ7mUq0c"
   */
  version: string;

  /** @example "Search team, monthly" */
  name: string;

  /**
   * The limit in one sentence; with the amount that is in force for the member.
   * @example "All keys in project Search together may spend at most 500.00 USD per month (Europe/Berlin)."
   */
  sentence: string;

  /** `sentence` in parts, for programs that write amounts in a form of their own. */
  sentenceParts: SentencePartView[];

  /**
   * That of the limit, in its unit; `account` has the one that is in force for the member.
   * @example 50000
   */
  amount: number;

  target: LimitTargetView;

  each: LimitMember | null;

  /** Empty: every model. */
  models: string[];

  mode: LimitMode;

  /** @example "Europe/Berlin" */
  timeZone: string;

  account: LimitAccountView;
}

/** A limit that binds calls. */
export class BoundLimitView {
  /** @example "019a8b5e-0006-7ed9-ba07-90d28573f4bb" */
  id: string;

  unit: LimitUnit;

  /** null: `slots`, which no period counts. */
  per: LimitPeriod | null;

  state: LimitState;

  /** As in `details.account`. */
  resetsAt: Date | null;

  /**
   * What you may do to the limit; `tighten`: only lower its amount and turn `observe` into `enforce`, as an admin of
   * its project may.
   * @example ["tighten"]
   */
  allowedActs: LimitAct[];

  /** null: the numbers are not for this caller to know. */
  details: BoundLimitDetailsView | null;
}

/** Limits that bind calls, narrowest first: key, owner, project, installation. */
export class BoundLimitsView {
  data: BoundLimitView[];

  /** There are more than the 100 of an owner that one answer shows. */
  hasMore: boolean;
}
