import { Radio, Select, Stack, Text, TextInput, Textarea } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { UserPicker } from '../people/user-picker';
import { useSession } from '../session/session';
import { fieldErrors, isSaidByFields, useAct, useFormAct } from '../ui/act';
import { SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { Confirm } from '../ui/confirm';
import { count } from '../ui/format';
import { ProblemAlert } from '../ui/states';
import { ProjectPicker } from './project-picker';

/** A project with its members. */
export type Project = Schemas['ProjectView'];

interface DialogProps {
  project: Project;
  onClose: () => void;
}

const FIELDS = ['name', 'alias', 'description'];

/** A new project, or a change of one that there is. */
export function ProjectForm({ project: shown, onClose }: { project?: Project; onClose: () => void }) {
  // What the form was filled from: a refetch behind it must not make old values look like changes.
  const [project] = useState(shown);
  const navigate = useNavigate();
  const version = useReadVersion(project?.version);
  const form = useForm({
    initialValues: {
      name: project?.name ?? '',
      alias: project?.alias ?? '',
      description: project?.description ?? '',
    },
    validate: { name: (name) => (name.trim() === '' ? 'a name is needed' : null) },
  });
  const { refused, ...act } = useFormAct({
    run: () => {
      const { name, alias, description } = form.getValues();
      if (project === undefined)
        return dataOf(
          api.POST('/api/v1/projects', { body: { name, description, ...(alias === '' ? {} : { alias }) } }),
        );
      return dataOf(
        api.PATCH('/api/v1/projects/{id}', {
          params: { path: { id: project.id }, header: version.header() },
          body: {
            ...(name === project.name ? {} : { name }),
            ...(description === project.description ? {} : { description }),
            ...(alias === (project.alias ?? '') ? {} : { alias: alias === '' ? null : alias }),
          },
        }),
      );
    },
    done: project === undefined ? ({ name }) => `${name} has been added.` : 'Saved.',
    onDone: ({ id }) => {
      onClose();
      if (project === undefined)
        void navigate({ to: '/projects/$projectId', params: { projectId: id }, search: { tab: 'members' } });
    },
    onRefused: (problem) => {
      form.setErrors(fieldErrors(problem, FIELDS));
    },
  });
  return (
    <Confirm
      title={project === undefined ? 'New project' : `Edit ${project.name}`}
      onClose={onClose}
      onConfirm={() => {
        act.forget();
        if (!form.validate().hasErrors) act.go();
      }}
      pending={act.isPending}
      action={project === undefined ? 'Create project' : 'Save'}
    >
      <TextInput label="Name" required maxLength={100} data-autofocus {...form.getInputProps('name')} />
      <TextInput label="Alias" description="A stable name for scripts" {...form.getInputProps('alias')} />
      <Textarea label="Description" autosize minRows={2} maxLength={500} {...form.getInputProps('description')} />
      {refused && !isSaidByFields(refused, form.errors as Record<string, string>, FIELDS) && (
        <SaveRefused problem={refused} version={version} onKeep={() => act.go()} />
      )}
    </Confirm>
  );
}

function refusedKeys(keyCount: number): string {
  if (keyCount === 0) return 'It has no keys now; keys that come into it are';
  return keyCount === 1 ? 'Its only key is' : `Its ${count(keyCount)} keys are`;
}

/** Stops all keys of a project, or lets them work again. */
export function SwitchProject({ project, onClose }: DialogProps) {
  const { isActive } = project;
  const act = useAct({
    run: () =>
      api.PATCH('/api/v1/projects/{id}', {
        params: { path: { id: project.id }, query: { wait: 'true' } },
        body: { isActive: !isActive },
      }),
    done: isActive ? 'Every replica refuses the keys of the project.' : 'The keys of the project work again.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={`${isActive ? 'Deactivate' : 'Activate'} the project ${project.name}?`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={isActive ? 'Deactivate project' : 'Activate project'}
      danger={isActive}
    >
      <Text size="sm">
        {isActive
          ? `${refusedKeys(project.keyCount)} refused until the project is activated again.`
          : 'Keys that are active themselves work again.'}
      </Text>
    </Confirm>
  );
}

/** The end of a project: first what becomes of its keys. */
export function DeleteProject({ project, onClose }: DialogProps) {
  const { can } = useSession();
  const navigate = useNavigate();
  const [fate, setFate] = useState<'none' | 'revoke' | 'move'>('none');
  const [to, setTo] = useState<string | null>(null);
  const { keyCount } = project;
  const { refused, ...act } = useFormAct({
    run: () =>
      api.DELETE('/api/v1/projects/{id}', {
        params: {
          path: { id: project.id },
          query: fate === 'revoke' ? { keys: 'revoke' as const } : fate === 'move' ? { transferTo: to! } : {},
        },
      }),
    done: `${project.name} is deleted.`,
    onDone: () => void navigate({ to: '/projects', search: { page: undefined } }),
  });
  return (
    <Confirm
      title={`Delete the project ${project.name}`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Delete project"
      danger
      phrase={project.name}
      disabled={(keyCount > 0 && fate === 'none') || (fate === 'move' && to === null)}
    >
      <Text size="sm">
        {keyCount === 0
          ? 'It has no keys, or all of them are revoked.'
          : `${count(keyCount)} ${keyCount === 1 ? 'key is' : 'keys are'} not revoked. What should happen to ${keyCount === 1 ? 'it' : 'them'}?`}{' '}
        Usage and the audit trail stay.
      </Text>
      {keyCount > 0 && (
        <Radio.Group
          value={fate}
          onChange={(value) => setFate(value as typeof fate)}
          aria-label="What should happen to the keys"
        >
          <Stack gap={6}>
            {can('platform:api-keys:delete') && (
              <Radio value="revoke" label="Revoke them all: every call with them is refused" />
            )}
            {can('platform:api-keys:assign') && (
              <Radio value="move" label="Move them all to another project: they keep working" />
            )}
          </Stack>
        </Radio.Group>
      )}
      {fate === 'move' && (
        <ProjectPicker
          label="To"
          value={to}
          onChange={setTo}
          except={project.id}
          error={refused ? fieldErrors(refused, ['transferTo'])['transferTo'] : undefined}
        />
      )}
      {refused && <ProblemAlert error={refused} />}
    </Confirm>
  );
}

const ROLES = {
  member: 'Sees the keys and what they cost, and makes keys',
  admin: 'Sees the keys and what they cost, makes keys, and manages keys and members',
};

/** A person who is to belong to the project. */
export function AddMember({ project, onClose }: DialogProps) {
  const { can } = useSession();
  const [userId, setUserId] = useState<string | null>(null);
  const [role, setRole] = useState<'member' | 'admin'>('member');
  const { refused, ...act } = useFormAct({
    run: () =>
      api.PUT('/api/v1/projects/{id}/members/{userId}', {
        params: { path: { id: project.id, userId: userId! } },
        body: { role },
      }),
    done: 'The member has been added.',
    onDone: onClose,
  });
  const error = refused ? fieldErrors(refused, ['userId'])['userId'] : undefined;
  return (
    <Confirm
      title={`Add a member to ${project.name}`}
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Add member"
      disabled={userId === null}
    >
      {can('platform:users:read') ? (
        <UserPicker label="Person" kind="person" value={userId} onChange={setUserId} error={error} />
      ) : (
        <TextInput
          label="Id of the person"
          description="They find it on their account page"
          value={userId ?? ''}
          onChange={({ currentTarget: { value } }) => setUserId(value.trim() === '' ? null : value.trim())}
          error={error}
        />
      )}
      <Select
        label="Role"
        description={ROLES[role]}
        data={Object.keys(ROLES)}
        allowDeselect={false}
        value={role}
        onChange={(value) => setRole(value as typeof role)}
      />
      {refused && error === undefined && <ProblemAlert error={refused} />}
    </Confirm>
  );
}
