import type { AccessRule, AuditedAct } from './access-rule.js';
import { NARROWING_ACTS } from './narrowing-acts.js';
import type { Permission } from './permissions.js';

/** Classes of requests whose number in flight is bounded, each by itself. `pages`: console and Swagger UI. */
export const TRAFFIC_CLASSES = ['verify', 'usage', 'management', 'revocation', 'pages'] as const;
export type TrafficClass = (typeof TRAFFIC_CLASSES)[number];

/** What services do all day, as often as their own clients ask. */
const DATA_PLANE: ReadonlyMap<Permission, TrafficClass> = new Map([
  ['platform:api-keys:verify', 'verify'],
  ['platform:usage:report', 'usage'],
]);

/** The class of a route, by what it declares. A gateway asks for a verify. */
export function trafficClassOf(rule: AccessRule | undefined, audited: AuditedAct | undefined): TrafficClass {
  if (rule?.kind === 'gateway') return 'verify';
  if (audited !== undefined && NARROWING_ACTS.has(audited.action)) return 'revocation';
  return (rule?.kind === 'permission' ? DATA_PLANE.get(rule.permission) : undefined) ?? 'management';
}

/** Whether a principal may send as many requests of this route as it likes. */
export function isDataPlane(rule: AccessRule): boolean {
  return rule.kind === 'gateway' || (rule.kind === 'permission' && DATA_PLANE.has(rule.permission));
}
