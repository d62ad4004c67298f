import { Button, Stack, Table, Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { covers } from '../../../src/access/permission-grammar.js';
import type { KeyPolicy } from '../../../src/access/key-policy.js';
import { type Role, api, dataOf } from '../api/client';
import { policyInWords } from '../keys/policy-in-words';
import { useSession } from '../session/session';
import { Icon } from '../ui/icons';
import { Empty, Loaded, NoPermission, Page } from '../ui/states';
import { ActiveMark, Marks } from '../ui/values';

/** Roles as a list, and as the matrix of who may do what. */
export function RolesPage() {
  const { can } = useSession();
  const mayRead = can('platform:roles:read');
  const roles = useQuery({
    queryKey: ['roles', 'all'],
    enabled: mayRead,
    queryFn: () => dataOf(api.GET('/api/v1/roles', { params: { query: { size: 100 } } })),
  });
  if (!mayRead) return <NoPermission permission="platform:roles:read" />;
  return (
    <Page
      title="Roles"
      lead="What people, service accounts and keys may do."
      actions={
        can('platform:roles:create') && (
          <Button
            size="xs"
            leftSection={<Icon name="plus" size={15} />}
            renderRoot={(props) => <Link {...props} to="/roles/new" />}
          >
            New role
          </Button>
        )
      }
    >
      <Loaded query={roles} rows={6}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title="No roles" />
          ) : (
            <Tabs defaultValue="list" keepMounted={false}>
              <Tabs.List>
                <Tabs.Tab value="list">Roles</Tabs.Tab>
                <Tabs.Tab value="matrix">Who may do what</Tabs.Tab>
              </Tabs.List>
              <Tabs.Panel value="list" pt="sm">
                <RoleTable roles={data} />
              </Tabs.Panel>
              <Tabs.Panel value="matrix" pt="sm">
                <Matrix roles={data} />
              </Tabs.Panel>
            </Tabs>
          )
        }
      </Loaded>
    </Page>
  );
}

function RoleTable({ roles }: { roles: readonly Role[] }) {
  return (
    <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Roles">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Role</Table.Th>
            <Table.Th visibleFrom="sm">Status</Table.Th>
            <Table.Th>Grants</Table.Th>
            <Table.Th visibleFrom="md">Key policy</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {roles.map((role) => (
            <Table.Tr key={role.name}>
              <Table.Td maw={260}>
                <Link className="plain-link" style={{ fontWeight: 500 }} to="/roles/$name" params={{ name: role.name }}>
                  {role.name}
                </Link>
                <Text size="xs" c="dimmed" className="breakable">
                  {role.description}
                </Text>
                {!role.isActive && (
                  <Text size="xs" hiddenFrom="sm">
                    inactive
                  </Text>
                )}
              </Table.Td>
              <Table.Td visibleFrom="sm">
                <ActiveMark isActive={role.isActive} />
              </Table.Td>
              <Table.Td>
                <Marks values={role.permissions} none="nothing" limit={6} />
              </Table.Td>
              <Table.Td visibleFrom="md" maw={340}>
                <Text size="sm" c={role.keyPolicy ? undefined : 'dimmed'}>
                  {role.keyPolicy ? policyInWords(role.keyPolicy as KeyPolicy) : 'none'}
                </Text>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

/** Wildcards resolved: each permission there is, against each role, by the server's own grammar. */
function Matrix({ roles }: { roles: readonly Role[] }) {
  const permissions = useQuery({
    queryKey: ['permissions'],
    staleTime: Infinity,
    queryFn: () => dataOf(api.GET('/api/v1/permissions')),
  });
  return (
    <Loaded query={permissions} rows={12}>
      {({ data }) => (
        <Stack gap="xs">
          <Text size="sm" c="dimmed">
            Wildcards are resolved. An inactive role grants nothing.
          </Text>
          <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Permissions of each role">
            <Table stickyHeader>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Permission</Table.Th>
                  {roles.map(({ name }) => (
                    <Table.Th key={name} ta="center" className="nowrap">
                      {name}
                    </Table.Th>
                  ))}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {data.map(({ name, description }) => (
                  <Table.Tr key={name}>
                    <Table.Td miw={240}>
                      <span className="mono">{name}</span>
                      <Text size="xs" c="dimmed">
                        {description}
                      </Text>
                    </Table.Td>
                    {roles.map((role) => (
                      <MayCell key={role.name} role={role} permission={name} />
                    ))}
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </div>
        </Stack>
      )}
    </Loaded>
  );
}

function MayCell({ role, permission }: { role: Role; permission: string }) {
  const may = role.isActive && covers(role.permissions, permission);
  return (
    <Table.Td
      className="centred"
      style={{ color: may ? '#2f9e44' : undefined }}
      title={`${role.name}: ${may ? 'yes' : 'no'}`}
    >
      {may ? (
        <>
          <Icon name="check" size={16} />
          <span className="visually-hidden">yes</span>
        </>
      ) : (
        <Text span size="sm" c="dimmed" aria-label="no">
          ·
        </Text>
      )}
    </Table.Td>
  );
}
