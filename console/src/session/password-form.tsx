import { Alert, Button, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { Problem, api, dataOf } from '../api/client';
import { settings } from '../settings';

interface PasswordFormProps {
  /** Whose password is asked for; absent: the form asks for the e-mail address too. */
  email?: string;
  takesFocus: boolean;
  onSignedIn: () => Promise<void>;
}

/** E-mail and password, then the code of the second factor where the account has one. */
export function PasswordForm({ email: known, takesFocus, onSignedIn }: PasswordFormProps) {
  const [email, setEmail] = useState(known ?? '');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  /** Whether the password was right, and a code is asked for. */
  const [needsCode, setNeedsCode] = useState(false);
  const signIn = useMutation({
    mutationFn: () =>
      dataOf(api.POST('/api/v1/auth/login', { body: { email, password, ...(needsCode ? { code } : {}) } })),
    onError: (error) => {
      setCode('');
      if (isAboutCode(error)) setNeedsCode(true);
    },
    onSuccess: async () => {
      setPassword('');
      setCode('');
      await onSignedIn();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!signIn.isPending) signIn.mutate();
  };
  const startOver = () => {
    setNeedsCode(false);
    setPassword('');
    signIn.reset();
  };
  const failure = signIn.isError && !isAboutCode(signIn.error) && (
    <Alert color="red" variant="outline" p="xs" role="alert">
      {messageOf(signIn.error)}
    </Alert>
  );
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        {needsCode ? (
          <CodeStep code={code} onChange={setCode} isPending={signIn.isPending} onStartOver={startOver}>
            {failure}
          </CodeStep>
        ) : (
          <>
            {known === undefined && (
              <TextInput
                label="E-mail"
                name="email"
                type="email"
                autoComplete="username"
                required
                withAsterisk={false}
                autoFocus={takesFocus}
                value={email}
                onChange={(event) => setEmail(event.currentTarget.value)}
              />
            )}
            <PasswordInput
              label="Password"
              name="password"
              autoComplete="current-password"
              required
              withAsterisk={false}
              data-autofocus={known === undefined ? undefined : true}
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
              visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }}
            />
            {failure}
            <Button
              type="submit"
              variant={settings.identityProvider === null ? 'filled' : 'default'}
              loading={signIn.isPending}
              fullWidth
              mt="xs"
            >
              Sign in
            </Button>
          </>
        )}
      </Stack>
    </form>
  );
}

interface CodeStepProps {
  code: string;
  onChange: (code: string) => void;
  isPending: boolean;
  onStartOver: () => void;
  children: ReactNode;
}

function CodeStep({ code, onChange, isPending, onStartOver, children }: CodeStepProps) {
  return (
    <>
      <Text size="sm">Enter the code that your authenticator app shows, or one of your recovery codes.</Text>
      <TextInput
        label="Code"
        name="code"
        autoComplete="one-time-code"
        autoCapitalize="off"
        required
        withAsterisk={false}
        autoFocus
        maxLength={32}
        value={code}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
      {children}
      <Button type="submit" loading={isPending} disabled={code.trim().length < 6} fullWidth mt="xs">
        Sign in
      </Button>
      <Button variant="default" fullWidth onClick={onStartOver}>
        Another account
      </Button>
    </>
  );
}

/** The first answer to a right password: it is a step, and no failure. */
function isAboutCode(error: Error): boolean {
  return error instanceof Problem && error.code === 'MFA_REQUIRED';
}

function messageOf(error: Error): string {
  if (error instanceof Problem && error.code === 'UNAUTHENTICATED') return 'E-mail or password is wrong.';
  return error.message;
}
