import { Injectable } from '@nestjs/common';
import { ListCursors } from '../common/list-cursors.js';
import { pageMeta, pageOf } from '../common/page-query.dto.js';
import { Config } from '../config/config.js';
import type { LimitPair } from './bound-limits.repository.js';
import type { LimitAccount } from './limit-account.js';
import { LimitAccountsRepository } from './limit-accounts.repository.js';
import { limitMemberNotFound, limitNotFound } from './limit.errors.js';
import type { Limit } from './limit.entity.js';
import { targetFromText, targetOf } from './limit-targets.js';
import {
  type LimitAccountsPageView,
  LimitAccountView,
  type LimitMemberView,
  LimitView,
  type LimitsPageView,
} from './limit.view.js';
import type { LimitAccountsQueryDto, LimitsQueryDto } from './limits-query.dto.js';
import { LimitsRepository } from './limits.repository.js';

/** Limits and their accounts, for callers who may see all of them. */
@Injectable()
export class LimitsReader {
  constructor(
    private readonly limits: LimitsRepository,
    private readonly accounts: LimitAccountsRepository,
    private readonly cursors: ListCursors,
    private readonly config: Config,
  ) {}

  /** A page of limits. @throws DomainError 400 for a cursor of another list */
  async list(query: LimitsQueryDto): Promise<LimitsPageView> {
    const { target, binds, usedAbove, sort = 'name' } = query;
    const start = pageOf(query);
    const list = { list: 'limits', target, binds, usedAbove, sort };
    const behind = start.cursor === null ? null : this.cursors.read(list, start.cursor);
    const filter = {
      target: target === undefined ? undefined : targetFromText(target),
      binds: binds?.toLowerCase(),
      usedAbove,
    };
    const [found, count] = await Promise.all([
      this.limits.findPage(filter, sort, { offset: start.offset, size: start.size + 1, behind }),
      this.limits.count(filter),
    ]);
    const page = found.slice(0, start.size);
    const last = found.length > start.size ? page.at(-1)! : null;
    const place = last && (sort.endsWith('name') ? [last.name, last.id] : [last.id]);
    return { data: await this.viewsOf(page), meta: pageMeta(start, count, this.cursors.give(list, place)) };
  }

  /** @throws DomainError 404 */
  async get(id: string): Promise<LimitView> {
    return this.viewOf(await this.require(id));
  }

  /** A page of accounts: those that were used in the running period, and those with an override. */
  async listAccounts(id: string, query: LimitAccountsQueryDto): Promise<LimitAccountsPageView> {
    const limit = await this.require(id);
    const { usedAbove, sort = '-used' } = query;
    const member = query.member?.toLowerCase();
    const start = pageOf(query);
    const list = { list: 'limit-accounts', id, member, usedAbove, sort };
    const behind = start.cursor === null ? null : this.cursors.read(list, start.cursor);
    const filter = { member, usedAbove };
    const [found, count] = await Promise.all([
      this.accounts.findPage(id, filter, sort, { offset: start.offset, size: start.size + 1, behind }),
      this.accounts.count(id, filter),
    ]);
    const page = found.slice(0, start.size);
    const last = found.length > start.size ? page.at(-1)! : null;
    const place = last && (sort === 'member' ? [last.memberId!] : [String(last.usedPercent), last.memberId!]);
    return {
      data: await this.accountViewsOf(limit, page),
      meta: pageMeta(start, count, this.cursors.give(list, place)),
    };
  }

  /** The account of a member, empty where the member has not called in the period. @throws DomainError 404 */
  async getAccount(id: string, memberId: string): Promise<LimitAccountView> {
    const limit = await this.require(id);
    const [account] = await this.accounts.findPage(id, { member: memberId }, 'member', ONE);
    if (account === undefined && !(limit.each !== null && (await this.accounts.isMember(limit, memberId))))
      throw limitMemberNotFound();
    return this.accountOf(limit, memberId);
  }

  /** The account of a member as it is now. */
  async accountOf(limit: Limit, memberId: string): Promise<LimitAccountView> {
    const [view] = await this.accountViewsOf(limit, await this.accounts.findPairs([[limit.id, memberId]]));
    return view!;
  }

  /**
   * Limits with the account of a member each; where no member is named though each has one, with the fullest account.
   * A limit whose members have not called yet comes with an empty account.
   */
  async pairViews(pairs: readonly LimitPair[]): Promise<{ limit: LimitView; account: LimitAccountView }[]> {
    const limits = await this.viewsOf(await this.limits.findAll(pairs.map(([limitId]) => limitId)));
    const accounts = new Map((await this.accounts.findPairs(pairs)).map((account) => [account.limitId, account]));
    return Promise.all(
      limits.map(async (limit) => {
        const account = accounts.get(limit.id)!;
        const fullest = account.memberId === null ? limit.fullest : null;
        return { limit, account: fullest ?? (await this.accountViewsOf(limit, [account]))[0]! };
      }),
    );
  }

  /** A limit as it is now. */
  async viewOf(limit: Limit): Promise<LimitView> {
    const [view] = await this.viewsOf([limit]);
    return view!;
  }

  /** Limits as they are now, in their order. */
  async viewsOf(limits: readonly Limit[]): Promise<LimitView[]> {
    if (limits.length === 0) return [];
    const [names, fullest] = await Promise.all([
      this.limits.namesOf(limits.map(targetOf)),
      this.accounts.fullestOf(limits.map(({ id }) => id)),
    ]);
    return Promise.all(
      limits.map(async (limit) => {
        const account = fullest.get(limit.id);
        const [view = null] = account === undefined ? [] : await this.accountViewsOf(limit, [account]);
        return LimitView.from({ limit, targetName: nameOf(limit, names), fullest: view }, this.config.currency);
      }),
    );
  }

  private async accountViewsOf(
    { each }: Pick<Limit, 'each'>,
    accounts: readonly LimitAccount[],
  ): Promise<LimitAccountView[]> {
    const ids = accounts.flatMap(({ memberId }) => (memberId === null ? [] : [memberId]));
    const names =
      each === null || ids.length === 0 ? new Map<string, string>() : await this.accounts.namesOf(each, ids);
    return accounts.map((account) => {
      const { memberId } = account;
      const member: LimitMemberView | null =
        each === null || memberId === null ? null : { kind: each, id: memberId, name: names.get(memberId) ?? null };
      return LimitAccountView.from(account, member);
    });
  }

  private async require(id: string): Promise<Limit> {
    const limit = await this.limits.findById(id);
    if (limit === null) throw limitNotFound();
    return limit;
  }
}

const ONE = { offset: 0, size: 1, behind: null } as const;

/** The name of a limit's target, or null. */
export function nameOf({ targetKind, targetId }: Limit, names: ReadonlyMap<string, string>): string | null {
  return targetId === null ? null : (names.get(`${targetKind}:${targetId}`) ?? null);
}
