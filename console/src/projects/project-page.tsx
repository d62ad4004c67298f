import { Alert, Button, Group, Paper, Select, SimpleGrid, Stack, Table, Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { AuditTable } from '../audit/audit-table';
import { KeyTable } from '../keys/key-table';
import { LimitsOf } from '../limits/limits-of';
import { useSession } from '../session/session';
import { useAct } from '../ui/act';
import { Confirm } from '../ui/confirm';
import { count, money } from '../ui/format';
import { Icon } from '../ui/icons';
import { Empty, Loaded, LoadedPage, Page } from '../ui/states';
import { ActiveMark, Copy, Facts, HiddenHead, Instant } from '../ui/values';
import { plural } from '../ui/words';
import { AddMember, DeleteProject, type Project, ProjectForm, SwitchProject } from './project-dialogs';

type Tab = 'keys' | 'members' | 'limits' | 'spend' | 'settings' | 'history';

/** One project: its keys, its members, and what it costs. */
export function ProjectPage() {
  const { projectId } = useParams({ from: '/shell/projects/$projectId' });
  const project = useQuery({
    queryKey: ['projects', projectId],
    queryFn: () => dataOf(api.GET('/api/v1/projects/{id}', { params: { path: { id: projectId } } })),
  });
  return (
    <LoadedPage
      query={project}
      rows={6}
      back={
        <Link className="text-link" to="/projects" search={{ page: undefined }}>
          All projects
        </Link>
      }
    >
      {(data) => <ProjectDetails key={data.id} project={data} />}
    </LoadedPage>
  );
}

type Dialog = 'edit' | 'switch' | 'delete';

function ProjectDetails({ project }: { project: Project }) {
  const { can } = useSession();
  const { tab = 'keys' } = useSearch({ from: '/shell/projects/$projectId' });
  const navigate = useNavigate();
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const close = () => setDialog(null);
  const button = (name: Dialog, label: string, color?: string) => (
    <Button size="xs" variant={color ? 'outline' : 'default'} color={color} onClick={() => setDialog(name)}>
      {label}
    </Button>
  );
  const mayUpdate = can('platform:projects:update');
  const seesLimits = can('platform:limits:read') || project.yourRole !== null;
  const seesSpend = can('platform:usage:read') || project.yourRole !== null;
  return (
    <Page
      title={project.name}
      lead={project.description || 'Project'}
      actions={
        <>
          {mayUpdate && button('edit', 'Edit')}
          {mayUpdate &&
            button('switch', project.isActive ? 'Deactivate' : 'Activate', project.isActive ? 'red' : undefined)}
          {can('platform:projects:delete') && button('delete', 'Delete', 'red')}
        </>
      }
    >
      {!project.isActive && (
        <Alert color="yellow" variant="outline" p="xs">
          Inactive: all keys of the project are refused.
        </Alert>
      )}
      <Tabs
        value={tab}
        onChange={(value) =>
          void navigate({
            to: '/projects/$projectId',
            params: { projectId: project.id },
            search: { tab: value as Tab },
          })
        }
        keepMounted={false}
      >
        <Tabs.List>
          <Tabs.Tab value="keys">Keys</Tabs.Tab>
          <Tabs.Tab value="members">Members</Tabs.Tab>
          {seesLimits && <Tabs.Tab value="limits">Limits</Tabs.Tab>}
          {seesSpend && <Tabs.Tab value="spend">Spend</Tabs.Tab>}
          <Tabs.Tab value="settings">Settings</Tabs.Tab>
          {can('platform:audit:read') && <Tabs.Tab value="history">History</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="keys" pt="md">
          <Keys project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="members" pt="md">
          <Members project={project} />
        </Tabs.Panel>
        {seesLimits && (
          <Tabs.Panel value="limits" pt="md">
            <LimitsOf kind="project" id={project.id} />
          </Tabs.Panel>
        )}
        {seesSpend && (
          <Tabs.Panel value="spend" pt="md">
            <Spend project={project} />
          </Tabs.Panel>
        )}
        <Tabs.Panel value="settings" pt="md">
          <Settings project={project} />
        </Tabs.Panel>
        {can('platform:audit:read') && (
          <Tabs.Panel value="history" pt="md">
            <AuditTable filter={{ resourceType: 'project', resourceId: project.id, isRead: false }} />
          </Tabs.Panel>
        )}
      </Tabs>
      {dialog === 'edit' && <ProjectForm project={project} onClose={close} />}
      {dialog === 'switch' && <SwitchProject project={project} onClose={close} />}
      {dialog === 'delete' && <DeleteProject project={project} onClose={close} />}
    </Page>
  );
}

function Settings({ project }: { project: Project }) {
  return (
    <Paper withBorder p="md">
      <Facts
        rows={[
          ['Status', <ActiveMark key="status" isActive={project.isActive} />],
          [
            'Alias',
            project.alias ?? (
              <Text span size="sm" c="dimmed">
                none
              </Text>
            ),
          ],
          ['You are', project.yourRole ?? 'no member'],
          ['Created', <Instant key="created" at={project.createdAt} />],
          ['Changed', <Instant key="changed" at={project.updatedAt} />],
          [
            'Id',
            <Group key="id" gap={4} wrap="nowrap">
              <span className="mono">{project.id}</span>
              <Copy value={project.id} label="Copy the id" />
            </Group>,
          ],
        ]}
      />
    </Paper>
  );
}

function Keys({ project }: { project: Project }) {
  const { can } = useSession();
  const query = { projectId: project.id, size: 100 };
  const keys = useQuery({
    queryKey: ['keys', query],
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query } })),
  });
  const mayCreate = can('platform:api-keys:create') && (can('platform:api-keys:assign') || project.yourRole !== null);
  const list = can('platform:api-keys:read') ? '/keys' : '/my-keys';
  return (
    <Stack gap="xs">
      <Group justify="flex-end" gap="xs">
        <Button
          size="compact-sm"
          variant="subtle"
          renderRoot={(props) => <Link {...props} to={list} search={{ projectId: project.id } as never} />}
        >
          Show all with filters
        </Button>
        {mayCreate && (
          <Button
            size="compact-sm"
            variant="default"
            renderRoot={(props) => (
              <Link {...props} to="/keys/new" search={{ ownerId: undefined, projectId: project.id }} />
            )}
          >
            New key
          </Button>
        )}
      </Group>
      <Loaded query={keys} rows={5}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title="No keys in this project">
              Create one here, or move keys into it: “Move to a project” on the page of a key.
            </Empty>
          ) : (
            <KeyTable keys={data} />
          )
        }
      </Loaded>
    </Stack>
  );
}

type Member = Schemas['ProjectMemberView'];

function Members({ project }: { project: Project }) {
  const { can, user } = useSession();
  const [isAdding, setAdding] = useState(false);
  const [leaving, setLeaving] = useState<Member | null>(null);
  const mayManage = can('platform:projects:update') || project.yourRole === 'admin';
  const change = useAct({
    run: ({ member, role }: { member: Member; role: Member['role'] }) =>
      api.PUT('/api/v1/projects/{id}/members/{userId}', {
        params: { path: { id: project.id, userId: member.userId } },
        body: { role },
      }),
    done: (_, { member, role }) => `${member.name} is ${role === 'admin' ? 'an admin' : 'a member'} now.`,
  });
  return (
    <Stack gap="xs">
      {mayManage && (
        <Group justify="flex-end">
          <Button size="compact-sm" leftSection={<Icon name="plus" size={15} />} onClick={() => setAdding(true)}>
            Add a member
          </Button>
        </Group>
      )}
      {project.members.length === 0 ? (
        <Empty title="No members yet">
          Members see the keys of the project and what they cost, and make keys in it. Its admins also manage keys and
          members.
        </Empty>
      ) : (
        <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Members">
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Name</Table.Th>
                <Table.Th>Role</Table.Th>
                <Table.Th visibleFrom="sm">Member since</Table.Th>
                <HiddenHead label="Actions" />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {project.members.map((member) => (
                <Table.Tr key={member.userId}>
                  <Table.Td maw={280} className="breakable">
                    {can('platform:users:read') ? (
                      <Link className="plain-link" to="/people/$userId" params={{ userId: member.userId }}>
                        {member.name}
                      </Link>
                    ) : (
                      member.name
                    )}
                    {member.userId === user.id ? ' (you)' : ''}
                  </Table.Td>
                  <Table.Td>
                    {mayManage ? (
                      <Select
                        size="xs"
                        w={110}
                        aria-label={`Role of ${member.name}`}
                        data={['member', 'admin']}
                        allowDeselect={false}
                        value={member.role}
                        disabled={change.isPending}
                        onChange={(role) => change.go({ member, role: role as Member['role'] })}
                      />
                    ) : (
                      member.role
                    )}
                  </Table.Td>
                  <Table.Td visibleFrom="sm">
                    <Instant at={member.addedAt} relative />
                  </Table.Td>
                  <Table.Td ta="right">
                    {(mayManage || member.userId === user.id) && (
                      <Button size="compact-xs" variant="subtle" color="red" onClick={() => setLeaving(member)}>
                        {member.userId === user.id ? 'Leave' : 'Remove'}
                      </Button>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      {isAdding && <AddMember project={project} onClose={() => setAdding(false)} />}
      {leaving && <RemoveMember project={project} member={leaving} onClose={() => setLeaving(null)} />}
    </Stack>
  );
}

function RemoveMember({ project, member, onClose }: { project: Project; member: Member; onClose: () => void }) {
  const { user, can } = useSession();
  const navigate = useNavigate();
  const isMe = member.userId === user.id;
  const act = useAct({
    run: () =>
      dataOf(
        api.DELETE('/api/v1/projects/{id}/members/{userId}', {
          params: { path: { id: project.id, userId: member.userId } },
        }),
      ),
    done: ({ keysLeft }) =>
      `${isMe ? 'You have' : `${member.name} has`} left. ${keysLeft === 0 ? 'No key stays behind.' : `${count(keysLeft)} ${plural(keysLeft, 'key')} of ${isMe ? 'yours' : 'theirs'} ${keysLeft === 1 ? 'stays' : 'stay'} in the project.`}`,
    onDone: () => {
      onClose();
      if (isMe && !can('platform:projects:read')) void navigate({ to: '/projects', search: { page: undefined } });
    },
  });
  return (
    <Confirm
      title={isMe ? `Leave ${project.name}?` : `Remove ${member.name} from ${project.name}?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={isMe ? 'Leave project' : 'Remove member'}
      danger
    >
      <Text size="sm">
        {isMe ? 'You' : 'They'} no longer see the keys of other members. {isMe ? 'Your' : 'Their'} own keys stay in the
        project and keep working.
      </Text>
    </Confirm>
  );
}

/** What the project costs this month, and which keys and models it is. */
function Spend({ project }: { project: Project }) {
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
      <Sums project={project} groupBy="key" title="Keys this month" />
      <Sums project={project} groupBy="model" title="Models this month" />
    </SimpleGrid>
  );
}

const ROWS = 10;

function Sums({ project, groupBy, title }: { project: Project; groupBy: 'key' | 'model'; title: string }) {
  const query = { groupBy, period: 'month' as const, compare: 'previous' as const };
  const summary = useQuery({
    queryKey: ['usage', 'project', project.id, query],
    queryFn: async () =>
      (await dataOf(
        api.GET('/api/v1/projects/{id}/usage/summary', { params: { path: { id: project.id }, query } }),
      )) as Schemas['UsageSummaryView'],
  });
  return (
    <Paper withBorder p="md">
      <Text component="h2" fw={600} mb="xs">
        {title}
      </Text>
      <Loaded query={summary} rows={4}>
        {({ rows, totals, previous }) => (
          <Stack gap="xs">
            <Text size="sm">
              <Text span fw={600}>
                {money(totals.costCents)}
              </Text>{' '}
              in {count(totals.requests)} {plural(totals.requests, 'request')}
              {previous && `; ${money(previous.totals.costCents)} by this time last month`}
            </Text>
            {rows.length > 0 && (
              <Table highlightOnHover={false} verticalSpacing={4} horizontalSpacing={4}>
                <Table.Tbody>
                  {rows.slice(0, ROWS).map((row) => (
                    <Table.Tr key={row.group ?? ''}>
                      <Table.Td className="breakable">
                        {groupBy === 'key' && row.group !== null ? (
                          <Link
                            className="plain-link"
                            to="/keys/$keyId"
                            params={{ keyId: row.group }}
                            search={{ tab: undefined }}
                          >
                            {row.name ?? row.group}
                          </Link>
                        ) : (
                          (row.name ?? row.group ?? 'no model')
                        )}
                      </Table.Td>
                      <Table.Td ta="right" className="nowrap">
                        {money(row.costCents)}
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            )}
          </Stack>
        )}
      </Loaded>
    </Paper>
  );
}
