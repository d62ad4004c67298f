import { notifications } from '@mantine/notifications';
import { type UseMutationResult, useMutation, useQueryClient } from '@tanstack/react-query';
import { useRef } from 'react';
import { Problem } from '../api/client';

/** What a change is to the one who makes it. */
export interface Act<Input, Output> {
  run: (input: Input) => Promise<Output>;
  /** Said when it is done; null: nothing is said. */
  done?: ((output: Output, input: Input) => string | null) | string;
  onDone?: (output: Output, input: Input) => void;
  /** True if the refusal is shown where it belongs; otherwise it is shown as a message. */
  onRefused?: (problem: Problem) => boolean;
}

/**
 * A change on the server. While one is under way another call of `go` does nothing, so a double click acts once;
 * afterwards everything shown is asked for again.
 */
export function useAct<Input = void, Output = unknown>({ run, done, onDone, onRefused }: Act<Input, Output>): UseMutationResult<Output, Error, Input> & { go: (input: Input) => void } {
  const queries = useQueryClient();
  const busy = useRef(false);
  const mutation = useMutation<Output, Error, Input>({
    mutationFn: run,
    onSuccess: (output, input) => {
      const text = typeof done === 'function' ? done(output, input) : done;
      if (text) notifications.show({ message: text, color: 'teal', withBorder: true });
      onDone?.(output, input);
      // Not waited for: what was answered shows at once, the rest as it comes.
      void queries.invalidateQueries();
    },
    onError: (error) => {
      if (error instanceof Problem && onRefused?.(error)) return;
      notifications.show({ title: 'Not done', message: error.message, color: 'red', withBorder: true, autoClose: 8000 });
    },
    onSettled: () => {
      busy.current = false;
    },
  });
  const go = (input: Input) => {
    if (busy.current) return;
    busy.current = true;
    mutation.mutate(input);
  };
  return { ...mutation, go };
}

/** Errors by form field: `allowedIps.2` belongs to `allowedIps`. What names no field of the form is left out. */
export function fieldErrors(problem: Problem, fields: readonly string[]): Record<string, string> {
  const errors: Record<string, string> = {};
  for (const { path, message } of problem.errors) {
    const [field = '', entry] = path.split('.');
    if (!fields.includes(field)) continue;
    const text = entry !== undefined && /^\d+$/.test(entry) ? `entry ${Number(entry) + 1} ${message}` : message;
    errors[field] = errors[field] === undefined ? text : `${errors[field]}; ${text}`;
  }
  return errors;
}
