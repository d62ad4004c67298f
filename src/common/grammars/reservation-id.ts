/** The opaque id of a reservation, as it was given. */
export const RESERVATION_ID = { type: 'string', minLength: 1, maxLength: 512 } as const;
