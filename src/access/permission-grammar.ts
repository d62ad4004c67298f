/**
 * The one grammar of permissions. A permission is `area:resource:action`: 1 to 8 segments between colons,
 * each 1 to 64 of `a-z0-9-`. A grant may have `*` as a whole segment: inside it matches exactly one segment, as the
 * last one it matches one or more. Text that is neither matches nothing and is contained in nothing.
 */

const WILDCARD = '*';
const PERMISSION_SHAPE = /^[a-z0-9-]{1,64}(?::[a-z0-9-]{1,64}){0,7}$/;
const GRANT_SHAPE = /^(?:\*|[a-z0-9-]{1,64})(?::(?:\*|[a-z0-9-]{1,64})){0,7}$/;

/** Whether `text` can be required of a caller; it has no `*`. */
export function isPermission(text: string): boolean {
  return PERMISSION_SHAPE.test(text);
}

/** Whether `text` can be granted. Every permission is a grant of itself. */
export function isGrant(text: string): boolean {
  return GRANT_SHAPE.test(text);
}

/** Whether one of the grants matches the permission. A text with `*` is no permission and is never covered. */
export function covers(grants: readonly string[], permission: string): boolean {
  return isPermission(permission) && containsAll(grants, [permission]);
}

/**
 * Whether the holder's grants match every permission that the wanted ones match: the test before anything is handed
 * out. A wanted grant has to lie inside a single grant of the holder. That loses nothing: new segments can always be
 * thought of, and a permission made of new ones in place of each `*` is matched by a grant only if that grant contains
 * the whole wanted one. Nothing wanted is always contained; a malformed wanted grant never is.
 */
export function containsAll(holder: readonly string[], wanted: readonly string[]): boolean {
  const held = parsed(holder);
  return wanted.every((text) => {
    const inner = parse(text);
    return inner !== null && held.some((outer) => contains(outer, inner));
  });
}

/** Whether a grant matches at least one of `permissions`; one that does not would never do anything. */
export function coversAny(grant: string, permissions: readonly string[]): boolean {
  return permissions.some((permission) => covers([grant], permission));
}

/**
 * The grants that match exactly the permissions which both sides match; the smallest such list (none lies inside
 * another), sorted. A key's permissions are the intersection of its roles' grants with its owner's.
 */
export function intersect(left: readonly string[], right: readonly string[]): string[] {
  const others = parsed(right);
  const meets = new Map<string, string[]>();
  for (const one of parsed(left)) {
    for (const other of others) {
      const both = meet(one, other);
      if (both !== null) meets.set(both.join(':'), both);
    }
  }
  const found = [...meets];
  return found
    .filter(([text, inner]) => !found.some(([other, outer]) => other !== text && contains(outer, inner)))
    .map(([text]) => text)
    .sort();
}

function parse(text: string): string[] | null {
  return isGrant(text) ? text.split(':') : null;
}

function parsed(texts: readonly string[]): string[][] {
  return texts.map(parse).filter((segments) => segments !== null);
}

/** Whether the last segment stands for one or more. */
function isOpen(grant: readonly string[]): boolean {
  return grant.at(-1) === WILDCARD;
}

/** A `*` of `inner`, the last one included, can only be met by a `*` of `outer`. */
function contains(outer: readonly string[], inner: readonly string[]): boolean {
  if (isOpen(outer) ? inner.length < outer.length : inner.length !== outer.length) return false;
  const fixed = isOpen(outer) ? outer.slice(0, -1) : outer;
  return fixed.every((segment, index) => segment === WILDCARD || segment === inner[index]);
}

/** What both match is one grant again, or nothing. */
function meet(one: readonly string[], other: readonly string[]): string[] | null {
  const [short, long] = one.length <= other.length ? [one, other] : [other, one];
  if (short.length < long.length && !isOpen(short)) return null;
  const segments: string[] = [];
  for (const [index, segment] of long.entries()) {
    const both = index < short.length ? meetSegments(short[index] ?? WILDCARD, segment) : segment;
    if (both === null) return null;
    segments.push(both);
  }
  return segments;
}

function meetSegments(one: string, other: string): string | null {
  if (one === WILDCARD) return other;
  return other === WILDCARD || other === one ? one : null;
}
