import { Fieldset, NumberInput, Select, Stack, Switch, TagsInput, TextInput } from '@mantine/core';
import { API_KEY_FIELDS, type ApiKeyField, type ApiKeyFieldName } from '../../../packages/contract/src/api-key-fields';
import type { ApiKey, Schemas } from '../api/client';

/** Empty text stands for null. */
type Value = string | number | boolean | string[];

/** What the form holds of the fields that have no place of their own, by name. */
export type MoreFields = Record<string, Value>;

const MORE = (Object.entries(API_KEY_FIELDS) as [ApiKeyFieldName, ApiKeyField][]).filter(
  ([, { inForm }]) => inForm === 'more',
);

/** What a new key has. */
export function emptyMore(): MoreFields {
  return Object.fromEntries(MORE.map(([name, field]) => [name, held(field.default)]));
}

/** What a key has. */
export function moreOf(key: ApiKey): MoreFields {
  return Object.fromEntries(MORE.map(([name]) => [name, held(key[name])]));
}

/** The fields as the API takes them. */
export function bodyOfMore(more: MoreFields): Partial<Schemas['UpdateApiKeyDto']> {
  return Object.fromEntries(MORE.map(([name]) => [name, more[name] === '' ? null : more[name]]));
}

/** What a key has of each, for the page of the key. */
export function moreInWords(key: ApiKey): [label: string, text: string][] {
  return MORE.map(([name]) => [inWords(name), textOf(key[name])]);
}

function textOf(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  return value === null ? 'none' : String(value);
}

function held(value: unknown): Value {
  return Array.isArray(value) ? value.map(String) : ((value ?? '') as Value);
}

interface MoreFieldsProps {
  values: MoreFields;
  isNew: boolean;
  errors: Readonly<Record<string, unknown>>;
  onChange: (name: string, value: Value) => void;
}

/** The fields of the table that have no place of their own in the form; nothing where there are none. */
export function MoreFieldset({ values, isNew, errors, onChange }: MoreFieldsProps) {
  const shown = MORE.filter(([, { given }]) => isNew || given === 'create and update');
  if (shown.length === 0) return null;
  return (
    <Fieldset legend="More">
      <Stack gap="sm">
        {shown.map(([name, field]) => (
          <MoreField
            key={name}
            name={name}
            field={field}
            value={values[name] ?? ''}
            error={errors[name] as string | undefined}
            onChange={(value) => onChange(name, value)}
          />
        ))}
      </Stack>
    </Fieldset>
  );
}

interface MoreFieldProps {
  name: string;
  field: ApiKeyField;
  value: Value;
  error: string | undefined;
  onChange: (value: Value) => void;
}

/** One field, by the type of its schema. */
function MoreField({ name, field: { schema, isNullable, description }, value, error, onChange }: MoreFieldProps) {
  const shared = { label: inWords(name), description: description.replaceAll('`', ''), error };
  if (schema.enum !== undefined)
    return (
      <Select
        {...shared}
        maw={400}
        data={schema.enum.map(String)}
        allowDeselect={isNullable}
        value={String(value) || null}
        onChange={(chosen) => onChange(chosen ?? '')}
      />
    );
  if (schema.type === 'boolean')
    return <Switch {...shared} checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />;
  if (schema.type === 'array') return <TagsInput {...shared} value={value as string[]} onChange={onChange} />;
  if (schema.type === 'integer' || schema.type === 'number')
    return (
      <NumberInput
        {...shared}
        maw={400}
        min={schema.minimum}
        max={schema.maximum}
        allowDecimal={schema.type === 'number'}
        value={value as number | ''}
        onChange={(next) => onChange(next === '' ? '' : Number(next))}
      />
    );
  return <TextInput {...shared} value={String(value)} onChange={(event) => onChange(event.currentTarget.value)} />;
}

/** `costCentre` as `Cost centre`. */
function inWords(name: string): string {
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
}
