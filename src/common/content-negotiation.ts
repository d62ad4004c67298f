import Negotiator from 'negotiator';

/**
 * The type among those offered that an `Accept` header prefers, weights and wildcards included; the first where it
 * names none of them. Parameters of types (`header=present`) do not count.
 *
 * @see RFC 9110, section 12.5.1
 */
export function preferredType<Type extends string>(
  accept: string | undefined,
  offered: readonly [Type, ...Type[]],
): Type {
  const preferred = new Negotiator({ headers: { accept: withoutParameters(accept) } }).mediaType([...offered]);
  return offered.find((type) => type === preferred) ?? offered[0];
}

/** The header with the weights of its types alone. */
function withoutParameters(accept: string | undefined): string | undefined {
  return accept
    ?.split(',')
    .map((range) => {
      const [type, ...parameters] = range.split(';');
      return [type, ...parameters.filter((parameter) => /^\s*q\s*=/i.test(parameter))].join(';');
    })
    .join(',');
}
