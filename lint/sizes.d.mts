import type { Rule } from 'eslint';

export const MAX_FILE_LINES: number;
export const MAX_FUNCTION_LINES: number;
export const MAX_COMPONENT_LINES: number;

/** File → name of a function, or `file` for the file itself → lines. */
export const exceptions: Record<string, Record<string, number>>;

export function sizesExcept(allowed: Record<string, Record<string, number>>): Rule.RuleModule;
