import { PasswordInput, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { type User, api } from '../api/client';
import { RolesField } from '../roles/roles-field';
import { fieldErrors, isSaidByFields, useAct, useFormAct } from '../ui/act';
import { SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { Confirm } from '../ui/confirm';
import { ProblemAlert } from '../ui/states';
import { CapField } from './cap-field';
import { UsersPicker } from './user-picker';

/** Whom a dialog is about. */
export interface DialogProps {
  user: User;
  onClose: () => void;
}

/** Whether two lists name the same, in whatever order. */
function isSameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((one) => right.includes(one));
}

const EDITED = ['name', 'email', 'managerIds', 'maxActiveKeys'];

export function Edit({ user: shown, onClose }: DialogProps) {
  // What the form was filled from: a refetch behind it must not make old values look like changes.
  const [user] = useState(shown);
  const form = useForm({
    initialValues: {
      name: user.name,
      email: user.email ?? '',
      managerIds: [...user.managerIds],
      maxActiveKeys: (user.maxActiveKeys ?? '') as number | '',
    },
  });
  const version = useReadVersion(user.version);
  const { refused, ...act } = useFormAct({
    run: () => {
      const { name, email, managerIds, maxActiveKeys } = form.getValues();
      return api.PATCH('/api/v1/users/{id}', {
        params: { path: { id: user.id }, header: version.header() },
        body: {
          ...(name === user.name ? {} : { name }),
          ...(email === (user.email ?? '') ? {} : { email: email === '' ? null : email }),
          ...(user.kind === 'service' && !isSameSet(managerIds, user.managerIds) ? { managerIds } : {}),
          ...(maxActiveKeys === (user.maxActiveKeys ?? '')
            ? {}
            : { maxActiveKeys: maxActiveKeys === '' ? null : maxActiveKeys }),
        },
      });
    },
    done: 'Saved.',
    onDone: onClose,
    onRefused: (problem) => {
      form.setErrors(fieldErrors(problem, EDITED));
    },
  });
  return (
    <Confirm
      title={`Edit ${user.name}`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Save"
    >
      <TextInput label="Name" required {...form.getInputProps('name')} />
      <TextInput label="E-mail" type="email" {...form.getInputProps('email')} />
      {user.kind === 'service' && (
        <UsersPicker
          label="Managers"
          kind="person"
          value={form.getValues().managerIds}
          onChange={(ids) => form.setFieldValue('managerIds', ids)}
          error={form.errors['managerIds']}
        />
      )}
      <CapField {...form.getInputProps('maxActiveKeys')} />
      {refused && !isSaidByFields(refused, form.errors as Record<string, string>, EDITED) && (
        <SaveRefused problem={refused} version={version} onKeep={() => act.go()} />
      )}
    </Confirm>
  );
}

export function Roles({ user, onClose }: DialogProps) {
  const [roles, setRoles] = useState(user.roles);
  const version = useReadVersion(user.version);
  const { refused, ...act } = useFormAct({
    run: () =>
      api.PUT('/api/v1/users/{id}/roles', {
        params: { path: { id: user.id }, header: version.header() },
        body: { roles },
      }),
    done: 'Roles set. They apply from the next request.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={`Roles of ${user.name}`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Set roles"
    >
      <RolesField
        value={roles}
        onChange={setRoles}
        error={refused ? fieldErrors(refused, ['roles'])['roles'] : undefined}
      />
      {refused && !isSaidByFields(refused, fieldErrors(refused, ['roles']), ['roles']) && (
        <SaveRefused problem={refused} version={version} onKeep={() => act.go()} />
      )}
    </Confirm>
  );
}

export function Password({ user, onClose }: DialogProps) {
  const [password, setPassword] = useState('');
  const { refused, ...act } = useFormAct({
    run: () => api.PUT('/api/v1/users/{id}/password', { params: { path: { id: user.id } }, body: { password } }),
    done: 'Password set; all sessions have ended.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={`Set a password for ${user.name}`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Set password"
      disabled={password.length < 12}
    >
      <PasswordInput
        label="New password"
        description="12 characters or more. All sessions end, and it must be changed at the next sign-in."
        autoComplete="new-password"
        value={password}
        error={refused ? fieldErrors(refused, ['password'])['password'] : undefined}
        onChange={(event) => setPassword(event.currentTarget.value)}
        visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }}
      />
      {refused && !isSaidByFields(refused, fieldErrors(refused, ['password']), ['password']) && (
        <ProblemAlert error={refused} />
      )}
    </Confirm>
  );
}

export function ResetSecondFactor({ user, onClose }: DialogProps) {
  const act = useAct({
    run: () => api.DELETE('/api/v1/users/{id}/second-factor', { params: { path: { id: user.id } } }),
    done: 'Second factor removed; all sessions have ended.',
    onDone: onClose,
  });
  return (
    <Confirm
      title={`Reset the second factor of ${user.name}?`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action="Reset second factor"
      danger
    >
      For a person who has lost both the phone and the recovery codes. Check that the request comes from that person.
      The next sign-in needs the password alone. All sessions end.
    </Confirm>
  );
}

export function Switch({ user, onClose }: DialogProps) {
  const act = useAct({
    run: () =>
      api.PATCH('/api/v1/users/{id}', { params: { path: { id: user.id } }, body: { isActive: !user.isActive } }),
    done: user.isActive ? `${user.name} is inactive.` : `${user.name} is active.`,
    onDone: onClose,
  });
  return (
    <Confirm
      title={user.isActive ? `Deactivate ${user.name}?` : `Activate ${user.name}?`}
      opened
      onClose={onClose}
      onConfirm={() => act.go()}
      pending={act.isPending}
      action={user.isActive ? 'Deactivate' : 'Activate'}
      danger={user.isActive}
    >
      {user.isActive
        ? 'All sessions end and all keys are refused, on every replica, until this is undone.'
        : 'Signing in works again, and so do all keys that are active themselves.'}
    </Confirm>
  );
}
