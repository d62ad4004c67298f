import { TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useEffect, useState } from 'react';
import { settings } from '../settings';
import { Icon } from '../ui/icons';
import { findSecrets, searchTerm } from './secret-finder';

/** The API takes no shorter term, and no longer one. */
const MIN_CHARACTERS = 3;
const MAX_CHARACTERS = 100;

interface SearchFieldProps {
  value: string;
  onChange: (text: string) => void;
  /** A secret, or a part of one, was pasted: its public start is searched for, and nothing else of it is kept. */
  onSecret: (keyPrefix: string) => void;
}

/** Asks the server after a pause in typing, and never with fewer characters than it takes. */
export function SearchField({ value, onChange, onSecret }: SearchFieldProps) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const send = useDebouncedCallback((next: string) => {
    const term = next.trim();
    if (term.length === 0 || term.length >= MIN_CHARACTERS) onChange(term);
  }, 300);
  const change = (next: string) => {
    const term = searchTerm(next, settings.keyPrefix).slice(0, MAX_CHARACTERS);
    const isCut = term !== next.trim() && findSecrets(next, settings.keyPrefix).length > 0;
    // The field too shows no more than the public start: it must not reach the address bar, a log or a screenshot.
    setText(isCut ? term : next.slice(0, MAX_CHARACTERS));
    if (isCut) onSecret(term);
    send(term);
  };
  const length = text.trim().length;
  return (
    <TextInput
      aria-label="Search in name, description, alias and key prefix"
      placeholder="Search, 3 characters or more"
      size="xs"
      className="filters-wide"
      leftSection={<Icon name="search" size={15} />}
      value={text}
      autoComplete="off"
      spellCheck={false}
      error={length > 0 && length < MIN_CHARACTERS ? 'At least 3 characters' : null}
      onChange={(event) => change(event.currentTarget.value)}
    />
  );
}
