import { Button, Group, Paper, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { Loaded } from '../ui/states';
import { Facts, Instant } from '../ui/values';
import { RecoveryCodes } from './recovery-codes';
import { AskPassword, SetUpFactor } from './set-up-factor';

type Step = 'set-up' | 'redraw' | 'remove';

/** One's own second factor: set up, new recovery codes, removed. */
export function SecondFactor() {
  const factor = useQuery({
    queryKey: ['second-factor'],
    queryFn: () => dataOf(api.GET('/api/v1/auth/second-factor')),
  });
  const [step, setStep] = useState<Step | null>(null);
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  const cancel = () => setStep(null);
  const show = (recoveryCodes: readonly string[]) => {
    setStep(null);
    setCodes(recoveryCodes);
  };
  const redraw = (password: string) =>
    dataOf(api.POST('/api/v1/auth/second-factor/recovery-codes', { body: { password } }));
  const remove = (password: string) => api.POST('/api/v1/auth/second-factor/remove', { body: { password } });
  return (
    <Paper withBorder p="md" maw={720} component="section" aria-labelledby="second-factor">
      <Text component="h2" id="second-factor" fw={600} mb="xs">
        Second factor
      </Text>
      <Loaded query={factor} rows={2}>
        {(state) => (
          <Stack gap="sm">
            <State factor={state} />
            {step === null && <Steps isSetUp={state.isSetUp} onStep={setStep} />}
            {step === 'set-up' && <SetUpFactor onDone={show} onCancel={cancel} />}
            {step === 'redraw' && (
              <AskPassword
                action="Draw new codes"
                run={redraw}
                onDone={({ recoveryCodes }) => show(recoveryCodes)}
                onCancel={cancel}
              />
            )}
            {step === 'remove' && state.isRequired && (
              <Text size="sm">
                This installation requires a second factor of you: without it you can do nothing but set up a new one.
              </Text>
            )}
            {step === 'remove' && (
              <AskPassword
                action="Remove"
                danger
                run={remove}
                done="Second factor removed."
                onDone={cancel}
                onCancel={cancel}
              />
            )}
          </Stack>
        )}
      </Loaded>
      {codes && <RecoveryCodes codes={codes} onClose={() => setCodes(null)} />}
    </Paper>
  );
}

/** Whether there is one, and what belongs to it. */
function State({
  factor: { isSetUp, setUpAt, recoveryCodesLeft, isRequired },
}: {
  factor: Schemas['SecondFactorView'];
}) {
  if (!isSetUp)
    return (
      <Text size="sm">
        A code of an app on your phone, asked for besides your password when you sign in.
        {isRequired && ' This installation requires it of you.'}
      </Text>
    );
  const since = (
    <span key="since">
      since <Instant at={setUpAt} />
    </span>
  );
  return (
    <Facts
      rows={[
        ['Authenticator app', since],
        ['Recovery codes', `${recoveryCodesLeft} left`],
      ]}
    />
  );
}

/** What can be done next. */
function Steps({ isSetUp, onStep }: { isSetUp: boolean; onStep: (step: Step) => void }) {
  return (
    <Group gap="xs">
      {!isSetUp && (
        <Button size="xs" onClick={() => onStep('set-up')}>
          Set up
        </Button>
      )}
      {isSetUp && (
        <Button size="xs" variant="default" onClick={() => onStep('redraw')}>
          New recovery codes
        </Button>
      )}
      {isSetUp && (
        <Button size="xs" variant="outline" color="red" onClick={() => onStep('remove')}>
          Remove
        </Button>
      )}
    </Group>
  );
}
