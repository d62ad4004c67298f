import { Alert, Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { Children, type ReactNode, useEffect, useRef, useState } from 'react';
import { Dialog } from './dialog';

interface ConfirmProps {
  title: string;
  opened?: boolean;
  onClose: () => void;
  onConfirm: () => void;
  pending: boolean;
  action: string;
  danger?: boolean;
  /** To be typed before the button works: for what cannot be undone. */
  phrase?: string;
  disabled?: boolean;
  children?: ReactNode;
}

/** A question before an act. Enter in it does nothing by accident: the button has to be meant. */
export function Confirm({
  title,
  opened = true,
  onClose,
  onConfirm,
  pending,
  action,
  danger = false,
  phrase,
  disabled = false,
  children,
}: ConfirmProps) {
  const [typed, setTyped] = useState('');
  const button = useRef<HTMLButtonElement>(null);
  // A button that is waiting loses the focus; after a refusal it is still there and gets it back.
  useEffect(() => {
    if (!pending) return undefined;
    return () => {
      if (document.activeElement === document.body) button.current?.focus();
    };
  }, [pending]);
  const close = () => {
    setTyped('');
    onClose();
  };
  return (
    <Dialog opened={opened} onClose={close} title={title}>
      <Stack gap="sm">
        {isText(children) ? <Text size="sm">{children}</Text> : children}
        {phrase !== undefined && (
          <>
            <Alert color="red" variant="outline" p="xs">
              This cannot be undone.
            </Alert>
            <TextInput
              label={`Type “${phrase}” to confirm`}
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
              autoComplete="off"
            />
          </>
        )}
        <Group justify="flex-end" mt="xs">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button
            ref={button}
            color={danger ? 'red.8' : undefined}
            loading={pending}
            disabled={disabled || (phrase !== undefined && typed.trim() !== phrase.trim())}
            onClick={onConfirm}
          >
            {action}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

/** Words alone, of which some may be put in: `Sign {name} out`. */
function isText(children: ReactNode): boolean {
  const parts = Children.toArray(children);
  return parts.length > 0 && parts.every((part) => typeof part === 'string' || typeof part === 'number');
}
