import { Alert, Button, Group, Stack, Switch, Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { type ApiKey, api, dataOf } from '../api/client';
import { AuditTable } from '../audit/audit-table';
import { KeyLimits } from '../limits/bound-limits';
import { useProject } from '../projects/project-picker';
import { useSession } from '../session/session';
import { fromNow, local } from '../ui/format';
import { Icon } from '../ui/icons';
import { LoadedPage, Page } from '../ui/states';
import { Copy, Instant, StatusMark } from '../ui/values';
import { ExplainPanel } from './explain-panel';
import { HandOverNote } from './hand-over';
import { type KeyAction, KeyMenu, ToKeys, isAllowed } from './key-actions';
import { KeyActionDialog } from './key-dialogs';
import { KeyFacts } from './key-facts';
import { KeySecrets } from './key-secrets';
import { KeyUsage } from './key-usage';
import { type RefusedCall, RefusedCalls } from './refused-calls';

type Tab = 'usage' | 'limits' | 'settings' | 'secrets' | 'refused' | 'explain' | 'history';

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
  const { can } = useSession();
  const { tab = 'usage' } = useSearch({ from: '/shell/keys/$keyId' });
  const navigate = useNavigate();
  const [action, setAction] = useState<KeyAction | null>(null);
  const [tested, setTested] = useState<RefusedCall | null>(null);
  const open = (next: Tab) =>
    void navigate({ to: '/keys/$keyId', params: { keyId: apiKey.id }, search: { tab: next } });
  return (
    <Page
      title={apiKey.name}
      lead={<Lead apiKey={apiKey} />}
      actions={<Actions apiKey={apiKey} onAction={setAction} />}
    >
      <StatusNotes apiKey={apiKey} />
      <HandOverNote apiKey={apiKey} onAction={setAction} />
      {apiKey.description && (
        <Text size="sm" className="breakable" style={{ whiteSpace: 'pre-wrap' }}>
          {apiKey.description}
        </Text>
      )}
      <Tabs
        value={tab}
        onChange={(value) => {
          setTested(null);
          open(value as Tab);
        }}
        keepMounted={false}
      >
        <Tabs.List>
          <Tabs.Tab value="usage">Usage</Tabs.Tab>
          <Tabs.Tab value="limits">Limits</Tabs.Tab>
          <Tabs.Tab value="settings">Settings</Tabs.Tab>
          <Tabs.Tab value="secrets" className="nowrap">
            Secrets
          </Tabs.Tab>
          <Tabs.Tab value="refused" className="nowrap">
            Refused calls
          </Tabs.Tab>
          {apiKey.status !== 'pending' && (
            <Tabs.Tab value="explain" className="nowrap">
              Test a call
            </Tabs.Tab>
          )}
          {can('platform:audit:read') && <Tabs.Tab value="history">History</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="usage" pt="md">
          <KeyUsage apiKey={apiKey} />
        </Tabs.Panel>
        <Tabs.Panel value="limits" pt="md">
          <KeyLimits keyId={apiKey.id} />
        </Tabs.Panel>
        <Tabs.Panel value="settings" pt="md">
          <KeyFacts apiKey={apiKey} />
        </Tabs.Panel>
        <Tabs.Panel value="secrets" pt="md">
          <KeySecrets apiKey={apiKey} onAction={setAction} />
        </Tabs.Panel>
        <Tabs.Panel value="refused" pt="md">
          <RefusedCalls
            apiKey={apiKey}
            onTest={(call) => {
              setTested(call);
              open('explain');
            }}
          />
        </Tabs.Panel>
        <Tabs.Panel value="explain" pt="md">
          <ExplainPanel apiKey={apiKey} refused={tested} />
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

/** The state of a key, its prefix, its owner and its end, under its name. */
function Lead({ apiKey }: { apiKey: ApiKey }) {
  const { can, user } = useSession();
  const isOwn = apiKey.ownerId === user.id;
  return (
    <Group gap="md" component="span">
      <StatusMark status={apiKey.status} />
      {apiKey.keyPrefix !== '' && (
        <Group gap={2} component="span" wrap="nowrap">
          <span className="mono">{apiKey.keyPrefix}</span>
          <Copy value={apiKey.keyPrefix} label="Copy the key prefix" />
        </Group>
      )}
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
        {apiKey.ownerIsActive ? '' : ', who is inactive'}
      </span>
      {apiKey.revokedAt === null && (
        <span>
          {apiKey.expiresAt === null ? (
            'never expires'
          ) : (
            <>
              {apiKey.status === 'expired' ? 'expired' : 'expires'} <Instant at={apiKey.expiresAt} relative />
            </>
          )}
        </span>
      )}
    </Group>
  );
}

/** What was done to the key; who looked at it, when that is asked for. */
function History({ keyId }: { keyId: string }) {
  const [withReads, setWithReads] = useState(false);
  return (
    <Stack gap="sm">
      <Switch
        size="xs"
        label="Show reads"
        checked={withReads}
        onChange={(event) => setWithReads(event.currentTarget.checked)}
      />
      <AuditTable filter={{ resourceType: 'api-key', resourceId: keyId, isRead: withReads ? undefined : false }} />
    </Stack>
  );
}

/** Why the key is refused, where it is. */
function StatusNotes({ apiKey }: { apiKey: ApiKey }) {
  return (
    <>
      <StatusNote apiKey={apiKey} />
      <ProjectNote apiKey={apiKey} />
    </>
  );
}

/** What the key itself, or its owner, is refused for. */
function StatusNote({ apiKey }: { apiKey: ApiKey }) {
  const text = (() => {
    if (apiKey.revokedAt)
      return `Revoked on ${local(apiKey.revokedAt)}${apiKey.revokedReason ? `: ${apiKey.revokedReason}` : '.'}`;
    if (!apiKey.isActive)
      return `Inactive${apiKey.deactivatedAt ? ` since ${local(apiKey.deactivatedAt)}` : ''}. Calls with it are refused until it is activated.`;
    if (apiKey.status === 'expired') return `Expired ${fromNow(apiKey.expiresAt!)}. Renew it to use it again.`;
    if (!apiKey.ownerIsActive) return 'Its owner is inactive, so calls with it are refused.';
    return null;
  })();
  if (text === null) return null;
  return (
    <Alert color={apiKey.revokedAt ? 'red' : 'yellow'} variant="outline" p="xs">
      {text}
    </Alert>
  );
}

/** That the project of the key is inactive, for those who may see the project. */
function ProjectNote({ apiKey }: { apiKey: ApiKey }) {
  const { project } = useProject(apiKey.projectId);
  if (project === undefined || project.isActive || apiKey.revokedAt !== null) return null;
  return (
    <Alert color="yellow" variant="outline" p="xs">
      Its project {project.name} is inactive, so calls with it are refused.
    </Alert>
  );
}

function Actions({ apiKey, onAction }: { apiKey: ApiKey; onAction: (action: KeyAction) => void }) {
  return (
    <>
      {isAllowed(apiKey, 'update') && (
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
