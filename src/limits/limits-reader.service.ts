import type { SentencePart } from '../../packages/contract/src/sentence.js';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { LIMIT_MEMBERS, type LimitMember } from '../../packages/contract/src/limit.js';
import type { KnownCaller } from '../access/caller.js';
import { ListCursors } from '../common/list-cursors.js';
import { pageMeta, pageOf } from '../common/page-query.dto.js';
import { Config } from '../config/config.js';
import { type AccountOrder, NO_MEMBER } from './account-sql.js';
import type { LimitPair } from './bound-limits.repository.js';
import type { LimitAccount } from './limit-account.js';
import { type AccountFilter, LimitAccountsRepository } from './limit-accounts.repository.js';
import { limitWith } from './limit-draft.js';
import { limitMemberNotFound, limitNotFound } from './limit.errors.js';
import { memberIdOf } from './limit-members.js';
import type { Limit } from './limit.entity.js';
import { targetFromText, targetOf } from './limit-targets.js';
import {
  type LimitAccountsPageView,
  LimitAccountView,
  type LimitMemberView,
  LimitView,
  type LimitsPageView,
  sentenceOf,
} from './limit.view.js';
import type {
  ExportLimitAccountsDto,
  ExportLimitsDto,
  LimitAccountsQueryDto,
  LimitSort,
  LimitsQueryDto,
} from './limits-query.dto.js';
import { type LimitFilter, LimitsRepository } from './limits.repository.js';

/** Rows that are read at once while a list is walked: what bounds the memory of an export. */
const BATCH = 500;

/** Where a part of a list begins, and how long it is. */
interface SliceStart {
  readonly offset: number;
  readonly size: number;
  readonly behind: readonly string[] | null;
}

/** A part of a list, and the place behind which the next one begins; null: there is none. */
interface Slice<T> {
  readonly data: T[];
  readonly next: readonly string[] | null;
}

/** A limit that binds calls, and an account of it. */
export interface BoundLimit {
  readonly limit: Limit;
  readonly targetName: string | null;
  /** With the amount that is in force for the account. */
  readonly sentence: string;
  readonly sentenceParts: SentencePart[];
  readonly account: LimitAccountView;
}

/** Limits and their accounts, for callers who may see all of them. */
@Injectable()
export class LimitsReader {
  constructor(
    private readonly limits: LimitsRepository,
    private readonly accounts: LimitAccountsRepository,
    private readonly cursors: ListCursors,
    private readonly config: Config,
  ) {}

  /** The same reader inside a transaction. */
  in(tx: EntityManager): LimitsReader {
    return new LimitsReader(this.limits.in(tx), this.accounts.in(tx), this.cursors, this.config);
  }

  /** A page of limits. @throws DomainError 400 for a cursor of another list */
  async list(query: LimitsQueryDto): Promise<LimitsPageView> {
    const { id, target, binds, unit, usedAbove, sort = 'name' } = query;
    const start = pageOf(query);
    const list = { list: 'limits', id, target, binds, unit, usedAbove, sort };
    const behind = start.cursor === null ? null : this.cursors.read(list, start.cursor);
    const filter = filterOf(query);
    const [{ data, next }, count] = await Promise.all([
      this.slice(filter, sort, { offset: start.offset, size: start.size, behind }),
      this.limits.count(filter),
    ]);
    return { data, meta: pageMeta(start, count, this.cursors.give(list, next)) };
  }

  /** All limits of a list, in batches. */
  async *walk(query: ExportLimitsDto): AsyncGenerator<LimitView[]> {
    const { sort = 'name' } = query;
    let behind: readonly string[] | null = null;
    do {
      const slice: Slice<LimitView> = await this.slice(filterOf(query), sort, { offset: 0, size: BATCH, behind });
      yield slice.data;
      behind = slice.next;
    } while (behind !== null);
  }

  private async slice(filter: LimitFilter, sort: LimitSort, { size, ...start }: SliceStart): Promise<Slice<LimitView>> {
    const found = await this.limits.findPage(filter, sort, { ...start, size: size + 1 });
    const page = found.slice(0, size);
    const last = found.length > size ? page.at(-1)! : null;
    const next = last && (sort.endsWith('name') ? [last.name, last.id] : [last.id]);
    return { data: await this.viewsOf(page), next };
  }

  /** @throws DomainError 404 */
  async get(id: string): Promise<LimitView> {
    const [view] = await this.viewsOf([await this.require(id)]);
    return view!;
  }

  /** A limit after a change of the caller, who sees how far it is used with the permission for that alone. */
  async viewFor({ principal }: KnownCaller, limit: Limit): Promise<LimitView> {
    const [view] = principal.may(READ) ? await this.viewsOf([limit]) : await this.viewsWith([limit], new Map());
    return view!;
  }

  /** A page of accounts: those that were used in the running period, and those with an override. */
  async listAccounts(id: string, query: LimitAccountsQueryDto): Promise<LimitAccountsPageView> {
    const limit = await this.require(id);
    const { usedAbove, sort = '-used' } = query;
    const member = query.member === undefined ? undefined : memberIdOf(limit, query.member);
    const start = pageOf(query);
    const list = { list: 'accounts-of-limit', id, member, usedAbove, sort };
    const behind = start.cursor === null ? null : this.cursors.read(list, start.cursor);
    const filter = { member, usedAbove };
    const [{ data, next }, count] = await Promise.all([
      this.accountSlice(limit, filter, sort, { offset: start.offset, size: start.size, behind }),
      this.accounts.count(id, filter),
    ]);
    return { data, meta: pageMeta(start, count, this.cursors.give(list, next)) };
  }

  /** All accounts of a list, in batches. @throws DomainError 400; 404, with the first */
  async *walkAccounts(id: string, query: ExportLimitAccountsDto): AsyncGenerator<LimitAccountView[]> {
    const limit = await this.require(id);
    const { usedAbove, sort = '-used' } = query;
    const filter = { member: query.member === undefined ? undefined : memberIdOf(limit, query.member), usedAbove };
    let behind: readonly string[] | null = null;
    do {
      const start: SliceStart = { offset: 0, size: BATCH, behind };
      const slice: Slice<LimitAccountView> = await this.accountSlice(limit, filter, sort, start);
      yield slice.data;
      behind = slice.next;
    } while (behind !== null);
  }

  private async accountSlice(
    limit: Limit,
    filter: AccountFilter,
    sort: AccountOrder,
    { size, ...start }: SliceStart,
  ): Promise<Slice<LimitAccountView>> {
    const found = await this.accounts.findPage(limit.id, filter, sort, { ...start, size: size + 1 });
    const page = found.slice(0, size);
    const last = found.length > size ? page.at(-1)! : null;
    const next = last && [...(sort === 'member' ? [] : last.place), last.memberId ?? NO_MEMBER];
    return { data: await this.accountViewsOf(page.map((account) => ({ limit, account }))), next };
  }

  /** The account of a member, empty where the member has not called in the period. @throws DomainError 404 */
  async getAccount(id: string, member: string): Promise<LimitAccountView> {
    const limit = await this.require(id);
    const memberId = memberIdOf(limit, member);
    const [account] = await this.accounts.findPage(id, { member: memberId }, 'member', ONE);
    if (account === undefined && !(limit.each !== null && (await this.accounts.isMember(limit, memberId))))
      throw limitMemberNotFound();
    return this.accountOf(limit, memberId);
  }

  /** The account of a member as it is now. */
  async accountOf(limit: Limit, memberId: string): Promise<LimitAccountView> {
    const accounts = await this.accounts.findPairs([[limit.id, memberId]]);
    const [view] = await this.accountViewsOf(accounts.map((account) => ({ limit, account })));
    return view!;
  }

  /**
   * Limits with the account of a member each; where no member is named though each has one, with the fullest account.
   * A limit whose members have not called yet comes with an empty account.
   */
  async boundLimits(pairs: readonly LimitPair[]): Promise<BoundLimit[]> {
    const limits = await this.limits.findAll(pairs.map(([limitId]) => limitId));
    const isOfAll = new Set(pairs.flatMap(([limitId, memberId]) => (memberId === null ? [limitId] : [])));
    const [names, accounts, fullest] = await Promise.all([
      this.limits.namesOf(limits.map(targetOf)),
      this.accounts.findPairs(pairs),
      this.accounts.fullestOf(limits.flatMap(({ id, each }) => (each !== null && isOfAll.has(id) ? [id] : []))),
    ]);
    const byLimit = new Map(accounts.map((account) => [account.limitId, account]));
    // One that was swept since it was found is gone.
    const known = limits.filter(({ id }) => byLimit.has(id));
    const views = await this.accountViewsOf(
      known.map((limit) => ({ limit, account: fullest.get(limit.id) ?? byLimit.get(limit.id)! })),
    );
    return known.map((limit, index) => {
      const targetName = nameOf(limit, names);
      const { amount } = isOfAll.has(limit.id) ? limit : byLimit.get(limit.id)!;
      // The amount of a member whose account is told is that of the sentence too.
      const sentence = sentenceOf(limitWith(limit, { amount }), targetName, this.config.currency);
      return { limit, targetName, ...sentence, account: views[index]! };
    });
  }

  /** Limits as they are now, in their order. */
  private async viewsOf(limits: readonly Limit[]): Promise<LimitView[]> {
    return this.viewsWith(limits, await this.accounts.fullestOf(limits.map(({ id }) => id)));
  }

  private async viewsWith(limits: readonly Limit[], fullest: ReadonlyMap<string, LimitAccount>): Promise<LimitView[]> {
    const full = limits.flatMap((limit) => {
      const account = fullest.get(limit.id);
      return account === undefined ? [] : [{ limit, account }];
    });
    const [names, accounts] = await Promise.all([this.limits.namesOf(limits.map(targetOf)), this.accountViewsOf(full)]);
    const views = new Map(full.map(({ limit }, index) => [limit.id, accounts[index]!]));
    return limits.map((limit) =>
      LimitView.from(
        { limit, targetName: nameOf(limit, names), fullest: views.get(limit.id) ?? null },
        this.config.currency,
      ),
    );
  }

  /** Accounts in their order; names of members are asked for once a kind, however many limits there are. */
  private async accountViewsOf(
    accounts: readonly { readonly limit: Limit; readonly account: LimitAccount }[],
  ): Promise<LimitAccountView[]> {
    const names = new Map<string, string>();
    for (const kind of LIMIT_MEMBERS) {
      const ids = accounts.flatMap(({ limit, account: { memberId } }) =>
        limit.each === kind && memberId !== null ? [memberId] : [],
      );
      if (ids.length > 0) for (const [id, name] of await this.accounts.namesOf(kind, ids)) names.set(id, name);
    }
    return accounts.map(({ limit: { each, mode }, account }) => {
      const { memberId: id } = account;
      return LimitAccountView.from(account, each === null || id === null ? null : memberView(each, id, names), mode);
    });
  }

  private async require(id: string): Promise<Limit> {
    const limit = await this.limits.findById(id);
    if (limit === null) throw limitNotFound();
    return limit;
  }
}

/** A subject is named by its text, and by the id of its account once that was erased. */
function memberView(kind: LimitMember, id: string, names: ReadonlyMap<string, string>): LimitMemberView {
  const name = names.get(id) ?? null;
  return { kind, id: kind === 'subject' ? (name ?? id) : id, name };
}

const READ = 'platform:limits:read';

const ONE = { offset: 0, size: 1, behind: null } as const;

function filterOf({ id, target, binds, unit, usedAbove }: ExportLimitsDto): LimitFilter {
  return {
    ids: id,
    target: target === undefined ? undefined : targetFromText(target),
    binds: binds?.toLowerCase(),
    unit,
    usedAbove,
  };
}

/** The name of a limit's target, or null. */
export function nameOf({ targetKind, targetId }: Limit, names: ReadonlyMap<string, string>): string | null {
  return targetId === null ? null : (names.get(`${targetKind}:${targetId}`) ?? null);
}
