/** Strokes on a 24 by 24 grid. Decorative: the text beside it has its meaning. */
const PATHS = {
  overview: 'M4 20V10m6 10V4m6 16v-7m4 7H2',
  key: 'M8 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 12h9v4m-4-4v3',
  mine: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm-8 9c0-4 4-6 8-6s8 2 8 6',
  project: 'M3 6h6l2 3h10v10H3z',
  people:
    'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zm-7 9c0-3.500 3.500-5.500 7-5.500s7 2 7 5.500M16 4.500a3.500 3.500 0 0 1 0 6M18.500 15c2 .8 3.500 2.500 3.500 5',
  service: 'M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01',
  role: 'M12 3l8 3v6c0 4.500-3.300 7.800-8 9-4.700-1.200-8-4.500-8-9V6zM9 12l2 2 4-4',
  audit: 'M6 3h9l4 4v14H6zM9 12h7M9 16h7M9 8h3',
  hygiene: 'M12 9v4m0 4h.01M10.300 4L2.500 18a2 2 0 0 0 1.700 3h15.600a2 2 0 0 0 1.700-3L13.700 4a2 2 0 0 0-3.400 0z',
  spend:
    'M12 3v18M16.500 7c-1-1.200-2.600-2-4.500-2-2.500 0-4.500 1.200-4.500 3.300 0 4.600 9.500 2.400 9.500 7.200 0 2.200-2.200 3.500-5 3.500-2.200 0-4-.8-5-2.200',
  limit: 'M4 18a8 8 0 1 1 16 0M12 18l4-6M3 18h18',
  connect: 'M9 7V3m6 4V3M6 7h12v4a6 6 0 0 1-12 0zM12 17v4',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.500 1.500m11 11L19 19M5 19l1.500-1.500m11-11L19 5',
  moon: 'M20 14.500A8 8 0 0 1 9.500 4 8 8 0 1 0 20 14.500z',
  out: 'M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9',
  plus: 'M12 5v14M5 12h14',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zm5-2l5 5',
  download: 'M12 4v11m-5-5l5 5 5-5M4 20h16',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 12l5 5L20 7',
  close: 'M6 6l12 12M18 6L6 18',
  minus: 'M6 12h12',
  left: 'M14 6l-6 6 6 6',
  docs: 'M5 4h10l4 4v12H5zM9 9h3M9 13h6M9 17h6',
  system: 'M3 5h18v11H3zM9 20h6M12 16v4',
  stop: 'M8 3h8l5 5v8l-5 5H8l-5-5V8zM8.500 8.500l7 7M15.500 8.500l-7 7',
  refresh: 'M20 11a8 8 0 0 0-14.500-4L3 9.500M3 4v5.500h5.500M4 13a8 8 0 0 0 14.500 4l2.500-2.500M21 20v-5.500h-5.500',
} as const;

export type IconName = keyof typeof PATHS;

/** One of ours, in the colour of the text around it. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={name === 'more' ? 3 : 1.7}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
