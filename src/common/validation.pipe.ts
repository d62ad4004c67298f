import {
  type ArgumentMetadata,
  type ValidationError,
  ValidationPipe,
  type ValidationPipeOptions,
} from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validate } from 'class-validator';
import { checkedBody, hasBodySchema } from './body-schema.js';
import { type FieldError, validationFailed } from './domain-error.js';
import { withoutIgnored } from './ignored-members.js';
import { secretMembersOf } from './secret-members.js';

/** Every place of a body, but for the members `except`, that shows a secret made here. */
export type SecretFinder = (body: unknown, except: readonly string[]) => readonly FieldError[];

/**
 * Checks a body that declares a schema by its compiled function, at once and without a promise: class-validator would
 * halve the throughput of a small route. Everything else goes its usual way.
 */
class RequestValidationPipe extends ValidationPipe {
  constructor(
    private readonly findSecrets: SecretFinder,
    options: ValidationPipeOptions,
  ) {
    super(options);
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- Nest's own type
  override transform(value: unknown, metadata: ArgumentMetadata): any {
    if (metadata.metatype !== undefined && hasBodySchema(metadata.metatype))
      return checkedBody(metadata.metatype, value);
    // Nest's pipe takes `null` for absent, which would be a request with defaults.
    if (value === null && metadata.type === 'body' && this.toValidate(metadata)) {
      throw validationFailed([{ path: 'body', message: 'must be a JSON object' }]);
    }
    if (metadata.type === 'body' && metadata.metatype !== undefined && this.toValidate(metadata)) {
      const shown = this.findSecrets(value, secretMembersOf(metadata.metatype));
      if (shown.length > 0) throw validationFailed(shown);
    }
    const said = metadata.type === 'body' && metadata.metatype ? withoutIgnored(metadata.metatype, value) : value;
    return super.transform(said, metadata);
  }
}

/** How bodies are read: unknown fields are refused, nothing is coerced. */
const TRANSFORM = { enableImplicitConversion: false, exposeUnsetFields: false } as const;
const VALIDATE = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: true } as const;

/** One entry of a list that is right, or every field of it that is wrong, by its path inside of the entry. */
export type EntryReading<T> = { readonly value: T } | { readonly errors: readonly FieldError[] };

/** Reads an entry of a list whose entries are judged each by itself, by the rules of `type`. */
export async function readEntry<T extends object>(type: new () => T, entry: unknown): Promise<EntryReading<T>> {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    return { errors: [{ path: 'entry', message: 'must be an object' }] };
  }
  const value = plainToInstance(type, entry, TRANSFORM);
  const problems = await validate(value, { ...VALIDATE, validationError: { target: false, value: false } });
  const errors = fieldErrors(problems, '');
  return errors.length === 0 ? { value } : { errors };
}

/**
 * The pipe of every route: unknown fields are refused, nothing is coerced, all wrong fields are named at once. A body that
 * shows a secret made here is refused before anything else about it, so that no other sentence repeats it.
 */
export function requestValidation(findSecrets: SecretFinder): ValidationPipe {
  return new RequestValidationPipe(findSecrets, {
    ...VALIDATE,
    transform: true,
    transformOptions: TRANSFORM,
    validationError: { target: false, value: false },
    exceptionFactory: (errors) => validationFailed(fieldErrors(errors, '')),
  });
}

function fieldErrors(errors: readonly ValidationError[], prefix: string): FieldError[] {
  return errors.flatMap((error) => {
    const path = `${prefix}${error.property}`;
    const own = Object.entries(error.constraints ?? {}).map(([rule, message]) => ({
      path,
      message: rule === 'whitelistValidation' ? 'is not a field of this request' : withoutName(message, error.property),
    }));
    return [...own, ...fieldErrors(error.children ?? [], `${path}.`)];
  });
}

/** class-validator begins its sentences with the field's name; the path says it already. */
function withoutName(message: string, property: string): string {
  return message.startsWith(`${property} `) ? message.slice(property.length + 1) : message;
}
