import { Button, Group, Paper, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { count } from '../ui/format';
import { Loaded, NoPermission, Page } from '../ui/states';
import { type BulkAction, BulkActions } from './bulk';
import type { KeySearch } from './key-search';
import { KeyTable } from './keys-page';
import { RaiseBudgets } from './raise-budgets';

const DAY_MS = 86_400_000;
const SIZE = 10;

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

function checks(): Check[] {
  return [
    {
      title: 'Near their budget',
      lead: 'More than 80 % spent. Soon refused; raise the budget, or ask why.',
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
      lead: 'Created and forgotten: a secret that lies somewhere without need.',
      none: 'Every active key has been used.',
      search: { status: 'active', neverUsed: true, sort: 'createdAt' },
      acts: ['deactivate', 'revoke', 'tag'],
    },
    {
      title: 'Unused for 90 days',
      lead: 'Deactivate first; revoke when nobody complains.',
      none: 'Every key older than 90 days has been used since.',
      search: { status: 'active', unusedSince: days(-90), neverUsed: false, sort: 'lastUsedAt' },
      acts: ['deactivate', 'revoke', 'tag'],
    },
    {
      title: 'Without an expiry',
      lead: 'They work until somebody ends them. Renew gives them an end; a tag says why one has none.',
      none: 'Every active key ends by itself.',
      search: { status: 'active', hasExpiry: false },
      acts: ['renew', 'tag', 'deactivate'],
    },
  ];
}

/** Keys that somebody should look at, each list with the act that fits it. */
export function HygienePage() {
  const { can } = useSession();
  const [list] = useState(checks);
  if (!can('platform:api-keys:read')) return <NoPermission permission="platform:api-keys:read" />;
  return (
    <Page title="Hygiene" lead="Active keys that deserve a look.">
      {list.map((check) => (
        <Section key={check.title} {...check} />
      ))}
    </Page>
  );
}

function Section({ title, lead, none, search, acts, raisesBudgets = false }: Check) {
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const query = { ...search, size: SIZE };
  const keys = useQuery({
    queryKey: ['keys', query],
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query } })),
  });
  return (
    <Paper withBorder p="sm" component="section" aria-label={title}>
      <Loaded query={keys} rows={3}>
        {({ data, meta }) => (
          <Stack gap="xs">
            <Group justify="space-between" gap="xs">
              <div>
                <Text component="h2" fw={600} size="sm">
                  {title}
                  {meta.total > 0 ? ` · ${meta.totalIsCapped ? 'over ' : ''}${count(meta.total)}` : ''}
                </Text>
                <Text size="sm" c="dimmed">
                  {data.length === 0 ? none : lead}
                </Text>
              </div>
              {meta.total > SIZE && (
                <Button
                  size="compact-sm"
                  variant="subtle"
                  renderRoot={(props) => <Link {...props} to="/keys" search={search as never} />}
                >
                  Show all
                </Button>
              )}
            </Group>
            {data.length > 0 && (
              <>
                <BulkActions ids={[...selected]} onClose={() => setSelected(new Set())} only={acts}>
                  {raisesBudgets && (
                    <RaiseBudgets
                      keys={data.filter(({ id }) => selected.has(id))}
                      onDone={() => setSelected(new Set())}
                    />
                  )}
                </BulkActions>
                <KeyTable keys={data} selected={selected} onSelect={setSelected} />
              </>
            )}
          </Stack>
        )}
      </Loaded>
    </Paper>
  );
}
