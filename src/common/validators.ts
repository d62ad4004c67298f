import {
  ArrayMaxSize,
  ArrayUnique,
  IsArray,
  IsString,
  Matches,
  ValidateBy,
  ValidateIf,
  type ValidationArguments,
  type ValidationOptions,
} from 'class-validator';
import { type Grammar, isOf } from './grammars/grammar.js';
import { UUID } from './grammars/uuid.js';

/** Validates a field only when it was sent; `null` counts as sent. (`@IsOptional()` would let null through.) */
export const IfPresent = () => ValidateIf((_, value) => value !== undefined);

/** Validates a field only when a value was sent; `null` is allowed and means "cleared". */
export const IfGiven = () => ValidateIf((_, value) => value !== undefined && value !== null);

/** Where a rule keeps what the OpenAPI document says of its field. */
export const SCHEMA_OF_RULE = Symbol('schema of rule');

/** `each` checks a list entry by entry; `schema` is what the OpenAPI document says of the rule. */
export interface RuleOptions extends ValidationOptions {
  readonly schema?: Readonly<Record<string, unknown>>;
}

/** A rule of our own: `check` decides, `sentence` says what would be right. */
export function Satisfies(
  name: string,
  check: (value: unknown) => boolean,
  sentence: string,
  options: RuleOptions = {},
): PropertyDecorator {
  const { schema, ...rest } = options;
  return ValidateBy(
    {
      name,
      constraints: [{ [SCHEMA_OF_RULE]: schema }],
      validator: {
        validate: (value: unknown) => check(value),
        defaultMessage: (args?: ValidationArguments) => `${args?.property ?? 'value'} ${sentence}`,
      },
    },
    { ...rest, message: rest.each ? `each entry ${sentence}` : sentence },
  );
}

/** A list of at most `maxSize` entries, none of them twice. */
export function IsSet(maxSize: number): PropertyDecorator {
  return together(IsArray(), ArrayMaxSize(maxSize), ArrayUnique({ message: 'must not name an entry twice' }));
}

/** A list of at most `maxSize` texts of a grammar, none of them twice. */
export function IsSetOf(maxSize: number, { expression, sentence }: Grammar): PropertyDecorator {
  const matches = Matches(expression, { each: true, message: `each entry ${sentence}` });
  return together(IsSet(maxSize), IsString({ each: true }), matches);
}

/** Text of a grammar. */
export function IsOf({ expression, sentence }: Grammar): PropertyDecorator {
  return together(IsString(), Matches(expression, { message: sentence }));
}

/** The id of anything; `each`: a list of them. */
export function IsId(options: Pick<RuleOptions, 'each'> = {}): PropertyDecorator {
  return Satisfies('isUuid', (value) => isOf(UUID, value), UUID.sentence, { ...options, schema: { format: 'uuid' } });
}

/** As if they stood one below the other. */
function together(...decorators: readonly PropertyDecorator[]): PropertyDecorator {
  return (target, property) => decorators.toReversed().forEach((decorate) => decorate(target, property));
}
