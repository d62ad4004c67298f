/** Units whose limits this build enforces: a route makes no other. */
export const ENFORCED_UNITS = ['cents', 'requests', 'tokens', 'slots'] as const;
