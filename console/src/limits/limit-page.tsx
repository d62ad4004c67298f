import { Button, Group, Paper, Stack, Table, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { AuditTable } from '../audit/audit-table';
import { useSession } from '../session/session';
import { useAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { sentence } from '../ui/format';
import { Pages } from '../ui/pages';
import { Busy, Empty, Loaded, LoadedPage, NoPermission, Page } from '../ui/states';
import { Copy, Download, Facts, Instant, Marks } from '../ui/values';
import { LimitBar } from './limit-bar';
import { EditLimit, EndOverride, type Member, Override } from './limit-dialogs';

type Limit = Schemas['LimitView'];

const ACCOUNTS = 25;

/** One limit: its sentence, how much is used, the accounts of its members, and what can be done to it. */
export function LimitPage() {
  const { can } = useSession();
  const { limitId } = useParams({ from: '/shell/limits/$limitId' });
  const limit = useQuery({
    queryKey: ['limits', limitId],
    enabled: can('platform:limits:read'),
    queryFn: () => dataOf(api.GET('/api/v1/limits/{id}', { params: { path: { id: limitId } } })),
  });
  if (!can('platform:limits:read')) return <NoPermission permission="platform:limits:read" />;
  const back = (
    <Link className="text-link" to="/limits">
      All limits
    </Link>
  );
  return (
    <LoadedPage query={limit} rows={6} back={back}>
      {(data) => <Details key={data.id} limit={data} />}
    </LoadedPage>
  );
}

function Details({ limit }: { limit: Limit }) {
  const { can } = useSession();
  const [dialog, setDialog] = useState<'edit' | 'delete' | null>(null);
  const actions = (
    <>
      {can('platform:limits:update') && (
        <Button size="xs" variant="default" onClick={() => setDialog('edit')}>
          Edit
        </Button>
      )}
      {can('platform:limits:delete') && (
        <Button size="xs" variant="outline" color="red" onClick={() => setDialog('delete')}>
          Delete
        </Button>
      )}
    </>
  );
  return (
    <Page
      title={limit.name}
      lead={<span className="breakable">{sentence(limit.sentence, limit.sentenceParts)}</span>}
      actions={actions}
    >
      {limit.description && (
        <Text size="sm" className="breakable">
          {limit.description}
        </Text>
      )}
      {limit.each === null && limit.fullest !== null ? (
        <Paper withBorder p="md">
          <LimitBar unit={limit.unit} per={limit.per} account={limit.fullest} />
        </Paper>
      ) : (
        <Accounts limit={limit} />
      )}
      <Paper withBorder p="md">
        <Facts
          rows={[
            ['Calls of', <Target key="target" target={limit.target} />],
            ['Models', <Marks key="models" values={limit.models} none="every call" />],
            ['Counts from', <Instant key="from" at={limit.countsFrom} />],
            [
              'Alias',
              limit.alias ?? (
                <Text key="alias" span size="sm" c="dimmed">
                  none
                </Text>
              ),
            ],
            [
              'Id',
              <Group key="id" gap={4} wrap="nowrap">
                <span className="mono">{limit.id}</span>
                <Copy value={limit.id} label="Copy the id" />
              </Group>,
            ],
          ]}
        />
      </Paper>
      {can('platform:audit:read') && (
        <Stack gap="xs" component="section" aria-labelledby="history">
          <Text component="h2" id="history" fw={600}>
            History
          </Text>
          <AuditTable filter={{ resourceType: 'limit', resourceId: limit.id, isRead: false }} />
        </Stack>
      )}
      {dialog === 'edit' && <EditLimit limit={limit} onClose={() => setDialog(null)} />}
      {dialog === 'delete' && <DeleteLimit limit={limit} onClose={() => setDialog(null)} />}
    </Page>
  );
}

function Target({ target: { kind, id, name } }: Pick<Limit, 'target'>) {
  if (id === null) return <>all keys</>;
  if (name === null) return <>a {kind} that is gone</>;
  if (kind === 'key')
    return (
      <Link className="text-link" to="/keys/$keyId" params={{ keyId: id }} search={{ tab: undefined }}>
        key {name}
      </Link>
    );
  if (kind === 'owner')
    return (
      <Link className="text-link" to="/people/$userId" params={{ userId: id }}>
        {name}
      </Link>
    );
  return (
    <Link className="text-link" to="/projects/$projectId" params={{ projectId: id }} search={{ tab: undefined }}>
      project {name}
    </Link>
  );
}

function DeleteLimit({ limit, onClose }: { limit: Limit; onClose: () => void }) {
  const navigate = useNavigate();
  const act = useAct({
    run: () => api.DELETE('/api/v1/limits/{id}', { params: { path: { id: limit.id } } }),
    done: `${limit.name} has been deleted.`,
    onDone: () => void navigate({ to: '/limits' }),
  });
  return (
    <Confirm
      title={`Delete the limit ${limit.name}?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Delete limit"
      danger
    >
      <Text size="sm" className="breakable">
        {sentence(limit.sentence, limit.sentenceParts)}
      </Text>
      <Text size="sm">This limit no longer refuses calls. A new limit counts from 0.</Text>
    </Confirm>
  );
}

/** Accounts of members, the fullest first. */
function Accounts({ limit }: { limit: Limit }) {
  const { can } = useSession();
  const [page, setPage] = useState(1);
  const [chosen, setChosen] = useState<{ act: 'give' | 'take'; member: Member } | null>(null);
  const accounts = useQuery({
    queryKey: ['limits', limit.id, 'accounts', page],
    placeholderData: keepPreviousData,
    queryFn: () =>
      dataOf(
        api.GET('/api/v1/limits/{id}/accounts', {
          params: { path: { id: limit.id }, query: { page, size: ACCOUNTS } },
        }),
      ),
  });
  const mayUpdate = can('platform:limits:update');
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text fw={600}>Accounts</Text>
        <Group gap="xs">
          <Download href={`/api/v1/limits/${limit.id}/accounts/export`}>Export CSV</Download>
          {mayUpdate && (
            <Button
              size="xs"
              variant="default"
              onClick={() => setChosen({ act: 'give', member: { kind: limit.each ?? 'key', id: null, name: null } })}
            >
              {`Set an amount for one ${limit.each ?? 'key'}`}
            </Button>
          )}
        </Group>
      </Group>
      <Loaded query={accounts} rows={3}>
        {({ data, meta }) =>
          data.length === 0 ? (
            <Empty
              title={limit.unit === 'slots' ? 'No call has been made yet' : 'Nothing is used in this period yet'}
            />
          ) : (
            <Busy isBusy={accounts.isPlaceholderData}>
              <Stack gap="xs">
                <AccountTable
                  unit={limit.unit}
                  per={limit.per}
                  accounts={data}
                  onGive={mayUpdate ? (member) => setChosen({ act: 'give', member }) : null}
                  onTake={mayUpdate ? (member) => setChosen({ act: 'take', member }) : null}
                />
                <Pages meta={meta} size={ACCOUNTS} onPage={setPage} />
              </Stack>
            </Busy>
          )
        }
      </Loaded>
      {chosen?.act === 'give' && <Override limit={limit} member={chosen.member} onClose={() => setChosen(null)} />}
      {chosen?.act === 'take' && <EndOverride limit={limit} member={chosen.member} onClose={() => setChosen(null)} />}
    </Stack>
  );
}

/** A subject has no page of its own. */
function MemberName({ member: { kind, id, name } }: { member: Schemas['LimitMemberView'] }) {
  if (kind === 'subject') return <>{name ?? `${id}, erased`}</>;
  if (kind === 'key')
    return (
      <Link className="plain-link" to="/keys/$keyId" params={{ keyId: id }} search={{ tab: undefined }}>
        {name ?? id}
      </Link>
    );
  return (
    <Link className="plain-link" to="/people/$userId" params={{ userId: id }}>
      {name ?? id}
    </Link>
  );
}

function AccountTable({
  unit,
  per,
  accounts,
  onGive,
  onTake,
}: {
  unit: Limit['unit'];
  per: Limit['per'];
  accounts: readonly Schemas['LimitAccountView'][];
  onGive: ((member: Member) => void) | null;
  onTake: ((member: Member) => void) | null;
}) {
  return (
    <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Accounts">
      <Table>
        <Table.Tbody>
          {accounts.map((account) => {
            const member = account.member!;
            const name = member.name ?? member.id;
            // A request names a subject by its text.
            const isNamed = member.kind !== 'subject' || member.name !== null;
            return (
              <Table.Tr key={member.id}>
                <Table.Td miw={120} py="sm" className="breakable">
                  <MemberName member={member} />
                </Table.Td>
                <Table.Td miw={220} py="sm">
                  <LimitBar unit={unit} per={per} account={account} />
                  <Group gap={6} mt={6}>
                    {onGive && isNamed && (
                      <Button
                        size="compact-xs"
                        variant="default"
                        aria-label={`Change the amount of ${name}`}
                        onClick={() => onGive(member)}
                      >
                        Change the amount
                      </Button>
                    )}
                    {onTake && isNamed && account.override !== null && (
                      <Button
                        size="compact-xs"
                        variant="default"
                        aria-label={`Take back the amount of ${name}`}
                        onClick={() => onTake(member)}
                      >
                        Take back
                      </Button>
                    )}
                  </Group>
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </div>
  );
}
