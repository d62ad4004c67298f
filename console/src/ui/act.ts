import { notifications } from '@mantine/notifications';
import { type UseMutationResult, useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useRef, useState } from 'react';
import { Problem } from '../api/client';
import { hasUnsaved } from './unsaved';

/** A change, what is said of it, and what follows. */
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
export function useAct<Input = void, Output = unknown>({
  run,
  done,
  onDone,
  onRefused,
}: Act<Input, Output>): UseMutationResult<Output, Error, Input> & { go: (input: Input) => void } {
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
      // The sign-in over the page says it; afterwards the same act can be tried again.
      if (error instanceof Problem && error.code === 'UNAUTHENTICATED' && hasUnsaved()) return;
      if (error instanceof Problem && onRefused?.(error)) return;
      notifications.show({
        title: 'Not done',
        message: error.message,
        color: 'red',
        withBorder: true,
        autoClose: 8000,
      });
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

/** As `Act`; what `onRefused` does beside keeping the refusal. */
export interface FormAct<Input, Output> extends Omit<Act<Input, Output>, 'onRefused'> {
  onRefused?: (problem: Problem) => void;
}

/**
 * A change by a form. `refused` is why the last try was refused, for the form to show beside its fields: until it is
 * tried again, done, or `forget` is called because what was typed is another now.
 */
export function useFormAct<Input = void, Output = unknown>({
  onRefused,
  onDone,
  ...change
}: FormAct<Input, Output>): ReturnType<typeof useAct<Input, Output>> & { refused: Problem | null; forget: () => void } {
  const [refused, setRefused] = useState<Problem | null>(null);
  const forget = () => setRefused(null);
  const act = useAct<Input, Output>({
    ...change,
    onDone: (output, input) => {
      forget();
      onDone?.(output, input);
    },
    onRefused: (problem) => {
      setRefused(problem);
      onRefused?.(problem);
      return true;
    },
  });
  const go = (input: Input) => {
    forget();
    act.go(input);
  };
  return { ...act, go, refused, forget };
}

/** What a form does instead of what browsers do with it. */
export function submitting(go: () => void): (event: FormEvent) => void {
  return (event) => {
    event.preventDefault();
    go();
  };
}

/** Refusals that name no field, and are about one all the same. */
const FIELD_OF_CODE: Readonly<Record<string, string>> = {
  ALIAS_TAKEN: 'alias',
  LIMIT_ALIAS_TAKEN: 'alias',
  EMAIL_TAKEN: 'email',
  ROLE_NAME_TAKEN: 'name',
  PROJECT_NAME_TAKEN: 'name',
  PROJECT_ALIAS_TAKEN: 'alias',
};

/**
 * Errors by form field: `allowedIps.2` belongs to `allowedIps`, and `keyPolicy.models.0` to `keyPolicy.models` where
 * the form has it. What names no field of the form is left out.
 */
export function fieldErrors(problem: Problem, fields: readonly string[]): Record<string, string> {
  const errors: Record<string, string> = {};
  const about = FIELD_OF_CODE[problem.code];
  if (about !== undefined && problem.errors.length === 0 && fields.includes(about)) return { [about]: problem.message };
  for (const { path, message } of problem.errors) {
    const field = fields
      .filter((one) => path === one || path.startsWith(`${one}.`))
      .sort((a, b) => b.length - a.length)[0];
    if (field === undefined) continue;
    const entry = path.slice(field.length + 1).split('.')[0]!;
    const text = /^\d+$/.test(entry) ? `entry ${Number(entry) + 1} ${message}` : message;
    errors[field] = errors[field] === undefined ? text : `${errors[field]}; ${text}`;
  }
  return errors;
}

/** Whether every word of the refusal stands beside a field already, so that an alert would only say it again. */
export function isSaidByFields(
  problem: Problem,
  errors: Readonly<Record<string, string>>,
  fields: readonly string[],
): boolean {
  if (Object.keys(errors).length === 0) return false;
  return problem.errors.every(({ path }) => fields.some((field) => path === field || path.startsWith(`${field}.`)));
}
