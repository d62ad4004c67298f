import { isUuid } from '../common/uuid.js';

/** What a request was about, by its path alone: bodies may hold secrets and are never read for the trail. */
export interface NamedResource {
  readonly resourceId: string | null;
  /** The path's other parameters. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** Ids, names, aliases and kids. A longer run of letters and digits could be a secret that strayed into a URL. */
const NAME = /^(?!.*[0-9A-Za-z]{32})[0-9A-Za-z._-]{1,100}$/;

/**
 * The resource is what `:id` or `:name` in the path says; other parameters are details. A parameter that no id,
 * name or alias can be is told as `?`, never as it is.
 */
export function namedResource(params: unknown): NamedResource {
  const { id, name, ...rest } = (params ?? {}) as Record<string, unknown>;
  const others = Object.entries(rest).filter(([key]) => key !== '*');
  return {
    resourceId: told(id) ?? told(name),
    details:
      others.length === 0 ? {} : { params: Object.fromEntries(others.map(([key, value]) => [key, told(value)])) },
  };
}

function told(parameter: unknown): string | null {
  if (typeof parameter !== 'string') return null;
  if (!NAME.test(parameter)) return '?';
  return isUuid(parameter) ? parameter.toLowerCase() : parameter;
}
