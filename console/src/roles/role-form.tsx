import { Alert, Button, Fieldset, Group, SimpleGrid, Stack, Switch, TextInput, Textarea } from '@mantine/core';
import { type UseFormReturnType, useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { type Role, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { fieldErrors, isSaidByFields, useAct, useFormAct } from '../ui/act';
import { SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { Confirm } from '../ui/confirm';
import { LoadedPage, NoPermission, Page } from '../ui/states';
import { useUnsaved } from '../ui/unsaved';
import { Grants } from './grants';
import { Policy } from './policy';
import { POLICY_FIELDS } from './policy-fields';
import { type RoleDraft, bodyOf, changedIn, draftOf } from './role-draft';
import { RoleHolders } from './role-holders';

/** Fields of the API that the form shows an error beside. */
const FIELDS = ['name', 'description', 'permissions', ...POLICY_FIELDS.map((field) => `keyPolicy.${field}`)];

/** A role to be. */
export function NewRole() {
  const { can } = useSession();
  if (!can('platform:roles:create')) return <NoPermission permission="platform:roles:create" />;
  return <RoleForm role={null} />;
}

/** A role that there is. */
export function EditRole() {
  const { can } = useSession();
  const { name } = useParams({ from: '/shell/roles/$name' });
  const role = useQuery({
    queryKey: ['roles', name],
    enabled: can('platform:roles:read'),
    queryFn: () => dataOf(api.GET('/api/v1/roles/{name}', { params: { path: { name } } })),
  });
  if (!can('platform:roles:read')) return <NoPermission permission="platform:roles:read" />;
  return (
    <LoadedPage
      query={role}
      rows={8}
      back={
        <Link className="text-link" to="/roles">
          All roles
        </Link>
      }
    >
      {(data) => <RoleForm key={data.name} role={data} />}
    </LoadedPage>
  );
}

function RoleForm({ role }: { role: Role | null }) {
  const { can } = useSession();
  const navigate = useNavigate();
  const isFixed = role?.name === 'admin';
  const mayEdit = !isFixed && (role === null || can('platform:roles:update'));
  const [initial] = useState(() => draftOf(role));
  const form = useForm<RoleDraft>({
    initialValues: initial,
    validate: {
      name: (name) =>
        /^[a-z][a-z0-9-]{0,63}$/.test(name) ? null : 'lower-case letters, digits and hyphens, starting with a letter',
    },
  });
  const draft = form.getValues();
  const release = useUnsaved(form.isDirty(), 'Leave without saving?');
  const version = useReadVersion(role?.version);
  const { refused, ...act } = useFormAct<void, unknown>({
    run: () => {
      const body = bodyOf(draft);
      if (role === null) return api.POST('/api/v1/roles', { body: { ...body, name: draft.name } });
      return api.PATCH('/api/v1/roles/{name}', {
        params: { path: { name: role.name }, header: version.header() },
        body: changedIn(body, bodyOf(initial)),
      });
    },
    done: role === null ? 'Role added.' : 'Saved. It applies from the next request of everyone who has the role.',
    onDone: () => {
      release();
      void navigate({ to: '/roles' });
    },
  });
  const errors = refused ? fieldErrors(refused, FIELDS) : {};
  return (
    <Page
      title={role === null ? 'New role' : role.name}
      lead={role === null ? 'A named set of grants, with or without bounds for keys.' : undefined}
      actions={
        role !== null && !isFixed && can('platform:roles:delete') && <DeleteRole name={role.name} onDone={release} />
      }
    >
      {isFixed && (
        <Alert color="indigo" variant="outline" p="xs">
          The role admin may do everything and cannot be changed, so that there is always a role that can repair the
          others.
        </Alert>
      )}
      <form noValidate onSubmit={form.onSubmit(() => act.go())}>
        <Fieldset disabled={!mayEdit} variant="unstyled">
          <Stack gap="md" maw={860}>
            <Fields form={form} errors={errors} isNew={role === null} />
            {refused && !isSaidByFields(refused, errors, FIELDS) && (
              <SaveRefused problem={refused} version={version} onKeep={() => act.go()} onDrop={release} />
            )}
            {mayEdit && (
              <Group>
                <Button type="submit" loading={act.isPending}>
                  {role === null ? 'Add role' : 'Save'}
                </Button>
                <Button variant="default" onClick={() => void navigate({ to: '/roles' })}>
                  Cancel
                </Button>
              </Group>
            )}
          </Stack>
        </Fieldset>
      </form>
      {role && <RoleHolders name={role.name} />}
    </Page>
  );
}

interface FieldsProps {
  form: UseFormReturnType<RoleDraft>;
  errors: Readonly<Record<string, string>>;
  isNew: boolean;
}

function Fields({ form, errors, isNew }: FieldsProps) {
  const draft = form.getValues();
  return (
    <>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
        {isNew ? (
          <TextInput
            label="Name"
            required
            autoFocus
            placeholder="trial-plan"
            description="Lower-case letters, digits and hyphens; it stays for good"
            {...form.getInputProps('name')}
            error={form.errors['name'] ?? errors['name']}
          />
        ) : null}
        <Textarea
          label="Description"
          description="Shown where a role is chosen"
          autosize
          minRows={1}
          {...form.getInputProps('description')}
          error={errors['description']}
        />
      </SimpleGrid>
      <Switch
        label="Active"
        description="An inactive role grants nothing and bounds nothing"
        {...form.getInputProps('isActive', { type: 'checkbox' })}
      />
      <Grants
        value={draft.permissions}
        onChange={(permissions) => form.setFieldValue('permissions', permissions)}
        error={errors['permissions']}
      />
      <Fieldset legend="Key policy">
        <Stack gap="sm">
          <Switch
            label="Bound the keys of people who have this role"
            description="Those who may change any key are not bound. With several roles the widest bound applies."
            {...form.getInputProps('hasPolicy', { type: 'checkbox' })}
          />
          {draft.hasPolicy && <Policy form={form} errors={errors} />}
        </Stack>
      </Fieldset>
    </>
  );
}

/** Deletes a role, once that is confirmed; `onDone` before the page is left. */
function DeleteRole({ name, onDone }: { name: string; onDone: () => void }) {
  const navigate = useNavigate();
  const [isOpen, setOpen] = useState(false);
  const act = useAct({
    run: () => api.DELETE('/api/v1/roles/{name}', { params: { path: { name } } }),
    done: 'Role deleted.',
    onDone: () => {
      onDone();
      void navigate({ to: '/roles' });
    },
  });
  return (
    <>
      <Button size="xs" variant="outline" color="red" onClick={() => setOpen(true)}>
        Delete
      </Button>
      <Confirm
        title={`Delete the role ${name}?`}
        opened={isOpen}
        onClose={() => setOpen(false)}
        onConfirm={() => act.go()}
        pending={act.isPending}
        action="Delete role"
        danger
      >
        It is refused while a user, or a key that is not revoked, has the role.
      </Confirm>
    </>
  );
}
