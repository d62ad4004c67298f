import { Alert, Button, Group, Text } from '@mantine/core';
import { useRef } from 'react';
import type { Problem } from '../api/client';
import { ProblemAlert } from './states';
import { Instant } from './values';

/** What a save is sent with, so that it is refused where another was faster. */
export interface ReadVersion {
  /** For `params`. */
  readonly header: () => { 'If-Match': string };
  /** From now on a save is on top of what the refusal has told of. */
  readonly accept: (problem: Problem) => void;
}

/** The version that a form was filled from: a refetch behind the form does not change it. */
export function useReadVersion(read: string | undefined): ReadVersion {
  const version = useRef(read);
  return {
    header: () => ({ 'If-Match': version.current === undefined ? '*' : `"${version.current}"` }),
    accept: (problem) => {
      version.current = String(problem.members['version']);
    },
  };
}

interface Props {
  problem: Problem;
  /** What the form was filled from; absent: there was nothing yet. */
  version?: ReadVersion;
  /** Sends the same changes again, on top of what is there now. */
  onKeep: () => void;
  /** Called before the page is read anew: what was typed goes. */
  onDrop?: () => void;
}

/** A refused save, in words; where it was refused because another was faster, with both ways to go on. */
export function SaveRefused({ problem, version, onKeep, onDrop }: Props) {
  if (problem.code !== 'VERSION_MISMATCH') return <ProblemAlert error={problem} />;
  const { changedBy, changedAt } = problem.members as { changedBy?: string | null; changedAt?: string };
  return (
    <Alert color="yellow" variant="outline" role="alert" title="Changed meanwhile">
      <Text size="sm">
        {changedAt === undefined ? (
          'This was changed after you opened it.'
        ) : (
          <>
            Changed meanwhile by {changedBy ?? 'the server'}, <Instant at={changedAt} />.
          </>
        )}{' '}
        Nothing of yours was saved yet. If you save on top, fields that you have not touched stay as they are now.
      </Text>
      <Group gap="xs" mt="sm">
        <Button
          size="xs"
          onClick={() => {
            version?.accept(problem);
            onKeep();
          }}
        >
          Save mine on top
        </Button>
        <Button
          size="xs"
          variant="default"
          onClick={() => {
            onDrop?.();
            window.location.reload();
          }}
        >
          Drop mine and reload
        </Button>
      </Group>
    </Alert>
  );
}
