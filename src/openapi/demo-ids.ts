/**
 * Ids of the data that `npm start -- --demo` adds. The examples of the OpenAPI document name them, so that they work
 * when they are tried.
 */
export const DEMO = {
  keyId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55',
  alias: 'billing-nightly',
  /** Of the key's newer secret, and of the older one that overlaps with it. */
  kid: '4fT9aZq01LmXyB',
  previousKid: '2bW7cKm83NpQrS',
  /** The key that the terminal shows: no list restricts it. */
  clientKeyId: '019a8b5e-1c80-7265-a1a7-be53d09fc186',
  clientKid: '8jK3nM5pR7tV9x',
  gatewayKeyId: '019a8b5e-1c7b-7d10-9c52-6f0e8b4a7c31',
  gatewayKid: '7hJ2kLm94PqRsT',
  revokedKeyId: '019a8b5e-1c7c-7e21-8d63-7a1f9c5b8d42',
  deactivatedKeyId: '019a8b5e-1c7d-7f32-9e74-8b20ad6c9e53',
  expiredKeyId: '019a8b5e-1c7e-7043-af85-9c31be7daf64',
  ownerlessKeyId: '019a8b5e-1c7f-7154-b096-ad42cf8eb075',
  ownerId: '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55',
  auditorId: '019a8b5e-0001-7d84-a5b2-4b8d302eaf66',
  serviceId: '019a8b5e-0002-7e95-b6c3-5c9e413fb077',
  formerId: '019a8b5e-0003-7fa6-87d4-6daf5240c188',
  projectId: '019a8b5e-0004-7cb7-98e5-7eb06351d299',
  /** Of a project in which there is no key. */
  emptyProjectId: '019a8b5e-0005-7dc8-a9f6-8fc17462e3aa',
  /** Of a limit on the project; the owner has an amount of its own in it. */
  limitId: '019a8b5e-0006-7ed9-ba07-90d28573f4bb',
  roleName: 'support-team',
} as const;
