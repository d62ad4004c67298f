import { type ArgumentMetadata, type ValidationError, ValidationPipe } from '@nestjs/common';
import { type FieldError, validationFailed } from './domain-error.js';

/**
 * The pipe of every management route: unknown fields are refused, nothing is coerced, all wrong fields are
 * named at once.
 */
export function requestValidation(): ValidationPipe {
  return new RequestValidation({
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    transform: true,
    transformOptions: { enableImplicitConversion: false, exposeUnsetFields: false },
    validationError: { target: false, value: false },
    exceptionFactory: (errors) => validationFailed(fieldErrors(errors, '')),
  });
}

/** Nest's pipe takes a body that is `null` for one that is absent, which would be a request with defaults. */
class RequestValidation extends ValidationPipe {
  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (value === null && metadata.type === 'body' && this.toValidate(metadata)) {
      throw validationFailed([{ path: 'body', message: 'must be a JSON object' }]);
    }
    return super.transform(value, metadata);
  }
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
