/** How long an old secret may work beside a new one, as a form offers it. */
export const OVERLAPS = [
  { value: '0', label: 'none: the old secret ends immediately' },
  { value: '3600', label: '1 hour' },
  { value: '86400', label: '1 day' },
  { value: '259200', label: '3 days' },
  { value: '604800', label: '7 days' },
];
