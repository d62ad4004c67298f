import { Button, Paper, PasswordInput, Stack, Text } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { api } from '../api/client';
import { useSession } from '../session/session';
import { fieldErrors, useFormAct } from '../ui/act';
import { ProblemAlert } from '../ui/states';

/** A form for one’s own new password, below a heading. */
export function OwnPassword({ title }: { title: string }) {
  const { user } = useSession();
  const [currentPassword, setCurrent] = useState('');
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const { refused, ...act } = useFormAct({
    run: () =>
      api.PUT('/api/v1/users/{id}/password', {
        params: { path: { id: user.id } },
        body: { password, currentPassword },
      }),
    done: 'Password changed. Your other sessions have ended.',
    onDone: () => {
      setCurrent('');
      setPassword('');
      setAgain('');
    },
  });
  const errors = refused ? fieldErrors(refused, ['password', 'currentPassword']) : {};
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act.go();
  };
  const eye = { visibilityToggleButtonProps: { 'aria-label': 'Show or hide the password' } };
  return (
    <Paper withBorder p="md" maw={720} component="section" aria-labelledby="password">
      <Text component="h2" id="password" fw={600} mb="xs">
        {title}
      </Text>
      <form onSubmit={submit}>
        <Stack gap="sm" maw={360}>
          <PasswordInput
            label="Current password"
            autoComplete="current-password"
            required
            value={currentPassword}
            error={errors['currentPassword']}
            onChange={(event) => setCurrent(event.currentTarget.value)}
            {...eye}
          />
          <PasswordInput
            label="New password"
            description="12 characters or more; a few unrelated words make a good one"
            autoComplete="new-password"
            required
            minLength={12}
            value={password}
            error={errors['password']}
            onChange={(event) => setPassword(event.currentTarget.value)}
            {...eye}
          />
          <PasswordInput
            label="New password again"
            autoComplete="new-password"
            required
            value={again}
            error={again !== '' && again !== password ? 'is not the same' : null}
            onChange={(event) => setAgain(event.currentTarget.value)}
            {...eye}
          />
          {refused && Object.keys(errors).length === 0 && <ProblemAlert error={refused} />}
          <div>
            <Button
              type="submit"
              loading={act.isPending}
              disabled={password.length < 12 || password !== again || currentPassword === ''}
            >
              Change password
            </Button>
          </div>
        </Stack>
      </form>
    </Paper>
  );
}
