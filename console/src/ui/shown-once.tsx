import { Alert, Button, Checkbox, Group, Stack } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import { Dialog } from './dialog';
import { useUnsaved } from './unsaved';

interface Props {
  title: string;
  size?: 'lg';
  /** Why it is shown once. */
  why: string;
  /** Asked before a page is left that shows it. */
  leave: string;
  /** What the reader confirms before the dialog closes. */
  stored: string;
  onClose: () => void;
  children: ReactNode;
}

/**
 * Shows what is seen this one time. It is in the memory of this dialog alone: every way out asks first, and a session
 * that ends meanwhile does not close it.
 */
export function ShownOnce({ title, size, why, leave, stored, onClose, children }: Props) {
  const [isStored, setStored] = useState(false);
  const release = useUnsaved(true, leave);
  return (
    <Dialog title={title} {...(size === undefined ? {} : { size })}>
      <Stack gap="sm">
        <Alert color="yellow" variant="outline" p="xs">
          {why}
        </Alert>
        {children}
        <Checkbox label={stored} checked={isStored} onChange={(event) => setStored(event.currentTarget.checked)} />
        <Group justify="flex-end">
          <Button
            disabled={!isStored}
            onClick={() => {
              release();
              onClose();
            }}
          >
            Done
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}
