import { createTheme, type CSSVariablesResolver, Menu, Table } from '@mantine/core';

/** Calm and dense: one accent, small radius, small controls. */
export const theme = createTheme({
  primaryColor: 'indigo',
  primaryShade: { light: 8, dark: 7 },
  autoContrast: true,
  respectReducedMotion: true,
  defaultRadius: 'sm',
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace',
  headings: {
    fontWeight: '600',
    sizes: { h1: { fontSize: '1.35rem' }, h2: { fontSize: '1.05rem' }, h3: { fontSize: '0.95rem' } },
  },
  components: {
    // Its focus placeholder is no child that a menu may have.
    Menu: Menu.extend({ defaultProps: { withInitialFocusPlaceholder: false } }),
    Table: Table.extend({ defaultProps: { verticalSpacing: 6, horizontalSpacing: 'sm', highlightOnHover: true } }),
  },
});

/**
 * Mantine's grey texts are too pale for WCAG AA on their backgrounds. Our own colours stand here as well: the bundler
 * rewrites `light-dark()` into something that knows nothing of the chosen scheme.
 */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#5c636a',
    '--mantine-color-placeholder': '#6b7280',
    '--mantine-color-error': '#b42318',
    '--mantine-color-anchor': '#364fc7',
    '--latchkey-before': '#fdecea',
    '--latchkey-after': '#e6f4ea',
    '--latchkey-snippet': '#f4f5f7',
    '--latchkey-selected': '#edf2ff',
  },
  dark: {
    '--mantine-color-dimmed': '#a9b0b7',
    '--mantine-color-placeholder': '#8f969d',
    '--mantine-color-error': '#ff9d94',
    '--mantine-color-anchor': '#a5b4fc',
    '--latchkey-before': '#4a2422',
    '--latchkey-after': '#173b24',
    '--latchkey-snippet': '#1c1d1f',
    '--latchkey-selected': '#262b45',
  },
});
