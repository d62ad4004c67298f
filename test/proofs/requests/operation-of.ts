import type { NamedOperation } from '../../support/openapi.js';

/** What the document calls a request: the operation with the fewest placeholders that fits. */
export function operationOf(
  operations: readonly NamedOperation[],
  method: string,
  target: string,
): NamedOperation | undefined {
  const path = target.split('?')[0]!;
  const placeholders = (one: NamedOperation) => one.path.split('{').length;
  const fitting = operations.filter((one) => one.method === method && patternOf(one.path).test(path));
  return fitting.sort((left, right) => placeholders(left) - placeholders(right))[0];
}

function patternOf(path: string): RegExp {
  const escaped = path.replace(/[.*+?^$()|[\]\\]/g, '\\$&');
  // The path that a proxy asks about may have more segments.
  return new RegExp(`^${escaped.replace(/\{path\}/g, '.+').replace(/\{\w+\}/g, '[^/]+')}$`);
}
