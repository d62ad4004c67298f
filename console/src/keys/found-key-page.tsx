import { Alert, Button, Group, Paper, PasswordInput, Stack, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { type FormEvent, type ReactNode, useState } from 'react';
import { Problem, api } from '../api/client';
import { settings } from '../settings';
import { LonePage } from '../session/lone-page';
import { useAct } from '../ui/act';
import { Page, ProblemAlert } from '../ui/states';

const LEAD = 'Whoever finds a key where it should not be can end it: the key itself is all it takes.';

/** For people who are signed in. */
export function FoundKeyPage() {
  return (
    <Page title="Revoke a found key" lead={LEAD}>
      <Paper withBorder p="md" maw={560}>
        <FoundKeyForm />
      </Paper>
    </Page>
  );
}

/** For strangers: nobody has to have an account to stop a leak. */
export function FoundKey() {
  return (
    <LonePage title="Revoke a found key" heading="Revoke a found key" lead={LEAD} width={440}>
      <Paper withBorder p="lg" radius="md">
        <FoundKeyForm>
          <Text size="sm">
            <Link className="text-link" to="/sign-in" search={{ redirect: undefined, ended: undefined }}>
              Sign in
            </Link>
          </Text>
        </FoundKeyForm>
      </Paper>
    </LonePage>
  );
}

/** Presents the key, and says what the server says: the same whatever was presented. */
function FoundKeyForm({ children }: { children?: ReactNode }) {
  const [key, setKey] = useState('');
  const [refused, setRefused] = useState<Problem | null>(null);
  const act = useAct({
    run: () => api.POST('/api/v1/api-keys/self-revoke', { body: { key: key.trim() } }),
    onDone: () => {
      setKey('');
      setRefused(null);
    },
    onRefused: (problem) => {
      setRefused(problem);
      return true;
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key.trim() !== '') act.go();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        {act.isSuccess && key === '' && (
          <Alert color="teal" variant="outline" p="xs" role="status" title="Thank you">
            If this was a secret of a key here, it has ended, and with its last secret the key. The answer is the same
            for anything else.
          </Alert>
        )}
        <PasswordInput
          label="The whole key"
          description={`Such as ${settings.keyPrefix}_live_…; it goes to this server and nowhere else`}
          required
          withAsterisk={false}
          autoComplete="off"
          spellCheck={false}
          value={key}
          onChange={(event) => setKey(event.currentTarget.value)}
          visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the key' }}
        />
        {refused && <ProblemAlert error={refused} />}
        <Group justify="space-between">
          <Button type="submit" color="red.8" loading={act.isPending} disabled={key.trim() === ''}>
            Revoke it
          </Button>
          {children}
        </Group>
      </Stack>
    </form>
  );
}
