import type { SentencePart } from '../../packages/contract/src/sentence.js';
import { boundFromCents } from '../common/money.js';
import type { KeyFacts } from '../key-cache/records/key-record.js';
import type { LimitUnit } from '../quotas/limits/limit-facts.js';
import { ONE_REQUEST, type QuotaQuestion } from '../quotas/quotas.service.js';
import type { VerifyQuestion } from './verify.dto.js';

/** As much of a verify as limits are asked. */
export type AskedOfLimits = Pick<
  VerifyQuestion,
  'cost' | 'model' | 'subject' | 'reserveCents' | 'reserveTokens' | 'reservationTtlSeconds'
>;

const DEFAULT_TTL_SECONDS = 60;

/** Whether the caller asks for a reservation. */
export function isReserving({ reserveCents, reserveTokens }: AskedOfLimits): boolean {
  return reserveCents !== undefined || reserveTokens !== undefined;
}

/**
 * What a call holds of limits of tokens though its caller has not said how much; null: nothing. 0 has been said.
 * Without a limit of tokens there is nothing to hold it in.
 *
 * @param isBound whether a limit of tokens binds the call; asked only where it matters
 */
export function assumedTokens(
  { defaultReserveTokens }: Pick<KeyFacts, 'defaultReserveTokens'>,
  { reserveTokens }: AskedOfLimits,
  isBound: () => boolean,
): number | null {
  if (defaultReserveTokens === null || reserveTokens !== undefined) return null;
  return isBound() ? defaultReserveTokens : null;
}

/** What a call asks of its limits. @param assumed tokens that it holds though it has not said so; null: none */
export function questionOf(asked: AskedOfLimits, assumed: number | null): QuotaQuestion {
  const { cost, reserveCents, reservationTtlSeconds } = asked;
  const reserveTokens = assumed ?? asked.reserveTokens;
  if (
    cost === undefined &&
    reserveCents === undefined &&
    reserveTokens === undefined &&
    reservationTtlSeconds === undefined
  )
    return ONE_REQUEST;
  return {
    cost: cost ?? 1,
    reserveMicroCents: reserveCents === undefined ? null : boundFromCents(reserveCents),
    reserveTokens: reserveTokens === undefined ? null : BigInt(reserveTokens),
    isAssumed: assumed !== null,
    ttlSeconds: reservationTtlSeconds ?? DEFAULT_TTL_SECONDS,
  };
}

/** What a call takes of a limit, in the limit's unit. */
export function needOf(unit: LimitUnit, { cost, reserveMicroCents, reserveTokens }: QuotaQuestion): bigint {
  if (unit === 'requests') return BigInt(cost);
  if (unit === 'slots') return 1n;
  return (unit === 'tokens' ? reserveTokens : reserveMicroCents) ?? 0n;
}

const ASSUMED = ' The call gives no reserveTokens: the defaultReserveTokens of the key are assumed.';

/** What is to be said of a limit beside whether it covers the call: that the caller has not named the tokens. */
export function assumption(unit: LimitUnit, { isAssumed }: QuotaQuestion): string {
  return unit === 'tokens' && isAssumed ? ASSUMED : '';
}

/** The same as the last part of a sentence. */
export function withAssumption<
  Told extends { readonly detail: string; readonly detailParts?: readonly SentencePart[] },
>(told: Told, said: string): Told {
  if (said === '') return told;
  const { detail, detailParts } = told;
  return {
    ...told,
    detail: detail + said,
    ...(detailParts === undefined ? {} : { detailParts: [...detailParts, { text: said }] }),
  };
}
