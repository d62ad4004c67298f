import { Button, Checkbox, Group, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useNavigate } from '@tanstack/react-router';
import { type Schemas, type User, api, dataOf } from '../api/client';
import { RolesField } from '../roles/roles-field';
import { useSession } from '../session/session';
import { fieldErrors, isSaidByFields, useFormAct } from '../ui/act';
import { Dialog } from '../ui/dialog';
import { ProblemAlert } from '../ui/states';
import { CapField } from './cap-field';
import { UsersPicker } from './user-picker';

const FIELDS = ['name', 'email', 'password', 'roles', 'managerIds', 'maxActiveKeys'];

/** A person or service account to be; also used on the way to a connected service. */
export function NewUser({
  kind,
  onClose,
  onCreated,
}: {
  kind: User['kind'];
  onClose: () => void;
  onCreated?: (user: User) => void;
}) {
  const { form, refused, isPending, submit } = useNewUser(kind, onClose, onCreated);
  const isService = kind === 'service';
  return (
    <Dialog onClose={onClose} title={isService ? 'New service account' : 'New person'} size="lg">
      <form noValidate onSubmit={submit}>
        <Stack gap="sm">
          <TextInput label="Name" required maxLength={100} data-autofocus {...form.getInputProps('name')} />
          {!isService && (
            <TextInput label="E-mail" type="email" required autoComplete="off" {...form.getInputProps('email')} />
          )}
          {!isService && (
            <PasswordInput
              label="First password"
              description="12 characters or more. It must be changed at the first sign-in. Leave empty to set one later"
              autoComplete="new-password"
              {...form.getInputProps('password')}
              visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }}
            />
          )}
          <RolesField
            value={form.getValues().roles}
            onChange={(roles) => form.setFieldValue('roles', roles)}
            error={form.errors['roles']}
          />
          {isService && (
            <UsersPicker
              label="Managers"
              description="People who may act as owner of its keys"
              kind="person"
              value={form.getValues().managerIds}
              onChange={(ids) => form.setFieldValue('managerIds', ids)}
              error={form.errors['managerIds']}
            />
          )}
          <CapField {...form.getInputProps('maxActiveKeys')} />
          <Checkbox label="Active" {...form.getInputProps('isActive', { type: 'checkbox' })} />
          {refused && !isSaidByFields(refused, form.errors as Record<string, string>, FIELDS) && (
            <ProblemAlert error={refused} />
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={isPending}>
              {kind === 'person' ? 'Add person' : 'Add service account'}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

/** What is typed of the new user, checked, and how it is added. */
function useNewUser(kind: User['kind'], onClose: () => void, onCreated?: (user: User) => void) {
  const { user: me } = useSession();
  const navigate = useNavigate();
  const isService = kind === 'service';
  const form = useForm({
    initialValues: emptyDraft(isService ? [me.id] : []),
    validate: {
      name: (name) => (name.trim() === '' ? 'a name is needed' : null),
      email: (email) => (!isService && !email.includes('@') ? 'an e-mail address is needed' : null),
      password: (password) => (password !== '' && password.length < 12 ? 'at least 12 characters' : null),
    },
  });
  const { refused, ...act } = useFormAct({
    run: () => dataOf(api.POST('/api/v1/users', { body: bodyOf(kind, form.getValues()) })),
    done: (user) => `${user.name} has been added.`,
    onDone: (user) => {
      onClose();
      if (onCreated) onCreated(user);
      else void navigate({ to: '/people/$userId', params: { userId: user.id } });
    },
    onRefused: (problem) => {
      form.setErrors(fieldErrors(problem, FIELDS));
    },
  });
  const submit = form.onSubmit(() => act.go());
  return { form, refused, isPending: act.isPending, submit };
}

interface Draft {
  name: string;
  email: string;
  password: string;
  roles: string[];
  managerIds: string[];
  maxActiveKeys: number | '';
  isActive: boolean;
}

function emptyDraft(managerIds: string[]): Draft {
  return { name: '', email: '', password: '', roles: [], managerIds, maxActiveKeys: '', isActive: true };
}

/** What is empty is left out: the server has its own default for it. */
function bodyOf(kind: User['kind'], draft: Draft): Schemas['CreateUserDto'] {
  const { name, email, password, roles, managerIds, maxActiveKeys, isActive } = draft;
  const isService = kind === 'service';
  return {
    ...{ name, kind, roles, isActive },
    ...(email === '' ? {} : { email }),
    ...(password === '' || isService ? {} : { password }),
    ...(isService ? { managerIds } : {}),
    ...(maxActiveKeys === '' ? {} : { maxActiveKeys }),
  };
}
