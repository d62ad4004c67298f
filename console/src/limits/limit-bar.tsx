import { Stack, Text } from '@mantine/core';
import { type LimitPeriod, type LimitUnit, isSliding } from '../../../packages/contract/src/limit';
import type { Schemas } from '../api/client';
import { count, fromNow, local } from '../ui/format';
import { BudgetBar, UseBar } from '../ui/values';
import { amountText } from './units';

type Account = Schemas['LimitAccountView'];

/** How much of an account is used in its period, and until when; an amount of its own is named. */
export function LimitBar({ unit, per, account }: { unit: LimitUnit; per: LimitPeriod | null; account: Account }) {
  const { override } = account;
  const reset = unit === 'slots' ? 'A call that ends makes room for another.' : resetInWords(per, account);
  return (
    <Stack gap={2}>
      <AccountBar unit={unit} per={per} account={account} />
      <Text size="xs" c="dimmed">
        {reset}
        {override !== null &&
          ` An amount of its own: ${amountText(unit, override.amount)}${override.until === null ? '' : ` until ${local(override.until)}`}${override.reason === '' ? '' : ` (${override.reason})`}.`}
      </Text>
    </Stack>
  );
}

function AccountBar({
  unit,
  per,
  account: { amount, used, held, remaining },
}: {
  unit: LimitUnit;
  per: LimitPeriod | null;
  account: Account;
}) {
  if (unit === 'cents')
    return <BudgetBar limitCents={amount} spentCents={used} heldCents={held} remainingCents={remaining} />;
  const named: [string, number][] =
    unit === 'slots'
      ? [
          ['in flight', used],
          ['free', remaining],
          ['at most', amount],
        ]
      : [
          [usedTerm(unit, per), used],
          // What is reserved of tokens by minute counts as used.
          ...(isSliding(per) ? [] : ([['held', held]] satisfies [string, number][])),
          ['remaining', remaining],
          ['limit', amount],
        ];
  return <UseBar amount={amount} used={used} held={held} named={named.map(([term, value]) => [term, count(value)])} />;
}

function usedTerm(unit: LimitUnit, per: LimitPeriod | null): string {
  if (unit === 'requests') return 'calls used';
  return isSliding(per) ? `${unit} used or reserved` : `${unit} used`;
}

/** When an account counts from 0 again, or nothing counts any more of what was used of one by minute or hour. */
export function resetInWords(per: LimitPeriod | null, { resetsAt }: { resetsAt: string | null }): string {
  if (isSliding(per))
    return `Any ${per} counts.${resetsAt === null ? '' : ` What is used now counts no more ${fromNow(resetsAt)}.`}`;
  return resetsAt === null ? 'Never counts from 0 again.' : `Counts from 0 again ${fromNow(resetsAt)}.`;
}
