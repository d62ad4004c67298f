const ignored = new WeakMap<object, Ignored>();

interface Ignored {
  readonly names: ReadonlySet<string>;
  readonly nulls: ReadonlySet<string>;
}

/**
 * Declares members of a body that say nothing: what a GET shows and nobody sets, so that it can be sent back as it was
 * read. `nulls`: members that are absent where they are null.
 */
export const Ignores =
  (names: Readonly<Record<string, true>>, nulls: readonly string[] = []): ClassDecorator =>
  (target) => {
    ignored.set(target, { names: new Set(Object.keys(names)), nulls: new Set(nulls) });
  };

/** The body without what its class declares to say nothing; the body itself for any other class. */
export function withoutIgnored(type: object, body: unknown): unknown {
  const of = ignored.get(type);
  if (of === undefined || typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  return Object.fromEntries(
    Object.entries(body).filter(([name, value]) => !of.names.has(name) && !(value === null && of.nulls.has(name))),
  );
}
