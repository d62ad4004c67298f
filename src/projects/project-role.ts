/** What a member of a project may do in it; an `admin` may do all that a `member` may. */
export const PROJECT_ROLES = ['member', 'admin'] as const;

/** One of them. */
export type ProjectRole = (typeof PROJECT_ROLES)[number];

/** Members of one project: the trail names all of them in each change. */
export const MAX_PROJECT_MEMBERS = 200;

/** Whether a user of this role (null: no member) has what `needed` has. */
export function isAtLeast(role: ProjectRole | null, needed: ProjectRole): boolean {
  return role === 'admin' || (role !== null && role === needed);
}
