import { Alert, Button, Group, Paper, SimpleGrid, Stack, Switch, Table, Tabs, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { type ApiKey, type Schemas, api, dataOf } from '../api/client';
import { AuditTable } from '../audit/audit-table';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { UsageSeries } from '../usage/usage-series';
import { count, duration, fromNow, local, money } from '../ui/format';
import { Icon } from '../ui/icons';
import { AsOf, Empty, Loaded, LoadedPage, Page } from '../ui/states';
import { plural, verdictInWords } from '../ui/words';
import { BudgetBar, Copy, Facts, Instant, Marks, StatusMark } from '../ui/values';
import { useAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { ExplainPanel } from './explain-panel';
import { type KeyAction, KeyActionDialog, KeyMenu, ToKeys, useOffered } from './key-actions';

/** How often a page asks that has been told to. */
const LIVE_MS = 5_000;

type Tab = 'usage' | 'settings' | 'secrets' | 'explain' | 'history';

/** One key: how it is, what it may do, what it did, and everything that can be done to it. */
export function KeyPage() {
  const { keyId } = useParams({ from: '/shell/keys/$keyId' });
  const key = useQuery({
    queryKey: ['keys', keyId],
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}', { params: { path: { id: keyId } } })),
  });
  return (
    <LoadedPage query={key} rows={8} back={<ToKeys />}>
      {(data) => <KeyDetails apiKey={data} />}
    </LoadedPage>
  );
}

function KeyDetails({ apiKey }: { apiKey: ApiKey }) {
  const { can, user } = useSession();
  const { tab = 'usage' } = useSearch({ from: '/shell/keys/$keyId' });
  const navigate = useNavigate();
  const [action, setAction] = useState<KeyAction | null>(null);
  const isOwn = apiKey.ownerId === user.id;
  const lead = (
    <Group gap="md" component="span">
      <StatusMark status={apiKey.status} />
      <Group gap={2} component="span" wrap="nowrap">
        <span className="mono">{apiKey.keyPrefix}</span>
        <Copy value={apiKey.keyPrefix} label="Copy the key prefix" />
      </Group>
      <span>
        owned by{' '}
        {can('platform:users:read') ? (
          <Link className="text-link" to="/people/$userId" params={{ userId: apiKey.ownerId }}>
            {apiKey.ownerName}
          </Link>
        ) : (
          apiKey.ownerName
        )}
        {isOwn ? ' (you)' : ''}
        {apiKey.ownerIsActive ? '' : ', who is disabled'}
      </span>
      {apiKey.revokedAt === null && (
        <span>
          {apiKey.expiresAt === null ? (
            'without an end'
          ) : (
            <>
              {apiKey.status === 'expired' ? 'ended' : 'ends'} <Instant at={apiKey.expiresAt} relative />
            </>
          )}
        </span>
      )}
    </Group>
  );
  return (
    <Page title={apiKey.name} lead={lead} actions={<Actions apiKey={apiKey} onAction={setAction} />}>
      <Standing apiKey={apiKey} />
      {apiKey.description && (
        <Text size="sm" className="breakable" style={{ whiteSpace: 'pre-wrap' }}>
          {apiKey.description}
        </Text>
      )}
      <Tabs
        value={tab}
        onChange={(value) =>
          void navigate({
            to: '/keys/$keyId',
            params: { keyId: apiKey.id },
            search: { tab: value as Tab },
            replace: true,
          })
        }
        keepMounted={false}
      >
        <Tabs.List>
          <Tabs.Tab value="usage">Usage</Tabs.Tab>
          <Tabs.Tab value="settings">Settings</Tabs.Tab>
          <Tabs.Tab value="secrets" className="nowrap">
            Secrets
          </Tabs.Tab>
          <Tabs.Tab value="explain" className="nowrap">
            <span className="only-wide">Would this call pass?</span>
            <span className="only-narrow">Explain</span>
          </Tabs.Tab>
          {can('platform:audit:read') && <Tabs.Tab value="history">History</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="usage" pt="md">
          <Usage apiKey={apiKey} />
        </Tabs.Panel>
        <Tabs.Panel value="settings" pt="md">
          <Settings apiKey={apiKey} />
        </Tabs.Panel>
        <Tabs.Panel value="secrets" pt="md">
          <Secrets apiKey={apiKey} onRegenerate={() => setAction('regenerate')} />
        </Tabs.Panel>
        <Tabs.Panel value="explain" pt="md">
          <ExplainPanel apiKey={apiKey} />
        </Tabs.Panel>
        {can('platform:audit:read') && (
          <Tabs.Panel value="history" pt="md">
            <History keyId={apiKey.id} />
          </Tabs.Panel>
        )}
      </Tabs>
      {action && <KeyActionDialog key={action} action={action} apiKey={apiKey} onClose={() => setAction(null)} />}
    </Page>
  );
}

/** What was done to the key; who looked at it, when that is asked for. */
function History({ keyId }: { keyId: string }) {
  const [withReads, setWithReads] = useState(false);
  return (
    <Stack gap="sm">
      <Switch
        size="xs"
        label="Reads as well"
        checked={withReads}
        onChange={(event) => setWithReads(event.currentTarget.checked)}
      />
      <AuditTable filter={{ resourceType: 'api-key', resourceId: keyId, isRead: withReads ? undefined : false }} />
    </Stack>
  );
}

/** What has befallen the key, where it is not simply active. */
function Standing({ apiKey }: { apiKey: ApiKey }) {
  const text = (() => {
    if (apiKey.revokedAt)
      return `Revoked on ${local(apiKey.revokedAt)}${apiKey.revokedReason ? `: ${apiKey.revokedReason}` : '.'}`;
    if (!apiKey.isActive)
      return `Deactivated${apiKey.deactivatedAt ? ` on ${local(apiKey.deactivatedAt)}` : ''}. It is refused until somebody activates it.`;
    if (apiKey.status === 'expired') return `Expired ${fromNow(apiKey.expiresAt!)}. Renew it to use it again.`;
    if (!apiKey.ownerIsActive) return 'Its owner is disabled, so it is refused.';
    return null;
  })();
  if (text === null) return null;
  return (
    <Alert color={apiKey.revokedAt ? 'red' : 'yellow'} variant="outline" p="xs">
      {text}
    </Alert>
  );
}

function Actions({ apiKey, onAction }: { apiKey: ApiKey; onAction: (action: KeyAction) => void }) {
  const { mayEdit } = useOffered(apiKey);
  return (
    <>
      {mayEdit && (
        <Button
          size="xs"
          variant="default"
          renderRoot={(props) => <Link {...props} to="/keys/$keyId/edit" params={{ keyId: apiKey.id }} />}
        >
          Edit
        </Button>
      )}
      <KeyMenu apiKey={apiKey} onAction={onAction}>
        <Button size="xs" variant="default" rightSection={<Icon name="more" size={15} />}>
          Actions
        </Button>
      </KeyMenu>
    </>
  );
}

function Usage({ apiKey }: { apiKey: ApiKey }) {
  const queries = useQueryClient();
  const [isLive, setLive] = useState(false);
  const usage = useQuery({
    queryKey: ['keys', apiKey.id, 'usage'],
    // Each look is an entry in the audit trail: nobody's open page fills it unasked.
    refetchInterval: isLive ? LIVE_MS : false,
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}/usage', { params: { path: { id: apiKey.id } } })),
  });
  return (
    <Loaded query={usage} rows={4}>
      {(data) => (
        <Stack gap="sm">
          <AsOf
            at={usage.dataUpdatedAt}
            isFetching={usage.isFetching}
            onRefresh={() => void queries.invalidateQueries({ queryKey: ['keys', apiKey.id] })}
          >
            <Switch
              size="xs"
              label="Live"
              checked={isLive}
              onChange={(event) => setLive(event.currentTarget.checked)}
              title="Asks every 5 seconds. Each look is an entry in the audit trail."
            />
          </AsOf>
          <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="sm">
            <Figures
              title="This hour"
              requests={data.requestsThisHour}
              tokens={data.tokensThisHour}
              cents={data.costThisHourCents}
            />
            <Figures
              title="Today (UTC)"
              requests={data.requestsToday}
              tokens={data.tokensToday}
              cents={data.costTodayCents}
            />
            <Figures
              title="In all"
              requests={data.totalRequests}
              tokens={data.totalTokens}
              cents={data.totalCostCents}
            />
          </SimpleGrid>
          <SimpleGrid cols={{ base: 1, md: 2 }} spacing="sm">
            <Budget usage={data} />
            <Windows usage={data} />
          </SimpleGrid>
          <Verdicts usage={data} />
          <UsageSeries keyId={apiKey.id} refetchMs={isLive ? LIVE_MS : false} />
        </Stack>
      )}
    </Loaded>
  );
}

function Figures({
  title,
  requests,
  tokens,
  cents,
}: {
  title: string;
  requests: number;
  tokens: number;
  cents: number;
}) {
  return (
    <Paper withBorder p="sm">
      <Text size="xs" c="dimmed">
        {title}
      </Text>
      <Text fz="lg" fw={600}>
        {money(cents)}
      </Text>
      <Text size="sm">
        {count(requests)} {plural(requests, 'request')} · {count(tokens)} {plural(tokens, 'token')}
      </Text>
    </Paper>
  );
}

function Budget({ usage: { budget } }: { usage: Schemas['KeyUsageView'] }) {
  return (
    <Paper withBorder p="sm">
      <Group justify="space-between" mb="xs">
        <Text fw={600} size="sm">
          Budget
        </Text>
        {budget && (
          <Text size="xs" c="dimmed">
            {budget.type === 'monthly' && budget.periodEnd
              ? `this month; starts anew ${fromNow(budget.periodEnd)}`
              : 'in all'}
          </Text>
        )}
      </Group>
      {budget ? (
        <BudgetBar {...budget} />
      ) : (
        <Text size="sm" c="dimmed">
          Unlimited. Nothing holds this key back but its rate limits.
        </Text>
      )}
    </Paper>
  );
}

function Windows({ usage: { rateLimits } }: { usage: Schemas['KeyUsageView'] }) {
  return (
    <Paper withBorder p="sm">
      <Text fw={600} size="sm" mb="xs">
        Rate windows
      </Text>
      {rateLimits.length === 0 ? (
        <Text size="sm" c="dimmed">
          No limits: the key may call as often as it likes.
        </Text>
      ) : (
        <Table verticalSpacing={2} horizontalSpacing={0} highlightOnHover={false} withRowBorders={false}>
          <Table.Tbody>
            {rateLimits.map(({ window, limit, remaining, resetSeconds }) => (
              <Table.Tr key={window}>
                <Table.Td>any {window}</Table.Td>
                <Table.Td ta="right">
                  <b>{count(remaining)}</b> of {count(limit)} left
                </Table.Td>
                <Table.Td ta="right" c="dimmed">
                  {resetSeconds === 0 || remaining === limit ? 'full' : `full again in ${duration(resetSeconds)}`}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Paper>
  );
}

function Verdicts({ usage }: { usage: Schemas['KeyUsageView'] }) {
  const refusals = Object.entries(usage.refusalsToday as Record<string, number>);
  return (
    <Text size="sm">
      <b>{count(usage.acceptedVerifiesToday)}</b> {plural(usage.acceptedVerifiesToday, 'call')} allowed today
      {refusals.length === 0 ? (
        ', none refused.'
      ) : (
        <>
          ; refused:{' '}
          {refusals.map(([code, times], index) => (
            <span key={code} title={code}>
              {index > 0 ? ', ' : ''}
              {count(times)} × {verdictInWords(code).toLowerCase()}
            </span>
          ))}
          .
        </>
      )}{' '}
      <Text span size="sm" c="dimmed">
        Last used: <Instant at={usage.lastUsedAt} relative />.
      </Text>
    </Text>
  );
}

function Settings({ apiKey }: { apiKey: ApiKey }) {
  const limits = [
    apiKey.rateLimitPerMinute && `${count(apiKey.rateLimitPerMinute)} per minute`,
    apiKey.rateLimitPerHour && `${count(apiKey.rateLimitPerHour)} per hour`,
    apiKey.rateLimitPerDay && `${count(apiKey.rateLimitPerDay)} per day`,
  ].filter(Boolean);
  const metadata = Object.entries(apiKey.metadata as Record<string, string>);
  return (
    <Paper withBorder p="md">
      <Facts
        rows={[
          [
            'Id',
            <Group key="id" gap={4} wrap="nowrap">
              <span className="mono">{apiKey.id}</span>
              <Copy value={apiKey.id} label="Copy the id" />
            </Group>,
          ],
          [
            'Alias',
            apiKey.alias ?? (
              <Text span size="sm" c="dimmed">
                none
              </Text>
            ),
          ],
          ['Environment', apiKey.environment],
          ['Verifies keys of', apiKey.verifiesEnvironment],
          ['Tags', <Marks key="tags" values={apiKey.tags} none="none" />],
          ['Scopes', <Marks key="scopes" values={apiKey.scopes} none="none" />],
          ['Roles', <Marks key="roles" values={apiKey.roles} none="none" />],
          ['Addresses', <Marks key="ips" values={apiKey.allowedIps} none="any" />],
          ['Models', <Marks key="models" values={apiKey.allowedModels} none="any" />],
          ['Chatbots', <Marks key="chatbots" values={apiKey.allowedChatbots} none="any" />],
          ['Rate limits', limits.length === 0 ? 'none' : limits.join(', ')],
          [
            'Budget',
            apiKey.budgetLimitCents === null
              ? 'unlimited'
              : `${money(apiKey.budgetLimitCents)} (${count(apiKey.budgetLimitCents)} cents) ${apiKey.budgetType === 'monthly' ? 'per month' : 'in all'}`,
          ],
          ['Expires', <Instant key="expires" at={apiKey.expiresAt} />],
          ...(apiKey.maxExpiresAt === null
            ? []
            : [
                ['Owner renews until', <Instant key="max-expires" at={apiKey.maxExpiresAt} />] as [
                  string,
                  React.ReactNode,
                ],
              ]),
          [
            'A renewal gives',
            apiKey.validityDays === null
              ? `${settings.keyValidityDays} days, as set for this installation`
              : `${count(apiKey.validityDays)} ${plural(apiKey.validityDays, 'day')}`,
          ],
          [
            'Metadata',
            metadata.length === 0
              ? 'none'
              : metadata.map(([name, value]) => (
                  <div key={name}>
                    <span className="mono">{name}</span>: {value}
                  </div>
                )),
          ],
          ['Created', <Instant key="created" at={apiKey.createdAt} />],
          ['Changed', <Instant key="updated" at={apiKey.updatedAt} />],
        ]}
      />
    </Paper>
  );
}

function Secrets({ apiKey, onRegenerate }: { apiKey: ApiKey; onRegenerate: () => void }) {
  const [ending, setEnding] = useState<string | null>(null);
  const end = useAct({
    run: (kid: string) =>
      api.DELETE('/api/v1/api-keys/{id}/secrets/{kid}', { params: { path: { id: apiKey.id, kid } } }),
    done: 'The secret has ended.',
    onDone: () => setEnding(null),
  });
  if (apiKey.secrets.length === 0)
    return (
      <Empty title="No secret works any more">
        {apiKey.status === 'revoked' ? 'The key has been revoked.' : 'Regenerate the secret to use the key.'}
      </Empty>
    );
  return (
    <Stack gap="sm">
      {apiKey.secrets.length > 1 && (
        <Alert color="indigo" variant="outline" p="xs">
          Both secrets work until the old one ends. They share one budget and one set of rate windows.
        </Alert>
      )}
      <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Secrets">
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Secret</Table.Th>
              <Table.Th visibleFrom="sm">Created</Table.Th>
              <Table.Th visibleFrom="sm">Last used</Table.Th>
              <Table.Th>Ends</Table.Th>
              <Table.Th aria-label="Act" />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {apiKey.secrets.map((secret) => (
              <Table.Tr key={secret.kid}>
                <Table.Td className="mono nowrap">{secret.keyPrefix}…</Table.Td>
                <Table.Td visibleFrom="sm">
                  <Instant at={secret.createdAt} />
                </Table.Td>
                <Table.Td visibleFrom="sm">
                  <Instant at={secret.lastUsedAt} relative />
                </Table.Td>
                <Table.Td>
                  {secret.expiresAt === null ? (
                    <Text span size="sm" c="dimmed">
                      with the key
                    </Text>
                  ) : (
                    <Instant at={secret.expiresAt} relative />
                  )}
                </Table.Td>
                <Table.Td>
                  {apiKey.secrets.length > 1 && secret.expiresAt !== null && apiKey.status !== 'revoked' && (
                    <Button size="compact-xs" variant="outline" color="red" onClick={() => setEnding(secret.kid)}>
                      End now
                    </Button>
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </div>
      {apiKey.status !== 'revoked' && (
        <Group>
          <Button size="xs" variant="default" onClick={onRegenerate}>
            Regenerate the secret
          </Button>
        </Group>
      )}
      <Confirm
        title="End this secret now?"
        opened={ending !== null}
        onClose={() => setEnding(null)}
        onConfirm={() => ending && end.go(ending)}
        pending={end.isPending}
        action="End it"
        danger
      >
        Whoever still uses it is refused at once. The other secret goes on working.
      </Confirm>
    </Stack>
  );
}
