import { ApiProperty } from '@nestjs/swagger';
import { type AccountEvent } from './account-notices.repository.js';
import type { AccountFailures } from './sign-in-counts.repository.js';
import { NOTICE_KINDS, type NoticeKind, sentenceOf, kindOf } from './notice-sentences.js';

/** Sign-ins to the own account that failed. */
export class FailedSignInsView {
  /**
   * How many since the last acknowledgement, those of any browser and address.
   * @example 3
   */
  count: number;

  /**
   * When the last one was.
   * @example "2026-03-01T12:00:00.000Z"
   */
  lastAt: Date;

  /**
   * Where the last one came from; null: not known.
   * @example "203.0.113.7"
   */
  lastIp: string | null;

  static from({ failures, lastAt, lastIp }: AccountFailures): FailedSignInsView {
    return { count: failures, lastAt, lastIp };
  }
}

/** Something that another person, or the server, did to the own account. */
export class AccountChangeView {
  /**
   * What it was about.
   * @example "password"
   */
  @ApiProperty({ enum: NOTICE_KINDS })
  kind: NoticeKind;

  /**
   * What happened, as a sentence.
   * @example "Ada Lovelace set a new password for your account."
   */
  sentence: string;

  /**
   * When it was recorded.
   * @example "2026-03-01T12:00:00.000Z"
   */
  at: Date;

  /**
   * Order of commit in the audit trail; digits.
   * @example "4711"
   */
  seq: string;

  static from(event: AccountEvent, userId: string): AccountChangeView {
    return { kind: kindOf(event, userId), sentence: sentenceOf(event, userId), at: event.at, seq: event.seq };
  }
}

/** What happened to the own account and was not acknowledged yet. */
export class AccountNoticesView {
  /** Null: no sign-in failed. */
  failedSignIns: FailedSignInsView | null;

  /** Newest first; at most 50. */
  changes: AccountChangeView[];

  /** Whether there are more changes than these. */
  isCapped: boolean;

  /**
   * What `POST /auth/notices/acknowledge` takes to acknowledge exactly this.
   * @example "4711.3"
   */
  marker: string;
}
