const members = new WeakMap<object, readonly string[]>();

/** Declares the members of a body that are no text to be kept: credentials, or entries that are judged one by one. */
export const TakesSecretsIn =
  (...names: readonly string[]): ClassDecorator =>
  (target) => {
    members.set(target, names);
  };

/** What a class of bodies declares; a class that extends another one has what that declares. */
export function secretMembersOf(type: object): readonly string[] {
  for (let one: object | null = type; one !== null; one = Object.getPrototypeOf(one) as object | null) {
    const names = members.get(one);
    if (names !== undefined) return names;
  }
  return [];
}
