import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../access/caller.js';
import { LIMIT_TARGETS } from '../../packages/contract/src/limit.js';
import { apiKeyNotFound } from '../api-keys/api-key.errors.js';
import { versionOf } from '../common/version.js';
import { projectNotFound } from '../projects/project.errors.js';
import { auditedLimit } from '../quotas/limits/audited-limit.js';
import { userNotFound } from '../users/user.errors.js';
import { BoundLimitsRepository, type LimitPair, MOST_OF_OWNER } from './bound-limits.repository.js';
import { inUnit } from './limit-amount.js';
import { LimitViewers } from './limit-viewers.js';
import { type LimitViewer, limitActs, seesNumbers } from './limit-visibility.js';
import type { BoundLimitsView, BoundLimitView } from './limit.view.js';
import { type BoundLimit, LimitsReader } from './limits-reader.service.js';

/** Limits that bind the calls of a key, an owner or a project, with as many numbers as the caller may know. */
@Injectable()
export class BoundLimits {
  constructor(
    private readonly bound: BoundLimitsRepository,
    private readonly reader: LimitsReader,
    private readonly viewers: LimitViewers,
  ) {}

  /** Of a key that the caller may know. @throws DomainError 404 */
  async ofKey({ principal }: KnownCaller, id: string): Promise<BoundLimitsView> {
    const key = await this.bound.findKey(id);
    if (key === null) throw apiKeyNotFound();
    return this.viewOf(await this.viewers.of(principal, key), await this.bound.ofKey(id));
  }

  /** Of an owner: of the caller, of a service account that the caller manages, or of any. @throws DomainError 404 */
  async ofOwner({ principal }: KnownCaller, id: string): Promise<BoundLimitsView> {
    const viewer = await this.viewers.of(principal, null);
    const maySee = viewer.seesAll || viewer.ownerIds.includes(id);
    if (!maySee || !(await this.bound.exists('owner', id))) throw userNotFound();
    const pairs = await this.bound.ofOwner(id);
    const { data } = await this.viewOf(viewer, pairs.slice(0, MOST_OF_OWNER));
    return { data, hasMore: pairs.length > MOST_OF_OWNER };
  }

  /** Of a project: of one that the caller is a member of, or of any. @throws DomainError 404 */
  async ofProject({ principal }: KnownCaller, id: string): Promise<BoundLimitsView> {
    const viewer = await this.viewers.of(principal, null);
    const maySee = viewer.seesAll || viewer.projectIds.includes(id);
    if (!maySee || !(await this.bound.exists('project', id))) throw projectNotFound();
    return this.viewOf(viewer, await this.bound.ofProject(id));
  }

  private async viewOf(viewer: LimitViewer, pairs: readonly LimitPair[]): Promise<BoundLimitsView> {
    const rank = ({ limit }: BoundLimit) => LIMIT_TARGETS.indexOf(limit.targetKind);
    const found = (await this.reader.boundLimits(pairs)).sort((a, b) => rank(a) - rank(b));
    return { data: found.map((bound) => boundView(viewer, bound)), hasMore: false };
  }
}

function boundView(
  viewer: LimitViewer,
  { limit, targetName, sentence, sentenceParts, account }: BoundLimit,
): BoundLimitView {
  const { id, unit, per, each, targetKind, targetId, name, models, mode, timeZone } = limit;
  const memberId = account.member?.id ?? null;
  const isSeen = seesNumbers(viewer, { targetKind, targetId, each, memberId });
  const target = { kind: targetKind, id: targetId, name: targetName };
  const amount = inUnit(unit, limit.amount);
  const version = versionOf(auditedLimit(limit));
  const said = { sentence, sentenceParts };
  const details = isSeen ? { version, name, ...said, amount, target, each, models, mode, timeZone, account } : null;
  const allowedActs = limitActs(viewer, limit);
  // What one of the subjects has used says nothing of a call, which may be of another.
  const state = each === 'subject' && !isSeen ? 'ok' : account.state;
  return { id, unit, per, state, resetsAt: account.resetsAt, allowedActs, details };
}
