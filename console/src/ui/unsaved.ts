import { useBlocker } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';

/** What is on the page and nowhere else: forms with something in them, and secrets that are shown once. */
const keepers = new Set<symbol>();
let isDiscarded = false;

/** Whether leaving the page would lose something. */
export function hasUnsaved(): boolean {
  return keepers.size > 0 && !isDiscarded;
}

/** Gives up everything unsaved, so that the page can be left without a question. */
export function discardUnsaved(): void {
  isDiscarded = true;
}

/** While `isKept`, a session that ends is renewed over the page, so that what was typed on it stays. */
export function useKept(isKept: boolean): void {
  useEffect(() => {
    if (!isKept) return undefined;
    const keeper = Symbol('kept');
    keepers.add(keeper);
    return () => void keepers.delete(keeper);
  }, [isKept]);
}

/**
 * Asks `question` before the page is left in any way while `isUnsaved`; a session that ends meanwhile is renewed over
 * the page. Returns what allows the next page without a question.
 */
export function useUnsaved(isUnsaved: boolean, question: string): () => void {
  const isReleased = useRef(false);
  const isKept = () => isUnsaved && !isReleased.current && !isDiscarded;
  useKept(isUnsaved);
  useBlocker({
    shouldBlockFn: () => isKept() && !window.confirm(question),
    enableBeforeUnload: isKept,
  });
  return () => {
    isReleased.current = true;
  };
}
