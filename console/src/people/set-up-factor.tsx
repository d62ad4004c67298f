import { Button, type ButtonProps, Group, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { type FormEvent, Suspense, lazy, useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { fieldErrors, useFormAct } from '../ui/act';
import { ProblemAlert } from '../ui/states';
import { Copy } from '../ui/values';

const QrCode = lazy(() => import('./qr-code'));

/** From the password over the QR code to the first code; `onDone` gets the recovery codes. */
export function SetUpFactor({
  onDone,
  onCancel,
}: {
  onDone: (recoveryCodes: string[]) => void;
  onCancel?: () => void;
}) {
  const [enrolment, setEnrolment] = useState<Schemas['EnrolmentView'] | null>(null);
  if (enrolment === null) {
    const begin = (password: string) => dataOf(api.POST('/api/v1/auth/second-factor', { body: { password } }));
    return <AskPassword action="Continue" run={begin} onDone={setEnrolment} onCancel={onCancel} />;
  }
  return <FirstCode enrolment={enrolment} onDone={onDone} onCancel={onCancel} />;
}

/** The password again, for an act that changes the way in. */
export function AskPassword<T>({
  action,
  run,
  done,
  onDone,
  onCancel,
  danger = false,
}: {
  action: string;
  run: (password: string) => Promise<T>;
  done?: string;
  onDone: (answer: T) => void;
  onCancel?: () => void;
  danger?: boolean;
}) {
  const [password, setPassword] = useState('');
  const { refused, ...act } = useFormAct<string, T>({
    run,
    done,
    onDone: (answer) => {
      setPassword('');
      onDone(answer);
    },
  });
  const isWrong = refused?.code === 'WRONG_PASSWORD';
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act.go(password);
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm" maw={360}>
        <PasswordInput
          label="Your password again"
          autoComplete="current-password"
          required
          withAsterisk={false}
          data-autofocus
          value={password}
          error={isWrong ? 'is wrong' : null}
          onChange={(event) => setPassword(event.currentTarget.value)}
          visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password' }}
        />
        {refused && !isWrong && <ProblemAlert error={refused} />}
        <Submit
          color={danger ? 'red.8' : undefined}
          loading={act.isPending}
          disabled={password === ''}
          onCancel={onCancel}
        >
          {action}
        </Submit>
      </Stack>
    </form>
  );
}

function FirstCode({
  enrolment,
  onDone,
  onCancel,
}: {
  enrolment: Schemas['EnrolmentView'];
  onDone: (recoveryCodes: string[]) => void;
  onCancel?: () => void;
}) {
  const [code, setCode] = useState('');
  const { refused, ...act } = useFormAct({
    run: () => dataOf(api.POST('/api/v1/auth/second-factor/confirm', { body: { code } })),
    onDone: ({ recoveryCodes }) => onDone(recoveryCodes),
  });
  const error = refused ? fieldErrors(refused, ['code'])['code'] : undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act.go();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <Text size="sm">
          Scan this with an authenticator app, or type the secret into it. Then enter the code it shows.
        </Text>
        <Suspense fallback={<div style={{ height: 216 }} aria-busy="true" />}>
          <div>
            <QrCode text={enrolment.uri} />
          </div>
        </Suspense>
        <Group gap={6} wrap="nowrap">
          <Text className="mono breakable" data-testid="factor-secret">
            {enrolment.secret}
          </Text>
          <Copy value={enrolment.secret} label="Copy the secret" />
        </Group>
        <TextInput
          label="Code"
          inputMode="numeric"
          autoComplete="one-time-code"
          required
          withAsterisk={false}
          maw={180}
          maxLength={8}
          value={code}
          error={error}
          onChange={(event) => setCode(event.currentTarget.value)}
        />
        {refused && error === undefined && <ProblemAlert error={refused} />}
        <Submit loading={act.isPending} disabled={code.replace(/\s/g, '').length < 6} onCancel={onCancel}>
          Confirm
        </Submit>
      </Stack>
    </form>
  );
}

/** The button that sends a form, and beside it the one that leaves the step where it may be left. */
function Submit({ onCancel, ...button }: ButtonProps & { onCancel?: (() => void) | undefined; children: string }) {
  return (
    <Group gap="xs">
      <Button type="submit" {...button} />
      {onCancel && (
        <Button variant="default" onClick={onCancel}>
          Cancel
        </Button>
      )}
    </Group>
  );
}
