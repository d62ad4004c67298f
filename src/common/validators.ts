import { ValidateBy, ValidateIf, type ValidationArguments, type ValidationOptions } from 'class-validator';

/** Validates a field only when it was sent; `null` counts as sent. (`@IsOptional()` would let null through.) */
export const IfPresent = () => ValidateIf((_, value) => value !== undefined);

/** Validates a field only when a value was sent; `null` is allowed and means "cleared". */
export const IfGiven = () => ValidateIf((_, value) => value !== undefined && value !== null);

/** A rule of our own: `check` decides, `sentence` says what would be right. Lists are checked entry by entry. */
export function Satisfies(name: string, check: (value: unknown) => boolean, sentence: string, options?: ValidationOptions): PropertyDecorator {
  return ValidateBy(
    {
      name,
      validator: {
        validate: (value: unknown) => check(value),
        defaultMessage: (args?: ValidationArguments) => `${args?.property ?? 'value'} ${sentence}`,
      },
    },
    { ...options, message: options?.each ? `each entry ${sentence}` : sentence },
  );
}
