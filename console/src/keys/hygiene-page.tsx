import { Button, Group, NumberInput, Paper, Select, Stack, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { count } from '../ui/format';
import { Busy, Loaded, NoPermission, Page } from '../ui/states';
import { type BulkAction, BulkActions } from './bulk';
import type { KeySearch } from './key-search';
import { KeyTable } from './key-table';
import { RaiseBudgets } from './raise-budgets';
import { SelectMatching } from './select-matching';

const DAY_MS = 86_400_000;
const SIZES = ['10', '25', '50', '100'];
const DEFAULT_DAYS = 90;
const MAX_DAYS = 3650;

interface Check {
  title: string;
  lead: string;
  none: string;
  search: KeySearch;
  acts: readonly BulkAction[];
  raisesBudgets?: boolean;
}

/** Instants to the day, so that the same question is the same query. */
function days(offset: number): string {
  const at = new Date(Date.now() + offset * DAY_MS);
  at.setUTCHours(0, 0, 0, 0);
  return at.toISOString().replace('.000Z', 'Z');
}

function checks(unusedDays: number): Check[] {
  return [
    {
      title: 'Near their budget',
      lead: 'More than 80 % is spent. Raise the budget, or ask why.',
      none: 'No key is near its budget.',
      search: { status: 'active', budgetUsedAbove: 80 },
      acts: ['tag', 'deactivate'],
      raisesBudgets: true,
    },
    {
      title: 'Expiring within 14 days',
      lead: 'Renew those that are in use, before their services stop.',
      none: 'No key expires within 14 days.',
      search: { status: 'active', expiresBefore: days(14), sort: 'expiresAt' },
      acts: ['renew', 'tag'],
    },
    {
      title: 'Never used',
      lead: 'Created, and no call came with them: a secret that is kept without need.',
      none: 'Every active key has been used.',
      search: { status: 'active', neverUsed: true, sort: 'createdAt' },
      acts: ['deactivate', 'revoke', 'tag'],
    },
    {
      title: `Unused for ${unusedDays} days`,
      lead: 'Deactivate them first. Revoke them when no service misses them.',
      none: `Every key older than ${unusedDays} days has been used since.`,
      search: { status: 'active', unusedSince: days(-unusedDays), neverUsed: false, sort: 'lastUsedAt' },
      acts: ['deactivate', 'revoke', 'tag'],
    },
    {
      title: 'Without an expiry',
      lead: 'They work until they are revoked. Renewing gives them an expiry; a tag says why a key has none.',
      none: 'Every active key has an expiry.',
      search: { status: 'active', hasExpiry: false },
      acts: ['renew', 'tag', 'deactivate'],
    },
  ];
}

/** Keys that deserve a look, each list with the acts that fit it. */
export function HygienePage() {
  const { can } = useSession();
  const [size, setSize] = useState('10');
  const [unusedDays, setUnusedDays] = useState<number | ''>(DEFAULT_DAYS);
  if (!can('platform:api-keys:read')) return <NoPermission permission="platform:api-keys:read" />;
  return (
    <Page title="Hygiene" lead="Active keys that deserve a look.">
      <Group gap="sm" align="flex-end">
        <NumberInput
          size="xs"
          w={150}
          label="Unused for"
          suffix=" days"
          min={1}
          max={MAX_DAYS}
          clampBehavior="strict"
          allowDecimal={false}
          value={unusedDays}
          onChange={(value) => setUnusedDays(value === '' ? '' : Number(value))}
        />
        <Select
          size="xs"
          w={120}
          label="Keys a list"
          allowDeselect={false}
          data={SIZES}
          value={size}
          onChange={(value) => setSize(value!)}
        />
      </Group>
      {checks(unusedDays === '' ? DEFAULT_DAYS : unusedDays).map((check, index) => (
        <Section key={index} {...check} size={Number(size)} />
      ))}
    </Page>
  );
}

function Section({ title, lead, none, search, acts, raisesBudgets = false, size }: Check & { size: number }) {
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const query = { ...search, size };
  const keys = useQuery({
    queryKey: ['keys', query],
    placeholderData: keepPreviousData,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query } })),
  });
  return (
    <Paper withBorder p="sm" component="section" aria-label={title}>
      <Loaded query={keys} rows={3}>
        {({ data, meta }) => (
          <Stack gap="xs">
            <SectionHead title={title} text={data.length === 0 ? none : lead} meta={meta} search={search} size={size} />
            {data.length > 0 && (
              <>
                <BulkActions
                  ids={keys.isPlaceholderData ? [] : [...selected]}
                  onClose={() => setSelected(new Set())}
                  only={acts}
                >
                  {raisesBudgets && (
                    <RaiseBudgets
                      keys={data.filter(({ id }) => selected.has(id))}
                      onDone={() => setSelected(new Set())}
                    />
                  )}
                  <SelectMatching
                    total={meta.total}
                    isCapped={meta.totalIsCapped}
                    shown={data}
                    query={query}
                    selected={selected}
                    onSelect={setSelected}
                  />
                </BulkActions>
                <Busy isBusy={keys.isPlaceholderData}>
                  <KeyTable label={`${title}: keys`} keys={data} selected={selected} onSelect={setSelected} />
                </Busy>
              </>
            )}
          </Stack>
        )}
      </Loaded>
    </Paper>
  );
}

interface SectionHeadProps {
  title: string;
  text: string;
  meta: { total: number; totalIsCapped: boolean };
  search: KeySearch;
  size: number;
}

function SectionHead({ title, text, meta, search, size }: SectionHeadProps) {
  return (
    <Group justify="space-between" gap="xs">
      <div>
        <Text component="h2" fw={600} size="sm">
          {title}
          {meta.total > 0 ? ` · ${meta.totalIsCapped ? 'over ' : ''}${count(meta.total)}` : ''}
        </Text>
        <Text size="sm" c="dimmed">
          {text}
        </Text>
      </div>
      {meta.total > size && (
        <Button
          size="compact-sm"
          variant="subtle"
          renderRoot={(props) => <Link {...props} to="/keys" search={search as never} />}
        >
          Show all
        </Button>
      )}
    </Group>
  );
}
