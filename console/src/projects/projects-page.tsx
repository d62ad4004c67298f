import { Button, Stack, Table, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { count } from '../ui/format';
import { Icon } from '../ui/icons';
import { Pages } from '../ui/pages';
import { Busy, Empty, Loaded, Page } from '../ui/states';
import { ActiveMark, Instant } from '../ui/values';
import { ProjectForm } from './project-dialogs';

const SIZE = 25;

/** All projects, or those of which the signed-in user is a member. */
export function ProjectsPage() {
  const { can } = useSession();
  const { page } = useSearch({ from: '/shell/projects' });
  const navigate = useNavigate();
  const [isAdding, setAdding] = useState(false);
  const seesAll = can('platform:projects:read');
  const query = { page, size: SIZE };
  const projects = useQuery({
    queryKey: ['projects', query],
    placeholderData: keepPreviousData,
    queryFn: () => dataOf(api.GET('/api/v1/projects', { params: { query } })),
  });
  return (
    <Page
      title={seesAll ? 'Projects' : 'My projects'}
      lead="Keys that belong together, of any owners."
      actions={
        can('platform:projects:create') && (
          <Button size="xs" leftSection={<Icon name="plus" size={15} />} onClick={() => setAdding(true)}>
            New project
          </Button>
        )
      }
    >
      <Loaded query={projects} rows={6}>
        {({ data, meta }) =>
          data.length === 0 ? (
            <Empty title={seesAll ? 'No projects yet' : 'You are a member of no project'}>
              A project groups the keys of a team or a product. Its members see them, and what they cost.
            </Empty>
          ) : (
            <Busy isBusy={projects.isPlaceholderData}>
              <Stack gap="xs">
                <ProjectTable projects={data} />
                <Pages
                  meta={meta}
                  size={SIZE}
                  onPage={(next) => void navigate({ to: '/projects', search: { page: next } })}
                />
              </Stack>
            </Busy>
          )
        }
      </Loaded>
      {isAdding && <ProjectForm onClose={() => setAdding(false)} />}
    </Page>
  );
}

function ProjectTable({ projects }: { projects: readonly Schemas['ListedProjectView'][] }) {
  return (
    <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Projects">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Project</Table.Th>
            <Table.Th visibleFrom="sm">Status</Table.Th>
            <Table.Th ta="right">Keys</Table.Th>
            <Table.Th ta="right">Members</Table.Th>
            <Table.Th visibleFrom="sm">You are</Table.Th>
            <Table.Th visibleFrom="md">Created</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {projects.map((project) => (
            <Table.Tr key={project.id}>
              <Table.Td maw={320}>
                <Link
                  className="plain-link breakable"
                  style={{ fontWeight: 500 }}
                  to="/projects/$projectId"
                  params={{ projectId: project.id }}
                  search={{ tab: undefined }}
                >
                  {project.name}
                </Link>
                {project.description && (
                  <Text size="xs" c="dimmed" className="breakable">
                    {project.description}
                  </Text>
                )}
                {!project.isActive && (
                  <Text size="xs" hiddenFrom="sm">
                    inactive
                  </Text>
                )}
              </Table.Td>
              <Table.Td visibleFrom="sm">
                <ActiveMark isActive={project.isActive} />
              </Table.Td>
              <Table.Td ta="right">{count(project.keyCount)}</Table.Td>
              <Table.Td ta="right">{count(project.memberCount)}</Table.Td>
              <Table.Td visibleFrom="sm">
                {project.yourRole ?? (
                  <Text span size="sm" c="dimmed">
                    no member
                  </Text>
                )}
              </Table.Td>
              <Table.Td visibleFrom="md">
                <Instant at={project.createdAt} relative />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
