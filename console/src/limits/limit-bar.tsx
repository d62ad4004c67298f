import { Stack, Text } from '@mantine/core';
import type { Schemas } from '../api/client';
import { fromNow, local, money } from '../ui/format';
import { BudgetBar } from '../ui/values';

type Account = Schemas['LimitAccountView'];

/** How much of an account is used in its period, and until when; an amount of its own is named. */
export function LimitBar({ account }: { account: Account }) {
  const { override } = account;
  return (
    <Stack gap={2}>
      <BudgetBar
        limitCents={account.amountCents}
        spentCents={account.spentCents}
        heldCents={account.heldCents}
        remainingCents={account.remainingCents}
      />
      <Text size="xs" c="dimmed">
        {resetInWords(account)}
        {override !== null &&
          ` An amount of its own: ${money(override.amountCents)}${override.until === null ? '' : ` until ${local(override.until)}`}${override.reason === '' ? '' : ` (${override.reason})`}.`}
      </Text>
    </Stack>
  );
}

/** When an account counts from 0 again. */
export function resetInWords({ resetsAt }: { resetsAt: string | null }): string {
  return resetsAt === null ? 'Never counts from 0 again.' : `Counts from 0 again ${fromNow(resetsAt)}.`;
}
