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
import { type FieldRule, faultsOfField, rulesOf } from './field.js';
import { SENTENCES, below, typeSentence } from '../../packages/contract/src/schema.js';
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
      throw validationFailed([{ path: 'body', message: typeSentence('object') }]);
    }
    if (metadata.type === 'body' && metadata.metatype !== undefined && this.toValidate(metadata)) {
      const shown = this.findSecrets(value, secretMembersOf(metadata.metatype));
      if (shown.length > 0) throw validationFailed(shown);
    }
    if (metadata.type === 'query' && metadata.metatype !== undefined && this.toValidate(metadata)) {
      const repeated = repeatedParameters(metadata.metatype, value as object);
      if (repeated.length > 0) throw validationFailed(repeated);
    }
    const said = metadata.type === 'body' && metadata.metatype ? withoutIgnored(metadata.metatype, value) : value;
    return super.transform(said, metadata);
  }
}

/** How bodies are read: unknown fields are refused, nothing is coerced. */
const TRANSFORM = { enableImplicitConversion: false, exposeUnsetFields: false } as const;
const VALIDATE = {
  whitelist: true,
  forbidNonWhitelisted: true,
  forbidUnknownValues: true,
  // Where the rule of a field is found; neither is ever shown.
  validationError: { target: true, value: true },
} as const;

/** One entry of a list that is right, or every field of it that is wrong, by its path inside of the entry. */
export type EntryReading<T> = { readonly value: T } | { readonly errors: readonly FieldError[] };

/** Reads an entry of a list whose entries are judged each by itself, by the rules of `type`. */
export async function readEntry<T extends object>(type: new () => T, entry: unknown): Promise<EntryReading<T>> {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    return { errors: [{ path: 'entry', message: typeSentence('object') }] };
  }
  const value = plainToInstance(type, entry, TRANSFORM);
  const problems = await validate(value, { ...VALIDATE });
  const errors = fieldErrors(problems);
  return errors.length === 0 ? { value } : { errors };
}

/**
 * The pipe of every route: unknown fields are refused, nothing is coerced, all wrong fields are named at once. A body
 * that shows a secret made here is refused before anything else about it, so that no other sentence repeats it.
 */
export function requestValidation(findSecrets: SecretFinder): ValidationPipe {
  return new RequestValidationPipe(findSecrets, {
    ...VALIDATE,
    transform: true,
    transformOptions: TRANSFORM,
    exceptionFactory: (errors) => validationFailed(fieldErrors(errors)),
  });
}

/** One sentence for each place that is wrong. class-validator says which fields are, `faultsOfField` says why. */
function fieldErrors(errors: readonly ValidationError[]): FieldError[] {
  const found = errors.map(({ property, value, target, constraints = {} }) => {
    if ('whitelistValidation' in constraints) return [{ path: property, message: SENTENCES.unknown }];
    const rule = ruleOf(target, property);
    return rule && below(property, faultsOfField(rule, value));
  });
  // Of a list or a text, class-validator does not say of which field.
  if (found.includes(undefined)) return [{ path: 'body', message: typeSentence('object') }];
  return found.flatMap((faults) => faults ?? []);
}

/** Parameters that were given several times where one value is asked for: neither of them counts. */
function repeatedParameters(type: new (...args: never[]) => object, query: object): FieldError[] {
  const rules = rulesOf(type);
  const isRepeated = ([name, value]: [string, unknown]) =>
    Array.isArray(value) && rules.has(name) && rules.get(name)!.schema.type !== 'array';
  return Object.entries(query)
    .filter(isRepeated)
    .map(([path]) => ({ path, message: SENTENCES.repeated }));
}

function ruleOf(target: object | undefined, property: string): FieldRule | undefined {
  return target && rulesOf(target.constructor as new () => object).get(property);
}
