import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../access/caller.js';
import { Changes } from '../audit/changes.js';
import { AccountNoticesRepository, type Unseen } from './account-notices.repository.js';
import { AccountChangeView, type AccountNoticesView, FailedSignInsView } from './account-notices.view.js';
import { concernsManager } from './notice-sentences.js';
import { SignInExchange } from './sign-in-exchange.js';

/** Changes that are told at once; more are in the audit trail. */
const MAX_CHANGES = 50;
/** Entries of the trail that each look goes through again, where there is nothing to tell. */
const MAX_BEHIND = 1_000n;

/**
 * What happened to an account while its person was away: failed sign-ins, and what others did to it. It is told until
 * the person acknowledges it. What others did is read from the audit trail, so that no way to do it can be forgotten
 * here.
 */
@Injectable()
export class AccountNotices {
  constructor(
    private readonly notices: AccountNoticesRepository,
    private readonly exchange: SignInExchange,
    private readonly changes: Changes,
  ) {}

  /** What a person has not acknowledged, failures that this replica has counted just now included; null: nothing. */
  async find(userId: string): Promise<AccountNoticesView | null> {
    return viewOf(await this.findUnseen(userId), userId);
  }

  /**
   * As `find`, for a person who has just signed in: where there is nothing to tell, later looks begin here, once that
   * saves them something.
   */
  async findAtSignIn(userId: string): Promise<AccountNoticesView | null> {
    const unseen = await this.findUnseen(userId);
    const view = viewOf(unseen, userId);
    if (unseen !== null && view === null && BigInt(unseen.headSeq) - BigInt(unseen.seenSeq) > MAX_BEHIND) {
      await this.notices.markSeen(userId, unseen.headSeq);
    }
    return view;
  }

  /** Acknowledges what was told with a marker; what has happened since is still told. */
  async acknowledge(caller: KnownCaller, seq: string, failures: number): Promise<void> {
    const { id } = caller.principal;
    await this.changes.transaction(caller, async ({ tx, record, write }) => {
      write(this.notices.in(tx).markSeen(id, seq));
      write(this.notices.in(tx).removeFailures(id, failures));
      record({ resourceType: 'user', resourceId: id, details: { upToSeq: seq, failedSignIns: failures } });
    });
  }

  private async findUnseen(userId: string): Promise<Unseen | null> {
    await this.exchange.tellOf(userId);
    return this.notices.findUnseen(userId, MAX_CHANGES + 1);
  }
}

function viewOf(unseen: Unseen | null, userId: string): AccountNoticesView | null {
  if (unseen === null) return null;
  const { headSeq, failures, events } = unseen;
  const told = events.slice(0, MAX_CHANGES).filter((event) => concernsManager(event, userId));
  if (told.length === 0 && failures === null) return null;
  return {
    failedSignIns: failures === null ? null : FailedSignInsView.from(failures),
    changes: told.map((event) => AccountChangeView.from(event, userId)),
    isCapped: events.length > MAX_CHANGES,
    marker: `${headSeq}.${failures?.failures ?? 0}`,
  };
}
