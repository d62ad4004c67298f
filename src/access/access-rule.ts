import type { Permission } from './permissions.js';

/** Metadata keys; the guard and the boot check read them. */
export const ACCESS_RULE = 'latchkey:access-rule';
export const AUDITED = 'latchkey:audited';
export const BATCH = 'latchkey:batch';
export const CLIENT_CREDENTIALS = 'latchkey:client-credentials';

/** Who may call a route. A route without one refuses to boot. */
export type AccessRule =
  | { readonly kind: 'public' }
  /**
   * `withTemporaryPassword`: also in a session whose password another person chose, before it is changed;
   * `whileEnrolling`: also in a session that must set up a second factor first.
   */
  | { readonly kind: 'signed-in'; readonly withTemporaryPassword?: true; readonly whileEnrolling?: true }
  /** `alsoNeeds`: a second permission, asked for after the first. */
  | { readonly kind: 'permission'; readonly permission: Permission; readonly alsoNeeds?: Permission }
  /** `itself`: a key as caller may also act on itself. */
  | { readonly kind: 'owner-or'; readonly permission: Permission; readonly itself?: true }
  /** Members of the project whose role is at least `role`; the permission stands for any. */
  | { readonly kind: 'member-or'; readonly permission: Permission; readonly role: 'member' | 'admin' }
  /** The signed-in owner of the thing alone: no permission stands for it. */
  | { readonly kind: 'owner' }
  /**
   * The gateway that asks is authenticated by a key of its own; the other credentials of the request are its client's.
   */
  | { readonly kind: 'gateway'; readonly permission: Permission };

/** A list in the body of a route, each entry of which is asked for by itself. */
export interface BatchRule {
  /** The field of the body. */
  readonly list: string;
  /** The field of the body that names what is done to each: `revoke` counts like `api-keys:revoke`. */
  readonly verb?: string;
}

/** What a route is called in the audit trail. */
export interface AuditedAct {
  /** `resource:verb`. */
  readonly action: string;
  readonly resourceType: string;
  /** Set on a POST that changes nothing: it is recorded as a read. Every GET is one. */
  readonly isRead?: boolean;
}
