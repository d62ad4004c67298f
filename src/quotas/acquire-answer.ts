import type { BudgetGrant, BudgetRequest, NeedVerdict, WindowAsk, WindowGrant, WindowVerdict } from './quota-store.js';
import { isOfTokens } from './token-windows.js';

/** Whether a grant would move money; all other asks only want to know whether anything is left. */
export function takesAnything({ needs }: BudgetRequest): boolean {
  for (const { amount } of needs) if (amount > 0n) return true;
  return false;
}

/** Whether the account is of a limit, and not of a key. */
export function isOfLimit({ account }: BudgetRequest): boolean {
  return account.limit !== undefined;
}

/** Of what something is taken from. */
export function takenGrants(text: string | null): BudgetGrant[] {
  return partsOf(text).map((part) => {
    const [found, period, month, limit, spent, leased, slice, admitForMs, clockMs, monthEndsInMs, raise, verdicts] =
      part.split(',') as Twelve;
    return {
      found: found === '1',
      period,
      month,
      limit: limit === '' ? null : BigInt(limit),
      spent: BigInt(spent),
      leased: BigInt(leased),
      raise: BigInt(raise),
      verdicts: needVerdictsOf(verdicts),
      slice: BigInt(slice),
      admitForMs: Number(admitForMs),
      clockMs: Number(clockMs),
      monthEndsInMs: Number(monthEndsInMs),
    };
  });
}

type Twelve = [string, string, string, string, string, string, string, string, string, string, string, string];

/** Of budgets of keys that were only looked at. */
export function lookedGrants(text: string | null, asks: readonly BudgetRequest[]): BudgetGrant[] {
  const parts = partsOf(text);
  const [month = '', clockMs, monthEndsInMs] = (parts[0] ?? '').split(',');
  return asks.map(({ account, needs }, index) => {
    const [found, limit = '', spent = '0', leased = '0', raise = '0', admitForMs] = (parts[index + 1] ?? '').split(',');
    const isFound = found === '1';
    const grant = {
      found: isFound,
      period: account.type === 'total' ? 'total' : month,
      month,
      limit: limit === '' ? null : BigInt(limit),
      spent: BigInt(spent),
      leased: BigInt(leased),
      raise: BigInt(raise),
      slice: 0n,
      admitForMs: Number(admitForMs),
      clockMs: Number(clockMs),
      monthEndsInMs: Number(monthEndsInMs),
    };
    const isOpen = isFound && (grant.limit === null || grant.spent + grant.leased < grant.limit);
    return { ...grant, verdicts: needs.map(() => isOpen) };
  });
}

/** Of accounts of limits that were only looked at. */
export function lookedAtLimitGrants(text: string | null, asks: readonly BudgetRequest[]): BudgetGrant[] {
  const parts = partsOf(text);
  const [month = '', clockMs] = (parts[0] ?? '').split(',');
  return asks.map(({ needs }, index) => {
    const [found, period, limit, spent, leased, admitForMs, endsInMs] = (parts[index + 1] ?? '').split(',') as Twelve;
    const most = limit === '' ? null : BigInt(limit);
    const isOpen = found === '1' && (most === null || BigInt(spent) + BigInt(leased) < most);
    return {
      found: found === '1',
      period,
      month,
      limit: most,
      spent: BigInt(spent),
      leased: BigInt(leased),
      raise: 0n,
      verdicts: needs.map(() => isOpen),
      slice: 0n,
      admitForMs: Number(admitForMs),
      clockMs: Number(clockMs),
      monthEndsInMs: Number(endsInMs),
    };
  });
}

/** The answers in the order of the asks that only looked, at limits and at budgets of keys. */
export function inOrderOfLooks(
  asks: readonly BudgetRequest[],
  ofKeys: BudgetGrant[],
  ofLimits: BudgetGrant[],
): BudgetGrant[] {
  if (ofLimits.length === 0) return ofKeys;
  let limits = 0;
  return asks.map((ask, index) => (isOfLimit(ask) ? ofLimits[limits++] : ofKeys[index - limits]) as BudgetGrant);
}

/** The answers in the order of the asks, of which some took and some only looked. */
export function inOrderOf(
  asks: readonly BudgetRequest[],
  taken: readonly BudgetGrant[],
  looked: readonly BudgetGrant[],
): readonly BudgetGrant[] {
  if (taken.length === 0 || looked.length === 0) return taken.length === 0 ? looked : taken;
  let took = 0;
  return asks.map((ask, index) => (takesAnything(ask) ? taken[took++] : looked[index - took]) as BudgetGrant);
}

/** Marks accounts of subjects for which their limit has no room: it was not found, so the account has no period. */
export function withFull(asks: readonly BudgetRequest[], grants: readonly BudgetGrant[]): BudgetGrant[] {
  return grants.map((grant, index) =>
    grant.found || grant.period !== '' || asks[index]!.account.limit?.subject === undefined
      ? grant
      : { ...grant, isFull: true },
  );
}

/** Of windows, at the places of their asks. */
export function windowGrants(text: string | null, places: readonly number[]): WindowGrant[] {
  const grants = new Array<WindowGrant>(places.length);
  partsOf(text).forEach((part, index) => {
    const [verdicts, permits, bucket, validForMs, free, resetMs, retryMs, amount, least, epoch] = part.split(
      ',',
    ) as Twelve;
    grants[places[index] ?? 0] = {
      verdicts: verdictsOf(verdicts),
      permits: Number(permits),
      bucket: Number(bucket),
      validForMs: Number(validForMs),
      free: Number(free),
      resetMs: Number(resetMs),
      retryMs: Number(retryMs),
      ...(amount === 'full' ? { isFull: true } : {}),
      // Of limits that keys share; one whose row is gone bounds nothing.
      ...(amount && amount !== 'full'
        ? { inForce: { amount: Number(amount), least: least === '' ? null : Number(least) } }
        : {}),
      // Of limits of tokens.
      ...(epoch ? { epoch } : {}),
    };
  });
  return grants;
}

/** The answers in the order of the asks, of windows of keys, and of limits of requests and of tokens. */
export function inOrderOfWindows(
  asks: readonly Pick<WindowAsk, 'of'>[],
  ofKeys: WindowGrant[],
  ofLimits: WindowGrant[],
  ofTokens: WindowGrant[],
): WindowGrant[] {
  if (ofLimits.length + ofTokens.length === 0) return ofKeys;
  const next = { keys: 0, limits: 0, tokens: 0 };
  return asks.map((ask) => {
    if (ask.of === undefined) return ofKeys[next.keys++]!;
    return isOfTokens(ask) ? ofTokens[next.tokens++]! : ofLimits[next.limits++]!;
  });
}

function partsOf(text: string | null): string[] {
  return text === null || text === '' ? [] : text.split(';');
}

/** Most asks are those of one call. */
const GRANTED: readonly boolean[] = Object.freeze([true]);
const REFUSED: readonly boolean[] = Object.freeze([false]);
const OF_NEEDS: Readonly<Record<string, NeedVerdict>> = { '0': false, '1': true, '2': null, '3': 'unheld' };

function verdictsOf(text: string): readonly WindowVerdict[] {
  if (text === '1') return GRANTED;
  return text === '0' ? REFUSED : Array.from(text, (one) => (one === '3' ? 'uncounted' : one === '1'));
}

function needVerdictsOf(text: string): readonly NeedVerdict[] {
  if (text === '1') return GRANTED;
  return text === '0' ? REFUSED : Array.from(text, (one) => OF_NEEDS[one]!);
}
